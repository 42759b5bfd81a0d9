//! A recorder of the `metrics` facade that keeps what it is told.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use parking_lot::Mutex;

/// Values by `name{label="value",…}`; histograms keep all.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    values: Arc<Mutex<BTreeMap<String, Vec<f64>>>>,
    described: Arc<Mutex<Vec<String>>>,
}

struct One(Kept, String);

impl Kept {
    /// The sum of a counter, the last value of a gauge, or the number of values of a histogram.
    pub fn of(&self, key: &str) -> Option<f64> {
        let values = self.values.lock();
        values.get(key).map(|values| values[values.len() - 1])
    }

    pub fn all(&self, key: &str) -> Vec<f64> {
        self.values.lock().get(key).cloned().unwrap_or_default()
    }

    pub fn keys(&self) -> Vec<String> {
        self.values.lock().keys().cloned().collect()
    }

    pub fn described(&self) -> Vec<String> {
        self.described.lock().clone()
    }

    fn one(&self, key: &Key) -> Arc<One> {
        let labels: Vec<_> = key
            .labels()
            .map(|label| format!("{}=\"{}\"", label.key(), label.value()))
            .collect();
        let text = format!("{}{{{}}}", key.name(), labels.join(","));
        Arc::new(One(self.clone(), text))
    }
}

impl One {
    fn change(&self, change: impl FnOnce(&mut Vec<f64>)) {
        change(self.0.values.lock().entry(self.1.clone()).or_default());
    }
}

impl CounterFn for One {
    #[allow(clippy::cast_precision_loss, reason = "small counts")]
    fn increment(&self, value: u64) {
        self.change(|values| {
            let sum = values.last().copied().unwrap_or(0.0) + value as f64;
            *values = vec![sum];
        });
    }

    fn absolute(&self, _value: u64) {
        panic!("counters only grow by what happened");
    }
}

impl GaugeFn for One {
    fn increment(&self, _value: f64) {
        panic!("gauges are set");
    }

    fn decrement(&self, _value: f64) {
        panic!("gauges are set");
    }

    fn set(&self, value: f64) {
        self.change(|values| *values = vec![value]);
    }
}

impl HistogramFn for One {
    fn record(&self, value: f64) {
        self.change(|values| values.push(value));
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, key: KeyName, _unit: Option<Unit>, _text: SharedString) {
        self.described.lock().push(key.as_str().to_owned());
    }

    fn describe_gauge(&self, key: KeyName, _unit: Option<Unit>, _text: SharedString) {
        self.described.lock().push(key.as_str().to_owned());
    }

    fn describe_histogram(&self, key: KeyName, _unit: Option<Unit>, _text: SharedString) {
        self.described.lock().push(key.as_str().to_owned());
    }

    fn register_counter(&self, key: &Key, _metadata: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.one(key))
    }

    fn register_gauge(&self, key: &Key, _metadata: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.one(key))
    }

    fn register_histogram(&self, key: &Key, _metadata: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.one(key))
    }
}
