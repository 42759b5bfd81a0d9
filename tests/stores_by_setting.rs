//! The embedded stores by their names: one program, one setting, and mistakes that are found before anything is opened.
#![cfg(all(feature = "sqlite", feature = "lmdb", feature = "jsonl"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;

use tlo::plugin::PluginTable;
use tlo::prelude::*;
use tlo::settings::SettingsSource;
use tlo::store::Durability;

/// One run of a program that counts its visits in the store.
async fn visit(store: &str) -> (u64, &'static str, Durability) {
    let tlo = TloContext::builder()
        .set("task_state_store", store)
        .task(task("visit").run(|_: TaskContext, (): ()| async {}))
        .build()
        .await
        .unwrap();
    let client = tlo.client();
    let runner = Runner::new(tlo);
    let (handle, running) = (runner.handle(), tokio::spawn(runner.run()));
    client
        .task("visit")
        .submit()
        .await
        .unwrap()
        .wait()
        .await
        .unwrap();
    let visits = client.stats().await.unwrap().names.of("visit");
    let capability = client.store().capability();
    handle.stop();
    running.await.unwrap().unwrap();
    (visits, capability.name, capability.durability)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_program_keeps_its_tasks_in_each_store_by_one_setting() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["sqlite", "lmdb", "jsonl"] {
        let address = format!("{name}:{}", folder.path().join(name).display());
        for run in 1..=3 {
            assert_eq!(visit(&address).await, (run, name, Durability::Power));
        }
    }
    assert!(folder.path().join("lmdb/data.mdb").is_file());
    let log = fs::read_to_string(folder.path().join("jsonl")).unwrap();
    assert!(log.contains("\"name\":\"visit\""));
}

/// The mistakes of a configuration.
fn mistakes(file: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tlo.toml");
    fs::write(&path, file).unwrap();
    let plugins = PluginTable::builtin();
    let source = SettingsSource::empty()
        .sections(plugins.sections())
        .file(&path);
    let loaded = tlo::TloSettings::load(&source).unwrap();
    let found = plugins.mistakes(&loaded).into_iter();
    found
        .map(|mistake| format!("{}: {}", mistake.key, mistake.reason))
        .collect()
}

#[test]
fn mistakes_in_the_sections_are_found_before_anything_is_opened() {
    for (file, wanted) in [
        (
            "task_state_store = \"lmdb:x\"\n[lmdb]\nmap_bytes = 1\n",
            "lmdb.map_bytes: map_bytes is 1",
        ),
        (
            "task_state_store = \"lmdb:x\"\n[lmdb]\ndurability = \"lazy\"\n",
            "lmdb.durability: ",
        ),
        (
            "task_state_store = \"lmdb:x\"\n[lmdb]\nmax_byte = 9\n",
            "lmdb.max_byte",
        ),
        (
            "task_state_store = \"jsonl:x\"\n[jsonl]\ncompact_ratio = 0\n",
            "jsonl.compact_ratio: compact_ratio is 0",
        ),
        (
            "task_state_store = \"jsonl\"\n[jsonl]\npath = \"\"\n",
            "jsonl.path: ",
        ),
    ] {
        let found = mistakes(file);
        assert!(
            matches!(&found[..], [one] if one.starts_with(wanted)),
            "{file}\n{found:?}"
        );
    }
    for name in ["lmdb", "jsonl"] {
        let fine = format!(
            "task_state_store = \"{name}:x\"\n[{name}]\npath = \"y\"\ncall_timeout = \"1m\"\ndurability = \"relaxed\"\n"
        );
        assert_eq!(mistakes(&fine), Vec::<String>::new());
    }
}
