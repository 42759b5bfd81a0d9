//! What schedules are tried with.

#[path = "../counted/mod.rs"]
mod counted;

pub(crate) use counted::check;
use proptest::prelude::*;
use tlo::Timestamp;
use tlo::schedule::Dst;

const POLICIES: [Dst; 6] = [
    Dst::Vixie,
    Dst::First,
    Dst::Second,
    Dst::Both,
    Dst::Real,
    Dst::Skip,
];

pub(crate) fn policy() -> impl Strategy<Value = Dst> {
    proptest::sample::select(&POLICIES[..])
}

pub(crate) fn instant(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}
