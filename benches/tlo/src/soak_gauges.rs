//! What a store takes, read beside its work: sizes of files and of what is used in them, memory of a server, rows that are dead.
//! And a reader that holds on to an old view, which is what keeps SQLite and PostgreSQL from cleaning up.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tlo::tokio_postgres::{Client, NoTls};
use tlo::{JsonlEngine, JsonlOptions, LmdbEngine, LmdbOptions};

type Sample = Map<String, Value>;

fn mib(bytes: u64) -> Value {
    (bytes as f64 / f64::from(1 << 20)).into()
}

fn size(path: &Path) -> Value {
    mib(std::fs::metadata(path).map_or(0, |file| file.len()))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

async fn postgres(url: &str) -> Client {
    let (client, connection) = tlo::tokio_postgres::connect(url, NoTls).await.expect("connect");
    tokio::spawn(connection);
    client
}

/// Sizes, and dead rows, of all tables and of the one of what waits and runs.
const TABLES: &str = "SELECT sum(pg_total_relation_size(relid))::bigint, sum(n_dead_tup)::bigint, \
    sum(pg_total_relation_size(relid)) FILTER (WHERE relname = 'task')::bigint, \
    sum(n_dead_tup) FILTER (WHERE relname = 'task')::bigint \
    FROM pg_stat_user_tables WHERE schemaname = 'tlo'";

/// What is looked at.
pub enum Gauges {
    Memory,
    Sqlite(PathBuf),
    Lmdb(Box<LmdbEngine>),
    Jsonl(Box<JsonlEngine>),
    Redis(redis::aio::MultiplexedConnection),
    Postgres(Client),
}

impl Gauges {
    /// Of the store of this setting, which is open in this process.
    pub async fn of(store: &str) -> Self {
        match store.split_once(':') {
            Some(("sqlite", path)) => Self::Sqlite(path.into()),
            Some(("lmdb", path)) => Self::Lmdb(Box::new(LmdbEngine::open(LmdbOptions::at(path)).expect("the same environment"))),
            Some(("jsonl", path)) => Self::Jsonl(Box::new(JsonlEngine::open(JsonlOptions::at(path)).expect("the same log"))),
            Some(("redis", _)) => {
                let client = redis::Client::open(store).expect("url");
                Self::Redis(client.get_multiplexed_async_connection().await.expect("connect"))
            }
            Some(("postgres", _)) => Self::Postgres(postgres(store).await),
            _ => Self::Memory,
        }
    }

    pub async fn read(&self) -> Sample {
        let mut sample = Sample::new();
        let mut put = |name: &str, value: Value| drop(sample.insert(name.to_owned(), value));
        match self {
            Self::Memory => {}
            Self::Sqlite(path) => {
                put("file", size(path));
                put("wal", size(&beside(path, "-wal")));
            }
            Self::Lmdb(engine) => {
                let facts = engine.facts().expect("facts");
                put("file", mib(facts.file_bytes));
                put("rows", mib(facts.row_bytes));
            }
            Self::Jsonl(engine) => {
                let facts = engine.facts();
                put("log", mib(facts.file_bytes));
                put("live", mib(facts.live_bytes));
                put("compactions", facts.compactions.into());
            }
            Self::Redis(connection) => {
                let mut connection = connection.clone();
                let info: redis::InfoDict = redis::cmd("INFO").query_async(&mut connection).await.expect("info");
                put("used", mib(info.get("used_memory").expect("used_memory")));
                put("aof", mib(info.get("aof_current_size").expect("aof_current_size")));
            }
            Self::Postgres(client) => {
                let row = client.query_one(TABLES, &[]).await.expect("sizes");
                let number = |n: usize| row.get::<_, i64>(n).unsigned_abs();
                put("tables", mib(number(0)));
                put("dead", (number(1) as f64 / 1e3).into());
                put("task", mib(number(2)));
                put("task_dead", (number(3) as f64 / 1e3).into());
            }
        }
        sample
    }
}

/// The row count of an old view: the same whenever it is asked for.
const SQLITE_ROWS: &str = "SELECT count(*), max(k) FROM rows WHERE k >= x'74' AND k < x'75'";
const POSTGRES_ROWS: &str = "SELECT count(*), max(seq) FROM tlo.identity";

/// Holds an old view.
pub enum Reader {
    Sqlite(rusqlite::Connection, (i64, Vec<u8>)),
    /// One with a snapshot, and one that is idle in a transaction that has a number and has looked at every table.
    Postgres(Client, (i64, Option<i64>), Client),
}

fn sqlite_rows(connection: &rusqlite::Connection) -> (i64, Vec<u8>) {
    connection.query_row(SQLITE_ROWS, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("the view")
}

async fn postgres_rows(client: &Client) -> (i64, Option<i64>) {
    let row = client.query_one(POSTGRES_ROWS, &[]).await.expect("the view");
    (row.get(0), row.get(1))
}

impl Reader {
    /// Where the store of this setting has old views that hold anything up.
    pub async fn of(store: &str) -> Option<Self> {
        match store.split_once(':') {
            Some(("sqlite", path)) => {
                let connection = rusqlite::Connection::open(path).expect("open");
                connection.execute_batch("BEGIN").expect("begin");
                let rows = sqlite_rows(&connection);
                Some(Self::Sqlite(connection, rows))
            }
            Some(("postgres", _)) => {
                let (snapshot, idle) = (postgres(store).await, postgres(store).await);
                snapshot.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await.expect("begin");
                let rows = postgres_rows(&snapshot).await;
                let tables = ["identity", "task", "ended", "tally", "entry"].map(|table| format!("SELECT FROM tlo.{table} LIMIT 1"));
                let begin = format!("BEGIN; SELECT pg_current_xact_id(); {}", tables.join("; "));
                idle.batch_execute(&begin).await.expect("begin");
                Some(Self::Postgres(snapshot, rows, idle))
            }
            _ => None,
        }
    }

    /// Looks once more, at the same view, and lets go.
    pub async fn end(self) {
        match self {
            Self::Sqlite(connection, rows) => {
                assert_eq!(sqlite_rows(&connection), rows, "the view was not held");
                connection.execute_batch("COMMIT").expect("end");
            }
            Self::Postgres(snapshot, rows, idle) => {
                assert_eq!(postgres_rows(&snapshot).await, rows, "the view was not held");
                snapshot.batch_execute("COMMIT").await.expect("end");
                idle.batch_execute("COMMIT").await.expect("end");
            }
        }
    }
}
