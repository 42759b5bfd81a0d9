//! Puts the layers together and checks the result.

use std::path::PathBuf;
use std::sync::Arc;

use figment::value::{Dict, Value};
use figment::{Figment, Metadata, Profile, Provider, Source};

use super::extract::extract;
use super::layer::{Layer, take, value_at};
use super::loaded::{Loaded, Merged, origin_of};
use super::mistake::{Mistake, describe};
use super::source::{DEFAULT, Given, TASKS};
use super::{SettingsSource, TloSettings, environment, file, queue_limits};

/// Reads every source and checks everything.
pub(super) fn load(source: &SettingsSource) -> Result<Loaded, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let base = settings_values(&source.base);
    check_sections(&source.sections, &base, &mut mistakes);
    let mut layers = vec![Layer::new(Metadata::named(DEFAULT), base)];
    add_given(&source.defaults, &mut layers, &mut mistakes);
    let file = add_file(source, &mut layers, &mut mistakes);
    layers.extend(environment::layers(&source.variables, &mut mistakes));
    add_given(&source.explicit, &mut layers, &mut mistakes);
    let queue_limits = queue_limits::read(&layers, &mut mistakes, origin_of);
    let figment = layers.into_iter().fold(Figment::new(), |figment, layer| {
        figment.merge(layer.prepared(&source.sections))
    });
    let values = figment
        .data()
        .ok()
        .and_then(|mut profiles| profiles.remove(&Profile::Default))
        .unwrap_or_default();
    let merged = Merged {
        figment,
        values,
        sections: source.sections.clone(),
    };
    match check(source, &merged, &mut mistakes) {
        Some(settings) if mistakes.is_empty() => Ok(Loaded {
            settings,
            queue_limits,
            merged: Arc::new(merged),
            file,
        }),
        _ => Err(mistakes),
    }
}

/// The settings as values. The addresses go in whole, because their serialized form hides passwords.
fn settings_values(settings: &TloSettings) -> Dict {
    let mut values = match Value::serialize(settings) {
        Ok(Value::Dict(_, values)) => values,
        Ok(_) | Err(_) => Dict::new(),
    };
    for (key, address) in [
        ("task_state_store", &settings.task_state_store),
        ("task_registry", &settings.task_registry),
    ] {
        values.insert(key.to_owned(), Value::from(address.expose()));
    }
    values
}

fn check_sections(sections: &[Vec<String>], base: &Dict, mistakes: &mut Vec<Mistake>) {
    for section in sections {
        if base.contains_key(&section[0]) || section[0] == TASKS {
            mistakes.push(Mistake {
                key: section.join("."),
                value: None,
                origin: "section".to_owned(),
                reason: format!(
                    "\"{}\" is a setting of TLO; give the section another name",
                    section[0]
                ),
            });
        }
    }
}

fn add_given(given: &[Given], layers: &mut Vec<Layer>, mistakes: &mut Vec<Mistake>) {
    for given in given {
        match given.layer() {
            Ok(layer) => layers.push(layer),
            Err(mistake) => mistakes.push(mistake),
        }
    }
}

fn add_file(
    source: &SettingsSource,
    layers: &mut Vec<Layer>,
    mistakes: &mut Vec<Mistake>,
) -> Option<PathBuf> {
    let choice = source.choice()?;
    match file::read(&choice) {
        Ok(Some(layer)) => {
            layers.push(layer);
            Some(choice.path)
        }
        Ok(None) => None,
        Err(mistake) => {
            mistakes.push(mistake);
            None
        }
    }
}

/// TLO's own settings, without what belongs to plugins and to the reader of jobs files.
fn check(
    source: &SettingsSource,
    merged: &Merged,
    mistakes: &mut Vec<Mistake>,
) -> Option<TloSettings> {
    let origin = |value: &Value| origin_of(&merged.figment, value);
    let mut own = merged.values.clone();
    for section in &source.sections {
        let name = section.join(".");
        take(&mut own, section);
        if let Some(value) = value_at(&merged.values, section)
            && !matches!(value, Value::Dict(..) | Value::Empty(..))
        {
            mistakes.push(Mistake {
                value: None,
                origin: origin(value),
                reason: format!(
                    "is a section; set its keys, in [{name}] or as {}__KEY",
                    environment::variable_of(&name)
                ),
                key: name,
            });
        }
    }
    if own
        .get(TASKS)
        .is_some_and(|tasks| is_from_file(merged, tasks))
    {
        own.remove(TASKS);
    }
    let names: Vec<String> = source.sections.iter().map(|path| path.join(".")).collect();
    match extract::<TloSettings>(&merged.figment, own) {
        Ok(settings) => Some(settings),
        Err(errors) => {
            mistakes.extend(
                errors
                    .iter()
                    .map(|error| describe(error, &merged.values, &names, origin)),
            );
            None
        }
    }
}

fn is_from_file(merged: &Merged, value: &Value) -> bool {
    let metadata = merged.figment.get_metadata(value.tag());
    matches!(
        metadata.and_then(|metadata| metadata.source.as_ref()),
        Some(Source::File(_))
    )
}
