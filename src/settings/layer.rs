//! [`Layer`]: values from one source, and walking nested keys.

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

/// Values and where they came from.
#[derive(Clone)]
pub(super) struct Layer {
    metadata: Metadata,
    values: Dict,
}

impl Layer {
    pub(super) fn new(metadata: Metadata, values: Dict) -> Self {
        Self { metadata, values }
    }

    /// One value at a path of keys.
    pub(super) fn single(metadata: Metadata, path: &[String], value: Value) -> Self {
        Self::new(metadata, nest(path, value))
    }

    /// Only the table of this key; `None` when there is none, or it is no table.
    pub(super) fn only_table(&self, key: &str) -> Option<Self> {
        let value = self.values.get(key)?;
        let is_table = matches!(value, Value::Dict(..));
        is_table.then(|| Self {
            metadata: self.metadata.clone(),
            values: Dict::from([(key.to_owned(), value.clone())]),
        })
    }

    /// Ready to be merged. The names of these sections are written in lower case, so that `[my_app.Dynamo]` and
    /// `TLO_MY_APP__DYNAMO__…` meet, and an empty text counts as unset.
    pub(super) fn prepared(mut self, sections: &[Vec<String>]) -> Self {
        for section in sections {
            lower(&mut self.values, section);
        }
        self.values
            .retain(|_, value| value.as_str().is_none_or(|text| !text.trim().is_empty()));
        self
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        self.metadata.clone()
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

/// The key `a.b` as a path.
pub(super) fn split_key(key: &str) -> Vec<String> {
    key.split('.').map(str::to_owned).collect()
}

fn nest(path: &[String], value: Value) -> Dict {
    match path {
        [] => value.into_dict().unwrap_or_default(),
        [key] => Dict::from([(key.clone(), value)]),
        [key, rest @ ..] => Dict::from([(key.clone(), Value::from(nest(rest, value)))]),
    }
}

fn lower(values: &mut Dict, section: &[String]) {
    let Some((first, rest)) = section.split_first() else {
        return;
    };
    let written = values.keys().find(|key| key.eq_ignore_ascii_case(first));
    let Some(mut value) = written.cloned().and_then(|key| values.remove(&key)) else {
        return;
    };
    if let Value::Dict(_, inner) = &mut value {
        lower(inner, rest);
    }
    values.insert(first.clone(), value);
}

/// The value at a path, or the value of the longest part of it that exists, with that part.
pub(super) fn nearest_value<'a>(
    values: &'a Dict,
    path: &[String],
) -> Option<(Vec<String>, &'a Value)> {
    let (first, rest) = path.split_first()?;
    let value = values.get(first)?;
    let mut found = vec![first.clone()];
    match value {
        Value::Dict(_, inner) if !rest.is_empty() => match nearest_value(inner, rest) {
            Some((more, value)) => {
                found.extend(more);
                Some((found, value))
            }
            None => Some((found, value)),
        },
        _ => Some((found, value)),
    }
}

/// The value at exactly this path.
pub(super) fn value_at<'a>(values: &'a Dict, path: &[String]) -> Option<&'a Value> {
    nearest_value(values, path)
        .filter(|(found, _)| found.len() == path.len())
        .map(|(_, value)| value)
}

/// Takes the value at this path out, and the tables that become empty by it.
pub(super) fn take(values: &mut Dict, path: &[String]) -> Option<Value> {
    let (first, rest) = path.split_first()?;
    if rest.is_empty() {
        return values.remove(first);
    }
    let Value::Dict(_, inner) = values.get_mut(first)? else {
        return None;
    };
    let taken = take(inner, rest);
    if taken.is_some() && inner.is_empty() {
        values.remove(first);
    }
    taken
}

/// All values that are not tables, with their paths, in order. An empty table counts as a value.
pub(super) fn leaves(values: &Dict) -> Vec<(Vec<String>, &Value)> {
    let mut found = Vec::new();
    for (key, value) in values {
        match value {
            Value::Dict(_, inner) if !inner.is_empty() => {
                found.extend(leaves(inner).into_iter().map(|(mut path, value)| {
                    path.insert(0, key.clone());
                    (path, value)
                }));
            }
            _ => found.push((vec![key.clone()], value)),
        }
    }
    found
}
