//! Callers that race on the store in memory: every schedule keeps what the port promises.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

use std::sync::Arc;

use shuttle::future::block_on;

use super::super::scenes::{
    Hands, TTL, all_at_once, alone, clock, create, explore, extend, finds_a_bug, id, reap, request,
    succeed, task,
};
use super::super::sync::turn;
use crate::MemoryStore;
use crate::id::IdSource;
use crate::payload::Payload;
use crate::store::{
    Commit, Committed, Effect, Guard, Hint, HintStream, MarkExpect, NewEvent, Op, Refusal,
    StreamId, TaskStateStore,
};
use crate::task::{TaskStateRecord, TaskStatus, Unique, UniqueScope};

type Store = Arc<MemoryStore>;

fn store() -> (Arc<Hands>, Store) {
    let (hands, clock) = clock();
    let ids = Arc::new(IdSource::seeded(1));
    (hands, Arc::new(MemoryStore::new(clock, ids)))
}

fn commit(store: &Store, commit: Commit) -> Committed {
    block_on(store.commit(vec![commit])).unwrap().remove(0)
}

fn claim(store: &Store, worker: &str, limit: usize) -> Vec<Arc<TaskStateRecord>> {
    block_on(store.claim(request(worker, limit))).unwrap().tasks
}

fn read(store: &Store, task: &str) -> TaskStateRecord {
    let mut found = block_on(store.get(&[id(task)])).unwrap();
    found.remove(0).unwrap()
}

fn boxed<T>(run: impl FnOnce() -> T + Send + 'static) -> Box<dyn FnOnce() -> T + Send> {
    Box::new(run)
}

/// A new listener; another may come between it and what its caller did before.
fn listen(store: &Store) -> HintStream {
    turn();
    store.hints()
}

/// A store with one task, leased.
fn leased() -> (Arc<Hands>, Store, Arc<TaskStateRecord>) {
    let (hands, store) = store();
    commit(&store, create(task("a"))).unwrap();
    let record = claim(&store, "w", 1).remove(0);
    (hands, store, record)
}

#[test]
fn each_task_is_claimed_once_and_no_gate_has_more_holders_than_its_limit() {
    explore("claims behind a gate", || {
        let (_, store) = store();
        for name in ["a", "b", "c"] {
            commit(&store, create(alone(name, "k"))).unwrap();
        }
        let ran = all_at_once(
            (0..3)
                .map(|n| {
                    let store = store.clone();
                    boxed(move || {
                        let mut ran = Vec::new();
                        for _ in 0..2 {
                            let claimed = claim(&store, &format!("w{n}"), 2);
                            assert!(claimed.len() <= 1, "two behind a gate of limit 1");
                            for record in claimed {
                                // Nobody else runs while this one holds the place.
                                for other in ["a", "b", "c"].map(|name| read(&store, name)) {
                                    let runs = other.status == TaskStatus::Running;
                                    assert_eq!(runs, other.id == record.id);
                                }
                                commit(&store, succeed(&record)).unwrap();
                                ran.push(record.id.clone());
                            }
                        }
                        ran
                    })
                })
                .collect(),
        );
        let mut ran: Vec<_> = ran.into_iter().flatten().collect();
        // What was not claimed in the race is there to be claimed after it, one at a time.
        while let [record] = &claim(&store, "last", 2)[..] {
            commit(&store, succeed(record)).unwrap();
            ran.push(record.id.clone());
        }
        ran.sort();
        assert_eq!(ran, ["a", "b", "c"].map(id));
    });
}

#[test]
fn a_key_has_one_owner_and_an_id_one_record() {
    explore("one key, one id", || {
        let (_, store) = store();
        let answers = all_at_once(
            ["a", "b", "b"]
                .map(|name| {
                    let store = store.clone();
                    boxed(move || {
                        let mut new = task(name);
                        let (key, scope, until) = ("k".into(), UniqueScope::WhileUnfinished, None);
                        new.unique = Some(Arc::new(Unique { key, scope, until }));
                        commit(&store, create(new)).unwrap()
                    })
                })
                .into(),
        );
        let made = answers
            .iter()
            .filter(|effects| matches!(effects[..], [Effect::Created { .. }]));
        assert_eq!(made.count(), 1);
        let owner = claim(&store, "w", 3).remove(0).id.clone();
        for effects in &answers {
            match &effects[..] {
                [Effect::Existing { id, .. }] => assert_eq!(*id, owner),
                [Effect::Created { .. }] => {}
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn of_a_settle_a_heartbeat_a_reaper_and_a_cancel_each_order_has_one_outcome() {
    explore("settle, heartbeat, reaper, cancel", || {
        let (hands, store, record) = leased();
        hands.advance(TTL);
        let cancel = Commit::of([Op::Cancel(id("a"), "enough".to_owned())]);
        let writes = [succeed(&record), extend(&record), reap(&record), cancel];
        let answers = all_at_once(
            writes
                .map(|write| {
                    let store = store.clone();
                    boxed(move || commit(&store, write))
                })
                .into(),
        );
        let [settled, extended, reaped, cancelled] = &answers[..] else {
            panic!()
        };
        let now = read(&store, "a");
        assert!(
            !(settled.is_ok() && reaped.is_ok()),
            "ended twice: {answers:?}"
        );
        if settled.is_ok() {
            assert_eq!(now.status, TaskStatus::Succeeded);
            assert!(matches!(
                reaped,
                Err(Refusal::LeaseLost(_) | Refusal::NotExpired(_))
            ));
        } else {
            assert_eq!(settled, &Err(Refusal::LeaseLost(id("a"))));
            assert!(reaped.is_ok(), "{answers:?}");
            assert_eq!(now.lost, 1);
            assert!(now.status != TaskStatus::Running && now.lease.is_none());
        }
        // The heartbeat that came before the reaper kept the lease.
        if matches!(reaped, Err(Refusal::NotExpired(_))) {
            assert!(extended.is_ok() && settled.is_ok(), "{answers:?}");
        }
        // Who asked to cancel was heard, or came after the end, or was told that it waited and is cancelled now.
        match cancelled {
            Ok(effects) if effects[..] == [Effect::CancelRequested] => {
                assert!(now.status.is_terminal(), "{now:?}");
            }
            Ok(_) => assert_eq!(now.status, TaskStatus::Cancelled),
            Err(_) => assert_eq!(now.status, TaskStatus::Succeeded),
        }
    });
}

/// Waits for work as a worker does: looks, and sleeps until a hint says to look again.
fn work(store: &Store, mut hints: HintStream, wanted: usize) {
    let mut done = 0;
    while done < wanted {
        let claimed = claim(store, "w", 1);
        for record in &claimed {
            commit(store, succeed(record)).unwrap();
        }
        done += claimed.len();
        if claimed.is_empty() {
            block_on(hints.next()).expect("the store is there");
        }
    }
}

#[test]
fn a_worker_that_waits_for_hints_misses_no_task() {
    explore("hints of new tasks and of gates", || {
        let (_, store) = store();
        let hints = listen(&store).without_ends();
        let worker = {
            let store = store.clone();
            boxed(move || work(&store, hints, 3))
        };
        let submitter = {
            let store = store.clone();
            boxed(move || {
                for name in ["a", "b"] {
                    commit(&store, create(alone(name, "k"))).unwrap();
                }
            })
        };
        let other = {
            let store = store.clone();
            boxed(move || {
                commit(&store, create(alone("c", "k"))).unwrap();
            })
        };
        all_at_once(vec![worker, submitter, other]);
        assert!(claim(&store, "w", 1).is_empty());
    });
}

#[test]
fn what_waits_behind_a_gate_comes_back_whoever_comes_first() {
    explore("a gate that opens while another is parked", || {
        let (_, store) = store();
        commit(&store, create(alone("first", "k"))).unwrap();
        let first = claim(&store, "w", 1).remove(0);
        commit(&store, create(alone("second", "k"))).unwrap();
        let hints = listen(&store).without_ends();
        let opener = {
            let store = store.clone();
            boxed(move || drop(commit(&store, succeed(&first)).unwrap()))
        };
        let (waiter, other) = (store.clone(), store.clone());
        all_at_once(vec![
            opener,
            boxed(move || work(&waiter, hints, 1)),
            boxed(move || {
                let rule = Op::PutMark {
                    key: "gate/k".into(),
                    value: Payload::parse(r#"{"paused": true}"#).unwrap(),
                    ttl: None,
                };
                commit(&other, Commit::of([rule])).unwrap();
                commit(&other, Commit::of([Op::DropMark("gate/k".into())])).unwrap();
            }),
        ]);
        assert_eq!(read(&store, "second").status, TaskStatus::Succeeded);
    });
}

/// Waits for the end of a task as its submitter does.
fn wait_for_end(store: &Store, subscribes_first: bool) {
    let early = subscribes_first.then(|| listen(store));
    let ended = read(store, "a").status.is_terminal();
    let mut hints = early.unwrap_or_else(|| listen(store));
    if !ended {
        while !matches!(block_on(hints.next()), Some(Hint::Finished(_))) {}
    }
    assert!(read(store, "a").status.is_terminal());
}

fn waiter_and_settler(subscribes_first: bool) {
    let (_, store, record) = leased();
    let waiter = store.clone();
    all_at_once(vec![
        boxed(move || wait_for_end(&waiter, subscribes_first)),
        boxed(move || drop(commit(&store, succeed(&record)).unwrap())),
    ]);
}

#[test]
fn who_subscribes_and_then_looks_hears_of_the_end() {
    explore("waiting for an end", || waiter_and_settler(true));
}

#[test]
fn marks_and_streams_lose_no_write() {
    explore("marks and streams", || {
        let (_, store) = store();
        let won = all_at_once(
            (0..3)
                .map(|n| {
                    let store = store.clone();
                    boxed(move || {
                        let (key, ttl) = (Arc::from("m"), None);
                        let value = Payload::parse(n.to_string()).unwrap();
                        let stream = StreamId::new("s", "log").unwrap();
                        let (kind, data) = ("e".to_owned(), value.clone());
                        // The same event from all, and one of its own.
                        let events = ["same".to_owned(), format!("own{n}")].map(|key| NewEvent {
                            kind: kind.clone(),
                            key: Some(key),
                            data: data.clone(),
                        });
                        commit(&store, Commit::of([Op::Append(stream, events.into())])).unwrap();
                        let put = Op::PutMark {
                            key: Arc::clone(&key),
                            value,
                            ttl,
                        };
                        let absent = Guard::Mark(key, MarkExpect::Absent);
                        commit(&store, Commit::of([put]).when(absent)).is_ok()
                    })
                })
                .collect(),
        );
        assert_eq!(won.iter().filter(|won| **won).count(), 1);
        let stream = StreamId::new("s", "log").unwrap();
        let events = block_on(store.events(&stream, 1, 10)).unwrap();
        let numbers: Vec<_> = events.iter().map(|event| event.number).collect();
        assert_eq!(numbers, [1, 2, 3, 4]);
    });
}

#[test]
fn the_schedules_find_a_waiter_that_looks_before_it_subscribes() {
    assert!(finds_a_bug("looks before it subscribes", || {
        waiter_and_settler(false);
    }));
}

#[test]
fn the_schedules_find_a_key_that_is_looked_up_before_the_write() {
    assert!(finds_a_bug("looks a key up before the write", || {
        let (_, store) = store();
        let callers = ["a", "b"].map(|name| {
            let store = store.clone();
            boxed(move || {
                let taken = ["a", "b"].iter().any(|other| {
                    let found = block_on(store.get(&[id(other)])).unwrap();
                    found[0].is_some()
                });
                if !taken {
                    commit(&store, create(task(name))).unwrap();
                }
            })
        });
        all_at_once(callers.into());
        assert_eq!(claim(&store, "w", 2).len(), 1);
    }));
}
