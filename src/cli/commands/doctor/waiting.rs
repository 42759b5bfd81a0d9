//! Tasks that wait for a worker, and why none comes.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cli::output;
use crate::client::WorkerInfo;
use crate::context::TloContext;
use crate::error::Result;
use crate::id::TaskId;
use crate::page::{PAGE_LIMIT, PageRequest};
use crate::schedule::short_duration;
use crate::store::{CountBy, SCAN_LIMIT, TaskFilter};
use crate::task::{TaskStateRecord, TaskStatus};
use crate::timestamp::Timestamp;

/// What a walk over the waiting tasks found.
#[derive(Default)]
struct Waiting {
    /// The one that has been due for longest.
    oldest: Option<(Timestamp, TaskId)>,
    /// How many wait for a version, by name and version.
    versions: BTreeMap<(Arc<str>, Arc<str>), u64>,
}

/// Warns of tasks whose name or version nobody knows, and of those that are due while no worker runs. When it has to be
/// `quick`, only the first 10,000 are looked at.
///
/// # Errors
/// Those of the store and of the registry.
pub(super) async fn warnings(
    tlo: &TloContext,
    workers: &[(String, WorkerInfo)],
    now: Timestamp,
    quick: bool,
) -> Result<Vec<String>> {
    let client = tlo.client();
    let pending = TaskFilter::status([TaskStatus::Pending]);
    let names = client.count(&pending, CountBy::Name).await?.groups;
    let mut warnings = Vec::new();
    for (name, n) in &names {
        let here = tlo.registry().get(name).await?.is_some();
        let elsewhere = workers.iter().any(|(_, worker)| worker.runs(name, None));
        if !here && !elsewhere {
            let name = output::one_line(name);
            warnings.push(format!(
                "{n} × \"{name}\" waits for a worker that knows the name"
            ));
        }
    }
    let waiting = walk(tlo, &pending, now, quick).await?;
    for ((name, version), n) in &waiting.versions {
        let registry = tlo.registry();
        let is_named = registry.get(name).await?.is_some()
            || workers.iter().any(|(_, worker)| worker.runs(name, None));
        let is_run = registry.get_version(name, Some(version)).await?.is_some()
            || workers
                .iter()
                .any(|(_, worker)| worker.runs(name, Some(version)));
        // An unknown name was told of already.
        if is_named && !is_run {
            warnings.push(format!(
                "{n} × \"{}\" waits for a worker that has its version \"{}\"",
                output::one_line(name),
                output::one_line(version)
            ));
        }
    }
    if let (true, Some((since, id))) = (workers.is_empty(), waiting.oldest) {
        warnings.push(format!(
            "no worker is running, and \"{}\" has been due for {}: start one with `tlo run`",
            output::one_line(id.as_str()),
            short_duration(now.since(since))
        ));
    }
    Ok(warnings)
}

async fn walk(
    tlo: &TloContext,
    pending: &TaskFilter,
    now: Timestamp,
    quick: bool,
) -> Result<Waiting> {
    let client = tlo.client();
    let mut waiting = Waiting::default();
    let mut page = PageRequest::first(PAGE_LIMIT);
    let mut seen = 0;
    loop {
        let found = client.list(pending, page).await?;
        seen += found.items.len();
        for item in found.items {
            waiting.note(&item.record, now);
        }
        page.after = found.next;
        if page.after.is_none() || (quick && seen >= SCAN_LIMIT) {
            return Ok(waiting);
        }
    }
}

impl Waiting {
    fn note(&mut self, record: &TaskStateRecord, now: Timestamp) {
        if let Some(version) = &record.version {
            let key = (Arc::clone(&record.name), Arc::clone(version));
            *self.versions.entry(key).or_default() += 1;
        }
        let longest = self.oldest.as_ref().map_or(now, |(since, _)| *since);
        if record.run_at < longest || (self.oldest.is_none() && record.run_at == now) {
            self.oldest = Some((record.run_at, record.id.clone()));
        }
    }
}
