//! Hints by publish and subscribe, on a connection of their own.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream;
use redis::aio::PubSub;
use redis::{ConnectionAddr, Value};
use tokio::sync::oneshot;

use super::fault::fault;
use super::link::Link;
use crate::backends::deadline::within;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::id::TaskId;
use crate::store::{Hint, HintSender};

/// Between two questions to a server that says nothing, and to sentinels whether it was replaced.
const PING: Duration = Duration::from_secs(5);

/// How long the server may take to answer one.
const PONG_WITHIN: Duration = Duration::from_secs(3);

/// Between two tries to listen again.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Listens until the runtime ends. Says, the first time, whether it does: what is committed after that is heard of.
pub(super) async fn listen(
    link: Arc<Link>,
    hints: HintSender,
    listening: oneshot::Sender<Result<()>>,
) {
    let mut connection = match subscribe(&link).await {
        Ok(connection) => {
            let _ = listening.send(Ok(()));
            connection
        }
        Err(error) => {
            let _ = listening.send(Err(error));
            return;
        }
    };
    loop {
        hear(connection, &link, &hints).await;
        tracing::warn!(
            "hints of the Redis server stopped; work is found by looking until they come again"
        );
        hints.send(Hint::Unknown);
        connection = loop {
            SystemClock.sleep(AGAIN_AFTER).await;
            match subscribe(&link).await {
                Ok(connection) => break connection,
                Err(error) => tracing::debug!(%error, "no hints of the Redis server yet"),
            }
        };
        tracing::info!("hints of the Redis server come again");
        // What happened meanwhile was not heard.
        hints.send(Hint::Unknown);
    }
}

/// Passes on what is said, until the connection ends or is found dead, for one that something between has forgotten looks
/// like one on which nothing is said, or until another server takes the writes.
async fn hear((connection, address): Subscribed, link: &Link, hints: &HintSender) {
    let (mut asking, mut messages) = connection.split();
    let hearing = async {
        while let Some(message) = poll_fn(|cx| pin!(&mut messages).poll_next(cx)).await {
            tell(hints, message.get_payload_bytes());
        }
    };
    let pinging = async {
        loop {
            SystemClock.sleep(PING).await;
            let answer = within(PONG_WITHIN, asking.ping::<Value>()).await;
            if !matches!(answer, Some(Ok(_))) {
                return;
            }
            let named = link.leave_replaced().await;
            if named.is_some_and(|named| named != address) {
                return;
            }
        }
    };
    let following = async {
        loop {
            link.place.failover().await;
            let named = link.leave_replaced().await;
            if named.is_some_and(|named| named != address) {
                return;
            }
        }
    };
    tokio::select! {
        () = hearing => {}
        () = pinging => {}
        () = following => {}
    }
}

/// A connection that listens, and where it leads.
type Subscribed = (PubSub, ConnectionAddr);

async fn subscribe(link: &Link) -> Result<Subscribed> {
    let failed = |source| fault("listen to redis", source);
    let subscribing = async {
        let client = link.place.find().await?;
        let mut connection = client.get_async_pubsub().await.map_err(failed)?;
        let channel = format!("{}hints", link.prefix());
        connection.subscribe(channel).await.map_err(failed)?;
        Ok((connection, client.get_connection_info().addr().clone()))
    };
    match within(link.options.connect_timeout, subscribing).await {
        Some(done) => done,
        None => Err(Error::new(
            ErrorKind::Timeout,
            "listen to redis",
            "the Redis server did not take the subscription in time",
        )),
    }
}

/// One message has many hints, a line each: a letter and a name.
fn tell(hints: &HintSender, message: &[u8]) {
    if !hints.is_heard() {
        return;
    }
    let Ok(text) = std::str::from_utf8(message) else {
        return hints.send(Hint::Unknown);
    };
    for line in text.split('\n') {
        let mut letters = line.chars();
        let (letter, name) = (letters.next(), letters.as_str());
        let hint = match letter {
            Some('R') => Some(Hint::Ready(Arc::from(name))),
            Some('F') if !hints.tells_ends() => continue,
            Some('F') => TaskId::new(name).ok().map(Hint::Finished),
            Some('W') => TaskId::new(name).ok().map(Hint::Woken),
            _ => None,
        };
        hints.send(hint.unwrap_or(Hint::Unknown));
    }
}
