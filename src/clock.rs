//! [`Clock`]: the only source of time. Everything that waits or stamps takes it from here, so tests can move it.

use std::fmt::Debug;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::timestamp::Timestamp;

/// The time that passed on a clock that never goes back, and which run of that clock it belongs to.
///
/// Two readings compare only when their `boot` is equal: a machine that restarted began a new run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steady {
    /// Names the run of the clock; a new one starts when the machine boots.
    pub boot: u64,
    /// Time since that run began, suspended time included.
    #[serde(with = "micros")]
    pub at: Duration,
}

impl Steady {
    /// The boot of a clock that does not know it: leases are measured on the wall clock then.
    pub(crate) const NO_BOOT: u64 = 0;
}

/// Wall time, steady time and waiting.
///
/// # Contract
/// - `now` is wall time: it may jump when somebody sets the clock.
/// - `steady` never goes back while the machine is up, and counts the time it was suspended.
/// - `sleep` ends after the duration has passed on the steady clock, or a little later.
#[async_trait]
pub trait Clock: Debug + Send + Sync + 'static {
    /// Wall time.
    fn now(&self) -> Timestamp;
    /// Steady time.
    fn steady(&self) -> Steady;
    /// Waits.
    async fn sleep(&self, duration: Duration);
    /// Whether the boot of [`steady`](Self::steady) is that of the machine, the same in all its processes. Where it is not,
    /// steady times of two processes do not compare, and stores that several processes share measure leases on the wall
    /// clock, with some grace.
    fn knows_boot(&self) -> bool {
        true
    }
    /// Whether it is the clock of this machine, which nobody moves for a test. Stores on a server then go by the server's
    /// time; else they pass on what this clock says.
    fn is_of_the_machine(&self) -> bool {
        false
    }
}

/// The clock of this machine.
///
/// Steady time is the time since boot on Linux, so that processes of one machine agree on it. Elsewhere it is the time
/// since the process began, and each process counts as a boot of its own: see [`knows_boot`](Clock::knows_boot). There
/// `@reboot` means each start of the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl SystemClock {
    /// The clock as the shared trait object that builders take.
    #[must_use]
    pub fn shared() -> Arc<dyn Clock> {
        Arc::new(Self)
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[allow(
            clippy::disallowed_methods,
            reason = "this is the one place that reads wall time"
        )]
        let now = std::time::SystemTime::now();
        match now.duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => Timestamp::UNIX_EPOCH.saturating_add(since),
            Err(before) => Timestamp::UNIX_EPOCH.saturating_sub(before.duration()),
        }
    }

    fn steady(&self) -> Steady {
        Steady {
            boot: boot().0,
            at: since_boot(),
        }
    }

    async fn sleep(&self, duration: Duration) {
        #[allow(
            clippy::disallowed_methods,
            reason = "this is the one place that waits on the real timer"
        )]
        tokio::time::sleep(duration).await;
    }

    fn knows_boot(&self) -> bool {
        boot().1
    }

    fn is_of_the_machine(&self) -> bool {
        true
    }
}

#[cfg(target_os = "linux")]
fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}

#[cfg(not(target_os = "linux"))]
fn since_boot() -> Duration {
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one place that reads monotonic time"
    )]
    let start = START.get_or_init(std::time::Instant::now);
    start.elapsed()
}

/// Names this boot of the machine, and says whether the kernel told it. Without a kernel that tells, each process counts
/// as a boot of its own.
fn boot() -> (u64, bool) {
    static BOOT: OnceLock<(u64, bool)> = OnceLock::new();
    *BOOT.get_or_init(|| {
        let told = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        let is_told = told.is_some();
        let text = told
            .unwrap_or_else(|| format!("{}-{}", std::process::id(), SystemClock.now().as_micros()));
        (crate::id::stable_hash(text.trim().as_bytes()), is_told)
    })
}

mod micros {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        at: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(at.as_micros()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_micros)
    }
}
