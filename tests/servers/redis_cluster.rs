//! Several private Redis servers that are a cluster, or that sentinels watch.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test program uses a part of the kit"
)]

use std::time::Duration;

use super::redis::{PrivateRedis, free_port};

/// How long servers may take to agree.
const AGREED_WITHIN: Duration = Duration::from_secs(30);

/// Waits until a condition of servers holds.
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = super::load::since_boot();
    while !condition() {
        let waited = super::load::since_boot().saturating_sub(begun);
        assert!(waited < AGREED_WITHIN, "waited in vain until {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Whether text of the form `name:value` a line says this.
fn says(info: &str, line: &str) -> bool {
    info.lines().any(|said| said == line)
}

/// Three servers that share the slots, and replicas of the first.
pub(crate) struct RedisCluster {
    nodes: Vec<PrivateRedis>,
}

/// Servers that share the slots.
const SHARES: usize = 3;

impl RedisCluster {
    /// Starts three servers and so many replicas for each, or says why it cannot be had.
    pub(crate) fn start(replicas: usize) -> Option<Self> {
        let mut nodes = Vec::new();
        for _ in 0..SHARES * (1 + replicas) {
            let bus = free_port().to_string();
            nodes.push(PrivateRedis::with(&[
                "--appendonly",
                "yes",
                "--appendfsync",
                "everysec",
                "--cluster-enabled",
                "yes",
                "--cluster-node-timeout",
                "1500",
                "--cluster-require-full-coverage",
                "no",
                "--cluster-allow-replica-migration",
                "no",
                "--repl-diskless-sync-delay",
                "0",
                "--cluster-port",
                &bus,
            ])?);
        }
        let cluster = Self { nodes };
        cluster.meet();
        Some(cluster)
    }

    fn meet(&self) {
        for (n, node) in self.nodes.iter().take(SHARES).enumerate() {
            let slots = |n: usize| (16_384 * n / SHARES).to_string();
            let last = (16_384 * (n + 1) / SHARES - 1).to_string();
            let () = node.ask(&["CLUSTER", "ADDSLOTSRANGE", &slots(n), &last]);
        }
        for (n, node) in self.nodes.iter().enumerate() {
            // Else two of them may think that their configuration is the newer one.
            let () = node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(n + 1).to_string()]);
        }
        for node in &self.nodes[1..] {
            let (port, bus) = (node.address().port().to_string(), node.bus());
            let () = self.nodes[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        }
        let all = format!("cluster_known_nodes:{}", self.nodes.len());
        until("all nodes know each other", || {
            self.nodes.iter().all(|node| {
                let info: String = node.ask(&["CLUSTER", "INFO"]);
                says(&info, &all) && says(&info, "cluster_state:ok")
            })
        });
        for (n, node) in self.nodes.iter().enumerate().skip(SHARES) {
            let of: String = self.nodes[n % SHARES].ask(&["CLUSTER", "MYID"]);
            let () = node.ask(&["CLUSTER", "REPLICATE", &of]);
        }
        until("all replicas follow", || {
            self.nodes[SHARES..].iter().all(follows)
        });
    }

    /// An address that names all nodes.
    pub(crate) fn url(&self) -> String {
        let nodes: Vec<_> = self.nodes.iter().map(|n| n.address().to_string()).collect();
        format!("redis://{}/?cluster=true", nodes.join(","))
    }

    pub(crate) fn nodes(&self) -> &[PrivateRedis] {
        &self.nodes
    }

    /// Who takes writes for the slot of a key.
    pub(crate) fn owner(&self, key: &str) -> &PrivateRedis {
        let slot: u16 = self.nodes[0].ask(&["CLUSTER", "KEYSLOT", key]);
        let owns = |node: &&PrivateRedis| owns(node, slot);
        self.nodes.iter().find(owns).expect("somebody has the slot")
    }

    /// Moves the slot of a key to another node, all its keys one by one.
    pub(crate) fn move_slot(&self, key: &str) {
        let slot: u16 = self.nodes[0].ask(&["CLUSTER", "KEYSLOT", key]);
        let from = self.owner(key);
        let to = self.nodes.iter().take(SHARES);
        let to = to.into_iter().find(|node| !owns(node, slot)).unwrap();
        let slot = slot.to_string();
        let id = |node: &PrivateRedis| node.ask::<String>(&["CLUSTER", "MYID"]);
        let (from_id, to_id) = (id(from), id(to));
        let () = to.ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
        let () = from.ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
        let port = to.address().port().to_string();
        loop {
            let keys: Vec<Vec<u8>> = from.ask(&["CLUSTER", "GETKEYSINSLOT", &slot, "50"]);
            if keys.is_empty() {
                break;
            }
            let mut migrate = redis::cmd("MIGRATE");
            migrate.arg("127.0.0.1").arg(&port).arg("").arg(0).arg(5000);
            migrate.arg("KEYS").arg(&keys);
            let () = migrate.query(&mut from.connection()).unwrap();
        }
        for node in [to, from] {
            let () = node.ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
        }
    }

    /// Kills who takes writes for the slot of a key, waits until its replica does, and starts it again as a replica.
    pub(crate) fn fail_over(&self, key: &str) -> Duration {
        let slot: u16 = self.nodes[0].ask(&["CLUSTER", "KEYSLOT", key]);
        let old = self.owner(key);
        let begun = super::load::since_boot();
        old.kill();
        let others = || self.nodes.iter().filter(|node| !std::ptr::eq(*node, old));
        until("a replica takes over", || {
            others().any(|node| owns(node, slot))
        });
        let took = super::load::since_boot().saturating_sub(begun);
        old.start_again();
        until("who was killed follows", || follows(old));
        took
    }
}

/// Whether a node says that it takes writes for a slot.
fn owns(node: &PrivateRedis, slot: u16) -> bool {
    let nodes = node.try_ask::<String>(&["CLUSTER", "NODES"]);
    let nodes = nodes.unwrap_or_default();
    let mine = nodes.lines().find(|line| line.contains("myself"));
    let mine = mine.unwrap_or_default();
    mine.contains("master")
        && mine.split(' ').skip(8).any(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last) = (first.parse::<u16>(), last.parse::<u16>());
            first.is_ok_and(|first| first <= slot) && last.is_ok_and(|last| slot <= last)
        })
}

/// Whether a server is a replica that has what its master has.
fn follows(node: &PrivateRedis) -> bool {
    let info = node.try_ask::<String>(&["INFO", "replication"]);
    info.is_some_and(|info| says(&info, "role:slave") && says(&info, "master_link_status:up"))
}

/// A server with two replicas, and three sentinels that watch it.
pub(crate) struct WatchedRedis {
    servers: Vec<PrivateRedis>,
    sentinels: Vec<PrivateRedis>,
}

impl WatchedRedis {
    /// Starts them, or says why they cannot be had. Who does not answer the sentinels for so long is down for them.
    pub(crate) fn start(down_after: Duration) -> Option<Self> {
        let durable = ["--appendonly", "yes", "--repl-diskless-sync-delay", "0"];
        let first = PrivateRedis::with(&durable)?;
        let port = first.address().port().to_string();
        let mut servers = vec![first];
        for _ in 0..2 {
            let replica = ["--replicaof", "127.0.0.1", &port];
            servers.push(PrivateRedis::with(
                &[durable.as_slice(), &replica].concat(),
            )?);
        }
        until("both replicas follow", || servers[1..].iter().all(follows));
        let config = format!(
            "sentinel monitor shop 127.0.0.1 {port} 2\nsentinel down-after-milliseconds shop {}\nsentinel failover-timeout shop 3000\nsentinel parallel-syncs shop 2\n",
            down_after.as_millis()
        );
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            sentinels.push(PrivateRedis::sentinel(&config)?);
        }
        let watched = Self { servers, sentinels };
        until("the sentinels know each other and the replicas", || {
            watched.sentinels.iter().all(|sentinel| {
                let known: Vec<String> = sentinel.ask(&["SENTINEL", "MASTER", "shop"]);
                let of = |name: &str| {
                    let at = known.iter().position(|field| field == name);
                    at.map(|at| known[at + 1].as_str())
                };
                of("num-other-sentinels") == Some("2") && of("num-slaves") == Some("2")
            })
        });
        Some(watched)
    }

    pub(crate) fn url(&self) -> String {
        let sentinels = self.sentinels.iter().map(|s| s.address().to_string());
        let sentinels: Vec<_> = sentinels.collect();
        format!("redis+sentinel://{}/shop", sentinels.join(","))
    }

    /// The server that the sentinels name.
    fn named(&self) -> Option<&PrivateRedis> {
        let ask = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "shop"];
        let named: (String, u16) = self.sentinels[0].try_ask(&ask)?;
        self.servers
            .iter()
            .find(|server| server.address().port() == named.1)
    }

    /// Kills who takes writes and waits until another does; who was killed follows it then. How long there was none.
    pub(crate) fn fail_over(&self) -> Duration {
        let old = self.named().expect("one of ours");
        let begun = super::load::since_boot();
        old.kill();
        until("another takes over", || self.is_replaced(old));
        let took = super::load::since_boot().saturating_sub(begun);
        old.start_again();
        took
    }

    /// Has the sentinels replace who takes writes, though nothing is wrong with it. It follows its successor some ten seconds
    /// later.
    pub(crate) fn replace(&self) {
        let old = self.named().expect("one of ours");
        until("another takes over", || {
            // One that does not come about in its time is given up: it is asked for again.
            let ask = || self.sentinels[0].try_ask::<()>(&["SENTINEL", "FAILOVER", "shop"]);
            self.is_replaced(old) || ask().is_some_and(|()| false)
        });
    }

    /// Whether the sentinels name another one, which takes writes.
    fn is_replaced(&self, old: &PrivateRedis) -> bool {
        self.named().is_some_and(|new| {
            let info = new.try_ask::<String>(&["INFO", "replication"]);
            !std::ptr::eq(new, old) && info.is_some_and(|info| says(&info, "role:master"))
        })
    }

    /// Waits until all others follow who takes writes, and none another one that follows: the next of them may die.
    pub(crate) fn settle(&self) {
        until("the others follow", || {
            let info = self
                .named()
                .and_then(|named| named.try_ask::<String>(&["INFO", "replication"]));
            info.is_some_and(|info| says(&info, "connected_slaves:2"))
                && self.servers.iter().filter(|server| follows(server)).count() == 2
        });
    }
}
