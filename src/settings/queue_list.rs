//! The queues that a worker serves.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serializer;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::number_field::whole;
use super::scalar::Scalar;
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

/// The largest weight of a queue.
const WEIGHT_LIMIT: i128 = 1_000;

/// Says that there are no weights.
const NONE: &str = "none";

/// A table of weights by the names of queues, or text: `mail=3, reports=1`.
pub(super) fn weights<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, u32>, D::Error> {
    let mut weights = BTreeMap::new();
    for (queue, weight) in deserializer.deserialize_any(Weights)? {
        check_name("a queue name", &queue).map_err(D::Error::custom)?;
        let weight = whole(&weight)
            .filter(|weight| (1..=WEIGHT_LIMIT).contains(weight))
            .and_then(|weight| u32::try_from(weight).ok())
            .ok_or_else(|| {
                D::Error::custom(format_args!(
                    "the weight of \"{queue}\" is not a whole number from 1 to {WEIGHT_LIMIT}"
                ))
            })?;
        weights.insert(queue, weight);
    }
    Ok(weights)
}

/// The weights as text.
pub(super) fn weights_as_text<S: Serializer>(
    weights: &BTreeMap<String, u32>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if weights.is_empty() {
        return serializer.serialize_str(NONE);
    }
    let all: Vec<_> = weights
        .iter()
        .map(|(queue, weight)| format!("{queue}={weight}"))
        .collect();
    serializer.serialize_str(&all.join(","))
}

struct Weights;

impl<'de> Visitor<'de> for Weights {
    type Value = Vec<(String, Scalar)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of weights by queue, or text such as mail=3,reports=1")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        if text.trim().eq_ignore_ascii_case(NONE) {
            return Ok(Vec::new());
        }
        let parts = text.split(',').filter(|part| !part.trim().is_empty());
        parts
            .map(|part| {
                let (queue, weight) = part.split_once('=').ok_or_else(|| {
                    E::custom(format_args!(
                        "\"{}\" has no weight; write it as mail=3",
                        part.trim()
                    ))
                })?;
                let weight = Scalar::Text(weight.trim().to_owned());
                Ok((queue.trim().to_owned(), weight))
            })
            .collect()
    }

    fn visit_map<A: MapAccess<'de>>(self, mut tables: A) -> Result<Self::Value, A::Error> {
        let mut weights = Vec::new();
        while let Some(pair) = tables.next_entry()? {
            weights.push(pair);
        }
        Ok(weights)
    }
}

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
        // What the tables say is read, and checked, apart from this.
        let mut queues = Vec::new();
        while let Some((name, _)) = tables.next_entry::<String, IgnoredAny>()? {
            queues.push(name);
        }
        Ok(queues)
    }
}
