//! What the builder makes, and what it says about mistakes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use serde::Serialize;
use tlo::ErrorKind;
use tlo::prelude::*;
use tlo::schedule::Dst;
use tlo::task::TaskDef;

/// The message of a definition that must not be valid.
fn mistakes(builder: tlo::handler::TaskBuilder) -> String {
    let task = builder.declare();
    let error = task.check().unwrap_err();
    assert!(
        error.to_string().contains(&*task.def.name),
        "{error} does not name the task"
    );
    error.to_string()
}

#[test]
fn every_piece_ends_up_in_the_definition() {
    let built = task("report")
        .cron_in("30 2 * * *", "Europe/Berlin")
        .dst(Dst::default())
        .misfire(Misfire::Skip)
        .grace("1m")
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
        .exclusive("{user.id}")
        .limit(4)
        .gate("tenant/{tenant}", 2)
        .args(serde_json::json!({"user": {"id": 7}, "tenant": "a"}))
        .version("2")
        .alias("old report")
        .tag("nightly")
        .description("The nightly report")
        .metadata("owner", "ops")
        .run(|_: TaskContext, _: serde_json::Value| async {});
    built.check().unwrap();
    let def = built.def;
    let mut json = serde_json::to_value(&def).unwrap();
    assert_eq!(
        serde_json::from_value::<TaskDef>(json.clone()).unwrap(),
        def
    );
    assert_eq!(
        json["gates"],
        serde_json::json!([
            {"template": "exclusive/report/{user.id}", "limit": 1},
            {"template": "limit/report", "limit": 4},
            {"template": "tenant/{tenant}", "limit": 2},
        ])
    );
    assert_eq!(json["metadata"], serde_json::json!({"owner": "ops"}));
    assert_eq!(json["tags"], serde_json::json!(["nightly"]));
    assert_eq!(json["aliases"], serde_json::json!(["old report"]));
    json["max_atempts"] = 3.into();
    let unknown = serde_json::from_value::<TaskDef>(json).unwrap_err();
    assert!(unknown.to_string().contains("max_atempts"), "{unknown}");
    assert_eq!(
        (&*def.queue, def.priority, def.max_attempts, def.max_lost),
        ("slow", 9, Some(3), 0)
    );
    assert_eq!(def.timeout, Some(Duration::from_secs(600)));
    assert_eq!(def.lease, Some(Duration::from_secs(60)));
    assert_eq!(def.version.as_deref(), Some("2"));
    assert_eq!(def.description.as_deref(), Some("The nightly report"));
    assert_eq!(def.retry, RetryPolicy::fixed(secs(2)));
    let policy = &def.policy;
    assert_eq!(
        (policy.misfire, policy.overlap),
        (Misfire::Skip, Overlap::Queue)
    );
    assert_eq!(
        (policy.grace, policy.jitter),
        (Some(minutes(1)), Some(millis(2_500)))
    );
    assert_eq!((policy.max_runs, policy.run_at_start), (Some(9), true));
    let schedule = def.schedule.unwrap();
    assert_eq!(schedule.zone(), Some("Europe/Berlin"));
}

#[test]
fn an_integer_is_seconds_and_a_duration_is_kept_exactly() {
    let custom = task("custom").every(30).metadata("team", 7).declare();
    assert_eq!(
        custom.def.schedule,
        Some(Schedule::every(Duration::from_secs(30)).unwrap())
    );
    assert_eq!(custom.def.metadata["team"], 7);
    for five in [
        task("a").every("5m"),
        task("a").every(minutes(5)),
        task("a").every(300_u64),
        task("a").every(300.0),
        task("a").every(String::from("300s")),
    ] {
        assert_eq!(
            five.declare().def.schedule,
            Some(Schedule::every(minutes(5)).unwrap())
        );
    }
}

#[test]
fn two_schedules_are_refused_in_every_combination() {
    let schedule = || Schedule::every(secs(9)).unwrap();
    let both: [(tlo::handler::TaskBuilder, [&str; 2]); 5] = [
        (
            task("x").every("5m").cron("0 3 * * *"),
            ["every 5m", "cron \"0 3 * * *\""],
        ),
        (
            task("x").schedule(schedule()).every(1),
            ["schedule every 9s", "every 1s"],
        ),
        (
            task("x").cron("* * * * *").schedule(schedule()),
            ["cron \"* * * * *\"", "schedule every 9s"],
        ),
        (
            task("x").at("2030-01-01T00:00:00Z").after("1h"),
            ["at 2030-01-01T00:00:00Z", "after 1h"],
        ),
        (
            task("x").every(0).quartz("0 0 3 * * ?"),
            ["every", "quartz \"0 0 3 * * ?\""],
        ),
    ];
    for (builder, named) in both {
        let message = mistakes(builder);
        assert!(message.contains("it has 2 schedules"), "{message}");
        assert!(named.iter().all(|name| message.contains(name)), "{message}");
    }
}

#[test]
fn every_mistake_names_its_input() {
    struct NoJson;
    impl Serialize for NoJson {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("it is secret"))
        }
    }
    let end: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let table: Vec<(tlo::handler::TaskBuilder, Vec<&str>)> = vec![
        (task("x").every(0), vec!["every", "0s"]),
        (task("x").every(Duration::ZERO), vec!["every", "0s"]),
        (task("x").every(-5), vec!["every", "-5 seconds"]),
        (task("x").every(-5_i64), vec!["every", "-5 seconds"]),
        (task("x").every(-0.5), vec!["every", "-0.5 seconds"]),
        (task("x").every(f64::NAN), vec!["every", "NaN"]),
        (
            task("x").every("5 lightyears"),
            vec!["every", "5 lightyears"],
        ),
        (task("x").every("30"), vec!["every", "30", "no unit"]),
        (task("x").cron("61 * * * *"), vec!["61 * * * *", "^"]),
        (task("x").cron("* *"), vec!["* *"]),
        (task("x").cron("0 0 30 2 *"), vec!["0 0 30 2 *"]),
        (task("x").quartz("0 3 * * *"), vec!["0 3 * * *"]),
        (
            task("x").cron("@daily").zone("Europe/Berln"),
            vec!["Europe/Berln", "Europe/Berlin"],
        ),
        (task("x").every(1).zone("UTC"), vec!["zone \"UTC\""]),
        (task("x").at("tomorrow"), vec!["at", "tomorrow"]),
        (task("x").between(end, None), vec!["window"]),
        (
            task("x").every(1).between(end, Timestamp::UNIX_EPOCH),
            vec!["ends before it starts"],
        ),
        (task("x").run_at_start(), vec!["run_at_start"]),
        (task("x").every(1).max_runs(0), vec!["max_runs"]),
        (task("x").every(1).grace(-1), vec!["grace", "-1"]),
        (task("x").timeout("soon"), vec!["timeout", "soon"]),
        (task("x").timeout(0), vec!["timeout"]),
        (task("x").lease(millis(5)), vec!["lease"]),
        (task("x").max_attempts(0), vec!["max_attempts"]),
        (task("x").limit(0), vec!["limit/x", "0"]),
        (task("x").exclusive("{user"), vec!["{user"]),
        (
            task("x").every(1).exclusive("{user_id}").args(7),
            vec!["user_id"],
        ),
        (task("x").limit(1).limit(2), vec!["limit/x", "twice"]),
        (task("x").queue(""), vec!["queue"]),
        (task("x").queue("a\nb"), vec!["a\\nb"]),
        (task("x").alias("x"), vec!["alias \"x\""]),
        (task("x").version(""), vec!["version"]),
        (task("x").tag("a\0b"), vec!["tag"]),
        (task("x").args(NoJson), vec!["args", "it is secret"]),
        (
            task("x").metadata("owner", NoJson),
            vec!["owner", "it is secret"],
        ),
        (
            task("x").args("y".repeat(tlo::PAYLOAD_LIMIT)),
            vec!["args", "1048576"],
        ),
    ];
    for (builder, named) in table {
        let message = mistakes(builder);
        for word in named {
            assert!(message.contains(word), "{word:?} is not in: {message}");
        }
    }
}

#[test]
fn all_mistakes_of_a_task_are_told_at_once() {
    let message = mistakes(
        task("worst")
            .every(-1)
            .cron("61 * * * *")
            .timeout("never")
            .max_attempts(0),
    );
    assert!(message.starts_with("the task \"worst\" has 5 mistakes:"));
    for line in [
        "-1 seconds",
        "it has 2 schedules",
        "\"never\"",
        "max_attempts",
    ] {
        assert!(message.contains(line), "{line} is not in: {message}");
    }
    // The caret stays under the fault although the list is indented.
    let lines: Vec<&str> = message.lines().collect();
    let caret = lines
        .iter()
        .position(|line| line.trim() == "^^" || line.trim().starts_with('^'));
    let caret = caret.expect("a line with the caret");
    let column = lines[caret].find('^').unwrap();
    assert_eq!(&lines[caret - 1][column..column + 2], "61", "{message}");
}

#[test]
fn a_task_name_must_be_a_name() {
    for bad in ["", "a\nb"] {
        let error = task(bad).declare().check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    let long = "x".repeat(256);
    let error = task(long).declare().check().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
}

#[test]
fn a_closure_has_no_name_of_its_own() {
    let error = Task::of(|_: TaskContext, _: ()| async {})
        .build()
        .check()
        .unwrap_err();
    assert!(
        error.to_string().contains("a closure has no name"),
        "{error}"
    );
}

#[test]
fn a_function_registers_under_its_own_name_and_stays_callable() {
    fn add(_: TaskContext, (a, b): (i32, i32)) -> TaskResult<i32> {
        Ok(a + b)
    }
    let registered: Task = Task::of(add).into();
    registered.check().unwrap();
    assert_eq!(&*registered.def.name, "add");
    assert!(registered.def.schedule.is_none() && registered.def.metadata.is_empty());
    assert_eq!(add(TaskContext::for_test("add"), (1, 2)), Ok(3));
    let later = Task::of(add).every("1h").queue("sums").build();
    assert_eq!((&*later.def.name, &*later.def.queue), ("add", "sums"));
}

#[test]
fn hashed_fields_are_the_tasks_own() {
    let of = |name: &str| task(name).cron("H H * * *").declare().def.schedule.unwrap();
    let next = |name: &str| of(name).next(Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
    assert_eq!(next("a"), next("a"));
    assert_ne!(next("a"), next("b"));
}

#[test]
fn names_with_braces_are_no_templates() {
    let task = task("odd {name}")
        .every(1)
        .limit(2)
        .exclusive("all")
        .declare();
    task.check().unwrap();
    assert_eq!(task.def.gates[0].template, "limit/odd {{name}}");
}
