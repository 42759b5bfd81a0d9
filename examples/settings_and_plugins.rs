//! Settings in layers, each value with where it came from, and a store of one's own chosen by name.
#![allow(clippy::print_stdout, reason = "examples talk")]

use std::sync::Arc;

use serde::Deserialize;
use tlo::MemoryStore;
use tlo::plugin::{PluginRequest, PluginTable};
use tlo::prelude::*;
use tlo::settings::SettingsSource;
use tlo::store::SharedStore;

/// What may stand in `[my_app.Dynamo]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Dynamo {
    region: String,
    retries: u8,
}

/// Opens the store. Here it is one in memory; yours would go to the network.
async fn dynamo(request: PluginRequest) -> tlo::Result<SharedStore> {
    let section: Dynamo = request.section.extract()?;
    println!("opening {} with {section:?}", request.address);
    Ok(Arc::new(MemoryStore::new(request.clock, request.ids)))
}

const FILE: &str = r#"
task_state_store = "my_app.Dynamo"
concurrency = 8
lease = "1m"

[my_app.dynamo]
region = "eu-central-1"
"#;

#[tokio::main]
async fn main() -> tlo::Result<()> {
    let folder =
        tempfile::tempdir().map_err(|error| tlo::Error::invalid("example", error.to_string()))?;
    let file = folder.path().join("tlo.toml");
    std::fs::write(&file, FILE)
        .map_err(|error| tlo::Error::invalid("example", error.to_string()))?;

    // Weakest first: what the program likes, the file, the environment, what the code insists on.
    let source = SettingsSource::empty()
        .set_default("queues", ["mail", "default"])
        .file(&file)
        .environment([
            ("TLO_CONCURRENCY", "32"),
            ("TLO_MY_APP__DYNAMO__RETRIES", "3"),
            // An empty variable is none.
            ("TLO_LEASE", ""),
        ])
        .set("name", "example");
    let build = |source| {
        let plugins = PluginTable::builtin()
            .task_state_store("my_app.Dynamo", dynamo)
            .section_type::<Dynamo>("my_app.Dynamo");
        TloContext::builder()
            .plugins(plugins)
            .settings(source)
            .build()
    };
    let tlo = build(source.clone()).await?;
    let settings = tlo.settings();
    assert_eq!(settings.concurrency, 32);
    assert_eq!(settings.lease, std::time::Duration::from_secs(60));
    assert_eq!(settings.name, "example");
    for setting in tlo.loaded().origins() {
        if setting.origin != "default" {
            println!("{} = {}  # {}", setting.key, setting.value, setting.origin);
        }
    }

    // A name that nobody knows is answered with those that are known.
    let wrong = source.set("task_state_store", "my_app.Dynamos");
    let error = build(wrong).await.err();
    println!(
        "{}",
        error.map(|error| error.to_string()).unwrap_or_default()
    );
    Ok(())
}
