//! Acceptance cases about priorities, order and idempotency keys.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod engine_kit;

use std::collections::BTreeSet;

use engine_kit::{Notes, Place, memory, program};
use tlo::PageRequest;
use tlo::prelude::*;
use tlo::store::{SharedStore, TaskFilter};
use tlo::task::UniqueScope;
use tlo::testing::Harness;

fn quick(name: &str) -> Task {
    task(name).run(|_: TaskContext, _: ()| async {})
}

/// The order in which tasks begin when one runs at a time.
async fn order_of(priorities: &[u8]) -> Vec<usize> {
    let order = Notes::default();
    let noted = order.clone();
    let mut tlo: Harness = TloContext::for_test()
        .set("concurrency", 1)
        .task(task("t").run(move |_: TaskContext, n: usize| {
            noted.add(n);
            async {}
        }))
        .start()
        .await
        .unwrap();
    for (n, priority) in priorities.iter().enumerate() {
        tlo.client()
            .task("t")
            .args(&n)
            .priority(*priority)
            .submit()
            .await
            .unwrap();
    }
    tlo.run_until_idle().await.unwrap();
    order.all()
}

#[tokio::test]
async fn f03_priority_first_and_submit_order_within_it() {
    assert_eq!(order_of(&[1, 9, 5]).await, [1, 2, 0]);
    // All in the same instant.
    assert_eq!(order_of(&[5; 30]).await, (0..30).collect::<Vec<_>>());
}

async fn one_key(store: SharedStore, callers: usize) {
    let context = program()
        .store(store)
        .task(quick("t").for_any_args())
        .build()
        .await
        .unwrap();
    let submits: Vec<_> = (0..callers)
        .map(|n| {
            let client = context.client();
            tokio::spawn(async move {
                let task = client
                    .task("t")
                    .args(&n)
                    .unique("order/7", UniqueScope::Forever);
                task.submit().await.unwrap()
            })
        })
        .collect();
    let mut ids = BTreeSet::new();
    let mut fresh = Vec::new();
    for submit in submits {
        let handle = submit.await.unwrap();
        ids.insert(handle.id().clone());
        fresh.extend(handle.is_new().then(|| handle.id().clone()));
    }
    assert_eq!((ids.len(), fresh.len()), (1, 1));
    let all = context
        .client()
        .list(&TaskFilter::default(), PageRequest::default())
        .await
        .unwrap();
    assert_eq!(all.items.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f07_fifty_parallel_submits_with_one_key_get_one_id() {
    let place = Place::new();
    for store in [memory(), place.open()] {
        one_key(store, 50).await;
    }
}

#[tokio::test]
async fn f06_the_same_key_gives_the_same_id_and_keeps_the_first_payload() {
    let mut tlo = TloContext::for_test()
        .task(quick("t").for_any_args())
        .start()
        .await
        .unwrap();
    let client = tlo.client();
    let submit = async |payload: &str| {
        let task = client
            .task("t")
            .args(payload)
            .unique("key", UniqueScope::WhileUnfinished);
        task.submit().await.unwrap()
    };
    let (first, second) = (submit("first").await, submit("second").await);
    assert_eq!(first.id(), second.id());
    assert!(first.is_new() && !second.is_new());
    assert_eq!(second.record().await.unwrap().args.as_str(), "\"first\"");
    assert_eq!(tlo.submitted("t").len(), 1);
    tlo.run_until_idle().await.unwrap();
    // Its scope is over.
    assert_ne!(submit("third").await.id(), first.id());
}

/// A task that takes whatever it is given.
trait ForAnyArgs {
    fn for_any_args(self) -> Task;
}

impl ForAnyArgs for Task {
    fn for_any_args(self) -> Task {
        task(self.def.name.to_string()).run(|_: TaskContext, _: serde_json::Value| async {})
    }
}
