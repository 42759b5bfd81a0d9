//! `tlo bench`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::{Args, ValueEnum};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use crate::cli::output;
use crate::cli::output::Cell;
use crate::clock::{Clock, SystemClock};
use crate::context::TloContext;
use crate::error::{Error, ErrorKind, Result};
use crate::handler::{TaskContext, task};
use crate::runner::{Runner, signal};
use crate::schedule::short_duration;
use crate::settings::{SettingsSource, StopBehavior};

/// Tasks whose way through an idle runner is measured one by one.
const SINGLES: usize = 200;

/// Submits at a time.
const SUBMITTERS: usize = 64;

/// What to measure.
#[derive(Args, Clone, Debug)]
pub(crate) struct BenchArgs {
    /// The store: in memory, or one on the disk that is removed afterwards; memory and SQLite by default
    #[arg(long, value_enum)]
    store: Option<Store>,
    /// How many tasks
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    tasks: u32,
    /// How many tasks run at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    concurrency: u32,
    /// The folder for the store, on the disk that is to be measured; by default that for temporary files
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Store {
    Memory,
    Sqlite,
    #[cfg(feature = "lmdb")]
    Lmdb,
    #[cfg(feature = "jsonl")]
    Jsonl,
}

impl Store {
    const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
            #[cfg(feature = "lmdb")]
            Self::Lmdb => "lmdb",
            #[cfg(feature = "jsonl")]
            Self::Jsonl => "jsonl",
        }
    }
}

/// What was measured of one store. Times are in milliseconds.
#[derive(Clone, Debug, Serialize)]
struct Figures {
    store: String,
    promise: String,
    tasks: u32,
    concurrency: u32,
    submits_per_second: u64,
    runs_per_second: u64,
    start_p50_ms: f64,
    start_p99_ms: f64,
    end_p50_ms: f64,
    end_p99_ms: f64,
}

/// Measures and prints. A signal ends it; the file goes then, too.
///
/// # Errors
/// Those of making the folder, and of the store.
pub(super) async fn run(args: &BenchArgs) -> Result<ExitCode> {
    let end = CancellationToken::new();
    let measuring = measure_and_print(args, &end);
    tokio::pin!(measuring);
    let signal = tokio::select! {
        // It is listened to before anything is made.
        biased;
        signal = signal() => signal,
        done = &mut measuring => return done.map(|()| ExitCode::SUCCESS),
    };
    // It is not dropped in the middle: a store that is just made would make its folder anew.
    end.cancel();
    match measuring.await {
        Err(error) if error.kind() != ErrorKind::Closed => Err(error),
        _ => Ok(ExitCode::from(signal.exit_code())),
    }
}

async fn measure_and_print(args: &BenchArgs, end: &CancellationToken) -> Result<()> {
    let stores = match args.store {
        Some(store) => vec![store],
        None => vec![Store::Memory, Store::Sqlite],
    };
    let mut all = Vec::new();
    for store in stores {
        let figures = match store {
            Store::Memory => measure(args, "memory".to_owned(), end).await?,
            on_disk => {
                let folder = Folder::make(args)?;
                let address = format!("{}:{}", on_disk.name(), folder.0.join("bench.db").display());
                measure(args, address, end).await?
            }
        };
        all.push(figures);
    }
    if args.json {
        return output::json(&all);
    }
    let rows: Vec<_> = all.iter().map(row).collect();
    output::table(
        &[
            "STORE",
            "SUBMITS/S",
            "RUNS/S",
            "START p50",
            "START p99",
            "END p50",
            "END p99",
        ],
        &rows,
    )?;
    output::say(&format!(
        "{} tasks without work: submitted one by one by {SUBMITTERS} at a time, then run {} at once;\n\
         START and END: from one submit to an idle runner until the task starts, and until its end is recorded, of {SINGLES}",
        args.tasks, args.concurrency,
    ));
    for figures in &all {
        output::say(&format!("{}: {}", figures.store, figures.promise));
    }
    Ok(())
}

/// What the handler of the benchmark knows.
#[derive(Default)]
struct Done {
    count: AtomicUsize,
    wanted: AtomicUsize,
    all: Notify,
    started: Mutex<Option<Duration>>,
}

async fn measure(args: &BenchArgs, address: String, end: &CancellationToken) -> Result<Figures> {
    let done = Arc::new(Done::default());
    let count = usize::try_from(args.tasks).unwrap_or(usize::MAX);
    done.wanted.store(count, Ordering::Relaxed);
    let seen = Arc::clone(&done);
    let work = task("bench").run(move |_: TaskContext, (): ()| {
        *seen.started.lock() = Some(SystemClock.steady().at);
        let so_far = seen.count.fetch_add(1, Ordering::AcqRel) + 1;
        if so_far == seen.wanted.load(Ordering::Acquire) {
            seen.all.notify_one();
        }
        async {}
    });
    let tlo = TloContext::builder()
        .settings(SettingsSource::empty())
        .set("task_state_store", address)
        .set("concurrency", args.concurrency)
        .task(work)
        .build()
        .await?;
    let store = tlo.store().capability();
    let clock = SystemClock;

    let begun = clock.steady().at;
    submit(&tlo, count, end).await?;
    let submitting = clock.steady().at.saturating_sub(begun);

    let runner = Runner::new(tlo.clone());
    let handle = runner.handle();
    let begun = clock.steady().at;
    let mut running = tokio::spawn(runner.run_until(std::future::pending()));
    tokio::select! {
        () = done.all.notified() => {}
        () = end.cancelled() => {}
        // Nobody would run what is left.
        ended = &mut running => return Err(stopped(ended)),
    }
    let draining = clock.steady().at.saturating_sub(begun);

    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..SINGLES {
        if end.is_cancelled() {
            handle.stop_with(StopBehavior::Cancel);
            running.await.map_err(panicked)??;
            return Err(interrupted());
        }
        let begun = clock.steady().at;
        let single = tlo.client().task("bench").submit().await?;
        tokio::select! {
            ended = single.wait() => drop(ended?),
            ended = &mut running => return Err(stopped(ended)),
        }
        ends.push(clock.steady().at.saturating_sub(begun));
        let started = done.started.lock().unwrap_or(begun);
        starts.push(started.saturating_sub(begun));
    }
    handle.stop();
    running.await.map_err(panicked)??;
    starts.sort_unstable();
    ends.sort_unstable();
    Ok(Figures {
        store: store.name.to_string(),
        promise: store.promise.to_string(),
        tasks: args.tasks,
        concurrency: args.concurrency,
        submits_per_second: per_second(args.tasks, submitting),
        runs_per_second: per_second(args.tasks, draining),
        start_p50_ms: percentile(&starts, 50),
        start_p99_ms: percentile(&starts, 99),
        end_p50_ms: percentile(&ends, 50),
        end_p99_ms: percentile(&ends, 99),
    })
}

fn interrupted() -> Error {
    Error::new(ErrorKind::Closed, "bench", "it was interrupted")
}

/// Why the runner ended before the benchmark did.
fn stopped(ended: std::result::Result<Result<()>, JoinError>) -> Error {
    match ended {
        Ok(Ok(())) => Error::new(ErrorKind::Closed, "bench", "the runner stopped too early"),
        Ok(Err(error)) => error,
        Err(panic) => panicked(panic),
    }
}

fn panicked(source: JoinError) -> Error {
    let message = "the runner of the benchmark panicked";
    Error::new(ErrorKind::Internal, "bench", message).with_source(source)
}

/// Submits so many tasks, each by itself, several at a time.
async fn submit(tlo: &TloContext, count: usize, end: &CancellationToken) -> Result<()> {
    let left = Arc::new(AtomicUsize::new(count));
    let submitters: Vec<_> = (0..SUBMITTERS)
        .map(|_| {
            let (client, left, end) = (tlo.client(), Arc::clone(&left), end.clone());
            tokio::spawn(async move {
                let take = || {
                    left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
                        left.checked_sub(1)
                    })
                };
                while !end.is_cancelled() && take().is_ok() {
                    client.task("bench").submit().await?;
                }
                Ok::<(), Error>(())
            })
        })
        .collect();
    for submitter in submitters {
        submitter.await.map_err(|source| {
            Error::new(
                ErrorKind::Internal,
                "bench",
                "a submitter of the benchmark panicked",
            )
            .with_source(source)
        })??;
    }
    Ok(())
}

fn per_second(count: u32, took: Duration) -> u64 {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    u64::from(count).saturating_mul(1_000_000) / micros
}

/// Of sorted durations, in milliseconds.
fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted
        .get(index)
        .map_or(0.0, |at| at.as_secs_f64() * 1_000.0)
}

fn row(figures: &Figures) -> Vec<Cell> {
    let time = |ms: f64| Cell::from(short_duration(Duration::from_secs_f64(ms / 1_000.0)));
    vec![
        Cell::from(&figures.store),
        Cell::from(figures.submits_per_second.to_string()),
        Cell::from(figures.runs_per_second.to_string()),
        time(figures.start_p50_ms),
        time(figures.start_p99_ms),
        time(figures.end_p50_ms),
        time(figures.end_p99_ms),
    ]
}

/// A folder that goes away with the benchmark.
struct Folder(PathBuf);

impl Folder {
    fn make(args: &BenchArgs) -> Result<Self> {
        let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
        let folder = parent.join(format!("tlo-bench-{}", std::process::id()));
        std::fs::create_dir(&folder).map_err(|source| {
            let message = format!("{} cannot be made: {source}", folder.display());
            Error::new(ErrorKind::Unavailable, "bench", message)
                .retryable(false)
                .with_source(source)
        })?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            output::say(&format!(
                "{} could not be removed: {error}",
                self.0.display()
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_is_there() {
        let millis: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert!((percentile(&millis, 50) - 100.0).abs() < 1e-9);
        assert!((percentile(&millis, 99) - 198.0).abs() < 1e-9);
        assert!((percentile(&millis[..1], 99) - 1.0).abs() < 1e-9);
        assert_eq!(per_second(500, Duration::from_millis(250)), 2_000);
    }
}
