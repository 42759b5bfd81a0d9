//! Which task names are known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::control::all_marks;
use super::{Client, Declaration};
use crate::error::{Error, ErrorKind, Result};
use crate::schedule::nearest::hint;
use crate::store::SharedStore;
use crate::task::TaskDef;

/// Marks of this prefix are written by live workers on shared stores; they go away by themselves.
pub(crate) const WORKER_MARK: &str = "worker/";

/// What a worker says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// The process.
    pub pid: u32,
    /// The version of TLO.
    pub version: String,
    /// The queues it serves.
    pub queues: Vec<String>,
    /// The task names it has handlers for.
    pub names: Vec<String>,
    /// The versions it has handlers for, by name; a name of which it has none but the one without a version is not in it.
    /// `None` when the worker does not say: then it may have any.
    #[serde(default)]
    pub versions: Option<BTreeMap<String, BTreeSet<String>>>,
    /// Tasks it runs at once, at most.
    pub concurrency: usize,
    /// The limits that it declares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declares: Option<Declaration>,
}

impl WorkerInfo {
    /// Whether it runs records of this name and version; those without a version run with any.
    pub(crate) fn runs(&self, name: &str, version: Option<&str>) -> bool {
        self.names.iter().any(|known| known == name)
            && version.is_none_or(|version| {
                self.versions
                    .as_ref()
                    .is_none_or(|all| all.get(name).is_some_and(|has| has.contains(version)))
            })
    }
}

impl Client {
    /// The definition of a name: registered, declared, an alias, or advertised by a live worker. A version that is not
    /// registered here and runs elsewhere is defined as the name is here.
    pub(super) async fn definition(
        &self,
        name: &str,
        version: Option<&str>,
        allow_unknown: bool,
    ) -> Result<Arc<TaskDef>> {
        crate::id::check_name("a task name", name)?;
        let registry = &self.0.registry;
        let found = match version {
            Some(_) => registry.get_version(name, version).await?,
            None => registry.get(name).await?,
        };
        if let Some(def) = found {
            return Ok(def);
        }
        let all = registry.list().await?;
        let workers = self.workers().await?;
        let runs = |name: &str| workers.iter().any(|(_, worker)| worker.runs(name, version));
        let registered = registry.get(name).await?;
        // An alias stands for its name, unless what runs elsewhere goes by the alias.
        let own = registered.as_ref().map_or(name, |def| &def.name);
        let wanted = [own, name].into_iter().find(|name| runs(name));
        if let Some(wanted) = wanted.or_else(|| allow_unknown.then_some(own)) {
            let mut def = match &registered {
                Some(known) => TaskDef::clone(known),
                None => TaskDef::new(wanted),
            };
            if *def.name != *wanted {
                def.name = Arc::from(wanted);
            }
            def.version = version.map(Arc::from);
            return Ok(Arc::new(def));
        }
        if let Some(version) = version {
            let there = versions_of([own, name], &all, &workers);
            if !there.is_empty() {
                return Err(unknown_version(own, version, &there));
            }
        }
        let mut known: Vec<Arc<str>> = all.iter().map(|def| Arc::clone(&def.name)).collect();
        known.extend(
            workers
                .iter()
                .flat_map(|(_, worker)| worker.names.iter().map(|name| Arc::from(name.as_str()))),
        );
        known.sort();
        known.dedup();
        let names = known.iter().map(|name| &**name);
        let hint = hint(name, names, "known are", "; no task is registered");
        Err(Error::new(
            ErrorKind::UnknownTask,
            "submit",
            format!("no task is named \"{name}\"{hint}"),
        ))
    }

    /// The workers that said lately that they live, by their ids. Only shared stores know of them.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn workers(&self) -> Result<Vec<(String, WorkerInfo)>> {
        live_workers(&self.0.store).await
    }
}

/// The workers that said lately that they live, by id.
pub(crate) async fn live_workers(store: &SharedStore) -> Result<Vec<(String, WorkerInfo)>> {
    let marks = all_marks(store, WORKER_MARK).await?;
    Ok(marks
        .into_iter()
        .filter_map(|mark| {
            Some((
                mark.key[WORKER_MARK.len()..].to_owned(),
                mark.value.decode().ok()?,
            ))
        })
        .collect())
}

/// The versions of a name that are registered here, and then those that run elsewhere, in words.
fn versions_of(
    names: [&str; 2],
    all: &[Arc<TaskDef>],
    workers: &[(String, WorkerInfo)],
) -> Vec<String> {
    let mut there: Vec<String> = Vec::new();
    let mut add = |version: Option<&str>| {
        let shown = version.map_or_else(
            || "one without a version".to_owned(),
            |version| format!("\"{version}\""),
        );
        if !there.contains(&shown) {
            there.push(shown);
        }
    };
    for def in all.iter().filter(|def| names.contains(&&*def.name)) {
        add(def.version.as_deref());
    }
    for (_, worker) in workers {
        for known in worker
            .names
            .iter()
            .filter(|known| names.contains(&&***known))
        {
            match worker.versions.as_ref().and_then(|all| all.get(known)) {
                Some(has) => has.iter().for_each(|version| add(Some(version))),
                None => add(None),
            }
        }
    }
    there
}

fn unknown_version(name: &str, version: &str, there: &[String]) -> Error {
    Error::new(
        ErrorKind::UnknownTask,
        "submit",
        format!(
            "the task \"{name}\" has no version \"{version}\"; there is {}",
            there.join(", ")
        ),
    )
}
