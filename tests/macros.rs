//! `#[tlo::task]`: what it makes of functions.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![cfg(feature = "macros")]

use tlo::prelude::*;
use tlo::task::{Ended, Outcome};

/// Says hello
/// to one person.
///
/// Politely.
#[tlo::task(every = "5s")]
async fn greet(_: TaskContext, name: String) -> TaskResult<String> {
    Ok(format!("hello {name}"))
}

#[tlo::task]
fn add(_: TaskContext, (a, b): (i32, i32)) -> Result<i32, std::num::TryFromIntError> {
    Ok(a + b)
}

#[tlo::task(
    name = "nightly report",
    cron = "30 2 * * *",
    zone = "Europe/Berlin",
    misfire = "skip",
    grace = minutes(1),
    overlap = Overlap::Queue,
    jitter = 2.5,
    max_runs = 9,
    run_at_start,
    queue = "slow",
    priority = 9,
    max_attempts = 3,
    max_lost = 0,
    retry = RetryPolicy::fixed(secs(2)),
    timeout = "10m",
    lease = 60,
    exclusive = "{user}",
    limit = 4,
    gate("tenant/{tenant}", 2),
    args = Report { tenant: "a", user: 7 },
    version = "2",
    alias = "report",
    alias = "older report",
    tag = "nightly",
    tag = "billing",
    description = "What happened",
    metadata("owner", "ops"),
    collect = false
)]
async fn report(_: TaskContext, _: serde_json::Value) {}

#[derive(serde::Serialize)]
struct Report {
    tenant: &'static str,
    user: u32,
}

mod elsewhere {
    use super::*;

    #[tlo::task(overlap = "replace", after = "1h", run_at_start = false)]
    pub(crate) async fn shared(_: TaskContext, _: ()) -> TaskResult {
        Ok(())
    }
}
use elsewhere::shared;

async fn result(task: Task, args: &str) -> String {
    let context = TaskContext::for_test(&task.def.name);
    let handler = task.handler.unwrap();
    match handler.run(context, Payload::parse(args).unwrap()).await {
        Ended::Returned(Outcome::Success(payload)) => payload.to_string(),
        other => panic!("no success: {other:?}"),
    }
}

#[tokio::test]
async fn a_function_becomes_a_task_and_stays_a_function() {
    let task = greet::task();
    task.check().unwrap();
    assert_eq!(&*task.def.name, "greet");
    assert_eq!(task.def.schedule, Some(Schedule::every(secs(5)).unwrap()));
    assert_eq!(
        task.def.description.as_deref(),
        Some("Says hello to one person.")
    );
    assert_eq!(result(task, "\"ada\"").await, "\"hello ada\"");
    let direct = greet(TaskContext::for_test("greet"), "bob".to_owned()).await;
    assert_eq!(direct.as_deref(), Ok("hello bob"));
}

#[tokio::test]
async fn a_function_without_async_and_without_options() {
    let task = add::task();
    assert_eq!(task.def, tlo::task::TaskDef::new("add"));
    assert_eq!(result(task, "[2, 3]").await, "5");
}

#[test]
fn every_option_is_the_call_of_its_name() {
    let made = report::task();
    made.check().unwrap();
    let built = task("nightly report")
        .cron("30 2 * * *")
        .zone("Europe/Berlin")
        .misfire(Misfire::Skip)
        .grace(minutes(1))
        .overlap(Overlap::Queue)
        .jitter(2.5)
        .max_runs(9)
        .run_at_start()
        .queue("slow")
        .priority(9)
        .max_attempts(3)
        .max_lost(0)
        .retry(RetryPolicy::fixed(secs(2)))
        .timeout("10m")
        .lease(60)
        .exclusive("{user}")
        .limit(4)
        .gate("tenant/{tenant}", 2)
        .args(serde_json::json!({"user": 7, "tenant": "a"}))
        .version("2")
        .alias("report")
        .alias("older report")
        .tag("nightly")
        .tag("billing")
        .description("What happened")
        .metadata("owner", "ops")
        .declare();
    assert_eq!(made.def, built.def);
}

#[test]
fn it_follows_its_function_through_modules_and_into_functions() {
    #[tlo::task(queue = "inner", collect = false)]
    async fn inner(_: TaskContext, _: ()) {}
    assert_eq!(&*inner::task().def.queue, "inner");
    let shared = shared::task().def;
    assert_eq!(shared.policy.overlap, Overlap::Replace);
    assert_eq!(shared.schedule, Some(Schedule::after(hours(1))));
    assert!(!shared.policy.run_at_start);
}

#[test]
fn collected_finds_them_by_name_unless_they_asked_not_to() {
    let names: Vec<_> = tlo::handler::collected()
        .into_iter()
        .map(|task| task.def.name.to_string())
        .collect();
    assert_eq!(names, ["add", "greet", "shared"]);
}

#[test]
fn mistakes_only_the_builder_can_see_come_up_at_registration() {
    #[tlo::task(cron = "61 * * * *", collect = false)]
    async fn wrong(_: TaskContext, _: ()) {}
    let error = wrong::task().check().unwrap_err();
    assert!(
        error.to_string().contains("\"wrong\"") && error.to_string().contains("61"),
        "{error}"
    );
}
