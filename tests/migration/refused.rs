//! What a migration refuses, and what it goes on with.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tlo::migration::{Migration, Step};
use tlo::store::{Commit, Op, SharedStore, TaskStateStoreExt};
use tlo::task::{NewTask, Unique, UniqueScope};
use tlo::testing::conformance::StoreFactory;
use tlo::testing::{Fault, ManualClock, ProbeStore, Verb};
use tlo::{
    Clock, ErrorKind, IdSource, MemoryStore, Payload, Steady, TaskId, Timestamp, WorkerId, secs,
};

use crate::files::Files;
use crate::population::Population;
use crate::{memory, open, records, seed};

fn between(from: &SharedStore, to: &SharedStore) -> Migration {
    Migration::between(Arc::clone(from), Arc::clone(to)).named("the old store", "the new store")
}

async fn refused(from: &SharedStore, to: &SharedStore, parts: &[&str]) {
    for error in [
        between(from, to).run().await.map(drop).unwrap_err(),
        between(from, to).look().await.map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        for part in parts {
            assert!(
                error.to_string().contains(part),
                "{part:?} is not in: {error}"
            );
        }
    }
}

async fn add(store: &SharedStore, id: &str) {
    let new = NewTask::new(TaskId::new(id).unwrap(), "work", Payload::null());
    store.create(new).await.unwrap();
}

#[tokio::test]
async fn a_store_that_is_used_is_not_copied_and_one_that_holds_something_is_not_filled() {
    let (from, to) = (memory(), memory());
    add(&from, "a").await;
    let worker = WorkerId::new("w 7").unwrap();
    let leased = from
        .lease(&worker, "default", &["work"], 1, secs(30))
        .await
        .unwrap();
    refused(
        &from,
        &to,
        &["not at rest", "1 task is", "\"a\" by \"w 7\" until"],
    )
    .await;
    let lease = leased[0].lease.as_ref().unwrap().reference();
    from.succeed(&leased[0].id, lease, Payload::null())
        .await
        .unwrap();

    let lives = r#"{"pid":17,"version":"0","queues":[],"names":[],"concurrency":1}"#;
    let lives = Payload::parse(lives).unwrap();
    from.put_mark("worker/w 8", lives.clone(), None, Some(secs(90)))
        .await
        .unwrap();
    refused(
        &from,
        &to,
        &["not at rest", "\"w 8\" (process 17)", "until"],
    )
    .await;
    let gone = Commit::of([Op::DropMark("worker/w 8".into())]);
    from.apply(gone).await.unwrap();

    add(&to, "other").await;
    refused(&from, &to, &["the new store is not empty", "1 task that"]).await;
    let to = memory();
    to.put_mark("cursor/n", Payload::null(), None, None)
        .await
        .unwrap();
    refused(&from, &to, &["not empty", "the mark \"cursor/n\""]).await;
    // A store is not copied to itself, also when it is empty.
    for one in [&from, &memory()] {
        let error = between(one, one).run().await.map(drop).unwrap_err();
        assert!(error.to_string().contains("are the same store"), "{error}");
        assert!(one.marks("", None, 1).await.unwrap().is_empty());
    }

    let to = memory();
    between(&from, &to).run().await.unwrap();
    assert_eq!(records(&to).await.len(), 1);
    // It is done: who did not hear of it may ask again, until one of the two is used.
    let again = between(&from, &to).run().await.unwrap();
    assert!(again.agrees() && again.resumed);
    to.delete(&TaskId::new("a").unwrap()).await.unwrap();
    add(&to, "other").await;
    let error = between(&from, &to).run().await.map(drop).unwrap_err();
    assert!(error.to_string().contains("not empty"), "{error}");
    assert!(to.marks("", None, 1).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_store_that_fails_at_any_call_is_gone_on_with() {
    let seed = seed();
    println!("TLO_SEED={seed}");
    let from = memory();
    Population::fill(&from, seed, 120).await;
    let wanted = records(&from).await;
    let (inner, mut runs, mut resumed) = (memory(), 0, 0);
    loop {
        let probe = ProbeStore::around(Arc::clone(&inner));
        // Later with each run, before the effect of a call and after it.
        let mut fault = Fault::fail(Verb::Any).call(2 + runs);
        if runs % 2 == 1 {
            fault = fault.after_effect();
        }
        probe.plan(fault);
        let to: SharedStore = probe;
        runs += 1;
        assert!(runs < 5_000, "it never came to its end");
        match between(&from, &to).run().await {
            Ok(report) => {
                assert!(report.agrees(), "{report:?}");
                resumed += u64::from(report.resumed);
                break;
            }
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
    }
    println!("{runs} runs, of which each but the last failed at another call");
    assert!(runs > 5 && resumed == 1);
    assert_eq!(records(&inner).await, wanted);
    assert!(inner.marks("migration", None, 1).await.unwrap().is_empty());
}

/// A migration that was stopped after its first page.
async fn unfinished(from: &SharedStore) -> SharedStore {
    let inner = memory();
    let probe = ProbeStore::around(Arc::clone(&inner));
    probe.plan(Fault::fail(Verb::Commit).call(9).times(u64::MAX));
    let to: SharedStore = probe;
    between(from, &to).run().await.map(drop).unwrap_err();
    assert!(!records(&inner).await.is_empty());
    inner
}

#[tokio::test]
async fn what_an_unfinished_copy_is_of_is_known() {
    let from = memory();
    for n in 0..1_000 {
        add(&from, &format!("t{n:04}")).await;
    }
    let to = unfinished(&from).await;
    let other = memory();
    let wrong = Migration::between(Arc::clone(&other), Arc::clone(&to))
        .named("another store", "the new store");
    let error = wrong.run().await.map(drop).unwrap_err();
    let said = "holds an unfinished migration from the old store, not from another store";
    assert!(error.to_string().contains(said), "{error}");
    // It is no source before it is finished.
    refused(
        &to,
        &other,
        &["holds an unfinished migration from the old store"],
    )
    .await;

    // The source was used meanwhile: what is new comes along, and what is not the same any more is said.
    add(&from, "new").await;
    let report = between(&from, &to).run().await.unwrap();
    assert!(report.resumed && report.agrees());
    assert_eq!(report.to.records, 1_001);

    let to = unfinished(&from).await;
    from.cancel(&TaskId::new("t0001").unwrap(), "enough")
        .await
        .unwrap();
    let report = between(&from, &to).run().await.unwrap();
    assert!(!report.agrees());
    assert_eq!(report.differences.differ, ["t0001"]);
    let error = between(&from, &to).run().await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(
        error
            .to_string()
            .contains("the task \"t0001\" is in the new store and no longer as it is"),
        "{error}"
    );

    // One that is gone from the source is told as well.
    let to = unfinished(&from).await;
    from.delete(&TaskId::new("t0002").unwrap()).await.unwrap();
    let report = between(&from, &to).run().await.unwrap();
    assert_eq!(report.differences.extra, ["t0002"]);
    assert!(!report.agrees());
}

#[tokio::test]
async fn of_two_that_copy_into_one_store_one_goes_on() {
    let from = memory();
    for n in 0..1_000 {
        add(&from, &format!("t{n:04}")).await;
    }
    let to = memory();
    let second = std::sync::Mutex::new(Some((Arc::clone(&from), Arc::clone(&to))));
    // The other one is begun, and comes to its end, while the first is in the middle of its work.
    let first = between(&from, &to).watch(move |_| {
        let Some((from, to)) = second.lock().unwrap().take() else {
            return;
        };
        let other = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            runtime.block_on(between(&from, &to).run()).unwrap()
        });
        let report = other.join().unwrap();
        assert!(report.resumed && report.agrees(), "{report:?}");
    });
    let error = first.run().await.map(drop).unwrap_err();
    let said = error.to_string();
    assert!(
        said.contains("another process copies into the new store"),
        "{said}"
    );
    assert_eq!(records(&to).await, records(&from).await);
}

#[tokio::test]
async fn who_was_stopped_and_wakes_later_puts_nothing_back() {
    let from = memory();
    for n in 0..600 {
        let id = TaskId::new(format!("t{n:04}")).unwrap();
        let mut new = NewTask::new(id, "work", Payload::null());
        new.unique = Some(Arc::new(Unique {
            key: format!("key {n}").into(),
            scope: UniqueScope::WhileUnfinished,
            until: None,
        }));
        from.create(new).await.unwrap();
    }
    let to = memory();
    let finished = std::sync::Mutex::new(Some((Arc::clone(&from), Arc::clone(&to))));
    // Stopped after its first page of keys; another one finishes, and the target is used: it gives its keys up.
    let first = between(&from, &to).watch(move |step| {
        if !matches!(step, Step::Holdings(_)) {
            return;
        }
        let Some((from, to)) = finished.lock().unwrap().take() else {
            return;
        };
        let other = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            runtime.block_on(async move {
                assert!(between(&from, &to).run().await.unwrap().agrees());
                for n in 0..600 {
                    let id = TaskId::new(format!("t{n:04}")).unwrap();
                    to.delete(&id).await.unwrap();
                }
            });
        });
        other.join().unwrap();
    });
    let error = first.run().await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(
        error.to_string().contains("another process copies"),
        "{error}"
    );
    let held = to.holdings(None, 1_000).await.unwrap();
    assert!(held.items.is_empty(), "{:?}", held.items);
}

/// Each look at it finds it a while later.
#[derive(Debug)]
struct Walking(Arc<ManualClock>);

#[async_trait::async_trait]
impl Clock for Walking {
    fn now(&self) -> Timestamp {
        self.0.advance(Duration::from_millis(200));
        self.0.now()
    }

    fn steady(&self) -> Steady {
        self.0.steady()
    }

    async fn sleep(&self, duration: Duration) {
        self.0.sleep(duration).await;
    }
}

#[tokio::test]
async fn what_ends_while_both_sides_are_read_keeps_nobody_from_agreeing() {
    let clock: Arc<dyn Clock> = Arc::new(Walking(ManualClock::shared()));
    let store = || -> SharedStore {
        Arc::new(MemoryStore::new(
            Arc::clone(&clock),
            Arc::new(IdSource::random()),
        ))
    };
    let (from, to) = (store(), store());
    // One that ends every two seconds of a day's first hours, whenever the two are read.
    for n in 1..=3_000 {
        from.put_mark(
            &format!("many/{n}"),
            Payload::null(),
            None,
            Some(secs(600 + 2 * n)),
        )
        .await
        .unwrap();
    }
    let report = between(&from, &to)
        .clock(Arc::clone(&clock))
        .run()
        .await
        .unwrap();
    assert!(report.agrees(), "{report:?}");
    assert!((1..3_000).contains(&report.to.marks), "{report:?}");
}

#[tokio::test]
async fn what_cannot_be_read_is_told_and_all_else_is_moved_to_the_end() {
    let files = Files(TempDir::new().unwrap());
    let (from, to) = (open(&files, "damaged").await, memory());
    for id in ["a", "b", "c"] {
        add(&from, id).await;
    }
    files
        .corrupt("damaged", &TaskId::new("b").unwrap())
        .await
        .unwrap();
    let report = between(&from, &to).run().await.unwrap();
    assert!(!report.agrees() && report.from == report.to, "{report:?}");
    assert!(
        report.unreadable.iter().any(|row| row.contains('b')),
        "{report:?}"
    );
    assert_eq!(records(&to).await.len(), 2);
    // It is finished: the target can be used.
    assert!(to.marks("migration", None, 1).await.unwrap().is_empty());
}
