//! Which task names are known.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::schedule::nearest::nearest;
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
    /// Tasks it runs at once, at most.
    pub concurrency: usize,
}

impl Client {
    /// The definition of a name: registered, declared, an alias, or advertised by a live worker.
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
        let advertised = workers
            .iter()
            .any(|(_, worker)| worker.names.iter().any(|known| known == name));
        if allow_unknown || advertised {
            let mut def = TaskDef::new(name);
            def.version = version.map(Arc::from);
            return Ok(Arc::new(def));
        }
        if let (Some(version), Some(known)) = (version, registry.get(name).await?) {
            return Err(unknown_version(&known.name, version, &all));
        }
        let mut known: Vec<Arc<str>> = all.iter().map(|def| Arc::clone(&def.name)).collect();
        known.extend(
            workers
                .iter()
                .flat_map(|(_, worker)| worker.names.iter().map(|name| Arc::from(name.as_str()))),
        );
        known.sort();
        known.dedup();
        let near = nearest(name, known.iter().map(|name| &**name), 1);
        let hint = match near.first() {
            Some(near) => format!("; did you mean \"{near}\"?"),
            None if known.is_empty() => "; no task is registered".to_owned(),
            None => {
                let listed: Vec<_> = known
                    .iter()
                    .take(10)
                    .map(|name| format!("\"{name}\""))
                    .collect();
                format!(
                    "; known are {}{}",
                    listed.join(", "),
                    if known.len() > 10 { ", …" } else { "" }
                )
            }
        };
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
        let marks = self.0.store.marks(WORKER_MARK, None, 1_000).await?;
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
}

fn unknown_version(name: &str, version: &str, all: &[Arc<TaskDef>]) -> Error {
    let versions: Vec<_> = all
        .iter()
        .filter(|def| &*def.name == name)
        .map(|def| match &def.version {
            Some(version) => format!("\"{version}\""),
            None => "one without a version".to_owned(),
        })
        .collect();
    Error::new(
        ErrorKind::UnknownTask,
        "submit",
        format!(
            "the task \"{name}\" has no version \"{version}\"; there is {}",
            versions.join(", ")
        ),
    )
}
