//! The processes that the power failure hits: each says what it was answered, after the answer.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tlo::store::{Maintain, Retention, TaskStateStore, TaskStateStoreExt};
use tlo::{Payload, SqliteDurability, SqliteOptions, SqliteStore, TaskId};

use crate::kit::{lease, new, open_with};

const FOLDER: &str = "TLO_POWER_FOLDER";
const JOURNAL: &str = "TLO_POWER_JOURNAL";
const LIFE: &str = "TLO_POWER_LIFE";

/// One life of a process.
#[derive(Clone, Copy)]
pub(crate) struct Life {
    pub(crate) number: usize,
    pub(crate) callers: usize,
    pub(crate) answers: usize,
    /// It closes the store instead of dying.
    pub(crate) closes: bool,
    pub(crate) relaxed: bool,
}

/// The shim, made into something that can be preloaded.
pub(crate) fn compiled(place: &Path) -> PathBuf {
    let shim = place.join("shim.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sqlite_power/shim.c");
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let done = Command::new(compiler)
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&shim, &source])
        .args(["-ldl", "-lpthread"])
        .status()
        .unwrap();
    assert!(done.success(), "the shim does not compile");
    shim
}

/// Lives a life in this folder, all its steps appended to the journal.
pub(crate) fn live(shim: &Path, folder: &Path, journal: &Path, life: Life) {
    let Life {
        number,
        callers,
        answers,
        closes,
        relaxed,
    } = life;
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "child::child", "--nocapture"])
        .env("LD_PRELOAD", shim)
        .env(FOLDER, folder)
        .env(JOURNAL, journal)
        .env(
            LIFE,
            format!("{number} {callers} {answers} {closes} {relaxed}"),
        )
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "life {number}: {said}");
}

/// Where the lines go; the process dies after so many of them.
struct Answers {
    file: File,
    left: AtomicUsize,
    closes: bool,
}

impl Answers {
    fn say(&self, line: &str) {
        (&self.file)
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }

    /// An answer; true while there are more to come.
    fn got(&self, line: &str) -> bool {
        self.say(line);
        let left = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        let goes_on = left.is_ok_and(|left| left > 1);
        if !goes_on && !self.closes {
            self.say("die");
        }
        goes_on
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by the tests of power failures"]
async fn child() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let life = std::env::var(LIFE).unwrap();
    let [number, callers, answers, closes, relaxed] =
        life.split(' ').collect::<Vec<_>>()[..].try_into().unwrap();
    let callers: usize = callers.parse().unwrap();
    let options = SqliteOptions {
        durability: if relaxed == "true" {
            SqliteDurability::Relaxed
        } else {
            SqliteDurability::Strict
        },
        ..SqliteOptions::at(folder.join("tlo.db"))
    };
    let store = Arc::new(open_with(options).unwrap());
    let file = folder.join("answers");
    let answers = Arc::new(Answers {
        file: OpenOptions::new()
            .append(true)
            .create(true)
            .open(file)
            .unwrap(),
        left: AtomicUsize::new(answers.parse().unwrap()),
        closes: closes == "true",
    });
    upkeep(&store).await;
    let working = (0..callers).map(|caller| {
        let (store, answers) = (Arc::clone(&store), Arc::clone(&answers));
        tokio::spawn(work(store, answers, format!("l{number}-c{caller}")))
    });
    for caller in working.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    drop(store);
}

/// Creates, leases, ends and deletes until the answers are used up.
async fn work(store: Arc<SqliteStore>, answers: Arc<Answers>, who: String) {
    let mut random = fastrand::Rng::new();
    for n in 0.. {
        let mut task = new(format!("{who}-{n}"));
        task.args = Payload::of(&"x".repeat(random.usize(..6_000))).unwrap();
        let task = store.create(task).await.unwrap();
        if !answers.got(&format!("made {task}")) {
            return;
        }
        for task in lease(&store, 1).await.unwrap() {
            let lease = task.lease.as_ref().unwrap();
            if !answers.got(&format!("leased {} {}", task.id, lease.fence)) {
                return;
            }
            let done = store.succeed(&task.id, lease.reference(), Payload::null());
            done.await.unwrap();
            if !answers.got(&format!("done {}", task.id)) {
                return;
            }
            if n % 2 == 0 && !delete(&store, &answers, &task.id).await {
                return;
            }
        }
        if n % 40 == 39 {
            upkeep(&store).await;
        }
    }
}

async fn delete(store: &SqliteStore, answers: &Answers, task: &TaskId) -> bool {
    // Also said before: it may be gone without an answer.
    answers.say(&format!("deleting {task}"));
    store.delete(task).await.unwrap();
    answers.got(&format!("gone {task}"))
}

/// Keeps everything, and looks a file through that was not closed.
pub(crate) async fn upkeep(store: &SqliteStore) {
    let retention = Retention {
        age: None,
        count: None,
    };
    let step = Maintain {
        retention,
        limit: 100,
    };
    store.maintain(step).await.unwrap();
}

/// The files that a database leaves in a folder.
pub(crate) fn files(folder: &Path) -> crate::journal::Files {
    let mut files = crate::journal::Files::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name != "answers" && !name.ends_with("-shm") {
            files.insert(name, fs::read(&path).unwrap());
        }
    }
    files
}

/// Of the same files, which they are.
pub(crate) fn inodes(folder: &Path) -> std::collections::HashMap<String, u64> {
    use std::os::unix::fs::MetadataExt;
    let inode = |name: String| {
        let facts = fs::metadata(folder.join(&name)).unwrap();
        (name, facts.ino())
    };
    files(folder).into_keys().map(inode).collect()
}
