//! Sudden death of the server: what it had answered is there when it comes back.
//!
//! `TLO_PROOF=full` kills 50 times, otherwise three; `TLO_TEST_SEED` repeats a run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tlo::store::{TaskStateStore, TaskStateStoreExt};
use tlo::{Payload, RedisOptions, TaskStatus};

use crate::kit::{id, lease, new, open_with, until};
use crate::servers::redis::PrivateRedis;

const CALLERS: usize = 16;

type Answered = Mutex<BTreeMap<String, TaskStatus>>;

/// Submits, claims and settles until the server is gone, and notes each answer after it came.
async fn caller(store: &tlo::RedisStore, name: String, answered: &Answered, answers: &AtomicUsize) {
    let note = |task: &str, status: TaskStatus| {
        answers.fetch_add(1, Ordering::SeqCst);
        let mut answered = answered.lock();
        let known = answered.entry(task.to_owned()).or_insert(status);
        *known = (*known).max(status);
    };
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
    let answered: Arc<Answered> = Arc::default();
    let answers = Arc::new(AtomicUsize::new(0));
    for round in 0..rounds {
        let callers: Vec<_> = (0..CALLERS)
            .map(|n| {
                let (store, answered) = (Arc::clone(&store), Arc::clone(&answered));
                let answers = Arc::clone(&answers);
                let name = format!("r{round}-c{n}");
                tokio::spawn(async move { caller(&store, name, &answered, &answers).await })
            })
            .collect();
        let after = answers.load(Ordering::SeqCst) + random.usize(50..2_000);
        until("there were answers", Duration::from_secs(60), async || {
            answers.load(Ordering::SeqCst) >= after
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
        assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
        let answered = answered.lock().clone();
        let ids: Vec<_> = answered.keys().map(id).collect();
        let records = store.get(&ids).await.unwrap();
        for ((task, status), record) in answered.iter().zip(records) {
            let record =
                record.unwrap_or_else(|| panic!("seed {seed}: {task} was {status} and is gone"));
            assert!(
                record.status >= *status,
                "seed {seed}: {task} was {status} and is {}",
                record.status
            );
        }
    }
    println!(
        "{rounds} kills of the server, {} answers about {} tasks, none lost (seed {seed})",
        answers.load(Ordering::SeqCst),
        answered.lock().len()
    );
}
