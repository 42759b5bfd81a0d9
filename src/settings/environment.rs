//! `TLO_*` variables as values.

use std::ffi::OsString;

use figment::Metadata;
use figment::value::Value;

use super::layer::Layer;
use super::mistake::Mistake;

/// What every variable begins with.
const PREFIX: &str = "TLO_";

/// Between the parts of a nested key.
const NESTING: &str = "__";

/// The variable that names the file.
pub(super) const FILE_VARIABLE: &str = "TLO_CONFIG";

/// Variables of tests.
const TEST_PREFIX: &str = "TLO_TEST_";

/// What command tasks are told about themselves; they may call `tlo` in turn.
const TASK_VARIABLES: [&str; 4] = ["TLO_TASK_ID", "TLO_TASK_NAME", "TLO_ATTEMPT", "TLO_SLOT"];

/// The variable that sets a key.
pub(super) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', NESTING).to_uppercase())
}

/// One layer for each variable, in the order of their names, so that each value knows its own.
pub(super) fn layers(
    variables: &[(OsString, OsString)],
    mistakes: &mut Vec<Mistake>,
) -> Vec<Layer> {
    let mut known: Vec<(&str, &OsString)> = variables
        .iter()
        .filter_map(|(name, value)| Some((name.to_str()?, value)))
        .filter(|(name, _)| name.starts_with(PREFIX) && !is_reserved(name))
        .collect();
    known.sort_unstable();
    let mut layers = Vec::with_capacity(known.len());
    for (name, value) in known {
        let path: Vec<String> = name[PREFIX.len()..]
            .split(NESTING)
            .map(str::to_lowercase)
            .collect();
        let origin = format!("environment variable {name}");
        match value.to_str() {
            Some(text) if text.trim().is_empty() => {}
            Some(text) => {
                layers.push(Layer::single(Metadata::named(origin), &path, read(text)));
            }
            None => mistakes.push(Mistake {
                key: path.join("."),
                value: None,
                origin,
                reason: "is not valid Unicode".to_owned(),
            }),
        }
    }
    layers
}

fn is_reserved(name: &str) -> bool {
    name == FILE_VARIABLE || name.starts_with(TEST_PREFIX) || TASK_VARIABLES.contains(&name)
}

/// Text stays text, so that a password of digits keeps its zeros; whoever wants a number or a boolean reads it from
/// the text. Lists `[…]`, tables `{…}` and text in quotes are read as in a file.
fn read(text: &str) -> Value {
    let trimmed = text.trim();
    let closed = |open, close| trimmed.starts_with(open) && trimmed.ends_with(close);
    if closed('[', ']') || closed('{', '}') || (closed('"', '"') && trimmed.len() > 1) {
        match trimmed.parse::<Value>() {
            Ok(value) => return value,
            Err(never) => match never {},
        }
    }
    Value::from(text)
}
