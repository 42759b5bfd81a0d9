//! Handlers that come with the library.

#[cfg(all(unix, feature = "command"))]
mod command;

#[cfg(all(unix, feature = "command"))]
pub use self::command::{CommandHandler, RunAs, Stdin};
