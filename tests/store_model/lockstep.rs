//! A second store that is asked the same, and must answer the same.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tlo::store::{
    ClaimRequest, Claims, Commit, Committed, CountBy, Counts, Effect, Guard, Maintain, Maintained,
    Mark, MarkExpect, TaskFilter,
};
use tlo::task::TaskSummary;
use tlo::testing::ManualClock;
use tlo::testing::conformance::Feature;
use tlo::{Cursor, LeaseToken, Page, PageRequest, TaskStateRecord};

use crate::driver::{Home, Place, failed};
use crate::model::{Checked, Model, want};

/// The second store. Of the numbers that stores give out only the order is promised, so they are translated.
pub(crate) struct Twin<'a> {
    pub(crate) place: Place<'a>,
    /// From the numbers of the first store to those of this one.
    seqs: BTreeMap<u64, u64>,
    versions: BTreeMap<u64, u64>,
    /// Stores draw their tokens when it suits them.
    tokens: HashMap<LeaseToken, LeaseToken>,
    /// Its leases are measured on the clock of a server, and on no steady one.
    by_the_wall: bool,
}

impl<'a> Twin<'a> {
    pub(crate) async fn open(home: &'a Home<'a>, clock: &Arc<ManualClock>) -> Checked<Self> {
        Ok(Self {
            place: Place::open(home, clock).await?,
            seqs: BTreeMap::new(),
            versions: BTreeMap::new(),
            tokens: HashMap::new(),
            by_the_wall: !home.factory.features().contains(&Feature::SteadyLeases),
        })
    }

    pub(crate) async fn close(&mut self) {
        self.place.close().await;
    }

    fn seq(&self, seq: u64) -> u64 {
        self.seqs.get(&seq).copied().unwrap_or_default()
    }

    /// A record of the first store as this one should have it.
    fn record(&self, record: &TaskStateRecord) -> TaskStateRecord {
        let mut record = record.clone();
        record.seq = self.seq(record.seq);
        record.token = record.token.map(|token| self.token(token));
        if let Some(lease) = &mut record.lease {
            lease.token = self.token(lease.token);
            if self.by_the_wall {
                lease.ends = None;
            }
        }
        record
    }

    fn token(&self, token: LeaseToken) -> LeaseToken {
        self.tokens.get(&token).copied().unwrap_or(token)
    }

    fn learn_token(&mut self, first: &TaskStateRecord, mine: &TaskStateRecord) {
        if let (Some(first), Some(mine)) = (&first.lease, &mine.lease) {
            self.tokens.insert(first.token, mine.token);
        }
    }

    pub(crate) async fn commit(&mut self, commits: &[Commit], answers: &[Committed]) -> Checked {
        let mut mine = commits.to_vec();
        for guard in mine.iter_mut().flat_map(|commit| &mut commit.guards) {
            match guard {
                Guard::Mark(_, MarkExpect::Version(version)) => *version = self.version(*version),
                Guard::Held(_, shown) => shown.token = self.token(shown.token),
                _ => {}
            }
        }
        let seen = self.place.store().commit(mine).await.map_err(failed)?;
        want!(
            seen.len() == answers.len(),
            "the second store gave {} answers",
            seen.len()
        );
        for ((commit, answer), seen) in commits.iter().zip(answers).zip(&seen) {
            self.learn(answer, seen);
            let wanted = self.committed(answer);
            want!(
                wanted == *seen,
                "{commit:?}\n  first: {wanted:?}\n  second: {seen:?}"
            );
        }
        Ok(())
    }

    /// A version that was never given, one below another, stays one below.
    fn version(&self, version: u64) -> u64 {
        match self.versions.get(&version) {
            Some(mine) => *mine,
            None => self
                .versions
                .get(&(version + 1))
                .map_or(version, |next| next - 1),
        }
    }

    /// Notes which number stands for which; they grow in both stores.
    fn learn(&mut self, answer: &Committed, seen: &Committed) {
        let (Ok(answer), Ok(seen)) = (answer, seen) else {
            return;
        };
        for pair in answer.iter().zip(seen) {
            match pair {
                (
                    Effect::Created { seq, leased },
                    Effect::Created {
                        seq: mine,
                        leased: given,
                    },
                ) => {
                    note(&mut self.seqs, *seq, *mine);
                    if let (Some(leased), Some(given)) = (leased, given) {
                        self.learn_token(leased, given);
                    }
                }
                (Effect::Marked(version), Effect::Marked(mine)) => {
                    note(&mut self.versions, *version, *mine);
                }
                _ => {}
            }
        }
    }

    fn committed(&self, answer: &Committed) -> Committed {
        let mut answer = answer.clone();
        match &mut answer {
            Ok(effects) => {
                for effect in effects {
                    match effect {
                        Effect::Created { seq, leased } => {
                            *seq = self.seq(*seq);
                            *leased = leased.as_ref().map(|leased| Arc::new(self.record(leased)));
                        }
                        Effect::Marked(version) => *version = self.version(*version),
                        _ => {}
                    }
                }
            }
            Err(tlo::store::Refusal::Mark(_, Some(version))) => *version = self.version(*version),
            Err(_) => {}
        }
        answer
    }

    pub(crate) async fn claim(&mut self, request: &ClaimRequest, claims: &Claims) -> Checked {
        let seen = self
            .place
            .store()
            .claim(request.clone())
            .await
            .map_err(failed)?;
        for (task, given) in claims.tasks.iter().zip(&seen.tasks) {
            self.learn_token(task, given);
        }
        let wanted: Vec<_> = claims.tasks.iter().map(|task| self.record(task)).collect();
        let given: Vec<_> = seen.tasks.iter().map(|task| (**task).clone()).collect();
        want!(
            wanted == given,
            "claimed\n  first: {wanted:?}\n  second: {given:?}"
        );
        let (first, second) = (
            (claims.next_due, claims.more, claims.now),
            (seen.next_due, seen.more, seen.now),
        );
        want!(
            first == second,
            "next due, more and now of a claim\n  first: {first:?}\n  second: {second:?}"
        );
        Ok(())
    }

    pub(crate) async fn maintain(&mut self, request: Maintain, done: Maintained) -> Checked {
        let seen = self.place.store().maintain(request).await.map_err(failed)?;
        want!(
            seen == done,
            "upkeep\n  first: {done:?}\n  second: {seen:?}"
        );
        Ok(())
    }

    pub(crate) async fn list(
        &mut self,
        filter: &TaskFilter,
        mut page: PageRequest,
        found: &Page<TaskSummary>,
    ) -> Checked {
        page.after = page.after.map(|Cursor(seq)| Cursor(self.seq(seq)));
        let seen = self
            .place
            .store()
            .list(filter, page)
            .await
            .map_err(failed)?;
        let wanted: Vec<_> = found
            .items
            .iter()
            .map(|item| self.record(&item.record))
            .collect();
        let items: Vec<_> = seen.items.into_iter().map(|item| item.record).collect();
        want!(
            wanted == items,
            "listed for {filter:?}\n  first: {wanted:?}\n  second: {items:?}"
        );
        let next = found.next.map(|Cursor(seq)| Cursor(self.seq(seq)));
        want!(
            next == seen.next,
            "a page goes on at {next:?} and at {:?}",
            seen.next
        );
        Ok(())
    }

    pub(crate) async fn count(
        &mut self,
        filter: &TaskFilter,
        by: CountBy,
        counts: &Counts,
    ) -> Checked {
        let seen = self
            .place
            .store()
            .count(filter, by, 1_000)
            .await
            .map_err(failed)?;
        want!(
            seen == *counts,
            "counted for {filter:?}\n  first: {counts:?}\n  second: {seen:?}"
        );
        Ok(())
    }

    pub(crate) async fn look(&mut self, model: &Model, marks: &[Mark]) -> Checked {
        let ids: Vec<_> = model.tasks.iter().map(|task| task.id.clone()).collect();
        let seen = self.place.store().get(&ids).await.map_err(failed)?;
        for (task, seen) in model.tasks.iter().zip(seen) {
            let wanted = Some(self.record(task));
            want!(
                wanted == seen,
                "{}\n  first: {wanted:?}\n  second: {seen:?}",
                task.id
            );
        }
        for (stream, kept) in model.streams() {
            let events = self
                .place
                .store()
                .events(stream, 0, 1_000)
                .await
                .map_err(failed)?;
            want!(
                events == kept,
                "the stream {stream} of the second store has {events:?}"
            );
        }
        let seen = self
            .place
            .store()
            .marks("", None, 1_000)
            .await
            .map_err(failed)?;
        let wanted: Vec<_> = marks
            .iter()
            .map(|mark| Mark {
                version: self.version(mark.version),
                ..mark.clone()
            })
            .collect();
        want!(
            seen == wanted,
            "marks\n  first: {wanted:?}\n  second: {seen:?}"
        );
        Ok(())
    }
}

/// A number that did not grow is not noted, and the comparison shows it.
fn note(known: &mut BTreeMap<u64, u64>, first: u64, mine: u64) {
    if known.values().next_back().is_none_or(|last| *last < mine) {
        known.insert(first, mine);
    }
}
