//! Records as columns: what SQL looks for beside the record itself.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::flush::lane;
use super::link::{Answer, Link};
use crate::error::Result;
use crate::store::kv::{boot_and_end, encode};
use crate::task::{TaskStateRecord, TaskStatus};

/// Between the tags of a record; no name has it.
const BETWEEN: &str = "\u{1}";

const INSERT_IDENTITIES: &str = "INSERT INTO @identity (seq, id, name, kind, parent, schedule, tags, created_at) \
    SELECT s, i, n, k, p, c, string_to_array(t, chr(1)), a \
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::smallint[], $5::text[], $6::text[], $7::text[], $8::bigint[]) \
        AS u (s, i, n, k, p, c, t, a) \
    ON CONFLICT (id) DO NOTHING";

const INSERT_TASKS: &str = "INSERT INTO @task \
    (seq, id, status, queue, name, lane, priority, run_at, ready, lease_end, worker, error_group, body, plain) \
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::smallint[], $4::text[], $5::text[], $6::uuid[], $7::smallint[], \
        $8::bigint[], $9::boolean[], $10::bigint[], $11::text[], $12::text[], $13::text[], $14::boolean[])";

// Here and where else rows of a table meet those that were sent: the numbers are said once more, as they were sent. A server
// that takes a table to be almost empty would read the whole of an index to join it, with all that is gone and cannot be
// cleaned up.
const UPDATE_TASKS: &str = "UPDATE @task t SET status = u.status, queue = u.queue, lane = u.lane, priority = u.priority, \
    run_at = u.run_at, ready = u.ready, lease_end = u.lease_end, worker = u.worker, error_group = u.error_group, body = u.body, \
    plain = u.plain, leased_at = NULL, token = NULL \
    FROM unnest($1::bigint[], $2::smallint[], $3::text[], $4::uuid[], $5::smallint[], $6::bigint[], $7::boolean[], \
        $8::bigint[], $9::text[], $10::text[], $11::text[], $12::boolean[]) \
        AS u (seq, status, queue, lane, priority, run_at, ready, lease_end, worker, error_group, body, plain) \
    WHERE t.seq = u.seq AND t.seq = ANY($1)";

/// What only begins or ends a lease leaves the rest as it was.
const UPDATE_LEASES: &str = "UPDATE @task t SET status = u.status, ready = u.ready, lease_end = u.lease_end, worker = u.worker, body = u.body, \
    plain = u.plain, leased_at = NULL, token = NULL \
    FROM unnest($1::bigint[], $2::smallint[], $3::boolean[], $4::bigint[], $5::text[], $6::text[], $7::boolean[]) \
        AS u (seq, status, ready, lease_end, worker, body, plain) \
    WHERE t.seq = u.seq AND t.seq = ANY($1)";

const INSERT_ENDED: &str = "INSERT INTO @ended (seq, id, status, queue, error_group, finished_at, body) \
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::smallint[], $4::text[], $5::text[], $6::bigint[], $7::text[])";

const UPDATE_ENDED: &str = "UPDATE @ended e SET status = u.status, queue = u.queue, error_group = u.error_group, \
    finished_at = u.finished_at, body = u.body \
    FROM unnest($1::bigint[], $2::smallint[], $3::text[], $4::text[], $5::bigint[], $6::text[]) \
        AS u (seq, status, queue, error_group, finished_at, body) \
    WHERE e.seq = u.seq AND e.seq = ANY($1)";

fn seq(record: &TaskStateRecord) -> i64 {
    i64::try_from(record.seq).unwrap_or(i64::MAX)
}

fn body(record: &TaskStateRecord) -> Result<String> {
    // JSON is UTF-8.
    Ok(String::from_utf8(encode(record)?).unwrap_or_default())
}

/// A text as a column keeps it: it cannot hold the character zero.
pub(super) fn plain(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

fn is_ready(record: &TaskStateRecord) -> bool {
    record.status == TaskStatus::Pending && record.parked.is_none()
}

/// Whether nothing follows from its being claimed but the lease itself: [`super::quick`] leases such records without a look at
/// what they say.
fn is_plain(record: &TaskStateRecord) -> bool {
    is_ready(record)
        && record.gates.is_empty()
        && record.holds.is_empty()
        && record.unique.is_none()
        && record.prefer.is_none()
        && record.expires_at.is_none()
}

fn lease_end(record: &TaskStateRecord) -> Option<i64> {
    boot_and_end(record).map(|(_, end)| i64::try_from(end).unwrap_or(i64::MAX))
}

fn worker(record: &TaskStateRecord) -> Option<String> {
    let lease = record.lease.as_ref();
    lease.map(|lease| lease.worker.as_str().to_owned())
}

#[derive(Default)]
pub(super) struct Identities {
    seqs: Vec<i64>,
    ids: Vec<String>,
    names: Vec<String>,
    kinds: Vec<i16>,
    parents: Vec<Option<String>>,
    schedules: Vec<Option<String>>,
    tags: Vec<Option<String>>,
    created: Vec<i64>,
}

impl Identities {
    pub(super) fn len(&self) -> usize {
        self.seqs.len()
    }

    pub(super) fn push(&mut self, record: &TaskStateRecord) {
        self.seqs.push(seq(record));
        self.ids.push(record.id.as_str().to_owned());
        self.names.push(record.name.to_string());
        self.kinds.push(record.kind as i16);
        let parent = record.parent.as_ref();
        self.parents.push(parent.map(|id| id.as_str().to_owned()));
        self.schedules
            .push(record.schedule.as_deref().map(str::to_owned));
        let tags: Vec<&str> = record.tags.iter().map(String::as_str).collect();
        self.tags
            .push((!tags.is_empty()).then(|| tags.join(BETWEEN)));
        self.created.push(record.created_at.as_micros());
    }

    pub(super) async fn insert(&self, link: Link<'_>) -> Answer<u64> {
        link.execute(
            INSERT_IDENTITIES,
            &[
                (&self.seqs, Type::INT8_ARRAY),
                (&self.ids, Type::TEXT_ARRAY),
                (&self.names, Type::TEXT_ARRAY),
                (&self.kinds, Type::INT2_ARRAY),
                (&self.parents, Type::TEXT_ARRAY),
                (&self.schedules, Type::TEXT_ARRAY),
                (&self.tags, Type::TEXT_ARRAY),
                (&self.created, Type::INT8_ARRAY),
            ],
        )
        .await
    }
}

#[derive(Default)]
pub(super) struct Tasks {
    seqs: Vec<i64>,
    ids: Vec<String>,
    statuses: Vec<i16>,
    queues: Vec<String>,
    names: Vec<String>,
    lanes: Vec<Uuid>,
    priorities: Vec<i16>,
    run_at: Vec<i64>,
    ready: Vec<bool>,
    lease_ends: Vec<Option<i64>>,
    workers: Vec<Option<String>>,
    error_groups: Vec<Option<String>>,
    bodies: Vec<String>,
    plain: Vec<bool>,
}

impl Tasks {
    pub(super) fn len(&self) -> usize {
        self.seqs.len()
    }

    pub(super) fn push(&mut self, record: &TaskStateRecord) -> Result<()> {
        let lane = lane(&record.queue, &record.name, record.version.as_deref());
        self.bodies.push(body(record)?);
        self.seqs.push(seq(record));
        self.ids.push(record.id.as_str().to_owned());
        self.statuses.push(record.status as i16);
        self.queues.push(record.queue.to_string());
        self.names.push(record.name.to_string());
        self.lanes.push(lane);
        self.priorities.push(i16::from(record.priority));
        self.run_at.push(record.run_at.as_micros());
        self.ready.push(is_ready(record));
        self.lease_ends.push(lease_end(record));
        self.workers.push(worker(record));
        self.error_groups
            .push(record.error_group.as_deref().map(plain));
        self.plain.push(is_plain(record));
        Ok(())
    }

    pub(super) async fn insert(&self, link: Link<'_>) -> Answer<u64> {
        link.execute(
            INSERT_TASKS,
            &[
                (&self.seqs, Type::INT8_ARRAY),
                (&self.ids, Type::TEXT_ARRAY),
                (&self.statuses, Type::INT2_ARRAY),
                (&self.queues, Type::TEXT_ARRAY),
                (&self.names, Type::TEXT_ARRAY),
                (&self.lanes, Type::UUID_ARRAY),
                (&self.priorities, Type::INT2_ARRAY),
                (&self.run_at, Type::INT8_ARRAY),
                (&self.ready, Type::BOOL_ARRAY),
                (&self.lease_ends, Type::INT8_ARRAY),
                (&self.workers, Type::TEXT_ARRAY),
                (&self.error_groups, Type::TEXT_ARRAY),
                (&self.bodies, Type::TEXT_ARRAY),
                (&self.plain, Type::BOOL_ARRAY),
            ],
        )
        .await
    }

    pub(super) async fn update(&self, link: Link<'_>) -> Answer<u64> {
        link.execute(
            UPDATE_TASKS,
            &[
                (&self.seqs, Type::INT8_ARRAY),
                (&self.statuses, Type::INT2_ARRAY),
                (&self.queues, Type::TEXT_ARRAY),
                (&self.lanes, Type::UUID_ARRAY),
                (&self.priorities, Type::INT2_ARRAY),
                (&self.run_at, Type::INT8_ARRAY),
                (&self.ready, Type::BOOL_ARRAY),
                (&self.lease_ends, Type::INT8_ARRAY),
                (&self.workers, Type::TEXT_ARRAY),
                (&self.error_groups, Type::TEXT_ARRAY),
                (&self.bodies, Type::TEXT_ARRAY),
                (&self.plain, Type::BOOL_ARRAY),
            ],
        )
        .await
    }
}

/// Changes of records that stay where they are in their lane.
#[derive(Default)]
pub(super) struct Turns {
    seqs: Vec<i64>,
    statuses: Vec<i16>,
    ready: Vec<bool>,
    lease_ends: Vec<Option<i64>>,
    workers: Vec<Option<String>>,
    bodies: Vec<String>,
    plain: Vec<bool>,
}

impl Turns {
    /// Whether only these columns can differ.
    pub(super) fn fits(before: &TaskStateRecord, after: &TaskStateRecord) -> bool {
        before.queue == after.queue
            && before.version == after.version
            && before.priority == after.priority
            && before.run_at == after.run_at
            && before.error_group == after.error_group
    }

    pub(super) fn len(&self) -> usize {
        self.seqs.len()
    }

    pub(super) fn push(&mut self, record: &TaskStateRecord) -> Result<()> {
        self.bodies.push(body(record)?);
        self.seqs.push(seq(record));
        self.statuses.push(record.status as i16);
        self.ready.push(is_ready(record));
        self.lease_ends.push(lease_end(record));
        self.workers.push(worker(record));
        self.plain.push(is_plain(record));
        Ok(())
    }

    pub(super) async fn update(&self, link: Link<'_>) -> Answer<u64> {
        link.execute(
            UPDATE_LEASES,
            &[
                (&self.seqs, Type::INT8_ARRAY),
                (&self.statuses, Type::INT2_ARRAY),
                (&self.ready, Type::BOOL_ARRAY),
                (&self.lease_ends, Type::INT8_ARRAY),
                (&self.workers, Type::TEXT_ARRAY),
                (&self.bodies, Type::TEXT_ARRAY),
                (&self.plain, Type::BOOL_ARRAY),
            ],
        )
        .await
    }
}

#[derive(Default)]
pub(super) struct Ended {
    seqs: Vec<i64>,
    ids: Vec<String>,
    statuses: Vec<i16>,
    queues: Vec<String>,
    error_groups: Vec<Option<String>>,
    finished: Vec<i64>,
    bodies: Vec<String>,
}

impl Ended {
    pub(super) fn len(&self) -> usize {
        self.seqs.len()
    }

    pub(super) fn push(&mut self, record: &TaskStateRecord) -> Result<()> {
        self.bodies.push(body(record)?);
        self.seqs.push(seq(record));
        self.ids.push(record.id.as_str().to_owned());
        self.statuses.push(record.status as i16);
        self.queues.push(record.queue.to_string());
        self.error_groups
            .push(record.error_group.as_deref().map(plain));
        let finished = record.finished_at.unwrap_or(record.created_at);
        self.finished.push(finished.as_micros());
        Ok(())
    }

    pub(super) async fn insert(&self, link: Link<'_>) -> Answer<u64> {
        link.execute(
            INSERT_ENDED,
            &[
                (&self.seqs, Type::INT8_ARRAY),
                (&self.ids, Type::TEXT_ARRAY),
                (&self.statuses, Type::INT2_ARRAY),
                (&self.queues, Type::TEXT_ARRAY),
                (&self.error_groups, Type::TEXT_ARRAY),
                (&self.finished, Type::INT8_ARRAY),
                (&self.bodies, Type::TEXT_ARRAY),
            ],
        )
        .await
    }

    pub(super) async fn update(&self, link: Link<'_>) -> Answer<u64> {
        link.execute(
            UPDATE_ENDED,
            &[
                (&self.seqs, Type::INT8_ARRAY),
                (&self.statuses, Type::INT2_ARRAY),
                (&self.queues, Type::TEXT_ARRAY),
                (&self.error_groups, Type::TEXT_ARRAY),
                (&self.finished, Type::INT8_ARRAY),
                (&self.bodies, Type::TEXT_ARRAY),
            ],
        )
        .await
    }
}
