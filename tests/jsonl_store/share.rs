//! One process at a time, several handles within it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tlo::store::TaskStateStoreExt;
use tlo::{Clock, ErrorKind, JsonlDurability, JsonlOptions, SystemClock};

use crate::kit::{home, id, new, open, open_with, total, try_open};

const HOLDER: &str = "TLO_TEST_JSONL_HOLDER";

/// Another process that has the store open, until it is killed.
#[tokio::test]
#[ignore = "started by the test below"]
async fn holder() {
    let path = std::env::var(HOLDER).unwrap();
    let store = open(Path::new(&path));
    store.create(new("held")).await.unwrap();
    println!("holding");
    std::thread::park();
    drop(store);
}

#[tokio::test]
async fn a_second_process_is_refused_with_who_holds_it_until_that_one_ends() {
    let (_directory, path) = home();
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "share::holder", "--nocapture"])
        .env(HOLDER, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    while !lines.next().unwrap().unwrap().ends_with("holding") {}
    let before = std::fs::read(&path).unwrap();
    let refused = try_open(&path).map(drop);
    holder.kill().unwrap();
    holder.wait().unwrap();
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let text = error.to_string();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let since = format!("{}", SystemClock.now());
    for part in [
        "tlo.jsonl",
        &format!("process {} on ", holder.id()),
        host.trim(),
        &format!("since {}", &since[..11]),
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    assert_eq!(
        std::fs::read(&path).unwrap(),
        before,
        "and nothing was done"
    );
    // The lock went with the process.
    let store = open(&path);
    assert_eq!(store.read(&id("held")).await.unwrap().id, id("held"));
}

#[test]
fn a_store_that_is_closed_can_be_opened_also_while_programs_are_started() {
    let (_directory, path) = home();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    assert!(Command::new("true").status().unwrap().success());
                }
            });
        }
        let opened = (0..300).try_for_each(|_| try_open(&path).map(drop));
        stop.store(true, Ordering::SeqCst);
        opened.unwrap();
    });
}

#[tokio::test]
async fn handles_of_one_process_share_the_store_with_the_same_promises() {
    let (_directory, path) = home();
    let (one, two) = (open(&path), open(&path));
    one.create(new("first")).await.unwrap();
    drop(one);
    two.create(new("more")).await.unwrap();
    let relaxed = JsonlOptions {
        durability: JsonlDurability::Relaxed,
        ..JsonlOptions::at(&path)
    };
    let error = open_with(relaxed.clone()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    drop(two);
    assert_eq!(total(&open_with(relaxed).unwrap()).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_wait_share_a_group() {
    let (_directory, path) = home();
    let store = Arc::new(open(&path));
    let before = store.engine().facts().last_group;
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
    let groups = store.engine().facts().last_group - before;
    println!("640 commits of 64 callers in {groups} groups");
    assert!(
        (10..=320).contains(&groups),
        "{groups} groups for 640 commits"
    );
    assert_eq!(total(&*store).await, 640);
}
