//! Upkeep goes on, however much it must leave.
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

use std::time::Duration;

use tlo::store::{Commit, Create, Maintain, Op, Retention, TaskStateStore, TaskStateStoreExt};
use tlo::task::{Due, Gate, NewTask};
use tlo::{MemoryStore, Payload, TaskId, WorkerId};

fn new(id: &str) -> NewTask {
    NewTask::new(TaskId::new(id).unwrap(), "work", Payload::null())
}

fn ended(task: NewTask) -> Commit {
    let id = task.id.clone();
    let create = Create {
        task,
        lease_to: None,
    };
    Commit::of([Op::Create(Box::new(create))]).then(Op::Cancel(id, "no".to_owned()))
}

#[tokio::test]
async fn many_kept_children_do_not_stop_retention() {
    let store = MemoryStore::default();
    let mut parent = new("parent");
    parent.due = Due::In(Duration::from_secs(86_400));
    store.create(parent).await.unwrap();
    let child = |n: usize| {
        let mut child = new(&format!("child{n}"));
        child.parent = Some(TaskId::new("parent").unwrap());
        ended(child)
    };
    store
        .commit((0..12_000).map(child).collect())
        .await
        .unwrap();
    let others = (0..30).map(|n| ended(new(&format!("other{n}"))));
    store.commit(others.collect()).await.unwrap();
    let retention = Retention {
        age: None,
        count: Some(0),
    };
    let step = Maintain {
        retention,
        limit: 7,
    };
    let round = async || {
        let (mut removed, mut steps) = (0, 0);
        loop {
            let done = store.maintain(step).await.unwrap();
            assert!(done.removed <= 7);
            removed += done.removed;
            steps += 1;
            if !done.more {
                return (removed, steps);
            }
            assert!(steps < 3_000, "a round without an end");
        }
    };
    let (removed, steps) = round().await;
    assert_eq!(removed, 30);
    assert!(steps <= 12, "{steps} steps");
    // Another round finds what ended or was set free since, at the front and at the end.
    assert_eq!(round().await.0, 0);
    let parent = TaskId::new("parent").unwrap();
    store.cancel(&parent, "no").await.unwrap();
    assert_eq!(round().await.0, 12_001);
}

#[tokio::test]
async fn upkeep_reaches_what_a_long_backlog_of_a_smaller_limit_hides() {
    let store = MemoryStore::default();
    let gated = |id: &str, limit: u32| {
        let mut new = new(id);
        let key = "k".to_owned();
        new.gates.push(Gate { key, limit });
        new
    };
    let worker = WorkerId::new("w").unwrap();
    let claim = async || {
        let minute = Duration::from_secs(60);
        let mut claimed = Vec::new();
        for _ in 0..200 {
            let some = store.lease(&worker, "default", &["work"], 10, minute).await;
            claimed.extend(some.unwrap());
        }
        claimed
    };
    store.create(gated("h1", 2)).await.unwrap();
    store.create(gated("h2", 2)).await.unwrap();
    let holders = claim().await;
    assert_eq!(holders.len(), 2);
    for n in 0..5_000 {
        store.create(gated(&format!("small{n}"), 1)).await.unwrap();
    }
    store.create(gated("large", 2)).await.unwrap();
    assert_eq!(claim().await.len(), 0);
    let lease = holders[0].lease.as_ref().unwrap().reference();
    let done = store.succeed(&holders[0].id, lease, Payload::null());
    done.await.unwrap();
    assert_eq!(claim().await.len(), 0, "one write looks at a bounded part");
    let step = Maintain {
        retention: Retention::default(),
        limit: 100,
    };
    let (mut unparked, mut steps) = (0, 0);
    while unparked == 0 {
        unparked += store.maintain(step).await.unwrap().unparked;
        steps += 1;
        assert!(steps < 10, "upkeep does not come to the end");
    }
    let claimed = claim().await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].id.as_str(), "large");
}
