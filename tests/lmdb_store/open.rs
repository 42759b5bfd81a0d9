//! Opening: what is made, what is read back, what is refused.

use std::fs;

use heed::types::Str;
use heed::{CommitOrAbort, EnvOpenOptions};
use tlo::store::{Durability, TaskStateStore, TaskStateStoreExt};
use tlo::{ErrorKind, LmdbDurability, LmdbOptions, Payload, TaskStatus};

use crate::files::{all_refused, refused};
use crate::kit::{home, id, lease, new, open, open_with, total};

/// `MDB_NOMETASYNC`.
const NO_META_SYNC: u32 = 0x4_0000;
/// `MDB_NOSYNC`, `MDB_NOMETASYNC`, `MDB_WRITEMAP` and `MDB_MAPASYNC`.
const NOT_DURABLE: u32 = 0x1_0000 | NO_META_SYNC | 0x8_0000 | 0x10_0000;

#[tokio::test]
async fn what_was_answered_survives_a_reopen() {
    let (_directory, path) = home();
    let store = open(&path);
    for n in 0..20 {
        store.create(new(format!("t{n:02}"))).await.unwrap();
    }
    let leased = lease(&store, 5).await.unwrap();
    let reference = leased[0].lease.as_ref().unwrap().reference();
    let result = Payload::parse(r#""\u0000 ✓""#).unwrap();
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
    assert!(store.check().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_it_promises_is_read_back() {
    for (durability, flags, promised) in [
        (LmdbDurability::Strict, 0, Durability::Power),
        (LmdbDurability::Relaxed, NO_META_SYNC, Durability::Process),
    ] {
        let (_directory, path) = home();
        let options = LmdbOptions {
            durability,
            ..LmdbOptions::at(&path)
        };
        let store = open_with(options).unwrap();
        store.create(new("a")).await.unwrap();
        let facts = store.engine().facts().unwrap();
        assert_eq!(facts.flags & NOT_DURABLE, flags);
        assert_eq!(facts.path, fs::canonicalize(&path).unwrap());
        assert!(facts.rows > 0 && facts.file_bytes > 0 && facts.row_bytes > 0);
        let capability = store.capability();
        assert_eq!((capability.name, capability.durability), ("lmdb", promised));
        assert!(capability.shared && !capability.pushes);
        let labels: Vec<_> = capability.facts.iter().map(|(label, _)| *label).collect();
        assert!(labels.starts_with(&["lmdb", "synchronous", "file", "readers"]));
    }
}

#[tokio::test]
async fn the_directory_and_its_files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let (_directory, path) = home();
    let store = open(&path);
    store.create(new("a")).await.unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.clone()), 0o700);
    for file in ["data.mdb", "lock.mdb"] {
        assert_eq!(mode(path.join(file)), 0o600);
    }
}

#[test]
fn options_that_cannot_work_are_refused() {
    let (directory, path) = home();
    let nowhere = directory.path().join("no/such/tlo.lmdb");
    let file = directory.path().join("file");
    fs::write(&file, "dear diary").unwrap();
    all_refused([
        (LmdbOptions::at(""), "name a directory"),
        (LmdbOptions::at(&nowhere), "no/such\" above the store"),
        (LmdbOptions::at(&file), "is a file"),
        (LmdbOptions::at(directory.path()), "holds \"file\""),
        (
            LmdbOptions {
                map_bytes: 4096,
                ..LmdbOptions::at(&path)
            },
            "map_bytes is 4096",
        ),
        (
            LmdbOptions {
                max_bytes: Some(1),
                ..LmdbOptions::at(&path)
            },
            "max_bytes is 1",
        ),
        (
            LmdbOptions {
                call_timeout: std::time::Duration::ZERO,
                ..LmdbOptions::at(&path)
            },
            "call_timeout is 0",
        ),
    ]);
    assert!(!path.exists() && !nowhere.exists());
    assert_eq!(fs::read(&file).unwrap(), b"dear diary");
}

#[test]
fn options_are_read_from_settings() {
    let text =
        r#"{"path": "x", "durability": "relaxed", "call_timeout": "90s", "max_bytes": 5000000}"#;
    let options: LmdbOptions = serde_json::from_str(text).unwrap();
    assert_eq!(options.durability, LmdbDurability::Relaxed);
    assert_eq!(
        (options.call_timeout.as_secs(), options.max_bytes),
        (90, Some(5_000_000))
    );
    assert_eq!(options.map_bytes, LmdbOptions::default().map_bytes);
    let error = serde_json::from_str::<LmdbOptions>(r#"{"pth": "x"}"#).unwrap_err();
    assert!(error.to_string().contains("`pth`"), "{error}");
}

/// Changes an environment as another program would.
fn meddle(path: &std::path::Path, database: &str, key: &str, value: &str) {
    #[allow(unsafe_code, reason = "nobody else has it open")]
    // SAFETY: nobody else has it open.
    let env = unsafe { EnvOpenOptions::new().max_dbs(8).open(path) }.unwrap();
    let txn = env.write_txn().unwrap();
    let made = env.create_databases_and_commit(txn, |opener, txn| {
        let database = opener.create_database::<Str, Str>(txn, Some(database))?;
        database.put(txn, key, value)?;
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(database))
    });
    made.unwrap().unwrap_commit();
}

#[test]
fn another_layout_is_refused_and_left_alone() {
    let (_directory, path) = home();
    drop(open(&path));
    meddle(&path, "tlo", "layout", "99");
    let before = fs::read(path.join("data.mdb")).unwrap();
    let (kind, message) = refused(LmdbOptions::at(&path));
    assert_eq!(kind, ErrorKind::Configuration);
    assert!(
        message.contains("layout 99") && message.contains("tlo.lmdb"),
        "{message}"
    );
    assert_eq!(fs::read(path.join("data.mdb")).unwrap(), before);
}

#[test]
fn what_others_have_is_refused_and_left_alone() {
    let (_directory, path) = home();
    fs::create_dir(&path).unwrap();
    meddle(&path, "diary", "monday", "rain");
    let before = fs::read(path.join("data.mdb")).unwrap();
    let (kind, message) = refused(LmdbOptions::at(&path));
    assert_eq!(kind, ErrorKind::Configuration);
    assert!(message.contains("another program"), "{message}");
    assert_eq!(fs::read(path.join("data.mdb")).unwrap(), before);

    fs::write(path.join("data.mdb"), "dear diary, ".repeat(1000)).unwrap();
    let (kind, message) = refused(LmdbOptions::at(&path));
    assert_eq!(kind, ErrorKind::Configuration, "{message}");
    assert!(message.contains("not an LMDB file"), "{message}");
    assert!(
        fs::read(path.join("data.mdb"))
            .unwrap()
            .starts_with(b"dear diary, dear")
    );
}

#[tokio::test]
async fn a_symbolic_link_leads_to_the_same_store() {
    let (directory, path) = home();
    let one = open(&path);
    let link = directory.path().join("link.lmdb");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let two = open(&link);
    one.create(new("a")).await.unwrap();
    assert_eq!(total(&two).await, 1);
    // Both write through one environment, so one handle may go.
    drop(one);
    two.create(new("b")).await.unwrap();
    drop(two);
    assert_eq!(total(&open(&path)).await, 2);
}

#[tokio::test]
async fn a_path_that_is_open_is_shared_only_with_the_same_promises() {
    let (_directory, path) = home();
    let store = open(&path);
    let relaxed = LmdbOptions {
        durability: LmdbDurability::Relaxed,
        ..LmdbOptions::at(&path)
    };
    let (kind, message) = refused(relaxed.clone());
    assert_eq!(kind, ErrorKind::Configuration);
    assert!(message.contains("another durability"), "{message}");
    drop(store);
    drop(open_with(relaxed).unwrap());
}

#[tokio::test]
async fn ids_of_every_length_and_payloads_of_a_megabyte_are_kept() {
    let (_directory, path) = home();
    let store = open(&path);
    let long = "i".repeat(255);
    let mut task = new(&long);
    task.args = Payload::of(&"x".repeat(1_000_000)).unwrap();
    store.create(task.clone()).await.unwrap();
    let leased = lease(&store, 1).await.unwrap();
    assert_eq!((&leased[0].id, &leased[0].args), (&id(&long), &task.args));
    let reference = leased[0].lease.as_ref().unwrap().reference();
    store
        .succeed(&leased[0].id, reference, task.args.clone())
        .await
        .unwrap();
    drop(store);
    let store = open(&path);
    assert_eq!(
        store.read(&id(&long)).await.unwrap().result,
        Some(task.args)
    );
}
