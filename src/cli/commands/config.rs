//! `tlo config`.

use std::path::Path;

use crate::cli::args::ConfigCommand;
use crate::cli::{output, program};
use crate::error::Result;
use crate::plugin::PluginTable;
use crate::settings::TloSettings;

/// Prints the settings in force, secrets hidden.
///
/// # Errors
/// `Configuration` with every mistake.
pub(super) fn run(config: Option<&Path>, command: &ConfigCommand) -> Result<()> {
    let ConfigCommand::Show { origin, json } = command;
    let source = program::settings(config)?.sections(PluginTable::builtin().sections());
    let loaded = TloSettings::load(&source)?;
    let settings = loaded.origins();
    if *json {
        return output::json(&settings);
    }
    let rows = settings
        .into_iter()
        .map(|setting| {
            let mut row = vec![setting.key, setting.value];
            row.extend(origin.then_some(setting.origin));
            row
        })
        .collect();
    let header: &[&str] = if *origin {
        &["KEY", "VALUE", "FROM"]
    } else {
        &["KEY", "VALUE"]
    };
    output::table(header, rows)
}
