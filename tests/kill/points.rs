//! A process that dies at a named point of its work, and what the next ones find.

use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tlo::prelude::*;
use tlo::store::{Commit, Create, LeaseTo, Op, TaskStateStoreExt};
use tlo::{TaskId, WorkerId};

use crate::checker::Wrong;
use crate::journal::Note;
use crate::orders::{Args, definitions};
use crate::parent::{Home, is_full, until};
use crate::trap::{POINTS, Point, Verb};

const LEASE: Duration = Duration::from_millis(300);

/// Points that are tried at the same time, each with a file of its own.
const AT_ONCE: usize = 3;

/// What became of one point.
struct Row {
    point: &'static Point,
    reached: usize,
    acknowledged: usize,
    run_again: usize,
    wrong: Vec<crate::checker::Violation>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_process_was_doing_when_it_died_nothing_is_lost_or_done_twice() {
    let times = if is_full() { 20 } else { 1 };
    let left: Arc<Mutex<Vec<_>>> = Arc::new(Mutex::new(POINTS.iter().rev().collect()));
    let lanes = (0..AT_ONCE).map(|_| {
        let left = Arc::clone(&left);
        tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Handle::current();
            let mut rows = Vec::new();
            loop {
                let next = left.lock().pop();
                let Some(point) = next else { return rows };
                rows.push(runtime.block_on(die_at(point, times)));
            }
        })
    });
    let lanes: Vec<_> = lanes.collect();
    let mut rows = Vec::new();
    for lane in lanes {
        rows.extend(lane.await.unwrap());
    }
    rows.sort_by_key(|row| POINTS.iter().position(|point| point == row.point));
    println!(
        "point | reached | submits acknowledged | lost | done twice or out of turn | answered again after a loss"
    );
    for row in &rows {
        let lost = row.wrong.iter().filter(|wrong| wrong.what == Wrong::Lost);
        let lost = lost.count();
        println!(
            "{} | {} | {} | {lost} | {} | {}",
            row.point.name,
            row.reached,
            row.acknowledged,
            row.wrong.len() - lost,
            row.run_again
        );
    }
    println!("{} points", rows.len());
    for row in rows {
        assert_eq!(row.wrong, [], "{}", row.point.name);
        assert_eq!(row.reached, times, "{}", row.point.name);
    }
}

/// One process after the other dies there; then one that does not finishes what they left.
async fn die_at(point: &'static Point, times: usize) -> Row {
    let home = Home::new(LEASE);
    for time in 0..times {
        if point.verb == Verb::Reap {
            leave_leases_behind(&home, time).await;
        }
        let told = [
            ("POINT", point.name.to_owned()),
            ("PASSES", passes(point.verb, time).to_string()),
        ];
        let mut victim = home.start_with("victim", &told);
        let mut status = None;
        until(point.name, || {
            status = victim.ended();
            status.is_some()
        });
        let signal = status.and_then(|status| status.signal());
        assert_eq!(signal, Some(9), "{}: {}", point.name, home.errors());
    }
    let mut worker = home.start("work");
    let store = home.open();
    home.drained(&*store).await;
    home.everything_can_be_had_again(store).await;
    worker.kill_9();
    home.nobody_failed();
    let (book, _, wrong) = home.violations(point.verb == Verb::Tidy).await;
    Row {
        point,
        reached: book.reached.get(point.name).copied().unwrap_or(0),
        acknowledged: book.acknowledged.len(),
        run_again: book.run_again(),
        wrong,
    }
}

/// How often the point is passed by before: what it finds differs each time. There is one round of reaping.
fn passes(verb: Verb, time: usize) -> usize {
    match verb {
        Verb::Reap | Verb::Checkpoint => 0,
        Verb::Fire => time % 4,
        Verb::Extend => 1 + time % 5,
        Verb::Submit | Verb::Claim | Verb::Run | Verb::Settle | Verb::Tidy => 4 + time * 3 % 23,
    }
}

/// Tasks of a worker that is gone: their leases end at once.
async fn leave_leases_behind(home: &Home, time: usize) {
    let store = home.open();
    let definition = &definitions(false)[0].def;
    for n in 0..5_u64 {
        let id = TaskId::new(format!("left-{time}-{n}")).unwrap();
        let args = Args {
            n,
            user: 0,
            millis: 10,
        };
        let task = definition.submission(id.clone(), Payload::of(&args).unwrap());
        home.journal.note(Note::Trying {
            ids: vec![id.clone()],
            name: definition.name.to_string(),
        });
        let create = Create {
            task: task.unwrap(),
            lease_to: Some(LeaseTo {
                worker: WorkerId::new("gone#1").unwrap(),
                ttl: Duration::from_millis(1),
            }),
        };
        let commit = Commit::of([Op::Create(Box::new(create))]);
        store.apply(commit).await.unwrap();
        home.journal.note(Note::Acknowledged { id });
    }
}
