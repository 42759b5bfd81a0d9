//! [`RowStore`]: a task store over any key-value engine.

use std::sync::Arc;

use async_trait::async_trait;

use super::watch::Watch;
use super::writer::Writer;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{IdSource, TaskId};
use crate::page::{Page, PageRequest};
use crate::store::kv::{self, Moment, RowEngine, Rows, View};
use crate::store::{
    Capability, ClaimRequest, Claims, Commit, Committed, CountBy, Counts, Event, HintSender,
    HintStream, Maintain, Maintained, Mark, StreamId, TaskFilter, TaskStateStore,
};
use crate::task::{TaskStateRecord, TaskSummary};

/// A [`TaskStateStore`] over a [`RowEngine`]: one writer thread with group commit, reads beside it.
#[derive(Debug)]
pub struct RowStore<E> {
    pub(super) engine: Arc<E>,
    writer: Writer,
    clock: Arc<dyn Clock>,
    hints: HintSender,
    watch: Watch,
}

impl<E: RowEngine> RowStore<E> {
    /// A store over this engine; starts its writer thread.
    ///
    /// # Errors
    /// `Unavailable` when the thread cannot be started.
    pub fn open(engine: E, clock: Arc<dyn Clock>, ids: Arc<IdSource>) -> Result<Self> {
        let engine = Arc::new(engine);
        let hints = HintSender::default();
        let writer = Writer::start(Arc::clone(&engine), Arc::clone(&clock), ids, hints.clone())?;
        Ok(Self {
            engine,
            writer,
            clock,
            hints,
            watch: Watch::default(),
        })
    }

    /// The engine below.
    #[must_use]
    pub fn engine(&self) -> &E {
        &self.engine
    }

    /// Runs a read on a thread that may block.
    async fn view<T: Send + 'static>(
        &self,
        run: impl Fn(&View<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let engine = Arc::clone(&self.engine);
        let clock = Arc::clone(&self.clock);
        let reading = tokio::task::spawn_blocking(move || {
            let mut answer = None;
            engine.read(&mut |rows: &dyn Rows| {
                let moment = Moment {
                    now: clock.now(),
                    steady: clock.steady(),
                };
                answer = Some(run(&View::new(rows, moment))?);
                Ok(())
            })?;
            answer.ok_or_else(|| {
                Error::new(
                    ErrorKind::Internal,
                    "read",
                    "the engine did not run the read",
                )
            })
        });
        reading.await.map_err(|source| {
            Error::new(ErrorKind::Internal, "read", "the read was aborted").with_source(source)
        })?
    }
}

#[async_trait]
impl<E: RowEngine> TaskStateStore for RowStore<E> {
    fn capability(&self) -> Capability {
        self.engine.capability()
    }

    async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<Committed>> {
        self.writer.commit(commits).await
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claims> {
        self.writer.claim(request).await
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<TaskStateRecord>>> {
        let ids = ids.to_vec();
        self.view(move |view| kv::get(view, &ids)).await
    }

    async fn list(&self, filter: &TaskFilter, page: PageRequest) -> Result<Page<TaskSummary>> {
        let filter = filter.clone();
        self.view(move |view| kv::list(view, &filter, page)).await
    }

    async fn count(&self, filter: &TaskFilter, by: CountBy, limit: usize) -> Result<Counts> {
        let filter = filter.clone();
        self.view(move |view| kv::count(view, &filter, by, limit))
            .await
    }

    async fn events(&self, stream: &StreamId, from: u64, limit: usize) -> Result<Vec<Event>> {
        let stream = stream.clone();
        self.view(move |view| kv::events(view, &stream, from, limit))
            .await
    }

    async fn marks(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Mark>> {
        let (prefix, after) = (prefix.to_owned(), after.map(ToOwned::to_owned));
        self.view(move |view| kv::marks(view, &prefix, after.as_deref(), limit))
            .await
    }

    async fn maintain(&self, request: Maintain) -> Result<Maintained> {
        let done = self.writer.maintain(request).await?;
        let engine = Arc::clone(&self.engine);
        let upkeep = tokio::task::spawn_blocking(move || engine.upkeep());
        upkeep.await.map_err(|source| {
            Error::new(ErrorKind::Internal, "maintain", "the upkeep was aborted")
                .with_source(source)
        })??;
        Ok(done)
    }

    fn hints(&self) -> HintStream {
        let stream = self.hints.subscribe();
        self.watch.start(&self.engine, &self.hints);
        stream
    }
}
