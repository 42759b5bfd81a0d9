//! Observers: told in order, only made when somebody watches, and unable to break the engine.

#[cfg(feature = "cli")]
mod listening;

use std::sync::Arc;
use std::time::Duration;

use mockall::predicate::function;
use parking_lot::Mutex;
use tlo::observe::{Lifecycle, Observer, Observers};
use tlo::prelude::{TaskContext, TaskError};
use tlo::task::{AttemptEnd, Ended, Outcome, decide};
use tlo::{Payload, TaskStateRecord};

mockall::mock! {
    Watcher {}
    impl Observer for Watcher {
        fn observe(&self, event: &Lifecycle);
    }
}

fn record() -> Arc<TaskStateRecord> {
    Arc::clone(TaskContext::for_test("x").record())
}

fn succeeded() -> Lifecycle {
    Lifecycle::Succeeded {
        record: record(),
        took: Duration::from_millis(3),
    }
}

#[test]
fn a_panicking_observer_keeps_nobody_from_hearing() {
    let mut first = MockWatcher::new();
    first
        .expect_observe()
        .times(1)
        .returning(|_| panic!("broken observer"));
    let mut second = MockWatcher::new();
    second
        .expect_observe()
        .with(function(|event: &Lifecycle| event.kind() == "succeeded"))
        .times(1)
        .return_const(());
    let observers = Observers::default()
        .with(Arc::new(first))
        .with(Arc::new(second));
    observers.notify(succeeded);
}

#[test]
fn observers_are_told_in_order() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = |name: &'static str| {
        let heard = Arc::clone(&heard);
        Arc::new(move |event: &Lifecycle| heard.lock().push((name, event.kind())))
            as Arc<dyn Observer>
    };
    let observers: Observers = [listener("a"), listener("b")].into_iter().collect();
    observers.with(listener("c")).notify(succeeded);
    assert_eq!(
        *heard.lock(),
        [("a", "succeeded"), ("b", "succeeded"), ("c", "succeeded")]
    );
}

#[test]
fn without_observers_no_event_is_made() {
    let observers = Observers::default();
    assert!(observers.is_empty());
    observers.notify(|| panic!("made"));
    let none: Observers = Vec::<Arc<dyn Observer>>::new().into_iter().collect();
    assert!(none.is_empty());
}

#[test]
fn a_settlement_is_told_as_what_it_is() {
    let told = |ended: Ended, attempt: u32| {
        let mut record = (*record()).clone();
        record.attempt = attempt;
        record.max_attempts = 2;
        let settlement = decide(ended, &record, 0.0);
        Lifecycle::settled(Arc::new(record), &settlement, Duration::ZERO)
    };
    let error = |error| Ended::Returned(Outcome::Error(error));
    let table = [
        (
            told(Ended::Returned(Outcome::Success(Payload::null())), 1),
            "succeeded",
        ),
        (told(error(TaskError::retry("no luck")), 1), "retrying"),
        (told(error(TaskError::retry("no luck")), 2), "failed"),
        (told(error(TaskError::fail("never")), 1), "failed"),
        (told(error(TaskError::cancel("enough")), 1), "cancelled"),
        (
            told(error(TaskError::snooze(Duration::from_secs(1))), 1),
            "snoozed",
        ),
        (told(Ended::Released, 1), "released"),
        (told(Ended::Panicked("oh".into()), 1), "retrying"),
        (told(Ended::TimedOut, 2), "failed"),
    ];
    for (event, kind) in &table {
        assert_eq!(event.kind(), *kind, "{event:?}");
    }
    let Lifecycle::Failed { end, error, .. } = &table[8].0 else {
        panic!("not failed");
    };
    assert_eq!(*end, AttemptEnd::TimedOut);
    assert!(error.starts_with("timed out"), "{error}");
}

/// The feature brings the subscriber that writes lines.
#[cfg(feature = "cli")]
#[test]
fn events_become_lines_and_a_failed_task_is_no_error_of_the_engine() {
    use std::io::Write;
    use tlo::observe::TracingObserver;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    {
        let _here = listening::listen(subscriber);
        let observers = Observers::default().with(Arc::new(TracingObserver));
        observers.notify(succeeded);
        observers.notify(|| Lifecycle::Failed {
            record: record(),
            took: Duration::ZERO,
            end: AttemptEnd::Failed,
            error: "no such table".to_owned(),
        });
        observers.notify(|| Lifecycle::StoreFailed {
            operation: "claim",
            error: "disk full".to_owned(),
        });
    }
    let text = String::from_utf8_lossy(&lines.0.lock()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    for (line, parts) in [
        (lines[0], ["INFO", "succeeded", "took=\"3ms\""]),
        (lines[1], ["WARN", "failed for good", "no such table"]),
        (lines[2], ["ERROR", "operation=\"claim\"", "disk full"]),
    ] {
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
    }
    assert_eq!(lines.len(), 3);
}
