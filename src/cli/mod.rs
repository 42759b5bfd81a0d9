//! The commands of the `tlo` binary, and what they read: jobs files and crontabs.
//!
//! [`main`] gives any program the same commands with its own handlers.

mod args;
mod commands;
pub mod crontab;
mod exit;
pub mod jobs;
mod logging;
mod output;
mod program;
pub mod source;

use std::process::ExitCode;

use clap::Parser;

pub use self::args::Cli;
use crate::context::TloContextBuilder;

/// Reads the arguments of this process, runs the command they name with the tasks of this context, and answers with the
/// exit code.
///
/// 0 ok · 1 failure · 2 usage · 3 not found · 4 conflict · 5 store unreachable · 6 waited too long · 7 the awaited task failed
/// · 130 interrupted twice · 143 terminated twice.
///
/// ```no_run
/// use tlo::prelude::*;
///
/// #[tokio::main]
/// async fn main() -> std::process::ExitCode {
///     let greet = task("greet").run(|_: TaskContext, name: String| async move { TaskResult::Ok(format!("hello {name}")) });
///     tlo::cli::main(TloContext::builder().task(greet)).await
/// }
/// ```
pub async fn main(context: TloContextBuilder) -> ExitCode {
    let cli = Cli::parse();
    match commands::run(cli, context).await {
        Ok(code) => code,
        Err(error) => {
            output::error(&error);
            ExitCode::from(exit::code(&error))
        }
    }
}
