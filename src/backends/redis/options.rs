//! What can be chosen about a store on Redis.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::place::Place;
use crate::backends::deadline::CALL_TIMEOUT;
use crate::error::{Error, ErrorKind, Result};
use crate::schedule::{duration_text, format_duration};

/// What the server must promise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedisDurability {
    /// An append-only file (`appendonly yes`), and no policy that evicts tasks when memory runs out. A server without is
    /// refused.
    #[default]
    Strict,
    /// Whatever the server is set to, also nothing: tasks may be lost when it restarts or runs out of memory.
    Relaxed,
}

/// Which server a store is on and how it behaves.
///
/// ```
/// use tlo::RedisOptions;
/// let options = RedisOptions { namespace: "shop".to_owned(), ..RedisOptions::at("redis://127.0.0.1:6379/0") };
/// assert_eq!(options.connect_timeout.as_secs(), 5);
/// ```
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedisOptions {
    /// The server: `redis://user:password@host:port/db`, `rediss://…` with TLS (feature `redis-tls`), or
    /// `redis+unix:///path?db=0`. `redis://127.0.0.1:6379/0` unless given. It is never shown, for it may hold a password.
    ///
    /// A cluster is `redis://user:password@host1:port,host2:port/?cluster=true`, with some of its nodes: those are asked
    /// which one has the slot of the namespace. `redis+sentinel://user:password@host1:port,host2:port/name/db` names
    /// sentinels, which say which server called `name` takes writes: all of them are asked, and who has seen the latest
    /// failover is believed. User and password are the server's. `rediss://…` and `rediss+sentinel://…` are the same with
    /// TLS.
    pub url: String,
    /// Everything lies in keys that start with `{tlo:<namespace>}`, in one slot of a cluster. Letters, digits, `_`, `-`
    /// and `.`, at most 128. `tlo` unless given.
    pub namespace: String,
    /// What the server must promise; strict unless chosen otherwise.
    pub durability: RedisDurability,
    /// How long to try to connect, also when the connection broke; then a call fails as `Unavailable`. 5 s unless given.
    #[serde(with = "duration_text")]
    pub connect_timeout: Duration,
    /// How long a call may take in all; then it ends as `Timeout`. Longer than `connect_timeout`. 30 s unless given.
    #[serde(with = "duration_text")]
    pub call_timeout: Duration,
    /// A write is answered when this many replicas have it (`WAIT`); fewer within a second is an error, and the write may
    /// be lost in a failover. As many as there are replicas lose nothing that was answered, whichever of them takes over; with
    /// fewer it may be one that lacks the latest. 0 unless given.
    pub wait_replicas: u32,
    /// A file of certificates (PEM) that sign the certificate of the server, for `rediss://`; those of the system unless
    /// given.
    pub tls_ca: Option<PathBuf>,
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("url", &"***")
            .field("namespace", &self.namespace)
            .field("durability", &self.durability)
            .field("connect_timeout", &self.connect_timeout)
            .field("call_timeout", &self.call_timeout)
            .field("wait_replicas", &self.wait_replicas)
            .field("tls_ca", &self.tls_ca)
            .finish()
    }
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self::at("redis://127.0.0.1:6379/0")
    }
}

/// The longest namespace.
const NAMESPACE_LIMIT: usize = 128;

impl RedisOptions {
    /// The defaults, for this server.
    #[must_use]
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            namespace: "tlo".to_owned(),
            durability: RedisDurability::default(),
            connect_timeout: Duration::from_secs(5),
            call_timeout: CALL_TIMEOUT,
            wait_replicas: 0,
            tls_ca: None,
        }
    }

    /// What all keys start with.
    pub(super) fn prefix(&self) -> String {
        format!("{{tlo:{}}}:", self.namespace)
    }

    /// Refuses values that cannot work.
    pub(super) fn check(&self) -> Result<()> {
        match self.wrong() {
            Some((_, message)) => Err(Error::new(ErrorKind::Configuration, "open redis", message)),
            None => Ok(()),
        }
    }

    /// The first field whose value cannot work, and why.
    pub(crate) fn wrong(&self) -> Option<(&'static str, String)> {
        if let Err(message) = Place::of(self) {
            let field = match message.starts_with("tls_ca") {
                true => "tls_ca",
                false => "url",
            };
            return Some((field, message));
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if self.namespace.is_empty()
            || self.namespace.len() > NAMESPACE_LIMIT
            || !self.namespace.chars().all(is_plain)
        {
            let message = format!(
                "the namespace {:?} cannot be used; use 1 to {NAMESPACE_LIMIT} letters, digits, \"_\", \"-\" and \".\"",
                self.namespace
            );
            return Some(("namespace", message));
        }
        if self.connect_timeout.is_zero() {
            return Some(("connect_timeout", "connect_timeout is 0".to_owned()));
        }
        if self.call_timeout <= self.connect_timeout {
            let message = format!(
                "call_timeout is {} and connect_timeout is {}; a call must be allowed to take longer than it takes to connect",
                format_duration(self.call_timeout),
                format_duration(self.connect_timeout)
            );
            return Some(("call_timeout", message));
        }
        None
    }
}
