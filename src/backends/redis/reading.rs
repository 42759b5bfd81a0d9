//! Reading: lists and counts, page by page, filtered as every store does it.

use std::collections::BTreeMap;

use redis::Value;

use super::answers::Values;
use super::args::Args;
use super::fault::unexpected;
use super::link::Link;
use super::now::Now;
use super::record::{decode, status_of};
use super::scripts::Scripts;
use super::times::time;
use crate::error::{ErrorKind, Result};
use crate::id::TaskId;
use crate::page::{Cursor, PAGE_LIMIT, Page, PageRequest};
use crate::payload::Payload;
use crate::store::{CountBy, Counts, Event, Mark, SCAN_LIMIT, StreamId, TaskFilter};
use crate::task::{TaskStateRecord, TaskStatus, TaskSummary};
use crate::timestamp::Timestamp;

/// Records read at a time.
pub(super) const READ_PAGE: usize = 256;

/// Events or marks of one call.
const ROWS: usize = 10_000;

/// What reads go through.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) link: &'a Link,
    pub(super) scripts: &'a Scripts,
    pub(super) now: &'a Now,
}

/// A record, and whether its lease has ended.
struct Seen {
    record: TaskStateRecord,
    expired: bool,
}

fn seen(record: TaskStateRecord, now: Timestamp) -> Seen {
    let ends = record.lease.as_ref().map(|lease| lease.until);
    Seen {
        expired: ends.is_some_and(|until| until <= now),
        record,
    }
}

impl Reader<'_> {
    pub(super) async fn ask(&self, verb: &str, args: impl FnOnce(&mut Args)) -> Result<Values> {
        let mut all = self.now.args();
        all.text(verb);
        args(&mut all);
        let answer = self.link.eval(&self.scripts.reading, &all).await?;
        Values::of("read", answer)
    }

    pub(super) async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<TaskStateRecord>>> {
        let mut found = Vec::with_capacity(ids.len());
        for page in ids.chunks(READ_PAGE) {
            let (_, records) = self.parts(page).await?;
            for (id, parts) in page.iter().zip(records) {
                found.push(decode(Some(id), parts)?);
            }
        }
        Ok(found)
    }

    async fn parts(&self, ids: &[TaskId]) -> Result<(Timestamp, Values)> {
        let mut answer = self
            .ask("get", |args| {
                args.number(ids.len());
                for id in ids {
                    args.text(id.as_str());
                }
            })
            .await?;
        Ok((answer.time()?, answer.array()?))
    }

    pub(super) async fn list(
        &self,
        filter: &TaskFilter,
        page: PageRequest,
    ) -> Result<Page<TaskSummary>> {
        let limit = page.limit.clamp(1, PAGE_LIMIT);
        let mut items = Vec::new();
        let mut last = None;
        let mut full = false;
        let next = self
            .scan(
                filter,
                (page.after, page.newest_first),
                (SCAN_LIMIT, limit + 1),
                |record| {
                    if items.len() == limit {
                        full = true;
                        return false;
                    }
                    last = Some(record.seq);
                    items.push(TaskSummary::from(record));
                    true
                },
            )
            .await?;
        let next = if full { last.map(Cursor) } else { next };
        Ok(Page {
            complete: next.is_none(),
            next,
            items,
        })
    }

    pub(super) async fn count(
        &self,
        filter: &TaskFilter,
        by: CountBy,
        limit: usize,
    ) -> Result<Counts> {
        let plain = TaskFilter {
            status: filter.status.clone(),
            name: filter.name.clone(),
            queue: filter.queue.clone(),
            ..TaskFilter::default()
        };
        if plain == *filter && by != CountBy::ErrorGroup {
            return self.counted(filter, by).await;
        }
        let mut groups = BTreeMap::new();
        let next = self
            .scan(filter, (None, false), (limit, READ_PAGE), |record| {
                *groups.entry(by.group(&record).to_owned()).or_insert(0) += 1;
                true
            })
            .await?;
        Ok(Counts {
            groups,
            complete: next.is_none(),
        })
    }

    /// The answer from the kept counts, when status, queue and name are all that is asked about.
    async fn counted(&self, filter: &TaskFilter, by: CountBy) -> Result<Counts> {
        let mut rows = self.ask("counts", |_| {}).await?;
        let mut groups = BTreeMap::new();
        while !rows.is_empty() {
            let (field, n) = (rows.text()?, rows.text()?);
            let mut letters = field.chars();
            let status = letters.next().and_then(|digit| digit.to_digit(10));
            let status = status.and_then(|number| status_of(i64::from(number)));
            let (Some(status), Some((queue, name)), Ok(n)) =
                (status, letters.as_str().split_once('\0'), n.parse::<u64>())
            else {
                return Err(unexpected("count"));
            };
            let wanted = (filter.status.is_empty() || filter.status.contains(&status))
                && filter.name.as_ref().is_none_or(|wanted| *wanted == name)
                && filter.queue.as_ref().is_none_or(|wanted| *wanted == queue);
            if wanted {
                let group = match by {
                    CountBy::Status => status.as_str(),
                    CountBy::Queue => queue,
                    CountBy::Name => name,
                    CountBy::All | CountBy::ErrorGroup => "all",
                };
                *groups.entry(group.to_owned()).or_insert(0) += n;
            }
        }
        Ok(Counts {
            groups,
            complete: true,
        })
    }

    /// Walks the records that match, in order of creation, until `visit` has enough or `budget` rows were looked at; then
    /// answers where to go on. `wanted` is how many are likely enough.
    async fn scan(
        &self,
        filter: &TaskFilter,
        (after, newest_first): (Option<Cursor>, bool),
        (budget, wanted): (usize, usize),
        mut visit: impl FnMut(TaskStateRecord) -> bool,
    ) -> Result<Option<Cursor>> {
        let mut check =
            |seen: Seen| !filter.matches(&seen.record, seen.expired) || visit(seen.record);
        // These indexes are not in order of creation, but what they lead to is few: read it all, then sort.
        let small = filter.lease_expired
            || filter.worker.is_some()
            || filter.id_prefix.is_some()
            || filter.status == [TaskStatus::Running];
        if small && let Some(mut found) = self.unordered(filter, budget).await? {
            found.sort_by_key(|seen| seen.record.seq);
            if newest_first {
                found.reverse();
            }
            for seen in found {
                let seq = seen.record.seq;
                let is_behind = after.is_none_or(|Cursor(after)| match newest_first {
                    true => seq < after,
                    false => seq > after,
                });
                if is_behind && !check(seen) {
                    break;
                }
            }
            return Ok(None);
        }
        let indexes = driving(filter);
        let mut examined = 0;
        let mut last = after;
        let mut page = wanted.clamp(16, READ_PAGE);
        loop {
            let left = budget - examined;
            if left == 0 {
                // Without a look at any row it goes on where it began; numbers start at 1.
                let is_end = self
                    .page(&indexes, last, newest_first, 1)
                    .await?
                    .1
                    .is_empty();
                return Ok((!is_end).then(|| last.unwrap_or(Cursor(0))));
            }
            let limit = page.min(left);
            let (now, mut rows) = self.page(&indexes, last, newest_first, limit).await?;
            let mut met = 0;
            while !rows.is_empty() {
                let mut row = rows.array()?;
                let (seq, id) = (row.number()?, row.id()?);
                last = Some(Cursor(seq));
                met += 1;
                if let Some(record) = readable(&id, row.value()?)?
                    && !check(seen(record, now))
                {
                    return Ok(None);
                }
            }
            examined += met;
            if met < limit {
                return Ok(None);
            }
            page = READ_PAGE;
        }
    }

    async fn page(
        &self,
        indexes: &[String],
        after: Option<Cursor>,
        newest_first: bool,
        limit: usize,
    ) -> Result<(Timestamp, Values)> {
        let mut answer = self
            .ask("scan", |args| {
                args.number(indexes.len());
                for index in indexes {
                    args.text(index);
                }
                args.optional(after.map(|Cursor(seq)| seq.to_string()));
                args.flag(newest_first);
                args.number(limit);
            })
            .await?;
        Ok((answer.time()?, answer.array()?))
    }

    /// What the leases or the start of an id lead to; `None` when that is more than the budget, so that a part of it would be
    /// taken for the whole.
    async fn unordered(&self, filter: &TaskFilter, budget: usize) -> Result<Option<Vec<Seen>>> {
        let most = budget.saturating_add(1);
        let ids = match &filter.id_prefix {
            Some(prefix) if !filter.lease_expired => self.starting(prefix, most).await?,
            _ => {
                let which = if filter.lease_expired {
                    "ended"
                } else {
                    "leased"
                };
                let rows = self
                    .ask("ids", |args| {
                        args.text(which);
                        args.number(most);
                    })
                    .await?;
                rows.ids()?
            }
        };
        if ids.len() > budget {
            return Ok(None);
        }
        let mut found = Vec::with_capacity(ids.len());
        for page in ids.chunks(READ_PAGE) {
            let (now, records) = self.parts(page).await?;
            for (id, parts) in page.iter().zip(records) {
                found.extend(readable(id, parts)?.map(|record| seen(record, now)));
            }
        }
        Ok(Some(found))
    }

    /// Ids that start with a text, until there are `most`. The lists have no order of ids: all are looked through.
    async fn starting(&self, prefix: &str, most: usize) -> Result<Vec<TaskId>> {
        let mut found = Vec::new();
        for list in LISTS {
            let mut behind = "-inf".to_owned();
            while found.len() < most {
                let mut page = self
                    .ask("starting", |args| {
                        args.text(list);
                        args.text(&behind);
                        args.text(prefix);
                        args.number(ROWS);
                    })
                    .await?;
                behind = page.text()?;
                found.extend(page.array()?.ids()?);
                if behind.is_empty() {
                    break;
                }
            }
        }
        Ok(found)
    }

    pub(super) async fn events(
        &self,
        stream: &StreamId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        let mut from = from.max(1);
        while events.len() < limit {
            let page = (limit - events.len()).min(ROWS);
            let mut rows = self
                .ask("events", |args| {
                    args.text(&stream.owner);
                    args.text(&stream.name);
                    args.number(from);
                    args.number(page);
                })
                .await?;
            if rows.is_empty() {
                break;
            }
            while !rows.is_empty() {
                let mut row = rows.array()?;
                let number = row.number()?;
                let event = event(number, &row.text()?).ok_or_else(|| {
                    crate::error::Error::new(
                        ErrorKind::Corrupt,
                        "read event",
                        format!("an event of \"{stream}\" cannot be read"),
                    )
                })?;
                events.push(event);
                from = number + 1;
            }
        }
        Ok(events)
    }

    pub(super) async fn marks(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Mark>> {
        let mut marks: Vec<Mark> = Vec::new();
        let mut behind = after.map(ToOwned::to_owned);
        while marks.len() < limit {
            let page = (limit - marks.len()).min(ROWS);
            // What is behind a key that is before the first of the prefix begins there.
            let from = match behind.as_deref().filter(|behind| *behind >= prefix) {
                Some(behind) => format!("({behind}"),
                None => format!("[{prefix}"),
            };
            let mut rows = self
                .ask("marks", |args| {
                    args.text(prefix);
                    args.text(from);
                    args.number(page);
                })
                .await?;
            let mut met = 0;
            while !rows.is_empty() {
                met += 1;
                marks.push(mark(&mut rows.array()?)?);
            }
            behind = marks.last().map(|mark| mark.key.to_string());
            if met < page {
                break;
            }
        }
        Ok(marks)
    }
}

/// The record, unless it is gone or cannot be read: one bad row must not hide the others.
fn readable(id: &TaskId, parts: Value) -> Result<Option<TaskStateRecord>> {
    match decode(Some(id), parts) {
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            tracing::warn!(%id, %error, "a stored record cannot be read");
            Ok(None)
        }
        other => other,
    }
}

/// The lists of all records by status, in order of creation; what runs is among what waits.
pub(super) const LISTS: [&str; 4] = ["s:0", "s:2", "s:3", "s:4"];

/// The indexes to walk: the most selective word, else the statuses asked for.
fn driving(filter: &TaskFilter) -> Vec<String> {
    let list = |status: &TaskStatus| match status {
        TaskStatus::Pending | TaskStatus::Running => LISTS[0],
        TaskStatus::Succeeded => LISTS[1],
        TaskStatus::Failed => LISTS[2],
        TaskStatus::Cancelled => LISTS[3],
    };
    if filter.lease_expired || filter.worker.is_some() {
        return vec![LISTS[0].to_owned()];
    }
    let name = |name: &String| format!("w:n:{name}");
    let word = None
        .or(filter.parent.as_ref().map(|parent| format!("w:p:{parent}")))
        .or(filter.tag.as_ref().map(|tag| format!("w:t:{tag}")))
        .or(filter.schedule.as_ref().map(name))
        .or(filter.name.as_ref().map(name));
    let few = |status: &TaskStatus| matches!(status, TaskStatus::Failed | TaskStatus::Cancelled);
    let rare_status = !filter.status.is_empty() && filter.status.iter().all(few);
    match word {
        Some(word) if !rare_status || filter.parent.is_some() => vec![word],
        _ if filter.status.is_empty() => LISTS.map(ToOwned::to_owned).to_vec(),
        _ => {
            let mut lists: Vec<_> = filter.status.iter().map(list).collect();
            lists.dedup();
            lists.into_iter().map(ToOwned::to_owned).collect()
        }
    }
}

/// An event as it is stored: its time, the length of its key, the key, the length of its kind, the kind, the data.
fn event(number: u64, stored: &str) -> Option<Event> {
    let at = time(stored.get(..20)?)?;
    let (key, rest) = match stored.get(20..24)? {
        "----" => (None, stored.get(24..)?),
        length => {
            let end = 24 + length.parse::<usize>().ok()?;
            (Some(stored.get(24..end)?.to_owned()), stored.get(end..)?)
        }
    };
    let end = 8 + rest.get(..8)?.parse::<usize>().ok()?;
    Some(Event {
        number,
        at,
        kind: rest.get(8..end)?.to_owned(),
        key,
        data: Payload::parse(rest.get(end..)?).ok()?,
    })
}

fn mark(row: &mut Values) -> Result<Mark> {
    let key = row.text()?.into();
    let version = row.number()?;
    let set_at = row.time()?;
    let until = row.text()?;
    Ok(Mark {
        key,
        version,
        set_at,
        until: time(&until),
        value: Payload::parse(row.text()?)?,
    })
}
