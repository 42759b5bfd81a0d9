//! Claiming: the best due records of the lanes a worker knows, without walking the others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::gates::{self, Known, Verdict};
use super::keys::{self, Order, Word};
use super::lane_cursor::LaneCursor;
use super::reopen::{self, Turns};
use super::table::{Moment, Passed, Ready, Table};
use super::{aside, index, lanes, leases, settle, unique};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{LeaseToken, TaskId, WorkerId};
use crate::store::{ClaimRequest, Claims};
use crate::task::{Ended, TaskEvent, TaskStateRecord, TaskStatus, decide, transition};
use crate::timestamp::Timestamp;

/// A worker with at most this many names looks each lane up; one with more walks the heads of the queue.
const FEW_NAMES: usize = 32;

/// Delayed records that one claim puts in order, at most.
const PROMOTE: usize = 4_096;

/// Heads read at a time.
const HEAD_PAGE: usize = 64;

/// Leases tasks to a worker.
pub(crate) fn claim(table: &mut dyn Table, request: &ClaimRequest) -> Result<Claims> {
    let mut claiming = Claiming {
        request,
        budget: 64 + 4 * request.limit,
        known: Known::default(),
        turns: Turns::default(),
        has_rules: table.has_rules()?,
        tasks: Vec::new(),
        look_again: None,
        taken_out: false,
        unsorted: false,
        passed_on: false,
        looked_behind: BTreeSet::new(),
    };
    reopen::run_timers(table, &mut claiming.known, &mut claiming.turns)?;
    for queue in &request.lanes.queues {
        if claiming.is_done() {
            break;
        }
        claiming.queue(table, queue)?;
    }
    let now = table.moment().now;
    let (again, next_due) = if claiming.is_done() {
        (claiming.taken_out || claiming.unsorted, Some(now))
    } else {
        let timer = gates::next_timer(table)?;
        let waits = timer.is_some_and(|at| at <= now);
        (waits, claiming.next_due(table, timer)?)
    };
    Ok(Claims {
        more: again || claiming.passed_on,
        tasks: claiming.tasks,
        next_due,
        now,
    })
}

/// Sets a record that cannot be read aside, so that it is seen and counted and the others go on. Any other error is the
/// caller's: the transaction failed, the record did not.
pub(super) fn quarantine<T: Table + ?Sized>(
    table: &mut T,
    id: &TaskId,
    error: Error,
) -> Result<()> {
    if error.kind() != ErrorKind::Corrupt {
        return Err(error);
    }
    tracing::error!(%id, %error, "a stored record cannot be read; it was set aside");
    table.put(keys::corrupt(id), error.to_string().into_bytes())?;
    unique::release_of_schedule(table, id)
}

struct Claiming<'a> {
    request: &'a ClaimRequest,
    budget: usize,
    known: Known,
    turns: Turns,
    /// Without any rule the gates that every record has by its queue and name are open.
    has_rules: bool,
    tasks: Vec<Arc<TaskStateRecord>>,
    /// The first instant at which something that was passed over may be claimed.
    look_again: Option<Timestamp>,
    /// Something left the ready set: claimed, parked, expired or set aside.
    taken_out: bool,
    /// More came due at once than a claim puts in order: what is best is not known before the next one.
    unsorted: bool,
    /// One that waited behind a gate came back in the place of another: it may lie in a part that was passed.
    passed_on: bool,
    /// Gates that were closed for one task and looked behind for others.
    looked_behind: BTreeSet<String>,
}

/// What happened to one candidate.
enum Step {
    /// It left the ready set.
    Gone,
    /// It stays for another worker.
    Kept,
    /// Nothing more of this lane now.
    LaneClosed,
    /// Nothing more of this queue now.
    QueueClosed,
}

impl Claiming<'_> {
    fn is_done(&self) -> bool {
        self.tasks.len() >= self.request.limit || self.budget == 0 || self.unsorted
    }

    fn look_again_at(&mut self, at: Option<Timestamp>) {
        if let Some(at) = at {
            self.look_again = Some(self.look_again.map_or(at, |known| known.min(at)));
        }
    }

    fn queue(&mut self, table: &mut dyn Table, name: &Arc<str>) -> Result<()> {
        let queue = keys::queue_word(name);
        table.promote(queue, PROMOTE)?;
        let now = table.moment().now;
        self.unsorted = lanes::next_delayed(table, queue)?.is_some_and(|due| due <= now);
        if self.unsorted {
            return Ok(());
        }
        if self.has_rules {
            let gate = format!("queue/{name}");
            if let Verdict::Closed { opens_at, .. } = self.known.check(table, &gate, None)? {
                self.look_again_at(opens_at);
                return Ok(());
            }
        }
        let mut heads = Heads::new(table, queue, self.request)?;
        // Lanes in the order of their first record; the same order that a single queue would have.
        let mut cursors: BTreeMap<(Order, Word), LaneCursor> = BTreeMap::new();
        let mut touched = Vec::new();
        while !self.is_done() {
            while let Some((order, lane)) = heads.peek(table)? {
                if cursors
                    .first_key_value()
                    .is_some_and(|((best, _), _)| *best < order)
                {
                    break;
                }
                heads.next();
                touched.push(lane);
                cursors.insert((order, lane), LaneCursor::new(queue, lane));
            }
            let Some((_, mut cursor)) = cursors.pop_first() else {
                break;
            };
            if cursor.peek(table)?.is_none() {
                continue;
            }
            let Some(row) = cursor.rows.pop_front() else {
                continue;
            };
            match self.candidate(table, (queue, cursor.lane), &row)? {
                Step::LaneClosed => {
                    table.passed(Passed::Lane(queue, cursor.lane));
                    continue;
                }
                Step::QueueClosed => {
                    table.passed(Passed::Queue(queue));
                    break;
                }
                Step::Gone => self.taken_out = true,
                Step::Kept => table.passed(Passed::Row(queue, cursor.lane, &row)),
            }
            if let Some(order) = cursor.peek(table)? {
                cursors.insert((order, cursor.lane), cursor);
            }
        }
        for lane in touched {
            table.refresh_head(queue, lane)?;
        }
        Ok(())
    }

    fn candidate(
        &mut self,
        table: &mut dyn Table,
        (queue, lane): (Word, Word),
        row: &Ready,
    ) -> Result<Step> {
        self.budget = self.budget.saturating_sub(1);
        // Whatever becomes of it, the row goes, unless the record is left for another worker.
        let record = match table.ready_record(row) {
            Ok(Some(record)) if record.status == TaskStatus::Pending && record.parked.is_none() => {
                record
            }
            Ok(_) => {
                // The row leads nowhere; it must not be met again.
                table.take(queue, lane, row)?;
                return Ok(Step::Gone);
            }
            Err(error) => {
                table.take(queue, lane, row)?;
                let by_number =
                    index::find_by_number(table, row.order.seq, &[TaskStatus::Pending])?;
                match by_number.as_ref().or(row.id.as_ref()) {
                    Some(id) => quarantine(table, id, error)?,
                    None => return Err(error),
                }
                return Ok(Step::Gone);
            }
        };
        let now = table.moment().now;
        if !self
            .request
            .lanes
            .knows(&record.name, record.version.as_ref())
        {
            return Ok(Step::LaneClosed);
        }
        if record.expires_at.is_some_and(|at| at <= now) {
            table.take(queue, lane, row)?;
            settle::apply(table, &record, decide(Ended::Expired, &record, 0.0), true)?;
            self.pass_turn_on(table, &record, None)?;
            return Ok(Step::Gone);
        }
        if let Some(prefer) = &record.prefer
            && prefer.worker != self.request.worker
            && prefer.until > now
        {
            self.look_again_at(Some(prefer.until));
            return Ok(Step::Kept);
        }
        self.pass_gates(table, (queue, lane), row, &record)
    }

    fn pass_gates(
        &mut self,
        table: &mut dyn Table,
        (queue, lane): (Word, Word),
        row: &Ready,
        record: &Arc<TaskStateRecord>,
    ) -> Result<Step> {
        let mut entering = Vec::with_capacity(record.gates.len());
        let implied = self.has_rules.then(|| {
            let stands_for = self.request.lanes.aliases.get(&record.name);
            gates::implied(record, stands_for.map(|name| &**name))
        });
        for (key, is_queue) in implied.into_iter().flatten() {
            if self.known.rule(table, &key)?.is_none() {
                continue;
            }
            if let Verdict::Closed { opens_at, .. } = self.known.check(table, &key, None)? {
                self.look_again_at(opens_at);
                return Ok(if is_queue {
                    Step::QueueClosed
                } else {
                    Step::LaneClosed
                });
            }
            gates::note_place(&mut entering, key);
        }
        for gate in &record.gates {
            if let Verdict::Closed { reason, opens_at } =
                self.known.check(table, &gate.key, Some(gate.limit))?
            {
                table.take(queue, lane, row)?;
                reopen::park(table, record, &gate.key, reason, opens_at, true)?;
                self.pass_turn_on(table, record, Some(&gate.key))?;
                return Ok(Step::Gone);
            }
            gates::note_place(&mut entering, gate.key.clone());
        }
        table.take(queue, lane, row)?;
        for key in &entering {
            self.known.enter(table, key, &record.id)?;
        }
        let leased = lease(
            table,
            record,
            entering,
            self.request.worker.clone(),
            self.request.ttl,
        )?;
        self.tasks.push(leased);
        Ok(Step::Gone)
    }

    /// A record that does not run now may have been brought back by one of its gates, whose place is still free. What
    /// comes back instead can lie in a part of the queue that this claim has passed.
    fn pass_turn_on(
        &mut self,
        table: &mut dyn Table,
        record: &TaskStateRecord,
        closed: Option<&str>,
    ) -> Result<()> {
        for gate in &record.gates {
            let key = gate.key.as_str();
            if closed == Some(key) {
                // Those with a larger limit of their own may pass. One look in a claim finds them.
                if self.looked_behind.contains(key) || !gates::lets_others_through(table, key)? {
                    continue;
                }
                self.looked_behind.insert(key.to_owned());
            }
            if reopen::pass_on(table, key, &mut self.known, &mut self.turns)? > 0 {
                self.passed_on = true;
                self.look_again_at(Some(table.moment().now));
            }
        }
        Ok(())
    }

    fn next_due(
        &self,
        table: &mut dyn Table,
        timer: Option<Timestamp>,
    ) -> Result<Option<Timestamp>> {
        let mut next = self.look_again;
        let mut consider = |at: Option<Timestamp>| {
            if let Some(at) = at {
                next = Some(next.map_or(at, |next: Timestamp| next.min(at)));
            }
        };
        for queue in &self.request.lanes.queues {
            consider(lanes::next_delayed(table, keys::queue_word(queue))?);
        }
        consider(next_lease_end(table)?);
        consider(timer);
        Ok(next)
    }
}

/// When the next lease ends. Those that ended and that nobody can take back are set aside; that may open a gate for a
/// part of the queue that this claim has passed, so it still says to look again, and the next claim does not.
fn next_lease_end(table: &mut dyn Table) -> Result<Option<Timestamp>> {
    let next = leases::next_end(table)?;
    if next.is_some_and(|at| at <= table.moment().now) {
        aside::leases(table)?;
    }
    Ok(next)
}

/// Leases a record that has no ready row any more.
pub(super) fn lease(
    table: &mut dyn Table,
    record: &Arc<TaskStateRecord>,
    holds: Vec<String>,
    worker: WorkerId,
    ttl: Duration,
) -> Result<Arc<TaskStateRecord>> {
    let mut leased = Arc::clone(record);
    let changed = Arc::make_mut(&mut leased);
    changed.holds = holds;
    give_lease(table, changed, worker, ttl);
    unique::release_at_claim(table, record)?;
    index::replace(table, record, leased, true)
}

/// Makes a pending record one that this worker runs.
pub(super) fn give_lease(
    table: &mut dyn Table,
    record: &mut TaskStateRecord,
    worker: WorkerId,
    ttl: Duration,
) {
    let (moment, token) = (table.moment(), table.token());
    begin_run(record, moment, worker, ttl, token);
}

/// What a lease changes of a record that has neither gates nor a unique key.
pub(crate) fn begin_run(
    record: &mut TaskStateRecord,
    moment: Moment,
    worker: WorkerId,
    ttl: Duration,
    token: LeaseToken,
) {
    record.status = transition(record.status, TaskEvent::Claim).unwrap_or(record.status);
    record.attempt = record.attempt.saturating_add(1);
    record.leases = record.leases.saturating_add(1);
    record.fence = record.fence.saturating_add(1);
    record.started_at = Some(moment.now);
    record.token = None;
    record.prefer = None;
    record.woken = false;
    record.lease = Some(leases::start(moment, worker, ttl, record.fence, token));
}

/// The lanes of a queue that a worker can run, in the order of their first record.
struct Heads<'a> {
    queue: Word,
    request: &'a ClaimRequest,
    found: VecDeque<(Order, Word)>,
    after: Option<(Order, Word)>,
    exhausted: bool,
}

impl<'a> Heads<'a> {
    fn new(table: &dyn Table, queue: Word, request: &'a ClaimRequest) -> Result<Self> {
        let names = &request.lanes.names;
        if names.len() > FEW_NAMES {
            return Ok(Self {
                queue,
                request,
                found: VecDeque::new(),
                after: None,
                exhausted: false,
            });
        }
        let mut lanes: Vec<Word> = names
            .iter()
            .flat_map(|(name, version)| {
                [
                    keys::lane_word(name, version.as_deref()),
                    keys::lane_word(name, None),
                ]
            })
            .collect();
        lanes.sort_unstable();
        lanes.dedup();
        let mut found = Vec::with_capacity(lanes.len());
        for lane in lanes {
            found.extend(table.head_of(queue, lane)?.map(|order| (order, lane)));
        }
        found.sort_unstable();
        Ok(Self {
            queue,
            request,
            found: found.into(),
            after: None,
            exhausted: true,
        })
    }

    fn peek(&mut self, table: &dyn Table) -> Result<Option<(Order, Word)>> {
        while self.found.is_empty() && !self.exhausted {
            let heads = table.heads(self.queue, self.after, HEAD_PAGE)?;
            self.exhausted = heads.len() < HEAD_PAGE;
            self.after = heads.last().map(|head| (head.order, head.lane));
            let lanes = &self.request.lanes;
            self.found = heads
                .iter()
                .filter(|head| lanes.knows(&head.name, head.version.as_ref()))
                .map(|head| (head.order, head.lane))
                .collect();
        }
        Ok(self.found.front().copied())
    }

    fn next(&mut self) {
        self.found.pop_front();
    }
}
