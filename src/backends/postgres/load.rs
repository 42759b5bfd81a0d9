//! Reading what is needed, in few statements however much it is.

use std::sync::Arc;

use futures_util::try_join;
use tokio_postgres::types::Type;

use super::fault::Fault;
use super::link::{Answer, Link};
use super::loaded::{Home, Loaded, Stored};
use super::needs::{Needs, Span};
use super::quick;
use super::row::Row;
use super::table::show;
use crate::error::Result;
use crate::id::{TaskId, stable_hash};
use crate::store::kv::{CountRow, Pairs, Word, decode, keys};
use crate::task::{TaskStateRecord, TaskStatus};
use crate::timestamp::Timestamp;

const LOCK_GATES: &str = "SELECT pg_advisory_xact_lock(k) FROM unnest($1::bigint[]) AS k";

const TRY_GATES: &str =
    "SELECT bool_and(pg_try_advisory_xact_lock(k)) FROM unnest($1::bigint[]) AS k";

const START: &str = "SELECT (extract(epoch FROM statement_timestamp()) * 1000000)::bigint, \
    ARRAY(SELECT nextval('@number') FROM generate_series(1, $1::bigint))";

const WRITER: &str = "SELECT pg_current_xact_id()::xid::text";

const NUMBERS: &str = "SELECT nextval('@number') FROM generate_series(1, $1::bigint)";

const ENTRIES: &str = "SELECT k, v FROM @entry WHERE k = ANY($1)";

const LOCKED: &str = "SELECT k, v FROM @entry WHERE k = ANY($1) ORDER BY k FOR UPDATE";

const LOCKED_NOW: &str = "SELECT k, v FROM @entry WHERE k = ANY($1) ORDER BY k FOR UPDATE NOWAIT";

const SPANS: &str = "SELECT s.n, e.k, e.v \
    FROM unnest($1::bytea[], $2::bytea[], $3::bigint[]) WITH ORDINALITY AS s (f, u, l, n) \
    CROSS JOIN LATERAL (SELECT k, v FROM @entry WHERE k >= s.f AND k < s.u ORDER BY k LIMIT s.l) AS e \
    ORDER BY s.n, e.k";

const TASKS: &str = "SELECT t.id, t.seq, t.status, t.queue, t.name, t.body, t.lease_end, t.leased_at, t.worker, t.token \
    FROM @task t WHERE t.seq = ANY(ARRAY(SELECT seq FROM @identity WHERE id = ANY($1))) ORDER BY t.seq FOR UPDATE";

const TASKS_NOW: &str = "SELECT t.id, t.seq, t.status, t.queue, t.name, t.body, t.lease_end, t.leased_at, t.worker, t.token \
    FROM @task t WHERE t.seq = ANY(ARRAY(SELECT seq FROM @identity WHERE id = ANY($1))) ORDER BY t.seq FOR UPDATE NOWAIT";

const ENDED: &str = "SELECT e.id, e.seq, e.status, e.queue, i.name, e.body \
    FROM @ended e JOIN @identity i ON i.seq = e.seq \
    WHERE e.seq = ANY(ARRAY(SELECT seq FROM @identity WHERE id = ANY($1))) AND i.id = ANY($1) ORDER BY e.seq FOR UPDATE OF e";

const ENDED_NOW: &str = "SELECT e.id, e.seq, e.status, e.queue, i.name, e.body \
    FROM @ended e JOIN @identity i ON i.seq = e.seq \
    WHERE e.seq = ANY(ARRAY(SELECT seq FROM @identity WHERE id = ANY($1))) AND i.id = ANY($1) ORDER BY e.seq FOR UPDATE OF e NOWAIT";

const DEPTHS: &str = "SELECT line, queue, name, status, sum(n)::bigint FROM @tally WHERE line = ANY($1) \
    GROUP BY line, queue, name, status";

/// Rules read with every transaction; where there are more, each is read when it is asked for.
const RULES: usize = 256;

/// The time of the server, with numbers to give.
pub(super) async fn start(link: Link<'_>, numbers: usize) -> Answer<(Timestamp, Vec<u64>)> {
    let wanted = i64::try_from(numbers).unwrap_or(i64::MAX);
    let rows = link.query(START, &[(&wanted, Type::INT8)]).await?;
    let row = rows.first().ok_or(Fault::Odd("the time was not told"))?;
    let given: Vec<i64> = row.try_get(1)?;
    Ok((
        Timestamp::from_micros(row.try_get(0)?),
        given.into_iter().map(number).collect(),
    ))
}

/// The number of this transaction, when it is asked for.
pub(super) async fn writer(link: Link<'_>, asked: bool) -> Answer<Option<Arc<str>>> {
    if !asked {
        return Ok(None);
    }
    let rows = link.query(WRITER, &[]).await?;
    let row = rows
        .first()
        .ok_or(Fault::Odd("the transaction was not told"))?;
    Ok(Some(Arc::from(row.try_get::<&str>(0)?)))
}

/// The rules of gates, or the first of many, and what else is read in any case.
pub(super) async fn rules(link: Link<'_>, also: Option<Span>) -> Answer<Vec<(Span, Pairs)>> {
    let rules = Span {
        limit: RULES,
        ..Span::all_of(keys::mark(crate::store::GATE_MARK))
    };
    let wanted: Vec<Span> = std::iter::once(rules).chain(also).collect();
    let found = spans(link, &wanted).await?;
    Ok(wanted.into_iter().zip(found).collect())
}

/// Locks gates, in order. Without patience it says false when somebody else has one of them.
pub(super) async fn lock_gates(
    link: Link<'_>,
    gates: impl IntoIterator<Item = &Word>,
    patient: bool,
) -> Answer<bool> {
    let space = stable_hash(link.names.space().as_bytes());
    let mut locks: Vec<i64> = gates
        .into_iter()
        .map(|gate| lock_of(space, *gate))
        .collect();
    if locks.is_empty() {
        return Ok(true);
    }
    locks.sort_unstable();
    locks.dedup();
    let values = [(
        &locks as &(dyn tokio_postgres::types::ToSql + Sync),
        Type::INT8_ARRAY,
    )];
    if patient {
        link.query(LOCK_GATES, &values).await?;
        return Ok(true);
    }
    let rows = link.query(TRY_GATES, &values).await?;
    Ok(rows
        .first()
        .is_some_and(|row| row.get::<Option<bool>>(0) == Some(true)))
}

fn lock_of(space: u64, gate: Word) -> i64 {
    let mut first = [0; 8];
    first.copy_from_slice(&gate.bytes()[..8]);
    (u64::from_be_bytes(first) ^ space).cast_signed()
}

/// Reads all of it; false when something is locked by somebody else and there is no patience.
pub(super) async fn load(
    link: Link<'_>,
    needs: &Needs,
    loaded: &mut Loaded,
    patient: bool,
) -> Answer<bool> {
    let gates: Vec<Word> = needs.gates.difference(&loaded.gates).copied().collect();
    if !lock_gates(link, &gates, patient).await? {
        return Ok(false);
    }
    loaded.gates.extend(gates);
    match read(link, needs, loaded, patient).await {
        Err(fault) if !patient && fault.is_busy() => Ok(false),
        other => other.map(|()| true),
    }
}

async fn read(link: Link<'_>, needs: &Needs, loaded: &mut Loaded, patient: bool) -> Answer<()> {
    let unknown = |span: &&Span| !loaded.knows(span);
    let all: Vec<Span> = needs.spans.iter().filter(unknown).cloned().collect();
    let new = |id: &&TaskId| !loaded.records.contains_key(*id);
    let ids: Vec<&str> = needs
        .records
        .iter()
        .filter(new)
        .map(TaskId::as_str)
        .collect();
    // First, and waited for: what they protect is read after they are ours.
    let sql = if patient { LOCKED } else { LOCKED_NOW };
    let locked = entries(link, sql, needs.locked.iter()).await?;
    let (entries, found, tasks, depths, numbers) = try_join!(
        entries(link, ENTRIES, needs.entries.iter()),
        spans(link, &all),
        records(link, if patient { TASKS } else { TASKS_NOW }, &ids),
        depths(link, needs.depths.iter()),
        numbers(link, needs.numbers),
    )?;
    for key in needs.entries.iter().chain(&needs.locked) {
        loaded.entries.entry(key.clone()).or_insert(None);
    }
    for (key, value) in entries.into_iter().chain(locked) {
        loaded.entries.insert(key, Some(value));
    }
    for (span, rows) in all.iter().zip(found) {
        loaded.keep_span(span, rows);
    }
    for line in &needs.depths {
        loaded.depths.entry(*line).or_default();
    }
    for (line, key, value) in depths {
        loaded.depths.entry(line).or_default().push((key, value));
    }
    loaded
        .depths
        .values_mut()
        .for_each(|rows| rows.sort_unstable());
    loaded.numbers.extend(numbers);
    keep(loaded, tasks, Home::Task)?;
    let missing: Vec<&str> = needs
        .records
        .iter()
        .filter(|id| !loaded.records.contains_key(*id))
        .map(TaskId::as_str)
        .collect();
    if !missing.is_empty() {
        // In a statement of its own: what ended while the first one waited is seen by it.
        let ended = records(link, if patient { ENDED } else { ENDED_NOW }, &missing).await?;
        keep(loaded, ended, Home::Ended)?;
        for id in &needs.records {
            loaded.records.entry(id.clone()).or_insert(None);
        }
    }
    Ok(())
}

pub(super) fn keep(loaded: &mut Loaded, rows: Vec<Row>, home: Home) -> Answer<()> {
    for row in rows {
        let (id, stored) = stored(&row, home)?;
        loaded.records.insert(id, Some(stored));
    }
    Ok(())
}

/// A row of id, seq, status, queue, name and body; of what waits or runs, [`claimed`](quick::claimed) follows.
pub(super) fn stored(row: &Row, home: Home) -> Answer<(TaskId, Stored)> {
    let id: &str = row.try_get(0)?;
    let id = TaskId::new(id).map_err(|_| Fault::Odd("a stored id is not valid"))?;
    let body: String = row.try_get(5)?;
    let stored = Stored {
        seq: number(row.try_get(1)?),
        home,
        status: u8::try_from(row.try_get::<i16>(2)?).unwrap_or(u8::MAX),
        queue: row.try_get(3)?,
        name: row.try_get(4)?,
        record: None,
        body: Vec::new(),
        written_by: None,
    };
    let mut stored = stored.read(&id, body.into_bytes());
    if home == Home::Task
        && let Some(record) = &mut stored.record
    {
        quick::claimed(row, 6, Arc::make_mut(record))?;
    }
    Ok((id, stored))
}

/// The record of a row of id, body and what a claim changed.
pub(super) fn record(row: &Row) -> Result<(TaskId, Result<TaskStateRecord>)> {
    let id = TaskId::new(row.get::<&str>(0))?;
    let body = row.get::<Option<&str>>(1).unwrap_or_default();
    let mut record = decode(&id, body.as_bytes());
    if let Ok(record) = &mut record {
        let claimed = quick::claimed(row, 2, record);
        claimed.map_err(|fault| fault.into_error("read"))?;
        show(record);
    }
    Ok((id, record))
}

pub(super) fn number(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

async fn entries(
    link: Link<'_>,
    sql: &str,
    wanted: impl Iterator<Item = &Vec<u8>>,
) -> Answer<Pairs> {
    let wanted: Vec<&[u8]> = wanted.map(Vec::as_slice).collect();
    if wanted.is_empty() {
        return Ok(Pairs::new());
    }
    let rows = link.query(sql, &[(&wanted, Type::BYTEA_ARRAY)]).await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
}

/// The rows of each span, in order.
pub(super) async fn spans(link: Link<'_>, wanted: &[Span]) -> Answer<Vec<Pairs>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let from: Vec<&[u8]> = wanted.iter().map(|span| span.from.as_slice()).collect();
    let until: Vec<&[u8]> = wanted.iter().map(|span| span.until.as_slice()).collect();
    let limit = |span: &Span| i64::try_from(span.limit).unwrap_or(i64::MAX);
    let limits: Vec<i64> = wanted.iter().map(limit).collect();
    let values: [super::link::Value<'_>; 3] = [
        (&from, Type::BYTEA_ARRAY),
        (&until, Type::BYTEA_ARRAY),
        (&limits, Type::INT8_ARRAY),
    ];
    let rows = link.query(SPANS, &values).await?;
    let mut found = vec![Pairs::new(); wanted.len()];
    for row in rows {
        let n = usize::try_from(row.try_get::<i64>(0)?).unwrap_or(0);
        if let Some(pairs) = found.get_mut(n.wrapping_sub(1)) {
            pairs.push((row.try_get(1)?, row.try_get(2)?));
        }
    }
    Ok(found)
}

async fn records(link: Link<'_>, sql: &str, ids: &[&str]) -> Answer<Vec<Row>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    link.query(sql, &[(&ids, Type::TEXT_ARRAY)]).await
}

async fn depths(
    link: Link<'_>,
    lines: impl Iterator<Item = &Word>,
) -> Answer<Vec<(Word, Vec<u8>, Vec<u8>)>> {
    let words: Vec<Vec<u8>> = lines.map(|line| line.bytes().to_vec()).collect();
    if words.is_empty() {
        return Ok(Vec::new());
    }
    let rows = link.query(DEPTHS, &[(&words, Type::BYTEA_ARRAY)]).await?;
    let mut counts = Vec::with_capacity(rows.len());
    for row in rows {
        let (queue, name): (&str, &str) = (row.try_get(1)?, row.try_get(2)?);
        let status = row.try_get::<i16>(3)?;
        let known = TaskStatus::ALL
            .into_iter()
            .find(|known| *known as i16 == status);
        let (Some(line), Some(status)) = (Word::from_slice(row.try_get(0)?), known) else {
            continue;
        };
        let n = number(row.try_get(4)?);
        counts.push((
            line,
            keys::count(queue, name, status),
            CountRow::value(n, queue, name),
        ));
    }
    Ok(counts)
}

async fn numbers(link: Link<'_>, wanted: usize) -> Answer<Vec<u64>> {
    if wanted == 0 {
        return Ok(Vec::new());
    }
    let wanted = i64::try_from(wanted).unwrap_or(i64::MAX);
    let rows = link.query(NUMBERS, &[(&wanted, Type::INT8)]).await?;
    rows.iter().map(|row| Ok(number(row.try_get(0)?))).collect()
}
