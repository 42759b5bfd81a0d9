//! Tasks that move to another queue while somebody claims from the one they leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tlo::store::{
    ClaimRequest, Commit, CountBy, Lanes, Op, Patch, TaskFilter, TaskStateStore, TaskStateStoreExt,
};
use tlo::task::NewTask;
use tlo::{Payload, WorkerId};

use super::kit::{id, is_full, open, since_boot};
use super::servers::postgres::Postgres;

/// Tasks of each round, half of them of another priority.
const TASKS: usize = 40;

fn to(queue: &str) -> Box<Patch> {
    Box::new(Patch {
        queue: Some(queue.into()),
        ..Patch::default()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_task_that_moves_is_never_claimed_for_the_queue_it_left() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let options = postgres.options("moved");
    let store = open(options.clone()).await;
    let mover = open(options).await;
    for n in 0..TASKS {
        let mut new = NewTask::new(id(format!("t{n}")), "work", Payload::null());
        new.priority = if n % 2 == 0 { 3 } else { 7 };
        store.create(new).await.unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let moves = tokio::spawn({
        let (mover, stop) = (Arc::clone(&mover), Arc::clone(&stop));
        async move {
            let mut moved = 0;
            while !stop.load(Ordering::Relaxed) {
                for n in 0..TASKS {
                    let queue = if moved % 2 == 0 { "other" } else { "default" };
                    let op = Op::Patch(id(format!("t{n}")), to(queue));
                    // One that runs is not moved.
                    let _refused = mover.commit(vec![Commit::of([op])]).await.unwrap();
                }
                moved += 1;
            }
            moved
        }
    });
    let request = ClaimRequest {
        worker: WorkerId::new("w").unwrap(),
        lanes: Lanes::new(["default"], ["work"]),
        limit: 5,
        ttl: Duration::from_secs(600),
    };
    let lasts = Duration::from_secs(if is_full() { 60 } else { 3 });
    let (begun, mut claimed) = (since_boot(), 0_usize);
    while since_boot().saturating_sub(begun) < lasts {
        let claims = store.claim(request.clone()).await.unwrap();
        for task in &claims.tasks {
            assert_eq!(&*task.queue, "default", "{}", task.id);
            let lease = task.lease.as_ref().unwrap().reference();
            store
                .snooze(&task.id, lease, tlo::task::Due::Now)
                .await
                .unwrap();
        }
        claimed += claims.tasks.len();
    }
    stop.store(true, Ordering::Relaxed);
    let moved = moves.await.unwrap();
    println!("{claimed} claimed, all moved {moved} times");
    assert!(claimed > TASKS && moved > 5);

    // What is counted is what there is.
    for queue in ["default", "other"] {
        let filter = TaskFilter {
            queue: Some(queue.to_owned()),
            ..TaskFilter::default()
        };
        let page = store
            .list(&filter, tlo::PageRequest::first(TASKS))
            .await
            .unwrap();
        let all = TaskFilter::default();
        let counts = store.count(&all, CountBy::Queue, 1_000).await.unwrap();
        let counted = counts.groups.get(queue).copied().unwrap_or_default();
        assert_eq!(counted, page.items.len() as u64, "{queue}");
    }
}
