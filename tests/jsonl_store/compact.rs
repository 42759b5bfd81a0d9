//! Compaction: the log stays small, nothing is lost, nobody waits for long.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tlo::store::TaskStateStoreExt;
use tlo::store::kv::{RowEngine, Rows};
use tlo::{JsonlEngine, JsonlOptions, Payload};

use crate::kit::{home, id, new, open, open_with, restless, total, until};

type All = BTreeMap<Vec<u8>, Vec<u8>>;

fn all(engine: &JsonlEngine) -> All {
    let mut found = All::new();
    engine
        .read(&mut |rows: &dyn Rows| {
            found = rows
                .range(b"", b"\xFF", usize::MAX, false)?
                .into_iter()
                .collect();
            Ok(())
        })
        .unwrap();
    found
}

#[tokio::test]
async fn the_log_stays_as_small_as_what_is_in_it() {
    let (_directory, path) = home();
    let store = open(&path);
    let mut largest = 0;
    for n in 0..2_000 {
        let task = id(format!("t{n}"));
        store.create(new(task.as_str())).await.unwrap();
        store.delete(&task).await.unwrap();
        largest = largest.max(store.engine().facts().file_bytes);
    }
    until("a compaction was done", || async {
        store.engine().facts().compactions > 0
    })
    .await;
    let facts = store.engine().facts();
    println!("{} compactions, {largest} bytes at most", facts.compactions);
    let written = 2_000 * 1_000;
    assert!(largest < written / 2, "{largest} of {written}");
    assert_eq!(total(&store).await, 0);
    drop(store);
    assert_eq!(open(&path).engine().facts().rows, facts.rows);
}

#[test]
fn what_is_written_while_the_log_is_compacted_is_kept() {
    let (_directory, path) = home();
    let engine = Arc::new(JsonlEngine::open(restless(&path)).unwrap());
    // Enough rows for many pieces, so that writes fall before, into and behind each.
    let value = vec![b'v'; 2_000];
    engine
        .write(&mut |rows: &mut dyn Rows| {
            (0..2_000u32).try_for_each(|n| rows.put(format!("%{n:05}").as_bytes(), &value))
        })
        .unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..3u64)
        .map(|seed| {
            let (engine, stop) = (Arc::clone(&engine), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                while !stop.load(Ordering::SeqCst) {
                    engine
                        .write(&mut |rows: &mut dyn Rows| {
                            for _ in 0..20 {
                                let key = format!("%{:05}", random.u32(0..2_500));
                                if random.u8(0..4) == 0 {
                                    rows.delete(key.as_bytes())?;
                                } else {
                                    rows.put(key.as_bytes(), &vec![random.u8(..); 2_000])?;
                                }
                            }
                            Ok(())
                        })
                        .unwrap();
                }
            })
        })
        .collect();
    while engine.facts().compactions < 5 {
        std::thread::yield_now();
    }
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.join().unwrap();
    }
    let (before, facts) = (all(&engine), engine.facts());
    assert!(engine.check().unwrap().is_empty());
    drop(engine);
    let again = JsonlEngine::open(JsonlOptions::at(&path)).unwrap();
    assert_eq!(all(&again), before);
    println!(
        "{} compactions beside {} groups, {} rows the same",
        facts.compactions,
        facts.last_group,
        before.len()
    );
    assert_eq!(again.facts().last_group, facts.last_group);
}

#[tokio::test]
async fn what_a_compaction_left_that_did_not_end_is_removed() {
    let (_directory, path) = home();
    let store = open(&path);
    store.create(new("a")).await.unwrap();
    drop(store);
    let log = fs::read(&path).unwrap();
    let next = path.with_extension("jsonl.new");
    // Nothing yet, a part of it, all of it but the last step.
    for left in [&log[..0], &log[..log.len() / 2], &log[..]] {
        fs::write(&next, left).unwrap();
        let store = open(&path);
        assert_eq!(total(&store).await, 1);
        assert!(!next.exists());
        drop(store);
        assert_eq!(fs::read(&path).unwrap(), log);
    }
}

#[tokio::test]
async fn a_store_that_closes_does_not_wait_for_a_compaction_nor_leave_one() {
    let (directory, path) = home();
    for round in 0..20 {
        let store = open(&path);
        for n in 0..20 {
            let mut task = new(format!("t{n}"));
            task.args = Payload::of(&"x".repeat(5_000)).unwrap();
            store.create(task).await.unwrap();
            store.delete(&id(format!("t{n}"))).await.unwrap();
        }
        store.create(new(format!("kept-{round}"))).await.unwrap();
        drop(store);
        assert!(!path.with_extension("jsonl.new").exists());
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    let store = open_with(JsonlOptions::at(&path)).unwrap();
    assert_eq!(total(&store).await, 20);
}
