//! Acceptance cases about attempts, results, concurrency and missing functions (P and F cases).
//!
//! F03, F06 and F07 are in `cases_submits.rs`, P07 and F10 in `engine_idle.rs`, P16 and P18 in `engine_attempts.rs`, F09 in
//! `engine_stop.rs`, F18 in `recurring_policies.rs`, and P15, P21 and P22 from outside in `cases_cli.rs`.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::print_stdout, reason = "the figures are what it is run for")]

mod engine_kit;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use engine_kit::{Notes, Place, memory, plain_retry, program, until, until_within};
use tlo::prelude::*;
use tlo::store::{CountBy, Patch, TaskFilter, TaskStateStoreExt};
use tlo::task::{AttemptEnd, Ended, NewTask, Outcome, decide};
use tlo::worker::{Stop, Worker};
use tlo::{ErrorKind, IdSource, TaskId, TaskStateRecord};

fn quick(name: &str) -> Task {
    task(name).run(|_: TaskContext, _: ()| async {})
}

#[tokio::test]
async fn p01_by_function_or_by_name_is_equal() {
    async fn greet(_: TaskContext, name: String) -> TaskResult<String> {
        Ok(format!("Hello, {name}!"))
    }
    let task = Task::of(greet).build();
    let name = task.def.name.clone();
    let mut tlo = TloContext::for_test().task(task).start().await.unwrap();
    let client = tlo.client();
    let by_function = client.task(&*name).args("Ada").submit().await.unwrap();
    let by_name = client.task("greet").args("Grace").submit().await.unwrap();
    tlo.run_until_idle().await.unwrap();
    assert_eq!(by_function.result::<String>().await.unwrap(), "Hello, Ada!");
    assert_eq!(by_name.result::<String>().await.unwrap(), "Hello, Grace!");
    assert_eq!(client.stats().await.unwrap().queues.total(), 0);
}

#[tokio::test]
async fn p03_two_failures_and_a_success_are_three_results() {
    let mut tlo = TloContext::for_test()
        .task(
            task("t")
                .max_attempts(3)
                .run(|context: TaskContext, _: ()| async move {
                    match context.attempt() {
                        attempt @ 1..=2 => Err(TaskError::retry(format!("failure {attempt}"))),
                        attempt => Ok(attempt * 10),
                    }
                }),
        )
        .start()
        .await
        .unwrap();
    let handle = tlo.client().task("t").submit().await.unwrap();
    tlo.advance(hours(1)).await.unwrap();
    let record = handle.record().await.unwrap();
    let runs: Vec<_> = record
        .attempts
        .iter()
        .map(|run| (run.attempt, run.outcome, run.error.as_deref()))
        .collect();
    assert_eq!(
        runs,
        [
            (1, AttemptEnd::Failed, Some("failure 1")),
            (2, AttemptEnd::Failed, Some("failure 2")),
            (3, AttemptEnd::Succeeded, None),
        ]
    );
    assert_eq!(
        (record.max_attempts, record.result.unwrap().as_str()),
        (3, "30")
    );
    let retries = tlo
        .events()
        .iter()
        .filter(|event| event.kind() == "retrying")
        .count();
    assert_eq!(retries, 2);
}

#[tokio::test]
async fn p04_attempts_are_total_attempts_and_never_less_than_one() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let mut tlo = TloContext::for_test()
        .task(task("t").run(move |_: TaskContext, _: ()| {
            counted.fetch_add(1, Ordering::SeqCst);
            async { TaskResult::<()>::Err(TaskError::retry("always")) }
        }))
        .start()
        .await
        .unwrap();
    for (max, expected) in [(3, 3), (1, 1), (0, 1)] {
        let handle = tlo
            .client()
            .task("t")
            .max_attempts(max)
            .submit()
            .await
            .unwrap();
        tlo.advance(hours(1) - secs(1)).await.unwrap();
        let record = handle.record().await.unwrap();
        assert_eq!(
            (record.status, record.attempts.len()),
            (TaskStatus::Failed, expected)
        );
        assert_eq!(runs.swap(0, Ordering::SeqCst), expected);
    }
    // Gone from the queue; the records stay.
    let stats = tlo.client().stats().await.unwrap();
    assert_eq!(stats.queues.total(), 0);
    assert!(stats.statuses.of("failed") >= 1);
    // In a definition, which nobody computes, zero is a mistake.
    assert!(task("t").max_attempts(0).declare().check().is_err());
}

#[tokio::test]
async fn p06_never_more_run_than_the_limit() {
    let most = Arc::new(AtomicUsize::new(0));
    let now = Arc::new(AtomicUsize::new(0));
    let (seen, running) = (Arc::clone(&most), Arc::clone(&now));
    let mut tlo = TloContext::for_test()
        .set("concurrency", 2)
        .task(task("t").run(move |context: TaskContext, _: ()| {
            let (seen, running) = (Arc::clone(&seen), Arc::clone(&running));
            async move {
                seen.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                context.clock().sleep(secs(3)).await;
                running.fetch_sub(1, Ordering::SeqCst);
            }
        }))
        .start()
        .await
        .unwrap();
    for _ in 0..5 {
        tlo.client().task("t").submit().await.unwrap();
    }
    for (seconds, done) in [(1, 0), (3, 2), (3, 4), (3, 5)] {
        tlo.advance(secs(seconds)).await.unwrap();
        let stats = tlo.client().stats().await.unwrap();
        assert_eq!(stats.statuses.of("succeeded"), done);
        assert_eq!(stats.statuses.of("running"), (5 - done).min(2));
    }
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

fn new(name: &str, id: &str) -> NewTask {
    NewTask::new(TaskId::new(id).unwrap(), name, tlo::Payload::null())
}

#[tokio::test]
async fn p09_a_received_task_is_running_and_received_once() {
    let place = Place::new();
    for store in [memory(), place.open()] {
        store.create(new("t", "a")).await.unwrap();
        let worker = IdSource::random().worker_id("w").unwrap();
        let first = store
            .lease(&worker, "default", &["t"], 5, secs(30))
            .await
            .unwrap();
        assert_eq!((first.len(), first[0].status), (1, TaskStatus::Running));
        assert!(
            store
                .lease(&worker, "default", &["t"], 5, secs(30))
                .await
                .unwrap()
                .is_empty()
        );
        let lease = first[0].lease.as_ref().unwrap().reference();
        store
            .succeed(&first[0].id, lease, tlo::Payload::null())
            .await
            .unwrap();
        assert!(store.peek("default", 5).await.unwrap().is_empty());
        let again = store
            .succeed(&first[0].id, lease, tlo::Payload::null())
            .await
            .unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Conflict);
    }
}

#[tokio::test]
async fn p10_a_refused_task_waits_with_one_try_fewer_or_has_failed() {
    let store = memory();
    let mut task = new("t", "a");
    task.max_attempts = 2;
    task.retry = RetryPolicy::fixed(std::time::Duration::ZERO);
    store.create(task).await.unwrap();
    store.create(new("t", "b")).await.unwrap();
    let worker = IdSource::random().worker_id("w").unwrap();
    let refuse = async |error: TaskError| {
        let claimed = store
            .lease(&worker, "default", &["t"], 1, secs(30))
            .await
            .unwrap();
        let settlement = decide(Ended::Returned(Outcome::Error(error)), &claimed[0], 0.0);
        let lease = claimed[0].lease.as_ref().unwrap().reference();
        store
            .settle(&claimed[0].id, lease, settlement)
            .await
            .unwrap();
        store.read(&claimed[0].id).await.unwrap()
    };
    let first = refuse(TaskError::retry("not now")).await;
    assert_eq!(
        (first.id.as_str(), first.status),
        ("a", TaskStatus::Pending)
    );
    assert_eq!(first.max_attempts - first.spent(), 1);
    // "b" came before the second try of "a".
    let other = refuse(TaskError::fail("never")).await;
    assert_eq!((other.id.as_str(), other.status), ("b", TaskStatus::Failed));
    let last = refuse(TaskError::retry("not now")).await;
    assert_eq!((last.id.as_str(), last.status), ("a", TaskStatus::Failed));
    assert!(store.peek("default", 5).await.unwrap().is_empty());
}

#[tokio::test]
async fn p12_records_keep_everything_through_their_stored_form() {
    let place = Place::new();
    let args =
        tlo::Payload::parse(r#"{"text":"zero \u0000, тло, 🦀","list":[1,2.50,null]}"#).unwrap();
    let store = place.open();
    let mut task = new("nobody.knows.me", "a");
    task.args = args.clone();
    task.tags.insert("tag".to_owned());
    task.headers
        .insert("traceparent".to_owned(), "00-1-1-00".to_owned());
    store.create(task).await.unwrap();
    drop(store);
    let record = place.open().read(&TaskId::new("a").unwrap()).await.unwrap();
    assert_eq!(record.args.as_str(), args.as_str());
    let text = serde_json::to_string(&record).unwrap();
    let back: TaskStateRecord = serde_json::from_str(&text).unwrap();
    assert_eq!(back, record);
    assert_eq!(serde_json::to_string(&back).unwrap(), text);
    assert!(record.created_at <= record.run_at && record.status == TaskStatus::Pending);
}

#[tokio::test]
async fn p13_a_new_process_runs_what_waits_in_order_of_creation() {
    let place = Place::new();
    let order = Notes::default();
    let noted = order.clone();
    let context = async |noted: Notes<usize>| {
        program()
            .set(
                "task_state_store",
                format!("sqlite:{}", place.path().display()),
            )
            .set("concurrency", 1)
            .task(task("t").run(move |_: TaskContext, n: usize| {
                noted.add(n);
                async {}
            }))
            .build()
            .await
            .unwrap()
    };
    let first = context(noted.clone()).await;
    for n in 0..50 {
        first.client().task("t").args(&n).submit().await.unwrap();
    }
    drop(first);
    let second = context(noted).await;
    let runner = Runner::new(second);
    let handle = runner.handle();
    let running = tokio::spawn(runner.run_until(std::future::pending()));
    until("all have run", async || order.len() == 50).await;
    handle.stop();
    running.await.unwrap().unwrap();
    assert_eq!(order.all(), (0..50).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p15_four_workers_claim_each_task_once() {
    let place = Place::new();
    let tasks = if std::env::var("TLO_PROOF").is_ok_and(|proof| proof == "full") {
        10_000
    } else {
        1_000
    };
    let runs = Notes::default();
    let mut workers = Vec::new();
    let submitting = program()
        .store(place.open())
        .task(task("t").declare())
        .build()
        .await
        .unwrap();
    for n in 0..tasks {
        let submit = new("t", &format!("task-{n}"));
        submitting.store().create(submit).await.unwrap();
    }
    let (stop, stopping) = tokio::sync::watch::channel(Stop::No);
    for _ in 0..4 {
        let noted = runs.clone();
        let context = program()
            .store(place.open())
            .task(task("t").run(move |context: TaskContext, _: ()| {
                noted.add((context.id().to_string(), context.worker().to_string()));
                async {}
            }))
            .build()
            .await
            .unwrap();
        let worker = Worker::new(context.worker_parts().unwrap());
        workers.push(tokio::spawn(worker.run(stopping.clone())));
    }
    let succeeded = async || {
        let done = TaskFilter::status([TaskStatus::Succeeded]);
        submitting
            .store()
            .count(&done, CountBy::All, 20_000)
            .await
            .unwrap()
            .total()
            == tasks
    };
    until_within("all have run", secs(60), succeeded).await;
    stop.send_replace(Stop::Drain);
    for worker in workers {
        worker.await.unwrap().unwrap();
    }
    let runs = runs.all();
    let ids: BTreeSet<_> = runs.iter().map(|run| &run.0).collect();
    let by: BTreeSet<_> = runs.iter().map(|run| &run.1).collect();
    println!(
        "{} runs of {} tasks by {} workers",
        runs.len(),
        ids.len(),
        by.len()
    );
    assert_eq!(
        (runs.len() as u64, ids.len() as u64, by.len()),
        (tasks, tasks, 4)
    );
}

#[tokio::test]
async fn p19_a_task_waits_for_a_worker_that_knows_it() {
    let place = Place::new();
    let old = program()
        .store(place.open())
        .task(quick("old"))
        .task(task("new").declare())
        .build()
        .await
        .unwrap();
    let waiting = old.client().task("new").submit().await.unwrap();
    let old_runner = Runner::new(old.clone());
    let stop_old = old_runner.handle();
    let old_running = tokio::spawn(old_runner.run_until(std::future::pending()));
    old.client()
        .task("old")
        .submit()
        .await
        .unwrap()
        .wait_for(secs(5))
        .await
        .unwrap();
    let record = waiting.record().await.unwrap();
    assert_eq!((record.status, record.leases), (TaskStatus::Pending, 0));
    // A rolling deploy: the new version comes beside the old one.
    let new = program()
        .store(place.open())
        .task(quick("new"))
        .build()
        .await
        .unwrap();
    let new_runner = Runner::new(new);
    let stop_new = new_runner.handle();
    let new_running = tokio::spawn(new_runner.run_until(std::future::pending()));
    let done = waiting.wait_for(secs(5)).await.unwrap();
    assert_eq!((done.status, done.leases), (TaskStatus::Succeeded, 1));
    // A third, which only submits, knows the name because a live worker advertises it.
    let other = program().store(place.open()).build().await.unwrap();
    until("the new worker says what it knows", async || {
        other.client().task("new").submit().await.is_ok()
    })
    .await;
    stop_old.stop();
    stop_new.stop();
    old_running.await.unwrap().unwrap();
    new_running.await.unwrap().unwrap();
}

#[tokio::test]
async fn p21_results_are_kept_in_order_counted_cleared_and_cannot_be_changed() {
    let mut tlo = TloContext::for_test()
        .task(
            task("t")
                .max_attempts(3)
                .run(|context: TaskContext, _: ()| async move {
                    if context.attempt() < 3 {
                        Err(TaskError::retry("once more"))
                    } else {
                        Ok("value")
                    }
                }),
        )
        .start()
        .await
        .unwrap();
    let handle = tlo.client().task("t").submit().await.unwrap();
    tlo.advance(minutes(1)).await.unwrap();
    let record = handle.record().await.unwrap();
    assert_eq!(record.attempts.len(), 3);
    assert!(
        record
            .attempts
            .windows(2)
            .all(|pair| pair[0].finished_at <= pair[1].finished_at)
    );
    let unknown = TaskId::new("nobody").unwrap();
    assert_eq!(
        tlo.client().get(&unknown).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(
        tlo.client().stats().await.unwrap().statuses.of("succeeded"),
        1
    );
    let change = Patch {
        args: Some(tlo::Payload::of(&1).unwrap()),
        ..Patch::default()
    };
    let refused = tlo.store().update(handle.id(), change).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert_eq!(handle.record().await.unwrap(), record);
    tlo.client().delete(handle.id()).await.unwrap();
    assert_eq!(
        handle.record().await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(tlo.client().stats().await.unwrap().statuses.total(), 0);
}

#[tokio::test]
async fn f04_attempts_are_spaced_by_the_policy_and_all_errors_are_kept() {
    let rule = RetryPolicy {
        delays: vec![1.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0],
        jitter: 0.0,
        ..plain_retry(secs(1))
    };
    let mut tlo =
        TloContext::for_test()
            .task(task("t").max_attempts(3).retry(rule).run(
                |context: TaskContext, _: ()| async move {
                    TaskResult::<()>::Err(TaskError::retry(format!(
                        "exit code {}",
                        context.attempt()
                    )))
                },
            ))
            .start()
            .await
            .unwrap();
    let handle = tlo.client().task("t").submit().await.unwrap();
    tlo.advance(minutes(1)).await.unwrap();
    let record = handle.record().await.unwrap();
    assert_eq!((record.status, record.attempt), (TaskStatus::Failed, 3));
    let starts: Vec<_> = record
        .attempts
        .iter()
        .map(|run| run.started_at.since(record.created_at))
        .collect();
    assert_eq!(starts, [secs(0), secs(1), secs(2)]);
    let errors: Vec<_> = record
        .attempts
        .iter()
        .map(|run| run.error.clone().unwrap())
        .collect();
    assert_eq!(errors, ["exit code 1", "exit code 2", "exit code 3"]);
}
