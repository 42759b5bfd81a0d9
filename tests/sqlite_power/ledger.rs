//! What was answered before a power failure, held against the file that is left.

use std::collections::BTreeMap;
use std::path::Path;

use tlo::store::{TaskStateStore, TaskStateStoreExt};
use tlo::{SqliteOptions, SqliteStore, TaskStatus};

use crate::child::upkeep;
use crate::journal::Files;
use crate::kit::{home, id, lease, new, open_with};

#[derive(Debug)]
struct Known {
    status: TaskStatus,
    fence: u64,
    may_be_gone: bool,
    is_gone: bool,
}

/// The answers of a process, by task.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    tasks: BTreeMap<String, Known>,
    pub(crate) answers: usize,
}

impl Ledger {
    pub(crate) fn of<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        let mut ledger = Self::default();
        for line in lines {
            let mut words = line.split(' ');
            let Some((word, task)) = words.next().zip(words.next()) else {
                continue;
            };
            let known = ledger.tasks.entry(task.to_owned()).or_insert(Known {
                status: TaskStatus::Pending,
                fence: 0,
                may_be_gone: false,
                is_gone: false,
            });
            match word {
                "made" => {}
                "leased" => {
                    known.fence = words.next().unwrap().parse().unwrap();
                    known.status = TaskStatus::Running;
                }
                "done" => known.status = TaskStatus::Succeeded,
                "deleting" => known.may_be_gone = true,
                "gone" => known.is_gone = true,
                other => panic!("the answer {other}"),
            }
            ledger.answers += usize::from(word != "deleting");
        }
        ledger
    }

    /// What was answered and does not stand.
    async fn lost(&self, store: &SqliteStore) -> Vec<String> {
        let ids: Vec<_> = self.tasks.keys().map(id).collect();
        let records = store.get(&ids).await.unwrap();
        let mut lost = Vec::new();
        for ((task, known), record) in self.tasks.iter().zip(records) {
            let stands = match &record {
                None => known.may_be_gone,
                Some(record) => {
                    // Taken by another caller whose answer was still on its way, it is farther on.
                    !known.is_gone && record.status >= known.status && record.fence >= known.fence
                }
            };
            if !stands {
                let now = record.map(|record| (record.status, record.fence));
                lost.push(format!("{task} was answered as {known:?} and is {now:?}"));
            }
        }
        lost
    }

    /// Opens what the disk held; says what was lost, or why it does not work.
    pub(crate) async fn check(&self, path: &Path) -> Result<Vec<String>, String> {
        let options = SqliteOptions::at(path);
        let store = open_with(options).map_err(|error| format!("{error:?}"))?;
        upkeep(&store).await;
        let wrong = store.check().await.map_err(|error| format!("{error:?}"))?;
        if !wrong.is_empty() {
            return Err(wrong.join("; "));
        }
        let lost = self.lost(&store).await;
        // And the service goes on.
        let task = store.create(new("afterwards")).await;
        let task = task.map_err(|error| format!("{error:?}"))?;
        loop {
            let leased = lease(&store, 500).await;
            let leased = leased.map_err(|error| format!("{error:?}"))?;
            if leased.iter().any(|leased| leased.id == task) {
                return Ok(lost);
            }
            if leased.is_empty() {
                return Err("a new task is not claimed".to_owned());
            }
        }
    }
}

/// A folder with these files, as the machine finds it when it is on again.
pub(crate) fn folder_of(image: &Files, random: &mut fastrand::Rng) -> tempfile::TempDir {
    let (folder, path) = home();
    for (name, bytes) in image {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    // Shared memory that was never synced may be anything.
    let mut shared = vec![0; 32 << 10];
    match random.u32(..3) {
        0 => return folder,
        1 => random.fill(&mut shared),
        _ => {}
    }
    std::fs::write(path.with_extension("db-shm"), shared).unwrap();
    folder
}
