//! A server that refuses, forgets or is damaged.

use std::sync::Arc;

use tlo::store::{Commit, Create, Hint, Op, TaskStateStore, TaskStateStoreExt};
use tlo::{ErrorKind, Payload};

use crate::kit::{id, lease, new, open, total};
use crate::servers::redis::PrivateRedis;

fn command(server: &PrivateRedis, words: &[&str]) {
    let client = redis::Client::open(server.url()).unwrap();
    let mut command = redis::cmd(words[0]);
    for word in &words[1..] {
        command.arg(*word);
    }
    let _: redis::Value = command
        .query(&mut client.get_connection().unwrap())
        .unwrap();
}

#[tokio::test]
async fn a_server_out_of_memory_says_so_and_keeps_nothing_of_what_it_refused() {
    let Some(server) = PrivateRedis::start() else {
        return;
    };
    let store = open(&server.url()).await;
    store.create(new("before")).await.unwrap();
    command(&server, &["CONFIG", "SET", "maxmemory", "1mb"]);
    let error = store.create(new("refused")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.to_string().contains("out of memory"), "{error}");
    assert_eq!(total(&store).await, 1);
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
    command(&server, &["CONFIG", "SET", "maxmemory", "0"]);
    store.create(new("after")).await.unwrap();
    assert_eq!(total(&store).await, 2);
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_given_to_it_again() {
    let Some(server) = PrivateRedis::start() else {
        return;
    };
    let store = open(&server.url()).await;
    store.create(new("a")).await.unwrap();
    command(&server, &["SCRIPT", "FLUSH"]);
    store.create(new("b")).await.unwrap();
    command(&server, &["SCRIPT", "FLUSH"]);
    assert_eq!(lease(&store).await.unwrap().len(), 1);
    command(&server, &["SCRIPT", "FLUSH"]);
    assert_eq!(total(&store).await, 2);
}

#[tokio::test]
async fn a_commit_that_meets_damage_in_its_middle_changes_nothing() {
    let Some(server) = PrivateRedis::start() else {
        return;
    };
    let store = open(&server.url()).await;
    store.create(new("good")).await.unwrap();
    // Something else where the second task has its record.
    command(&server, &["HSET", "{tlo:tlo}:t", "bad", "x"]);
    let create = |name: &str| {
        Op::Create(Box::new(Create {
            task: new(name),
            lease_to: None,
        }))
    };
    let commit = Commit::of([
        Op::Cancel(id("good"), "first".to_owned()),
        create("made"),
        create("bad"),
    ]);
    let before = store.read(&id("good")).await.unwrap();
    let refused = store.commit(vec![commit]).await.unwrap().remove(0);
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(store.read(&id("good")).await.unwrap(), before);
    assert_eq!(total(&store).await, 1);
    command(&server, &["HDEL", "{tlo:tlo}:t", "bad"]);
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
    assert_eq!(lease(&store).await.unwrap().len(), 1);
    assert_eq!(lease(&store).await.unwrap().len(), 0);
}

/// Puts another byte into a stored record, there where this says.
fn damage(server: &PrivateRedis, id: &str, at: impl FnOnce(&[u8]) -> Option<usize>) {
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let place = ("{tlo:tlo}:t", id);
    let get = redis::cmd("HGET").arg(place).query(&mut connection);
    let mut stored: Vec<u8> = get.unwrap();
    let at = at(&stored).unwrap();
    stored[at] = b'x';
    let mut set = redis::cmd("HSET");
    let _: redis::Value = set.arg(place).arg(stored).query(&mut connection).unwrap();
}

#[tokio::test]
async fn a_record_that_only_this_process_cannot_read_is_set_aside_by_the_claim() {
    let Some(server) = PrivateRedis::start() else {
        return;
    };
    let store = open(&server.url()).await;
    store.create(new("bad")).await.unwrap();
    store.create(new("good")).await.unwrap();
    // What the scripts do not look at.
    let options = |stored: &[u8]| {
        stored
            .windows(12)
            .position(|bytes| bytes == b"max_attempts")
    };
    damage(&server, "bad", options);
    let mut claimed = Vec::new();
    for _ in 0..3 {
        claimed.extend(lease(&store).await.unwrap());
    }
    let names: Vec<_> = claimed.iter().map(|task| task.id.as_str()).collect();
    assert_eq!(names, ["good"]);
    let wrong = store.check().await.unwrap();
    assert_eq!(wrong.len(), 1, "{wrong:?}");
}

/// Whatever is to become of it: it expired, or is to wait behind a gate.
#[tokio::test]
async fn a_record_whose_parts_are_damaged_is_set_aside_by_the_claim_that_meets_it() {
    let Some(server) = PrivateRedis::start() else {
        return;
    };
    let store = open(&server.url()).await;
    let mut expired = new("expired");
    expired.expires = Some(tlo::task::Due::At(tlo::Timestamp::UNIX_EPOCH));
    let behind_a_gate = |name: &str| {
        let mut task = new(name);
        task.gates.push(tlo::task::Gate {
            key: "one".to_owned(),
            limit: 1,
        });
        task
    };
    for task in [expired, behind_a_gate("good"), behind_a_gate("gated")] {
        store.create(task).await.unwrap();
    }
    // The last digit of the length of the part with the arguments.
    let length = |stored: &[u8]| {
        let is_part = |bytes: &[u8]| bytes[0] == b'a' && bytes[1..].iter().all(u8::is_ascii_digit);
        Some(stored.windows(9).position(is_part)? + 8)
    };
    for bad in ["expired", "gated"] {
        damage(&server, bad, length);
    }
    let mut claimed = Vec::new();
    for _ in 0..3 {
        claimed.extend(lease(&store).await.unwrap());
    }
    let names: Vec<_> = claimed.iter().map(|task| task.id.as_str()).collect();
    assert_eq!(names, ["good"]);
    let wrong = store.check().await.unwrap();
    assert_eq!(wrong.len(), 2, "{wrong:?}");
}

#[tokio::test]
async fn payloads_with_anything_in_them_come_back_byte_by_byte() {
    let Some(server) = PrivateRedis::start() else {
        return;
    };
    let store = open(&server.url()).await;
    for (n, text) in [
        "[]",
        "{}",
        "[[],{\"a\":[]}]",
        "9007199254740993",
        "[123456789012345678901234567890, 1e400, -0.0, 1.10]",
        "\"\\u0000 \u{1}\"",
        "{\"b\":1,\"a\":2,\"b\":3}",
        " [ 1 ,\n2 ] ",
    ]
    .into_iter()
    .enumerate()
    {
        let Ok(args) = Payload::parse(text) else {
            continue;
        };
        let mut task = new(format!("t{n}"));
        task.args = args.clone();
        task.state = Some(args.clone());
        store.create(task).await.unwrap();
        let claimed = lease(&store).await.unwrap().remove(0);
        let shown = claimed.lease.as_ref().unwrap().reference();
        store
            .succeed(&claimed.id, shown, args.clone())
            .await
            .unwrap();
        let kept = store.read(&claimed.id).await.unwrap();
        assert_eq!(kept.args.as_str(), args.as_str());
        assert_eq!(kept.state.as_ref().unwrap().as_str(), args.as_str());
        assert_eq!(kept.result.unwrap().as_str(), args.as_str());
    }
}

#[tokio::test]
async fn hints_come_again_after_the_connection_of_the_listener_was_cut() {
    let Some(server) = PrivateRedis::start() else {
        return;
    };
    let (mine, other) = (open(&server.url()).await, open(&server.url()).await);
    let mut hints = mine.hints();
    other.create(new("a")).await.unwrap();
    assert_eq!(hints.next().await, Some(Hint::Ready("default".into())));
    command(&server, &["CLIENT", "KILL", "TYPE", "pubsub"]);
    // One for the loss, one for the return.
    assert_eq!(hints.next().await, Some(Hint::Unknown));
    assert_eq!(hints.next().await, Some(Hint::Unknown));
    other.create(new("b")).await.unwrap();
    assert_eq!(hints.next().await, Some(Hint::Ready("default".into())));
    drop(Arc::new(other));
}
