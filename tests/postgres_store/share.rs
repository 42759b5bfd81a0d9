//! Several stores on one database.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tlo::Payload;
use tlo::prelude::*;
use tlo::store::{Hint, TaskStateStore, TaskStateStoreExt};
use tlo::task::Due;
use tlo::{PostgresOptions, PostgresPooler};

use super::kit::{id, lease, new, open, program, since_boot, total};
use super::servers::postgres::Postgres;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_on_one_database_share_the_work_and_hear_of_each_other() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let options = postgres.options("share");
    let (one, two) = (open(options.clone()).await, open(options.clone()).await);
    // What one answered the other sees.
    for n in 0..20 {
        let (from, to) = if n % 2 == 0 {
            (&one, &two)
        } else {
            (&two, &one)
        };
        let task = id(format!("t{n}"));
        from.create(new(task.as_str())).await.unwrap();
        assert_eq!(to.read(&task).await.unwrap().id, task);
        assert!(to.create(new(task.as_str())).await.is_err());
    }
    assert_eq!((total(&*one).await, total(&*two).await), (20, 20));
    // Of many that claim, nobody gets what another has.
    let claiming: Vec<_> = [&one, &two, &one, &two]
        .map(|store| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let mut mine = Vec::new();
                loop {
                    let tasks = lease(&store, 3).await.unwrap();
                    if tasks.is_empty() {
                        return mine;
                    }
                    mine.extend(tasks.iter().map(|task| task.id.clone()));
                }
            })
        })
        .into();
    let mut claimed = Vec::new();
    for task in claiming {
        claimed.extend(task.await.unwrap());
    }
    let unique: BTreeSet<_> = claimed.iter().collect();
    assert_eq!((claimed.len(), unique.len()), (20, 20));
    // A task for one is heard of by the other, long before it would look by itself.
    let mut hints = two.hints();
    let begun = since_boot();
    one.create(new("told")).await.unwrap();
    assert_eq!(hints.next().await, Some(Hint::Ready("default".into())));
    let waited = since_boot().saturating_sub(begun);
    assert!(waited < Duration::from_millis(500), "{waited:?}");
    println!("heard of another store's task after {waited:?}");

    // Two runners: both are told, and together they run everything.
    let mut running = Vec::new();
    for store in [&one, &two] {
        let runner = Runner::new(program(store).await);
        running.push((runner.handle(), tokio::spawn(runner.run())));
    }
    let client = program(&open(options).await).await.client();
    for order in 0..50_i64 {
        let handle = client.task("ship").args(&order).submit().await.unwrap();
        assert_eq!(handle.result::<i64>().await.unwrap(), order + 1);
    }
    for (stop, runner) in running {
        stop.stop();
        runner.await.unwrap().unwrap();
    }
}

/// What a store wrote when it leased is not read again at the end of the run: it must notice that another one wrote since.
#[tokio::test]
async fn the_end_of_a_run_sees_what_others_wrote_meanwhile() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let options = postgres.options("meanwhile");
    let (one, two) = (open(options.clone()).await, open(options).await);
    for name in ["asked", "taken", "alone"] {
        one.create(new(name)).await.unwrap();
    }
    let leased = lease(&one, 3).await.unwrap();
    let of = |name: &str| {
        let task = leased.iter().find(|task| task.id == id(name)).unwrap();
        task.lease.as_ref().unwrap().reference()
    };
    // A cancel that comes meanwhile is kept, also by a run that succeeds.
    two.cancel(&id("asked"), "enough").await.unwrap();
    one.succeed(&id("asked"), of("asked"), Payload::null())
        .await
        .unwrap();
    let asked = two.read(&id("asked")).await.unwrap();
    assert_eq!(asked.status, TaskStatus::Succeeded);
    assert!(asked.cancel_requested);
    assert_eq!(asked.revision, leased[0].revision + 2);
    // What ended elsewhere is not ended again.
    two.snooze(&id("taken"), of("taken"), Due::In(Duration::ZERO))
        .await
        .unwrap();
    let again = lease(&two, 1).await.unwrap();
    assert_eq!(again[0].id, id("taken"));
    let late = one
        .succeed(&id("taken"), of("taken"), Payload::null())
        .await;
    assert!(late.is_err());
    let taken = two.read(&id("taken")).await.unwrap();
    assert_eq!(taken.status, TaskStatus::Running);
    assert_eq!(taken.lease, again[0].lease);
    // What nobody touched is ended once.
    one.succeed(&id("alone"), of("alone"), Payload::null())
        .await
        .unwrap();
    let ended = two.read(&id("alone")).await.unwrap();
    assert_eq!(ended.status, TaskStatus::Succeeded);
    let second = two
        .succeed(&id("alone"), of("alone"), Payload::null())
        .await;
    assert!(second.is_err());
    assert_eq!(two.read(&id("alone")).await.unwrap(), ended);
    assert_eq!(total(&*two).await, 3);
}

/// As behind a pooler of transactions: nothing that outlives a transaction is used, and who waits looks by itself.
#[tokio::test]
async fn without_named_statements_and_listening_it_works_by_looking() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let options = PostgresOptions {
        pooler: PostgresPooler::Transaction,
        ..postgres.options("pooled")
    };
    let store = open(options.clone()).await;
    assert!(!store.capability().pushes);
    let runner = Runner::new(program(&store).await);
    let stop = runner.handle();
    let running = tokio::spawn(runner.run());
    let other = program(&open(options).await).await.client();
    for order in 0..5_i64 {
        let handle = other.task("ship").args(&order).submit().await.unwrap();
        assert_eq!(handle.result::<i64>().await.unwrap(), order + 1);
    }
    stop.stop();
    running.await.unwrap().unwrap();
    let prepared = "SELECT count(*) FROM pg_prepared_statements";
    let database = super::servers::postgres::connect(postgres.url())
        .await
        .unwrap();
    let rows = database.query_one(prepared, &[]).await.unwrap();
    // The one that asks.
    assert_eq!(rows.get::<_, i64>(0), 1);
}

/// The program of the README, with only the setting of its store changed.
#[tokio::test]
async fn a_program_needs_only_its_setting_changed() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    for scheme in ["postgres://", "postgresql://"] {
        let url = postgres.url().replace("postgres://", scheme);
        let (seen, mut ran) = tokio::sync::mpsc::unbounded_channel();
        let tlo = TloContext::builder()
            .settings(tlo::settings::SettingsSource::empty().environment([
                ("TLO_TASK_STATE_STORE", url.as_str()),
                ("TLO_POSTGRES__SCHEMA", "program"),
            ]))
            .task(
                task("heartbeat")
                    .every(millis(50))
                    .run(move |_: TaskContext, _: ()| {
                        let seen = seen.clone();
                        async move { seen.send(()).unwrap_or_default() }
                    }),
            )
            .build()
            .await
            .unwrap();
        assert_eq!(tlo.store().capability().name, "postgres");
        let runner = Runner::new(tlo);
        let stop = runner.handle();
        let running = tokio::spawn(runner.run());
        for _ in 0..3 {
            ran.recv().await.unwrap();
        }
        stop.stop();
        running.await.unwrap().unwrap();
    }
}
