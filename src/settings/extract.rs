//! Reads a type from merged values and finds every mistake in them, not only the first.

use figment::Figment;
use figment::error::Kind;
use figment::value::{Dict, Value};
use serde::de::DeserializeOwned;

use super::layer::{Layer, leaves, nearest_value, take};

/// More mistakes than this are not worth reading.
const MISTAKES_SHOWN: usize = 50;

/// The value, or all errors on the way to it: what is wrong is taken out, and the rest is tried again.
///
/// `merged` knows the sources of the values, for what is relative to its source.
pub(super) fn extract<T: DeserializeOwned>(
    merged: &Figment,
    mut values: Dict,
) -> Result<T, Vec<figment::Error>> {
    let mut errors: Vec<figment::Error> = Vec::new();
    let mut removed: Vec<Vec<String>> = Vec::new();
    while errors.len() < MISTAKES_SHOWN {
        match alone(merged, &values).extract_lossy::<T>() {
            Ok(value) if errors.is_empty() => return Ok(value),
            Ok(_) => break,
            Err(error) => {
                let mut path = error.path.clone();
                if let Kind::MissingField(name) = &error.kind {
                    path.push(name.to_string());
                    if !removed.contains(&path) {
                        errors.push(error);
                    }
                    break;
                }
                let faulty = nearest_value(&values, &path).map(|(found, _)| found);
                errors.push(error);
                match faulty {
                    Some(faulty) if take(&mut values, &faulty).is_some() => removed.push(faulty),
                    _ => break,
                }
            }
        }
    }
    Err(errors)
}

/// These values alone, each with its source.
fn alone(merged: &Figment, values: &Dict) -> Figment {
    leaves(values)
        .into_iter()
        .fold(Figment::new(), |figment, (path, value)| {
            let metadata = merged.get_metadata(value.tag()).cloned();
            let value = untagged(value);
            figment.merge(Layer::single(metadata.unwrap_or_default(), &path, value))
        })
}

/// The same value as one that has no source yet.
fn untagged(value: &Value) -> Value {
    match value {
        Value::String(_, text) => Value::from(text.as_str()),
        Value::Char(_, letter) => Value::from(*letter),
        Value::Bool(_, flag) => Value::from(*flag),
        Value::Num(_, number) => Value::from(*number),
        Value::Empty(_, empty) => Value::from(*empty),
        Value::Dict(_, entries) => {
            let entries = entries
                .iter()
                .map(|(key, value)| (key.clone(), untagged(value)));
            Value::from(entries.collect::<Dict>())
        }
        Value::Array(_, items) => Value::from(items.iter().map(untagged).collect::<Vec<_>>()),
    }
}
