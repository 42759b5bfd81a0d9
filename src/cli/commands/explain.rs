//! `tlo explain`.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::cli::args::parsed;
use crate::cli::output;
use crate::cli::output::Cell;
use crate::clock::Clock;
use crate::error::Result;
use crate::schedule::Schedule;
use crate::schedule::preview::{Change, Fire};
use crate::timestamp::Timestamp;

const YEAR: Duration = Duration::from_secs(366 * 86_400);

/// Which schedule to explain.
#[derive(Args, Clone, Debug)]
pub(crate) struct ExplainArgs {
    /// The schedule: "0 3 * * *", "every 5m", "@daily", "2026-11-20T10:00:00Z"
    schedule: String,
    /// The zone of its clocks, such as Europe/Berlin
    #[arg(long, default_value = "UTC")]
    zone: String,
    /// Explain from this instant instead of now, such as 2026-11-20T10:00:00Z
    #[arg(long, value_name = "INSTANT", value_parser = parsed::<Timestamp>)]
    from: Option<Timestamp>,
    /// How many runs to show, at most 10000
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    count: u16,
    /// How many years of clock changes to show, at most 100
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=100))]
    years: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints a schedule in English, its next runs, and what happens when the clocks change.
///
/// # Errors
/// `Invalid`, quoting it, for a schedule or zone that is none.
pub(crate) fn run(clock: &dyn Clock, args: &ExplainArgs) -> Result<()> {
    let schedule = Schedule::parse(&args.schedule, Some(&args.zone))?;
    let from = args.from.unwrap_or_else(|| clock.now());
    let until = from.saturating_add(YEAR.saturating_mul(args.years));
    let preview = schedule.preview(Some(&args.zone), from, from, args.count.into(), until)?;
    let english = schedule.describe();
    if args.json {
        return output::json(&json!({
            "schedule": args.schedule,
            "zone": args.zone,
            "english": english,
            "next": preview.next,
            "changes": preview.changes,
        }));
    }
    match schedule.zone() {
        Some(zone) => output::line(&format!("{english} ({zone})"))?,
        None => output::line(&english)?,
    }
    output::line("")?;
    if preview.next.is_empty() && args.count > 0 {
        let why = if schedule.is_reboot() {
            "It runs when the machine has started, so nobody can say when."
        } else {
            "It never runs again."
        };
        output::line(why)?;
    }
    if !preview.next.is_empty() {
        let rows: Vec<_> = preview.next.iter().map(fire).collect();
        output::table(&["NEXT (UTC)", "LOCAL", "NOTE"], &rows)?;
    }
    if !preview.changes.is_empty() {
        output::line("")?;
        let rows: Vec<_> = preview.changes.iter().map(change).collect();
        output::table(
            &["CLOCKS CHANGE", "OFFSET", "WHAT THIS SCHEDULE DOES"],
            &rows,
        )?;
    }
    if schedule.zone().is_none() && !schedule.is_reboot() && args.from.is_none() {
        output::say(
            "\nIntervals count from the moment a runner first sees the schedule; here from now.",
        );
    }
    Ok(())
}

fn fire(fire: &Fire) -> Vec<Cell> {
    vec![
        Cell::from(output::instant(Some(fire.at))),
        Cell::from(clock_face(&fire.local)),
        Cell::from(fire.note.as_deref().unwrap_or_default()),
    ]
}

fn change(change: &Change) -> Vec<Cell> {
    vec![
        Cell::from(clock_face(&change.local)),
        Cell::from(format!("{} → {}", change.from, change.to)),
        Cell::from(&change.effect),
    ]
}

/// `Sun 2027-03-28 03:00:00 +02:00` for a local time with offset and zone.
fn clock_face(local: &str) -> String {
    match local.parse::<jiff::Zoned>() {
        Ok(local) => local.strftime("%a %F %T %:z").to_string(),
        Err(_) => local.to_owned(),
    }
}
