//! A store with everything that a store can have, made by the verbs that make it.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tlo::store::{
    ClaimRequest, Commit, Create, Guard, Lanes, NewEvent, Op, Patch, SharedStore, StreamId,
};
use tlo::task::{
    Due, Ended, Gate, LeaseRef, NewTask, OnConflict, Outcome, Settlement, TaskKind, Unique,
    UniqueScope, decide,
};
use tlo::{
    Clock, PAYLOAD_LIMIT, Payload, RetryPolicy, SystemClock, TaskError, TaskId, TaskStateRecord,
    WorkerId, secs,
};

/// Names that workers know.
pub(crate) const NAMES: [&str; 2] = ["work", "other"];
pub(crate) const QUEUES: [&str; 2] = ["default", "mail"];
pub(crate) const PAUSED: &str = "halted";

/// Tasks of one run of claims.
const CLAIMED: usize = 40;

/// How long its worker holds a task, who may be gone by then.
const LEASE: Duration = Duration::from_millis(1);

pub(crate) struct Population {
    store: SharedStore,
    rng: Rng,
}

impl Population {
    /// Fills a store with about so many tasks, and all that comes with them.
    pub(crate) async fn fill(store: &SharedStore, seed: u64, tasks: usize) {
        let mut population = Self {
            store: Arc::clone(store),
            rng: Rng::with_seed(seed),
        };
        population.beside().await;
        let mut made = 0;
        while made < tasks {
            let batch = population.rng.usize(20..200).min(tasks - made);
            let creates = (made..made + batch).map(|n| population.task(n));
            let commits: Vec<_> = creates
                .collect::<Vec<_>>()
                .into_iter()
                .map(create)
                .collect();
            population.send(commits).await;
            made += batch;
            population.work(made >= tasks).await;
            population.steer(made).await;
        }
        // Whoever looks finds the leases ended, as behind a worker that died long ago.
        SystemClock.sleep(LEASE * 2).await;
    }

    async fn send(&self, commits: Vec<Commit>) -> usize {
        let answers = self.store.commit(commits).await.unwrap();
        answers.iter().filter(|answer| answer.is_ok()).count()
    }

    fn payload(&mut self) -> Payload {
        let size = match self.rng.u32(0..200) {
            0 => PAYLOAD_LIMIT - 2,
            1..4 => self.rng.usize(1_000..60_000),
            _ => self.rng.usize(0..40),
        };
        Payload::parse(format!("\"{}\"", "p".repeat(size))).unwrap()
    }

    fn task(&mut self, n: usize) -> NewTask {
        let args = match self.rng.bool() {
            true => Payload::parse(r#"{"text": "\u0000 é 😀",   "n": 1.00}"#).unwrap(),
            false => self.payload(),
        };
        let name = *self
            .rng
            .choice(["work", "work", "other", "unknown"].iter())
            .unwrap();
        let mut new = NewTask::new(id(n), name, args);
        new.queue = (*self
            .rng
            .choice(["default", "default", "mail", PAUSED].iter())
            .unwrap())
        .into();
        new.priority = self.rng.u8(..);
        new.due = match self.rng.u32(0..6) {
            0 => Due::In(secs(86_400)),
            1 => Due::In(Duration::from_millis(self.rng.u64(0..50))),
            _ => Due::Now,
        };
        if self.rng.u32(0..10) == 0 {
            new.expires = Some(Due::In(secs(3_600)));
        }
        if self.rng.u32(0..5) == 0 {
            new.kind = TaskKind::Occurrence;
            new.schedule = Some("nightly".into());
            new.slot = Some(tlo::Timestamp::from_micros(
                1_700_000_000_000_000 + n as i64,
            ));
        }
        if self.rng.u32(0..4) == 0 {
            let scope = match self.rng.u32(0..4) {
                0 => UniqueScope::WhileQueued,
                1 => UniqueScope::For(secs(7_200)),
                2 => UniqueScope::Forever,
                _ => UniqueScope::WhileUnfinished,
            };
            let key = format!("key 😀 {}", self.rng.u32(0..5_000)).into();
            new.unique = Some(Arc::new(Unique {
                key,
                scope,
                until: None,
            }));
            new.on_conflict = OnConflict::Existing;
        }
        for gate in 0..self.rng.usize(0..3) {
            new.gates.push(Gate {
                key: format!("gate/{gate}/{}", self.rng.u32(0..4)),
                limit: self.rng.u32(1..3),
            });
        }
        for tag in 0..self.rng.u32(0..3) {
            new.tags.insert(format!("tag {tag} é"));
        }
        if self.rng.u32(0..8) == 0 && n > 0 {
            new.parent = Some(id(self.rng.usize(0..n)));
        }
        if self.rng.u32(0..8) == 0 {
            new.headers
                .insert("traceparent".to_owned(), "00-1-2-01".to_owned());
            new.state = Some(self.payload());
            new.phase = Some("phase".to_owned());
            new.created_by = Some("ann".to_owned());
            new.timeout = Some(secs(60));
            new.retry = RetryPolicy::fixed(secs(3_000));
        }
        new
    }

    /// Claims some and ends them in all ways; of the last some are left as a worker leaves them that dies.
    async fn work(&mut self, is_last: bool) {
        let claims = self
            .store
            .claim(ClaimRequest {
                worker: WorkerId::new("w 1").unwrap(),
                lanes: Lanes::new(QUEUES, NAMES),
                limit: CLAIMED,
                ttl: LEASE,
            })
            .await
            .unwrap();
        for record in &claims.tasks {
            let lease = record.lease.as_ref().unwrap().reference();
            let how = self.rng.u32(0..if is_last { 11 } else { 9 });
            if how.is_multiple_of(2) {
                self.report(record, lease).await;
            }
            let outcome = match how {
                0 => Outcome::Error(TaskError::retry("it failed 17 times")),
                1 => Outcome::Error(TaskError::fail("it failed\nfor good 😀")),
                2 => Outcome::Error(TaskError::cancel("no more")),
                3 => Outcome::Error(TaskError::snooze(secs(3_600))),
                4..9 => Outcome::Success(self.payload()),
                _ => continue,
            };
            let end = decide(Ended::Returned(outcome), record, 0.5);
            let end = self.rng.choice([end, Settlement::release()]).unwrap();
            let settle = Op::Settle(record.id.clone(), Box::new(end));
            self.send(vec![Commit::of([settle]).when(held(record, lease))])
                .await;
        }
    }

    async fn report(&mut self, record: &TaskStateRecord, lease: LeaseRef) {
        let log = StreamId::new(record.id.as_str(), format!("log/{}", record.attempt)).unwrap();
        let lines = (0..self.rng.usize(1..80)).map(|n| event(n, n % 3 == 0));
        let said = [
            Op::Append(log.clone(), lines.collect()),
            Op::Trim(log, self.rng.u64(0..20)),
            Op::Patch(
                record.id.clone(),
                Box::new(Patch {
                    progress: Some(Payload::parse("0.5").unwrap()),
                    ..Patch::default()
                }),
            ),
        ];
        self.send(vec![Commit::of(said).when(held(record, lease))])
            .await;
    }

    async fn steer(&mut self, made: usize) {
        let mut some = || id(self.rng.usize(0..made));
        let mut ops = Vec::new();
        for _ in 0..4 {
            ops.push(Op::Cancel(some(), "not needed".to_owned()));
            ops.push(Op::Revive(some(), Due::In(secs(50_000))));
            ops.push(Op::Delete(some()));
            ops.push(Op::Wake(some()));
        }
        let commits = ops.into_iter().map(|op| Commit::of([op])).collect();
        self.send(commits).await;
    }

    /// Marks, and streams that belong to no task.
    async fn beside(&mut self) {
        let mark = |key: &str, value: &str, ttl| Op::PutMark {
            key: key.into(),
            value: Payload::parse(value).unwrap(),
            ttl,
        };
        let mut ops = vec![
            mark(
                "cursor/nightly",
                r#"{"last": "2026-11-20T10:00:00Z",  "n": 1.0}"#,
                None,
            ),
            mark("schedule/nightly", r#"{"every": "1d"}"#, None),
            mark(
                &format!("gate/queue/{PAUSED}"),
                r#"{"paused": true, "reason": "down", "by": "ann"}"#,
                None,
            ),
            mark("gate/gate/0/1", r#"{"max": 1}"#, None),
            mark(
                "gate/task/other",
                r#"{"rate": {"n": 1000, "per": "1s"}}"#,
                Some(secs(7_200)),
            ),
            mark("workers are not named so", "null", None),
        ];
        // More than a page.
        ops.extend((0..230).map(|n| mark(&format!("many/{n} é"), "{}", None)));
        let sys = StreamId::new("sys", "audit").unwrap();
        ops.push(Op::Append(
            sys.clone(),
            (0..150).map(|n| event(n, true)).collect(),
        ));
        ops.push(Op::Trim(sys, 40));
        let decisions = StreamId::new("nightly", "decisions").unwrap();
        ops.push(Op::Append(
            decisions.clone(),
            (0..5).map(|n| event(n, false)).collect(),
        ));
        ops.push(Op::Trim(decisions, 100));
        let commits: Vec<_> = ops.into_iter().map(|op| Commit::of([op])).collect();
        let sent = commits.len();
        assert_eq!(self.send(commits).await, sent);
    }
}

fn id(n: usize) -> TaskId {
    TaskId::new(format!("task {n} 😀")).unwrap()
}

fn create(task: NewTask) -> Commit {
    Commit::of([Op::Create(Box::new(Create {
        task,
        lease_to: None,
    }))])
}

fn held(record: &TaskStateRecord, lease: LeaseRef) -> Guard {
    Guard::Held(record.id.clone(), lease)
}

fn event(n: usize, has_key: bool) -> NewEvent {
    NewEvent {
        kind: "said".to_owned(),
        key: has_key.then(|| format!("key {n}")),
        data: Payload::parse(format!(r#"["line {n} é",  1.0]"#)).unwrap(),
    }
}
