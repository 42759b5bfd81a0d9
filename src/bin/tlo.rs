//! The `tlo` binary: the commands of the library, with the tasks of jobs files and crontabs.

use std::process::ExitCode;

use tlo::TloContext;

#[tokio::main]
async fn main() -> ExitCode {
    tlo::cli::main(TloContext::builder()).await
}
