//! [`JobsFile`]: tasks that run commands, as a person writes them into `tlo.toml`.
//!
//! The keys of a `[[tasks]]` table:
//!
//! | key | meaning |
//! |---|---|
//! | `name` | required, unique in the file |
//! | `command` or `shell` | a list of words, or a line for `/bin/sh` |
//! | `cron`, `every` or `at` | when it runs by itself; without one it can be submitted by name |
//! | `zone`, `dialect`, `dst` | for `cron`: the zone (default UTC), `"quartz"`, what happens when clocks change |
//! | `start`, `end`, `max_runs` | the first and last slot, and how many there are |
//! | `misfire`, `grace`, `overlap`, `jitter`, `run_at_start` | missed, overlapping and crowded slots |
//! | `args`, `env`, `cwd`, `user` | what the command gets, where and as whom it runs |
//! | `timeout`, `kill_grace`, `max_attempts`, `retry`, `max_lost`, `lease` | how long, how often |
//! | `queue`, `priority`, `exclusive`, `limit`, `rate` | which tasks go first, how many at once, and how often they start |
//! | `description`, `tags` | for people |
//!
//! `[queues.NAME]` tables say what holds for a queue in the whole cluster: `limit` (so many run at once), `rate` (how often
//! they start) and `max_depth` (so many may wait). The queues of such tables are served, and those of the tasks.
//!
//! Durations are texts such as `"5m"`, or numbers of seconds. Everything else outside `[[tasks]]` is settings.

mod command;
mod document;
mod doubt;
mod fields;
mod gates;
mod host;
mod init;
mod job;
mod json;
mod rate;
mod run;
mod schedule;

use std::collections::HashMap;
use std::path::Path;

use toml_edit::{Item, TableLike};

pub use self::command::{Account, CommandInput, CommandSpec, Invocation};
use self::fields::Fields;
pub use self::host::Host;
pub use self::init::INIT;
pub use self::job::Job;
use super::source::{Mistake, Mistakes, Source};
use crate::error::Result;

/// The name of the list.
const TASKS: &str = "tasks";
/// What people write instead.
const ALMOST_TASKS: [&str; 6] = ["task", "job", "jobs", "taks", "schedule", "schedules"];

/// A jobs file that was read.
#[derive(Clone, Debug)]
pub struct JobsFile {
    /// The file.
    pub source: Source,
    /// Its good tasks, in order.
    pub jobs: Vec<Job>,
    /// What is wrong with the others.
    pub mistakes: Mistakes,
    /// Everything else in the file: settings, which are checked where settings are read.
    pub settings: toml::Table,
}

impl JobsFile {
    /// Reads a file.
    ///
    /// # Errors
    /// As [`Source::read`]. Bad tasks are no error: they are in [`mistakes`](Self::mistakes).
    pub fn read(path: &Path) -> Result<Self> {
        Ok(Self::parse(&Source::read(path)?))
    }

    /// Reads a text. Relative paths in it are relative to the folder of the source's name.
    ///
    /// ```
    /// use tlo::cli::{jobs::JobsFile, source::Source};
    /// let file = JobsFile::parse(&Source::new("tlo.toml", r#"
    ///     concurrency = 8
    ///     [[tasks]]
    ///     name = "backup"
    ///     cron = "0 3 * * *"
    ///     zone = "Europe/Berlin"
    ///     command = ["pg_dump", "-f", "/var/backups/db.sql"]
    /// "#));
    /// assert!(file.mistakes.is_empty());
    /// assert_eq!(&*file.jobs[0].def.name, "backup");
    /// assert_eq!(file.settings["concurrency"].as_integer(), Some(8));
    /// ```
    #[must_use]
    pub fn parse(source: &Source) -> Self {
        let mut file = Self {
            source: source.clone(),
            jobs: Vec::new(),
            mistakes: Mistakes::default(),
            settings: toml::Table::new(),
        };
        let (document, mistakes) = document::read(source);
        file.mistakes.extend(mistakes);
        let Some(document) = document else {
            return file;
        };
        let root = document.as_table();
        for (key, item) in root {
            let place = root.key(key).and_then(toml_edit::Key::span).unwrap_or(0..0);
            if key == TASKS {
                file.read_tasks(item, &place);
            } else if ALMOST_TASKS.contains(&key) && (item.is_array_of_tables() || item.is_table())
            {
                let message = format!("tasks stand in [[tasks]], not in \"{key}\"");
                file.mistakes.push(
                    Mistake::error(source, place, message).help("write [[tasks]] above each task"),
                );
            } else if let Some(value) = json::setting(item) {
                file.settings.insert(key.to_owned(), value);
            }
        }
        file
    }

    fn read_tasks(&mut self, item: &Item, place: &std::ops::Range<usize>) {
        let tables: Vec<(&dyn TableLike, std::ops::Range<usize>)> = match item {
            Item::ArrayOfTables(tables) => tables
                .iter()
                .map(|table| {
                    (
                        table as &dyn TableLike,
                        table.span().unwrap_or_else(|| place.clone()),
                    )
                })
                .collect(),
            Item::Value(toml_edit::Value::Array(list)) => {
                let wrong = list.iter().filter(|value| !value.is_inline_table());
                for value in wrong {
                    let message = format!(
                        "a task is a table, here it is {}",
                        fields::kind_of_value(value)
                    );
                    let span = value.span().unwrap_or_else(|| place.clone());
                    self.mistakes.push(
                        Mistake::error(&self.source, span, message)
                            .help("write [[tasks]] above each task"),
                    );
                }
                list.iter()
                    .filter_map(|value| {
                        Some((value.as_inline_table()? as &dyn TableLike, value.span()?))
                    })
                    .collect()
            }
            other => {
                let message = format!(
                    "\"tasks\" is a list of tables, here it is {}",
                    fields::kind_of(other)
                );
                self.mistakes.push(
                    Mistake::error(&self.source, place.clone(), message)
                        .help("write [[tasks]], with two brackets"),
                );
                return;
            }
        };
        let mut lines: HashMap<String, usize> = HashMap::new();
        for (table, span) in tables {
            let source = self.source.clone();
            let mut fields = Fields::new(&source, table, span, "a task");
            let job = job::read(&mut fields);
            if let Some(name) = fields
                .peek_text("name")
                .filter(|name| !name.value.is_empty())
            {
                let line = source.place(name.span.start).line;
                if let Some(first) = lines.insert(name.value.to_owned(), line) {
                    lines.insert(name.value.to_owned(), first);
                    let message = format!(
                        "the name \"{}\" is taken by the task of line {first}",
                        name.value
                    );
                    fields.fault(
                        name.span,
                        message,
                        Some("names tell tasks apart: choose another"),
                    );
                }
            }
            let mistakes = fields.into_mistakes();
            if mistakes.is_empty() {
                self.jobs.extend(job);
            }
            self.mistakes.extend(mistakes);
        }
    }
}
