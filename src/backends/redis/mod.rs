//! The store on a Redis server, which any number of processes and machines may share.

mod answers;
mod args;
mod asking;
mod checking;
mod encode;
mod facts;
mod fault;
mod fields;
mod gather;
mod hints;
mod holdings;
mod import;
mod link;
mod now;
mod options;
mod packed;
mod place;
mod quick;
mod reading;
mod record;
mod scripts;
mod sentinels;
mod stored;
mod times;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::oneshot;

use self::asking::Asking;
use self::facts::Facts;
use self::hints::listen;
pub use self::options::{RedisDurability, RedisOptions};
use super::deadline::{Turn, read_timed_out, within};
use super::io::IoThread;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{IdSource, TaskId};
use crate::page::{Page, PageRequest};
use crate::store::{
    Capability, ClaimRequest, Claims, Commit, Committed, CountBy, Counts, Event, HintSender,
    HintStream, Holdings, Maintain, Maintained, Mark, StreamId, TaskFilter, TaskStateStore,
};
use crate::task::{TaskStateRecord, TaskSummary};

/// Lines that a check says, at most.
const CHECK_LINES: usize = 200;

/// A [`TaskStateStore`] on a Redis server.
///
#[doc = include_str!("guide.md")]
///
/// # Example
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tlo::Result<()> {
/// use std::sync::Arc;
/// use tlo::store::TaskStateStore;
/// use tlo::{IdSource, RedisOptions, RedisStore, SystemClock};
///
/// let options = RedisOptions::at("redis://127.0.0.1:6379/0");
/// let store = RedisStore::open(options, SystemClock::shared(), Arc::new(IdSource::random())).await?;
/// println!("{}", store.capability().promise);
/// # Ok(())
/// # }
/// ```
pub struct RedisStore {
    asking: Arc<Asking>,
    hints: HintSender,
    /// Last, so that what runs on it ends when all else is gone.
    io: IoThread,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("asking", &self.asking)
            .finish_non_exhaustive()
    }
}

impl RedisStore {
    /// Connects, reads back what the server promises, and begins to listen for hints. The time is the server's when
    /// `clock` is that of the machine; a clock that tests move is passed on with each call.
    ///
    /// # Errors
    /// `Configuration` for options that cannot work, a refused user or password, and a server that does not promise what
    /// [`RedisDurability`] asks for; `Unsupported` for one older than version 7; `Unavailable` when it cannot be reached.
    pub async fn open(
        options: RedisOptions,
        clock: Arc<dyn Clock>,
        ids: Arc<IdSource>,
    ) -> Result<Self> {
        options.check()?;
        let io = IoThread::start()?;
        let durability = options.durability;
        let asking = Arc::new(Asking::new(options, clock, ids, io.handle())?);
        let hints = HintSender::default();
        let (listening, begun) = oneshot::channel();
        let opening = {
            let (asking, hints) = (Arc::clone(&asking), hints.clone());
            async move {
                let facts = Facts::read(&asking.link).await?;
                facts.check(durability)?;
                asking.note(facts);
                asking.arrive().await;
                tokio::spawn(listen(Arc::clone(&asking.link), hints, listening));
                begun.await.map_err(|_| closed())?
            }
        };
        let limit = asking.limit();
        let opened = within(limit, io.run(opening)).await;
        opened.ok_or_else(|| read_timed_out(limit))???;
        Ok(Self { asking, hints, io })
    }

    /// Runs a read on the thread of the connections, and waits for it no longer than a call may take.
    async fn reading<T: Send + 'static>(
        &self,
        read: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let limit = self.asking.limit();
        match within(limit, self.io.run(read)).await {
            Some(done) => done?,
            None => Err(read_timed_out(limit)),
        }
    }

    /// The same for a write, which its caller may give up before it begins.
    async fn writing<T: Send + 'static>(
        &self,
        operation: &'static str,
        turn: &Turn,
        write: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let limit = self.asking.limit();
        match within(limit, self.io.run(write)).await {
            Some(done) => done?,
            None => Err(turn.give_up(operation, limit)),
        }
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "ask redis", "the store was closed")
}

#[async_trait]
impl TaskStateStore for RedisStore {
    fn capability(&self) -> Capability {
        self.asking.capability()
    }

    async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<Committed>> {
        if commits.is_empty() {
            return Ok(Vec::new());
        }
        let (asking, turn) = (Arc::clone(&self.asking), Turn::default());
        let sent = asking.encode(&commits);
        let write = {
            let turn = turn.clone();
            async move { asking.commit(sent, turn).await }
        };
        let handed = self.writing("commit", &turn, write).await?;
        handed.take().ok_or_else(closed)
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claims> {
        let (asking, turn) = (Arc::clone(&self.asking), Turn::default());
        let write = {
            let turn = turn.clone();
            async move { asking.claim(request, turn).await }
        };
        let handed = self.writing("claim", &turn, write).await?;
        handed.take().ok_or_else(closed)
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<TaskStateRecord>>> {
        let (asking, ids) = (Arc::clone(&self.asking), ids.to_vec());
        self.reading(async move { asking.reader().get(&ids).await })
            .await
    }

    async fn list(&self, filter: &TaskFilter, page: PageRequest) -> Result<Page<TaskSummary>> {
        let (asking, filter) = (Arc::clone(&self.asking), filter.clone());
        self.reading(async move { asking.reader().list(&filter, page).await })
            .await
    }

    async fn count(&self, filter: &TaskFilter, by: CountBy, limit: usize) -> Result<Counts> {
        let (asking, filter) = (Arc::clone(&self.asking), filter.clone());
        self.reading(async move { asking.reader().count(&filter, by, limit).await })
            .await
    }

    async fn events(&self, stream: &StreamId, from: u64, limit: usize) -> Result<Vec<Event>> {
        let (asking, stream) = (Arc::clone(&self.asking), stream.clone());
        self.reading(async move { asking.reader().events(&stream, from, limit).await })
            .await
    }

    async fn marks(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Mark>> {
        let asking = Arc::clone(&self.asking);
        let (prefix, after) = (prefix.to_owned(), after.map(ToOwned::to_owned));
        self.reading(async move {
            asking
                .reader()
                .marks(&prefix, after.as_deref(), limit)
                .await
        })
        .await
    }

    async fn holdings(&self, after: Option<&str>, limit: usize) -> Result<Holdings> {
        let (asking, after) = (Arc::clone(&self.asking), after.map(ToOwned::to_owned));
        self.reading(async move { asking.reader().holdings(after.as_deref(), limit).await })
            .await
    }

    async fn maintain(&self, request: Maintain) -> Result<Maintained> {
        let asking = Arc::clone(&self.asking);
        let turn = Turn::default();
        self.writing("maintain", &turn.clone(), async move {
            match turn.begin() {
                true => asking.maintain(request).await,
                false => Err(closed()),
            }
        })
        .await
    }

    async fn check(&self) -> Result<Vec<String>> {
        let (mut wrong, mut behind) = (Vec::new(), None);
        loop {
            let asking = Arc::clone(&self.asking);
            let page = async move { asking.reader().check(behind).await };
            let (found, next) = self.reading(page).await?;
            wrong.extend(found);
            wrong.truncate(CHECK_LINES);
            behind = next;
            if behind.is_none() || wrong.len() == CHECK_LINES {
                return Ok(wrong);
            }
        }
    }

    fn hints(&self) -> HintStream {
        self.hints.subscribe()
    }
}
