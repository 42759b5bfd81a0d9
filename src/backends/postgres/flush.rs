//! Writing what a transaction came to: one statement for each sort of change, however many there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::{BoxFuture, try_join_all};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::columns::{Ended, Identities, Tasks, Turns};
use super::fault::Fault;
use super::link::{Answer, Link};
use super::loaded::{Home, Loaded, Stored};
use super::table::Done;
use crate::error::Result;
use crate::id::TaskId;
use crate::store::kv::{Word, keys};
use crate::task::TaskStateRecord;

const DELETE_ENTRIES: &str = "DELETE FROM @entry WHERE k = ANY($1)";

const PUT_ENTRIES: &str = "INSERT INTO @entry (k, v) SELECT * FROM unnest($1::bytea[], $2::bytea[]) \
    ON CONFLICT (k) DO UPDATE SET v = excluded.v";

const ADD_ENTRIES: &str = "INSERT INTO @entry (k, v) SELECT * FROM unnest($1::bytea[], $2::bytea[]) \
    ON CONFLICT (k) DO NOTHING";

const CHANGE_ENTRIES: &str = "UPDATE @entry e SET v = u.new FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS u (k, new, old) \
    WHERE e.k = u.k AND e.v = u.old AND e.k = ANY($1)";

const REMOVE_ENTRIES: &str = "DELETE FROM @entry e USING unnest($1::bytea[], $2::bytea[]) AS u (k, old) \
    WHERE e.k = u.k AND e.v = u.old AND e.k = ANY($1)";

const DELETE_TASKS: &str = "DELETE FROM @task WHERE seq = ANY($1)";

/// What this store wrote before and nobody since: then it is as it was.
const DELETE_HELD: &str = "DELETE FROM @task t USING unnest($1::bigint[], $2::text[]) AS u (seq, writer) \
    WHERE t.seq = u.seq AND t.xmin = u.writer::xid AND t.seq = ANY($1)";

const DELETE_ENDED: &str = "DELETE FROM @ended WHERE seq = ANY($1)";

const DELETE_IDENTITIES: &str = "DELETE FROM @identity WHERE seq = ANY($1)";

const UNREADY: &str = "UPDATE @task SET ready = false WHERE seq = ANY($1)";

const FORGET_LEASES: &str = "UPDATE @task SET lease_end = NULL WHERE seq = ANY($1)";

const TALLY: &str = "INSERT INTO @tally (line, queue, name, status, n) \
    SELECT * FROM unnest($1::bytea[], $2::text[], $3::text[], $4::smallint[], $5::bigint[])";

/// Keys or values of entries.
type Bytes = Vec<Vec<u8>>;

/// Everything that is to be written, by statement.
#[derive(Default)]
pub(super) struct Plan {
    identities: Identities,
    new_tasks: Tasks,
    changed_tasks: Tasks,
    turns: Turns,
    new_ended: Ended,
    changed_ended: Ended,
    gone_tasks: Vec<i64>,
    /// Those that were not read, with the transaction that wrote them.
    gone_held: (Vec<i64>, Vec<Arc<str>>),
    gone_ended: Vec<i64>,
    gone: Vec<i64>,
    unready: Vec<i64>,
    unleased: Vec<i64>,
    deleted: Bytes,
    put: (Bytes, Bytes),
    added: (Bytes, Bytes),
    /// Keys, new values and old values.
    changed: (Bytes, Bytes, Bytes),
    removed: (Bytes, Bytes),
    tally: BTreeMap<(String, String, u8), i64>,
}

fn signed(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

impl Plan {
    pub(super) fn of(done: &Done, loaded: &Loaded) -> Result<Self> {
        let mut plan = Self::default();
        for (id, record) in &done.changes.records {
            let before = loaded.records.get(id).and_then(Option::as_ref);
            plan.record(before, record.as_deref())?;
        }
        for (key, value) in &done.changes.rows {
            plan.entry(key, value.as_deref(), done, loaded);
        }
        for id in &done.taken {
            let changed = done.changes.records.contains_key(id);
            if let Some(Some(stored)) = loaded.records.get(id).filter(|_| !changed) {
                plan.unready.push(signed(stored.seq));
            }
        }
        Ok(plan)
    }

    fn record(&mut self, before: Option<&Stored>, after: Option<&TaskStateRecord>) -> Result<()> {
        if let (Some(old), Some(new)) = (before, after)
            && old.seq != new.seq
        {
            // Deleted, and made again: two rows.
            self.record(before, None)?;
            return self.record(None, after);
        }
        if let Some(before) = before {
            self.count(&before.queue, &before.name, before.status, -1);
        }
        let Some(record) = after else {
            if let Some(before) = before {
                let seq = signed(before.seq);
                match before.home {
                    Home::Task => self.gone_tasks.push(seq),
                    Home::Ended => self.gone_ended.push(seq),
                }
                self.gone.push(seq);
            }
            return Ok(());
        };
        self.count(&record.queue, &record.name, record.status as u8, 1);
        let home = if record.status.is_terminal() {
            Home::Ended
        } else {
            Home::Task
        };
        if before.is_none() {
            self.identities.push(record);
        }
        match (before.map(|before| before.home), home) {
            (Some(Home::Task), Home::Task) => {
                let known = before.and_then(|before| before.record.as_deref());
                if known.is_some_and(|before| Turns::fits(before, record)) {
                    self.turns.push(record)?;
                } else {
                    self.changed_tasks.push(record)?;
                }
            }
            (Some(Home::Ended), Home::Ended) => self.changed_ended.push(record)?,
            (from, Home::Task) => {
                if from.is_some() {
                    self.gone_ended.push(signed(record.seq));
                }
                self.new_tasks.push(record)?;
            }
            (from, Home::Ended) => {
                match before.map(|before| &before.written_by) {
                    Some(Some(writer)) => {
                        self.gone_held.0.push(signed(record.seq));
                        self.gone_held.1.push(Arc::clone(writer));
                    }
                    Some(None) if from.is_some() => self.gone_tasks.push(signed(record.seq)),
                    _ => {}
                }
                self.new_ended.push(record)?;
            }
        }
        Ok(())
    }

    fn count(&mut self, queue: &str, name: &str, status: u8, change: i64) {
        let key = (queue.to_owned(), name.to_owned(), status);
        *self.tally.entry(key).or_default() += change;
    }

    fn entry(&mut self, key: &[u8], value: Option<&[u8]>, done: &Done, loaded: &Loaded) {
        match key.first() {
            // What columns, indexes and the tally say.
            Some(b'c' | b's' | b'w' | b'q' | b'h' | b'H' | b'd' | b'f' | b't') => return,
            Some(b'l') => {
                let id = std::str::from_utf8(keys::lease_id(key)).ok();
                let id = id.and_then(|id| TaskId::new(id).ok());
                // The columns of what changed say it by themselves.
                let id = id.filter(|id| !done.changes.records.contains_key(id));
                let stored = id.and_then(|id| loaded.records.get(&id)?.as_ref());
                if let (None, Some(stored)) = (value, stored) {
                    self.unleased.push(signed(stored.seq));
                }
                return;
            }
            _ => {}
        }
        let before = loaded.entries.get(key);
        let key = key.to_vec();
        let is_guarded = matches!(key.first(), Some(b'm' | b'u' | b'E'));
        match (before, value) {
            (Some(Some(old)), Some(new)) if old == new => {}
            (Some(None), None) => {}
            (Some(Some(old)), Some(new)) if is_guarded => {
                self.changed.0.push(key);
                self.changed.1.push(new.to_vec());
                self.changed.2.push(old.clone());
            }
            (Some(Some(old)), None) if is_guarded => {
                self.removed.0.push(key);
                self.removed.1.push(old.clone());
            }
            (Some(None), Some(new)) if is_guarded => {
                self.added.0.push(key);
                self.added.1.push(new.to_vec());
            }
            (_, Some(new)) => {
                self.put.0.push(key);
                self.put.1.push(new.to_vec());
            }
            (_, None) => self.deleted.push(key),
        }
    }

    /// Sends all of it; false when somebody else was first, and then the transaction must not be kept.
    pub(super) async fn write(&self, link: Link<'_>) -> Result<bool, Fault> {
        let tally = Tally::of(&self.tally);
        let mut wanted: Vec<(usize, bool)> = Vec::new();
        let mut sent: Vec<BoxFuture<'_, Answer<u64>>> = Vec::new();
        // Each in the same order everywhere, so that nobody waits in a circle.
        macro_rules! send {
            ($rows:expr, $strict:expr, $sql:expr, $($value:expr, $type:ident);+) => {
                if $rows > 0 {
                    wanted.push(($rows, $strict));
                    sent.push(Box::pin(async move {
                        link.execute($sql, &[$((&$value as &(dyn tokio_postgres::types::ToSql + Sync), Type::$type)),+]).await
                    }));
                }
            };
        }
        let Self {
            added,
            changed,
            removed,
            put,
            deleted,
            ..
        } = self;
        send!(added.0.len(), true, ADD_ENTRIES, added.0, BYTEA_ARRAY; added.1, BYTEA_ARRAY);
        send!(changed.0.len(), true, CHANGE_ENTRIES, changed.0, BYTEA_ARRAY; changed.1, BYTEA_ARRAY; changed.2, BYTEA_ARRAY);
        send!(removed.0.len(), true, REMOVE_ENTRIES, removed.0, BYTEA_ARRAY; removed.1, BYTEA_ARRAY);
        send!(put.0.len(), false, PUT_ENTRIES, put.0, BYTEA_ARRAY; put.1, BYTEA_ARRAY);
        send!(deleted.len(), false, DELETE_ENTRIES, deleted, BYTEA_ARRAY);
        // An id that goes may come again.
        send!(
            self.gone.len(),
            true,
            DELETE_IDENTITIES,
            self.gone,
            INT8_ARRAY
        );
        if self.identities.len() > 0 {
            wanted.push((self.identities.len(), true));
            sent.push(Box::pin(self.identities.insert(link)));
        }
        let (held, writers) = &self.gone_held;
        let writers: Vec<&str> = writers.iter().map(|writer| &**writer).collect();
        send!(held.len(), true, DELETE_HELD, *held, INT8_ARRAY; writers, TEXT_ARRAY);
        send!(
            self.gone_tasks.len(),
            true,
            DELETE_TASKS,
            self.gone_tasks,
            INT8_ARRAY
        );
        send!(
            self.gone_ended.len(),
            true,
            DELETE_ENDED,
            self.gone_ended,
            INT8_ARRAY
        );
        if self.new_tasks.len() > 0 {
            wanted.push((self.new_tasks.len(), true));
            sent.push(Box::pin(self.new_tasks.insert(link)));
        }
        if self.changed_tasks.len() > 0 {
            wanted.push((self.changed_tasks.len(), true));
            sent.push(Box::pin(self.changed_tasks.update(link)));
        }
        if self.turns.len() > 0 {
            wanted.push((self.turns.len(), true));
            sent.push(Box::pin(self.turns.update(link)));
        }
        if self.new_ended.len() > 0 {
            wanted.push((self.new_ended.len(), true));
            sent.push(Box::pin(self.new_ended.insert(link)));
        }
        if self.changed_ended.len() > 0 {
            wanted.push((self.changed_ended.len(), true));
            sent.push(Box::pin(self.changed_ended.update(link)));
        }
        send!(self.unready.len(), false, UNREADY, self.unready, INT8_ARRAY);
        send!(
            self.unleased.len(),
            false,
            FORGET_LEASES,
            self.unleased,
            INT8_ARRAY
        );
        send!(tally.n.len(), false, TALLY, tally.lines, BYTEA_ARRAY; tally.queues, TEXT_ARRAY; tally.names, TEXT_ARRAY; tally.statuses, INT2_ARRAY; tally.n, INT8_ARRAY);
        let written = try_join_all(sent).await?;
        let holds = wanted
            .iter()
            .zip(written)
            .all(|((wanted, strict), written)| !strict || written == *wanted as u64);
        Ok(holds)
    }

    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.identities.len() == 0
            && self.new_tasks.len() == 0
            && self.changed_tasks.len() == 0
            && self.turns.len() == 0
            && self.new_ended.len() == 0
            && self.changed_ended.len() == 0
            && self.gone.is_empty()
            && self.gone_held.0.is_empty()
            && self.unready.is_empty()
            && self.unleased.is_empty()
            && self.deleted.is_empty()
            && self.put.0.is_empty()
            && self.added.0.is_empty()
            && self.changed.0.is_empty()
            && self.removed.0.is_empty()
    }

    /// Rows added to the tally.
    pub(super) fn tallied(&self) -> usize {
        self.tally.values().filter(|n| **n != 0).count()
    }
}

#[derive(Default)]
struct Tally<'a> {
    lines: Vec<Vec<u8>>,
    queues: Vec<&'a str>,
    names: Vec<&'a str>,
    statuses: Vec<i16>,
    n: Vec<i64>,
}

impl<'a> Tally<'a> {
    fn of(changes: &'a BTreeMap<(String, String, u8), i64>) -> Self {
        let mut tally = Self::default();
        for ((queue, name, status), n) in changes.iter().filter(|(_, n)| **n != 0) {
            tally.lines.push(keys::queue_word(queue).bytes().to_vec());
            tally.queues.push(queue);
            tally.names.push(name);
            tally.statuses.push(i16::from(*status));
            tally.n.push(*n);
        }
        tally
    }
}

/// The lane of a queue, a name and a version.
pub(super) fn lane(queue: &str, name: &str, version: Option<&str>) -> Uuid {
    let parts = [queue, name, version.unwrap_or("")];
    Uuid::from_bytes(Word::of(&parts.map(str::as_bytes)).bytes())
}
