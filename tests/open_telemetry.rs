//! Spans of runs in OpenTelemetry: one trace from a request over submits and runs to the children of runs.
#![cfg(all(
    feature = "opentelemetry",
    feature = "testing",
    feature = "sqlite",
    feature = "log-capture"
))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod engine_kit;
mod listening;

use std::sync::Arc;

use engine_kit::Place;
use listening::listen;
use opentelemetry::Value;
use opentelemetry::trace::{SpanId, SpanKind, Status, TracerProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tlo::Clock;
use tlo::observe::traced;
use tlo::prelude::*;
use tlo::testing::{HarnessBuilder, ManualClock};
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;

const FOREIGN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What is exported while it lives.
struct Exported {
    spans: InMemorySpanExporter,
    _provider: SdkTracerProvider,
    _here: tracing::subscriber::DefaultGuard,
}

impl Exported {
    fn start(activates: bool) -> Self {
        let spans = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(spans.clone())
            .build();
        let layer = tracing_opentelemetry::layer()
            .with_context_activation(activates)
            .with_tracer(provider.tracer("tests"));
        let subscriber = tracing_subscriber::registry().with(layer);
        Self {
            spans,
            _provider: provider,
            _here: listen(subscriber),
        }
    }

    /// The only span of this name.
    fn span(&self, name: &str) -> SpanData {
        let mut found = self.all(name);
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        found.remove(0)
    }

    fn all(&self, name: &str) -> Vec<SpanData> {
        let spans = self.spans.get_finished_spans().unwrap();
        spans.into_iter().filter(|span| span.name == name).collect()
    }
}

fn attribute(span: &SpanData, key: &str) -> Option<Value> {
    let found = span
        .attributes
        .iter()
        .find(|attribute| attribute.key.as_str() == key);
    found.map(|attribute| attribute.value.clone())
}

/// A node on this file, with its own handle of it.
fn node(place: &Place, seed: u64) -> HarnessBuilder {
    let clock = ManualClock::shared();
    let store = place.open_with(Arc::clone(&clock) as Arc<dyn Clock>);
    let parent = task("parent").run(|context: TaskContext, _: ()| async move {
        context.client().task("child").submit().await?;
        TaskResult::Ok(())
    });
    let node = TloContext::for_test().clock(clock).store(store);
    node.seed(seed).task(parent)
}

#[tokio::test]
async fn a_request_its_task_and_its_child_are_one_trace_on_two_nodes() {
    for activates in [true, false] {
        let place = Place::new();
        let exported = Exported::start(activates);

        // One node takes the request; it runs nothing.
        let web = node(&place, 1).task(task("child").declare());
        let web = web.start().await.unwrap();
        let request = tracing::info_span!("request");
        let submit = web
            .client()
            .task("parent")
            .submit()
            .instrument(request.clone());
        let submitted = submit.await.unwrap();
        drop(request);

        // Another one runs what it submitted.
        let mut worker = node(&place, 2)
            .task(
                task("child")
                    .queue("mail")
                    .run(|_: TaskContext, _: ()| async {}),
            )
            .start()
            .await
            .unwrap();
        worker.run_until_idle().await.unwrap();

        let (request, parent, child) = (
            exported.span("request"),
            exported.span("process parent"),
            exported.span("process child"),
        );
        assert_eq!(request.parent_span_id, SpanId::INVALID);
        assert_eq!(parent.parent_span_id, request.span_context.span_id());
        assert!(parent.parent_span_is_remote);
        assert_eq!(child.parent_span_id, parent.span_context.span_id());
        for span in [&parent, &child] {
            assert_eq!(
                span.span_context.trace_id(),
                request.span_context.trace_id()
            );
            assert_eq!(span.span_kind, SpanKind::Consumer);
            assert_eq!(span.status, Status::Unset);
            assert_eq!(
                attribute(span, "tlo.task.outcome"),
                Some("succeeded".into())
            );
            assert_eq!(attribute(span, "tlo.task.attempt"), Some(1.into()));
            assert_eq!(attribute(span, "messaging.system"), Some("tlo".into()));
            assert_eq!(
                attribute(span, "messaging.operation.name"),
                Some("process".into())
            );
        }
        let id = submitted.id().to_string();
        assert_eq!(attribute(&parent, "messaging.message.id"), Some(id.into()));
        assert_eq!(
            attribute(&parent, "messaging.destination.name"),
            Some("default".into())
        );
        assert_eq!(
            attribute(&child, "messaging.destination.name"),
            Some("mail".into())
        );
        assert_eq!(attribute(&child, "tlo.task.name"), Some("child".into()));
    }
}

#[tokio::test]
async fn each_attempt_is_a_span_and_one_that_failed_an_error() {
    let exported = Exported::start(true);
    let mut tlo = TloContext::for_test()
        .task(task("flaky").run(|context: TaskContext, _: ()| async move {
            match context.attempt() {
                1 => Err(TaskError::retry("the relay said no")),
                _ => Ok(()),
            }
        }))
        .task(
            task("panics")
                .max_attempts(1)
                .run(|_: TaskContext, _: ()| async { panic!("oh") }),
        )
        .start()
        .await
        .unwrap();
    let parent = FOREIGN.parse().unwrap();
    traced(parent, tlo.client().task("flaky").submit())
        .await
        .unwrap();
    tlo.client().task("panics").submit().await.unwrap();
    tlo.run_until_idle().await.unwrap();
    tlo.advance(minutes(1)).await.unwrap();

    let runs = exported.all("process flaky");
    assert_eq!(runs.len(), 2);
    for run in &runs {
        assert_eq!(run.span_context.trace_id().to_string(), FOREIGN[3..35]);
        assert_eq!(run.parent_span_id.to_string(), FOREIGN[36..52]);
    }
    assert_eq!(runs[0].status, Status::error("the relay said no"));
    assert_eq!(attribute(&runs[0], "error.type"), Some("failed".into()));
    assert_eq!(runs[1].status, Status::Unset);
    assert_eq!(attribute(&runs[1], "tlo.task.attempt"), Some(2.into()));
    // Nobody gave it a trace: it is the first of its own.
    let panics = exported.span("process panics");
    assert_eq!(panics.parent_span_id, SpanId::INVALID);
    assert_eq!(attribute(&panics, "error.type"), Some("panicked".into()));
}

#[tokio::test]
async fn the_innermost_trace_is_carried_and_one_that_is_given_before_any() {
    let exported = Exported::start(true);
    let mut tlo = TloContext::for_test()
        .task(
            task("parent").run(|context: TaskContext, _: ()| async move {
                let client = context.client();
                traced(FOREIGN.parse()?, client.task("in_traced").submit()).await?;
                let inner = tracing::info_span!("inner");
                client.task("in_span").submit().instrument(inner).await?;
                client
                    .task("given")
                    .header("traceparent", FOREIGN)
                    .submit()
                    .await?;
                TaskResult::Ok(())
            }),
        )
        .task(task("in_traced").run(|_: TaskContext, _: ()| {}))
        .task(task("in_span").run(|_: TaskContext, _: ()| {}))
        .task(task("given").run(|_: TaskContext, _: ()| {}))
        .start()
        .await
        .unwrap();
    tlo.client().task("parent").submit().await.unwrap();
    tlo.run_until_idle().await.unwrap();
    let parent_of = |name: &str| exported.span(name).parent_span_id;
    assert_eq!(parent_of("process in_traced").to_string(), FOREIGN[36..52]);
    assert_eq!(parent_of("process given").to_string(), FOREIGN[36..52]);
    assert_eq!(
        parent_of("process in_span"),
        exported.span("inner").span_context.span_id()
    );
    assert_eq!(
        parent_of("inner"),
        exported.span("process parent").span_context.span_id()
    );
}
