//! What a job needs and this machine does not have: no mistake of the file, for it may come before the job runs.

use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::command::{CommandSpec, Invocation};
use super::fields::Placed;
use super::job::Job;
use crate::cli::source::Mistake;
use crate::timestamp::Timestamp;

/// Where the parts of a command are written.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct CommandPlaces {
    pub(super) program: Option<Range<usize>>,
    pub(super) cwd: Option<Range<usize>>,
    /// The only instant at which it runs.
    pub(super) at: Option<Placed<Timestamp>>,
}

impl Job {
    /// Warnings of an instant that has passed by `now`, of a folder that is not there and of a program that nobody would
    /// find, as this process sees them.
    #[must_use]
    pub fn doubts(&self, now: Timestamp) -> Vec<Mistake> {
        let mut doubts = Vec::new();
        let places = self.places();
        let mut doubt = |place: &Range<usize>, message: String, help: &str| {
            doubts.push(Mistake::warning(self.source(), place.clone(), message).help(help));
        };
        if let Some(at) = &places.at
            && at.value <= now
        {
            let message = "this instant has passed: it never runs".to_owned();
            let help = "give it a later one; only a runner that knew the task before makes up for an instant that it missed";
            doubt(&at.span, message, help);
        }
        let cwd = self.command.cwd.as_deref();
        if let (Some(place), Some(cwd)) = (&places.cwd, cwd)
            && !cwd.is_dir()
        {
            let message = format!("the folder \"{}\" is not there", cwd.display());
            doubt(place, message, "make it before the task runs");
        } else if let (Some(place), Some(program)) = (&places.program, program(&self.command))
            && !is_found(program, &self.command)
        {
            let message = format!("there is no program \"{program}\" here");
            let help = if program.contains('/') {
                "install it before the task runs"
            } else {
                "install it before the task runs, or write its whole path: it is not on the PATH of this process"
            };
            doubt(place, message, help);
        }
        doubts
    }
}

fn program(command: &CommandSpec) -> Option<&str> {
    match &command.run {
        Invocation::Argv(words) => words.first().map(String::as_str),
        Invocation::Shell { .. } => None,
    }
}

fn is_found(program: &str, command: &CommandSpec) -> bool {
    let here = command.cwd.as_deref().unwrap_or(Path::new(""));
    if program.contains('/') {
        return here.join(program).is_file();
    }
    let own = command.env.get("PATH").map(OsString::from);
    // Without a variable the system looks in folders of its own choice.
    let Some(path) = own.or_else(|| std::env::var_os("PATH")) else {
        return true;
    };
    std::env::split_paths(&path).any(|folder: PathBuf| here.join(folder).join(program).is_file())
}
