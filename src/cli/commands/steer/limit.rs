//! `tlo limit`.

use clap::Args;
use serde_json::json;

use super::gates::TargetArgs;
use crate::cli::args::parsed;
use crate::cli::output;
use crate::cli::output::{Cell, ListFormat};
use crate::client::{LimitChange, Limits};
use crate::context::TloContext;
use crate::error::Result;
use crate::store::Change;
use crate::task::Rate;

/// What to limit and how; nothing lists the limits.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct LimitArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// So many run at once, at most, on all workers together; none takes the limit away
    #[arg(long, value_name = "N", requires = "kind", value_parser = limit::<u32>)]
    max: Option<Limit<u32>>,
    /// How often they start, such as 10/1m or 5/s, with the most at once after a quiet time: 10/1m/20; none takes it away
    #[arg(long, value_name = "RATE", requires = "kind", value_parser = rate)]
    rate: Option<Limit<Rate>>,
    /// For a queue: refuse a submit when so many wait; none takes the limit away
    #[arg(long, value_name = "N", requires = "kind", value_parser = limit::<u64>)]
    max_depth: Option<Limit<u64>>,
    /// Take all its limits away
    #[arg(long, requires = "kind", conflicts_with_all = ["max", "rate", "max_depth"])]
    clear: bool,
    /// Why; it is kept in `tlo audit`
    #[arg(long, value_name = "TEXT", requires = "kind")]
    reason: Option<String>,
    #[command(flatten)]
    format: ListFormat,
}

/// A limit to set, or none.
#[derive(Clone, Copy, Debug)]
struct Limit<T>(Option<T>);

/// Changes limits, or shows them.
///
/// # Errors
/// `NotFound` for a queue or a task that nobody knows; `Invalid` for a limit that lets nothing through.
pub(in crate::cli::commands) async fn run(tlo: &TloContext, args: LimitArgs) -> Result<()> {
    let Some(target) = args.target.target(tlo).await? else {
        return list(tlo, args.format).await;
    };
    let change = if args.clear {
        LimitChange::clear()
    } else {
        LimitChange {
            max: change(args.max),
            rate: change(args.rate),
            max_depth: change(args.max_depth),
        }
    };
    let client = super::client(tlo);
    let now: Limits = client
        .limit(&target, change, args.reason.as_deref())
        .await?;
    if args.format.is_json() {
        return output::json(&json!({"target": target, "limits": now}));
    }
    let shown = output::one_line(&target.to_string());
    output::line(&format!("{shown}: {now}"))
}

async fn list(tlo: &TloContext, format: ListFormat) -> Result<()> {
    let limits = tlo.client().limits().await?;
    if format.is_json() {
        return format.print(&limits);
    }
    if limits.is_empty() {
        output::say("nothing has a limit but what the tasks carry themselves");
        return Ok(());
    }
    let rows: Vec<_> = limits
        .iter()
        .map(|one| {
            vec![
                Cell::from(one.target.kind()),
                Cell::from(one.target.name()),
                Cell::from(one.limits.to_string()),
                Cell::from(output::instant(Some(one.since))),
                Cell::from(one.declared_by.as_deref().unwrap_or("-")),
            ]
        })
        .collect();
    output::table(&["LIMITED", "NAME", "LIMIT", "SINCE", "FILE"], &rows)
}

fn change<T>(limit: Option<Limit<T>>) -> Change<Option<T>> {
    limit.map_or(Change::Keep, |Limit(limit)| Change::Set(limit))
}

fn limit<T: std::str::FromStr>(text: &str) -> std::result::Result<Limit<T>, String> {
    match text {
        "none" => Ok(Limit(None)),
        text => text
            .parse()
            .map(|limit| Limit(Some(limit)))
            .map_err(|_| "a whole number, or none".to_owned()),
    }
}

fn rate(text: &str) -> std::result::Result<Limit<Rate>, String> {
    match text {
        "none" => Ok(Limit(None)),
        text => parsed::<Rate>(text).map(|rate| Limit(Some(rate))),
    }
}
