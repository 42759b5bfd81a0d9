//! Timeout and trace, on tokio's paused clock: the waits below take no time.
#![allow(
    clippy::disallowed_methods,
    reason = "the paused clock of tokio is read, not the machine's"
)]

#[cfg(feature = "cli")]
mod listening;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tlo::handler::layers::{Timeout, standard};
use tlo::handler::{IntoHandler, TaskContextBuilder};
use tlo::prelude::*;
use tlo::task::{Ended, Outcome};

fn timed(timeout: Duration) -> TaskContext {
    TaskContextBuilder::new("slow")
        .record(|record| record.timeout = Some(timeout))
        .build()
}

async fn run<M>(handler: impl IntoHandler<M>, context: TaskContext) -> Ended {
    standard(handler.into_handler())
        .run(context, Payload::null())
        .await
}

#[tokio::test(start_paused = true)]
async fn a_run_ends_at_its_timeout_and_is_dropped() {
    struct Flag(Arc<AtomicBool>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&dropped);
    let context = timed(secs(1));
    let start = tokio::time::Instant::now();
    let ended = run(
        move |context: TaskContext, _: ()| {
            let flag = Flag(Arc::clone(&flag));
            async move {
                let _flag = flag;
                context.clock().sleep(secs(3_600)).await;
            }
        },
        context.clone(),
    )
    .await;
    assert!(matches!(ended, Ended::TimedOut), "{ended:?}");
    assert_eq!(context.interruption(), Some(Interruption::TimedOut));
    assert!(dropped.load(Ordering::SeqCst));
    let took = start.elapsed();
    assert!(took >= secs(1) && took < secs(2), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_quick_run_does_not_notice_its_timeout() {
    let ended = run(
        async |context: TaskContext, _: ()| {
            context.clock().sleep(millis(999)).await;
            TaskResult::Ok(context.is_cancelled())
        },
        timed(secs(1)),
    )
    .await;
    assert!(
        matches!(ended, Ended::Returned(Outcome::Success(ref said)) if said.as_str() == "false")
    );
}

#[tokio::test(start_paused = true)]
async fn what_still_succeeds_within_the_grace_has_succeeded() {
    let answers = |succeeds: bool| {
        move |context: TaskContext, _: ()| async move {
            context.cancelled().await;
            context.clock().sleep(millis(100)).await;
            if succeeds {
                Ok("saved")
            } else {
                Err(TaskError::fail("gave up"))
            }
        }
    };
    let saved = run(answers(true), timed(secs(1))).await;
    assert!(
        matches!(saved, Ended::Returned(Outcome::Success(_))),
        "{saved:?}"
    );
    // It failed because its time was over, so that is what is recorded, and it is tried again.
    let gave_up = run(answers(false), timed(secs(1))).await;
    assert!(matches!(gave_up, Ended::TimedOut), "{gave_up:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_gets_the_grace_it_asked_for() {
    let start = tokio::time::Instant::now();
    let ended = run(
        async |context: TaskContext, _: ()| {
            context.need_grace(secs(30));
            context.cancelled().await;
            context.clock().sleep(secs(20)).await;
            TaskResult::Ok(())
        },
        timed(secs(1)),
    )
    .await;
    assert!(
        matches!(ended, Ended::Returned(Outcome::Success(_))),
        "{ended:?}"
    );
    assert!(start.elapsed() >= secs(21));
    // Also when it says so after its time was over.
    let ended = run(
        async |context: TaskContext, _: ()| {
            context.cancelled().await;
            context.need_grace(secs(30));
            context.clock().sleep(secs(20)).await;
            TaskResult::Ok(())
        },
        timed(secs(1)),
    )
    .await;
    assert!(
        matches!(ended, Ended::Returned(Outcome::Success(_))),
        "{ended:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_interrupted_before_its_timeout_ends_for_that_reason() {
    let context = timed(secs(1));
    context.interrupt(Interruption::Stopping);
    let ended = run(
        async |context: TaskContext, _: ()| context.clock().sleep(secs(9)).await,
        context,
    )
    .await;
    assert!(matches!(ended, Ended::Released), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_a_late_run_is_dropped_goes_no_further() {
    struct Falls;
    impl Drop for Falls {
        fn drop(&mut self) {
            panic!("while dropped");
        }
    }
    let late = async |context: TaskContext, _: ()| {
        let _falls = Falls;
        context.clock().sleep(secs(9)).await;
    };
    let handler = Timeout::with_grace(Duration::ZERO).wrap(late.into_handler());
    let ended = handler.run(timed(millis(1)), Payload::null()).await;
    assert!(matches!(ended, Ended::TimedOut), "{ended:?}");
}

/// The feature brings the subscriber that writes lines.
#[cfg(feature = "cli")]
mod logged {
    use super::*;
    use crate::listening::listen;
    use parking_lot::Mutex;
    use std::io::Write;

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

    #[tokio::test]
    async fn what_a_handler_logs_carries_its_task() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .finish();
        let guard = listen(subscriber);
        let context = || TaskContextBuilder::new("greet").attempt(3).build();
        run(
            async |_: TaskContext, _: ()| tracing::info!("from an async one"),
            context(),
        )
        .await;
        drop(guard);
        let text = String::from_utf8(lines.0.lock().clone()).unwrap();
        let line = text
            .lines()
            .find(|line| line.contains("from an async one"))
            .unwrap();
        for part in [
            "tlo.task{",
            "id=test",
            "name=\"greet\"",
            "queue=\"default\"",
            "attempt=3",
        ] {
            assert!(line.contains(part), "{part} is not in: {line}");
        }
    }
}
