//! Who holds a task, until when, and what becomes of a lost holder's writes.

use super::bench::{
    Bench, CaseResult, Failed, MICRO, SECOND, TTL, check, check_eq, check_matches, extend, id,
    lease, settle, stream,
};
use super::cases;
use crate::id::LeaseToken;
use crate::payload::Payload;
use crate::store::{Commit, Effect, Guard, NewEvent, Op, Patch, Refusal};
use crate::task::{LeaseRef, Settlement, TaskStateRecord, TaskStatus};

cases! { "leases":
    a_claimed_task_is_nobody_elses_until_its_lease_ends,
    the_fence_of_a_task_only_grows,
    every_lease_has_a_token_of_its_own,
    a_write_with_an_old_fence_or_another_token_is_refused_and_changes_nothing,
    the_same_settle_twice_answers_that_it_was_already_done,
    a_settle_after_the_end_of_the_lease_is_accepted_while_nobody_took_the_task_back,
    a_settle_after_the_task_was_taken_back_is_refused,
    extending_moves_the_end_of_the_lease,
    extending_brings_back_whether_a_cancel_was_asked_for_or_a_wake_came,
    a_lease_that_ended_can_be_extended_while_nobody_took_the_task_back,
    a_batch_of_extends_answers_for_each_by_itself,
}

async fn a_claimed_task_is_nobody_elses_until_its_lease_ends(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a"]).await?;
    let mine = b.take("a").await?;
    for _ in 0..29 {
        b.check_idle().await?;
        b.clock.advance(SECOND);
        check_eq!(b.reap(&mine).await?, Err(Refusal::NotExpired(id("a")?)));
    }
    check_eq!(b.record("a").await?, *mine);
    b.succeed(&mine).await
}

async fn the_fence_of_a_task_only_grows(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a"]).await?;
    let mut last = 0;
    for round in 0..6 {
        let mine = b.take("a").await?;
        check!(
            mine.fence > last,
            "fence {} after {last} in round {round}",
            mine.fence
        );
        last = mine.fence;
        match round {
            0 => drop(b.accept(settle(&mine, Settlement::release())?).await?),
            1 => {
                let snoozed = Settlement::snooze(crate::task::Due::Now);
                b.accept(settle(&mine, snoozed)?).await?;
            }
            2 => {
                b.clock.advance(TTL);
                check_matches!(b.reap(&mine).await?, Ok(_));
            }
            3 => {
                let failed = super::bench::failure(&mine, "no luck");
                b.accept(settle(&mine, failed)?).await?;
                b.clock.advance(SECOND * 10);
            }
            _ => {
                let mut failed = super::bench::failure(&mine, "no luck");
                failed.status = TaskStatus::Failed;
                b.accept(settle(&mine, failed)?).await?;
                b.apply(Op::Revive(id("a")?, crate::task::Due::Now)).await?;
            }
        }
        check!(
            b.record("a").await?.fence >= last,
            "the fence went back after round {round}"
        );
    }
    Ok(())
}

async fn every_lease_has_a_token_of_its_own(b: &Bench<'_>) -> CaseResult {
    let mut seen = std::collections::HashSet::new();
    for n in 0..20 {
        b.add_all(&[&format!("t{n}")]).await?;
    }
    for _ in 0..3 {
        for record in b.claim("worker", 20).await? {
            let token = lease(&record)?.token;
            check!(seen.insert(token), "a token came twice");
            b.accept(settle(&record, Settlement::release())?).await?;
        }
    }
    check_eq!(seen.len(), 60);
    Ok(())
}

/// Every write that a holder makes, with this lease shown.
fn holders_writes(record: &TaskStateRecord, shown: LeaseRef) -> CaseResult<Vec<Commit>> {
    let id = record.id.clone();
    let event = NewEvent {
        kind: "line".to_owned(),
        key: None,
        data: Payload::null(),
    };
    let progress = Patch {
        progress: Some(Payload::parse("50")?),
        ..Patch::default()
    };
    let success = Settlement::success(Payload::parse("\"stale\"")?);
    let ops = [
        Op::Settle(id.clone(), Box::new(success)),
        Op::Settle(id.clone(), Box::new(Settlement::release())),
        Op::Extend(id.clone(), TTL),
        Op::Patch(id.clone(), Box::new(progress)),
        Op::Append(stream(id.as_str(), "log/1")?, vec![event]),
    ];
    let guard = Guard::Held(id, shown);
    Ok(ops
        .into_iter()
        .map(|op| Commit::of([op]).when(guard.clone()))
        .collect())
}

async fn a_write_with_an_old_fence_or_another_token_is_refused_and_changes_nothing(
    b: &Bench<'_>,
) -> CaseResult {
    b.add_all(&["a"]).await?;
    let old = b.take("a").await?;
    b.clock.advance(TTL);
    check_matches!(b.reap(&old).await?, Ok(_));
    let waiting = b.record("a").await?;
    for write in holders_writes(&old, lease(&old)?)? {
        check_eq!(b.refuse(write).await?, Refusal::LeaseLost(id("a")?));
    }
    check_eq!(
        b.record("a").await?,
        waiting,
        "after writes of a lost lease"
    );
    let new = b.take("a").await?;
    let real = lease(&new)?;
    let wrong_token = LeaseRef {
        token: LeaseToken::from_u128(real.token.as_u128() ^ 1),
        ..real
    };
    let wrong_fence = LeaseRef {
        fence: real.fence + 1,
        ..real
    };
    for shown in [lease(&old)?, wrong_token, wrong_fence] {
        for write in holders_writes(&new, shown)? {
            check_eq!(b.refuse(write).await?, Refusal::LeaseLost(id("a")?));
        }
    }
    check_eq!(b.record("a").await?, *new, "after stale writes");
    let log = stream("a", "log/1")?;
    check!(
        b.store()?.events(&log, 1, 9).await?.is_empty(),
        "a stale append was kept"
    );
    b.succeed(&new).await
}

async fn the_same_settle_twice_answers_that_it_was_already_done(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["done", "failed", "snoozed"]).await?;
    for record in b.claim("worker", 3).await? {
        let settlement = match record.id.as_str() {
            "done" => Settlement::success(Payload::parse("1")?),
            "failed" => super::bench::failure(&record, "no luck"),
            _ => Settlement::snooze(crate::task::Due::In(SECOND)),
        };
        let again = settle(&record, settlement)?;
        b.accept(again.clone()).await?;
        let first = b.record(record.id.as_str()).await?;
        for _ in 0..3 {
            let refusal = b.refuse(again.clone()).await?;
            check_eq!(refusal, Refusal::AlreadyDone(record.id.clone()));
        }
        check_eq!(b.record(record.id.as_str()).await?, first);
    }
    // Another token of the same fence did not settle it.
    let done = b.record("done").await?;
    let stranger = LeaseRef {
        fence: done.fence,
        token: LeaseToken::from_u128(7),
    };
    for write in holders_writes(&done, stranger)? {
        check_eq!(b.refuse(write).await?, Refusal::LeaseLost(id("done")?));
    }
    Ok(())
}

async fn a_settle_after_the_end_of_the_lease_is_accepted_while_nobody_took_the_task_back(
    b: &Bench<'_>,
) -> CaseResult {
    b.add_all(&["a"]).await?;
    let mine = b.take("a").await?;
    b.clock.advance(TTL * 10);
    b.check_idle().await?;
    b.succeed(&mine).await?;
    check_eq!(b.record("a").await?.status, TaskStatus::Succeeded);
    check_eq!(b.reap(&mine).await?, Err(Refusal::LeaseLost(id("a")?)));
    check_eq!(b.record("a").await?.lost, 0);
    Ok(())
}

async fn a_settle_after_the_task_was_taken_back_is_refused(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a"]).await?;
    let late = b.take("a").await?;
    b.clock.advance(TTL);
    check_matches!(b.reap(&late).await?, Ok(_));
    let done = settle(&late, Settlement::success(Payload::parse("\"late\"")?))?;
    check_eq!(b.refuse(done.clone()).await?, Refusal::LeaseLost(id("a")?));
    let next = b.take("a").await?;
    check_eq!(b.refuse(done.clone()).await?, Refusal::LeaseLost(id("a")?));
    b.accept(settle(
        &next,
        Settlement::success(Payload::parse("\"mine\"")?),
    )?)
    .await?;
    check_eq!(b.refuse(done).await?, Refusal::LeaseLost(id("a")?));
    let record = b.record("a").await?;
    check_eq!(record.result, Some(Payload::parse("\"mine\"")?));
    Ok(())
}

async fn extending_moves_the_end_of_the_lease(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a"]).await?;
    let mine = b.take("a").await?;
    for _ in 0..20 {
        b.clock.advance(TTL / 3);
        let effects = b.accept(extend(&mine, TTL)?).await?;
        let until = b.now().saturating_add(TTL);
        let quiet = Effect::Extended {
            until,
            cancel_requested: false,
            woken: false,
        };
        check_eq!(effects, [quiet]);
        let shown = b.record("a").await?.lease;
        check_eq!(shown.map(|lease| lease.until), Some(until));
    }
    b.clock.advance(TTL - MICRO);
    check_eq!(b.reap(&mine).await?, Err(Refusal::NotExpired(id("a")?)));
    // A shorter lease counts too.
    b.accept(extend(&mine, SECOND)?).await?;
    b.clock.advance(SECOND);
    check_matches!(b.reap(&mine).await?, Ok(_));
    Ok(())
}

async fn extending_brings_back_whether_a_cancel_was_asked_for_or_a_wake_came(
    b: &Bench<'_>,
) -> CaseResult {
    b.add_all(&["a"]).await?;
    let mine = b.take("a").await?;
    b.apply(Op::Wake(id("a")?)).await?;
    let effects = b.accept(extend(&mine, TTL)?).await?;
    check_matches!(
        effects[..],
        [Effect::Extended {
            cancel_requested: false,
            woken: true,
            ..
        }]
    );
    let asked = b.apply(Op::Cancel(id("a")?, "stop".to_owned())).await?;
    check_eq!(asked, Effect::CancelRequested);
    let effects = b.accept(extend(&mine, TTL)?).await?;
    check_matches!(
        effects[..],
        [Effect::Extended {
            cancel_requested: true,
            woken: true,
            ..
        }]
    );
    Ok(())
}

async fn a_lease_that_ended_can_be_extended_while_nobody_took_the_task_back(
    b: &Bench<'_>,
) -> CaseResult {
    b.add_all(&["a"]).await?;
    let mine = b.take("a").await?;
    b.clock.advance(TTL * 3);
    b.accept(extend(&mine, TTL)?).await?;
    check_eq!(b.reap(&mine).await?, Err(Refusal::NotExpired(id("a")?)));
    b.clock.advance(TTL);
    check_matches!(b.reap(&mine).await?, Ok(_));
    let refusal = b.refuse(extend(&mine, TTL)?).await?;
    check_eq!(refusal, Refusal::LeaseLost(id("a")?));
    Ok(())
}

async fn a_batch_of_extends_answers_for_each_by_itself(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a", "b", "c"]).await?;
    let mine = b.claim("worker", 3).await?;
    b.apply(Op::Cancel(id("c")?, "stop".to_owned())).await?;
    let [first, second, third] = &mine[..] else {
        return Err(Failed::new("three tasks were not claimed"));
    };
    b.succeed(second).await?;
    let batch = [first, second, third].map(|record| extend(record, TTL));
    let answers = b
        .store()?
        .commit(batch.into_iter().collect::<CaseResult<_>>()?)
        .await?;
    check_matches!(answers[..], [Ok(_), Err(Refusal::AlreadyDone(_)), Ok(_)]);
    let flags: Vec<_> = answers
        .iter()
        .flatten()
        .flatten()
        .map(|effect| matches!(effect, Effect::Extended { cancel_requested, .. } if *cancel_requested))
        .collect();
    check_eq!(flags, [false, true]);
    Ok(())
}
