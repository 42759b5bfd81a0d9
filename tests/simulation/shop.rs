//! The program that the simulation runs: tasks of every sort, each of which does what it was told.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tlo::client::Submit;
use tlo::prelude::*;
use tlo::task::{OnConflict, UniqueScope};
use tlo::testing::simulation::{Chance, Program};
use tlo::{Client, TaskStateRecord};

/// What one run does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Milliseconds of work.
    work: u64,
    /// Whether it stops when it is asked to.
    polite: bool,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum End {
    Succeed,
    Retry,
    Fail,
    Cancel,
    Snooze(u64),
    Panic,
}

/// What a task is told: what each of its runs does, the last of them for all that follow.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Orders {
    user: u64,
    runs: Vec<Run>,
}

/// What a run leaves as its result.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Receipt {
    id: String,
    fence: u64,
}

/// Runs that came to their end, by task and fence.
type Journal = Arc<Mutex<Vec<Receipt>>>;

async fn work(context: TaskContext, run: Run, journal: Journal) -> TaskResult<Receipt> {
    let rest = Duration::from_millis(run.work % 700);
    let work = Duration::from_millis(run.work).saturating_sub(rest);
    let _ = context.progress(run.work);
    if run.polite {
        tokio::select! {
            biased;
            () = context.cancelled() => return Err(context.interrupted()),
            () = context.clock().sleep(work) => {}
        }
    } else {
        context.clock().sleep(work).await;
    }
    let _ = context.progress("nearly");
    context.clock().sleep(rest).await;
    match run.end {
        End::Succeed => {
            let receipt = || Receipt {
                id: context.id().to_string(),
                fence: context.fence(),
            };
            journal.lock().push(receipt());
            Ok(receipt())
        }
        End::Retry => Err(TaskError::retry("no luck")),
        End::Fail => Err(TaskError::fail("no use")),
        End::Cancel => Err(TaskError::cancel("no need")),
        End::Snooze(millis) => Err(TaskError::snooze(Duration::from_millis(millis))),
        End::Panic => std::panic::resume_unwind(Box::new("the simulation wants it")),
    }
}

fn some_run(chance: &mut Chance) -> Run {
    let end = match chance.number(0..20) {
        0..3 => End::Retry,
        3 => End::Fail,
        4 => End::Cancel,
        5..8 => End::Snooze(chance.number(0..20_000)),
        8 => End::Panic,
        _ => End::Succeed,
    };
    let longest = if chance.happens(0.2) { 15_000 } else { 2_500 };
    Run {
        work: chance.number(0..longest),
        polite: chance.happens(0.7),
        end,
    }
}

fn quick() -> RetryPolicy {
    RetryPolicy {
        base: Duration::from_millis(300),
        factor: 3.0,
        cap: Duration::from_secs(20),
        jitter: 0.5,
        delays: Vec::new(),
    }
}

/// A task that follows its orders.
fn ordered(
    name: &str,
    journal: &Journal,
    change: impl FnOnce(tlo::handler::TaskBuilder) -> tlo::handler::TaskBuilder,
) -> Task {
    let journal = Arc::clone(journal);
    change(task(name).retry(quick())).run(move |context: TaskContext, orders: Orders| {
        let journal = Arc::clone(&journal);
        async move {
            let index = usize::try_from(context.record().leases).unwrap_or(1) - 1;
            let index = index.min(orders.runs.len().saturating_sub(1));
            let run = orders.runs.get(index).cloned();
            let run = run.ok_or_else(|| TaskError::fail("there are no orders"))?;
            work(context, run, journal).await
        }
    })
}

/// A recurring task, whose runs take long now and then.
fn recurring(
    name: &str,
    journal: &Journal,
    change: impl FnOnce(tlo::handler::TaskBuilder) -> tlo::handler::TaskBuilder,
) -> Task {
    let journal = Arc::clone(journal);
    change(task(name)).run(move |context: TaskContext, _: ()| {
        let journal = Arc::clone(&journal);
        async move {
            let slot = context
                .slot()
                .map_or(0, |slot| slot.as_micros().unsigned_abs());
            let mut chance = Chance::seeded(slot ^ context.fence());
            let longest = if chance.happens(0.25) { 40_000 } else { 1_000 };
            let run = Run {
                work: chance.number(0..longest),
                polite: chance.happens(0.8),
                end: End::Succeed,
            };
            work(context, run, journal).await
        }
    })
}

fn tasks(journal: &Journal) -> Vec<Task> {
    vec![
        ordered("job", journal, |task| task.max_attempts(3)),
        ordered("export", journal, |task| task.queue("slow").priority(3)),
        ordered("charge", journal, |task| task.exclusive("user/{user}")),
        ordered("mail", journal, |task| {
            task.gate("post", 2)
                .exclusive("user/{user}")
                .max_attempts(2)
        }),
        ordered("print", journal, |task| task.gate("printer", 3)),
        ordered("fragile", journal, |task| task.max_lost(0)),
        ordered("tired", journal, |task| task.max_lost(2)),
        ordered("timed", journal, |task| {
            task.timeout(Duration::from_millis(1_200)).max_attempts(2)
        }),
        recurring("every-skip", journal, |task| task.every(secs(11))),
        recurring("every-queue", journal, |task| {
            task.every(secs(17))
                .overlap(Overlap::Queue)
                .misfire(Misfire::All { max: 3 })
        }),
        recurring("every-replace", journal, |task| {
            task.every(secs(19))
                .overlap(Overlap::Replace)
                .run_at_start()
        }),
        recurring("cron-allow", journal, |task| {
            task.cron("*/20 * * * * *")
                .overlap(Overlap::Allow)
                .misfire(Misfire::Skip)
                .grace(secs(3))
        }),
        recurring("cron-jitter", journal, |task| {
            task.cron("*/30 * * * * *").jitter(secs(5)).max_attempts(2)
        }),
    ]
}

fn submit(client: &Client, chance: &mut Chance) -> Submit {
    let names = [
        "job", "job", "export", "charge", "charge", "mail", "mail", "print", "fragile", "tired",
        "timed",
    ];
    let mut runs: Vec<Run> = (0..chance.number(1..4)).map(|_| some_run(chance)).collect();
    // What follows the last order is the last order: it must come to an end.
    if let Some(last) = runs.last_mut()
        && matches!(last.end, End::Snooze(_))
    {
        last.end = End::Succeed;
    }
    let orders = Orders {
        user: chance.number(0..3),
        runs,
    };
    let name = *chance.one_of(&names).unwrap_or(&"job");
    let mut submit = client.task(name).args(&orders);
    if chance.happens(0.3) {
        submit = submit.priority(u8::try_from(chance.number(0..10)).unwrap_or(5));
    }
    if chance.happens(0.3) {
        submit = submit.delay(chance.up_to(secs(20)));
    }
    if chance.happens(0.15) {
        submit = submit.expires_in(chance.up_to(secs(10)));
    }
    if chance.happens(0.35) {
        let scopes = [
            UniqueScope::WhileQueued,
            UniqueScope::WhileUnfinished,
            UniqueScope::WhileUnfinished,
            UniqueScope::For(secs(8)),
            UniqueScope::Forever,
        ];
        let scope = *chance.one_of(&scopes).unwrap_or(&scopes[1]);
        let conflicts = [
            OnConflict::Existing,
            OnConflict::Fail,
            OnConflict::Replace,
            OnConflict::Debounce(secs(2)),
        ];
        let conflict = *chance.one_of(&conflicts).unwrap_or(&conflicts[0]);
        // Keys of one scope each, so that none is kept for ever that others want to have for a while.
        let scope_name = format!("{scope:?}");
        let key = format!("{}-{}", &scope_name[..6], chance.number(0..3));
        submit = submit.unique_or(key, scope, conflict);
    }
    submit
}

/// The result of a success is that of the run whose lease it was settled under, and that run came to its end.
fn receipts(records: &[TaskStateRecord], journal: &Journal) -> Result<(), String> {
    let journal = journal.lock();
    for record in records {
        if record.status != TaskStatus::Succeeded {
            continue;
        }
        let result = record
            .result
            .as_ref()
            .and_then(|result| result.decode::<Receipt>().ok());
        let own = Receipt {
            id: record.id.to_string(),
            fence: record.fence,
        };
        if result.as_ref() != Some(&own) || !journal.contains(&own) {
            return Err(format!(
                "the result of {} is {result:?}, its fence is {}",
                record.id, record.fence
            ));
        }
    }
    Ok(())
}

pub(crate) fn shop() -> Program {
    let journal = Journal::default();
    let kept = Arc::clone(&journal);
    Program::new(move || tasks(&journal))
        .submitting(submit)
        .at_the_end(move |records| receipts(records, &kept))
}
