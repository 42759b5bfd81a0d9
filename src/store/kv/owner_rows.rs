//! Owners of unique keys as rows.

use super::keys;
use super::table::{Owner, Source, Table};
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
