//! Connections, with every promise read back.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::fault::fault;
use super::link::{Link, Way};
use super::names::Names;
use super::options::{PostgresDurability, PostgresOptions, PostgresPooler};
use super::schema;
use crate::backends::deadline::within;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};

/// Times that two connections give their sessions back to find out whether a pooler gives them others.
const PROBES: usize = 4;

/// What every session, or every transaction behind a pooler, is set to: plans by index whatever the statistics of a young
/// table say, no compilation of statements that take microseconds, and no new plan for each of them.
const SETTINGS: [&str; 3] = [
    "enable_seqscan = off",
    "jit = off",
    "plan_cache_mode = force_generic_plan",
];

/// Statements of ours that the server has worked on for a while, or whatever sessions do when it does not say. One that
/// waits for the rest of what it was sent is none: half of that was lost. One that waits for a lock is none, either: who has
/// that may be the very one whose connection is dead, and is found out only when it does not count.
const AT_WORK: &str = "SELECT count(*) FROM pg_stat_activity \
    WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid() \
    AND application_name = current_setting('application_name') \
    AND state NOT IN ('idle', 'idle in transaction', 'idle in transaction (aborted)') \
    AND wait_event IS DISTINCT FROM 'ClientRead' AND wait_event_type IS DISTINCT FROM 'Lock' \
    AND coalesce(query_start < statement_timestamp() - interval '1 second', true)";

/// Ends sessions of ours that have waited for the rest of what they were sent: it was lost with the connection, the server
/// has no timeout for that, and what they have locked is in the way of all others. One that is slow to send is cut, too, and
/// tries again, as after any cut.
const END_HALF_ASKED: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
    WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid() \
    AND application_name = current_setting('application_name') \
    AND state = 'active' AND wait_event = 'ClientRead' \
    AND query_start < statement_timestamp() - interval '3 seconds'";

/// How long a transaction may do nothing before the server ends it: one whose program is gone keeps what it has locked.
const IDLE: &str = "5s";

/// The server, too, finds out in seconds that a program is gone, whatever that had locked and half sent.
const KEEPALIVES: [&str; 3] = [
    "tcp_keepalives_idle = 10",
    "tcp_keepalives_interval = 5",
    "tcp_keepalives_count = 3",
];

/// Between two tries to connect.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What was read back of the server when the store was opened.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) version: String,
    pub(super) synchronous_commit: String,
    pub(super) fsync: String,
    pub(super) database: String,
}

/// The connections of a store.
pub(super) struct Connections {
    pool: Pool,
    pub(super) names: Names,
    pub(super) server: Server,
    /// Whether a pooler shares sessions between transactions.
    pub(super) pooled: bool,
    begin: String,
    /// How long connecting may take.
    patience: Duration,
    /// How long a call may take.
    pub(super) limit: Duration,
    config: tokio_postgres::Config,
    tls: MakeRustlsConnect,
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The configuration of the connections has a password.
        f.debug_struct("Connections")
            .field("names", &self.names)
            .field("server", &self.server)
            .field("pooled", &self.pooled)
            .finish_non_exhaustive()
    }
}

impl Connections {
    /// Connects, migrates, and reads back what the store promises. Runs on the thread of the connections.
    pub(super) async fn open(options: &PostgresOptions) -> Result<Self> {
        options.check()?;
        let config = config(options)?;
        let tls = MakeRustlsConnect::new(trust(options, &config)?);
        let names = Names::of(options);
        let patience = options.connect_timeout;
        let end = SystemClock.steady().at.saturating_add(patience);
        let mut client = loop {
            match connect(&config, &tls).await {
                Ok(client) => break client,
                Err(error) if may_come(end, &error) => SystemClock.sleep(AGAIN_AFTER).await,
                Err(error) => return Err(error),
            }
        };
        let server = read_back(&client, options).await?;
        schema::migrate(&mut client, &names).await?;
        let pooled = match options.pooler {
            PostgresPooler::Session => false,
            PostgresPooler::Transaction => true,
            PostgresPooler::Auto => is_pooled(&client, &config, &tls).await?,
        };
        drop(client);
        let relaxed = options.durability == PostgresDurability::Relaxed;
        let begin = begin(pooled, relaxed, options.call_timeout);
        let manager = Manager::from_config(
            config.clone(),
            tls.clone(),
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let mut builder = Pool::builder(manager)
            .max_size(options.connections)
            .wait_timeout(Some(options.call_timeout))
            .create_timeout(Some(options.connect_timeout))
            .recycle_timeout(Some(options.connect_timeout))
            .runtime(Runtime::Tokio1);
        if !pooled {
            let session = session();
            builder = builder.post_create(Hook::async_fn(move |client, _| {
                let session = session.clone();
                Box::pin(async move {
                    // The pool limits how long connecting takes, but not this.
                    match within(patience, client.batch_execute(&session)).await {
                        Some(set) => set.map_err(HookError::Backend),
                        None => Err(HookError::message(
                            "the PostgreSQL server did not answer on a new connection in time",
                        )),
                    }
                })
            }));
        }
        let pool = builder
            .build()
            .map_err(|error| Error::new(ErrorKind::Internal, "open postgres", error.to_string()))?;
        Ok(Self {
            pool,
            names,
            server,
            pooled,
            begin,
            patience,
            limit: options.call_timeout,
            config,
            tls,
        })
    }

    pub(super) async fn get(&self, operation: &'static str) -> Result<Object> {
        let end = SystemClock.steady().at.saturating_add(self.patience);
        loop {
            match self.try_to_get(operation).await {
                Err(error) if may_come(end, &error) => SystemClock.sleep(AGAIN_AFTER).await,
                got => return got,
            }
        }
    }

    async fn try_to_get(&self, operation: &'static str) -> Result<Object> {
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(source) => fault(operation, source),
            PoolError::PostCreateHook(HookError::Backend(source)) => fault(operation, source),
            PoolError::Timeout(_) => Error::new(
                ErrorKind::Unavailable,
                operation,
                "no connection to the PostgreSQL server was free or could be made in time; check that it runs, or raise postgres.connections",
            )
            .with_source(error),
            error => Error::new(ErrorKind::Unavailable, operation, error.to_string()),
        })
    }

    pub(super) fn link<'a>(&'a self, object: &'a Object) -> Link<'a> {
        let way = if self.pooled {
            Way::Unnamed(object)
        } else {
            Way::Prepared(object)
        };
        Link {
            way,
            names: &self.names,
            watch: Some(self),
        }
    }

    /// Begins a transaction with the settings that hold for it.
    pub(super) fn begin(&self) -> &str {
        &self.begin
    }

    /// A connection of its own, for listening.
    pub(super) async fn listener(&self) -> Result<Listener> {
        let mut config = self.config.clone();
        config.application_name("tlo listener");
        // The connection is polled for what it hears; it must not run somewhere else.
        let connecting = config.connect(self.tls.clone());
        match within(self.patience, connecting).await {
            Some(listener) => listener.map_err(|source| fault("listen", source)),
            None => Err(Error::new(
                ErrorKind::Timeout,
                "listen",
                "the PostgreSQL server did not take the connection in time",
            )),
        }
    }

    /// Whether the server can be reached on a new connection and has worked on nothing of ours for a second. What is left
    /// there of connections that died in the middle of a message is ended.
    pub(super) async fn works_on_nothing(&self) -> Result<bool> {
        let client = connect(&self.config, &self.tls).await?;
        let ended = client.query_typed(END_HALF_ASKED, &[]).await;
        let ended = ended.map_err(|source| fault("look at work", source))?;
        if !ended.is_empty() {
            tracing::warn!(
                sessions = ended.len(),
                "sessions were ended on the PostgreSQL server whose connections died in the middle of a message"
            );
        }
        let rows = client.query_typed(AT_WORK, &[]).await;
        let rows = rows.map_err(|source| fault("look at work", source))?;
        Ok(rows.first().is_some_and(|row| row.get::<_, i64>(0) == 0))
    }

    pub(super) fn close(&self) {
        self.pool.close();
    }
}

/// A client and the connection that it speaks over.
pub(super) type Listener = (
    tokio_postgres::Client,
    tokio_postgres::Connection<
        tokio_postgres::Socket,
        <MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<tokio_postgres::Socket>>::Stream,
    >,
);

fn session() -> String {
    let settings = SETTINGS.into_iter().chain(KEEPALIVES);
    let settings: Vec<_> = settings.map(|setting| format!("SET {setting}")).collect();
    settings.join("; ")
}

fn begin(pooled: bool, relaxed: bool, limit: Duration) -> String {
    let mut begin = vec!["BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE".to_owned()];
    // What the caller gave up must not go on there for ever.
    begin.push(format!(
        "SET LOCAL statement_timeout = {}",
        limit.as_millis().max(1)
    ));
    begin.push(format!(
        "SET LOCAL idle_in_transaction_session_timeout = '{IDLE}'"
    ));
    if relaxed {
        begin.push("SET LOCAL synchronous_commit = off".to_owned());
    }
    if pooled {
        begin.extend(SETTINGS.map(|setting| format!("SET LOCAL {setting}")));
    }
    begin.join("; ")
}

fn config(options: &PostgresOptions) -> Result<tokio_postgres::Config> {
    let mut config: tokio_postgres::Config = options.url.parse().map_err(|_| {
        Error::new(
            ErrorKind::Configuration,
            "open postgres",
            "the URL cannot be read",
        )
    })?;
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(options.connect_timeout);
    }
    if config.get_application_name().is_none() {
        config.application_name("tlo");
    }
    // A way that swallows everything is found out in seconds, not in hours.
    config.keepalives_idle(Duration::from_secs(10));
    config.keepalives_interval(Duration::from_secs(5));
    config.keepalives_retries(3);
    config.tcp_user_timeout(options.call_timeout);
    Ok(config)
}

/// Whom the connection trusts.
fn trust(
    options: &PostgresOptions,
    config: &tokio_postgres::Config,
) -> Result<rustls::ClientConfig> {
    let bad = |message: String| Error::new(ErrorKind::Configuration, "open postgres", message);
    let mut roots = rustls::RootCertStore::empty();
    if config.get_ssl_mode() != SslMode::Disable {
        match &options.tls_ca {
            Some(path) => {
                let unreadable = |why: String| {
                    bad(format!(
                        "tls_ca, \"{}\", cannot be used: {why}",
                        path.display()
                    ))
                };
                let certificates = CertificateDer::pem_file_iter(path)
                    .map_err(|error| unreadable(error.to_string()))?;
                for certificate in certificates {
                    let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
                    roots
                        .add(certificate)
                        .map_err(|error| unreadable(error.to_string()))?;
                }
            }
            None => {
                let (added, _) =
                    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                tracing::debug!(added, "certificates of the system");
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Whether to try once more: a server that restarts is away for a moment.
fn may_come(end: Duration, failed: &Error) -> bool {
    let left = SystemClock.steady().at + AGAIN_AFTER < end;
    if left && failed.kind() == ErrorKind::Unavailable {
        tracing::debug!(error = %failed, "no connection to PostgreSQL yet");
        return true;
    }
    false
}

async fn connect(
    config: &tokio_postgres::Config,
    tls: &MakeRustlsConnect,
) -> Result<tokio_postgres::Client> {
    let (client, connection) = config
        .connect(tls.clone())
        .await
        .map_err(|source| fault("open postgres", source))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to PostgreSQL ended");
        }
    });
    Ok(client)
}

/// What the server says of itself; refuses one that cannot keep the promise.
async fn read_back(client: &tokio_postgres::Client, options: &PostgresOptions) -> Result<Server> {
    let sql = "SELECT current_setting('server_version_num')::int, current_setting('server_version'), \
        current_setting('synchronous_commit'), current_setting('fsync'), current_setting('full_page_writes'), \
        current_database()::text";
    let rows = client
        .query_typed(sql, &[])
        .await
        .map_err(|source| fault("open postgres", source))?;
    let row = rows.first().ok_or_else(|| {
        Error::new(
            ErrorKind::Internal,
            "open postgres",
            "the server said nothing of itself",
        )
    })?;
    let refused = |message: String| {
        Err(Error::new(
            ErrorKind::Configuration,
            "open postgres",
            message,
        ))
    };
    let version: i32 = row.get(0);
    let text = |n: usize| row.get::<_, String>(n);
    if version < 140_000 {
        return refused(format!(
            "the server is PostgreSQL {}; the store needs 14 or newer",
            text(1)
        ));
    }
    if options.durability == PostgresDurability::Strict {
        for (name, value) in [
            ("synchronous_commit", text(2)),
            ("fsync", text(3)),
            ("full_page_writes", text(4)),
        ] {
            if value == "off" {
                return refused(format!(
                    "the server answered {name}=off, so it cannot keep what it confirmed; turn it on (ALTER SYSTEM, or ALTER ROLE … SET), or choose durability = \"relaxed\""
                ));
            }
        }
    }
    Ok(Server {
        version: text(1),
        synchronous_commit: match options.durability {
            PostgresDurability::Strict => text(2),
            PostgresDurability::Relaxed => "off".to_owned(),
        },
        fsync: text(3),
        database: text(5),
    })
}

/// Whether what stands between gives sessions to transactions: then the server processes of two connections change, at the
/// latest when each gives its own back and takes the one that is given out next, be it the newest or the oldest.
async fn is_pooled(
    first: &tokio_postgres::Client,
    config: &tokio_postgres::Config,
    tls: &MakeRustlsConnect,
) -> Result<bool> {
    let second = &connect(config, tls).await?;
    let before = (process(first).await?, process(second).await?);
    if before.0 == before.1 {
        return Ok(true);
    }
    for order in [[first, second], [second, first]]
        .iter()
        .cycle()
        .take(PROBES)
    {
        for statement in ["BEGIN", "COMMIT"] {
            for client in order {
                let done = client.batch_execute(statement).await;
                done.map_err(|source| fault("open postgres", source))?;
            }
        }
        if (process(first).await?, process(second).await?) != before {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn process(client: &tokio_postgres::Client) -> Result<i32> {
    let rows = client.query_typed("SELECT pg_backend_pid()", &[]).await;
    let rows = rows.map_err(|source| fault("open postgres", source))?;
    Ok(rows.first().map_or(0, |row| row.get(0)))
}
