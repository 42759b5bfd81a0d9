//! `tlo doctor`.

mod machine;
mod waiting;

use std::process::ExitCode;

use serde_json::json;

use self::machine::Machine;
use crate::cli::args::DoctorArgs;
use crate::cli::output;
use crate::client::{Client, WorkerInfo};
use crate::context::TloContext;
use crate::error::{ErrorKind, Result};
use crate::page::PageRequest;
use crate::schedule::format_duration;
use crate::store::{Capability, CountBy, Counts, Maintain, Retention, TaskFilter};
use crate::timestamp::Timestamp;

/// Everything that was found out.
struct Findings {
    store: Capability,
    /// What is wrong with what is stored; `None` when nobody looked.
    damage: Option<Vec<String>>,
    /// Records that are set aside.
    unreadable: u64,
    counts: Counts,
    workers: Vec<(String, WorkerInfo)>,
    machine: Machine,
    now: Timestamp,
    warnings: Vec<String>,
}

/// Checks the store and the machine, says what is promised, and warns of what will hurt. The exit code is 1 when something
/// that is stored is damaged.
///
/// # Errors
/// Those of the store.
pub(super) async fn run(tlo: &TloContext, args: &DoctorArgs) -> Result<ExitCode> {
    let found = examine(tlo, args.quick).await?;
    if args.json {
        output::json(&json!({
            "version": env!("CARGO_PKG_VERSION"),
            "config": tlo.loaded().file(),
            "store": store_json(&found.store),
            "damage": found.damage,
            "tasks": found.counts,
            "workers": found.workers.iter().map(|(id, info)| json!({"id": id, "info": info})).collect::<Vec<_>>(),
            "machine": found.machine,
            "now": found.now,
            "warnings": found.warnings,
        }))?;
    } else {
        print(tlo, &found)?;
    }
    let is_damaged = found.unreadable > 0 || found.damage.is_some_and(|faults| !faults.is_empty());
    Ok(ExitCode::from(u8::from(is_damaged)))
}

fn store_json(store: &Capability) -> serde_json::Value {
    let facts: serde_json::Map<_, _> = store
        .facts
        .iter()
        .map(|(label, fact)| ((*label).to_owned(), fact.as_str().into()))
        .collect();
    json!({
        "name": store.name,
        "promise": store.promise,
        "durability": store.durability,
        "shared": store.shared,
        "pushes": store.pushes,
        "poll": format_duration(store.poll),
        "retention": store.retention,
        "facts": facts,
    })
}

async fn examine(tlo: &TloContext, quick: bool) -> Result<Findings> {
    let client = tlo.client();
    // Keeps everything: this only shows that the store takes writes.
    let keep = Retention {
        age: None,
        count: None,
    };
    let kept = tlo
        .store()
        .maintain(Maintain {
            retention: keep,
            limit: 1,
        })
        .await?;
    let damage = if quick {
        None
    } else {
        Some(damage(tlo).await?)
    };
    let counts = client
        .count(&TaskFilter::default(), CountBy::Status)
        .await?;
    let workers = client.workers().await?;
    let now = tlo.clock().now();
    let machine = Machine::examine();
    let mut warnings = machine.warnings(tlo.settings().concurrency);
    warnings.extend(waiting::warnings(tlo, &workers, now, quick).await?);
    warnings.extend(clock_went_back(&client, now).await?);
    if let Some(from) = crate::migration::unfinished(tlo.store()).await? {
        warnings.push(format!(
            "a copy from {from} into this store did not come to its end: give tlo migrate-store again, and use the store \
             for nothing until then"
        ));
    }
    if kept.unreadable > 0 {
        let n = kept.unreadable;
        warnings.push(format!(
            "{n} × a task is set aside because its record cannot be read; it comes back when the record is repaired"
        ));
    }
    warnings.extend(damage.iter().flatten().cloned());
    Ok(Findings {
        store: tlo.store().capability(),
        damage,
        unreadable: kept.unreadable,
        counts,
        workers,
        machine,
        now,
        warnings,
    })
}

/// Reads the whole store. One so damaged that it cannot be read to the end says that.
async fn damage(tlo: &TloContext) -> Result<Vec<String>> {
    match tlo.store().check().await {
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(vec![error.to_string()]),
        checked => checked,
    }
}

/// A record of the future says that the clock was set back: schedules would wait for it.
async fn clock_went_back(client: &Client, now: Timestamp) -> Result<Option<String>> {
    let newest = PageRequest {
        newest_first: true,
        ..PageRequest::first(1)
    };
    let page = client.list(&TaskFilter::default(), newest).await?;
    let ahead = page.items.first().map(|item| item.record.created_at);
    Ok(ahead.filter(|created| *created > now).map(|created| {
        format!("the clock says {now}, but the newest task was created at {created}: the clock was set back")
    }))
}

fn print(tlo: &TloContext, found: &Findings) -> Result<()> {
    let mut lines = vec![("tlo", env!("CARGO_PKG_VERSION").to_owned())];
    let config = tlo
        .loaded()
        .file()
        .map_or_else(|| "none".to_owned(), |file| file.display().to_string());
    lines.push(("jobs file", config));
    lines.push((
        "store",
        format!("{}: {}", found.store.name, found.store.promise),
    ));
    lines.extend(
        found
            .store
            .facts
            .iter()
            .map(|(label, fact)| (*label, fact.clone())),
    );
    let integrity = match &found.damage {
        None => "not looked at".to_owned(),
        Some(damage) if damage.is_empty() => "everything was read, nothing is wrong".to_owned(),
        Some(damage) => format!(
            "DAMAGED: {}, see the warnings",
            output::counted(damage.len(), "fault")
        ),
    };
    lines.push(("integrity", integrity));
    lines.push(("keeps", kept(tlo)));
    lines.push(("tasks", tally(&found.counts)));
    for (id, worker) in &found.workers {
        lines.push((
            "worker",
            format!(
                "{id}, pid {}, {} at once, queues {}, {}",
                worker.pid,
                worker.concurrency,
                worker.queues.join(", "),
                output::counted(worker.names.len(), "name"),
            ),
        ));
    }
    if found.workers.is_empty() {
        lines.push(("worker", "none is running on this store".to_owned()));
    }
    lines.extend(found.machine.lines());
    lines.push(("clock", found.now.to_string()));
    let warnings = found.warnings.iter();
    lines.extend(warnings.map(|warning| ("WARNING", warning.clone())));
    for line in aligned(&lines) {
        output::line(&line)?;
    }
    if found.warnings.is_empty() {
        output::say("all is well");
    }
    Ok(())
}

/// The width of labels, unless one is longer.
const COLUMN: usize = 12;

/// Labels and what is said of each, below each other.
fn aligned(lines: &[(&str, String)]) -> Vec<String> {
    let width = lines.iter().map(|(label, _)| label.len()).max();
    let width = width.unwrap_or_default().max(COLUMN);
    lines
        .iter()
        .map(|(label, text)| format!("{label:<width$} {}", output::one_line(text)))
        .collect()
}

fn kept(tlo: &TloContext) -> String {
    let retention = tlo
        .settings()
        .retention
        .over(tlo.store().capability().retention);
    let age = retention.age.map(format_duration);
    match (age, retention.count) {
        (None, None) => "finished tasks for ever".to_owned(),
        (Some(age), None) => format!("finished tasks for {age}"),
        (None, Some(count)) => format!("the newest {count} finished tasks"),
        (Some(age), Some(count)) => format!("finished tasks for {age}, at most {count}"),
    }
}

fn tally(counts: &Counts) -> String {
    if counts.groups.is_empty() {
        return "none".to_owned();
    }
    let at_least = if counts.complete { "" } else { "at least " };
    let parts: Vec<_> = counts
        .groups
        .iter()
        .map(|(status, n)| format!("{n} {status}"))
        .collect();
    format!("{at_least}{}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_any_length_stand_in_one_column() {
        let lines = [
            ("fsync", "on".to_owned()),
            ("synchronous_commit", "on".to_owned()),
        ];
        assert_eq!(
            aligned(&lines),
            ["fsync              on", "synchronous_commit on"]
        );
    }
}
