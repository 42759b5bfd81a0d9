//! `tlo explain`.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::cli::args::parsed;
use crate::cli::output;
use crate::cli::output::Cell;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::schedule::preview::{Change, Fire};
use crate::schedule::{Dst, Schedule, parse_duration};
use crate::timestamp::Timestamp;

const YEAR: Duration = Duration::from_secs(366 * 86_400);

/// Which schedule to explain.
#[derive(Args, Clone, Debug)]
pub(crate) struct ExplainArgs {
    /// The schedule: "0 3 * * *", "every 5m", "@daily", "2026-11-20T10:00:00Z"; several words are joined
    #[arg(required = true)]
    schedule: Vec<String>,
    /// The zone of its clocks, such as Europe/Berlin
    #[arg(long, default_value = "UTC")]
    zone: String,
    /// How a cron expression is read: quartz has seconds first and Sunday as 1
    #[arg(long, default_value = "unix", value_parser = ["unix", "quartz"])]
    dialect: String,
    /// What a cron expression does when clocks change, as `dst` in a jobs file
    #[arg(long, value_name = "RULE", default_value = "vixie", value_parser = Dst::ALL.map(Dst::as_str))]
    dst: String,
    /// The name of the task, which decides what H means
    #[arg(long)]
    name: Option<String>,
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
    let text = args.schedule.join(" ");
    let schedule = schedule(args, &text).map_err(|error| with_way_out(args, error))?;
    let from = args.from.unwrap_or_else(|| clock.now());
    let until = from.saturating_add(YEAR.saturating_mul(args.years));
    let mut preview = schedule.preview(Some(&args.zone), from, from, args.count.into(), until)?;
    let english = schedule.describe();
    if args.json {
        let fires = preview.next.iter_mut().map(|fire| &mut fire.local);
        let changes = preview.changes.iter_mut();
        for local in fires.chain(changes.map(|change| &mut change.local)) {
            // RFC 3339 has no zone; it is a field of its own here.
            local.truncate(local.find('[').unwrap_or(local.len()));
        }
        return output::json(&json!({
            "schedule": text,
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
    let heeds_time = schedule.zone().is_some() || schedule.counts_from_anchor();
    if heeds_time && !preview.changes.is_empty() {
        output::line("")?;
        let rows: Vec<_> = preview.changes.iter().map(change).collect();
        output::table(
            &["CLOCKS CHANGE", "OFFSET", "WHAT THIS SCHEDULE DOES"],
            &rows,
        )?;
    }
    if schedule.counts_from_anchor() && args.from.is_none() {
        output::say(
            "\nIntervals count from the moment a runner first sees the schedule; here from now.",
        );
    }
    if args.name.is_none() && depends_on_name(&schedule) {
        output::say("\nH is another number for each task; --name NAME shows that of a task.");
    }
    Ok(())
}

fn schedule(args: &ExplainArgs, text: &str) -> Result<Schedule> {
    let schedule = match args.dialect.as_str() {
        "quartz" => Schedule::quartz(text, &args.zone)?,
        _ => Schedule::parse(text, Some(&args.zone))?,
    };
    let schedule = match &args.name {
        Some(name) => schedule.seeded(name)?,
        None => schedule,
    };
    let dst = Dst::ALL.into_iter().find(|dst| dst.as_str() == args.dst);
    Ok(schedule.dst(dst.unwrap_or_default()))
}

/// What was probably meant, when it is no schedule.
fn with_way_out(args: &ExplainArgs, error: Error) -> Error {
    let message = match args.schedule.as_slice() {
        [one] if parse_duration(one).is_ok() => {
            format!("\"{one}\" is a duration, not a schedule; did you mean \"every {one}\"?")
        }
        [_] => return error,
        _ => format!(
            "{error}\n  put the schedule in quotes: a shell replaces * by the names of files"
        ),
    };
    Error::invalid("explain", message)
}

/// Whether the expression has `H`: only then a name makes it another schedule.
fn depends_on_name(schedule: &Schedule) -> bool {
    let named = schedule.clone().seeded("of a task");
    named.is_ok_and(|named| named != *schedule)
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
