//! Unique keys: one owner at a time, freed in the write that leaves the scope.

use std::sync::Arc;

use super::bench::{
    Bench, CaseResult, Failed, MICRO, SECOND, TTL, check, check_eq, check_matches, create, failure,
    id, settle, task,
};
use super::cases;
use crate::payload::Payload;
use crate::store::{Commit, CountBy, Effect, Op, Refusal, TaskFilter};
use crate::task::{Due, Gate, NewTask, OnConflict, Settlement, TaskStatus, Unique, UniqueScope};

cases! { "unique keys":
    a_unique_key_has_one_owner_inside_its_scope_and_the_first_payload_is_kept,
    many_callers_with_one_key_make_one_task,
    a_key_kept_while_queued_is_free_after_the_claim,
    a_key_kept_while_unfinished_is_free_in_the_write_that_ends_the_task,
    a_key_kept_while_unfinished_is_kept_while_the_task_runs_and_waits_again,
    a_key_kept_for_a_time_is_free_after_it_ended_or_not,
    a_key_kept_for_ever_stays_taken_after_its_task_is_deleted,
    a_key_is_freed_by_its_owner_only,
    deleting_the_owner_frees_the_key,
    a_conflict_can_be_refused_with_the_owner,
    a_conflict_can_replace_what_the_waiting_owner_does,
    a_conflict_that_replaces_args_replaces_the_gates_made_from_them,
    a_conflict_can_put_the_waiting_owner_off,
    a_conflict_leaves_an_owner_that_runs_alone,
    a_revived_task_takes_its_key_anew_and_is_refused_while_another_owns_it,
}

fn keyed(name: &str, scope: UniqueScope) -> CaseResult<NewTask> {
    let mut new = task(name)?;
    new.args = Payload::of(name)?;
    new.unique = Some(Arc::new(Unique {
        key: "the key".into(),
        scope,
        until: None,
    }));
    Ok(new)
}

/// Creates a task with the key; the id that it got.
async fn submit(b: &Bench<'_>, new: NewTask) -> CaseResult<String> {
    let own = new.id.to_string();
    match b.apply(create(new)).await? {
        Effect::Created { .. } => Ok(own),
        Effect::Existing { id, .. } => Ok(id.to_string()),
        other => Err(Failed::new(format!("a create had the effect {other:?}"))),
    }
}

async fn a_unique_key_has_one_owner_inside_its_scope_and_the_first_payload_is_kept(
    b: &Bench<'_>,
) -> CaseResult {
    let hour = UniqueScope::For(SECOND * 3600);
    for (n, scope) in [
        UniqueScope::WhileQueued,
        UniqueScope::WhileUnfinished,
        hour,
        UniqueScope::Forever,
    ]
    .into_iter()
    .enumerate()
    {
        let mut new = keyed(&format!("first{n}"), scope)?;
        new.unique
            .iter_mut()
            .for_each(|u| Arc::make_mut(u).key = format!("key{n}").into());
        b.add(new.clone()).await?;
        let owner = b.record(&format!("first{n}")).await?;
        for again in 0..3 {
            new.id = id(&format!("again{n}-{again}"))?;
            new.args = Payload::of("another")?;
            let effect = b.apply(create(new.clone())).await?;
            let existing = Effect::Existing {
                id: owner.id.clone(),
                status: TaskStatus::Pending,
            };
            check_eq!(effect, existing);
            check_eq!(b.find(new.id.as_str()).await?, None);
        }
        check_eq!(b.record(&format!("first{n}")).await?, owner);
        // Another key is another matter.
        new.unique
            .iter_mut()
            .for_each(|u| Arc::make_mut(u).key = format!("KEY{n}").into());
        check_eq!(submit(b, new.clone()).await?, new.id.to_string());
    }
    Ok(())
}

async fn many_callers_with_one_key_make_one_task(b: &Bench<'_>) -> CaseResult {
    let mut callers = tokio::task::JoinSet::new();
    for n in 0..50 {
        let store = b.store()?;
        let new = keyed(&format!("caller{n}"), UniqueScope::WhileUnfinished)?;
        callers.spawn(async move { store.commit(vec![Commit::of([create(new)])]).await });
    }
    let (mut made, mut answered) = (Vec::new(), Vec::new());
    while let Some(joined) = callers.join_next().await {
        for answer in joined.map_err(|error| Failed::new(error.to_string()))?? {
            match answer.as_deref() {
                Ok([Effect::Created { seq, .. }]) => made.push(*seq),
                Ok([Effect::Existing { id, .. }]) => answered.push(id.clone()),
                other => return Err(Failed::new(format!("a caller was answered {other:?}"))),
            }
        }
    }
    check_eq!((made.len(), answered.len()), (1, 49));
    let counts = b
        .store()?
        .count(&TaskFilter::default(), CountBy::All, 100)
        .await?;
    check_eq!(counts.total(), 1);
    let owner = answered[0].clone();
    check!(
        answered.iter().all(|id| *id == owner),
        "callers were told different ids"
    );
    b.take(owner.as_str()).await?;
    Ok(())
}

async fn a_key_kept_while_queued_is_free_after_the_claim(b: &Bench<'_>) -> CaseResult {
    let scope = UniqueScope::WhileQueued;
    check_eq!(submit(b, keyed("a", scope)?).await?, "a");
    check_eq!(submit(b, keyed("b", scope)?).await?, "a");
    b.take("a").await?;
    check_eq!(submit(b, keyed("c", scope)?).await?, "c");
    check_eq!(submit(b, keyed("d", scope)?).await?, "c");
    Ok(())
}

async fn a_key_kept_while_unfinished_is_free_in_the_write_that_ends_the_task(
    b: &Bench<'_>,
) -> CaseResult {
    let scope = UniqueScope::WhileUnfinished;
    b.add(keyed("a", scope)?).await?;
    let mine = b.take("a").await?;
    // The next task of the key is created in the very commit that ends this one.
    let end = settle(&mine, Settlement::success(Payload::null()))?.then(create(keyed("b", scope)?));
    let effects = b.accept(end).await?;
    check_matches!(effects[1], Effect::Created { .. });
    b.apply(Op::Cancel(id("b")?, "no".to_owned())).await?;
    check_eq!(submit(b, keyed("c", scope)?).await?, "c");
    let mine = b.take("c").await?;
    let mut failed = failure(&mine, "never");
    failed.status = TaskStatus::Failed;
    b.accept(settle(&mine, failed)?).await?;
    let mut short = keyed("d", scope)?;
    short.expires = Some(Due::In(SECOND));
    check_eq!(submit(b, short).await?, "d");
    b.clock.advance(SECOND);
    b.check_idle().await?;
    check_eq!(submit(b, keyed("e", scope)?).await?, "e");
    Ok(())
}

async fn a_key_kept_while_unfinished_is_kept_while_the_task_runs_and_waits_again(
    b: &Bench<'_>,
) -> CaseResult {
    let scope = UniqueScope::WhileUnfinished;
    b.add(keyed("a", scope)?).await?;
    for round in 0..3 {
        let mine = b.take("a").await?;
        check_eq!(submit(b, keyed("b", scope)?).await?, "a", "while it runs");
        match round {
            0 => drop(b.accept(settle(&mine, failure(&mine, "no"))?).await?),
            1 => drop(b.accept(settle(&mine, Settlement::release())?).await?),
            _ => {
                b.clock.advance(TTL);
                check_matches!(b.reap(&mine).await?, Ok(_));
            }
        }
        check_eq!(submit(b, keyed("b", scope)?).await?, "a", "while it waits");
        b.clock.advance(SECOND * 10);
    }
    Ok(())
}

async fn a_key_kept_for_a_time_is_free_after_it_ended_or_not(b: &Bench<'_>) -> CaseResult {
    let scope = UniqueScope::For(SECOND * 60);
    b.add(keyed("a", scope)?).await?;
    let mine = b.take("a").await?;
    b.succeed(&mine).await?;
    check_eq!(submit(b, keyed("b", scope)?).await?, "a", "after its end");
    b.clock.advance(SECOND * 60 - MICRO);
    check_eq!(submit(b, keyed("b", scope)?).await?, "a");
    b.clock.advance(MICRO);
    check_eq!(submit(b, keyed("b", scope)?).await?, "b", "after its time");
    b.clock.advance(SECOND * 60);
    check_eq!(submit(b, keyed("c", scope)?).await?, "c", "while b waits");
    b.apply(Op::Delete(id("c")?)).await?;
    check_eq!(submit(b, keyed("d", scope)?).await?, "c", "after deletion");
    Ok(())
}

async fn a_key_kept_for_ever_stays_taken_after_its_task_is_deleted(b: &Bench<'_>) -> CaseResult {
    let scope = UniqueScope::Forever;
    b.add(keyed("a", scope)?).await?;
    let mine = b.take("a").await?;
    b.succeed(&mine).await?;
    check_eq!(submit(b, keyed("b", scope)?).await?, "a");
    b.apply(Op::Delete(id("a")?)).await?;
    b.clock.advance(SECOND * 86_400 * 4_000);
    check_eq!(submit(b, keyed("b", scope)?).await?, "a");
    check_eq!(b.find("b").await?, None);
    Ok(())
}

async fn a_key_is_freed_by_its_owner_only(b: &Bench<'_>) -> CaseResult {
    let queued = UniqueScope::WhileQueued;
    b.add(keyed("old", queued)?).await?;
    let old = b.take("old").await?;
    b.add(keyed("owner", UniqueScope::WhileUnfinished)?).await?;
    // The former owner waits again, is taken again, ends and is deleted: the key is not its own any more.
    b.accept(settle(&old, Settlement::release())?).await?;
    check_eq!(submit(b, keyed("x", queued)?).await?, "owner");
    let old = b.take("old").await?;
    check_eq!(submit(b, keyed("x", queued)?).await?, "owner");
    b.succeed(&old).await?;
    check_eq!(submit(b, keyed("x", queued)?).await?, "owner");
    b.apply(Op::Delete(id("old")?)).await?;
    check_eq!(submit(b, keyed("x", queued)?).await?, "owner");
    let owner = b.take("owner").await?;
    b.succeed(&owner).await?;
    check_eq!(submit(b, keyed("x", queued)?).await?, "x");
    Ok(())
}

async fn deleting_the_owner_frees_the_key(b: &Bench<'_>) -> CaseResult {
    for (n, scope) in [UniqueScope::WhileQueued, UniqueScope::WhileUnfinished]
        .into_iter()
        .enumerate()
    {
        let (one, two) = (format!("one{n}"), format!("two{n}"));
        b.add(keyed(&one, scope)?).await?;
        b.apply(Op::Delete(id(&one)?)).await?;
        check_eq!(submit(b, keyed(&two, scope)?).await?, two);
        b.apply(Op::Delete(id(&two)?)).await?;
    }
    Ok(())
}

async fn a_conflict_can_be_refused_with_the_owner(b: &Bench<'_>) -> CaseResult {
    let scope = UniqueScope::WhileUnfinished;
    b.add(keyed("owner", scope)?).await?;
    let mut new = keyed("other", scope)?;
    new.on_conflict = OnConflict::Fail;
    let taken = Refusal::KeyTaken {
        key: "the key".into(),
        owner: id("owner")?,
    };
    let both = Commit::of([create(task("beside")?), create(new)]);
    check_eq!(b.refuse(both).await?, taken);
    check_eq!(b.find("other").await?, None);
    check_eq!(b.find("beside").await?, None);
    Ok(())
}

async fn a_conflict_can_replace_what_the_waiting_owner_does(b: &Bench<'_>) -> CaseResult {
    let scope = UniqueScope::WhileUnfinished;
    b.add(keyed("owner", scope)?).await?;
    let mut new = keyed("other", scope)?;
    new.on_conflict = OnConflict::Replace;
    new.priority = 77;
    new.due = Due::In(SECOND * 30);
    check_eq!(submit(b, new).await?, "owner");
    let owner = b.record("owner").await?;
    check_eq!(owner.args, Payload::of("other")?);
    check_eq!(owner.priority, 77);
    check_eq!(owner.run_at, b.now().saturating_add(SECOND * 30));
    check_eq!(b.find("other").await?, None);
    b.check_idle().await?;
    b.clock.advance(SECOND * 30);
    b.take("owner").await?;
    Ok(())
}

async fn a_conflict_that_replaces_args_replaces_the_gates_made_from_them(
    b: &Bench<'_>,
) -> CaseResult {
    let scope = UniqueScope::WhileUnfinished;
    let gate = |key: &str| Gate {
        key: key.to_owned(),
        limit: 1,
    };
    for name in ["busy", "owner"] {
        let mut new = keyed(name, scope)?;
        if name != "owner" {
            new.unique = None;
        }
        new.gates = vec![gate("user/1")];
        b.add(new).await?;
    }
    b.take("busy").await?;
    b.check_idle().await?;
    let owner = b.record("owner").await?;
    check!(owner.parked.is_some(), "it waits nowhere: {owner:?}");
    let mut new = keyed("other", scope)?;
    new.on_conflict = OnConflict::Replace;
    new.gates = vec![gate("user/2")];
    new.expires = Some(Due::In(SECOND * 60));
    check_eq!(submit(b, new).await?, "owner");
    let owner = b.take("owner").await?;
    check_eq!(owner.gates, vec![gate("user/2")]);
    check_eq!(owner.expires_at, Some(b.now().saturating_add(SECOND * 60)));
    Ok(())
}

async fn a_conflict_can_put_the_waiting_owner_off(b: &Bench<'_>) -> CaseResult {
    let scope = UniqueScope::WhileUnfinished;
    let mut new = keyed("call0", scope)?;
    new.on_conflict = OnConflict::Debounce(SECOND * 5);
    new.due = Due::In(SECOND * 5);
    b.add(new.clone()).await?;
    for n in 1..6 {
        b.clock.advance(SECOND * 4);
        b.check_idle().await?;
        new.id = id(&format!("call{n}"))?;
        new.args = Payload::of(&n)?;
        check_eq!(submit(b, new.clone()).await?, "call0");
    }
    b.clock.advance(SECOND * 5 - MICRO);
    b.check_idle().await?;
    b.clock.advance(MICRO);
    let mine = b.take("call0").await?;
    check_eq!(mine.args, Payload::of(&5)?);
    Ok(())
}

async fn a_conflict_leaves_an_owner_that_runs_alone(b: &Bench<'_>) -> CaseResult {
    let scope = UniqueScope::WhileUnfinished;
    b.add(keyed("owner", scope)?).await?;
    let mine = b.take("owner").await?;
    for how in [OnConflict::Replace, OnConflict::Debounce(SECOND)] {
        let mut new = keyed("other", scope)?;
        new.on_conflict = how;
        let effect = b.apply(create(new)).await?;
        let existing = Effect::Existing {
            id: id("owner")?,
            status: TaskStatus::Running,
        };
        check_eq!(effect, existing);
        check_eq!(b.record("owner").await?, *mine);
    }
    Ok(())
}

async fn a_revived_task_takes_its_key_anew_and_is_refused_while_another_owns_it(
    b: &Bench<'_>,
) -> CaseResult {
    let scope = UniqueScope::WhileUnfinished;
    b.add(keyed("a", scope)?).await?;
    b.apply(Op::Cancel(id("a")?, "no".to_owned())).await?;
    b.add(keyed("b", scope)?).await?;
    let before = b.record("a").await?;
    let revive = Commit::of([Op::Revive(id("a")?, Due::Now)]);
    let taken = Refusal::KeyTaken {
        key: "the key".into(),
        owner: id("b")?,
    };
    check_eq!(b.refuse(revive.clone()).await?, taken);
    check_eq!(b.record("a").await?, before);
    b.apply(Op::Cancel(id("b")?, "no".to_owned())).await?;
    b.accept(revive).await?;
    check_eq!(submit(b, keyed("c", scope)?).await?, "a");
    Ok(())
}
