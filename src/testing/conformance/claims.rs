//! Which tasks a claim gives, in which order, and when to look again.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::bench::{
    Bench, CaseResult, MICRO, SECOND, check, check_eq, check_matches, id, names, request, task,
    worker,
};
use super::cases;
use crate::store::{Change, Lanes, Op, Patch};
use crate::task::{Due, Prefer, TaskStatus};

cases! { "claims":
    tasks_are_claimed_by_priority_then_due_time_then_creation,
    however_many_come_due_at_once_the_best_of_them_is_claimed_first,
    a_future_task_never_blocks_a_ready_one,
    a_task_is_claimed_from_its_due_time_on_and_not_before,
    a_due_time_given_as_a_wait_counts_from_the_clock_of_the_store,
    a_claim_gives_at_most_as_many_as_asked,
    a_claim_gives_only_tasks_of_the_queues_and_names_it_asks_for,
    queues_are_served_in_the_order_they_are_asked_for,
    a_task_with_a_version_goes_to_a_worker_that_knows_that_version,
    a_task_without_a_version_fits_any_version_of_its_name,
    a_worker_of_many_names_claims_in_the_order_of_one_queue,
    tasks_of_unknown_names_do_not_hide_those_of_known_ones,
    an_empty_queue_gives_nothing_and_no_time_to_look_again,
    a_claimed_record_shows_its_lease_its_attempt_and_its_start,
    a_task_that_expired_is_cancelled_instead_of_started,
    a_preferred_worker_claims_first_and_the_others_when_that_ends,
    the_time_to_look_again_is_never_after_the_first_delayed_task,
    the_time_to_look_again_is_never_after_the_end_of_a_lease,
    a_claim_that_stopped_at_its_limit_says_to_look_again_at_once,
    a_change_of_priority_or_due_time_changes_the_order_at_once,
    many_claimers_at_once_get_each_task_exactly_once,
}

async fn tasks_are_claimed_by_priority_then_due_time_then_creation(b: &Bench<'_>) -> CaseResult {
    let now = b.now();
    for (name, priority, ago) in [
        ("f", 5, 0),
        ("d", 5, 10),
        ("a", 255, 0),
        ("e", 5, 10),
        ("c", 5, 20),
        ("h", 0, 99),
        ("b", 200, 0),
        ("g", 4, 0),
    ] {
        let mut new = task(name)?;
        new.priority = priority;
        new.due = Due::At(now.saturating_sub(SECOND * ago));
        b.add(new).await?;
    }
    let mut order = Vec::new();
    for limit in [1, 3, 10] {
        order.extend(b.claim("worker", limit).await?);
    }
    check_eq!(names(&order), ["a", "b", "c", "d", "e", "f", "g", "h"]);
    Ok(())
}

async fn however_many_come_due_at_once_the_best_of_them_is_claimed_first(
    b: &Bench<'_>,
) -> CaseResult {
    let count = b.many(6_000);
    // The later it is due the more it matters.
    let importance = |n: usize| u8::try_from(n * 250 / count).unwrap_or(u8::MAX);
    let mut tasks = Vec::with_capacity(count);
    for n in 0..count {
        let mut new = task(&format!("t{n:05}"))?;
        new.priority = importance(n);
        new.due = Due::In(SECOND + MICRO * u32::try_from(n).unwrap_or(0));
        tasks.push(new);
    }
    b.add_many(tasks).await?;
    b.clock.advance(SECOND * 2);
    let asked = request("worker", 3)?;
    for _ in 0..100 {
        let claims = b.claims(asked.clone()).await?;
        if let Some(first) = claims.tasks.first() {
            let best = (0..count).find(|n| importance(*n) == importance(count - 1));
            let best = best.unwrap_or_default();
            check_eq!(first.id.as_str(), format!("t{best:05}"));
            return Ok(());
        }
        check!(claims.more, "nothing was claimed, and there is no more");
    }
    check!(false, "100 claims gave nothing");
    Ok(())
}

async fn a_future_task_never_blocks_a_ready_one(b: &Bench<'_>) -> CaseResult {
    for n in 0..b.many(500) {
        let mut later = task(&format!("later{n}"))?;
        later.priority = 255;
        later.due = Due::In(SECOND * 60);
        b.add(later).await?;
    }
    b.add_all(&["now"]).await?;
    b.take("now").await?;
    b.check_idle().await
}

async fn a_task_is_claimed_from_its_due_time_on_and_not_before(b: &Bench<'_>) -> CaseResult {
    let mut at = task("at")?;
    at.due = Due::At(b.now().saturating_add(SECOND * 60));
    b.add(at).await?;
    b.check_idle().await?;
    b.clock.advance(SECOND * 60 - MICRO);
    b.check_idle().await?;
    b.clock.advance(MICRO);
    b.take("at").await?;
    Ok(())
}

async fn a_due_time_given_as_a_wait_counts_from_the_clock_of_the_store(
    b: &Bench<'_>,
) -> CaseResult {
    b.clock
        .set_wall(b.now().saturating_add(SECOND * 86_400 * 365));
    let mut later = task("later")?;
    later.due = Due::In(SECOND * 5);
    b.add(later).await?;
    let record = b.record("later").await?;
    check_eq!(record.run_at, b.now().saturating_add(SECOND * 5));
    check_eq!(record.created_at, b.now());
    b.check_idle().await?;
    b.clock.advance(SECOND * 5);
    b.take("later").await?;
    Ok(())
}

async fn a_claim_gives_at_most_as_many_as_asked(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a", "b", "c", "d", "e", "f", "g"]).await?;
    let mut left = 7;
    for limit in [1, 2, 3, 5] {
        let claimed = b.claim("worker", limit).await?.len();
        check_eq!(claimed, limit.min(left), "claimed with limit {limit}");
        left -= claimed;
    }
    Ok(())
}

async fn a_claim_gives_only_tasks_of_the_queues_and_names_it_asks_for(b: &Bench<'_>) -> CaseResult {
    for (name, queue, what) in [
        ("a", "default", "work"),
        ("b", "default", "other"),
        ("c", "mail", "work"),
        ("d", "mail", "other"),
    ] {
        let mut new = task(name)?;
        new.queue = Arc::from(queue);
        new.name = Arc::from(what);
        b.add(new).await?;
    }
    let mut asked = request("worker", 10)?;
    asked.lanes = Lanes::new(["mail"], ["work"]);
    check_eq!(names(&b.claim_all(&asked).await?), ["c"]);
    asked.lanes = Lanes::new(["mail"], ["other", "third"]);
    check_eq!(names(&b.claim_all(&asked).await?), ["d"]);
    asked.lanes = Lanes::new(["default", "empty"], ["other"]);
    check_eq!(names(&b.claim_all(&asked).await?), ["b"]);
    asked.lanes = Lanes::new(["default", "mail"], ["third"]);
    check_eq!(names(&b.claim_all(&asked).await?), Vec::<&str>::new());
    asked.lanes = Lanes::new(["default", "mail"], ["work", "other"]);
    check_eq!(names(&b.claim_all(&asked).await?), ["a"]);
    Ok(())
}

async fn queues_are_served_in_the_order_they_are_asked_for(b: &Bench<'_>) -> CaseResult {
    for (name, queue, priority) in [("a", "low", 255), ("b", "high", 0), ("c", "high", 1)] {
        let mut new = task(name)?;
        new.queue = Arc::from(queue);
        new.priority = priority;
        b.add(new).await?;
    }
    let mut asked = request("worker", 2)?;
    asked.lanes = Lanes::new(["high", "low"], ["work"]);
    check_eq!(names(&b.claims(asked.clone()).await?.tasks), ["c", "b"]);
    check_eq!(names(&b.claims(asked).await?.tasks), ["a"]);
    Ok(())
}

async fn a_task_with_a_version_goes_to_a_worker_that_knows_that_version(
    b: &Bench<'_>,
) -> CaseResult {
    for version in ["1", "2"] {
        let mut new = task(version)?;
        new.version = Some(Arc::from(version));
        b.add(new).await?;
    }
    b.check_idle().await?;
    let mut asked = request("worker", 10)?;
    asked.lanes.names = Arc::new(BTreeSet::from([(Arc::from("work"), Some(Arc::from("2")))]));
    check_eq!(names(&b.claim_all(&asked).await?), ["2"]);
    asked.lanes.names = Arc::new(BTreeSet::from([
        (Arc::from("work"), Some(Arc::from("1"))),
        (Arc::from("work"), Some(Arc::from("3"))),
    ]));
    check_eq!(names(&b.claim_all(&asked).await?), ["1"]);
    Ok(())
}

async fn a_task_without_a_version_fits_any_version_of_its_name(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a"]).await?;
    let mut asked = request("worker", 10)?;
    let versions = ["7", "8"].map(|version| (Arc::from("work"), Some(Arc::from(version))));
    asked.lanes.names = Arc::new(BTreeSet::from(versions));
    check_eq!(names(&b.claim_all(&asked).await?), ["a"]);
    Ok(())
}

async fn a_worker_of_many_names_claims_in_the_order_of_one_queue(b: &Bench<'_>) -> CaseResult {
    let count = 200;
    let mut wanted = Vec::new();
    for n in 0..count {
        // Names in one order, priorities in another, three tasks to a name.
        let mut new = task(&format!("t{n:03}"))?;
        new.name = Arc::from(format!("name{}", n % 70));
        new.priority = u8::try_from((n * 37) % 101).unwrap_or(0);
        wanted.push((255 - new.priority, n));
        b.add(new).await?;
    }
    let mut unknown = task("unknown")?;
    unknown.name = Arc::from("unknown");
    unknown.priority = 255;
    b.add(unknown).await?;
    wanted.sort_unstable();
    let mut asked = request("worker", 7)?;
    asked.lanes = Lanes::new(["default"], (0..70).map(|n| format!("name{n}")));
    let claimed = b.claim_all(&asked).await?;
    let wanted: Vec<_> = wanted.iter().map(|(_, n)| format!("t{n:03}")).collect();
    check_eq!(names(&claimed), wanted);
    Ok(())
}

async fn tasks_of_unknown_names_do_not_hide_those_of_known_ones(b: &Bench<'_>) -> CaseResult {
    let mut strangers = Vec::new();
    for n in 0..b.many(1_000) {
        let mut stranger = task(&format!("s{n}"))?;
        stranger.name = Arc::from(format!("stranger{}", n % 40));
        stranger.priority = 9;
        strangers.push(stranger);
    }
    b.add_many(strangers).await?;
    b.add_all(&["mine"]).await?;
    b.take("mine").await?;
    b.check_idle().await
}

async fn an_empty_queue_gives_nothing_and_no_time_to_look_again(b: &Bench<'_>) -> CaseResult {
    let claims = b.claims(request("worker", 5)?).await?;
    check!(claims.tasks.is_empty(), "an empty store gave tasks");
    check_eq!(claims.next_due, None);
    check_eq!(claims.now, b.now());
    Ok(())
}

async fn a_claimed_record_shows_its_lease_its_attempt_and_its_start(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a"]).await?;
    b.clock.advance(SECOND * 3);
    let claimed = b.take("a").await?;
    check_eq!(claimed.status, TaskStatus::Running);
    check_eq!((claimed.attempt, claimed.leases, claimed.fence), (1, 1, 1));
    check_eq!(claimed.started_at, Some(b.now()));
    let lease = claimed.lease.as_ref();
    check_eq!(lease.map(|lease| lease.worker.as_str()), Some("worker"));
    check_eq!(lease.map(|lease| lease.fence), Some(1));
    check_eq!(
        lease.map(|lease| lease.until),
        Some(b.now().saturating_add(super::bench::TTL))
    );
    check_eq!(b.record("a").await?, *claimed);
    Ok(())
}

async fn a_task_that_expired_is_cancelled_instead_of_started(b: &Bench<'_>) -> CaseResult {
    for (name, wait) in [("gone", 10), ("kept", 11)] {
        let mut new = task(name)?;
        new.expires = Some(Due::In(SECOND * wait));
        b.add(new).await?;
    }
    b.clock.advance(SECOND * 10);
    let claimed = b.claim_all(&request("worker", 10)?).await?;
    check_eq!(names(&claimed), ["kept"]);
    let gone = b.record("gone").await?;
    check_eq!(gone.status, TaskStatus::Cancelled);
    check_eq!((gone.attempt, gone.finished_at), (0, Some(b.now())));
    check!(gone.error.is_some(), "an expired task does not say why");
    Ok(())
}

async fn a_preferred_worker_claims_first_and_the_others_when_that_ends(
    b: &Bench<'_>,
) -> CaseResult {
    b.add_all(&["a", "b"]).await?;
    let until = b.now().saturating_add(SECOND);
    for name in ["a", "b"] {
        let prefer = Change::Set(Some(Prefer {
            worker: worker("friend")?,
            until,
        }));
        let patch = Patch {
            prefer,
            ..Patch::default()
        };
        check_matches!(b.patch(name, patch).await?, Ok(_));
    }
    let claims = b.claims(request("other", 5)?).await?;
    check_eq!(names(&claims.tasks), Vec::<&str>::new());
    check!(
        claims.next_due.is_some_and(|due| due <= until),
        "look again at {:?}, after the preference ends",
        claims.next_due
    );
    check_eq!(names(&b.claim("friend", 1).await?), ["a"]);
    b.clock.advance(SECOND);
    check_eq!(names(&b.claim("other", 5).await?), ["b"]);
    Ok(())
}

async fn the_time_to_look_again_is_never_after_the_first_delayed_task(b: &Bench<'_>) -> CaseResult {
    let begun = b.now();
    for wait in [300, 40, 700] {
        let mut later = task(&format!("in{wait}"))?;
        later.due = Due::In(SECOND * wait);
        b.add(later).await?;
    }
    for (wait, name) in [(40, "in40"), (300, "in300"), (700, "in700")] {
        let due = begun.saturating_add(SECOND * wait);
        // As a loop that sleeps until it is told does: it must not sleep past the task.
        for _ in 0..100 {
            let claims = b.claims(request("worker", 5)?).await?;
            if let Some(found) = claims.tasks.first() {
                check_eq!((found.id.as_str(), b.now()), (name, due));
                b.succeed(found).await?;
                break;
            }
            let Some(next) = claims.next_due else {
                check!(false, "no time to look again while {name} waits");
                return Ok(());
            };
            check!(
                next > b.now() && next <= due,
                "look again at {next} for {name} at {due}"
            );
            b.clock.advance(next.since(b.now()));
        }
    }
    Ok(())
}

async fn the_time_to_look_again_is_never_after_the_end_of_a_lease(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a"]).await?;
    b.take("a").await?;
    b.clock.advance(SECOND);
    let claims = b.claims(request("worker", 5)?).await?;
    let end = b.now().saturating_add(super::bench::TTL - SECOND);
    check!(
        claims.next_due.is_some_and(|due| due <= end),
        "look again at {:?}; the lease ends at {end}",
        claims.next_due
    );
    Ok(())
}

async fn a_claim_that_stopped_at_its_limit_says_to_look_again_at_once(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a", "b", "c"]).await?;
    let claims = b.claims(request("worker", 2)?).await?;
    check_eq!(claims.tasks.len(), 2);
    check!(
        claims.next_due.is_some_and(|due| due <= claims.now),
        "look again at {:?}",
        claims.next_due
    );
    Ok(())
}

async fn a_change_of_priority_or_due_time_changes_the_order_at_once(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a", "b", "c", "d"]).await?;
    let first = Patch {
        priority: Some(9),
        ..Patch::default()
    };
    check_matches!(b.patch("d", first).await?, Ok(_));
    let later = Patch {
        due: Some(Due::In(SECOND)),
        ..Patch::default()
    };
    check_matches!(b.patch("a", later).await?, Ok(_));
    let earlier = Patch {
        due: Some(Due::At(b.now().saturating_sub(SECOND))),
        ..Patch::default()
    };
    check_matches!(b.patch("c", earlier).await?, Ok(_));
    check_eq!(names(&b.claim("worker", 9).await?), ["d", "c", "b"]);
    b.clock.advance(SECOND);
    b.apply(Op::Cancel(id("a")?, "enough".to_owned())).await?;
    b.check_idle().await
}

async fn many_claimers_at_once_get_each_task_exactly_once(b: &Bench<'_>) -> CaseResult {
    let count = b.many(2_000);
    let tasks = (0..count).map(|n| task(&format!("t{n}")));
    b.add_many(tasks.collect::<CaseResult<_>>()?).await?;
    let mut claimers = tokio::task::JoinSet::new();
    for n in 0..16 {
        let (store, asked) = (b.store()?, request(&format!("w{n}"), 1 + n % 5)?);
        claimers.spawn(async move {
            let mut mine = Vec::new();
            loop {
                let claims = store.claim(asked.clone()).await?;
                if claims.tasks.is_empty() && claims.next_due.is_none_or(|due| due > claims.now) {
                    return CaseResult::Ok(mine);
                }
                mine.extend(claims.tasks);
            }
        });
    }
    let mut seen = BTreeSet::new();
    while let Some(joined) = claimers.join_next().await {
        let mine = joined.map_err(|error| super::Failed::new(error.to_string()))??;
        for record in mine {
            check!(
                seen.insert(record.id.clone()),
                "{} was claimed twice",
                record.id
            );
        }
    }
    check_eq!(seen.len(), count);
    Ok(())
}
