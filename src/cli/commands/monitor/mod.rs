//! `tlo monitor`: a live table of what waits, runs and has ended; one snapshot where nobody sits at a terminal.

mod grid;
mod key;
#[cfg(unix)]
mod live;
mod screen;
mod snapshot;
mod state;
#[cfg(unix)]
mod terminal;
#[cfg(unix)]
mod watch;

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;

use self::snapshot::{Snapshot, Wanted};
use super::filters::Filters;
use super::list;
use crate::cli::args::duration;
use crate::cli::output::{self, Cell};
use crate::context::TloContext;
use crate::error::Result;
use crate::task::TaskStatus;

/// What to show, and how often to look.
#[derive(Args, Clone, Debug)]
pub(crate) struct MonitorArgs {
    #[command(flatten)]
    filters: Filters,
    /// How often to look when nothing is heard; what changes is shown sooner
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = interval)]
    interval: Duration,
    /// The newest so many of what waits, what runs and what has ended
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Print one snapshot and end, as it does without a terminal
    #[arg(long)]
    once: bool,
    /// Print one snapshot as JSON
    #[arg(long)]
    json: bool,
}

/// Between two looks; a shorter pause would only keep the store busy.
const SHORTEST: Duration = Duration::from_millis(100);

fn interval(text: &str) -> std::result::Result<Duration, String> {
    match duration(text)? {
        wanted if wanted < SHORTEST => Err("at least 100ms".to_owned()),
        wanted => Ok(wanted),
    }
}

/// Whether it will take the terminal for itself: what is said on standard error would break its screen then.
pub(super) fn takes_the_terminal(args: &MonitorArgs) -> bool {
    cfg!(unix)
        && !args.once
        && !args.json
        && std::io::stdin().is_terminal()
        && std::io::stdout().is_terminal()
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Shows tasks until a key or a signal ends it, or once.
///
/// # Errors
/// Those of the store at the first look, and when standard output cannot be written. Later ones are shown.
pub(super) async fn run(tlo: &TloContext, args: MonitorArgs) -> Result<()> {
    let wanted = Wanted {
        filters: args.filters.clone(),
        limit: usize::try_from(args.limit).unwrap_or(usize::MAX),
    };
    let first = Snapshot::read(&tlo.client(), &wanted, tlo.clock().now()).await?;
    if args.json {
        return output::json(&first.to_json());
    }
    #[cfg(unix)]
    if takes_the_terminal(&args) {
        return live::run(tlo, wanted, args.interval, first).await;
    }
    print(&first)
}

/// The numbers, and all tasks that were read, the newest first.
fn print(snapshot: &Snapshot) -> Result<()> {
    let counts = TaskStatus::ALL.map(|status| {
        vec![
            Cell::from(snapshot.count(&[status])),
            Cell::of_status(status, status.as_str()),
        ]
    });
    output::table(&["TASKS", "STATUS"], &counts)?;
    let records = snapshot.merged();
    if records.is_empty() {
        return Ok(());
    }
    output::line("")?;
    list::print(&records)?;
    if snapshot.more {
        output::say("there are more tasks than are shown: --limit shows more of them");
    }
    Ok(())
}
