//! Callers that race for the writer, give up, go away or close it: every schedule keeps what was answered.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use shuttle::future::block_on;
use shuttle::rand::Rng;

use super::super::scenes::{
    Hands, TTL, all_at_once, alone, clock, create, explore, extend, finds_a_bug, id, reap, request,
    succeed, task,
};
use super::cases::Tree;
use super::{Mutex, Writer};
use crate::error::{Error, ErrorKind, Result};
use crate::id::IdSource;
use crate::store::kv::{self, Moment, RowEngine, Rows, View};
use crate::store::{Capability, Committed, Effect, HintSender, Refusal, TaskStateStore};
use crate::task::{TaskStateRecord, TaskStatus};

/// What an engine does when it fails.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fails {
    Never,
    /// Sometimes, and keeps nothing of it.
    Cleanly,
    /// Sometimes, and keeps what it says it did not.
    WithARest,
}

/// A tree in a lock.
#[derive(Debug)]
struct Engine {
    tree: Mutex<Tree>,
    fails: Fails,
}

impl RowEngine for Engine {
    fn capability(&self) -> Capability {
        crate::MemoryStore::default().capability()
    }

    fn write(&self, run: &mut dyn FnMut(&mut dyn Rows) -> Result<()>) -> Result<()> {
        let mut tree = self.tree.lock().clone();
        run(&mut tree)?;
        let fails = self.fails != Fails::Never && shuttle::rand::thread_rng().gen_bool(0.3);
        if !fails || self.fails == Fails::WithARest {
            *self.tree.lock() = tree;
        }
        if fails {
            return Err(
                Error::new(ErrorKind::Unavailable, "write", "the disk is away").retryable(true),
            );
        }
        Ok(())
    }

    fn read(&self, run: &mut dyn FnMut(&dyn Rows) -> Result<()>) -> Result<()> {
        run(&*self.tree.lock())
    }
}

/// A writer and what it writes to.
struct Scene {
    writer: Arc<Writer>,
    engine: Arc<Engine>,
    hands: Arc<Hands>,
    hints: HintSender,
}

type Thread<T> = Box<dyn FnOnce() -> T + Send>;

fn scene(fails: Fails, limit: Option<Duration>) -> Scene {
    let tree = Mutex::default();
    let engine = Arc::new(Engine { tree, fails });
    let (hands, clock) = clock();
    let hints = HintSender::default();
    let ids = Arc::new(IdSource::seeded(1));
    let mut writer = Writer::start(Arc::clone(&engine), clock, ids, hints.clone()).unwrap();
    if let Some(limit) = limit {
        writer.limit = limit;
    }
    let writer = Arc::new(writer);
    Scene {
        writer,
        engine,
        hands,
        hints,
    }
}

impl Engine {
    fn record(&self, name: &str) -> Option<TaskStateRecord> {
        let (_, clock) = clock();
        let tree = self.tree.lock();
        let view = View::new(&*tree, Moment::of(&*clock));
        kv::get(&view, &[id(name)]).unwrap().remove(0)
    }
}

fn commit(writer: &Writer, commit: crate::store::Commit) -> Result<Committed> {
    block_on(writer.commit(vec![commit])).map(|mut answers| answers.remove(0))
}

fn threads<T: Send + 'static>(
    count: usize,
    scene: &Scene,
    run: impl Fn(usize, Arc<Writer>) -> T + Clone + Send + 'static,
) -> Vec<Thread<T>> {
    let begin = |n| {
        let (writer, run) = (Arc::clone(&scene.writer), run.clone());
        let thread: Thread<T> = Box::new(move || run(n, writer));
        thread
    };
    (0..count).map(begin).collect()
}

/// Three callers, each with a task of its own and one that all make.
fn makers(fails: Fails) {
    let scene = scene(fails, None);
    let answers = all_at_once(threads(3, &scene, |n, writer| {
        let own = commit(&writer, create(task(&format!("own{n}"))));
        let shared = commit(&writer, create(task("shared")));
        (own, shared)
    }));
    let mut seqs = Vec::new();
    let mut made = |answer: &Result<Committed>| match answer {
        Ok(Ok(effects)) => match &effects[..] {
            [Effect::Created { seq, .. }] => {
                seqs.push(*seq);
                true
            }
            [Effect::Existing { .. }] => false,
            other => panic!("{other:?}"),
        },
        Ok(Err(refusal)) => panic!("{refusal:?}"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            false
        }
    };
    for (n, (own, _)) in answers.iter().enumerate() {
        let is_there = scene.engine.record(&format!("own{n}")).is_some();
        assert_eq!(made(own), is_there, "own{n}: {own:?}");
    }
    let shared: Vec<_> = answers.iter().map(|(_, shared)| shared).collect();
    let times = shared.iter().filter(|answer| made(answer)).count();
    let heard = shared.iter().any(|answer| answer.is_ok());
    assert_eq!(times, usize::from(heard), "{shared:?}");
    assert_eq!(scene.engine.record("shared").is_some(), heard);
    let count = seqs.len();
    seqs.sort_unstable();
    seqs.dedup();
    assert_eq!(seqs.len(), count, "two tasks have one number");
}

#[test]
fn every_caller_is_answered_and_every_answer_is_kept() {
    explore("group commit", || makers(Fails::Never));
}

#[test]
fn what_a_failing_disk_refused_is_not_there_and_what_it_took_is() {
    explore("group commit on a failing disk", || makers(Fails::Cleanly));
}

#[test]
fn who_gives_up_is_told_the_truth() {
    explore("callers that give up", || {
        let scene = scene(Fails::Cleanly, Some(Duration::from_secs(1)));
        let answers = all_at_once(threads(3, &scene, |n, writer| {
            commit(&writer, create(task(&format!("own{n}"))))
        }));
        let Scene { writer, engine, .. } = scene;
        // Closing waits for what was begun.
        drop(writer);
        for (n, answer) in answers.iter().enumerate() {
            let is_there = engine.record(&format!("own{n}")).is_some();
            match answer {
                Ok(_) => assert!(is_there, "own{n} is lost"),
                Err(error) if error.kind() == ErrorKind::Timeout => {
                    let unknown = error.to_string().contains("is not known");
                    assert!(unknown || !is_there, "{error}");
                }
                Err(_) => assert!(!is_there, "own{n} was refused and is there"),
            }
        }
    });
}

/// Polls a call a few times and then goes away; its answer, if it came before.
fn impatient<T>(call: impl Future<Output = T>) -> Option<T> {
    let polls = shuttle::rand::thread_rng().gen_range(1..4);
    let mut call = Box::pin(call);
    block_on(async move {
        for _ in 0..polls {
            let polled = std::future::poll_fn(|context| Poll::Ready(call.as_mut().poll(context)));
            if let Poll::Ready(done) = polled.await {
                return Some(done);
            }
            shuttle::future::yield_now().await;
        }
        None
    })
}

#[test]
fn leases_that_nobody_took_go_back() {
    explore("claims whose callers go away", || {
        let scene = scene(Fails::Never, None);
        for name in ["a", "b"] {
            commit(&scene.writer, create(task(name))).unwrap().unwrap();
        }
        let taken = all_at_once(threads(3, &scene, |n, writer| {
            let claim = writer.claim(request(&format!("w{n}"), 1));
            let claims = impatient(claim).map(|claims| claims.unwrap().tasks);
            claims.unwrap_or_default()
        }));
        // The second of two writes is behind everything that was begun before the first.
        for name in ["after", "later"] {
            commit(&scene.writer, create(task(name))).unwrap().unwrap();
        }
        let taken: Vec<_> = taken
            .into_iter()
            .flatten()
            .map(|task| task.id.clone())
            .collect();
        for name in ["a", "b"] {
            let record = scene.engine.record(name).unwrap();
            let holders = taken.iter().filter(|taken| **taken == record.id).count();
            assert!(holders <= 1, "{name} has two holders");
            let runs = record.status == TaskStatus::Running;
            assert_eq!(runs, holders == 1, "{record:?}");
            assert_eq!(
                record.attempt,
                u32::from(runs),
                "a lease that went back gives its number back"
            );
        }
    });
}

#[test]
fn closing_waits_for_what_was_asked_and_answers_everybody() {
    explore("shutdown", || {
        let scene = scene(Fails::Never, None);
        let mut callers = threads(2, &scene, |n, writer| {
            let done = commit(&writer, create(task(&format!("own{n}"))));
            assert!(done.is_ok(), "{done:?}");
        });
        callers.extend(threads(2, &scene, |n, writer| {
            // Sent, and not waited for; the last of all drops the door.
            drop(impatient(
                writer.commit(vec![create(task(&format!("gone{n}")))]),
            ));
        }));
        let Scene { writer, engine, .. } = scene;
        drop(writer);
        all_at_once(callers);
        assert_eq!(Arc::strong_count(&engine), 1, "the engine is closed");
        for name in ["own0", "own1", "gone0", "gone1"] {
            assert!(engine.record(name).is_some(), "{name} is lost");
        }
    });
}

#[test]
fn a_settle_a_heartbeat_and_a_reaper_have_one_outcome() {
    explore("settle, heartbeat and reaper in groups", || {
        let scene = scene(Fails::Never, None);
        commit(&scene.writer, create(task("a"))).unwrap().unwrap();
        let claims = block_on(scene.writer.claim(request("w", 1))).unwrap();
        let record = claims.tasks[0].clone();
        scene.hands.advance(TTL);
        let answers = all_at_once(threads(3, &scene, move |n, writer| {
            let write = [succeed, extend, reap][n];
            commit(&writer, write(&record)).unwrap()
        }));
        let [settled, extended, reaped] = &answers[..] else {
            panic!()
        };
        let now = scene.engine.record("a").unwrap();
        assert!(settled.is_ok() != reaped.is_ok(), "{answers:?}");
        if settled.is_ok() {
            assert_eq!(now.status, TaskStatus::Succeeded);
        } else {
            assert_eq!(settled, &Err(Refusal::LeaseLost(id("a"))));
            assert_eq!((now.status, now.lost), (TaskStatus::Pending, 1));
        }
        assert!(
            now.lease.is_none(),
            "a heartbeat brought the lease back: {answers:?}"
        );
        if reaped == &Err(Refusal::NotExpired(id("a"))) {
            assert!(extended.is_ok());
        }
    });
}

#[test]
fn a_worker_that_waits_for_hints_hears_of_every_task() {
    explore("hints of the writer", || {
        let scene = scene(Fails::Never, None);
        let mut hints = scene.hints.subscribe();
        let worker = Arc::clone(&scene.writer);
        let mut all = threads(2, &scene, |n, writer| {
            commit(&writer, create(alone(&format!("own{n}"), "k")))
                .unwrap()
                .unwrap();
        });
        all.push(Box::new(move || {
            let mut done = 0;
            while done < 2 {
                let claims = block_on(worker.claim(request("w", 1))).unwrap();
                for record in &claims.tasks {
                    commit(&worker, succeed(record)).unwrap().unwrap();
                    done += 1;
                }
                if claims.tasks.is_empty() {
                    block_on(hints.next()).unwrap();
                }
            }
        }));
        all_at_once(all);
    });
}

#[test]
fn the_schedules_find_an_engine_that_keeps_what_it_refused() {
    assert!(finds_a_bug("keeps what it refused", || makers(
        Fails::WithARest
    )));
}
