//! The structure of the source: imports flow one way, backends are named in few places, files stay short.
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

use std::fs;
use std::path::{Path, PathBuf};

/// Folders and files of `src/` from the ground up: each may import only what stands before it.
const FLOORS: &[&[&str]] = &[
    &[
        "error",
        "timestamp",
        "clock",
        "id",
        "payload",
        "page",
        "host_name",
    ],
    &["schedule"],
    &["task"],
    &["store"],
    &["registry"],
    &["handler"],
    &["observe"],
    &["backends"],
    &["client"],
    &["migration"],
    &["scheduler"],
    &["worker"],
    &["workflow"],
    &["settings"],
    &["plugin"],
    &["context"],
    &["runner"],
    &["server"],
    &["dashboard"],
    &["cli"],
];

/// Rooms that stand beside the floors: the crate root and the test kit see everything, nothing imports the test kit.
const ASIDE: &[&str] = &["lib", "prelude", "bin", "testing"];

const LINES: usize = 500;

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["src", "macros/src", "tests", "examples", "benches"] {
        if root.join(folder).is_dir() {
            sources(&root.join(folder), &mut found);
        }
    }
    found.sort();
    assert!(found.len() > 40, "the sources were not found");
    found
}

/// The room of `src/` that a file belongs to.
fn room(path: &Path) -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let inside = path.strip_prefix(root).ok()?;
    let first = inside
        .components()
        .next()?
        .as_os_str()
        .to_string_lossy()
        .into_owned();
    Some(first.trim_end_matches(".rs").to_owned())
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&room))
}

/// The code of a file without comments and without its unit tests, which may look anywhere.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text
        .split("#[cfg(test)]\nmod tests")
        .next()
        .unwrap_or_default()
        .to_owned();
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The rooms named by `crate::room` paths, also inside `use crate::{…}`.
fn imports(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let preceded = code[..at]
            .chars()
            .next_back()
            .is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$');
        if preceded {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let group = rest
            .strip_prefix('{')
            .and_then(|rest| rest.split('}').next());
        let names = group.map_or_else(|| vec![rest], |group| group.split(',').collect());
        for name in names {
            let word: String = name
                .trim()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            rooms.push(word);
        }
    }
    rooms
}

#[test]
fn imports_flow_one_way() {
    let mut wrong = Vec::new();
    for path in all_sources() {
        let Some(here) = room(&path) else { continue };
        if ASIDE.contains(&here.as_str()) {
            continue;
        }
        let Some(mine) = floor(&here) else {
            wrong.push(format!(
                "{}: the folder \"{here}\" has no floor",
                path.display()
            ));
            continue;
        };
        for import in imports(&code(&path)) {
            let too_high = floor(&import).is_some_and(|other| other > mine);
            if too_high || import == "testing" || import == "prelude" {
                wrong.push(format!(
                    "{} imports crate::{import}, which stands above it",
                    path.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_plugin_table_and_the_test_kit_name_backends() {
    let mut wrong = Vec::new();
    for path in all_sources() {
        let Some(here) = room(&path) else { continue };
        let allowed = ["backends", "testing", "lib"].contains(&here.as_str())
            || path.ends_with("plugin/builtin.rs");
        if !allowed
            && imports(&code(&path))
                .iter()
                .any(|import| import == "backends")
        {
            wrong.push(path.display().to_string());
        }
    }
    assert!(
        wrong.is_empty(),
        "these name crate::backends: {}",
        wrong.join(", ")
    );
}

#[test]
fn no_source_file_passes_500_lines() {
    let long: Vec<_> = all_sources()
        .into_iter()
        .map(|path| (fs::read_to_string(&path).unwrap().lines().count(), path))
        .filter(|(lines, _)| *lines > LINES)
        .map(|(lines, path)| format!("{lines} {}", path.display()))
        .collect();
    assert!(long.is_empty(), "above {LINES} lines:\n{}", long.join("\n"));
}
