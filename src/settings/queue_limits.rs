//! What the tables of queues say: limits that hold in the whole cluster.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use figment::value::Value;
use figment::{Figment, Provider};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::duration_field;
use super::extract::extract;
use super::layer::Layer;
use super::mistake::{Mistake, describe};
use super::number_field::whole;
use super::scalar::Scalar;
use crate::client::Limits;
use crate::task::Rate;

/// The setting that is a list of queues, or their tables.
const QUEUES: &str = "queues";

/// The limits of the tables of all layers, by queue. A list of queues says which to serve, and leaves these as they are.
pub(super) fn read(
    layers: &[Layer],
    mistakes: &mut Vec<Mistake>,
    origin: impl Fn(&Figment, &Value) -> String,
) -> BTreeMap<String, Limits> {
    let merged = layers
        .iter()
        .filter_map(|layer| layer.only_table(QUEUES))
        .fold(Figment::new(), Figment::merge);
    let values = merged
        .data()
        .ok()
        .and_then(|mut profiles| profiles.remove(&figment::Profile::Default))
        .unwrap_or_default();
    match extract::<Tables>(&merged, values.clone()) {
        Ok(Tables { queues }) => queues
            .into_iter()
            .map(|(queue, table)| (queue, table.limits()))
            .filter(|(_, limits)| *limits != Limits::default())
            .collect(),
        Err(errors) => {
            let origin = |value: &Value| origin(&merged, value);
            let wrong = errors.iter().map(|e| describe(e, &values, &[], origin));
            mistakes.extend(wrong);
            BTreeMap::new()
        }
    }
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Tables {
    queues: BTreeMap<String, QueueTable>,
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "the table of a queue: [queues.NAME], and what holds for it below"
)]
struct QueueTable {
    limit: Option<Count>,
    rate: Option<RateField>,
    max_depth: Option<Count>,
}

impl QueueTable {
    fn limits(self) -> Limits {
        Limits {
            max: self.limit.map(|Count(max)| max),
            rate: self.rate.map(|RateField(rate)| rate),
            max_depth: self.max_depth.map(|Count(depth)| depth.into()),
        }
    }
}

struct Count(u32);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        whole(&Scalar::deserialize(deserializer)?)
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| *number > 0)
            .map(Self)
            .ok_or_else(|| {
                D::Error::custom(format_args!(
                    "expected a whole number from 1 to {}",
                    u32::MAX
                ))
            })
    }
}

struct RateField(Rate);

impl<'de> Deserialize<'de> for RateField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrTable;
        impl<'de> Visitor<'de> for TextOrTable {
            type Value = Rate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a text such as \"10/1m\", or a table such as { n = 10, per = \"1m\", burst = 20 }",
                )
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Rate, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Rate, A::Error> {
                RateTable::deserialize(MapAccessDeserializer::new(map)).map(|table| Rate {
                    n: table.n.0,
                    per: table.per.0,
                    burst: table.burst.map(|Count(burst)| burst),
                })
            }
        }
        deserializer.deserialize_any(TextOrTable).map(Self)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RateTable {
    n: Count,
    per: Period,
    burst: Option<Count>,
}

struct Period(Duration);

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        duration_field::read(
            &Scalar::deserialize(deserializer)?,
            Duration::from_micros(1),
        )
        .map(Self)
        .map_err(D::Error::custom)
    }
}
