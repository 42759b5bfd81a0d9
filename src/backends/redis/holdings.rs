//! Streams and owners of keys: nothing lists them, so all keys of the server are looked through, a part at a time.

use super::answers::Values;
use super::reading::Reader;
use super::times::time;
use crate::error::{Error, Result};
use crate::store::{Holding, Holdings, KeyOwner, StreamExtent, StreamId};

/// The letters of the keys that are looked for, in their order.
const KINDS: [&str; 2] = ["E", "u"];

/// Keys looked through in a step, at most: the server does nothing else meanwhile.
const STEP: usize = 1_000;

impl Reader<'_> {
    /// A page goes on behind a letter and the place in all keys that the server said.
    pub(super) async fn holdings(&self, after: Option<&str>, limit: usize) -> Result<Holdings> {
        let after = after.unwrap_or("E0");
        let (kind, cursor) = after.split_at_checked(1).unwrap_or_default();
        let Some(kind) = KINDS.iter().position(|known| *known == kind) else {
            let message = format!("\"{after}\" is no place to go on from");
            return Err(Error::invalid("read holdings", message));
        };
        let letter = KINDS[kind];
        let mut page = self
            .ask("holdings", |args| {
                args.text(letter);
                args.text(cursor);
                args.number(limit.clamp(1, STEP));
            })
            .await?;
        let cursor = page.text()?;
        let mut rows = page.array()?;
        let mut items = Vec::new();
        while !rows.is_empty() {
            let mut row = rows.array()?;
            items.push(match letter {
                "E" => Holding::Stream(stream(&mut row)?),
                _ => Holding::Key(owner(&mut row)?),
            });
        }
        let next = match (cursor.as_str(), KINDS.get(kind + 1)) {
            ("0", None) => None,
            ("0", Some(letter)) => Some(format!("{letter}0")),
            (cursor, _) => Some(format!("{letter}{cursor}")),
        };
        Ok(Holdings { items, next })
    }
}

fn stream(row: &mut Values) -> Result<StreamExtent> {
    let (owner, name) = (row.text()?, row.text()?);
    let (first, following) = (row.number()?, row.number::<u64>()?);
    Ok(StreamExtent {
        stream: StreamId { owner, name },
        first,
        length: following.saturating_sub(1),
    })
}

fn owner(row: &mut Values) -> Result<KeyOwner> {
    Ok(KeyOwner {
        key: row.text()?.into(),
        owner: row.id()?,
        until: time(&row.text()?),
    })
}
