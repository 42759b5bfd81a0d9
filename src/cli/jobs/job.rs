//! From a `[[tasks]]` table to a [`Job`].

use std::ops::Range;
use std::time::Duration;

use super::command::CommandSpec;
use super::doubt::CommandPlaces;
use super::fields::{Fields, Placed, Text};
use super::host::Host;
use super::{gates, json, rate, run, schedule};
use crate::cli::source::{Mistake, Source};
use crate::payload::{PAYLOAD_LIMIT, Payload};
use crate::task::{Rate, RetryPolicy, TaskDef};

/// A task and the command that it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The definition, without a handler.
    pub def: TaskDef,
    /// What runs.
    pub command: CommandSpec,
    /// The user that the file asks for, until [`on`](Self::on) finds it.
    pub user: Option<String>,
    /// How often tasks of this name may start, in the whole cluster.
    pub rate: Option<Rate>,
    source: Source,
    span: Range<usize>,
    user_span: Range<usize>,
    places: CommandPlaces,
}

impl Job {
    pub(in crate::cli) fn new(
        def: TaskDef,
        command: CommandSpec,
        source: &Source,
        span: Range<usize>,
    ) -> Self {
        Self {
            def,
            command,
            user: None,
            rate: None,
            source: source.clone(),
            user_span: span.clone(),
            span,
            places: CommandPlaces::default(),
        }
    }

    /// The job on a machine: its user is found there, and the command gets `HOME`, `LOGNAME` and `USER` of that user unless
    /// the file sets them.
    ///
    /// # Errors
    /// A [`Mistake`] with the line when the user does not exist, or is another and this process is not root's.
    pub fn on(mut self, host: &Host) -> Result<Self, Box<Mistake>> {
        let Some(user) = self.user.take() else {
            return Ok(self);
        };
        let account = host.run_as(&user).map_err(|error| {
            Box::new(Mistake::of(
                &error,
                &self.source,
                self.user_span.clone(),
                true,
            ))
        })?;
        if let Some(account) = account {
            let own = [
                ("HOME", account.home.display().to_string()),
                ("LOGNAME", account.name.clone()),
                ("USER", account.name.clone()),
            ];
            for (name, value) in own {
                self.command.env.entry(name.to_owned()).or_insert(value);
            }
            self.command.user = Some(account);
        }
        Ok(self)
    }

    /// The file it is in.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    pub(super) fn places(&self) -> &CommandPlaces {
        &self.places
    }

    /// The bytes of the file that later mistakes point at.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// A mistake at the place where this job is written, for whoever finds one later.
    #[must_use]
    pub fn mistake(&self, message: impl Into<String>) -> Mistake {
        Mistake::error(&self.source, self.span.clone(), message)
    }
}

const KEYS: [&str; 35] = [
    "name",
    "description",
    "command",
    "shell",
    "args",
    "env",
    "cwd",
    "user",
    "queue",
    "priority",
    "cron",
    "every",
    "at",
    "zone",
    "dialect",
    "dst",
    "start",
    "end",
    "max_runs",
    "misfire",
    "grace",
    "overlap",
    "jitter",
    "run_at_start",
    "timeout",
    "kill_grace",
    "max_attempts",
    "retry",
    "max_lost",
    "lease",
    "exclusive",
    "limit",
    "rate",
    "tags",
    "version",
];

/// What other schedulers call these keys.
const MEANT: [(&str, &str); 24] = [
    ("interval", "every"),
    ("schedule", "cron, every or at"),
    ("expression", "cron"),
    ("when", "cron, every or at"),
    ("timezone", "zone"),
    ("time_zone", "zone"),
    ("tz", "zone"),
    ("cmd", "command"),
    ("exec", "command"),
    ("run", "command or shell"),
    ("script", "shell"),
    ("arguments", "args"),
    ("payload", "args"),
    ("environment", "env"),
    ("dir", "cwd"),
    ("directory", "cwd"),
    ("workdir", "cwd"),
    ("working_dir", "cwd"),
    ("retries", "max_attempts"),
    ("attempts", "max_attempts"),
    ("backoff", "retry"),
    ("id", "name"),
    ("concurrency", "limit"),
    ("max_instances", "limit"),
];

/// Reads a task. `None` when it has no usable name or command; other mistakes are in `fields` as well.
pub(super) fn read(fields: &mut Fields<'_>) -> Option<Job> {
    fields.refuse_others(&KEYS, &MEANT);
    let name = name(fields);
    let command = run::read(fields);
    let user = user(fields);
    let mut def = TaskDef::new(name.as_ref().map_or("", |name| name.value.as_str()));
    def.description = fields.text("description").map(|text| text.value.to_owned());
    def.version = fields.text("version").map(|text| text.value.into());
    if let Some(queue) = fields.text("queue") {
        match crate::id::check_name("a queue name", queue.value) {
            Ok(()) => def.queue = queue.value.into(),
            Err(error) => fields.fault_of(&queue, &error),
        }
    }
    def.priority = fields
        .integer("priority", 0..=u8::MAX)
        .unwrap_or(def.priority);
    def.max_attempts = fields.integer("max_attempts", 1..=u32::MAX);
    def.max_lost = fields
        .integer("max_lost", 0..=u32::MAX)
        .unwrap_or(def.max_lost);
    def.timeout = fields.positive_duration("timeout");
    def.lease = lease(fields);
    def.tags = fields
        .texts("tags", Some("write [\"one\", \"two\"]"))
        .unwrap_or_default()
        .into_iter()
        .map(|tag| tag.value.to_owned())
        .collect();
    def.retry = retry(fields);
    def.args = args(fields);
    def.gates = gates::read(fields, &def.name);
    let rate = rate::rate(fields);
    let at = schedule::read(fields, &mut def);
    if def.schedule.is_some() {
        gates::fill(fields, &mut def);
    }
    let (name, command) = (name?, command?);
    let mut job = Job::new(def, command, fields.source(), name.span.clone());
    job.rate = rate;
    job.places = CommandPlaces {
        program: fields.item("command").map(|item| item.span),
        cwd: fields.item("cwd").map(|item| item.span),
        at,
    };
    if let Some(user) = user {
        job.user = Some(user.value.to_owned());
        job.user_span = user.span;
    }
    if let Err(error) = job.def.check() {
        // The parts were checked above; what is left concerns them together.
        let text = error.to_string();
        let prefix = format!("the task \"{}\": ", job.def.name);
        let message = text.strip_prefix(&prefix).unwrap_or(&text).to_owned();
        fields.fault(name.span, message, None);
    }
    Some(job)
}

fn name(fields: &mut Fields<'_>) -> Option<Placed<String>> {
    if !fields.has("name") {
        let place = fields.place();
        fields.fault(
            place,
            "this task has no name",
            Some("give it one: name = \"backup\""),
        );
        return None;
    }
    let name = fields.text("name")?;
    if let Err(error) = crate::id::check_name("a task name", name.value) {
        fields.fault_of(&name, &error);
        return None;
    }
    Some(Placed {
        value: name.value.to_owned(),
        span: name.span,
    })
}

fn user<'a>(fields: &mut Fields<'a>) -> Option<Text<'a>> {
    let user = fields.text_or("user", "the name of a user", None)?;
    if user.value.is_empty() {
        let help = Some("leave the key out to run as whoever runs TLO");
        fields.fault(user.span, "\"user\" is empty", help);
        return None;
    }
    Some(user)
}

fn lease(fields: &mut Fields<'_>) -> Option<Duration> {
    const SHORTEST: Duration = Duration::from_millis(100);
    let lease = fields.duration("lease")?;
    if lease.value < SHORTEST {
        let help = Some("a worker could not renew it in time; the usual 30s suits most tasks");
        fields.fault(lease.span, "\"lease\" is shorter than 100ms", help);
        return None;
    }
    Some(lease.value)
}

fn args(fields: &mut Fields<'_>) -> Payload {
    let Some(item) = fields.item("args") else {
        return Payload::null();
    };
    let payload = json::of_item(item.value)
        .and_then(|json| Payload::of(&json).map_err(|error| error.to_string()))
        .and_then(|payload| {
            let fits = payload
                .check_size("args", PAYLOAD_LIMIT)
                .map_err(|error| error.to_string());
            fits.map(|()| payload)
        });
    match payload {
        Ok(payload) => payload,
        Err(message) => {
            fields.fault(item.span, format!("\"args\": {message}"), None);
            Payload::null()
        }
    }
}

fn retry(fields: &mut Fields<'_>) -> RetryPolicy {
    const HELP: &str = "write retry = { base = \"1s\", factor = 8, cap = \"10m\" }";
    let mut policy = RetryPolicy::default();
    let Some(mut table) = fields.table("retry", "a retry table", HELP) else {
        return policy;
    };
    table.refuse_others(
        &["base", "factor", "cap", "jitter", "delays"],
        &[
            ("max", "cap"),
            ("max_delay", "cap"),
            ("delay", "base"),
            ("max_attempts", "max_attempts, next to retry"),
        ],
    );
    let (base, cap) = (table.duration("base"), table.duration("cap"));
    let capped = cap.is_some();
    policy.factor = table
        .number("factor", 1.0..=1e6, "a number of at least 1")
        .unwrap_or(policy.factor);
    policy.jitter = table
        .number("jitter", 0.0..=1.0, "a number between 0 and 1")
        .unwrap_or(policy.jitter);
    policy.base = base.as_ref().map_or(policy.base, |base| base.value);
    policy.cap = cap.map_or(policy.cap, |cap| cap.value);
    if let Some(base) = base.filter(|base| base.value > policy.cap) {
        let message = if capped {
            "the first wait, \"base\", is longer than the longest, \"cap\""
        } else {
            "the first wait, \"base\", is longer than the longest, which is 10m unless \"cap\" says otherwise"
        };
        table.fault(base.span, message, Some("make the cap longer"));
    }
    policy.delays = delays(&mut table);
    fields.adopt(table.into_mistakes());
    policy
}

/// A list of durations, in seconds.
fn delays(table: &mut Fields<'_>) -> Vec<f64> {
    let Some(list) = table.texts("delays", Some("write [\"1s\", \"1m\", \"1h\"]")) else {
        return Vec::new();
    };
    let mut delays = Vec::new();
    for text in list {
        match crate::schedule::parse_duration(text.value) {
            Ok(delay) => delays.push(delay.as_secs_f64()),
            Err(error) => table.fault_of(&text, &error),
        }
    }
    delays
}
