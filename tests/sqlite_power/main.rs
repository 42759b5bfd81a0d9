//! Power failures: everything that a process does to the database is written down, the power "fails" at any of these
//! steps, and the files are made as a disk could hold them then: what was synced, and of the rest an arbitrary part, torn
//! at sectors. Each opens, is whole, and has every answer.
//!
//! `TLO_PROOF=full` does it at full counts; `TLO_TEST_SEED` repeats the failures (the processes differ in each run).
#![cfg(all(target_os = "linux", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "these are tests")]

mod child;
#[path = "../durable/kit.rs"]
#[allow(dead_code, reason = "the kit of other test programs, too")]
mod durable;
mod journal;
#[path = "../sqlite_store/kit.rs"]
#[allow(dead_code, unused_imports, reason = "the kit of another test program")]
mod kit;
mod ledger;

use std::path::{Path, PathBuf};

use child::{Life, compiled, files, inodes, live};
use fastrand::Rng;
use journal::{Files, Journal, Step, Unsynced};
use ledger::{Ledger, folder_of};
use tempfile::TempDir;

fn is_full() -> bool {
    std::env::var("TLO_PROOF").is_ok_and(|proof| proof == "full")
}

fn seed() -> u64 {
    let given = std::env::var("TLO_TEST_SEED").ok();
    let seed = given.and_then(|seed| seed.parse().ok());
    seed.unwrap_or_else(|| fastrand::u64(..))
}

/// Where processes live and are watched.
struct Watched {
    /// Keeps the folders.
    _around: TempDir,
    shim: PathBuf,
    folder: PathBuf,
    journal: PathBuf,
}

impl Watched {
    fn new() -> Self {
        let around = tempfile::tempdir().unwrap();
        // As the store names its files.
        let place = around.path().canonicalize().unwrap();
        let folder = place.join("folder");
        std::fs::create_dir(&folder).unwrap();
        Self {
            shim: compiled(&place),
            journal: place.join("journal"),
            folder,
            _around: around,
        }
    }

    fn live(&self, life: Life) {
        live(&self.shim, &self.folder, &self.journal, life);
    }

    /// What was noted; nothing may be missing from it.
    fn read(&self) -> Journal {
        let journal = Journal::read(&self.journal);
        expect_all(&journal, &self.folder);
        journal
    }
}

/// With every write kept, the image is the folder itself: the shim saw all of them.
fn expect_all(journal: &Journal, folder: &Path) {
    let image = journal.image(journal.steps.len(), Unsynced::Kept, &mut Rng::with_seed(0));
    let there = files(folder);
    assert_eq!(
        image.keys().collect::<Vec<_>>(),
        there.keys().collect::<Vec<_>>()
    );
    for (name, bytes) in &there {
        assert!(image[name] == *bytes, "{name} was written unseen");
    }
}

/// How answers and syncs of the log went together.
#[derive(Debug, Default)]
struct Account {
    commits: usize,
    syncs: usize,
    answers: usize,
    /// Answers given while something of the log had not been synced.
    too_early: usize,
}

impl Account {
    fn of(journal: &Journal) -> Self {
        let mut account = Self::default();
        let mut unsynced = 0;
        let mut covered = Vec::new();
        for step in &journal.steps {
            match step {
                Step::Write { file, at, bytes } if journal.is_log(*file) => {
                    unsynced += 1;
                    // The head of a frame that ends a transaction carries the size of the database.
                    let is_head = bytes.len() == 24 && *at >= 32;
                    account.commits += usize::from(is_head && bytes[4..8] != [0; 4]);
                }
                Step::SyncBegins {
                    file: Some(file),
                    number,
                } if journal.is_log(*file) => covered.push((*number, unsynced)),
                Step::SyncEnds { number } => {
                    if let Some(at) = covered.iter().position(|(begun, _)| begun == number) {
                        unsynced -= covered.remove(at).1;
                        account.syncs += 1;
                    }
                }
                Step::Answer(line) if line.contains(' ') && !line.starts_with("deleting") => {
                    account.answers += 1;
                    account.too_early += usize::from(unsynced > 0);
                }
                _ => {}
            }
        }
        account
    }
}

/// One caller, so that whatever was written belongs to the answer that comes next.
fn alone(answers: usize, relaxed: bool) -> Life {
    Life {
        number: 0,
        callers: 1,
        answers,
        closes: false,
        relaxed,
    }
}

#[test]
fn no_answer_comes_before_the_sync_that_covers_it() {
    let answers = if is_full() { 2_000 } else { 100 };
    let watched = Watched::new();
    watched.live(alone(answers, false));
    let account = Account::of(&watched.read());
    println!(
        "one caller: {} answers, {} commits, {} syncs of the log, {} answers before their sync",
        account.answers, account.commits, account.syncs, account.too_early
    );
    assert_eq!((account.answers, account.too_early), (answers, 0));
    assert!(account.commits >= answers, "{account:?}");
    assert!(account.syncs >= account.commits, "{account:?}");

    let watched = Watched::new();
    let life = Life {
        callers: 16,
        ..alone(answers, false)
    };
    watched.live(life);
    let account = Account::of(&watched.read());
    println!(
        "16 callers: {} answers, {} commits, {} syncs of the log",
        account.answers, account.commits, account.syncs
    );
    assert!(account.syncs >= account.commits, "{account:?}");
}

/// A step before which the power fails, and what becomes of the unsynced.
fn failure(journal: &Journal, random: &mut Rng) -> (usize, Unsynced) {
    let steps = journal.steps.len();
    let anywhere = random.usize(1..=steps);
    let follows = |wanted: &dyn Fn(&Step) -> bool| {
        let found = journal.steps[anywhere - 1..].iter().position(wanted);
        found.map_or(anywhere, |ahead| anywhere + ahead)
    };
    let cut = match random.u32(..10) {
        // Right after an answer; while a sync is under way, of anything or of what is not the log, as in a checkpoint.
        0..2 => follows(&|step| matches!(step, Step::Answer(_))),
        2..5 => follows(&|step| matches!(step, Step::SyncBegins { .. })),
        5..7 => follows(&|step| journal.is_sync_of_database(step)),
        _ => anywhere,
    };
    let unsynced = match random.u32(..10) {
        0..3 => Unsynced::Lost,
        3 => Unsynced::Kept,
        _ => Unsynced::Some(random.u32(5..95)),
    };
    (cut, unsynced)
}

#[derive(Default)]
struct Failures {
    images: usize,
    answers: usize,
    /// With writes that did not survive whole.
    changed: usize,
    again: usize,
}

#[tokio::test]
async fn no_answer_is_lost_and_no_file_is_damaged_when_the_power_fails() {
    let seed = seed();
    let (lives, answers, images) = if is_full() {
        (12, 400, 600)
    } else {
        (4, 150, 30)
    };
    let mut random = Rng::with_seed(seed);
    let watched = Watched::new();
    for number in 0..lives {
        watched.live(Life {
            number,
            callers: 8,
            answers,
            closes: number % 3 == 2,
            relaxed: false,
        });
    }
    let journal = watched.read();
    let mut failures = Failures::default();
    for number in 0..images {
        let (cut, unsynced) = failure(&journal, &mut random);
        let image = journal.image(cut, unsynced, &mut random);
        let what = format!("seed {seed}, image {number}, step {cut}, unsynced {unsynced:?}");
        failures.changed += usize::from(image != journal.image(cut, Unsynced::Kept, &mut random));
        let ledger = Ledger::of(journal.answers(cut));
        failures.answers += ledger.answers;
        failures.images += 1;
        if number % 8 == 0 {
            let before: Vec<&str> = journal.answers(cut).collect();
            fails_again(&watched.shim, &image, &before, &what, &mut random).await;
            failures.again += 1;
        }
        stands(&image, &ledger, &what, &mut random).await;
    }
    let syncs = |step: &&Step| matches!(step, Step::SyncEnds { .. });
    let checkpoints = |step: &&Step| journal.is_sync_of_database(step);
    println!(
        "{lives} processes, {} steps, {} syncs, {} of them of the database itself; {} power failures ({} took or tore something, {} came again while the file \
         was being opened), {} answers looked for: 0 lost, 0 damaged files (seed {seed})",
        journal.steps.len(),
        journal.steps.iter().filter(syncs).count(),
        journal.steps.iter().filter(checkpoints).count(),
        failures.images + failures.again,
        failures.changed,
        failures.again,
        failures.answers,
    );
    assert!(
        failures.changed * 5 > failures.images,
        "hardly anything was cut"
    );
}

async fn stands(image: &Files, ledger: &Ledger, what: &str, random: &mut Rng) {
    let folder = folder_of(image, random);
    match ledger.check(&folder.path().join("tlo.db")).await {
        Ok(lost) => assert!(lost.is_empty(), "{what}: {lost:?}"),
        Err(error) => panic!("{what}: the store does not work: {error}"),
    }
}

/// The power fails once more while the next process opens the file and goes on.
async fn fails_again(shim: &Path, image: &Files, before: &[&str], what: &str, random: &mut Rng) {
    let place = folder_of(image, random);
    let folder = place.path().canonicalize().unwrap();
    let (safe, inodes) = (files(&folder), inodes(&folder));
    let around = tempfile::tempdir().unwrap();
    let path = around.path().join("journal");
    let life = Life {
        number: 1_000,
        callers: 2,
        answers: 6,
        closes: false,
        relaxed: false,
    };
    live(shim, &folder, &path, life);
    let journal = Journal::read_after(&path, safe, &inodes);
    expect_all(&journal, &folder);
    let (cut, unsynced) = failure(&journal, random);
    let image = journal.image(cut, unsynced, random);
    let what = format!("{what}, again at step {cut}, unsynced {unsynced:?}");
    // The second process went on with what the first had left.
    let both = before.iter().copied().chain(journal.answers(cut));
    stands(&image, &Ledger::of(both), &what, random).await;
}

#[tokio::test]
async fn the_checker_sees_answers_that_were_not_synced() {
    let seed = seed();
    let mut random = Rng::with_seed(seed);
    let watched = Watched::new();
    watched.live(alone(120, true));
    let journal = watched.read();
    let account = Account::of(&journal);
    assert!(account.too_early > 60, "{account:?}");
    let image = journal.image(journal.steps.len(), Unsynced::Lost, &mut random);
    let folder = folder_of(&image, &mut random);
    let ledger = Ledger::of(journal.answers(journal.steps.len()));
    let lost = ledger.check(&folder.path().join("tlo.db")).await.unwrap();
    println!(
        "durability = \"relaxed\": {} of {} answers before their sync, {} tasks not as answered after a power failure, the file is whole",
        account.too_early,
        account.answers,
        lost.len()
    );
    assert!(lost.len() > 10, "{lost:?}");
}
