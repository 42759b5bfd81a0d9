//! What the server promises: read back when the store is opened, insisted on, and shown to people.

use std::collections::HashMap;
use std::time::Duration;

use redis::Value;

use super::link::Link;
use super::options::RedisDurability;
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Capability, Durability, Retention};

/// The oldest server that has what the scripts need.
const OLDEST: u32 = 7;

/// Finished records are kept in memory: fewer than elsewhere.
const RETENTION: Retention = Retention {
    age: Some(Duration::from_secs(86_400)),
    count: Some(100_000),
};

/// How often to look when no hint comes.
const POLL: Duration = Duration::from_secs(1);

/// What the server said of itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    version: String,
    is_valkey: bool,
    role: String,
    /// Those that follow it now.
    replicas: u32,
    append_only: bool,
    /// `None` when the user may not ask.
    fsync: Option<String>,
    /// `aof-load-truncated`, the same.
    load_truncated: Option<String>,
    eviction: String,
    memory: String,
    limit: String,
}

impl Facts {
    /// Asks the server.
    pub(super) async fn read(link: &Link) -> Result<Self> {
        let info = link.ask("open redis", &redis::cmd("INFO")).await?;
        let text = match info {
            Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Value::VerbatimString { text, .. } => text,
            _ => String::new(),
        };
        let said: HashMap<&str, &str> = text.lines().filter_map(|l| l.split_once(':')).collect();
        let of = |name: &str| said.get(name).copied().unwrap_or_default().to_owned();
        Ok(Self {
            version: of("redis_version"),
            is_valkey: said.get("server_name") == Some(&"valkey"),
            role: of("role"),
            replicas: of("connected_slaves").parse().unwrap_or_default(),
            append_only: of("aof_enabled") == "1",
            fsync: setting(link, "appendfsync").await,
            load_truncated: setting(link, "aof-load-truncated").await,
            eviction: of("maxmemory_policy"),
            memory: of("used_memory_human"),
            limit: of("maxmemory_human"),
        })
    }

    /// Refuses a server that does not promise what was asked for.
    pub(super) fn check(&self, durability: RedisDurability) -> Result<()> {
        let major = self.version.split('.').next().and_then(|n| n.parse().ok());
        if major.is_none_or(|major: u32| major < OLDEST) {
            return Err(refused(
                ErrorKind::Unsupported,
                format!(
                    "the Redis server has version {:?}; TLO needs {OLDEST} or newer, or Valkey",
                    self.version
                ),
            ));
        }
        if self.role != "master" {
            return Err(refused(
                ErrorKind::Configuration,
                format!(
                    "the Redis server is a {}; name the one that takes writes",
                    self.role
                ),
            ));
        }
        if durability == RedisDurability::Relaxed {
            return Ok(());
        }
        if !self.append_only {
            return Err(refused(
                ErrorKind::Configuration,
                "the Redis server has appendonly no, so tasks are lost when it stops; set appendonly yes in its configuration (CONFIG SET appendonly yes), or choose durability = \"relaxed\" in [redis] to accept that".to_owned(),
            ));
        }
        if self.eviction.starts_with("allkeys") {
            return Err(refused(
                ErrorKind::Configuration,
                format!(
                    "the Redis server has maxmemory-policy {}, so tasks are thrown away when memory runs out; set maxmemory-policy noeviction, or choose durability = \"relaxed\" in [redis] to accept that",
                    self.eviction
                ),
            ));
        }
        Ok(())
    }

    fn promise(&self) -> (Durability, &'static str) {
        if !self.append_only {
            return (
                Durability::None,
                "without an append-only file: what was written since its last snapshot is lost when the server stops",
            );
        }
        match self.fsync.as_deref() {
            Some("always") => (
                Durability::Power,
                "what was answered survives a power failure (appendfsync always)",
            ),
            // While a sync is under way the server answers before it has written at all, for two seconds at most.
            Some("everysec") => (
                Durability::Process,
                "the sudden death of the server or a power failure may take the last two seconds (appendfsync everysec; always takes nothing)",
            ),
            Some("no") => (
                Durability::Process,
                "what was answered survives the death of the server; a power failure may take half a minute (appendfsync no)",
            ),
            _ => (
                Durability::Process,
                "what was answered survives the death of the server; what a power failure may take is not known, for the server does not tell its appendfsync",
            ),
        }
    }

    /// What the store promises.
    pub(super) fn capability(&self, link: &Link) -> Capability {
        let (durability, promise) = self.promise();
        // It cuts the file in the middle of a commit and appends the next one, which then brings the half back.
        let torn = match self.load_truncated.as_deref() {
            Some("yes") if self.append_only => {
                "; if it dies in a write, half a commit that nobody was answered may come back with the start after the next and damage tasks (aof-load-truncated yes; no prevents it)"
            }
            _ => "",
        };
        let replicas = match link.options.wait_replicas {
            0 => "a failover may take what the replica did not have yet".to_owned(),
            // Who takes over may be the one that is not among them.
            wanted if wanted < self.replicas => format!(
                "a failover may take what only {wanted} of its {0} replicas had (wait_replicas; {0} takes nothing)",
                self.replicas
            ),
            wanted => format!(
                "a failover takes nothing that was answered, unless there are more than {wanted} replicas (wait_replicas)"
            ),
        };
        Capability {
            name: "redis",
            durability,
            shared: true,
            pushes: true,
            retention: RETENTION,
            poll: POLL,
            promise: format!(
                "in the namespace \"{}\" of a Redis server; {promise}{torn}; {replicas}",
                link.options.namespace
            ),
            facts: self.list(link),
        }
    }

    fn list(&self, link: &Link) -> Vec<(&'static str, String)> {
        let name = if self.is_valkey {
            "valkey, as redis"
        } else {
            "redis"
        };
        let yes_or_no = if self.append_only { "yes" } else { "no" };
        let unknown = "the server does not tell";
        vec![
            ("server", format!("{name} {}", self.version)),
            ("keys", format!("{}*", link.prefix())),
            ("appendonly", format!("{yes_or_no}, read back")),
            (
                "appendfsync",
                self.fsync.clone().unwrap_or_else(|| unknown.to_owned()),
            ),
            (
                "aof-load-truncated",
                self.load_truncated
                    .clone()
                    .unwrap_or_else(|| unknown.to_owned()),
            ),
            (
                "replicas",
                format!(
                    "{} follow it, a write waits for {}",
                    self.replicas, link.options.wait_replicas
                ),
            ),
            (
                "maxmemory",
                format!("{} used of {}, {}", self.memory, self.limit, self.eviction),
            ),
        ]
    }
}

fn refused(kind: ErrorKind, message: String) -> Error {
    Error::new(kind, "open redis", message)
}

/// A setting of the server; some hosts do not let anybody ask.
async fn setting(link: &Link, name: &str) -> Option<String> {
    let mut ask = redis::cmd("CONFIG");
    ask.arg("GET").arg(name);
    link.ask("open redis", &ask).await.ok().and_then(second)
}

/// The value of an answer of name and value.
fn second(answer: Value) -> Option<String> {
    let value = match answer {
        Value::Array(mut pair) if pair.len() == 2 => pair.pop()?,
        Value::Map(mut pairs) => pairs.pop()?.1,
        _ => return None,
    };
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}
