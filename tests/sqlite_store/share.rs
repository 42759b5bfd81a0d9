//! Several callers, handles and threads on one file.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tlo::store::TaskStateStoreExt;
use tlo::{Clock, SqliteStore, SystemClock};

use crate::kit::{home, lease, logged_commits, new, open, total};

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

/// One of several processes that open the same files at the same time, and use them.
#[tokio::test]
#[ignore = "started by the tests below"]
async fn opener() {
    let folder = std::env::var(OPENER).unwrap();
    let (folder, me) = folder.rsplit_once(',').unwrap();
    let folder = Path::new(folder);
    let mut last = None;
    for n in 0..FILES {
        std::fs::write(folder.join(format!("{n}-{me}")), "").unwrap();
        let is_here = |other: usize| folder.join(format!("{n}-{other}")).exists();
        let began = SystemClock.steady().at;
        while !(0..OPENERS).all(is_here) {
            let waited = SystemClock.steady().at.saturating_sub(began);
            assert!(waited < Duration::from_secs(60), "the others are gone");
            std::thread::yield_now();
        }
        let store = open(&folder.join(format!("{n}.db")));
        // Each look opens one more connection, while others still open the file.
        let (one, two) = tokio::join!(total(&store), total(&store));
        assert!(one.min(two) >= 1 || !folder.join(LEFT).exists());
        store.create(new(format!("by-{me}"))).await.unwrap();
        assert_eq!(store.facts().await.unwrap().journal_mode, "wal");
        last = Some(store);
    }
    drop(last);
}

const OPENERS: usize = 3;
const FILES: usize = 60;

/// A file that says that the databases beside it had a task when they were left.
const LEFT: &str = "left";

#[test]
fn processes_that_make_the_same_file_at_the_same_time_all_get_it() {
    let (directory, _path) = home();
    open_together(directory.path(), || {});
}

#[tokio::test]
async fn processes_that_find_a_file_left_open_at_the_same_time_all_get_it() {
    let (directory, path) = home();
    let store = open(&path);
    store.create(new("left")).await.unwrap();
    // What a process leaves that dies: the file and its log.
    for n in 0..FILES {
        let copy = directory.path().join(format!("{n}.db"));
        for end in ["", "-wal"] {
            let of = |path: &Path| format!("{}{end}", path.display());
            std::fs::copy(of(&path), of(&copy)).unwrap();
        }
    }
    std::fs::write(directory.path().join(LEFT), "").unwrap();
    // A process that saw the file without its log would go on without one, and the next one could not.
    let mut without_log = 0;
    open_together(directory.path(), || {
        let is_wal = |n| {
            let mut head = [0; 20];
            let mut file = std::fs::File::open(directory.path().join(format!("{n}.db"))).unwrap();
            std::io::Read::read_exact(&mut file, &mut head).unwrap();
            head[18..] == [2, 2]
        };
        without_log += (0..FILES).filter(|n| !is_wal(*n)).count();
    });
    assert_eq!(without_log, 0, "a file was taken out of WAL mode");
}

/// Starts the openers, and looks on until they have ended well.
fn open_together(folder: &Path, mut look: impl FnMut()) {
    let start = |me: usize| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "share::opener", "--nocapture"])
            .env(OPENER, format!("{},{me}", folder.display()))
            .env("TMPDIR", folder)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut openers: Vec<_> = (0..OPENERS).map(start).collect();
    let goes_on = |opener: &mut std::process::Child| opener.try_wait().unwrap().is_none();
    while openers.iter_mut().any(goes_on) {
        look();
        std::thread::yield_now();
    }
    for opener in openers {
        let output = opener.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
}
