//! Which steps come by chance, and how often.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use tlo::TaskStatus;
use tlo::store::CountBy;
use tlo::task::{OnConflict, UniqueScope};

use crate::step::{
    Act, Changes, Claim, End, Extra, Filter, GATES, NAMES, New, Owner, Pick, Piece, QUEUES, Rule,
    Shows, Sort, Step, Steps, WORKERS, When,
};

fn pick(sort: Sort) -> impl Strategy<Value = Pick> {
    any::<u8>().prop_map(move |n| Pick(sort, n))
}

/// Mostly of this sort.
fn mostly(sort: Sort) -> impl Strategy<Value = Pick> {
    prop_oneof![
        12 => pick(sort),
        2 => pick(Sort::Any),
        1 => pick(Sort::Unknown),
    ]
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        4 => Just(When::Now),
        1 => (-20..20_i64).prop_map(When::At),
        2 => (0..30_u64).prop_map(When::In),
    ]
}

fn scope() -> impl Strategy<Value = UniqueScope> {
    prop_oneof![
        2 => Just(UniqueScope::WhileQueued),
        3 => Just(UniqueScope::WhileUnfinished),
        2 => (1..40_u64).prop_map(|s| UniqueScope::For(Duration::from_secs(s))),
        1 => Just(UniqueScope::Forever),
    ]
}

fn conflict() -> impl Strategy<Value = OnConflict> {
    prop_oneof![
        3 => Just(OnConflict::Existing),
        1 => Just(OnConflict::Fail),
        2 => Just(OnConflict::Replace),
        1 => (0..20_u64).prop_map(|s| OnConflict::Debounce(Duration::from_secs(s))),
    ]
}

fn gates() -> impl Strategy<Value = Vec<(u8, u32)>> {
    prop_oneof![
        3 => Just(Vec::new()),
        4 => (0..GATES, 1..3_u32).prop_map(|gate| vec![gate]),
        // That of a queue or a name, which it may have by itself as well.
        1 => (GATES..GATES + QUEUES + NAMES, 1..3_u32).prop_map(|gate| vec![gate]),
        1 => (1..3_u32, 1..3_u32).prop_map(|(a, b)| vec![(0, a), (1, b)]),
        1 => (1..3_u32, 1..3_u32).prop_map(|(a, b)| vec![(1, a), (0, b)]),
    ]
}

fn rarely<T: Clone + std::fmt::Debug>(
    some: impl Strategy<Value = T>,
) -> impl Strategy<Value = Option<T>> {
    proptest::option::weighted(0.2, some)
}

fn new() -> impl Strategy<Value = New> {
    let place = (
        0..NAMES,
        rarely(0..2_u8),
        0..QUEUES,
        select(vec![1, 5, 5, 9]),
    );
    let times = (when(), proptest::option::weighted(0.1, when()));
    let key = (
        proptest::option::weighted(0.35, (0..3_u8, scope())),
        conflict(),
    );
    let counts = (1..4_u32, 0..3_u32);
    let words = (
        rarely(0..2_u8),
        rarely(0..2_u8),
        rarely(pick(Sort::Any)),
        rarely(0..WORKERS),
    );
    let again = proptest::option::weighted(0.04, pick(Sort::Any));
    (place, times, key, gates(), counts, words, again).prop_map(
        |(place, times, key, gates, attempts, words, again)| New {
            again,
            name: place.0,
            version: place.1,
            queue: place.2,
            priority: place.3,
            due: times.0,
            expires: times.1,
            unique: key.0,
            on_conflict: key.1,
            gates,
            attempts,
            tag: words.0,
            schedule: words.1,
            parent: words.2,
            lease_to: words.3,
        },
    )
}

fn shows() -> impl Strategy<Value = Shows> {
    prop_oneof![
        16 => Just(Shows::Lease),
        2 => Just(Shows::OldLease),
        1 => Just(Shows::Forged),
        2 => Just(Shows::Ended),
        1 => Just(Shows::EndedOther),
        1 => Just(Shows::Nothing),
    ]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        6 => Just(End::Success),
        4 => Just(End::Retry),
        1 => (0..9_u64).prop_map(End::RetryAfter),
        1 => Just(End::Fail),
        1 => Just(End::Cancel),
        3 => (0..30_u64).prop_map(End::Snooze),
        1 => (-9..30_i64).prop_map(End::SnoozeUntil),
        1 => Just(End::Panic),
        1 => Just(End::TimedOut),
        1 => Just(End::Undecodable),
        1 => Just(End::Unserializable),
        1 => Just(End::Aborted),
        2 => Just(End::Released),
        1 => Just(End::Lost),
        1 => (0..9_u64).prop_map(End::Turn),
        1 => Just(End::Senseless),
    ]
}

fn changes() -> impl Strategy<Value = Changes> {
    let due = proptest::option::weighted(0.4, when());
    let prefer = rarely(proptest::option::of((0..WORKERS, -2..5_i64)));
    let payloads = (any::<bool>(), any::<bool>(), any::<bool>());
    let priority = rarely(select(vec![1, 5, 9]));
    (
        due,
        proptest::option::weighted(0.35, 0..QUEUES),
        priority,
        payloads,
        rarely(any::<bool>()),
        prefer,
    )
        .prop_map(
            |(due, queue, priority, (args, progress, state), phase, prefer)| Changes {
                due,
                queue,
                priority,
                // Args are for what waits; most patches of what runs leave them alone.
                args: args && priority.is_some(),
                progress,
                state,
                phase,
                prefer,
            },
        )
}

fn rule() -> impl Strategy<Value = Rule> {
    let gate = prop_oneof![
        3 => 0..GATES,
        2 => GATES..GATES + QUEUES,
        1 => GATES + QUEUES..GATES + QUEUES + NAMES,
    ];
    let rate = (1..3_u32, 1..20_u64, rarely(1..3_u32));
    let depth = proptest::option::weighted(0.3, 0..3_u64);
    let max = proptest::option::weighted(0.5, 0..4_u32);
    (
        gate,
        max,
        proptest::option::weighted(0.35, rate),
        proptest::bool::weighted(0.2),
        depth,
        rarely(1..40_u64),
        proptest::bool::weighted(0.04),
    )
        .prop_map(|(gate, max, rate, paused, max_depth, ttl, nonsense)| Rule {
            gate,
            max,
            rate,
            paused,
            max_depth,
            ttl,
            nonsense,
        })
}

fn owner() -> impl Strategy<Value = Owner> {
    prop_oneof![
        3 => pick(Sort::Any).prop_map(Owner::Task),
        1 => Just(Owner::Sys),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let all_rules = 0..GATES + QUEUES + NAMES;
    prop_oneof![
        24 => new().prop_map(|new| Act::Create(Box::new(new))),
        24 => (mostly(Sort::Running), shows(), end()).prop_map(|(p, s, e)| Act::Settle(p, s, e)),
        4 => (mostly(Sort::Running), shows(), 1..60_u64).prop_map(|(p, s, t)| Act::Extend(p, s, t)),
        3 => (mostly(Sort::Pending), changes()).prop_map(|(p, c)| Act::Patch(p, Shows::Nothing, c)),
        1 => (mostly(Sort::Parked), changes()).prop_map(|(p, c)| Act::Patch(p, Shows::Nothing, c)),
        2 => (mostly(Sort::Running), shows(), changes()).prop_map(|(p, s, c)| Act::Patch(p, s, c)),
        2 => mostly(Sort::Pending).prop_map(Act::Cancel),
        1 => mostly(Sort::Parked).prop_map(Act::Cancel),
        2 => mostly(Sort::Running).prop_map(Act::Cancel),
        4 => (mostly(Sort::Ended), when()).prop_map(|(p, w)| Act::Revive(p, w)),
        2 => mostly(Sort::Pending).prop_map(Act::Wake),
        1 => mostly(Sort::Running).prop_map(Act::Wake),
        1 => mostly(Sort::Pending).prop_map(Act::Delete),
        1 => mostly(Sort::Parked).prop_map(Act::Delete),
        1 => mostly(Sort::Ended).prop_map(Act::Delete),
        4 => (owner(), prop::collection::vec(rarely(0..3_u8), 1..4)).prop_map(|(o, e)| Act::Append(o, e)),
        2 => (owner(), 0..6_u64).prop_map(|(o, n)| Act::Trim(o, n)),
        3 => (0..3_u8, rarely(1..40_u64)).prop_map(|(k, t)| Act::PutMark(k, t)),
        1 => (0..3_u8).prop_map(Act::DropMark),
        5 => rule().prop_map(Act::PutRule),
        3 => all_rules.prop_map(Act::DropRule),
    ]
}

fn extra() -> impl Strategy<Value = Extra> {
    prop_oneof![
        1 => mostly(Sort::Unknown).prop_map(Extra::Absent),
        1 => mostly(Sort::Pending).prop_map(Extra::Open),
        2 => (mostly(Sort::Any), proptest::bool::weighted(0.8)).prop_map(|(p, now)| Extra::Revision(p, now)),
        1 => (owner(), proptest::bool::weighted(0.8)).prop_map(|(o, now)| Extra::Length(o, now)),
        1 => (0..3_u8, proptest::option::weighted(0.6, proptest::bool::weighted(0.8))).prop_map(|(k, v)| Extra::Mark(k, v)),
    ]
}

fn piece() -> impl Strategy<Value = Piece> {
    let ops = prop_oneof![
        7 => prop::collection::vec(act(), 1),
        2 => prop::collection::vec(act(), 2..4),
    ];
    let guards = prop_oneof![7 => Just(Vec::new()), 1 => prop::collection::vec(extra(), 1..3)];
    (guards, ops).prop_map(|(guards, ops)| Piece { guards, ops })
}

fn claim() -> impl Strategy<Value = Claim> {
    let queues = select(vec![vec![0], vec![1], vec![0, 1], vec![1, 0], vec![0, 1]]);
    let all = vec![
        (0, None),
        (1, Some(0)),
        (1, Some(1)),
        (2, None),
        (0, Some(0)),
        (2, Some(1)),
    ];
    let names = prop_oneof![
        2 => prop::collection::vec((0..NAMES, rarely(0..2_u8)), 1..4),
        3 => Just(all),
    ];
    let more = (
        proptest::bool::weighted(0.1),
        proptest::option::weighted(0.1, (0..NAMES, 0..NAMES)),
    );
    (0..WORKERS, queues, names, more, 1..4_usize, 1..40_u64).prop_map(
        |(worker, queues, names, (crowd, alias), limit, ttl)| Claim {
            worker,
            queues,
            names,
            crowd,
            alias,
            limit,
            ttl,
        },
    )
}

fn filter() -> impl Strategy<Value = Filter> {
    let status = prop_oneof![
        2 => Just(Vec::new()),
        2 => select(&TaskStatus::ALL[..]).prop_map(|status| vec![status]),
        1 => Just(vec![TaskStatus::Pending, TaskStatus::Failed]),
        1 => Just(vec![TaskStatus::Cancelled, TaskStatus::Running]),
    ];
    let words = (
        rarely(0..NAMES),
        rarely(0..QUEUES),
        rarely(0..2_u8),
        rarely(0..2_u8),
    );
    let rest = (
        rarely(pick(Sort::Any)),
        rarely(0..WORKERS),
        proptest::bool::weighted(0.1),
        proptest::bool::weighted(0.1),
        rarely((-60..10_i64, -10..60_i64)),
        rarely(0..3_u8),
    );
    (status, words, rest).prop_map(|(status, words, rest)| Filter {
        status,
        name: words.0,
        queue: words.1,
        tag: words.2,
        schedule: words.3,
        parent: rest.0,
        worker: rest.1,
        expired: rest.2,
        group: rest.3,
        window: rest.4,
        id_prefix: rest.5,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let by = select(vec![
        CountBy::All,
        CountBy::Status,
        CountBy::Queue,
        CountBy::Name,
        CountBy::ErrorGroup,
    ]);
    let advance = prop_oneof![
        3 => (1..5_000_000_u64).prop_map(Duration::from_micros),
        3 => (1..30_u64).prop_map(Duration::from_secs),
        1 => (30..200_u64).prop_map(Duration::from_secs),
    ];
    let maintain = (
        proptest::option::of(0..60_u64),
        proptest::option::of(0..6_u64),
        select(vec![1, 5, 100]),
    );
    prop_oneof![
        50 => prop::collection::vec(piece(), 1).prop_map(Step::Commit),
        6 => prop::collection::vec(piece(), 2..4).prop_map(Step::Commit),
        24 => claim().prop_map(Step::Claim),
        3 => maintain.prop_map(|(age, count, limit)| Step::Maintain { age, count, limit }),
        4 => Just(Step::Reap),
        4 => (filter(), 1..8_usize, any::<bool>()).prop_map(|(f, n, newest)| Step::List(f, n, newest)),
        3 => (filter(), by).prop_map(|(f, by)| Step::Count(f, by)),
        10 => advance.prop_map(Step::Advance),
        2 => (-3_000..3_000_i64).prop_map(Step::SetWall),
        1 => Just(Step::Reboot),
        2 => Just(Step::Reopen),
        2 => Just(Step::Crash),
    ]
}

/// Sequences of 20 to 60 steps.
pub(crate) fn steps() -> impl Strategy<Value = Steps> {
    // A step that is there or not can be taken out of the middle when a failing sequence is made shorter.
    let steps = prop::collection::vec(proptest::option::weighted(0.99, step()), 24..=60);
    steps.prop_map(|steps| Steps(steps.into_iter().flatten().collect()))
}
