//! Workers on one server: sharing work, and going on after the server was away.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tlo::prelude::*;
use tlo::settings::SettingsSource;
use tlo::{Clock, SystemClock};

use crate::kit::until;
use crate::servers::redis::PrivateRedis;

/// Who ran which task.
type Ran = Arc<Mutex<Vec<(usize, String)>>>;

/// A program whose only setting is its store.
async fn program(url: &str, node: usize, ran: &Ran) -> TloContext {
    let ran = Arc::clone(ran);
    TloContext::builder()
        .settings(SettingsSource::empty())
        .set("task_state_store", url)
        .set("concurrency", 4)
        .task(task("work").run(move |context: TaskContext, _: ()| {
            let ran = Arc::clone(&ran);
            async move {
                context.clock().sleep(millis(1)).await;
                ran.lock().push((node, context.id().to_string()));
            }
        }))
        .build()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_programs_on_one_server_share_the_work_and_run_each_task_once() {
    let Some(server) = PrivateRedis::start() else {
        return;
    };
    let ran = Ran::default();
    let mut runners = Vec::new();
    let mut handles = Vec::new();
    let mut client = None;
    for node in 0..2 {
        let context = program(&server.url(), node, &ran).await;
        client.get_or_insert_with(|| context.client());
        let runner = Runner::new(context);
        handles.push(runner.handle());
        runners.push(tokio::spawn(runner.run()));
    }
    let client = client.unwrap();
    for _ in 0..200 {
        client.task("work").submit().await.unwrap();
    }
    until("all tasks ran", Duration::from_secs(30), async || {
        ran.lock().len() >= 200
    })
    .await;
    for handle in &handles {
        handle.stop();
    }
    for runner in runners {
        runner.await.unwrap().unwrap();
    }
    let ran = ran.lock().clone();
    let tasks: BTreeSet<_> = ran.iter().map(|(_, task)| task).collect();
    assert_eq!((ran.len(), tasks.len()), (200, 200));
    let nodes: BTreeSet<_> = ran.iter().map(|(node, _)| node).collect();
    assert_eq!(nodes.len(), 2, "one node did it all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_goes_on_within_ten_seconds_after_the_server_came_back() {
    let Some(server) = PrivateRedis::start() else {
        return;
    };
    let ran = Ran::default();
    let context = program(&server.url(), 0, &ran).await;
    let (client, runner) = (context.client(), Runner::new(context));
    let handle = runner.handle();
    let running = tokio::spawn(runner.run());
    client.task("work").submit().await.unwrap();
    until("it works", Duration::from_secs(10), async || {
        ran.lock().len() == 1
    })
    .await;
    for round in 1..=2 {
        server.kill();
        // The worker meets the dead server: it looks every second.
        let away = SystemClock.steady().at + Duration::from_millis(1_200);
        until("it was away", Duration::from_secs(5), async || {
            SystemClock.steady().at > away
        })
        .await;
        server.start_again();
        let back = SystemClock.steady().at;
        // A worker that only waited for hints would never hear of this one.
        client.task("work").submit().await.unwrap();
        until("work goes on", Duration::from_secs(10), async || {
            ran.lock().len() > round
        })
        .await;
        println!(
            "work went on {:?} after the server was back",
            SystemClock.steady().at - back
        );
    }
    handle.stop();
    running.await.unwrap().unwrap();
}
