//! What is in an environment: the rows, and whose they are.

use std::path::Path;

use heed::types::{Bytes, DecodeIgnore, Str};
use heed::{CommitOrAbort, Database, Env, WithoutTls};

use super::fault::{fault, foreign};
use super::rows::RowDb;
use crate::error::{Error, ErrorKind, Result};

/// The layout of this build.
pub(super) const LAYOUT: u32 = 1;

/// Databases of an environment, at most.
pub(super) const DATABASES: u32 = 8;

const ROWS: &str = "rows";
const ABOUT: &str = "tlo";
const VERSION: &str = "layout";

enum Found {
    Ready(RowDb),
    Nothing,
    Foreign,
    Layout(String),
}

/// The database of the rows; made when the environment is empty.
pub(super) fn rows(path: &Path, env: &Env<WithoutTls>) -> Result<RowDb> {
    let fault = |source| fault(path, "open lmdb", source);
    // What another process makes meanwhile is found there by `make`.
    if let Found::Nothing = look(env).map_err(fault)? {
        make(env).map_err(fault)?;
    }
    match look(env).map_err(fault)? {
        Found::Ready(rows) => Ok(rows),
        Found::Nothing | Found::Foreign => Err(Error::new(
            ErrorKind::Configuration,
            "open lmdb",
            foreign(path),
        )),
        Found::Layout(layout) => Err(Error::new(
            ErrorKind::Configuration,
            "open lmdb",
            format!(
                "the store \"{}\" has layout {layout} and this build knows {LAYOUT}; use the build that wrote it, or another path",
                path.display()
            ),
        )),
    }
}

fn look(env: &Env<WithoutTls>) -> heed::Result<Found> {
    let txn = env.read_txn()?;
    let opened = env.open_databases_and_commit(txn, |opener, txn| {
        let names = opener.open_database::<Bytes, DecodeIgnore>(txn, None)?;
        let is_empty = match names {
            Some(names) => names.is_empty(txn)?,
            None => true,
        };
        let about = opener.open_database::<Str, Str>(txn, Some(ABOUT))?;
        let rows = opener.open_database::<Bytes, Bytes>(txn, Some(ROWS))?;
        let layout = match about {
            Some(about) => about.get(txn, VERSION)?.map(ToOwned::to_owned),
            None => None,
        };
        let nothing = match (rows, layout) {
            (Some(rows), Some(layout)) if layout == LAYOUT.to_string() => {
                return Ok::<_, heed::Error>(CommitOrAbort::Commit(rows));
            }
            (_, Some(layout)) => Found::Layout(layout),
            _ if is_empty => Found::Nothing,
            _ => Found::Foreign,
        };
        Ok(CommitOrAbort::Abort(nothing))
    })?;
    Ok(match opened {
        CommitOrAbort::Commit(rows) => Found::Ready(rows),
        CommitOrAbort::Abort(found) => found,
    })
}

fn make(env: &Env<WithoutTls>) -> heed::Result<()> {
    let txn = env.write_txn()?;
    env.create_databases_and_commit(txn, |opener, txn| {
        let names: Option<Database<'_, Bytes, DecodeIgnore>> = opener.open_database(txn, None)?;
        if let Some(names) = names
            && !names.is_empty(txn)?
        {
            // Another process was first.
            return Ok::<_, heed::Error>(CommitOrAbort::Abort(()));
        }
        let rows = opener.create_database::<Bytes, Bytes>(txn, Some(ROWS))?;
        let about = opener.create_database::<Str, Str>(txn, Some(ABOUT))?;
        about.put(txn, VERSION, &LAYOUT.to_string())?;
        Ok(CommitOrAbort::Commit((rows, about)))
    })?;
    Ok(())
}
