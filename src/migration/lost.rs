//! What is not as it should be, by name.

use super::report::Differences;
use super::{Migration, walk};
use crate::error::Result;
use crate::store::import::is_same;
use crate::store::{CountBy, SharedStore, TaskFilter};

/// How many are named.
const NAMED: usize = 10;

/// The tasks that are not the same on both sides.
pub(super) async fn differences(migration: &Migration) -> Result<Differences> {
    let mut found = Differences::default();
    compare(&migration.from, &migration.to, |id, there| match there {
        Some(true) => {}
        Some(false) => note(&mut found.differ, id),
        None => note(&mut found.missing, id),
    })
    .await?;
    compare(&migration.to, &migration.from, |id, there| {
        if there.is_none() {
            note(&mut found.extra, id);
        }
    })
    .await?;
    Ok(found)
}

fn note(ids: &mut Vec<String>, id: String) {
    if ids.len() < NAMED {
        ids.push(id);
    }
}

/// Tells of each record of one store whether the other has it, and as it is.
async fn compare(
    one: &SharedStore,
    other: &SharedStore,
    mut tell: impl FnMut(String, Option<bool>),
) -> Result<()> {
    let mut after = None;
    loop {
        let page = walk::records(one, after).await?;
        for ids in &page.ids {
            let there = other.get(ids).await?;
            for (record, there) in one.get(ids).await?.into_iter().zip(there) {
                let Some(record) = record else { continue };
                let same = there.map(|there| is_same(&there, &record));
                tell(record.id.to_string(), same);
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// What cannot be read and was therefore not copied, when it seems that there is such.
pub(super) async fn unreadable(store: &SharedStore, read: u64) -> Result<Vec<String>> {
    let counts = store
        .count(&TaskFilter::default(), CountBy::All, usize::MAX)
        .await?;
    match counts.complete && counts.total() == read {
        true => Ok(Vec::new()),
        // It reads everything once more, and knows best.
        false => store.check().await,
    }
}
