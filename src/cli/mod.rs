//! The commands of the `tlo` binary, and what they read: jobs files and crontabs.

pub mod crontab;
pub mod jobs;
pub mod source;
