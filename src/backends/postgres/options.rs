//! What can be chosen about a PostgreSQL store.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backends::deadline::CALL_TIMEOUT;
use crate::error::{Error, ErrorKind, Result};
use crate::schedule::{duration_text, format_duration};

/// What a commit waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PostgresDurability {
    /// For the disk of the server, as `synchronous_commit` says there; `off` and a server without `fsync` are refused.
    /// What was answered survives a power failure.
    #[default]
    Strict,
    /// For nothing: `synchronous_commit = off`. A crash of the server may take what was answered in the latest
    /// `3 × wal_writer_delay`, about 0.6 s; what is left is whole.
    Relaxed,
}

/// What stands between the store and the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PostgresPooler {
    /// Found out when the store is opened: two connections that are served by one process of the server are pooled.
    #[default]
    Auto,
    /// Nothing, or a pooler that keeps a session for each connection: prepared statements and `LISTEN` are used.
    Session,
    /// A pooler that gives a session to a transaction at a time, as PgBouncer does with `pool_mode = transaction`: the
    /// store uses no named statements and polls instead of listening.
    Transaction,
}

/// Where a PostgreSQL store is and how it behaves.
///
/// ```
/// use tlo::PostgresOptions;
/// let options = PostgresOptions { schema: "jobs".to_owned(), ..PostgresOptions::at("postgres://app:secret@db/app") };
/// assert_eq!(options.connections, 8);
/// assert!(!format!("{options:?}").contains("secret"));
/// ```
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PostgresOptions {
    /// The database, as `postgres://user:password@host:5432/name`; what `libpq` calls a connection string works, too.
    /// Of a primary and its standbys, all are named, `postgres://user:password@host1,host2/name?target_session_attrs=read-write`.
    /// Never printed.
    pub url: String,
    /// The schema of the tables, made when it is not there: a small letter or `_`, then at most 47 of those and digits.
    /// `tlo` unless given.
    pub schema: String,
    /// What the names of the tables begin with: nothing, or the same letters as in `schema`, at most 16. Nothing unless
    /// given. Several stores can share a schema so.
    pub table_prefix: String,
    /// Connections, 2 to 200; opened when needed. 8 unless given; one more listens for hints.
    pub connections: usize,
    /// How long to try to connect, also when a server that was there is away; then a call fails as `Unavailable`. 5 s unless
    /// given.
    #[serde(with = "duration_text")]
    pub connect_timeout: Duration,
    /// How long a call may take in all; then it ends as `Timeout`. Longer than `connect_timeout`. 30 s unless given.
    #[serde(with = "duration_text")]
    pub call_timeout: Duration,
    /// What a commit waits for; strict unless chosen otherwise.
    pub durability: PostgresDurability,
    /// What stands between; found out unless told.
    pub pooler: PostgresPooler,
    /// A file of certificates (PEM) that sign the certificate of the server; those of the system unless given. They are
    /// used when the URL says `sslmode=require`, or `prefer`, the default, and the server offers TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_ca: Option<PathBuf>,
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("url", &"***")
            .field("schema", &self.schema)
            .field("table_prefix", &self.table_prefix)
            .field("connections", &self.connections)
            .field("connect_timeout", &self.connect_timeout)
            .field("call_timeout", &self.call_timeout)
            .field("durability", &self.durability)
            .field("pooler", &self.pooler)
            .field("tls_ca", &self.tls_ca)
            .finish()
    }
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self::at("")
    }
}

impl PostgresOptions {
    /// The defaults, for this database.
    #[must_use]
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            schema: "tlo".to_owned(),
            table_prefix: String::new(),
            connections: 8,
            connect_timeout: Duration::from_secs(5),
            call_timeout: CALL_TIMEOUT,
            durability: PostgresDurability::default(),
            pooler: PostgresPooler::default(),
            tls_ca: None,
        }
    }

    /// Refuses values that cannot work.
    pub(super) fn check(&self) -> Result<()> {
        match self.wrong() {
            Some((_, message)) => Err(Error::new(
                ErrorKind::Configuration,
                "open postgres",
                message,
            )),
            None => Ok(()),
        }
    }

    /// The first field whose value cannot work, and why.
    pub(crate) fn wrong(&self) -> Option<(&'static str, String)> {
        if self.url.is_empty() || self.url.trim_end_matches(':').len() <= "postgresql".len() {
            let message = "no database is named; set task_state_store or postgres.url to one, such as postgres://user:password@host/database";
            return Some(("url", message.to_owned()));
        }
        if let Err(error) = self.url.parse::<tokio_postgres::Config>() {
            // What the parser says can quote the URL, and that has a password.
            let _ = error;
            let message = "the URL cannot be read; write postgres://user:password@host:5432/database, with %-codes for what is special in user and password";
            return Some(("url", message.to_owned()));
        }
        if self.schema.is_empty() || !is_plain(&self.schema, 48) || self.schema.starts_with("pg_") {
            return Some(("schema", wrong_name("schema", &self.schema, 48)));
        }
        if !is_plain(&self.table_prefix, 16) {
            return Some((
                "table_prefix",
                wrong_name("table_prefix", &self.table_prefix, 16),
            ));
        }
        if !(2..=200).contains(&self.connections) {
            let message = format!("connections is {}; it must be 2 to 200", self.connections);
            return Some(("connections", message));
        }
        if self.connect_timeout.is_zero() || self.call_timeout <= self.connect_timeout {
            let message = format!(
                "call_timeout is {} and connect_timeout is {}; a call must be allowed to take longer than connecting, and that longer than nothing",
                format_duration(self.call_timeout),
                format_duration(self.connect_timeout)
            );
            return Some(("call_timeout", message));
        }
        None
    }
}

fn is_plain(name: &str, limit: usize) -> bool {
    name.len() <= limit
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn wrong_name(field: &str, name: &str, limit: usize) -> String {
    format!(
        "{field} is {name:?}; use small letters, digits and \"_\", at most {limit}, and neither a digit nor \"pg_\" first"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_sql_are_refused() {
        let wrong = |schema: &str, prefix: &str| {
            let options = PostgresOptions {
                schema: schema.to_owned(),
                table_prefix: prefix.to_owned(),
                ..PostgresOptions::at("postgres://me@host/db")
            };
            options.wrong().map(|(field, _)| field)
        };
        assert_eq!(wrong("tlo", ""), None);
        assert_eq!(wrong("_a1", "b_"), None);
        for schema in ["", "a b", "a\"", "A", "é", "1a", "pg_catalog", "a;", "a.b"] {
            assert_eq!(wrong(schema, ""), Some("schema"), "{schema}");
        }
        assert_eq!(wrong("tlo", "a'"), Some("table_prefix"));
    }

    #[test]
    fn a_url_is_checked_and_never_shown() {
        for url in [
            "",
            "postgres:",
            "postgresql:",
            "postgres://me:canary@host:port/db",
        ] {
            let (field, message) = PostgresOptions::at(url).wrong().unwrap();
            assert_eq!(field, "url", "{url}");
            assert!(!message.contains("canary"), "{message}");
        }
        let options = PostgresOptions::at("postgres://me:canary@host/db");
        assert_eq!(options.wrong(), None);
        assert!(!format!("{options:?}").contains("canary"));
    }
}
