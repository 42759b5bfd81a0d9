//! Pauses and limits under the other names of what they hold for, and locks beside them. On memory and on SQLite.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod engine_kit;

use engine_kit::on_each_store;
use tlo::client::{LimitChange, Target};
use tlo::prelude::*;
use tlo::store::Change;
use tlo::testing::{Harness, HarnessBuilder};
use tlo::{ErrorKind, TaskId};

fn program() -> HarnessBuilder {
    TloContext::for_test()
        .task(task("good").run(|_: TaskContext, _: ()| async {}))
        .task(
            task("renamed")
                .alias("former")
                .run(|_: TaskContext, _: ()| async {}),
        )
        .set("queues", ["default", "mail"])
}

fn queue(name: &str) -> Target {
    Target::Queue(name.to_owned())
}

async fn submit(tlo: &Harness, name: &str, queue: &str) -> TaskId {
    let submit = tlo.client().task(name).queue(queue);
    submit.submit().await.unwrap().id().clone()
}

async fn status(tlo: &Harness, id: &TaskId) -> TaskStatus {
    tlo.client().get(id).await.unwrap().status
}

#[tokio::test]
async fn a_pause_of_an_alias_holds_for_its_name_and_one_gate_has_one_name() {
    for (mut tlo, _place) in on_each_store(program).await {
        let client = tlo.client();
        let former = Target::Task("former".to_owned());
        assert!(client.pause(&former, None).await.unwrap());
        let id = submit(&tlo, "former", "default").await;
        tlo.run_until_idle().await.unwrap();
        assert_eq!(status(&tlo, &id).await, TaskStatus::Pending);
        assert!(client.peek("default", 9).await.unwrap().items.is_empty());
        assert!(client.resume(&former, None).await.unwrap());
        tlo.run_until_idle().await.unwrap();
        assert_eq!(status(&tlo, &id).await, TaskStatus::Succeeded);

        let depth = |max| LimitChange {
            max_depth: Change::Set(max),
            ..LimitChange::default()
        };
        let key = Target::Key("queue/mail".to_owned());
        let max = LimitChange {
            max: Change::Set(Some(2)),
            ..LimitChange::default()
        };
        client.limit(&queue("mail"), max, None).await.unwrap();
        let now = client.limit(&key, depth(Some(5)), None).await.unwrap();
        assert_eq!((now.max, now.max_depth), (Some(2), Some(5)));
        let audit = client.audit(None, 1).await.unwrap();
        assert_eq!(audit[0].data.target, "queue \"mail\"");
        assert_eq!(
            audit[0].data.to.as_deref(),
            Some("2 at once, at most 5 waiting")
        );
    }
}

#[tokio::test]
async fn locks_do_not_wait_for_the_queues_of_tasks() {
    for (tlo, _place) in on_each_store(program).await {
        let client = tlo.client();
        client.pause(&queue("default"), None).await.unwrap();
        let full = LimitChange {
            max_depth: Change::Set(Some(1)),
            ..LimitChange::default()
        };
        client.limit(&queue("default"), full, None).await.unwrap();
        submit(&tlo, "good", "default").await;
        let lock = client.lock("report").await.unwrap().unwrap();
        assert!(client.lock("report").await.unwrap().is_none());
        lock.release().await.unwrap();
        // What keeps every lock from being taken is no holder.
        for paused in [queue("tlo.lock"), Target::Key("report".to_owned())] {
            client.pause(&paused, None).await.unwrap();
            let error = client.lock("report").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Conflict);
            assert!(error.to_string().contains(paused.name()), "{error}");
            client.resume(&paused, None).await.unwrap();
        }
        let free = client.lock("report").await.unwrap().unwrap();
        free.release().await.unwrap();
    }
}
