//! Sudden death of the server: what it had answered is there when it comes back.
//!
//! `TLO_PROOF=full` kills 50 times, otherwise three; `TLO_TEST_SEED` repeats a run.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tlo::store::{TaskStateStore, TaskStateStoreExt};
use tlo::{Payload, RedisOptions, TaskStatus};

use crate::crash::answered::Answered;
use crate::kit::{id, lease, new, open, open_with, until};
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

/// The server is killed in the middle of its write of a commit, which nobody was answered: nothing of it is kept, also
/// not after its next death.
#[tokio::test]
async fn a_commit_that_the_server_wrote_half_when_it_died_never_comes_back() {
    let Some(server) = PrivateRedis::with(&["--appendonly", "yes", "--appendfsync", "always"])
    else {
        return;
    };
    let store = open(&server.url()).await;
    store.create(new("a")).await.unwrap();
    let leased = lease(&store).await.unwrap();
    let before = std::fs::metadata(server.log()).unwrap().len();
    let shown = leased[0].lease.as_ref().unwrap().reference();
    let ended = store.succeed(&leased[0].id, shown, Payload::null()).await;
    ended.unwrap();
    server.kill();
    let written = std::fs::read(server.log()).unwrap();
    let commit = &written[usize::try_from(before).unwrap()..];
    let starts: Vec<usize> = (0..commit.len())
        .filter(|&at| commit[at..].starts_with(b"\r\n*"))
        .collect();
    assert!(starts.len() > 4, "a commit is many commands");
    // What it wrote last before it died is the record, or the record and some rows of lists.
    for &start in &starts[1..] {
        let torn = before + u64::try_from(start).unwrap() + 4;
        std::fs::write(server.log(), &written).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(server.log());
        file.unwrap().set_len(torn).unwrap();
        server.start_again();
        let store = open(&server.url()).await;
        store.create(new("b")).await.unwrap();
        server.kill();
        server.start_again();
        let store = open(&server.url()).await;
        assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
        let status = |name| {
            let store = &store;
            async move {
                let found = store.get(&[id(name)]).await.unwrap();
                found[0].as_ref().map(|record| record.status)
            }
        };
        assert_eq!(
            status("a").await,
            Some(TaskStatus::Running),
            "cut at {torn}"
        );
        assert_eq!(
            status("b").await,
            Some(TaskStatus::Pending),
            "cut at {torn}"
        );
        server.kill();
    }
}
