//! Sixteen processes write one file at the same time, and a stranger locks it now and then.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::Connection;
use tlo::store::{TaskStateStore, TaskStateStoreExt};
use tlo::{Clock, ErrorKind, Payload, SystemClock, TaskStatus, WorkerId};

use crate::kit::is_full;
use crate::kit::{home, id, lease, new, open, total};

const PROCESSES: usize = 16;
const WRITER: &str = "TLO_STORM_WRITER";

/// Since the machine was started, in microseconds: the same in every process.
fn now() -> u128 {
    SystemClock.steady().at.as_micros()
}

/// What a process writes down.
struct Notes(Mutex<BufWriter<File>>);

impl Notes {
    fn say(&self, line: &str) {
        writeln!(self.0.lock(), "{line}").unwrap();
    }

    /// Asks until there is an answer. Only what may be tried again may fail.
    async fn insist<T>(&self, mut ask: impl AsyncFnMut() -> tlo::Result<T>) -> tlo::Result<T> {
        loop {
            let begun = now();
            let answer = ask().await;
            let took = now() - begun;
            match answer {
                Err(error) if error.is_retryable() => self.say(&format!("refused {took}")),
                answer => {
                    self.say(&format!("took {took}"));
                    return answer;
                }
            }
        }
    }
}

/// One of the processes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by the test below"]
async fn writer() {
    let given = std::env::var(WRITER).unwrap();
    let [folder, me, seconds] = given.split(',').collect::<Vec<_>>()[..].try_into().unwrap();
    let folder = PathBuf::from(folder);
    let seconds: u64 = seconds.parse().unwrap();
    let store = open(&folder.join("tlo.db"));
    let file = File::create(folder.join(format!("notes-{me}"))).unwrap();
    let notes = Notes(Mutex::new(BufWriter::new(file)));
    let until = now() + u128::from(seconds) * 1_000_000;
    let caller = async |caller: usize| {
        let who = format!("{me}.{caller}");
        for n in (0..).take_while(|_| now() <= until) {
            work(&store, &notes, &who, n).await;
        }
    };
    tokio::join!(caller(0), caller(1), caller(2));
    notes.0.lock().flush().unwrap();
}

/// Submits one, claims some, ends each or hands it back.
async fn work(store: &tlo::SqliteStore, notes: &Notes, who: &str, n: usize) {
    let task = format!("{who}-{n}");
    let mut asked = 0;
    let made = notes.insist(async || {
        asked += 1;
        store.create(new(&task)).await
    });
    match made.await {
        Ok(_) => notes.say(&format!("made {task}")),
        Err(error) => {
            // An earlier try went through after its answer was given up.
            assert!(
                asked > 1 && error.kind() == ErrorKind::AlreadyExists,
                "{error:?}"
            );
            notes.say(&format!("made {task}"));
        }
    }
    let worker = WorkerId::new(who).unwrap();
    let minutes = Duration::from_secs(600);
    let lanes = ["greet"];
    let claimed = notes
        .insist(async || store.lease(&worker, "default", &lanes, 2, minutes).await)
        .await
        .unwrap();
    for (index, task) in claimed.iter().enumerate() {
        let lease = task.lease.as_ref().unwrap();
        let (from, reference) = (now(), lease.reference());
        let is_released = n.is_multiple_of(5) && index == 0;
        let until = now();
        let mut asked = 0;
        let settled = notes.insist(async || {
            asked += 1;
            if is_released {
                store.release(&task.id, reference).await
            } else {
                let result = Payload::of(who)?;
                store.succeed(&task.id, reference, result).await
            }
        });
        match settled.await {
            Ok(_) => {}
            Err(error) => assert!(
                asked > 1 && error.kind() == ErrorKind::Conflict,
                "{error:?}"
            ),
        }
        let end = if is_released { "released" } else { who };
        notes.say(&format!(
            "held {} {} {from} {until} {end}",
            task.id, lease.fence
        ));
    }
}

/// Locks the file from outside, for `held` in each `every`.
fn stranger(
    path: &Path,
    held: Duration,
    every: Duration,
    stop: &Arc<AtomicBool>,
) -> std::thread::JoinHandle<usize> {
    let (path, stop) = (path.to_owned(), Arc::clone(stop));
    std::thread::spawn(move || {
        let holder = Connection::open(path).unwrap();
        holder.busy_timeout(Duration::from_secs(60)).unwrap();
        let mut locks = 0;
        while !stop.load(Ordering::SeqCst) {
            holder.execute_batch("BEGIN IMMEDIATE").unwrap();
            std::thread::sleep(held);
            holder.execute_batch("ROLLBACK").unwrap();
            locks += 1;
            std::thread::sleep(every);
        }
        locks
    })
}

/// What all processes wrote down.
#[derive(Default)]
struct Books {
    made: BTreeSet<String>,
    /// By task: fence, when it was held, and by whom it was ended.
    held: BTreeMap<String, Vec<(u64, u128, u128, String)>>,
    took: Vec<u128>,
    refused: usize,
    shares: Vec<usize>,
}

impl Books {
    fn read(folder: &Path) -> Self {
        let mut books = Self::default();
        for me in 0..PROCESSES {
            let before = books.made.len();
            let notes = std::fs::read_to_string(folder.join(format!("notes-{me}"))).unwrap();
            for line in notes.lines() {
                let words: Vec<&str> = line.split(' ').collect();
                match words[..] {
                    ["made", task] => {
                        assert!(books.made.insert(task.to_owned()), "{task} made twice");
                    }
                    ["took", micros] => books.took.push(micros.parse().unwrap()),
                    ["refused", _] => books.refused += 1,
                    ["held", task, fence, from, until, end] => {
                        books.held.entry(task.to_owned()).or_default().push((
                            fence.parse().unwrap(),
                            from.parse().unwrap(),
                            until.parse().unwrap(),
                            end.to_owned(),
                        ));
                    }
                    _ => panic!("{line}"),
                }
            }
            books.shares.push(books.made.len() - before);
        }
        books.took.sort_unstable();
        books
    }

    /// Nobody had a task while another had it, and each was ended once.
    fn check(&mut self) {
        for (task, held) in &mut self.held {
            held.sort();
            for pair in held.windows(2) {
                assert!(pair[0].0 < pair[1].0, "{task}: one fence twice: {held:?}");
                assert!(pair[0].2 <= pair[1].1, "{task} held by two: {held:?}");
            }
            let (last, earlier) = held.split_last().unwrap();
            let _ = last;
            assert!(
                earlier.iter().all(|(.., end)| end == "released"),
                "{task} went on after its end: {held:?}"
            );
        }
    }

    fn took(&self, percent: usize) -> u128 {
        self.took[(self.took.len() - 1) * percent / 100] / 1_000
    }
}

#[tokio::test]
async fn sixteen_processes_on_one_file_lose_nothing_and_share_no_lease() {
    let seconds: u64 = if is_full() { 60 } else { 3 };
    let (directory, path) = home();
    let start = |me: usize| -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "busy::writer", "--nocapture"])
            .env(
                WRITER,
                format!("{},{me},{seconds}", directory.path().display()),
            )
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let writers: Vec<_> = (0..PROCESSES).map(start).collect();
    let store = open(&path);
    let stop = Arc::new(AtomicBool::new(false));
    let second = Duration::from_secs(1);
    let locking = stranger(&path, second, 4 * second, &stop);
    let reading = Connection::open(&path).unwrap();
    reading
        .execute_batch("BEGIN; SELECT count(*) FROM rows")
        .unwrap();
    let ended = writers
        .into_iter()
        .map(|writer| writer.wait_with_output().unwrap());
    for ended in ended.collect::<Vec<_>>() {
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{said}");
    }
    stop.store(true, Ordering::SeqCst);
    let locks = locking.join().unwrap();
    reading.execute_batch("ROLLBACK").unwrap();

    let mut books = Books::read(directory.path());
    books.check();
    assert_eq!(total(&store).await, books.made.len() as u64);
    let mut rest = 0;
    loop {
        let tasks = lease(&store, 100).await.unwrap();
        if tasks.is_empty() {
            break;
        }
        for task in tasks {
            rest += 1;
            let reference = task.lease.as_ref().unwrap().reference();
            let done = store.succeed(&task.id, reference, Payload::null());
            assert_eq!(done.await.unwrap(), TaskStatus::Succeeded);
        }
    }
    let made: Vec<_> = books.made.iter().map(id).collect();
    for ids in made.chunks(1_000) {
        for record in store.get(ids).await.unwrap() {
            let record = record.unwrap();
            assert_eq!(record.status, TaskStatus::Succeeded, "{record:?}");
            let end = books
                .held
                .get(record.id.as_str())
                .and_then(|held| held.last());
            if let Some((fence, .., who)) = end.filter(|(.., who)| who != "released") {
                let result = record.result.as_ref().unwrap().decode::<String>().unwrap();
                assert_eq!((record.fence, &result), (*fence, who), "another's result");
            }
        }
    }
    assert!(store.check().await.unwrap().is_empty());
    println!(
        "{PROCESSES} processes for {seconds} s, {locks} locks of 1 s by a stranger: {} tasks made, {} runs, {rest} left over; \
         {} calls: {} refused as retryable, no other error, p50 {} ms, p99 {} ms, longest {} ms; \
         {} to {} tasks a process; lost 0, held by two at once 0",
        books.made.len(),
        books.held.values().map(Vec::len).sum::<usize>(),
        books.took.len(),
        books.refused,
        books.took(50),
        books.took(99),
        books.took(100),
        books.shares.iter().min().unwrap(),
        books.shares.iter().max().unwrap(),
    );
    assert!(books.shares.iter().all(|share| *share > 0));
}
