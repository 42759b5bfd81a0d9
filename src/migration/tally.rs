//! What a store holds, in numbers and checksums that are the same wherever it is held.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;
use twox_hash::XxHash3_128;

use super::copy::{AT_ONCE, HOLDINGS, aborted};
use super::walk;
use crate::error::{Error, ErrorKind, Result};
use crate::store::import::anywhere;
use crate::store::{Holding, KeyOwner, Mark, SharedStore, StreamExtent};
use crate::task::{TaskStateRecord, TaskStatus};
use crate::timestamp::Timestamp;

/// What ends by itself so soon after both stores were read is not counted: it may have ended between the two.
const SOON: Duration = Duration::from_secs(60);

/// Tasks of one status and queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Group {
    /// Their queue.
    pub queue: String,
    /// Their status.
    pub status: TaskStatus,
}

/// What a store holds. Two that are equal hold the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Records.
    pub records: u64,
    /// Records by status and queue.
    pub groups: BTreeMap<Group, u64>,
    /// Streams of events.
    pub streams: u64,
    /// Events that are kept.
    pub events: u64,
    /// Marks, without those of workers and those that had ended a minute after all was read.
    pub marks: u64,
    /// Unique keys that are owned, without those that were given up a minute after all was read.
    pub keys: u64,
    sum: u128,
}

impl Tally {
    /// A checksum over everything: records with all their fields but where they stand in their store, events, marks and
    /// owners of keys.
    #[must_use]
    pub fn checksum(&self) -> String {
        format!("{:032x}", self.sum)
    }

    fn add_record(&mut self, record: TaskStateRecord) -> Result<()> {
        let group = Group {
            queue: record.queue.to_string(),
            status: record.status,
        };
        *self.groups.entry(group).or_default() += 1;
        let hash = hash("record", &anywhere(record))?;
        self.add(hash, |tally| &mut tally.records);
        Ok(())
    }

    /// Counts one thing. The sum does not depend on the order, which is each store's own.
    fn add(&mut self, hash: u128, count: impl Fn(&mut Self) -> &mut u64) {
        *count(self) += 1;
        self.sum = self.sum.wrapping_add(hash);
    }
}

/// What was read of a store, before it is known what of it counts.
#[derive(Default)]
pub(super) struct Read {
    /// What stays.
    stays: Tally,
    /// When a mark ends, and its hash.
    marks: Vec<(Timestamp, u128)>,
    /// When a key is given up, and its hash.
    keys: Vec<(Timestamp, u128)>,
}

impl Read {
    /// What is still there a while after a moment. Two stores hold the same only of what outlives the reading of both,
    /// however long that took; so it is one moment for both, after the last of it.
    pub(super) fn after(&self, moment: Timestamp) -> Tally {
        let soon = moment.saturating_add(SOON);
        let lasts = |(until, _): &&(Timestamp, u128)| *until > soon;
        let mut tally = self.stays.clone();
        for (_, hash) in self.marks.iter().filter(lasts) {
            tally.add(*hash, |tally| &mut tally.marks);
        }
        for (_, hash) in self.keys.iter().filter(lasts) {
            tally.add(*hash, |tally| &mut tally.keys);
        }
        tally
    }

    fn add_mark(&mut self, mark: &Mark) -> Result<()> {
        let hash = hash("mark", &(&mark.key, &mark.value, mark.set_at, mark.until))?;
        match mark.until {
            Some(until) => self.marks.push((until, hash)),
            None => self.stays.add(hash, |stays| &mut stays.marks),
        }
        Ok(())
    }

    fn add_key(&mut self, owner: &KeyOwner) -> Result<()> {
        let hash = hash("key", &(&owner.key, &owner.owner, owner.until))?;
        match owner.until {
            Some(until) => self.keys.push((until, hash)),
            None => self.stays.add(hash, |stays| &mut stays.keys),
        }
        Ok(())
    }
}

fn hash<T: Serialize>(what: &str, value: &T) -> Result<u128> {
    let bytes = serde_json::to_vec(&(what, value)).map_err(|source| {
        Error::new(
            ErrorKind::Internal,
            "count tasks",
            "a value has no JSON form",
        )
        .with_source(source)
    })?;
    Ok(XxHash3_128::oneshot(&bytes))
}

/// Reads everything.
pub(super) async fn read(store: &SharedStore) -> Result<Read> {
    let mut read = Read::default();
    let mut after = None;
    loop {
        let page = walk::records(store, after).await?;
        for ids in &page.ids {
            for record in walk::whole(store, ids).await? {
                read.stays.add_record(record)?;
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let mut after = None;
    loop {
        let (marks, next) = walk::marks(store, after.as_deref()).await?;
        marks.iter().try_for_each(|mark| read.add_mark(mark))?;
        after = next;
        if after.is_none() {
            break;
        }
    }
    // A store may tell of one twice.
    let mut seen = HashSet::new();
    loop {
        let page = store.holdings(after.as_deref(), HOLDINGS).await?;
        let mut streams = Vec::new();
        for holding in page.items {
            match holding {
                Holding::Stream(extent) => {
                    let id = (&extent.stream.owner, &extent.stream.name);
                    if seen.insert(hash("stream", &id)?) {
                        streams.push(extent);
                    }
                }
                Holding::Key(owner) => {
                    if seen.insert(hash("key", &owner.key)?) {
                        read.add_key(&owner)?;
                    }
                }
            }
        }
        for some in streams.chunks(AT_ONCE) {
            add_streams(&mut read.stays, store, some).await?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(read);
        }
    }
}

async fn add_streams(
    tally: &mut Tally,
    store: &SharedStore,
    streams: &[StreamExtent],
) -> Result<()> {
    let mut reading = JoinSet::new();
    for extent in streams {
        let (store, extent) = (Arc::clone(store), extent.clone());
        reading.spawn(async move { stream(&store, &extent).await });
    }
    while let Some(read) = reading.join_next().await {
        let (events, sum) = read.map_err(aborted)??;
        tally.add(sum, |tally| &mut tally.streams);
        tally.events += events;
    }
    Ok(())
}

/// How many events a stream has, and the sum of them and of its extent.
async fn stream(store: &SharedStore, extent: &StreamExtent) -> Result<(u64, u128)> {
    let id = (&extent.stream.owner, &extent.stream.name);
    let mut sum = hash("extent", &(id, extent.first, extent.length))?;
    let (mut count, mut next) = (0, extent.first);
    loop {
        let (events, more) = walk::events(store, &extent.stream, next).await?;
        for event in &events {
            sum = sum.wrapping_add(hash("event", &(id, event))?);
            next = event.number + 1;
        }
        count += events.len() as u64;
        if !more {
            return Ok((count, sum));
        }
    }
}
