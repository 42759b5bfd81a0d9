//! Reader slots of dead processes, sizes, and looking the rows through.

use std::path::PathBuf;

use serde::Serialize;

use super::environment::{Environment, Opened};
use super::fault::fault;
use super::options::LmdbDurability;
use crate::backends::disk::describe;
use crate::error::Result;

/// What is known about an open environment; `tlo doctor` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LmdbFacts {
    /// The directory of the store.
    pub path: PathBuf,
    /// The version of the LMDB library.
    pub lmdb_version: String,
    /// The flags of the environment, as read back.
    pub flags: u32,
    /// The size of the map in bytes: addresses, not disk.
    pub map_bytes: u64,
    /// The size of the rows in bytes.
    pub row_bytes: u64,
    /// The size of the data file in bytes; what was deleted is used again and not given back.
    pub file_bytes: u64,
    /// How many rows there are.
    pub rows: u64,
    /// Reader slots that are taken, by all processes.
    pub readers: u32,
    /// Reader slots in all.
    pub reader_slots: u32,
    /// The number of the last transaction.
    pub last_transaction: u64,
}

/// Reads the facts.
pub(super) fn facts(environment: &Environment) -> Result<LmdbFacts> {
    environment.using(|opened| {
        let txn = environment.read(opened)?;
        let fault = |source| fault(environment.path(), "read lmdb facts", source);
        let rows = opened.rows.stat(&txn).map_err(fault)?;
        drop(txn);
        let info = opened.env.info();
        Ok(LmdbFacts {
            path: environment.path().to_owned(),
            lmdb_version: heed::lmdb_version().string.to_owned(),
            flags: opened.env.get_flags().map_err(fault)?,
            map_bytes: info.map_size as u64,
            row_bytes: rows.non_free_page_size() as u64,
            file_bytes: environment.place.bytes(),
            rows: rows.entries as u64,
            readers: info.number_of_readers,
            reader_slots: info.maximum_number_of_readers,
            last_transaction: info.last_txn_id as u64,
        })
    })
}

/// The facts for people.
pub(super) fn lines(environment: &Environment, facts: &LmdbFacts) -> Vec<(&'static str, String)> {
    let synchronous = match environment.options.durability {
        LmdbDurability::Strict => "data and meta page at each commit",
        LmdbDurability::Relaxed => "data at each commit, the meta page later",
    };
    let limit = environment.options.max_bytes.map_or_else(
        || "no limit".to_owned(),
        |bytes| format!("limit {bytes} bytes"),
    );
    let mut lines = vec![
        ("lmdb", facts.lmdb_version.clone()),
        (
            "synchronous",
            format!("{synchronous}, flags {:#x} read back", facts.flags),
        ),
        (
            "file",
            format!(
                "{} bytes, {} of them rows ({limit}); map of {} bytes, grows by itself",
                facts.file_bytes, facts.row_bytes, facts.map_bytes
            ),
        ),
        (
            "readers",
            format!("{} of {} slots taken", facts.readers, facts.reader_slots),
        ),
    ];
    lines.extend(describe(environment.path()).map(|disk| ("disk", disk)));
    lines
}

/// One round of upkeep.
pub(super) fn run(environment: &Environment) -> Result<()> {
    let stale = environment.using(|opened: &Opened| {
        let cleared = opened.env.clear_stale_readers();
        cleared.map_err(|source| fault(environment.path(), "clear readers", source))
    })?;
    if stale > 0 {
        tracing::info!(stale, path = %environment.path().display(), "reader slots of dead processes were given back");
    }
    let Some(max_bytes) = environment.options.max_bytes else {
        return Ok(());
    };
    let used = facts(environment)?.row_bytes;
    if used > max_bytes / 100 * 85 {
        tracing::warn!(used, max_bytes, path = %environment.path().display(), "the store is nearly full: raise max_bytes, or keep finished tasks for a shorter time");
    }
    Ok(())
}

/// What is wrong with the order or the number of the rows. Reads all of them.
pub(super) fn check(environment: &Environment) -> Result<Vec<String>> {
    environment.using(|opened| {
        let txn = environment.read(opened)?;
        let fault = |source| fault(environment.path(), "check lmdb", source);
        let told = opened.rows.len(&txn).map_err(fault)?;
        let mut wrong = Vec::new();
        let (mut met, mut disorder) = (0, 0);
        let mut last: &[u8] = &[];
        for row in opened.rows.iter(&txn).map_err(fault)? {
            let (key, _) = row.map_err(fault)?;
            met += 1;
            disorder += u64::from(key <= last);
            last = key;
        }
        if met != told {
            wrong.push(format!("{told} rows are counted and {met} are there"));
        }
        if disorder > 0 {
            wrong.push(format!("{disorder} rows are out of order"));
        }
        Ok(wrong)
    })
}
