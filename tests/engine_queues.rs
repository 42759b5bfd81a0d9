//! Which queues a process serves.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

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
