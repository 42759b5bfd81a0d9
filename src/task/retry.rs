//! How long to wait before the next attempt.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::schedule::duration_text;

/// The back-off between attempts: `base × factorⁿ`, at most `cap`, plus up to `jitter` of it.
///
/// The default is 1 s × 8ⁿ with a cap of ten minutes and 10 % jitter: five attempts span about ten minutes, so a
/// database that fails over does not use up the budget of a whole queue.
///
/// ```
/// use std::time::Duration;
/// use tlo::RetryPolicy;
/// let policy = RetryPolicy { base: Duration::from_secs(2), factor: 2.0, cap: Duration::from_secs(60), ..RetryPolicy::default() };
/// let delays: Vec<_> = (1..=6).map(|failed| policy.delay(failed, 0.0).as_secs()).collect();
/// assert_eq!(delays, [2, 4, 8, 16, 32, 60]);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// The wait after the first failed attempt.
    #[serde(with = "duration_text")]
    pub base: Duration,
    /// What each further wait is multiplied by; at least 1.
    pub factor: f64,
    /// The longest wait.
    #[serde(with = "duration_text")]
    pub cap: Duration,
    /// The part of the wait that chance may add, 0 to 1.
    pub jitter: f64,
    /// When not empty, these waits in seconds are used instead, the last one again and again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub delays: Vec<f64>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(1),
            factor: 8.0,
            cap: Duration::from_secs(600),
            jitter: 0.1,
            delays: Vec::new(),
        }
    }
}

impl RetryPolicy {
    /// The same wait each time, without jitter.
    #[must_use]
    pub fn fixed(wait: Duration) -> Self {
        Self {
            base: wait,
            factor: 1.0,
            cap: wait,
            jitter: 0.0,
            delays: Vec::new(),
        }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// `Invalid`, naming the field and its value.
    pub fn check(&self) -> Result<()> {
        let bad = |what: &str, value: f64, want: &str| {
            Err(Error::invalid(
                "retry policy",
                format!("retry {what} is {value}; it must be {want}"),
            ))
        };
        if !self.factor.is_finite() || self.factor < 1.0 {
            return bad("factor", self.factor, "a number of at least 1");
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return bad("jitter", self.jitter, "between 0 and 1");
        }
        match self
            .delays
            .iter()
            .find(|delay| Duration::try_from_secs_f64(**delay).is_err())
        {
            Some(delay) => bad("delay", *delay, "a number of seconds of at least 0"),
            None => Ok(()),
        }
    }

    /// The wait after `failed` attempts (1 for the first), with a chance of `unit` in `0.0..1.0`. Never above
    /// [`cap`](Self::cap) plus its jitter, and never overflowing.
    #[must_use]
    pub fn delay(&self, failed: u32, unit: f64) -> Duration {
        let plain = match self.delays.last() {
            Some(last) => {
                let index = usize::try_from(failed.saturating_sub(1)).unwrap_or(usize::MAX);
                *self.delays.get(index).unwrap_or(last)
            }
            // Nothing times a factor that has grown beyond all numbers is no number.
            None if self.base.is_zero() => 0.0,
            None => {
                let power = i32::try_from(failed.saturating_sub(1)).unwrap_or(i32::MAX);
                (self.base.as_secs_f64() * self.factor.powi(power)).min(self.cap.as_secs_f64())
            }
        };
        let wait = plain * (1.0 + self.jitter * unit);
        Duration::try_from_secs_f64(wait).unwrap_or(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn delays_never_overflow_and_stay_below_the_cap(failed in any::<u32>(), unit in 0.0..1.0_f64, base in 0_u64..1 << 40) {
            let policy = RetryPolicy { base: Duration::from_micros(base), ..RetryPolicy::default() };
            prop_assert!(policy.delay(failed, unit) <= Duration::from_secs(660));
        }
    }

    #[test]
    fn the_default_spans_about_ten_minutes() {
        let policy = RetryPolicy::default();
        let total: Duration = (1..=4).map(|failed| policy.delay(failed, 0.0)).sum();
        assert_eq!(total.as_secs(), 1 + 8 + 64 + 512);
        assert_eq!(policy.delay(5, 0.0).as_secs(), 600);
    }

    #[test]
    fn no_wait_stays_no_wait() {
        let policy = RetryPolicy {
            base: Duration::ZERO,
            ..RetryPolicy::default()
        };
        for failed in [1, 2, 341, 342, 343, u32::MAX] {
            assert_eq!(policy.delay(failed, 0.5), Duration::ZERO, "{failed}");
        }
    }

    #[test]
    fn explicit_delays_repeat_the_last() {
        let policy = RetryPolicy {
            delays: vec![1.0, 1.0, 2.0],
            jitter: 0.0,
            ..RetryPolicy::default()
        };
        assert_eq!(
            (1..=5)
                .map(|n| policy.delay(n, 0.9).as_secs())
                .collect::<Vec<_>>(),
            [1, 1, 2, 2, 2]
        );
    }

    #[test]
    fn bad_numbers_are_named() {
        let policy = RetryPolicy {
            factor: 0.5,
            ..RetryPolicy::default()
        };
        assert!(
            policy
                .check()
                .unwrap_err()
                .to_string()
                .contains("factor is 0.5")
        );
        assert!(
            RetryPolicy {
                factor: f64::NAN,
                ..RetryPolicy::default()
            }
            .check()
            .is_err()
        );
        assert!(
            RetryPolicy {
                delays: vec![-1.0],
                ..RetryPolicy::default()
            }
            .check()
            .is_err()
        );
    }
}
