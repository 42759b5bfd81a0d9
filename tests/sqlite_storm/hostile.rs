//! Names and payloads that nobody should send: kept byte for byte, or refused with a typed error.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tlo::store::{TaskFilter, TaskStateStore, TaskStateStoreExt};
use tlo::task::{Gate, NewTask, Unique, UniqueScope};
use tlo::{ErrorKind, PAYLOAD_LIMIT, PageRequest, Payload, SqliteStore, TaskId};

use crate::durable::worker;
use crate::kit::is_full;
use crate::kit::{home, id, lease, new, open};
use crate::seed;

/// Texts that break out of something.
const SHARP: &[&str] = &[
    "'",
    "\"",
    "\\",
    "%",
    "_",
    "`",
    "$1",
    "?1",
    ";",
    "--",
    "\0",
    "\n",
    "\r\n",
    "\t",
    "\u{1b}[2J",
    "\u{7f}",
    "\u{85}",
    "\u{9b}",
    "\u{202e}",
    "\u{2066}",
    "\u{200f}",
    "\u{feff}",
    "\u{fffd}",
    "\u{ffff}",
    "\u{10ffff}",
    "e\u{301}",
    "\u{1f469}\u{200d}\u{1f4bb}",
    "../",
    "/",
    "{a}",
    "@",
    "; DROP TABLE rows; --",
    "\u{d7ff}",
];

/// A text of up to 300 bytes, often close to the limit of names.
pub(crate) fn text(random: &mut Rng) -> String {
    let length = match random.u32(..4) {
        0 => random.usize(..12),
        1 => random.usize(..300),
        _ => random.usize(250..260),
    };
    // Most have no control character: one is enough to be refused.
    let is_clean = random.u32(..3) > 0;
    let mut text = String::new();
    while text.len() < length {
        let piece = match random.u32(..4) {
            0 => (*random.choice(SHARP).unwrap()).to_owned(),
            1 => random.char(..).to_string(),
            _ => random.alphanumeric().to_string(),
        };
        if is_clean && piece.chars().any(char::is_control) {
            continue;
        }
        if text.len() + piece.len() > length {
            text.extend(std::iter::repeat_n('x', length - text.len()));
        } else {
            text.push_str(&piece);
        }
    }
    text
}

pub(crate) fn is_a_name(text: &str) -> bool {
    (1..=255).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// A task with this text in one of its places, and that place.
fn named(n: usize, text: &str, random: &mut Rng) -> (NewTask, &'static str) {
    let mut task = new(format!("n{n}"));
    let place = match random.u32(..7) {
        0 => {
            task.name = text.into();
            "name"
        }
        1 => {
            task.queue = text.into();
            "queue"
        }
        2 => {
            task.tags.insert(text.to_owned());
            "tag"
        }
        3 => {
            let (key, limit) = (text.to_owned(), 1);
            task.gates.push(Gate { key, limit });
            "gate"
        }
        4 => {
            task.version = Some(text.into());
            "version"
        }
        5 => {
            task.unique = Some(Arc::new(Unique {
                key: text.into(),
                scope: UniqueScope::Forever,
                until: None,
            }));
            "key"
        }
        _ => {
            if let Ok(id) = TaskId::new(text) {
                task.id = id;
            }
            "id"
        }
    };
    (task, place)
}

async fn expect_found(store: &SqliteStore, task: &NewTask, place: &str, text: &str) {
    let record = store.read(&task.id).await.unwrap();
    assert_eq!(record.id, task.id);
    assert_eq!((&record.name, &record.queue), (&task.name, &task.queue));
    assert_eq!((&record.tags, &record.version), (&task.tags, &task.version));
    assert_eq!((&record.gates, &record.unique), (&task.gates, &task.unique));
    let some = || Some(text.to_owned());
    let none = TaskFilter::default;
    let filter = match place {
        "name" => TaskFilter {
            name: some(),
            ..none()
        },
        "queue" => TaskFilter {
            queue: some(),
            ..none()
        },
        "tag" => TaskFilter {
            tag: some(),
            ..none()
        },
        "id" => TaskFilter {
            id_prefix: some(),
            ..none()
        },
        _ => return,
    };
    // A text may be what many others begin with.
    let mut page = PageRequest::first(500);
    loop {
        let listed = store.list(&filter, page).await.unwrap();
        if listed.items.iter().any(|item| item.record.id == task.id) {
            return;
        }
        assert!(!listed.complete, "{place} {text:?}");
        page.after = listed.next;
    }
}

#[tokio::test]
async fn names_are_kept_as_they_are_or_refused_with_a_reason() {
    let seed = seed();
    println!("TLO_TEST_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let cases = if is_full() { 6_000 } else { 300 };
    let (_directory, path) = home();
    let mut store = open(&path);
    store.create(new("neighbour")).await.unwrap();
    let (mut kept, mut refused) = (0, 0);
    for n in 0..cases {
        let text = text(&mut random);
        let (task, place) = named(n, &text, &mut random);
        if place == "id" {
            let made = TaskId::new(&text);
            assert_eq!(made.is_ok(), is_a_name(&text), "{text:?}");
            if made.is_err() {
                refused += 1;
                continue;
            }
        }
        match store.create(task.clone()).await {
            Ok(made) => {
                assert!(is_a_name(&text), "{place} {text:?}");
                assert_eq!(made, task.id);
                if n % 100 == 99 {
                    drop(store);
                    store = open(&path);
                }
                expect_found(&store, &task, place, &text).await;
                kept += 1;
            }
            // The same text came before.
            Err(error) if is_a_name(&text) => {
                let kind = error.kind();
                assert!(
                    matches!(kind, ErrorKind::AlreadyExists | ErrorKind::Conflict),
                    "{error:?}"
                );
            }
            Err(error) => {
                let kind = error.kind();
                assert!(
                    matches!(kind, ErrorKind::Invalid | ErrorKind::TooLarge),
                    "{error:?}"
                );
                let said = error.to_string();
                assert!(!said.chars().any(char::is_control), "{said:?}");
                assert!(store.get(std::slice::from_ref(&task.id)).await.unwrap()[0].is_none());
                refused += 1;
            }
        }
    }
    assert!(store.read(&id("neighbour")).await.is_ok());
    assert!(store.check().await.unwrap().is_empty());
    println!(
        "{cases} texts as names, queues, tags, gates, versions, keys and ids: {kept} kept as they are, {refused} refused"
    );
    assert!(kept > cases / 3 && refused > cases / 10);
}

/// JSON as people would not write it.
fn json(random: &mut Rng, depth: usize) -> String {
    let space = |random: &mut Rng| {
        *random
            .choice(["", "", " ", "\n", "\t ", "\r"].iter())
            .unwrap()
    };
    let mut out = space(random).to_owned();
    match random.u32(..if depth == 0 { 3 } else { 5 }) {
        0 => {
            let numbers = [
                "1e400",
                "-1E-999",
                "-0.0",
                "1.0",
                "0",
                "9007199254740993",
                "18446744073709551616",
                "123456789012345678901234567890.000000000000000000001",
            ];
            out.push_str(random.choice(numbers).unwrap());
        }
        1 => out.push_str(random.choice(["true", "false", "null"]).unwrap()),
        2 => string(random, &mut out),
        3 => {
            out.push('[');
            for n in 0..random.usize(..5) {
                out.push_str(if n > 0 { "," } else { "" });
                out.push_str(&json(random, depth - 1));
            }
            out.push_str(space(random));
            out.push(']');
        }
        _ => {
            out.push('{');
            for n in 0..random.usize(..5) {
                out.push_str(if n > 0 { "," } else { "" });
                // The same name again and again.
                match random.u32(..3) {
                    0 => out.push_str("\"a\""),
                    1 => out.push_str("\"\""),
                    _ => string(random, &mut out),
                }
                out.push(':');
                out.push_str(&json(random, depth - 1));
            }
            out.push('}');
        }
    }
    out.push_str(space(random));
    out
}

fn string(random: &mut Rng, out: &mut String) {
    out.push('"');
    for _ in 0..random.usize(..12) {
        match random.u32(..4) {
            0 => out.push_str(
                random
                    .choice([
                        "\\u0000",
                        "\\ud83d\\ude00",
                        "\\/",
                        "\\\\",
                        "\\\"",
                        "\\u001F",
                    ])
                    .unwrap(),
            ),
            1 => write!(out, "\\u{:04x}", random.u32(0x20..0xd800)).unwrap(),
            _ => out.extend(Some(random.char(' '..)).filter(|c| !matches!(c, '"' | '\\'))),
        }
    }
    out.push('"');
}

/// Every payload of a run, as it went in and as it comes out.
async fn round_trip(store: &SqliteStore, n: usize, text: &str) {
    let payload = Payload::parse(text).unwrap();
    // What stands around a document is no part of it.
    let kept = payload.as_str().to_owned();
    assert_eq!(kept, text.trim_matches([' ', '\n', '\r', '\t']));
    let mut task = new(format!("p{n}"));
    task.args = payload.clone();
    store.create(task).await.unwrap();
    let claimed = lease(store, 1).await.unwrap().remove(0);
    assert_eq!(claimed.args.as_str(), kept);
    let reference = claimed.lease.as_ref().unwrap().reference();
    store
        .succeed(&claimed.id, reference, payload)
        .await
        .unwrap();
    let record = store.read(&claimed.id).await.unwrap();
    assert_eq!(record.args.as_str(), kept);
    assert_eq!(record.result.as_ref().unwrap().as_str(), kept);
    // Also for programs outside.
    let shown = record.to_json();
    assert!(
        shown.as_str().contains(&format!("\"args\":{kept},")),
        "{kept:?}"
    );
    assert!(!shown.as_str().contains("\"token\""));
}

#[tokio::test]
async fn payloads_are_kept_byte_for_byte_or_refused() {
    let seed = seed();
    println!("TLO_TEST_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let cases = if is_full() { 3_000 } else { 150 };
    let (_directory, path) = home();
    let store = open(&path);
    let mut broken = 0;
    for n in 0..cases {
        let depth = random.usize(..7);
        let text = json(&mut random, depth);
        round_trip(&store, n, &text).await;
        // With one byte more or less it is JSON still, or an error with its place.
        let mut bytes = text.into_bytes();
        let at = random.usize(..bytes.len());
        if random.bool() {
            bytes.remove(at);
        } else {
            bytes.insert(at, random.u8(..128));
        }
        if let Ok(text) = String::from_utf8(bytes)
            && let Err(error) = Payload::parse(text)
        {
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains("column"), "{error}");
            broken += 1;
        }
    }
    let mut large = 0;
    for depth in [127, 128, 129, 10_000, 500_000] {
        let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        round_trip(&store, cases + large, &text).await;
        let error = Payload::parse(text).unwrap().decode::<serde_json::Value>();
        assert_eq!(error.is_err(), depth > 127, "{depth}");
        large += 1;
    }
    for size in [PAYLOAD_LIMIT - 1, PAYLOAD_LIMIT] {
        let text = format!("\"{}\"", "x".repeat(size - 2));
        round_trip(&store, cases + large, &text).await;
        large += 1;
    }
    let over = Payload::parse(format!("\"{}\"", "x".repeat(PAYLOAD_LIMIT - 1))).unwrap();
    let mut task = new("over");
    task.args = over.clone();
    let error = store.create(task.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error:?}");
    task.args = Payload::null();
    store.create(task).await.unwrap();
    let minute = Duration::from_secs(60);
    let held = store
        .lease(&worker(), "default", &["greet"], 1, minute)
        .await
        .unwrap();
    let reference = held[0].lease.as_ref().unwrap().reference();
    let error = store
        .succeed(&held[0].id, reference, over)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error:?}");
    store
        .succeed(&held[0].id, reference, Payload::null())
        .await
        .unwrap();
    assert!(store.check().await.unwrap().is_empty());
    println!(
        "{} payloads kept byte for byte, {broken} that were broken refused",
        cases + large
    );
    assert!(broken > cases / 10);
}
