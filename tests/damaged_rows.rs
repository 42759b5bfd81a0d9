//! A row that cannot be read spoils only itself: the queue, upkeep and what takes its place go on.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

mod stores;

use std::sync::Arc;
use std::time::Duration;

use stores::TreeEngine;
use tlo::schedule::Schedule;
use tlo::store::{
    Commit, Guard, Maintain, MarkExpect, NewEvent, Op, Retention, StreamId, TaskFilter,
    TaskStateStore, TaskStateStoreExt,
};
use tlo::task::{NewTask, OnConflict, TaskDef, TaskStatus, Unique, UniqueScope};
use tlo::testing::ManualClock;
use tlo::{
    Clock, ErrorKind, IdSource, PageRequest, Payload, RowStore, TaskId, TaskStateRecord, WorkerId,
};

/// A row of the engine.
type Row = (Vec<u8>, Vec<u8>);

struct Place {
    engine: TreeEngine,
    store: RowStore<TreeEngine>,
    clock: Arc<ManualClock>,
}

fn place() -> Place {
    let engine = stores::Trees::default().engine("here");
    let clock = ManualClock::shared();
    let ids = Arc::new(IdSource::seeded(1));
    let store = RowStore::open(engine.clone(), Arc::clone(&clock) as Arc<dyn Clock>, ids).unwrap();
    Place {
        engine,
        store,
        clock,
    }
}

impl Place {
    /// Damages every row whose key starts so; answers what they were.
    fn damage(&self, prefix: &str) -> Vec<Row> {
        let mut tree = self.engine.tree.write();
        let mut damaged = Vec::new();
        for (key, value) in tree.iter_mut() {
            if key.starts_with(prefix.as_bytes()) {
                damaged.push((key.clone(), std::mem::replace(value, b"{\"".to_vec())));
            }
        }
        assert!(!damaged.is_empty(), "there is no row {prefix}");
        damaged
    }

    fn repair(&self, rows: Vec<Row>) {
        self.engine.tree.write().extend(rows);
    }

    async fn claim(&self) -> tlo::Result<Vec<Arc<TaskStateRecord>>> {
        let worker = WorkerId::new("w#1").unwrap();
        let minute = Duration::from_secs(60);
        self.store
            .lease(&worker, "default", &["greet"], 10, minute)
            .await
    }

    async fn mark(&self, key: &str, expected: MarkExpect, ttl: Option<Duration>) {
        let put = Op::PutMark {
            key: key.into(),
            value: Payload::parse("{}").unwrap(),
            ttl,
        };
        let commit = Commit::of([put]).when(Guard::Mark(key.into(), expected));
        self.store.apply(commit).await.unwrap();
    }

    /// Tasks whose lease has ended.
    async fn expired(&self) -> usize {
        let expired = TaskFilter {
            lease_expired: true,
            ..TaskFilter::default()
        };
        let page = self.store.list(&expired, PageRequest::first(10)).await;
        page.unwrap().items.len()
    }

    async fn upkeep(&self) -> tlo::Result<tlo::store::Maintained> {
        let retention = Retention {
            age: Some(Duration::from_secs(1)),
            count: None,
        };
        let step = Maintain {
            retention,
            limit: 100,
        };
        self.store.maintain(step).await
    }
}

fn new(id: &str) -> NewTask {
    NewTask::new(TaskId::new(id).unwrap(), "greet", Payload::null())
}

#[tokio::test]
async fn a_damaged_rule_does_not_stop_the_queue() {
    let place = place();
    place
        .mark("gate/queue/default", MarkExpect::Absent, None)
        .await;
    place.store.create(new("a")).await.unwrap();
    place.damage("mgate/");
    assert_eq!(place.claim().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_damaged_mark_hides_no_other_and_is_replaced() {
    let place = place();
    let minute = Some(Duration::from_secs(60));
    place.mark("cursor/a", MarkExpect::Absent, minute).await;
    place.mark("cursor/b", MarkExpect::Absent, None).await;
    place.damage("mcursor/a");
    let found = place.store.marks("cursor/", None, 10).await.unwrap();
    assert_eq!(found.len(), 1);
    // It counts as none, so the guard that wants none holds; and it is there from then on.
    place.mark("cursor/a", MarkExpect::Absent, None).await;
    place.clock.advance(Duration::from_secs(120));
    place.upkeep().await.unwrap();
    let found = place.store.marks("cursor/", None, 10).await.unwrap();
    assert_eq!(
        found.len(),
        2,
        "the end of the damaged one took the new one"
    );
}

#[tokio::test]
async fn a_damaged_key_keeps_no_task_from_running_and_ending() {
    for scope in [UniqueScope::WhileQueued, UniqueScope::WhileUnfinished] {
        let place = place();
        let mut keyed = new("keyed");
        keyed.unique = Some(Arc::new(Unique {
            key: "k".into(),
            scope,
            until: None,
        }));
        place.store.create(keyed.clone()).await.unwrap();
        place.store.create(new("other")).await.unwrap();
        place.damage("uk");
        let refused = place.store.create(NewTask {
            id: TaskId::new("again").unwrap(),
            ..keyed.clone()
        });
        assert_eq!(refused.await.unwrap_err().kind(), ErrorKind::Corrupt);
        let claimed = place.claim().await.unwrap();
        assert_eq!(claimed.len(), 2, "{scope:?}");
        let lease = claimed[0].lease.as_ref().unwrap().reference();
        let ended = place
            .store
            .succeed(&claimed[0].id, lease, Payload::null())
            .await;
        assert_eq!(ended.unwrap(), TaskStatus::Succeeded);
        let id = TaskId::new("next").unwrap();
        place.store.create(NewTask { id, ..keyed }).await.unwrap();
    }
}

#[tokio::test]
async fn a_damaged_owner_of_a_key_that_ends_stops_no_upkeep() {
    let place = place();
    let mut keyed = new("keyed");
    keyed.unique = Some(Arc::new(Unique {
        key: "k".into(),
        scope: UniqueScope::For(Duration::from_secs(60)),
        until: None,
    }));
    place.store.create(keyed.clone()).await.unwrap();
    place.damage("uk");
    place.clock.advance(Duration::from_secs(61));
    place.upkeep().await.unwrap();
    let id = TaskId::new("next").unwrap();
    place.store.create(NewTask { id, ..keyed }).await.unwrap();
}

#[tokio::test]
async fn a_damaged_run_does_not_stop_its_schedule() {
    for claimed_first in [false, true] {
        let place = place();
        let mut def = TaskDef::new("greet");
        def.schedule = Some(Schedule::every(Duration::from_secs(60)).unwrap());
        let slot = |minute: u64| {
            let slot = place
                .clock
                .now()
                .saturating_add(Duration::from_secs(60 * minute));
            let mut run = def.occurrence(slot).unwrap();
            run.due = tlo::task::Due::Now;
            run.on_conflict = OnConflict::Fail;
            run
        };
        place.store.create(slot(1)).await.unwrap();
        if claimed_first {
            assert_eq!(place.claim().await.unwrap().len(), 1);
        }
        place.damage("tgreet@");
        // Until it was met, its key is taken; that the record cannot be read is no answer to give.
        let taken = place.store.create(slot(2)).await.unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::Conflict, "{taken}");
        place.clock.advance(Duration::from_secs(120));
        assert!(place.claim().await.unwrap().is_empty());
        place.store.create(slot(3)).await.unwrap();
        assert_eq!(place.claim().await.unwrap().len(), 1, "{claimed_first}");
    }
}

#[tokio::test]
async fn a_damaged_event_keeps_no_record_from_being_removed() {
    let place = place();
    place.store.create(new("a")).await.unwrap();
    let stream = StreamId::new("a", "log").unwrap();
    let event = NewEvent {
        kind: "line".to_owned(),
        key: Some("one".to_owned()),
        data: Payload::null(),
    };
    place.store.append(&stream, vec![event]).await.unwrap();
    place
        .store
        .cancel(&TaskId::new("a").unwrap(), "no")
        .await
        .unwrap();
    place.damage("e");
    place.clock.advance(Duration::from_secs(60));
    assert_eq!(place.upkeep().await.unwrap().removed, 1);
}

#[tokio::test]
async fn what_was_set_aside_is_counted_and_comes_back_when_it_can_be_read_again() {
    for running in [false, true] {
        let place = place();
        for id in ["a", "b"] {
            place.store.create(new(id)).await.unwrap();
        }
        if running {
            assert_eq!(place.claim().await.unwrap().len(), 2);
        }
        let before = place.damage("ta");
        place.clock.advance(Duration::from_secs(60));
        place.claim().await.unwrap();
        assert_eq!(place.upkeep().await.unwrap().unreadable, 1);
        place.repair(before);
        assert_eq!(place.upkeep().await.unwrap().unreadable, 0);
        if running {
            assert_eq!(place.expired().await, 2);
        } else {
            let claimed = place.claim().await.unwrap();
            assert_eq!(claimed.len(), 1);
            assert_eq!(claimed[0].id.as_str(), "a");
        }
    }
}

#[tokio::test]
async fn a_damaged_row_of_the_leases_hides_nothing() {
    let place = place();
    for id in ["a", "b"] {
        place.store.create(new(id)).await.unwrap();
    }
    place.claim().await.unwrap();
    spoil(&place, &["l"]);
    place.clock.advance(Duration::from_secs(60));
    assert_eq!(place.expired().await, 2);
    place.claim().await.unwrap();
    assert_eq!(place.expired().await, 2);
}

#[tokio::test]
async fn a_damaged_last_number_is_not_begun_anew() {
    let place = place();
    place.store.create(new("a")).await.unwrap();
    spoil(&place, &["z"]);
    place.store.create(new("b")).await.unwrap();
    place.store.create(new("c")).await.unwrap();
    // With a number of its own, each is in every index.
    let all = place
        .store
        .list(&TaskFilter::default(), PageRequest::first(10))
        .await
        .unwrap();
    assert_eq!(all.items.len(), 3);
    assert_eq!(place.claim().await.unwrap().len(), 3);
}

#[tokio::test]
async fn an_index_row_that_holds_another_id_hides_no_record() {
    let minute = tlo::task::Due::In(Duration::from_secs(60));
    for (row, due) in [(b'q', tlo::task::Due::Now), (b'd', minute)] {
        for wrong in ["nobody", "b"] {
            let place = place();
            for id in ["a", "b"] {
                let mut new = new(id);
                new.due = due;
                place.store.create(new).await.unwrap();
            }
            for (key, value) in place.engine.tree.write().iter_mut() {
                if key[0] == row && value == b"a" {
                    *value = wrong.as_bytes().to_vec();
                }
            }
            place.clock.advance(Duration::from_secs(60));
            let claimed = place.claim().await.unwrap();
            let ids: Vec<_> = claimed.iter().map(|task| task.id.as_str()).collect();
            assert_eq!(ids, ["a", "b"], "{wrong}");
        }
    }
}

#[tokio::test]
async fn a_damaged_head_of_a_lane_hides_none_of_its_records() {
    let many: Vec<String> = (0..40).map(|n| format!("other-{n}")).collect();
    for row in ["h", "H"] {
        for wrong in [&b""[..], b"gre", b"\xff\xff"] {
            for is_many in [false, true] {
                let place = place();
                place.store.create(new("a")).await.unwrap();
                for (key, value) in place.engine.tree.write().iter_mut() {
                    if key[0] == row.as_bytes()[0] {
                        *value = wrong.to_vec();
                    }
                }
                let mut names = vec!["greet"];
                if is_many {
                    names.extend(many.iter().map(String::as_str));
                }
                let worker = WorkerId::new("w#1").unwrap();
                let minute = Duration::from_secs(60);
                let claimed = place.store.lease(&worker, "default", &names, 10, minute);
                assert_eq!(claimed.await.unwrap().len(), 1, "{row} {wrong:?} {is_many}");
                place.store.create(new("b")).await.unwrap();
                let claimed = place.store.lease(&worker, "default", &names, 10, minute);
                assert_eq!(claimed.await.unwrap().len(), 1, "{row} {wrong:?} {is_many}");
            }
        }
    }
}

#[tokio::test]
async fn a_damaged_row_of_a_list_hides_no_other_and_a_check_says_whose_it_is() {
    let place = place();
    for id in ["a", "b"] {
        place.store.create(new(id)).await.unwrap();
    }
    assert!(place.store.check().await.unwrap().is_empty());
    spoil(&place, &["s\u{0}"]);
    let all = place
        .store
        .list(&TaskFilter::default(), PageRequest::first(10))
        .await
        .unwrap();
    assert_eq!(all.items.len(), 1);
    let wrong = place.store.check().await.unwrap();
    assert!(wrong.len() == 1 && wrong[0].contains("\"a\""), "{wrong:?}");
    assert_eq!(place.claim().await.unwrap().len(), 2);
}

/// Puts what is no text where these rows say which record they lead to.
fn spoil(place: &Place, prefixes: &[&str]) {
    let mut tree = place.engine.tree.write();
    for prefix in prefixes {
        let rows = tree.iter_mut();
        let mut spoilt = rows.filter(|(key, _)| key.starts_with(prefix.as_bytes()));
        let (_, value) = spoilt.next().unwrap();
        *value = vec![0xff];
    }
}

fn gated(id: &str) -> NewTask {
    let mut new = new(id);
    new.gates.push(tlo::task::Gate {
        key: "k".to_owned(),
        limit: 1,
    });
    new
}

#[tokio::test]
async fn a_damaged_index_row_stops_no_claim_and_the_record_is_found_by_its_number() {
    let minute = tlo::task::Due::In(Duration::from_secs(60));
    // With the row by number damaged too, the record is not found, and the others go on.
    for (spoilt, ready) in [("q", true), ("d", false)] {
        for (by_number, found) in [(None, 2), (Some("s\u{0}"), 1)] {
            let place = place();
            for id in ["a", "b"] {
                let mut new = new(id);
                if !ready {
                    new.due = minute;
                }
                place.store.create(new).await.unwrap();
            }
            let rows: Vec<&str> = std::iter::once(spoilt).chain(by_number).collect();
            spoil(&place, &rows);
            place.clock.advance(Duration::from_secs(60));
            let claimed = place.claim().await.unwrap();
            assert_eq!(claimed.len(), found, "{rows:?}");
            assert!(place.claim().await.unwrap().is_empty());
            place.upkeep().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_damaged_row_of_a_gate_stops_neither_claims_nor_what_ends() {
    for (by_number, found) in [(None, "b"), (Some("s\u{0}"), "c")] {
        let place = place();
        for id in ["a", "b", "c"] {
            place.store.create(gated(id)).await.unwrap();
        }
        let holder = place.claim().await.unwrap().remove(0);
        let rows: Vec<&str> = std::iter::once("p").chain(by_number).collect();
        spoil(&place, &rows);
        let lease = holder.lease.as_ref().unwrap().reference();
        let done = place.store.succeed(&holder.id, lease, Payload::null());
        done.await.unwrap();
        let claimed = place.claim().await.unwrap();
        assert_eq!(claimed[0].id.as_str(), found);
    }
}

#[tokio::test]
async fn a_damaged_row_of_what_ended_stops_no_retention() {
    for (by_number, removed) in [(None, 2), (Some("s"), 1)] {
        let place = place();
        for id in ["a", "b"] {
            place.store.create(new(id)).await.unwrap();
            let id = TaskId::new(id).unwrap();
            place.store.cancel(&id, "no").await.unwrap();
        }
        let rows: Vec<&str> = std::iter::once("f").chain(by_number).collect();
        spoil(&place, &rows);
        place.clock.advance(Duration::from_secs(60));
        assert_eq!(place.upkeep().await.unwrap().removed, removed);
        assert!(!place.engine.tree.read().keys().any(|key| key[0] == b'f'));
    }
}
