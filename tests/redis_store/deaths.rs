//! Sudden death of the server: what it had answered is there when it comes back.
//!
//! `TLO_PROOF=full` kills 50 times, otherwise three; `TLO_TEST_SEED` repeats a run.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tlo::store::{TaskStateStore, TaskStateStoreExt};
use tlo::{Payload, RedisOptions, TaskStatus};

use crate::crash::answered::Answered;
use crate::kit::{id, lease, new, open_with, until};
use crate::servers::redis::PrivateRedis;

const CALLERS: usize = 16;

/// Submits, claims and settles until the server is gone, and notes each answer after it came.
async fn caller(store: &tlo::RedisStore, name: String, answered: &Mutex<Answered>) {
    let note = |task: &str, status| answered.lock().note(task, status);
    for n in 0.. {
        let task = format!("{name}-{n}");
        if store.create(new(&task)).await.is_err() {
            return;
        }
        note(&task, TaskStatus::Pending);
        let Ok(leased) = lease(store).await else {
            return;
        };
        for task in leased {
            note(task.id.as_str(), TaskStatus::Running);
            let shown = task.lease.as_ref().unwrap().reference();
            if store
                .succeed(&task.id, shown, Payload::null())
                .await
                .is_err()
            {
                return;
            }
            note(task.id.as_str(), TaskStatus::Succeeded);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_answered_is_lost_when_the_server_is_killed() {
    // With everysec the server answers before it wrote, while a sync is under way: its kill may take two seconds.
    let settings = ["--appendonly", "yes", "--appendfsync", "always"];
    let Some(server) = PrivateRedis::with(&settings) else {
        return;
    };
    let seed = std::env::var("TLO_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    let full = std::env::var("TLO_PROOF").is_ok_and(|proof| proof == "full");
    let rounds = if full { 50 } else { 3 };
    let mut random = fastrand::Rng::with_seed(seed);
    let options = RedisOptions {
        connect_timeout: Duration::from_millis(300),
        ..RedisOptions::at(server.url())
    };
    let store = Arc::new(open_with(options).await.unwrap());
    let answered: Arc<Mutex<Answered>> = Arc::default();
    for round in 0..rounds {
        let callers: Vec<_> = (0..CALLERS)
            .map(|n| {
                let (store, answered) = (Arc::clone(&store), Arc::clone(&answered));
                let name = format!("r{round}-c{n}");
                tokio::spawn(async move { caller(&store, name, &answered).await })
            })
            .collect();
        let after = answered.lock().answers() + random.usize(50..2_000);
        until("there were answers", Duration::from_secs(60), async || {
            answered.lock().answers() >= after
        })
        .await;
        server.kill();
        for caller in callers {
            caller.await.unwrap();
        }
        server.start_again();
        // The same store finds the server again.
        until("the server answers", Duration::from_secs(10), async || {
            store.get(&[id("none")]).await.is_ok()
        })
        .await;
        // Nobody notes anything any more; the lock is only held to be allowed to look.
        let noted = std::mem::take(&mut *answered.lock());
        noted.check(&*store, seed).await;
        *answered.lock() = noted;
    }
    let answered = answered.lock();
    println!("{rounds} kills of the server, {answered} (seed {seed})");
}
