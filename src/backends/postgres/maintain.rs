//! Upkeep, in small steps, each in a transaction of its own.

use tokio_postgres::types::Type;

use super::engine::Engine;
use super::fault::Fault;
use super::link::Link;
use super::load::{number, spans};
use super::needs::{Needs, Span};
use crate::error::Result;
use crate::id::TaskId;
use crate::store::kv::{self, decode, keys};
use crate::store::{Maintain, Maintained};
use crate::timestamp::Timestamp;

/// Pages of parked records that one step looks at, when there are not more gates than that.
const SWEEP_PAGES: usize = 32;

const ENDED: &str = "SELECT coalesce(sum(n), 0)::bigint FROM @tally WHERE status >= 2";

/// The oldest that no unfinished parent waits for.
const OLDEST: &str = "SELECT e.seq, e.id, e.finished_at, e.body, e.queue, i.name, e.status \
    FROM @ended e JOIN @identity i ON i.seq = e.seq \
    WHERE e.finished_at < 9000000000000000000 AND NOT EXISTS ( \
        SELECT 1 FROM @identity p JOIN @task t ON t.seq = p.seq WHERE p.id = i.parent) \
    ORDER BY e.finished_at, e.seq LIMIT $1 FOR UPDATE OF e SKIP LOCKED";

const REMOVE: &str = "WITH gone AS (DELETE FROM @ended WHERE seq = ANY($1) RETURNING seq, queue, status), \
    known AS (DELETE FROM @identity WHERE seq = ANY($1) RETURNING seq, name) \
    INSERT INTO @tally (line, queue, name, status, n) \
    SELECT l.line, g.queue, k.name, g.status, -count(*) FROM gone g JOIN known k ON k.seq = g.seq \
        JOIN unnest($2::text[], $3::bytea[]) AS l (queue, line) ON l.queue = g.queue \
    GROUP BY l.line, g.queue, k.name, g.status";

/// Out of the way of retention: it cannot be read.
const SET_ASIDE: &str = "UPDATE @ended SET finished_at = 9000000000000000000 WHERE seq = ANY($1)";

const PUT: &str = "INSERT INTO @entry (k, v) SELECT * FROM unnest($1::bytea[], $2::bytea[]) ON CONFLICT (k) DO UPDATE SET v = excluded.v";

const DELETE: &str = "DELETE FROM @entry WHERE k = ANY($1)";

/// One step: retention, marks and keys whose time is over, gates that should be open.
pub(super) async fn maintain(engine: &Engine, request: &Maintain) -> Result<Maintained> {
    let mut done = Maintained::default();
    let limit = request.limit.max(1);
    done.marks = sweep(engine, |table| kv::sweep_marks(table, limit)).await? as u64;
    let freed = sweep(engine, |table| kv::sweep_owners(table, limit)).await?;
    let (removed, more) = retire(engine, request, limit).await?;
    done.removed = removed;
    done.unparked = sweep_gates(engine, limit).await?;
    done.unreadable = sweep(engine, |table| Ok(kv::look_again(table)? as usize)).await? as u64;
    done.more = more || done.marks as usize >= limit || freed >= limit;
    Ok(done)
}

async fn sweep(
    engine: &Engine,
    mut verb: impl FnMut(&mut dyn kv::Table) -> Result<usize> + Send,
) -> Result<usize> {
    engine
        .transact("maintain", Needs::default(), None, None, |sketch| {
            verb(sketch)
        })
        .await
}

/// Opens gates that should be open, each by itself: nobody waits for more than one.
async fn sweep_gates(engine: &Engine, limit: usize) -> Result<u64> {
    sweep(engine, |table| {
        kv::forget_sweeps(table, limit)?;
        Ok(0)
    })
    .await?;
    let mut lent = engine.lend("maintain").await?;
    let link = engine.connections.link(lent.object()?);
    let parked = Span {
        limit,
        ..Span::all_of(keys::PARKED_GATES.to_vec())
    };
    let found = spans(link, &[parked]).await;
    lent.clean = found.is_ok();
    let gates = found
        .map_err(|fault| fault.into_error("maintain"))?
        .pop()
        .unwrap_or_default();
    drop(lent);
    let pages = (SWEEP_PAGES / gates.len().max(1)).max(1);
    let mut opened = 0;
    for (_, gate) in &gates {
        let Ok(gate) = std::str::from_utf8(gate) else {
            continue;
        };
        let mut needs = Needs::default();
        needs.gate(gate);
        opened += engine
            .transact("maintain", needs, None, None, |sketch| {
                kv::sweep_gate(sketch, gate, pages)
            })
            .await? as u64;
    }
    Ok(opened)
}

/// Removes ended records beyond the retention, those that ended first first; says how many and whether there are more.
async fn retire(engine: &Engine, request: &Maintain, limit: usize) -> Result<(u64, bool)> {
    if request.retention.age.is_none() && request.retention.count.is_none() {
        return Ok((0, false));
    }
    let mut lent = engine.lend("maintain").await?;
    lent.clean = false;
    let link = engine.connections.link(lent.object()?);
    let failed = |fault: Fault| fault.into_error("maintain");
    link.batch(engine.connections.begin())
        .await
        .map_err(failed)?;
    let now = engine.given_now();
    let (seen, _) = super::load::start(link, 0).await.map_err(failed)?;
    let retired = remove(link, request, limit, now.unwrap_or(seen)).await;
    let end = if retired.is_ok() {
        "COMMIT"
    } else {
        "ROLLBACK"
    };
    link.batch(end).await.map_err(failed)?;
    lent.clean = true;
    retired.map_err(failed)
}

async fn remove(
    link: Link<'_>,
    request: &Maintain,
    limit: usize,
    now: Timestamp,
) -> Result<(u64, bool), Fault> {
    let retention = request.retention;
    let mut surplus = match retention.count {
        Some(keep) => {
            let rows = link.query(ENDED, &[]).await?;
            let ended = rows.first().map_or(0, |row| number(row.get(0)));
            ended.saturating_sub(keep)
        }
        None => 0,
    };
    let cutoff = retention.age.map(|age| now.saturating_sub(age).as_micros());
    let looked = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let rows = link.query(OLDEST, &[(&looked, Type::INT8)]).await?;
    let (mut gone, mut owners, mut aside) = (Vec::new(), Vec::new(), Vec::new());
    let (mut queues, mut lines) = (Vec::new(), Vec::new());
    let mut more = false;
    for row in &rows {
        let (seq, finished): (i64, i64) = (row.try_get(0)?, row.try_get(2)?);
        if cutoff.is_none_or(|cutoff| finished >= cutoff) && surplus == 0 {
            break;
        }
        if gone.len() + aside.len() >= limit {
            more = true;
            break;
        }
        let id = TaskId::new(row.try_get::<&str>(1)?)?;
        if let Err(error) = decode(&id, row.try_get::<&str>(3)?.as_bytes()) {
            tracing::error!(%id, %error, "a stored record cannot be read; it was set aside");
            aside.push((seq, keys::corrupt(&id), error.to_string().into_bytes()));
            continue;
        }
        let queue: String = row.try_get(4)?;
        if !queues.contains(&queue) {
            lines.push(keys::queue_word(&queue).bytes().to_vec());
            queues.push(queue);
        }
        gone.push(seq);
        owners.push(id);
        surplus = surplus.saturating_sub(1);
    }
    if !aside.is_empty() {
        let seqs: Vec<i64> = aside.iter().map(|(seq, _, _)| *seq).collect();
        link.execute(SET_ASIDE, &[(&seqs, Type::INT8_ARRAY)])
            .await?;
        let keys: Vec<&[u8]> = aside.iter().map(|(_, key, _)| key.as_slice()).collect();
        let why: Vec<&[u8]> = aside.iter().map(|(_, _, why)| why.as_slice()).collect();
        link.execute(
            PUT,
            &[(&keys, Type::BYTEA_ARRAY), (&why, Type::BYTEA_ARRAY)],
        )
        .await?;
    }
    if !gone.is_empty() {
        remove_streams(link, &owners).await?;
        let values: [super::link::Value<'_>; 3] = [
            (&gone, Type::INT8_ARRAY),
            (&queues, Type::TEXT_ARRAY),
            (&lines, Type::BYTEA_ARRAY),
        ];
        link.execute(REMOVE, &values).await?;
    }
    Ok((gone.len() as u64, more))
}

/// Removes all streams of these owners.
async fn remove_streams(link: Link<'_>, owners: &[TaskId]) -> Result<(), Fault> {
    let prefixes: Vec<Span> = owners
        .iter()
        .map(|id| Span::all_of(keys::streams(id.as_str())))
        .collect();
    let mut gone: Vec<Vec<u8>> = Vec::new();
    let mut events = Vec::new();
    for (id, extents) in owners.iter().zip(spans(link, &prefixes).await?) {
        for (key, _) in extents {
            let prefix = keys::streams(id.as_str()).len();
            if let Ok(name) = std::str::from_utf8(key.get(prefix..).unwrap_or_default()) {
                let stream = crate::store::StreamId {
                    owner: id.as_str().to_owned(),
                    name: name.to_owned(),
                };
                events.push((
                    Span {
                        from: keys::event(&stream, 0),
                        until: keys::event(&stream, u64::MAX),
                        limit: usize::MAX,
                    },
                    stream,
                ));
            }
            gone.push(key);
        }
    }
    let wanted: Vec<Span> = events.iter().map(|(span, _)| span.clone()).collect();
    for ((_, stream), rows) in events.iter().zip(spans(link, &wanted).await?) {
        for (key, value) in rows {
            if let Ok(crate::store::Event { key: Some(key), .. }) = serde_json::from_slice(&value) {
                gone.push(keys::event_key(stream, &key));
            }
            gone.push(key);
        }
    }
    if !gone.is_empty() {
        link.execute(DELETE, &[(&gone, Type::BYTEA_ARRAY)]).await?;
    }
    Ok(())
}
