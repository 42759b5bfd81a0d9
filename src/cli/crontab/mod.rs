//! [`Crontab`]: user and system crontabs, read as cron reads them.
//!
//! What is read: blank lines and comments, variables, five time fields or a nickname, the user column of system
//! crontabs, commands with `%`. A bad line gives a [`Mistake`] and the others still come out.

mod entry;
mod job;
mod local_zone;
mod name;
mod percent;
mod scan;
mod variables;

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

pub use self::local_zone::LocalZone;
pub use self::name::name_apart;
use self::variables::Variables;
use super::source::{Line, Mistake, Mistakes, Source};
use crate::error::Result;
use crate::schedule::Schedule;

/// Whose crontab a file is, which decides whether its lines have a user column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CrontabKind {
    /// A person's own: no user column. It runs as whoever runs TLO.
    Own,
    /// A person's, in cron's spool: no user column. It runs as its owner.
    Of(String),
    /// The machine's: each line names its user.
    System,
}

impl CrontabKind {
    /// What a path says: files under `etc/cron.d` and `etc/crontab` (in any tree) are system crontabs,
    /// `var/spool/cron/crontabs/alice` and `var/spool/cron/alice` are Alice's, and the rest is one's own.
    ///
    /// ```
    /// use tlo::cli::crontab::CrontabKind;
    /// assert_eq!(CrontabKind::of_path("/etc/cron.d/sysstat".as_ref()), CrontabKind::System);
    /// assert_eq!(CrontabKind::of_path("/var/spool/cron/crontabs/alice".as_ref()), CrontabKind::Of("alice".to_owned()));
    /// assert_eq!(CrontabKind::of_path("my.cron".as_ref()), CrontabKind::Own);
    /// ```
    #[must_use]
    pub fn of_path(path: &Path) -> Self {
        let parts: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
        match parts.as_slice() {
            [.., "etc", "cron.d", _] | [.., "etc", "crontab"] => Self::System,
            [.., "spool", "cron", "crontabs", owner] | [.., "spool", "cron", owner]
                if *owner != "crontabs" =>
            {
                Self::Of((*owner).to_owned())
            }
            _ => Self::Own,
        }
    }
}

/// One line of a crontab that runs a command.
#[derive(Clone, Debug, PartialEq)]
pub struct CrontabEntry {
    /// The name of its task: made of the file and the command, so that it is the same at every start.
    pub name: String,
    /// The number of its line, from 1.
    pub line: usize,
    /// When it runs.
    pub schedule: Schedule,
    /// The time fields as they are written.
    pub schedule_text: String,
    /// The zone of its times.
    pub zone: String,
    /// Whether `CRON_TZ` gave the zone, not the machine.
    pub zone_given: bool,
    /// The user it runs as: the user column, or the owner of the crontab. `None` is whoever runs TLO.
    pub user: Option<String>,
    /// The command for the shell, `\%` already a `%`.
    pub command: String,
    /// What the command reads: the text after the first `%`.
    pub stdin: Option<String>,
    /// The variables in force at this line, in the order in which they were first set.
    pub env: Vec<(String, String)>,
    /// Its run starts up to this long after its time (`RANDOM_DELAY`).
    pub jitter: Option<Duration>,
    source: Source,
    span: Range<usize>,
    user_span: Option<Range<usize>>,
    /// The first word of the command.
    first_word: Range<usize>,
}

/// A crontab that was read.
#[derive(Clone, Debug)]
pub struct Crontab {
    /// The file.
    pub source: Source,
    /// Whose it is.
    pub kind: CrontabKind,
    /// Its good lines, in order.
    pub entries: Vec<CrontabEntry>,
    /// What is wrong with the others, and what works differently than with cron.
    pub mistakes: Mistakes,
    zone: LocalZone,
}

impl Crontab {
    /// Reads a file; `kind` decides about the user column, and without it the path does.
    ///
    /// # Errors
    /// As [`Source::read`]. Bad lines are no error: they are in [`mistakes`](Self::mistakes).
    pub fn read(path: &Path, kind: Option<CrontabKind>, zone: &LocalZone) -> Result<Self> {
        let source = Source::read(path)?;
        let kind = kind.unwrap_or_else(|| CrontabKind::of_path(path));
        Ok(Self::parse(&source, kind, zone))
    }

    /// Reads a text. Times are those of `zone` until a line sets `CRON_TZ`.
    #[must_use]
    pub fn parse(source: &Source, kind: CrontabKind, zone: &LocalZone) -> Self {
        let mut crontab = Self {
            source: source.clone(),
            kind,
            entries: Vec::new(),
            mistakes: Mistakes::default(),
            zone: zone.clone(),
        };
        if Path::new(source.name())
            .file_name()
            .is_some_and(|name| name == "anacrontab")
        {
            crontab.mistakes.push(
                Mistake::error(source, 0..0, "an anacrontab is no crontab: its lines are period, delay, name and command")
                    .help("write its jobs with every = \"1d\" into a jobs file; missed runs are made up for there too"),
            );
            return crontab;
        }
        let mut variables = Variables::new(source, zone);
        for line in source.lines() {
            crontab.read_line(line, &mut variables);
        }
        crontab.mistakes.extend(variables.into_mistakes());
        crontab.check_end();
        name_apart(&mut [&mut crontab]);
        crontab
    }

    fn read_line(&mut self, line: Line<'_>, variables: &mut Variables) {
        let text = line.text.strip_suffix('\r').unwrap_or(line.text);
        let start = text.len() - text.trim_start_matches([' ', '\t']).len();
        let trimmed = scan::Piece {
            at: line.start + start,
            text: text.get(start..).unwrap_or_default(),
        };
        if trimmed.text.is_empty() || trimmed.text.starts_with('#') {
            return;
        }
        if self.source.is_lossy()
            && let Some(at) = trimmed.text.find('\u{fffd}')
        {
            let place = trimmed.at + at;
            self.mistakes.push(
                Mistake::error(
                    &self.source,
                    place..place + '\u{fffd}'.len_utf8(),
                    "this line is not UTF-8",
                )
                .help("convert the file: iconv -f latin1 -t utf-8"),
            );
            return;
        }
        if let Some(at) = trimmed.text.find('\0') {
            let place = trimmed.at + at;
            self.mistakes
                .push(Mistake::error(&self.source, place..place + 1, "a NUL byte"));
            return;
        }
        if let Some(variable) = scan::variable(trimmed) {
            variables.set(&variable);
            return;
        }
        match entry::read(self, trimmed, line.number, variables) {
            Ok(entry) => self.entries.extend(entry),
            Err(mistake) => self.mistakes.push(*mistake),
        }
    }

    /// Line ends: the last one should be there, and none should be of another system.
    fn check_end(&mut self) {
        let text = self.source.text();
        if let Some(at) = text.find("\r\n") {
            self.mistakes.push(
                Mistake::warning(
                    &self.source,
                    at..at + 1,
                    "lines end with CR LF; cron would pass the CR on to the commands",
                )
                .help("it is left out here; convert the file for cron: sed -i 's/\\r$//'"),
            );
        }
        let last = text.rsplit('\n').next().unwrap_or_default();
        if !last.trim().is_empty() {
            let end = text.len();
            self.mistakes.push(
                Mistake::warning(
                    &self.source,
                    end..end,
                    "the last line has no line end; cron would not read it",
                )
                .help("it is read here; end it with a new line for cron"),
            );
        }
    }

    /// One line for people: how many commands, of which file, on which clocks.
    #[must_use]
    pub fn summary(&self) -> String {
        let count = self.entries.len();
        let plural = if count == 1 { "" } else { "s" };
        let mut text = format!("{}: {count} command{plural}", self.source.name());
        if self.entries.iter().any(|entry| !entry.zone_given) {
            text.push_str("; times of ");
            text.push_str(&self.zone.to_string());
        }
        let mut given: Vec<&str> = self
            .entries
            .iter()
            .filter(|e| e.zone_given)
            .map(|e| e.zone.as_str())
            .collect();
        given.sort_unstable();
        given.dedup();
        if !given.is_empty() {
            text.push_str("; by CRON_TZ of ");
            text.push_str(&given.join(", "));
        }
        text
    }
}

impl CrontabEntry {
    /// The file it is in.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The bytes of the file that it is made of.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// A mistake about the whole line, for whoever finds one later.
    #[must_use]
    pub fn mistake(&self, message: impl Into<String>) -> Mistake {
        Mistake::error(&self.source, self.span.clone(), message)
    }
}
