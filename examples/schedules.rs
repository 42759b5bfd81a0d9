//! Schedules are data: what they mean, when they run next, and what happens when the clocks change.
#![allow(clippy::print_stdout, reason = "examples talk")]

use tlo::Timestamp;
use tlo::schedule::{Dst, Schedule};

fn main() -> tlo::Result<()> {
    let from: Timestamp = "2027-03-27T12:00:00Z".parse()?;
    let anchor = from;
    let weekdays = Schedule::cron_in("30 2 * * MON-FRI", "Europe/Berlin")?;
    let freeze = Schedule::cron_in("* * 20-31 12 *", "Europe/Berlin")?;
    for (title, schedule) in [
        ("every ninety minutes", Schedule::parse("every 90m", None)?),
        (
            "nightly, in a zone with summer time",
            Schedule::cron_in("30 2 * * *", "Europe/Berlin")?,
        ),
        (
            "the same, but never moved",
            Schedule::cron_in("30 2 * * *", "Europe/Berlin")?.dst(Dst::Skip),
        ),
        (
            "the last Friday of the month",
            Schedule::cron("0 18 * * 5L")?,
        ),
        (
            "weekdays, except in the Christmas freeze",
            weekdays.except(freeze),
        ),
        (
            "Quartz: seconds first",
            Schedule::quartz("0 15 10 ? * 6L", "America/New_York")?,
        ),
    ] {
        println!("{title}: {}", schedule.describe());
        let until = "2027-04-30T00:00:00Z".parse()?;
        let preview = schedule.preview(None, anchor, from, 3, until)?;
        for fire in preview.next {
            println!("  {}  {}", fire.local, fire.note.unwrap_or_default());
        }
        for change in preview.changes {
            println!("  clocks change at {}: {}", change.local, change.effect);
        }
    }
    match Schedule::cron("0 25 * * *") {
        Ok(_) => unreachable!("there is no hour 25"),
        Err(error) => println!("{error}"),
    }
    Ok(())
}
