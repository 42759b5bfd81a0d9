//! Putting in the records that another store had.

use std::sync::Arc;

use super::bench::{
    Bench, CaseResult, Failed, SECOND, check, check_eq, check_matches, id, names, reap, request,
    settle, task, worker,
};
use super::cases;
use super::gates::gated;
use super::moves::{event, events, key, mark};
use crate::id::LeaseToken;
use crate::payload::{PAYLOAD_LIMIT, Payload};
use crate::store::{
    Commit, CountBy, Effect, Import, Maintain, Mark, Op, Refusal, Retention, TaskFilter,
};
use crate::task::{
    Attempt, AttemptEnd, Due, Gate, Lease, Parked, Prefer, Settlement, TaskKind, TaskStateRecord,
    TaskStatus, Unique, UniqueScope,
};
use crate::timestamp::Timestamp;

cases! { "imports":
    an_imported_record_is_as_it_was_but_for_its_place_in_the_order_of_creation,
    an_imported_record_takes_part_in_all_that_follows,
    importing_the_same_again_changes_nothing,
    another_record_of_an_imported_id_is_refused,
    a_record_that_cannot_be_is_not_imported,
    an_imported_lease_ends_by_the_clock_of_the_store_it_came_to,
    an_imported_holder_keeps_its_places_and_an_imported_parked_task_waits_behind_them,
}

fn whole(record: &TaskStateRecord) -> Op {
    let record = Box::new(record.clone());
    Op::Import(Box::new(Import::Record(record)))
}

pub(super) fn before(b: &Bench<'_>, seconds: u32) -> Timestamp {
    b.now().saturating_sub(SECOND * seconds)
}

/// A waiting record that has everything such a record can have.
fn waiting(b: &Bench<'_>, text: &str) -> CaseResult<TaskStateRecord> {
    let mut new = task(text)?;
    new.kind = TaskKind::Occurrence;
    new.priority = 200;
    new.due = Due::At(before(b, 50));
    new.expires = Some(Due::At(b.now().saturating_add(SECOND * 5_000)));
    new.args = Payload::parse(r#"{"text": "\u0000 é 😀",   "n": 1.00}"#)?;
    new.schedule = Some("nightly".into());
    new.slot = Some(before(b, 60));
    new.unique = Some(Arc::new(Unique {
        key: format!("key of {text}").into(),
        scope: UniqueScope::For(SECOND * 900),
        until: Some(b.now().saturating_add(SECOND * 400)),
    }));
    new.version = Some("v2".into());
    new.phase = Some("second step".to_owned());
    new.created_by = Some("ann".to_owned());
    new.max_attempts = 30;
    new.max_lost = 9;
    new.timeout = Some(SECOND * 77);
    new.gates = vec![Gate {
        key: "user/7".to_owned(),
        limit: 3,
    }];
    new.parent = Some(id("the parent")?);
    new.tags = ["red", "été"].map(ToOwned::to_owned).into();
    new.headers = [("traceparent".to_owned(), "00-ab-cd-01".to_owned())].into();
    new.state = Some(Payload::parse(format!("\"{}\"", "s".repeat(9_000)))?);
    let mut record = TaskStateRecord::create(new, before(b, 100), 4_711);
    record.attempt = 23;
    record.lost = 2;
    record.forgiven = 1;
    record.leases = 40;
    record.fence = 41;
    record.token = Some(LeaseToken::from_u128(7));
    record.woken = true;
    record.started_at = Some(before(b, 70));
    record.progress = Some(Payload::parse("0.5")?);
    record.error = Some("line 1\nline 2 😀".to_owned());
    record.error_group = Some("line #".to_owned());
    record.prefer = Some(Box::new(Prefer {
        worker: worker("w3")?,
        until: before(b, 1),
    }));
    record.revision = 99;
    record.attempts = (3..24)
        .map(|attempt| {
            Ok(Attempt {
                attempt,
                worker: worker("w1")?,
                started_at: before(b, 90),
                finished_at: before(b, 80),
                outcome: AttemptEnd::TimedOut,
                error: (attempt % 2 == 0).then(|| "it\nfailed".to_owned()),
            })
        })
        .collect::<CaseResult<_>>()?;
    Ok(record)
}

fn running(b: &Bench<'_>, text: &str) -> CaseResult<TaskStateRecord> {
    let mut record = waiting(b, text)?;
    record.status = TaskStatus::Running;
    record.cancel_requested = true;
    record.prefer = None;
    record.holds = vec!["user/7".to_owned(), "queue/default".to_owned()];
    record.lease = Some(Lease {
        worker: worker("w9")?,
        until: b.now().saturating_add(SECOND * 20),
        fence: record.fence,
        token: LeaseToken::from_u128(99),
        ends: None,
    });
    record.token = None;
    Ok(record)
}

fn ended(b: &Bench<'_>, text: &str, status: TaskStatus) -> CaseResult<TaskStateRecord> {
    let mut record = waiting(b, text)?;
    record.status = status;
    record.finished_at = Some(before(b, 10));
    record.prefer = None;
    if status == TaskStatus::Succeeded {
        record.result = Some(Payload::null());
        (record.error, record.error_group) = (None, None);
    }
    Ok(record)
}

/// One of each status.
fn one_of_each(b: &Bench<'_>) -> CaseResult<Vec<TaskStateRecord>> {
    Ok(vec![
        ended(b, "z failed", TaskStatus::Failed)?,
        waiting(b, "y waits")?,
        ended(b, "x cancelled", TaskStatus::Cancelled)?,
        running(b, "w runs")?,
        ended(b, "v succeeded", TaskStatus::Succeeded)?,
    ])
}

pub(super) async fn import(b: &Bench<'_>, record: &TaskStateRecord) -> CaseResult<u64> {
    match b.apply(whole(record)).await? {
        Effect::Created { seq, leased: None } => Ok(seq),
        other => Err(Failed::new(format!("an import had the effect {other:?}"))),
    }
}

/// A record as it must be found.
fn numbered(record: &TaskStateRecord, seq: u64) -> TaskStateRecord {
    let mut record = record.clone();
    record.seq = seq;
    record
}

async fn an_imported_record_is_as_it_was_but_for_its_place_in_the_order_of_creation(
    b: &Bench<'_>,
) -> CaseResult {
    b.add_all(&["first"]).await?;
    let records = one_of_each(b)?;
    let mut last = b.record("first").await?.seq;
    for record in &records {
        let seq = import(b, record).await?;
        check!(seq > last, "number {seq} after {last}");
        last = seq;
        check_eq!(b.record(record.id.as_str()).await?, numbered(record, seq));
    }
    let store = b.store()?;
    let all = store
        .list(&TaskFilter::default(), crate::page::PageRequest::first(99))
        .await?;
    let listed: Vec<_> = all
        .items
        .iter()
        .map(|item| item.record.id.as_str())
        .collect();
    let wanted = [
        "first",
        "z failed",
        "y waits",
        "x cancelled",
        "w runs",
        "v succeeded",
    ];
    check_eq!(listed, wanted);
    for (filter, n) in [
        (TaskFilter::status([TaskStatus::Running]), 1),
        (TaskFilter::status([TaskStatus::Failed]), 1),
        (
            TaskFilter {
                tag: Some("été".to_owned()),
                ..TaskFilter::default()
            },
            5,
        ),
        (
            TaskFilter {
                parent: Some(id("the parent")?),
                ..TaskFilter::default()
            },
            5,
        ),
        (
            TaskFilter {
                schedule: Some("nightly".to_owned()),
                ..TaskFilter::default()
            },
            5,
        ),
        (
            TaskFilter {
                error_group: Some("line #".to_owned()),
                ..TaskFilter::default()
            },
            4,
        ),
        (
            TaskFilter {
                worker: Some(worker("w9")?),
                ..TaskFilter::default()
            },
            1,
        ),
        (TaskFilter::name("work"), 6),
    ] {
        let counts = store.count(&filter, CountBy::All, 1_000).await?;
        check_eq!(counts.total(), n, "{filter}");
    }
    let counts = store
        .count(&TaskFilter::default(), CountBy::Status, 0)
        .await?;
    check_eq!((counts.of("pending"), counts.of("running")), (2, 1));
    Ok(())
}

async fn an_imported_record_takes_part_in_all_that_follows(b: &Bench<'_>) -> CaseResult {
    let plain = |text: &str, change: fn(&mut TaskStateRecord)| -> CaseResult<TaskStateRecord> {
        let mut record = TaskStateRecord::create(task(text)?, before(b, 100), 1);
        change(&mut record);
        Ok(record)
    };
    let mut later = plain("later", |_| {})?;
    later.run_at = b.now().saturating_add(SECOND * 60);
    let mut failed = plain("failed", |record| {
        record.status = TaskStatus::Failed;
        record.attempt = 5;
        record.fence = 5;
    })?;
    failed.finished_at = Some(before(b, 5));
    let mut old = plain("old", |record| record.status = TaskStatus::Succeeded)?;
    old.finished_at = Some(before(b, 5_000));
    let records = [
        later,
        plain("plain", |_| {})?,
        plain("urgent", |record| record.priority = 9)?,
        failed,
        old,
    ];
    for record in &records {
        import(b, record).await?;
    }
    b.add_all(&["new"]).await?;
    let claimed = b.claim_all(&request("w", 10)?).await?;
    check_eq!(names(&claimed), ["urgent", "plain", "new"]);
    check_eq!(claimed[0].revision, 2);
    for record in &claimed {
        b.succeed(record).await?;
    }
    b.apply(Op::Revive(id("failed")?, Due::Now)).await?;
    let revived = b.take("failed").await?;
    check_eq!((revived.fence, revived.attempt), (6, 6));
    b.succeed(&revived).await?;
    b.clock.advance(SECOND * 60);
    b.take("later").await?;
    let keep = Retention {
        age: Some(SECOND * 3_600),
        count: None,
    };
    let step = Maintain {
        retention: keep,
        limit: 100,
    };
    check_eq!(b.store()?.maintain(step).await?.removed, 1);
    check_eq!(b.find("old").await?, None);
    Ok(())
}

async fn importing_the_same_again_changes_nothing(b: &Bench<'_>) -> CaseResult {
    let records = one_of_each(b)?;
    for record in &records {
        import(b, record).await?;
    }
    let log = vec![
        event(1, before(b, 9), Some("k")),
        event(2, before(b, 8), None),
    ];
    let times = Mark {
        key: "gate/user/7".into(),
        value: Payload::parse(r#"{"max": 2}"#)?,
        version: 77,
        set_at: before(b, 9),
        until: Some(b.now().saturating_add(SECOND * 500)),
    };
    let others = [
        events("z failed", 1, log)?,
        mark(&times),
        key("key of y waits", "y waits", None)?,
    ];
    let mut first = Vec::new();
    for op in &others {
        first.push(b.apply(op.clone()).await?);
    }
    let mut hints = b.store()?.hints();
    // Also by who has them as this store tells them, and after they were told again.
    for record in &records {
        let there = b.record(record.id.as_str()).await?;
        for same in [record, &there] {
            let existing = Effect::Existing {
                id: record.id.clone(),
                status: record.status,
            };
            check_eq!(b.apply(whole(same)).await?, existing);
        }
        check_eq!(b.record(record.id.as_str()).await?, there);
    }
    for (op, first) in others.iter().zip(&first) {
        check_eq!(b.apply(op.clone()).await?, *first);
    }
    check_matches!(hints.try_next(), None);
    // What this store made itself is no other when it comes back.
    b.add_all(&["made here"]).await?;
    let made = b.record("made here").await?;
    check_matches!(b.apply(whole(&made)).await?, Effect::Existing { .. });
    Ok(())
}

async fn another_record_of_an_imported_id_is_refused(b: &Bench<'_>) -> CaseResult {
    let record = ended(b, "a", TaskStatus::Failed)?;
    let seq = import(b, &record).await?;
    let changes: [fn(&mut TaskStateRecord); 10] = [
        |record| record.args = Payload::null(),
        |record| record.queue = "other".into(),
        |record| record.priority = 1,
        |record| record.revision += 1,
        |record| record.result = Some(Payload::null()),
        |record| record.error = None,
        |record| drop(record.attempts.pop()),
        |record| record.tags.extend(["more".to_owned()]),
        |record| record.gates[0].limit = 4,
        |record| record.state = None,
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut other = record.clone();
        change(&mut other);
        let refused = b.refuse(Commit::of([whole(&other)])).await?;
        check_eq!(refused, Refusal::Exists(id("a")?), "change {n}");
    }
    // Nothing of a refused commit is there.
    let mut other = record.clone();
    other.attempt = 1;
    let both = Commit::of([whole(&ended(b, "b", TaskStatus::Failed)?), whole(&other)]);
    check_eq!(b.refuse(both).await?, Refusal::Exists(id("a")?));
    check_eq!(b.find("b").await?, None);
    check_eq!(b.record("a").await?, numbered(&record, seq));
    Ok(())
}

async fn a_record_that_cannot_be_is_not_imported(b: &Bench<'_>) -> CaseResult {
    let changes: [fn(&mut TaskStateRecord); 9] = [
        |record| record.status = TaskStatus::Running,
        |record| record.status = TaskStatus::Succeeded,
        |record| record.finished_at = Some(record.created_at),
        |record| record.holds = vec!["k".to_owned()],
        |record| record.schema_version = u16::MAX,
        |record| record.max_attempts = 0,
        |record| record.name = "".into(),
        |record| {
            record.gates = vec![Gate {
                key: "k".to_owned(),
                limit: 0,
            }];
        },
        |record| record.attempts.extend(record.attempts.clone()),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut wrong = waiting(b, "a")?;
        change(&mut wrong);
        let refused = b.refuse(Commit::of([whole(&wrong)])).await?;
        check_matches!(refused, Refusal::Invalid(_));
        check_eq!(b.find("a").await?, None, "change {n}");
    }
    let mut parked = ended(b, "a", TaskStatus::Failed)?;
    parked.parked = Some(behind("user/7", b));
    check_matches!(
        b.refuse(Commit::of([whole(&parked)])).await?,
        Refusal::Invalid(_)
    );
    let mut held = running(b, "a")?;
    held.fence += 1;
    check_matches!(
        b.refuse(Commit::of([whole(&held)])).await?,
        Refusal::Invalid(_)
    );
    let mut large = waiting(b, "a")?;
    large.progress = Some(Payload::parse(format!(
        "\"{}\"",
        "p".repeat(PAYLOAD_LIMIT)
    ))?);
    check_matches!(
        b.refuse(Commit::of([whole(&large)])).await?,
        Refusal::TooLarge(_)
    );
    check_eq!(b.find("a").await?, None);
    Ok(())
}

async fn an_imported_lease_ends_by_the_clock_of_the_store_it_came_to(b: &Bench<'_>) -> CaseResult {
    let (kept, lost) = (running(b, "kept")?, running(b, "lost")?);
    for record in [&kept, &lost] {
        import(b, record).await?;
    }
    check_eq!(b.reap(&lost).await?, Err(Refusal::NotExpired(id("lost")?)));
    // Its holder may still end it.
    let mut stale = kept.clone();
    if let Some(lease) = &mut stale.lease {
        lease.token = LeaseToken::from_u128(1);
    }
    let end = |record: &TaskStateRecord| settle(record, Settlement::success(Payload::null()));
    check_eq!(
        b.refuse(end(&stale)?).await?,
        Refusal::LeaseLost(id("kept")?)
    );
    b.accept(end(&kept)?).await?;
    check_eq!(
        b.refuse(end(&kept)?).await?,
        Refusal::AlreadyDone(id("kept")?)
    );
    // A wall clock is given some grace.
    b.clock.advance(SECOND * 31);
    let expired = TaskFilter {
        lease_expired: true,
        ..TaskFilter::default()
    };
    let counts = b.store()?.count(&expired, CountBy::All, 100).await?;
    check_eq!(counts.total(), 1);
    check_matches!(b.commit(reap(&lost)).await?, Ok(_));
    let back = b.record("lost").await?;
    check_eq!((back.lost, back.holds.len()), (lost.lost + 1, 0));
    check_eq!(back.attempts.len(), 21);
    Ok(())
}

fn behind(gate: &str, b: &Bench<'_>) -> Box<Parked> {
    Box::new(Parked {
        gate: gate.to_owned(),
        since: before(b, 40),
        reason: "1 of 1 places are taken".to_owned(),
        opens_at: None,
    })
}

async fn an_imported_holder_keeps_its_places_and_an_imported_parked_task_waits_behind_them(
    b: &Bench<'_>,
) -> CaseResult {
    let mut holder = TaskStateRecord::create(gated("holder", "k", 1)?, before(b, 100), 1);
    holder.status = TaskStatus::Running;
    (holder.fence, holder.leases, holder.attempt) = (1, 1, 1);
    holder.started_at = Some(before(b, 90));
    holder.holds = vec!["k".to_owned()];
    holder.lease = Some(Lease {
        worker: worker("w")?,
        until: b.now().saturating_add(SECOND * 20),
        fence: 1,
        token: LeaseToken::from_u128(5),
        ends: None,
    });
    let mut parked = TaskStateRecord::create(gated("parked", "k", 1)?, before(b, 100), 2);
    parked.parked = Some(behind("k", b));
    let ready = TaskStateRecord::create(gated("ready", "k", 1)?, before(b, 90), 3);
    // Only what is due waits behind a gate: this one waits for its time.
    let mut later = TaskStateRecord::create(gated("later", "k", 1)?, before(b, 90), 4);
    later.run_at = b.now().saturating_add(SECOND * 5);
    later.parked = Some(behind("k", b));
    let mut free = TaskStateRecord::create(gated("free", "open here", 1)?, before(b, 90), 5);
    free.parked = Some(behind("open here", b));
    for record in [&holder, &parked, &ready, &later, &free] {
        import(b, record).await?;
    }
    check_eq!(b.record("parked").await?.parked, parked.parked);
    check_eq!(b.record("later").await?.parked, None);
    check_eq!(names(&b.claim("worker", 9).await?), ["free"], "claimed");
    b.succeed(&holder).await?;
    b.succeed(&*b.take("parked").await?).await?;
    b.succeed(&*b.take("ready").await?).await?;
    b.clock.advance(SECOND * 5);
    b.take("later").await?;
    b.check_idle().await?;
    Ok(())
}
