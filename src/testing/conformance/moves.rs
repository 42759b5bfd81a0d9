//! Putting in the events, marks and keys that another store had, and telling what is held besides records and marks.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::bench::{
    Bench, CaseResult, Failed, SECOND, check_eq, check_matches, create, id, stream, task,
};
use super::cases;
use super::imports::{before, import};
use crate::payload::Payload;
use crate::store::{
    Commit, Effect, Event, Guard, Holding, Import, KeyOwner, Mark, NewEvent, Op, Refusal,
    StreamExtent,
};
use crate::task::{TaskStateRecord, Unique, UniqueScope};
use crate::timestamp::Timestamp;

cases! { "imports":
    imported_events_keep_their_numbers_and_times_and_leave_no_gap,
    an_imported_mark_keeps_its_times_and_its_rule_holds,
    an_imported_key_has_its_owner_whether_that_is_there_or_not,
    what_is_held_besides_records_and_marks_is_told_page_by_page,
}

pub(super) fn events(owner: &str, first: u64, events: Vec<Event>) -> CaseResult<Op> {
    let stream = stream(owner, "log/1")?;
    Ok(Op::Import(Box::new(Import::Events {
        stream,
        first,
        events,
    })))
}

pub(super) fn mark(mark: &Mark) -> Op {
    Op::Import(Box::new(Import::Mark(mark.clone())))
}

pub(super) fn key(key: &str, owner: &str, until: Option<Timestamp>) -> CaseResult<Op> {
    Ok(Op::Import(Box::new(Import::Key(KeyOwner {
        key: key.into(),
        owner: id(owner)?,
        until,
    }))))
}

pub(super) fn event(number: u64, at: Timestamp, key: Option<&str>) -> Event {
    Event {
        number,
        at,
        kind: format!("kind {number} 😀"),
        key: key.map(ToOwned::to_owned),
        data: Payload::from(serde_json::json!({ "n": number })),
    }
}

async fn imported_events_keep_their_numbers_and_times_and_leave_no_gap(
    b: &Bench<'_>,
) -> CaseResult {
    let all: Vec<_> = (4..9)
        .map(|n| {
            event(
                n,
                before(b, 100),
                (n % 2 == 0).then_some("even").filter(|_| n == 4),
            )
        })
        .collect();
    // Those before the fourth were trimmed.
    let numbers = |effect: Effect| match effect {
        Effect::Appended(numbers) => Ok(numbers),
        other => Err(Failed::new(format!("an import had the effect {other:?}"))),
    };
    let first = events("run", 4, all[..2].to_vec())?;
    check_eq!(numbers(b.apply(first.clone()).await?)?, [4, 5]);
    check_eq!(
        numbers(b.apply(events("run", 4, all[1..4].to_vec())?).await?)?,
        [5, 6, 7]
    );
    check_eq!(
        numbers(b.apply(events("run", 4, all.clone())?).await?)?,
        [4, 5, 6, 7, 8]
    );
    check_eq!(numbers(b.apply(first).await?)?, [4, 5]);
    let log = stream("run", "log/1")?;
    check_eq!(b.store()?.events(&log, 1, 100).await?, all);
    check_eq!(b.store()?.events(&log, 6, 2).await?, all[2..4].to_vec());
    let refused = Refusal::Length(log.clone(), 8);
    // A gap, another event of a number, and one that was trimmed.
    let mut other = all[3].clone();
    other.at = b.now();
    for wrong in [event(10, b.now(), None), other, event(3, b.now(), None)] {
        let wrong = Commit::of([events("run", 4, vec![wrong])?]);
        check_eq!(b.refuse(wrong).await?, refused);
    }
    // It goes on from there, and knows the keys.
    let new = |key: &str| NewEvent {
        kind: "new".to_owned(),
        key: Some(key.to_owned()),
        data: Payload::null(),
    };
    let more = Op::Append(log.clone(), vec![new("even"), new("odd")]);
    check_eq!(numbers(b.apply(more).await?)?, [4, 9]);
    // A stream whose events are all trimmed.
    b.apply(events("trimmed", 8, Vec::new())?).await?;
    let trimmed = stream("trimmed", "log/1")?;
    let length = Guard::Length(trimmed.clone(), 7);
    let next = Commit::of([Op::Append(trimmed, vec![new("a")])]).when(length);
    check_eq!(b.accept(next).await?, [Effect::Appended(vec![8])]);
    let none = Commit::of([events("none", 0, Vec::new())?]);
    check_matches!(b.refuse(none).await?, Refusal::Invalid(_));
    Ok(())
}

async fn an_imported_mark_keeps_its_times_and_its_rule_holds(b: &Bench<'_>) -> CaseResult {
    let of = |key: &str, value: &str, until: Option<Timestamp>| -> CaseResult<Mark> {
        Ok(Mark {
            key: key.into(),
            value: Payload::parse(value)?,
            version: 4_711,
            set_at: before(b, 100),
            until,
        })
    };
    let soon = b.now().saturating_add(SECOND * 50);
    let cursor = of("cursor/n", r#"{"a":  1.50}"#, None)?;
    let rule = of("gate/queue/default", r#"{"paused":true}"#, Some(soon))?;
    for mark_of in [&cursor, &rule] {
        check_matches!(b.apply(mark(mark_of)).await?, Effect::Marked(_));
    }
    let there = b.store()?.marks("", None, 9).await?;
    let seen: Vec<_> = there
        .iter()
        .map(|mark| (&mark.key, &mark.value, mark.set_at, mark.until))
        .collect();
    let wanted: Vec<_> = [&cursor, &rule]
        .iter()
        .map(|mark| (&mark.key, &mark.value, mark.set_at, mark.until))
        .collect();
    check_eq!(seen, wanted);
    for other in [
        of("cursor/n", "2", None)?,
        of("cursor/n", r#"{"a":  1.50}"#, Some(soon))?,
    ] {
        let refused = Refusal::Mark("cursor/n".into(), Some(there[0].version));
        check_eq!(b.refuse(Commit::of([mark(&other)])).await?, refused);
    }
    let no_rule = of("gate/k", "3", None)?;
    check_matches!(
        b.refuse(Commit::of([mark(&no_rule)])).await?,
        Refusal::Invalid(_)
    );
    b.add_all(&["a"]).await?;
    b.check_idle().await?;
    b.clock.advance(SECOND * 50);
    b.take("a").await?;
    check_eq!(b.store()?.marks("gate/", None, 9).await?, Vec::new());
    Ok(())
}

async fn an_imported_key_has_its_owner_whether_that_is_there_or_not(b: &Bench<'_>) -> CaseResult {
    let mut owner = TaskStateRecord::create(task("owner")?, before(b, 100), 1);
    owner.unique = Some(Arc::new(Unique {
        key: "mine".into(),
        scope: UniqueScope::WhileUnfinished,
        until: None,
    }));
    import(b, &owner).await?;
    let wants = |text: &str, key: &str| -> CaseResult<Op> {
        let mut new = task(text)?;
        new.on_conflict = crate::task::OnConflict::Fail;
        new.unique = Some(Arc::new(Unique {
            key: key.into(),
            scope: UniqueScope::Forever,
            until: None,
        }));
        Ok(create(new))
    };
    b.apply(key("mine", "owner", None)?).await?;
    b.apply(key("gone", "deleted long ago", None)?).await?;
    let until = b.now().saturating_add(SECOND * 10);
    b.apply(key("for a time", "deleted", Some(until))?).await?;
    for (wanted, has) in [
        ("mine", "owner"),
        ("gone", "deleted long ago"),
        ("for a time", "deleted"),
    ] {
        let taken = Refusal::KeyTaken {
            key: wanted.into(),
            owner: id(has)?,
        };
        check_eq!(b.refuse(Commit::of([wants("x", wanted)?])).await?, taken);
        let other = Commit::of([key(wanted, "somebody", None)?]);
        check_eq!(b.refuse(other).await?, taken);
    }
    b.clock.advance(SECOND * 10);
    b.apply(wants("new owner", "for a time")?).await?;
    b.apply(Op::Cancel(id("owner")?, "enough".to_owned()))
        .await?;
    b.apply(wants("next owner", "mine")?).await?;
    Ok(())
}

async fn what_is_held_besides_records_and_marks_is_told_page_by_page(b: &Bench<'_>) -> CaseResult {
    check_eq!(held(b, 3).await?.len(), 0);
    let mut streams = BTreeSet::new();
    for (owner, name, n, trim) in [
        ("sys", "audit", 3, 3),
        ("a", "log/1", 1, 1),
        ("a", "log/2", 2, 9),
        ("😀 1", "decisions", 4, 1),
        ("a*[b]?", "log/1", 1, 1),
    ] {
        let log = stream(owner, name)?;
        let new = NewEvent {
            kind: "x".to_owned(),
            key: None,
            data: Payload::null(),
        };
        b.apply(Op::Append(log.clone(), vec![new; n])).await?;
        b.apply(Op::Trim(log, trim)).await?;
        streams.insert((
            owner.to_owned(),
            name.to_owned(),
            trim.min(n as u64 + 1),
            n as u64,
        ));
    }
    let mut keys = BTreeSet::new();
    for n in 0..20 {
        let mut new = task(&format!("t{n}"))?;
        let scope = match n % 3 {
            0 => UniqueScope::Forever,
            1 => UniqueScope::WhileUnfinished,
            _ => UniqueScope::For(SECOND * 100),
        };
        let until = (n % 3 == 2).then(|| b.now().saturating_add(SECOND * 100));
        new.unique = Some(Arc::new(Unique {
            key: format!("key {n}").into(),
            scope,
            until: None,
        }));
        b.add(new).await?;
        keys.insert((format!("key {n}"), format!("t{n}"), until));
    }
    // A key that is kept for ever outlives its owner.
    b.apply(Op::Delete(id("t0")?)).await?;
    b.apply(Op::Delete(id("t1")?)).await?;
    keys.retain(|(_, owner, _)| owner != "t1");
    for limit in [1, 4, 1_000] {
        let (mut seen_streams, mut seen_keys) = (BTreeSet::new(), BTreeSet::new());
        for holding in held(b, limit).await? {
            match holding {
                Holding::Stream(StreamExtent {
                    stream,
                    first,
                    length,
                }) => {
                    seen_streams.insert((stream.owner, stream.name, first, length));
                }
                Holding::Key(KeyOwner { key, owner, until }) => {
                    seen_keys.insert((key.to_string(), owner.to_string(), until));
                }
            }
        }
        check_eq!(seen_streams, streams, "pages of {limit}");
        check_eq!(seen_keys, keys, "pages of {limit}");
    }
    b.clock.advance(SECOND * 100);
    let live = held(b, 7).await?.into_iter();
    let until = |holding: &Holding| matches!(holding, Holding::Key(key) if key.until.is_some());
    check_eq!(live.filter(until).count(), 0);
    let nowhere = b.store()?.holdings(Some("?"), 1).await;
    let kind = nowhere.map_err(|error| error.kind());
    check_eq!(kind, Err(crate::error::ErrorKind::Invalid));
    Ok(())
}

/// All that is told, in pages of this size.
async fn held(b: &Bench<'_>, limit: usize) -> CaseResult<Vec<Holding>> {
    let (mut all, mut after) = (Vec::new(), None);
    for _ in 0..100_000 {
        let page = b.store()?.holdings(after.as_deref(), limit).await?;
        all.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok(all);
        }
    }
    Err(Failed::new("the pages never came to an end"))
}
