//! The test's side: a home for the file and the journal, and processes that are started, stopped and killed.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tempfile::TempDir;
use tlo::prelude::*;
use tlo::settings::SettingsSource;
use tlo::store::{CountBy, SharedStore, TaskFilter, TaskStateStore};
use tlo::{IdSource, SqliteOptions, SqliteStore, SystemClock, TaskId, TloContext};

use crate::book::Book;
use crate::checker::{self, Filed, Violation};
use crate::journal::{self, Journal, JournalReader, Note};
use crate::leftovers;
use crate::orders::{KEYS, USERS, definitions, key_of, submit};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn is_full() -> bool {
    std::env::var("TLO_PROOF").is_ok_and(|proof| proof == "full")
}

/// Chance, and the seed to be printed.
pub(crate) fn chance() -> (fastrand::Rng, u64) {
    let seed = std::env::var("TLO_TEST_SEED").ok();
    let seed = seed.and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    (fastrand::Rng::with_seed(seed), seed)
}

/// Lets time pass between two blows of a test that is about chance.
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Waits until a condition holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = journal::now();
    while !holds() {
        let waited = Duration::from_micros(journal::now() - begun);
        assert!(waited < PATIENCE, "after {waited:?} not yet: {what}");
        pause(Duration::from_millis(3));
    }
}

/// A directory with the file and the journal in it.
pub(crate) struct Home {
    directory: TempDir,
    lease: Duration,
    next: AtomicU32,
    pub(crate) journal: Arc<Journal>,
    reading: Mutex<(JournalReader, Book)>,
}

impl Home {
    pub(crate) fn new(lease: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        Self {
            journal: Arc::new(Journal::open(&path, 0)),
            reading: Mutex::new((JournalReader::open(&path), Book::default())),
            directory,
            lease,
            next: AtomicU32::new(1),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What is in the journal by now.
    pub(crate) fn book(&self) -> MappedMutexGuard<'_, Book> {
        let mut reading = self.reading.lock();
        let (reader, book) = &mut *reading;
        for line in reader.new_lines() {
            book.enter(&line);
        }
        MutexGuard::map(reading, |(_, book)| book)
    }

    pub(crate) fn open(&self) -> SharedStore {
        let options = SqliteOptions::at(self.path("tlo.db"));
        let store = SqliteStore::open(options, SystemClock::shared(), Arc::new(IdSource::random()));
        Arc::new(store.unwrap())
    }

    /// Starts a process of this role.
    pub(crate) fn start(&self, role: &'static str) -> Process {
        self.start_with(role, &[])
    }

    pub(crate) fn start_with(&self, role: &'static str, told: &[(&str, String)]) -> Process {
        let who = self.next.fetch_add(1, Ordering::Relaxed);
        let mut errors = OpenOptions::new();
        let errors = errors.append(true).create(true);
        let errors = errors.open(self.path("errors")).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--ignored", "--exact", "child::process", "--nocapture"])
            .env("TLO_TEST_HOME", self.directory.path())
            .env("TLO_TEST_WHO", who.to_string())
            .env("TLO_TEST_ROLE", role)
            .env("TLO_TEST_LEASE", format!("{}ms", self.lease.as_millis()))
            .stdout(Stdio::null())
            .stderr(errors);
        for (name, value) in told {
            command.env(format!("TLO_TEST_{name}"), value);
        }
        Process {
            who,
            role,
            child: command.spawn().unwrap(),
            journal: Arc::clone(&self.journal),
        }
    }

    /// A program that submits, and runs nothing.
    pub(crate) async fn program(&self, store: SharedStore) -> TloContext {
        TloContext::builder()
            .settings(SettingsSource::empty())
            .tasks(definitions(false))
            .store(store)
            .build()
            .await
            .unwrap()
    }

    /// Waits until everything has ended.
    pub(crate) async fn drained(&self, store: &dyn TaskStateStore) {
        let open = TaskFilter::status([TaskStatus::Pending, TaskStatus::Running]);
        let begun = journal::now();
        loop {
            let left = store.count(&open, CountBy::Name, 10_000).await.unwrap();
            if left.total() == 0 {
                return;
            }
            let waited = Duration::from_micros(journal::now() - begun);
            assert!(
                waited < PATIENCE,
                "after {waited:?} these have not ended: {left:?}; {}",
                self.errors()
            );
            pause(Duration::from_millis(20));
        }
    }

    /// Every gate and every key can be had again: a task with it is new, and runs.
    pub(crate) async fn everything_can_be_had_again(&self, store: SharedStore) {
        let context = self.program(Arc::clone(&store)).await;
        for key in 0..KEYS {
            let wanted = |n: &u64| n / 11 % KEYS == key && n / 7 % USERS == key % USERS;
            let n = (0_u64..).find(|n| n % 11 < 3 && wanted(n)).unwrap();
            let id = format!("again-{key}");
            submit(&context.client(), &self.journal, &id, n)
                .await
                .unwrap();
            let made = store.get(&[TaskId::new(&id).unwrap()]).await.unwrap();
            assert!(made[0].is_some(), "{} is still owned", key_of(key));
        }
        self.drained(&*store).await;
    }

    /// Everything that is wrong, when nothing waits or runs any more and all processes are gone.
    pub(crate) async fn violations(&self, is_thinned: bool) -> (Book, Filed, Vec<Violation>) {
        let store = self.open();
        let records = leftovers::records(&*store).await;
        let mut wrong = leftovers::accounts(&*store, &records).await;
        drop(store);
        wrong.extend(leftovers::rows(&self.path("tlo.db")));
        let (book, filed) = (
            self.book().clone(),
            Filed {
                records,
                is_thinned,
            },
        );
        wrong.extend(checker::check(&book, &filed));
        (book, filed, wrong)
    }

    /// What processes said before they were killed; none of them should have failed by itself.
    pub(crate) fn errors(&self) -> String {
        std::fs::read_to_string(self.path("errors")).unwrap_or_default()
    }

    pub(crate) fn nobody_failed(&self) {
        let errors = self.errors();
        assert!(!errors.contains("panicked"), "{errors}");
    }
}

/// A process; dropping it kills it.
pub(crate) struct Process {
    pub(crate) who: u32,
    pub(crate) role: &'static str,
    child: Child,
    journal: Arc<Journal>,
}

impl Process {
    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// As if somebody had pulled its plug.
    pub(crate) fn kill_9(&mut self) {
        let (who, wall) = (self.who, journal::wall());
        self.journal.note(Note::Killing { who, wall });
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it. All of its threads stand still afterwards: one that was inside the kernel goes on there for a while.
    pub(crate) fn stop(&self) {
        kill_process(self.pid(), Signal::STOP).unwrap();
        let stopped = waitpid(Some(self.pid()), WaitOptions::UNTRACED).unwrap();
        assert!(stopped.is_some_and(|(_, status)| status.stopped()));
        self.journal.note(Note::Stopped { who: self.who });
    }

    pub(crate) fn go_on(&self) {
        self.journal.note(Note::Continuing { who: self.who });
        kill_process(self.pid(), Signal::CONT).unwrap();
    }

    /// How it ended, when it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
