//! A private PostgreSQL server, or the one that `TLO_TEST_POSTGRES_URL` names.
#![allow(
    dead_code,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::needless_pass_by_value,
    reason = "each test program uses a part of the kit; what is skipped is said"
)]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use super::pgbouncer::PgBouncer;
use parking_lot::Mutex;
use tempfile::TempDir;
use tlo::store::SharedStore;
use tlo::testing::conformance::{Feature, StoreFactory};
use tlo::{
    Clock, Error, ErrorKind, IdSource, PostgresOptions, PostgresStore, Result, TaskId,
    tokio_postgres,
};

/// A server with its data in a directory of its own, on a free port of this machine.
pub(crate) struct PrivatePostgres {
    directory: TempDir,
    port: u16,
    settings: Vec<String>,
    server: Mutex<Option<Child>>,
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Ports that somebody else took between the look and the start, at most.
const TRIES: usize = 8;

/// What a server needs, with some to spare.
const ROOM: u64 = 1 << 30;

/// Whether a folder is there and has room for a server: in a container the one in memory may be small.
fn has_room(folder: &str) -> bool {
    rustix::fs::statvfs(folder).is_ok_and(|found| found.f_bavail * found.f_frsize >= ROOM)
}

/// Where a program of PostgreSQL is: on the path, or where Debian puts it.
pub(super) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<PathBuf> = std::env::split_paths(&path)
        .map(|place| place.join(name))
        .collect();
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut versions: Vec<PathBuf> = versions
        .map(|version| version.path().join("bin").join(name))
        .collect();
    versions.sort();
    versions.reverse();
    found.extend(versions);
    found.into_iter().find(|path| path.is_file())
}

/// A command that runs as a user that is not root, which PostgreSQL refuses to be.
pub(super) fn as_user(program: &Path) -> Command {
    if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command
            .args([
                "--reuid=postgres",
                "--regid=postgres",
                "--clear-groups",
                "--",
            ])
            .arg(program);
        command
    } else {
        Command::new(program)
    }
}

/// Gives a directory to the user of [`as_user`].
pub(crate) fn give_to_user(directory: &Path) {
    if rustix::process::geteuid().is_root() {
        let owned = Command::new("chown")
            .args(["--recursive", "postgres"])
            .arg(directory)
            .status();
        assert!(
            owned.unwrap().success(),
            "the directory cannot be given to postgres"
        );
    }
}

impl PrivatePostgres {
    /// Starts one, or says why it cannot be had. Its files are in memory where there is a folder for that: the server
    /// may die, the machine does not.
    pub(crate) fn start() -> Option<Self> {
        Self::with(&[])
    }

    /// Starts one with its files on the disk.
    pub(crate) fn on_disk() -> Option<Self> {
        Self::at(TempDir::new().unwrap(), &[])
    }

    /// Starts one with these settings, such as `max_connections=20`.
    pub(crate) fn with(settings: &[&str]) -> Option<Self> {
        let in_memory = has_room("/dev/shm").then(|| tempfile::tempdir_in("/dev/shm"));
        let directory = match in_memory {
            Some(Ok(directory)) => directory,
            _ => TempDir::new().unwrap(),
        };
        Self::at(directory, settings)
    }

    fn at(directory: TempDir, settings: &[&str]) -> Option<Self> {
        let Some(initdb) = program("initdb") else {
            println!("SKIPPED: no PostgreSQL server here; scripts/services installs it");
            return None;
        };
        give_to_user(directory.path());
        let made = as_user(&initdb)
            .arg("--pgdata")
            .arg(directory.path().join("data"))
            .args([
                "--username=tlo",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--wal-segsize=4",
                "--no-sync",
            ])
            .current_dir("/")
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let mut server = Self {
            directory,
            port: 0,
            settings: settings.iter().map(|&text| text.to_owned()).collect(),
            server: Mutex::new(None),
        };
        for _ in 0..TRIES {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            server.port = free.local_addr().unwrap().port();
            drop(free);
            if server.run() {
                return Some(server);
            }
        }
        panic!("PostgreSQL did not start on {TRIES} free ports");
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        (std::net::Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub(crate) fn url(&self) -> String {
        format!(
            "postgres://tlo@127.0.0.1:{}/postgres?sslmode=disable",
            self.port
        )
    }

    /// Runs the server until it takes connections; false when it ended before.
    fn run(&self) -> bool {
        let Some(postgres) = program("postgres") else {
            return false;
        };
        let mut command = as_user(&postgres);
        command
            .arg("-D")
            .arg(self.data())
            .args([
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                &format!("port={}", self.port),
            ])
            .args([
                "-c",
                "unix_socket_directories=",
                "-c",
                "fsync=on",
                "-c",
                "synchronous_commit=on",
            ])
            .args(["-c", "max_wal_size=256MB", "-c", "min_wal_size=32MB"])
            .args(["-c", "max_connections=200", "-c", "log_destination=stderr"]);
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        let mut child = command
            .current_dir("/")
            // A process group of its own: with the first of it all of it is killed.
            .process_group(0)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let loud = std::env::var_os("TLO_TEST_SERVER_LOG").is_some();
        let is_ready = said
            .by_ref()
            .map_while(std::result::Result::ok)
            .inspect(|line| {
                if loud {
                    println!("postgres: {line}");
                }
            })
            .any(|line| {
                line.contains("ready to accept connections")
                    || line.contains("ready to accept read-only connections")
            });
        // A pipe that nobody reads would stop it.
        std::thread::spawn(move || {
            for line in said.map_while(std::result::Result::ok) {
                if loud {
                    println!("postgres: {line}");
                }
            }
        });
        if is_ready {
            *self.server.lock() = Some(child);
        } else {
            let _ = child.wait();
        }
        is_ready
    }

    /// As `kill -9` does, to the server and all of its processes at once.
    pub(crate) fn kill(&self) {
        if let Some(mut child) = self.server.lock().take() {
            let pid = i32::try_from(child.id())
                .ok()
                .and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid {
                let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
            }
            let _ = child.wait();
        }
    }

    /// Ends it as a crash does, without a checkpoint.
    pub(crate) fn stop_at_once(&self) {
        if let Some(mut child) = self.server.lock().take() {
            let pid = i32::try_from(child.id())
                .ok()
                .and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid {
                // QUIT is what `pg_ctl stop -m immediate` sends.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
            }
            let _ = child.wait();
        }
    }

    /// Runs it again on what it left in its directory.
    pub(crate) fn start_again(&self) {
        for _ in 0..TRIES {
            if self.run() {
                return;
            }
            std::thread::park_timeout(std::time::Duration::from_millis(200));
        }
        panic!("the server did not come back");
    }
}

/// A server that follows another one and may take its place.
impl PrivatePostgres {
    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Throws away what it has, and follows `primary` from now on.
    pub(crate) fn follow(&self, primary: &Self) {
        self.kill();
        std::fs::remove_dir_all(self.data()).unwrap();
        let copy = program("pg_basebackup").expect("it comes with the server");
        let copied = as_user(&copy)
            .arg("--pgdata")
            .arg(self.data())
            .args(["--dbname", &primary.url()])
            .args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"])
            .current_dir("/")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&copied.stderr);
        assert!(copied.status.success(), "{said}");
        self.start_again();
    }

    /// Starts at the address of another one, which does not run.
    pub(crate) fn move_to(&mut self, other: &mut Self) {
        self.kill();
        std::mem::swap(&mut self.port, &mut other.port);
        self.start_again();
    }

    /// Takes writes from now on.
    pub(crate) fn promote(&self) {
        let promote = program("pg_ctl").expect("it comes with the server");
        let promoted = as_user(&promote)
            .args(["promote", "--wait", "--pgdata"])
            .arg(self.data())
            .current_dir("/")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&promoted.stderr);
        assert!(promoted.status.success(), "{said}");
    }
}

/// Stores on a server; each place is a schema.
pub(crate) struct Postgres {
    url: String,
    /// Schemas of this run, on a server that others use.
    run: String,
    own: Option<PrivatePostgres>,
    /// What stands between the stores and the server.
    pooler: Option<PgBouncer>,
    /// Places that were renamed, with the name that they have now and the schema that they keep.
    renamed: Mutex<Vec<(String, String, String)>>,
}

impl Postgres {
    /// A server for tests that leave it running; nothing, and a word about it, where none can be had.
    pub(crate) fn start() -> Option<Self> {
        let run = format!("t{:x}", std::process::id());
        if let Ok(url) = std::env::var("TLO_TEST_POSTGRES_URL") {
            return Some(Self {
                url,
                run,
                own: None,
                pooler: None,
                renamed: Mutex::default(),
            });
        }
        let own = PrivatePostgres::start()?;
        Some(Self {
            url: own.url(),
            run,
            own: Some(own),
            pooler: None,
            renamed: Mutex::default(),
        })
    }

    /// A server behind a pooler of transactions.
    pub(crate) fn pooled() -> Option<Self> {
        let own = PrivatePostgres::start()?;
        let pooler = PgBouncer::start(own.address())?;
        Some(Self {
            url: own.url(),
            run: "pooled".to_owned(),
            own: Some(own),
            pooler: Some(pooler),
            renamed: Mutex::default(),
        })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn server(&self) -> Option<&PrivatePostgres> {
        self.own.as_ref()
    }

    /// Gives a place another name: what it holds is the same.
    pub(crate) fn rename(&self, from: &str, to: &str) {
        let schema = self.schema(from);
        let renamed = (from.to_owned(), to.to_owned(), schema);
        self.renamed.lock().push(renamed);
    }

    /// The schema of a place: a name of its own that is short enough.
    pub(crate) fn schema(&self, place: &str) -> String {
        let renamed = self.renamed.lock();
        if let Some((_, _, schema)) = renamed.iter().rfind(|(_, to, _)| to == place) {
            return schema.clone();
        }
        drop(renamed);
        let hash = tlo::stable_hash(place.as_bytes());
        let plain = |c: &char| c.is_ascii_lowercase() || *c == '_';
        let start: String = place.chars().filter(plain).take(16).collect();
        format!("{}_{start}_{hash:x}", self.run)
    }

    pub(crate) fn options(&self, place: &str) -> PostgresOptions {
        let pooler = self.pooler.as_ref().map(PgBouncer::url);
        PostgresOptions {
            schema: self.schema(place),
            connections: 4,
            ..PostgresOptions::at(pooler.as_ref().unwrap_or(&self.url))
        }
    }

    /// Runs statements on a connection of their own.
    pub(crate) async fn run(&self, sql: &str) -> Result<()> {
        let client = connect(&self.url).await?;
        client.batch_execute(sql).await.map_err(failed)
    }
}

/// A connection that is none of a store.
pub(crate) async fn connect(url: &str) -> Result<tokio_postgres::Client> {
    let connected = tokio_postgres::connect(url, tokio_postgres::NoTls).await;
    let (client, connection) = connected.map_err(failed)?;
    tokio::spawn(connection);
    Ok(client)
}

pub(crate) fn failed(source: tokio_postgres::Error) -> Error {
    Error::new(ErrorKind::Internal, "test", format!("{source:?}"))
}

#[async_trait::async_trait]
impl StoreFactory for Postgres {
    async fn open(
        &self,
        place: &str,
        clock: Arc<dyn Clock>,
        ids: Arc<IdSource>,
    ) -> Result<SharedStore> {
        let store = PostgresStore::open(self.options(place), clock, ids).await?;
        Ok(Arc::new(store))
    }

    fn features(&self) -> Vec<Feature> {
        vec![Feature::Reopen, Feature::Handles, Feature::Corrupt]
    }

    async fn corrupt(&self, place: &str, id: &TaskId) -> Result<()> {
        let schema = self.schema(place);
        let client = connect(&self.url).await?;
        let mut damaged = 0;
        for table in ["task", "ended"] {
            let sql =
                format!("UPDATE {schema}.{table} SET body = '{{\"id\": \"damaged' WHERE id = $1");
            damaged += client
                .execute(&sql, &[&id.as_str()])
                .await
                .map_err(failed)?;
        }
        assert_eq!(damaged, 1, "there is no record {id}");
        Ok(())
    }

    async fn discard(&self, place: &str) {
        if self.renamed.lock().iter().any(|(from, _, _)| from == place) {
            return;
        }
        let schema = self.schema(place);
        let dropped = self
            .run(&format!("DROP SCHEMA IF EXISTS {schema} CASCADE"))
            .await;
        dropped.unwrap();
    }
}
