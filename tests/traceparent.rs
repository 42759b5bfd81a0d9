//! The W3C trace context: what a submit carries, what a run shows, and what its children inherit.
#![cfg(all(feature = "testing", feature = "sqlite", feature = "log-capture"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod engine_kit;
mod listening;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use engine_kit::on_each_store;
use listening::listen;
use parking_lot::Mutex;
use tlo::observe::traced;
use tlo::prelude::*;
use tlo::store::TaskFilter;
use tlo::testing::{Harness, HarnessBuilder};
use tlo::{PageRequest, TaskStateRecord};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{Context, SubscriberExt};

const ONE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TWO: &str = "00-aaf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

fn program() -> HarnessBuilder {
    let parent = task("parent").run(|context: TaskContext, _: ()| async move {
        let client = context.client();
        client.task("child").tag("inherits").submit().await?;
        client
            .acting_as("ada")
            .task("child")
            .tag("inherits")
            .submit()
            .await?;
        let own = client.task("child").tag("own").header("traceparent", TWO);
        own.submit().await?;
        TaskResult::Ok(())
    });
    TloContext::for_test()
        .task(parent)
        .task(task("child").run(|_: TaskContext, _: ()| {}))
}

async fn tagged(tlo: &Harness, tag: &str) -> Vec<TaskStateRecord> {
    let filter = TaskFilter {
        tag: Some(tag.to_owned()),
        ..TaskFilter::default()
    };
    let found = tlo
        .client()
        .list(&filter, PageRequest::default())
        .await
        .unwrap();
    found.items.into_iter().map(|item| item.record).collect()
}

fn carried(record: &TaskStateRecord) -> Option<&str> {
    record.headers.get("traceparent").map(String::as_str)
}

#[tokio::test]
async fn children_inherit_the_trace_of_their_run() {
    for (mut tlo, _place) in on_each_store(program).await {
        let client = tlo.client();
        let submit = client
            .task("parent")
            .header("traceparent", ONE)
            .header("tracestate", "a=b");
        submit.submit().await.unwrap();
        tlo.run_until_idle().await.unwrap();
        let children = tagged(&tlo, "inherits").await;
        assert_eq!(children.len(), 2);
        for child in &children {
            assert_eq!(carried(child), Some(ONE));
            assert_eq!(child.headers["tracestate"], "a=b");
        }
        assert_eq!(carried(&tagged(&tlo, "own").await[0]), Some(TWO));

        // Of a task without a trace nothing is inherited.
        client.task("parent").submit().await.unwrap();
        tlo.run_until_idle().await.unwrap();
        let children = tagged(&tlo, "inherits").await;
        assert_eq!(
            children
                .iter()
                .filter(|child| carried(child).is_none())
                .count(),
            2
        );
    }
}

#[tokio::test]
async fn a_submit_inside_a_trace_carries_it_whatever_client_it_uses() {
    let kept: Arc<Mutex<Option<tlo::Client>>> = Arc::default();
    let given = Arc::clone(&kept);
    let elsewhere = task("elsewhere").run(move |_: TaskContext, _: ()| {
        let client = given.lock().clone();
        async move {
            client
                .unwrap()
                .task("child")
                .tag("inherits")
                .submit()
                .await?;
            TaskResult::Ok(())
        }
    });
    let mut tlo = TloContext::for_test()
        .task(elsewhere)
        .task(task("child").declare())
        .start()
        .await
        .unwrap();
    *kept.lock() = Some(tlo.client());
    let submit = tlo.client().task("elsewhere").submit();
    let outer = traced(ONE.parse().unwrap(), submit).await.unwrap();
    assert_eq!(carried(&outer.record().await.unwrap()), Some(ONE));
    tlo.run_until_idle().await.unwrap();
    assert_eq!(carried(&tagged(&tlo, "inherits").await[0]), Some(ONE));
    let after = tlo.client().task("child").submit().await.unwrap();
    assert_eq!(carried(&after.record().await.unwrap()), None);
}

#[tokio::test]
async fn one_that_is_not_valid_is_left_out() {
    let tlo = program().start().await.unwrap();
    let client = tlo.client();
    for bad in ["", "nonsense", &ONE[..54], &format!("ff{}", &ONE[2..])] {
        let child = client
            .task("child")
            .header("traceparent", bad)
            .header("tracestate", "a=b");
        let headers = child
            .header("other", "kept")
            .submit()
            .await
            .unwrap()
            .record()
            .await
            .unwrap();
        assert_eq!(
            headers.headers,
            BTreeMap::from([("other".to_owned(), "kept".to_owned())]),
            "{bad}"
        );
    }
}

/// The fields of the spans of runs.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<BTreeMap<String, String>>>>);

struct Fields<'a>(&'a mut BTreeMap<String, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}").trim_matches('"').to_owned();
        self.0.insert(field.name().to_owned(), text);
    }
}

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        if attributes.metadata().name() == "tlo.task" {
            let mut fields = BTreeMap::new();
            attributes.record(&mut Fields(&mut fields));
            // Those are there for OpenTelemetry, with its feature.
            fields.retain(|name, _| !name.starts_with("otel."));
            self.0.lock().push(fields);
        }
    }

    fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
        if let Some(last) = self.0.lock().last_mut() {
            values.record(&mut Fields(last));
        }
    }
}

#[tokio::test]
async fn the_span_of_a_run_has_its_trace() {
    let spans = Spans::default();
    let subscriber = tracing_subscriber::registry().with(spans.clone());
    let _here = listen(subscriber);
    let mut tlo = TloContext::for_test()
        .task(
            task("async")
                .queue("mail")
                .run(|_: TaskContext, _: ()| async {}),
        )
        .start()
        .await
        .unwrap();
    let with = tlo
        .client()
        .task("async")
        .header("traceparent", ONE)
        .submit()
        .await
        .unwrap();
    tlo.run_until_idle().await.unwrap();
    tlo.client().task("async").submit().await.unwrap();
    tlo.run_until_idle().await.unwrap();
    let spans = spans.0.lock();
    let expected = [
        ("attempt", "1"),
        ("id", with.id().as_str()),
        ("name", "async"),
        ("queue", "mail"),
        ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"),
    ];
    let expected: BTreeMap<_, _> = expected
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    assert_eq!(spans[0], expected);
    assert!(!spans[1].contains_key("trace_id"));
    assert_eq!(spans.len(), 2);
}
