//! Gates that tasks carry: limits by key, parking, and who comes next.

use super::bench::{
    Bench, CaseResult, Failed, Record, SECOND, TTL, check, check_eq, check_matches, failure, id,
    names, request, settle, task,
};
use super::cases;
use crate::payload::Payload;
use crate::store::{Op, Patch};
use crate::task::{Due, Gate, NewTask, Settlement, TaskStateRecord, TaskStatus};

cases! { "gates":
    there_are_never_more_holders_than_the_limit,
    many_claimers_at_once_never_pass_the_limit,
    a_task_behind_a_closed_gate_is_parked_and_does_not_hold_up_the_others,
    a_thousand_times_more_tasks_behind_one_key_do_not_hide_the_others,
    what_opens_a_gate_brings_back_the_best_that_waits_behind_it,
    a_holder_is_gone_when_its_lost_lease_is_taken_back,
    a_task_that_waits_again_gives_its_place_up,
    with_different_limits_on_one_key_each_task_goes_by_its_own,
    many_tasks_of_a_small_limit_do_not_hide_one_of_a_larger,
    a_task_enters_all_its_gates_or_none,
    a_backlog_that_waits_for_two_gates_takes_few_claims_from_one_to_the_other,
    a_task_that_was_brought_back_and_is_not_to_run_passes_its_turn_on,
    a_task_that_was_brought_back_and_expired_passes_its_turn_on,
    a_parked_task_that_is_put_off_does_not_keep_the_gate_shut,
    a_parked_task_can_be_cancelled_moved_and_deleted,
    upkeep_brings_back_what_waits_behind_an_open_gate,
}

pub(super) fn gated(name: &str, key: &str, limit: u32) -> CaseResult<NewTask> {
    let mut new = task(name)?;
    new.gates.push(Gate {
        key: key.to_owned(),
        limit,
    });
    Ok(new)
}

/// Parks what cannot run: claims everything and wants exactly these.
pub(super) async fn claim_exactly(b: &Bench<'_>, wanted: &[&str]) -> CaseResult<Vec<Record>> {
    let claimed = b.claim_all(&request("worker", 10)?).await?;
    check_eq!(names(&claimed), wanted, "claimed");
    Ok(claimed)
}

pub(super) async fn parked_behind(b: &Bench<'_>, name: &str) -> CaseResult<Option<String>> {
    Ok(b.record(name).await?.parked.map(|parked| parked.gate))
}

async fn there_are_never_more_holders_than_the_limit(b: &Bench<'_>) -> CaseResult {
    for n in 0..9 {
        b.add(gated(&format!("t{n}"), "user/7", 3)?).await?;
    }
    let mut running = claim_exactly(b, &["t0", "t1", "t2"]).await?;
    for n in 3..9 {
        let done = running.remove(0);
        b.succeed(&done).await?;
        running.extend(claim_exactly(b, &[&format!("t{n}")]).await?);
        check_eq!(running.len(), 3);
    }
    Ok(())
}

async fn many_claimers_at_once_never_pass_the_limit(b: &Bench<'_>) -> CaseResult {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let count = b.many(200);
    for n in 0..count {
        b.add(gated(&format!("t{n}"), "user/7", 3)?).await?;
    }
    let running = std::sync::Arc::new(AtomicUsize::new(0));
    let done = std::sync::Arc::new(AtomicUsize::new(0));
    let mut claimers = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (store, asked) = (b.store()?, request(&format!("w{n}"), 2)?);
        let (running, done) = (running.clone(), done.clone());
        claimers.spawn(async move {
            while done.load(Ordering::SeqCst) < count {
                let claimed = store.claim(asked.clone()).await?.tasks;
                for _ in &claimed {
                    let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                    check!(now <= 3, "{now} run at once behind a limit of 3");
                }
                tokio::task::yield_now().await;
                for record in claimed {
                    // Counted out before the settle: in between it holds the place but does not run.
                    running.fetch_sub(1, Ordering::SeqCst);
                    let end = settle(&record, Settlement::success(Payload::null()))?;
                    for answer in store.commit(vec![end]).await? {
                        check_matches!(answer, Ok(_));
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                }
            }
            CaseResult::Ok(())
        });
    }
    while let Some(joined) = claimers.join_next().await {
        joined.map_err(|error| Failed::new(error.to_string()))??;
    }
    check_eq!(done.load(Ordering::SeqCst), count);
    Ok(())
}

async fn a_task_behind_a_closed_gate_is_parked_and_does_not_hold_up_the_others(
    b: &Bench<'_>,
) -> CaseResult {
    for (name, key) in [("a", "user/7"), ("b", "user/7"), ("c", "user/8")] {
        let mut new = gated(name, key, 1)?;
        new.priority = 9;
        b.add(new).await?;
    }
    b.add_all(&["d"]).await?;
    claim_exactly(b, &["a", "c", "d"]).await?;
    let parked = b.record("b").await?;
    check_eq!(parked.status, TaskStatus::Pending);
    let why = parked
        .parked
        .ok_or_else(|| Failed::new("b is not parked"))?;
    check_eq!((why.gate.as_str(), why.since), ("user/7", b.now()));
    check!(!why.reason.is_empty(), "a parked task does not say why");
    check_eq!(parked.attempt, 0);
    Ok(())
}

async fn a_thousand_times_more_tasks_behind_one_key_do_not_hide_the_others(
    b: &Bench<'_>,
) -> CaseResult {
    let count = b.many(10_000);
    let mut crowd = Vec::new();
    for n in 0..count {
        let mut new = gated(&format!("t{n:05}"), "user/7", 1)?;
        new.priority = 9;
        crowd.push(new);
    }
    b.add_many(crowd).await?;
    let mut holder = claim_exactly(b, &["t00000"]).await?;
    for n in 0..10 {
        let name = format!("other{n}");
        b.add_all(&[&name]).await?;
        // One claim is enough: the crowd is out of the way.
        b.take(&name).await?;
        if let Some(done) = holder.pop() {
            b.succeed(&done).await?;
        }
        holder = b.claim("worker", 1).await?;
        check_eq!(names(&holder), [format!("t{:05}", n + 1)]);
    }
    Ok(())
}

async fn what_opens_a_gate_brings_back_the_best_that_waits_behind_it(b: &Bench<'_>) -> CaseResult {
    b.add(gated("first", "user/7", 1)?).await?;
    let mut holder = claim_exactly(b, &["first"]).await?;
    let now = b.now();
    for (name, priority, ago) in [
        ("e", 1, 0),
        ("c", 5, 3),
        ("b", 5, 9),
        ("d", 5, 1),
        ("a", 9, 0),
    ] {
        let mut new = gated(name, "user/7", 1)?;
        new.priority = priority;
        new.due = Due::At(now.saturating_sub(SECOND * ago));
        b.add(new).await?;
    }
    claim_exactly(b, &[]).await?;
    for wanted in ["a", "b", "c", "d", "e"] {
        for done in holder.drain(..) {
            b.succeed(&done).await?;
        }
        check_eq!(parked_behind(b, wanted).await?, None, "{wanted}");
        holder = claim_exactly(b, &[wanted]).await?;
    }
    Ok(())
}

async fn a_holder_is_gone_when_its_lost_lease_is_taken_back(b: &Bench<'_>) -> CaseResult {
    b.add(gated("a", "user/7", 1)?).await?;
    let lost = claim_exactly(b, &["a"]).await?;
    let mut next = gated("b", "user/7", 1)?;
    next.priority = 9;
    b.add(next).await?;
    claim_exactly(b, &[]).await?;
    b.clock.advance(TTL);
    check_matches!(b.reap(&lost[0]).await?, Ok(_));
    let running = claim_exactly(b, &["b"]).await?;
    b.succeed(&running[0]).await?;
    claim_exactly(b, &["a"]).await?;
    Ok(())
}

async fn a_task_that_waits_again_gives_its_place_up(b: &Bench<'_>) -> CaseResult {
    type End = fn(&TaskStateRecord) -> Settlement;
    let ends: [End; 3] = [
        |_| Settlement::snooze(Due::In(SECOND * 60)),
        |record| failure(record, "no luck"),
        |_| Settlement::release(),
    ];
    for (n, end) in ends.into_iter().enumerate() {
        let (one, two, key) = (format!("one{n}"), format!("two{n}"), format!("key{n}"));
        b.add(gated(&one, &key, 1)?).await?;
        let first = claim_exactly(b, &[&one]).await?;
        let mut next = gated(&two, &key, 1)?;
        next.priority = 9;
        b.add(next).await?;
        claim_exactly(b, &[]).await?;
        b.accept(settle(&first[0], end(&first[0]))?).await?;
        claim_exactly(b, &[&two]).await?;
        b.apply(Op::Cancel(id(&one)?, "done".to_owned())).await?;
    }
    Ok(())
}

async fn with_different_limits_on_one_key_each_task_goes_by_its_own(b: &Bench<'_>) -> CaseResult {
    for (name, limit) in [
        ("a1", 1),
        ("b3", 3),
        ("c1", 1),
        ("d2", 2),
        ("e3", 3),
        ("f3", 3),
    ] {
        b.add(gated(name, "user/7", limit)?).await?;
    }
    // One holder: a1. b3 sees 1 < 3; c1 does not pass; d2 sees 2; e3 sees 2 < 3; f3 does not pass.
    let mut running = claim_exactly(b, &["a1", "b3", "e3"]).await?;
    b.succeed(&running.remove(0)).await?;
    running.extend(claim_exactly(b, &["f3"]).await?);
    b.succeed(&running.remove(0)).await?;
    b.succeed(&running.remove(0)).await?;
    running.extend(claim_exactly(b, &["d2"]).await?);
    for record in running {
        b.succeed(&record).await?;
    }
    claim_exactly(b, &["c1"]).await?;
    Ok(())
}

async fn many_tasks_of_a_small_limit_do_not_hide_one_of_a_larger(b: &Bench<'_>) -> CaseResult {
    for name in ["h1", "h2"] {
        b.add(gated(name, "k", 2)?).await?;
    }
    let holders = claim_exactly(b, &["h1", "h2"]).await?;
    for n in 0..130 {
        b.add(gated(&format!("small{n}"), "k", 1)?).await?;
    }
    b.add(gated("large", "k", 2)?).await?;
    claim_exactly(b, &[]).await?;
    check_eq!(parked_behind(b, "large").await?.as_deref(), Some("k"));
    // One holder is left: fewer than the larger limit, and not fewer than the small one.
    b.succeed(&holders[0]).await?;
    let large = claim_exactly(b, &["large"]).await?;
    b.succeed(&large[0]).await?;
    b.succeed(&holders[1]).await?;
    claim_exactly(b, &["small0"]).await?;
    Ok(())
}

async fn a_task_enters_all_its_gates_or_none(b: &Bench<'_>) -> CaseResult {
    b.add(gated("x", "x", 1)?).await?;
    let x = claim_exactly(b, &["x"]).await?;
    let mut both = gated("both", "y", 1)?;
    both.gates.push(Gate {
        key: "x".to_owned(),
        limit: 1,
    });
    both.priority = 9;
    b.add(both).await?;
    b.add(gated("y", "y", 1)?).await?;
    // `both` waits for x and must not sit on y meanwhile.
    let y = claim_exactly(b, &["y"]).await?;
    check_eq!(parked_behind(b, "both").await?.as_deref(), Some("x"));
    b.succeed(&x[0]).await?;
    claim_exactly(b, &[]).await?;
    check_eq!(parked_behind(b, "both").await?.as_deref(), Some("y"));
    b.succeed(&y[0]).await?;
    let both = claim_exactly(b, &["both"]).await?;
    for name in ["x", "y"] {
        b.add(gated(&format!("{name}2"), name, 1)?).await?;
    }
    claim_exactly(b, &[]).await?;
    b.succeed(&both[0]).await?;
    claim_exactly(b, &["x2", "y2"]).await?;
    Ok(())
}

async fn a_backlog_that_waits_for_two_gates_takes_few_claims_from_one_to_the_other(
    b: &Bench<'_>,
) -> CaseResult {
    let count = b.many(1_000);
    for key in ["x", "y"] {
        b.add(gated(key, key, 1)?).await?;
    }
    let mut holders = claim_exactly(b, &["x", "y"]).await?;
    let (first, last) = ("t000".to_owned(), format!("t{:03}", count - 1));
    let mut crowd = Vec::new();
    for n in 0..count {
        let mut both = gated(&format!("t{n:03}"), "x", 1)?;
        both.gates.push(Gate {
            key: "y".to_owned(),
            limit: 1,
        });
        both.priority = 9;
        crowd.push(both);
    }
    b.add_many(crowd).await?;
    claim_exactly(b, &[]).await?;
    // Whichever opens while the other is full, all go behind the other.
    for (n, (opens, full)) in [("x", "y"), ("y", "x"), ("x", "y")].into_iter().enumerate() {
        check_eq!(parked_behind(b, &last).await?.as_deref(), Some(opens));
        b.succeed(&holders.remove(0)).await?;
        let mut claims = 0;
        loop {
            let answer = b.claims(request("worker", 10)?).await?;
            check!(answer.tasks.is_empty(), "one runs with one of its gates");
            claims += 1;
            check!(
                claims <= 5 + count / 32,
                "{claims} claims for {count} tasks between two gates"
            );
            let again = answer.next_due.is_some_and(|due| due <= answer.now);
            check_eq!(answer.more, again, "more is to be had, and it is not said");
            if !again {
                break;
            }
        }
        for waits in [&first, &last] {
            check_eq!(parked_behind(b, waits).await?.as_deref(), Some(full));
        }
        // The place is there for one that needs no other, and for one without gates.
        let (only, free) = (format!("{opens}{n}"), format!("free{n}"));
        b.add(gated(&only, opens, 1)?).await?;
        b.add_all(&[&free]).await?;
        let claimed = claim_exactly(b, &[&only, &free]).await?;
        holders.push(claimed[0].clone());
        b.succeed(&claimed[1]).await?;
    }
    for holder in &holders {
        b.succeed(holder).await?;
    }
    for n in 0..5 {
        let claimed = claim_exactly(b, &[&format!("t{n:03}")]).await?;
        b.succeed(&claimed[0]).await?;
    }
    Ok(())
}

async fn a_task_that_was_brought_back_and_is_not_to_run_passes_its_turn_on(
    b: &Bench<'_>,
) -> CaseResult {
    for what in ["cancel", "delete", "move", "put off"] {
        let (one, two, three) = (format!("1{what}"), format!("2{what}"), format!("3{what}"));
        for name in [&one, &two, &three] {
            b.add(gated(name, what, 1)?).await?;
        }
        let first = claim_exactly(b, &[&one]).await?;
        b.succeed(&first[0]).await?;
        check_eq!(parked_behind(b, &two).await?, None, "{what}");
        let patch = match what {
            "cancel" => {
                b.apply(Op::Cancel(id(&two)?, "no".to_owned())).await?;
                None
            }
            "delete" => {
                b.apply(Op::Delete(id(&two)?)).await?;
                None
            }
            "move" => Some(Patch {
                queue: Some("elsewhere".to_owned()),
                ..Patch::default()
            }),
            _ => Some(Patch {
                due: Some(Due::In(SECOND * 3600)),
                ..Patch::default()
            }),
        };
        if let Some(patch) = patch {
            check_matches!(b.patch(&two, patch).await?, Ok(_));
        }
        claim_exactly(b, &[&three]).await?;
    }
    Ok(())
}

async fn a_task_that_was_brought_back_and_expired_passes_its_turn_on(b: &Bench<'_>) -> CaseResult {
    b.add(gated("a", "user/7", 1)?).await?;
    let mut short = gated("b", "user/7", 1)?;
    short.expires = Some(Due::In(SECOND * 5));
    b.add(short).await?;
    b.add(gated("c", "user/7", 1)?).await?;
    let first = claim_exactly(b, &["a"]).await?;
    b.clock.advance(SECOND * 10);
    b.succeed(&first[0]).await?;
    claim_exactly(b, &["c"]).await?;
    check_eq!(b.record("b").await?.status, TaskStatus::Cancelled);
    Ok(())
}

async fn a_parked_task_that_is_put_off_does_not_keep_the_gate_shut(b: &Bench<'_>) -> CaseResult {
    for name in ["a", "b", "c"] {
        b.add(gated(name, "user/7", 1)?).await?;
    }
    let first = claim_exactly(b, &["a"]).await?;
    let later = Patch {
        due: Some(Due::In(SECOND * 3600)),
        priority: Some(9),
        ..Patch::default()
    };
    check_matches!(b.patch("b", later).await?, Ok(_));
    b.succeed(&first[0]).await?;
    let third = claim_exactly(b, &["c"]).await?;
    b.succeed(&third[0]).await?;
    claim_exactly(b, &[]).await?;
    b.clock.advance(SECOND * 3600);
    claim_exactly(b, &["b"]).await?;
    Ok(())
}

async fn a_parked_task_can_be_cancelled_moved_and_deleted(b: &Bench<'_>) -> CaseResult {
    for name in ["a", "b", "c", "d", "e"] {
        b.add(gated(name, "user/7", 1)?).await?;
    }
    let first = claim_exactly(b, &["a"]).await?;
    b.apply(Op::Cancel(id("b")?, "no".to_owned())).await?;
    b.apply(Op::Delete(id("c")?)).await?;
    let away = Patch {
        queue: Some("elsewhere".to_owned()),
        ..Patch::default()
    };
    check_matches!(b.patch("d", away).await?, Ok(_));
    let cancelled = b.record("b").await?;
    check_eq!(cancelled.status, TaskStatus::Cancelled);
    check_eq!(cancelled.parked, None);
    b.succeed(&first[0]).await?;
    // d is the best that waits, and it waits in the other queue.
    claim_exactly(b, &[]).await?;
    let mut asked = request("worker", 5)?;
    asked.lanes = crate::store::Lanes::new(["elsewhere"], ["work"]);
    let moved = b.claim_all(&asked).await?;
    check_eq!(names(&moved), ["d"]);
    b.succeed(&moved[0]).await?;
    claim_exactly(b, &["e"]).await?;
    Ok(())
}

async fn upkeep_brings_back_what_waits_behind_an_open_gate(b: &Bench<'_>) -> CaseResult {
    b.add(gated("a", "user/7", 1)?).await?;
    let first = claim_exactly(b, &["a"]).await?;
    let mut best = gated("best", "user/7", 1)?;
    best.priority = 9;
    b.add(best).await?;
    b.add(gated("next", "user/7", 1)?).await?;
    claim_exactly(b, &[]).await?;
    let away = Patch {
        queue: Some("nobody serves this".to_owned()),
        ..Patch::default()
    };
    check_matches!(b.patch("best", away).await?, Ok(_));
    b.succeed(&first[0]).await?;
    // The best has the turn, in a queue without a worker; the next gets one by upkeep.
    let done = b
        .store()?
        .maintain(crate::store::Maintain {
            retention: crate::store::Retention::default(),
            limit: 100,
        })
        .await?;
    check!(done.unparked >= 1, "upkeep brought nothing back");
    claim_exactly(b, &["next"]).await?;
    Ok(())
}
