//! A private Redis server, or the one that `TLO_TEST_REDIS_URL` names.
#![allow(
    dead_code,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test program uses a part of the kit; what is skipped is said"
)]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use super::redis_cluster::RedisCluster;
use parking_lot::Mutex;
use tempfile::TempDir;
use tlo::store::SharedStore;
use tlo::testing::conformance::{Feature, StoreFactory};
use tlo::{Clock, Error, ErrorKind, IdSource, RedisOptions, RedisStore, Result, TaskId};

/// A server that keeps an append-only file in a directory of its own.
pub(crate) struct PrivateRedis {
    directory: TempDir,
    port: u16,
    /// A configuration file that the server changes itself, for a sentinel.
    config: Option<PathBuf>,
    settings: Vec<String>,
    child: Mutex<Option<Child>>,
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody has at the moment.
pub(crate) fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().port()
}

/// Ports that somebody else took between the look and the start, at most.
const TRIES: usize = 8;

impl PrivateRedis {
    /// Starts one, or says why it cannot be had.
    pub(crate) fn start() -> Option<Self> {
        Self::with(&["--appendonly", "yes", "--appendfsync", "everysec"])
    }

    /// Starts one with these settings.
    pub(crate) fn with(settings: &[&str]) -> Option<Self> {
        Self::configured(settings, None)
    }

    /// Starts a sentinel with this configuration.
    pub(crate) fn sentinel(config: &str) -> Option<Self> {
        Self::configured(&["--sentinel"], Some(config))
    }

    fn configured(settings: &[&str], config: Option<&str>) -> Option<Self> {
        for _ in 0..TRIES {
            let port = free_port();
            let directory = TempDir::new().unwrap();
            let config = config.map(|config| {
                let path = directory.path().join("redis.conf");
                std::fs::write(&path, config).unwrap();
                path
            });
            let server = Self {
                directory,
                port,
                config,
                settings: settings.iter().map(|&text| text.to_owned()).collect(),
                child: Mutex::new(None),
            };
            match server.run() {
                Ok(true) => return Some(server),
                Ok(false) => {}
                Err(error) => {
                    println!(
                        "SKIPPED: no redis-server here ({error}); scripts/services installs it"
                    );
                    return None;
                }
            }
        }
        panic!("redis-server did not start on {TRIES} free ports");
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        (std::net::Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The port that it talks to other nodes of its cluster on.
    pub(crate) fn bus(&self) -> String {
        let at = self
            .settings
            .iter()
            .position(|word| word == "--cluster-port");
        self.settings[at.expect("it is a node of a cluster") + 1].clone()
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Runs the server until it takes connections; false when it ended before.
    fn run(&self) -> std::io::Result<bool> {
        let mut child = Command::new("redis-server")
            .args(&self.config)
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--dir", &self.directory.path().display().to_string()])
            .args(["--save", "", "--daemonize", "no"])
            // Else a server keeps the first half of a commit that it was killed in (src/backends/redis/guide.md).
            .args(["--aof-load-truncated", "no"])
            .args(&self.settings)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut said = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let is_ready = said
            .by_ref()
            .map_while(std::result::Result::ok)
            .any(|line| {
                line.contains("Ready to accept connections") || line.contains("Sentinel ID is")
            });
        // A pipe that nobody reads would stop it.
        std::thread::spawn(move || said.for_each(drop));
        if is_ready {
            *self.child.lock() = Some(child);
        } else {
            child.wait()?;
        }
        Ok(is_ready)
    }

    /// A connection that is none of a store.
    pub(crate) fn connection(&self) -> redis::Connection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_connection().unwrap()
    }

    /// What it answers to a command.
    pub(crate) fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query(&mut self.connection()).unwrap()
    }

    /// The same; nothing when the connection broke, as when the server changes its role.
    pub(crate) fn try_ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> Option<T> {
        let mut connection = redis::Client::open(self.url())
            .ok()?
            .get_connection()
            .ok()?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]).query(&mut connection).ok()
    }

    /// As `kill -9` does.
    pub(crate) fn kill(&self) {
        if let Some(mut child) = self.child.lock().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Runs it again on what it left in its directory, as the guide says: when it does not start because it died in a
    /// write, that write is cut off first.
    pub(crate) fn start_again(&self) {
        let is_back = self.run().unwrap() || (self.cut_torn_end() && self.run().unwrap());
        assert!(is_back, "the server did not come back");
    }

    /// Cuts off what is incomplete at the end of the append-only file, with the server's own tool.
    fn cut_torn_end(&self) -> bool {
        let manifest = self.log_directory().join("appendonly.aof.manifest");
        let mut tool = Command::new("redis-check-aof")
            .arg("--fix")
            .arg(manifest)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        tool.stdin.take().unwrap().write_all(b"y\n").unwrap();
        tool.wait().unwrap().success()
    }

    fn log_directory(&self) -> PathBuf {
        self.directory.path().join("appendonlydir")
    }

    /// The file that it appends to.
    pub(crate) fn log(&self) -> PathBuf {
        self.log_directory().join("appendonly.aof.1.incr.aof")
    }
}

/// Stores on a server; each place is a namespace.
pub(crate) struct Redis {
    url: String,
    /// Namespaces of this run, on a server that others use.
    run: String,
    own: Option<PrivateRedis>,
    cluster: Option<RedisCluster>,
}

impl Redis {
    /// A server for tests that leave it running; nothing, and a word about it, where none can be had.
    pub(crate) fn start() -> Option<Self> {
        if let Ok(url) = std::env::var("TLO_TEST_REDIS_URL") {
            let run = format!("test-{:x}-", IdSource::random().token().as_u128());
            return Some(Self {
                url,
                run,
                own: None,
                cluster: None,
            });
        }
        let own = PrivateRedis::start()?;
        Some(Self {
            url: own.url(),
            run: String::new(),
            own: Some(own),
            cluster: None,
        })
    }

    /// A cluster of three servers.
    pub(crate) fn cluster() -> Option<Self> {
        let cluster = RedisCluster::start(0)?;
        Some(Self {
            url: cluster.url(),
            run: String::new(),
            own: None,
            cluster: Some(cluster),
        })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn options(&self, place: &str) -> RedisOptions {
        RedisOptions {
            namespace: format!("{}{place}", self.run),
            ..RedisOptions::at(&self.url)
        }
    }

    pub(crate) fn connection(&self) -> redis::Connection {
        let client = redis::Client::open(self.url.as_str()).unwrap();
        client.get_connection().unwrap()
    }
}

fn failed(source: redis::RedisError) -> Error {
    Error::new(
        ErrorKind::Internal,
        "damage",
        "the record cannot be damaged",
    )
    .with_source(source)
}

#[async_trait::async_trait]
impl StoreFactory for Redis {
    async fn open(
        &self,
        place: &str,
        clock: Arc<dyn Clock>,
        ids: Arc<IdSource>,
    ) -> Result<SharedStore> {
        let store = RedisStore::open(self.options(place), clock, ids).await?;
        Ok(Arc::new(store))
    }

    fn features(&self) -> Vec<Feature> {
        // Leases are measured on the server's clock, whose steady one nobody outside can read.
        vec![Feature::Reopen, Feature::Handles, Feature::Corrupt]
    }

    async fn corrupt(&self, place: &str, id: &TaskId) -> Result<()> {
        let key = format!("{{tlo:{}}}:t", self.options(place).namespace);
        let mut connection = match &self.cluster {
            Some(cluster) => cluster.owner(&key).connection(),
            None => self.connection(),
        };
        let damaged: i64 = redis::cmd("HSET")
            .arg(key)
            .arg(id.as_str())
            .arg(b"\x91{\"")
            .query(&mut connection)
            .map_err(failed)?;
        assert_eq!(damaged, 0, "there is no record {id}");
        Ok(())
    }

    async fn discard(&self, place: &str) {
        if self.own.is_some() || self.cluster.is_some() {
            return;
        }
        let mut connection = self.connection();
        let pattern = format!("{{tlo:{}}}:*", self.options(place).namespace);
        let keys: Vec<String> = redis::cmd("SCAN")
            .cursor_arg(0)
            .arg("MATCH")
            .arg(pattern)
            .arg("COUNT")
            .arg(1000)
            .clone()
            .iter(&mut connection)
            .unwrap()
            .map(std::result::Result::unwrap)
            .collect();
        for key in keys {
            let () = redis::cmd("UNLINK")
                .arg(key)
                .query(&mut connection)
                .unwrap();
        }
    }
}
