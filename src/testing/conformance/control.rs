//! What operators do to tasks: cancel, revive, wake, move, patch, delete.

use super::bench::{
    Bench, CaseResult, SECOND, TTL, check, check_eq, check_matches, failure, id, names, request,
    settle, stream, task,
};
use super::cases;
use crate::payload::Payload;
use crate::store::{
    Change, Commit, CountBy, Create, Effect, Lanes, NewEvent, Op, Patch, Refusal, TaskFilter,
};
use crate::task::{Due, Settlement, TaskStatus};

cases! { "control":
    cancelling_what_waits_ends_it_at_once_with_the_reason,
    cancelling_what_runs_asks_and_ends_nothing,
    what_has_ended_cannot_be_cancelled_or_woken,
    a_revived_task_has_a_fresh_budget_and_keeps_its_history,
    only_what_failed_or_was_cancelled_can_be_revived,
    a_wake_makes_a_waiting_task_due_now,
    a_deleted_task_is_gone_with_its_streams,
    deleted_in_a_commit_it_can_be_made_again_in_it,
    what_runs_cannot_be_deleted,
    a_patch_changes_what_it_names_and_nothing_else,
    what_runs_cannot_be_moved_and_can_report_progress,
    a_moved_task_keeps_its_id_and_is_claimed_from_its_new_queue,
}

async fn cancelling_what_waits_ends_it_at_once_with_the_reason(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["ready"]).await?;
    let mut later = task("later")?;
    later.due = Due::In(SECOND * 60);
    b.add(later).await?;
    let mut tried = task("tried")?;
    tried.priority = 9;
    b.add(tried).await?;
    let tried = b.take("tried").await?;
    b.accept(settle(&tried, failure(&tried, "no luck"))?)
        .await?;
    for (name, attempt) in [("ready", 0), ("later", 0), ("tried", 1)] {
        b.clock.advance(SECOND);
        let effect = b
            .apply(Op::Cancel(id(name)?, "not needed".to_owned()))
            .await?;
        check_eq!(effect, Effect::Status(TaskStatus::Cancelled));
        let record = b.record(name).await?;
        check_eq!(record.status, TaskStatus::Cancelled);
        check_eq!(record.finished_at, Some(b.now()));
        check_eq!(record.error.as_deref(), Some("not needed"));
        check_eq!(record.error_group, None);
        check_eq!(record.attempt, attempt);
    }
    b.clock.advance(SECOND * 60);
    b.check_idle().await
}

async fn cancelling_what_runs_asks_and_ends_nothing(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a"]).await?;
    let mine = b.take("a").await?;
    for _ in 0..2 {
        let effect = b.apply(Op::Cancel(id("a")?, "stop".to_owned())).await?;
        check_eq!(effect, Effect::CancelRequested);
        let record = b.record("a").await?;
        check_eq!(record.status, TaskStatus::Running);
        check!(record.cancel_requested, "the request is not kept");
        check_eq!(record.lease, mine.lease);
    }
    b.clock.advance(TTL);
    check_eq!(
        b.reap(&mine).await?,
        Ok(vec![Effect::Status(TaskStatus::Cancelled)]),
        "a lost task that was to be cancelled"
    );
    b.check_idle().await
}

async fn what_has_ended_cannot_be_cancelled_or_woken(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["done", "failed", "cancelled"]).await?;
    for record in b.claim("worker", 2).await? {
        if record.id.as_str() == "done" {
            b.succeed(&record).await?;
        } else {
            let mut never = failure(&record, "never");
            never.status = TaskStatus::Failed;
            b.accept(settle(&record, never)?).await?;
        }
    }
    b.apply(Op::Cancel(id("cancelled")?, "no".to_owned()))
        .await?;
    for (name, status) in [
        ("done", TaskStatus::Succeeded),
        ("failed", TaskStatus::Failed),
        ("cancelled", TaskStatus::Cancelled),
    ] {
        let before = b.record(name).await?;
        check_eq!(before.status, status);
        for op in [
            Op::Cancel(id(name)?, "again".to_owned()),
            Op::Wake(id(name)?),
            Op::Extend(id(name)?, TTL),
        ] {
            let shown = format!("{op:?}");
            let refusal = b.refuse(Commit::of([op])).await?;
            check!(
                matches!(&refusal, Refusal::Status { status: seen, .. } if *seen == status)
                    || matches!(refusal, Refusal::LeaseLost(_)),
                "{shown} was refused with {refusal:?}"
            );
            check_eq!(b.record(name).await?, before);
        }
    }
    Ok(())
}

async fn a_revived_task_has_a_fresh_budget_and_keeps_its_history(b: &Bench<'_>) -> CaseResult {
    let mut new = task("a")?;
    new.max_attempts = 2;
    new.expires = Some(Due::In(SECOND * 100));
    b.add(new).await?;
    let mut runs = 0;
    for life in 0..3_u32 {
        for attempt in 0..2 {
            let mine = b.take("a").await?;
            runs += 1;
            check_eq!((mine.attempt, mine.fence), (runs, u64::from(runs)));
            b.accept(settle(&mine, failure(&mine, "no luck"))?).await?;
            let wanted = if attempt == 0 {
                TaskStatus::Pending
            } else {
                TaskStatus::Failed
            };
            check_eq!(b.record("a").await?.status, wanted, "life {life}");
            b.clock.advance(SECOND * 10);
        }
        b.clock.advance(SECOND * 100);
        let effect = b.apply(Op::Revive(id("a")?, Due::In(SECOND))).await?;
        check_eq!(effect, Effect::Status(TaskStatus::Pending));
        let record = b.record("a").await?;
        check_eq!((record.finished_at, record.lost), (None, 0));
        check_eq!(record.run_at, b.now().saturating_add(SECOND));
        check_eq!(record.attempts.len(), runs as usize);
        b.check_idle().await?;
        b.clock.advance(SECOND);
    }
    let mine = b.take("a").await?;
    b.succeed(&mine).await
}

async fn only_what_failed_or_was_cancelled_can_be_revived(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["done", "running", "waiting", "cancelled"])
        .await?;
    let claimed = b.claim("worker", 2).await?;
    b.succeed(&claimed[0]).await?;
    for (name, status) in [
        ("done", TaskStatus::Succeeded),
        ("running", TaskStatus::Running),
        ("waiting", TaskStatus::Pending),
    ] {
        let before = b.record(name).await?;
        let refusal = b
            .refuse(Commit::of([Op::Revive(id(name)?, Due::Now)]))
            .await?;
        check!(
            matches!(&refusal, Refusal::Status { status: seen, .. } if *seen == status),
            "{name} was refused with {refusal:?}"
        );
        check_eq!(b.record(name).await?, before);
    }
    b.apply(Op::Cancel(id("cancelled")?, "no".to_owned()))
        .await?;
    b.apply(Op::Revive(id("cancelled")?, Due::Now)).await?;
    check!(
        !b.record("cancelled").await?.cancel_requested,
        "the old request is still there"
    );
    Ok(())
}

async fn a_wake_makes_a_waiting_task_due_now(b: &Bench<'_>) -> CaseResult {
    let mut later = task("later")?;
    later.due = Due::In(SECOND * 3600);
    b.add(later).await?;
    b.check_idle().await?;
    let effect = b.apply(Op::Wake(id("later")?)).await?;
    check_eq!(effect, Effect::Status(TaskStatus::Pending));
    let mine = b.take("later").await?;
    check_eq!(mine.run_at, b.now());
    // One that is due already keeps its place.
    let mut early = task("early")?;
    early.due = Due::At(b.now().saturating_sub(SECOND * 9));
    b.add(early).await?;
    b.apply(Op::Wake(id("early")?)).await?;
    let run_at = b.record("early").await?.run_at;
    check_eq!(run_at, b.now().saturating_sub(SECOND * 9));
    Ok(())
}

async fn a_deleted_task_is_gone_with_its_streams(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a", "ab"]).await?;
    let line = |text: &str| NewEvent {
        kind: text.to_owned(),
        key: Some(text.to_owned()),
        data: Payload::null(),
    };
    let streams = [stream("a", "history")?, stream("a", "log/1")?];
    let other = stream("ab", "history")?;
    for stream in streams.iter().chain([&other]) {
        let append = Op::Append(stream.clone(), vec![line("one"), line("two")]);
        b.apply(append).await?;
    }
    b.apply(Op::Delete(id("a")?)).await?;
    check_eq!(b.find("a").await?, None);
    let store = b.store()?;
    for stream in &streams {
        check_eq!(store.events(stream, 1, 9).await?.len(), 0, "{stream}");
    }
    check_eq!(store.events(&other, 1, 9).await?.len(), 2);
    let counts = store.count(&TaskFilter::default(), CountBy::All, 9).await?;
    check_eq!(counts.total(), 1);
    b.take("ab").await?;
    b.check_idle().await?;
    // A new task of that id begins from nothing.
    b.add_all(&["a"]).await?;
    let append = Op::Append(streams[0].clone(), vec![line("one")]);
    check_eq!(b.apply(append).await?, Effect::Appended(vec![1]));
    check_eq!(b.take("a").await?.attempt, 1);
    Ok(())
}

async fn deleted_in_a_commit_it_can_be_made_again_in_it(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a", "b", "c"]).await?;
    let first = b.take("a").await?;
    b.succeed(&first).await?;
    let last = b.record("c").await?;
    let note = NewEvent {
        kind: "note".to_owned(),
        key: None,
        data: Payload::null(),
    };
    let notes = stream("a", "log/1")?;
    b.apply(Op::Append(notes.clone(), vec![note])).await?;
    // One that has ended, one that waits, and one that ends where it is made.
    for name in ["a", "b"] {
        let again = Create {
            task: task(name)?,
            lease_to: None,
        };
        b.accept(Commit::of([
            Op::Delete(id(name)?),
            Op::Create(Box::new(again)),
        ]))
        .await?;
    }
    let again = Create {
        task: task("c")?,
        lease_to: None,
    };
    b.accept(Commit::of([
        Op::Delete(id("c")?),
        Op::Create(Box::new(again)),
        Op::Cancel(id("c")?, "no".to_owned()),
    ]))
    .await?;
    let store = b.store()?;
    check_eq!(store.events(&notes, 1, 9).await?.len(), 0);
    let counts = store.count(&TaskFilter::default(), CountBy::All, 9).await?;
    check_eq!(counts.total(), 3);
    let made = b.record("a").await?;
    check_eq!(
        (made.status, made.attempt, made.finished_at),
        (TaskStatus::Pending, 0, None)
    );
    check!(
        made.seq > last.seq,
        "a task that is made again has a new number"
    );
    check_eq!(b.record("c").await?.status, TaskStatus::Cancelled);
    let claimed = b.claim("worker", 9).await?;
    let names: Vec<_> = claimed.iter().map(|record| record.id.as_str()).collect();
    check_eq!(names, ["a", "b"]);
    // Who ran the first of that id has no say over the second.
    let late = settle(&first, Settlement::success(Payload::null()))?;
    b.refuse(late).await?;
    b.succeed(&claimed[0]).await?;
    Ok(())
}

async fn what_runs_cannot_be_deleted(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a"]).await?;
    let mine = b.take("a").await?;
    let delete = Commit::of([Op::Delete(id("a")?)]);
    check_matches!(
        b.refuse(delete.clone()).await?,
        Refusal::Status {
            status: TaskStatus::Running,
            ..
        }
    );
    check_eq!(b.record("a").await?, *mine);
    b.succeed(&mine).await?;
    b.accept(delete).await?;
    check_eq!(b.find("a").await?, None);
    let late = settle(&mine, Settlement::success(Payload::null()))?;
    check_eq!(b.refuse(late).await?, Refusal::NotFound(id("a")?));
    Ok(())
}

async fn a_patch_changes_what_it_names_and_nothing_else(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a"]).await?;
    let mut wanted = b.record("a").await?;
    let patches = [
        Patch::default(),
        Patch {
            args: Some(Payload::parse("[ 1 ]")?),
            ..Patch::default()
        },
        Patch {
            progress: Some(Payload::parse("0.5")?),
            state: Some(Payload::parse("{}")?),
            phase: Change::Set(Some("two".to_owned())),
            ..Patch::default()
        },
        Patch {
            phase: Change::Set(None),
            priority: Some(0),
            ..Patch::default()
        },
    ];
    for patch in patches {
        wanted.revision += 1;
        if let Some(args) = &patch.args {
            wanted.args = args.clone();
        }
        wanted.progress = patch.progress.clone().or(wanted.progress);
        if let Some(state) = &patch.state {
            wanted.state = Some(state.clone());
        }
        if let Change::Set(phase) = &patch.phase {
            wanted.phase.clone_from(phase);
        }
        wanted.priority = patch.priority.unwrap_or(wanted.priority);
        let shown = format!("{patch:?}");
        check_eq!(
            b.patch("a", patch).await?,
            Ok(vec![Effect::Status(TaskStatus::Pending)])
        );
        check_eq!(b.record("a").await?, wanted, "{shown}");
    }
    Ok(())
}

async fn what_runs_cannot_be_moved_and_can_report_progress(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a"]).await?;
    let mine = b.take("a").await?;
    let patches = [
        Patch {
            due: Some(Due::Now),
            ..Patch::default()
        },
        Patch {
            queue: Some("other".to_owned()),
            ..Patch::default()
        },
        Patch {
            priority: Some(9),
            ..Patch::default()
        },
        Patch {
            args: Some(Payload::null()),
            progress: Some(Payload::parse("1")?),
            ..Patch::default()
        },
    ];
    for patch in patches {
        let shown = format!("{patch:?}");
        let answer = b.patch("a", patch).await?;
        check!(
            matches!(
                answer,
                Err(Refusal::Status {
                    status: TaskStatus::Running,
                    ..
                })
            ),
            "{shown} was answered {answer:?}"
        );
        check_eq!(b.record("a").await?, *mine);
    }
    let progress = Patch {
        progress: Some(Payload::parse("{\"done\": 3}")?),
        ..Patch::default()
    };
    let under_lease =
        Commit::of([Op::Patch(id("a")?, Box::new(progress))]).when(super::bench::held(&mine)?);
    b.accept(under_lease).await?;
    let record = b.record("a").await?;
    check_eq!(record.progress, Some(Payload::parse("{\"done\": 3}")?));
    check_eq!(record.lease, mine.lease);
    Ok(())
}

async fn a_moved_task_keeps_its_id_and_is_claimed_from_its_new_queue(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a"]).await?;
    let mut later = task("later")?;
    later.due = Due::In(SECOND);
    b.add(later).await?;
    let before = b.record("a").await?;
    for name in ["a", "later"] {
        let away = Patch {
            queue: Some("other".to_owned()),
            ..Patch::default()
        };
        check_matches!(b.patch(name, away).await?, Ok(_));
    }
    let moved = b.record("a").await?;
    check_eq!((&*moved.queue, moved.seq), ("other", before.seq));
    b.clock.advance(SECOND);
    b.check_idle().await?;
    let mut asked = request("worker", 5)?;
    asked.lanes = Lanes::new(["other"], ["work"]);
    check_eq!(names(&b.claim_all(&asked).await?), ["a", "later"]);
    let counts = b
        .store()?
        .count(&TaskFilter::default(), CountBy::Queue, 9)
        .await?;
    check_eq!((counts.of("default"), counts.of("other")), (0, 2));
    Ok(())
}
