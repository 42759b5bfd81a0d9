//! How fast it is, for people: `cargo test --release --all-features --test redis_store speed -- --ignored --nocapture`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tlo::store::{ClaimRequest, Commit, Create, Guard, Lanes, Op, TaskStateStore};
use tlo::task::Settlement;
use tlo::{Clock, Payload, RedisStore, SystemClock, WorkerId};

use crate::kit::{new, open};
use crate::servers::redis::PrivateRedis;

fn create(n: usize) -> Commit {
    Commit::of([Op::Create(Box::new(Create {
        task: new(format!("t{n:09}")),
        lease_to: None,
    }))])
}

fn rate(n: usize, since: Duration) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "it is printed")]
    let n = n as f64;
    n / (SystemClock.steady().at - since).as_secs_f64()
}

/// What the server has computed so far, in microseconds: on a busy machine it says more than the time that passed.
fn computed(server: &PrivateRedis) -> f64 {
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let info: String = redis::cmd("INFO")
        .arg("cpu")
        .query(&mut connection)
        .unwrap();
    let said = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().parse::<f64>().unwrap()
    };
    (said("used_cpu_user_main_thread:") + said("used_cpu_sys_main_thread:")) * 1e6
}

/// Callers that share numbers: each takes the next ones until all are done.
async fn callers<F>(count: usize, store: &Arc<RedisStore>, call: impl Fn(Arc<RedisStore>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let all: Vec<_> = (0..count)
        .map(|_| tokio::spawn(call(Arc::clone(store))))
        .collect();
    for one in all {
        one.await.unwrap();
    }
}

async fn run(store: Arc<RedisStore>, done: Arc<AtomicUsize>, backlog: usize, batch: usize) {
    let request = ClaimRequest {
        worker: WorkerId::new("w#1").unwrap(),
        lanes: Lanes::new(["default"], ["greet"]),
        limit: batch,
        ttl: Duration::from_secs(60),
    };
    while done.load(Ordering::Relaxed) < backlog {
        let claims = store.claim(request.clone()).await.unwrap();
        if claims.tasks.is_empty() {
            return;
        }
        let settles: Vec<_> = claims
            .tasks
            .iter()
            .map(|task| {
                let settled = Box::new(Settlement::success(Payload::null()));
                let held = Guard::Held(task.id.clone(), task.lease.as_ref().unwrap().reference());
                Commit::of([Op::Settle(task.id.clone(), settled)]).when(held)
            })
            .collect();
        let answers = store.commit(settles).await.unwrap();
        assert!(answers.iter().all(Result::is_ok));
        done.fetch_add(answers.len(), Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it measures"]
async fn backlogs_by_batch() {
    for (backlog, batch) in [(5_000, 1), (5_000, 10), (5_000, 100), (100_000, 100)] {
        let Some(server) = PrivateRedis::start() else {
            return;
        };
        let store = Arc::new(open(&server.url()).await);
        let each = |before: f64, n: usize| {
            (computed(&server) - before) / f64::from(u32::try_from(n).unwrap())
        };
        let (since, before) = (SystemClock.steady().at, computed(&server));
        let next = Arc::new(AtomicUsize::new(0));
        callers(4, &store, |store| {
            let next = Arc::clone(&next);
            async move {
                loop {
                    let from = next.fetch_add(250, Ordering::Relaxed);
                    if from >= backlog {
                        return;
                    }
                    let commits = (from..backlog.min(from + 250)).map(create).collect();
                    store.commit(commits).await.unwrap();
                }
            }
        })
        .await;
        let bulk = (rate(backlog, since), each(before, backlog));
        let (since, before) = (SystemClock.steady().at, computed(&server));
        let done = Arc::new(AtomicUsize::new(0));
        callers(if batch == 1 { 64 } else { 4 }, &store, |store| {
            run(store, Arc::clone(&done), backlog, batch)
        })
        .await;
        println!(
            "backlog {backlog}, batch {batch}: {:.0} made a second in bulk ({:.1} µs of the server each), {:.0} claimed and settled a second ({:.1} µs)",
            bulk.0,
            bulk.1,
            rate(backlog, since),
            each(before, backlog)
        );
        let (since, before) = (SystemClock.steady().at, computed(&server));
        let next = Arc::new(AtomicUsize::new(backlog));
        callers(64, &store, |store| {
            let next = Arc::clone(&next);
            async move {
                for _ in 0..200 {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    store.commit(vec![create(n)]).await.unwrap();
                }
            }
        })
        .await;
        println!(
            "  {:.0} single submits a second by 64 callers ({:.1} µs)",
            rate(64 * 200, since),
            each(before, 64 * 200)
        );
    }
}
