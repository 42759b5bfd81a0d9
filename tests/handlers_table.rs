//! Names, versions and aliases in the handler table, and the tables that layers make of it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;

use async_trait::async_trait;
use tlo::ErrorKind;
use tlo::handler::{HandlerTable, SharedHandler};
use tlo::prelude::*;
use tlo::task::{Ended, Outcome};

fn answering(name: &str, answer: &'static str) -> tlo::handler::Task {
    task(name).run(move |_: TaskContext, _: ()| async move { TaskResult::Ok(answer) })
}

fn versioned(name: &str, version: &'static str) -> tlo::handler::Task {
    task(name)
        .version(version)
        .run(move |_: TaskContext, _: ()| async move { TaskResult::Ok(version) })
}

async fn answer(handler: SharedHandler) -> String {
    match handler
        .run(TaskContext::for_test("x"), Payload::null())
        .await
    {
        Ended::Returned(Outcome::Success(result)) => result.decode().unwrap(),
        other => format!("{other:?}"),
    }
}

async fn get(table: &HandlerTable, name: &str, version: Option<&str>) -> Option<String> {
    match table.get(name, version) {
        Some(handler) => Some(answer(handler).await),
        None => None,
    }
}

#[tokio::test]
async fn a_record_with_a_version_takes_no_other() {
    let mut table = HandlerTable::default();
    table.insert(versioned("x", "1")).unwrap();
    table.insert(versioned("x", "2")).unwrap();
    assert_eq!(get(&table, "x", Some("1")).await.as_deref(), Some("1"));
    assert_eq!(get(&table, "x", Some("3")).await, None);
    assert_eq!(get(&table, "x", None).await.as_deref(), Some("2"));
    table.insert(answering("x", "plain")).unwrap();
    assert_eq!(get(&table, "x", None).await.as_deref(), Some("plain"));
    assert_eq!(get(&table, "y", None).await, None);
}

#[tokio::test]
async fn aliases_run_the_same_handler_and_are_lanes() {
    let mut table = HandlerTable::default();
    let renamed = task("new")
        .alias("old")
        .run(|_: TaskContext, _: ()| async { TaskResult::Ok("it") });
    table.insert(renamed).unwrap();
    assert_eq!(get(&table, "old", None).await.as_deref(), Some("it"));
    let lanes: Vec<_> = table
        .lanes()
        .iter()
        .map(|(name, _)| name.to_string())
        .collect();
    assert_eq!(lanes, ["new", "old"]);
    let error = table.insert(answering("old", "other")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(error.to_string().contains("\"old\""), "{error}");
    assert_eq!(table.len(), 2);
}

#[tokio::test]
async fn a_declared_task_adds_no_lane_and_a_faulty_one_is_refused() {
    let mut table = HandlerTable::default();
    table.insert(task("elsewhere").declare()).unwrap();
    assert!(table.is_empty() && table.get("elsewhere", None).is_none());
    let error = table
        .insert(task("bad").every(0).run(|_: TaskContext, _: ()| ()))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(table.is_empty());
}

#[tokio::test]
async fn clones_share_until_one_changes() {
    let mut table = HandlerTable::default();
    table.insert(answering("x", "x")).unwrap();
    let before = table.clone();
    assert!(Arc::ptr_eq(&before.lanes(), &table.lanes()));
    table.insert(answering("y", "y")).unwrap();
    assert_eq!((before.len(), table.len()), (1, 2));
}

mockall::mock! {
    Inner {}
    #[async_trait]
    impl Handler for Inner {
        async fn run(&self, context: TaskContext, args: Payload) -> Ended;
    }
}

/// Answers in place of the handler for odd attempts.
struct EvenOnly;

struct Even(SharedHandler);

impl Layer for EvenOnly {
    fn wrap(&self, inner: SharedHandler) -> SharedHandler {
        Arc::new(Even(inner))
    }
}

#[async_trait]
impl Handler for Even {
    async fn run(&self, context: TaskContext, args: Payload) -> Ended {
        if context.attempt() % 2 == 1 {
            return Ended::Aborted("odd".to_owned());
        }
        self.0.run(context, args).await
    }
}

#[tokio::test]
async fn a_layer_decides_whether_its_handler_runs() {
    let mut inner = MockInner::new();
    inner
        .expect_run()
        .withf(|context, args| context.attempt() == 2 && args.as_str() == "7")
        .times(1)
        .returning(|_, args| Ended::Returned(Outcome::Success(args)));
    let handler = task("x").layer(EvenOnly).run(inner).handler.unwrap();
    let args = Payload::parse("7").unwrap();
    for attempt in 1..=3 {
        let context = tlo::handler::TaskContextBuilder::new("x")
            .attempt(attempt)
            .build();
        let ended = handler.run(context, args.clone()).await;
        assert_eq!(
            matches!(ended, Ended::Aborted(_)),
            attempt != 2,
            "{ended:?}"
        );
    }
}

#[tokio::test]
async fn the_first_layer_is_the_innermost_and_panics_of_layers_are_caught() {
    struct Tag(&'static str);
    struct Tagged(&'static str, SharedHandler);
    impl Layer for Tag {
        fn wrap(&self, inner: SharedHandler) -> SharedHandler {
            Arc::new(Tagged(self.0, inner))
        }
    }
    #[async_trait]
    impl Handler for Tagged {
        async fn run(&self, context: TaskContext, args: Payload) -> Ended {
            assert_ne!(self.0, "panics", "a layer fell over");
            let path = context
                .state::<String>()
                .map_or(String::new(), |path| (*path).clone());
            self.1.run(context.with(path + self.0), args).await
        }
    }
    let shows = |context: TaskContext, _: ()| async move {
        TaskResult::Ok(context.get::<String>()?.to_string())
    };
    let mut table = HandlerTable::default();
    table
        .insert(task("x").layer(Tag("b")).layer(Tag("a")).run(shows))
        .unwrap();
    let outer = table.layered(&Tag("0"));
    assert_eq!(get(&outer, "x", None).await.as_deref(), Some("0ab"));
    assert_eq!(get(&table, "x", None).await.as_deref(), Some("ab"));
    let broken = table.layered(&Tag("panics")).standard();
    let said = get(&broken, "x", None).await.unwrap();
    assert!(
        said.contains("Panicked") && said.contains("a layer fell over"),
        "{said}"
    );
}
