//! Where the server is: named outright, or the node of a cluster that has the slot, or the one that sentinels name.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, Value};

use super::fault::fault;
use super::options::RedisOptions;
use super::sentinels::{failover_of, named_by};
use crate::backends::deadline::within;
use crate::error::{Error, ErrorKind, Result};

/// The first part of the name of a call that looks for the server.
pub(super) const FIND: &str = "connect to redis";

/// How long one of several that can be asked may take to answer.
pub(super) const EACH: Duration = Duration::from_secs(1);

/// The port of sentinels that are named without one.
const SENTINEL_PORT: u16 = 26_379;

/// Where to ask for the server.
pub(super) struct Place {
    way: Way,
    tls_ca: Option<Vec<u8>>,
    /// Which node to ask first: another one with each try.
    turn: AtomicUsize,
}

enum Way {
    /// This is the server.
    Server(Box<ConnectionInfo>),
    /// Nodes of a cluster; any of them knows which one has the slot of a key.
    Cluster {
        nodes: Vec<ConnectionInfo>,
        key: String,
    },
    /// Sentinels, the name that they know the server by, and what its connections are made with.
    Sentinels {
        sentinels: Vec<ConnectionInfo>,
        service: String,
        server: Box<ConnectionInfo>,
    },
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What connections are made with has a password.
        f.debug_struct("Place").finish_non_exhaustive()
    }
}

impl Place {
    /// Reads the address of options.
    pub(super) fn of(options: &RedisOptions) -> Result<Self, String> {
        let tls_ca = options.tls_ca.as_ref().map(|path| {
            std::fs::read(path).map_err(|error| {
                let path = path.display();
                format!("tls_ca, \"{path}\", cannot be read: {error}")
            })
        });
        Ok(Self {
            way: way(&options.url, options.prefix())?,
            tls_ca: tls_ca.transpose()?,
            turn: AtomicUsize::new(0),
        })
    }

    /// Whether the server that takes writes is another one now and then.
    pub(super) fn moves(&self) -> bool {
        !matches!(self.way, Way::Server(_))
    }

    /// Whether who was named may have become a replica since.
    pub(super) fn is_named_by_sentinels(&self) -> bool {
        matches!(self.way, Way::Sentinels { .. })
    }

    /// The server that takes writes now.
    pub(super) async fn find(&self) -> Result<Client> {
        match &self.way {
            Way::Server(info) => self.client(ConnectionInfo::clone(info)),
            Way::Cluster { nodes, key } => self.owner_of(key, nodes).await,
            Way::Sentinels {
                sentinels,
                service,
                server,
            } => {
                let sentinels = self.clients(sentinels)?;
                let (host, port) = named_by(&sentinels, service).await?;
                let addr = at(server.addr(), Some(host), port);
                self.client(ConnectionInfo::clone(server).set_addr(addr))
            }
        }
    }

    /// Ends when sentinels say that another server takes the writes; never where there are none.
    pub(super) async fn failover(&self) {
        if let Way::Sentinels {
            sentinels, service, ..
        } = &self.way
            && let Ok(sentinels) = self.clients(sentinels)
        {
            failover_of(&sentinels, service).await;
        } else {
            std::future::pending::<()>().await;
        }
    }

    fn clients(&self, infos: &[ConnectionInfo]) -> Result<Vec<Client>> {
        infos.iter().map(|info| self.client(info.clone())).collect()
    }

    /// The node that has the slot of a key: one after the other is asked until one says it.
    async fn owner_of(&self, key: &str, nodes: &[ConnectionInfo]) -> Result<Client> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % nodes.len();
        let mut failed = None;
        for n in 0..nodes.len() {
            let node = &nodes[(first + n) % nodes.len()];
            match within(EACH, self.ask(node, key)).await {
                Some(Ok(client)) => return Ok(client),
                Some(Err(error)) if !error.is_retryable() => return Err(error),
                Some(Err(error)) => failed = Some(error),
                None => {}
            }
        }
        Err(nobody_says("node of the Redis Cluster", failed))
    }

    async fn ask(&self, node: &ConnectionInfo, key: &str) -> Result<Client> {
        let failed = |source| fault(FIND, source);
        let client = self.client(node.clone())?;
        let mut connection = client
            .get_multiplexed_async_connection()
            .await
            .map_err(failed)?;
        let (mut slot, mut slots) = (redis::cmd("CLUSTER"), redis::cmd("CLUSTER"));
        slot.arg("KEYSLOT").arg(key);
        slots.arg("SLOTS");
        let slot = slot.query_async::<i64>(&mut connection).await;
        let slot = slot.map_err(failed)?;
        let slots = slots.query_async::<Vec<Value>>(&mut connection).await;
        let found = slots
            .map_err(failed)?
            .iter()
            .find_map(|range| owner(range, slot));
        let (host, port) = found.ok_or_else(|| {
            let message = "no node of the Redis Cluster has the slot of this namespace now";
            Error::new(ErrorKind::Unavailable, FIND, message)
        })?;
        // A node that does not know its own name means the one that was asked.
        let addr = at(node.addr(), host, port);
        self.client(node.clone().set_addr(addr))
    }

    fn client(&self, info: ConnectionInfo) -> Result<Client> {
        let client = match &self.tls_ca {
            #[cfg(feature = "redis-tls")]
            Some(certificates) => Client::build_with_tls(
                info,
                redis::TlsCertificates {
                    client_tls: None,
                    root_cert: Some(certificates.clone()),
                },
            ),
            _ => Client::open(info),
        };
        client.map_err(|source| fault("open redis", source))
    }
}

/// None of those that were asked names the server, and what the last of them said.
pub(super) fn nobody_says(what: &str, failed: Option<Error>) -> Error {
    let why = failed.map_or_else(|| "none answered".to_owned(), |error| error.to_string());
    Error::new(
        ErrorKind::Unavailable,
        FIND,
        format!("no {what} says which server takes writes: {why}"),
    )
}

/// The same kind of address somewhere else.
fn at(like: &ConnectionAddr, host: Option<String>, port: u16) -> ConnectionAddr {
    match like.clone() {
        ConnectionAddr::TcpTls {
            host: same,
            insecure,
            tls_params,
            ..
        } => ConnectionAddr::TcpTls {
            host: host.unwrap_or(same),
            port,
            insecure,
            tls_params,
        },
        ConnectionAddr::Tcp(same, _) => ConnectionAddr::Tcp(host.unwrap_or(same), port),
        other => other,
    }
}

/// Who takes writes for a slot, when a range of `CLUSTER SLOTS` has it: its host, unless it does not know that, and port.
fn owner(range: &Value, slot: i64) -> Option<(Option<String>, u16)> {
    let Value::Array(range) = range else {
        return None;
    };
    let [Value::Int(first), Value::Int(last), Value::Array(node), ..] = range.as_slice() else {
        return None;
    };
    let [host, Value::Int(port), ..] = node.as_slice() else {
        return None;
    };
    if !(*first..=*last).contains(&slot) {
        return None;
    }
    let host = match host {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    };
    let host = host.filter(|host| !host.is_empty() && host != "?");
    Some((host, u16::try_from(*port).ok()?))
}

const NO_URL: &str = "the address is no Redis URL; write redis://host:6379/0, rediss://host:6380/0 for TLS, redis+unix:///path/to/socket, redis://host1:6379,host2:6379/?cluster=true for a cluster, or redis+sentinel://host1:26379,host2:26379/name for what sentinels watch";

fn way(url: &str, key: String) -> Result<Way, String> {
    let (scheme, rest) = url.split_once("://").ok_or(NO_URL)?;
    let (sentinels, scheme) = match scheme.strip_suffix("+sentinel") {
        Some(scheme) => (true, scheme),
        None => (false, scheme),
    };
    if matches!(scheme, "rediss" | "valkeys") && !cfg!(feature = "redis-tls") {
        return Err(format!(
            "{scheme}:// is TLS, which is not in this build; build it with the feature \"redis-tls\""
        ));
    }
    let info = |text: String| {
        redis::parse_redis_url(&text)
            .ok_or(NO_URL)?
            .into_connection_info()
            .map_err(|_| NO_URL)
    };
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = address.split_once('/').unwrap_or((address, ""));
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), authority),
    };
    let hosts: Vec<&str> = hosts.split(',').collect();
    let is_cluster = query
        .split('&')
        .find_map(|part| part.strip_prefix("cluster="));
    let is_cluster = match is_cluster {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => return Err(format!("cluster is {other:?}; write cluster=true or false")),
    };
    let rest_of_query: Vec<&str> = query
        .split('&')
        .filter(|part| !part.starts_with("cluster=") && !part.is_empty())
        .collect();
    let query = match rest_of_query.is_empty() {
        true => String::new(),
        false => format!("?{}", rest_of_query.join("&")),
    };
    if sentinels {
        let (service, db) = path.split_once('/').unwrap_or((path, "0"));
        if service.is_empty() {
            return Err(
                "sentinels watch servers by name; write redis+sentinel://host:26379/name"
                    .to_owned(),
            );
        }
        let server = info(format!("{scheme}://{user}{}/{db}{query}", hosts[0]))?;
        let asked = hosts.iter().map(|host| {
            let named = info(format!("{scheme}://{host}"))?;
            let has_port = host
                .rsplit(']')
                .next()
                .is_some_and(|text| text.contains(':'));
            let addr = at(named.addr(), None, SENTINEL_PORT);
            Ok::<_, String>(if has_port {
                named
            } else {
                named.set_addr(addr)
            })
        });
        return Ok(Way::Sentinels {
            sentinels: asked.collect::<Result<_, _>>()?,
            service: service.to_owned(),
            server: Box::new(server),
        });
    }
    if is_cluster {
        if !matches!(path.trim_end_matches('/'), "" | "0") {
            return Err("a Redis Cluster has only the database 0".to_owned());
        }
        let nodes = hosts
            .iter()
            .map(|host| info(format!("{scheme}://{user}{host}/{query}")));
        return Ok(Way::Cluster {
            nodes: nodes.collect::<Result<_, _>>()?,
            key,
        });
    }
    if hosts.len() > 1 {
        return Err(
            "several hosts are nodes of a cluster or sentinels; add ?cluster=true, or write redis+sentinel://host1,host2/name"
                .to_owned(),
        );
    }
    Ok(Way::Server(Box::new(info(
        url.replace("cluster=false", ""),
    )?)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(url: &str) -> Result<Way, String> {
        way(url, "{tlo:tlo}:".to_owned())
    }

    fn tcp(info: &ConnectionInfo) -> (String, u16) {
        match info.addr() {
            ConnectionAddr::Tcp(host, port) => (host.clone(), *port),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_url_names_a_server_a_cluster_or_sentinels() {
        let Ok(Way::Server(server)) = read("redis://me:secret@h:1/2") else {
            panic!("a server");
        };
        assert_eq!(tcp(&server), ("h".to_owned(), 1));
        assert_eq!(server.redis_settings().db(), 2);
        let Ok(Way::Cluster { nodes, key }) = read("redis://me:a@b@h1:1,h2,[::1]:3/?cluster=true")
        else {
            panic!("a cluster");
        };
        let nodes: Vec<_> = nodes.iter().map(tcp).collect();
        let wanted = [("h1", 1), ("h2", 6379), ("::1", 3)].map(|(h, p)| (h.to_owned(), p));
        assert_eq!((nodes, key.as_str()), (wanted.to_vec(), "{tlo:tlo}:"));
        let Ok(Way::Sentinels {
            sentinels,
            service,
            server,
        }) = read("redis+sentinel://me:secret@s1,s2:7/shop/3")
        else {
            panic!("sentinels");
        };
        let sentinels: Vec<_> = sentinels.iter().map(tcp).collect();
        let wanted = [("s1", 26_379), ("s2", 7)].map(|(h, p)| (h.to_owned(), p));
        assert_eq!((sentinels, service.as_str()), (wanted.to_vec(), "shop"));
        assert_eq!(server.redis_settings().db(), 3);
        assert_eq!(server.redis_settings().username(), Some("me"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_way_out() {
        for (url, part) in [
            ("http://h", "no Redis URL"),
            ("h:6379", "no Redis URL"),
            ("redis://h1,h2/0", "?cluster=true"),
            ("redis://h1,h2/4?cluster=true", "only the database 0"),
            ("redis://h?cluster=perhaps", "cluster=true or false"),
            ("redis+sentinel://h:26379", "by name"),
            ("redis+sentinel://h:26379/shop/x", "no Redis URL"),
        ] {
            let said = read(url).err().unwrap_or_default();
            assert!(said.contains(part), "{url}: {said}");
        }
    }

    #[test]
    fn the_owner_of_a_slot_is_read_from_what_the_cluster_says() {
        let node = |host: &str, port| {
            let host = Value::BulkString(host.as_bytes().to_vec());
            Value::Array(vec![host, Value::Int(port), Value::Nil])
        };
        let range = Value::Array(vec![
            Value::Int(5),
            Value::Int(9),
            node("h", 7),
            node("replica", 8),
        ]);
        assert_eq!(owner(&range, 4), None);
        assert_eq!(owner(&range, 9), Some((Some("h".to_owned()), 7)));
        let unnamed = Value::Array(vec![Value::Int(0), Value::Int(1), node("", 7)]);
        assert_eq!(owner(&unnamed, 0), Some((None, 7)));
    }
}
