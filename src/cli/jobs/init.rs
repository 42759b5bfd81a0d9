//! The file that `tlo init` writes.

/// A jobs file with every key explained; it runs as it is.
pub const INIT: &str = include_str!("init.toml");
