//! The registry's contract on the registry in memory, and what a context asks of a registry of somebody else.

use std::sync::Arc;

use mockall::Sequence;
use mockall::predicate::function;
use tlo::prelude::{TaskContext, TloContext, task};
use tlo::registry::{InMemoryTaskRegistry, TaskRegistry};
use tlo::schedule::{Overlap, Schedule};
use tlo::settings::SettingsSource;
use tlo::task::{GateTemplate, TaskDef};
use tlo::{Error, ErrorKind, Payload, Task};

fn named(name: &str) -> TaskDef {
    TaskDef::new(name)
}

fn with_alias(name: &str, alias: &str) -> TaskDef {
    let mut def = named(name);
    def.aliases.push(Arc::from(alias));
    def
}

#[tokio::test]
async fn a_known_name_is_refused_and_the_first_definition_stays() {
    let registry = InMemoryTaskRegistry::default();
    let mut first = named("x");
    first.description = Some("first".to_owned());
    registry.put(first.clone()).await.unwrap();
    let error = registry.put(named("x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(error.to_string(), "the task \"x\" is already registered");
    assert_eq!(registry.get("x").await.unwrap(), Some(Arc::new(first)));
    assert_eq!(registry.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_definition_that_is_not_valid_is_refused_and_not_stored() {
    let registry = InMemoryTaskRegistry::default();
    let mut bad = named("x");
    bad.max_attempts = Some(0);
    let error = registry.put(bad).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("max_attempts is 0"), "{error}");
    assert_eq!(registry.get("x").await.unwrap(), None);
    registry.put(named("x")).await.unwrap();
}

#[tokio::test]
async fn what_the_store_would_refuse_at_each_slot_is_refused_at_registration() {
    let every = || {
        let mut def = named("x");
        def.schedule = Some(Schedule::every(std::time::Duration::from_secs(1)).unwrap());
        def
    };
    let gate = |template: &str| GateTemplate {
        template: template.to_owned(),
        limit: 1,
    };
    let mut queued = every();
    queued.policy.overlap = Overlap::Queue;
    queued.gates = ["a", "b", "c", "d"].map(gate).to_vec();
    let mut twins = every();
    twins.args = Payload::parse(r#"{"a": 7, "b": 7}"#).unwrap();
    twins.gates = vec![gate("user/{a}"), gate("user/{b}")];
    let mut long = every();
    long.name = Arc::from("n".repeat(240));
    let mut heavy = every();
    heavy.args = Payload::of(&"x".repeat(1 << 20)).unwrap();
    let registry = InMemoryTaskRegistry::default();
    for (def, kind, says) in [
        (queued, ErrorKind::Invalid, "the limit is 3"),
        (twins, ErrorKind::Invalid, "\"user/7\" is given twice"),
        (long, ErrorKind::TooLarge, "240 bytes"),
        (heavy, ErrorKind::TooLarge, "the limit is 1048576"),
    ] {
        let mut unscheduled = def.clone();
        unscheduled.schedule = None;
        assert!(unscheduled.check().is_ok(), "{says}");
        let error = registry.put(def).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn list_is_in_the_order_of_registration() {
    let registry = InMemoryTaskRegistry::default();
    for name in ["z", "a", "m", "b"] {
        registry.put(named(name)).await.unwrap();
    }
    assert!(registry.remove("a").await.unwrap());
    registry.put(named("a")).await.unwrap();
    let names: Vec<_> = registry.list().await.unwrap();
    let names: Vec<&str> = names.iter().map(|def| &*def.name).collect();
    assert_eq!(names, ["z", "m", "b", "a"]);
}

#[tokio::test]
async fn aliases_find_their_task_and_are_taken() {
    let registry = InMemoryTaskRegistry::default();
    registry.put(with_alias("new", "old")).await.unwrap();
    let found = registry.get("old").await.unwrap().unwrap();
    assert_eq!(&*found.name, "new");
    for (def, said) in [
        (named("old"), "already an alias of the task \"new\""),
        (with_alias("other", "new"), "is the name of another task"),
        (
            with_alias("other", "old"),
            "already an alias of the task \"new\"",
        ),
    ] {
        let error = registry.put(def).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert!(error.to_string().contains(said), "{error}");
    }
    assert_eq!(registry.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn remove_frees_the_name_and_its_aliases_but_takes_no_alias() {
    let registry = InMemoryTaskRegistry::default();
    registry.put(with_alias("new", "old")).await.unwrap();
    assert!(!registry.remove("old").await.unwrap());
    assert!(!registry.remove("unknown").await.unwrap());
    assert!(registry.remove("new").await.unwrap());
    assert!(!registry.remove("new").await.unwrap());
    registry.put(named("old")).await.unwrap();
    registry.put(named("new")).await.unwrap();
    assert_eq!(registry.get("unknown").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_that_register_one_name_one_succeeds() {
    let registry: Arc<dyn TaskRegistry> = Arc::new(InMemoryTaskRegistry::default());
    let racing: Vec<_> = (0..50)
        .map(|_| {
            let registry = Arc::clone(&registry);
            tokio::spawn(async move { registry.put(named("x")).await.is_ok() })
        })
        .collect();
    let mut accepted = 0;
    for racer in racing {
        accepted += usize::from(racer.await.unwrap());
    }
    assert_eq!(accepted, 1);
    assert_eq!(registry.list().await.unwrap().len(), 1);
}

mockall::mock! {
    #[derive(Debug)]
    Registry {}
    #[tlo::async_trait]
    impl TaskRegistry for Registry {
        async fn put(&self, def: TaskDef) -> tlo::Result<()>;
        async fn get(&self, name: &str) -> tlo::Result<Option<Arc<TaskDef>>>;
        async fn list(&self) -> tlo::Result<Vec<Arc<TaskDef>>>;
        async fn remove(&self, name: &str) -> tlo::Result<bool>;
    }
}

fn quick(name: &str) -> Task {
    task(name).run(|_: TaskContext, _: ()| async {})
}

async fn context_on(registry: MockRegistry, tasks: [Task; 2]) -> tlo::Result<TloContext> {
    TloContext::builder()
        .settings(SettingsSource::empty())
        .registry(Arc::new(registry))
        .tasks(tasks)
        .build()
        .await
}

#[tokio::test]
async fn a_context_puts_each_definition_once_in_order_and_asks_for_it_at_submit() {
    let mut registry = MockRegistry::new();
    let mut order = Sequence::new();
    for name in ["b", "a"] {
        registry
            .expect_put()
            .with(function(move |def: &TaskDef| &*def.name == name))
            .times(1)
            .in_sequence(&mut order)
            .returning(|_| Ok(()));
    }
    registry
        .expect_get()
        .withf(|name| name == "a")
        .times(1)
        .in_sequence(&mut order)
        .returning(|_| {
            let mut def = named("a");
            def.priority = 9;
            Ok(Some(Arc::new(def)))
        });
    let tlo = context_on(registry, [quick("b"), quick("a")])
        .await
        .unwrap();
    let handle = tlo.client().task("a").submit().await.unwrap();
    // What the registry says counts, not what was registered here.
    assert_eq!(handle.record().await.unwrap().priority, 9);
}

#[tokio::test]
async fn a_registry_that_is_away_is_said_to_be_so_and_asked_no_further() {
    let mut registry = MockRegistry::new();
    registry
        .expect_put()
        .times(1)
        .returning(|_| Err(Error::new(ErrorKind::Unavailable, "put", "nobody answers")));
    let error = context_on(registry, [quick("a"), quick("b")])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("nobody answers"), "{error}");
}

#[tokio::test]
async fn what_a_registry_refuses_is_told_for_all_tasks_at_once() {
    let mut registry = MockRegistry::new();
    registry.expect_put().times(2).returning(|def| {
        let message = format!("\"{}\" is taken", def.name);
        Err(Error::new(ErrorKind::AlreadyExists, "put", message))
    });
    let error = context_on(registry, [quick("a"), quick("b")])
        .await
        .unwrap_err();
    for part in [
        "2 tasks cannot be registered",
        "\"a\" is taken",
        "\"b\" is taken",
    ] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
}

#[tokio::test]
async fn versions_say_what_is_taken() {
    let registry = InMemoryTaskRegistry::default();
    let version = |version: &str| {
        let mut def = named("x");
        def.version = Some(Arc::from(version));
        def.schedule = Some(Schedule::every(std::time::Duration::from_secs(1)).unwrap());
        def
    };
    registry.put(version("1")).await.unwrap();
    let error = registry.put(version("1")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the task \"x\" is already registered in version \"1\""
    );
    let error = registry.put(version("2")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the task \"x\" has a schedule already, of version \"1\"; take the schedule out of that one or of version \"2\""
    );
}
