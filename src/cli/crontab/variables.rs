//! [`Variables`]: what the lines above have set.

use std::time::Duration;

use super::local_zone::LocalZone;
use super::scan::Variable;
use crate::cli::source::{Mistake, Source};
use crate::schedule::find_zone;

/// The zone in which the next line is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ZoneInForce {
    /// The machine's.
    Local(String),
    /// That of a `CRON_TZ` line.
    Given(String),
    /// A `CRON_TZ` line names none that exists, so nobody knows when the lines below it run.
    Unknown,
}

/// The state that variable lines change.
#[derive(Debug)]
pub(super) struct Variables {
    source: Source,
    local: String,
    pub(super) zone: ZoneInForce,
    pub(super) jitter: Option<Duration>,
    pub(super) values: Vec<(String, String)>,
    mistakes: Vec<Mistake>,
}

impl Variables {
    pub(super) fn new(source: &Source, zone: &LocalZone) -> Self {
        Self {
            source: source.clone(),
            local: zone.name().to_owned(),
            zone: ZoneInForce::Local(zone.name().to_owned()),
            jitter: None,
            values: Vec::new(),
            mistakes: Vec::new(),
        }
    }

    pub(super) fn into_mistakes(self) -> Vec<Mistake> {
        self.mistakes
    }

    /// Does what a variable line says.
    pub(super) fn set(&mut self, variable: &Variable<'_>) {
        if let Some((place, what)) = variable.fault {
            self.mistakes.push(
                Mistake::error(&self.source, place.span(), what)
                    .help(format!("write it as {}=\"value\"", variable.name)),
            );
            if variable.name == "CRON_TZ" {
                self.zone = ZoneInForce::Unknown;
            }
            return;
        }
        self.doubt(variable);
        match variable.name {
            "CRON_TZ" => self.set_zone(variable),
            "RANDOM_DELAY" => self.set_delay(variable),
            "LOGNAME" | "USER" => {
                self.note(
                    variable,
                    "commands always get the name of the user they run as",
                    None,
                );
                return;
            }
            "TZ" => self.note(
                variable,
                "TZ is given to the commands and does not move their times",
                Some("set CRON_TZ for times of another zone"),
            ),
            "MAILTO" | "MAILFROM" if !variable.value.text.is_empty() && !self.knows("MAILTO") => {
                self.note(
                    variable,
                    "no mail is sent: the output of each run is kept with its record",
                    Some("read it with tlo inspect"),
                );
            }
            _ => {}
        }
        let value = variable.value.text.to_owned();
        match self
            .values
            .iter_mut()
            .find(|(name, _)| name == variable.name)
        {
            Some((_, old)) => *old = value,
            None => self.values.push((variable.name.to_owned(), value)),
        }
    }

    fn knows(&self, name: &str) -> bool {
        self.values.iter().any(|(known, _)| known == name)
    }

    fn set_zone(&mut self, variable: &Variable<'_>) {
        let name = variable.value.text.trim_start_matches(':');
        if name.is_empty() {
            self.zone = ZoneInForce::Local(self.local.clone());
            return;
        }
        self.zone = match find_zone(name) {
            Ok(name) => ZoneInForce::Given(name),
            Err(error) => {
                let mistake = Mistake::of(&error, &self.source, variable.value.span(), true);
                let message = format!(
                    "{}, so the lines below cannot be scheduled",
                    mistake.message
                );
                self.mistakes.push(Mistake { message, ..mistake });
                ZoneInForce::Unknown
            }
        };
    }

    fn set_delay(&mut self, variable: &Variable<'_>) {
        let minutes = variable
            .value
            .text
            .parse::<u64>()
            .ok()
            .filter(|minutes| *minutes <= 100_000);
        match minutes {
            Some(minutes) => {
                self.jitter = (minutes > 0).then(|| Duration::from_secs(60 * minutes));
                if minutes > 0 {
                    let message = format!(
                        "the lines below start up to {minutes} minutes late; each run has its own delay"
                    );
                    self.note(variable, &message, None);
                }
            }
            None => self.mistakes.push(
                Mistake::error(
                    &self.source,
                    variable.value.span(),
                    "RANDOM_DELAY is no number of minutes",
                )
                .help("write it as RANDOM_DELAY=45"),
            ),
        }
    }

    /// Warns of values that a shell would read differently than cron.
    fn doubt(&mut self, variable: &Variable<'_>) {
        let value = variable.value;
        let warn = |at: usize, length: usize, what: &str, help: &str| {
            let place = value.at + at;
            Mistake::warning(&self.source, place..place + length, what).help(help)
        };
        let expansion = value.text.match_indices('$').map(|(at, _)| at).find(|at| {
            let next = value
                .text
                .get(at + 1..)
                .and_then(|rest| rest.chars().next());
            next.is_some_and(|c| c.is_ascii_alphabetic() || c == '_' || c == '{' || c == '(')
        });
        let home = value.text.starts_with("~/").then_some(0);
        if let Some(at) = expansion.or(home) {
            self.mistakes.push(warn(
                at,
                1,
                "cron replaces nothing in values: the command gets this as it stands",
                "write the value out",
            ));
        }
        if !variable.quoted
            && let Some(at) = value.text.find(" #").or_else(|| value.text.find("\t#"))
        {
            self.mistakes.push(warn(
                at + 1,
                value.text.len() - at - 1,
                "this is part of the value: comments have a line of their own",
                "move the comment to the line above",
            ));
        }
    }

    fn note(&mut self, variable: &Variable<'_>, message: &str, help: Option<&str>) {
        let note = Mistake::note(&self.source, variable.line.span(), message);
        self.mistakes.push(match help {
            Some(help) => note.help(help),
            None => note,
        });
    }
}
