//! Maps that grow, limits, damage, files taken away: typed errors, and service afterwards.

use tlo::store::kv::{RowEngine, Rows};
use tlo::store::{Maintain, Retention, TaskStateStore, TaskStateStoreExt};
use tlo::{ErrorKind, LmdbOptions, LmdbStore, Payload};

use crate::kit::{home, id, lease, new, open, open_with, total};

async fn upkeep(store: &LmdbStore) -> tlo::Result<()> {
    let request = Maintain {
        retention: Retention::default(),
        limit: 100,
    };
    store.maintain(request).await.map(drop)
}

fn big(task: &str) -> tlo::task::NewTask {
    let mut task = new(task);
    task.args = Payload::of(&"x".repeat(20_000)).unwrap();
    task
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_map_grows_while_others_read_and_write() {
    let (_directory, path) = home();
    let options = LmdbOptions {
        map_bytes: 4 << 20,
        ..LmdbOptions::at(&path)
    };
    let store = std::sync::Arc::new(open_with(options).unwrap());
    let first = store.engine().facts().unwrap().map_bytes;
    let callers: Vec<_> = (0..8)
        .map(|caller| {
            let store = std::sync::Arc::clone(&store);
            tokio::spawn(async move {
                for n in 0..30 {
                    let mut task = new(format!("t{caller}-{n}"));
                    task.args = Payload::of(&"x".repeat(100_000)).unwrap();
                    let args = task.args.clone();
                    store.create(task).await.unwrap();
                    let read = store.read(&id(format!("t{caller}-{n}"))).await.unwrap();
                    assert_eq!(read.args, args);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let facts = store.engine().facts().unwrap();
    assert_eq!(first, 4 << 20);
    assert!(facts.map_bytes >= 32 << 20, "{facts:?}");
    assert_eq!(total(&*store).await, 240);
    assert!(store.check().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_group_of_writes_larger_than_the_map_is_written() {
    let (_directory, path) = home();
    let options = LmdbOptions {
        map_bytes: 4 << 20,
        ..LmdbOptions::at(&path)
    };
    let store = open_with(options).unwrap();
    let large = vec![7; 1 << 20];
    let mut runs = 0;
    store
        .engine()
        .write(&mut |rows: &mut dyn Rows| {
            runs += 1;
            (0..30u8).try_for_each(|n| rows.put(&[b'%', n], &large))
        })
        .unwrap();
    assert!(runs > 1, "it did not fit at first");
    let mut found = 0;
    store
        .engine()
        .read(&mut |rows: &dyn Rows| {
            found = rows.range(b"%", b"&", 100, true)?.len();
            Ok(())
        })
        .unwrap();
    assert_eq!(found, 30);
}

#[tokio::test]
async fn a_full_store_refuses_what_is_new_and_settles_and_deletes() {
    let (_directory, path) = home();
    let options = LmdbOptions {
        map_bytes: 4 << 20,
        max_bytes: Some(8 << 20),
        ..LmdbOptions::at(&path)
    };
    let store = open_with(options).unwrap();
    let mut kept = 0;
    let error = loop {
        match store.create(big(&format!("t{kept:04}"))).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(
        (error.kind(), error.is_retryable()),
        (ErrorKind::Unavailable, true)
    );
    assert!(error.to_string().contains("no room"), "{error}");
    assert!((300..420).contains(&kept), "{kept} of 20 kB in 8 MiB");
    let facts = store.engine().facts().unwrap();
    assert!(facts.row_bytes <= 8 << 20, "{facts:?}");
    assert_eq!(total(&store).await, kept, "the refused one left nothing");
    // Work goes on in the reserve: tasks are taken, end, and go.
    for _ in 0..20 {
        for task in lease(&store, 1).await.unwrap() {
            let reference = task.lease.as_ref().unwrap().reference();
            store
                .succeed(&task.id, reference, Payload::null())
                .await
                .unwrap();
            store.delete(&task.id).await.unwrap();
            kept -= 1;
        }
    }
    upkeep(&store).await.unwrap();
    store.create(big("after")).await.unwrap();
    assert_eq!(total(&store).await, kept + 1);
    assert!(store.check().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_damaged_record_spoils_only_itself() {
    let (_directory, path) = home();
    let store = open(&path);
    for task in ["a", "b", "c"] {
        store.create(new(task)).await.unwrap();
    }
    let damage = &mut |rows: &mut dyn Rows| rows.put(b"tb", b"{");
    store.engine().write(damage).unwrap();
    assert_eq!(
        store.read(&id("b")).await.unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    let leased = lease(&store, 10).await.unwrap();
    let ids: Vec<_> = leased.iter().map(|task| task.id.as_str()).collect();
    assert_eq!(ids, ["a", "c"]);
}

#[tokio::test]
async fn a_write_that_fails_or_panics_changes_nothing() {
    let (_directory, path) = home();
    let store = open(&path);
    store.create(new("a")).await.unwrap();
    let engine = store.engine();
    let failed = engine.write(&mut |rows: &mut dyn Rows| {
        rows.delete(b"ta")?;
        rows.put(&[b'%'; 512], b"a key that is too long")
    });
    let failed = failed.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::TooLarge, "{failed}");
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        engine.write(&mut |rows: &mut dyn Rows| {
            rows.delete(b"ta")?;
            panic!("a fault of the caller")
        })
    }));
    assert!(panicked.is_err());
    let reading = engine.read(&mut |_: &dyn Rows| Err(tlo::Error::invalid("read", "no")));
    assert!(reading.is_err());
    assert_eq!(store.read(&id("a")).await.unwrap().id, id("a"));
    store.create(new("b")).await.unwrap();
    assert_eq!(total(&store).await, 2);
}
