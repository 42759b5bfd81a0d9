//! Claims of plain tasks: one statement leases them and leaves their bodies as they were. Where one of them is not plain, or
//! where there is a rule to keep to, nothing is leased, and the claim is made as any other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::try_join;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::engine::{Broken, Engine};
use super::fault::Fault;
use super::floor::Look;
use super::link::{Link, Value};
use super::pick::{self, FEW_NAMES, Width};
use super::row::Row;
use super::table::{Closed, moment, show};
use crate::error::Result;
use crate::id::{LeaseToken, TaskId, WorkerId};
use crate::store::kv::{self, decode, keys};
use crate::store::{ClaimRequest, Claims, GATE_MARK};
use crate::task::TaskStateRecord;
use crate::timestamp::Timestamp;

/// Claims that are made as any other after one that found something that is not plain: there is likely more of it.
const PAUSE: usize = 16;

/// Rows that a claim adds to the tally, where all its tasks have one name.
const TALLIED: usize = 2;

/// How many claims are not tried to be quick.
#[derive(Debug, Default)]
pub(super) struct Pause(AtomicUsize);

impl Pause {
    /// Whether the next one is to be tried.
    fn is_over(&self) -> bool {
        let one_less = |left: usize| left.checked_sub(1);
        let order = Ordering::Relaxed;
        self.0.fetch_update(order, order, one_less).is_err()
    }

    fn begin(&self) {
        self.0.store(PAUSE, Ordering::Relaxed);
    }
}

/// What such a claim changed of a record, read from four columns that begin here: the end of the lease, its begin, the worker
/// and the token.
pub(super) fn claimed(row: &Row, at: usize, record: &mut TaskStateRecord) -> Result<(), Fault> {
    let Some(token) = row.try_get::<Option<Uuid>>(at + 3)? else {
        return Ok(());
    };
    let begin: i64 = row.try_get(at + 1)?;
    // Without an end it was set aside while it could not be read.
    let end = row.try_get::<Option<i64>>(at)?.unwrap_or(begin);
    let Some(worker) = row.try_get::<Option<&str>>(at + 2)? else {
        return Ok(());
    };
    let worker = WorkerId::new(worker).map_err(|_| Fault::Odd("a stored worker is not valid"))?;
    let length = Duration::from_micros(u64::try_from(end - begin).unwrap_or(0));
    let moment = moment(Timestamp::from_micros(begin));
    let token = LeaseToken::from_u128(token.as_u128());
    kv::begin_run(record, moment, worker, length, token);
    record.revision += 1;
    Ok(())
}

/// Claims, unless it takes more than that.
pub(super) async fn claim(engine: &Engine, request: &ClaimRequest) -> Result<Option<Claims>> {
    // With more queues what the first ones give decides about the others.
    if request.lanes.queues.len() != 1 || request.limit == 0 || !engine.pause.is_over() {
        return Ok(None);
    }
    let mut lent = engine.lend("claim").await?;
    lent.clean = false;
    let link = engine.connections.link(lent.object()?);
    let found = attempt(engine, link, request).await;
    match found {
        Ok(Some(found)) => {
            let tallied = (!found.claims.tasks.is_empty()).then_some(TALLIED);
            match engine.end("claim", link, tallied).await {
                Ok(true) => {}
                // Rolled back by the server: it is made again.
                Ok(false) | Err(Broken::Again(_)) => return Ok(None),
                Err(Broken::Failed(error)) => return Err(error),
            }
            lent.clean = true;
            if let Some(writer) = found.writer {
                engine.hold(&writer, &found.claims.tasks);
            }
            engine.fold(tallied.unwrap_or(0), &lent).await;
            Ok(Some(found.claims))
        }
        other => {
            // What is wrong is found out by the claim that follows.
            if let Err(fault) = other {
                tracing::debug!(error = %fault.into_error("claim"), "a quick claim failed; it is made as any other");
            }
            let back = link.batch("ROLLBACK").await;
            lent.clean = back.is_ok();
            Ok(None)
        }
    }
}

struct Found {
    claims: Claims,
    writer: Option<Arc<str>>,
}

/// Leases, not yet committed; `None` when it takes more than that, and then it must be rolled back.
async fn attempt(
    engine: &Engine,
    link: Link<'_>,
    request: &ClaimRequest,
) -> Result<Option<Found>, Fault> {
    let given = engine.given_now();
    let from = engine.from(request);
    let width = Width::first(request.limit, from);
    let begin = link.batch(engine.connections.begin());
    let leasing = lease(engine, link, request, given, width);
    let look = Look::begin();
    // Sent in this order, at once: what is not due at the time of the first is seen by it, or by the second.
    let ((), times, rows) = try_join!(begin, pick::times(link, request, given, from), leasing)?;
    let Some(first) = rows.first() else {
        return Err(Fault::Odd("a claim was not answered"));
    };
    let now = Timestamp::from_micros(first.try_get(6)?);
    if !first.try_get::<bool>(7)? {
        engine.pause.begin();
        return Ok(None);
    }
    let locked = usize::try_from(first.try_get::<i64>(8)?).unwrap_or(0);
    let looked = first.try_get::<Option<i64>>(9)?.unwrap_or(0);
    let is_full = locked >= request.limit;
    let is_cut = usize::try_from(looked).unwrap_or(0) >= width.looked;
    let lost = times.lease_end().is_some_and(|end| end <= now);
    // More was there than was looked at, or a lease has ended whose task may have to be set aside.
    if !is_full && (is_cut || lost) {
        return Ok(None);
    }
    let writer = first.try_get::<Option<&str>>(10)?.map(Arc::from);
    let mut tasks = Vec::with_capacity(locked);
    for row in rows.iter().take(locked) {
        let id = TaskId::new(row.try_get::<&str>(0)?)
            .map_err(|_| Fault::Odd("a stored id is not valid"))?;
        let Ok(mut record) = decode(&id, row.try_get::<&str>(1)?.as_bytes()) else {
            // It is set aside by a claim that looks at what it takes.
            engine.pause.begin();
            return Ok(None);
        };
        claimed(row, 2, &mut record)?;
        show(&mut record);
        tasks.push(Arc::new(record));
    }
    if from.whole_in.is_none() && given.is_none() {
        let due = tasks.iter().map(|task| task.run_at).min();
        let first = (due, times.lease_end());
        engine.floor.learn(&look, request, first, now);
    }
    let next_due = if is_full {
        Some(now)
    } else {
        let given = (!tasks.is_empty()).then(|| now.saturating_add(request.ttl));
        let delayed = times.delayed.iter().map(|(_, due)| *due);
        delayed.chain(times.lease_end()).chain(given).min()
    };
    let claims = Claims {
        more: is_full,
        tasks,
        next_due,
        now,
    };
    Ok(Some(Found { claims, writer }))
}

async fn lease(
    engine: &Engine,
    link: Link<'_>,
    request: &ClaimRequest,
    given: Option<Timestamp>,
    width: Width,
) -> Result<Vec<Row>, Fault> {
    let signed = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let queue: &str = request.lanes.queues.first().map_or("", |queue| queue);
    let (queues, lanes) = ([queue], pick::lanes(request, queue, &Closed::new()));
    let now = given.map(Timestamp::as_micros);
    let (looked, locked) = (signed(width.looked), signed(width.locked));
    let ttl = i64::try_from(request.ttl.as_micros()).unwrap_or(i64::MAX);
    let worker = request.worker.as_str();
    // The end of the number of the task follows: each lease has a token of its own.
    let token = format!("{:024x}", engine.ids.token().as_u128() >> 32);
    let line = keys::queue_word(queue).bytes().to_vec();
    let rules = [keys::mark(GATE_MARK), keys::GATE_TIMERS.to_vec()];
    let behind = rules.each_ref().map(|prefix| keys::after(prefix));
    let (rules, behind) = (rules.as_slice(), behind.as_slice());
    let (texts, queues) = (width.from.texts(), queues.as_slice());
    let (sql, of): (_, Value<'_>) = if request.lanes.names.len() <= FEW_NAMES {
        (texts.lease_lanes, (&lanes, Type::UUID_ARRAY))
    } else {
        (texts.lease_queue, (&queues, Type::TEXT_ARRAY))
    };
    let values: [Value<'_>; 13] = [
        of,
        (&now, Type::INT8),
        (&looked, Type::INT8),
        (&locked, Type::INT8),
        (&lanes, Type::UUID_ARRAY),
        (&ttl, Type::INT8),
        (&worker, Type::TEXT),
        (&token, Type::TEXT),
        (&line, Type::BYTEA),
        (&queue, Type::TEXT),
        (&rules, Type::BYTEA_ARRAY),
        (&behind, Type::BYTEA_ARRAY),
        (&width.from.due, Type::INT8),
    ];
    link.query(sql, &values).await
}
