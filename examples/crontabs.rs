//! A crontab in a program of one's own: its mistakes, what its lines mean, and its commands run beside other tasks.
#![allow(clippy::print_stdout, reason = "examples talk")]

use std::path::Path;
use std::process::ExitCode;

use tlo::cli::crontab::{Crontab, CrontabKind, LocalZone};
use tlo::cli::source::Source;
use tlo::prelude::*;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/crontab");

fn explain() -> tlo::Result<()> {
    let zone = LocalZone::of_this_machine()?;
    let crontab = Crontab::read(Path::new(FILE), Some(CrontabKind::Own), &zone)?;
    println!("{}", crontab.summary());
    for entry in &crontab.entries {
        println!(
            "line {}: {} ({}): {}",
            entry.line,
            entry.schedule.describe(),
            entry.zone,
            entry.command
        );
    }
    for note in &crontab.mistakes {
        println!("{note}");
    }
    assert_eq!(crontab.entries.len(), 4);

    // What cron would refuse is told with line, place and way out.
    let wrong = Source::new("wrong", "0 3 * * *  backup\n61 * * * *  oops\n");
    let wrong = Crontab::parse(&wrong, CrontabKind::Own, &zone);
    println!("{}", wrong.mistakes);
    assert!(wrong.mistakes.has_errors());
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    if let Err(error) = explain() {
        println!("{error}");
        return ExitCode::FAILURE;
    }
    // The same as `tlo run --crontab examples/crontab`, with a task of this program beside it: `@reboot` runs at once.
    let own = task("own")
        .every(millis(500))
        .run(|_: TaskContext, _: ()| async {});
    let tlo = TloContext::builder()
        .task(own)
        .set("task_state_store", "memory");
    tlo::cli::run(tlo, ["crontabs", "run", "--crontab", FILE, "--for", "2s"]).await
}
