//! The checker finds what is planted, and nothing where nothing is.

use std::sync::Arc;
use std::time::Duration;

use tlo::prelude::*;
use tlo::store::{TaskStateStore, TaskStateStoreExt};
use tlo::task::{Attempt, AttemptEnd, Gate, NewTask, Unique, UniqueScope};
use tlo::{IdSource, SqliteOptions, SqliteStore, SystemClock, TaskId, TaskStateRecord, WorkerId};

use crate::book::Book;
use crate::checker::{Filed, Wrong, check, recoveries};
use crate::journal::{Line, Note, UnderLease};
use crate::leftovers;
use crate::orders::{AT_MOST_ONCE, Answer, Args, SCHEDULES, value_of};

const SECOND: u64 = 1_000_000;

fn id(text: &str) -> TaskId {
    TaskId::new(text).unwrap()
}

fn trying(ids: Vec<TaskId>, name: &str) -> Note {
    let name = name.to_owned();
    Note::Trying { ids, name }
}

fn at(micros: u64) -> Timestamp {
    Timestamp::from_micros(i64::try_from(micros).unwrap())
}

/// A book and a file that agree.
#[derive(Default)]
struct Scene {
    book: Book,
    filed: Filed,
}

impl Scene {
    fn note(&mut self, who: u32, at: u64, what: Note) {
        self.book.enter(&Line { who, at, what });
    }

    fn submitted(&mut self, task: &str, change: impl FnOnce(&mut NewTask)) {
        let args = Args {
            n: 7,
            user: 1,
            millis: 5,
        };
        let mut new = NewTask::new(id(task), "plain", Payload::of(&args).unwrap());
        change(&mut new);
        let name = if new.max_lost == 0 {
            AT_MOST_ONCE
        } else {
            "plain"
        };
        if new.schedule.is_none() {
            self.note(1, 0, trying(vec![id(task)], name));
            self.note(1, 0, Note::Acknowledged { id: id(task) });
        }
        let seq = self.filed.records.len() as u64;
        let record = TaskStateRecord::create(new, at(seq), seq);
        self.filed.records.push(record);
    }

    fn record(&mut self, task: &str) -> &mut TaskStateRecord {
        let records = &mut self.filed.records;
        records
            .iter_mut()
            .find(|record| record.id == id(task))
            .unwrap()
    }

    /// A lease of one second that starts at once; what comes of it differs.
    fn leased(&mut self, task: &str, who: u32, granted: u64) -> u64 {
        let record = self.record(task);
        record.leases += 1;
        record.fence += 1;
        record.attempt += 1;
        let (attempt, fence) = (record.attempt, record.fence);
        let (task, until) = (id(task), granted + SECOND);
        self.note(
            who,
            granted,
            Note::Claimed {
                id: task.clone(),
                attempt,
                fence,
                granted,
                until,
            },
        );
        self.note(who, granted, Note::Started { id: task, fence });
        fence
    }

    fn entered(&mut self, task: &str, outcome: AttemptEnd, end: u64) {
        let record = self.record(task);
        record.attempts.push(Attempt {
            attempt: record.attempt,
            worker: WorkerId::new("w#1").unwrap(),
            started_at: at(0),
            finished_at: at(end),
            outcome,
            error: None,
        });
    }

    fn answered(&mut self, task: &str, who: u32, fence: u64, end: u64, status: TaskStatus) {
        let value = (status == TaskStatus::Succeeded).then(|| value_of(7));
        let task = id(task);
        self.note(
            who,
            end,
            Note::Ended {
                id: task.clone(),
                fence,
                value,
            },
        );
        self.note(
            who,
            end + 1,
            Note::Settled {
                id: task,
                fence,
                status,
            },
        );
    }

    fn succeeded(&mut self, task: &str, who: u32, fence: u64, end: u64) {
        self.answered(task, who, fence, end, TaskStatus::Succeeded);
        self.entered(task, AttemptEnd::Succeeded, end);
        let record = self.record(task);
        record.status = TaskStatus::Succeeded;
        record.finished_at = Some(at(end));
        let value = value_of(7);
        record.result = Some(Payload::of(&Answer { value, fence }).unwrap());
    }

    fn lost(&mut self, task: &str, end: u64) {
        self.entered(task, AttemptEnd::Lost, end);
        self.record(task).lost += 1;
    }

    fn found(&self) -> Vec<Wrong> {
        let mut found: Vec<_> = check(&self.book, &self.filed)
            .into_iter()
            .map(|violation| violation.what)
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

fn in_gate(new: &mut NewTask) {
    new.gates = vec![Gate {
        key: "keyed:1".to_owned(),
        limit: 1,
    }];
}

fn with_key(new: &mut NewTask) {
    let unique = Unique {
        key: "key/1".into(),
        scope: UniqueScope::WhileUnfinished,
        until: None,
    };
    new.unique = Some(Arc::new(unique));
}

/// One task of each sort, each with a life as it should be.
fn sound() -> Scene {
    let mut scene = Scene::default();
    scene.submitted("plain", |_| {});
    let fence = scene.leased("plain", 2, 0);
    scene.succeeded("plain", 2, fence, 50);

    // Its first worker was killed; the second got it when the lease was over.
    scene.submitted("lost", |_| {});
    scene.leased("lost", 2, 100);
    scene.note(0, 200, Note::Killing { who: 2, wall: 200 });
    scene.lost("lost", SECOND + 200);
    let fence = scene.leased("lost", 3, SECOND + 300);
    scene.succeeded("lost", 3, fence, SECOND + 400);

    scene.submitted("flaky", |_| {});
    let fence = scene.leased("flaky", 3, 0);
    scene.answered("flaky", 3, fence, 50, TaskStatus::Pending);
    scene.entered("flaky", AttemptEnd::Failed, 51);
    let fence = scene.leased("flaky", 3, 60);
    scene.succeeded("flaky", 3, fence, 80);

    // One after the other through a gate.
    for (task, granted) in [("gated-1", 0), ("gated-2", 40)] {
        scene.submitted(task, in_gate);
        let fence = scene.leased(task, 3, granted);
        scene.succeeded(task, 3, fence, granted + 30);
    }
    // One after the other with a key.
    for (task, created) in [("keyed-1", 0), ("keyed-2", 40)] {
        scene.submitted(task, with_key);
        scene.record(task).created_at = at(created);
        let fence = scene.leased(task, 3, created);
        scene.succeeded(task, 3, fence, created + 30);
    }
    scene.submitted("once", |new| new.max_lost = 0);
    scene.leased("once", 4, 0);
    scene.lost("once", SECOND);
    scene.record("once").status = TaskStatus::Failed;

    let (name, period) = SCHEDULES[0];
    for turn in 0..3 {
        let slot = at(u64::try_from(period.as_micros()).unwrap() * turn);
        let task = format!("{name}@{turn}");
        scene.submitted(&task, |new| {
            new.schedule = Some(name.into());
            new.slot = Some(slot);
        });
        let fence = scene.leased(&task, 3, 0);
        scene.succeeded(&task, 3, fence, 30);
    }
    scene
}

/// What is found when this is done to what is sound.
#[track_caller]
fn finds(expected: &[Wrong], plant: impl FnOnce(&mut Scene)) {
    let mut scene = sound();
    plant(&mut scene);
    assert_eq!(scene.found(), expected);
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    let scene = sound();
    assert_eq!(check(&scene.book, &scene.filed), []);
    let took = recoveries(&scene.book, &scene.filed.records);
    assert_eq!(took, [Duration::from_secs(1)]);
    assert_eq!(scene.book.run_again(), 0);
}

#[test]
fn what_is_lost_is_found() {
    finds(&[Wrong::Lost], |scene| {
        scene
            .filed
            .records
            .retain(|record| record.id != id("plain"));
    });
    finds(&[Wrong::Lost], |scene| {
        scene.record("plain").status = TaskStatus::Pending;
    });
    // One that ran may have been removed, where tasks are removed; one that did not may not.
    for ended in ["plain", "once"] {
        finds(&[], |scene| {
            scene.filed.is_thinned = true;
            scene.filed.records.retain(|record| record.id != id(ended));
        });
    }
    finds(&[Wrong::Lost], |scene| {
        scene.filed.is_thinned = true;
        scene.submitted("gone", |_| {});
        scene.leased("gone", 3, 0);
        scene.filed.records.retain(|record| record.id != id("gone"));
    });
    finds(&[Wrong::Lost], |scene| {
        scene.filed.is_thinned = true;
        scene.note(1, 0, trying(vec![id("gone")], "plain"));
        scene.note(1, 0, Note::Acknowledged { id: id("gone") });
    });
    finds(&[Wrong::Failed], |scene| {
        scene.record("plain").status = TaskStatus::Failed;
    });
    finds(&[Wrong::HalfBatch], |scene| {
        let ids = vec![id("plain"), id("never")];
        scene.note(1, 0, trying(ids, "plain"));
    });
    finds(&[Wrong::Unknown], |scene| {
        scene.book.tried.retain(|ids| *ids != [id("plain")]);
    });
}

#[test]
fn whoever_has_a_task_too_early_is_found() {
    finds(&[Wrong::Overlap], |scene| {
        let leases = scene.book.leases.get_mut(&id("lost")).unwrap();
        leases.get_mut(&2).unwrap().granted = SECOND;
    });
    // The holder had extended it in time.
    finds(&[Wrong::Overlap], |scene| {
        let until = SECOND * 2;
        let task = id("lost");
        scene.note(
            2,
            900,
            Note::Extended {
                id: task,
                fence: 1,
                until,
            },
        );
    });
    finds(&[Wrong::Overlap], |scene| {
        let leases = scene.book.leases.get_mut(&id("flaky")).unwrap();
        leases.get_mut(&2).unwrap().granted = 49;
    });
    finds(&[Wrong::GatePassed], |scene| {
        let leases = scene.book.leases.get_mut(&id("gated-2")).unwrap();
        leases.get_mut(&1).unwrap().granted = 29;
    });
    finds(&[Wrong::DuplicateKey], |scene| {
        scene.record("keyed-2").created_at = at(29);
    });
}

#[test]
fn what_a_stale_run_wrote_is_found() {
    // The killed one was heard after all, and the record is its.
    finds(&[Wrong::StaleSettle, Wrong::TwoEnds], |scene| {
        scene.answered("lost", 2, 1, 150, TaskStatus::Succeeded);
        let value = value_of(7);
        let result = Payload::of(&Answer { value, fence: 1 }).unwrap();
        scene.record("lost").result = Some(result);
    });
    finds(&[Wrong::FalseResult], |scene| {
        let result = Payload::of(&Answer { value: 1, fence: 1 }).unwrap();
        scene.record("plain").result = Some(result);
    });
    finds(&[Wrong::FalseResult], |scene| {
        scene.record("plain").result = None;
    });
    finds(&[Wrong::History], |scene| {
        let record = scene.record("flaky");
        record.attempts[1].attempt = 1;
    });
    finds(&[Wrong::TwoEnds], |scene| {
        scene.note(
            3,
            90,
            Note::Refused {
                id: id("flaky"),
                fence: 1,
                write: UnderLease::Settle,
                why: String::new(),
            },
        );
    });
}

#[test]
fn too_many_runs_are_found() {
    finds(&[Wrong::OverLimit], |scene| {
        let fence = scene.leased("once", 3, SECOND * 2);
        assert_eq!(fence, 2);
    });
    finds(&[Wrong::OverLimit], |scene| scene.record("lost").lost = 6);
    finds(&[Wrong::OverLimit], |scene| {
        scene.record("flaky").leases = 1;
    });
}

#[test]
fn slots_that_are_doubled_or_missing_are_found() {
    let (name, _) = SCHEDULES[0];
    finds(&[Wrong::MissingSlot], |scene| {
        scene
            .filed
            .records
            .retain(|record| *record.id.as_str() != format!("{name}@1"));
    });
    finds(&[Wrong::DuplicateSlot], |scene| {
        let slot = scene.record(&format!("{name}@0")).slot;
        let twin = format!("{name}@2");
        scene.record(&twin).slot = slot;
        let last = scene.record(&format!("{name}@1")).slot;
        assert_ne!(slot, last);
    });
}

#[tokio::test]
async fn what_is_left_in_a_file_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tlo.db");
    let options = SqliteOptions::at(&path);
    let store = SqliteStore::open(options, SystemClock::shared(), Arc::new(IdSource::random()));
    let store = store.unwrap();
    for task in ["holder", "parked"] {
        let mut new = NewTask::new(id(task), "plain", Payload::null());
        in_gate(&mut new);
        if task == "holder" {
            with_key(&mut new);
        }
        store.create(new).await.unwrap();
    }
    let worker = WorkerId::new("w#1").unwrap();
    let names = ["plain"];
    let claimed = store.lease(&worker, "default", &names, 5, Duration::from_secs(60));
    let claimed = claimed.await.unwrap();
    assert_eq!(claimed.len(), 1);
    let found = leftovers::rows(&path);
    let count = |what| {
        found
            .iter()
            .filter(|violation| violation.what == what)
            .count()
    };
    // The holder, the task that is parked behind it, and the gate that has one parked.
    assert_eq!(count(Wrong::LeakedLease), 1, "{found:?}");
    assert_eq!(count(Wrong::LeakedGate), 3, "{found:?}");
    assert_eq!(count(Wrong::LeakedKey), 1, "{found:?}");

    // Records that somebody took away by hand are missed.
    let records = leftovers::records(&store).await;
    assert_eq!(leftovers::accounts(&store, &records).await, []);
    let fewer = leftovers::accounts(&store, &records[..1]).await;
    assert_eq!(fewer.len(), 1, "{fewer:?}");
    assert_eq!(fewer[0].what, Wrong::Miscounted);

    // With everything ended nothing is left.
    for _ in 0..2 {
        let task = store.lease(&worker, "default", &names, 5, Duration::from_secs(60));
        for task in claimed.iter().cloned().chain(task.await.unwrap()) {
            let lease = task.lease.as_ref().unwrap().reference();
            let _ = store.succeed(&task.id, lease, Payload::null()).await;
        }
    }
    assert_eq!(leftovers::rows(&path), []);
    assert!(store.check().await.unwrap().is_empty());
}
