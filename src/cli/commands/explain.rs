//! `tlo explain`.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::cli::output;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::schedule::Schedule;
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
    /// Explain from this instant instead of now
    #[arg(long, value_name = "INSTANT")]
    from: Option<String>,
    /// How many runs to show
    #[arg(long, default_value_t = 10)]
    count: usize,
    /// How many years of clock changes to show
    #[arg(long, default_value_t = 1)]
    years: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints a schedule in English, its next runs, and what happens when the clocks change.
///
/// # Errors
/// `Invalid`, quoting it, for a schedule, zone or instant that is none.
pub(crate) fn run(clock: &dyn Clock, args: &ExplainArgs) -> Result<()> {
    let schedule = Schedule::parse(&args.schedule, Some(&args.zone))?;
    let from: Timestamp = args
        .from
        .as_deref()
        .map_or_else(|| Ok(clock.now()), str::parse)?;
    if args.years > 100 {
        return Err(Error::invalid(
            "explain",
            format!("--years {} is more than 100", args.years),
        ));
    }
    let until = from.saturating_add(YEAR.saturating_mul(args.years));
    let preview = schedule.preview(Some(&args.zone), from, from, args.count, until)?;
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
    output::line(&format!("{} ({})", english, args.zone))?;
    output::line("")?;
    if preview.next.is_empty() {
        output::line("It never runs again.")?;
    } else {
        let rows = preview
            .next
            .into_iter()
            .map(|fire| {
                vec![
                    fire.at.to_string(),
                    fire.local,
                    fire.note.unwrap_or_default(),
                ]
            })
            .collect();
        output::table(&["NEXT (UTC)", "LOCAL", "NOTE"], rows)?;
    }
    if !preview.changes.is_empty() {
        output::line("")?;
        let rows = preview
            .changes
            .into_iter()
            .map(|change| {
                vec![
                    change.local,
                    format!("{} → {}", change.from, change.to),
                    change.effect,
                ]
            })
            .collect();
        output::table(
            &["CLOCKS CHANGE", "OFFSET", "WHAT THIS SCHEDULE DOES"],
            rows,
        )?;
    }
    Ok(())
}
