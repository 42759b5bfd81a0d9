//! `tlo stats`.

use clap::Args;

use crate::cli::output;
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
            status.to_string(),
            stats.statuses.of(status.as_str()).to_string(),
        ]
    });
    output::table(&["STATUS", "TASKS"], statuses.to_vec())?;
    part("QUEUE", "WAITING OR RUNNING", &stats.queues)?;
    part("NAME", "TASKS", &stats.names)?;
    part("ERROR", "FAILED", &stats.error_groups)
}

fn part(label: &str, count: &str, counts: &Counts) -> Result<()> {
    if counts.groups.is_empty() {
        return Ok(());
    }
    output::line("")?;
    let mut rows: Vec<_> = counts.groups.iter().collect();
    rows.sort_by(|(left, n), (right, m)| m.cmp(n).then(left.cmp(right)));
    output::table(
        &[label, count],
        rows.into_iter()
            .map(|(group, n)| vec![group.clone(), n.to_string()])
            .collect(),
    )
}
