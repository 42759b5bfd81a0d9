//! What outlives a handle, and what several handles of one place see of each other.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::bench::{
    Bench, CaseResult, Failed, SECOND, TTL, check, check_eq, check_matches, create, id, names,
    request, settle, stream, task,
};
use super::cases;
use super::gates::{claim_exactly, gated, parked_behind};
use crate::error::ErrorKind;
use crate::page::PageRequest;
use crate::payload::Payload;
use crate::store::{
    Commit, CountBy, Effect, Guard, Maintain, MarkExpect, NewEvent, Op, Retention, TaskFilter,
};
use crate::task::{Due, Settlement, TaskStatus, Unique, UniqueScope};

cases! { "durability":
    #[needs(Reopen)] what_was_answered_survives_a_reopen,
    #[needs(Reopen)] a_lease_survives_a_reopen_and_is_still_its_holders,
    #[needs(Reopen)] what_waits_behind_a_gate_or_for_a_time_survives_a_reopen,
    #[needs(Reopen)] numbers_go_on_after_a_reopen,
    #[needs(Handles)] two_handles_see_what_the_other_wrote,
    #[needs(Handles)] two_handles_never_lease_one_task_twice,
    #[needs(Handles)] two_handles_never_make_one_key_or_one_mark_twice,
    #[needs(Corrupt)] a_record_that_cannot_be_read_is_reported_and_the_others_go_on,
    #[needs(Corrupt)] a_record_that_cannot_be_read_does_not_stop_upkeep,
    #[needs(Corrupt)] a_lease_of_a_record_that_cannot_be_read_ends_once_and_frees_its_places,
}

fn event(key: &str) -> NewEvent {
    NewEvent {
        kind: "e".to_owned(),
        key: Some(key.to_owned()),
        data: Payload::null(),
    }
}

async fn what_was_answered_survives_a_reopen(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["done", "waiting", "gone", "cancelled"]).await?;
    let mine = b.take("done").await?;
    b.accept(settle(
        &mine,
        Settlement::success(Payload::parse("[ 1 ]")?),
    )?)
    .await?;
    b.apply(Op::Delete(id("gone")?)).await?;
    b.apply(Op::Cancel(id("cancelled")?, "no".to_owned()))
        .await?;
    let log = stream("waiting", "history")?;
    b.apply(Op::Append(log.clone(), vec![event("1"), event("2")]))
        .await?;
    for key in ["kept", "dropped"] {
        b.apply(Op::PutMark {
            key: key.into(),
            value: Payload::of(key)?,
            ttl: None,
        })
        .await?;
    }
    b.apply(Op::DropMark("dropped".into())).await?;
    let snapshot = async || -> CaseResult<String> {
        let store = b.store()?;
        let all = TaskFilter::default();
        let mut records = Vec::new();
        for name in ["done", "waiting", "gone", "cancelled"] {
            records.push(b.find(name).await?);
        }
        let page = store.list(&all, PageRequest::first(10)).await?;
        let counts = store.count(&all, CountBy::Status, 10).await?;
        let events = store.events(&log, 1, 10).await?;
        let marks = store.marks("", None, 10).await?;
        Ok(format!(
            "{records:?} {page:?} {counts:?} {events:?} {marks:?}"
        ))
    };
    let before = snapshot().await?;
    for _ in 0..3 {
        b.reopen().await?;
        check_eq!(snapshot().await?, before);
    }
    b.take("waiting").await?;
    b.check_idle().await
}

async fn a_lease_survives_a_reopen_and_is_still_its_holders(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a", "b", "c"]).await?;
    let claimed = b.claim("worker", 3).await?;
    b.clock.advance(SECOND);
    b.reopen().await?;
    b.check_idle().await?;
    b.succeed(&claimed[0]).await?;
    b.accept(super::bench::extend(&claimed[1], TTL)?).await?;
    check_matches!(b.reap(&claimed[2]).await?, Err(_));
    b.clock.advance(TTL - SECOND);
    b.reopen().await?;
    check_matches!(b.reap(&claimed[1]).await?, Err(_));
    check_matches!(b.reap(&claimed[2]).await?, Ok(_));
    let again = b.refuse(settle(&claimed[0], Settlement::success(Payload::null()))?);
    check_eq!(again.await?, crate::store::Refusal::AlreadyDone(id("a")?));
    check_eq!(b.take("c").await?.fence, 2);
    Ok(())
}

async fn what_waits_behind_a_gate_or_for_a_time_survives_a_reopen(b: &Bench<'_>) -> CaseResult {
    for name in ["a", "b", "c"] {
        b.add(gated(name, "user/7", 1)?).await?;
    }
    let running = claim_exactly(b, &["a"]).await?;
    let mut later = task("later")?;
    later.due = Due::In(SECOND * 20);
    b.add(later).await?;
    let mut keyed = task("keyed")?;
    keyed.queue = "other".into();
    keyed.unique = Some(Arc::new(Unique {
        key: "k".into(),
        scope: UniqueScope::WhileUnfinished,
        until: None,
    }));
    b.add(keyed.clone()).await?;
    b.reopen().await?;
    claim_exactly(b, &[]).await?;
    check_eq!(parked_behind(b, "c").await?.as_deref(), Some("user/7"));
    b.succeed(&running[0]).await?;
    b.reopen().await?;
    claim_exactly(b, &["b"]).await?;
    b.clock.advance(SECOND * 20);
    claim_exactly(b, &["later"]).await?;
    keyed.id = id("keyed2")?;
    let effect = b.apply(create(keyed)).await?;
    check_matches!(effect, Effect::Existing { .. });
    Ok(())
}

async fn numbers_go_on_after_a_reopen(b: &Bench<'_>) -> CaseResult {
    let log = stream("run", "history")?;
    let put = || Op::PutMark {
        key: "m".into(),
        value: Payload::null(),
        ttl: None,
    };
    let (mut last_seq, mut last_version, mut last_fence) = (0, 0, 0);
    b.add_all(&["fenced"]).await?;
    for round in 1..=3_u64 {
        let seq = b.add(task(&format!("zz{round}"))?).await?;
        check!(seq > last_seq, "sequence {seq} after {last_seq}");
        last_seq = seq;
        let effect = b.apply(Op::Append(log.clone(), vec![event(&format!("{round}"))]));
        check_eq!(effect.await?, Effect::Appended(vec![round]));
        if round > 1 {
            let again = b.apply(Op::Append(log.clone(), vec![event("1")])).await?;
            check_eq!(again, Effect::Appended(vec![1]));
        }
        let Effect::Marked(version) = b.apply(put()).await? else {
            return Err(Failed::new("a mark has no version"));
        };
        check!(
            version > last_version,
            "version {version} after {last_version}"
        );
        last_version = version;
        let mine = b.take("fenced").await?;
        check!(mine.fence > last_fence, "fence {} again", mine.fence);
        last_fence = mine.fence;
        b.accept(settle(&mine, Settlement::release())?).await?;
        b.reopen().await?;
    }
    Ok(())
}

async fn two_handles_see_what_the_other_wrote(b: &Bench<'_>) -> CaseResult {
    let other = b.handle().await?;
    b.add_all(&["a"]).await?;
    let seen = other.get(&[id("a")?]).await?;
    check!(
        matches!(seen[..], [Some(_)]),
        "the other handle sees {seen:?}"
    );
    let claimed = other.claim(request("other", 1)?).await?.tasks;
    check_eq!(names(&claimed), ["a"]);
    check_eq!(b.record("a").await?, *claimed[0]);
    b.apply(Op::Cancel(id("a")?, "stop".to_owned())).await?;
    let extended = other
        .commit(vec![super::bench::extend(&claimed[0], TTL)?])
        .await?;
    check!(
        matches!(
            extended[0].as_deref(),
            Ok([Effect::Extended {
                cancel_requested: true,
                ..
            }])
        ),
        "the other handle was answered {extended:?}"
    );
    b.succeed(&claimed[0]).await?;
    let seen = other.get(&[id("a")?]).await?;
    let status = seen[0].as_ref().map(|record| record.status);
    check_eq!(status, Some(TaskStatus::Succeeded));
    b.rule("queue/default", r#"{"paused": true}"#).await?;
    b.add_all(&["b"]).await?;
    check_eq!(other.claim(request("other", 1)?).await?.tasks.len(), 0);
    Ok(())
}

async fn two_handles_never_lease_one_task_twice(b: &Bench<'_>) -> CaseResult {
    let count = b.many(400);
    let tasks = (0..count).map(|n| task(&format!("t{n}")));
    b.add_many(tasks.collect::<CaseResult<_>>()?).await?;
    let mut claimers = tokio::task::JoinSet::new();
    for n in 0..4 {
        let (store, asked) = (b.handle().await?, request(&format!("w{n}"), 3)?);
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
        for record in joined.map_err(|error| Failed::new(error.to_string()))?? {
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

async fn two_handles_never_make_one_key_or_one_mark_twice(b: &Bench<'_>) -> CaseResult {
    let handles = [b.store()?, b.handle().await?, b.handle().await?];
    for round in 0..10 {
        let mut callers = tokio::task::JoinSet::new();
        for (n, store) in handles.iter().enumerate() {
            let mut keyed = task(&format!("{round}-{n}"))?;
            keyed.unique = Some(Arc::new(Unique {
                key: format!("key{round}").into(),
                scope: UniqueScope::WhileUnfinished,
                until: None,
            }));
            let key = format!("mark{round}");
            let mark = Commit::of([Op::PutMark {
                key: key.clone().into(),
                value: Payload::null(),
                ttl: None,
            }])
            .when(Guard::Mark(key.into(), MarkExpect::Absent));
            let commits = vec![Commit::of([create(keyed)]), mark];
            let store = store.clone();
            callers.spawn(async move { store.commit(commits).await });
        }
        let (mut made, mut marked) = (0, 0);
        while let Some(joined) = callers.join_next().await {
            let answers = joined.map_err(|error| Failed::new(error.to_string()))??;
            made += usize::from(matches!(
                answers[0].as_deref(),
                Ok([Effect::Created { .. }])
            ));
            marked += usize::from(answers[1].is_ok());
        }
        check_eq!((made, marked), (1, 1), "round {round}");
    }
    Ok(())
}

async fn a_record_that_cannot_be_read_is_reported_and_the_others_go_on(
    b: &Bench<'_>,
) -> CaseResult {
    b.add_all(&["a", "bad", "c"]).await?;
    b.corrupt("bad").await?;
    match b.store()?.get(&[id("bad")?]).await {
        Err(error) => check_eq!(error.kind(), ErrorKind::Corrupt),
        Ok(found) => check!(false, "a damaged record was read as {found:?}"),
    }
    let page = b
        .store()?
        .list(&TaskFilter::default(), PageRequest::first(10))
        .await?;
    let listed: Vec<_> = page.items.iter().map(|i| i.record.id.as_str()).collect();
    check_eq!(listed, ["a", "c"]);
    claim_exactly(b, &["a", "c"]).await?;
    for op in [
        Op::Cancel(id("bad")?, "no".to_owned()),
        Op::Wake(id("bad")?),
        create(task("bad")?),
    ] {
        // Refused, not an error of the store: others may share the transaction.
        let shown = format!("{op:?}");
        let answers = b
            .store()?
            .commit(vec![
                Commit::of([op]),
                Commit::of([create(task(&format!("n{}", shown.len()))?)]),
            ])
            .await?;
        check!(
            answers[0].is_err() && answers[1].is_ok(),
            "{shown}: {answers:?}"
        );
    }
    Ok(())
}

async fn a_record_that_cannot_be_read_does_not_stop_upkeep(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["bad", "good"]).await?;
    for name in ["bad", "good"] {
        b.apply(Op::Cancel(id(name)?, "no".to_owned())).await?;
    }
    b.corrupt("bad").await?;
    b.clock.advance(SECOND * 60);
    let retention = Retention {
        age: Some(SECOND),
        count: None,
    };
    let mut removed = 0;
    for _ in 0..3 {
        let step = Maintain {
            retention,
            limit: 10,
        };
        removed += b.store()?.maintain(step).await?.removed;
    }
    check_eq!(removed, 1);
    check_eq!(b.find("good").await?, None);
    Ok(())
}

async fn a_lease_of_a_record_that_cannot_be_read_ends_once_and_frees_its_places(
    b: &Bench<'_>,
) -> CaseResult {
    for name in ["bad", "waits"] {
        b.add(gated(name, "user/7", 1)?).await?;
    }
    b.add_all(&["lost"]).await?;
    let running = claim_exactly(b, &["bad", "lost"]).await?;
    b.corrupt("bad").await?;
    b.clock.advance(TTL);
    // The neighbour is taken back as ever.
    let ended = TaskFilter {
        lease_expired: true,
        ..TaskFilter::default()
    };
    let page = b.store()?.list(&ended, PageRequest::first(10)).await?;
    let listed: Vec<_> = page.items.iter().map(|i| i.record.id.as_str()).collect();
    check_eq!(listed, ["lost"]);
    check_matches!(b.reap(&running[1]).await?, Ok(_));
    let mut claimed = Vec::new();
    let mut last = None;
    for _ in 0..4 {
        let claims = b.claims(request("worker", 10)?).await?;
        last = claims.next_due.map(|due| due.since(claims.now));
        claimed.extend(claims.tasks);
    }
    check_eq!(names(&claimed), ["lost", "waits"]);
    check_eq!(last, Some(TTL), "the time to look again");
    Ok(())
}
