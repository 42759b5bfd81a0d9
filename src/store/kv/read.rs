//! Reading.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::index::{self, CountRow};
use super::table::Source;
use super::{keys, leases, marks as mark_rows, streams};
use crate::error::{ErrorKind, Result};
use crate::id::TaskId;
use crate::page::{Cursor, PAGE_LIMIT, Page, PageRequest};
use crate::store::{CountBy, Counts, Event, Mark, SCAN_LIMIT, StreamId, TaskFilter};
use crate::task::{TaskStateRecord, TaskStatus, TaskSummary};

/// Rows read at a time.
const READ_PAGE: usize = 256;

pub(crate) fn get(source: &dyn Source, ids: &[TaskId]) -> Result<Vec<Option<TaskStateRecord>>> {
    ids.iter()
        .map(|id| Ok(source.record(id)?.map(Arc::unwrap_or_clone)))
        .collect()
}

pub(crate) fn events(
    source: &dyn Source,
    stream: &StreamId,
    from: u64,
    limit: usize,
) -> Result<Vec<Event>> {
    streams::read(source, stream, from, limit)
}

pub(crate) fn marks(
    source: &dyn Source,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Mark>> {
    mark_rows::list(source, prefix, after, limit)
}

pub(crate) fn list(
    source: &dyn Source,
    filter: &TaskFilter,
    page: PageRequest,
) -> Result<Page<TaskSummary>> {
    let limit = page.limit.clamp(1, PAGE_LIMIT);
    let mut items = Vec::new();
    let mut last = None;
    let mut full = false;
    let complete = scan(
        source,
        filter,
        page.after,
        page.newest_first,
        SCAN_LIMIT,
        |record| {
            if items.len() == limit {
                full = true;
                return false;
            }
            last = Some(record.seq);
            items.push(TaskSummary::from(TaskStateRecord::clone(record)));
            true
        },
    )?;
    let next = if full {
        last.map(Cursor)
    } else {
        complete.next
    };
    Ok(Page {
        complete: next.is_none(),
        next,
        items,
    })
}

pub(crate) fn count(
    source: &dyn Source,
    filter: &TaskFilter,
    by: CountBy,
    limit: usize,
) -> Result<Counts> {
    if let Some(counts) = counted(source, filter, by)? {
        return Ok(counts);
    }
    let mut groups = BTreeMap::new();
    let scanned = scan(source, filter, None, false, limit, |record| {
        *groups.entry(by.group(record).to_owned()).or_insert(0) += 1;
        true
    })?;
    Ok(Counts {
        groups,
        complete: scanned.next.is_none(),
    })
}

/// The answer from the kept counts, when status, queue and name are all that is asked about.
fn counted(source: &dyn Source, filter: &TaskFilter, by: CountBy) -> Result<Option<Counts>> {
    let plain = TaskFilter {
        status: filter.status.clone(),
        name: filter.name.clone(),
        queue: filter.queue.clone(),
        ..TaskFilter::default()
    };
    if plain != *filter || by == CountBy::ErrorGroup {
        return Ok(None);
    }
    let mut groups = BTreeMap::new();
    for (key, value) in source.range(keys::COUNTS, &keys::after(keys::COUNTS), usize::MAX, false)? {
        let Some(row) = CountRow::read(&key, &value) else {
            continue;
        };
        let Some(status) = TaskStatus::ALL
            .into_iter()
            .find(|status| *status as u8 == row.status)
        else {
            continue;
        };
        let wanted = (filter.status.is_empty() || filter.status.contains(&status))
            && filter.name.as_ref().is_none_or(|name| *name == row.name)
            && filter
                .queue
                .as_ref()
                .is_none_or(|queue| *queue == row.queue);
        if wanted {
            let group = match by {
                CountBy::Status => status.as_str().to_owned(),
                CountBy::Queue => row.queue,
                CountBy::Name => row.name,
                CountBy::All | CountBy::ErrorGroup => "all".to_owned(),
            };
            *groups.entry(group).or_insert(0) += row.n;
        }
    }
    Ok(Some(Counts {
        groups,
        complete: true,
    }))
}

/// Where a scan ended: `next` is where to go on, `None` at the end of the list.
struct Scanned {
    next: Option<Cursor>,
}

/// Walks the records that match, in order of creation, until `visit` has enough or `budget` rows were looked at.
fn scan(
    source: &dyn Source,
    filter: &TaskFilter,
    after: Option<Cursor>,
    newest_first: bool,
    budget: usize,
    mut visit: impl FnMut(&TaskStateRecord) -> bool,
) -> Result<Scanned> {
    let moment = source.moment();
    let mut check = |record: &TaskStateRecord| {
        let expired = record
            .lease
            .as_ref()
            .is_some_and(|lease| lease.has_ended(moment.now, moment.steady));
        !filter.matches(record, expired) || visit(record)
    };
    // These indexes are not in order of creation, but what they lead to is few: read it all, then sort.
    let small = filter.lease_expired || filter.worker.is_some() || filter.id_prefix.is_some();
    if small && let Some(mut found) = unordered(source, filter, budget)? {
        found.sort_by_key(|record| record.seq);
        if newest_first {
            found.reverse();
        }
        let seen = |record: &TaskStateRecord| {
            after.is_some_and(|Cursor(seq)| {
                if newest_first {
                    record.seq >= seq
                } else {
                    record.seq <= seq
                }
            })
        };
        for record in found.iter().filter(|record| !seen(record)) {
            if !check(record) {
                break;
            }
        }
        return Ok(Scanned { next: None });
    }
    let mut merged = Merged::new(driving(filter), after, newest_first);
    let mut examined = 0;
    let mut last = None;
    while let Some((seq, id)) = merged.next(source)? {
        if examined == budget {
            // Without a look at any row it goes on where it began; numbers start at 1.
            let next = last.map(Cursor).or(after).unwrap_or(Cursor(0));
            return Ok(Scanned { next: Some(next) });
        }
        examined += 1;
        last = Some(seq);
        if let Some(record) = readable(source, &id)?
            && !check(&record)
        {
            break;
        }
    }
    Ok(Scanned { next: None })
}

/// The record, unless it is gone or cannot be read: one bad row must not hide the others.
fn readable(source: &dyn Source, id: &TaskId) -> Result<Option<Arc<TaskStateRecord>>> {
    match source.record(id) {
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            tracing::warn!(%id, %error, "a stored record cannot be read");
            Ok(None)
        }
        other => other,
    }
}

/// What the index of leases or ids leads to; `None` when that is more than the budget, so that a part of it would be
/// taken for the whole.
fn unordered(
    source: &dyn Source,
    filter: &TaskFilter,
    budget: usize,
) -> Result<Option<Vec<Arc<TaskStateRecord>>>> {
    let limit = budget.saturating_add(1);
    let ids = if filter.lease_expired {
        leases::ended(source, limit)?
    } else {
        let prefix = match &filter.id_prefix {
            Some(prefix) => keys::record_prefix(prefix),
            None => keys::LEASES.to_vec(),
        };
        let rows = source.range(&prefix, &keys::after(&prefix), limit, false)?;
        let by_id = filter.id_prefix.is_some();
        rows.iter()
            .map(|(key, _)| {
                if by_id {
                    &key[1..]
                } else {
                    keys::lease_id(key)
                }
            })
            .map(index::id_of)
            .collect::<Result<Vec<_>>>()?
    };
    if ids.len() > budget {
        return Ok(None);
    }
    let records = ids.iter().filter_map(|id| readable(source, id).transpose());
    records.collect::<Result<_>>().map(Some)
}

/// The index prefixes to walk: the most selective word, else the statuses asked for.
fn driving(filter: &TaskFilter) -> Vec<Vec<u8>> {
    if filter.lease_expired || filter.worker.is_some() {
        return vec![keys::status(TaskStatus::Running)];
    }
    let word = None
        .or(filter.parent.as_ref().map(keys::parent_word))
        .or(filter.tag.as_deref().map(keys::tag_word))
        .or(filter.schedule.as_deref().map(keys::name_word))
        .or(filter.name.as_deref().map(keys::name_word));
    let few = |status: &TaskStatus| {
        matches!(
            status,
            TaskStatus::Running | TaskStatus::Failed | TaskStatus::Cancelled
        )
    };
    let rare_status = !filter.status.is_empty() && filter.status.iter().all(few);
    match word {
        Some(word) if !rare_status || filter.parent.is_some() => vec![keys::word(word)],
        _ if filter.status.is_empty() => TaskStatus::ALL.into_iter().map(keys::status).collect(),
        _ => filter.status.iter().copied().map(keys::status).collect(),
    }
}

/// Several index ranges read as one, in order of creation.
struct Merged {
    ranges: Vec<Cursored>,
    newest_first: bool,
}

struct Cursored {
    from: Vec<u8>,
    until: Vec<u8>,
    rows: std::vec::IntoIter<(u64, Vec<u8>)>,
    next: Option<(u64, Vec<u8>)>,
    exhausted: bool,
}

impl Merged {
    fn new(prefixes: Vec<Vec<u8>>, after: Option<Cursor>, newest_first: bool) -> Self {
        let ranges = prefixes
            .into_iter()
            .map(|prefix| {
                let (mut from, mut until) = (prefix.clone(), keys::after(&prefix));
                match after {
                    Some(Cursor(seq)) if newest_first => {
                        until = [prefix.as_slice(), &seq.to_be_bytes()].concat();
                    }
                    Some(Cursor(seq)) => {
                        from = [prefix.as_slice(), &seq.saturating_add(1).to_be_bytes()].concat();
                    }
                    None => {}
                }
                Cursored {
                    from,
                    until,
                    rows: Vec::new().into_iter(),
                    next: None,
                    exhausted: false,
                }
            })
            .collect();
        Self {
            ranges,
            newest_first,
        }
    }

    fn next(&mut self, source: &dyn Source) -> Result<Option<(u64, TaskId)>> {
        loop {
            for range in &mut self.ranges {
                range.fill(source, self.newest_first)?;
            }
            let heads = self.ranges.iter_mut().filter(|range| range.next.is_some());
            let seq_of = |range: &&mut Cursored| range.next.as_ref().map_or(0, |(seq, _)| *seq);
            let best = if self.newest_first {
                heads.max_by_key(seq_of)
            } else {
                heads.min_by_key(seq_of)
            };
            let Some((seq, value)) = best.and_then(|range| range.next.take()) else {
                return Ok(None);
            };
            match index::id_of(&value) {
                Ok(id) => return Ok(Some((seq, id))),
                // One damaged row hides no other; a check says whose it is.
                Err(error) => tracing::error!(seq, %error, "a record is left out of a list"),
            }
        }
    }
}

impl Cursored {
    fn fill(&mut self, source: &dyn Source, newest_first: bool) -> Result<()> {
        if self.next.is_some() {
            return Ok(());
        }
        self.next = self.rows.next();
        if self.next.is_some() || self.exhausted {
            return Ok(());
        }
        let rows = source.range(&self.from, &self.until, READ_PAGE, newest_first)?;
        self.exhausted = rows.len() < READ_PAGE;
        if let Some((last, _)) = rows.last() {
            if newest_first {
                self.until.clone_from(last);
            } else {
                self.from = [last.as_slice(), &[0]].concat();
            }
        }
        let rows: Vec<_> = rows
            .into_iter()
            .map(|(key, value)| (keys::seq(&key), value))
            .collect();
        self.rows = rows.into_iter();
        self.next = self.rows.next();
        Ok(())
    }
}
