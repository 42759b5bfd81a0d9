//! The journal, sorted by task and lease.

use std::collections::{BTreeMap, BTreeSet};

use tlo::{TaskId, TaskStatus};

use crate::journal::{Line, Note, UnderLease};
use crate::orders::AT_MOST_ONCE;

/// One lease of a task, as its holder saw it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Held {
    pub(crate) who: u32,
    pub(crate) attempt: u32,
    pub(crate) granted: u64,
    /// Its end, as far as the holder was told.
    pub(crate) until: u64,
    pub(crate) started: Option<u64>,
    /// When the handler answered, and with what.
    pub(crate) ended: Option<(u64, Option<u64>)>,
    /// The end of the run that the store took.
    pub(crate) settled: Option<TaskStatus>,
    pub(crate) refused: Vec<UnderLease>,
}

impl Held {
    /// The earliest moment at which somebody else may have had the task, or what it holds. `is_last` says that no later
    /// lease of the task is known: then its end may have been recorded although nobody was told.
    pub(crate) fn free_from(&self, is_last: bool) -> u64 {
        match (self.settled, self.ended) {
            (Some(_), Some((at, _))) => at,
            // Nobody was told whether its end was recorded: it was, or the lease ended by itself.
            (None, Some((at, None))) => at.min(self.until),
            (None, Some((at, Some(_)))) if is_last => at.min(self.until),
            _ => self.until,
        }
    }
}

/// A process that was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kill {
    pub(crate) who: u32,
    /// By the wall clock.
    pub(crate) wall: i64,
}

/// What the journal says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    /// Tasks that somebody tried to submit, by submit.
    pub(crate) tried: Vec<Vec<TaskId>>,
    /// Those that may be started once: a lost lease ends them.
    pub(crate) at_most_once: BTreeSet<TaskId>,
    pub(crate) acknowledged: BTreeSet<TaskId>,
    /// Why submits failed.
    pub(crate) not_submitted: Vec<String>,
    /// Leases by task and fence.
    pub(crate) leases: BTreeMap<TaskId, BTreeMap<u64, Held>>,
    pub(crate) kills: Vec<Kill>,
    /// Processes that were stopped, and let go on or killed.
    pub(crate) stopped: BTreeSet<u32>,
    pub(crate) reached: BTreeMap<String, usize>,
    pub(crate) up: BTreeSet<u32>,
}

impl Book {
    fn lease(&mut self, id: &TaskId, fence: u64) -> &mut Held {
        let of_task = self.leases.entry(id.clone()).or_default();
        of_task.entry(fence).or_default()
    }

    pub(crate) fn enter(&mut self, line: &Line) {
        let (at, who) = (line.at, line.who);
        match &line.what {
            Note::Up => drop(self.up.insert(who)),
            Note::Trying { ids, name } => {
                self.tried.push(ids.clone());
                if name == AT_MOST_ONCE {
                    self.at_most_once.extend(ids.iter().cloned());
                }
            }
            Note::NotSubmitted { why } => self.not_submitted.push(why.clone()),
            Note::Acknowledged { id } => drop(self.acknowledged.insert(id.clone())),
            Note::Claimed {
                id,
                attempt,
                fence,
                granted,
                until,
            } => {
                let lease = self.lease(id, *fence);
                (lease.who, lease.attempt, lease.granted) = (who, *attempt, *granted);
                lease.until = lease.until.max(*until);
            }
            Note::Extended { id, fence, until } => {
                let lease = self.lease(id, *fence);
                lease.until = lease.until.max(*until);
            }
            Note::Started { id, fence } => self.lease(id, *fence).started = Some(at),
            Note::Ended { id, fence, value } => self.lease(id, *fence).ended = Some((at, *value)),
            Note::Settled { id, fence, status } => {
                self.lease(id, *fence).settled = Some(*status);
            }
            Note::Refused {
                id, fence, write, ..
            } => self.lease(id, *fence).refused.push(*write),
            Note::Killing { who, wall } => self.kills.push(Kill {
                who: *who,
                wall: *wall,
            }),
            Note::Stopped { who } => drop(self.stopped.insert(*who)),
            Note::Continuing { .. } => {}
            Note::Reached { point } => *self.reached.entry(point.clone()).or_default() += 1,
        }
    }

    pub(crate) fn all_leases(&self) -> impl Iterator<Item = (&TaskId, u64, &Held)> {
        self.leases
            .iter()
            .flat_map(|(id, leases)| leases.iter().map(move |(fence, held)| (id, *fence, held)))
    }

    /// Runs whose process was killed before they came to an answer.
    pub(crate) fn caught(&self) -> usize {
        let killed: BTreeSet<u32> = self.kills.iter().map(|kill| kill.who).collect();
        let caught = self
            .all_leases()
            .filter(|(_, _, held)| held.started.is_some() && held.ended.is_none());
        caught
            .filter(|(_, _, held)| killed.contains(&held.who))
            .count()
    }

    /// Runs that came to an answer beyond the first of their task: the price of running at least once.
    pub(crate) fn run_again(&self) -> usize {
        let answers = |leases: &BTreeMap<u64, Held>| {
            let values = leases.values().filter_map(|held| held.ended?.1);
            values.count().saturating_sub(1)
        };
        self.leases.values().map(answers).sum()
    }

    /// Writes that the store refused, by what they were.
    pub(crate) fn refused(&self, write: UnderLease) -> usize {
        let refused = self.all_leases().flat_map(|(_, _, held)| &held.refused);
        refused.filter(|other| **other == write).count()
    }
}
