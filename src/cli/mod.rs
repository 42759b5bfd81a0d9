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

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

pub use self::args::Cli;
use crate::context::TloContextBuilder;

/// The program, when nothing says what it is called.
const NAME: &str = "tlo";

/// Reads the arguments of this process, runs the command they name with the tasks of this context, and answers with the
/// exit code.
///
/// Tasks of a jobs file and of crontabs are added to those of the context. Unless the settings say otherwise, tasks live
/// in a SQLite file: `tlo.db` beside the jobs file, else in the user's state directory.
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
    run(context, std::env::args_os()).await
}

/// As [`main`], with these arguments; the first is the name of the program.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use tlo::prelude::*;
/// let code = tlo::cli::run(TloContext::builder(), ["mine", "explain", "@daily", "--count", "1"]).await;
/// assert_eq!(format!("{code:?}"), format!("{:?}", std::process::ExitCode::SUCCESS));
/// # }
/// ```
pub async fn run<A: Into<OsString>>(
    context: TloContextBuilder,
    args: impl IntoIterator<Item = A>,
) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    output::heed_wishes(&args);
    let program = args.first().map_or(Path::new(NAME), Path::new).file_name();
    let program = program
        .map_or_else(|| NAME.into(), OsStr::to_string_lossy)
        .into_owned();
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(usage) => {
            // When nobody listens any more there is nothing to say.
            let _ = usage.print();
            return ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(2));
        }
    };
    match commands::run(cli, context, &program).await {
        Ok(code) => code,
        Err(error) => {
            output::error(&error);
            ExitCode::from(exit::code(&error))
        }
    }
}
