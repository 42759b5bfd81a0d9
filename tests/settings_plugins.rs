//! Choosing stores and registries by name.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde::Deserialize;
use tlo::plugin::{PluginRequest, PluginTable};
use tlo::registry::{InMemoryTaskRegistry, TaskRegistry};
use tlo::settings::{Loaded, SettingsSource, TloSettings};
use tlo::store::TaskStateStore;
use tlo::task::TaskDef;
use tlo::{Error, ErrorKind, IdSource, MemoryStore, Result, SystemClock};

fn loaded(plugins: &PluginTable, variables: &[(&str, &str)]) -> Loaded {
    let source = SettingsSource::empty()
        .sections(plugins.sections())
        .environment(variables.iter().copied());
    TloSettings::load(&source).unwrap()
}

async fn open(plugins: &PluginTable, loaded: &Loaded) -> Result<Arc<dyn TaskStateStore>> {
    plugins
        .open_task_state_store(loaded, SystemClock::shared(), Arc::new(IdSource::seeded(1)))
        .await
}

async fn open_registry(plugins: &PluginTable, loaded: &Loaded) -> Result<Arc<dyn TaskRegistry>> {
    plugins
        .open_task_registry(loaded, SystemClock::shared(), Arc::new(IdSource::seeded(1)))
        .await
}

fn memory(request: PluginRequest) -> Arc<dyn TaskStateStore> {
    Arc::new(MemoryStore::new(request.clock, request.ids))
}

/// A table with a plugin that notes what it was given.
fn noting(name: &str) -> (PluginTable, Arc<Mutex<Vec<PluginRequest>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let plugins = PluginTable::builtin().task_state_store(name, move |request: PluginRequest| {
        notes.lock().unwrap().push(request.clone());
        async move { Ok(memory(request)) }
    });
    (plugins, seen)
}

#[tokio::test]
async fn memory_has_many_spellings() {
    let plugins = PluginTable::builtin();
    for value in [
        "",
        "memory",
        "Memory",
        "memory:",
        "InMemoryTaskStateStore",
        "inmemorytaskstatestore",
    ] {
        let loaded = loaded(&plugins, &[("TLO_TASK_STATE_STORE", value)]);
        plugins.check(&loaded).unwrap();
        let store = open(&plugins, &loaded).await.unwrap();
        assert_eq!(store.capability().name, "memory", "{value:?}");
    }
    for value in ["", "memory", "InMemoryTaskRegistry"] {
        let loaded = loaded(&plugins, &[("TLO_TASK_REGISTRY", value)]);
        let registry = open_registry(&plugins, &loaded).await.unwrap();
        registry.put(TaskDef::new("a")).await.unwrap();
        assert_eq!(registry.list().await.unwrap().len(), 1, "{value:?}");
    }
}

#[tokio::test]
async fn an_unknown_name_lists_the_known_the_nearest_and_its_source() {
    let plugins = PluginTable::builtin()
        .task_state_store("my_app.Dynamo", async |request| Ok(memory(request)));
    for (value, parts) in [
        (
            "nonsense",
            vec![
                "task_state_store = \"nonsense\" (environment variable TLO_TASK_STATE_STORE)",
                "no plugin of that name is a task state store",
                "my_app.Dynamo",
                "memory",
            ],
        ),
        ("memroy", vec!["did you mean memory?"]),
        ("InMemoryTaskStateStor", vec!["did you mean memory?"]),
        ("my_app.Dinamo", vec!["did you mean my_app.Dynamo?"]),
        ("redsi://me:secret@h", vec!["redsi://me:***@h"]),
        ("InMemoryTaskRegistry", vec!["no plugin of that name"]),
    ] {
        let loaded = loaded(&plugins, &[("TLO_TASK_STATE_STORE", value)]);
        let checked = plugins.check(&loaded).unwrap_err();
        let error = open(&plugins, &loaded).await.unwrap_err();
        assert_eq!(
            (checked.kind(), error.kind()),
            (ErrorKind::UnknownPlugin, ErrorKind::UnknownPlugin)
        );
        assert_eq!(checked.to_string(), error.to_string());
        for part in parts {
            assert!(
                error.to_string().contains(part),
                "{part:?} is not in {error}"
            );
        }
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let loaded = loaded(&plugins, &[("TLO_TASK_REGISTRY", "nope")]);
    let error = open_registry(&plugins, &loaded).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownPlugin);
    assert!(
        error
            .to_string()
            .contains("is a task registry; known are memory"),
        "{error}"
    );
    assert!(plugins.check(&loaded).is_err());
}

#[tokio::test]
async fn a_plugin_of_ones_own_is_chosen_by_name_or_url() {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Dynamo {
        region: String,
        retries: u8,
    }
    for value in [
        "my_app.Dynamo",
        "MY_APP.dynamo",
        "my_app.Dynamo://host/table",
    ] {
        let (plugins, seen) = noting("my_app.Dynamo");
        let loaded = loaded(
            &plugins,
            &[
                ("TLO_TASK_STATE_STORE", value),
                ("TLO_MY_APP__DYNAMO__REGION", "eu"),
                ("TLO_MY_APP__DYNAMO__RETRIES", "3"),
                ("TLO_LEASE", "7s"),
            ],
        );
        open(&plugins, &loaded).await.unwrap();
        let request = seen.lock().unwrap().pop().unwrap();
        assert_eq!(request.url(), value.contains("://").then_some(value));
        assert_eq!(request.settings.lease.as_secs(), 7);
        assert_eq!(request.section.name(), "my_app.dynamo");
        let section: Dynamo = request.section.extract().unwrap();
        assert_eq!((section.region.as_str(), section.retries), ("eu", 3));
    }
}

#[tokio::test]
async fn the_path_of_a_url_is_relative_to_where_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.toml");
    let (plugins, seen) = noting("file");
    let here = |path: &str| Some(folder.path().join(path));
    for (url, in_file, in_variable) in [
        ("file:a.db", here("a.db"), Some(PathBuf::from("a.db"))),
        (
            "file://sub/a.db",
            here("sub/a.db"),
            Some(PathBuf::from("sub/a.db")),
        ),
        (
            "file:///var/a.db",
            Some("/var/a.db".into()),
            Some("/var/a.db".into()),
        ),
        (
            "file:/var/a.db",
            Some("/var/a.db".into()),
            Some("/var/a.db".into()),
        ),
        ("file:", None, None),
        ("file", None, None),
    ] {
        fs::write(&file, format!("task_state_store = '{url}'\n")).unwrap();
        let from_file = TloSettings::load(&SettingsSource::empty().file(&file)).unwrap();
        let from_variable = loaded(&plugins, &[("TLO_TASK_STATE_STORE", url)]);
        for (loaded, path) in [(from_file, in_file), (from_variable, in_variable)] {
            open(&plugins, &loaded).await.unwrap();
            let request = seen.lock().unwrap().pop().unwrap();
            assert_eq!(request.path(), path, "{url}");
        }
    }
}

#[tokio::test]
async fn a_later_plugin_of_the_same_name_replaces_the_earlier() {
    let (plugins, seen) = noting("Memory");
    let loaded = loaded(
        &plugins,
        &[("TLO_TASK_STATE_STORE", "InMemoryTaskStateStore")],
    );
    open(&plugins, &loaded).await.unwrap();
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_a_factory_says_reaches_the_caller() {
    let plugins = PluginTable::empty()
        .task_state_store("broken", async |_| {
            Err(Error::new(
                ErrorKind::Unavailable,
                "open",
                "nobody is there",
            ))
        })
        .task_registry("mine", async |_| {
            Ok(Arc::new(InMemoryTaskRegistry::default()) as Arc<dyn TaskRegistry>)
        });
    let loaded = loaded(
        &plugins,
        &[
            ("TLO_TASK_STATE_STORE", "broken"),
            ("TLO_TASK_REGISTRY", "mine"),
        ],
    );
    plugins.check(&loaded).unwrap();
    let error = open(&plugins, &loaded).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    open_registry(&plugins, &loaded).await.unwrap();
    assert_eq!(plugins.sections(), ["broken", "mine"]);
}

#[tokio::test]
async fn memory_has_no_settings_of_its_own() {
    let plugins = PluginTable::builtin();
    let loaded = loaded(&plugins, &[("TLO_MEMORY__SIZE", "5")]);
    let error = open(&plugins, &loaded).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("memory.size = \"5\""), "{error}");
}

#[tokio::test]
async fn a_name_that_cannot_be_one_is_refused() {
    for name in ["", "a:b", "a b", "a..b"] {
        let plugins =
            PluginTable::builtin().task_state_store(name, async |request| Ok(memory(request)));
        let loaded = loaded(&plugins, &[]);
        let error = open(&plugins, &loaded).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{name:?}");
        assert!(
            error.to_string().contains(&format!("\"{name}\"")),
            "{error}"
        );
        // What is told without opening anything says the same.
        let mistakes = plugins.mistakes(&loaded);
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(error.to_string().contains(&mistakes[0].reason), "{error}");
    }
}
