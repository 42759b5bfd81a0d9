//! Reads a type from merged values and finds every mistake in them, not only the first.

use figment::Figment;
use figment::error::Kind;
use figment::value::Dict;
use serde::de::DeserializeOwned;

use super::layer::{Layer, nearest_value, take};

/// More mistakes than this are not worth reading.
const MISTAKES_SHOWN: usize = 50;

/// The value, or all errors on the way to it: what is wrong is taken out, and the rest is tried again.
pub(super) fn extract<T: DeserializeOwned>(values: &Dict) -> Result<T, Vec<figment::Error>> {
    let mut values = values.clone();
    let mut errors: Vec<figment::Error> = Vec::new();
    let mut removed: Vec<Vec<String>> = Vec::new();
    while errors.len() < MISTAKES_SHOWN {
        match Figment::from(Layer::plain(values.clone())).extract_lossy::<T>() {
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
