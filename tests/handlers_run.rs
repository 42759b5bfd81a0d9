//! Handlers at work: what they are given, and how each way to end comes out.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::Deserialize;
use tlo::handler::{BlockingPool, Surroundings, TaskContextBuilder};
use tlo::prelude::*;
use tlo::task::{Ended, Outcome, TaskStatus, decide};

async fn run_in(task: Task, context: TaskContext, args: &str) -> Ended {
    task.check().unwrap();
    let handler = task.handler.unwrap();
    handler.run(context, Payload::parse(args).unwrap()).await
}

async fn run(task: Task, args: &str) -> Ended {
    let context = TaskContext::for_test(&task.def.name);
    run_in(task, context, args).await
}

fn result(ended: Ended) -> String {
    match ended {
        Ended::Returned(Outcome::Success(payload)) => payload.to_string(),
        other => panic!("no success: {other:?}"),
    }
}

fn error(ended: Ended) -> TaskError {
    match ended {
        Ended::Returned(Outcome::Error(error)) => error,
        other => panic!("no error: {other:?}"),
    }
}

#[tokio::test]
async fn args_and_results_are_json() {
    #[derive(Deserialize)]
    struct Order {
        id: u64,
        #[serde(default)]
        note: Option<String>,
    }
    let order =
        |_: TaskContext, order: Order| async move { TaskResult::Ok((order.id, order.note)) };
    let ended = run(task("order").run(order), r#"{"id": 7}"#).await;
    assert_eq!(result(ended), "[7,null]");
    let sum = |_: TaskContext, (a, b): (i32, i32)| TaskResult::Ok(a + b);
    assert_eq!(result(run(task("sum").run(sum), "[2, 3]").await), "5");
    let text = async |_: TaskContext, text: String| TaskResult::Ok(text);
    let nul = "\"a\\u0000😀\"";
    assert_eq!(result(run(task("text").run(text), nul).await), nul);
}

#[tokio::test]
async fn a_handler_without_args_takes_every_way_of_saying_nothing() {
    for nothing in ["null", "{}", "[]", " { } "] {
        let ended = run(task("tick").run(|_: TaskContext, _: ()| async {}), nothing).await;
        assert_eq!(result(ended), "null", "{nothing}");
    }
    for something in ["7", r#"{"a": 1}"#, "[null]"] {
        let ended = run(
            task("tick").run(|_: TaskContext, _: ()| async {}),
            something,
        )
        .await;
        assert!(
            matches!(ended, Ended::Undecodable(_)),
            "{something}: {ended:?}"
        );
    }
}

#[tokio::test]
async fn args_that_do_not_fit_say_where_and_the_handler_does_not_run() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let task = task("x").run(move |_: TaskContext, _: HashMap<String, u8>| {
        counted.fetch_add(1, Ordering::Relaxed);
        async {}
    });
    let Ended::Undecodable(message) = run(task, r#"{"a": 256}"#).await else {
        panic!("decoded");
    };
    assert!(message.contains("256"), "{message}");
    assert_eq!(runs.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn errors_say_what_should_happen() {
    async fn parse(_: TaskContext, text: String) -> TaskResult<i64> {
        if text == "never" {
            return Err(TaskError::fail("not a number at all"));
        }
        let bytes = text.into_bytes();
        Ok(String::from_utf8(bytes)?.parse::<i64>()?)
    }
    assert_eq!(result(run(task("parse").run(parse), "\"12\"").await), "12");
    let retry = error(run(task("parse").run(parse), "\"x\"").await);
    assert_eq!(retry, TaskError::retry("invalid digit found in string"));
    let fail = error(run(task("parse").run(parse), "\"never\"").await);
    assert_eq!(fail, TaskError::fail("not a number at all"));
}

#[tokio::test]
async fn boxed_errors_keep_their_causes() {
    type Boxed = Box<dyn std::error::Error + Send + Sync>;
    async fn open(_: TaskContext, path: String) -> Result<(), Boxed> {
        std::fs::File::open(path)?;
        Ok(())
    }
    fn refuse(_: TaskContext, _: ()) -> Result<(), Box<dyn std::error::Error>> {
        Err("plain text")?
    }
    let missing = error(run(task("open").run(open), "\"/no/such/file\"").await);
    assert!(missing.message().contains("No such file"), "{missing:?}");
    let refused = error(run(task("refuse").run(refuse), "null").await);
    assert_eq!(refused, TaskError::retry("plain text"));
}

#[tokio::test]
async fn a_result_that_cannot_be_recorded_fails_for_good_and_the_body_ran_once() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let no_json = task("x").run(move |_: TaskContext, _: ()| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { TaskResult::Ok(HashMap::from([((1, 2), "keys are not text")])) }
    });
    let context = TaskContext::for_test("x");
    let record = Arc::clone(context.record());
    let ended = run_in(no_json, context, "null").await;
    assert!(matches!(&ended, Ended::Unserializable(why) if why.contains("key must be a string")));
    assert_eq!(decide(ended, &record, 0.0).status, TaskStatus::Failed);
    assert_eq!(runs.load(Ordering::Relaxed), 1);

    let large = task("y")
        .run(|_: TaskContext, size: usize| async move { TaskResult::Ok("z".repeat(size)) });
    let Ended::Unserializable(message) = run(large, &tlo::PAYLOAD_LIMIT.to_string()).await else {
        panic!("recorded");
    };
    assert!(
        message.contains("1048578") && message.contains("1048576"),
        "{message}"
    );
}

#[tokio::test]
async fn panics_end_the_attempt_in_every_shape() {
    let owned = String::from("owned");
    let shapes = [
        task("a").run(|_: TaskContext, _: ()| async { panic!("async") }),
        task("b").run(|_: TaskContext, _: ()| -> TaskResult { panic!("sync") }),
        task("c").run(move |_: TaskContext, _: ()| {
            assert_eq!(owned, "other", "before the future");
            async {}
        }),
        task("d").run(|_: TaskContext, _: ()| async {
            tokio::task::yield_now().await;
            std::panic::panic_any(7_u8)
        }),
    ];
    let mut said = Vec::new();
    for shape in shapes {
        let Ended::Panicked(message) = run(shape, "null").await else {
            panic!("no panic came out");
        };
        said.push(message);
    }
    assert_eq!((&*said[0], &*said[1]), ("async", "sync"));
    assert!(
        said[2].contains("before the future") && said[2].contains("owned"),
        "{}",
        said[2]
    );
    assert_eq!(said[3], "a panic without a message");
}

#[tokio::test]
async fn blocking_functions_do_not_block_the_runtime() {
    // A current-thread runtime: the two only meet when the first leaves the runtime's thread.
    let (sender, receiver) = std::sync::mpsc::channel::<u8>();
    let receiver = parking_lot::Mutex::new(receiver);
    let waits = task("waits").run(move |_: TaskContext, _: ()| {
        receiver
            .lock()
            .recv_timeout(Duration::from_secs(20))
            .map_err(TaskError::from)
    });
    let sends = task("sends").run(move |_: TaskContext, _: ()| {
        let sent = sender.send(7);
        async move { sent.map_err(TaskError::from) }
    });
    let (waited, sent) = tokio::join!(run(waits, "null"), run(sends, "null"));
    assert_eq!(
        (result(waited), result(sent)),
        ("7".to_owned(), "null".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_blocking_pool_is_bounded() {
    let surroundings = Surroundings {
        blocking: BlockingPool::new(2),
        ..Surroundings::default()
    };
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, highest) = (Arc::clone(&now), Arc::clone(&most));
    let crowd = task("crowd").run(move |_: TaskContext, _: ()| {
        highest.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::yield_now();
        counted.fetch_sub(1, Ordering::SeqCst);
    });
    let handler = crowd.handler.unwrap();
    let runs: Vec<_> = (0..200)
        .map(|_| {
            let context = TaskContextBuilder::new("crowd")
                .surroundings(surroundings.clone())
                .build();
            let handler = Arc::clone(&handler);
            tokio::spawn(async move { handler.run(context, Payload::null()).await })
        })
        .collect();
    for run in runs {
        assert_eq!(result(run.await.unwrap()), "null");
    }
    assert!((1..=2).contains(&most.load(Ordering::SeqCst)));
    assert_eq!(surroundings.blocking.free_places(), 2);
}

#[tokio::test]
async fn a_blocking_function_that_is_interrupted_while_it_waits_does_not_start() {
    let ran = Arc::new(AtomicUsize::new(0));
    for (why, expected) in [
        (Interruption::Cancelled, "Aborted"),
        (Interruption::Stopping, "Released"),
        (Interruption::LeaseLost, "Released"),
        (Interruption::TimedOut, "TimedOut"),
    ] {
        let counted = Arc::clone(&ran);
        let task = task("late").run(move |_: TaskContext, _: ()| {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let context = TaskContext::for_test("late");
        context.interrupt(why);
        let ended = run_in(task, context, "null").await;
        assert!(format!("{ended:?}").starts_with(expected), "{ended:?}");
    }
    assert_eq!(ran.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_future_that_is_dropped_leaves_its_blocking_function_its_place() {
    let pool = BlockingPool::new(1);
    let surroundings = Surroundings {
        blocking: pool.clone(),
        ..Surroundings::default()
    };
    let (started, mut has_started) = tokio::sync::mpsc::unbounded_channel();
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let wait = parking_lot::Mutex::new(wait);
    let stuck = task("stuck").run(move |_: TaskContext, _: ()| {
        let _ = started.send(());
        let _ = wait.lock().recv_timeout(Duration::from_secs(20));
    });
    let context = TaskContextBuilder::new("stuck")
        .surroundings(surroundings)
        .build();
    let handler = stuck.handler.unwrap();
    let running = tokio::spawn(async move { handler.run(context, Payload::null()).await });
    has_started.recv().await.unwrap();
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    assert_eq!(pool.free_places(), 0, "the function still runs");
    go_on.send(()).unwrap();
    while pool.free_places() == 0 {
        tokio::task::yield_now().await;
    }
}
