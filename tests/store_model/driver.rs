//! Runs sequences of steps on a store, beside the model and, in lockstep, on a second store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tlo::store::{
    ClaimRequest, Claims, Commit, Committed, CountBy, Guard, Lanes, Maintain, Op, Retention,
    SharedStore, TaskFilter, TaskStateStore,
};
use tlo::task::{Ended, Settlement, decide};
use tlo::testing::ManualClock;
use tlo::testing::conformance::StoreFactory;
use tlo::{
    Clock, Cursor, IdSource, PageRequest, Payload, TaskId, TaskStateRecord, TaskStatus, WorkerId,
};

use crate::lockstep::Twin;
use crate::model::{Checked, Model, want};
use crate::script::{self, Script};
use crate::step::Step;

/// From the name of a place to that of another.
type Copying<'a> = &'a (dyn Fn(&str, &str) + Sync);

/// Where stores are opened for the sequences.
pub(crate) struct Home<'a> {
    pub(crate) factory: &'a dyn StoreFactory,
    /// Copies what one place has on the disk to another, for stores that outlive their process.
    pub(crate) copy: Option<Copying<'a>>,
    /// By the clock of a server, which nobody sets.
    pub(crate) on_server: bool,
}

static PLACES: AtomicU64 = AtomicU64::new(0);

/// One store of a home.
pub(crate) struct Place<'a> {
    home: &'a Home<'a>,
    name: String,
    clock: Arc<ManualClock>,
    ids: Arc<IdSource>,
    store: Option<SharedStore>,
}

impl<'a> Place<'a> {
    pub(crate) async fn open(home: &'a Home<'a>, clock: &Arc<ManualClock>) -> Checked<Self> {
        let mut place = Self {
            home,
            name: new_name(),
            clock: clock.clone(),
            ids: Arc::new(IdSource::seeded(7)),
            store: None,
        };
        place.again().await?;
        Ok(place)
    }

    async fn again(&mut self) -> Checked {
        let clock: Arc<dyn Clock> = self.clock.clone();
        let opened = self
            .home
            .factory
            .open(&self.name, clock, self.ids.clone())
            .await;
        self.store = Some(opened.map_err(|error| format!("cannot be opened: {error}"))?);
        Ok(())
    }

    pub(crate) fn store(&self) -> &dyn TaskStateStore {
        self.store.as_deref().unwrap()
    }

    pub(crate) async fn reopen(&mut self) -> Checked {
        if self.home.copy.is_none() {
            return Ok(());
        }
        self.store = None;
        self.again().await
    }

    pub(crate) async fn crash(&mut self) -> Checked {
        let Some(copy) = self.home.copy else {
            return Ok(());
        };
        let name = new_name();
        copy(&self.name, &name);
        self.close().await;
        self.name = name;
        self.again().await
    }

    pub(crate) async fn close(&mut self) {
        self.store = None;
        self.home.factory.discard(&self.name).await;
    }
}

fn new_name() -> String {
    format!("place{}", PLACES.fetch_add(1, Ordering::Relaxed))
}

#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(crate) fn failed(error: tlo::Error) -> String {
    format!("failed: {error:?}")
}

/// What a run of sequences did.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) steps: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) claimed: AtomicU64,
    pub(crate) parked: AtomicU64,
    pub(crate) reopened: AtomicU64,
}

impl Tally {
    fn add(counter: &AtomicU64, n: usize) {
        counter.fetch_add(n as u64, Ordering::Relaxed);
    }
}

/// One sequence under way.
struct Run<'a> {
    place: Place<'a>,
    twin: Option<Twin<'a>>,
    clock: Arc<ManualClock>,
    model: Model,
    script: Script,
    tally: &'a Tally,
}

/// Runs a sequence on a new store of `home`, in lockstep with one of `twin`; the first surprise ends it.
pub(crate) async fn run(
    home: &Home<'_>,
    twin: Option<&Home<'_>>,
    steps: &[Step],
    tally: &Tally,
) -> Checked {
    let clock = ManualClock::shared();
    let twin = match twin {
        Some(twin) => Some(Twin::open(twin, &clock).await?),
        None => None,
    };
    let mut run = Run {
        place: Place::open(home, &clock).await?,
        twin,
        model: Model::new(clock.now(), clock.steady()),
        clock,
        script: Script::default(),
        tally,
    };
    let mut outcome = Ok(());
    for (n, step) in steps.iter().enumerate() {
        outcome = run
            .step(step)
            .await
            .map_err(|why| format!("at step {} of {}, {step:?}:\n{why}", n + 1, steps.len()));
        if outcome.is_err() {
            break;
        }
    }
    if outcome.is_ok() {
        outcome = run
            .drain()
            .await
            .map_err(|why| format!("when all was to come to its end: {why}"));
    }
    run.place.close().await;
    if let Some(twin) = &mut run.twin {
        twin.close().await;
    }
    outcome
}

impl Run<'_> {
    fn store(&self) -> &dyn TaskStateStore {
        self.place.store()
    }

    async fn step(&mut self, step: &Step) -> Checked {
        Tally::add(&self.tally.steps, 1);
        match step {
            Step::Commit(pieces) => {
                let mut commits = Vec::new();
                for (n, piece) in pieces.iter().enumerate() {
                    commits.push(self.script.commit(&self.model, piece, n == 0));
                }
                self.commit(commits).await?;
            }
            Step::Claim(claim) => {
                self.claim(script::request(claim)).await?;
            }
            Step::Maintain { age, count, limit } => {
                let age = age.map(Duration::from_secs);
                let retention = Retention { age, count: *count };
                self.maintain(Maintain {
                    retention,
                    limit: *limit,
                })
                .await?;
            }
            Step::Reap => self.reap().await?,
            Step::List(filter, limit, newest_first) => {
                let filter = script::filter(&self.model, filter);
                self.list(&filter, *limit, *newest_first).await?;
            }
            Step::Count(filter, by) => {
                let filter = script::filter(&self.model, filter);
                self.count(&filter, *by).await?;
            }
            Step::Advance(by) => self.clock.advance(*by),
            Step::SetWall(_) | Step::Reboot
                if self
                    .twin
                    .as_ref()
                    .is_some_and(|twin| twin.place.home.on_server) => {}
            Step::SetWall(ahead) => {
                let by = Duration::from_secs(ahead.unsigned_abs());
                let now = self.clock.now();
                let wall = if *ahead < 0 {
                    now.saturating_sub(by)
                } else {
                    now.saturating_add(by)
                };
                self.clock.set_wall(wall);
            }
            Step::Reboot => {
                self.clock.reboot();
                self.place.crash().await?;
                if let Some(twin) = &mut self.twin {
                    twin.place.crash().await?;
                }
            }
            Step::Reopen => {
                Tally::add(&self.tally.reopened, 1);
                self.place.reopen().await?;
                if let Some(twin) = &mut self.twin {
                    twin.place.reopen().await?;
                }
            }
            Step::Crash => {
                Tally::add(&self.tally.reopened, 1);
                self.place.crash().await?;
                if let Some(twin) = &mut self.twin {
                    twin.place.crash().await?;
                }
            }
        }
        self.tick();
        self.look().await
    }

    fn tick(&mut self) {
        self.model.tick(self.clock.now(), self.clock.steady());
    }

    async fn commit(&mut self, commits: Vec<Commit>) -> Checked<Vec<Committed>> {
        let answers = self.store().commit(commits.clone()).await.map_err(failed)?;
        want!(
            answers.len() == commits.len(),
            "{} answers to {} commits",
            answers.len(),
            commits.len()
        );
        Tally::add(&self.tally.commits, commits.len());
        Tally::add(
            &self.tally.refused,
            answers.iter().filter(|answer| answer.is_err()).count(),
        );
        if let Some(twin) = &mut self.twin {
            twin.commit(&commits, &answers).await?;
        }
        for (commit, answer) in commits.iter().zip(&answers) {
            self.model
                .commit(commit, answer)
                .map_err(|why| format!("{commit:?}\n{why}"))?;
        }
        self.adopt().await?;
        Ok(answers)
    }

    async fn claim(&mut self, request: ClaimRequest) -> Checked<Claims> {
        let claims = self.store().claim(request.clone()).await.map_err(failed)?;
        Tally::add(&self.tally.claimed, claims.tasks.len());
        if let Some(twin) = &mut self.twin {
            twin.claim(&request, &claims).await?;
        }
        let stored = self.stored().await?;
        self.model.claim(&request, &claims, &stored)?;
        self.model.compare(&stored)?;
        self.model.check_claimed(&request, &claims)?;
        let parked = self
            .model
            .tasks
            .iter()
            .filter(|task| task.parked.is_some())
            .count();
        Tally::add(&self.tally.parked, parked);
        Ok(claims)
    }

    async fn maintain(&mut self, request: Maintain) -> Checked<bool> {
        let done = self.store().maintain(request).await.map_err(failed)?;
        if let Some(twin) = &mut self.twin {
            twin.maintain(request, done).await?;
        }
        let stored = self.stored().await?;
        self.model.maintain(&request, &done, &stored)?;
        self.adopt().await?;
        self.model.check_turns()?;
        Ok(done.more)
    }

    /// Takes back what `list` says has ended, one commit for each.
    async fn reap(&mut self) -> Checked {
        let ended = TaskFilter {
            lease_expired: true,
            ..TaskFilter::default()
        };
        self.list(&ended, 100, false).await?;
        let commits: Vec<_> = self
            .model
            .lost()
            .iter()
            .map(|record| {
                let settlement = decide(Ended::Lost, record, 0.0);
                Commit::of([Op::Settle(record.id.clone(), Box::new(settlement))])
                    .when(Guard::Expired(record.id.clone(), record.fence))
            })
            .collect();
        for answer in self.commit(commits).await? {
            want!(
                answer.is_ok(),
                "an ended lease was not taken back: {answer:?}"
            );
        }
        Ok(())
    }

    async fn stored(&self) -> Checked<Vec<Option<TaskStateRecord>>> {
        let ids: Vec<TaskId> = self
            .model
            .tasks
            .iter()
            .map(|task| task.id.clone())
            .collect();
        self.store().get(&ids).await.map_err(failed)
    }

    async fn adopt(&mut self) -> Checked {
        let stored = self.stored().await?;
        self.model.compare(&stored)
    }

    /// Reads everything there is.
    async fn look(&mut self) -> Checked {
        self.adopt().await?;
        self.list(&TaskFilter::default(), 1_000, false).await?;
        self.count(&TaskFilter::default(), CountBy::Status).await?;
        for (stream, kept) in self.model.streams() {
            let events = self
                .store()
                .events(stream, 0, 1_000)
                .await
                .map_err(failed)?;
            want!(
                events == kept,
                "the stream {stream} has {events:?}\n  wanted {kept:?}"
            );
        }
        let marks = self.store().marks("", None, 1_000).await.map_err(failed)?;
        let wanted = self.model.marks("");
        want!(
            marks == wanted,
            "the marks are {marks:?}\n  wanted {wanted:?}"
        );
        if let Some(twin) = &mut self.twin {
            twin.look(&self.model, &marks).await?;
        }
        Ok(())
    }

    async fn list(&mut self, filter: &TaskFilter, limit: usize, newest_first: bool) -> Checked {
        let wanted = self.model.list(filter, newest_first);
        let mut found: Vec<TaskStateRecord> = Vec::new();
        let mut after: Option<Cursor> = None;
        for _ in 0..100 {
            let asked = PageRequest {
                after,
                limit,
                newest_first,
            };
            let page = self.store().list(filter, asked).await.map_err(failed)?;
            want!(
                page.items.len() <= limit,
                "a page of {} items, {limit} were asked for",
                page.items.len()
            );
            if let Some(twin) = &mut self.twin {
                twin.list(filter, asked, &page).await?;
            }
            found.extend(page.items.into_iter().map(|item| item.record));
            want!(
                page.complete == page.next.is_none(),
                "a page is complete and goes on"
            );
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let ids = |records: &[TaskStateRecord]| {
            records
                .iter()
                .map(|record| record.id.clone())
                .collect::<Vec<_>>()
        };
        want!(
            found == wanted,
            "listed {:?} for {filter:?}\n  wanted {:?}",
            ids(&found),
            ids(&wanted)
        );
        Ok(())
    }

    async fn count(&mut self, filter: &TaskFilter, by: CountBy) -> Checked {
        let counts = self
            .store()
            .count(filter, by, 1_000)
            .await
            .map_err(failed)?;
        let wanted = self.model.count(filter, by);
        want!(
            counts.complete && counts.groups == wanted,
            "counted {counts:?} for {filter:?}\n  wanted {wanted:?}"
        );
        if let Some(twin) = &mut self.twin {
            twin.count(filter, by, &counts).await?;
        }
        Ok(())
    }

    /// Takes all rules away, lets all times come, and runs what is there: everything comes to an end.
    async fn drain(&mut self) -> Checked {
        let drops = script::rule_marks()
            .into_iter()
            .map(|key| Op::DropMark(key.into()));
        self.commit(vec![Commit::of(drops)]).await?;
        self.clock.advance(Duration::from_secs(30 * 86_400));
        self.tick();
        self.reap().await?;
        self.clock.advance(Duration::from_secs(86_400));
        self.tick();
        let request = everything();
        for _ in 0..200 {
            let claims = self.claim(request.clone()).await?;
            let settles = claims.tasks.iter().map(|task| {
                let lease = task.lease.as_ref().unwrap().reference();
                let success = Box::new(Settlement::success(Payload::null()));
                Commit::of([Op::Settle(task.id.clone(), success)])
                    .when(Guard::Held(task.id.clone(), lease))
            });
            for answer in self.commit(settles.collect()).await? {
                want!(answer.is_ok(), "a run was not ended: {answer:?}");
            }
            if claims.tasks.is_empty() && claims.next_due.is_none_or(|due| due > self.model.now) {
                break;
            }
        }
        self.look().await?;
        let still = self.model.pending();
        want!(still == 0, "{still} tasks still wait");
        let running = self
            .model
            .list(&TaskFilter::status([TaskStatus::Running]), false);
        want!(running.is_empty(), "{} tasks still run", running.len());
        Ok(())
    }
}

/// A claim by a worker that knows all names.
fn everything() -> ClaimRequest {
    let mut lanes = Lanes::new(["q0", "q1"], ["a", "b", "other"]);
    let mut names = (*lanes.names).clone();
    for name in ["a", "b", "other"] {
        names.extend(["v0", "v1"].map(|version| (Arc::from(name), Some(Arc::from(version)))));
    }
    lanes.names = Arc::new(names);
    ClaimRequest {
        worker: WorkerId::new("last").unwrap(),
        lanes,
        limit: 5,
        ttl: Duration::from_secs(60),
    }
}
