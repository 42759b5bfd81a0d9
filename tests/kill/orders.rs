//! The tasks of these proofs: what is submitted, what runs, and what must come out.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tlo::prelude::*;
use tlo::store::{Commit, Create, Op, TaskStateStoreExt};
use tlo::task::{NewTask, TaskDef, UniqueScope};
use tlo::{Clock, SystemClock, TaskId};

use crate::journal::{Journal, Note};
use crate::trap::Trap;

/// How many users there are; each has one exclusive task at a time.
pub(crate) const USERS: u64 = 4;

/// How many unique keys there are.
pub(crate) const KEYS: u64 = 12;

/// The schedules, and their periods.
pub(crate) const SCHEDULES: [(&str, Duration); 2] = [
    ("tick", Duration::from_millis(200)),
    ("tock", Duration::from_millis(270)),
];

/// What a task is given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Args {
    pub(crate) n: u64,
    pub(crate) user: u64,
    /// How long it takes.
    pub(crate) millis: u64,
}

/// What a run answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) value: u64,
    /// Of the run that found it.
    pub(crate) fence: u64,
}

/// What every run of a task with this number must find.
pub(crate) fn value_of(n: u64) -> u64 {
    n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20
}

/// The name of tasks that are started once.
pub(crate) const AT_MOST_ONCE: &str = "once";

/// The names that are submitted.
const NAMES: [&str; 5] = ["plain", "blocking", "keyed", "flaky", AT_MOST_ONCE];

/// The definitions. A worker has handlers for them; who only submits does not need any.
pub(crate) fn definitions(with_handlers: bool) -> Vec<Task> {
    let defined = |name: &'static str| {
        let task = task(name)
            .retry(RetryPolicy::fixed(millis(30)))
            .max_lost(1_000);
        match name {
            "keyed" => task.exclusive("{user}"),
            AT_MOST_ONCE => task.max_lost(0),
            _ => task,
        }
    };
    let names = NAMES.into_iter().chain(SCHEDULES.map(|(name, _)| name));
    names
        .map(|name| match (with_handlers, name) {
            (false, _) => defined(name).declare(),
            (true, "blocking") => defined(name).run(block),
            (true, _) => defined(name).run(work),
        })
        .collect()
}

/// The schedules, for a process that fires them. All slots are made up for.
pub(crate) fn schedules(with_handlers: bool) -> Vec<Task> {
    let fired = |(name, period): (&'static str, Duration)| {
        let (n, user) = (period.as_secs(), 0);
        let task = task(name)
            .every(period)
            .misfire(Misfire::All { max: 100_000 })
            .overlap(Overlap::Allow)
            .retry(RetryPolicy::fixed(millis(30)))
            .max_attempts(5)
            .max_lost(1_000)
            .args(Args {
                n,
                user,
                millis: 20,
            });
        if with_handlers {
            task.run(work)
        } else {
            task.declare()
        }
    };
    SCHEDULES.map(fired).into()
}

async fn work(context: TaskContext, args: Args) -> TaskResult<Answer> {
    begin(&context)?;
    context.clock().sleep(millis(args.millis)).await;
    end(&context, &args)
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "this is what handlers without `async` look like"
)]
fn block(context: TaskContext, args: Args) -> TaskResult<Answer> {
    begin(&context)?;
    std::thread::sleep(millis(args.millis));
    end(&context, &args)
}

fn begin(context: &TaskContext) -> TaskResult<()> {
    let (id, fence) = (context.id().clone(), context.fence());
    context
        .get::<Arc<Journal>>()?
        .note(Note::Started { id, fence });
    if let Some(trap) = context.state::<Arc<Trap>>() {
        trap.in_handler();
    }
    Ok(())
}

fn end(context: &TaskContext, args: &Args) -> TaskResult<Answer> {
    let (id, fence) = (context.id().clone(), context.fence());
    let fails = context.name() == "flaky" && context.attempt() == 1;
    let value = (!fails).then(|| value_of(args.n));
    context
        .get::<Arc<Journal>>()?
        .note(Note::Ended { id, fence, value });
    match value {
        Some(value) => Ok(Answer { value, fence }),
        None => Err(TaskError::retry("the first attempt never works")),
    }
}

/// Submits what a number stands for, and writes down that it tries and that it was answered.
pub(crate) async fn submit(
    client: &Client,
    journal: &Journal,
    id: &str,
    n: u64,
) -> tlo::Result<()> {
    let task_id = TaskId::new(id)?;
    // The numbers of one name and one key are not those of one user.
    let args = Args {
        n,
        user: n / 7 % USERS,
        millis: n.wrapping_mul(37) % 250,
    };
    let name = match n % 11 {
        0..=2 => "keyed",
        3 | 4 => "flaky",
        5 => AT_MOST_ONCE,
        6 => "blocking",
        7 => return submit_together(client, journal, id, &args).await,
        _ => "plain",
    };
    journal.note(Note::Trying {
        ids: vec![task_id.clone()],
        name: name.to_owned(),
    });
    let mut submit = client.task(name).id(task_id).args(&args);
    if name == "keyed" {
        submit = submit.unique(key_of(n / 11), UniqueScope::WhileUnfinished);
    }
    let id = submit.submit().await?.id().clone();
    journal.note(Note::Acknowledged { id });
    Ok(())
}

pub(crate) fn key_of(n: u64) -> String {
    format!("key/{}", n % KEYS)
}

/// Three tasks in one write.
async fn submit_together(
    client: &Client,
    journal: &Journal,
    id: &str,
    args: &Args,
) -> tlo::Result<()> {
    let definition: TaskDef = definitions(false).remove(0).def;
    let mut ids = Vec::new();
    let mut creates = Vec::new();
    for part in 0..3 {
        let id = TaskId::new(format!("{id}.{part}"))?;
        let task: NewTask = definition.submission(id.clone(), Payload::of(args)?)?;
        ids.push(id);
        creates.push(Op::Create(Box::new(Create {
            task,
            lease_to: None,
        })));
    }
    journal.note(Note::Trying {
        ids: ids.clone(),
        name: definition.name.to_string(),
    });
    client.store().apply(Commit::of(creates)).await?;
    for id in ids {
        journal.note(Note::Acknowledged { id });
    }
    Ok(())
}

/// Submits one after the other for ever, with pauses.
pub(crate) async fn submit_for_ever(
    client: Client,
    journal: Arc<Journal>,
    label: String,
    from: u64,
    pause: Duration,
) {
    for n in from.. {
        // What is not answered is nobody's promise: the next one may be.
        if let Err(error) = submit(&client, &journal, &format!("{label}-{n}"), n).await {
            let why = error.to_string();
            journal.note(Note::NotSubmitted { why });
        }
        SystemClock.sleep(pause).await;
    }
}
