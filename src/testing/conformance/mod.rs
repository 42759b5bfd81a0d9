//! The conformance suite: one call tries everything that the contract of [`TaskStateStore`](crate::store::TaskStateStore)
//! promises on a store of yours, another what that of [`TaskRegistry`](crate::registry::TaskRegistry) promises on a
//! registry.
//!
//! Implement [`StoreFactory`] for it and call [`run`], or [`RegistryFactory`] and [`run_registry`]. Each case is named after a sentence of the contract.
#![allow(
    clippy::redundant_pattern_matching,
    reason = "`check_matches!` shows what was seen, whatever the shape"
)]

mod bench;
mod factory;
mod report;

mod claims;
mod commits;
mod control;
mod counts;
mod creates;
mod durable;
mod gates;
mod hints;
mod imports;
mod keys;
mod leases;
mod limits;
mod lost;
mod marks;
mod moves;
mod reading;
mod registry;
mod registry_cases;
mod rules;
mod settles;
mod streams;
mod upkeep;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::Duration;

use self::bench::{Bench, CaseResult, Failed};
pub use self::factory::{Feature, StoreFactory};
pub use self::registry::{RegistryFactory, run_registry};
pub use self::report::{Line, Report, Verdict};
use crate::clock::{Clock, SystemClock};

/// How the suite is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Only the cases whose area or name contains this.
    pub only: Option<String>,
    /// A case that takes longer, in real time, has failed.
    pub deadline: Duration,
    /// Cases that need thousands of tasks need this many times fewer; 1 is the full size.
    pub shrink: usize,
    /// Stop after this many failed cases; `None` runs all.
    pub stop_after: Option<usize>,
    /// Only every n-th case, from the k-th on, as `(k, n)` with `k` below `n`: runs side by side share the cases so.
    pub part: Option<(usize, usize)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            only: None,
            deadline: Duration::from_secs(60),
            shrink: 1,
            stop_after: None,
            part: None,
        }
    }
}

impl Options {
    /// A run whose large cases are this many times smaller, for stores that pay for each write and for quick looks.
    #[must_use]
    pub fn shrunk(shrink: usize) -> Self {
        Self {
            shrink,
            ..Self::default()
        }
    }
}

/// One case: a sentence of the contract and how it is tried.
struct Case {
    area: &'static str,
    name: &'static str,
    needs: &'static [Feature],
    run: for<'a> fn(&'a Bench<'a>) -> Pin<Box<dyn Future<Output = CaseResult> + Send + 'a>>,
}

/// Lists the cases of a file.
macro_rules! cases {
    ($area:literal: $($(#[needs($need:ident)])* $name:ident,)*) => {
        pub(super) const CASES: &[super::Case] = &[$(super::Case {
            area: $area,
            name: stringify!($name),
            needs: &[$(super::Feature::$need),*],
            run: |bench| Box::pin($name(bench)),
        }),*];
    };
}
use cases;

const AREAS: &[&[Case]] = &[
    commits::CASES,
    creates::CASES,
    claims::CASES,
    leases::CASES,
    lost::CASES,
    settles::CASES,
    gates::CASES,
    rules::CASES,
    keys::CASES,
    control::CASES,
    streams::CASES,
    marks::CASES,
    reading::CASES,
    counts::CASES,
    limits::CASES,
    upkeep::CASES,
    imports::CASES,
    moves::CASES,
    hints::CASES,
    durable::CASES,
];

/// Runs every case on stores that the factory opens, each case on one of its own, and reports how each went.
pub async fn run(factory: &dyn StoreFactory, options: &Options) -> Report {
    let features = factory.features();
    let mut report = Report::default();
    let (part, of) = options.part.unwrap_or((0, 1));
    let cases = AREAS.iter().flat_map(|cases| cases.iter());
    for case in cases.skip(part).step_by(of.max(1)) {
        let wanted = |text: &String| case.area.contains(text) || case.name.contains(text);
        if !options.only.as_ref().is_none_or(wanted) {
            continue;
        }
        let begun = SystemClock.steady().at;
        let verdict = match case.needs.iter().find(|need| !features.contains(need)) {
            Some(missing) => Verdict::Skipped(missing.missing()),
            None => attempt(factory, options, case).await,
        };
        report.lines.push(Line {
            area: case.area,
            name: case.name,
            verdict,
            took: SystemClock.steady().at.saturating_sub(begun),
        });
        if options
            .stop_after
            .is_some_and(|most| report.failed().count() >= most)
        {
            break;
        }
    }
    report
}

async fn attempt(factory: &dyn StoreFactory, options: &Options, case: &Case) -> Verdict {
    let tried = async {
        let bench = Bench::open(factory, case.name, options.shrink).await?;
        let done = (case.run)(&bench).await;
        let place = bench.close();
        factory.discard(&place).await;
        done
    };
    judged(options.deadline, "store", tried).await
}

async fn judged(
    deadline: Duration,
    what: &str,
    tried: impl Future<Output = CaseResult>,
) -> Verdict {
    let outcome = tokio::select! {
        outcome = without_panic(what, tried) => outcome,
        () = SystemClock.sleep(deadline) => {
            Err(Failed::new(format!("not done after {deadline:?}")))
        }
    };
    match outcome {
        Ok(()) => Verdict::Ok,
        Err(failed) => Verdict::Failed(failed.to_string()),
    }
}

/// A store or registry that panics fails its case and not the run.
async fn without_panic(what: &str, tried: impl Future<Output = CaseResult>) -> CaseResult {
    let mut tried = std::pin::pin!(tried);
    std::future::poll_fn(|context| {
        let poll = AssertUnwindSafe(|| tried.as_mut().poll(context));
        std::panic::catch_unwind(poll).unwrap_or_else(|panic| {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            std::task::Poll::Ready(Err(Failed::new(format!("the {what} panicked: {text}"))))
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sentences of the list in the docs of the port, as names of cases.
    fn sentences(source: &str) -> Vec<String> {
        let contract = source.split("/// # Contract").nth(1).unwrap_or_default();
        let contract = contract.split("#[async_trait]").next().unwrap_or_default();
        let mut sentences: Vec<String> = Vec::new();
        let mut open = false;
        for line in contract.lines().map(|line| line.trim_start_matches("///")) {
            if let Some(first) = line.strip_prefix(" - ") {
                sentences.push(first.to_owned());
                open = true;
            } else if let (true, Some(more), Some(sentence)) =
                (open, line.strip_prefix("   "), sentences.last_mut())
            {
                sentence.push(' ');
                sentence.push_str(more);
            } else {
                open = false;
            }
        }
        let snake_case = |sentence: String| {
            let letter = |c: &char| c.is_alphanumeric() || *c == ' ';
            let plain: String = sentence.chars().filter(letter).collect();
            plain.to_lowercase().replace(' ', "_")
        };
        sentences.into_iter().map(snake_case).collect()
    }

    #[test]
    fn every_case_is_a_sentence_of_the_contract_and_the_other_way_round() {
        let cases: Vec<_> = AREAS.iter().flat_map(|area| area.iter()).collect();
        let names: Vec<_> = cases.iter().map(|case| case.name.to_owned()).collect();
        assert_eq!(names, sentences(include_str!("../../store/mod.rs")));
        let different: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len());
        assert!(names.len() >= 110, "{} cases", names.len());
        let names: Vec<_> = registry_cases::CASES.iter().map(|case| case.name).collect();
        assert_eq!(names, sentences(include_str!("../../registry/mod.rs")));
    }
}
