//! `tlo audit`.

use clap::Args;

use crate::cli::output;
use crate::cli::output::{Cell, ListFormat};
use crate::client::{AuditEvent, Client};
use crate::error::Result;

/// Which events to show.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct AuditArgs {
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Only those before the event of this number, as the last page printed it
    #[arg(long, value_name = "NUMBER")]
    before: Option<u64>,
    #[command(flatten)]
    format: ListFormat,
}

/// Prints who steered what, the newest first.
///
/// # Errors
/// Those of the store.
pub(in crate::cli::commands) async fn run(client: &Client, args: &AuditArgs) -> Result<()> {
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let events = client.audit(args.before, limit).await?;
    if args.format.is_json() {
        args.format.print(&events)?;
    } else if events.is_empty() {
        output::say("nobody has steered anything in the last 90 days");
    } else {
        let rows: Vec<_> = events.iter().map(row).collect();
        output::table(&["WHEN", "WHO", "ACTION", "TASKS", "WHAT", "WHY"], &rows)?;
    }
    if let Some(oldest) = events.last().filter(|_| events.len() == limit)
        && oldest.number > 1
    {
        output::say(&format!("there may be more: --before {}", oldest.number));
    }
    Ok(())
}

fn row(event: &AuditEvent) -> Vec<Cell> {
    let data = &event.data;
    let tasks = match (data.count, data.refused.unwrap_or(0)) {
        (None, _) => "-".to_owned(),
        (Some(count), 0) => count.to_string(),
        (Some(count), refused) => format!("{count} ({refused} refused)"),
    };
    let what = match &data.to {
        Some(to) => format!("{} → {to}", data.target),
        None => data.target.clone(),
    };
    vec![
        Cell::from(output::instant(Some(event.at))),
        Cell::from(data.who.as_deref().unwrap_or("-")),
        Cell::from(&event.action),
        Cell::from(tasks),
        Cell::from(what),
        Cell::from(data.why.as_deref().unwrap_or("-")),
    ]
}
