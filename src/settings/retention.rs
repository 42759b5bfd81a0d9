//! How long finished records are kept, where the store's own rule does not suit.

use std::time::Duration;

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize, Serializer};

use super::scalar::Scalar;
use super::{duration_field, number_field};
use crate::schedule::format_duration;
use crate::store::Retention;

const FOREVER: &str = "forever";

/// How long finished records are kept. A part left out is as the store has it by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionSettings {
    /// Finished records older than this go; `forever` keeps them.
    #[serde(serialize_with = "write_age", deserialize_with = "read_age")]
    pub age: Option<Keep<Duration>>,
    /// More finished records than this go, the oldest first; `forever` keeps them.
    #[serde(serialize_with = "write_count", deserialize_with = "read_count")]
    pub count: Option<Keep<u64>>,
}

/// A limit, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep<T> {
    /// Up to here.
    UpTo(T),
    /// Without a limit: `forever`.
    Forever,
}

impl<T> Keep<T> {
    fn limit(self) -> Option<T> {
        match self {
            Self::UpTo(limit) => Some(limit),
            Self::Forever => None,
        }
    }
}

impl RetentionSettings {
    /// The store's own rule with the parts replaced that are set here.
    ///
    /// ```
    /// use tlo::{settings::{Keep, RetentionSettings}, store::Retention};
    /// let set = RetentionSettings { age: Some(Keep::Forever), count: None };
    /// let rule = set.over(Retention::default());
    /// assert_eq!((rule.age, rule.count), (None, Retention::default().count));
    /// ```
    #[must_use]
    pub fn over(&self, store: Retention) -> Retention {
        Retention {
            age: self.age.map_or(store.age, Keep::limit),
            count: self.count.map_or(store.count, Keep::limit),
        }
    }

    /// Both parts, or none of them.
    pub(super) fn deserialize_optional<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Self, D::Error> {
        Option::<Self>::deserialize(deserializer).map(Option::unwrap_or_default)
    }
}

#[allow(
    clippy::ref_option,
    reason = "serde passes the field by reference to the function"
)]
fn write_age<S: Serializer>(
    age: &Option<Keep<Duration>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    age.map(|age| match age {
        Keep::UpTo(age) => format_duration(age),
        Keep::Forever => FOREVER.to_owned(),
    })
    .serialize(serializer)
}

#[allow(
    clippy::ref_option,
    reason = "serde passes the field by reference to the function"
)]
fn write_count<S: Serializer>(count: &Option<Keep<u64>>, serializer: S) -> Result<S::Ok, S::Error> {
    match count {
        Some(Keep::UpTo(count)) => count.serialize(serializer),
        Some(Keep::Forever) => FOREVER.serialize(serializer),
        None => serializer.serialize_none(),
    }
}

fn is_forever(scalar: &Scalar) -> bool {
    matches!(scalar, Scalar::Text(text) if text.eq_ignore_ascii_case(FOREVER))
}

fn read_age<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Keep<Duration>>, D::Error> {
    match Scalar::deserialize(deserializer)? {
        Scalar::Nothing => Ok(None),
        scalar if is_forever(&scalar) => Ok(Some(Keep::Forever)),
        scalar => duration_field::read(&scalar, Duration::ZERO)
            .map(|age| Some(Keep::UpTo(age)))
            .map_err(|why| D::Error::custom(format_args!("{why}, or forever"))),
    }
}

fn read_count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Keep<u64>>, D::Error> {
    match Scalar::deserialize(deserializer)? {
        Scalar::Nothing => Ok(None),
        scalar if is_forever(&scalar) => Ok(Some(Keep::Forever)),
        scalar => number_field::whole(&scalar)
            .and_then(|count| u64::try_from(count).ok())
            .map(|count| Some(Keep::UpTo(count)))
            .ok_or_else(|| D::Error::custom("expected a whole number of 0 or more, or forever")),
    }
}
