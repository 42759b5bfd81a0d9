//! Damaged rows of every kind: what cannot be read is told of by its name, and everybody else runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use rusqlite::{Connection, params};
use tlo::store::{
    Maintain, MarkExpect, NewEvent, Retention, StreamId, TaskFilter, TaskStateStore,
    TaskStateStoreExt,
};
use tlo::task::{Due, Gate, NewTask, Unique, UniqueScope};
use tlo::testing::ManualClock;
use tlo::{
    ErrorKind, IdSource, PageRequest, Payload, SqliteOptions, SqliteStore, TaskStateRecord,
    TaskStatus,
};

use crate::durable::worker;
use crate::kit::is_full;
use crate::kit::{home, id, new};
use crate::seed;

const MINUTE: Duration = Duration::from_secs(60);

/// Tasks of each sort.
const EACH: usize = 6;

/// Rows damaged in each file.
const AT_ONCE: usize = 10;

fn sorts(n: usize) -> Vec<NewTask> {
    let mut delayed = new(format!("delayed-{n}"));
    delayed.due = Due::In(MINUTE);
    let mut gated = new(format!("gated-{n}"));
    gated.gates.push(Gate {
        key: format!("door/{}", n % 2),
        limit: 1,
    });
    let mut keyed = new(format!("keyed-{n}"));
    keyed.unique = Some(Arc::new(Unique {
        key: format!("key-{n}").into(),
        scope: UniqueScope::WhileUnfinished,
        until: None,
    }));
    let mut tagged = new(format!("tagged-{n}"));
    tagged.tags.insert(format!("tag-{}", n % 3));
    tagged.priority = 7;
    let plain = ["plain", "running", "ended"].map(|sort| new(format!("{sort}-{n}")));
    [delayed, gated, keyed, tagged]
        .into_iter()
        .chain(plain)
        .collect()
}

async fn claim(store: &SqliteStore, limit: usize) -> Vec<Arc<TaskStateRecord>> {
    let (worker, names) = (worker(), ["greet"]);
    let claimed = store.lease(&worker, "default", &names, limit, 60 * MINUTE);
    claimed.await.unwrap()
}

async fn succeed(store: &SqliteStore, task: &TaskStateRecord) -> tlo::Result<TaskStatus> {
    let reference = task.lease.as_ref().unwrap().reference();
    store.succeed(&task.id, reference, Payload::null()).await
}

/// Everything that a store can hold; answers what is running.
async fn fill(store: &SqliteStore) -> Vec<Arc<TaskStateRecord>> {
    let mut running = Vec::new();
    let all: Vec<NewTask> = (0..EACH).flat_map(sorts).collect();
    let (first, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|task| {
        let id = task.id.as_str();
        id.starts_with("running") || id.starts_with("ended")
    });
    for task in first {
        store.create(task).await.unwrap();
    }
    for task in claim(store, 100).await {
        if task.id.as_str().starts_with("ended") {
            let stream = StreamId::new(task.id.as_str(), "log").unwrap();
            let event = NewEvent {
                kind: "line".to_owned(),
                key: Some("one".to_owned()),
                data: Payload::null(),
            };
            store.append(&stream, vec![event]).await.unwrap();
            succeed(store, &task).await.unwrap();
        } else {
            running.push(task);
        }
    }
    for task in rest {
        store.create(task).await.unwrap();
    }
    for (key, ttl) in [
        ("cursor/a", None),
        ("cursor/b", Some(MINUTE)),
        ("gate/door/9", None),
    ] {
        let value = Payload::parse("{}").unwrap();
        store
            .put_mark(key, value, Some(MarkExpect::Absent), ttl)
            .await
            .unwrap();
    }
    running
}

/// One damaged row.
#[derive(Debug)]
struct Damage {
    key: Vec<u8>,
    how: &'static str,
}

impl Damage {
    /// Of a record: its id.
    fn record(&self) -> Option<&str> {
        let (table, id) = self.key.split_first()?;
        (*table == b't').then(|| std::str::from_utf8(id).unwrap())
    }
}

/// Something that the row cannot mean.
fn spoil(key: &[u8], value: &[u8], random: &mut Rng) -> (Vec<u8>, &'static str) {
    if key[0] == b't' && random.bool() {
        let mut record: serde_json::Value = serde_json::from_slice(value).unwrap();
        let (field, wrong, how) = match random.u32(..4) {
            0 => (
                "schema_version",
                serde_json::json!(60_000),
                "a newer layout",
            ),
            1 => ("status", serde_json::json!("lost in space"), "no status"),
            2 => ("attempt", serde_json::json!(-1), "a negative attempt"),
            _ => ("id", serde_json::json!("somebody-else"), "another's record"),
        };
        assert!(record.get(field).is_some(), "{field} in {record}");
        record[field] = wrong;
        return (serde_json::to_vec(&record).unwrap(), how);
    }
    match random.u32(..3) {
        0 => (Vec::new(), "emptied"),
        1 if value.len() > 1 => (value[..random.usize(1..value.len())].to_vec(), "cut off"),
        _ => {
            // As long as no row is, and no text.
            let mut garbage = vec![0xff; random.usize(30..300)];
            random.fill(&mut garbage[1..]);
            (garbage, "overwritten")
        }
    }
}

/// A key and its value.
type Row = (Vec<u8>, Vec<u8>);

/// Damages rows, those of rare tables as often as those of large ones.
fn damage(path: &Path, random: &mut Rng) -> Vec<Damage> {
    let file = Connection::open(path).unwrap();
    let mut rows: BTreeMap<u8, Vec<Row>> = BTreeMap::new();
    let mut read = file.prepare("SELECT k, v FROM rows").unwrap();
    let mut found = read.query([]).unwrap();
    while let Some(row) = found.next().unwrap() {
        let key: Vec<u8> = row.get(0).unwrap();
        let value: Vec<u8> = row.get(1).unwrap();
        if !value.is_empty() {
            rows.entry(key[0]).or_default().push((key, value));
        }
    }
    let mut damaged = Vec::new();
    while damaged.len() < AT_ONCE {
        let tables: Vec<u8> = rows.keys().copied().collect();
        // One in three is a record.
        let table = match random.u32(..3) {
            0 => b't',
            _ => *random.choice(&tables).unwrap(),
        };
        let Some(table) = rows.get_mut(&table).filter(|table| !table.is_empty()) else {
            continue;
        };
        let (key, value) = table.swap_remove(random.usize(..table.len()));
        let (spoilt, how) = spoil(&key, &value, random);
        file.execute("UPDATE rows SET v = ?2 WHERE k = ?1", params![key, spoilt])
            .unwrap();
        damaged.push(Damage { key, how });
    }
    damaged
}

async fn upkeep(store: &SqliteStore) -> u64 {
    let retention = Retention {
        age: None,
        count: None,
    };
    let limit = 100;
    let done = store.maintain(Maintain { retention, limit }).await;
    done.unwrap().unreadable
}

/// Runs whatever can be run.
async fn run_all(store: &SqliteStore, clock: &ManualClock) -> u64 {
    let mut unreadable = 0;
    for _ in 0..3 {
        loop {
            let claimed = claim(store, 7).await;
            if claimed.is_empty() {
                break;
            }
            for task in claimed {
                assert_eq!(succeed(store, &task).await.unwrap(), TaskStatus::Succeeded);
            }
        }
        clock.advance(2 * MINUTE);
        unreadable = upkeep(store).await;
    }
    unreadable
}

/// What came of it.
#[derive(Default)]
struct Counts {
    rows: BTreeMap<char, usize>,
    ways: BTreeMap<&'static str, usize>,
    unreadable: usize,
    unseen: usize,
    set_aside: u64,
    ran: usize,
}

fn is_out_of_sight(record: &TaskStateRecord, damaged: &[Damage]) -> bool {
    let is_hit = |tables: &[u8]| {
        damaged.iter().any(|Damage { key, .. }| {
            tables.contains(&key[0]) && key.ends_with(&record.seq.to_be_bytes())
        })
    };
    is_hit(b"s") && is_hit(b"qdp")
}

async fn one_file(random: &mut Rng, counts: &mut Counts) {
    let (_directory, path) = home();
    let clock = ManualClock::shared();
    let ids = Arc::new(IdSource::seeded(random.u64(..)));
    let store = SqliteStore::open(SqliteOptions::at(&path), Arc::clone(&clock) as _, ids).unwrap();
    let running = fill(&store).await;
    let damaged = damage(&path, random);
    let lost: BTreeSet<&str> = damaged.iter().filter_map(Damage::record).collect();
    for damage in &damaged {
        *counts.rows.entry(damage.key[0].into()).or_default() += 1;
        *counts.ways.entry(damage.how).or_default() += 1;
    }
    // What runs can end, what waits can be claimed, what is new can be made.
    for task in running {
        let ended = succeed(&store, &task).await;
        if lost.contains(task.id.as_str()) {
            let error = ended.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
            assert!(error.to_string().contains(task.id.as_str()), "{error}");
        } else {
            assert_eq!(ended.unwrap(), TaskStatus::Succeeded, "{damaged:?}");
        }
    }
    for n in 0..EACH {
        store.create(new(format!("later-{n}"))).await.unwrap();
    }
    counts.set_aside += run_all(&store, &clock).await;

    let mut unseen = BTreeSet::new();
    let later = (0..EACH).map(|n| new(format!("later-{n}")));
    for task in (0..EACH).flat_map(sorts).chain(later) {
        let read = store.read(&task.id).await;
        if lost.contains(task.id.as_str()) {
            let error = read.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
            assert!(error.to_string().contains(task.id.as_str()), "{error}");
            continue;
        }
        let record = read.unwrap();
        // Hit twice, in the row where it waits and in the one that finds it by its number, it is nowhere to be found.
        if record.status == TaskStatus::Pending && is_out_of_sight(&record, &damaged) {
            unseen.insert(record.id.to_string());
            continue;
        }
        assert_eq!(
            record.status,
            TaskStatus::Succeeded,
            "{} does not run because of {damaged:?}",
            record.id
        );
        counts.ran += 1;
    }
    // Who looks is told of each.
    let wrong = store.check().await.unwrap();
    for id in lost
        .iter()
        .copied()
        .chain(unseen.iter().map(String::as_str))
    {
        let told = wrong.iter().any(|line| line.contains(&format!("\"{id}\"")));
        assert!(told, "{id} is not in {wrong:?}");
    }
    counts.unreadable += lost.len();
    counts.unseen += unseen.len();
    let listed = store
        .list(&TaskFilter::default(), PageRequest::first(500))
        .await;
    for task in listed.unwrap().items {
        assert!(!lost.contains(task.record.id.as_str()));
    }
    assert!(store.read(&id("nobody")).await.is_err());
}

#[tokio::test]
async fn damaged_rows_are_told_of_and_everybody_else_runs() {
    let seed = seed();
    let mut random = Rng::with_seed(seed);
    println!("TLO_TEST_SEED={seed}");
    let files = if is_full() { 60 } else { 3 };
    let mut counts = Counts::default();
    for _ in 0..files {
        one_file(&mut random, &mut counts).await;
    }
    let Counts {
        rows,
        ways,
        unreadable,
        unseen,
        set_aside,
        ran,
    } = counts;
    println!(
        "{} rows damaged in {files} files, by table {rows:?}, {ways:?}; {unreadable} records could not be read ({set_aside} set aside when they \
         were met), {unseen} were hit twice and in no index, each told of by its name; all {ran} others ran",
        files * AT_ONCE
    );
}
