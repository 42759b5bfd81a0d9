//! Reading everything that a store has, page by page, in bounded memory.

use crate::error::Result;
use crate::id::TaskId;
use crate::page::{Cursor, PageRequest};
use crate::store::{Event, Mark, SharedStore, StreamId, TaskFilter};
use crate::task::TaskStateRecord;

/// Records read at once, when none of them is large.
const RECORDS: usize = 250;

/// Records read at once, when one of them has payloads that a list cuts. Each may have some MiB.
const LARGE_RECORDS: usize = 8;

/// Events read at once; each may have a MiB.
pub(super) const EVENTS: usize = 32;

/// Marks read at once; each may have a MiB.
const MARKS: usize = 100;

/// A page of records, in their order of creation.
pub(super) struct Records {
    /// In parts that may be read at once.
    pub(super) ids: Vec<Vec<TaskId>>,
    /// Where the next page begins; `None` at the end.
    pub(super) next: Option<Cursor>,
}

pub(super) async fn records(store: &SharedStore, after: Option<Cursor>) -> Result<Records> {
    let request = PageRequest {
        after,
        ..PageRequest::first(RECORDS)
    };
    let page = store.list(&TaskFilter::default(), request).await?;
    let is_large = page.items.iter().any(|item| item.cut);
    let ids: Vec<_> = page.items.into_iter().map(|item| item.record.id).collect();
    let at_once = if is_large { LARGE_RECORDS } else { RECORDS };
    Ok(Records {
        ids: ids.chunks(at_once).map(<[TaskId]>::to_vec).collect(),
        next: page.next,
    })
}

/// Those that are still there.
pub(super) async fn whole(store: &SharedStore, ids: &[TaskId]) -> Result<Vec<TaskStateRecord>> {
    Ok(store.get(ids).await?.into_iter().flatten().collect())
}

/// Marks that are copied, a page of them, and the key behind which the next page begins.
pub(super) async fn marks(
    store: &SharedStore,
    after: Option<&str>,
) -> Result<(Vec<Mark>, Option<String>)> {
    let mut page = store.marks("", after, MARKS).await?;
    let next = match page.last() {
        Some(last) if page.len() == MARKS => Some(last.key.to_string()),
        _ => None,
    };
    page.retain(is_copied);
    Ok((page, next))
}

/// Workers say again that they live, and the mark of a migration is not what it copies.
pub(super) fn is_copied(mark: &Mark) -> bool {
    !mark.key.starts_with(crate::client::WORKER_MARK) && !super::progress::is_ours(mark)
}

/// Events of a stream behind a number, and whether there may be more.
pub(super) async fn events(
    store: &SharedStore,
    stream: &StreamId,
    from: u64,
) -> Result<(Vec<Event>, bool)> {
    let page = store.events(stream, from, EVENTS).await?;
    let more = page.len() == EVENTS;
    Ok((page, more))
}
