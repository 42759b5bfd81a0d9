//! Workers that are stopped while they run a task, beyond their lease, and go on when another has the task or has ended it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tlo::TaskId;
use tlo::prelude::*;
use tlo::store::{Commit, Guard, Op, Patch, TaskStateStoreExt};
use tlo::task::Settlement;

use crate::book::Held;
use crate::chaos::percentiles;
use crate::journal::{self, Journal, Note, UnderLease};
use crate::orders::{Answer, Args, value_of};
use crate::parent::{Home, Process, chance, is_full, pause, until};

const LEASE: Duration = Duration::from_millis(400);

/// What the zombie claims to have found.
const WRONG_VALUE: u64 = 13;

/// The task that the workers run. The first who has it waits to be let go on, whatever happens to it in the meantime.
pub(crate) fn definition(home: &Path) -> Task {
    let home = home.to_owned();
    task("slow")
        .exclusive("{user}")
        .max_lost(10)
        .retry(RetryPolicy::fixed(millis(10)))
        .run(move |context: TaskContext, args: Args| run(home.clone(), context, args))
}

async fn run(home: PathBuf, context: TaskContext, args: Args) -> TaskResult<Answer> {
    let journal = context.get::<Arc<Journal>>()?;
    let (id, fence) = (context.id().clone(), context.fence());
    journal.note(Note::Started {
        id: id.clone(),
        fence,
    });
    let is_first = context.attempt() == 1;
    let wait_for = if is_first { "go" } else { "finish" };
    let told = |what: &str| home.join(format!("{what}-{}", args.n)).exists();
    while !told(wait_for) && !told("spared") {
        context.clock().sleep(millis(3)).await;
    }
    let value = if is_first && told("go") {
        write_late(&context).await?;
        WRONG_VALUE
    } else {
        value_of(args.n)
    };
    journal.note(Note::Ended {
        id,
        fence,
        value: Some(value),
    });
    Ok(Answer { value, fence })
}

/// Everything that a holder may write, with a lease that is another's by now. What comes of it is in the journal.
async fn write_late(context: &TaskContext) -> TaskResult<()> {
    let id = context.id().clone();
    let lease = context.record().lease.as_ref().unwrap().reference();
    let progress = Patch {
        progress: Some(Payload::of("a zombie was here")?),
        ..Patch::default()
    };
    let result = Payload::of(&Answer {
        value: WRONG_VALUE,
        fence: context.fence(),
    })?;
    for op in [
        Op::Patch(id.clone(), Box::new(progress)),
        Op::Extend(id.clone(), Duration::from_secs(60)),
        Op::Settle(id.clone(), Box::new(Settlement::success(result))),
    ] {
        let commit = Commit::of([op]).when(Guard::Held(id.clone(), lease));
        // A refusal is what is wanted.
        let _ = context.client().store().apply(commit).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_stopped_beyond_a_lease_cannot_write_any_more() {
    let (mut chance, seed) = chance();
    let rounds = if is_full() { 110 } else { 6 };
    let home = Home::new(LEASE);
    let workers = [home.start("zombie"), home.start("zombie")];
    until("both are up", || home.book().up.len() == 2);
    let store = home.open();
    let slow = definition(&home.path("")).def;
    let context = home.program(Arc::clone(&store)).await;
    let (mut taken_over, mut ended_before, mut spared) = (Vec::new(), 0, BTreeSet::new());
    for n in 0.. {
        if taken_over.len() == rounds {
            break;
        }
        let id = TaskId::new(format!("slow-{n}")).unwrap();
        let args = Args {
            n,
            user: n % 3,
            millis: 0,
        };
        home.journal.note(Note::Trying {
            ids: vec![id.clone()],
            name: slow.name.to_string(),
        });
        let submit = context.client().defined(slow.clone()).id(id.clone());
        submit.args(&args).submit().await.unwrap();
        home.journal.note(Note::Acknowledged { id: id.clone() });
        let first = started(&home, &id, 1);
        // Sometimes after a heartbeat, or in the middle of one.
        pause(Duration::from_millis(chance.u64(0..250)));
        let zombie = worker(&workers, first.who);
        let signal = |what: &str| std::fs::write(home.path(&format!("{what}-{n}")), "").unwrap();
        zombie.stop();
        let stopped = journal::now();
        if !can_be_written(&home) {
            zombie.go_on();
            signal("spared");
            home.drained(&*store).await;
            spared.insert(id);
            continue;
        }
        let second = started(&home, &id, 2);
        assert_ne!(first.who, second.who, "round {n}");
        taken_over.push(Duration::from_micros(second.granted - stopped));
        if chance.bool() {
            signal("finish");
            home.drained(&*store).await;
            ended_before += 1;
            signal("go");
            zombie.go_on();
        } else {
            signal("go");
            zombie.go_on();
            until("the zombie has answered", || {
                lease(&home, &id, 1).ended.is_some()
            });
            signal("finish");
            home.drained(&*store).await;
        }
        until("the zombie has heard that it is one", || {
            lease(&home, &id, 1).refused.len() >= 4
        });
        let record = store.read(&id).await.unwrap();
        let answer: Answer = record.result.as_ref().unwrap().decode().unwrap();
        let right = Answer {
            value: value_of(n),
            fence: 2,
        };
        assert_eq!((answer, record.status), (right, TaskStatus::Succeeded));
        assert_eq!((record.lost, record.progress), (1, None), "round {n}");
    }
    // Whoever was a zombie is a worker like any other afterwards.
    drop(store);
    drop(workers);
    let (book, _, wrong) = home.violations(false).await;
    let late: Vec<&Held> = book
        .all_leases()
        .filter(|(id, fence, _)| *fence == 1 && !spared.contains(*id))
        .map(|(_, _, held)| held)
        .collect();
    let mut refused: BTreeMap<UnderLease, usize> = BTreeMap::new();
    for write in late.iter().flat_map(|held| &held.refused) {
        *refused.entry(*write).or_default() += 1;
    }
    taken_over.sort_unstable();
    println!(
        "seed {seed}; {rounds} workers stopped beyond their lease, {ended_before} of them until the task had ended \
         ({} more were stopped inside a write and let go on); their late writes refused: {refused:?}, taken: {}",
        spared.len(),
        late.iter().filter(|held| held.settled.is_some()).count()
    );
    println!(
        "taken over after the stop (lease {LEASE:?}): {}",
        percentiles(&taken_over)
    );
    home.nobody_failed();
    assert_eq!(wrong, []);
    for held in late {
        assert_eq!(held.settled, None);
        for write in [UnderLease::Settle, UnderLease::Extend, UnderLease::Progress] {
            assert!(held.refused.contains(&write), "{write:?} of {held:?}");
        }
    }
}

/// Whether somebody can write now. A process that is stopped in the middle of a write has the lock of the file, and nobody
/// can take its task before it goes on or dies.
fn can_be_written(home: &Home) -> bool {
    let writer = rusqlite::Connection::open(home.path("tlo.db")).unwrap();
    // Others hold the lock for some milliseconds.
    writer.busy_timeout(Duration::from_secs(3)).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_ok()
}

fn worker(workers: &[Process], who: u32) -> &Process {
    workers.iter().find(|process| process.who == who).unwrap()
}

/// What the journal says of one lease.
fn lease(home: &Home, id: &TaskId, fence: u64) -> Held {
    let book = home.book();
    let leases = book.leases.get(id);
    let held = leases.and_then(|leases| leases.get(&fence));
    held.cloned().unwrap_or_default()
}

/// Waits until a lease of the task runs.
fn started(home: &Home, id: &TaskId, fence: u64) -> Held {
    until("it runs", || lease(home, id, fence).started.is_some());
    lease(home, id, fence)
}
