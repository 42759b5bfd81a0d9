//! Commits: guards and operations that stand or fall together.

use super::bench::{
    Bench, CaseResult, Failed, TTL, check, check_eq, check_matches, create, extend, id, settle,
    stream, task,
};
use super::cases;
use crate::page::PageRequest;
use crate::payload::Payload;
use crate::store::{
    Commit, CountBy, Create, Effect, Guard, LeaseTo, MarkExpect, NewEvent, Op, Patch, Refusal,
    TaskFilter,
};
use crate::task::{Due, Settlement, TaskStatus};

cases! { "commits":
    a_commit_is_applied_wholly_or_not_at_all,
    a_refused_guard_changes_nothing_and_names_what_failed,
    an_open_guard_refuses_what_has_ended,
    a_revision_guard_refuses_a_writer_that_read_an_older_record,
    commits_of_one_call_are_independent_of_each_other,
    commits_of_one_call_are_applied_in_their_order,
    operations_of_a_commit_see_those_before_them,
    every_write_to_a_record_raises_its_revision,
    an_operation_on_an_unknown_id_is_refused_as_not_found,
    a_call_without_commits_and_a_commit_without_operations_change_nothing,
    a_settle_and_what_follows_from_it_are_one_write,
    a_fused_commit_with_a_stale_part_changes_nothing,
}

fn put(key: &str, value: &str) -> CaseResult<Op> {
    Ok(Op::PutMark {
        key: key.into(),
        value: Payload::parse(value)?,
        ttl: None,
    })
}

fn event(kind: &str) -> NewEvent {
    NewEvent {
        kind: kind.to_owned(),
        key: None,
        data: Payload::null(),
    }
}

/// That nothing of a refused commit can be seen anywhere.
async fn check_untouched(b: &Bench<'_>, new: &str) -> CaseResult {
    let store = b.store()?;
    check_eq!(b.find(new).await?, None, "the record {new}");
    check!(
        store.marks("", None, 10).await?.is_empty(),
        "a mark was kept"
    );
    let history = stream("a", "history")?;
    check!(
        store.events(&history, 1, 10).await?.is_empty(),
        "an event was kept"
    );
    let all = TaskFilter::default();
    let page = store.list(&all, PageRequest::first(10)).await?;
    check_eq!(page.items.len(), 1, "listed");
    let counts = store.count(&all, CountBy::Status, 100).await?;
    check_eq!((counts.total(), counts.of("pending")), (1, 1));
    Ok(())
}

async fn a_commit_is_applied_wholly_or_not_at_all(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a"]).await?;
    let before = b.record("a").await?;
    let patch = Patch {
        priority: Some(200),
        ..Patch::default()
    };
    let refused = Commit::of([
        create(task("new")?),
        Op::Patch(id("a")?, Box::new(patch)),
        put("note", "1")?,
        Op::Append(stream("a", "history")?, vec![event("one")]),
        Op::Cancel(id("a")?, "no".to_owned()),
        Op::Wake(id("missing")?),
    ]);
    for _ in 0..2 {
        let refusal = b.refuse(refused.clone()).await?;
        check_eq!(refusal, Refusal::NotFound(id("missing")?));
        check_eq!(b.record("a").await?, before);
        check_untouched(b, "new").await?;
    }
    b.take("a").await?;
    b.check_idle().await
}

async fn a_refused_guard_changes_nothing_and_names_what_failed(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a"]).await?;
    let before = b.record("a").await?;
    let lease = crate::task::LeaseRef {
        fence: 1,
        token: crate::id::LeaseToken::from_u128(1),
    };
    let history = stream("a", "history")?;
    let guards = [
        (Guard::Absent(id("a")?), Refusal::Exists(id("a")?)),
        (Guard::Open(id("none")?), Refusal::NotFound(id("none")?)),
        (Guard::Held(id("a")?, lease), Refusal::LeaseLost(id("a")?)),
        (
            Guard::Held(id("none")?, lease),
            Refusal::NotFound(id("none")?),
        ),
        (Guard::Expired(id("a")?, 0), Refusal::LeaseLost(id("a")?)),
        (
            Guard::Revision(id("a")?, before.revision + 1),
            Refusal::Revision(id("a")?),
        ),
        (
            Guard::Length(history.clone(), 3),
            Refusal::Length(history.clone(), 0),
        ),
        (
            Guard::Mark("m".into(), MarkExpect::Version(1)),
            Refusal::Mark("m".into(), None),
        ),
    ];
    for (guard, wanted) in guards {
        let write = Commit::of([create(task("new")?), put("note", "1")?])
            .when(Guard::Open(id("a")?))
            .when(guard.clone());
        check_eq!(b.refuse(write).await?, wanted, "{guard:?}");
        check_eq!(b.record("a").await?, before, "{guard:?}");
        check_untouched(b, "new").await?;
    }
    let holds = Commit::of([create(task("new")?)])
        .when(Guard::Absent(id("new")?))
        .when(Guard::Open(id("a")?))
        .when(Guard::Revision(id("a")?, before.revision))
        .when(Guard::Length(history, 0))
        .when(Guard::Mark("m".into(), MarkExpect::Absent));
    b.accept(holds).await?;
    Ok(())
}

async fn an_open_guard_refuses_what_has_ended(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["done", "stopped", "open"]).await?;
    let mine = b.take("done").await?;
    let guarded = |name: &str| -> CaseResult<Commit> {
        Ok(Commit::of([put("note", "1")?]).when(Guard::Open(id(name)?)))
    };
    b.accept(guarded("done")?).await?;
    b.succeed(&mine).await?;
    b.apply(Op::Cancel(id("stopped")?, "no".to_owned())).await?;
    for (name, status) in [
        ("done", TaskStatus::Succeeded),
        ("stopped", TaskStatus::Cancelled),
    ] {
        let refusal = b.refuse(guarded(name)?).await?;
        check!(
            matches!(&refusal, Refusal::Status { id, status: seen, .. } if id.as_str() == name && *seen == status),
            "{name} was refused with {refusal:?}"
        );
    }
    b.accept(guarded("open")?).await?;
    Ok(())
}

async fn a_revision_guard_refuses_a_writer_that_read_an_older_record(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a"]).await?;
    let read = b.record("a").await?.revision;
    let write =
        |args: &str| -> CaseResult<Commit> {
            let patch = Patch {
                args: Some(Payload::parse(args)?),
                ..Patch::default()
            };
            Ok(Commit::of([Op::Patch(id("a")?, Box::new(patch))])
                .when(Guard::Revision(id("a")?, read)))
        };
    b.accept(write("1")?).await?;
    check_eq!(b.refuse(write("2")?).await?, Refusal::Revision(id("a")?));
    check_eq!(b.record("a").await?.args, Payload::parse("1")?);
    Ok(())
}

async fn commits_of_one_call_are_independent_of_each_other(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a"]).await?;
    let answers = b
        .store()?
        .commit(vec![
            Commit::of([create(task("b")?)]),
            Commit::of([create(task("c")?), Op::Wake(id("missing")?)]),
            Commit::of([create(task("d")?)]).when(Guard::Absent(id("a")?)),
            Commit::of([create(task("e")?)]),
        ])
        .await?;
    let accepted: Vec<_> = answers.iter().map(Result::is_ok).collect();
    check_eq!(accepted, [true, false, false, true]);
    for (name, exists) in [("b", true), ("c", false), ("d", false), ("e", true)] {
        check_eq!(b.find(name).await?.is_some(), exists, "{name}");
    }
    Ok(())
}

async fn commits_of_one_call_are_applied_in_their_order(b: &Bench<'_>) -> CaseResult {
    let answers = b
        .store()?
        .commit(vec![
            Commit::of([put("m", "1")?]).when(Guard::Mark("m".into(), MarkExpect::Absent)),
            Commit::of([put("m", "2")?]).when(Guard::Mark("m".into(), MarkExpect::Absent)),
            Commit::of([create(task("a")?)]),
            Commit::of([Op::Cancel(id("a")?, "no".to_owned())]),
            Commit::of([Op::Cancel(id("a")?, "no".to_owned())]),
        ])
        .await?;
    let accepted: Vec<_> = answers.iter().map(Result::is_ok).collect();
    check_eq!(accepted, [true, false, true, true, false]);
    let marks = b.store()?.marks("m", None, 5).await?;
    check_eq!(marks.first().map(|m| m.value.as_str()), Some("1"));
    Ok(())
}

async fn operations_of_a_commit_see_those_before_them(b: &Bench<'_>) -> CaseResult {
    let patch = Patch {
        priority: Some(77),
        ..Patch::default()
    };
    let effects = b
        .accept(Commit::of([
            create(task("a")?),
            Op::Patch(id("a")?, Box::new(patch)),
            Op::Cancel(id("a")?, "first".to_owned()),
            Op::Revive(id("a")?, Due::Now),
            Op::Append(stream("a", "history")?, vec![event("one")]),
            Op::Append(stream("a", "history")?, vec![event("two")]),
            create(task("b")?),
            Op::Delete(id("b")?),
        ]))
        .await?;
    check_eq!(effects.len(), 8);
    check_matches!(effects[1], Effect::Status(TaskStatus::Pending));
    check_matches!(effects[2], Effect::Status(TaskStatus::Cancelled));
    check_matches!(effects[3], Effect::Status(TaskStatus::Pending));
    check_eq!(
        effects[4..6],
        [Effect::Appended(vec![1]), Effect::Appended(vec![2])]
    );
    check_eq!(b.find("b").await?, None);
    check_eq!(b.take("a").await?.priority, 77);
    b.check_idle().await
}

async fn every_write_to_a_record_raises_its_revision(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a"]).await?;
    let mut last = 0;
    let mut grown = async |what: &str| -> CaseResult {
        let revision = b.record("a").await?.revision;
        check!(revision > last, "revision {revision} after {last}: {what}");
        last = revision;
        Ok(())
    };
    grown("create").await?;
    b.apply(Op::Wake(id("a")?)).await?;
    grown("wake").await?;
    check_matches!(b.patch("a", Patch::default()).await?, Ok(_));
    grown("patch").await?;
    let mine = b.take("a").await?;
    grown("claim").await?;
    b.accept(extend(&mine, TTL)?).await?;
    grown("extend").await?;
    b.apply(Op::Wake(id("a")?)).await?;
    grown("wake of a running task").await?;
    b.apply(Op::Cancel(id("a")?, "stop".to_owned())).await?;
    grown("request to cancel").await?;
    b.accept(settle(&mine, Settlement::release())?).await?;
    grown("settle").await?;
    b.apply(Op::Revive(id("a")?, Due::Now)).await?;
    grown("revive").await?;
    b.apply(Op::Cancel(id("a")?, "stop".to_owned())).await?;
    grown("cancel").await
}

async fn an_operation_on_an_unknown_id_is_refused_as_not_found(b: &Bench<'_>) -> CaseResult {
    let none = || id("none");
    for op in [
        Op::Settle(none()?, Box::new(Settlement::release())),
        Op::Extend(none()?, TTL),
        Op::Patch(none()?, Box::default()),
        Op::Cancel(none()?, "no".to_owned()),
        Op::Revive(none()?, Due::Now),
        Op::Wake(none()?),
        Op::Delete(none()?),
    ] {
        let shown = format!("{op:?}");
        let refusal = b.refuse(Commit::of([op])).await?;
        check_eq!(refusal, Refusal::NotFound(none()?), "{shown}");
    }
    // Ending what is not there is no fault.
    b.apply(Op::DropMark("none".into())).await?;
    b.apply(Op::Trim(stream("none", "log")?, 9)).await?;
    Ok(())
}

async fn a_call_without_commits_and_a_commit_without_operations_change_nothing(
    b: &Bench<'_>,
) -> CaseResult {
    check_eq!(b.store()?.commit(Vec::new()).await?.len(), 0);
    check_eq!(b.accept(Commit::default()).await?.len(), 0);
    let only_guards = Commit::default().when(Guard::Absent(id("a")?));
    check_eq!(b.accept(only_guards.clone()).await?.len(), 0);
    b.add_all(&["a"]).await?;
    check_eq!(b.refuse(only_guards).await?, Refusal::Exists(id("a")?));
    Ok(())
}

async fn a_settle_and_what_follows_from_it_are_one_write(b: &Bench<'_>) -> CaseResult {
    let mut run = task("run")?;
    run.due = Due::In(TTL * 100);
    b.add(run).await?;
    b.add_all(&["step"]).await?;
    let step = b.take("step").await?;
    let run = b.record("run").await?;
    let next = Create {
        task: task("next")?,
        lease_to: Some(LeaseTo {
            worker: super::bench::worker("worker")?,
            ttl: TTL,
        }),
    };
    let turn = Patch {
        state: Some(Payload::parse("{\"turn\":2}")?),
        ..Patch::default()
    };
    let history = stream("run", "history")?;
    let fused = settle(&step, Settlement::success(Payload::parse("1")?))?
        .when(Guard::Revision(run.id.clone(), run.revision))
        .when(Guard::Length(history.clone(), 0))
        .then(Op::Append(history.clone(), vec![event("done")]))
        .then(Op::Patch(run.id.clone(), Box::new(turn)))
        .then(Op::Create(Box::new(next)));
    let effects = b.accept(fused).await?;
    let Some(Effect::Created {
        leased: Some(leased),
        ..
    }) = effects.last()
    else {
        return Err(Failed::new(format!("the last effect is {effects:?}")));
    };
    check_eq!(leased.id.as_str(), "next");
    check_eq!(leased.status, TaskStatus::Running);
    check_eq!(b.record("step").await?.status, TaskStatus::Succeeded);
    check_eq!(b.store()?.events(&history, 1, 9).await?.len(), 1);
    check_eq!(
        b.record("run").await?.state,
        Some(Payload::parse("{\"turn\":2}")?)
    );
    b.succeed(leased).await
}

async fn a_fused_commit_with_a_stale_part_changes_nothing(b: &Bench<'_>) -> CaseResult {
    let mut run = task("run")?;
    run.due = Due::In(TTL * 100);
    b.add(run).await?;
    b.add_all(&["step"]).await?;
    let step = b.take("step").await?;
    let run = b.record("run").await?;
    let history = stream("run", "history")?;
    b.apply(Op::Append(history.clone(), vec![event("first")]))
        .await?;
    let fused = |revision: u64, length: u64| -> CaseResult<Commit> {
        Ok(settle(&step, Settlement::success(Payload::null()))?
            .when(Guard::Revision(run.id.clone(), revision))
            .when(Guard::Length(history.clone(), length))
            .then(Op::Append(history.clone(), vec![event("done")]))
            .then(create(task("next")?)))
    };
    let stale = b.refuse(fused(run.revision, 0)?).await?;
    check_eq!(stale, Refusal::Length(history.clone(), 1));
    b.apply(Op::Wake(id("run")?)).await?;
    let stale = b.refuse(fused(run.revision, 1)?).await?;
    check_eq!(stale, Refusal::Revision(run.id.clone()));
    check_eq!(b.record("step").await?, *step);
    check_eq!(b.find("next").await?, None);
    check_eq!(b.store()?.events(&history, 1, 9).await?.len(), 1);
    // The fall-back settles alone.
    b.succeed(&step).await
}
