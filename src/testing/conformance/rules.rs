//! What operators set for gates, queues and task names.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::bench::{
    Bench, CaseResult, MICRO, SECOND, TTL, check, check_eq, check_matches, id, names, request,
    settle, task,
};
use super::cases;
use super::creates::create_leased;
use super::gates::{claim_exactly, gated, parked_behind};
use crate::payload::Payload;
use crate::store::{Commit, Lanes, Op, Refusal};
use crate::task::{Gate, Settlement};

cases! { "rules":
    a_rule_replaces_the_limit_that_tasks_carry,
    a_dropped_rule_brings_the_limits_of_the_tasks_back,
    a_paused_gate_starts_nothing_and_its_tasks_come_back_when_it_goes_on,
    a_gate_that_goes_on_opens_also_for_those_behind_tasks_that_wait_for_another,
    a_paused_queue_gives_nothing_and_what_runs_goes_on,
    a_paused_task_name_stops_that_name_only,
    however_many_wait_of_a_name_that_may_not_start_they_hide_no_other_one,
    a_rule_of_a_name_holds_for_the_older_names_of_its_task,
    a_gate_that_a_task_has_in_two_ways_counts_it_once,
    a_limit_on_a_queue_or_a_name_bounds_what_runs,
    a_rate_lets_so_many_start_in_its_period,
    a_rate_lets_a_burst_start_after_a_quiet_time,
    a_rate_that_was_changed_holds_at_once,
    the_time_to_look_again_is_never_after_the_next_start_that_a_rate_allows,
    a_start_that_comes_late_does_not_put_off_the_next_one_that_a_rate_allows,
    a_rule_with_a_time_to_live_ends_by_itself,
    what_is_no_rule_is_refused_as_the_rule_of_a_gate,
}

async fn a_rule_replaces_the_limit_that_tasks_carry(b: &Bench<'_>) -> CaseResult {
    for n in 0..6 {
        b.add(gated(&format!("t{n}"), "user/7", 1)?).await?;
    }
    let mut running = claim_exactly(b, &["t0"]).await?;
    b.rule("user/7", r#"{"max": 3}"#).await?;
    check_eq!(parked_behind(b, "t1").await?, None);
    running.extend(claim_exactly(b, &["t1", "t2"]).await?);
    b.rule("user/7", r#"{"max": 1}"#).await?;
    for _ in 0..2 {
        b.succeed(&running.remove(0)).await?;
        claim_exactly(b, &[]).await?;
    }
    b.succeed(&running.remove(0)).await?;
    claim_exactly(b, &["t3"]).await?;
    Ok(())
}

async fn a_dropped_rule_brings_the_limits_of_the_tasks_back(b: &Bench<'_>) -> CaseResult {
    b.rule("user/7", r#"{"max": 0}"#).await?;
    for n in 0..4 {
        b.add(gated(&format!("t{n}"), "user/7", 2)?).await?;
    }
    claim_exactly(b, &[]).await?;
    b.apply(Op::DropMark("gate/user/7".into())).await?;
    claim_exactly(b, &["t0", "t1"]).await?;
    Ok(())
}

async fn a_paused_gate_starts_nothing_and_its_tasks_come_back_when_it_goes_on(
    b: &Bench<'_>,
) -> CaseResult {
    b.add(gated("a", "user/7", 2)?).await?;
    let running = claim_exactly(b, &["a"]).await?;
    b.rule("user/7", r#"{"paused": true, "reason": "audit"}"#)
        .await?;
    b.add(gated("b", "user/7", 2)?).await?;
    b.add(gated("c", "user/8", 2)?).await?;
    claim_exactly(b, &["c"]).await?;
    let why = b.record("b").await?.parked.map(|parked| parked.reason);
    check!(
        why.as_ref().is_some_and(|why| why.contains("audit")),
        "the reason of the pause is not told: {why:?}"
    );
    b.succeed(&running[0]).await?;
    claim_exactly(b, &[]).await?;
    b.rule("user/7", "{}").await?;
    claim_exactly(b, &["b"]).await?;
    Ok(())
}

async fn a_gate_that_goes_on_opens_also_for_those_behind_tasks_that_wait_for_another(
    b: &Bench<'_>,
) -> CaseResult {
    b.add(gated("holder", "full", 1)?).await?;
    let holder = claim_exactly(b, &["holder"]).await?;
    for (key, goes_on) in [
        ("plain", "{}"),
        ("raised", r#"{"max": 10}"#),
        ("rated", r#"{"rate": {"n": 10, "per": "1h"}}"#),
    ] {
        b.rule(key, r#"{"paused": true}"#).await?;
        // More than one look of a store takes in: the first passes, then come many that wait for another gate too.
        let mut waiting = vec![gated(&format!("{key}0"), key, 10)?];
        for n in 0..100 {
            let mut both = gated(&format!("{key} both {n}"), key, 10)?;
            both.gates.push(Gate {
                key: "full".to_owned(),
                limit: 1,
            });
            waiting.push(both);
        }
        for n in 1..12 {
            waiting.push(gated(&format!("{key}{n}"), key, 10)?);
        }
        b.add_many(waiting).await?;
        claim_exactly(b, &[]).await?;
        b.rule(key, goes_on).await?;
        let claimed = b.claim_all(&request("worker", 20)?).await?;
        let wanted: Vec<_> = (0..10).map(|n| format!("{key}{n}")).collect();
        check_eq!(names(&claimed), wanted, "claimed behind the gate {key}");
    }
    b.succeed(&holder[0]).await
}

async fn a_paused_queue_gives_nothing_and_what_runs_goes_on(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a", "b"]).await?;
    let mine = b.take("a").await?;
    b.rule("queue/default", r#"{"paused": true}"#).await?;
    b.add_all(&["c"]).await?;
    let mut other = task("other")?;
    other.queue = "other".into();
    b.add(other).await?;
    b.check_idle().await?;
    let mut both = request("worker", 9)?;
    both.lanes = crate::store::Lanes::new(["default", "other"], ["work"]);
    check_eq!(names(&b.claim_all(&both).await?), ["other"]);
    b.accept(super::bench::extend(&mine, TTL)?).await?;
    b.succeed(&mine).await?;
    b.rule("queue/default", "{}").await?;
    claim_exactly(b, &["b", "c"]).await?;
    Ok(())
}

async fn a_paused_task_name_stops_that_name_only(b: &Bench<'_>) -> CaseResult {
    b.rule("task/work", r#"{"paused": true}"#).await?;
    b.add_all(&["a"]).await?;
    let mut other = task("b")?;
    other.name = "other".into();
    b.add(other).await?;
    let mut both = request("worker", 9)?;
    both.lanes = crate::store::Lanes::new(["default"], ["work", "other"]);
    check_eq!(names(&b.claim_all(&both).await?), ["b"]);
    b.apply(Op::DropMark("gate/task/work".into())).await?;
    check_eq!(names(&b.claim_all(&both).await?), ["a"]);
    Ok(())
}

async fn however_many_wait_of_a_name_that_may_not_start_they_hide_no_other_one(
    b: &Bench<'_>,
) -> CaseResult {
    let mut crowd = Vec::new();
    for name in ["paused", "slow"] {
        for n in 0..b.many(1_000) {
            let mut new = task(&format!("{name}{n:04}"))?;
            new.name = name.into();
            new.priority = 255;
            crowd.push(new);
        }
    }
    b.add_many(crowd).await?;
    b.add_all(&["last"]).await?;
    b.rule("task/paused", r#"{"paused": true}"#).await?;
    b.rule("task/slow", r#"{"rate": {"n": 1, "per": "1m"}}"#)
        .await?;
    let mut all = request("worker", 1)?;
    all.lanes = crate::store::Lanes::new(["default"], ["paused", "slow", "work"]);
    check_eq!(names(&b.claims(all.clone()).await?.tasks), ["slow0000"]);
    let claims = b.claims(all).await?;
    check_eq!(names(&claims.tasks), ["last"]);
    check!(
        claims.next_due.is_some(),
        "when the slow ones go on is not told"
    );
    Ok(())
}

async fn a_rule_of_a_name_holds_for_the_older_names_of_its_task(b: &Bench<'_>) -> CaseResult {
    b.rule("task/work", r#"{"paused": true}"#).await?;
    let mut old = task("old")?;
    old.name = "labour".into();
    b.add(old).await?;
    b.add_all(&["new", "newer"]).await?;
    let mut both = request("worker", 9)?;
    both.lanes = Lanes::new(["default"], ["work", "labour"]);
    both.lanes.aliases = Arc::new(BTreeMap::from([("labour".into(), "work".into())]));
    check_eq!(names(&b.claim_all(&both).await?).len(), 0);
    // A limit counts all of them, whatever they are called.
    b.rule("task/work", r#"{"max": 1}"#).await?;
    for next in ["old", "new", "newer"] {
        let running = b.claim_all(&both).await?;
        check_eq!(names(&running), [next]);
        b.succeed(&running[0]).await?;
    }
    Ok(())
}

async fn a_gate_that_a_task_has_in_two_ways_counts_it_once(b: &Bench<'_>) -> CaseResult {
    let mut twice = request("worker", 9)?;
    twice.lanes.aliases = Arc::new(BTreeMap::from([("work".into(), "work".into())]));
    for (round, rule) in [r#"{"max": 2}"#, r#"{"rate": {"n": 2, "per": "1h"}}"#]
        .into_iter()
        .enumerate()
    {
        b.rule("task/work", rule).await?;
        // By its name, by the name that this stands for, and as a gate of its own.
        let ids = [1, 2, 3].map(|n| format!("{round}{n}"));
        for id in &ids {
            b.add(gated(id, "task/work", 2)?).await?;
        }
        let running = b.claim_all(&twice).await?;
        check_eq!(names(&running), ids[..2]);
        for record in &running {
            check_eq!(record.holds, ["task/work"]);
            b.succeed(record).await?;
        }
        b.apply(Op::Cancel(id(&ids[2])?, "done".to_owned())).await?;
    }
    // So does one that starts as it is made.
    b.rule("task/work", r#"{"max": 2}"#).await?;
    for (id, starts) in [("a", true), ("b", true), ("c", false)] {
        let made = create_leased(b, gated(id, "task/work", 2)?).await?;
        check_eq!(made.is_some(), starts, "{id}");
    }
    Ok(())
}

async fn a_limit_on_a_queue_or_a_name_bounds_what_runs(b: &Bench<'_>) -> CaseResult {
    for gate in ["queue/default", "task/work"] {
        b.rule(gate, r#"{"max": 2}"#).await?;
        let ids: Vec<_> = (0..5).map(|n| format!("{gate} {n}")).collect();
        b.add_all(&ids.iter().map(String::as_str).collect::<Vec<_>>())
            .await?;
        let mut running = claim_exactly(b, &[&ids[0], &ids[1]]).await?;
        for next in &ids[2..] {
            b.succeed(&running.remove(0)).await?;
            running.extend(claim_exactly(b, &[next]).await?);
        }
        b.clock.advance(TTL);
        check_matches!(b.reap(&running[0]).await?, Ok(_));
        check_eq!(b.claim("worker", 5).await?.len(), 1, "after a loss");
        b.apply(Op::DropMark(format!("gate/{gate}").into())).await?;
        for record in b.claim_all(&request("worker", 9)?).await? {
            b.succeed(&record).await?;
        }
    }
    Ok(())
}

/// Starts everything that may start now and ends it; how many.
async fn started(b: &Bench<'_>) -> CaseResult<usize> {
    let claimed = b.claim_all(&request("worker", 10)?).await?;
    for record in &claimed {
        b.accept(settle(record, Settlement::success(Payload::null()))?)
            .await?;
    }
    Ok(claimed.len())
}

async fn a_rate_lets_so_many_start_in_its_period(b: &Bench<'_>) -> CaseResult {
    b.rule("user/7", r#"{"rate": {"n": 2, "per": "10s", "burst": 1}}"#)
        .await?;
    for n in 0..8 {
        b.add(gated(&format!("t{n}"), "user/7", 100)?).await?;
    }
    check_eq!(started(b).await?, 1);
    b.clock.advance(SECOND * 5 - MICRO);
    check_eq!(started(b).await?, 0, "a moment before the next start");
    b.clock.advance(MICRO);
    check_eq!(started(b).await?, 1, "after half the period");
    let mut total = 0;
    for _ in 0..4 {
        b.clock.advance(SECOND * 5);
        total += started(b).await?;
    }
    check_eq!(total, 4);
    Ok(())
}

async fn a_rate_lets_a_burst_start_after_a_quiet_time(b: &Bench<'_>) -> CaseResult {
    b.rule(
        "queue/default",
        r#"{"rate": {"n": 1, "per": "10s", "burst": 3}}"#,
    )
    .await?;
    for n in 0..9 {
        b.add_all(&[&format!("t{n}")]).await?;
    }
    check_eq!(started(b).await?, 3, "at first");
    b.clock.advance(SECOND * 10);
    check_eq!(started(b).await?, 1, "after one period");
    b.clock.advance(SECOND * 1_000);
    check_eq!(started(b).await?, 3, "after a long quiet time");
    Ok(())
}

async fn a_rate_that_was_changed_holds_at_once(b: &Bench<'_>) -> CaseResult {
    b.rule("queue/default", r#"{"rate": {"n": 1, "per": "1h"}}"#)
        .await?;
    for n in 0..9 {
        b.add_all(&[&format!("t{n}")]).await?;
    }
    check_eq!(started(b).await?, 1, "by the slow rate");
    // What the slow rate has used up of its hour is no debt of the new one, and no present either.
    b.rule("queue/default", r#"{"rate": {"n": 2, "per": "10s"}}"#)
        .await?;
    check_eq!(started(b).await?, 0, "at once");
    b.clock.advance(SECOND * 5);
    check_eq!(started(b).await?, 1, "after half a period");
    b.clock.advance(SECOND * 10);
    check_eq!(started(b).await?, 2, "after a period");
    Ok(())
}

async fn the_time_to_look_again_is_never_after_the_next_start_that_a_rate_allows(
    b: &Bench<'_>,
) -> CaseResult {
    for gate in ["user/7", "queue/default", "task/work"] {
        b.rule(gate, r#"{"rate": {"n": 1, "per": "10s"}}"#).await?;
        for n in 0..4 {
            b.add(gated(&format!("{gate} {n}"), "user/7", 100)?).await?;
        }
        let begun = b.now();
        let mut done = 0;
        // As a loop that sleeps until it is told does.
        for _ in 0..200 {
            let claims = b.claims(request("worker", 5)?).await?;
            for record in &claims.tasks {
                b.succeed(record).await?;
                done += 1;
            }
            if done == 4 {
                break;
            }
            let Some(next) = claims.next_due else {
                check!(false, "no time to look again behind {gate}");
                return Ok(());
            };
            b.clock.advance(next.since(b.now()));
        }
        check_eq!((done, b.now().since(begun)), (4, SECOND * 30), "{gate}");
        b.apply(Op::DropMark(format!("gate/{gate}").into())).await?;
        b.clock.advance(SECOND * 60);
    }
    Ok(())
}

async fn a_start_that_comes_late_does_not_put_off_the_next_one_that_a_rate_allows(
    b: &Bench<'_>,
) -> CaseResult {
    for gate in ["user/7", "queue/default", "task/work"] {
        b.rule(gate, r#"{"rate": {"n": 2, "per": "10s"}}"#).await?;
        for n in 0..5 {
            b.add(gated(&format!("{gate} {n}"), "user/7", 100)?).await?;
        }
        // None of them ends: nobody's leave opens the gate.
        let mut running = Vec::new();
        for (after, starts) in [(0, 2), (9, 1), (1, 1), (5, 1)] {
            b.clock.advance(SECOND * after);
            let claimed = b.claim_all(&request("worker", 10)?).await?;
            check_eq!(claimed.len(), starts, "{after} s later, behind {gate}");
            running.extend(claimed);
        }
        for record in &running {
            b.succeed(record).await?;
        }
        b.apply(Op::DropMark(format!("gate/{gate}").into())).await?;
        b.clock.advance(SECOND * 60);
    }
    Ok(())
}

async fn a_rule_with_a_time_to_live_ends_by_itself(b: &Bench<'_>) -> CaseResult {
    for gate in ["user/7", "queue/default"] {
        let put = Op::PutMark {
            key: format!("gate/{gate}").into(),
            value: Payload::parse(r#"{"paused": true}"#)?,
            ttl: Some(SECOND * 60),
        };
        b.apply(put).await?;
        let name = format!("behind {gate}");
        b.add(gated(&name, "user/7", 1)?).await?;
        claim_exactly(b, &[]).await?;
        let end = b.now().saturating_add(SECOND * 60);
        let next = b.claims(request("worker", 5)?).await?.next_due;
        check!(
            next.is_some_and(|next| next <= end),
            "look again at {next:?}; the pause of {gate} ends at {end}"
        );
        b.clock.advance(SECOND * 60);
        let running = claim_exactly(b, &[&name]).await?;
        b.succeed(&running[0]).await?;
        let over = crate::store::Commit::default().when(crate::store::Guard::Mark(
            format!("gate/{gate}").into(),
            crate::store::MarkExpect::Version(1),
        ));
        check_eq!(
            b.refuse(over).await?,
            Refusal::Mark(format!("gate/{gate}").into(), None)
        );
    }
    Ok(())
}

async fn what_is_no_rule_is_refused_as_the_rule_of_a_gate(b: &Bench<'_>) -> CaseResult {
    b.rule("user/7", r#"{"max": 1}"#).await?;
    for (value, says) in [
        ("7", "user/7"),
        ("null", "user/7"),
        (r#""paused""#, "user/7"),
        (r#"{"paused": "yes"}"#, "user/7"),
        (r#"{"pausd": true}"#, "pausd"),
        (r#"{"max": -1}"#, "user/7"),
        (r#"{"rate": {"n": 0, "per": "1s"}}"#, "rate"),
        (r#"{"rate": {"n": 1, "per": "0s"}}"#, "rate"),
    ] {
        let put = |key: &str| {
            let (key, ttl) = (key.into(), None);
            let value = Payload::parse(value)?;
            CaseResult::Ok(Commit::of([Op::PutMark { key, value, ttl }]))
        };
        match b.refuse(put("gate/user/7")?).await? {
            Refusal::Invalid(why) => check!(why.contains(says), "{value}: {why}"),
            other => check!(false, "{value}: {other:?}"),
        }
        // Another mark may hold what it likes.
        b.accept(put("gates/user/7")?).await?;
    }
    for n in 0..3 {
        b.add(gated(&format!("t{n}"), "user/7", 5)?).await?;
    }
    claim_exactly(b, &["t0"]).await.map(drop)
}
