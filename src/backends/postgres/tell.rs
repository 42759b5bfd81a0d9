//! Hints across processes: `NOTIFY`, gathered and outside of the transactions of the writers, which would else wait for
//! each other at their commits; and `LISTEN` on a connection of its own.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio_postgres::AsyncMessage;

use super::engine::Engine;
use crate::backends::deadline::within;
use crate::clock::{Clock, SystemClock};
use crate::error::Result;
use crate::id::TaskId;
use crate::store::{Hint, HintSender};

/// Between two notifications of one store.
const PAUSE: Duration = Duration::from_millis(5);

/// Bytes of one notification; the server takes 8,000.
const ROOM: usize = 7_000;

/// Between two tries to listen.
const RETRY: Duration = Duration::from_secs(1);

/// Between two questions to a connection that says nothing.
const PING: Duration = Duration::from_secs(5);

/// How long it may take to answer one. A connection that something between has forgotten looks like a silent one.
const PONG_WITHIN: Duration = Duration::from_secs(3);

/// What waits to be told.
#[derive(Debug, Default)]
struct Waiting {
    lines: BTreeSet<String>,
    bytes: usize,
    everything: bool,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    wake: Notify,
    /// Marks what this store said itself.
    origin: String,
    channel: String,
    off: bool,
}

/// Gathers hints for other processes.
#[derive(Clone, Debug)]
pub(super) struct Teller(Arc<Shared>);

impl Teller {
    /// `off` when there is no way to tell anybody: behind a pooler of transactions.
    pub(super) fn new(channel: String, origin: String, off: bool) -> Self {
        Self(Arc::new(Shared {
            waiting: Mutex::default(),
            wake: Notify::new(),
            origin,
            channel,
            off,
        }))
    }

    pub(super) fn tell(&self, hint: &Hint) {
        if self.0.off {
            return;
        }
        let line = match hint {
            Hint::Ready(queue) => format!("r{queue}"),
            Hint::Finished(id) => format!("f{id}"),
            Hint::Woken(id) => format!("w{id}"),
            Hint::Unknown => "u".to_owned(),
        };
        let mut waiting = self.0.waiting.lock();
        if waiting.bytes + line.len() + 1 > ROOM {
            waiting.everything = true;
        } else if waiting.lines.insert(line.clone()) {
            waiting.bytes += line.len() + 1;
        }
        drop(waiting);
        self.0.wake.notify_one();
    }

    /// The text of the next notification.
    fn take(&self) -> Option<String> {
        let waiting = std::mem::take(&mut *self.0.waiting.lock());
        if waiting.lines.is_empty() && !waiting.everything {
            return None;
        }
        let mut text = self.0.origin.clone();
        if waiting.everything {
            text.push_str("\nu");
        }
        // Names have no control characters, so a line is one hint.
        for line in &waiting.lines {
            text.push('\n');
            text.push_str(line);
        }
        Some(text)
    }

    /// Tells other processes, for as long as the store is there.
    pub(super) async fn serve(self, engine: Weak<Engine>) {
        loop {
            self.0.wake.notified().await;
            let Some(text) = self.take() else { continue };
            let Some(engine) = engine.upgrade() else {
                return;
            };
            if let Err(error) = self.notify(&engine, &text).await {
                tracing::debug!(%error, "other processes were not told; they will look by themselves");
            }
            drop(engine);
            SystemClock.sleep(PAUSE).await;
        }
    }

    async fn notify(&self, engine: &Engine, text: &str) -> Result<()> {
        let mut lent = engine.lend("notify").await?;
        lent.clean = false;
        let channel = &self.0.channel;
        let text = text.replace('\'', "''").replace('\\', "\\\\");
        // It is not worth a write to the disk of its own.
        let sql = format!(
            "BEGIN; SET LOCAL synchronous_commit = off; SELECT pg_notify('{channel}', E'{text}'); COMMIT"
        );
        let link = engine.connections.link(lent.object()?);
        let told = link.batch(&sql).await;
        told.map_err(|fault| fault.into_error("notify"))?;
        lent.clean = true;
        Ok(())
    }

    fn heard(&self, text: &str, hints: &HintSender) {
        let mut lines = text.split('\n');
        if lines.next() == Some(self.0.origin.as_str()) {
            return;
        }
        for line in lines {
            let Some((kind, name)) = line.split_at_checked(1) else {
                continue;
            };
            let id = || TaskId::new(name).ok();
            let hint = match kind {
                "r" => Some(Hint::Ready(Arc::from(name))),
                "f" => id().map(Hint::Finished),
                "w" => id().map(Hint::Woken),
                _ => Some(Hint::Unknown),
            };
            let wanted = |hint: &Hint| !matches!(hint, Hint::Finished(_)) || hints.tells_ends();
            if let Some(hint) = hint.filter(wanted) {
                hints.send(hint);
            }
        }
    }

    /// Listens, on a connection that is made anew when it is cut, for as long as the store is there. Says when it does for
    /// the first time.
    pub(super) async fn listen(self, engine: Weak<Engine>, first: oneshot::Sender<()>) {
        let mut first = Some(first);
        loop {
            let Some(engine) = engine.upgrade() else {
                return;
            };
            let hints = engine.hints.clone();
            let opened = engine.connections.listener().await;
            drop(engine);
            match opened {
                Ok((client, connection)) => {
                    let ended = self.hear(&client, connection, &hints, &mut first).await;
                    tracing::debug!(error = ended, "the listening connection ended");
                }
                Err(error) => tracing::debug!(%error, "listening failed; trying again"),
            }
            SystemClock.sleep(RETRY).await;
        }
    }

    async fn hear<S, T>(
        &self,
        client: &tokio_postgres::Client,
        mut connection: tokio_postgres::Connection<S, T>,
        hints: &HintSender,
        first: &mut Option<oneshot::Sender<()>>,
    ) -> String
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
        T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let listen = format!("LISTEN \"{}\"", self.0.channel);
        let asking = async {
            match within(PONG_WITHIN, client.batch_execute(&listen)).await {
                Some(listening) => listening?,
                None => return Ok(()),
            }
            match first.take() {
                // Whoever opens the store goes on now; it has not looked yet.
                Some(first) => drop(first.send(())),
                // What was said before is not known.
                None => hints.send(Hint::Unknown),
            }
            loop {
                SystemClock.sleep(PING).await;
                match within(PONG_WITHIN, client.batch_execute("")).await {
                    Some(answer) => answer?,
                    None => return Ok(()),
                }
            }
        };
        let hearing = async {
            loop {
                match poll_fn(|context| connection.poll_message(context)).await {
                    Some(Ok(AsyncMessage::Notification(said))) => self.heard(said.payload(), hints),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return error.to_string(),
                    None => return "closed".to_owned(),
                }
            }
        };
        tokio::select! {
            ended = hearing => ended,
            failed = asking => {
                let failed: std::result::Result<(), tokio_postgres::Error> = failed;
                failed.map_or_else(|error| error.to_string(), |()| "silent".to_owned())
            }
        }
    }
}
