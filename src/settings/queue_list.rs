//! The queues that a worker serves.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::id::check_name;

/// A list of names, text with commas, or a table of `[queues.NAME]`.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    let mut queues: Vec<String> = Vec::new();
    for name in deserializer.deserialize_any(Names)? {
        let name = name.trim();
        check_name("a queue name", name).map_err(D::Error::custom)?;
        if !queues.iter().any(|queue| queue == name) {
            queues.push(name.to_owned());
        }
    }
    if queues.is_empty() {
        return Err(D::Error::custom(
            "names no queue; write at least one, such as default",
        ));
    }
    Ok(queues)
}

/// What a table of one queue may say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QueueTable {}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of queue names")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(text.split(',').map(str::to_owned).collect())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Self::Value, A::Error> {
        let mut queues = Vec::new();
        while let Some(name) = names.next_element::<String>()? {
            queues.push(name);
        }
        Ok(queues)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut tables: A) -> Result<Self::Value, A::Error> {
        let mut queues = Vec::new();
        while let Some((name, QueueTable {})) = tables.next_entry()? {
            queues.push(name);
        }
        Ok(queues)
    }
}
