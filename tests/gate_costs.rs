//! What gates cost: rows that the verbs read and write, counted, however many hold places or wait behind them.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[allow(dead_code, reason = "here only its tree is used")]
mod stores;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use stores::TreeEngine;
use tlo::store::kv::{Pairs, RowEngine, Rows};
use tlo::store::{
    Capability, ClaimRequest, Claims, Commit, Create, Guard, Lanes, Op, TaskFilter, TaskStateStore,
};
use tlo::task::{Gate, Lease, NewTask, Settlement};
use tlo::testing::ManualClock;
use tlo::{
    IdSource, PageRequest, Payload, Result, RowStore, TaskId, TaskStateRecord, TaskStatus, WorkerId,
};

/// Rows that were read, and records that were read and written.
#[derive(Debug, Default)]
struct Counts {
    rows: AtomicUsize,
    records: AtomicUsize,
    written: AtomicUsize,
}

#[derive(Clone, Debug, Default)]
struct Counted {
    engine: TreeEngine,
    counts: Arc<Counts>,
}

struct Counting<'a> {
    rows: &'a mut dyn Rows,
    counts: &'a Counts,
}

impl Rows for Counting<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let is_record = usize::from(key.starts_with(b"t"));
        self.counts.records.fetch_add(is_record, Ordering::Relaxed);
        self.counts.rows.fetch_add(1, Ordering::Relaxed);
        self.rows.get(key)
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let is_record = usize::from(key.starts_with(b"t"));
        self.counts.written.fetch_add(is_record, Ordering::Relaxed);
        self.rows.put(key, value)
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.rows.delete(key)
    }

    fn range(&self, from: &[u8], until: &[u8], limit: usize, reverse: bool) -> Result<Pairs> {
        let found = self.rows.range(from, until, limit, reverse)?;
        self.counts.rows.fetch_add(found.len(), Ordering::Relaxed);
        Ok(found)
    }
}

impl RowEngine for Counted {
    fn capability(&self) -> Capability {
        self.engine.capability()
    }

    fn write(&self, run: &mut dyn FnMut(&mut dyn Rows) -> Result<()>) -> Result<()> {
        let counts = &self.counts;
        self.engine
            .write(&mut |rows| run(&mut Counting { rows, counts }))
    }

    fn read(&self, run: &mut dyn FnMut(&dyn Rows) -> Result<()>) -> Result<()> {
        self.engine.read(run)
    }
}

struct Bench {
    store: RowStore<Counted>,
    counts: Arc<Counts>,
}

impl Bench {
    fn new() -> Self {
        let engine = Counted::default();
        let counts = Arc::clone(&engine.counts);
        let store = RowStore::open(engine, ManualClock::shared(), Arc::new(IdSource::seeded(7)));
        let store = store.unwrap();
        Self { store, counts }
    }

    async fn commit(&self, commits: Vec<Commit>) {
        for answer in self.store.commit(commits).await.unwrap() {
            answer.unwrap();
        }
    }

    /// Makes so many tasks with these gates.
    async fn add(&self, name: &str, count: usize, gates: &[(&str, u32)]) {
        self.add_to(|_| "default", name, count, gates).await;
    }

    /// The same in queues of their own.
    async fn add_to(
        &self,
        queue: impl Fn(usize) -> &'static str,
        name: &str,
        count: usize,
        gates: &[(&str, u32)],
    ) {
        let create = |n: usize| {
            let mut task = NewTask::new(
                TaskId::new(format!("{name}{n}")).unwrap(),
                "work",
                Payload::null(),
            );
            task.queue = queue(n).into();
            task.gates = gates
                .iter()
                .map(|(key, limit)| Gate {
                    key: (*key).to_owned(),
                    limit: *limit,
                })
                .collect();
            let lease_to = None;
            Commit::of([Op::Create(Box::new(Create { task, lease_to }))])
        };
        self.commit((0..count).map(create).collect()).await;
    }

    async fn rule(&self, gate: &str, rule: &str) {
        let rule = Op::PutMark {
            key: format!("gate/{gate}").into(),
            value: Payload::parse(rule).unwrap(),
            ttl: None,
        };
        self.commit(vec![Commit::of([rule])]).await;
    }

    async fn claim(&self, limit: usize) -> Claims {
        self.claim_of(&["default"], limit).await
    }

    async fn claim_of(&self, queues: &[&str], limit: usize) -> Claims {
        let request = ClaimRequest {
            worker: WorkerId::new("worker").unwrap(),
            lanes: Lanes::new(queues, ["work"]),
            limit,
            ttl: Duration::from_secs(30),
        };
        self.store.claim(request).await.unwrap()
    }

    /// Claims until nothing is to be had.
    async fn claim_all(&self) -> Vec<Arc<TaskStateRecord>> {
        self.claim_all_of(&["default"]).await
    }

    async fn claim_all_of(&self, queues: &[&str]) -> Vec<Arc<TaskStateRecord>> {
        let mut all = Vec::new();
        loop {
            let claims = self.claim_of(queues, 256).await;
            if claims.tasks.is_empty() && !claims.more {
                return all;
            }
            all.extend(claims.tasks);
        }
    }

    async fn succeed(&self, records: &[Arc<TaskStateRecord>]) {
        let settle = |record: &Arc<TaskStateRecord>| {
            let held = record.lease.as_ref().map(Lease::reference).unwrap();
            let done = Settlement::success(Payload::null());
            Commit::of([Op::Settle(record.id.clone(), Box::new(done))])
                .when(Guard::Held(record.id.clone(), held))
        };
        self.commit(records.iter().map(settle).collect()).await;
    }

    fn forget(&self) {
        self.counts.rows.store(0, Ordering::Relaxed);
        self.counts.records.store(0, Ordering::Relaxed);
        self.counts.written.store(0, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_claim_counts_the_holders_of_a_gate_once() {
    let bench = Bench::new();
    bench.rule("queue/default", r#"{"max": 1000}"#).await;
    bench.add("running", 500, &[]).await;
    assert_eq!(bench.claim_all().await.len(), 500);
    bench.add("next", 100, &[]).await;
    bench.forget();
    assert_eq!(bench.claim(100).await.tasks.len(), 100);
    let rows = bench.counts.rows.load(Ordering::Relaxed);
    // For each of 100 that would be 50,000.
    assert!(rows < 5_000, "a claim of 100 read {rows} rows");
}

#[tokio::test]
async fn who_leaves_a_gate_reads_one_of_those_behind_it() {
    let bench = Bench::new();
    bench.add("t", 200, &[("user/7", 1)]).await;
    let holder = bench.claim_all().await;
    bench.forget();
    bench.succeed(&holder).await;
    // Its own, the one that comes back, and one more look.
    let records = bench.counts.records.load(Ordering::Relaxed);
    assert!(records <= 3, "a settle read {records} records");
}

#[tokio::test]
async fn those_who_leave_a_gate_in_one_write_bring_back_no_more_than_three_each() {
    let bench = Bench::new();
    bench.add("t", 1_500, &[("user/7", 50)]).await;
    let holders = bench.claim_all().await;
    assert_eq!(holders.len(), 50);
    bench.succeed(&holders).await;
    let mut waiting = TaskFilter::status([TaskStatus::Pending]);
    waiting.name = Some("work".to_owned());
    let mut back = 0;
    let mut page = PageRequest::first(1_000);
    loop {
        let found = bench.store.list(&waiting, page).await.unwrap();
        let items = found.items.iter();
        back += items.filter(|item| item.record.parked.is_none()).count();
        if found.complete {
            break;
        }
        page = PageRequest {
            after: found.next,
            ..PageRequest::first(1_000)
        };
    }
    assert!((50..=150).contains(&back), "{back} came back for 50");
    assert_eq!(bench.claim_all().await.len(), 50);
}

#[tokio::test]
async fn those_who_come_back_and_cannot_run_do_not_leave_a_gate_empty_before_others() {
    let bench = Bench::new();
    let queue = |n: usize| if n < 5 { "paused" } else { "default" };
    bench.add("holder", 3, &[("user/7", 3)]).await;
    let holders = bench.claim_all().await;
    assert_eq!(holders.len(), 3);
    bench.add_to(queue, "t", 6, &[("user/7", 3)]).await;
    let parked = bench.claim_all_of(&["paused", "default"]).await;
    assert_eq!(parked.len(), 0);
    bench.rule("queue/paused", r#"{"paused": true}"#).await;
    for holder in holders {
        bench.succeed(&[holder]).await;
    }
    let next: Vec<_> = bench.claim_all_of(&["paused", "default"]).await;
    let next: Vec<&str> = next.iter().map(|record| record.id.as_str()).collect();
    assert_eq!(next, ["t5"]);
}

#[tokio::test]
async fn a_claim_writes_a_bounded_number_of_records_however_many_wait_behind_an_open_gate() {
    let bench = Bench::new();
    bench.add("holder", 1, &[("full", 1)]).await;
    let holder = bench.claim_all().await;
    bench.rule("wide", r#"{"paused": true}"#).await;
    bench.add("t", 1_000, &[("wide", 1_000), ("full", 1)]).await;
    assert!(bench.claim_all().await.is_empty());
    bench.rule("wide", "{}").await;
    let mut claims = 0;
    loop {
        bench.forget();
        let claimed = bench.claim(16).await;
        let written = bench.counts.written.load(Ordering::Relaxed);
        // Those that it may look at, and those that it may send on.
        assert!(
            written <= 64 + 4 * 16 + 64,
            "a claim wrote {written} records"
        );
        assert!(claimed.tasks.is_empty());
        claims += 1;
        assert!(claims < 40, "{claims} claims for 1,000 tasks");
        if !claimed.more {
            break;
        }
    }
    bench.succeed(&holder).await;
    assert_eq!(bench.claim_all().await.len(), 1);
}

#[tokio::test]
async fn those_who_come_back_and_cannot_run_do_not_narrow_a_gate() {
    let bench = Bench::new();
    let queue = |n: usize| if n % 4 == 3 { "paused" } else { "default" };
    bench.add_to(queue, "t", 200, &[("user/7", 5)]).await;
    let mut running = bench.claim_all_of(&["default", "paused"]).await;
    assert_eq!(running.len(), 5);
    bench.rule("queue/paused", r#"{"paused": true}"#).await;
    let mut ended = 0;
    while let Some(first) = running.pop() {
        bench.succeed(&[first]).await;
        ended += 1;
        running.extend(bench.claim_all().await);
    }
    // No upkeep was needed.
    assert!(ended >= 150, "{ended} of 150 ran");
}
