//! Which queues a process serves.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

mod engine_kit;

use engine_kit::Notes;
use tlo::TloContextBuilder;
use tlo::prelude::*;

async fn status_of_mail(
    settings: impl FnOnce(TloContextBuilder) -> TloContextBuilder,
) -> TaskStatus {
    let mail = task("mail")
        .queue("letters")
        .run(|_: TaskContext, _: ()| async {});
    let mut tlo = TloContext::for_test()
        .task(mail)
        .with(settings)
        .start()
        .await
        .unwrap();
    let client = tlo.client();
    let handle = client.task("mail").submit().await.unwrap();
    tlo.run_until_idle().await.unwrap();
    handle.status().await.unwrap()
}

#[tokio::test]
async fn a_process_serves_the_queues_of_its_tasks_unless_told_which() {
    assert_eq!(status_of_mail(|tlo| tlo).await, TaskStatus::Succeeded);
    let told = status_of_mail(|tlo| tlo.set("queues", ["default"])).await;
    assert_eq!(told, TaskStatus::Pending);
    let told = status_of_mail(|tlo| tlo.set("queues", ["letters"])).await;
    assert_eq!(told, TaskStatus::Succeeded);
}

#[tokio::test]
async fn a_task_that_is_only_declared_adds_no_queue() {
    let tlo = TloContext::for_test()
        .task(task("elsewhere").queue("letters").declare())
        .start()
        .await
        .unwrap();
    assert_eq!(tlo.context().settings().queues, ["default"]);
}

/// Starts tasks one by one, each in the place of the one before, and says of which queues they were.
async fn order_of_starts(weights: &str, waiting: &[(&str, usize)], concurrency: usize) -> String {
    let started: Notes<String> = Notes::default();
    let noted = started.clone();
    let mut tlo = TloContext::for_test()
        .task(task("t").run(move |context: TaskContext, _: ()| {
            noted.add(context.record().queue.to_string());
            async {}
        }))
        .set("queues", ["a", "b", "c"])
        .set("queue_weights", weights)
        .set("concurrency", concurrency)
        .start()
        .await
        .unwrap();
    let client = tlo.client();
    for (queue, count) in waiting {
        let submits = (0..*count).map(|_| client.task("t").queue(*queue));
        client.submit_many(submits).await.unwrap();
    }
    tlo.run_until_idle().await.unwrap();
    started.all().concat()
}

#[tokio::test]
async fn queues_are_served_strictly_in_order_unless_they_have_weights() {
    let waiting = [("c", 3), ("b", 4), ("a", 5)];
    assert_eq!(order_of_starts("", &waiting, 1).await, "aaaaabbbbccc");
    assert_eq!(order_of_starts("", &waiting, 8).await, "aaaaabbbbccc");
}

#[tokio::test]
async fn queues_with_weights_share_while_all_have_some() {
    let waiting = [("a", 10), ("b", 10), ("c", 10)];
    let order = order_of_starts("a=3,b=2,c=1", &waiting, 1).await;
    // Of every six three, two and one, spread evenly; what is left when one is empty goes to the others.
    assert_eq!(&order[..12], "abacbaabacba");
    assert_eq!(order.len(), 30);
    let share = |part: &str, queue: char| part.chars().filter(|c| *c == queue).count();
    assert_eq!(
        (
            share(&order[..18], 'a'),
            share(&order[..18], 'b'),
            share(&order[..18], 'c')
        ),
        (9, 6, 3)
    );
    // Many places at once are shared the same way.
    let waiting = [("a", 60), ("b", 60), ("c", 60)];
    let order = order_of_starts("a=3,b=2,c=1", &waiting, 12).await;
    assert_eq!(
        (
            share(&order[..60], 'a'),
            share(&order[..60], 'b'),
            share(&order[..60], 'c')
        ),
        (30, 20, 10)
    );
    assert_eq!(order.len(), 180);
}

#[tokio::test]
async fn the_share_of_an_empty_queue_goes_to_the_others_at_once() {
    for concurrency in [1, 2, 7, 16] {
        let order = order_of_starts("a=100,b=1,c=1", &[("c", 20)], concurrency).await;
        assert_eq!(order, "c".repeat(20));
        let order = order_of_starts("a=100", &[("a", 1), ("c", 3), ("b", 3)], concurrency).await;
        assert_eq!(order.len(), 7);
    }
}

/// A worker by weight sleeps as long as one in order, and hears of a task that comes due later.
#[tokio::test]
async fn a_delayed_task_of_any_queue_starts_in_time() {
    let mut tlo = TloContext::for_test()
        .task(task("t").run(|_: TaskContext, _: ()| async {}))
        .set("queues", ["a", "b", "c"])
        .set("queue_weights", "a=5,b=3")
        .start()
        .await
        .unwrap();
    let client = tlo.client();
    let mut handles = Vec::new();
    for (queue, wait) in [("a", 30), ("b", 20), ("c", 10)] {
        handles.push(
            client
                .task("t")
                .queue(queue)
                .delay(secs(wait))
                .submit()
                .await
                .unwrap(),
        );
    }
    tlo.run_until_idle().await.unwrap();
    for handle in handles.iter().rev() {
        assert_eq!(handle.status().await.unwrap(), TaskStatus::Pending);
        tlo.advance(secs(10)).await.unwrap();
        assert_eq!(handle.status().await.unwrap(), TaskStatus::Succeeded);
    }
}

async fn each_runs_once(store: tlo::store::SharedStore) {
    let count: Notes<()> = Notes::default();
    let noted = count.clone();
    let tlo = engine_kit::program()
        .store(store)
        .set("queues", ["a", "b", "c"])
        .set("queue_weights", "a=5,b=3")
        .set("concurrency", 10)
        .task(task("t").run(move |_: TaskContext, _: ()| {
            noted.add(());
            async {}
        }))
        .build()
        .await
        .unwrap();
    let client = tlo.client();
    let runner = Runner::new(tlo);
    let stop = runner.handle();
    let running = tokio::spawn(runner.run());
    let mut handles = Vec::new();
    for round in 0..10 {
        let submits = ["a", "b", "c"].into_iter().cycle().take(30 + round);
        let submits = submits.map(|queue| client.task("t").queue(queue));
        handles.extend(client.submit_many(submits).await.unwrap());
    }
    for handle in &handles {
        let done = engine_kit::within("it ends", handle.wait()).await.unwrap();
        assert_eq!((done.status, done.leases), (TaskStatus::Succeeded, 1));
    }
    assert_eq!(count.len(), handles.len());
    stop.stop();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn queues_by_weight_run_each_task_once() {
    each_runs_once(engine_kit::memory()).await;
    each_runs_once(engine_kit::Place::new().open()).await;
}
