//! `tlo peek`.

use clap::Args;

use super::steer::Known;
use crate::cli::output;
use crate::cli::output::{Cell, ListFormat};
use crate::client::Target;
use crate::context::TloContext;
use crate::error::Result;

/// Which queue to look at.
#[derive(Args, Clone, Debug)]
pub(crate) struct PeekArgs {
    /// The queue
    #[arg(default_value = "default")]
    queue: String,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    #[command(flatten)]
    format: ListFormat,
}

/// Prints what starts next in a queue, in its order.
///
/// # Errors
/// `NotFound` for a queue that nobody knows, with the nearest.
pub(super) async fn run(tlo: &TloContext, args: &PeekArgs) -> Result<()> {
    let client = tlo.client();
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let page = client.peek(&args.queue, limit).await?;
    if page.items.is_empty()
        && let Some(error) = Known::of(tlo).await?.no_queue(&args.queue)
    {
        return Err(error);
    }
    if args.format.is_json() {
        let json = page.items.iter().map(|item| item.record.to_json());
        args.format.print(&json.collect::<Vec<_>>())?;
    } else if page.items.is_empty() {
        let queue = output::one_line(&args.queue);
        output::say(&format!("nothing is ready in the queue \"{queue}\""));
    } else {
        let rows: Vec<_> = page
            .items
            .iter()
            .map(|item| {
                let record = &item.record;
                vec![
                    Cell::from(record.id.as_str()),
                    Cell::from(&record.name),
                    Cell::from(record.priority.to_string()),
                    Cell::from(output::instant(Some(record.run_at))),
                ]
            })
            .collect();
        output::table(&["ID", "NAME", "PRIORITY", "DUE"], &rows)?;
    }
    let queue = Target::Queue(args.queue.clone());
    if let Some(pause) = client
        .paused()
        .await?
        .iter()
        .find(|one| one.target == queue)
    {
        let why = pause.reason.as_deref().unwrap_or("no reason given");
        output::say(&output::one_line(&format!("the {queue} is paused: {why}")));
    }
    if !page.complete {
        output::say("more tasks wait than are looked at: others may come before these");
    }
    Ok(())
}
