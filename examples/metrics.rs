//! Counting what happens with the `metrics` facade. The recorder here prints; yours is that of Prometheus, StatsD or another.
//!
//! Run it with `cargo run --example metrics --features metrics`.
#![allow(clippy::print_stdout, reason = "examples talk")]

use std::sync::Arc;

use metrics::{Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn};
use metrics::{Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tlo::observe::Metrics;
use tlo::prelude::*;

/// Prints each change.
struct Printer;

struct Line(Key);

impl CounterFn for Line {
    fn increment(&self, value: u64) {
        println!("{} +{value}", self.0);
    }
    fn absolute(&self, value: u64) {
        println!("{} ={value}", self.0);
    }
}

impl GaugeFn for Line {
    fn increment(&self, value: f64) {
        println!("{} +{value}", self.0);
    }
    fn decrement(&self, value: f64) {
        println!("{} -{value}", self.0);
    }
    fn set(&self, value: f64) {
        println!("{} ={value}", self.0);
    }
}

impl HistogramFn for Line {
    fn record(&self, value: f64) {
        println!("{} {value:.6}", self.0);
    }
}

impl Recorder for Printer {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::new(Line(key.clone())))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::new(Line(key.clone())))
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Line(key.clone())))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The recorder first: what is counted before it is there is lost.
    metrics::set_global_recorder(Printer).map_err(|_| "there is a recorder")?;
    let metrics = Metrics::default();
    let tlo = TloContext::builder()
        .observer(metrics.clone())
        .task(task("greet").run(|_: TaskContext, _: ()| async {}))
        .build()
        .await?;
    let client = tlo.client();
    client.task("greet").delay(hours(1)).submit().await?;
    // As what answers a scraper would.
    metrics.sample(&**tlo.store(), tlo.clock().now()).await?;

    let runner = Runner::new(tlo);
    let stop = runner.handle();
    let running = tokio::spawn(runner.run());
    let greet = client.task("greet").submit().await?;
    greet.result::<()>().await?;
    stop.stop();
    running.await??;
    Ok(())
}
