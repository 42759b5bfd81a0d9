//! What sentinels say of the server that they watch.
//!
//! They hear of a failover one after the other, up to seconds after it. A server that was replaced and has started again
//! meanwhile takes writes as before, with replicas that have not heard of it either, and loses all of them once it is told
//! to follow its successor. So all sentinels are asked, and who has seen the latest failover is believed.

use std::collections::HashMap;

use futures_util::future::join_all;
use redis::Client;

use super::fault::fault;
use super::place::{EACH, FIND, nobody_says};
use crate::backends::deadline::within;
use crate::error::{Error, ErrorKind, Result};

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
