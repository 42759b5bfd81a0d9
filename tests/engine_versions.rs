//! Several versions of one task side by side in one process.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

use tlo::ErrorKind;
use tlo::prelude::*;
use tlo::store::TaskStateStoreExt;

/// A task of this version; an empty one is none.
fn greet(version: &'static str) -> tlo::handler::TaskBuilder {
    let greet = task("greet").alias("hello");
    match version {
        "" => greet,
        version => greet.version(version),
    }
}

macro_rules! start {
    ($($version:literal),*) => {
        TloContext::for_test()
            $(.task(greet($version).run(|_: TaskContext, _: ()| async { TaskResult::Ok($version) })))*
            .start()
            .await
            .unwrap()
    };
}

#[tokio::test]
async fn each_task_runs_with_the_version_it_was_submitted_with() {
    let mut tlo = start!("1", "2", "10");
    let client = tlo.client();
    let mut handles = Vec::new();
    for (name, version) in [
        ("greet", "1"),
        ("greet", "2"),
        ("hello", "10"),
        ("hello", ""),
    ] {
        let submit = client.task(name);
        let submit = match version {
            "" => submit,
            version => submit.version(version),
        };
        handles.push(submit.submit().await.unwrap());
    }
    tlo.run_until_idle().await.unwrap();
    let mut ran = Vec::new();
    for handle in handles {
        ran.push(handle.result::<String>().await.unwrap());
    }
    // A name alone is the version that was registered last, also for what older workers still run.
    assert_eq!(ran, ["1", "2", "10", "10"]);
}

#[tokio::test]
async fn a_task_without_a_version_is_what_a_name_alone_means() {
    let mut tlo = start!("1", "", "2");
    let client = tlo.client();
    let plain = client.task("greet").submit().await.unwrap();
    let second = client.task("greet").version("2").submit().await.unwrap();
    tlo.run_until_idle().await.unwrap();
    assert_eq!(plain.result::<String>().await.unwrap(), "");
    assert_eq!(second.result::<String>().await.unwrap(), "2");
    assert_eq!(plain.record().await.unwrap().version, None);
}

#[tokio::test]
async fn an_unknown_version_is_refused_with_those_that_are_known() {
    let tlo = start!("1", "2");
    let client = tlo.client();
    let error = client
        .task("greet")
        .version("3")
        .submit()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownTask);
    assert_eq!(
        error.to_string(),
        "the task \"greet\" has no version \"3\"; there is \"1\", \"2\""
    );
    let later = client.task("greet").version("3").allow_unknown();
    let record = later.submit().await.unwrap().record().await.unwrap();
    assert_eq!(record.version.as_deref(), Some("3"));
}

/// What a worker elsewhere says of itself.
async fn elsewhere(client: &tlo::Client, id: &str, says: &str) {
    let key = format!("worker/{id}");
    let says = tlo::Payload::parse(says).unwrap();
    let store = client.store();
    store.put_mark(&key, says, None, None).await.unwrap();
}

#[tokio::test]
async fn a_version_that_runs_elsewhere_is_defined_as_its_name_is_here() {
    let def = greet("1").queue("slow").gate("user/{id}", 2);
    let tlo = TloContext::for_test()
        .task(def.run(|_: TaskContext, _: serde_json::Value| async {}))
        .start()
        .await
        .unwrap();
    let client = tlo.client();
    elsewhere(
        &client,
        "a",
        r#"{"pid":1,"version":"0","queues":[],"names":["greet","other"],"versions":{"greet":["2"]},"concurrency":1}"#,
    )
    .await;
    let args = serde_json::json!({"id": 7});
    for name in ["greet", "hello"] {
        let second = client.task(name).version("2").args(&args).submit().await;
        let record = second.unwrap().record().await.unwrap();
        assert_eq!((&*record.name, &*record.queue), ("greet", "slow"));
        assert_eq!(record.version.as_deref(), Some("2"));
        assert_eq!(record.gates[0].key, "user/7");
    }
    for (name, reason) in [
        (
            "greet",
            "the task \"greet\" has no version \"x\"; there is \"1\", \"2\"",
        ),
        (
            "other",
            "the task \"other\" has no version \"x\"; there is one without a version",
        ),
    ] {
        let error = client.task(name).version("x").submit().await.unwrap_err();
        assert_eq!(error.to_string(), reason);
    }
    client.task("other").submit().await.unwrap();
    // One that does not say which versions it has may have this one.
    elsewhere(
        &client,
        "b",
        r#"{"pid":1,"version":"0","queues":[],"names":["other"],"concurrency":1}"#,
    )
    .await;
    client.task("other").version("x").submit().await.unwrap();
}

#[tokio::test]
async fn the_same_version_twice_is_refused() {
    let twice = TloContext::for_test()
        .task(greet("1").run(|_: TaskContext, _: ()| async {}))
        .task(greet("1").run(|_: TaskContext, _: ()| async {}))
        .start()
        .await;
    let error = twice.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(error.to_string().contains("in version \"1\""), "{error}");
}
