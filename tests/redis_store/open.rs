//! Opening: what a server must promise.

use std::time::Duration;

use tlo::store::{Durability, TaskStateStore, TaskStateStoreExt};
use tlo::{ErrorKind, RedisDurability, RedisOptions};

use crate::kit::{new, open, open_with, total};
use crate::servers::redis::PrivateRedis;

#[tokio::test]
async fn a_server_without_an_append_only_file_is_refused_unless_that_is_accepted() {
    let Some(server) = PrivateRedis::with(&["--appendonly", "no"]) else {
        return;
    };
    let strict = RedisOptions::at(server.url());
    let error = open_with(strict.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let said = error.to_string();
    assert!(said.contains("appendonly"), "{said}");
    assert!(said.contains("durability = \"relaxed\""), "{said}");
    let relaxed = RedisOptions {
        durability: RedisDurability::Relaxed,
        ..strict
    };
    let capability = open_with(relaxed).await.unwrap().capability();
    assert_eq!(capability.durability, Durability::None);
    assert!(capability.promise.contains("is lost"), "{capability:?}");
}

#[tokio::test]
async fn a_server_that_throws_tasks_away_is_refused_unless_that_is_accepted() {
    let settings = ["--appendonly", "yes", "--maxmemory-policy", "allkeys-lru"];
    let Some(server) = PrivateRedis::with(&settings) else {
        return;
    };
    let error = open_with(RedisOptions::at(server.url())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let said = error.to_string();
    assert!(said.contains("maxmemory-policy allkeys-lru"), "{said}");
    let relaxed = RedisOptions {
        durability: RedisDurability::Relaxed,
        ..RedisOptions::at(server.url())
    };
    open_with(relaxed).await.unwrap();
}

#[tokio::test]
async fn what_is_promised_follows_what_the_server_says() {
    for (fsync, promised, part) in [
        ("always", Durability::Power, "survives a power failure"),
        ("everysec", Durability::Process, "the last two seconds"),
        ("no", Durability::Process, "half a minute"),
    ] {
        let settings = ["--appendonly", "yes", "--appendfsync", fsync];
        let Some(server) = PrivateRedis::with(&settings) else {
            return;
        };
        let capability = open(&server.url()).await.capability();
        assert_eq!(capability.durability, promised, "{fsync}");
        assert!(capability.promise.contains(part), "{}", capability.promise);
        let facts = format!("{:?}", capability.facts);
        assert!(facts.contains(fsync), "{facts}");
        assert_eq!(capability.retention.count, Some(100_000));
    }
}

#[tokio::test]
async fn a_server_that_keeps_half_a_commit_when_it_dies_in_a_write_is_said_to() {
    for (load_truncated, may_keep_half) in [("no", false), ("yes", true)] {
        let settings = [
            "--appendonly",
            "yes",
            "--aof-load-truncated",
            load_truncated,
        ];
        let Some(server) = PrivateRedis::with(&settings) else {
            return;
        };
        let capability = open(&server.url()).await.capability();
        let promise = &capability.promise;
        assert_eq!(
            promise.contains("half a commit"),
            may_keep_half,
            "{promise}"
        );
        let fact = ("aof-load-truncated", load_truncated.to_owned());
        assert!(capability.facts.contains(&fact), "{capability:?}");
    }
}

#[tokio::test]
async fn passwords_are_asked_for_and_never_shown() {
    let Some(server) = PrivateRedis::with(&["--appendonly", "yes", "--requirepass", "canary"])
    else {
        return;
    };
    let with = |password: &str| {
        let url = server.url().replace("//", &format!("//:{password}@"));
        RedisOptions::at(url)
    };
    assert_eq!(total(&open_with(with("canary")).await.unwrap()).await, 0);
    let wrong = with("parrot");
    assert!(!format!("{wrong:?}").contains("parrot"));
    let error = open_with(wrong).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error:?}");
    assert!(!format!("{error:?}").contains("parrot"), "{error:?}");
    let none = open_with(RedisOptions::at(server.url())).await.unwrap_err();
    assert_eq!(none.kind(), ErrorKind::Configuration, "{none:?}");
}

#[tokio::test]
async fn options_that_cannot_work_are_refused_before_anything_is_asked() {
    let nowhere = RedisOptions::at("redis://127.0.0.1:1/0");
    for (options, part) in [
        (RedisOptions::at("http://127.0.0.1"), "no Redis URL"),
        (
            RedisOptions {
                namespace: "a}b".to_owned(),
                ..nowhere.clone()
            },
            "namespace",
        ),
        (
            RedisOptions {
                call_timeout: Duration::from_secs(5),
                ..nowhere.clone()
            },
            "call_timeout",
        ),
    ] {
        let error = open_with(options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains(part), "{error}");
    }
    let patient = RedisOptions {
        connect_timeout: Duration::from_millis(300),
        ..nowhere
    };
    let error = open_with(patient).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn namespaces_of_one_server_do_not_see_each_other() {
    let Some(server) = PrivateRedis::start() else {
        return;
    };
    let one = open(&server.url()).await;
    let two = RedisOptions {
        namespace: "two".to_owned(),
        ..RedisOptions::at(server.url())
    };
    let two = open_with(two).await.unwrap();
    one.create(new("a")).await.unwrap();
    two.create(new("a")).await.unwrap();
    assert_eq!((total(&one).await, total(&two).await), (1, 1));
}
