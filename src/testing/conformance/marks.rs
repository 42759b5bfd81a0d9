//! Marks: small named values with compare-and-set.

use super::bench::{Bench, CaseResult, Failed, MICRO, SECOND, check, check_eq};
use super::cases;
use crate::payload::Payload;
use crate::store::{Commit, Effect, Guard, Maintain, MarkExpect, Op, Refusal, Retention};

cases! { "marks":
    a_mark_changes_only_from_the_version_that_its_writer_saw,
    of_many_writers_that_saw_one_version_one_wins,
    a_mark_keeps_its_value_and_the_time_it_was_set,
    a_mark_with_a_time_to_live_is_gone_after_it,
    setting_a_mark_again_replaces_its_time_to_live,
    a_mark_that_was_dropped_and_set_again_has_another_version,
    marks_are_listed_by_prefix_in_order_of_their_keys_page_by_page,
}

fn put(key: &str, value: &str) -> CaseResult<Op> {
    Ok(Op::PutMark {
        key: key.into(),
        value: Payload::parse(value)?,
        ttl: None,
    })
}

fn lives(key: &str, seconds: u32) -> Op {
    Op::PutMark {
        key: key.into(),
        value: Payload::null(),
        ttl: Some(SECOND * seconds),
    }
}

async fn set(b: &Bench<'_>, commit: Commit) -> CaseResult<u64> {
    match b.accept(commit).await?.as_slice() {
        [Effect::Marked(version)] => Ok(*version),
        other => Err(Failed::new(format!("setting a mark had {other:?}"))),
    }
}

fn expecting(key: &str, value: &str, expected: MarkExpect) -> CaseResult<Commit> {
    Ok(Commit::of([put(key, value)?]).when(Guard::Mark(key.into(), expected)))
}

async fn value(b: &Bench<'_>, key: &str) -> CaseResult<Option<String>> {
    let marks = b.store()?.marks(key, None, 1).await?;
    Ok(marks
        .first()
        .filter(|mark| *mark.key == *key)
        .map(|mark| mark.value.as_str().to_owned()))
}

async fn a_mark_changes_only_from_the_version_that_its_writer_saw(b: &Bench<'_>) -> CaseResult {
    let missing = expecting("cursor/n", "0", MarkExpect::Version(1))?;
    check_eq!(
        b.refuse(missing).await?,
        Refusal::Mark("cursor/n".into(), None)
    );
    let first = set(b, expecting("cursor/n", "1", MarkExpect::Absent)?).await?;
    let refused = Refusal::Mark("cursor/n".into(), Some(first));
    let again = expecting("cursor/n", "2", MarkExpect::Absent)?;
    check_eq!(b.refuse(again).await?, refused);
    let second = set(b, expecting("cursor/n", "3", MarkExpect::Version(first))?).await?;
    check!(second > first, "version {second} after {first}");
    let stale = expecting("cursor/n", "4", MarkExpect::Version(first))?;
    let refused = Refusal::Mark("cursor/n".into(), Some(second));
    check_eq!(b.refuse(stale).await?, refused);
    check_eq!(value(b, "cursor/n").await?.as_deref(), Some("3"));
    let drop_stale = Commit::of([Op::DropMark("cursor/n".into())])
        .when(Guard::Mark("cursor/n".into(), MarkExpect::Version(first)));
    check_eq!(b.refuse(drop_stale).await?, refused);
    // Without a guard it is simply set.
    set(b, Commit::of([put("cursor/n", "5")?])).await?;
    check_eq!(value(b, "cursor/n").await?.as_deref(), Some("5"));
    Ok(())
}

async fn of_many_writers_that_saw_one_version_one_wins(b: &Bench<'_>) -> CaseResult {
    let mut seen = set(b, Commit::of([put("m", "0")?])).await?;
    for round in 0..5 {
        let mut writers = tokio::task::JoinSet::new();
        for n in 0..20 {
            let store = b.store()?;
            let commit = expecting(
                "m",
                &format!("{}", round * 100 + n),
                MarkExpect::Version(seen),
            )?;
            writers.spawn(async move { store.commit(vec![commit]).await });
        }
        let mut won = Vec::new();
        while let Some(joined) = writers.join_next().await {
            for answer in joined.map_err(|error| Failed::new(error.to_string()))?? {
                if let Ok([Effect::Marked(version)]) = answer.as_deref() {
                    won.push(*version);
                }
            }
        }
        check_eq!(won.len(), 1, "winners");
        seen = won[0];
    }
    Ok(())
}

async fn a_mark_keeps_its_value_and_the_time_it_was_set(b: &Bench<'_>) -> CaseResult {
    b.clock.advance(SECOND * 5);
    let text = r#"{"b":  1.50, "a": "\u0000 😀"}"#;
    let version = set(b, Commit::of([put("worker/😀 1", text)?])).await?;
    let at = b.now();
    b.clock.advance(SECOND);
    let marks = b.store()?.marks("worker/", None, 9).await?;
    let [mark] = &marks[..] else {
        return Err(Failed::new(format!("read {marks:?}")));
    };
    check_eq!(&*mark.key, "worker/😀 1");
    check_eq!(mark.value.as_str(), text);
    check_eq!((mark.version, mark.set_at, mark.until), (version, at, None));
    Ok(())
}

async fn a_mark_with_a_time_to_live_is_gone_after_it(b: &Bench<'_>) -> CaseResult {
    b.apply(lives("m", 90)).await?;
    let until = b.now().saturating_add(SECOND * 90);
    let marks = b.store()?.marks("m", None, 1).await?;
    check_eq!(marks.first().and_then(|mark| mark.until), Some(until));
    b.clock.advance(SECOND * 90 - MICRO);
    check_eq!(value(b, "m").await?.as_deref(), Some("null"));
    b.clock.advance(MICRO);
    check_eq!(value(b, "m").await?, None);
    set(b, expecting("m", "2", MarkExpect::Absent)?).await?;
    // Upkeep of the old one does not take the new one away.
    b.store()?
        .maintain(Maintain {
            retention: Retention::default(),
            limit: 100,
        })
        .await?;
    check_eq!(value(b, "m").await?.as_deref(), Some("2"));
    Ok(())
}

async fn setting_a_mark_again_replaces_its_time_to_live(b: &Bench<'_>) -> CaseResult {
    for _ in 0..5 {
        b.apply(lives("renewed", 90)).await?;
        b.clock.advance(SECOND * 30);
    }
    b.apply(lives("kept", 10)).await?;
    b.apply(put("kept", "1")?).await?;
    b.apply(put("short", "1")?).await?;
    b.apply(lives("short", 10)).await?;
    b.clock.advance(SECOND * 59);
    for (key, there) in [("renewed", true), ("kept", true), ("short", false)] {
        check_eq!(value(b, key).await?.is_some(), there, "{key}");
    }
    b.clock.advance(SECOND);
    check_eq!(value(b, "renewed").await?, None);
    Ok(())
}

async fn a_mark_that_was_dropped_and_set_again_has_another_version(b: &Bench<'_>) -> CaseResult {
    let first = set(b, Commit::of([put("m", "1")?])).await?;
    b.apply(Op::DropMark("m".into())).await?;
    check_eq!(value(b, "m").await?, None);
    let second = set(b, expecting("m", "1", MarkExpect::Absent)?).await?;
    check!(second != first, "version {second} came twice");
    let stale = expecting("m", "9", MarkExpect::Version(first))?;
    let refused = Refusal::Mark("m".into(), Some(second));
    check_eq!(b.refuse(stale).await?, refused);
    Ok(())
}

async fn marks_are_listed_by_prefix_in_order_of_their_keys_page_by_page(
    b: &Bench<'_>,
) -> CaseResult {
    let mut wanted: Vec<_> = (0..25).map(|n| format!("w/{n}")).collect();
    wanted.extend(["w/%", "w/_", "w/é", "w/😀", "w/a'b"].map(ToOwned::to_owned));
    for key in wanted
        .iter()
        .rev()
        .map(String::as_str)
        .chain(["w", "W/1", "v/9", "x/1"])
    {
        b.apply(put(key, "1")?).await?;
    }
    b.apply(lives("w/gone", 1)).await?;
    b.clock.advance(SECOND);
    wanted.sort();
    let store = b.store()?;
    for limit in [1, 4, 1_000] {
        let mut seen: Vec<String> = Vec::new();
        loop {
            let page = store
                .marks("w/", seen.last().map(String::as_str), limit)
                .await?;
            check!(
                page.len() <= limit,
                "{} marks with limit {limit}",
                page.len()
            );
            if page.is_empty() {
                break;
            }
            seen.extend(page.into_iter().map(|mark| mark.key.to_string()));
        }
        check_eq!(seen, wanted, "with limit {limit}");
    }
    check_eq!(store.marks("", None, 1_000).await?.len(), 34);
    check_eq!(store.marks("none/", None, 10).await?.len(), 0);
    Ok(())
}
