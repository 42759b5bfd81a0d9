//! [`TloSettings`]: what can be set, where it is read from, and where each value came from.
//!
//! Four layers, the weakest first: defaults, a file, `TLO_*` variables, explicit arguments.
//!
//! | key | variable | default | |
//! |---|---|---|---|
//! | `task_state_store` | `TLO_TASK_STATE_STORE` | `memory` | plugin name or URL |
//! | `task_registry` | `TLO_TASK_REGISTRY` | `memory` | plugin name or URL |
//! | `name` | `TLO_NAME` | the host's name | |
//! | `queues` | `TLO_QUEUES` | `default` and those of its tasks | list, or text with commas |
//! | `queue_weights` | `TLO_QUEUE_WEIGHTS` | `none`: strictly in order | table, or text: `mail=3,reports=1` |
//! | `concurrency` | `TLO_CONCURRENCY` | 16 | tasks at once |
//! | `prefetch` | `TLO_PREFETCH` | 0 | tasks leased beyond those that run, at most 1,000 |
//! | `lease` | `TLO_LEASE` | `30s` | at least `100ms` |
//! | `tick_interval` | `TLO_TICK_INTERVAL` | the store's | at least `1ms` |
//! | `stop_behavior` | `TLO_STOP_BEHAVIOR` | `drain` | `drain`, `cancel`, `ignore` |
//! | `drain_timeout` | `TLO_DRAIN_TIMEOUT` | `30s` | |
//! | `kill_grace` | `TLO_KILL_GRACE` | `5s` | |
//! | `retention.age` | `TLO_RETENTION__AGE` | the store's | duration or `forever` |
//! | `retention.count` | `TLO_RETENTION__COUNT` | the store's | number or `forever` |
//! | `payload_limit` | `TLO_PAYLOAD_LIMIT` | `1MiB` | bytes of args, of a result and of a report of progress, at most `1MiB` |
//! | `strict` | `TLO_STRICT` | `false` | boolean |
//! | `log_level` | `TLO_LOG_LEVEL` | `info` | `off`, `error`, `warn`, `info`, `debug`, `trace` |
//!
//! - **The file** is the one that is named explicitly, else `TLO_CONFIG`, else `tlo.toml` in the working directory. Only
//!   the last may be missing. Relative paths in it are relative to it. Its `[[tasks]]` are read by the commands.
//! - **Variables** nest by `__`: `TLO_RETENTION__AGE`. An empty one counts as unset. `TLO_TEST_*`, and what command tasks
//!   are told about themselves (`TLO_TASK_ID`, `TLO_TASK_NAME`, `TLO_ATTEMPT`, `TLO_SLOT`), are no settings.
//! - **Durations** are `250ms`, `30s`, `5m`, `1h30m`, `7d`, or a number of seconds. **Booleans** are `true`, `yes`, `on`, `1`,
//!   `false`, `no`, `off`, `0`; they and all other words may be in any case.
//! - **Queues** may be tables instead of a list: `[queues.mail]` with `limit` (so many run at once, at most), `rate` (`"10/1m"`)
//!   and `max_depth` (so many wait, at most), or `TLO_QUEUES__MAIL__LIMIT`. They hold in the whole cluster; see
//!   [`TloContextBuilder::limit`](crate::context::TloContextBuilder::limit).
//! - **Sections** belong to plugins: `[sqlite]`, `TLO_SQLITE__DURABILITY`.
//! - Every mistake is reported at once, each with its key, value and source, and with what would be right.

mod address;
mod choice;
mod duration_field;
mod environment;
mod extract;
mod file;
mod layer;
mod load;
mod loaded;
mod mistake;
mod number_field;
mod queue_limits;
mod queue_list;
mod redact;
mod retention;
mod scalar;
mod secret;
mod section;
mod source;

use std::collections::BTreeMap;
use std::time::Duration;

/// A path in settings that is relative to the file it stands in: `relative()` gives the path to use.
pub use figment::value::magic::RelativePathBuf;
use serde::{Deserialize, Serialize};

pub use self::address::PluginAddress;
pub use self::choice::{LogLevel, StopBehavior};
pub use self::loaded::{Loaded, SettingOrigin};
pub use self::mistake::Mistake;
pub use self::retention::{Keep, RetentionSettings};
pub use self::secret::Secret;
pub use self::section::Section;
pub use self::source::SettingsSource;
use crate::error::Result;
use crate::payload::PAYLOAD_LIMIT;

/// What a process is told: where tasks live, what it works on, and how it stops.
///
/// ```
/// use std::time::Duration;
/// use tlo::settings::{SettingsSource, StopBehavior, TloSettings};
///
/// let source = SettingsSource::empty().environment([
///     ("TLO_TASK_STATE_STORE", "sqlite:tlo.db"),
///     ("TLO_TICK_INTERVAL", "0.5"),
///     ("TLO_STOP_BEHAVIOR", "Cancel"),
/// ]);
/// let settings = TloSettings::load(&source)?.settings;
/// assert_eq!(settings.task_state_store.name(), "sqlite");
/// assert_eq!(settings.tick_interval, Some(Duration::from_millis(500)));
/// assert_eq!(settings.stop_behavior, StopBehavior::Cancel);
/// assert_eq!(settings.heartbeat(), Duration::from_secs(10));
/// # Ok::<(), tlo::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TloSettings {
    /// Where tasks live: the name of a plugin, or a URL whose scheme is the name. Default `memory`.
    pub task_state_store: PluginAddress,
    /// Where definitions live: the name of a plugin, or a URL whose scheme is the name. Default `memory`.
    pub task_registry: PluginAddress,

    /// The name of this worker, as others see it; 1 to 246 bytes. Default: the name of the host.
    #[serde(deserialize_with = "number_field::worker_name")]
    pub name: String,
    /// The queues that this worker serves, the first first. Default: `default`, and those of the tasks that it has handlers
    /// for, in the order of their registration.
    #[serde(deserialize_with = "queue_list::deserialize")]
    pub queues: Vec<String>,
    /// How many tasks a queue gets for those of the others, while all of them have some: with `{ mail = 3, reports = 1 }`
    /// three of four that start are `mail`. A queue that is not named here has a weight of 1. Default: none, and queues are
    /// served strictly in their order.
    #[serde(
        serialize_with = "queue_list::weights_as_text",
        deserialize_with = "queue_list::weights"
    )]
    pub queue_weights: BTreeMap<String, u32>,
    /// How many tasks run at once in this process. The default, 16, suits tasks that mostly wait for others; tasks that
    /// compute want the number of processors.
    #[serde(deserialize_with = "number_field::concurrency")]
    pub concurrency: usize,
    /// Tasks that this process leases beyond those that it runs, up to 1,000, to begin each the moment that a place is free.
    /// Until then no other process can have them, so it is for tasks that take milliseconds. Default 0.
    #[serde(deserialize_with = "number_field::prefetch")]
    pub prefetch: usize,
    /// How long a task belongs to a worker that is not heard of again, at least 100 ms. Default 30 s. It is renewed
    /// every third of that while the handler lives, so it does not bound how long a task may run.
    #[serde(
        serialize_with = "duration_field::serialize",
        deserialize_with = "duration_field::lease"
    )]
    pub lease: Duration,
    /// The longest pause between two looks at the store, at least 1 ms. Work is started by timers and by what the store
    /// tells, so this is a safety net. Default: the store's own, 1 s when it cannot tell, else 30 s.
    #[serde(
        serialize_with = "duration_field::serialize_tick",
        deserialize_with = "duration_field::deserialize_tick"
    )]
    pub tick_interval: Option<Duration>,

    /// What happens to running tasks when the process is asked to stop. Default `drain`.
    pub stop_behavior: StopBehavior,
    /// How long running tasks may finish when draining. Default 30 s.
    #[serde(with = "duration_field")]
    pub drain_timeout: Duration,
    /// How long a task that was told to stop may take before it is given up. Default 5 s.
    #[serde(with = "duration_field")]
    pub kill_grace: Duration,

    /// How long finished records are kept, where the store's own rule does not suit.
    #[serde(deserialize_with = "RetentionSettings::deserialize_optional")]
    pub retention: RetentionSettings,
    /// The largest args, result or report of progress, in bytes; at most 1 MiB, which is the default.
    #[serde(deserialize_with = "number_field::payload_size")]
    pub payload_limit: usize,

    /// Whether an error in a schedule ends the runner, instead of being recorded. Default false.
    #[serde(deserialize_with = "number_field::flag")]
    pub strict: bool,
    /// The least important log lines that commands write. Default `info`.
    pub log_level: LogLevel,
}

impl Default for TloSettings {
    fn default() -> Self {
        Self {
            task_state_store: PluginAddress::from("memory"),
            task_registry: PluginAddress::from("memory"),
            name: crate::host_name::host_name(),
            queues: vec!["default".to_owned()],
            queue_weights: BTreeMap::new(),
            concurrency: 16,
            prefetch: 0,
            lease: Duration::from_secs(30),
            tick_interval: None,
            stop_behavior: StopBehavior::Drain,
            drain_timeout: Duration::from_secs(30),
            kill_grace: Duration::from_secs(5),
            retention: RetentionSettings::default(),
            payload_limit: PAYLOAD_LIMIT,
            strict: false,
            log_level: LogLevel::Info,
        }
    }
}

impl TloSettings {
    /// Reads every source and checks everything.
    ///
    /// # Errors
    /// `Configuration` with every mistake at once: its key, value and source, and what would be right.
    pub fn load(source: &SettingsSource) -> Result<Loaded> {
        Self::check(source).map_err(|mistakes| mistake::error_of(&mistakes))
    }

    /// As [`load`](Self::load), with the mistakes one by one.
    ///
    /// # Errors
    /// Every mistake in every source.
    pub fn check(source: &SettingsSource) -> Result<Loaded, Vec<Mistake>> {
        load::load(source)
    }

    /// How often leases are renewed: every third of a lease.
    #[must_use]
    pub fn heartbeat(&self) -> Duration {
        self.lease / 3
    }
}
