//! What the end of a run leaves behind.

use super::bench::{
    Bench, CaseResult, Failed, SECOND, check, check_eq, check_matches, failure, id, settle, task,
};
use super::cases;
use crate::payload::Payload;
use crate::store::{Commit, Effect, Op, Refusal};
use crate::task::{
    ATTEMPTS_KEPT, AttemptEnd, Due, ERROR_LIMIT, Ended, Outcome, Settlement, TaskError, TaskStatus,
    decide,
};

cases! { "settles":
    a_success_keeps_its_result_its_end_and_its_attempt,
    a_failed_attempt_waits_for_its_retry_and_keeps_its_error,
    the_failure_of_the_last_attempt_is_final,
    a_success_takes_the_earlier_error_away,
    a_snooze_and_a_release_give_the_attempt_back,
    a_snoozed_task_waits_until_it_is_due_again,
    a_wake_during_a_run_ends_its_next_snooze_at_once,
    a_request_to_cancel_wins_over_a_retry_and_a_snooze_and_not_over_a_success,
    a_cancelled_run_keeps_the_reason_it_was_cancelled_for,
    what_has_ended_is_settled_no_more,
    what_does_not_run_cannot_be_settled_as_done,
    a_settlement_leads_to_waiting_or_to_an_end,
    the_history_keeps_the_first_attempt_and_the_last_twenty,
    long_error_texts_are_cut,
    a_settlement_can_carry_the_phase_and_the_state_of_an_engine,
}

async fn a_success_keeps_its_result_its_end_and_its_attempt(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a"]).await?;
    let begun = b.now();
    let mine = b.take("a").await?;
    b.clock.advance(SECOND * 7);
    let result = Payload::parse(r#"{"sum":  1.50, "of": [1e0]}"#)?;
    let effects = b
        .accept(settle(&mine, Settlement::success(result.clone()))?)
        .await?;
    check_eq!(effects, [Effect::Status(TaskStatus::Succeeded)]);
    let record = b.record("a").await?;
    check_eq!(record.status, TaskStatus::Succeeded);
    check_eq!(record.result, Some(result));
    check_eq!(record.finished_at, Some(b.now()));
    check_eq!(record.lease, None);
    let [attempt] = &record.attempts[..] else {
        return Err(Failed::new(format!("the history is {:?}", record.attempts)));
    };
    check_eq!(
        (attempt.attempt, attempt.outcome),
        (1, AttemptEnd::Succeeded)
    );
    check_eq!(attempt.worker.as_str(), "worker");
    check_eq!((attempt.started_at, attempt.finished_at), (begun, b.now()));
    Ok(())
}

async fn a_failed_attempt_waits_for_its_retry_and_keeps_its_error(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a"]).await?;
    let mine = b.take("a").await?;
    b.accept(settle(&mine, failure(&mine, "host 7 is down"))?)
        .await?;
    let record = b.record("a").await?;
    check_eq!(record.status, TaskStatus::Pending);
    check_eq!(record.run_at, b.now().saturating_add(SECOND * 10));
    check_eq!(record.error.as_deref(), Some("host 7 is down"));
    check_eq!(record.error_group.as_deref(), Some("host # is down"));
    check_eq!((record.attempt, record.finished_at), (1, None));
    let kept = record.attempts.first().and_then(|a| a.error.clone());
    check_eq!(kept.as_deref(), Some("host 7 is down"));
    b.clock.advance(SECOND * 10 - super::bench::MICRO);
    b.check_idle().await?;
    b.clock.advance(super::bench::MICRO);
    check_eq!(b.take("a").await?.attempt, 2);
    Ok(())
}

async fn the_failure_of_the_last_attempt_is_final(b: &Bench<'_>) -> CaseResult {
    let mut new = task("a")?;
    new.max_attempts = 3;
    b.add(new).await?;
    for attempt in 1..=3 {
        let mine = b.take("a").await?;
        check_eq!(mine.attempt, attempt);
        b.accept(settle(&mine, failure(&mine, &format!("no {attempt}")))?)
            .await?;
        b.clock.advance(SECOND * 10);
    }
    b.check_idle().await?;
    let record = b.record("a").await?;
    check_eq!((record.status, record.attempt), (TaskStatus::Failed, 3));
    check_eq!(record.error.as_deref(), Some("no 3"));
    let said: Vec<_> = record.attempts.iter().map(|a| a.error.as_deref()).collect();
    check_eq!(said, [Some("no 1"), Some("no 2"), Some("no 3")]);
    check!(record.result.is_none(), "a failure has a result");
    Ok(())
}

async fn a_success_takes_the_earlier_error_away(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a"]).await?;
    let mine = b.take("a").await?;
    b.accept(settle(&mine, failure(&mine, "once"))?).await?;
    b.clock.advance(SECOND * 10);
    let mine = b.take("a").await?;
    b.succeed(&mine).await?;
    let record = b.record("a").await?;
    check_eq!((record.error, record.error_group), (None, None));
    check_eq!(record.attempts.len(), 2);
    Ok(())
}

async fn a_snooze_and_a_release_give_the_attempt_back(b: &Bench<'_>) -> CaseResult {
    let mut new = task("a")?;
    new.max_attempts = 1;
    b.add(new).await?;
    for round in 1..=6 {
        let mine = b.take("a").await?;
        check_eq!((mine.attempt, mine.leases), (1, round));
        let back = if round % 2 == 0 {
            Settlement::snooze(Due::Now)
        } else {
            Settlement::release()
        };
        b.accept(settle(&mine, back)?).await?;
        let record = b.record("a").await?;
        check_eq!((record.attempt, record.status), (0, TaskStatus::Pending));
    }
    Ok(())
}

async fn a_snoozed_task_waits_until_it_is_due_again(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a"]).await?;
    let mine = b.take("a").await?;
    let until = b.now().saturating_add(SECOND * 90);
    b.accept(settle(&mine, Settlement::snooze(Due::At(until)))?)
        .await?;
    check_eq!(b.record("a").await?.run_at, until);
    b.clock.advance(SECOND * 90 - super::bench::MICRO);
    b.check_idle().await?;
    b.clock.advance(super::bench::MICRO);
    let mine = b.take("a").await?;
    let outcome = mine.attempts.last().map(|attempt| attempt.outcome);
    check_eq!(outcome, Some(AttemptEnd::Snoozed));
    Ok(())
}

async fn a_wake_during_a_run_ends_its_next_snooze_at_once(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a"]).await?;
    let mine = b.take("a").await?;
    let woken = b.apply(Op::Wake(id("a")?)).await?;
    check_eq!(woken, Effect::Status(TaskStatus::Running));
    let hour = Settlement::snooze(Due::In(SECOND * 3600));
    b.accept(settle(&mine, hour.clone())?).await?;
    let mine = b.take("a").await?;
    check!(!mine.woken, "a new run has an old wake");
    // The wake was used up.
    b.accept(settle(&mine, hour)?).await?;
    b.check_idle().await
}

async fn a_request_to_cancel_wins_over_a_retry_and_a_snooze_and_not_over_a_success(
    b: &Bench<'_>,
) -> CaseResult {
    for (name, wanted) in [
        ("retry", TaskStatus::Cancelled),
        ("snooze", TaskStatus::Cancelled),
        ("release", TaskStatus::Cancelled),
        ("success", TaskStatus::Succeeded),
        ("fail", TaskStatus::Failed),
    ] {
        b.add_all(&[name]).await?;
        // The record as its worker knows it: without the request that comes after.
        let mine = b.take(name).await?;
        b.apply(Op::Cancel(id(name)?, "enough".to_owned())).await?;
        let settlement = match name {
            "retry" => failure(&mine, "no luck"),
            "snooze" => Settlement::snooze(Due::In(SECOND)),
            "release" => Settlement::release(),
            "success" => Settlement::success(Payload::null()),
            _ => {
                let outcome = Outcome::Error(TaskError::fail("never"));
                decide(Ended::Returned(outcome), &mine, 0.0)
            }
        };
        let effects = b.accept(settle(&mine, settlement)?).await?;
        check_eq!(effects, [Effect::Status(wanted)], "{name}");
        let record = b.record(name).await?;
        check_eq!(record.status, wanted, "{name}");
        check_eq!(record.finished_at, Some(b.now()), "{name}");
    }
    b.clock.advance(SECOND * 60);
    b.check_idle().await
}

async fn a_cancelled_run_keeps_the_reason_it_was_cancelled_for(b: &Bench<'_>) -> CaseResult {
    for name in ["retry", "aborted"] {
        b.add_all(&[name]).await?;
        let mine = b.take(name).await?;
        b.apply(Op::Cancel(id(name)?, "enough".to_owned())).await?;
        let settlement = match name {
            "retry" => failure(&mine, "no luck"),
            _ => decide(Ended::Aborted("stopped".to_owned()), &mine, 0.0),
        };
        let said = settlement.error.clone();
        b.accept(settle(&mine, settlement)?).await?;
        let record = b.record(name).await?;
        check_eq!(record.status, TaskStatus::Cancelled, "{name}");
        check_eq!(record.error.as_deref(), Some("enough"), "{name}");
        check_eq!(record.error_group, None, "{name}");
        // What the run itself said stays in its history.
        let last = record.attempts.last().and_then(|last| last.error.clone());
        check_eq!(last, said, "{name}");
    }
    Ok(())
}

async fn what_has_ended_is_settled_no_more(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["done", "cancelled"]).await?;
    let mine = b.take("done").await?;
    b.succeed(&mine).await?;
    b.apply(Op::Cancel(id("cancelled")?, "no".to_owned()))
        .await?;
    for name in ["done", "cancelled"] {
        let before = b.record(name).await?;
        for settlement in [
            Settlement::success(Payload::parse("2")?),
            Settlement::release(),
            failure(&before, "late"),
        ] {
            let bare = Commit::of([Op::Settle(id(name)?, Box::new(settlement))]);
            check_matches!(b.refuse(bare).await?, Refusal::Status { .. });
        }
        check_eq!(b.record(name).await?, before);
    }
    Ok(())
}

async fn what_does_not_run_cannot_be_settled_as_done(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a"]).await?;
    let before = b.record("a").await?;
    for settlement in [Settlement::success(Payload::null()), Settlement::release()] {
        let bare = Commit::of([Op::Settle(id("a")?, Box::new(settlement))]);
        check_matches!(b.refuse(bare).await?, Refusal::Status { .. });
    }
    check_eq!(b.record("a").await?, before);
    let unknown = Commit::of([Op::Settle(id("none")?, Box::new(Settlement::release()))]);
    check_eq!(b.refuse(unknown).await?, Refusal::NotFound(id("none")?));
    Ok(())
}

async fn a_settlement_leads_to_waiting_or_to_an_end(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a"]).await?;
    let mine = b.take("a").await?;
    let mut odd = Settlement::release();
    odd.status = TaskStatus::Running;
    match b.commit(settle(&mine, odd)?).await? {
        // A store may refuse it or read it as "back to wait"; a running record without a lease is neither.
        Ok(_) => check_eq!(b.record("a").await?.status, TaskStatus::Pending),
        Err(_) => check_eq!(b.record("a").await?, *mine),
    }
    Ok(())
}

async fn the_history_keeps_the_first_attempt_and_the_last_twenty(b: &Bench<'_>) -> CaseResult {
    let mut new = task("a")?;
    new.max_attempts = 100;
    b.add(new).await?;
    for attempt in 1..=30 {
        let mine = b.take("a").await?;
        b.accept(settle(&mine, failure(&mine, &format!("error {attempt}")))?)
            .await?;
        b.clock.advance(SECOND * 10);
    }
    let record = b.record("a").await?;
    let kept: Vec<_> = record.attempts.iter().map(|a| a.attempt).collect();
    let wanted: Vec<_> = std::iter::once(1).chain(11..=30).collect();
    check_eq!((kept.len(), &kept), (ATTEMPTS_KEPT + 1, &wanted));
    Ok(())
}

async fn long_error_texts_are_cut(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a", "b"]).await?;
    let long = "é".repeat(ERROR_LIMIT);
    let mine = b.take("a").await?;
    let mut settlement = failure(&mine, "short");
    settlement.error = Some(long.clone());
    b.accept(settle(&mine, settlement)?).await?;
    let record = b.record("a").await?;
    b.apply(Op::Cancel(id("b")?, long)).await?;
    let cancelled = b.record("b").await?;
    let kept = record.attempts.first().and_then(|a| a.error.clone());
    for text in [record.error, kept, cancelled.error] {
        let text = text.unwrap_or_default();
        check!(
            text.len() <= ERROR_LIMIT && text.starts_with("éééé"),
            "an error of {} bytes was kept",
            text.len()
        );
    }
    Ok(())
}

async fn a_settlement_can_carry_the_phase_and_the_state_of_an_engine(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["run"]).await?;
    let mine = b.take("run").await?;
    let state = Payload::parse(r#"{"turn": 1}"#)?;
    let mut turn = Settlement::snooze(Due::Now);
    turn.phase = Some("waiting".to_owned());
    turn.state = Some(state.clone());
    b.accept(settle(&mine, turn)?).await?;
    let mine = b.take("run").await?;
    check_eq!(mine.phase.as_deref(), Some("waiting"));
    check_eq!(mine.state, Some(state.clone()));
    // A settlement that names neither leaves both.
    b.succeed(&mine).await?;
    let record = b.record("run").await?;
    check_eq!(record.phase.as_deref(), Some("waiting"));
    check_eq!(record.state, Some(state));
    Ok(())
}
