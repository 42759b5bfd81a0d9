//! `tlo config`.

use std::path::Path;

use serde_json::{Value, json};

use crate::cli::args::ConfigCommand;
use crate::cli::output::Cell;
use crate::cli::{output, program};
use crate::context::TloContextBuilder;
use crate::error::Result;
use crate::settings::TloSettings;

/// Prints the settings in force, secrets hidden.
///
/// # Errors
/// `Configuration` with every mistake.
pub(super) fn run(
    config: Option<&Path>,
    command: &ConfigCommand,
    context: &TloContextBuilder,
) -> Result<()> {
    let ConfigCommand::Show { origin, format } = command;
    let loaded = TloSettings::load(&program::settings(config, context)?)?;
    let settings = loaded.origins();
    if format.is_json() {
        let settings: Vec<_> = settings
            .iter()
            .map(|setting| {
                json!({"key": setting.key, "value": typed(&setting.value), "origin": setting.origin})
            })
            .collect();
        return format.print(&settings);
    }
    let rows: Vec<Vec<Cell>> = settings
        .into_iter()
        .map(|setting| {
            let mut row = vec![Cell::from(setting.key), Cell::from(setting.value)];
            row.extend(origin.then_some(Cell::from(setting.origin)));
            row
        })
        .collect();
    let header: &[&str] = if *origin {
        &["KEY", "VALUE", "FROM"]
    } else {
        &["KEY", "VALUE"]
    };
    output::table(header, &rows)
}

/// A value as JSON: what is shown is JSON but for the word `none` and hidden secrets.
fn typed(shown: &str) -> Value {
    match shown {
        "none" => Value::Null,
        shown => serde_json::from_str(shown).unwrap_or_else(|_| Value::from(shown)),
    }
}
