//! Ways to submit: typed, many at once, with gates of their own; and what a handle can do.
#![cfg(all(feature = "testing", feature = "sqlite", feature = "macros"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod engine_kit;

use engine_kit::{Notes, Place, memory, program, until};
use tlo::client::Signature;
use tlo::prelude::*;
use tlo::store::{CountBy, GATE_MARK, SharedStore, TaskFilter, TaskStateStoreExt};
use tlo::task::{GateRule, OnConflict, UniqueScope};
use tlo::{ErrorKind, TaskId};

#[derive(serde::Serialize, serde::Deserialize, Debug, PartialEq)]
struct Order {
    user: u32,
    items: Vec<String>,
}

#[derive(serde::Serialize, serde::Deserialize, Debug, PartialEq)]
struct Receipt {
    total: usize,
}

#[tlo::task(name = "shop order", max_attempts = 2)]
async fn buy(_: TaskContext, order: Order) -> TaskResult<Receipt> {
    match order.items.len() {
        0 => Err(TaskError::fail("nothing to buy")),
        total => Ok(Receipt { total }),
    }
}

#[tlo::task(version = "2")]
fn plain(_: TaskContext, (a, b): (i32, i32)) -> Result<i32, Box<dyn std::error::Error>> {
    Ok(a + b)
}

#[tlo::task]
async fn silent(_: TaskContext, _: ()) {}

/// For a task that runs elsewhere.
const TWICE: Signature<i64, i64> = Signature::new("twice");

#[tokio::test]
async fn a_typed_submit_has_typed_args_and_a_typed_result() {
    let mut tlo = TloContext::for_test()
        .task(buy::task())
        .task(plain::task())
        .task(silent::task())
        .task(task("twice").run(|_: TaskContext, n: i64| async move { TaskResult::Ok(n * 2) }))
        .start()
        .await
        .unwrap();
    let client = tlo.client();
    let order = Order {
        user: 7,
        items: vec!["tea".to_owned(), "cup".to_owned()],
    };
    // The builder is the same; only the result is known.
    let bought = client.call(buy::signature(), &order).priority(9);
    let bought = bought.submit().await.unwrap();
    let plain = client
        .call(plain::signature(), (2, 3))
        .submit()
        .await
        .unwrap();
    let silent = client.call(silent::signature(), ()).submit().await.unwrap();
    let twice = client.call(TWICE, 21).submit().await.unwrap();
    tlo.run_until_idle().await.unwrap();
    let receipt: Receipt = bought.result().await.unwrap();
    assert_eq!(receipt, Receipt { total: 2 });
    let record = bought.record().await.unwrap();
    assert_eq!(
        (&*record.name, record.priority, record.max_attempts),
        ("shop order", 9, 2)
    );
    assert_eq!(plain.result().await.unwrap(), 5);
    assert_eq!(plain.record().await.unwrap().version.as_deref(), Some("2"));
    silent.result().await.unwrap();
    assert_eq!(twice.result().await.unwrap(), 42);
}

#[tokio::test]
async fn a_typed_result_of_a_failed_task_is_its_error() {
    let mut tlo = TloContext::for_test()
        .task(buy::task())
        .start()
        .await
        .unwrap();
    let nothing = Order {
        user: 7,
        items: Vec::new(),
    };
    let handle = tlo.client().call(buy::signature(), nothing);
    let handle = handle.submit().await.unwrap();
    tlo.run_until_idle().await.unwrap();
    let error = handle.result().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TaskFailed);
    assert!(error.to_string().contains("nothing to buy"), "{error}");
}

async fn many_on(store: SharedStore) {
    let tlo = program()
        .store(store.clone())
        .task(task("t").declare())
        .task(task("by user").exclusive("{user}").declare())
        .build()
        .await
        .unwrap();
    let client = tlo.client();
    let all = async || {
        let counts = store
            .count(&TaskFilter::default(), CountBy::Status, 1_000)
            .await;
        counts.unwrap().total()
    };

    let submits = (0..300).map(|n| client.task("t").args(&n));
    let handles = client.submit_many(submits).await.unwrap();
    assert!(handles.iter().all(tlo::TaskHandle::is_new));
    assert_eq!(all().await, 300);
    // In the order of the list.
    let first = handles[0].record().await.unwrap();
    let last = handles[299].record().await.unwrap();
    assert_eq!((first.args.as_str(), last.args.as_str()), ("0", "299"));
    assert_eq!(last.seq - first.seq, 299);
    assert!(
        client
            .submit_many(Vec::<tlo::client::Submit>::new())
            .await
            .unwrap()
            .is_empty()
    );

    // Everything that is wrong without asking the store is told at once.
    let refused = client
        .submit_many([
            client.task("t"),
            client.task("tt"),
            client.task("by user").args("no object"),
            client.task("t").exclusive("{missing}"),
            client.task("t").tag(""),
            client.task("t"),
        ])
        .await
        .unwrap_err();
    let told: Vec<_> = refused
        .items()
        .iter()
        .map(|item| (item.index, item.error.kind()))
        .collect();
    let invalid = ErrorKind::Invalid;
    assert_eq!(
        told,
        [
            (1, ErrorKind::UnknownTask),
            (2, invalid),
            (3, invalid),
            (4, invalid)
        ]
    );
    let error = tlo::Error::from(refused);
    assert_eq!(error.kind(), ErrorKind::UnknownTask);
    assert!(error.to_string().contains("item 3:"), "{error}");
    assert_eq!(all().await, 300);

    // What only the store knows, each by itself.
    let owned = |key: &str| {
        client
            .task("t")
            .unique_or(key, UniqueScope::WhileUnfinished, OnConflict::Fail)
    };
    owned("a").submit().await.unwrap();
    owned("c").submit().await.unwrap();
    let refused = client
        .submit_many([owned("a"), owned("b"), owned("c")])
        .await
        .unwrap_err();
    let told: Vec<_> = refused
        .items()
        .iter()
        .map(|item| (item.index, item.error.kind()))
        .collect();
    assert_eq!(told, [(0, ErrorKind::Conflict), (2, ErrorKind::Conflict)]);
    assert!(refused.items()[1].error.to_string().contains("\"c\""));
    assert_eq!(all().await, 302, "b must not be there");
    owned("b").submit().await.unwrap();

    // What is too much only because of what stands before it.
    let refused = client
        .submit_many([
            owned("x"),
            owned("y"),
            client.task("t"),
            owned("y"),
            owned("x"),
        ])
        .await
        .unwrap_err();
    let told: Vec<_> = refused.items().iter().map(|item| item.index).collect();
    assert_eq!(told, [3]);
    let full = GateRule {
        max_depth: Some(4),
        ..GateRule::default()
    };
    let rule = tlo::Payload::of(&full).unwrap();
    store
        .put_mark(&format!("{GATE_MARK}queue/small"), rule, None, None)
        .await
        .unwrap();
    let into_small = (0..7).map(|_| client.task("t").queue("small"));
    let refused = client.submit_many(into_small).await.unwrap_err();
    assert_eq!(refused.error().kind(), ErrorKind::QueueFull);
    let told: Vec<_> = refused.items().iter().map(|item| item.index).collect();
    assert_eq!(told, [4]);
    assert_eq!(all().await, 303);

    // The same key without Fail, and the same id, are the same task.
    let same = |key: &str| client.task("t").unique(key, UniqueScope::WhileUnfinished);
    let id = TaskId::new("mine").unwrap();
    let handles = client
        .submit_many([
            same("s"),
            same("s"),
            client.task("t").id(id.clone()),
            client.task("t").id(id.clone()),
        ])
        .await
        .unwrap();
    let new: Vec<_> = handles.iter().map(tlo::TaskHandle::is_new).collect();
    assert_eq!(new, [true, false, true, false]);
    assert_eq!(handles[0].id(), handles[1].id());
    assert_eq!(handles[3].id(), &id);
    assert_eq!(all().await, 305);
}

#[tokio::test]
async fn many_are_submitted_all_or_none_on_memory() {
    many_on(memory()).await;
}

#[tokio::test]
async fn many_are_submitted_all_or_none_on_sqlite() {
    many_on(Place::new().open()).await;
}

#[tokio::test]
async fn a_batch_that_the_store_failed_has_no_items() {
    let harness = TloContext::for_test()
        .task(task("t").declare())
        .start()
        .await
        .unwrap();
    harness.store().be_away(true);
    let client = harness.client();
    let refused = client.submit_many([client.task("t")]).await.unwrap_err();
    assert!(refused.items().is_empty());
    assert_eq!(refused.error().kind(), ErrorKind::Unavailable);
    assert!(refused.error().is_retryable());
}

#[tokio::test]
async fn gates_can_be_given_at_submit() {
    let running: Notes<String> = Notes::default();
    let noted = running.clone();
    let mut tlo = TloContext::for_test()
        .task(task("t {x}").gate("tenant/{tenant}", 5).run(
            move |context: TaskContext, args: serde_json::Value| {
                let noted = noted.clone();
                async move {
                    noted.add(args["user"].to_string());
                    context.cancelled().await;
                }
            },
        ))
        .start()
        .await
        .unwrap();
    let client = tlo.client();
    let to = |user: u32| {
        client
            .task("t {x}")
            .args(&serde_json::json!({"user": user, "tenant": "a"}))
    };
    let first = to(1).exclusive("{user}").submit().await.unwrap();
    let record = first.record().await.unwrap();
    let keys: Vec<_> = record
        .gates
        .iter()
        .map(|gate| (gate.key.as_str(), gate.limit))
        .collect();
    assert_eq!(keys, [("tenant/a", 5), ("exclusive/t {x}/1", 1)]);
    to(1).exclusive("{user}").submit().await.unwrap();
    to(2).exclusive("{user}").submit().await.unwrap();
    tlo.run_until_idle().await.unwrap();
    assert_eq!(running.all(), ["1", "2"]);
    // Three would be one too many by its own limit.
    let limited = to(3)
        .limit(1)
        .gate("tenant/{tenant}", 2)
        .submit()
        .await
        .unwrap();
    let record = limited.record().await.unwrap();
    let keys: Vec<_> = record
        .gates
        .iter()
        .map(|gate| (gate.key.as_str(), gate.limit))
        .collect();
    assert_eq!(keys, [("tenant/a", 2), ("limit/t {x}", 1)]);
    tlo.run_until_idle().await.unwrap();
    assert_eq!(running.len(), 2);
    let parked = limited.record().await.unwrap().parked.unwrap();
    assert_eq!(parked.gate, "tenant/a");
    let error = to(4).limit(0).submit().await.unwrap_err();
    assert!(error.to_string().contains("limit 0"), "{error}");
    let five = (0..5).fold(to(5), |submit, n| submit.gate(format!("g{n}"), 1));
    let error = five.submit().await.unwrap_err();
    assert!(error.to_string().contains("the limit is 4"), "{error}");
}

#[tokio::test]
async fn a_handle_cancels_and_shows_progress() {
    let notes = Notes::default();
    let noted = notes.clone();
    let tlo = program()
        .store(memory())
        .set("lease", "100ms")
        .task(task("t").run(move |context: TaskContext, _: ()| {
            let noted = noted.clone();
            async move {
                context.progress([1, 2]).unwrap();
                noted.add("began");
                context.cancelled().await;
                Err::<(), _>(context.interrupted())
            }
        }))
        .build()
        .await
        .unwrap();
    let handle = tlo.client().task("t").submit().await.unwrap();
    assert_eq!(handle.progress::<Vec<u32>>().await.unwrap(), None);
    let runner = Runner::new(tlo);
    let stop = runner.handle();
    let running = tokio::spawn(runner.run());
    until("it reports", async || {
        handle.progress::<Vec<u32>>().await.unwrap() == Some(vec![1, 2])
    })
    .await;
    let error = handle.progress::<String>().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    handle.cancel("enough").await.unwrap();
    let ended = engine_kit::within("it ends", handle.wait()).await.unwrap();
    assert_eq!(ended.status, TaskStatus::Cancelled);
    assert_eq!(notes.all(), ["began"]);
    let error = handle.cancel("again").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    stop.stop();
    running.await.unwrap().unwrap();
}

/// The answer is under way when the caller gives up.
#[tokio::test]
async fn a_lock_whose_caller_went_away_is_free_again() {
    let store = Place::new();
    let tlo = program().store(store.open()).build().await.unwrap();
    let client = tlo.client();
    for _ in 0..20 {
        tokio::select! {
            biased;
            lock = client.lock("k") => panic!("its write takes a while: {lock:?}"),
            () = std::future::ready(()) => {}
        }
        until("it is free again", async || {
            match client.lock("k").await.unwrap() {
                Some(lock) => {
                    lock.release().await.unwrap();
                    true
                }
                None => false,
            }
        })
        .await;
    }
}
