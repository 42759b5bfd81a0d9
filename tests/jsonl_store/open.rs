//! Opening: what is made, what is read back, what is refused; and what a person finds in the log.

use std::fs;

use serde_json::Value;
use tlo::store::{Durability, TaskStateStore, TaskStateStoreExt};
use tlo::{ErrorKind, JsonlDurability, JsonlOptions, Payload, TaskStatus};

use crate::files::{all_refused, refused};
use crate::kit::{home, id, lease, new, open, open_with, total};

#[tokio::test]
async fn what_was_answered_survives_a_reopen() {
    let (_directory, path) = home();
    let store = open(&path);
    for n in 0..20 {
        store.create(new(format!("t{n:02}"))).await.unwrap();
    }
    let leased = lease(&store, 5).await.unwrap();
    let reference = leased[0].lease.as_ref().unwrap().reference();
    let result = Payload::parse(r#"{"a" :  "\u0000 ✓", "b": 1.0}"#).unwrap();
    store
        .succeed(&leased[0].id, reference, result.clone())
        .await
        .unwrap();
    let before = store.read(&leased[1].id).await.unwrap();
    let facts = store.engine().facts();
    drop(store);

    let store = open(&path);
    assert_eq!(total(&store).await, 20);
    let done = store.read(&leased[0].id).await.unwrap();
    assert_eq!(
        (done.status, done.result),
        (TaskStatus::Succeeded, Some(result))
    );
    assert_eq!(store.read(&leased[1].id).await.unwrap(), before);
    // The leases are still held, so only the others can be claimed.
    let again = store.engine().facts();
    assert_eq!(
        (again.rows, again.live_bytes),
        (facts.rows, facts.live_bytes)
    );
    assert_eq!(lease(&store, 100).await.unwrap().len(), 15);
    assert!(store.check().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_it_promises_is_told() {
    for (durability, promised) in [
        (JsonlDurability::Strict, Durability::Power),
        (JsonlDurability::Relaxed, Durability::Process),
    ] {
        let (_directory, path) = home();
        let options = JsonlOptions {
            durability,
            ..JsonlOptions::at(&path)
        };
        let store = open_with(options).unwrap();
        store.create(new("a")).await.unwrap();
        let capability = store.capability();
        assert_eq!(
            (capability.name, capability.durability),
            ("jsonl", promised)
        );
        assert!(!capability.shared && !capability.pushes);
        assert!(capability.promise.contains("tlo.jsonl"), "{capability:?}");
        let labels: Vec<_> = capability.facts.iter().map(|(label, _)| *label).collect();
        assert!(labels.starts_with(&["log", "rows", "synchronous", "lock"]));
    }
}

#[tokio::test]
async fn a_person_can_read_the_log() {
    let (_directory, path) = home();
    let store = open(&path);
    let mut task = new("order-17");
    task.args = Payload::parse(r#"{"to":"Ада ✓","n":1}"#).unwrap();
    store.create(task).await.unwrap();
    let task = lease(&store, 1).await.unwrap().remove(0);
    let reference = task.lease.as_ref().unwrap().reference();
    store
        .succeed(&task.id, reference, Payload::null())
        .await
        .unwrap();
    store.delete(&task.id).await.unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let story: Vec<_> = lines
        .iter()
        .filter(|line| line["put"] == "t order-17")
        .map(|line| line["row"]["status"].as_str().unwrap())
        .collect();
    assert_eq!(story, ["pending", "running", "succeeded"]);
    assert_eq!(lines[1]["row"]["args"]["to"], "Ада ✓");
    assert!(lines.iter().any(|line| line["delete"] == "t order-17"));
    let commits = lines.iter().filter_map(|line| line["commit"].as_u64());
    assert_eq!(commits.collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
}

#[tokio::test]
async fn the_files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let (directory, path) = home();
    let store = open(&path);
    store.create(new("a")).await.unwrap();
    let mut seen = 0;
    for file in fs::read_dir(directory.path()).unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        seen += 1;
    }
    assert_eq!(seen, 2, "the log and its lock");
}

#[test]
fn options_that_cannot_work_are_refused() {
    let (directory, path) = home();
    let nowhere = directory.path().join("no/such/tlo.jsonl");
    all_refused([
        (JsonlOptions::at(""), "name a file"),
        (JsonlOptions::at(directory.path()), "is a directory"),
        (JsonlOptions::at(&nowhere), "no/such\" of the store's file"),
        (
            JsonlOptions {
                compact_ratio: 1,
                ..JsonlOptions::at(&path)
            },
            "compact_ratio is 1",
        ),
        (
            JsonlOptions {
                call_timeout: std::time::Duration::ZERO,
                ..JsonlOptions::at(&path)
            },
            "call_timeout is 0",
        ),
    ]);
    assert!(!path.exists() && !nowhere.exists());
}

#[test]
fn options_are_read_from_settings() {
    let text = r#"{"path": "x", "durability": "relaxed", "compact_bytes": 5}"#;
    let options: JsonlOptions = serde_json::from_str(text).unwrap();
    assert_eq!(options.durability, JsonlDurability::Relaxed);
    assert_eq!((options.compact_bytes, options.compact_ratio), (5, 4));
    let error = serde_json::from_str::<JsonlOptions>(r#"{"pth": "x"}"#).unwrap_err();
    assert!(error.to_string().contains("`pth`"), "{error}");
}

#[test]
fn files_of_others_and_newer_layouts_are_refused_and_left_alone() {
    let (_directory, path) = home();
    for (text, part) in [
        ("dear diary\nit rained\n", "not a log"),
        ("{\"level\":\"info\"}\n", "not a log"),
        ("no end of line", "not a log"),
        ("{\"tlo\":\"jsonl\",\"layout\":9,\"after\":0}\n", "layout 9"),
    ] {
        fs::write(&path, text).unwrap();
        let (kind, message) = refused(JsonlOptions::at(&path));
        assert_eq!(kind, ErrorKind::Configuration, "{message}");
        assert!(
            message.contains(part) && message.contains("tlo.jsonl"),
            "{message}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    fs::write(&path, "").unwrap();
    drop(open(&path));
    assert!(fs::read(&path).unwrap().starts_with(b"{\"tlo\":\"jsonl\""));
}

#[tokio::test]
async fn a_symbolic_link_leads_to_the_same_store_and_stays_a_link() {
    let (directory, path) = home();
    let link = directory.path().join("link.jsonl");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    fs::write(&path, "").unwrap();
    let (one, two) = (open(&path), open(&link));
    one.create(new("a")).await.unwrap();
    assert_eq!(two.read(&id("a")).await.unwrap().id, id("a"));
    drop(one);
    two.create(new("b")).await.unwrap();
    drop(two);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(total(&open(&path)).await, 2);
}
