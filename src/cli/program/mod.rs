//! From arguments to a context: settings, jobs file and crontabs together, all mistakes at once.

mod placed;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::args::CrontabArgs;
use super::crontab::{Crontab, CrontabKind, LocalZone, name_apart};
use super::jobs::{Host, Job, JobsFile};
use super::output;
use super::source::{Mistake, Mistakes};
use crate::client::{Limits, Target};
use crate::clock::{Clock, SystemClock};
use crate::context::{TloContext, TloContextBuilder};
use crate::error::{Error, ErrorKind, Result};
use crate::handler::Task;
use crate::id::IdSource;
use crate::plugin::PluginTable;
use crate::settings::{PluginAddress, SettingsSource, TloSettings};
use crate::store::SharedStore;

/// The settings of this process as commands read them: the default store is a SQLite file.
pub(super) fn settings(
    config: Option<&Path>,
    context: &TloContextBuilder,
) -> Result<SettingsSource> {
    let mut source = SettingsSource::process();
    if let Some(file) = config {
        source = source.file_by("--config", file);
    }
    let store = match source.file_path().filter(|file| file.is_file()) {
        Some(file) => file.with_file_name("tlo.db"),
        None => state_directory()?.join("tlo.db"),
    };
    Ok(context.over(source.set_default("task_state_store", format!("sqlite:{}", store.display()))))
}

/// Where this user's programs keep their state.
fn state_directory() -> Result<PathBuf> {
    use etcetera::BaseStrategy;
    let base = etcetera::choose_base_strategy().map_err(|source| {
        Error::new(
            ErrorKind::Configuration,
            "settings",
            "the home directory is not known; set TLO_TASK_STATE_STORE, or write a tlo.toml with `tlo init`",
        )
        .with_source(source)
    })?;
    let state = base.state_dir().unwrap_or_else(|| base.data_dir());
    Ok(state.join("tlo"))
}

/// Makes the directory of the default store when that is what is used. Others must be there: a misspelt path
/// should not come true.
pub(super) fn make_state_directory(source: &SettingsSource) -> Result<()> {
    let Ok(loaded) = TloSettings::check(source) else {
        // The mistakes are told when the context is built.
        return Ok(());
    };
    if loaded.file().is_some() || loaded.origin("task_state_store") != "default" {
        return Ok(());
    }
    let directory = state_directory()?;
    std::fs::create_dir_all(&directory).map_err(|source| {
        let message = format!(
            "the directory {} cannot be made: {source}; set TLO_TASK_STATE_STORE",
            directory.display()
        );
        Error::new(ErrorKind::Configuration, "settings", message).with_source(source)
    })
}

/// A context for commands that read and steer. The tasks of the jobs file are known to it by name: they run in another
/// process. What is wrong with them is told by `check` and `run`.
pub(super) async fn open(source: SettingsSource, context: TloContextBuilder) -> Result<TloContext> {
    make_state_directory(&source)?;
    let own = own_names(&context);
    let listed = jobs(&source, None, &context)?
        .jobs
        .into_iter()
        .map(|job| Task {
            def: job.def,
            handler: None,
            error: None,
        });
    let context = context
        .tasks(listed.filter(|task| !own.contains(&task.def.name)))
        .settings(source.clone());
    build(context, &source).await
}

/// Builds the context. A store that cannot be opened is unreachable, whatever keeps it so, unless its settings are wrong.
///
/// # Errors
/// Those of building it; `Unavailable` for the store.
pub(super) async fn build(
    context: TloContextBuilder,
    source: &SettingsSource,
) -> Result<TloContext> {
    let plugins = context.plugin_table();
    let built = context.build().await;
    built.map_err(|error| unreachable_store(error, source, &plugins))
}

/// The store of an address that was given as this argument, with the settings of its section.
///
/// # Errors
/// Those of the settings; `Unavailable` for the store.
pub(super) async fn open_store(
    config: Option<&Path>,
    context: &TloContextBuilder,
    origin: &str,
    address: &PluginAddress,
) -> Result<SharedStore> {
    let whole = address.url().unwrap_or_else(|| address.name());
    let source = settings(config, context)?.set_by(origin, "task_state_store", whole);
    let loaded = TloSettings::load(&source)?;
    let plugins = context.plugin_table();
    let ids = Arc::new(IdSource::random());
    let opened = plugins.open_task_state_store(&loaded, SystemClock::shared(), ids);
    let opened = opened.await;
    opened.map_err(|error| unreachable_store(error, &source, &plugins))
}

/// The error of opening a store, unless its settings are wrong.
fn unreachable_store(error: Error, source: &SettingsSource, plugins: &PluginTable) -> Error {
    let at_store = ["open ", "migrate "]
        .iter()
        .any(|begin| error.operation().starts_with(begin));
    let settings_are_good =
        TloSettings::check(source).is_ok_and(|loaded| plugins.mistakes(&loaded).is_empty());
    if error.kind() == ErrorKind::Configuration && at_store && settings_are_good {
        Error::new(
            ErrorKind::Unavailable,
            error.operation().to_owned(),
            error.to_string(),
        )
        .retryable(false)
        .with_source(error)
    } else {
        error
    }
}

/// What keeps a file of jobs from being read is a mistake like those in it.
fn unreadable(error: Error) -> Error {
    Error::new(ErrorKind::Configuration, "read files", error.to_string()).with_source(error)
}

fn own_names(context: &TloContextBuilder) -> Vec<Arc<str>> {
    context
        .definitions()
        .map(|def| Arc::clone(&def.name))
        .collect()
}

/// The tasks of files that run commands.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    pub(super) jobs: Vec<Job>,
    pub(super) mistakes: Mistakes,
    /// What people should know about the crontabs, a line each.
    pub(super) notes: Vec<String>,
}

impl Jobs {
    /// How often those start that have a rate.
    pub(super) fn rates(&self) -> impl Iterator<Item = (Target, Limits)> {
        self.jobs.iter().filter_map(|job| {
            let limits = Limits {
                rate: Some(job.rate?),
                ..Limits::default()
            };
            Some((Target::Task(job.def.name.to_string()), limits))
        })
    }
}

/// Reads the jobs file, if there is one, and crontabs.
pub(super) fn jobs(
    source: &SettingsSource,
    crontabs: Option<&CrontabArgs>,
    context: &TloContextBuilder,
) -> Result<Jobs> {
    let mut read = Jobs::default();
    let host = Host::this_machine()?;
    let now = SystemClock.now();
    if let Some(path) = source.file_path().filter(|path| path.is_file()) {
        let file = JobsFile::read(&path).map_err(unreadable)?;
        read.mistakes.extend(file.mistakes);
        for job in file.jobs {
            match job.on(&host) {
                Ok(job) => {
                    read.mistakes.extend(job.doubts(now));
                    read.jobs.push(job);
                }
                Err(mistake) => read.mistakes.push(*mistake),
            }
        }
    }
    if let Some(crontabs) = crontabs.filter(|crontabs| !crontabs.is_empty()) {
        let zone = LocalZone::of_this_machine()?;
        let mut files = Vec::new();
        for path in crontabs_in(&crontabs.crontab)? {
            // `cd /etc; tlo check --crontab cron.d/php` is about a system crontab, too.
            let whole = std::path::absolute(&path);
            let kind = CrontabKind::of_path(whole.as_ref().unwrap_or(&path));
            files.push(Crontab::read(&path, Some(kind), &zone).map_err(unreadable)?);
        }
        for path in crontabs_in(&crontabs.system_crontab)? {
            let file = Crontab::read(&path, Some(CrontabKind::System), &zone);
            files.push(file.map_err(unreadable)?);
        }
        name_apart(&mut files.iter_mut().collect::<Vec<_>>());
        for crontab in files {
            for entry in &crontab.entries {
                read.mistakes.extend(entry.doubt(&host));
                match entry.to_job(&host) {
                    Ok(job) => read.jobs.push(job),
                    Err(mistake) => read.mistakes.push(*mistake),
                }
            }
            read.notes.push(crontab.summary());
            read.mistakes.extend(crontab.mistakes);
        }
    }
    name_once(&mut read, &own_names(context));
    Ok(read)
}

/// The files, and of a folder such as `/etc/cron.d` those that cron reads: names of letters, digits, `-` and `_`, so
/// that what editors and package managers leave behind is no crontab.
fn crontabs_in(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let unreadable = |source: std::io::Error| {
            let message = format!("\"{}\" cannot be read: {source}", path.display());
            Error::new(ErrorKind::Configuration, "read crontabs", message).with_source(source)
        };
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
            let name = entry.file_name().into_string().unwrap_or_default();
            if !name.is_empty() && name.chars().all(is_plain) && entry.path().is_file() {
                inside.push(entry.path());
            }
        }
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

/// Finds tasks of files that have the name of one of the program's own, or of a task of another file.
fn name_once(read: &mut Jobs, own: &[Arc<str>]) {
    let mut taken: HashMap<Arc<str>, String> = own
        .iter()
        .map(|name| (Arc::clone(name), "a task of this program".to_owned()))
        .collect();
    for job in &read.jobs {
        let name = &job.def.name;
        match taken.get(name) {
            Some(by) => {
                let message = format!("the name \"{name}\" is taken by {by}");
                read.mistakes.push(job.mistake(message));
            }
            None => {
                let by = format!("a task of {}", job.source().name());
                taken.insert(Arc::clone(name), by);
            }
        }
    }
}

/// What is wrong with files and settings.
#[derive(Debug)]
pub(super) struct Faults<'a> {
    mistakes: &'a Mistakes,
    /// Mistakes of settings that are in no file.
    elsewhere: Vec<String>,
}

/// Looks for mistakes of the settings; those that stand in the jobs file come to its others.
pub(super) fn faults<'a>(
    jobs: &'a mut Jobs,
    source: &SettingsSource,
    plugins: &PluginTable,
) -> Faults<'a> {
    let wrong = match TloSettings::check(source) {
        Ok(loaded) => plugins.mistakes(&loaded),
        Err(mistakes) => mistakes,
    };
    let mut elsewhere = Vec::new();
    for mistake in &wrong {
        let file = source.file_path();
        match file.and_then(|file| placed::placed(mistake, &file)) {
            // A table that is neither a setting nor a list of tasks was told of by the reader of tasks.
            Some(mistake) if jobs.mistakes.has_error_at(&mistake) => {}
            Some(mistake) => jobs.mistakes.push(mistake),
            // That the file is no TOML was found with its place already.
            None if mistake.key.is_empty() && jobs.mistakes.has_errors() => {}
            None => elsewhere.push(mistake.to_string()),
        }
    }
    Faults {
        mistakes: &jobs.mistakes,
        elsewhere,
    }
}

impl Faults<'_> {
    /// Prints them for people.
    pub(super) fn print(&self) {
        for mistake in self.mistakes {
            output::mistake(mistake);
        }
        for mistake in &self.elsewhere {
            output::fault(mistake);
        }
    }

    /// Them for programs. Those that are in no file have none, and no place.
    pub(super) fn json(&self) -> Vec<Value> {
        let elsewhere = self.elsewhere.iter().map(|mistake| {
            json!({
                "level": "error", "file": null, "line": null, "column": null, "message": mistake, "help": null,
            })
        });
        let placed = self.mistakes.iter().map(Mistake::to_json);
        placed.chain(elsewhere).collect()
    }

    /// How many they are, when one of them is an error.
    pub(super) fn error(&self) -> Option<Error> {
        let tally = match (self.mistakes.has_errors(), self.elsewhere.len()) {
            (false, 0) => return None,
            (true, 0) => self.mistakes.tally(),
            (false, n) => format!("{} in the settings", output::counted(n, "mistake")),
            (true, n) => format!("{}, and {n} in the settings", self.mistakes.tally()),
        };
        Some(Error::new(ErrorKind::Configuration, "check", tally))
    }
}

/// Prints what is wrong with files and settings.
///
/// # Errors
/// When any of it is an error.
pub(super) fn report(
    jobs: &mut Jobs,
    source: &SettingsSource,
    plugins: &PluginTable,
) -> Result<()> {
    let faults = faults(jobs, source, plugins);
    faults.print();
    faults.error().map_or(Ok(()), Err)
}
