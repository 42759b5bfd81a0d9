//! Retention and other upkeep.

use std::sync::Arc;
use std::time::Duration;

use super::bench::{
    Bench, CaseResult, Failed, MICRO, SECOND, check, check_eq, create, id, stream, task,
};
use super::cases;
use crate::page::PageRequest;
use crate::payload::Payload;
use crate::store::{Commit, Effect, Maintain, Maintained, NewEvent, Op, Retention, TaskFilter};
use crate::task::{Due, TaskStatus, Unique, UniqueScope};

cases! { "upkeep":
    retention_by_age_removes_what_ended_before_it_and_nothing_else,
    retention_by_count_keeps_those_that_ended_last,
    retention_never_removes_what_has_not_ended,
    children_of_a_parent_that_has_not_ended_are_kept,
    kept_children_do_not_hide_what_can_go,
    what_ended_first_goes_first_also_where_a_parent_ends_between_two_steps,
    upkeep_is_done_in_small_steps_until_nothing_is_left,
    upkeep_removes_marks_whose_time_is_over,
    a_removed_record_takes_its_streams_along_and_leaves_the_key_that_outlives_it,
}

async fn step(
    b: &Bench<'_>,
    age: Option<Duration>,
    count: Option<u64>,
    limit: usize,
) -> CaseResult<Maintained> {
    let retention = Retention { age, count };
    Ok(b.store()?.maintain(Maintain { retention, limit }).await?)
}

/// Creates, runs and ends a task.
async fn finish(b: &Bench<'_>, name: &str) -> CaseResult {
    b.add_all(&[name]).await?;
    let mine = b.take(name).await?;
    b.succeed(&mine).await
}

async fn left(b: &Bench<'_>) -> CaseResult<Vec<String>> {
    let page = b
        .store()?
        .list(&TaskFilter::default(), PageRequest::first(1_000))
        .await?;
    let ids = page.items.iter().map(|item| item.record.id.to_string());
    Ok(ids.collect())
}

async fn retention_by_age_removes_what_ended_before_it_and_nothing_else(
    b: &Bench<'_>,
) -> CaseResult {
    finish(b, "old").await?;
    b.add_all(&["cancelled"]).await?;
    b.apply(Op::Cancel(id("cancelled")?, "no".to_owned()))
        .await?;
    b.clock.advance(MICRO);
    finish(b, "young").await?;
    let hour = SECOND * 3600;
    check_eq!(step(b, Some(hour), None, 100).await?.removed, 0);
    b.clock.advance(hour);
    let done = step(b, Some(hour), None, 100).await?;
    check_eq!((done.removed, done.more), (2, false));
    check_eq!(left(b).await?, ["young"]);
    check_eq!(b.find("old").await?, None);
    Ok(())
}

async fn retention_by_count_keeps_those_that_ended_last(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a", "b", "c", "d", "e"]).await?;
    let claimed = b.claim("worker", 5).await?;
    // They end in another order than they began.
    for n in [3, 0, 4, 1, 2] {
        b.succeed(&claimed[n]).await?;
        b.clock.advance(SECOND);
    }
    check_eq!(step(b, None, Some(5), 100).await?.removed, 0);
    check_eq!(step(b, None, Some(3), 100).await?.removed, 2);
    check_eq!(left(b).await?, ["b", "c", "e"]);
    check_eq!(step(b, None, Some(3), 100).await?, Maintained::default());
    check_eq!(step(b, None, None, 100).await?.removed, 0);
    Ok(())
}

async fn retention_never_removes_what_has_not_ended(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["running", "waiting"]).await?;
    b.take("running").await?;
    let mut later = task("later")?;
    later.due = Due::In(SECOND * 86_400 * 900);
    b.add(later).await?;
    finish_revived(b).await?;
    b.clock.advance(SECOND * 86_400 * 365);
    for _ in 0..3 {
        let done = step(b, Some(Duration::ZERO), Some(0), 100).await?;
        check_eq!(done.removed, 0);
    }
    check_eq!(left(b).await?, ["running", "waiting", "later", "revived"]);
    Ok(())
}

/// A task that had ended and was brought back.
async fn finish_revived(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["revived"]).await?;
    b.apply(Op::Cancel(id("revived")?, "no".to_owned())).await?;
    b.apply(Op::Revive(id("revived")?, Due::Now))
        .await
        .map(drop)
}

/// Children of a parent, ended.
async fn children(b: &Bench<'_>, count: usize) -> CaseResult {
    for n in 0..count {
        let mut child = task(&format!("child{n}"))?;
        child.parent = Some(id("parent")?);
        b.add(child).await?;
        b.apply(Op::Cancel(id(&format!("child{n}"))?, "no".to_owned()))
            .await?;
    }
    Ok(())
}

async fn children_of_a_parent_that_has_not_ended_are_kept(b: &Bench<'_>) -> CaseResult {
    let mut parent = task("parent")?;
    parent.due = Due::In(SECOND * 10);
    b.add(parent).await?;
    children(b, 3).await?;
    let mut orphan = task("orphan")?;
    orphan.parent = Some(id("nobody")?);
    b.add(orphan).await?;
    b.apply(Op::Cancel(id("orphan")?, "no".to_owned())).await?;
    b.clock.advance(SECOND * 10);
    check_eq!(
        step(b, Some(Duration::ZERO), Some(0), 100).await?.removed,
        1
    );
    check_eq!(left(b).await?, ["parent", "child0", "child1", "child2"]);
    let mine = b.take("parent").await?;
    check_eq!(
        step(b, Some(Duration::ZERO), Some(0), 100).await?.removed,
        0
    );
    b.succeed(&mine).await?;
    b.clock.advance(SECOND);
    let mut removed = 0;
    for _ in 0..3 {
        removed += step(b, Some(Duration::ZERO), None, 100).await?.removed;
    }
    check_eq!(removed, 4);
    Ok(())
}

async fn kept_children_do_not_hide_what_can_go(b: &Bench<'_>) -> CaseResult {
    let mut parent = task("parent")?;
    parent.due = Due::In(SECOND * 86_400);
    b.add(parent).await?;
    children(b, 30).await?;
    for n in 0..7 {
        finish(b, &format!("other{n}")).await?;
    }
    b.clock.advance(SECOND);
    let mut removed = 0;
    for _ in 0..20 {
        removed += step(b, Some(Duration::ZERO), None, 5).await?.removed;
    }
    check_eq!(removed, 7);
    check_eq!(left(b).await?.len(), 31);
    Ok(())
}

async fn what_ended_first_goes_first_also_where_a_parent_ends_between_two_steps(
    b: &Bench<'_>,
) -> CaseResult {
    let mut parent = task("parent")?;
    parent.due = Due::In(SECOND * 86_400);
    b.add(parent).await?;
    children(b, 1).await?;
    for name in ["b", "c", "d"] {
        b.clock.advance(SECOND);
        finish(b, name).await?;
    }
    // The child stays, and the step ends behind it.
    let done = step(b, None, Some(2), 1).await?;
    check_eq!((done.removed, done.more), (1, true));
    check_eq!(left(b).await?, ["parent", "child0", "c", "d"]);
    b.clock.advance(SECOND);
    b.apply(Op::Cancel(id("parent")?, "no".to_owned())).await?;
    for _ in 0..3 {
        step(b, None, Some(2), 5).await?;
    }
    check_eq!(left(b).await?, ["parent", "d"]);
    Ok(())
}

async fn upkeep_is_done_in_small_steps_until_nothing_is_left(b: &Bench<'_>) -> CaseResult {
    for n in 0..23 {
        finish(b, &format!("t{n}")).await?;
    }
    b.clock.advance(SECOND);
    let mut removed = 0;
    for _ in 0..100 {
        let done = step(b, Some(Duration::ZERO), None, 5).await?;
        check!(done.removed <= 5, "{} in a step of 5", done.removed);
        removed += done.removed;
        check_eq!(left(b).await?.len() as u64, 23 - removed);
        if !done.more {
            break;
        }
    }
    check_eq!(removed, 23);
    Ok(())
}

async fn upkeep_removes_marks_whose_time_is_over(b: &Bench<'_>) -> CaseResult {
    for n in 0..9_u32 {
        b.apply(Op::PutMark {
            key: format!("m{n}").into(),
            value: Payload::null(),
            ttl: (n > 0).then(|| SECOND * n),
        })
        .await?;
    }
    b.clock.advance(SECOND * 5);
    let mut gone = 0;
    for _ in 0..5 {
        gone += step(b, None, None, 2).await?.marks;
    }
    check_eq!(gone, 5);
    let marks = b.store()?.marks("m", None, 100).await?;
    let keys: Vec<_> = marks.iter().map(|mark| &*mark.key).collect();
    check_eq!(keys, ["m0", "m6", "m7", "m8"]);
    Ok(())
}

async fn a_removed_record_takes_its_streams_along_and_leaves_the_key_that_outlives_it(
    b: &Bench<'_>,
) -> CaseResult {
    let history = stream("a", "history")?;
    let keyed = |name: &str| -> CaseResult<Op> {
        let mut new = task(name)?;
        new.unique = Some(Arc::new(Unique {
            key: "k".into(),
            scope: UniqueScope::For(SECOND * 600),
            until: None,
        }));
        Ok(create(new))
    };
    b.apply(keyed("a")?).await?;
    let event = NewEvent {
        kind: "e".to_owned(),
        key: None,
        data: Payload::null(),
    };
    b.apply(Op::Append(history.clone(), vec![event])).await?;
    let mine = b.take("a").await?;
    b.succeed(&mine).await?;
    b.clock.advance(SECOND);
    check_eq!(step(b, Some(Duration::ZERO), None, 100).await?.removed, 1);
    check_eq!(b.store()?.events(&history, 1, 9).await?.len(), 0);
    match b.apply(keyed("b")?).await? {
        Effect::Existing { id, status } => {
            check_eq!(id.as_str(), "a");
            check!(status.is_terminal(), "a removed task is {status}");
        }
        other => return Err(Failed::new(format!("the key was free: {other:?}"))),
    }
    b.clock.advance(SECOND * 600);
    step(b, None, None, 100).await?;
    b.accept(Commit::of([keyed("b")?])).await?;
    check_eq!(b.record("b").await?.status, TaskStatus::Pending);
    Ok(())
}
