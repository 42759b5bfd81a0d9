//! What every figure needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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

/// The figure that this share of them does not exceed.
pub fn at(figures: &mut [f64], share: f64) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[((figures.len() - 1) as f64 * share) as usize]
}

/// The most memory that this process ever had, in MiB.
pub fn most_memory() -> f64 {
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    usage.ru_maxrss as f64 / 1024.0
}

/// The most memory of its own that this process had while this was there, in MiB: without the pages of files that it maps,
/// which the kernel takes back when it needs them. Looked at 20 times a second.
pub struct OwnMemory {
    most: Arc<AtomicU64>,
    goes_on: Arc<AtomicBool>,
}

impl OwnMemory {
    pub fn watch() -> Self {
        let (most, goes_on) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(true)));
        let (seen, going) = (Arc::clone(&most), Arc::clone(&goes_on));
        std::thread::spawn(move || {
            while going.load(Ordering::Relaxed) {
                seen.fetch_max(Self::kib(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        Self { most, goes_on }
    }

    fn kib() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        kib.expect("the kernel tells")
    }

    pub fn most(&self) -> f64 {
        self.most.load(Ordering::Relaxed).max(Self::kib()) as f64 / 1024.0
    }
}

impl Drop for OwnMemory {
    fn drop(&mut self) {
        self.goes_on.store(false, Ordering::Relaxed);
    }
}

/// The memory of this process now, in MiB.
pub fn resident() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|line| line.split(' ').nth(1)?.parse::<f64>().ok());
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages.map_or(f64::NAN, |pages| pages * size as f64 / f64::from(1 << 20))
}
