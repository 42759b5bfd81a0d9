//! Acceptance cases about definitions, names and settings.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod engine_kit;

use std::sync::Arc;

use engine_kit::program;
use tlo::prelude::*;
use tlo::registry::{InMemoryTaskRegistry, TaskRegistry};
use tlo::schedule::Schedule;
use tlo::settings::{SettingsSource, TloSettings};
use tlo::task::TaskDef;
use tlo::{ErrorKind, StopBehavior};

fn quick(name: &str) -> Task {
    task(name).run(|_: TaskContext, _: ()| async {})
}

async fn greet(_: TaskContext, name: String) -> TaskResult<String> {
    Ok(format!("hello {name}"))
}

#[tokio::test]
async fn t01_a_function_is_known_by_its_name_and_stays_callable() {
    let registered = Task::of(greet).build();
    assert_eq!(&*registered.def.name, "greet");
    assert_eq!(registered.def.schedule, None);
    assert!(registered.def.metadata.is_empty());
    let direct = greet(TaskContext::for_test("greet"), "ada".to_owned()).await;
    assert_eq!(direct.unwrap(), "hello ada");
}

#[tokio::test]
async fn t02_name_interval_and_metadata_are_kept() {
    let custom = task("custom").every(30).metadata("team", "ops").declare();
    custom.check().unwrap();
    assert_eq!(&*custom.def.name, "custom");
    assert_eq!(
        custom.def.schedule,
        Some(Schedule::every(secs(30)).unwrap())
    );
    assert_eq!(custom.def.metadata["team"], "ops");
    let other = task("other").every(minutes(5)).declare();
    assert_eq!(
        other.def.schedule,
        Some(Schedule::every(secs(300)).unwrap())
    );
}

#[tokio::test]
async fn t04_a_name_is_registered_once() {
    let error = program()
        .task(quick("twice"))
        .task(task("twice").every("1h").declare())
        .build()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(
        error.to_string().contains("twice") && error.to_string().contains("already"),
        "{error}"
    );
    let registry = InMemoryTaskRegistry::default();
    registry.put(TaskDef::new("twice")).await.unwrap();
    let mut second = TaskDef::new("twice");
    second.priority = 9;
    registry.put(second).await.unwrap_err();
    assert_eq!(registry.get("twice").await.unwrap().unwrap().priority, 5);
}

#[tokio::test]
async fn t05_two_schedules_at_once_are_refused_and_nothing_is_stored() {
    for both in [
        task("both").every("1h").cron("* * * * *"),
        task("both")
            .schedule(Schedule::every(secs(1)).unwrap())
            .cron("* * * * *"),
        task("both")
            .schedule(Schedule::every(secs(1)).unwrap())
            .every("1h"),
    ] {
        let registry: Arc<dyn TaskRegistry> = Arc::new(InMemoryTaskRegistry::default());
        let error = program()
            .registry(registry.clone())
            .task(both.run(|_: TaskContext, _: ()| async {}))
            .build()
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("both"), "{error}");
        assert!(registry.list().await.unwrap().is_empty());
    }
}

#[test]
fn t38_settings_from_the_environment() {
    let load = |name: &str, value: &str| {
        TloSettings::load(&SettingsSource::empty().environment([(name, value)]))
    };
    let tick =
        |value: &str| load("TLO_TICK_INTERVAL", value).map(|loaded| loaded.settings.tick_interval);
    assert_eq!(tick("0.5").unwrap(), Some(millis(500)));
    assert_eq!(
        tick("not-a-number").unwrap_err().kind(),
        ErrorKind::Configuration
    );
    let stop =
        |value: &str| load("TLO_STOP_BEHAVIOR", value).map(|loaded| loaded.settings.stop_behavior);
    assert_eq!(stop("Cancel").unwrap(), StopBehavior::Cancel);
    assert!(stop("explode").is_err());
    let strict = |value: &str| load("TLO_STRICT", value).map(|loaded| loaded.settings.strict);
    for yes in ["1", "true", "TRUE", "on", "yes", "YeS"] {
        assert!(strict(yes).unwrap(), "{yes}");
    }
    for no in ["0", "false", "off", "no", "No"] {
        assert!(!strict(no).unwrap(), "{no}");
    }
    assert!(strict("maybe").is_err());
}

#[tokio::test]
async fn t41_the_environment_is_used_without_arguments() {
    let source =
        SettingsSource::empty().environment([("TLO_TICK_INTERVAL", "0.05"), ("QUEUE", "other")]);
    let context = TloContext::builder()
        .settings(source)
        .task(quick("t"))
        .build()
        .await
        .unwrap();
    assert_eq!(
        context.worker_parts().unwrap().options.poll,
        Some(millis(50))
    );
    assert_eq!(context.worker_parts().unwrap().options.queues, ["default"]);
}

#[tokio::test]
async fn t28_a_failure_is_kept_an_unknown_name_is_refused_and_a_stored_one_waits() {
    let mut tlo = TloContext::for_test()
        .task(
            task("fails")
                .max_attempts(1)
                .run(|_: TaskContext, _: ()| async {
                    TaskResult::<()>::Err(TaskError::retry("out of paper"))
                }),
        )
        .task(quick("next"))
        .start()
        .await
        .unwrap();
    let failed = tlo.run_inline("fails", &()).await.unwrap();
    assert_eq!(
        (failed.status, failed.error.as_deref()),
        (TaskStatus::Failed, Some("out of paper"))
    );
    let refused = tlo.client().task("nxt").submit().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::UnknownTask);
    assert!(refused.to_string().contains("\"next\""), "{refused}");
    let stored = tlo
        .client()
        .task("nxt")
        .allow_unknown()
        .submit()
        .await
        .unwrap();
    let next = tlo.run_inline("next", &()).await.unwrap();
    assert_eq!(next.status, TaskStatus::Succeeded);
    assert_eq!(stored.status().await.unwrap(), TaskStatus::Pending);
}
