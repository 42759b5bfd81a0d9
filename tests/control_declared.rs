//! Limits that programs and their files declare: in force before the first task, kept while somebody says them, gone when
//! nobody does any more.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod engine_kit;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine_kit::{Place, on_each_store};
use tlo::client::{LimitChange, Limits, Target};
use tlo::prelude::*;
use tlo::registry::{InMemoryTaskRegistry, TaskRegistry};
use tlo::settings::SettingsSource;
use tlo::store::Change;
use tlo::task::TaskDef;
use tlo::testing::{Fault, Harness, HarnessBuilder, ManualClock, Verb};
use tlo::{Clock, Error, ErrorKind, TloContextBuilder};

fn queue(name: &str) -> Target {
    Target::Queue(name.to_owned())
}

fn at_once(max: u32) -> Limits {
    Limits {
        max: Some(max),
        ..Limits::default()
    }
}

fn good() -> Task {
    task("good").run(|_: TaskContext, _: ()| async {})
}

/// Nodes of a cluster on one store, with one clock, and the files that they read.
struct Cluster {
    place: Place,
    files: tempfile::TempDir,
    clock: Arc<ManualClock>,
    nodes: Vec<(&'static str, Harness)>,
}

impl Cluster {
    fn new() -> Self {
        Self {
            place: Place::new(),
            files: tempfile::tempdir().unwrap(),
            clock: ManualClock::shared(),
            nodes: Vec::new(),
        }
    }

    fn write(&self, file: &str, text: &str) -> PathBuf {
        let path = self.files.path().join(file);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A process on a host of this name that reads a file.
    async fn start(&mut self, host: &'static str, file: &Path) {
        let clock = Arc::clone(&self.clock);
        let store = self.place.open_with(Arc::clone(&clock) as Arc<dyn Clock>);
        let source = SettingsSource::empty().file(file);
        let builder = TloContext::for_test()
            .clock(clock)
            .store(store)
            .task(good());
        let builder = builder.set("name", host);
        let node = builder.with(|builder| builder.settings(source)).start();
        self.nodes.push((host, node.await.unwrap()));
        self.pass(Duration::ZERO).await;
    }

    /// It is killed: what it said last is believed for a while.
    fn kill(&mut self, host: &str) {
        self.nodes.retain(|(name, _)| *name != host);
    }

    /// Time passes for all that live.
    async fn pass(&mut self, by: Duration) {
        let end = self.clock.steady().at + by;
        loop {
            for (_, node) in &mut self.nodes {
                node.run_until_idle().await.unwrap();
            }
            let left = end.saturating_sub(self.clock.steady().at);
            if left.is_zero() {
                return;
            }
            self.clock.advance(left.min(secs(5)));
        }
    }

    async fn limit_of(&self, name: &str) -> Option<u32> {
        let all = self.nodes[0].1.client().limits().await.unwrap();
        let found = all.into_iter().find(|found| found.target == queue(name));
        found.and_then(|found| found.limits.max)
    }

    async fn audited(&self) -> usize {
        let client = self.nodes[0].1.client();
        client.audit(None, 1_000).await.unwrap().len()
    }
}

const MAIL: &str = "[queues.mail]\nlimit = 2\n";

#[tokio::test]
async fn a_deploy_under_another_host_name_takes_back_what_its_file_no_longer_says() {
    let mut cluster = Cluster::new();
    let file = cluster.write("tlo.toml", MAIL);
    cluster.start("pod-1", &file).await;
    assert_eq!(cluster.limit_of("mail").await, Some(2));
    cluster.write("tlo.toml", "");
    cluster.start("pod-2", &file).await;
    cluster.pass(minutes(5)).await;
    // The old one still lives and says it.
    assert_eq!(cluster.limit_of("mail").await, Some(2));
    cluster.kill("pod-1");
    cluster.pass(secs(30)).await;
    assert_eq!(cluster.limit_of("mail").await, Some(2), "it is believed");
    cluster.pass(secs(100)).await;
    assert_eq!(cluster.limit_of("mail").await, None);
    let audit = cluster.nodes[0].1.client().audit(None, 1).await.unwrap();
    let why = audit[0].data.why.as_deref().unwrap();
    assert!(
        why.ends_with("tlo.toml says nothing of it any more"),
        "{why}"
    );
}

#[tokio::test]
async fn what_one_host_no_longer_says_holds_as_long_as_another_says_it() {
    let mut cluster = Cluster::new();
    let file = cluster.write("tlo.toml", MAIL);
    cluster.start("a", &file).await;
    cluster.start("b", &file).await;
    cluster.kill("a");
    cluster.write("tlo.toml", "");
    cluster.start("a", &file).await;
    cluster.pass(minutes(10)).await;
    assert_eq!(cluster.limit_of("mail").await, Some(2));
    // Nothing is written again and again: it was put once.
    assert_eq!(cluster.audited().await, 1);
}

#[tokio::test]
async fn a_file_of_another_place_takes_nothing_back_and_takes_over_what_it_says_itself() {
    let mut cluster = Cluster::new();
    let mail = cluster.write("mail.toml", MAIL);
    let other = cluster.write("other.toml", "[queues.slow]\nlimit = 1\n");
    let both = cluster.write("both.toml", MAIL);
    cluster.start("other", &other).await;
    cluster.start("mail", &mail).await;
    cluster.kill("mail");
    cluster.pass(minutes(5)).await;
    // All who say it have stopped, and it holds: their queue shall not grow beyond its limits meanwhile.
    assert_eq!(cluster.limit_of("mail").await, Some(2));
    cluster.start("both", &both).await;
    cluster.kill("both");
    cluster.write("both.toml", "");
    cluster.start("both", &both).await;
    cluster.pass(minutes(5)).await;
    assert_eq!(cluster.limit_of("mail").await, None);
    assert_eq!(cluster.limit_of("slow").await, Some(1));
}

#[tokio::test]
async fn the_last_deploy_is_right_also_when_an_old_process_comes_back_for_a_while() {
    let mut cluster = Cluster::new();
    let file = cluster.write("tlo.toml", MAIL);
    cluster.start("old", &file).await;
    cluster.write("tlo.toml", "[queues.mail]\nlimit = 5\n");
    cluster.start("new", &file).await;
    assert_eq!(cluster.limit_of("mail").await, Some(5));
    cluster.kill("old");
    cluster.write("tlo.toml", MAIL);
    cluster.start("old", &file).await;
    cluster.pass(minutes(5)).await;
    assert_eq!(cluster.limit_of("mail").await, Some(2), "it started last");
    cluster.kill("old");
    cluster.pass(minutes(3)).await;
    assert_eq!(cluster.limit_of("mail").await, Some(5));
}

#[tokio::test]
async fn what_somebody_sets_or_clears_stays_until_a_process_starts() {
    let mut cluster = Cluster::new();
    let file = cluster.write("tlo.toml", MAIL);
    cluster.start("a", &file).await;
    let client = cluster.nodes[0].1.client();
    let seven = LimitChange {
        max: Change::Set(Some(7)),
        ..LimitChange::default()
    };
    client.limit(&queue("mail"), seven, None).await.unwrap();
    cluster.pass(minutes(5)).await;
    cluster.start("b", &file).await;
    assert_eq!(cluster.limit_of("mail").await, Some(7));
    let clear = LimitChange::clear();
    client.limit(&queue("mail"), clear, None).await.unwrap();
    cluster.pass(minutes(5)).await;
    assert_eq!(cluster.limit_of("mail").await, None);
    cluster.start("c", &file).await;
    assert_eq!(cluster.limit_of("mail").await, Some(2));
}

#[tokio::test]
async fn one_that_was_not_heard_of_for_long_declares_again() {
    let mut cluster = Cluster::new();
    let file = cluster.write("tlo.toml", MAIL);
    cluster.start("slept", &file).await;
    cluster.write("tlo.toml", "");
    cluster.start("b", &file).await;
    let slept = cluster.nodes.remove(0);
    cluster.pass(minutes(3)).await;
    assert_eq!(cluster.limit_of("mail").await, None);
    cluster.nodes.push(slept);
    cluster.pass(secs(40)).await;
    assert_eq!(cluster.limit_of("mail").await, Some(2));
}

/// The store is away for all.
async fn outage(cluster: &mut Cluster) {
    for away in [true, false] {
        for (_, node) in &cluster.nodes {
            node.store().be_away(away);
        }
        if away {
            cluster.pass(minutes(5)).await;
        }
    }
}

#[tokio::test]
async fn after_an_outage_of_the_store_the_last_deploy_is_still_right() {
    let mut cluster = Cluster::new();
    let file = cluster.write("tlo.toml", MAIL);
    cluster.start("old", &file).await;
    cluster.write("tlo.toml", "[queues.mail]\nlimit = 5\n");
    cluster.start("new", &file).await;
    outage(&mut cluster).await;
    cluster.pass(minutes(5)).await;
    assert_eq!(cluster.limit_of("mail").await, Some(5));
    assert_eq!(cluster.audited().await, 2);
    // What nobody says any more goes as always.
    cluster.kill("new");
    cluster.pass(minutes(3)).await;
    assert_eq!(cluster.limit_of("mail").await, Some(2));
}

#[tokio::test]
async fn after_an_outage_of_the_store_what_somebody_cleared_is_still_cleared() {
    let mut cluster = Cluster::new();
    let file = cluster.write("tlo.toml", MAIL);
    cluster.start("a", &file).await;
    cluster.start("b", &file).await;
    let client = cluster.nodes[0].1.client();
    let clear = LimitChange::clear();
    client.limit(&queue("mail"), clear, None).await.unwrap();
    outage(&mut cluster).await;
    cluster.pass(minutes(5)).await;
    assert_eq!(cluster.limit_of("mail").await, None);
}

fn limited() -> HarnessBuilder {
    let task_limit =
        |builder: TloContextBuilder| builder.limit(Target::Task("good".to_owned()), at_once(1));
    TloContext::for_test()
        .task(good())
        .set("queues.mail.max_depth", 1)
        .set("queues.mail.rate", "1/1h")
        .with(task_limit)
}

#[tokio::test]
async fn a_program_declares_the_limits_of_its_settings_and_its_own() {
    for (mut tlo, _place) in on_each_store(limited).await {
        tlo.run_until_idle().await.unwrap();
        let client = tlo.client();
        let limits = client.limits().await.unwrap();
        let said: Vec<_> = limits
            .iter()
            .map(|one| format!("{}: {}", one.target, one.limits))
            .collect();
        assert_eq!(
            said,
            [
                "queue \"mail\": 1 per 1h, at most 1 waiting",
                "task \"good\": 1 at once"
            ]
        );
        let submit = || client.task("good").queue("mail").submit();
        submit().await.unwrap();
        let error = submit().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::QueueFull);
        tlo.run_until_idle().await.unwrap();
        submit().await.unwrap();
        tlo.advance(minutes(30)).await.unwrap();
        assert_eq!(tlo.started("good"), 1);
        tlo.advance(minutes(30)).await.unwrap();
        assert_eq!(tlo.started("good"), 2);
    }
}

#[tokio::test]
async fn nothing_is_claimed_before_the_limits_hold() {
    for (mut tlo, _place) in on_each_store(limited).await {
        tlo.client().task("good").submit().await.unwrap();
        tlo.store().plan(Fault::fail(Verb::Commit));
        tlo.run_until_idle().await.unwrap();
        assert_eq!(tlo.started("good"), 0);
        tlo.advance(secs(2)).await.unwrap();
        assert_eq!(tlo.started("good"), 1);
        assert_eq!(tlo.client().limits().await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn a_limit_that_cannot_be_is_refused_when_the_program_is_built() {
    for (target, limits, wrong) in [
        (queue("mail"), at_once(0), "is 0"),
        (
            Target::Schedule("tick".to_owned()),
            at_once(1),
            "cannot be kept",
        ),
        (queue(""), at_once(1), "needs a name"),
        (Target::Task("a\u{7}b".to_owned()), at_once(1), "a\\u{7}b"),
    ] {
        let builder = TloContext::for_test().with(|builder| builder.limit(target, limits));
        let error = builder.start().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(wrong), "{error}");
    }
}

#[tokio::test]
async fn of_two_limits_of_one_target_the_last_holds() {
    let builder = TloContext::for_test().with(|builder| {
        let first = builder.limit(queue("mail"), at_once(1));
        first.limit(queue("mail"), at_once(2))
    });
    let mut tlo = builder.start().await.unwrap();
    tlo.run_until_idle().await.unwrap();
    let limits = tlo.client().limits().await.unwrap();
    assert_eq!(limits[0].limits, at_once(2));
}

#[tokio::test]
async fn a_limit_of_a_name_that_is_too_long_is_refused_when_the_program_is_built() {
    // As a queue it could be; the gate of the queue, where its limits are kept, has a longer name.
    let long = "mail".repeat(63);
    for builder in [
        TloContext::for_test().with(|builder| builder.limit(queue(&long), at_once(1))),
        TloContext::for_test().set(format!("queues.{long}.limit"), 1),
    ] {
        let error = builder.start().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
        assert!(error.to_string().contains("queue/mailmail"), "{error}");
    }
}

/// A registry that does not answer for a while.
#[derive(Debug, Default)]
struct Flaky {
    inner: InMemoryTaskRegistry,
    away: AtomicBool,
}

#[tlo::async_trait]
impl TaskRegistry for Flaky {
    async fn put(&self, def: TaskDef) -> tlo::Result<()> {
        self.inner.put(def).await
    }

    async fn get(&self, name: &str) -> tlo::Result<Option<Arc<TaskDef>>> {
        match self.away.load(Ordering::SeqCst) {
            true => Err(Error::new(ErrorKind::Unavailable, "registry", "it is away")),
            false => self.inner.get(name).await,
        }
    }

    async fn list(&self) -> tlo::Result<Vec<Arc<TaskDef>>> {
        self.inner.list().await
    }

    async fn remove(&self, name: &str) -> tlo::Result<bool> {
        self.inner.remove(name).await
    }
}

#[tokio::test]
async fn a_worker_is_seen_while_its_registry_is_away() {
    let (place, clock) = (Place::new(), ManualClock::shared());
    let store = place.open_with(Arc::clone(&clock) as Arc<dyn Clock>);
    let registry = Arc::new(Flaky::default());
    registry.away.store(true, Ordering::SeqCst);
    let given = Arc::clone(&registry);
    let mut tlo = TloContext::for_test()
        .clock(clock)
        .store(store)
        .task(good())
        .with(|builder| builder.registry(given))
        .with(|builder| builder.limit(Target::Task("good".to_owned()), at_once(1)))
        .start()
        .await
        .unwrap();
    tlo.advance(minutes(3)).await.unwrap();
    let client = tlo.client();
    let seen = client.workers().await.unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].1.declares.as_ref().unwrap().limits.len(), 1);
    assert!(client.limits().await.unwrap().is_empty());
    registry.away.store(false, Ordering::SeqCst);
    tlo.advance(secs(2)).await.unwrap();
    assert_eq!(client.limits().await.unwrap().len(), 1);
    // From then on it need not tell.
    registry.away.store(true, Ordering::SeqCst);
    tlo.advance(minutes(3)).await.unwrap();
    assert_eq!(client.workers().await.unwrap().len(), 1);
}
