//! [`Payload`]: JSON kept as the text it was.

use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind, Result};

/// The default limit of a payload or a result: 1 MiB of JSON text.
pub const PAYLOAD_LIMIT: usize = 1 << 20;

/// A JSON document, kept byte for byte as it was written.
///
/// ```
/// use tlo::Payload;
/// let payload = Payload::of(&("ada", 36))?;
/// assert_eq!(payload.as_str(), r#"["ada",36]"#);
/// assert_eq!(payload.decode::<(String, u8)>()?, ("ada".to_owned(), 36));
/// # Ok::<(), tlo::Error>(())
/// ```
#[derive(Clone)]
pub struct Payload(Arc<RawValue>);

impl Payload {
    /// `null`.
    #[must_use]
    pub fn null() -> Self {
        static NULL: LazyLock<Arc<RawValue>> =
            LazyLock::new(|| Arc::from(RawValue::NULL.to_owned()));
        Self(Arc::clone(&NULL))
    }

    /// The JSON of a value.
    ///
    /// # Errors
    /// `Invalid` when the value has no JSON form (a map with keys that are not text, a failing `Serialize`).
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        serde_json::value::to_raw_value(value)
            .map(|raw| match raw.get() {
                // What handlers without a result give.
                "null" => Self::null(),
                _ => Self(Arc::from(raw)),
            })
            .map_err(|source| {
                let name = std::any::type_name::<T>();
                Error::invalid(
                    "payload",
                    format!("a value of {name} cannot be written as JSON: {source}"),
                )
                .with_source(source)
            })
    }

    /// JSON text as a payload, unchanged.
    ///
    /// # Errors
    /// `Invalid` when the text is not JSON, with line and column.
    pub fn parse(text: impl Into<String>) -> Result<Self> {
        RawValue::from_string(text.into())
            .map(|raw| Self(Arc::from(raw)))
            .map_err(|source| {
                Error::invalid("payload", format!("not JSON: {source}")).with_source(source)
            })
    }

    /// The value that this JSON describes.
    ///
    /// # Errors
    /// `Invalid` when the JSON is not of that type, naming the field or position.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(self.as_str()).map_err(|source| {
            let name = std::any::type_name::<T>();
            Error::invalid("payload", format!("the JSON is not a {name}: {source}"))
                .with_source(source)
        })
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Refuses a payload above a limit.
    ///
    /// # Errors
    /// `TooLarge`, with both sizes in bytes.
    pub fn check_size(&self, what: &'static str, limit: usize) -> Result<()> {
        let size = self.as_str().len();
        if size <= limit {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::TooLarge,
            what,
            format!(
                "the JSON has {size} bytes, the limit is {limit}; store it elsewhere and pass a reference"
            ),
        ))
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self::null()
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Payload {}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<serde_json::Value> for Payload {
    fn from(value: serde_json::Value) -> Self {
        // A `Value` always has a JSON form: its keys are text and its numbers finite.
        Self::of(&value).unwrap_or_default()
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|raw| Self(Arc::from(raw)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kept_byte_for_byte() {
        for text in [
            r#"{"b": 1,  "a":[1.0, 1e3]}"#,
            "\"\\u0000 \\ud83d\\ude00 😀\"",
            "\"\"",
            "-0.0",
        ] {
            let payload = Payload::parse(text).unwrap();
            let stored = serde_json::to_string(&payload).unwrap();
            assert_eq!(stored, text);
            assert_eq!(
                serde_json::from_str::<Payload>(&stored).unwrap().as_str(),
                text
            );
        }
        assert!(Payload::parse("NaN").is_err());
        assert!(Payload::parse("{} {}").is_err());
    }

    #[test]
    fn the_limit_is_in_bytes() {
        let payload = Payload::parse(format!("\"{}\"", "x".repeat(98))).unwrap();
        assert!(payload.check_size("submit", 100).is_ok());
        assert_eq!(
            payload.check_size("submit", 99).map_err(|e| e.kind()),
            Err(ErrorKind::TooLarge)
        );
    }
}
