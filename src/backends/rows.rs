//! [`RowStore`]: a task store over any key-value engine.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinHandle;

use super::deadline::{read_timed_out, within};
use super::watch::Watch;
use super::writer::Writer;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{IdSource, TaskId};
use crate::page::{Page, PageRequest};
use crate::schedule::format_duration;
use crate::store::kv::{self, Moment, RowEngine, Rows, View};
use crate::store::{
    Capability, ClaimRequest, Claims, Commit, Committed, CountBy, Counts, Event, HintSender,
    HintStream, Holdings, Maintain, Maintained, Mark, StreamId, TaskFilter, TaskStateStore,
};
use crate::task::{TaskStateRecord, TaskSummary};

/// Lines that a check says, at most.
const CHECK_LINES: usize = 200;

/// Reads under way at once; more wait. Reads that hang on a disk must not take all the threads that a runtime has for
/// what blocks.
const READS: usize = 64;

/// A [`TaskStateStore`] over a [`RowEngine`]: one writer thread with group commit, reads beside it.
///
/// Every call ends: after [`call_timeout`](Self::call_timeout) with `Timeout`, which says whether the writes of the call
/// were given up before they began or may yet be made. It wants a tokio runtime whose time is enabled.
#[derive(Debug)]
pub struct RowStore<E> {
    pub(super) engine: Arc<E>,
    writer: Writer,
    clock: Arc<dyn Clock>,
    hints: HintSender,
    watch: Watch,
    reads: Arc<Semaphore>,
    /// Upkeep of the engine that its caller did not wait for to the end.
    upkeep: Mutex<Option<JoinHandle<Result<()>>>>,
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
            reads: Arc::new(Semaphore::new(READS)),
            upkeep: Mutex::default(),
        })
    }

    /// The same store with another limit for each call: 30 s unless chosen. A call that takes longer ends with the error
    /// `Timeout`. It is measured in real time, whatever the clock of the store says.
    #[must_use]
    pub fn call_timeout(mut self, limit: Duration) -> Self {
        self.writer.limit = limit;
        self
    }

    /// The engine below.
    #[must_use]
    pub fn engine(&self) -> &E {
        &self.engine
    }

    /// Runs what only reads on a thread that may block, and waits for it no longer than a call may take.
    pub(super) async fn reading<T: Send + 'static>(
        &self,
        run: impl FnOnce(&E) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let aborted = |source| {
            Error::new(ErrorKind::Internal, "read", "the read was aborted").with_source(source)
        };
        let reading = async {
            // The semaphore is never closed.
            let permit = Arc::clone(&self.reads).acquire_owned().await.ok();
            let engine = Arc::clone(&self.engine);
            let reading = tokio::task::spawn_blocking(move || {
                let answer = run(&engine);
                drop(permit);
                answer
            });
            reading.await.map_err(aborted)?
        };
        within(self.writer.limit, reading)
            .await
            .unwrap_or_else(|| Err(read_timed_out(self.writer.limit)))
    }

    /// Runs the upkeep of the engine, one at a time. When it takes longer than a call may, it goes on by itself, and the
    /// next caller waits for its end.
    async fn tidy(&self) -> Result<()> {
        let mut running = self.upkeep.lock().await;
        let upkeep = running.get_or_insert_with(|| {
            let engine = Arc::clone(&self.engine);
            tokio::task::spawn_blocking(move || engine.upkeep())
        });
        let ended = upkeep.await;
        *running = None;
        ended.map_err(|source| {
            Error::new(ErrorKind::Internal, "maintain", "the upkeep was aborted")
                .with_source(source)
        })?
    }

    /// Runs a read on one view.
    async fn view<T: Send + 'static>(
        &self,
        run: impl Fn(&View<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let clock = Arc::clone(&self.clock);
        self.reading(move |engine| {
            let mut answer = None;
            engine.read(&mut |rows: &dyn Rows| {
                let moment = Moment::of(&*clock);
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
        })
        .await
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

    async fn holdings(&self, after: Option<&str>, limit: usize) -> Result<Holdings> {
        let after = after.map(ToOwned::to_owned);
        self.view(move |view| kv::holdings(view, after.as_deref(), limit))
            .await
    }

    async fn maintain(&self, request: Maintain) -> Result<Maintained> {
        let done = self.writer.maintain(request).await?;
        let limit = self.writer.limit;
        within(limit, self.tidy()).await.unwrap_or_else(|| {
            let limit = format_duration(limit);
            Err(Error::new(
                ErrorKind::Timeout,
                "maintain",
                format!("the upkeep of the store is not done after {limit}; it goes on in the background"),
            ))
        })?;
        Ok(done)
    }

    async fn check(&self) -> Result<Vec<String>> {
        let (engine, clock) = (Arc::clone(&self.engine), Arc::clone(&self.clock));
        let checking = tokio::task::spawn_blocking(move || {
            let mut wrong = engine.check()?;
            let mut from: Option<Vec<u8>> = None;
            // A page in a transaction of its own: a long one would keep the log of the engine from being cut.
            loop {
                let read = engine.read(&mut |rows: &dyn Rows| {
                    let view = View::new(rows, Moment::of(&*clock));
                    let (found, next) = kv::unreadable(&view, from.as_deref())?;
                    wrong.extend(found);
                    from = next;
                    Ok(())
                });
                match read {
                    // What the engine said of its files says more.
                    Err(_) if !wrong.is_empty() => return Ok(wrong),
                    read => read?,
                }
                wrong.truncate(CHECK_LINES);
                if from.is_none() || wrong.len() == CHECK_LINES {
                    return Ok(wrong);
                }
            }
        });
        checking.await.map_err(|source| {
            Error::new(ErrorKind::Internal, "check", "the check was aborted").with_source(source)
        })?
    }

    fn hints(&self) -> HintStream {
        let stream = self.hints.subscribe();
        self.watch.start(&self.engine, &self.hints);
        stream
    }
}
