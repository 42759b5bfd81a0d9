//! What sentinels say of the server that they watch.
//!
//! They hear of a failover one after the other, up to seconds after it. A server that was replaced and has started again
//! meanwhile takes writes as before, with replicas that have not heard of it either, and loses all of them once it is told
//! to follow its successor. So all sentinels are asked, who has seen the latest failover is believed, and all are listened to.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use futures_core::Stream;
use futures_util::future::{join_all, select_all};
use redis::Client;
use redis::aio::PubSubStream;

use super::fault::fault;
use super::place::{EACH, FIND, nobody_says};
use crate::backends::deadline::within;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};

/// Until one is listened to again that could not be.
const LISTEN_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The name of a server and when it came to take writes, as one sentinel knows it.
struct Named {
    host: String,
    port: u16,
    /// Grows with each failover.
    epoch: u64,
}

/// Host and port of the server that sentinels call by this name.
pub(super) async fn named_by(sentinels: &[Client], service: &str) -> Result<(String, u16)> {
    let asked = sentinels.iter().map(|sentinel| {
        let asking = within(EACH, ask(sentinel, service));
        async { asking.await.transpose() }
    });
    let (mut latest, mut failed) = (None::<Named>, None::<Error>);
    for said in join_all(asked).await {
        match said {
            Ok(Some(named)) if latest.as_ref().is_none_or(|l| l.epoch < named.epoch) => {
                latest = Some(named);
            }
            Ok(_) => {}
            // That none knows the name says more than that one is away.
            Err(error) if failed.as_ref().is_none_or(Error::is_retryable) => failed = Some(error),
            Err(_) => {}
        }
    }
    match (latest, failed) {
        (Some(named), _) => Ok((named.host, named.port)),
        (None, Some(error)) if !error.is_retryable() => Err(error),
        (None, failed) => Err(nobody_says("sentinel", failed)),
    }
}

/// Ends when one of them says that another server takes the writes.
pub(super) async fn failover_of(sentinels: &[Client], service: &str) {
    let listening = sentinels
        .iter()
        .map(|sentinel| Box::pin(listen(sentinel, service)));
    select_all(listening).await;
}

/// Ends when this one says it. What is said while nobody listens is found out by asking.
async fn listen(sentinel: &Client, service: &str) {
    loop {
        let said = match subscribe(sentinel).await {
            Some(mut said) => loop {
                let Some(message) = poll_fn(|cx| pin!(&mut said).poll_next(cx)).await else {
                    break false;
                };
                // The name, then host and port of both servers.
                let text = String::from_utf8_lossy(message.get_payload_bytes());
                if text.split(' ').next() == Some(service) {
                    break true;
                }
            },
            None => false,
        };
        if said {
            return;
        }
        SystemClock.sleep(LISTEN_AGAIN_AFTER).await;
    }
}

async fn subscribe(sentinel: &Client) -> Option<PubSubStream> {
    let subscribing = async {
        let mut connection = sentinel.get_async_pubsub().await.ok()?;
        connection.subscribe("+switch-master").await.ok()?;
        Some(connection.into_on_message())
    };
    within(EACH, subscribing).await?
}

async fn ask(sentinel: &Client, service: &str) -> Result<Named> {
    let failed = |source| fault(FIND, source);
    let mut connection = sentinel
        .get_multiplexed_async_connection()
        .await
        .map_err(failed)?;
    // The epoch first: a failover that ends between the two makes it too old, never too new for the server that is named.
    let facts = redis::cmd("SENTINEL")
        .arg("MASTER")
        .arg(service)
        .query_async::<HashMap<String, String>>(&mut connection)
        .await;
    let epoch = facts
        .ok()
        .and_then(|facts| facts.get("config-epoch")?.parse().ok());
    let named = redis::cmd("SENTINEL")
        .arg("GET-MASTER-ADDR-BY-NAME")
        .arg(service)
        .query_async::<Option<(String, u16)>>(&mut connection)
        .await
        .map_err(failed)?;
    let (host, port) = named.ok_or_else(|| {
        let message = format!(
            "the sentinels watch no server called {service:?}; write its name as they know it, redis+sentinel://host:26379/name"
        );
        Error::new(ErrorKind::Configuration, FIND, message)
    })?;
    Ok(Named {
        host,
        port,
        epoch: epoch.unwrap_or_default(),
    })
}
