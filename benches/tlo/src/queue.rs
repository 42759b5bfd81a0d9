//! The queue under load: what a claim costs beside a crowd, and how soon a task starts.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tlo::prelude::*;
use tlo::store::{ClaimRequest, Commit, CountBy, Create, Lanes, Op, SharedStore, TaskFilter};
use tlo::task::{Due, Gate, NewTask};
use tlo::{IdSource, MemoryStore, SqliteOptions, SqliteStore, SystemClock, TaskId, WorkerId};
use tokio::sync::{Semaphore, mpsc};

use crate::measure::{Email, at, email, program};
use crate::sqlite::{bare, write};

/// Tasks of one call to the store.
const BULK: usize = 1000;

/// A store in memory, or in a directory.
fn store(place: &str) -> SharedStore {
    let (clock, ids) = (SystemClock::shared(), Arc::new(IdSource::random()));
    if place == "memory" {
        return Arc::new(MemoryStore::new(clock, ids));
    }
    let options = SqliteOptions::at(Path::new(place).join("queue.db"));
    Arc::new(SqliteStore::open(options, clock, ids).expect("store"))
}

async fn fill(store: &SharedStore, tasks: usize, change: impl Fn(&mut NewTask), and: impl Fn(&TaskId) -> Option<Op>) {
    let ids = IdSource::random();
    for first in (0..tasks).step_by(BULK) {
        let create = |number: usize| {
            let args = Payload::of(&email(number as u64)).expect("payload");
            let mut task = NewTask::new(ids.task_id(Timestamp::from_micros(1_800_000_000_000_000)), "bench", args);
            change(&mut task);
            let follow = and(&task.id);
            let create = Op::Create(Box::new(Create { task, lease_to: None }));
            Commit::of([create].into_iter().chain(follow))
        };
        let commits = (first..tasks.min(first + BULK)).map(create).collect();
        for committed in store.commit(commits).await.expect("commit") {
            committed.expect("committed");
        }
    }
}

fn request(limit: usize) -> ClaimRequest {
    ClaimRequest {
        worker: WorkerId::new("bench#1").expect("worker"),
        lanes: Lanes::new(["default"], ["bench"]),
        limit,
        ttl: Duration::from_secs(3600),
    }
}

/// Claims of one task each, with this crowd in the store beside 10,000 that are ready.
pub async fn claims(place: &str, crowd: &str, claims: usize) -> serde_json::Value {
    let store = store(place);
    let million = 1_000_000;
    match crowd {
        "few" => {}
        "ready" => fill(&store, million - 10_000, |_| (), |_| None).await,
        "future" => fill(&store, million, |task| task.due = Due::In(Duration::from_secs(86_400)), |_| None).await,
        "finished" => fill(&store, million, |_| (), |id| Some(Op::Cancel(id.clone(), "enough".to_owned()))).await,
        "parked" => {
            let gate = || Gate { key: "user/7".to_owned(), limit: 1 };
            fill(&store, 100_000, |task| task.gates.push(gate()), |_| None).await;
            while store.claim(request(256)).await.expect("claim").more {}
        }
        other => panic!("no crowd \"{other}\": few, ready, future, finished, parked"),
    }
    fill(&store, 10_000, |_| (), |_| None).await;
    // What the kernel still writes of the crowd is no part of a claim.
    unsafe { libc::sync() };
    let mut took = Vec::with_capacity(claims);
    for _ in 0..claims {
        let started = Instant::now();
        let claimed = store.claim(request(1)).await.expect("claim");
        took.push(started.elapsed().as_secs_f64() * 1e6);
        assert_eq!(claimed.tasks.len(), 1, "nothing was claimed");
    }
    let (p50, p99) = (at(&mut took, 0.5), at(&mut took, 0.99));
    serde_json::json!({"system": "tlo, claims", "crowd": crowd, "claims": claims, "us_p50": p50, "us_p99": p99})
}

/// From the submit to the first line of the handler on a runner that has nothing else to do; on a disk in turns with one
/// bare commit of the same record.
pub async fn start(place: &str, times: usize) -> serde_json::Value {
    let (began, mut begins) = mpsc::unbounded_channel();
    let handler = move |_: TaskContext, _: Email| {
        began.send(Instant::now()).expect("somebody listens");
        async {}
    };
    let context = program().store(store(place)).task(task("bench").run(handler)).build().await.expect("context");
    let client = context.client();
    let runner = Runner::new(context);
    let handle = runner.handle();
    let working = tokio::spawn(runner.run_until(std::future::pending()));
    let connection = (place != "memory").then(|| bare(&Path::new(place).join("start-bare.db")));
    let (mut took, mut bares) = (Vec::new(), Vec::new());
    for number in 0..times {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let submitted = Instant::now();
        let task = client.task("bench").args(&email(number as u64)).submit().await.expect("submit");
        let begun = begins.recv().await.expect("begun");
        took.push(begun.saturating_duration_since(submitted).as_secs_f64() * 1e3);
        let record = task.wait().await.expect("ended");
        if let Some(connection) = &connection {
            let value = serde_json::to_vec(&record).expect("json");
            let writes = vec![(record.id.as_str().as_bytes().to_vec(), Some(value))];
            let started = Instant::now();
            write(connection, &writes);
            bares.push(started.elapsed().as_secs_f64() * 1e3);
        }
    }
    handle.stop();
    working.await.expect("runner").expect("stopped");
    let bare = if bares.is_empty() { 0.0 } else { at(&mut bares, 0.5) };
    let (p50, p99) = (at(&mut took, 0.5), at(&mut took, 0.99));
    serde_json::json!({"system": "tlo, submit to start", "times": times, "ms_p50": p50, "ms_p99": p99, "ms_bare": bare})
}

/// A quick task beside a hundred that wait and one free place.
pub async fn beside(times: usize) -> serde_json::Value {
    let (began, mut begins) = mpsc::unbounded_channel();
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let slow = move |_: TaskContext, _: ()| {
        let held = Arc::clone(&held);
        async move { held.acquire().await.expect("open").forget() }
    };
    let quick = move |_: TaskContext, _: ()| {
        began.send(Instant::now()).expect("somebody listens");
        async {}
    };
    let context = program()
        .store(store("memory"))
        .set("concurrency", 101)
        .task(task("slow").run(slow))
        .task(task("quick").run(quick))
        .build()
        .await
        .expect("context");
    let client = context.client();
    for _ in 0..100 {
        client.task("slow").submit().await.expect("submit");
    }
    let runner = Runner::new(context);
    let handle = runner.handle();
    let working = tokio::spawn(runner.run_until(std::future::pending()));
    let running = TaskFilter::status([TaskStatus::Running]);
    while client.count(&running, CountBy::All).await.expect("count").total() < 100 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut took = Vec::new();
    for _ in 0..times {
        let submitted = Instant::now();
        let task = client.task("quick").submit().await.expect("submit");
        let begun = begins.recv().await.expect("begun");
        took.push(begun.saturating_duration_since(submitted).as_secs_f64() * 1e3);
        task.wait().await.expect("ended");
    }
    gate.add_permits(100);
    handle.stop();
    working.await.expect("runner").expect("stopped");
    let (p50, p99, most) = (at(&mut took, 0.5), at(&mut took, 0.99), at(&mut took, 1.0));
    serde_json::json!({"system": "tlo memory, beside 100 slow ones", "times": times, "ms_p50": p50, "ms_p99": p99, "ms_max": most})
}
