//! Hints: what somebody who listens is told.

use super::bench::{
    Bench, CaseResult, Failed, SECOND, check, check_eq, create, failure, id, settle, task,
};
use super::cases;
use super::gates::{claim_exactly, gated};
use crate::id::TaskId;
use crate::store::{Commit, Hint, HintStream, Op};
use crate::task::Due;

cases! { "hints":
    a_new_task_is_hinted_to_those_who_serve_its_queue,
    the_end_of_a_task_is_hinted,
    a_wake_or_a_request_to_cancel_of_what_runs_is_hinted,
    what_comes_back_to_wait_is_hinted,
    a_place_that_becomes_free_is_hinted,
    a_refused_commit_hints_nothing,
}

/// Reads hints until one is as wanted; one that tells to look at everything is as good.
async fn until(hints: &mut HintStream, wanted: &Hint) -> CaseResult {
    loop {
        match hints.next().await {
            Some(hint) if hint == *wanted || hint == Hint::Unknown => return Ok(()),
            Some(_) => {}
            None => return Err(Failed::new(format!("the hints ended before {wanted:?}"))),
        }
    }
}

/// Everything hinted up to now, read up to a task that ends as a sign.
async fn so_far(b: &Bench<'_>, hints: &mut HintStream, sign: &str) -> CaseResult<Vec<Hint>> {
    let mut other = task(sign)?;
    other.queue = "sign".into();
    b.add(other).await?;
    b.apply(Op::Cancel(id(sign)?, "sign".to_owned())).await?;
    let end = Hint::Finished(id(sign)?);
    let mut seen = Vec::new();
    loop {
        match hints.next().await {
            Some(hint) if hint == end => return Ok(seen),
            Some(Hint::Ready(queue)) if &*queue == "sign" => {}
            Some(hint) => seen.push(hint),
            None => return Err(Failed::new("the hints ended")),
        }
    }
}

fn task_id(name: &str) -> CaseResult<TaskId> {
    id(name)
}

async fn a_new_task_is_hinted_to_those_who_serve_its_queue(b: &Bench<'_>) -> CaseResult {
    let store = b.store()?;
    let (mut one, mut two) = (store.hints(), store.hints());
    b.add_all(&["a"]).await?;
    let mut other = task("b")?;
    other.queue = "other".into();
    b.add(other).await?;
    for hints in [&mut one, &mut two] {
        until(hints, &Hint::Ready("default".into())).await?;
        until(hints, &Hint::Ready("other".into())).await?;
    }
    Ok(())
}

async fn the_end_of_a_task_is_hinted(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["done", "failed", "cancelled"]).await?;
    let claimed = b.claim("worker", 2).await?;
    let mut hints = b.store()?.hints();
    b.succeed(&claimed[0]).await?;
    let mut never = failure(&claimed[1], "never");
    never.status = crate::task::TaskStatus::Failed;
    b.accept(settle(&claimed[1], never)?).await?;
    b.apply(Op::Cancel(id("cancelled")?, "no".to_owned()))
        .await?;
    for name in ["done", "failed", "cancelled"] {
        until(&mut hints, &Hint::Finished(task_id(name)?)).await?;
    }
    Ok(())
}

async fn a_wake_or_a_request_to_cancel_of_what_runs_is_hinted(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a", "b"]).await?;
    b.claim("worker", 2).await?;
    let mut hints = b.store()?.hints();
    b.apply(Op::Wake(id("a")?)).await?;
    b.apply(Op::Cancel(id("b")?, "stop".to_owned())).await?;
    until(&mut hints, &Hint::Woken(task_id("a")?)).await?;
    until(&mut hints, &Hint::Woken(task_id("b")?)).await
}

async fn what_comes_back_to_wait_is_hinted(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["retried"]).await?;
    let mut later = task("later")?;
    later.due = Due::In(SECOND * 3600);
    b.add(later).await?;
    let mine = b.take("retried").await?;
    let ready = Hint::Ready("default".into());
    let mut hints = b.store()?.hints();
    b.accept(settle(&mine, failure(&mine, "no"))?).await?;
    until(&mut hints, &ready).await?;
    let mut hints = b.store()?.hints();
    b.apply(Op::Wake(id("later")?)).await?;
    until(&mut hints, &ready).await?;
    b.apply(Op::Cancel(id("later")?, "no".to_owned())).await?;
    let mut hints = b.store()?.hints();
    b.apply(Op::Revive(id("later")?, Due::Now)).await?;
    until(&mut hints, &ready).await
}

async fn a_place_that_becomes_free_is_hinted(b: &Bench<'_>) -> CaseResult {
    let ready = Hint::Ready("default".into());
    b.add(gated("a", "user/7", 1)?).await?;
    b.add(gated("b", "user/7", 1)?).await?;
    let running = claim_exactly(b, &["a"]).await?;
    let mut hints = b.store()?.hints();
    b.succeed(&running[0]).await?;
    until(&mut hints, &ready).await?;
    let running = claim_exactly(b, &["b"]).await?;
    b.succeed(&running[0]).await?;
    // The places of a queue and of a name are places too, although nothing is parked there.
    for gate in ["queue/default", "task/work"] {
        b.rule(gate, r#"{"max": 1}"#).await?;
        let (one, two) = (format!("{gate} 1"), format!("{gate} 2"));
        b.add_all(&[&one, &two]).await?;
        let first = claim_exactly(b, &[&one]).await?;
        let mut hints = b.store()?.hints();
        b.succeed(&first[0]).await?;
        let seen = so_far(b, &mut hints, &format!("sign {gate}")).await?;
        check!(
            seen.contains(&ready) || seen.contains(&Hint::Unknown),
            "a free place of {gate} was hinted as {seen:?}"
        );
        let second = claim_exactly(b, &[&two]).await?;
        b.succeed(&second[0]).await?;
        b.apply(Op::DropMark(format!("gate/{gate}").into())).await?;
    }
    Ok(())
}

async fn a_refused_commit_hints_nothing(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a", "b"]).await?;
    b.take("a").await?;
    let mut hints = b.store()?.hints();
    let refused = Commit::of([
        create(task("new")?),
        Op::Wake(id("a")?),
        Op::Cancel(id("b")?, "no".to_owned()),
        Op::Wake(id("none")?),
    ]);
    b.refuse(refused).await?;
    let seen = so_far(b, &mut hints, "sign").await?;
    check_eq!(seen, Vec::new());
    Ok(())
}
