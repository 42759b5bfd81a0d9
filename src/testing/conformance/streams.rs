//! Streams of events.

use super::bench::{Bench, CaseResult, Failed, SECOND, check_eq, stream};
use super::cases;
use crate::payload::Payload;
use crate::store::{Commit, Effect, Guard, NewEvent, Op, Refusal, StreamId};

cases! { "streams":
    events_are_numbered_from_one_without_gaps,
    an_event_keeps_its_kind_its_key_its_data_and_its_time,
    an_event_key_is_appended_once,
    many_writers_of_one_stream_leave_no_gap,
    trimming_removes_what_came_before_a_number_and_keeps_the_numbers_of_the_rest,
    a_length_guard_counts_every_event_ever_appended,
    streams_of_other_owners_and_names_do_not_mix,
    events_are_read_from_a_number_on_up_to_a_limit,
}

fn event(kind: &str, key: Option<&str>) -> NewEvent {
    NewEvent {
        kind: kind.to_owned(),
        key: key.map(ToOwned::to_owned),
        data: Payload::null(),
    }
}

async fn append(b: &Bench<'_>, to: &StreamId, events: Vec<NewEvent>) -> CaseResult<Vec<u64>> {
    match b.apply(Op::Append(to.clone(), events)).await? {
        Effect::Appended(numbers) => Ok(numbers),
        other => Err(Failed::new(format!("an append had the effect {other:?}"))),
    }
}

/// Numbers and kinds of a stream.
async fn read(b: &Bench<'_>, from: &StreamId) -> CaseResult<Vec<(u64, String)>> {
    let events = b.store()?.events(from, 1, 10_000).await?;
    Ok(events.into_iter().map(|e| (e.number, e.kind)).collect())
}

async fn events_are_numbered_from_one_without_gaps(b: &Bench<'_>) -> CaseResult {
    let log = stream("run", "history")?;
    check_eq!(read(b, &log).await?, Vec::new());
    let one = append(b, &log, vec![event("a", None)]).await?;
    let none = append(b, &log, Vec::new()).await?;
    let more = append(b, &log, vec![event("b", None), event("c", None)]).await?;
    check_eq!((one, none, more), (vec![1], vec![], vec![2, 3]));
    // A refused append uses no number up.
    let refused = Commit::of([Op::Append(log.clone(), vec![event("x", None)])])
        .when(Guard::Length(log.clone(), 9));
    check_eq!(b.refuse(refused).await?, Refusal::Length(log.clone(), 3));
    check_eq!(append(b, &log, vec![event("d", None)]).await?, [4]);
    let kinds: Vec<_> = read(b, &log).await?;
    let wanted = [(1, "a"), (2, "b"), (3, "c"), (4, "d")];
    check_eq!(kinds, wanted.map(|(n, kind)| (n, kind.to_owned())));
    Ok(())
}

async fn an_event_keeps_its_kind_its_key_its_data_and_its_time(b: &Bench<'_>) -> CaseResult {
    let log = stream("run", "history")?;
    let data = Payload::parse(r#"{"text": "\u0000 é 😀",   "n": 1.00}"#)?;
    let new = NewEvent {
        kind: "signal/😀".to_owned(),
        key: Some("key 1".to_owned()),
        data: data.clone(),
    };
    b.clock.advance(SECOND * 3);
    append(b, &log, vec![new]).await?;
    let at = b.now();
    b.clock.advance(SECOND);
    let events = b.store()?.events(&log, 1, 1).await?;
    let [event] = &events[..] else {
        return Err(Failed::new(format!("read {events:?}")));
    };
    check_eq!((event.number, event.at), (1, at));
    check_eq!(event.kind, "signal/😀");
    check_eq!(event.key.as_deref(), Some("key 1"));
    check_eq!(event.data.as_str(), data.as_str());
    Ok(())
}

async fn an_event_key_is_appended_once(b: &Bench<'_>) -> CaseResult {
    let inbox = stream("run", "inbox")?;
    check_eq!(append(b, &inbox, vec![event("a", Some("k1"))]).await?, [1]);
    check_eq!(append(b, &inbox, vec![event("b", None)]).await?, [2]);
    check_eq!(append(b, &inbox, vec![event("c", Some("k1"))]).await?, [1]);
    let mixed = vec![
        event("d", Some("k2")),
        event("e", Some("k1")),
        event("f", Some("k2")),
        event("g", Some("k3")),
    ];
    check_eq!(append(b, &inbox, mixed).await?, [3, 1, 3, 4]);
    let kinds: Vec<_> = read(b, &inbox).await?.into_iter().map(|e| e.1).collect();
    check_eq!(kinds, ["a", "b", "d", "g"]);
    // The key of another stream is another key.
    let other = stream("run", "inbox2")?;
    check_eq!(append(b, &other, vec![event("a", Some("k1"))]).await?, [1]);
    Ok(())
}

async fn many_writers_of_one_stream_leave_no_gap(b: &Bench<'_>) -> CaseResult {
    let log = stream("run", "history")?;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..25 {
        let (store, log) = (b.store()?, log.clone());
        writers.spawn(async move {
            let mut numbers = Vec::new();
            for n in 0..4 {
                // Each key is sent by two writers.
                let new = event("e", Some(&format!("{}-{n}", writer / 2)));
                let commit = Commit::of([Op::Append(log.clone(), vec![new])]);
                for answer in store.commit(vec![commit]).await? {
                    if let Ok([Effect::Appended(given)]) = answer.as_deref() {
                        numbers.extend(given.clone());
                    }
                }
            }
            CaseResult::Ok(numbers)
        });
    }
    let mut given = Vec::new();
    while let Some(joined) = writers.join_next().await {
        given.extend(joined.map_err(|error| Failed::new(error.to_string()))??);
    }
    check_eq!(given.len(), 100);
    given.sort_unstable();
    given.dedup();
    let numbers: Vec<_> = read(b, &log).await?.into_iter().map(|e| e.0).collect();
    let wanted: Vec<_> = (1..=52).collect();
    check_eq!((numbers, given), (wanted.clone(), wanted));
    Ok(())
}

async fn trimming_removes_what_came_before_a_number_and_keeps_the_numbers_of_the_rest(
    b: &Bench<'_>,
) -> CaseResult {
    let log = stream("run", "history")?;
    let events = (1..=9).map(|n| event(&format!("e{n}"), None)).collect();
    append(b, &log, events).await?;
    for (before, first) in [(4, 4), (2, 4), (5, 5)] {
        b.apply(Op::Trim(log.clone(), before)).await?;
        let numbers: Vec<_> = read(b, &log).await?.into_iter().map(|e| e.0).collect();
        let wanted: Vec<_> = (first..=9).collect();
        check_eq!(numbers, wanted, "trimmed before {before}");
    }
    b.apply(Op::Trim(log.clone(), u64::MAX)).await?;
    check_eq!(read(b, &log).await?, Vec::new());
    check_eq!(append(b, &log, vec![event("next", None)]).await?, [10]);
    check_eq!(read(b, &log).await?, [(10, "next".to_owned())]);
    Ok(())
}

async fn a_length_guard_counts_every_event_ever_appended(b: &Bench<'_>) -> CaseResult {
    let log = stream("run", "history")?;
    let next = |length: u64| {
        Commit::of([Op::Append(log.clone(), vec![event("e", None)])])
            .when(Guard::Length(log.clone(), length))
    };
    b.accept(next(0)).await?;
    b.accept(next(1)).await?;
    check_eq!(b.refuse(next(1)).await?, Refusal::Length(log.clone(), 2));
    b.apply(Op::Trim(log.clone(), 3)).await?;
    check_eq!(b.refuse(next(0)).await?, Refusal::Length(log.clone(), 2));
    b.accept(next(2)).await?;
    append(b, &log, vec![event("e", Some("k"))]).await?;
    append(b, &log, vec![event("e", Some("k"))]).await?;
    b.accept(next(4)).await?;
    Ok(())
}

async fn streams_of_other_owners_and_names_do_not_mix(b: &Bench<'_>) -> CaseResult {
    let parts = [
        ("a", "b:c"),
        ("a:b", "c"),
        ("a", "b"),
        ("ab", "c"),
        ("a", "bc"),
        ("a/b", "c"),
        ("a", "b/c"),
        ("A", "b"),
        ("{a}", "b"),
        ("%", "_"),
    ];
    for (owner, name) in parts {
        let kind = format!("{owner} {name}");
        let first = append(b, &stream(owner, name)?, vec![event(&kind, Some("k"))]).await?;
        check_eq!(first, [1], "{owner} {name}");
    }
    for (owner, name) in parts {
        let wanted = [(1, format!("{owner} {name}"))];
        check_eq!(read(b, &stream(owner, name)?).await?, wanted);
    }
    b.apply(Op::Trim(stream("a", "b")?, 9)).await?;
    check_eq!(read(b, &stream("a", "b:c")?).await?.len(), 1);
    Ok(())
}

async fn events_are_read_from_a_number_on_up_to_a_limit(b: &Bench<'_>) -> CaseResult {
    let log = stream("run", "history")?;
    let events = (1..=20).map(|n| event(&format!("e{n}"), None)).collect();
    append(b, &log, events).await?;
    let store = b.store()?;
    for (from, limit, wanted) in [
        (1, 3, vec![1, 2, 3]),
        (0, 2, vec![1, 2]),
        (18, 9, vec![18, 19, 20]),
        (20, 1, vec![20]),
        (21, 9, vec![]),
        (u64::MAX, 9, vec![]),
        (5, 0, vec![]),
    ] {
        let read = store.events(&log, from, limit).await?;
        let numbers: Vec<_> = read.iter().map(|event| event.number).collect();
        check_eq!(numbers, wanted, "from {from}, at most {limit}");
    }
    Ok(())
}
