//! The ready tasks that a claim may choose from: the best of each lane and priority, locked, without those that others
//! have locked.

use futures_util::try_join;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::fault::Fault;
use super::floor::Since;
use super::flush::lane;
use super::link::{Link, Value};
use super::load::{number, stored};
use super::loaded::{Home, Loaded};
use super::row::Row;
use super::table::{Closed, Ranks, SERVER};
use crate::id::TaskId;
use crate::store::ClaimRequest;
use crate::store::kv::{Order, Pairs, Word, keys};
use crate::timestamp::Timestamp;

/// A worker with at most this many names looks each lane up; one with more walks the queue.
pub(super) const FEW_NAMES: usize = 32;

/// Ended leases looked at in one claim.
const ENDED_LEASES: i64 = 64;

const FIRST_LEASE: &str = "SELECT lease_end, id FROM @task \
    WHERE lease_end IS NOT NULL AND lease_end >= $1 ORDER BY lease_end LIMIT 1";

const ENDED_LEASE: &str = "SELECT id, seq, status, queue, name, body, lease_end, leased_at, worker, token FROM @task \
    WHERE lease_end IS NOT NULL AND lease_end <= $1 ORDER BY lease_end LIMIT $2 FOR UPDATE SKIP LOCKED";

/// How many ready tasks are looked at, how many of them locked, and from where on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Width {
    pub(super) looked: usize,
    pub(super) locked: usize,
    pub(super) from: Since,
}

impl Width {
    pub(super) fn first(limit: usize, from: Since) -> Self {
        Self {
            looked: limit.saturating_mul(2).saturating_add(32),
            locked: limit,
            from,
        }
    }

    pub(super) fn wider(self) -> Self {
        Self {
            looked: self.looked.saturating_mul(4),
            locked: self.locked.saturating_mul(4).max(16),
            ..self
        }
    }
}

/// What every claim begins with: when something is due, and the best of the first queue, locked.
pub(super) async fn early(
    link: Link<'_>,
    claim: Option<&ClaimRequest>,
    now: Option<Timestamp>,
    width: Width,
) -> Result<Option<(Times, Vec<Row>)>, Fault> {
    let Some((request, queue)) = claim.and_then(|claim| Some((claim, claim.lanes.queues.first()?)))
    else {
        return Ok(None);
    };
    let lanes = lanes(request, queue, &Closed::new());
    let rows = rows(link, queue, &lanes, now, width, request);
    try_join!(times(link, request, now, width.from), rows).map(Some)
}

/// Locks the best of each queue, but for lanes that are closed, and adds them to what can be claimed. Those of the first queue
/// may have been read before.
pub(super) async fn pick(
    link: Link<'_>,
    request: &ClaimRequest,
    now: Option<Timestamp>,
    width: Width,
    mut first: Option<Vec<Row>>,
    closed: &Closed,
    loaded: &mut Loaded,
) -> Result<Ranks, Fault> {
    let mut ranks = Ranks::default();
    let mut enough = 0;
    for queue in &request.lanes.queues {
        if enough >= width.locked {
            // It is only looked at when the queues before it are found to give too little.
            ranks.horizon.insert(keys::queue_word(queue), Order::FIRST);
            continue;
        }
        let rows = match first.take() {
            Some(rows) => rows,
            None => {
                let lanes = lanes(request, queue, closed);
                rows(link, queue, &lanes, now, width, request).await?
            }
        };
        let mut last = None;
        let mut looked = 0;
        let mut locked = 0;
        for row in &rows {
            looked = usize::try_from(row.try_get::<i64>(12)?).unwrap_or(0);
            if row.try_get::<Option<&str>>(0)?.is_none() {
                continue;
            }
            locked += 1;
            let (id, stored) = stored(row, Home::Task)?;
            let order = match &stored.record {
                Some(record) => {
                    ranks.add(record);
                    Order::of(record)
                }
                None => unreadable(&mut ranks, row, &id)?,
            };
            last = last.max(Some(order));
            loaded.records.insert(id, Some(stored));
        }
        enough += locked;
        if locked >= width.locked || looked >= width.looked {
            ranks
                .horizon
                .insert(keys::queue_word(queue), last.unwrap_or(Order::FIRST));
        }
    }
    Ok(ranks)
}

/// Ranks a record that cannot be read by what its columns say.
fn unreadable(ranks: &mut Ranks, row: &Row, id: &TaskId) -> Result<Order, Fault> {
    let (queue, name): (&str, &str) = (row.try_get(3)?, row.try_get(4)?);
    let priority = u8::try_from(row.try_get::<i16>(10)?).unwrap_or(0);
    let due = Timestamp::from_micros(row.try_get(11)?);
    let order = Order::at(priority, due, number(row.try_get(1)?));
    ranks.add_unreadable(queue, name, order, id.clone());
    Ok(order)
}

/// When the first of these rows was due, as far as it is not later.
pub(super) fn first_due(rows: &[Row]) -> Option<Timestamp> {
    let due = |row: &Row| row.try_get::<Option<i64>>(11).ok().flatten();
    rows.iter()
        .filter_map(due)
        .min()
        .map(Timestamp::from_micros)
}

/// The lanes of a queue that a worker can run, but for those that are closed.
pub(super) fn lanes(request: &ClaimRequest, queue: &str, closed: &Closed) -> Vec<Uuid> {
    let mut lanes: Vec<Uuid> = Vec::with_capacity(request.lanes.names.len());
    let word = keys::queue_word(queue);
    let mut add = |name: &str, version: Option<&str>| {
        if closed.is_empty() || !closed.contains(&(word, keys::lane_word(name, version))) {
            lanes.push(lane(queue, name, version));
        }
    };
    for (name, version) in &*request.lanes.names {
        add(name, None);
        if let Some(version) = version {
            add(name, Some(version));
        }
    }
    lanes.sort_unstable();
    lanes.dedup();
    lanes
}

async fn rows(
    link: Link<'_>,
    queue: &str,
    lanes: &[Uuid],
    now: Option<Timestamp>,
    width: Width,
    request: &ClaimRequest,
) -> Result<Vec<Row>, Fault> {
    let now = now.map(Timestamp::as_micros);
    let looked = i64::try_from(width.looked).unwrap_or(i64::MAX);
    let locked = i64::try_from(width.locked).unwrap_or(i64::MAX);
    let (texts, queues) = (width.from.texts(), [queue]);
    let queues = queues.as_slice();
    let (sql, of): (_, Value<'_>) = if request.lanes.names.len() <= FEW_NAMES {
        (texts.lanes, (&lanes, Type::UUID_ARRAY))
    } else {
        (texts.queue, (&queues, Type::TEXT_ARRAY))
    };
    let values: [Value<'_>; 7] = [
        of,
        (&now, Type::INT8),
        (&looked, Type::INT8),
        (&locked, Type::INT8),
        (&lanes, Type::UUID_ARRAY),
        (&width.from.due, Type::INT8),
        (&queues, Type::TEXT_ARRAY),
    ];
    link.query(sql, &values).await
}

/// When something is due.
#[derive(Default)]
pub(super) struct Times {
    pub(super) delayed: Vec<(Word, Timestamp)>,
    /// The first lease that ends.
    leases: Pairs,
}

impl Times {
    /// When the first lease ends.
    pub(super) fn lease_end(&self) -> Option<Timestamp> {
        let (_, end) = keys::split_lease(&self.leases.first()?.0)?;
        i64::try_from(end).ok().map(Timestamp::from_micros)
    }

    pub(super) fn keep(self, loaded: &mut Loaded) {
        let delayed = self.delayed.into_iter();
        loaded
            .delayed
            .extend(delayed.map(|(queue, due)| (queue, Some(due))));
        loaded.leases = self.leases;
    }
}

/// When the next task of each queue is due, and when leases end.
pub(super) async fn times(
    link: Link<'_>,
    request: &ClaimRequest,
    now: Option<Timestamp>,
    from: Since,
) -> Result<Times, Fault> {
    let mut times = Times::default();
    let queues: Vec<&str> = request.lanes.queues.iter().map(|queue| &**queue).collect();
    let given = now.map(Timestamp::as_micros);
    let values: [Value<'_>; 3] = [
        (&queues, Type::TEXT_ARRAY),
        (&given, Type::INT8),
        (&from.due, Type::INT8),
    ];
    let first: [Value<'_>; 1] = [(&from.lease_end, Type::INT8)];
    let (delayed, leases) = try_join!(
        link.query(from.texts().delayed, &values),
        link.query(FIRST_LEASE, &first)
    )?;
    for row in &delayed {
        let due = Timestamp::from_micros(row.try_get(1)?);
        let queue = keys::queue_word(row.try_get(0)?);
        times.delayed.push((queue, due));
    }
    if let Some(row) = leases.first() {
        let id = TaskId::new(row.try_get::<&str>(1)?)
            .map_err(|_| Fault::Odd("a stored id is not valid"))?;
        let end = number(row.try_get(0)?);
        times
            .leases
            .push((keys::lease(SERVER, end, &id), Vec::new()));
    }
    Ok(times)
}

/// The leases that have ended, when the first of all has: those among them whose record cannot be read are set aside.
pub(super) async fn ended_leases(
    link: Link<'_>,
    now: Timestamp,
    loaded: &mut Loaded,
) -> Result<(), Fault> {
    let first = loaded
        .leases
        .first()
        .and_then(|(key, _)| keys::split_lease(key));
    let moment = u64::try_from(now.as_micros()).unwrap_or(0);
    if first.is_none_or(|(_, end)| end > moment) {
        return Ok(());
    }
    let until = now.as_micros();
    let rows = link
        .query(
            ENDED_LEASE,
            &[(&until, Type::INT8), (&ENDED_LEASES, Type::INT8)],
        )
        .await?;
    loaded.leases.clear();
    for row in &rows {
        let (id, stored) = stored(row, Home::Task)?;
        let end = number(row.try_get(6)?);
        loaded
            .leases
            .push((keys::lease(SERVER, end, &id), Vec::new()));
        loaded.records.insert(id, Some(stored));
    }
    loaded.leases.sort_unstable();
    Ok(())
}
