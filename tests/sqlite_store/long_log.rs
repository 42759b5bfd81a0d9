//! Warnings of a log that nobody can cut.

use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use tlo::store::TaskStateStoreExt;
use tlo::store::kv::RowEngine;
use tlo::{IdSource, Payload, SqliteEngine, SqliteOptions};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

use crate::kit::{Store, home, new, open};
use crate::listening::listen;

/// The sizes that were warned of.
#[derive(Clone, Default)]
struct Warned(Arc<Mutex<Vec<u64>>>);

impl Warned {
    fn take(&self) -> Vec<u64> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl Visit for Warned {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "bytes" {
            self.0.lock().push(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

impl<S: Subscriber> Layer<S> for Warned {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() == Level::WARN {
            event.record(&mut self.clone());
        }
    }
}

/// Writes until the log is as long as that.
async fn grow(store: &Store, bytes: u64) {
    while store.facts().await.unwrap().wal_bytes < bytes {
        let mut task = new(format!("t{}", fastrand::u64(..)));
        task.args = Payload::of(&"x".repeat(900_000)).unwrap();
        store.create(task).await.unwrap();
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_cut_is_warned_of_each_time_it_has_doubled() {
    const MIB: u64 = 1 << 20;
    let (_directory, path) = home();
    let store = open(&path);
    store.create(new("a")).await.unwrap();
    let warned = Warned::default();
    let _here = listen(tracing_subscriber::registry().with(warned.clone()));
    // Its upkeep runs on this thread, where somebody listens.
    let other = SqliteEngine::open(SqliteOptions::at(&path), Arc::new(IdSource::random())).unwrap();
    let reader = Connection::open(&path).unwrap();
    let old = "BEGIN; SELECT count(*) FROM rows";
    reader.execute_batch(old).unwrap();

    grow(&store, 60 * MIB).await;
    other.upkeep().unwrap();
    assert_eq!(
        warned.take(),
        Vec::<u64>::new(),
        "such a log is cut when it is time"
    );
    grow(&store, 66 * MIB).await;
    other.upkeep().unwrap();
    let first = warned.take();
    assert_eq!(first.len(), 1, "{first:?}");
    assert!(first[0] >= 66 * MIB);
    grow(&store, 100 * MIB).await;
    other.upkeep().unwrap();
    assert_eq!(warned.take(), Vec::<u64>::new(), "it was warned of before");
    grow(&store, 2 * first[0]).await;
    other.upkeep().unwrap();
    assert_eq!(warned.take().len(), 1);

    reader.execute_batch("ROLLBACK").unwrap();
    other.upkeep().unwrap();
    assert_eq!(warned.take(), Vec::<u64>::new());
    assert_eq!(store.facts().await.unwrap().wal_bytes, 0);
    // What was before does not count.
    reader.execute_batch(old).unwrap();
    grow(&store, 66 * MIB).await;
    other.upkeep().unwrap();
    assert_eq!(warned.take().len(), 1);
}
