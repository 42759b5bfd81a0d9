//! [`Fault`]: what goes wrong with which call of a store. [`Weather`]: what goes wrong by chance.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

/// Which calls of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// All.
    Any,
    /// Those that tasks and leases are changed with: `commit` and `claim`.
    Write,
    /// Those that only read.
    Read,
    /// `commit`.
    Commit,
    /// `claim`.
    Claim,
    /// `get`.
    Get,
    /// `list`.
    List,
    /// `count`.
    Count,
    /// `events`.
    Events,
    /// `marks`.
    Marks,
    /// `holdings`.
    Holdings,
    /// `maintain`.
    Maintain,
    /// `check`.
    Check,
}

impl Verb {
    /// Whether a call of `verb` is one of these.
    pub(super) fn covers(self, verb: Self) -> bool {
        match self {
            Self::Any => true,
            Self::Write => matches!(verb, Self::Commit | Self::Claim),
            Self::Read => verb.is_read(),
            one => one == verb,
        }
    }

    pub(super) fn is_read(self) -> bool {
        !matches!(self, Self::Commit | Self::Claim | Self::Maintain)
    }
}

/// A fault for a [`ProbeStore`](super::ProbeStore): the n-th call of a verb fails, is slow or hangs, before the store has
/// done it or after.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> tlo::Result<()> {
/// use tlo::prelude::*;
/// use tlo::TaskId;
/// use tlo::testing::{Fault, Verb};
///
/// let mut tlo = TloContext::for_test()
///     .task(task("mail").run(|_: TaskContext, _: ()| async {}))
///     .start()
///     .await?;
/// // The submit is written, and its answer is lost: the caller cannot know.
/// tlo.store().plan(Fault::fail(Verb::Commit).after_effect());
/// // The claim after next takes three seconds to reach the store.
/// tlo.store().plan(Fault::delay(Verb::Claim, secs(3)).call(2));
/// let id = TaskId::new("mail-17")?;
/// assert!(tlo.client().task("mail").id(id.clone()).submit().await.unwrap_err().is_retryable());
/// // So it sends the same id again, and there is one task.
/// assert!(!tlo.client().task("mail").id(id).submit().await?.is_new());
/// tlo.advance(secs(60)).await?;
/// assert_eq!(tlo.started("mail"), 1);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it happens when a store is told to plan it"]
pub struct Fault {
    verb: Verb,
    /// Calls of that verb before it begins.
    before: u64,
    times: u64,
    after_effect: bool,
    what: Trouble,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    Fail,
    Delay(Duration),
    Hang,
}

impl Fault {
    const fn new(verb: Verb, what: Trouble) -> Self {
        Self {
            verb,
            before: 0,
            times: 1,
            after_effect: false,
            what,
        }
    }

    /// The call fails as `Unavailable`, which may be tried again.
    pub const fn fail(verb: Verb) -> Self {
        Self::new(verb, Trouble::Fail)
    }

    /// The call takes this much longer, on the clock of the probe. A harness moves its clock for its own calls; what a test
    /// calls itself needs somebody who moves it.
    pub const fn delay(verb: Verb, by: Duration) -> Self {
        Self::new(verb, Trouble::Delay(by))
    }

    /// The call is dropped on its way: nobody ever answers. A harness whose own call hangs waits for ever; give it to a
    /// handler or to a client of the test.
    pub const fn hang(verb: Verb) -> Self {
        Self::new(verb, Trouble::Hang)
    }

    /// Which call of the verb, counted from when the fault is planned; 1, the next one, unless given.
    pub const fn call(mut self, number: u64) -> Self {
        self.before = number.saturating_sub(1);
        self
    }

    /// So many calls in a row; 1 unless given.
    pub const fn times(mut self, calls: u64) -> Self {
        self.times = calls;
        self
    }

    /// When the store has done what it was asked, on the way back: the caller cannot know. Without it the fault comes first,
    /// and what fails or hangs is not done at all.
    pub const fn after_effect(mut self) -> Self {
        self.after_effect = true;
        self
    }
}

/// What happens to calls by chance: how often of all calls, from 0.0 to 1.0, and how long what is slow takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weather {
    /// Calls that fail before they reach the store.
    pub fail: f64,
    /// Calls that are done and whose answers are lost.
    pub lose: f64,
    /// Calls that are slow, on the way to the store or back.
    pub slow: f64,
    /// The longest that a slow call takes on one way.
    pub longest: Duration,
}

/// What was planned and what chance does.
#[derive(Debug, Default)]
pub(super) struct Faults {
    planned: Vec<Fault>,
    weather: Option<(Weather, fastrand::Rng)>,
    /// All calls fail.
    pub(super) away: bool,
}

/// What happens to one call.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    pub(super) before: Vec<Trouble>,
    pub(super) after: Vec<Trouble>,
}

impl Faults {
    pub(super) fn plan(&mut self, fault: Fault) {
        if fault.times > 0 {
            self.planned.push(fault);
        }
    }

    /// As `plan`, instead of what was planned before of the same sort.
    pub(super) fn plan_instead(&mut self, fault: Fault) {
        self.planned.retain(|other| {
            (other.verb, other.what, other.after_effect)
                != (fault.verb, fault.what, fault.after_effect)
        });
        self.plan(fault);
    }

    pub(super) fn set_weather(&mut self, weather: Option<(Weather, u64)>) {
        self.weather = weather.map(|(weather, seed)| (weather, fastrand::Rng::with_seed(seed)));
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// What happens to the call that begins now.
    pub(super) fn meet(&mut self, verb: Verb) -> Troubles {
        let mut met = Troubles::default();
        if self.away {
            met.before.push(Trouble::Fail);
        }
        for fault in &mut self.planned {
            if !fault.verb.covers(verb) {
                continue;
            }
            if fault.before > 0 {
                fault.before -= 1;
                continue;
            }
            fault.times = fault.times.saturating_sub(1);
            let side = if fault.after_effect {
                &mut met.after
            } else {
                &mut met.before
            };
            side.push(fault.what);
        }
        self.planned.retain(|fault| fault.times > 0);
        if let Some((weather, random)) = &mut self.weather {
            let slow = |random: &mut fastrand::Rng| {
                let longest = u64::try_from(weather.longest.as_micros()).unwrap_or(u64::MAX);
                (random.f64() < weather.slow)
                    .then(|| Trouble::Delay(Duration::from_micros(random.u64(0..=longest))))
            };
            met.before.extend(slow(random));
            met.after.extend(slow(random));
            if random.f64() < weather.fail {
                met.before.push(Trouble::Fail);
            }
            if random.f64() < weather.lose {
                met.after.push(Trouble::Fail);
            }
        }
        met
    }
}

/// The error of a call that failed because a test wanted it.
pub(super) fn unavailable(why: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, "probe store", why).retryable(true)
}

/// A call that hangs.
pub(super) async fn never<T>() -> Result<T> {
    std::future::pending().await
}
