//! A store under steady work for minutes: tasks that are retried, put off, refused as doubles, that wait for each other and
//! that come back every second. What was submitted is counted against what ended, and what the store takes is measured all the
//! while, on some stores beside a reader that holds on to an old view for most of the time.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tlo::prelude::*;
use tlo::store::{CountBy, TaskFilter};
use tlo::task::UniqueScope;

use crate::measure::{at, cpu, program, resident};
use crate::soak_gauges::{Gauges, Reader};

/// How long ended tasks are kept: short, so that the store must give back what it took.
const KEPT: &str = "20s";

/// Between two bulks of submits, and between two looks at what the store takes.
const BULK: Duration = Duration::from_millis(50);
const LOOK: Duration = Duration::from_secs(2);

/// What the last tasks are given to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// When the reader takes its view and when it gives it up, as shares of the time.
const READS: (f64, f64) = (0.10, 0.65);

/// About 200 bytes of JSON.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Letter {
    number: u64,
    user: u64,
    to: String,
    text: String,
}

const NEW: u8 = 1;
const ENDED: u8 = 2;
const ENDED_TWICE: u8 = 4;
const DOUBLE: u8 = 8;

/// What became of each letter, by its number.
struct Ledger(Vec<AtomicU8>);

impl Ledger {
    fn submitted(&self, number: u64, is_new: bool) {
        self.0[number as usize].fetch_or(if is_new { NEW } else { DOUBLE }, Ordering::AcqRel);
    }

    fn ended(&self, number: u64) {
        let slot = &self.0[number as usize];
        if slot.fetch_or(ENDED, Ordering::AcqRel) & ENDED != 0 {
            slot.fetch_or(ENDED_TWICE, Ordering::AcqRel);
        }
    }

    fn count(&self, wanted: u8, of: u8) -> usize {
        self.0.iter().filter(|slot| slot.load(Ordering::Acquire) & of == wanted).count()
    }
}

/// How long after they were due letters of the plain kind started, in milliseconds: before the reader, beside it, after it.
type Lateness = Arc<Mutex<[Vec<f64>; 3]>>;

struct Work {
    ledger: Arc<Ledger>,
    retried: Arc<AtomicU64>,
    ticks: Arc<AtomicU64>,
    lateness: Lateness,
    phase: Arc<AtomicU8>,
}

impl Work {
    fn new(letters: usize) -> Self {
        Self {
            ledger: Arc::new(Ledger((0..letters).map(|_| AtomicU8::new(0)).collect())),
            retried: Arc::default(),
            ticks: Arc::default(),
            lateness: Arc::new(Mutex::new([0.1, 0.6, 0.4].map(|share| Vec::with_capacity((letters as f64 * share) as usize)))),
            phase: Arc::default(),
        }
    }

    async fn context(&self, store: &str) -> TloContext {
        let (lateness, phase) = (Arc::clone(&self.lateness), Arc::clone(&self.phase));
        let mail = move |context: TaskContext, letter: Letter| {
            let late = context.clock().now().since(context.record().run_at).as_secs_f64() * 1e3;
            lateness.lock().expect("lock")[phase.load(Ordering::Relaxed) as usize].push(late);
            async move {
                tokio::time::sleep(Duration::from_millis(2)).await;
                if letter.number % 10 == 4 {
                    context.log("the relay was asked");
                    context.log("the relay took it");
                }
                match (letter.number % 50, context.attempt()) {
                    (1, 1) => Err(TaskError::retry("the relay is busy")),
                    (31, _) => Err(TaskError::fail("nobody of that name")),
                    _ => Ok(letter.to),
                }
            }
        };
        let other = |_: TaskContext, letter: Letter| async move {
            tokio::time::sleep(Duration::from_millis(2)).await;
            Ok::<_, TaskError>(letter.to)
        };
        let ticks = Arc::clone(&self.ticks);
        let tick = move |_: TaskContext, _: ()| {
            ticks.fetch_add(1, Ordering::Relaxed);
            async {}
        };
        let (ledger, retried) = (Arc::clone(&self.ledger), Arc::clone(&self.retried));
        let watch = move |event: &Lifecycle| match event {
            Lifecycle::Retrying { .. } => drop(retried.fetch_add(1, Ordering::Relaxed)),
            Lifecycle::Succeeded { record, .. } | Lifecycle::Failed { record, .. } | Lifecycle::Cancelled { record, .. } => {
                if let Ok(letter) = record.args.decode::<Letter>() {
                    ledger.ended(letter.number);
                }
            }
            _ => {}
        };
        program()
            .set("task_state_store", store)
            .set("concurrency", 64)
            .set("retention.age", KEPT)
            .task(task("mail").retry(RetryPolicy::fixed(secs(1))).run(mail))
            .task(task("charge").exclusive("{user}").run(other))
            .task(task("sync").run(other))
            .task(task("tick").every(secs(1)).run(tick))
            .observer(watch)
            .build()
            .await
            .expect("context")
    }
}

fn submit(client: &Client, number: u64) -> tlo::client::Submit {
    let letter = Letter {
        number,
        user: number / 10 % 50,
        to: format!("customer-{number:012}@mail.example.org"),
        text: "thank you for your order, it is on its way and will be with you within two or three days; write to us if it is not".to_owned(),
    };
    match number % 10 {
        // Two of the same user: the second waits for the first.
        7 | 8 => client.task("charge").args(&letter),
        // A double of the one before, as often as not; the keys are given up in different ways.
        9 if number % 40 < 20 => client.task("sync").args(&letter).delay(millis(100)).unique(format!("sync/{}", number / 20), UniqueScope::WhileUnfinished),
        9 => client.task("sync").args(&letter).unique(format!("sync/{}", number / 20), UniqueScope::For(secs(5))),
        2 => client.task("mail").args(&letter).delay(secs(3)),
        _ => client.task("mail").args(&letter),
    }
}

/// Submits at a steady rate until the time is over, and catches up when the store was slow; answers how many it submitted.
async fn keep_submitting(client: &Client, ledger: &Ledger, rate: usize, time: Duration) -> u64 {
    let begun = Instant::now();
    let mut next = 0;
    while begun.elapsed() < time {
        let due = (begun.elapsed().as_secs_f64() * rate as f64) as u64;
        // A bulk is one write: after a stall it stays small.
        let bulk = next..due.min(next + 500);
        let handles = client.submit_many(bulk.clone().map(|number| submit(client, number))).await.expect("submit");
        for (number, handle) in bulk.zip(&handles) {
            ledger.submitted(number, handle.is_new());
            next = number + 1;
        }
        tokio::time::sleep(BULK).await;
    }
    next
}

/// Takes a sample every few seconds until it is dropped.
async fn keep_looking(client: &Client, store: &str, begun: Instant, samples: &Mutex<Vec<serde_json::Value>>) {
    let gauges = Gauges::of(store).await;
    loop {
        let mut sample = gauges.read().await;
        let records = client.count(&TaskFilter::default(), CountBy::All).await.expect("count").total();
        sample.insert("at".to_owned(), begun.elapsed().as_secs_f64().into());
        sample.insert("program".to_owned(), resident().into());
        sample.insert("records".to_owned(), records.into());
        samples.lock().expect("lock").push(sample.into());
        tokio::time::sleep(LOOK).await;
    }
}

/// Holds an old view for most of the time, where the store has such; answers from when to when.
async fn hold_on(store: &str, begun: Instant, time: Duration, phase: &AtomicU8) -> Option<(f64, f64)> {
    tokio::time::sleep(time.mul_f64(READS.0)).await;
    let reader = Reader::of(store).await?;
    let from = begun.elapsed().as_secs_f64();
    phase.store(1, Ordering::Relaxed);
    tokio::time::sleep(time.mul_f64(READS.1 - READS.0)).await;
    reader.end().await;
    phase.store(2, Ordering::Relaxed);
    Some((from, begun.elapsed().as_secs_f64()))
}

/// The soak of one store.
pub async fn run(store: &str, seconds: usize, rate: usize) -> serde_json::Value {
    let time = Duration::from_secs(seconds as u64);
    let work = Work::new((seconds + 1) * rate);
    let context = work.context(store).await;
    let client = context.client();
    let runner = Runner::new(context);
    let handle = runner.handle();
    let working = tokio::spawn(runner.run_until(std::future::pending()));
    let (cpu_before, begun) = (cpu(), Instant::now());
    let samples = Mutex::new(Vec::new());
    let busy = async { tokio::join!(keep_submitting(&client, &work.ledger, rate, time), hold_on(store, begun, time, &work.phase)) };
    let (submits, reader) = tokio::select! {
        busy = busy => busy,
        () = keep_looking(&client, store, begun, &samples) => unreachable!("it looks for ever"),
    };
    let used = cpu() - cpu_before;
    let open = TaskFilter::status([TaskStatus::Pending, TaskStatus::Running]);
    let deadline = Instant::now() + PATIENCE;
    while work.ledger.count(NEW, NEW | ENDED) > 0 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut unfinished = 0;
    for name in ["mail", "charge", "sync"] {
        let of = TaskFilter { name: Some(name.into()), ..open.clone() };
        unfinished += client.count(&of, CountBy::All).await.expect("count").total();
    }
    handle.stop();
    working.await.expect("runner").expect("stopped");
    let mut lateness = work.lateness.lock().expect("lock");
    let late = |times: &mut Vec<f64>| {
        let is_any = !times.is_empty();
        is_any.then(|| serde_json::json!({"p50": at(times, 0.5), "p99": at(times, 0.99), "max": at(times, 1.0)}))
    };
    let [before, beside, after] = &mut *lateness;
    let ledger = &work.ledger;
    serde_json::json!({
        "system": "tlo, soak", "seconds": seconds, "rate": rate, "kept": KEPT, "submits": submits,
        "new": ledger.count(NEW, NEW), "doubles": ledger.count(DOUBLE, DOUBLE), "ended": ledger.count(ENDED, ENDED),
        "lost": ledger.count(NEW, NEW | ENDED), "twice": ledger.count(ENDED_TWICE, ENDED_TWICE), "unfinished": unfinished,
        "retried": work.retried.load(Ordering::Relaxed), "ticks": work.ticks.load(Ordering::Relaxed),
        "cpu_share": used.as_secs_f64() / seconds as f64, "reader": reader,
        "late_ms": {"before": late(before), "beside": late(beside), "after": late(after)},
        "samples": samples.into_inner().expect("lock"),
    })
}
