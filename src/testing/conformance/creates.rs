//! Making records.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::bench::{
    Bench, CaseResult, Failed, Record, SECOND, TTL, check, check_eq, check_matches, create,
    failure, id, lease, names, request, settle, task, worker,
};
use super::cases;
use crate::payload::Payload;
use crate::store::{Commit, CountBy, Create, Effect, LeaseTo, Op, Patch, Refusal, TaskFilter};
use crate::task::{
    Due, Gate, NewTask, OnConflict, RetryPolicy, Settlement, TaskDetails, TaskKind, TaskStatus,
    Unique, UniqueScope,
};
use crate::timestamp::Timestamp;

cases! { "creates":
    a_created_record_has_the_fields_it_was_given,
    a_created_id_cannot_be_created_again_and_the_second_create_answers_with_the_first_records_id,
    a_create_that_must_be_new_is_refused_for_a_known_id,
    a_task_can_be_created_and_deleted_in_one_commit_whether_its_id_is_known_or_not,
    many_callers_that_create_one_id_make_one_record,
    creation_sequences_grow_in_the_order_of_creation,
    a_commit_of_many_creates_is_all_or_nothing,
    creates_in_commits_of_their_own_report_each_by_itself,
    creates_of_one_commit_report_each_in_its_order_also_beside_known_ones,
    a_created_task_can_be_leased_to_its_creator_in_the_same_write,
    a_lease_at_creation_is_not_given_before_the_task_is_due,
    a_lease_at_creation_is_not_given_to_a_task_that_expired,
    a_lease_at_creation_is_not_given_while_a_gate_is_closed,
    a_lease_at_creation_is_a_claim_for_unique_keys_and_for_the_time_a_task_expires,
    a_full_queue_refuses_another_task,
    a_full_queue_refuses_a_move_and_a_revival_and_takes_back_what_it_gave_out,
}

/// A task with something in every field.
fn full(name: &str) -> CaseResult<NewTask> {
    let details = TaskDetails {
        version: Some(Arc::from("2.1")),
        created_by: Some("ada <ada@example.org>".to_owned()),
        max_attempts: u32::MAX,
        max_lost: 0,
        retry: RetryPolicy {
            base: Duration::from_millis(1_500),
            delays: vec![0.5, 2.0],
            ..RetryPolicy::default()
        },
        timeout: Some(Duration::from_micros(90_000_001)),
        gates: vec![
            Gate {
                key: "user/7".to_owned(),
                limit: u32::MAX,
            },
            Gate {
                key: "region/eu".to_owned(),
                limit: 1,
            },
        ],
        parent: Some(id("parent")?),
        tags: BTreeSet::from(["blue".to_owned(), "grün".to_owned()]),
        headers: BTreeMap::from([("traceparent".to_owned(), "00-ab-cd-01".to_owned())]),
        state: Some(Payload::parse("[]")?),
        phase: Some("start".to_owned()),
    };
    Ok(NewTask {
        kind: TaskKind::Workflow,
        name: Arc::from("näme with space"),
        queue: Arc::from("queue/1"),
        priority: 255,
        args: Payload::parse(r#"{"a": [1, 2.0, "\u0000"]}"#)?,
        due: Due::At("2031-02-03T04:05:06.789012Z".parse()?),
        expires: Some(Due::At(Timestamp::MAX)),
        on_conflict: OnConflict::Existing,
        slot: Some("2031-02-03T04:05:06Z".parse()?),
        unique: Some(Arc::new(Unique {
            key: "order 17".into(),
            scope: UniqueScope::WhileUnfinished,
            until: None,
        })),
        schedule: Some(Arc::from("nightly")),
        details: details.share(),
        id: id(name)?,
    })
}

async fn a_created_record_has_the_fields_it_was_given(b: &Bench<'_>) -> CaseResult {
    let new = full("all")?;
    let seq = b.add(new.clone()).await?;
    let record = b.record("all").await?;
    // The rules say what a record is made of; the store only stamps time and sequence.
    let wanted = crate::task::TaskStateRecord::create(new, b.now(), seq);
    check_eq!(record, wanted);
    check_eq!(record.status, TaskStatus::Pending);
    check_eq!((record.attempt, record.revision), (0, 1));
    Ok(())
}

async fn a_created_id_cannot_be_created_again_and_the_second_create_answers_with_the_first_records_id(
    b: &Bench<'_>,
) -> CaseResult {
    b.add_all(&["a"]).await?;
    let first = b.record("a").await?;
    let mut again = task("a")?;
    again.args = Payload::parse("\"second\"")?;
    again.priority = 200;
    b.clock.advance(SECOND);
    for _ in 0..3 {
        let effect = b.apply(create(again.clone())).await?;
        let existing = Effect::Existing {
            id: id("a")?,
            status: TaskStatus::Pending,
        };
        check_eq!(effect, existing);
        check_eq!(b.record("a").await?, first);
    }
    let mine = b.take("a").await?;
    b.succeed(&mine).await?;
    let effect = b.apply(create(again)).await?;
    let existing = Effect::Existing {
        id: id("a")?,
        status: TaskStatus::Succeeded,
    };
    check_eq!(effect, existing);
    b.check_idle().await
}

async fn a_create_that_must_be_new_is_refused_for_a_known_id(b: &Bench<'_>) -> CaseResult {
    let mut new = task("a")?;
    new.on_conflict = OnConflict::Fail;
    b.add(new.clone()).await?;
    let first = b.record("a").await?;
    new.args = Payload::null();
    let refusal = b.refuse(Commit::of([create(new)])).await?;
    check_eq!(refusal, Refusal::Exists(id("a")?));
    check_eq!(b.record("a").await?, first);
    Ok(())
}

async fn a_task_can_be_created_and_deleted_in_one_commit_whether_its_id_is_known_or_not(
    b: &Bench<'_>,
) -> CaseResult {
    b.add(task("known")?).await?;
    for (name, is_known) in [("known", true), ("new", false)] {
        let ops = [create(task(name)?), Op::Delete(id(name)?)];
        let effects = b.accept(Commit::of(ops)).await?;
        check_eq!(effects.len(), 2);
        let found = matches!(effects[0], Effect::Existing { .. });
        check_eq!(found, is_known, "{name}");
        check_eq!(b.find(name).await?, None);
    }
    // Made again behind it, it is another one.
    b.add(task("known")?).await?;
    let ops = [Op::Delete(id("known")?), create(task("known")?)];
    let before = b.record("known").await?.seq;
    b.accept(Commit::of(ops)).await?;
    check!(b.record("known").await?.seq > before, "it is the first one");
    b.take("known").await?;
    Ok(())
}

async fn many_callers_that_create_one_id_make_one_record(b: &Bench<'_>) -> CaseResult {
    let mut callers = tokio::task::JoinSet::new();
    for n in 0..50 {
        let store = b.store()?;
        let mut new = task("one")?;
        new.args = Payload::of(&n)?;
        callers.spawn(async move { store.commit(vec![Commit::of([create(new)])]).await });
    }
    let mut made = 0;
    while let Some(joined) = callers.join_next().await {
        for answer in joined.map_err(|error| Failed::new(error.to_string()))?? {
            check_matches!(answer, Ok(_));
            let effects = answer.unwrap_or_default();
            made += usize::from(matches!(effects[..], [Effect::Created { .. }]));
        }
    }
    check_eq!(made, 1);
    let all = TaskFilter::default();
    let counts = b.store()?.count(&all, CountBy::All, 100).await?;
    check_eq!(counts.total(), 1);
    Ok(())
}

async fn creation_sequences_grow_in_the_order_of_creation(b: &Bench<'_>) -> CaseResult {
    let mut last = 0;
    for name in ["z", "m", "a"] {
        let seq = b.add(task(name)?).await?;
        check!(seq > last, "sequence {seq} after {last}");
        check_eq!(b.record(name).await?.seq, seq);
        last = seq;
    }
    let bulk = Commit::of([create(task("y")?), create(task("b")?)]);
    for effect in b.accept(bulk).await? {
        let Effect::Created { seq, .. } = effect else {
            return Err(Failed::new(format!("a create had the effect {effect:?}")));
        };
        check!(seq > last, "sequence {seq} after {last}");
        last = seq;
    }
    Ok(())
}

async fn a_commit_of_many_creates_is_all_or_nothing(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["taken"]).await?;
    let count = b.many(2_000);
    let mut ops = Vec::new();
    for n in 0..count {
        ops.push(create(task(&format!("t{n}"))?));
    }
    let mut clash = task("taken")?;
    clash.on_conflict = OnConflict::Fail;
    let refused = Commit::of(ops.clone()).then(create(clash));
    check_eq!(b.refuse(refused).await?, Refusal::Exists(id("taken")?));
    let all = TaskFilter::default();
    let counts = b.store()?.count(&all, CountBy::All, 10_000).await?;
    check_eq!(counts.total(), 1);
    check_eq!(names(&b.claim("worker", 5).await?), ["taken"]);
    check_eq!(b.accept(Commit::of(ops)).await?.len(), count);
    let counts = b.store()?.count(&all, CountBy::Status, 10_000).await?;
    check_eq!(counts.of("pending"), count as u64);
    Ok(())
}

async fn creates_in_commits_of_their_own_report_each_by_itself(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["known"]).await?;
    let mut bad = task("bad")?;
    bad.queue = Arc::from("");
    let tasks = [task("a")?, task("known")?, bad, task("b")?];
    let commits = tasks.map(|task| Commit::of([create(task)])).into();
    let answers = b.store()?.commit(commits).await?;
    check_eq!(answers.len(), 4);
    check!(
        matches!(answers[0].as_deref(), Ok([Effect::Created { .. }])),
        "{:?}",
        answers[0]
    );
    check!(
        matches!(answers[1].as_deref(), Ok([Effect::Existing { .. }])),
        "{:?}",
        answers[1]
    );
    check_matches!(answers[2], Err(Refusal::Invalid(_)));
    check!(
        matches!(answers[3].as_deref(), Ok([Effect::Created { .. }])),
        "{:?}",
        answers[3]
    );
    check_eq!(names(&b.claim("worker", 9).await?), ["known", "a", "b"]);
    Ok(())
}

async fn creates_of_one_commit_report_each_in_its_order_also_beside_known_ones(
    b: &Bench<'_>,
) -> CaseResult {
    let commit = |names: &[&str]| -> CaseResult<Commit> {
        let ops: CaseResult<Vec<Op>> = names.iter().map(|name| Ok(create(task(name)?))).collect();
        Ok(Commit::of(ops?))
    };
    // The first of a store that is empty, and one behind it that knows a task of the one before.
    let calls = [
        vec![commit(&["a", "b", "c"])?, commit(&["d", "c", "e"])?],
        vec![commit(&["f", "g", "f", "h", "a"])?, commit(&["i", "j"])?],
    ];
    let known = [vec![false, false, false], vec![false, true, false]];
    let known_later = [vec![false, false, true, false, true], vec![false, false]];
    for (commits, known) in calls.into_iter().zip([known, known_later]) {
        let sent = commits.clone();
        let answers = b.store()?.commit(commits).await?;
        check_eq!(answers.len(), known.len());
        for ((commit, answer), known) in sent.iter().zip(answers).zip(known) {
            let effects = answer.map_err(|refusal| Failed::new(format!("{refusal:?}")))?;
            check_eq!(effects.len(), known.len());
            for ((op, effect), known) in commit.ops.iter().zip(effects).zip(known) {
                let Op::Create(create) = op else { continue };
                let id = &create.task.id;
                match effect {
                    Effect::Created { seq, leased: None } if !known => {
                        check_eq!(b.record(id.as_str()).await?.seq, seq);
                    }
                    Effect::Existing { id: found, .. } if known => check_eq!(&found, id),
                    other => return Err(Failed::new(format!("{id}: {other:?}"))),
                }
            }
        }
    }
    let claimed = b.claim("worker", 20).await?;
    let order = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    check_eq!(names(&claimed), order);
    Ok(())
}

fn leased(new: NewTask) -> CaseResult<Op> {
    Ok(Op::Create(Box::new(Create {
        task: new,
        lease_to: Some(LeaseTo {
            worker: worker("maker")?,
            ttl: TTL,
        }),
    })))
}

/// Creates with a wish for a lease; the lease, if it was given.
pub(super) async fn create_leased(b: &Bench<'_>, new: NewTask) -> CaseResult<Option<Record>> {
    match b.apply(leased(new)?).await? {
        Effect::Created { leased, .. } => Ok(leased),
        other => Err(Failed::new(format!("a create had the effect {other:?}"))),
    }
}

async fn a_created_task_can_be_leased_to_its_creator_in_the_same_write(
    b: &Bench<'_>,
) -> CaseResult {
    let mut new = task("a")?;
    new.gates.push(Gate {
        key: "user/7".to_owned(),
        limit: 1,
    });
    let Some(mine) = create_leased(b, new.clone()).await? else {
        return Err(Failed::new("a task that is due was not leased"));
    };
    check_eq!(mine.status, TaskStatus::Running);
    check_eq!((mine.attempt, mine.fence), (1, 1));
    let holder = mine.lease.as_ref().map(|lease| lease.worker.as_str());
    check_eq!(holder, Some("maker"));
    check_eq!(b.record("a").await?, *mine);
    b.check_idle().await?;
    // The place behind the gate is taken like any other.
    new.id = id("b")?;
    b.add(new).await?;
    b.check_idle().await?;
    check!(lease(&mine)?.fence == 1, "the lease has another fence");
    b.succeed(&mine).await?;
    b.take("b").await?;
    Ok(())
}

async fn a_lease_at_creation_is_not_given_before_the_task_is_due(b: &Bench<'_>) -> CaseResult {
    let mut new = task("a")?;
    new.due = Due::In(SECOND);
    check_eq!(create_leased(b, new).await?, None);
    check_eq!(b.record("a").await?.status, TaskStatus::Pending);
    b.clock.advance(SECOND);
    b.take("a").await?;
    Ok(())
}

async fn a_lease_at_creation_is_not_given_to_a_task_that_expired(b: &Bench<'_>) -> CaseResult {
    let mut new = task("a")?;
    new.expires = Some(Due::Now);
    check_eq!(create_leased(b, new).await?, None);
    check_eq!(b.record("a").await?.attempt, 0);
    b.check_idle().await?;
    check_eq!(b.record("a").await?.status, TaskStatus::Cancelled);
    Ok(())
}

async fn a_lease_at_creation_is_not_given_while_a_gate_is_closed(b: &Bench<'_>) -> CaseResult {
    let gated = |name: &str| -> CaseResult<NewTask> {
        let mut new = task(name)?;
        new.gates.push(Gate {
            key: "user/7".to_owned(),
            limit: 1,
        });
        Ok(new)
    };
    b.add(gated("first")?).await?;
    let first = b.take("first").await?;
    check_eq!(create_leased(b, gated("second")?).await?, None);
    b.rule("queue/default", r#"{"paused": true}"#).await?;
    check_eq!(create_leased(b, task("third")?).await?, None);
    b.rule("queue/default", "{}").await?;
    b.rule("task/work", r#"{"max": 1}"#).await?;
    b.succeed(&first).await?;
    let fourth = create_leased(b, task("fourth")?).await?;
    check!(fourth.is_some(), "an open gate gave no lease");
    check_eq!(create_leased(b, task("fifth")?).await?, None);
    Ok(())
}

async fn a_lease_at_creation_is_a_claim_for_unique_keys_and_for_the_time_a_task_expires(
    b: &Bench<'_>,
) -> CaseResult {
    let keyed = |name: &str, scope| -> CaseResult<NewTask> {
        let mut new = task(name)?;
        new.unique = Some(Arc::new(Unique {
            key: name.chars().take(1).collect::<String>().into(),
            scope,
            until: None,
        }));
        Ok(new)
    };
    // Claimed as it is made, the first waits no more, so its key is free; the other keeps its key until it ends.
    for (first, second, scope, is_free) in [
        ("q1", "q2", UniqueScope::WhileQueued, true),
        ("u1", "u2", UniqueScope::WhileUnfinished, false),
    ] {
        let Some(run) = create_leased(b, keyed(first, scope)?).await? else {
            return Err(Failed::new("a task with a free key was not leased"));
        };
        let made = b.apply(create(keyed(second, scope)?)).await?;
        check_eq!(matches!(made, Effect::Created { .. }), is_free);
        b.succeed(&run).await?;
    }
    b.take("q2").await?;
    b.add(keyed("u3", UniqueScope::WhileUnfinished)?).await?;
    b.take("u3").await?;
    let mut over = task("over")?;
    over.expires = Some(Due::Now);
    check_eq!(create_leased(b, over).await?, None);
    b.check_idle().await?;
    check_eq!(b.record("over").await?.status, TaskStatus::Cancelled);
    Ok(())
}

async fn a_full_queue_refuses_another_task(b: &Bench<'_>) -> CaseResult {
    b.rule("queue/default", r#"{"max_depth": 3}"#).await?;
    b.add_all(&["a", "b"]).await?;
    let mut later = task("later")?;
    later.due = Due::In(SECOND * 60);
    b.add(later).await?;
    let full = Refusal::QueueFull {
        queue: "default".to_owned(),
        max_depth: 3,
    };
    let refusal = b.refuse(Commit::of([create(task("c")?)])).await?;
    check_eq!(refusal, full);
    // What is there already is answered, and another queue has its own depth.
    check_matches!(b.apply(create(task("a")?)).await?, Effect::Existing { .. });
    let mut other = task("other")?;
    other.queue = Arc::from("other");
    b.add(other).await?;
    check_eq!(b.claims(request("worker", 1)?).await?.tasks.len(), 1);
    b.add_all(&["c"]).await?;
    let refusal = b.refuse(Commit::of([create(task("d")?)])).await?;
    check_eq!(refusal, full);
    Ok(())
}

async fn a_full_queue_refuses_a_move_and_a_revival_and_takes_back_what_it_gave_out(
    b: &Bench<'_>,
) -> CaseResult {
    b.rule("queue/default", r#"{"max_depth": 3}"#).await?;
    b.add_all(&["retried", "released", "lost"]).await?;
    let running = b.claim("worker", 3).await?;
    b.add_all(&["a", "b", "cancelled"]).await?;
    b.apply(Op::Cancel(id("cancelled")?, "no".to_owned()))
        .await?;
    b.add_all(&["c"]).await?;
    let mut other = task("other")?;
    other.queue = Arc::from("other");
    b.add(other).await?;
    let full = Refusal::QueueFull {
        queue: "default".to_owned(),
        max_depth: 3,
    };
    let move_there = || Patch {
        queue: Some("default".to_owned()),
        ..Patch::default()
    };
    check_eq!(b.patch("other", move_there()).await?, Err(full.clone()));
    let revive = || CaseResult::Ok(Commit::of([Op::Revive(id("cancelled")?, Due::Now)]));
    check_eq!(b.refuse(revive()?).await?, full);
    // What is in it may change, also when it is said to stay where it is.
    check_matches!(b.patch("a", move_there()).await?, Ok(_));
    // It took these once, so they come back.
    b.accept(settle(&running[0], failure(&running[0], "no"))?)
        .await?;
    b.accept(settle(&running[1], Settlement::release())?)
        .await?;
    b.clock.advance(TTL);
    check_matches!(b.reap(&running[2]).await?, Ok(_));
    for record in ["retried", "released", "lost"] {
        check_eq!(b.record(record).await?.status, TaskStatus::Pending);
    }
    b.apply(Op::DropMark("gate/queue/default".into())).await?;
    check_matches!(b.patch("other", move_there()).await?, Ok(_));
    b.accept(revive()?).await.map(drop)
}
