//! From arguments to a context: settings, jobs file and crontabs together, all mistakes at once.

use std::path::{Path, PathBuf};

use super::args::CrontabArgs;
use super::crontab::{Crontab, CrontabKind, LocalZone, name_apart};
use super::jobs::{Host, Job, JobsFile};
use super::output;
use super::source::Mistakes;
use crate::context::{TloContext, TloContextBuilder};
use crate::error::{Error, ErrorKind, Result};
use crate::handler::Task;
use crate::settings::{Loaded, SettingsSource, TloSettings};

/// The settings of this process as commands read them: the default store is a SQLite file.
pub(super) fn settings(
    config: Option<&Path>,
    context: &TloContextBuilder,
) -> Result<SettingsSource> {
    let mut source = SettingsSource::process();
    if let Some(file) = config {
        source = source.file(file);
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
    let own: Vec<_> = context.definitions().map(|def| def.name.clone()).collect();
    let listed = jobs(&source, None)?.jobs.into_iter().map(|job| Task {
        def: job.def,
        handler: None,
        error: None,
    });
    context
        .tasks(listed.filter(|task| !own.contains(&task.def.name)))
        .settings(source)
        .build()
        .await
}

/// The tasks of files that run commands.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    pub(super) jobs: Vec<Job>,
    pub(super) mistakes: Mistakes,
    /// What people should know about the crontabs, a line each.
    pub(super) notes: Vec<String>,
}

/// Reads the jobs file, if there is one, and crontabs.
pub(super) fn jobs(source: &SettingsSource, crontabs: Option<&CrontabArgs>) -> Result<Jobs> {
    let mut read = Jobs::default();
    let host = Host::this_machine()?;
    if let Some(path) = source.file_path().filter(|path| path.is_file()) {
        let file = JobsFile::read(&path)?;
        read.mistakes.extend(file.mistakes);
        for job in file.jobs {
            match job.on(&host) {
                Ok(job) => read.jobs.push(job),
                Err(mistake) => read.mistakes.push(*mistake),
            }
        }
    }
    if let Some(crontabs) = crontabs.filter(|crontabs| !crontabs.is_empty()) {
        let zone = LocalZone::of_this_machine()?;
        let by_path = crontabs.crontab.iter().map(|path| {
            // `cd /etc; tlo check --crontab cron.d/php` is about a system crontab, too.
            let whole = std::path::absolute(path);
            (path, CrontabKind::of_path(whole.as_ref().unwrap_or(path)))
        });
        let named = crontabs.system_crontab.iter();
        let mut files = by_path
            .chain(named.map(|path| (path, CrontabKind::System)))
            .map(|(path, kind)| Crontab::read(path, Some(kind), &zone))
            .collect::<Result<Vec<_>>>()?;
        name_apart(&mut files.iter_mut().collect::<Vec<_>>());
        for crontab in files {
            for entry in &crontab.entries {
                match entry.to_job(&host) {
                    Ok(job) => read.jobs.push(job),
                    Err(mistake) => read.mistakes.push(*mistake),
                }
            }
            read.notes.push(crontab.summary());
            read.mistakes.extend(crontab.mistakes);
        }
    }
    Ok(read)
}

/// Prints mistakes of the files and of the settings together; an error when any of them is one.
pub(super) fn report(jobs: &Jobs, source: &SettingsSource) -> Result<Option<Loaded>> {
    for mistake in &jobs.mistakes {
        output::mistake(mistake);
    }
    let loaded = TloSettings::check(source);
    if let Err(mistakes) = &loaded {
        for mistake in mistakes {
            output::fault(&mistake.to_string());
        }
    }
    let settings = loaded.as_ref().err().map_or(0, Vec::len);
    let in_files = jobs.mistakes.has_errors();
    if in_files || settings > 0 {
        let tally = match (in_files, settings) {
            (true, 0) => jobs.mistakes.tally(),
            (false, n) => format!("{} in the settings", output::counted(n, "mistake")),
            (true, n) => format!("{}, and {n} in the settings", jobs.mistakes.tally()),
        };
        return Err(Error::new(ErrorKind::Configuration, "check", tally));
    }
    Ok(loaded.ok())
}
