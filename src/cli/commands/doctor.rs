//! `tlo doctor`.

use std::collections::BTreeMap;

use serde_json::json;

use crate::cli::args::DoctorArgs;
use crate::cli::output;
use crate::context::TloContext;
use crate::error::Result;
use crate::schedule::{Schedule, format_duration};
use crate::store::{CountBy, Maintain, Retention, TaskFilter};
use crate::task::TaskStatus;

/// Checks the store and says what it promises.
///
/// # Errors
/// Those of the store.
pub(super) async fn run(tlo: &TloContext, args: &DoctorArgs) -> Result<()> {
    let client = tlo.client();
    let capability = tlo.store().capability();
    // Keeps everything: this only shows that the store takes writes.
    let keep = Retention {
        age: None,
        count: None,
    };
    tlo.store()
        .maintain(Maintain {
            retention: keep,
            limit: 1,
        })
        .await?;
    let counts = client
        .count(&TaskFilter::default(), CountBy::Status)
        .await?;
    let waiting = client
        .count(&TaskFilter::status([TaskStatus::Pending]), CountBy::Name)
        .await?;
    let workers = client.workers().await?;
    let mut unknown = BTreeMap::new();
    for (name, n) in &waiting.groups {
        let here = tlo.registry().get(name).await?.is_some();
        let elsewhere = workers
            .iter()
            .any(|(_, worker)| worker.names.iter().any(|known| known == name));
        if !here && !elsewhere {
            unknown.insert(name.clone(), *n);
        }
    }
    let zones = Schedule::cron_in("0 0 * * *", "Europe/Berlin").is_ok();
    if args.json {
        return output::json(&json!({
            "store": capability,
            "facts": capability.facts,
            "tasks": counts,
            "workers": workers.iter().map(|(id, info)| json!({"id": id, "info": info})).collect::<Vec<_>>(),
            "waiting_for_a_worker": unknown,
            "zones": zones,
        }));
    }
    output::line(&format!("store         {}", capability.name))?;
    output::line(&format!("promise       {}", capability.promise))?;
    for (label, fact) in &capability.facts {
        output::line(&format!("  {label:<12}{fact}"))?;
    }
    let kept = match (capability.retention.age, capability.retention.count) {
        (None, None) => "for ever".to_owned(),
        (age, count) => {
            let age = age
                .map(format_duration)
                .unwrap_or_else(|| "any age".to_owned());
            format!(
                "{age}, at most {}",
                count.map_or_else(|| "any number".to_owned(), |n| n.to_string())
            )
        }
    };
    output::line(&format!("keeps         finished tasks: {kept}"))?;
    output::line(&format!("tasks         {}", tally(&counts.groups)))?;
    output::line(&format!("workers       {}", workers.len()))?;
    output::line(&format!(
        "time zones    {}",
        if zones {
            "known"
        } else {
            "MISSING: no zone data was found"
        }
    ))?;
    for (name, n) in unknown {
        output::line(&format!(
            "waiting       {n} × \"{name}\" for a worker that knows it"
        ))?;
    }
    Ok(())
}

fn tally(groups: &BTreeMap<String, u64>) -> String {
    if groups.is_empty() {
        return "none".to_owned();
    }
    groups
        .iter()
        .map(|(status, n)| format!("{n} {status}"))
        .collect::<Vec<_>>()
        .join(", ")
}
