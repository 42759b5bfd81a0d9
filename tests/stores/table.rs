//! The table of what each store can do, in docs/backends.md: every run of the suite compares its part of it.
//!
//! `TLO_TEST_WRITE_TABLE=1` writes it instead.

#![allow(
    clippy::unwrap_used,
    reason = "a page that cannot be written fails the test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use parking_lot::Mutex;
use tlo::testing::conformance::{Report, Verdict};

/// Two runs of one program write one after the other.
static WRITING: Mutex<()> = Mutex::new(());

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/backends.md")
}

fn cells(line: &str) -> Vec<String> {
    let line = line.trim().trim_matches('|');
    line.split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// Compares the column of a store, and what it skips, with the table. Nothing is said of runs of some cases only.
pub(crate) fn compare(store: &str, reports: &[Report]) {
    let _alone = WRITING.lock();
    let lines = || reports.iter().flat_map(|report| &report.lines);
    let mut areas: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for line in lines() {
        let (passed, all) = areas.entry(line.area).or_default();
        *passed += usize::from(line.verdict == Verdict::Ok);
        *all += 1;
    }
    let column: BTreeMap<String, String> = areas
        .iter()
        .map(|(area, (passed, all))| match passed == all {
            true => ((*area).to_owned(), format!("{all}")),
            false => ((*area).to_owned(), format!("{passed} of {all}")),
        })
        .collect();
    let skipped: BTreeSet<String> = reports
        .iter()
        .flat_map(Report::skipped)
        .map(|(name, why)| format!("- {store}: `{name}`, for {why}"))
        .collect();
    let text = std::fs::read_to_string(path()).unwrap_or_default();
    let wanted = with_column(&text, store, &column, &skipped);
    if std::env::var_os("TLO_TEST_WRITE_TABLE").is_some() {
        std::fs::write(path(), wanted).unwrap();
        return;
    }
    assert!(
        text == wanted,
        "docs/backends.md is out of date for {store}; TLO_TEST_WRITE_TABLE=1 cargo test --all-features conformance writes it:\n{wanted}"
    );
}

/// The page with this column and these skipped cases instead of what it says of this store.
fn with_column(
    text: &str,
    store: &str,
    column: &BTreeMap<String, String>,
    skipped: &BTreeSet<String>,
) -> String {
    let is_row = |line: &&str| line.starts_with('|');
    let head: Vec<&str> = text.lines().take_while(|line| !is_row(line)).collect();
    let mut table: Vec<Vec<String>> = text.lines().filter(is_row).map(cells).collect();
    if table.is_empty() {
        table.push(vec!["area".to_owned()]);
    } else {
        // The line below the names.
        table.remove(1);
    }
    let at = table[0].iter().position(|name| name == store);
    let at = at.unwrap_or_else(|| {
        for row in &mut table {
            row.push(String::new());
        }
        table[0].len() - 1
    });
    table[0][at] = store.to_owned();
    let width = table[0].len();
    for area in column.keys() {
        if !table.iter().any(|row| row[0] == *area) {
            let mut row = vec![String::new(); width];
            row[0].clone_from(area);
            table.push(row);
        }
    }
    for row in &mut table[1..] {
        row[at] = column.get(&row[0]).cloned().unwrap_or_default();
    }
    table[1..].sort();
    table.retain(|row| row[1..].iter().any(|cell| !cell.is_empty()));
    table.insert(1, vec!["---".to_owned(); width]);
    let mine = format!("- {store}: ");
    let mut below: BTreeSet<String> = text
        .lines()
        .filter(|line| line.starts_with("- ") && !line.starts_with(&mine))
        .map(ToOwned::to_owned)
        .collect();
    below.extend(skipped.iter().cloned());
    let mut page = head.join("\n");
    for row in table {
        page.push_str(&format!("\n| {} |", row.join(" | ")));
    }
    page.push_str("\n\nWhat is skipped, and why:\n");
    for line in below {
        page.push_str(&format!("\n{line}"));
    }
    page.push('\n');
    page
}
