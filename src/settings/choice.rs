//! Settings that are one word of a few.

use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};
use tracing::level_filters::LevelFilter;

use crate::schedule::nearest::nearest;

/// What a process does with its work when it is asked to stop. None of these touches what other processes run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StopBehavior {
    /// Stop claiming and finish what runs, for at most `drain_timeout`; then cancel it, and give back what is still
    /// not done after `kill_grace`.
    #[default]
    Drain,
    /// Cancel what runs at once and give it back.
    Cancel,
    /// Leave at once; the leases run out and others take the tasks.
    Ignore,
}

/// The least important log lines that are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// Faults of TLO itself.
    Error,
    /// What a person should look at.
    Warn,
    /// What happens: starts, stops, decisions.
    #[default]
    Info,
    /// What happens to each task.
    Debug,
    /// Every step.
    Trace,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Off => Self::OFF,
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

macro_rules! words {
    ($name:ident, $what:literal, $($variant:ident = $word:literal $(| $also:literal)*),+) => {
        impl $name {
            /// The word that stands for it in settings.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                const WORDS: &[&str] = &[$($word),+];
                let text = super::scalar::text(deserializer, $what)?;
                match text.to_ascii_lowercase().as_str() {
                    $($word $(| $also)* => Ok(Self::$variant),)+
                    _ => Err(D::Error::custom(none_of(&text, WORDS))),
                }
            }
        }
    };
}

words!(
    StopBehavior,
    "drain, cancel or ignore",
    Drain = "drain",
    Cancel = "cancel",
    Ignore = "ignore"
);
words!(
    LogLevel,
    "off, error, warn, info, debug or trace",
    Off = "off",
    Error = "error",
    Warn = "warn" | "warning",
    Info = "info",
    Debug = "debug",
    Trace = "trace"
);

/// `expected one of a, b, c; did you mean b?`
pub(super) fn none_of(text: &str, words: &[&str]) -> String {
    let mut why = format!("expected one of {}", words.join(", "));
    if let Some(meant) = nearest(text, words.iter().copied(), 1).first() {
        why.push_str(&format!("; did you mean {meant}?"));
    }
    why
}
