//! Names, payloads and their limits.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::bench::{
    Bench, CaseResult, Record, SECOND, check, check_eq, check_matches, create, failure, id, names,
    request, settle, stream, task,
};
use super::cases;
use crate::page::PageRequest;
use crate::payload::{PAYLOAD_LIMIT, Payload};
use crate::store::{
    Commit, CountBy, Effect, Lanes, NewEvent, Op, Patch, Refusal, StreamId, TaskFilter,
};
use crate::task::{Gate, NewTask, Settlement, Unique, UniqueScope};

cases! { "names and payloads":
    payloads_are_kept_byte_for_byte,
    a_payload_of_one_mebibyte_is_kept_and_one_byte_more_is_refused,
    hostile_names_stay_apart,
    names_of_255_bytes_are_kept_and_longer_ones_are_refused,
    empty_names_and_control_characters_are_refused,
    too_many_gates_or_tags_a_gate_of_limit_zero_and_one_given_twice_are_refused,
}

/// JSON texts that a store might be tempted to tidy up.
fn odd_payloads() -> Vec<String> {
    let mut texts: Vec<String> = [
        "null",
        "true",
        "0",
        "-0.0",
        "1e400",
        "1.0",
        "1E+2",
        "123456789012345678901234567890.123456789",
        "9007199254740993",
        "18446744073709551616",
        "\"\"",
        "[]",
        "{}",
        r#"{"b":1,  "a":[1.0,	1e3], "b":2}"#,
        r#""\u0000""#,
        r#""\ud83d\ude00 \/ \\ \" \b\f\n\r\t""#,
        r#"{"\u0000": "\u001f", "": {"": []}}"#,
        "\"'; DROP TABLE task; -- $1 %s {x} \u{7f} \u{202e} \u{feff}\"",
    ]
    .map(ToOwned::to_owned)
    .into();
    texts.push(format!("{}1{}", "[".repeat(100), "]".repeat(100)));
    // All of Unicode that JSON takes without an escape, a sample of each plane.
    let all: String = (0x20..0x11_0000)
        .step_by(37)
        .filter_map(char::from_u32)
        .filter(|c| *c != '"' && *c != '\\')
        .collect();
    texts.push(format!("\"{all}\""));
    texts
}

async fn payloads_are_kept_byte_for_byte(b: &Bench<'_>) -> CaseResult {
    for (n, text) in odd_payloads().into_iter().enumerate() {
        let shown: String = text.chars().take(60).collect();
        let payload = Payload::parse(text.clone())?;
        let name = format!("t{n}");
        let mut new = task(&name)?;
        new.args = payload.clone();
        new.state = Some(payload.clone());
        b.add(new).await?;
        let mine = b.take(&name).await?;
        check_eq!(mine.args.as_str(), text, "args of the claim, {shown}");
        let progress = Patch {
            progress: Some(payload.clone()),
            ..Patch::default()
        };
        check_matches!(b.patch(&name, progress).await?, Ok(_));
        b.accept(settle(&mine, Settlement::success(payload))?)
            .await?;
        let record = b.record(&name).await?;
        check_eq!(record.args.as_str(), text, "args, {shown}");
        for kept in [&record.result, &record.progress, &record.state] {
            check_eq!(
                kept.as_ref().map(Payload::as_str),
                Some(text.as_str()),
                "{shown}"
            );
        }
    }
    Ok(())
}

fn sized(bytes: usize) -> CaseResult<Payload> {
    Ok(Payload::parse(format!("\"{}\"", "x".repeat(bytes - 2)))?)
}

/// Each place where a payload enters the store.
fn writes(name: &str, running: &Record, payload: &Payload) -> CaseResult<Vec<Commit>> {
    let mut by_args = task(name)?;
    by_args.args = payload.clone();
    let mut by_state = task(&format!("{name} state"))?;
    by_state.state = Some(payload.clone());
    let patch = |patch: Patch| -> CaseResult<Commit> {
        Ok(Commit::of([Op::Patch(id("waiting")?, Box::new(patch))]))
    };
    let event = NewEvent {
        kind: "e".to_owned(),
        key: None,
        data: payload.clone(),
    };
    let mut turn = Settlement::snooze(crate::task::Due::Now);
    turn.state = Some(payload.clone());
    Ok(vec![
        Commit::of([create(by_args)]),
        Commit::of([create(by_state)]),
        patch(Patch {
            args: Some(payload.clone()),
            ..Patch::default()
        })?,
        patch(Patch {
            progress: Some(payload.clone()),
            ..Patch::default()
        })?,
        patch(Patch {
            state: Some(payload.clone()),
            ..Patch::default()
        })?,
        Commit::of([Op::Append(stream("s", "log")?, vec![event])]),
        Commit::of([Op::PutMark {
            key: "m".into(),
            value: payload.clone(),
            ttl: None,
        }]),
        settle(running, turn)?,
        settle(running, Settlement::success(payload.clone()))?,
    ])
}

async fn a_payload_of_one_mebibyte_is_kept_and_one_byte_more_is_refused(
    b: &Bench<'_>,
) -> CaseResult {
    b.add_all(&["running", "waiting"]).await?;
    let running = b.take("running").await?;
    let before = b.record("waiting").await?;
    for write in writes("big", &running, &sized(PAYLOAD_LIMIT + 1)?)? {
        let shown: String = format!("{write:?}").chars().take(40).collect();
        let refusal = b.refuse(write).await?;
        check!(
            matches!(&refusal, Refusal::TooLarge(why) if why.contains(&PAYLOAD_LIMIT.to_string())),
            "{shown} was refused with {refusal:?}"
        );
    }
    check_eq!(b.record("waiting").await?, before);
    check_eq!(b.record("running").await?, *running);
    check_eq!(b.find("big").await?, None);
    let largest = sized(PAYLOAD_LIMIT)?;
    for write in writes("big", &running, &largest)? {
        let settles = matches!(write.ops[..], [Op::Settle(..)]);
        let answer = b.commit(write).await?;
        // The second settle finds that the first one ended the lease.
        check!(answer.is_ok() || settles, "refused: {:?}", answer.err());
    }
    check_eq!(b.record("big").await?.args, largest);
    check_eq!(b.record("big state").await?.state, Some(largest.clone()));
    check_eq!(b.record("waiting").await?.args, largest);
    check_eq!(b.record("running").await?.state, Some(largest.clone()));
    let events = b.store()?.events(&stream("s", "log")?, 1, 1).await?;
    check_eq!(events.first().map(|event| &event.data), Some(&largest));
    let marks = b.store()?.marks("m", None, 1).await?;
    check_eq!(marks.first().map(|mark| &mark.value), Some(&largest));
    Ok(())
}

const HOSTILE: &[&str] = &[
    "lease",
    "{a}",
    "a",
    "A",
    "a:b",
    "a/b",
    "a b",
    " a",
    "a ",
    "%",
    "_",
    "a%",
    "'",
    "''",
    "\"",
    "\\",
    "\\0",
    "`",
    "$1",
    "?1",
    "--",
    ";",
    "; DROP TABLE task",
    "../x",
    ".",
    "*",
    "null",
    "é",
    "e\u{301}",
    "😀",
    "\u{200b}",
    "\u{202e}x",
    "task/work",
    "gate/user",
    "0",
    "00",
    "-1",
    "{tlo:ns}",
    "#",
    "@",
    "a@b",
];

async fn hostile_names_stay_apart(b: &Bench<'_>) -> CaseResult {
    for name in HOSTILE {
        let mut new = task(name)?;
        new.name = Arc::from(*name);
        new.queue = Arc::from(*name);
        new.version = Some(Arc::from(*name));
        new.tags = BTreeSet::from([(*name).to_owned()]);
        new.schedule = Some(Arc::from(*name));
        new.parent = Some(id(&format!("{name} parent"))?);
        new.gates.push(Gate {
            key: (*name).to_owned(),
            limit: 1,
        });
        new.unique = Some(Arc::new(Unique {
            key: (*name).into(),
            scope: UniqueScope::Forever,
            until: None,
        }));
        let effect = b.apply(create(new)).await?;
        check_matches!(effect, Effect::Created { .. });
        b.apply(Op::PutMark {
            key: format!("x/{name}").into(),
            value: Payload::of(name)?,
            ttl: None,
        })
        .await?;
    }
    let store = b.store()?;
    for name in HOSTILE {
        let some = Some((*name).to_owned());
        let none = TaskFilter::default;
        for filter in [
            TaskFilter {
                name: some.clone(),
                ..none()
            },
            TaskFilter {
                queue: some.clone(),
                ..none()
            },
            TaskFilter {
                tag: some.clone(),
                ..none()
            },
            TaskFilter {
                schedule: some.clone(),
                ..none()
            },
            TaskFilter {
                parent: Some(id(&format!("{name} parent"))?),
                ..none()
            },
        ] {
            let page = store.list(&filter, PageRequest::first(100)).await?;
            let found: Vec<_> = page.items.iter().map(|i| i.record.id.as_str()).collect();
            check_eq!(found, [*name], "{filter:?}");
        }
        let counts = store.count(&none(), CountBy::Queue, 1_000).await?;
        check_eq!(counts.of(name), 1, "tasks of the queue {name}");
        let marks = store.marks(&format!("x/{name}"), None, 1).await?;
        let value = marks.first().map(|mark| mark.value.clone());
        check_eq!(value, Some(Payload::of(name)?));
        // Nobody else's lane, gate or key is in the way.
        let mut asked = request(name, 10)?;
        asked.lanes = Lanes {
            queues: vec![Arc::from(*name)],
            names: Arc::new(BTreeSet::from([(Arc::from(*name), Some(Arc::from(*name)))])),
            aliases: Arc::default(),
        };
        check_eq!(names(&b.claim_all(&asked).await?), [*name]);
    }
    Ok(())
}

async fn names_of_255_bytes_are_kept_and_longer_ones_are_refused(b: &Bench<'_>) -> CaseResult {
    let longest = format!("{}é", "n".repeat(253));
    let longer = format!("{longest}!");
    check_eq!(longest.len(), 255);
    type Set = fn(&mut NewTask, &str);
    let fields: [Set; 6] = [
        |new, text| new.name = Arc::from(text),
        |new, text| new.queue = Arc::from(text),
        |new, text| new.version = Some(Arc::from(text)),
        |new, text| new.tags = BTreeSet::from([text.to_owned()]),
        |new, text| {
            new.gates = vec![Gate {
                key: text.to_owned(),
                limit: 1,
            }];
        },
        |new, text| {
            new.unique = Some(Arc::new(Unique {
                key: text.into(),
                scope: UniqueScope::For(SECOND),
                until: None,
            }));
        },
    ];
    let mut all = task(&longest)?;
    for (n, set) in fields.iter().enumerate() {
        set(&mut all, &longest);
        let mut bad = task(&format!("bad{n}"))?;
        set(&mut bad, &longer);
        let refusal = b.refuse(Commit::of([create(bad)])).await?;
        check_matches!(refusal, Refusal::TooLarge(_));
    }
    b.add(all).await?;
    let mut asked = request(&longest, 1)?;
    let name: Arc<str> = Arc::from(longest.as_str());
    asked.lanes = Lanes {
        queues: vec![Arc::clone(&name)],
        names: Arc::new(BTreeSet::from([(Arc::clone(&name), Some(name))])),
        aliases: Arc::default(),
    };
    let claimed = b.claim_all(&asked).await?;
    check_eq!(names(&claimed), [longest.as_str()]);
    let why = failure(&claimed[0], "no");
    b.accept(settle(&claimed[0], why)?).await?;
    let log = stream(&longest, &longest)?;
    let event = NewEvent {
        kind: "e".to_owned(),
        key: Some(longest.clone()),
        data: Payload::null(),
    };
    b.apply(Op::Append(log.clone(), vec![event.clone()]))
        .await?;
    check_eq!(b.store()?.events(&log, 1, 9).await?.len(), 1);
    let put = |key: &str| Op::PutMark {
        key: key.into(),
        value: Payload::null(),
        ttl: Some(SECOND),
    };
    b.apply(put(&longest)).await?;
    check_eq!(b.store()?.marks(&longest, None, 9).await?.len(), 1);
    let too_long = StreamId {
        owner: "o".to_owned(),
        name: longer.clone(),
    };
    for op in [put(&longer), Op::Append(too_long, vec![event])] {
        let refusal = b.refuse(Commit::of([op])).await?;
        check_matches!(refusal, Refusal::TooLarge(_));
    }
    b.apply(Op::Delete(claimed[0].id.clone())).await?;
    check_eq!(b.store()?.events(&log, 1, 9).await?.len(), 0);
    Ok(())
}

async fn empty_names_and_control_characters_are_refused(b: &Bench<'_>) -> CaseResult {
    b.add_all(&["a"]).await?;
    for bad in ["", "\0", "a\0b", "a\nb", "\u{7f}", "a\u{85}"] {
        let mut by_name = task("x")?;
        by_name.name = Arc::from(bad);
        let mut by_queue = task("x")?;
        by_queue.queue = Arc::from(bad);
        let mut by_version = task("x")?;
        by_version.version = Some(Arc::from(bad));
        let mut by_tag = task("x")?;
        by_tag.tags = BTreeSet::from([bad.to_owned()]);
        let mut by_gate = task("x")?;
        by_gate.gates.push(Gate {
            key: bad.to_owned(),
            limit: 1,
        });
        let mut by_key = task("x")?;
        by_key.unique = Some(Arc::new(Unique {
            key: bad.into(),
            scope: UniqueScope::Forever,
            until: None,
        }));
        let mut ops: Vec<_> = [by_name, by_queue, by_version, by_tag, by_gate, by_key]
            .map(create)
            .into();
        ops.push(Op::PutMark {
            key: bad.into(),
            value: Payload::null(),
            ttl: None,
        });
        let log = StreamId {
            owner: "o".to_owned(),
            name: bad.to_owned(),
        };
        ops.push(Op::Append(log, Vec::new()));
        let away = Patch {
            queue: Some(bad.to_owned()),
            ..Patch::default()
        };
        ops.push(Op::Patch(id("a")?, Box::new(away)));
        for op in ops {
            let shown = format!("{op:?}");
            let refusal = b.refuse(Commit::of([op])).await?;
            check!(
                matches!(refusal, Refusal::Invalid(_)),
                "{shown} was refused with {refusal:?}"
            );
        }
    }
    check_eq!(b.find("x").await?, None);
    check_eq!(&*b.record("a").await?.queue, "default");
    Ok(())
}

async fn too_many_gates_or_tags_a_gate_of_limit_zero_and_one_given_twice_are_refused(
    b: &Bench<'_>,
) -> CaseResult {
    let gate = |key: String, limit| Gate { key, limit };
    let mut most = task("most")?;
    most.gates = (0..4).map(|n| gate(format!("g{n}"), 1)).collect();
    most.tags = (0..16).map(|n| format!("t{n}")).collect();
    let mut gates = most.clone();
    gates.gates.push(gate("g4".to_owned(), 1));
    let mut tags = most.clone();
    tags.tags.insert("t16".to_owned());
    let mut zero = task("most")?;
    zero.gates.push(gate("g".to_owned(), 0));
    let mut twice = task("most")?;
    twice.gates = vec![gate("g".to_owned(), 1), gate("g".to_owned(), 2)];
    for bad in [gates, tags, zero, twice] {
        let shown = format!("{:?} {:?}", bad.gates, bad.tags);
        let refusal = b.refuse(Commit::of([create(bad)])).await?;
        check!(
            matches!(refusal, Refusal::Invalid(_) | Refusal::TooLarge(_)),
            "{shown} was refused with {refusal:?}"
        );
    }
    b.add(most).await?;
    b.take("most").await?;
    Ok(())
}
