//! Retention goes on, however much it must leave.
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

use std::time::Duration;

use tlo::store::{Commit, Create, Maintain, Op, Retention, TaskStateStore, TaskStateStoreExt};
use tlo::task::{Due, NewTask};
use tlo::{MemoryStore, Payload, TaskId};

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
