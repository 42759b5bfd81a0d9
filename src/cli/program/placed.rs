//! Mistakes of settings at their place in the jobs file.

use std::ops::Range;
use std::path::Path;

use toml_edit::{ImDocument, TableLike};

use crate::cli::source::{Mistake, Source};
use crate::settings;

/// The mistake with the line it stands in; `None` when it does not come from this file.
pub(super) fn placed(mistake: &settings::Mistake, file: &Path) -> Option<Mistake> {
    if mistake.key.is_empty() || mistake.origin != format!("file {}", file.display()) {
        return None;
    }
    let source = Source::read(file).ok()?;
    let document = ImDocument::parse(source.text()).ok()?;
    let (key, value) = find(document.as_table(), &mistake.key)?;
    // A key that does not exist is wrong itself; else what it is set to is.
    let unknown = mistake.reason.starts_with("there is no such setting");
    let span = if unknown { key } else { value };
    let message = match mistake.reason.split_once("; ") {
        Some((what, help)) => {
            return Some(Mistake::error(&source, span, told(mistake, what)).help(help));
        }
        None => told(mistake, &mistake.reason),
    };
    Some(Mistake::error(&source, span, message))
}

fn told(mistake: &settings::Mistake, what: &str) -> String {
    format!("the setting \"{}\": {what}", mistake.key)
}

/// Where the key and its value stand. Keys may be in any case.
fn find(table: &dyn TableLike, path: &str) -> Option<(Range<usize>, Range<usize>)> {
    let (first, rest) = match path.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path, None),
    };
    let (name, item) = table
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(first))?;
    if let Some(rest) = rest {
        return find(item.as_table_like()?, rest);
    }
    let key = table.key(name)?.span()?;
    let value = item.span().unwrap_or_else(|| key.clone());
    Some((key, value))
}
