//! What the suite found.

use std::fmt;
use std::time::Duration;

/// How one case went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The store does what the sentence says.
    Ok,
    /// It does not; what was seen instead.
    Failed(String),
    /// The store cannot be asked; what it lacks.
    Skipped(&'static str),
}

/// One case of a [`Report`].
#[derive(Clone, Debug)]
pub struct Line {
    /// What part of the contract it belongs to.
    pub area: &'static str,
    /// The sentence, in snake case.
    pub name: &'static str,
    /// How it went.
    pub verdict: Verdict,
    /// How long it took, in real time.
    pub took: Duration,
}

/// All cases of a run; printed as a table.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order in which they ran.
    pub lines: Vec<Line>,
}

impl Report {
    /// The cases that failed, with what was seen.
    pub fn failed(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.lines.iter().filter_map(|line| match &line.verdict {
            Verdict::Failed(why) => Some((line.name, why.as_str())),
            Verdict::Ok | Verdict::Skipped(_) => None,
        })
    }

    /// The cases that were skipped, with what the store lacks.
    pub fn skipped(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.lines.iter().filter_map(|line| match line.verdict {
            Verdict::Skipped(why) => Some((line.name, why)),
            Verdict::Ok | Verdict::Failed(_) => None,
        })
    }

    /// How many cases passed.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.lines.len() - self.failed().count() - self.skipped().count()
    }

    /// Does nothing when no case failed and at least one passed.
    ///
    /// # Panics
    /// With the failed cases and what was seen, so that a test fails.
    pub fn assert_ok(&self) {
        let failed: Vec<_> = self
            .failed()
            .map(|(name, why)| format!("\n  {name}: {why}"))
            .collect();
        assert!(
            failed.is_empty(),
            "{} of {} conformance cases failed:{}",
            failed.len(),
            self.lines.len(),
            failed.concat()
        );
        assert!(self.passed() > 0, "no conformance case ran");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.lines.iter().map(|line| line.name.len()).max();
        let width = width.unwrap_or_default();
        let mut area = "";
        for line in &self.lines {
            if line.area != area {
                area = line.area;
                writeln!(f, "{area}")?;
            }
            let (name, took) = (line.name, line.took.as_millis());
            match &line.verdict {
                Verdict::Ok => writeln!(f, "  {name:width$}  ok {took:>6} ms")?,
                Verdict::Failed(why) => writeln!(f, "  {name:width$}  FAILED {why}")?,
                Verdict::Skipped(why) => writeln!(f, "  {name:width$}  skipped: {why}")?,
            }
        }
        let took: Duration = self.lines.iter().map(|line| line.took).sum();
        write!(
            f,
            "{} cases: {} ok, {} failed, {} skipped in {:.1} s",
            self.lines.len(),
            self.passed(),
            self.failed().count(),
            self.skipped().count(),
            took.as_secs_f64()
        )
    }
}
