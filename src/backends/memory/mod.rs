//! The store in memory: records and their indexes under one lock.
//!
//! It is always compiled, it is what tests run on, and it is the executable specification that other stores are
//! compared with. Nothing survives the process.

mod contents;
mod lanes;
mod line;
mod marks;
mod numbers;
mod records;
mod rows;
mod table;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use self::contents::Memory;
use self::table::{Look, Transaction, Undo};
use super::sync::Mutex;
use crate::clock::{Clock, SystemClock};
use crate::error::Result;
use crate::id::{IdSource, TaskId};
use crate::page::{Page, PageRequest};
use crate::store::kv::{self, Moment, Table};
use crate::store::{
    Capability, ClaimRequest, Claims, Commit, Committed, CountBy, Counts, Durability, Event,
    HintSender, HintStream, Holdings, Maintain, Maintained, Mark, Retention, StreamId, TaskFilter,
    TaskStateStore,
};
use crate::task::{TaskStateRecord, TaskSummary};
use async_trait::async_trait;

/// Changes in one transaction whose room is kept for the next.
const ROOM_KEPT: usize = 1 << 14;

/// A [`TaskStateStore`] in memory.
#[derive(Debug)]
pub struct MemoryStore {
    memory: Mutex<Memory>,
    clock: Arc<dyn Clock>,
    ids: Arc<IdSource>,
    hints: HintSender,
    /// The room that the way back of the last transaction took, for the next.
    room: Mutex<Vec<Undo>>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(SystemClock::shared(), Arc::new(IdSource::random()))
    }
}

impl MemoryStore {
    /// An empty store on this clock and this source of tokens.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, ids: Arc<IdSource>) -> Self {
        Self {
            memory: Mutex::default(),
            clock,
            ids,
            hints: HintSender::default(),
            room: Mutex::default(),
        }
    }

    fn moment(&self) -> Moment {
        Moment {
            now: self.clock.now(),
            steady: self.clock.steady(),
        }
    }

    fn change<T>(&self, run: impl FnOnce(&mut Transaction<'_>) -> Result<T>) -> Result<T> {
        let room = std::mem::take(&mut *self.room.lock());
        let (answer, (hints, mut old)) = {
            let mut memory = self.memory.lock();
            // Asked under the lock: who listens and then reads has either been heard of here or reads what this writes.
            let tells_ends = self.hints.tells_ends();
            let moment = self.moment();
            let mut transaction =
                Transaction::new(&mut memory, &self.ids, moment, tells_ends, room);
            let answer = catch_unwind(AssertUnwindSafe(|| run(&mut transaction)));
            if !matches!(answer, Ok(Ok(_))) {
                transaction.rollback(0);
            }
            let answer = answer.unwrap_or_else(|panic| resume_unwind(panic));
            (answer?, transaction.keep())
        };
        old.clear();
        if old.capacity() <= ROOM_KEPT {
            *self.room.lock() = old;
        }
        for hint in hints {
            self.hints.send(hint);
        }
        Ok(answer)
    }

    fn view<T>(&self, run: impl FnOnce(&Look<'_>) -> Result<T>) -> Result<T> {
        let memory = self.memory.lock();
        run(&Look {
            memory: &memory,
            moment: self.moment(),
        })
    }
}

#[async_trait]
impl TaskStateStore for MemoryStore {
    fn capability(&self) -> Capability {
        Capability {
            name: "memory",
            durability: Durability::None,
            shared: false,
            pushes: true,
            retention: Retention {
                age: Some(Duration::from_secs(3600)),
                count: Some(10_000),
            },
            poll: Duration::from_secs(30),
            promise: "in the memory of this process; nothing survives its end".to_owned(),
            facts: Vec::new(),
        }
    }

    async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<Committed>> {
        self.change(|table| {
            let mut answers = Vec::with_capacity(commits.len());
            for commit in commits {
                answers.push(kv::commit(table, commit)?);
            }
            Ok(answers)
        })
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claims> {
        self.change(|table| kv::claim(table, &request))
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<TaskStateRecord>>> {
        self.view(|view| kv::get(view, ids))
    }

    async fn list(&self, filter: &TaskFilter, page: PageRequest) -> Result<Page<TaskSummary>> {
        self.view(|view| kv::list(view, filter, page))
    }

    async fn count(&self, filter: &TaskFilter, by: CountBy, limit: usize) -> Result<Counts> {
        self.view(|view| kv::count(view, filter, by, limit))
    }

    async fn events(&self, stream: &StreamId, from: u64, limit: usize) -> Result<Vec<Event>> {
        self.view(|view| kv::events(view, stream, from, limit))
    }

    async fn marks(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Mark>> {
        self.view(|view| kv::marks(view, prefix, after, limit))
    }

    async fn holdings(&self, after: Option<&str>, limit: usize) -> Result<Holdings> {
        self.view(|view| kv::holdings(view, after, limit))
    }

    async fn maintain(&self, request: Maintain) -> Result<Maintained> {
        self.change(|table| kv::maintain(table, &request))
    }

    fn hints(&self) -> HintStream {
        self.hints.subscribe()
    }
}

#[cfg(all(test, tlo_shuttle))]
mod interleavings;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Payload;
    use crate::store::TaskStateStoreExt;
    use crate::task::{NewTask, TaskStatus};

    #[tokio::test]
    async fn a_task_goes_through_the_store() {
        let store = MemoryStore::default();
        let ids = IdSource::seeded(1);
        let mut new = NewTask::new(
            TaskId::new("a").unwrap(),
            "greet",
            Payload::parse("{}").unwrap(),
        );
        new.gates.push(crate::task::Gate {
            key: "user/7".to_owned(),
            limit: 1,
        });
        let mut other = new.clone();
        other.id = TaskId::new("b").unwrap();
        store.create(new).await.unwrap();
        store.create(other).await.unwrap();
        let worker = ids.worker_id("w").unwrap();
        let ttl = Duration::from_secs(30);
        let claimed = store
            .lease(&worker, "default", &["greet"], 10, ttl)
            .await
            .unwrap();
        assert_eq!(
            claimed
                .iter()
                .map(|task| task.id.as_str())
                .collect::<Vec<_>>(),
            ["a"]
        );
        let lease = claimed[0].lease.as_ref().unwrap().reference();
        assert_eq!(
            store
                .succeed(&claimed[0].id, lease, Payload::null())
                .await
                .unwrap(),
            TaskStatus::Succeeded
        );
        let claimed = store
            .lease(&worker, "default", &["greet"], 10, ttl)
            .await
            .unwrap();
        assert_eq!(
            claimed
                .iter()
                .map(|task| task.id.as_str())
                .collect::<Vec<_>>(),
            ["b"]
        );
        let counts = store
            .count(&TaskFilter::default(), CountBy::Status, 0)
            .await
            .unwrap();
        assert_eq!(
            (
                counts.of("succeeded"),
                counts.of("running"),
                counts.of("pending")
            ),
            (1, 1, 0)
        );
        let page = store
            .list(&TaskFilter::default(), PageRequest::first(1))
            .await
            .unwrap();
        assert_eq!((page.items.len(), page.complete), (1, false));
        let page = store
            .list(
                &TaskFilter::default(),
                PageRequest {
                    after: page.next,
                    ..PageRequest::first(5)
                },
            )
            .await
            .unwrap();
        assert_eq!(
            (page.items[0].record.id.as_str(), page.complete),
            ("b", true)
        );
    }

    #[tokio::test]
    async fn who_listens_before_a_write_is_done_hears_of_the_end() {
        let store = Arc::new(MemoryStore::default());
        let id = TaskId::new("a").unwrap();
        let new = NewTask::new(id.clone(), "greet", Payload::null());
        store.create(new).await.unwrap();
        let under_way = store.memory.lock();
        let writer = {
            let (store, id) = (Arc::clone(&store), id.clone());
            std::thread::spawn(move || {
                let cancel = Commit::of([crate::store::Op::Cancel(id, "enough".to_owned())]);
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .build()
                    .unwrap();
                runtime.block_on(store.commit(vec![cancel])).unwrap();
            })
        };
        // Long enough for the other thread to come as far as the lock.
        std::thread::park_timeout(Duration::from_millis(100));
        let mut hints = store.hints();
        drop(under_way);
        writer.join().unwrap();
        let heard = std::iter::from_fn(|| hints.try_next()).collect::<Vec<_>>();
        assert!(
            heard.contains(&crate::store::Hint::Finished(id)),
            "{heard:?}"
        );
    }
}
