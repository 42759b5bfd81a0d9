//! What every figure needs.

use std::time::Duration;

use tlo::settings::SettingsSource;
use tlo::{TloContext, TloContextBuilder};

/// A program that takes nothing from this machine: neither a tlo.toml nor variables, those of scripts/bench among them.
pub fn program() -> TloContextBuilder {
    TloContext::builder().settings(SettingsSource::empty())
}

/// User and system time of this process so far.
pub fn cpu() -> Duration {
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    let of = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    of(usage.ru_utime) + of(usage.ru_stime)
}

/// A JSON payload of about 100 bytes.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Email {
    pub number: u64,
    pub to: String,
    pub text: String,
}

pub fn email(number: u64) -> Email {
    Email {
        number,
        to: "ada@example.org".to_owned(),
        text: "thank you for your order, it is on its way".to_owned(),
    }
}
