//! A program with its own handlers and all commands of `tlo`:
//!
//! ```text
//! own_commands run                                        # until Ctrl-C
//! own_commands submit greet --args '"Ada"' --wait         # from another terminal
//! own_commands list
//! own_commands explain "*/15 9-17 * * 1-5" --zone Europe/Berlin
//! ```
//!
//! Without arguments it shows itself: it runs for two seconds on a store in memory.

use std::ffi::OsString;
use std::process::ExitCode;

use tlo::prelude::*;

#[tokio::main]
async fn main() -> ExitCode {
    let mut tlo = TloContext::builder()
        .task(
            task("tick")
                .every(millis(500))
                .run(|context: TaskContext, _: ()| async move {
                    TaskResult::Ok(format!("tick {}", context.attempt()))
                }),
        )
        .task(
            task("greet").run(|_: TaskContext, name: String| async move {
                if name.is_empty() {
                    return Err(TaskError::fail("nobody to greet"));
                }
                Ok(format!("hello {name}"))
            }),
        );
    let mut args: Vec<OsString> = std::env::args_os().collect();
    if args.len() == 1 {
        args.extend(["run", "--for", "2s"].map(OsString::from));
        tlo = tlo.set("task_state_store", "memory");
    }
    tlo::cli::run(tlo, args).await
}
