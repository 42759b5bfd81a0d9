//! Opening: what is made, what is read back, what is refused.

use std::fs;
use std::time::Duration;

use rusqlite::Connection;
use tlo::store::{Durability, TaskStateStore, TaskStateStoreExt};
use tlo::{ErrorKind, SqliteDurability, SqliteOptions, TaskStatus};

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
    let result = tlo::Payload::parse(r#""\u0000 ✓""#).unwrap();
    store
        .succeed(&leased[0].id, reference, result.clone())
        .await
        .unwrap();
    let before = store.read(&leased[1].id).await.unwrap();
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
    assert_eq!(lease(&store, 100).await.unwrap().len(), 15);
    assert_eq!(
        store.create(new("t00")).await.unwrap_err().kind(),
        ErrorKind::AlreadyExists
    );
    assert!(store.check().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_it_promises_is_read_back() {
    for (durability, synchronous, promised) in [
        (SqliteDurability::Strict, 2, Durability::Power),
        (SqliteDurability::Relaxed, 1, Durability::Process),
    ] {
        let (_directory, path) = home();
        let options = SqliteOptions {
            durability,
            ..SqliteOptions::at(&path)
        };
        let store = open_with(options).unwrap();
        store.create(new("a")).await.unwrap();
        let facts = store.facts().await.unwrap();
        assert_eq!(
            (facts.journal_mode.as_str(), facts.synchronous),
            ("wal", synchronous)
        );
        assert_eq!((facts.path.as_path(), facts.layout), (path.as_path(), 1));
        assert!(facts.wal_bytes > 0 && facts.pages > 0);
        let capability = store.capability();
        assert_eq!(
            (capability.name, capability.durability),
            ("sqlite", promised)
        );
        assert!(capability.shared && !capability.pushes);
        assert!(
            capability.promise.contains("tlo.db"),
            "{}",
            capability.promise
        );
    }
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_is_for_its_owner_only() {
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
    assert_eq!(seen, 3, "the database, its log and the log's index");
}

#[test]
fn options_that_cannot_work_are_refused() {
    let (directory, path) = home();
    let nowhere = directory.path().join("no/such/tlo.db");
    all_refused([
        (SqliteOptions::at(""), "name a file"),
        (SqliteOptions::at(":memory:"), "\"memory\""),
        (SqliteOptions::at(directory.path()), "is a directory"),
        (SqliteOptions::at(&nowhere), "no/such\" of the store's file"),
        (
            SqliteOptions {
                readers: 0,
                ..SqliteOptions::at(&path)
            },
            "readers is 0",
        ),
    ]);
    assert!(!path.exists() && !nowhere.exists());
}

#[test]
fn options_are_read_from_settings() {
    let text = r#"{"path": "x.db", "durability": "relaxed", "busy_timeout": "250ms"}"#;
    let options: SqliteOptions = serde_json::from_str(text).unwrap();
    assert_eq!(options.durability, SqliteDurability::Relaxed);
    assert_eq!(options.busy_timeout.as_millis(), 250);
    assert_eq!(options.readers, SqliteOptions::default().readers);
    let error = serde_json::from_str::<SqliteOptions>(r#"{"pth": "x.db"}"#).unwrap_err();
    assert!(error.to_string().contains("`pth`"), "{error}");
}

#[test]
fn a_long_wait_for_locks_makes_room_in_the_call() {
    let (_directory, path) = home();
    for seconds in [5, 30, 600] {
        let options = SqliteOptions {
            busy_timeout: Duration::from_secs(seconds),
            ..SqliteOptions::at(&path)
        };
        drop(open_with(options).unwrap());
    }
}

#[tokio::test]
async fn what_the_store_can_do_is_told_without_asking_the_disk() {
    let (_directory, path) = home();
    let store = open(&path);
    let opened = store.capability().facts;
    assert!(opened.iter().any(|(label, _)| *label == "file"));
    let large = tlo::Payload::of(&"x".repeat(100_000)).unwrap();
    let mut large_task = new("a");
    large_task.args = large;
    store.create(large_task).await.unwrap();
    assert_eq!(store.capability().facts, opened, "asked the disk again");
    let (retention, limit) = (tlo::store::Retention::default(), 1);
    let step = tlo::store::Maintain { retention, limit };
    store.maintain(step).await.unwrap();
    assert_ne!(store.capability().facts, opened, "upkeep asks it");
}

#[test]
fn a_newer_layout_is_refused_and_left_alone() {
    let (_directory, path) = home();
    drop(open(&path));
    let other = Connection::open(&path).unwrap();
    other.pragma_update(None, "user_version", 99).unwrap();
    drop(other);
    let before = fs::read(&path).unwrap();
    let (kind, message) = refused(SqliteOptions::at(&path));
    assert_eq!(kind, ErrorKind::Configuration);
    assert!(
        message.contains("layout 99") && message.contains("tlo.db"),
        "{message}"
    );
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_layout_of_another_build_is_refused() {
    let (_directory, path) = home();
    drop(open(&path));
    let other = Connection::open(&path).unwrap();
    other
        .execute("UPDATE migrations SET checksum = 'x'", [])
        .unwrap();
    drop(other);
    let (kind, message) = refused(SqliteOptions::at(&path));
    assert_eq!(kind, ErrorKind::Configuration);
    assert!(message.contains("step 1"), "{message}");
}

#[test]
fn files_of_others_are_refused_and_left_alone() {
    let (_directory, path) = home();
    fs::write(&path, "dear diary, ".repeat(1000)).unwrap();
    let (kind, message) = refused(SqliteOptions::at(&path));
    assert_eq!(kind, ErrorKind::Configuration);
    assert!(message.contains("not a SQLite database"), "{message}");
    assert!(fs::read(&path).unwrap().starts_with(b"dear diary, dear"));

    fs::remove_file(&path).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute("CREATE TABLE diary (day TEXT)", []).unwrap();
    drop(other);
    let before = fs::read(&path).unwrap();
    let (kind, message) = refused(SqliteOptions::at(&path));
    assert_eq!(kind, ErrorKind::Configuration);
    assert!(message.contains("another program"), "{message}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_of_another_program_that_died_keeps_its_log() {
    let (_directory, path) = home();
    let other = Connection::open(&path).unwrap();
    other.pragma_update(None, "journal_mode", "wal").unwrap();
    other.execute("CREATE TABLE diary (day TEXT)", []).unwrap();
    let (_copied, copy) = home();
    for ending in ["db", "db-wal"] {
        fs::copy(path.with_extension(ending), copy.with_extension(ending)).unwrap();
    }
    let (kind, message) = refused(SqliteOptions::at(&copy));
    assert_eq!(kind, ErrorKind::Configuration);
    assert!(message.contains("another program"), "{message}");
    let again = Connection::open(&copy).unwrap();
    let mode: String = again
        .pragma_query_value(None, "journal_mode", |row| row.get(0))
        .unwrap();
    let days: i64 = again
        .query_row("SELECT count(*) FROM diary", [], |row| row.get(0))
        .unwrap();
    assert_eq!((mode.as_str(), days), ("wal", 0));
}

#[cfg(unix)]
#[tokio::test]
async fn a_symbolic_link_leads_to_the_same_store() {
    let (directory, path) = home();
    let link = directory.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    fs::write(&path, "").unwrap();
    let (one, two) = (open(&path), open(&link));
    one.create(new("a")).await.unwrap();
    assert_eq!(total(&two).await, 1);
    assert!(two.facts().await.unwrap().wal_bytes > 0);
}

#[test]
fn an_empty_file_becomes_a_store() {
    let (_directory, path) = home();
    fs::write(&path, "").unwrap();
    drop(open(&path));
    let other = Connection::open(&path).unwrap();
    let id: i32 = other
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .unwrap();
    assert_eq!(&id.to_be_bytes(), b"TLO1");
}

#[test]
fn many_may_open_a_new_file_at_once() {
    let (_directory, path) = home();
    let start = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                start.wait();
                open(&path);
            });
        }
    });
    let other = Connection::open(&path).unwrap();
    let steps: i64 = other
        .query_row("SELECT count(*) FROM migrations", [], |row| row.get(0))
        .unwrap();
    assert_eq!(steps, 1);
}

#[tokio::test]
async fn people_can_look_with_a_shell() {
    let (_directory, path) = home();
    let store = open(&path);
    store.create(new("a")).await.unwrap();
    store.create(new("b")).await.unwrap();
    let leased = lease(&store, 1).await.unwrap();
    let other = Connection::open(&path).unwrap();
    let rows: Vec<(String, String, i64, Option<String>, String)> = other
        .prepare("SELECT id, status, priority, worker, args ->> 'n' || name FROM tasks ORDER BY id")
        .unwrap()
        .query_map([], |row| {
            Ok((
                row.get(0)?,
                row.get(1)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
            ))
        })
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(leased[0].id, id("a"));
    let line = |id: &str, status: &str, worker: Option<&str>| {
        (
            id.to_owned(),
            status.to_owned(),
            5,
            worker.map(str::to_owned),
            "1greet".to_owned(),
        )
    };
    assert_eq!(
        rows,
        [
            line("a", "running", Some("w#1")),
            line("b", "pending", None)
        ]
    );
}
