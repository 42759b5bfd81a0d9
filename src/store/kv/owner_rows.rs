//! Owners of unique keys as rows.

use std::sync::Arc;

use super::keys;
use super::table::{Owner, Owners, Source, Table};
use crate::error::{Error, ErrorKind, Result};

pub(super) fn owner<S: Source + ?Sized>(table: &S, key: &str) -> Result<Option<Owner>> {
    let Some(bytes) = table.get(&keys::unique(key))? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|source| {
        Error::new(
            ErrorKind::Corrupt,
            "read unique key",
            format!("the owner of the key \"{key}\" cannot be read"),
        )
        .with_source(source)
    })
}

/// Owners in the order of their keys, behind a key.
pub(super) fn owners<S: Source + ?Sized>(
    table: &S,
    after: Option<&str>,
    limit: usize,
) -> Result<Owners> {
    let from = match after {
        Some(after) => [keys::unique(after).as_slice(), &[0]].concat(),
        None => keys::UNIQUES.to_vec(),
    };
    let rows = table.range(&from, &keys::after(keys::UNIQUES), limit, false)?;
    let owner = |(row, value): (Vec<u8>, Vec<u8>)| {
        let key: Arc<str> = String::from_utf8_lossy(row.get(1..).unwrap_or_default()).into();
        let owner = serde_json::from_slice(&value).inspect_err(|error| {
            tracing::error!(key = &*key, %error, "the owner of a unique key cannot be read");
        });
        (key, owner.ok())
    };
    Ok(rows.into_iter().map(owner).collect())
}

pub(super) fn put<T: Table + ?Sized>(table: &mut T, key: &str, owner: &Owner) -> Result<()> {
    let value = serde_json::to_vec(owner).map_err(|source| {
        Error::new(
            ErrorKind::Internal,
            "write unique key",
            "an owner has no JSON form",
        )
        .with_source(source)
    })?;
    table.put(keys::unique(key), value)
}
