//! Stores that go by the clock of a server, for what compares records: a lease that says only when it ends is shown with
//! that end on the steady clock of the test, too, as long as nobody sets the wall clock.

use std::sync::Arc;

use tlo::store::{
    Capability, ClaimRequest, Claims, Commit, Committed, CountBy, Counts, Effect, Event,
    HintStream, Maintain, Maintained, Mark, SharedStore, StreamId, TaskFilter, TaskStateStore,
};
use tlo::task::TaskSummary;
use tlo::testing::conformance::{Feature, StoreFactory};
use tlo::{
    Clock, IdSource, Page, PageRequest, Result, Steady, TaskId, TaskStateRecord, async_trait,
};

/// Opens such stores.
pub(crate) struct OnServer<'a>(pub(crate) &'a dyn StoreFactory);

#[async_trait]
impl StoreFactory for OnServer<'_> {
    async fn open(
        &self,
        place: &str,
        clock: Arc<dyn Clock>,
        ids: Arc<IdSource>,
    ) -> Result<SharedStore> {
        let store = self.0.open(place, clock.clone(), ids).await?;
        Ok(Arc::new(Shown { store, clock }))
    }

    fn features(&self) -> Vec<Feature> {
        self.0.features()
    }

    async fn discard(&self, place: &str) {
        self.0.discard(place).await;
    }
}

#[derive(Debug)]
struct Shown {
    store: SharedStore,
    clock: Arc<dyn Clock>,
}

impl Shown {
    fn show(&self, record: &mut TaskStateRecord) {
        if let Some(lease) = &mut record.lease {
            let (now, steady) = (self.clock.now(), self.clock.steady());
            let at = match lease.until.as_micros() - now.as_micros() {
                left @ 0.. => steady.at + std::time::Duration::from_micros(left.cast_unsigned()),
                over => steady.at - std::time::Duration::from_micros(over.unsigned_abs()),
            };
            lease.ends = Some(Steady {
                boot: steady.boot,
                at,
            });
        }
    }
}

#[async_trait]
impl TaskStateStore for Shown {
    fn capability(&self) -> Capability {
        self.store.capability()
    }

    async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<Committed>> {
        let mut answers = self.store.commit(commits).await?;
        for effect in answers.iter_mut().flatten().flatten() {
            if let Effect::Created {
                leased: Some(task), ..
            } = effect
            {
                self.show(Arc::make_mut(task));
            }
        }
        Ok(answers)
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claims> {
        let mut claims = self.store.claim(request).await?;
        for task in &mut claims.tasks {
            self.show(Arc::make_mut(task));
        }
        Ok(claims)
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<TaskStateRecord>>> {
        let mut records = self.store.get(ids).await?;
        for record in records.iter_mut().flatten() {
            self.show(record);
        }
        Ok(records)
    }

    async fn list(&self, filter: &TaskFilter, page: PageRequest) -> Result<Page<TaskSummary>> {
        let mut page = self.store.list(filter, page).await?;
        for item in &mut page.items {
            self.show(&mut item.record);
        }
        Ok(page)
    }

    async fn count(&self, filter: &TaskFilter, by: CountBy, limit: usize) -> Result<Counts> {
        self.store.count(filter, by, limit).await
    }

    async fn events(&self, stream: &StreamId, from: u64, limit: usize) -> Result<Vec<Event>> {
        self.store.events(stream, from, limit).await
    }

    async fn marks(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Mark>> {
        self.store.marks(prefix, after, limit).await
    }

    async fn maintain(&self, request: Maintain) -> Result<Maintained> {
        self.store.maintain(request).await
    }

    async fn check(&self) -> Result<Vec<String>> {
        self.store.check().await
    }

    fn hints(&self) -> HintStream {
        self.store.hints()
    }
}
