//! From a line of a crontab to a task and its command, with what cron gives to commands.

use std::collections::BTreeMap;

use super::CrontabEntry;
use crate::cli::jobs::{CommandInput, CommandSpec, Host, Invocation, Job};
use crate::cli::source::Mistake;
use crate::schedule::{Misfire, Overlap, SchedulePolicy};
use crate::task::TaskDef;

/// Where cron looks for commands.
const PATH: &str = "/usr/bin:/bin";
const SHELL: &str = "/bin/sh";

/// The way out for a line that names a user where none is read.
pub(super) const USER_HELP: &str =
    "leave it out, or read the file with --system-crontab: lines of system crontabs name the user";

impl CrontabEntry {
    /// The task and the command of this line on a machine.
    ///
    /// As with cron, runs may overlap, missed ones are not made up for (one minute of grace), and the command gets
    /// `SHELL`, `HOME`, `LOGNAME`, `USER`, `PATH` and the variables of the crontab, nothing else.
    ///
    /// # Errors
    /// A [`Mistake`] with the line when its user does not exist, or is another and this process is not root's.
    pub fn to_job(&self, host: &Host) -> std::result::Result<Job, Box<Mistake>> {
        let place = self.user_span.clone().unwrap_or_else(|| self.span.clone());
        let user = match &self.user {
            Some(user) => host
                .run_as(user)
                .map_err(|error| Box::new(Mistake::of(&error, &self.source, place, true)))?,
            None => None,
        };
        let account = user.clone().unwrap_or_else(|| host.me());
        let mut env: BTreeMap<String, String> = [
            ("SHELL", SHELL.to_owned()),
            ("PATH", PATH.to_owned()),
            ("HOME", account.home.display().to_string()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .chain(self.env.iter().cloned())
        .collect();
        // Nobody can claim to be somebody else.
        for name in ["LOGNAME", "USER"] {
            env.insert(name.to_owned(), account.name.clone());
        }
        let set = |name: &str, default: &str| match env.get(name) {
            Some(value) if !value.is_empty() => value.clone(),
            _ => default.to_owned(),
        };
        let command = CommandSpec {
            run: Invocation::Shell {
                shell: set("SHELL", SHELL),
                line: self.command.clone(),
            },
            cwd: Some(set("HOME", "/").into()),
            env,
            inherit_env: false,
            user,
            stdin: match &self.stdin {
                Some(text) => CommandInput::Text(text.clone()),
                None => CommandInput::Empty,
            },
            kill_grace: None,
        };
        let def = self.definition()?;
        Ok(Job::new(def, command, &self.source, self.span.clone()))
    }

    /// A warning when the command of somebody's own crontab begins with the name of a user of this machine: it may be the
    /// user column of a system crontab. A user whose name is also that of a program is none.
    #[must_use]
    pub fn doubt(&self, host: &Host) -> Option<Mistake> {
        let word = self.source.text().get(self.first_word.clone())?;
        // Root is told of by the reader, on any machine.
        let is_doubtful = self.user_span.is_none() && word != "root" && host.has_user(word);
        let is_program = || {
            let set = self.env.iter().find(|(name, _)| name == "PATH");
            let path = set.map_or(PATH, |(_, path)| path);
            std::env::split_paths(path).any(|folder| folder.join(word).is_file())
        };
        (is_doubtful && !is_program()).then(|| {
            Mistake::warning(
                &self.source,
                self.first_word.clone(),
                format!("\"{word}\" would be run as a command, and is the name of a user"),
            )
            .help(USER_HELP)
        })
    }

    fn definition(&self) -> std::result::Result<TaskDef, Box<Mistake>> {
        let mistake = |error: crate::error::Error| {
            Box::new(Mistake::of(&error, &self.source, self.span.clone(), false))
        };
        let mut def = TaskDef::new(self.name.as_str());
        def.schedule = Some(self.schedule.clone().seeded(&self.name).map_err(mistake)?);
        def.policy = SchedulePolicy {
            misfire: Misfire::Skip,
            overlap: Overlap::Allow,
            jitter: self.jitter,
            ..SchedulePolicy::default()
        };
        def.description = Some(self.command.clone());
        def.metadata = [
            ("crontab", self.source.name().into()),
            ("line", self.line.into()),
        ]
        .into_iter()
        .map(|(name, value): (&str, serde_json::Value)| (name.to_owned(), value))
        .collect();
        def.check().map_err(mistake)?;
        Ok(def)
    }
}
