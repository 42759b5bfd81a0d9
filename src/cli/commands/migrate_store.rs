//! `tlo migrate-store`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::cli::output::{Cell, counted};
use crate::cli::{exit, output, program};
use crate::clock::{Clock, SystemClock};
use crate::context::TloContextBuilder;
use crate::error::{Error, ErrorKind, Result};
use crate::migration::{Migration, MigrationReport, Step, Tally};
use crate::settings::PluginAddress;
use crate::store::{Durability, SharedStore};

/// Stores whose address names a file; every other one is asked for as it is written.
const FILES: [&str; 3] = ["sqlite", "lmdb", "jsonl"];

/// How often it says how far it is.
const EVERY: Duration = Duration::from_secs(5);

/// Which stores.
#[derive(Args, Clone, Debug)]
pub(crate) struct MigrateStoreArgs {
    /// Where tasks live now, as TLO_TASK_STATE_STORE says it
    from: PluginAddress,
    /// Where they shall live; empty, or where the same command did not come to its end
    to: PluginAddress,
    /// Say what would be copied, and copy nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn wrong(kind: ErrorKind, message: String) -> Error {
    Error::new(kind, "migrate", message)
}

/// Copies everything from one store to another, or what is left of it, and says whether both hold the same.
///
/// # Errors
/// `Invalid` for stores that cannot be meant, `NotFound` for a file that is not there, those of opening the stores, and
/// those of [`Migration::run`].
pub(crate) async fn run(
    config: Option<&Path>,
    args: &MigrateStoreArgs,
    context: &TloContextBuilder,
) -> Result<ExitCode> {
    let (from, to) = (name(&args.from)?, name(&args.to)?);
    if from == to {
        let message =
            format!("{from} is the store to copy from and to; name another one to copy to");
        return Err(wrong(ErrorKind::Invalid, message));
    }
    if file(&args.from).is_some_and(|path| !path.exists()) {
        return Err(wrong(ErrorKind::NotFound, format!("there is no {from}")));
    }
    let source = open(config, context, "FROM", &args.from).await?;
    let target = match file(&args.to).filter(|path| args.dry_run && !path.exists()) {
        // It would be made.
        Some(_) => Arc::<crate::MemoryStore>::default(),
        None => open(config, context, "TO", &args.to).await?,
    };
    let migration = Migration::between(source, target).named(&*from, &*to);
    if args.dry_run {
        let tally = migration.look().await?;
        return dry_run(args, &from, &to, &tally).map(|()| ExitCode::SUCCESS);
    }
    let said = Mutex::new(SystemClock.steady().at);
    let migration = migration.watch(move |step| tell(step, &said));
    let report = migration.run().await?;
    if args.json {
        output::json(&as_json(&from, &to, &report))?;
    } else {
        table(&[("FROM", &report.from), ("TO", &report.to)])?;
    }
    let Some(error) = fault(&from, &to, &report) else {
        let address = whole(&args.to)?;
        say_how_to_go_on(&from, &address, &report);
        return Ok(ExitCode::SUCCESS);
    };
    output::error(&error);
    Ok(ExitCode::from(exit::code(&error)))
}

/// The file of a store that is named by one: `sqlite:tlo.db`, `sqlite:///var/tlo.db`.
fn file(address: &PluginAddress) -> Option<&Path> {
    let is_file = FILES
        .iter()
        .any(|kind| address.name().eq_ignore_ascii_case(kind));
    address.path().filter(|_| is_file).map(Path::new)
}

/// A store as it is called wherever the command is given again, its secrets hidden.
fn name(address: &PluginAddress) -> Result<String> {
    Ok(whole(address)?.to_string())
}

/// The address, from wherever it is looked at.
fn whole(address: &PluginAddress) -> Result<PluginAddress> {
    let Some(path) = file(address) else {
        return Ok(address.clone());
    };
    let found = path.canonicalize().or_else(|_| std::path::absolute(path));
    let found = found.map_err(|source| {
        let message = format!("\"{address}\" names no file: {source}");
        wrong(ErrorKind::Invalid, message)
    })?;
    let whole = format!("{}:{}", address.name().to_lowercase(), found.display());
    Ok(PluginAddress::from(whole))
}

async fn open(
    config: Option<&Path>,
    context: &TloContextBuilder,
    origin: &str,
    address: &PluginAddress,
) -> Result<SharedStore> {
    let store = program::open_store(config, context, origin, address).await?;
    if store.capability().durability == Durability::None {
        let message = format!(
            "{origin} is \"{address}\", which lives in this process and ends with it; name a store that stays, such as \
             sqlite:tlo.db"
        );
        return Err(wrong(ErrorKind::Invalid, message));
    }
    Ok(store)
}

fn tell(step: Step, said: &Mutex<Duration>) {
    let now = SystemClock.steady().at;
    let mut said = said.lock();
    let is_last = step == Step::Comparing;
    if !is_last && now < *said + EVERY {
        return;
    }
    *said = now;
    match step {
        Step::Records { done, of } => output::say(&format!("copied {done} of {of} tasks")),
        Step::Holdings(done) => {
            output::say(&format!("copied the tasks, and {done} streams and keys"));
        }
        Step::Comparing => {
            output::say("all is copied; reading both sides once more to compare them");
        }
    }
}

/// A column for each side.
fn table(sides: &[(&str, &Tally)]) -> Result<()> {
    let row = |label: &str, of: &dyn Fn(&Tally) -> String| {
        let numbers = sides.iter().map(|(_, tally)| Cell::from(of(tally)));
        let mut row: Vec<Cell> = numbers.collect();
        row.push(Cell::from(label));
        row
    };
    let mut rows = vec![row("tasks", &|tally| tally.records.to_string())];
    let mut groups: Vec<_> = sides
        .iter()
        .flat_map(|(_, tally)| tally.groups.keys())
        .collect();
    groups.sort();
    groups.dedup();
    for group in groups {
        let label = format!("  {} in queue {}", group.status, group.queue);
        rows.push(row(&label, &|tally| {
            tally.groups.get(group).copied().unwrap_or(0).to_string()
        }));
    }
    rows.push(row("streams", &|tally| tally.streams.to_string()));
    rows.push(row("events", &|tally| tally.events.to_string()));
    rows.push(row("marks", &|tally| tally.marks.to_string()));
    rows.push(row("unique keys", &|tally| tally.keys.to_string()));
    rows.push(row("checksum", &Tally::checksum));
    let mut head: Vec<&str> = sides.iter().map(|(name, _)| *name).collect();
    head.push("WHAT");
    output::table(&head, &rows)
}

fn dry_run(args: &MigrateStoreArgs, from: &str, to: &str, tally: &Tally) -> Result<()> {
    if args.json {
        return output::json(&json!({
            "dry_run": true,
            "from": side(from, tally),
            "to": { "store": to },
        }));
    }
    table(&[("FROM", tally)])?;
    output::say(&format!(
        "nothing is in the way of copying this from {from} to {to}"
    ));
    Ok(())
}

fn side(name: &str, tally: &Tally) -> Value {
    let groups: Vec<_> = tally
        .groups
        .iter()
        .map(|(group, n)| json!({"queue": group.queue, "status": group.status, "tasks": n}))
        .collect();
    json!({
        "store": name,
        "tasks": tally.records,
        "groups": groups,
        "streams": tally.streams,
        "events": tally.events,
        "marks": tally.marks,
        "keys": tally.keys,
        "checksum": tally.checksum(),
    })
}

fn as_json(from: &str, to: &str, report: &MigrationReport) -> Value {
    json!({
        "from": side(from, &report.from),
        "to": side(to, &report.to),
        "agrees": report.agrees(),
        "resumed": report.resumed,
        "unreadable": report.unreadable,
        "missing": report.differences.missing,
        "differ": report.differences.differ,
        "extra": report.differences.extra,
    })
}

/// What keeps the two from being the same.
fn fault(from: &str, to: &str, report: &MigrationReport) -> Option<Error> {
    if report.agrees() {
        return None;
    }
    if report.from == report.to {
        let message = format!(
            "{} of {from} cannot be read and was not copied: {}; all else is in {to}, and the copy is finished",
            counted(report.unreadable.len(), "row"),
            report.unreadable.join("; ")
        );
        return Some(wrong(ErrorKind::Corrupt, message));
    }
    let differences = &report.differences;
    let parts = [
        (&differences.missing, "missing there"),
        (&differences.differ, "not the same there"),
        (&differences.extra, "only there"),
    ];
    let named: Vec<_> = parts
        .into_iter()
        .filter(|(ids, _)| !ids.is_empty())
        .map(|(ids, what)| format!("{what}: {}", ids.join(", ")))
        .collect();
    let named = match named.is_empty() {
        true => "the tasks are the same, what belongs to them is not".to_owned(),
        false => named.join("; "),
    };
    let message = format!(
        "{to} does not hold what {from} holds ({named}); when {from} was used meanwhile, stop whoever does, and copy again \
         to an empty store: another one, or this one after its file was removed, its schema dropped, or the keys of its \
         namespace deleted"
    );
    Some(wrong(ErrorKind::Conflict, message))
}

fn say_how_to_go_on(from: &str, address: &PluginAddress, report: &MigrationReport) {
    let to = address.to_string();
    if report.from == Tally::default() {
        output::say(&format!("{from} holds nothing; {to} holds the same"));
        return;
    }
    let again = if report.resumed {
        " (it went on where an earlier one ended)"
    } else {
        ""
    };
    // Where secrets are hidden it cannot be given again as it stands here.
    let go_on = if address.url() == Some(&*to) {
        format!(
            "Go on there:\n\n  TLO_TASK_STATE_STORE='{to}' tlo run\n\nor write task_state_store = \"{to}\" to the jobs file."
        )
    } else {
        "Go on there: set TLO_TASK_STATE_STORE, or task_state_store in the jobs file, to the address you gave as TO, and \
         start tlo run."
            .to_owned()
    };
    output::say(&format!(
        "{to} holds all that {from} holds{again}. {go_on} {from} is as it was: keep it until all is well, and run nothing \
         on it."
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_in_no_name() {
        for (address, shown) in [
            (
                "postgres:///app?host=/run/x&password=secret",
                "postgres:///app?host=/run/x&password=***",
            ),
            (
                "postgres:host=h password=secret",
                "postgres:host=h password=***",
            ),
            ("redis://me:secret@h/0", "redis://me:***@h/0"),
            (
                "my_app.Dynamo:/x?token=secret",
                "my_app.Dynamo:/x?token=***",
            ),
            (
                "jsonl:/nowhere/a?token=secret",
                "jsonl:/nowhere/a?token=***",
            ),
            ("SQLite:///nowhere/tlo.db", "sqlite:/nowhere/tlo.db"),
        ] {
            assert_eq!(name(&PluginAddress::from(address)).unwrap(), shown);
        }
        for server in [
            "postgres:///app",
            "redis:///0",
            "my_app.Dynamo:x",
            "sqlite",
            "lmdb:",
        ] {
            assert_eq!(file(&PluginAddress::from(server)), None, "{server}");
        }
    }
}
