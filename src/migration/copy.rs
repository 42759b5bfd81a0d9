//! Copying: marks first, so that gates are as closed as they were, then records, then streams and keys.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::progress::{MARK, Progress, Stage, taken};
use super::{Migration, OPERATION, Step, conflict, rest, walk};
use crate::error::{Error, ErrorKind, Result};
use crate::page::Cursor;
use crate::payload::Payload;
use crate::store::{Commit, Event, Holding, Import, Op, Refusal, StreamExtent};

/// Streams and keys read at once.
pub(super) const HOLDINGS: usize = 500;

/// Streams whose events are read at the same time.
pub(super) const AT_ONCE: usize = 16;

/// Bytes of payloads in one commit, unless a single record or event has more.
const COMMIT: usize = 4 << 20;

/// A migration under way.
pub(super) struct Copying<'a> {
    migration: &'a Migration,
    pub(super) progress: Progress,
    pub(super) resumed: bool,
    /// Records of the source, as counted at the beginning.
    of: u64,
}

impl<'a> Copying<'a> {
    pub(super) async fn new(migration: &'a Migration, progress: Progress) -> Result<Self> {
        Ok(Self {
            resumed: progress.resumed,
            progress,
            migration,
            of: rest::count(&migration.from).await?,
        })
    }

    /// Copies what is left.
    pub(super) async fn run(&mut self) -> Result<()> {
        loop {
            match self.progress.stage {
                Stage::Marks => {
                    self.marks().await?;
                    let first = Stage::Records {
                        after: None,
                        done: 0,
                    };
                    self.progress.save(self.migration, first).await?;
                }
                Stage::Records { after, done } => {
                    self.records(after, done).await?;
                    self.progress.save(self.migration, Stage::Holdings).await?;
                }
                Stage::Holdings => return self.holdings().await,
                Stage::Nothing => return Ok(()),
            }
        }
    }

    /// Puts them in, each by itself, in commits of bounded size.
    async fn put(&self, imports: Vec<Import>) -> Result<()> {
        let (mut commits, mut bytes) = (Vec::new(), 0);
        for import in imports.into_iter().flat_map(in_parts) {
            let more = size(&import);
            if bytes + more > COMMIT && !commits.is_empty() {
                self.commit(std::mem::take(&mut commits)).await?;
                bytes = 0;
            }
            bytes += more;
            // A process that was stopped for a while must not put back what was removed since: it goes on as long as the
            // mark is as it wrote it, and no longer.
            let import = Commit::of([Op::Import(Box::new(import))]);
            commits.push(import.when(self.progress.guard()));
        }
        self.commit(commits).await
    }

    async fn commit(&self, commits: Vec<Commit>) -> Result<()> {
        if commits.is_empty() {
            return Ok(());
        }
        for answer in self.migration.to.commit(commits).await? {
            answer.map_err(|refusal| refused(self.migration, refusal))?;
        }
        Ok(())
    }

    async fn marks(&self) -> Result<()> {
        let mut after = None;
        loop {
            let (marks, next) = walk::marks(&self.migration.from, after.as_deref()).await?;
            self.put(marks.into_iter().map(Import::Mark).collect())
                .await?;
            after = next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn records(&mut self, mut after: Option<Cursor>, mut done: u64) -> Result<()> {
        loop {
            let page = walk::records(&self.migration.from, after).await?;
            for ids in &page.ids {
                let records = walk::whole(&self.migration.from, ids).await?;
                done += records.len() as u64;
                let imports = records
                    .into_iter()
                    .map(|record| Import::Record(Box::new(record)));
                self.put(imports.collect()).await?;
            }
            (self.migration.watch)(Step::Records { done, of: self.of });
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
            let next = Stage::Records { after, done };
            self.progress.save(self.migration, next).await?;
        }
    }

    async fn holdings(&self) -> Result<()> {
        let (mut after, mut done) = (None, 0);
        loop {
            let from = &self.migration.from;
            let page = from.holdings(after.as_deref(), HOLDINGS).await?;
            done += page.items.len() as u64;
            let (mut streams, mut keys) = (Vec::new(), Vec::new());
            for holding in page.items {
                match holding {
                    Holding::Stream(extent) => streams.push(extent),
                    Holding::Key(owner) => keys.push(Import::Key(owner)),
                }
            }
            self.put(keys).await?;
            for some in streams.chunks(AT_ONCE) {
                self.streams(some).await?;
            }
            (self.migration.watch)(Step::Holdings(done));
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn streams(&self, streams: &[StreamExtent]) -> Result<()> {
        let mut reading = JoinSet::new();
        for extent in streams {
            let (from, extent) = (Arc::clone(&self.migration.from), extent.clone());
            reading.spawn(async move {
                let page = walk::events(&from, &extent.stream, extent.first).await;
                page.map(|(events, more)| (extent, events, more))
            });
        }
        let (mut imports, mut long) = (Vec::new(), Vec::new());
        while let Some(read) = reading.join_next().await {
            let (extent, events, more) = read.map_err(aborted)??;
            if let (true, Some(last)) = (more, events.last()) {
                long.push((extent.clone(), last.number + 1));
            }
            imports.push(of(&extent, events));
        }
        self.put(imports).await?;
        for (extent, mut next) in long {
            loop {
                let (events, more) =
                    walk::events(&self.migration.from, &extent.stream, next).await?;
                next = events.last().map_or(next, |last| last.number + 1);
                self.put(vec![of(&extent, events)]).await?;
                if !more {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// What was spawned was aborted, or panicked.
pub(super) fn aborted(source: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Internal, OPERATION, "a read was aborted").with_source(source)
}

fn of(extent: &StreamExtent, events: Vec<Event>) -> Import {
    Import::Events {
        stream: extent.stream.clone(),
        first: extent.first,
        events,
    }
}

/// Events that are too large for one commit, in several.
fn in_parts(import: Import) -> Vec<Import> {
    let Import::Events {
        stream,
        first,
        events,
    } = import
    else {
        return vec![import];
    };
    let (mut parts, mut bytes) = (vec![Vec::new()], 0);
    for event in events {
        let more = event_size(&event);
        if bytes + more > COMMIT && bytes > 0 {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += more;
        if let Some(part) = parts.last_mut() {
            part.push(event);
        }
    }
    let parts = parts.into_iter().map(|events| Import::Events {
        stream: stream.clone(),
        first,
        events,
    });
    parts.collect()
}

/// About how many bytes it has: what is large are payloads.
fn size(import: &Import) -> usize {
    let payload = |payload: Option<&Payload>| payload.map_or(0, |payload| payload.as_str().len());
    match import {
        Import::Record(record) => {
            let payloads = [&record.progress, &record.result, &record.details.state];
            let payloads = payloads.into_iter().map(|one| payload(one.as_ref()));
            payloads.sum::<usize>() + payload(Some(&record.args))
        }
        Import::Events { events, .. } => events.iter().map(event_size).sum(),
        Import::Mark(mark) => payload(Some(&mark.value)),
        Import::Key(_) => 0,
    }
}

fn event_size(event: &Event) -> usize {
    event.data.as_str().len()
}

fn refused(migration: &Migration, refusal: Refusal) -> Error {
    let what = match &refusal {
        Refusal::Mark(key, _) if &**key == MARK => return taken(migration),
        Refusal::Exists(id) => format!("the task \"{id}\""),
        Refusal::Mark(key, _) => format!("the mark \"{key}\""),
        Refusal::KeyTaken { key, .. } => format!("the owner of the unique key \"{key}\""),
        Refusal::Length(stream, _) => format!("the stream \"{stream}\""),
        _ => return Error::from(refusal),
    };
    let name = &migration.names.1;
    conflict(format!(
        "{what} is in {name} and no longer as it is in the source: one of them was used since the copy began; \
         begin again with an empty store"
    ))
}
