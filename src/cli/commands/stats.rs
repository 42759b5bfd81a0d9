//! `tlo stats`.

use clap::Args;

use crate::cli::output;
use crate::cli::output::Cell;
use crate::client::Client;
use crate::error::Result;
use crate::store::Counts;
use crate::task::TaskStatus;

/// How to print the numbers.
#[derive(Args, Clone, Debug)]
pub(crate) struct StatsArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints how many tasks there are, by status, queue, name and error.
///
/// # Errors
/// Those of the store.
pub(crate) async fn run(client: &Client, args: StatsArgs) -> Result<()> {
    let stats = client.stats().await?;
    if args.json {
        return output::json(&stats);
    }
    let statuses = TaskStatus::ALL.map(|status| {
        vec![
            Cell::from(stats.statuses.of(status.as_str()).to_string()),
            Cell::of_status(status, status.as_str()),
        ]
    });
    output::table(&["TASKS", "STATUS"], &statuses)?;
    part("UNFINISHED", "QUEUE", &stats.queues)?;
    part("TASKS", "NAME", &stats.names)?;
    part("FAILED", "ERROR", &stats.error_groups)?;
    let all = [
        &stats.statuses,
        &stats.queues,
        &stats.names,
        &stats.error_groups,
    ];
    if all.iter().any(|counts| !counts.complete) {
        output::say("there are more tasks than are counted at once: the numbers are lower bounds");
    }
    Ok(())
}

fn part(count: &str, label: &str, counts: &Counts) -> Result<()> {
    if counts.groups.is_empty() {
        return Ok(());
    }
    output::line("")?;
    let mut rows: Vec<_> = counts.groups.iter().collect();
    rows.sort_by(|(left, n), (right, m)| m.cmp(n).then(left.cmp(right)));
    let rows: Vec<_> = rows
        .into_iter()
        .map(|(group, n)| vec![Cell::from(n.to_string()), Cell::from(group)])
        .collect();
    output::table(&[count, label], &rows)
}
