//! Our slots against two independent implementations: `croner`, and Python's `croniter` through `scripts/cron-oracle`.
//!
//! Left out of the comparison are only wall times that a clock change removes or repeats, and the instant at which a gap
//! ends: there the three follow different rules, and `schedule_dst.rs` has the hand-checked tables. Everything else, the
//! rest of those days included, must be equal.
//!
//! `TLO_PROOF=full` compares five years with up to 2,000 slots for each expression and zone; otherwise up to 100 slots
//! from a random day of those years. `TLO_SEED` repeats a run.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(
    clippy::print_stdout,
    reason = "counts and seeds are part of the result"
)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use jiff::tz::{AmbiguousOffset, TimeZone};
use tlo::Timestamp;
use tlo::schedule::Schedule;

const ZONES: [&str; 12] = [
    "Europe/Berlin",
    "America/New_York",
    "Europe/Dublin",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Pacific/Apia",
    "Asia/Kathmandu",
    "Antarctica/Troll",
    "America/St_Johns",
    "UTC",
];

/// Expressions that all three read alike.
const COMMON: [&str; 34] = [
    "* * * * *",
    "*/5 * * * *",
    "7 * * * *",
    "0,20,40 * * * *",
    "10-20/5 * * * *",
    "30 2 * * *",
    "30 1 * * *",
    "0 0 * * *",
    "0 3,15 * * *",
    "*/15 9-17 * * *",
    "*/15 9-17 * * 1-5",
    "0 */2 * * *",
    "0 1-23/3 * * *",
    "5 4 * * 0",
    "5 4 * * 7",
    "5 4 * * SUN",
    "0 9 * * MON-FRI",
    "0 9 * * MON,WED,FRI",
    "0 12 1 * *",
    "0 12 1,15 * *",
    "0 12 31 * *",
    "0 12 28-31 * *",
    "0 12 13 * 5",
    "0 12 1-7 * 1",
    "30 6 1,15 * 3",
    "0 0 1 1 *",
    "0 0 29 2 *",
    "0 0 1 */3 *",
    "0 0 1 JAN,JUL *",
    "59 23 31 12 *",
    "15 14 1 * *",
    "0 22 * * 1-5",
    "23 0-20/2 * * *",
    "0 0 L * *",
];

/// What only `croner` reads as we do.
const CRONER_ONLY: [&str; 10] = [
    "*/10 * * * * *",
    "15 30 2 * * *",
    "0 0 15W * *",
    "0 0 LW * *",
    "0 0 1W * *",
    "0 9 * * 5#2",
    "0 9 * * 1#1",
    "0 9 * * 5L",
    "0 30 8 * * 1-5 2026-2028",
    "0 0 0 1 1 * 2027",
];

/// What only `croniter` reads as we do: a day field that begins with `*` restricts nothing.
const CRONITER_ONLY: [&str; 5] = [
    "0 0 */2 * 1",
    "0 0 */5 * 1-5",
    "0 0 1-7 * */2",
    "0 12 13 * */3",
    "0 9 * * 5#2",
];

struct Plan {
    slots: usize,
    full: bool,
    random: fastrand::Rng,
}

impl Plan {
    fn new(name: &str) -> Self {
        let full = std::env::var("TLO_PROOF").is_ok_and(|value| value == "full");
        let seed = std::env::var("TLO_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok())
            .unwrap_or_else(|| fastrand::u64(..));
        println!(
            "{name}: TLO_PROOF={}, TLO_SEED={seed}",
            if full { "full" } else { "part" }
        );
        Self {
            slots: if full { 2_000 } else { 100 },
            full,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// Where to begin: 2024, or a random minute of the five years from there.
    fn start(&mut self) -> Timestamp {
        let first: Timestamp = "2024-01-01T00:00:00Z".parse().unwrap();
        let minutes = if self.full {
            0
        } else {
            self.random.u64(0..5 * 365 * 1_440)
        };
        first.saturating_add(std::time::Duration::from_secs(minutes * 60))
    }
}

fn end() -> Timestamp {
    "2029-01-01T00:00:00Z".parse().unwrap()
}

/// Whether a clock change touches this wall time: it comes twice, or a gap ends there.
fn at_change(slot: jiff::Timestamp, zone: &TimeZone) -> bool {
    let wall = zone.to_datetime(slot);
    let before = jiff::Timestamp::from_microsecond(slot.as_microsecond() - 1).unwrap();
    zone.to_offset(before) != zone.to_offset(slot)
        || matches!(
            zone.to_ambiguous_timestamp(wall).offset(),
            AmbiguousOffset::Fold { .. }
        )
}

fn ours(expression: &str, zone: &str, from: Timestamp, count: usize) -> Vec<jiff::Timestamp> {
    let schedule = Schedule::cron_in(expression, zone).unwrap();
    let mut last = from;
    let mut slots = Vec::new();
    while slots.len() < count
        && let Some(slot) = schedule.next(from, last)
        && slot < end()
    {
        slots.push(jiff::Timestamp::from_microsecond(slot.as_micros()).unwrap());
        last = slot;
    }
    slots
}

#[test]
fn slots_agree_with_croner() {
    let mut plan = Plan::new("croner");
    let parser = croner::parser::CronParser::builder()
        .seconds(croner::parser::Seconds::Optional)
        .build();
    let (mut compared, mut left_out) = (0_usize, 0_usize);
    for expression in COMMON.iter().chain(&CRONER_ONLY) {
        let cron = parser.parse(expression).unwrap();
        for name in ZONES {
            let zone = TimeZone::get(name).unwrap();
            let from = plan.start();
            let ours = ours(expression, name, from, plan.slots);
            let from = jiff::Timestamp::from_microsecond(from.as_micros()).unwrap();
            let last = match ours.last() {
                Some(last) if ours.len() == plan.slots => *last,
                _ => jiff::Timestamp::from_microsecond(end().as_micros() - 1).unwrap(),
            };
            let mut theirs = Vec::new();
            let mut at = from.to_zoned(zone.clone());
            while let Ok(next) = cron.find_next_occurrence(&at, false) {
                if next.timestamp() > last {
                    break;
                }
                theirs.push(next.timestamp());
                at = next;
            }
            let kept = |slots: &[jiff::Timestamp]| -> Vec<jiff::Timestamp> {
                slots
                    .iter()
                    .copied()
                    .filter(|slot| !at_change(*slot, &zone))
                    .collect()
            };
            let (mine, other) = (kept(&ours), kept(&theirs));
            if let Some(place) =
                (0..mine.len().max(other.len())).find(|i| mine.get(*i) != other.get(*i))
            {
                panic!(
                    "\"{expression}\" in {name} from {from}: slot {place} is {:?}, croner says {:?}",
                    mine.get(place),
                    other.get(place)
                );
            }
            compared += mine.len();
            left_out += ours.len() - mine.len();
        }
    }
    println!("croner: {compared} slots equal, {left_out} left out at clock changes");
    assert!(compared > 10_000, "only {compared} slots were compared");
}

#[test]
fn slots_agree_with_croniter() {
    let mut plan = Plan::new("croniter");
    let mut input = String::new();
    let mut slots = 0;
    for expression in COMMON.iter().chain(&CRONITER_ONLY) {
        for zone in ZONES {
            let from = plan.start();
            let ours = ours(expression, zone, from, plan.slots);
            let until = match ours.last() {
                Some(last) if ours.len() == plan.slots => last.as_second(),
                _ => end().as_micros() / 1_000_000 - 1,
            };
            write!(
                input,
                "{expression}\t{zone}\t{}\t{until}\t",
                from.as_micros() / 1_000_000
            )
            .unwrap();
            let seconds: Vec<String> = ours
                .iter()
                .map(|slot| slot.as_second().to_string())
                .collect();
            writeln!(input, "{}", seconds.join(" ")).unwrap();
            slots += ours.len();
        }
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/cron-oracle");
    let mut oracle = Command::new(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A script that ends before it has read everything says why in its answer.
    let sent = oracle.stdin.take().unwrap().write_all(input.as_bytes());
    let answer = oracle.wait_with_output().unwrap();
    let (said, complained) = (
        String::from_utf8_lossy(&answer.stdout),
        String::from_utf8_lossy(&answer.stderr),
    );
    println!("{slots} slots sent; {said}");
    // The script answers 3 when Python or croniter cannot be had; the full proof does not accept that.
    if answer.status.code() == Some(3) && !plan.full {
        println!("croniter is not available here, nothing was compared: {complained}");
        return;
    }
    sent.unwrap();
    assert!(answer.status.success(), "{said}{complained}");
    assert!(said.contains("slots equal"), "{said}{complained}");
}
