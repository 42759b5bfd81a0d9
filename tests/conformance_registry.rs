//! The conformance suite over the registry in memory, and over registries with a bug that it must catch.
#![cfg(feature = "testing")]
#![allow(
    clippy::print_stdout,
    reason = "the table of cases is what the run is for"
)]

use std::sync::Arc;

use parking_lot::Mutex;
use tlo::Result;
use tlo::registry::{InMemoryTaskRegistry, TaskRegistry};
use tlo::task::TaskDef;
use tlo::testing::conformance::{self, Options, RegistryFactory};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Bug {
    None,
    LastOneWins,
    NotChecked,
    AliasesForgotten,
    VersionsRefused,
    FirstVersionWins,
    Sorted,
    RemovesAliases,
    RemovesOneVersion,
    NamesFolded,
    SchedulesTwice,
    PayloadsTidiedUp,
}

const BUGS: [Bug; 11] = [
    Bug::LastOneWins,
    Bug::NotChecked,
    Bug::AliasesForgotten,
    Bug::VersionsRefused,
    Bug::FirstVersionWins,
    Bug::Sorted,
    Bug::RemovesAliases,
    Bug::RemovesOneVersion,
    Bug::NamesFolded,
    Bug::SchedulesTwice,
    Bug::PayloadsTidiedUp,
];

/// A registry that works, with one bug before it.
#[derive(Debug)]
struct Planted {
    inner: Mutex<Arc<InMemoryTaskRegistry>>,
    bug: Bug,
}

impl Planted {
    fn inner(&self) -> Arc<InMemoryTaskRegistry> {
        Arc::clone(&self.inner.lock())
    }

    /// Registers these definitions anew.
    async fn replace(&self, defs: Vec<Arc<TaskDef>>) -> Result<()> {
        let anew = Arc::new(InMemoryTaskRegistry::default());
        for def in defs {
            anew.put(TaskDef::clone(&def)).await?;
        }
        *self.inner.lock() = anew;
        Ok(())
    }
}

#[async_trait::async_trait]
impl TaskRegistry for Planted {
    async fn put(&self, mut def: TaskDef) -> Result<()> {
        let inner = self.inner();
        match self.bug {
            Bug::LastOneWins => drop(inner.remove(&def.name).await?),
            Bug::NotChecked if def.max_attempts == Some(0) => def.max_attempts = None,
            Bug::AliasesForgotten => def.aliases.clear(),
            Bug::VersionsRefused if inner.get(&def.name).await?.is_some() => def.version = None,
            Bug::NamesFolded => def.name = def.name.to_lowercase().into(),
            Bug::SchedulesTwice => def.schedule = None,
            Bug::PayloadsTidiedUp => {
                if let Ok(value) = def.args.decode::<serde_json::Value>() {
                    def.args = value.into();
                }
            }
            _ => {}
        }
        inner.put(def).await
    }

    async fn get(&self, name: &str) -> Result<Option<Arc<TaskDef>>> {
        let inner = self.inner();
        if self.bug == Bug::FirstVersionWins {
            let mut all = inner.list().await?.into_iter();
            return Ok(
                all.find(|def| *def.name == *name || def.aliases.iter().any(|a| **a == *name))
            );
        }
        inner.get(name).await
    }

    async fn list(&self) -> Result<Vec<Arc<TaskDef>>> {
        let mut all = self.inner().list().await?;
        if self.bug == Bug::Sorted {
            all.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Ok(all)
    }

    async fn remove(&self, name: &str) -> Result<bool> {
        let inner = self.inner();
        match self.bug {
            Bug::RemovesAliases => match inner.get(name).await? {
                Some(def) => inner.remove(&def.name).await,
                None => Ok(false),
            },
            Bug::RemovesOneVersion => {
                let mut all = inner.list().await?;
                let Some(at) = all.iter().position(|def| *def.name == *name) else {
                    return Ok(false);
                };
                all.remove(at);
                self.replace(all).await?;
                Ok(true)
            }
            _ => inner.remove(name).await,
        }
    }
}

struct Factory(Bug);

#[async_trait::async_trait]
impl RegistryFactory for Factory {
    async fn open(&self, _place: &str) -> Result<Arc<dyn TaskRegistry>> {
        Ok(Arc::new(Planted {
            inner: Mutex::default(),
            bug: self.0,
        }))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_registry_in_memory_keeps_the_contract() {
    let report = conformance::run_registry(&Factory(Bug::None), &Options::default()).await;
    println!("{report}");
    report.assert_ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bug_planted_in_a_registry_is_caught() {
    let mut missed = Vec::new();
    for bug in BUGS {
        let report = conformance::run_registry(&Factory(bug), &Options::shrunk(100)).await;
        let caught: Vec<_> = report.failed().map(|(case, _)| case).collect();
        println!("{bug:?}\n    -> {}", caught.join("\n    -> "));
        if caught.is_empty() {
            missed.push(bug);
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
