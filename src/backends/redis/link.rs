//! The connection that all calls share: made when it is needed, made anew after it broke.

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ConnectionAddr, RedisError, Value};
use tokio::sync::Mutex;

use super::args::Args;
use super::fault::{again, breaks, fault, passes, spoils};
use super::options::RedisOptions;
use super::place::Place;
use super::scripts::Script;
use crate::backends::deadline::within;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};

/// Between two tries to connect.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// How long a call waits before it looks whether the server answers others meanwhile.
const SILENT_AFTER: Duration = Duration::from_secs(2);

/// How often a script is given to a server at most, in one call.
const GIVEN: usize = 3;

/// How long replicas may take to have a write.
const REPLICAS_WITHIN: Duration = Duration::from_secs(1);

/// The way to a server.
pub(super) struct Link {
    pub(super) place: Place,
    pub(super) options: RedisOptions,
    prefix: String,
    current: Mutex<Current>,
    /// When it was looked last whether the server answers on a new connection, and whether it did.
    looked: Mutex<(Duration, bool)>,
}

/// A connection, and where it leads.
type Connected = (Connection, ConnectionAddr);

#[derive(Clone)]
struct Connection {
    connection: MultiplexedConnection,
    /// What the server calls itself from its start to its end, and as long as it takes the writes.
    server: Arc<str>,
}

#[derive(Default)]
struct Current {
    connection: Option<Connection>,
    /// Where the latest one leads.
    address: Option<ConnectionAddr>,
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
        let place = Place::of(&options)
            .map_err(|message| Error::new(ErrorKind::Configuration, "open redis", message))?;
        Ok(Self {
            place,
            prefix: options.prefix(),
            options,
            current: Mutex::default(),
            looked: Mutex::default(),
        })
    }

    /// What all keys start with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The connection; one that has to be made first is tried until `end`.
    async fn connection(&self, end: Duration) -> Result<(Connection, u64)> {
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
        let (connection, address) = match self.connect(end).await {
            Ok(connected) => connected,
            Err(error) => {
                current.failed = Some((SystemClock.steady().at, again(&error)));
                return Err(error);
            }
        };
        current.connection = Some(connection.clone());
        current.address = Some(address);
        current.number += 1;
        Ok((connection, current.number))
    }

    /// Tries again and again: a server that restarts is away for a moment, and then loads its data.
    async fn connect(&self, end: Duration) -> Result<Connected> {
        // A try that hangs leaves time for another: who takes writes may be another one by then.
        let longest = self.options.connect_timeout / 2;
        let mut heard = None;
        loop {
            let left = end.saturating_sub(SystemClock.steady().at);
            let failed = match within(left.min(longest), self.try_to_connect()).await {
                Some(Ok(connected)) => return Ok(connected),
                Some(Err(error)) => error,
                // What was heard last says more than that nothing was heard since.
                None => heard.take().unwrap_or_else(|| {
                    Error::new(
                        ErrorKind::Unavailable,
                        "connect to redis",
                        "the Redis server did not take the connection in time",
                    )
                }),
            };
            if !failed.is_retryable() || SystemClock.steady().at >= end {
                return Err(failed);
            }
            heard = Some(failed);
            SystemClock.sleep(AGAIN_AFTER).await;
        }
    }

    /// In a box, as it is rare: every call holds this, and what holds calls would else be of a depth that compilers refuse.
    fn try_to_connect(&self) -> Pin<Box<dyn Future<Output = Result<Connected>> + Send + '_>> {
        Box::pin(self.connect_once())
    }

    async fn connect_once(&self) -> Result<Connected> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.options.connect_timeout))
            .set_response_timeout(Some(self.options.call_timeout));
        let failed = |source| fault("connect to redis", source);
        let client = self.place.find().await?;
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(failed)?;
        if self.place.is_named_by_sentinels() {
            let role: Vec<Value> = redis::cmd("ROLE")
                .query_async(&mut connection)
                .await
                .map_err(failed)?;
            if role.first() != Some(&Value::BulkString(b"master".to_vec())) {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    "connect to redis",
                    "the Redis server that the sentinels name is a replica: a failover is under way",
                ));
            }
            // One that was replaced since the sentinels were asked, and has started again, takes itself for the one.
            let named = self.place.find().await?;
            if named.get_connection_info().addr() != client.get_connection_info().addr() {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    "connect to redis",
                    "the sentinels name another Redis server by now: a failover is under way",
                ));
            }
        } else {
            redis::cmd("PING")
                .query_async::<Value>(&mut connection)
                .await
                .map_err(failed)?;
        }
        let info = redis::cmd("INFO")
            .arg("server")
            .arg("replication")
            .query_async::<String>(&mut connection)
            .await
            .map_err(failed)?;
        let of = |name: &str| info.lines().find_map(|line| line.strip_prefix(name));
        let server = match (of("run_id:"), of("master_replid:")) {
            (Some(run), Some(reign)) => format!("{run}:{reign}"),
            (run, reign) => run.or(reign).unwrap_or_default().to_owned(),
        };
        let connection = Connection {
            server: Arc::from(server),
            connection,
        };
        Ok((connection, client.get_connection_info().addr().clone()))
    }

    /// Leaves a server that was replaced and answers still, as one does that its sentinels cannot reach. Says which server
    /// the sentinels name, where there are sentinels.
    pub(super) async fn leave_replaced(&self) -> Option<ConnectionAddr> {
        if !self.place.is_named_by_sentinels() {
            return None;
        }
        let named = self.place.find().await.ok()?;
        let named = named.get_connection_info().addr();
        let mut current = self.current.lock().await;
        if current.address.as_ref() != Some(named) {
            current.connection = None;
        }
        Some(named.clone())
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
        let (answer, _) = self.send_numbered(|_| command.clone(), false).await?;
        Ok(answer)
    }

    /// Sends a command, made for the server that it goes to; again as long as the server did nothing of it for a reason that
    /// passes, and one that only reads also when its connection broke. Says on which connection.
    async fn send_numbered(
        &self,
        command: impl Fn(&str) -> Cmd,
        reads: bool,
    ) -> Result<(Result<Value, RedisError>, u64)> {
        let patience = self.options.connect_timeout;
        let end = SystemClock.steady().at.saturating_add(patience);
        loop {
            let (Connection { connection, server }, number) = self.connection(end).await?;
            let answer = self.answer(connection, number, &command(&server)).await?;
            let Err(error) = &answer else {
                return Ok((answer, number));
            };
            if spoils(error) {
                self.forget(number).await;
            }
            let passes = passes(error, self.place.moves()) || (reads && breaks(error));
            if !passes || SystemClock.steady().at + AGAIN_AFTER >= end {
                return Ok((answer, number));
            }
            SystemClock.sleep(AGAIN_AFTER).await;
        }
    }

    /// Waits for an answer. A connection on which nothing comes while the server answers on another is dead, though nobody
    /// said so: what is between forgot it.
    async fn answer(
        &self,
        mut connection: MultiplexedConnection,
        number: u64,
        command: &Cmd,
    ) -> Result<Result<Value, RedisError>> {
        let mut asked = pin!(command.query_async::<Value>(&mut connection));
        loop {
            if let Some(answer) = within(SILENT_AFTER, asked.as_mut()).await {
                return Ok(answer);
            }
            if !self.others_are_answered().await {
                continue;
            }
            // It answers one after the other: this one's turn was before.
            if let Some(answer) = within(SILENT_AFTER / 2, asked.as_mut()).await {
                return Ok(answer);
            }
            self.forget(number).await;
            return Err(Error::new(
                ErrorKind::Timeout,
                "ask redis",
                "the connection to the Redis server is dead: nothing comes on it while the server answers on others; whether this was written is not known",
            ));
        }
    }

    /// Whether the server answers on a new connection, seen after this was asked.
    async fn others_are_answered(&self) -> bool {
        let asked = SystemClock.steady().at;
        let mut looked = self.looked.lock().await;
        if looked.0 < asked {
            let answered = within(SILENT_AFTER, self.try_to_connect()).await;
            *looked = (SystemClock.steady().at, matches!(answered, Some(Ok(_))));
        }
        looked.1
    }

    /// Runs a script; the server is given it when it does not have it, and then nothing of it had run.
    pub(super) async fn eval(&self, script: &Script, args: &Args) -> Result<Value> {
        let (answer, _) = self.eval_numbered(script, args).await?;
        Ok(answer)
    }

    /// The same, and on which connection it ran.
    pub(super) async fn eval_numbered(&self, script: &Script, args: &Args) -> Result<(Value, u64)> {
        let command = |server: &str| self.command(script, args, server);
        let (mut answer, mut number) = self.send_numbered(command, script.reads).await?;
        let is_unknown = |error: &RedisError| error.code() == Some("NOSCRIPT");
        // Again when it went to another server meanwhile.
        for _ in 0..GIVEN {
            if !answer.as_ref().is_err_and(is_unknown) {
                break;
            }
            self.ask(
                script.verb,
                redis::cmd("SCRIPT").arg("LOAD").arg(&script.source),
            )
            .await?;
            (answer, number) = self.send_numbered(command, script.reads).await?;
        }
        let answer = answer.map_err(|source| fault(script.verb, source))?;
        Ok((answer, number))
    }

    fn command(&self, script: &Script, args: &Args, server: &str) -> Cmd {
        let mut command = Cmd::with_capacity(args.len() + 5, args.bytes() + 192);
        command
            .arg("EVALSHA")
            .arg(&script.sha)
            .arg(1)
            .arg(&self.prefix);
        for arg in args.iter() {
            command.arg(arg);
        }
        if !script.reads {
            command.arg(server);
        }
        command
    }

    /// Waits until as many replicas as asked for have what was written before on this connection.
    pub(super) async fn wait_for_replicas(
        &self,
        operation: &'static str,
        number: u64,
    ) -> Result<()> {
        let wanted = self.options.wait_replicas;
        if wanted == 0 {
            return Ok(());
        }
        let mut wait = redis::cmd("WAIT");
        wait.arg(wanted)
            .arg(REPLICAS_WITHIN.as_millis().to_string());
        let (answer, waited_on) = self.send_numbered(|_| wait.clone(), false).await?;
        let answer = answer.map_err(|source| fault(operation, source))?;
        let why = match answer {
            Value::Int(have) if waited_on == number && have >= i64::from(wanted) => return Ok(()),
            // A new connection has written nothing, so that replicas would have all of it.
            _ if waited_on != number => {
                "the connection broke before replicas had this write".to_owned()
            }
            _ => format!("fewer than {wanted} replicas have this write after a second"),
        };
        if self.place.moves() {
            // Perhaps they follow another one by now, which takes the writes.
            self.forget(number).await;
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            operation,
            format!("{why} (wait_replicas); it was made and may be lost in a failover"),
        ))
    }
}
