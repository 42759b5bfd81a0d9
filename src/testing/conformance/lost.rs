//! Lost leases: when they have ended, and who may take a task back.

use super::bench::{
    Bench, CaseResult, Failed, MICRO, SECOND, TTL, check, check_eq, check_matches, extend, failure,
    id, names, reap, request, settle, task,
};
use super::cases;
use crate::page::PageRequest;
use crate::payload::Payload;
use crate::store::{Commit, Effect, Guard, Op, Refusal, TaskFilter};
use crate::task::{AttemptEnd, Settlement, TaskStatus};

cases! { "lost leases":
    a_lease_is_taken_back_only_after_its_end,
    taking_back_is_refused_for_another_fence,
    of_many_that_take_a_task_back_one_succeeds,
    of_a_settle_an_extend_and_a_taking_back_each_order_has_one_outcome,
    a_lost_lease_counts_as_lost_and_not_as_an_attempt,
    a_task_that_lost_too_many_leases_has_failed,
    a_task_that_runs_at_most_once_fails_with_its_first_lost_lease,
    the_list_of_ended_leases_has_those_and_no_others,
    #[needs(SteadyLeases)]
    setting_the_wall_clock_does_not_end_a_lease,
    #[needs(SteadyLeases)]
    a_reboot_ends_every_lease,
}

async fn a_lease_is_taken_back_only_after_its_end(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a"]).await?;
    let mine = b.take("a").await?;
    check_eq!(b.reap(&mine).await?, Err(Refusal::NotExpired(id("a")?)));
    b.clock.advance(TTL - MICRO);
    check_eq!(b.reap(&mine).await?, Err(Refusal::NotExpired(id("a")?)));
    check_eq!(b.record("a").await?, *mine);
    b.clock.advance(MICRO);
    check_eq!(
        b.reap(&mine).await?,
        Ok(vec![Effect::Status(TaskStatus::Pending)])
    );
    let next = b.take("a").await?;
    check_eq!((next.attempt, next.fence, next.lost), (2, 2, 1));
    Ok(())
}

async fn taking_back_is_refused_for_another_fence(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a"]).await?;
    let first = b.take("a").await?;
    b.accept(settle(&first, Settlement::release())?).await?;
    check_eq!(b.reap(&first).await?, Err(Refusal::LeaseLost(id("a")?)));
    let second = b.take("a").await?;
    b.clock.advance(TTL * 2);
    check_eq!(b.reap(&first).await?, Err(Refusal::LeaseLost(id("a")?)));
    check_matches!(b.reap(&second).await?, Ok(_));
    let unknown = Commit::default().when(Guard::Expired(id("none")?, 1));
    check_eq!(b.refuse(unknown).await?, Refusal::NotFound(id("none")?));
    Ok(())
}

async fn of_many_that_take_a_task_back_one_succeeds(b: &Bench<'_>) -> CaseResult {
    let count = 20;
    for n in 0..count {
        b.add_all(&[&format!("t{n}")]).await?;
    }
    check_eq!(b.claim("worker", count).await?.len(), count);
    b.clock.advance(TTL);
    let expired = TaskFilter {
        lease_expired: true,
        ..TaskFilter::default()
    };
    let mut reapers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (store, expired) = (b.store()?, expired.clone());
        reapers.spawn(async move {
            let page = store.list(&expired, PageRequest::first(100)).await?;
            let commits = page.items.iter().map(|item| reap(&item.record)).collect();
            let answers = store.commit(commits).await?;
            CaseResult::Ok(answers.iter().filter(|answer| answer.is_ok()).count())
        });
    }
    let mut taken = 0;
    while let Some(joined) = reapers.join_next().await {
        taken += joined.map_err(|error| Failed::new(error.to_string()))??;
    }
    check_eq!(taken, count);
    for record in b.claim_all(&request("next", 50)?).await? {
        check_eq!((record.lost, record.attempt), (1, 2), "{}", record.id);
    }
    Ok(())
}

async fn of_a_settle_an_extend_and_a_taking_back_each_order_has_one_outcome(
    b: &Bench<'_>,
) -> CaseResult {
    let orders = ["ser", "sre", "esr", "ers", "rse", "res"];
    for order in orders {
        b.add_all(&[order]).await?;
        let mine = b.take(order).await?;
        b.clock.advance(TTL);
        let mut seen = String::new();
        for step in order.chars() {
            let answer = match step {
                's' => b.commit(settle(&mine, Settlement::success(Payload::null()))?),
                'e' => b.commit(extend(&mine, TTL)?),
                _ => b.commit(reap(&mine)),
            };
            seen.push(if answer.await?.is_ok() { step } else { '-' });
        }
        // Who comes first wins; an extension only keeps the taking back away.
        let wanted = match order {
            "ser" | "sre" => "s--",
            "esr" => "es-",
            "ers" => "e-s",
            _ => "r--",
        };
        check_eq!(seen, wanted, "in the order {order}");
        let record = b.record(order).await?;
        let done = if order.starts_with('r') {
            TaskStatus::Pending
        } else {
            TaskStatus::Succeeded
        };
        check_eq!((record.status, record.attempts.len()), (done, 1));
        if done == TaskStatus::Pending {
            b.apply(Op::Cancel(id(order)?, "done".to_owned())).await?;
        }
    }
    Ok(())
}

async fn a_lost_lease_counts_as_lost_and_not_as_an_attempt(b: &Bench<'_>) -> CaseResult {
    let mut new = task("a")?;
    new.max_attempts = 2;
    b.add(new).await?;
    for lost in 1..=3 {
        let mine = b.take("a").await?;
        check_eq!(mine.attempt, lost);
        b.clock.advance(TTL);
        check_matches!(b.reap(&mine).await?, Ok(_));
        let record = b.record("a").await?;
        check_eq!((record.lost, record.spent()), (lost, 0));
        let last = record.attempts.last().map(|attempt| attempt.outcome);
        check_eq!(last, Some(AttemptEnd::Lost));
        b.clock.advance(SECOND * 600);
    }
    let mine = b.take("a").await?;
    b.accept(settle(&mine, failure(&mine, "one"))?).await?;
    check_eq!(b.record("a").await?.status, TaskStatus::Pending);
    Ok(())
}

async fn a_task_that_lost_too_many_leases_has_failed(b: &Bench<'_>) -> CaseResult {
    let mut new = task("poison")?;
    new.max_lost = 3;
    b.add(new).await?;
    for _ in 0..3 {
        let mine = b.take("poison").await?;
        b.clock.advance(TTL);
        check_matches!(b.reap(&mine).await?, Ok(_));
        b.clock.advance(SECOND * 600);
    }
    b.check_idle().await?;
    let record = b.record("poison").await?;
    check_eq!((record.status, record.lost), (TaskStatus::Failed, 3));
    let said = record.error.unwrap_or_default();
    check!(said.contains("worker lost"), "it failed with {said:?}");
    Ok(())
}

async fn a_task_that_runs_at_most_once_fails_with_its_first_lost_lease(
    b: &Bench<'_>,
) -> CaseResult {
    let mut new = task("once")?;
    new.max_lost = 0;
    b.add(new).await?;
    let mine = b.take("once").await?;
    b.clock.advance(TTL);
    check_eq!(
        b.reap(&mine).await?,
        Ok(vec![Effect::Status(TaskStatus::Failed)])
    );
    b.check_idle().await
}

async fn the_list_of_ended_leases_has_those_and_no_others(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a", "b", "c", "d"]).await?;
    let mine = b.claim("worker", 3).await?;
    let expired = TaskFilter {
        lease_expired: true,
        ..TaskFilter::default()
    };
    let listed = async || -> CaseResult<Vec<String>> {
        let page = b.store()?.list(&expired, PageRequest::first(10)).await?;
        let ids = page.items.iter().map(|item| item.record.id.to_string());
        Ok(ids.collect())
    };
    b.clock.advance(TTL - MICRO);
    check_eq!(listed().await?, Vec::<String>::new());
    b.accept(extend(&mine[1], TTL)?).await?;
    b.clock.advance(MICRO);
    check_eq!(listed().await?, ["a", "c"]);
    check_matches!(b.reap(&mine[0]).await?, Ok(_));
    check_eq!(listed().await?, ["c"]);
    b.succeed(&mine[2]).await?;
    check_eq!(listed().await?, Vec::<String>::new());
    b.clock.advance(TTL);
    check_eq!(listed().await?, ["b"]);
    Ok(())
}

async fn setting_the_wall_clock_does_not_end_a_lease(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a"]).await?;
    let mine = b.take("a").await?;
    let day = SECOND * 86_400;
    b.clock.set_wall(b.now().saturating_add(day));
    check_eq!(b.reap(&mine).await?, Err(Refusal::NotExpired(id("a")?)));
    b.clock.set_wall(b.now().saturating_sub(day * 2));
    check_eq!(b.reap(&mine).await?, Err(Refusal::NotExpired(id("a")?)));
    b.clock.advance(TTL - MICRO);
    check_eq!(b.reap(&mine).await?, Err(Refusal::NotExpired(id("a")?)));
    b.clock.advance(MICRO);
    check_matches!(b.reap(&mine).await?, Ok(_));
    check_eq!(names(&b.claim("next", 1).await?), ["a"]);
    Ok(())
}

async fn a_reboot_ends_every_lease(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a", "b"]).await?;
    let before = b.take("a").await?;
    b.clock.reboot();
    let after = b.take("b").await?;
    let claims = b.claims(request("reaper", 5)?).await?;
    check!(
        claims.next_due.is_some_and(|due| due <= claims.now),
        "the lease of an earlier boot is not due: {:?}",
        claims.next_due
    );
    check_matches!(b.reap(&before).await?, Ok(_));
    check_eq!(b.reap(&after).await?, Err(Refusal::NotExpired(id("b")?)));
    Ok(())
}
