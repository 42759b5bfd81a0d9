//! Which tasks a command is for: ids, a filter, or all.

use clap::Args;

use crate::cli::commands::filters::Filters;
use crate::context::TloContext;
use crate::error::{Error, Result};
use crate::store::TaskFilter;

/// The tasks that are meant, and how to go about it.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Selection {
    /// The ids of the tasks, or the beginnings of them
    #[arg(value_name = "ID")]
    pub(super) ids: Vec<String>,
    #[command(flatten)]
    pub(super) filters: Filters,
    /// All tasks that it can be done to
    #[arg(long)]
    pub(super) all: bool,
    /// Say to how many it would be done, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Why; it is kept in `tlo audit`
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    /// With a filter: at most so many tasks a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) rate: Option<u32>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// What was selected.
pub(super) enum Selected {
    /// These, by their ids or the beginnings of them.
    Ids(Vec<String>),
    /// What matches.
    Filter(Box<TaskFilter>),
}

impl Selection {
    /// # Errors
    /// `Invalid` when nothing or too much is said.
    pub(super) fn selected(&self, tlo: &TloContext) -> Result<Selected> {
        let filter = self.filters.filter(tlo.clock().now());
        let is_filter = filter != TaskFilter::default();
        let wrong = |message: &str| Err(Error::invalid("select", message));
        match (self.ids.is_empty(), is_filter) {
            (false, false) if self.all => wrong("name ids or --all, not both"),
            (false, true) => wrong("name ids or a filter, not both"),
            (false, false) => Ok(Selected::Ids(self.ids.clone())),
            (true, false) if !self.all => wrong(
                "say which tasks: by their ids, by a filter such as --queue NAME or --name NAME, or --all",
            ),
            (true, _) => Ok(Selected::Filter(Box::new(filter))),
        }
    }
}
