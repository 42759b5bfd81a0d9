//! Traces: a request, the task it submits and the tasks which that submits are one trace of OpenTelemetry.
//!
//! Run it with `cargo run --example opentelemetry --features opentelemetry,log-capture`. It keeps the spans and prints
//! them; a program of your own gives the provider another exporter, such as that of `opentelemetry-otlp`.
#![allow(clippy::print_stdout, reason = "examples talk")]

use std::collections::BTreeMap;

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tlo::prelude::*;
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Makes an invoice, and has it sent by mail.
async fn invoice(context: TaskContext, order: u32) -> TaskResult<String> {
    let mail = context.client().task("mail").args(&order).submit().await?;
    let sent: String = mail.result().await?;
    Ok(format!("invoice of order {order}, {sent}"))
}

/// Sends a mail; the relay takes only the second one.
async fn mail(context: TaskContext, order: u32) -> TaskResult<String> {
    if context.attempt() == 1 {
        return Err(TaskError::retry_after(millis(10), "the relay is busy"));
    }
    // A span of your own is a child of that of the run.
    let number = async { order + 1000 }.instrument(tracing::info_span!("number"));
    Ok(format!("sent as mail {}", number.await))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // As in any program with OpenTelemetry: an exporter, and the layer that makes spans of `tracing` its spans.
    let kept = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(kept.clone())
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("shop"));
    tracing_subscriber::registry().with(layer).init();

    let tlo = TloContext::builder()
        .task(task("invoice").run(invoice))
        .task(task("mail").queue("mail").run(mail))
        .build()
        .await?;
    let client = tlo.client();
    let runner = Runner::new(tlo);
    let stop = runner.handle();
    let running = tokio::spawn(runner.run());

    let request = async {
        let invoice = client.task("invoice").args(&7).submit().await?;
        invoice.result::<String>().await
    };
    let answer = request
        .instrument(tracing::info_span!("POST /orders"))
        .await?;
    println!("answered: {answer}");
    stop.stop();
    running.await??;
    provider.force_flush()?;

    let spans = kept.get_finished_spans()?;
    print(&spans);
    let request = named(&spans, "POST /orders")[0];
    let invoice = named(&spans, "process invoice")[0];
    let mails = named(&spans, "process mail");
    assert_eq!(mails.len(), 2);
    assert_eq!(invoice.parent_span_id, request.span_context.span_id());
    for span in mails {
        assert_eq!(span.parent_span_id, invoice.span_context.span_id());
    }
    Ok(())
}

fn named<'a>(spans: &'a [SpanData], name: &str) -> Vec<&'a SpanData> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// Prints each span under its parent, in the order in which they began.
fn print(spans: &[SpanData]) {
    let mut children: BTreeMap<String, Vec<&SpanData>> = BTreeMap::new();
    for span in spans {
        let parent = span.parent_span_id.to_string();
        children.entry(parent).or_default().push(span);
    }
    for below in children.values_mut() {
        below.sort_by_key(|span| span.start_time);
    }
    let mut open = vec![("0".repeat(16), 0)];
    while let Some((id, depth)) = open.pop() {
        for span in children.get(&id).into_iter().flatten() {
            println!("{}{} {:?}", "  ".repeat(depth), span.name, span.status);
            open.push((span.span_context.span_id().to_string(), depth + 1));
        }
    }
}
