//! The attribute macros of `tlo`. They only generate builder calls.

mod generate;
mod options;

use proc_macro::TokenStream;

/// Turns a function into a task: `#[tlo::task(every = "5s")]`.
///
/// The function stays as it is, callable from tests. Beside it, under the same name, is a type with one function:
/// `greet::task()` gives the `Task`, for explicit registration (`.task(greet::task())`) wherever the function can be
/// imported. `tlo::handler::collected()` gives all of them at once.
///
/// ```ignore
/// /// Says hello.
/// #[tlo::task(cron = "0 8 * * 1-5", zone = "Europe/Berlin", max_attempts = 3)]
/// async fn greet(context: TaskContext, name: String) -> TaskResult<String> {
///     Ok(format!("hello {name}"))
/// }
/// ```
///
/// Options, each a method of `TaskBuilder`:
/// - when: `every`, `cron`, `quartz`, `at`, `after`, `schedule` (at most one), `zone`, `dst`;
/// - slots: `misfire` (`"skip"`, `"once"` or a `Misfire`), `grace`, `overlap` (`"skip"`, `"queue"`, `"allow"`, `"replace"`
///   or an `Overlap`), `jitter`, `max_runs`, `run_at_start`;
/// - how: `queue`, `priority`, `max_attempts`, `max_lost`, `retry`, `timeout`, `lease`, `exclusive`, `limit`,
///   `gate("user/{id}", 2)`, `args`, `layer`;
/// - what: `name` (the function's unless given), `version`, `alias`, `tag`, `description` (the function's documentation
///   unless given), `metadata("key", value)`;
/// - `collect = false` leaves it out of `collected()`.
///
/// `alias`, `tag`, `gate`, `layer`, `exclusive` and `metadata` may be given several times.
#[proc_macro_attribute]
pub fn task(options: TokenStream, item: TokenStream) -> TokenStream {
    generate::task(options.into(), &item.into()).into()
}
