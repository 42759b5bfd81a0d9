//! What `tlo run` and `tlo worker` say when they start.

use std::sync::Arc;

use super::run::Fires;
use crate::cli::output;
use crate::context::TloContext;
use crate::error::Result;
use crate::schedule::short_duration;
use crate::scheduler::{Upcoming, upcoming};
use crate::task::TaskDef;
use crate::timestamp::Timestamp;

/// The most tasks that are listed.
const LISTED: usize = 20;

/// Says what runs where, and what comes next.
///
/// # Errors
/// Those of reading the store.
pub(super) async fn show(tlo: &TloContext, notes: &[String], fires: Fires) -> Result<()> {
    let defs = tlo.registry().list().await?;
    let store = tlo.store().capability();
    let settings = tlo.settings();
    output::say(&format!(
        "tlo {} · pid {} · {} at once · queues {} · all times are UTC",
        env!("CARGO_PKG_VERSION"),
        std::process::id(),
        output::counted(settings.concurrency, "task"),
        output::one_line(&settings.queues.join(", ")),
    ));
    output::say(&format!("store {}: {}", store.name, store.promise));
    for note in notes {
        output::say(note);
    }
    if fires == Fires::Nothing {
        handlers(tlo);
        return Ok(());
    }
    let now = tlo.clock().now();
    let schedules = upcoming(tlo.store(), now, defs.iter().map(AsRef::as_ref)).await?;
    let scheduled = match schedules.len() {
        0 => "nothing is scheduled: they run when submitted, with `tlo submit NAME`".to_owned(),
        n => format!("{n} with a schedule"),
    };
    output::say(&format!(
        "{}, {scheduled}",
        output::counted(defs.len(), "task")
    ));
    let scheduled = schedules
        .iter()
        .map(|schedule| (&*schedule.schedule, when(schedule, &defs, now)));
    let others = defs
        .iter()
        .filter(|def| def.schedule.is_none())
        .map(|def| (&*def.name, "when submitted".to_owned()));
    let all: Vec<(String, String)> = scheduled
        .chain(others)
        .map(|(name, when)| (output::one_line(name), when))
        .collect();
    let listed = &all[..all.len().min(LISTED)];
    let width = listed.iter().map(|(name, _)| name.chars().count()).max();
    let width = width.unwrap_or(0);
    for (name, when) in listed {
        output::say(&format!("  {name:<width$}  {when}"));
    }
    if all.len() > LISTED {
        output::say(&format!(
            "  … and {} more: `tlo check` lists them",
            all.len() - LISTED
        ));
    }
    Ok(())
}

/// What a worker runs that fires no schedules.
fn handlers(tlo: &TloContext) {
    let mut names: Vec<String> = Vec::new();
    for (name, _) in tlo.handlers().lanes().iter() {
        let name = output::one_line(name);
        if names.last() != Some(&name) {
            names.push(name);
        }
    }
    let more = if names.len() > LISTED { ", …" } else { "" };
    let count = output::counted(names.len(), "handler");
    names.truncate(LISTED);
    output::say(&format!("{count}: {}{more}", names.join(", ")));
    output::say("it fires no schedules: `tlo run` does");
}

fn when(schedule: &Upcoming, defs: &[Arc<TaskDef>], now: Timestamp) -> String {
    let def = defs.iter().find(|def| def.name == schedule.schedule);
    let is_reboot = def
        .and_then(|def| def.schedule.as_ref())
        .is_some_and(crate::schedule::Schedule::is_reboot);
    let next = match schedule.next {
        Some(_) if schedule.paused.is_some() => "paused".to_owned(),
        Some(at) => format!(
            "next {} (in {})",
            output::instant(Some(at)),
            short_duration(at.since(now))
        ),
        None if is_reboot => "once per boot".to_owned(),
        None => "has ended".to_owned(),
    };
    if let Some(reason) = schedule
        .paused
        .as_ref()
        .and_then(|pause| pause.reason.as_ref())
    {
        return format!("{next}: {}", output::one_line(reason));
    }
    match schedule.missed {
        Some(at) => format!("{next}; missed since {}", output::instant(Some(at))),
        None => next,
    }
}
