//! `tlo check`.

use std::path::Path;

use serde_json::json;

use crate::cli::args::CheckArgs;
use crate::cli::{output, program};
use crate::error::Result;
use crate::plugin::PluginTable;

/// Prints every mistake of the jobs file, the crontabs and the settings; opens nothing and runs nothing.
///
/// # Errors
/// `Configuration` with the number of mistakes.
pub(super) fn run(config: Option<&Path>, args: &CheckArgs) -> Result<()> {
    let plugins = PluginTable::builtin();
    let source = program::settings(config)?.sections(plugins.sections());
    let jobs = program::jobs(&source, &args.crontab)?;
    if let Some(loaded) = program::report(&jobs, &source)? {
        plugins.check(&loaded)?;
    }
    if args.json {
        let tasks: Vec<_> = jobs
            .jobs
            .iter()
            .map(|job| json!({"task": job.def, "command": job.command}))
            .collect();
        return output::json(&tasks);
    }
    for note in &jobs.notes {
        output::say(note);
    }
    let rows = jobs
        .jobs
        .iter()
        .map(|job| {
            let when = job.def.schedule.as_ref().map_or_else(
                || "when submitted".to_owned(),
                crate::schedule::Schedule::describe,
            );
            let zone = job
                .def
                .schedule
                .as_ref()
                .and_then(|schedule| schedule.zone())
                .unwrap_or("-")
                .to_owned();
            vec![job.def.name.to_string(), when, zone]
        })
        .collect::<Vec<_>>();
    let count = rows.len();
    if count > 0 {
        output::table(&["TASK", "RUNS", "ZONE"], rows)?;
    }
    output::say(&format!(
        "ok: {count} {}",
        if count == 1 { "task" } else { "tasks" }
    ));
    Ok(())
}
