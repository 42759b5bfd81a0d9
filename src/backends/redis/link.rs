//! The connection that all calls share: made when it is needed, made anew after it broke.

use std::fmt;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, RedisError, Value};
use tokio::sync::Mutex;

use super::args::Args;
use super::fault::{again, fault, spoils};
use super::options::RedisOptions;
use super::scripts::Script;
use crate::backends::deadline::within;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};

/// Between two tries to connect.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// How long replicas may take to have a write.
const REPLICAS_WITHIN: Duration = Duration::from_secs(1);

/// The way to a server.
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) options: RedisOptions,
    prefix: String,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    connection: Option<MultiplexedConnection>,
    /// Grows with each new connection, so that a call on an old one does not throw away a new one.
    number: u64,
    /// When the latest try to connect was given up, and why.
    failed: Option<(Duration, Error)>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Link {
    pub(super) fn new(options: RedisOptions) -> Result<Self> {
        let client =
            Client::open(options.url.as_str()).map_err(|source| fault("open redis", source))?;
        Ok(Self {
            client,
            prefix: options.prefix(),
            options,
            current: Mutex::default(),
        })
    }

    /// What all keys start with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    async fn connection(&self) -> Result<(MultiplexedConnection, u64)> {
        let asked = SystemClock.steady().at;
        let mut current = self.current.lock().await;
        if let Some(connection) = &current.connection {
            return Ok((connection.clone(), current.number));
        }
        // Whoever waited while another one tried in vain does not try as long once more.
        if let Some((at, error)) = &current.failed
            && *at > asked
        {
            return Err(again(error));
        }
        let connection = match self.connect().await {
            Ok(connection) => connection,
            Err(error) => {
                current.failed = Some((SystemClock.steady().at, again(&error)));
                return Err(error);
            }
        };
        current.connection = Some(connection.clone());
        current.number += 1;
        Ok((connection, current.number))
    }

    /// Tries until `connect_timeout` is over: a server that restarts is away for a moment, and then loads its data.
    async fn connect(&self) -> Result<MultiplexedConnection> {
        let patience = self.options.connect_timeout;
        let end = SystemClock.steady().at.saturating_add(patience);
        loop {
            let left = end.saturating_sub(SystemClock.steady().at);
            let failed = match within(left, self.try_to_connect()).await {
                Some(Ok(connection)) => return Ok(connection),
                Some(Err(source)) => fault("connect to redis", source),
                None => Error::new(
                    ErrorKind::Unavailable,
                    "connect to redis",
                    "the Redis server did not take the connection in time",
                ),
            };
            if !failed.is_retryable() || SystemClock.steady().at >= end {
                return Err(failed);
            }
            SystemClock.sleep(AGAIN_AFTER).await;
        }
    }

    async fn try_to_connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.options.connect_timeout))
            .set_response_timeout(Some(self.options.call_timeout));
        let mut connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        redis::cmd("PING")
            .query_async::<Value>(&mut connection)
            .await?;
        Ok(connection)
    }

    async fn forget(&self, number: u64) {
        let mut current = self.current.lock().await;
        if current.number == number {
            current.connection = None;
        }
    }

    /// Sends one command.
    pub(super) async fn ask(&self, operation: &'static str, command: &Cmd) -> Result<Value> {
        let sent = self.send(command).await;
        sent?.map_err(|source| fault(operation, source))
    }

    async fn send(&self, command: &Cmd) -> Result<Result<Value, RedisError>> {
        let (mut connection, number) = self.connection().await?;
        let answer = command.query_async::<Value>(&mut connection).await;
        if answer.as_ref().is_err_and(spoils) {
            self.forget(number).await;
        }
        Ok(answer)
    }

    /// Runs a script; the server is given it when it does not have it, and then nothing of it had run.
    pub(super) async fn eval(&self, script: &Script, args: &Args) -> Result<Value> {
        let command = self.command("EVALSHA", &script.sha, args);
        let mut answer = self.send(&command).await?;
        let is_unknown = |error: &RedisError| error.code() == Some("NOSCRIPT");
        if answer.as_ref().is_err_and(is_unknown) {
            self.ask(
                script.verb,
                redis::cmd("SCRIPT").arg("LOAD").arg(&script.source),
            )
            .await?;
            answer = self.send(&command).await?;
        }
        answer.map_err(|source| fault(script.verb, source))
    }

    fn command(&self, name: &str, script: &str, args: &Args) -> Cmd {
        let mut command = Cmd::with_capacity(args.len() + 4, args.bytes() + 128);
        command.arg(name).arg(script).arg(1).arg(&self.prefix);
        for arg in args.iter() {
            command.arg(arg);
        }
        command
    }

    /// Waits until as many replicas as asked for have what was written before.
    pub(super) async fn wait_for_replicas(&self, operation: &'static str) -> Result<()> {
        let wanted = self.options.wait_replicas;
        if wanted == 0 {
            return Ok(());
        }
        let mut wait = redis::cmd("WAIT");
        wait.arg(wanted)
            .arg(REPLICAS_WITHIN.as_millis().to_string());
        match self.ask(operation, &wait).await? {
            Value::Int(have) if have >= i64::from(wanted) => Ok(()),
            _ => Err(Error::new(
                ErrorKind::Unavailable,
                operation,
                format!(
                    "fewer than {wanted} replicas have this write after a second (wait_replicas); it was made and may be lost in a failover"
                ),
            )),
        }
    }
}
