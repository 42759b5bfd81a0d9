//! Lists for programs.

use clap::Args;
use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};

/// How a list is printed.
#[derive(Args, Clone, Copy, Debug)]
pub(in crate::cli) struct ListFormat {
    /// Print one JSON array
    #[arg(long, conflicts_with = "jsonl")]
    json: bool,
    /// Print one JSON document a line, for jq and its like
    #[arg(long)]
    jsonl: bool,
}

impl ListFormat {
    /// Whether it is for programs, and not a table.
    pub(in crate::cli) fn is_json(self) -> bool {
        self.json || self.jsonl
    }

    /// Prints the items, as one array unless they are wanted a line each.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub(in crate::cli) fn print<T: Serialize>(self, items: &[T]) -> Result<()> {
        if !self.jsonl {
            return super::json(&items);
        }
        let mut lines = Vec::new();
        for item in items {
            serde_json::to_writer(&mut lines, item).map_err(|source| {
                Error::new(ErrorKind::Internal, "print", "an item has no JSON form")
                    .with_source(source)
            })?;
            lines.push(b'\n');
        }
        super::raw(&lines)
    }
}
