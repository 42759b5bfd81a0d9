//! One fire per slot: many schedulers on one store, two processes on one file.
//!
//! `TLO_PROOF=full` runs the full counts, `TLO_TEST_SEED` repeats a run.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::print_stdout, reason = "the figures are what it is run for")]

mod engine_kit;

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use engine_kit::{Place, program, until_within};
use tlo::observe::Observers;
use tlo::prelude::*;
use tlo::scheduler::Scheduler;
use tlo::store::{SharedStore, TaskFilter, TaskStateStore};
use tlo::task::{TaskDef, TaskSummary};
use tlo::testing::{Fault, ManualClock, ProbeStore, Verb};
use tlo::{Clock, IdSource, MemoryStore, PageRequest, SystemClock};

fn is_full() -> bool {
    std::env::var("TLO_PROOF").is_ok_and(|proof| proof == "full")
}

fn seed() -> u64 {
    std::env::var("TLO_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| u64::try_from(SystemClock.now().as_micros()).unwrap())
}

/// Ten schedules of different periods, with all slots made up for.
fn definitions() -> Vec<Arc<TaskDef>> {
    (0..10_u64)
        .map(|n| {
            let task = task(format!("t{n}"))
                .every(millis(900 + 25 * n))
                .misfire(Misfire::All { max: 100 })
                .overlap(Overlap::Allow)
                .declare();
            Arc::new(task.def)
        })
        .collect()
}

/// Five nodes on one store, each with its own idea of when to look, while calls fail and answers are lost.
async fn five_nodes(store: SharedStore, clock: Arc<ManualClock>, slots: usize, seed: u64) {
    let chance = IdSource::seeded(seed);
    let probe = ProbeStore::around(store);
    let mut nodes = Vec::new();
    for _ in 0..5 {
        let mut node = Scheduler::new(
            Arc::clone(&probe) as SharedStore,
            clock.clone(),
            Observers::default(),
            false,
        );
        node.start(definitions()).await.unwrap();
        nodes.push(node);
    }
    let begin = clock.now();
    let mut failed = 0;
    while probe.created().len() < slots {
        let step = 200.0 + 1_500.0 * chance.unit();
        clock.advance(Duration::from_secs_f64(step / 1_000.0));
        if chance.unit() < 0.05 {
            probe.fail_next(1);
        }
        if chance.unit() < 0.05 {
            probe.lose_next_answers(1);
        }
        let ticking: Vec<_> = nodes
            .drain(..)
            .map(|mut node| {
                tokio::spawn(async move {
                    let ticked = node.tick().await;
                    (node, ticked)
                })
            })
            .collect();
        for tick in ticking {
            let (node, ticked) = tick.await.unwrap();
            failed += usize::from(ticked.is_err());
            nodes.push(node);
        }
    }
    // A last round without faults, so that all stand at the same instant.
    probe.fail_next(0);
    probe.lose_next_answers(0);
    for node in &mut nodes {
        node.tick().await.unwrap();
    }
    let elapsed = clock.now().since(begin).as_micros();
    let expected: u128 = (0..10_u128)
        .map(|n| elapsed / ((900 + 25 * n) * 1_000))
        .sum();
    let created = probe.created();
    let ids: BTreeSet<_> = created.iter().map(|task| task.id.clone()).collect();
    println!(
        "five nodes, seed {seed}: {} occurrences of {expected} slots, {} of them different, {failed} ticks failed",
        created.len(),
        ids.len(),
    );
    assert_eq!(created.len() as u128, expected);
    assert_eq!(ids.len(), created.len());
    let stored = all(&*probe).await;
    assert_eq!(stored.len(), created.len());
}

async fn all(store: &dyn TaskStateStore) -> Vec<TaskSummary> {
    let mut found = Vec::new();
    let mut request = PageRequest::first(1_000);
    loop {
        let page = store.list(&TaskFilter::default(), request).await.unwrap();
        found.extend(page.items);
        if page.complete {
            return found;
        }
        request.after = page.next;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_schedulers_on_memory_fire_each_slot_once() {
    let clock = ManualClock::shared();
    let store = MemoryStore::new(clock.clone(), Arc::new(IdSource::random()));
    five_nodes(Arc::new(store), clock, 10_000, seed()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_schedulers_on_sqlite_fire_each_slot_once() {
    let place = Place::new();
    let clock = ManualClock::shared();
    let slots = if is_full() { 10_000 } else { 500 };
    five_nodes(place.open_with(clock.clone()), clock, slots, seed()).await;
}

const NAMES: usize = 10;
const PERIOD: Duration = Duration::from_millis(50);

fn runs_each() -> u64 {
    if is_full() { 100 } else { 20 }
}

/// A process of its own: what `two_processes…` starts. Alone it has nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_of_another_test() {
    let Ok(path) = std::env::var("TLO_TEST_NODE") else {
        return;
    };
    let mut builder = program()
        .set("task_state_store", format!("sqlite:{path}"))
        .set("lease", "1s")
        // Half of what the schedules make: one process alone falls behind, so that both have to work.
        .set("concurrency", 2);
    for n in 0..NAMES {
        builder = builder.task(
            task(format!("t{n}"))
                .every(PERIOD)
                .max_runs(runs_each())
                .misfire(Misfire::All { max: 1_000 })
                .overlap(Overlap::Allow)
                .run(|_: TaskContext, _: ()| async { SystemClock.sleep(PERIOD * 2 / 5).await }),
        );
    }
    let context = builder.build().await.unwrap();
    // Should the test be killed that kills it, it ends by itself.
    Runner::new(context)
        .run_until(SystemClock.sleep(Duration::from_secs(600)))
        .await
        .unwrap();
}

/// A child process that dies with the test.
struct Node(Child);

impl Node {
    fn start(place: &Place) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "node_of_another_test", "--nocapture"])
            .env("TLO_TEST_NODE", place.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn succeeded(store: &dyn TaskStateStore) -> u64 {
    use tlo::store::CountBy;
    let counts = store
        .count(&TaskFilter::default(), CountBy::Status, 10_000)
        .await
        .unwrap();
    counts.of("succeeded")
}

/// Every schedule has exactly its slots, one period after the other, and answers how many runs each worker had.
fn check_slots(records: &[TaskSummary]) -> BTreeMap<String, usize> {
    let mut slots: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    let mut shares = BTreeMap::new();
    for item in records {
        let record = &item.record;
        let slot = record.slot.unwrap().as_micros();
        slots.entry(&record.name).or_default().push(slot);
        let worker = record.attempts.last().unwrap().worker.to_string();
        *shares.entry(worker).or_default() += 1;
    }
    assert_eq!(slots.len(), NAMES);
    for (name, mut slots) in slots {
        slots.sort_unstable();
        assert_eq!(slots.len() as u64, runs_each(), "{name}");
        let period = i64::try_from(PERIOD.as_micros()).unwrap();
        let gaps: Vec<_> = slots.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| *gap == period), "{name}: {gaps:?}");
    }
    shares
}

#[tokio::test]
async fn two_processes_on_one_file_fire_and_run_each_slot_once() {
    let place = Place::new();
    let wanted = NAMES as u64 * runs_each();
    let nodes = [Node::start(&place), Node::start(&place)];
    let store = place.open();
    until_within("all slots have run", Duration::from_secs(60), async || {
        succeeded(&*store).await >= wanted
    })
    .await;
    drop(nodes);
    let records = all(&*store).await;
    assert_eq!(records.len() as u64, wanted);
    assert!(records.iter().all(|item| item.record.leases == 1));
    let shares = check_slots(&records);
    println!("two processes: {wanted} slots, each once; by worker: {shares:?}");
    assert_eq!(shares.len(), 2, "both work: {shares:?}");
}

#[tokio::test]
async fn a_process_that_is_killed_costs_no_slot() {
    let place = Place::new();
    let wanted = NAMES as u64 * runs_each();
    let mut first = Some(Node::start(&place));
    let mut second = None;
    let store = place.open();
    until_within("all slots have run", Duration::from_secs(60), async || {
        let done = succeeded(&*store).await;
        if done > wanted / 4 && first.take().is_some() {
            second = Some(Node::start(&place));
        }
        done >= wanted
    })
    .await;
    drop(second);
    let records = all(&*store).await;
    assert_eq!(records.len() as u64, wanted);
    let shares = check_slots(&records);
    let lost: u32 = records.iter().map(|item| item.record.lost).sum();
    println!(
        "killed and started again: {wanted} slots, {lost} runs lost on the way; by worker: {shares:?}"
    );
    assert_eq!(shares.len(), 2, "{shares:?}");
}

/// Somebody pauses a schedule between the read and the write of a node that starts with a changed one.
#[tokio::test]
async fn a_pause_while_a_node_starts_with_a_changed_schedule_does_not_make_it_stand_down() {
    let clock = ManualClock::shared();
    let store: SharedStore = Arc::new(MemoryStore::new(
        clock.clone(),
        Arc::new(IdSource::random()),
    ));
    let probe = ProbeStore::on_clock(Arc::clone(&store), clock.clone());
    let every = |minutes: u64| {
        let task = task("tick").every(Duration::from_secs(60 * minutes));
        Arc::new(task.declare().def)
    };
    let node =
        |store: SharedStore| Scheduler::new(store, clock.clone(), Observers::default(), false);
    node(Arc::clone(&store)).start([every(1)]).await.unwrap();
    let tlo = program()
        .clock(clock.clone())
        .store(Arc::clone(&store))
        .build()
        .await
        .unwrap();
    let tick = tlo::client::Target::Schedule("tick".to_owned());

    probe.plan(Fault::delay(Verb::Commit, Duration::from_secs(1)));
    let mut late = node(Arc::clone(&probe) as SharedStore);
    let starting = tokio::spawn(async move {
        late.start([every(2)]).await.unwrap();
        late
    });
    until_within("it writes", Duration::from_secs(10), async || {
        clock.sleepers() > 0
    })
    .await;
    tlo.client().pause(&tick, None).await.unwrap();
    clock.advance(Duration::from_secs(1));
    let mut late = starting.await.unwrap();

    clock.advance(Duration::from_secs(600));
    late.tick().await.unwrap();
    assert_eq!(probe.created().len(), 0, "the pause holds");
    tlo.client().resume(&tick, None).await.unwrap();
    for _ in 0..3 {
        clock.advance(Duration::from_secs(120));
        late.tick().await.unwrap();
    }
    assert!(!probe.created().is_empty(), "and then it fires");
}
