//! What every store in files does, whatever the backend: handles that share it, files taken away, options refused.

use std::fs;
use std::time::Duration;

use tlo::store::{Hint, Maintain, Retention, TaskStateStore, TaskStateStoreExt};
use tlo::{Clock, ErrorKind, SystemClock};

use crate::durable::{id, new, total, until};
use crate::kit::{NAME, Options, data_of, home, open, open_with};

/// What is said of options that cannot be opened.
pub(crate) fn refused(options: Options) -> (ErrorKind, String) {
    let error = open_with(options).map(drop).unwrap_err();
    (error.kind(), error.to_string())
}

/// All of these are refused as options, for a reason that contains this.
pub(crate) fn all_refused<const N: usize>(wrong: [(Options, &str); N]) {
    for (options, part) in wrong {
        let (kind, message) = refused(options);
        assert_eq!(kind, ErrorKind::Configuration, "{message}");
        assert!(message.contains(part), "{message}");
    }
}

#[tokio::test]
async fn handles_on_one_place_see_each_others_answers_at_once() {
    let (_directory, path) = home();
    let (one, two) = (open(&path), open(&path));
    for n in 0..50 {
        let (from, to) = if n % 2 == 0 {
            (&one, &two)
        } else {
            (&two, &one)
        };
        let task = id(format!("t{n}"));
        from.create(new(task.as_str())).await.unwrap();
        assert_eq!(to.read(&task).await.unwrap().id, task);
        assert!(to.create(new(task.as_str())).await.is_err());
    }
    assert_eq!((total(&one).await, total(&two).await), (50, 50));
}

#[tokio::test]
async fn a_listener_hears_of_another_handles_writes_and_not_of_its_own() {
    let (_directory, path) = home();
    let (mine, other) = (open(&path), open(&path));
    let mut hints = mine.hints();
    mine.create(new("a")).await.unwrap();
    assert_eq!(hints.next().await, Some(Hint::Ready("default".into())));
    // Longer than the pause between two looks.
    let looked = SystemClock.steady().at + Duration::from_millis(600);
    until("the watch has looked", || async {
        SystemClock.steady().at > looked
    })
    .await;
    assert_eq!(hints.try_next(), None, "its own write is no news");
    let started = SystemClock.steady().at;
    other.create(new("b")).await.unwrap();
    assert_eq!(hints.next().await, Some(Hint::Unknown));
    let waited = SystemClock.steady().at.saturating_sub(started);
    assert!(waited < Duration::from_secs(2), "{waited:?}");
}

#[tokio::test]
async fn a_file_taken_away_stops_the_writes_until_it_is_back() {
    let (directory, path) = home();
    let (data, aside) = (data_of(&path), directory.path().join("aside"));
    let store = open(&path);
    store.create(new("a")).await.unwrap();
    fs::rename(&data, &aside).unwrap();
    for make_another in [false, true] {
        if make_another {
            fs::write(&data, "").unwrap();
        }
        let error = store.create(new("b")).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.is_retryable()),
            (ErrorKind::Unavailable, false)
        );
        assert!(error.to_string().contains(NAME), "{error}");
        let upkeep = Maintain {
            retention: Retention::default(),
            limit: 100,
        };
        assert!(store.maintain(upkeep).await.is_err());
    }
    fs::rename(&aside, &data).unwrap();
    store.create(new("b")).await.unwrap();
    assert_eq!(total(&store).await, 2);
}
