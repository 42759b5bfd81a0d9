//! `tlo why`.

use clap::Args;

use crate::cli::output;
use crate::client::Client;
use crate::error::Result;

/// About what to ask.
#[derive(Args, Clone, Debug)]
pub(crate) struct WhyArgs {
    /// The id of a task or its beginning, a slot such as nightly@2026-11-20T10:00:00Z, or the name of a schedule
    subject: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the chain of decisions about a task or a slot.
///
/// # Errors
/// `NotFound` for what is not there, with the nearest; `Conflict` for a beginning that several ids have.
pub(crate) async fn run(client: &Client, args: &WhyArgs) -> Result<()> {
    let why = client.why(&args.subject).await?;
    if args.json {
        return output::json(&why);
    }
    output::lines(&why.to_string()).try_for_each(|line| output::line(&line))
}
