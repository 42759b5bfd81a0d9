//! What is left in the file when nothing runs and nothing waits: nothing.

use std::path::Path;
use std::sync::Arc;

use tlo::store::kv::RowEngine;
use tlo::store::{CountBy, TaskFilter, TaskStateStore};
use tlo::{IdSource, PageRequest, SqliteEngine, SqliteOptions, TaskStateRecord, TaskStatus};

use crate::checker::{Violation, Wrong};

/// The tables of rows that are empty then: the first byte of their keys is part of the layout.
const EMPTY: [(u8, &str, Wrong); 6] = [
    (b'l', "a lease", Wrong::LeakedLease),
    (b'g', "a place in a gate", Wrong::LeakedGate),
    (b'p', "a task behind a gate", Wrong::LeakedGate),
    (b'P', "a gate that has tasks behind it", Wrong::LeakedGate),
    (b'u', "the owner of a key", Wrong::LeakedKey),
    (b'k', "the end of a key", Wrong::LeakedKey),
];

/// Rows that should be gone.
pub(crate) fn rows(path: &Path) -> Vec<Violation> {
    let engine = SqliteEngine::open(SqliteOptions::at(path), Arc::new(IdSource::random()));
    let mut wrong = Vec::new();
    engine
        .unwrap()
        .read(&mut |rows| {
            for (table, what, kind) in EMPTY {
                for (key, value) in rows.range(&[table], &[table + 1], 1_000, false)? {
                    let value = String::from_utf8_lossy(&value);
                    let seen = format!("{what}: {value} ({} bytes of key)", key.len());
                    wrong.push(Violation::new(kind, seen));
                }
            }
            Ok(())
        })
        .unwrap();
    wrong
}

/// All records.
pub(crate) async fn records(store: &dyn TaskStateStore) -> Vec<TaskStateRecord> {
    let mut records = Vec::new();
    let mut request = PageRequest::first(1_000);
    loop {
        let page = store.list(&TaskFilter::default(), request).await.unwrap();
        records.extend(page.items.into_iter().map(|item| item.record));
        if page.complete {
            return records;
        }
        request.after = page.next;
    }
}

/// Damage, and counts that are not those of the records.
pub(crate) async fn accounts(
    store: &dyn TaskStateStore,
    records: &[TaskStateRecord],
) -> Vec<Violation> {
    let damage = store.check().await.unwrap();
    let mut wrong: Vec<_> = damage
        .into_iter()
        .map(|line| Violation::new(Wrong::Damaged, line))
        .collect();
    let everything = TaskFilter::default();
    let counted = store.count(&everything, CountBy::Status, usize::MAX);
    let counted = counted.await.unwrap();
    for status in TaskStatus::ALL {
        let there = records.iter().filter(|record| record.status == status);
        let (there, counted) = (there.count() as u64, counted.of(status.as_str()));
        if there != counted {
            let seen = format!("{there} are {status}, counted are {counted}");
            wrong.push(Violation::new(Wrong::Miscounted, seen));
        }
    }
    wrong
}
