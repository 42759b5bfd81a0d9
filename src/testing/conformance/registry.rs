//! Trying the contract of [`TaskRegistry`] on a registry of yours.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;

use super::bench::CaseResult;
use super::{Line, Options, Report, judged, registry_cases};
use crate::clock::{Clock, SystemClock};
use crate::registry::TaskRegistry;

/// Opens the registries that [`run_registry`] tries.
///
/// ```
/// use std::sync::Arc;
/// use tlo::registry::{InMemoryTaskRegistry, TaskRegistry};
/// use tlo::testing::conformance::{self, Options, RegistryFactory};
///
/// struct Memory;
///
/// #[async_trait::async_trait]
/// impl RegistryFactory for Memory {
///     async fn open(&self, _place: &str) -> tlo::Result<Arc<dyn TaskRegistry>> {
///         Ok(Arc::new(InMemoryTaskRegistry::default()))
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// conformance::run_registry(&Memory, &Options::default()).await.assert_ok();
/// # });
/// ```
#[async_trait]
pub trait RegistryFactory: Send + Sync {
    /// Opens the registry of a place, which is empty: each case has one of its own.
    ///
    /// # Errors
    /// When it cannot be opened; the case that needed it fails.
    async fn open(&self, place: &str) -> crate::Result<Arc<dyn TaskRegistry>>;

    /// Removes what a place holds; called after each case.
    async fn discard(&self, _place: &str) {}
}

pub(super) type Registry = Arc<dyn TaskRegistry>;
type Running = Pin<Box<dyn Future<Output = CaseResult> + Send>>;

/// One case: a sentence of the contract and how it is tried on an empty registry, this many times smaller.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) run: fn(Registry, usize) -> Running,
}

/// Lists the cases.
macro_rules! cases {
    ($($name:ident,)*) => {
        pub(super) const CASES: &[super::registry::Case] = &[$(super::registry::Case {
            name: stringify!($name),
            run: |registry, shrink| Box::pin($name(registry, shrink)),
        }),*];
    };
}

pub(super) use cases;

/// Tries every sentence of the contract of [`TaskRegistry`], each on a registry of its own, and reports how each went.
pub async fn run_registry(factory: &dyn RegistryFactory, options: &Options) -> Report {
    let mut report = Report::default();
    for case in registry_cases::CASES {
        let wanted = |text: &String| "registry".contains(text) || case.name.contains(text);
        if !options.only.as_ref().is_none_or(wanted) {
            continue;
        }
        let begun = SystemClock.steady().at;
        let tried = async {
            let registry = factory.open(case.name).await?;
            let done = (case.run)(registry, options.shrink.max(1)).await;
            factory.discard(case.name).await;
            done
        };
        report.lines.push(Line {
            area: "registry",
            name: case.name,
            verdict: judged(options.deadline, "registry", tried).await,
            took: SystemClock.steady().at.saturating_sub(begun),
        });
        let failed = report.failed().count();
        if options.stop_after.is_some_and(|most| failed >= most) {
            break;
        }
    }
    report
}
