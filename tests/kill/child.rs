//! The processes that are killed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use tlo::prelude::*;
use tlo::settings::SettingsSource;
use tlo::store::{Maintain, Retention, SharedStore, TaskStateStoreExt};
use tlo::{
    Clock, IdSource, RowStore, SqliteEngine, SqliteOptions, SqliteStore, SystemClock, TloContext,
};

use crate::crashing::CrashingEngine;
use crate::faulty::{Fault, Faulty};
use crate::journal::{Journal, Note};
use crate::orders::{definitions, schedules, submit_for_ever};
use crate::trap::{POINTS, Trap, Verb};
use crate::watched::Watched;
use crate::zombies;

/// Should the test be killed that kills them, they end by themselves.
const LONGEST: Duration = Duration::from_secs(900);

/// Tasks that a process runs at once.
const CONCURRENCY: usize = 8;

/// What a process was told.
struct Seat {
    home: PathBuf,
    who: u32,
    lease: String,
    journal: Arc<Journal>,
}

fn told(name: &str) -> Option<String> {
    std::env::var(format!("TLO_TEST_{name}")).ok()
}

fn number(name: &str) -> u32 {
    told(name).and_then(|text| text.parse().ok()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by the tests beside it"]
async fn process() {
    let (home, role) = (PathBuf::from(told("HOME").unwrap()), told("ROLE").unwrap());
    let who = number("WHO");
    let seat = Seat {
        journal: Arc::new(Journal::open(&home.join("journal"), who)),
        lease: told("LEASE").unwrap(),
        home,
        who,
    };
    match role.as_str() {
        "submit" => seat.submit().await,
        "schedule" => seat.run(schedules(false)).await,
        "work" => seat.run(definitions(true)).await,
        "all" => seat.run(everything()).await,
        "zombie" => seat.run(vec![zombies::definition(&seat.home)]).await,
        "victim" => seat.victim().await,
        other => panic!("there is no role {other}"),
    }
}

/// What one process needs that does it all.
fn everything() -> Vec<Task> {
    let fired = schedules(true);
    let is_fired = |task: &Task| fired.iter().any(|other| other.def.name == task.def.name);
    let mut tasks = definitions(true);
    tasks.retain(|task| !is_fired(task));
    tasks.extend(fired);
    tasks
}

impl Seat {
    fn options(&self) -> SqliteOptions {
        SqliteOptions::at(self.home.join("tlo.db"))
    }

    fn store(&self) -> Watched {
        let store = SqliteStore::open(
            self.options(),
            SystemClock::shared(),
            Arc::new(IdSource::random()),
        );
        let mut store: SharedStore = Arc::new(store.unwrap());
        if let Some(name) = told("FAULT") {
            store = Arc::new(Faulty {
                inner: store,
                fault: Fault::named(&name),
                submits: AtomicU32::new(0),
            });
        }
        Watched::around(store, Arc::clone(&self.journal))
    }

    async fn context(&self, store: Watched, tasks: Vec<Task>) -> TloContext {
        let mut builder = TloContext::builder()
            .settings(SettingsSource::empty())
            .set("lease", &self.lease)
            .set("concurrency", CONCURRENCY)
            .set("kill_grace", "1s")
            .state(Arc::clone(&self.journal))
            .tasks(tasks);
        if let Some(trap) = &store.trap {
            builder = builder.state(Arc::clone(trap));
        }
        let context = builder.store(Arc::new(store)).build().await.unwrap();
        self.journal.note(Note::Up);
        context
    }

    async fn run(&self, tasks: Vec<Task>) {
        let context = self.context(self.store(), tasks).await;
        let stop = SystemClock.sleep(LONGEST);
        Runner::new(context).run_until(stop).await.unwrap();
    }

    async fn submit(&self) {
        let context = self.context(self.store(), definitions(false)).await;
        let submitting = submit_for_ever(
            context.client().clone(),
            Arc::clone(&self.journal),
            format!("s{}", self.who),
            u64::from(self.who) * 1_000,
            Duration::from_millis(8),
        );
        tokio::select! {
            () = submitting => {}
            () = SystemClock.sleep(LONGEST) => {}
        }
    }

    /// Does everything at once, until it comes to its point.
    async fn victim(&self) {
        let name = told("POINT").unwrap();
        let point = POINTS.iter().find(|point| point.name == name).unwrap();
        let trap = Trap::at(point, number("PASSES"), Arc::clone(&self.journal));
        let ids = Arc::new(IdSource::random());
        let engine = CrashingEngine {
            inner: SqliteEngine::open(self.options(), Arc::clone(&ids)).unwrap(),
            trap: Arc::clone(&trap),
        };
        let store = RowStore::open(engine, SystemClock::shared(), ids).unwrap();
        let mut store = Watched::around(Arc::new(store), Arc::clone(&self.journal));
        store.trap = Some(Arc::clone(&trap));
        let context = self.context(store, everything()).await;
        let (callers, pause) = if point.of_many { (16, 1) } else { (2, 8) };
        for caller in 0..callers {
            tokio::spawn(submit_for_ever(
                context.client().clone(),
                Arc::clone(&self.journal),
                format!("s{}.{caller}", self.who),
                u64::from(self.who) * 1_000 + caller * 100,
                Duration::from_millis(pause),
            ));
        }
        match point.verb {
            Verb::Tidy => drop(tokio::spawn(tidy(Arc::clone(context.store())))),
            Verb::Checkpoint => {
                let store = Arc::clone(context.store());
                drop(tokio::spawn(move_log(store, self.home.clone(), trap)));
            }
            _ => {}
        }
        if point.of_many {
            SystemClock.sleep(LONGEST).await;
        }
        let stop = SystemClock.sleep(LONGEST);
        Runner::new(context).run_until(stop).await.unwrap();
    }
}

/// Removes the oldest ended tasks, and marks whose time is over, again and again.
async fn tidy(store: SharedStore) {
    let request = Maintain {
        retention: Retention {
            age: None,
            count: Some(KEPT),
        },
        limit: 100,
    };
    for n in 0_u32.. {
        let soon = Some(Duration::from_millis(1));
        let value = Payload::of(&n).unwrap();
        store
            .put_mark(&format!("m{}", n % 10), value, None, soon)
            .await
            .unwrap();
        SystemClock.sleep(Duration::from_millis(5)).await;
        store.maintain(request).await.unwrap();
    }
}

/// Ended tasks that upkeep leaves, where it removes any.
const KEPT: u64 = 10;

/// Lets the log grow behind a reader, and dies at some moment of the write or the upkeep that moves it into the file.
async fn move_log(store: SharedStore, home: PathBuf, trap: Arc<Trap>) {
    let value = Payload::of(&"x".repeat(1_000_000)).unwrap();
    loop {
        let reader = rusqlite::Connection::open(home.join("tlo.db")).unwrap();
        reader
            .execute_batch("BEGIN; SELECT count(*) FROM rows;")
            .unwrap();
        for n in 0..10 {
            let key = format!("large{n}");
            store
                .put_mark(&key, value.clone(), None, None)
                .await
                .unwrap();
        }
        drop(reader);
        let (done, is_done) = std::sync::mpsc::channel::<()>();
        let wait = Duration::from_micros(fastrand::u64(0..8_000));
        let dying = Arc::clone(&trap);
        let waiting = std::thread::spawn(move || {
            use std::sync::mpsc::RecvTimeoutError;
            if is_done.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                dying.spring();
            }
        });
        let request = Maintain {
            retention: Retention {
                age: None,
                count: None,
            },
            limit: 100,
        };
        store.maintain(request).await.unwrap();
        drop(done);
        waiting.join().unwrap();
    }
}
