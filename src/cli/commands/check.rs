//! `tlo check`.

use std::path::Path;

use serde_json::json;

use crate::cli::args::CheckArgs;
use crate::cli::output::Cell;
use crate::cli::{output, program};
use crate::client::Target;
use crate::context::TloContextBuilder;
use crate::error::Result;
use crate::schedule::Schedule;
use crate::settings::TloSettings;
use crate::task::TaskDef;

/// Prints every mistake of the jobs file, the crontabs and the settings; opens nothing and runs nothing. For programs it
/// prints the tasks as JSON, or the mistakes when there are errors.
///
/// # Errors
/// `Configuration` with the number of mistakes.
pub(super) fn run(
    config: Option<&Path>,
    args: &CheckArgs,
    context: &TloContextBuilder,
) -> Result<()> {
    let source = program::settings(config, context)?;
    let mut jobs = program::jobs(&source, Some(&args.crontabs), context)?;
    let faults = program::faults(&mut jobs, &source, &context.plugin_table());
    if let (true, Some(error)) = (args.format.is_json(), faults.error()) {
        args.format.print(&faults.json())?;
        return Err(error);
    }
    faults.print();
    faults.error().map_or(Ok(()), Err)?;
    if args.format.is_json() {
        let own = context
            .definitions()
            .map(|def| json!({"task": def, "command": null}));
        let listed = jobs
            .jobs
            .iter()
            .map(|job| json!({"task": job.def, "command": job.command, "rate": job.rate}));
        return args.format.print(&own.chain(listed).collect::<Vec<_>>());
    }
    for note in &jobs.notes {
        output::say(note);
    }
    let listed = jobs.jobs.iter().map(|job| &job.def);
    let defs: Vec<&TaskDef> = context.definitions().chain(listed).collect();
    if defs.is_empty() {
        output::say("ok, but there is no task: `tlo init` writes a tlo.toml with some");
        return Ok(());
    }
    let rows: Vec<Vec<Cell>> = defs.iter().map(|def| row(def)).collect();
    output::table(&["TASK", "ZONE", "RUNS"], &rows)?;
    let settings = TloSettings::load(&source)?;
    let queues = settings.queue_limits().iter();
    let queues = queues.map(|(queue, limits)| (Target::Queue(queue.clone()), *limits));
    for (target, limits) in queues.chain(jobs.rates()) {
        output::say(&output::one_line(&format!("{target}: {limits}")));
    }
    let tasks = output::counted(rows.len(), "task");
    // No error has come so far.
    match jobs.mistakes.tally().as_str() {
        "" => output::say(&format!("ok: {tasks}")),
        warnings => output::say(&format!("ok: {tasks}, {warnings}")),
    }
    Ok(())
}

fn row(def: &TaskDef) -> Vec<Cell> {
    let when = def
        .schedule
        .as_ref()
        .map_or_else(|| "when submitted".to_owned(), Schedule::describe);
    let zone = def.schedule.as_ref().and_then(Schedule::zone);
    vec![
        Cell::from(&def.name),
        Cell::from(zone.unwrap_or("-")),
        Cell::from(when),
    ]
}
