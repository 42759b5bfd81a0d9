//! Bugs that change what was stored, behind the store's back.

use tlo::store::{Commit, Committed, Effect, Op, Refusal};
use tlo::{Result, TaskId, TaskStatus};

use super::{Bug, Planted};

/// The rows of holders, keys and records that a call found.
pub(super) struct Snapshot {
    holders: Vec<(Vec<u8>, Vec<u8>)>,
    keys: Vec<(Vec<u8>, Vec<u8>)>,
    owned: Vec<String>,
}

impl Planted {
    pub(super) async fn snapshot(&self, commits: &[Commit]) -> Result<Snapshot> {
        let mut owned = Vec::new();
        if self.has(Bug::KeysFreedByAnyone) {
            for id in settled(commits) {
                let unique = self
                    .record(id)
                    .await?
                    .and_then(|record| record.unique.clone());
                owned.extend(unique.map(|unique| unique.key.to_string()));
            }
        }
        Ok(Snapshot {
            holders: self.rows(b'g'),
            keys: self.rows(b'u'),
            owned,
        })
    }

    /// Spoils what a call left behind.
    pub(super) fn ruin(&self, commits: &[Commit], answers: &mut [Committed], before: Snapshot) {
        match self.bug {
            Bug::HoldersLeak if settled(commits).next().is_some() => {
                self.engine.tree.write().extend(before.holders);
            }
            Bug::KeysNeverFreed if settled(commits).next().is_some() => {
                self.engine.tree.write().extend(before.keys);
            }
            Bug::KeysFreedByAnyone => {
                for key in before.owned {
                    let row = [b"u", key.as_bytes()].concat();
                    self.engine.tree.write().remove(&row);
                }
            }
            _ => {}
        }
        for (commit, answer) in commits.iter().zip(&mut *answers) {
            if answer.is_ok() {
                commit.ops.iter().for_each(|op| self.ruin_record(op));
            }
            match answer {
                Err(Refusal::LeaseLost(_) | Refusal::AlreadyDone(_))
                    if self.has(Bug::LateSettleAnsweredAsDone) =>
                {
                    let done = Effect::Status(TaskStatus::Succeeded);
                    *answer = Ok(vec![done; commit.ops.len()]);
                }
                Err(Refusal::Invalid(_)) if self.has(Bug::RulesUnchecked) => {
                    *answer = Ok(vec![Effect::Marked(1); commit.ops.len()]);
                }
                Err(Refusal::QueueFull { .. })
                    if self.has(Bug::MovesIntoFullQueues)
                        && matches!(commit.ops[..], [Op::Patch(..)]) =>
                {
                    *answer = Ok(vec![Effect::Status(TaskStatus::Pending)]);
                }
                Err(Refusal::AlreadyDone(id)) if self.has(Bug::RepeatedSettleAnsweredAsLost) => {
                    *answer = Err(Refusal::LeaseLost(id.clone()));
                }
                _ => {}
            }
        }
    }

    fn ruin_record(&self, op: &Op) {
        match (self.bug, op) {
            (Bug::FenceResets, Op::Settle(id, _)) => {
                self.edit(id, |record| drop(record.remove("fence")));
            }
            (Bug::CancelRequestLost, Op::Cancel(id, _)) => {
                self.edit(id, |record| drop(record.remove("cancel_requested")));
            }
            (Bug::WakeLost, Op::Wake(id)) => {
                self.edit(id, |record| drop(record.remove("woken")));
            }
            (Bug::ReviveKeepsBudget, Op::Revive(id, _)) => {
                self.edit(id, |record| drop(record.remove("forgiven")));
            }
            (Bug::CountsDrift, Op::Delete(_)) => self.memory.lock().deleted += 1,
            _ => {}
        }
    }

    /// Spoils what a claim left behind.
    pub(super) fn ruin_claimed(&self, claimed: &[&TaskId]) {
        match self.bug {
            Bug::LeasesOnTheWallClock => {
                for id in claimed {
                    self.edit(id, |record| {
                        let lease = record.get_mut("lease").and_then(|l| l.as_object_mut());
                        lease.map(|lease| lease.remove("ends"));
                    });
                }
            }
            Bug::ParkedNeverComeBack => {
                self.remove_rows(b'p');
                self.remove_rows(b'P');
            }
            Bug::GateTimersLost => self.remove_rows(b'v'),
            _ => {}
        }
    }

    /// Spoils what a place holds when it is opened again.
    pub(super) fn opened(&self) {
        match self.bug {
            Bug::RecordLostByReopen => {
                if let Some((row, _)) = self.rows(b't').pop() {
                    self.engine.tree.write().remove(&row);
                }
            }
            Bug::LeasesLostByReopen => {
                for (row, _) in self.rows(b't') {
                    let id = String::from_utf8(row[1..].to_vec()).unwrap();
                    self.edit(&TaskId::new(id).unwrap(), |record| {
                        drop(record.remove("lease"));
                    });
                }
            }
            Bug::NumbersLostByReopen => self.forget_numbers(),
            _ => {}
        }
    }
}

/// The tasks that a call ends runs of.
fn settled(commits: &[Commit]) -> impl Iterator<Item = &TaskId> {
    commits
        .iter()
        .flat_map(|commit| &commit.ops)
        .filter_map(|op| match op {
            Op::Settle(id, _) => Some(id),
            _ => None,
        })
}
