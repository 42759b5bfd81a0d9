//! Several callers, handles and threads on one file.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tlo::store::{Hint, TaskStateStore, TaskStateStoreExt};
use tlo::{Clock, SqliteStore, SystemClock};

use crate::kit::{home, id, lease, logged_commits, new, open, total, until};

#[tokio::test]
async fn handles_on_one_file_see_each_others_answers_at_once() {
    let (_directory, path) = home();
    let (one, two) = (open(&path), open(&path));
    for n in 0..50 {
        let (from, to) = if n % 2 == 0 {
            (&one, &two)
        } else {
            (&two, &one)
        };
        let task = id(format!("t{n}"));
        from.create(new(task.as_str())).await.unwrap();
        assert_eq!(to.read(&task).await.unwrap().id, task);
        assert!(to.create(new(task.as_str())).await.is_err());
    }
    assert_eq!((total(&one).await, total(&two).await), (50, 50));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn handles_that_claim_at_the_same_time_never_share_a_task() {
    let (_directory, path) = home();
    let handles: Vec<_> = (0..4).map(|_| Arc::new(open(&path))).collect();
    for n in 0..400 {
        handles[n % 4]
            .create(new(format!("t{n:03}")))
            .await
            .unwrap();
    }
    let claiming: Vec<_> = handles
        .iter()
        .map(|store| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let mut mine = Vec::new();
                loop {
                    let tasks = lease(&store, 7).await.unwrap();
                    if tasks.is_empty() {
                        return mine;
                    }
                    mine.extend(tasks.iter().map(|task| task.id.clone()));
                }
            })
        })
        .collect();
    let mut claimed = Vec::new();
    for task in claiming {
        claimed.extend(task.await.unwrap());
    }
    let unique: BTreeSet<_> = claimed.iter().collect();
    assert_eq!((claimed.len(), unique.len()), (400, 400));
}

#[tokio::test]
async fn a_listener_hears_of_another_handles_writes_and_not_of_its_own() {
    let (_directory, path) = home();
    let (mine, other) = (open(&path), open(&path));
    let mut hints = mine.hints();
    mine.create(new("a")).await.unwrap();
    assert_eq!(hints.next().await, Some(Hint::Ready("default".into())));
    // Longer than the pause between two looks.
    let looked = SystemClock.steady().at + Duration::from_millis(600);
    until("the watch has looked", || async {
        SystemClock.steady().at > looked
    })
    .await;
    assert_eq!(hints.try_next(), None, "its own write is no news");
    let started = SystemClock.steady().at;
    other.create(new("b")).await.unwrap();
    assert_eq!(hints.next().await, Some(Hint::Unknown));
    let waited = SystemClock.steady().at.saturating_sub(started);
    assert!(waited < Duration::from_secs(2), "{waited:?}");
}

#[tokio::test]
async fn a_lone_commit_is_one_transaction() {
    let (_directory, path) = home();
    let store = open(&path);
    store.create(new("first")).await.unwrap();
    let before = logged_commits(&path);
    store.create(new("second")).await.unwrap();
    assert_eq!(logged_commits(&path) - before, 1);
    lease(&store, 10).await.unwrap();
    assert_eq!(logged_commits(&path) - before, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_wait_share_a_transaction() {
    let (_directory, path) = home();
    let store: Arc<SqliteStore> = Arc::new(open(&path));
    let before = logged_commits(&path);
    let callers: Vec<_> = (0..64)
        .map(|caller| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for n in 0..10 {
                    store.create(new(format!("t{caller}-{n}"))).await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let transactions = logged_commits(&path) - before;
    println!("640 commits of 64 callers in {transactions} transactions");
    assert!(
        (10..=160).contains(&transactions),
        "{transactions} transactions for 640 commits"
    );
    assert_eq!(total(&*store).await, 640);
}

const OPENER: &str = "TLO_TEST_SQLITE_OPENER";

/// One of several processes that open the same new files at the same time.
#[tokio::test]
#[ignore = "started by the test below"]
async fn opener() {
    let folder = std::env::var(OPENER).unwrap();
    let (folder, me) = folder.rsplit_once(',').unwrap();
    let folder = Path::new(folder);
    for n in 0..FILES {
        std::fs::write(folder.join(format!("{n}-{me}")), "").unwrap();
        let is_here = |other: usize| folder.join(format!("{n}-{other}")).exists();
        let began = SystemClock.steady().at;
        while !(0..OPENERS).all(is_here) {
            let waited = SystemClock.steady().at.saturating_sub(began);
            assert!(waited < Duration::from_secs(60), "the others are gone");
            std::thread::yield_now();
        }
        open(&folder.join(format!("{n}.db")));
    }
}

const OPENERS: usize = 3;
const FILES: usize = 60;

#[test]
fn processes_that_make_the_same_file_at_the_same_time_all_get_it() {
    let (directory, _path) = home();
    let start = |me: usize| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "share::opener", "--nocapture"])
            .env(OPENER, format!("{},{me}", directory.path().display()))
            .env("TMPDIR", directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let openers: Vec<_> = (0..OPENERS).map(start).collect();
    for opener in openers {
        let output = opener.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
}
