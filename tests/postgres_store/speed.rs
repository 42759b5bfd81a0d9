//! How fast it is: printed, never a bar. Run it with `cargo test --release … -- --ignored speed --nocapture`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tlo::prelude::*;
use tlo::store::{Commit, Create, Op, SharedStore, TaskStateStore};
use tlo::task::NewTask;
use tlo::{Payload, PostgresOptions, TaskId};

use super::kit::{open, since_boot};
use super::servers::postgres::PrivatePostgres;

fn per_second(count: usize, took: Duration) -> f64 {
    let count = f64::from(u32::try_from(count).unwrap());
    count / took.as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it measures"]
async fn speed_of_a_backlog_and_of_single_submits() {
    let Some(server) = PrivatePostgres::on_disk() else {
        return;
    };
    for (round, backlog) in [5_000_usize, 100_000].into_iter().enumerate() {
        let options = PostgresOptions {
            connections: 8,
            schema: format!("speed{round}"),
            ..PostgresOptions::at(server.url())
        };
        let store = open(options).await;
        let begun = since_boot();
        let mut adding = Vec::new();
        for part in 0..4 {
            let store = Arc::clone(&store);
            adding.push(tokio::spawn(async move {
                for chunk in 0..backlog / 4 / 250 {
                    let commits = (0..250).map(|n| {
                        let id = TaskId::new(format!("{part}-{chunk}-{n}")).unwrap();
                        let args = Payload::parse(
                            "{\"n\":1,\"text\":\"some text of an ordinary length\"}",
                        )
                        .unwrap();
                        let new = NewTask::new(id, "noop", args);
                        Commit::of([Op::Create(Box::new(Create {
                            task: new,
                            lease_to: None,
                        }))])
                    });
                    for answer in store.commit(commits.collect()).await.unwrap() {
                        answer.unwrap();
                    }
                }
            }));
        }
        for add in adding {
            add.await.unwrap();
        }
        let took = since_boot().saturating_sub(begun);
        println!(
            "{backlog}: added in {took:?}, {:.0}/s",
            per_second(backlog, took)
        );

        let ran = Arc::new(AtomicUsize::new(0));
        let (seen, done) = (Arc::clone(&ran), Arc::new(tokio::sync::Notify::new()));
        let all = Arc::clone(&done);
        let tlo = TloContext::builder()
            .settings(tlo::settings::SettingsSource::empty())
            .store(Arc::clone(&store) as SharedStore)
            .set("concurrency", 1000)
            .task(
                task("noop").run(move |_: TaskContext, _: serde_json::Value| {
                    if seen.fetch_add(1, Ordering::SeqCst) + 1 == backlog {
                        all.notify_one();
                    }
                    async {}
                }),
            )
            .build()
            .await
            .unwrap();
        let client = tlo.client();
        let runner = Runner::new(tlo);
        let stop = runner.handle();
        let begun = since_boot();
        let running = tokio::spawn(runner.run());
        done.notified().await;
        while client.stats().await.unwrap().statuses.of("succeeded") < backlog as u64 {
            tokio::task::yield_now().await;
        }
        let took = since_boot().saturating_sub(begun);
        println!(
            "{backlog}: run in {took:?}, {:.0}/s",
            per_second(backlog, took)
        );
        stop.stop();
        running.await.unwrap().unwrap();

        let begun = since_boot();
        let callers = (0..64).map(|caller| {
            let client = client.clone();
            tokio::spawn(async move {
                for n in 0..50 {
                    client
                        .task("noop")
                        .args(&(caller * 100 + n))
                        .submit()
                        .await
                        .unwrap();
                }
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.unwrap();
        }
        let took = since_boot().saturating_sub(begun);
        println!(
            "3200 single submits of 64 callers in {took:?}, {:.0}/s",
            per_second(3200, took)
        );
    }
}
