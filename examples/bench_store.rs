use std::sync::Arc;
use std::time::Duration;
use tlo::store::*;
use tlo::task::*;
use tlo::*;
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let store = MemoryStore::default();
    let ids = IdSource::random();
    let clock = SystemClock;
    let n = 200_000usize;
    let worker = ids.worker_id("w").unwrap();
    let lanes = Lanes::new(["default"], ["noop"]);
    let args = Payload::parse(r#"{"user":12345,"what":"something of about a hundred bytes of json to carry along","more":[1,2,3]}"#).unwrap();
    #[allow(clippy::disallowed_methods)]
    let t = std::time::Instant::now();
    for _ in 0..n / 1000 {
        let commits = (0..1000)
            .map(|_| {
                Commit::of([Op::Create(Box::new(Create {
                    task: NewTask::new(ids.task_id(clock.now()), "noop", args.clone()),
                    lease_to: None,
                }))])
            })
            .collect();
        store.commit(commits).await.unwrap();
    }
    println!("create {:?}/task", t.elapsed() / n as u32);
    let (mut tc, mut ts, mut done) = (Duration::ZERO, Duration::ZERO, 0);
    loop {
        #[allow(clippy::disallowed_methods)]
        let t = std::time::Instant::now();
        let c = store
            .claim(ClaimRequest {
                worker: worker.clone(),
                lanes: lanes.clone(),
                limit: 64,
                ttl: Duration::from_secs(30),
            })
            .await
            .unwrap();
        tc += t.elapsed();
        if c.tasks.is_empty() {
            break;
        }
        #[allow(clippy::disallowed_methods)]
        let t = std::time::Instant::now();
        let commits = c
            .tasks
            .iter()
            .map(|r: &Arc<TaskStateRecord>| {
                Commit::of([Op::Settle(
                    r.id.clone(),
                    Box::new(Settlement::success(Payload::null())),
                )])
                .when(Guard::Held(
                    r.id.clone(),
                    r.lease.as_ref().unwrap().reference(),
                ))
            })
            .collect();
        done += store.commit(commits).await.unwrap().len();
        ts += t.elapsed();
    }
    println!(
        "claim {:?}/task settle {:?}/task done {done}",
        tc / n as u32,
        ts / n as u32
    );
}
