//! A handler that blocks its thread keeps its lease, on every store.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod engine_kit;
#[cfg(any(feature = "redis", feature = "postgres"))]
mod servers;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use engine_kit::{Notes, Place, program, record, until};
use parking_lot::Mutex;
use tlo::prelude::*;
use tlo::store::SharedStore;
use tlo::testing::ManualClock;
use tlo::{Clock, IdSource, MemoryStore, Steady};

/// A handler that blocks its thread until the test lets it go.
fn blocking(release: mpsc::Receiver<()>) -> Task {
    let release = Arc::new(Mutex::new(Some(release)));
    task("t").run(move |_: TaskContext, _: ()| {
        // The body blocks the runtime itself, as badly written handlers do.
        let release = release.lock().take();
        async move {
            release.map(|release| release.recv_timeout(Duration::from_secs(20)));
        }
    })
}

/// A manual clock that knows how often the thread that renews leases lay down on it.
#[derive(Debug)]
struct Renewing {
    clock: Arc<ManualClock>,
    rests: AtomicUsize,
}

#[async_trait::async_trait]
impl Clock for Renewing {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }
    fn steady(&self) -> Steady {
        self.clock.steady()
    }
    async fn sleep(&self, duration: Duration) {
        let mut sleep = self.clock.sleep(duration);
        tokio::select! {
            biased;
            () = &mut sleep => return,
            () = std::future::ready(()) => {}
        }
        // It sleeps from here on: time may be moved.
        if std::thread::current().name() == Some("tlo-heartbeat") {
            self.rests.fetch_add(1, Ordering::SeqCst);
        }
        sleep.await;
    }
}

/// One worker on a runtime of one thread, blocked for many leases, and a second that waits for its lease to end.
async fn blocking_handler_keeps_lease(
    clock: Arc<ManualClock>,
    mine: SharedStore,
    rivals: SharedStore,
) {
    let (release, released) = mpsc::channel();
    let mine_too = mine.clone();
    let renewing = Arc::new(Renewing {
        clock: clock.clone(),
        rests: AtomicUsize::new(0),
    });
    let my_clock = renewing.clone();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let blocked = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let context = program()
                .clock(my_clock)
                .store(mine_too)
                .set("lease", "300ms")
                .task(blocking(released))
                .build()
                .await
                .unwrap();
            let done = async { drop(stopped.await) };
            Runner::new(context).run_until(done).await.unwrap();
        });
    });
    let stolen = Notes::default();
    let noted = stolen.clone();
    let rival = program()
        .clock(clock.clone())
        .store(rivals.clone())
        .set("lease", "300ms")
        .task(task("t").run(move |_: TaskContext, _: ()| {
            noted.add(());
            async {}
        }))
        .build()
        .await
        .unwrap();
    let handle = program()
        .clock(clock.clone())
        .store(rivals.clone())
        .task(task("t").declare())
        .build()
        .await
        .unwrap()
        .client()
        .task("t")
        .submit()
        .await
        .unwrap();
    until("the blocking handler runs", async || {
        handle.status().await.unwrap() == TaskStatus::Running
    })
    .await;
    let (stop_rival, rival_stopped) = tokio::sync::oneshot::channel::<()>();
    let rival = tokio::spawn(Runner::new(rival).run_until(async { drop(rival_stopped.await) }));
    // Six times as long as the lease, a third of it at a time: each is renewed although the runtime is blocked.
    for renewals in 1..=18 {
        until("the next renewal is waited for", async || {
            renewing.rests.load(Ordering::SeqCst) >= renewals
        })
        .await;
        let now = record(&*mine, handle.id()).await;
        assert_eq!(now.status, TaskStatus::Running);
        assert_eq!(now.lease.unwrap().until.since(clock.now()), millis(300));
        clock.advance(millis(100));
    }
    release.send(()).unwrap();
    until("its end is recorded", async || {
        record(&*mine, handle.id()).await.status != TaskStatus::Running
    })
    .await;
    let done = record(&*mine, handle.id()).await;
    assert_eq!(
        (done.status, done.leases, done.lost),
        (TaskStatus::Succeeded, 1, 0)
    );
    assert_eq!(stolen.len(), 0);
    drop((stop, stop_rival));
    rival.await.unwrap().unwrap();
    blocked.join().unwrap();
}

#[tokio::test]
async fn blocking_handler_keeps_lease_on_memory() {
    let clock = ManualClock::shared();
    let store = Arc::new(MemoryStore::new(
        clock.clone(),
        Arc::new(IdSource::random()),
    ));
    blocking_handler_keeps_lease(clock, store.clone(), store).await;
}

#[tokio::test]
async fn blocking_handler_keeps_lease_on_sqlite() {
    let place = Place::new();
    let clock = ManualClock::shared();
    let (mine, rivals) = (
        place.open_with(clock.clone()),
        place.open_with(clock.clone()),
    );
    blocking_handler_keeps_lease(clock, mine, rivals).await;
}

#[cfg(all(feature = "lmdb", feature = "jsonl"))]
#[tokio::test]
async fn blocking_handler_keeps_lease_on_lmdb_and_jsonl() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), ManualClock::shared());
    let ids = Arc::new(IdSource::random());
    let lmdb = tlo::LmdbOptions::at(folder.path().join("lmdb"));
    let open = || Arc::new(lmdb.clone().open(clock.clone(), ids.clone()).unwrap());
    blocking_handler_keeps_lease(clock.clone(), open(), open()).await;
    let jsonl = tlo::JsonlOptions::at(folder.path().join("jsonl"));
    let open = || Arc::new(jsonl.clone().open(clock.clone(), ids.clone()).unwrap());
    blocking_handler_keeps_lease(clock.clone(), open(), open()).await;
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn blocking_handler_keeps_lease_on_redis() {
    use tlo::testing::conformance::StoreFactory;
    let Some(redis) = servers::redis::Redis::start() else {
        return;
    };
    let clock = ManualClock::shared();
    let open = || redis.open("blocked", clock.clone(), Arc::new(IdSource::random()));
    let (mine, rivals) = (open().await.unwrap(), open().await.unwrap());
    blocking_handler_keeps_lease(clock.clone(), mine, rivals).await;
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn blocking_handler_keeps_lease_on_postgres() {
    use tlo::testing::conformance::StoreFactory;
    let Some(postgres) = servers::postgres::Postgres::start() else {
        return;
    };
    let clock = ManualClock::shared();
    let open = || postgres.open("leases", clock.clone(), Arc::new(IdSource::random()));
    let (mine, rivals) = (open().await.unwrap(), open().await.unwrap());
    blocking_handler_keeps_lease(clock.clone(), mine, rivals).await;
}
