//! Torn ends, damage, files taken away: nothing that was answered is lost in silence.

use std::fs;
use std::path::Path;

use tlo::store::kv::{RowEngine, Rows};
use tlo::store::{TaskStateStore, TaskStateStoreExt};
use tlo::{ErrorKind, JsonlStore, Payload};

use crate::kit::{home, id, lease, new, open, quick_home, total, try_open};

/// A log of five tasks, two of them leased, and where its groups end.
async fn written(path: &Path) -> (Vec<u8>, Vec<usize>) {
    let store = open(path);
    let end = |store: &JsonlStore| usize::try_from(store.engine().facts().file_bytes).unwrap();
    let mut ends = vec![end(&store)];
    for n in 0..5 {
        store.create(new(format!("t{n}"))).await.unwrap();
        ends.push(end(&store));
    }
    lease(&store, 2).await.unwrap();
    ends.push(end(&store));
    drop(store);
    (fs::read(path).unwrap(), ends)
}

#[tokio::test]
async fn a_log_cut_at_any_byte_holds_its_whole_groups() {
    let (_directory, path) = quick_home();
    let (whole, ends) = written(&path).await;
    // Each byte of the last two groups, and some before.
    let first = ends[ends.len() - 3];
    let cuts = (ends[0]..first).step_by(37).chain(first..whole.len());
    for cut in cuts {
        fs::write(&path, &whole[..cut]).unwrap();
        let store = try_open(&path).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
        let groups = ends.iter().filter(|end| **end <= cut).count() - 1;
        assert_eq!(total(&store).await, groups.min(5) as u64, "cut at {cut}");
        assert_eq!(store.engine().facts().last_group, groups as u64);
        drop(store);
        assert_eq!(
            fs::read(&path).unwrap(),
            whole[..ends[groups]],
            "cut at {cut}"
        );
    }
}

#[tokio::test]
async fn an_end_that_is_not_as_it_was_written_is_cut_off_and_the_store_goes_on() {
    let (_directory, path) = home();
    let (whole, ends) = written(&path).await;
    let last = ends[ends.len() - 2];
    for (what, end) in [
        ("zeros where the length came first", vec![0; 5000]),
        ("half a line", b"{\"put\":\"t t9\",\"row\":{\"id\"".to_vec()),
        ("the beginning without its middle", {
            let mut end = whole[last..].to_vec();
            let middle = end.len() / 2;
            end[middle - 20..middle].fill(0);
            end
        }),
    ] {
        fs::write(&path, [&whole[..last], &end].concat()).unwrap();
        let store = open(&path);
        assert_eq!(total(&store).await, 5, "{what}");
        assert_eq!(lease(&store, 10).await.unwrap().len(), 5, "{what}");
        drop(store);
        let store = open(&path);
        assert_eq!(lease(&store, 10).await.unwrap().len(), 0, "{what}");
        assert!(store.check().await.unwrap().is_empty(), "{what}");
    }
}

#[tokio::test]
async fn damage_before_whole_groups_is_an_error_with_its_line_and_nothing_is_changed() {
    let (_directory, path) = quick_home();
    let (whole, ends) = written(&path).await;
    let line_of = |at: usize| whole[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
    let mut tried = 0;
    let damageable = ends[0]..ends[ends.len() - 2];
    // Without its end, a line runs into the next one, which may be the first of a whole group.
    let line_ends = damageable.clone().filter(|at| whole[*at] == b'\n');
    for at in damageable.clone().step_by(61).chain(line_ends) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&path, &damaged).unwrap();
        let error = match try_open(&path) {
            Err(error) => error,
            Ok(store) => panic!("byte {at}: opened with {:?}", store.engine().facts()),
        };
        assert_eq!(
            (error.kind(), error.is_retryable()),
            (ErrorKind::Corrupt, false),
            "byte {at}: {error}"
        );
        // A group with a wrong sum is named by its first line; other damage by its own.
        let text = error.to_string();
        let named: usize = text
            .split("line ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next()?.parse().ok())
            .unwrap_or_else(|| panic!("no line in {text}"));
        let group = ends.iter().rfind(|end| **end <= at).unwrap();
        assert!(
            (line_of(*group)..=line_of(at)).contains(&named),
            "byte {at} in line {}: {text}",
            line_of(at)
        );
        assert_eq!(fs::read(&path).unwrap(), damaged);
        // What the error says mends it.
        let kept: Vec<&[u8]> = damaged.split_inclusive(|byte| *byte == b'\n').collect();
        fs::write(&path, kept[..named - 1].concat()).unwrap();
        let groups = ends.iter().filter(|end| **end <= at).count() - 1;
        assert_eq!(total(&open(&path)).await, groups.min(5) as u64);
        tried += 1;
    }
    println!("{tried} damaged bytes, each told with its line");
    assert!(tried > 40);
}

#[tokio::test]
async fn a_group_that_is_missing_is_told() {
    let (_directory, path) = home();
    let (whole, ends) = written(&path).await;
    let without = [&whole[..ends[2]], &whole[ends[3]..]].concat();
    fs::write(&path, without).unwrap();
    let error = try_open(&path).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(
        error.to_string().contains("its number is 4, not 3"),
        "{error}"
    );
}

#[tokio::test]
async fn damage_under_an_open_store_is_found_by_a_check() {
    let (_directory, path) = home();
    let store = open(&path);
    for n in 0..5 {
        store.create(new(format!("t{n}"))).await.unwrap();
    }
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(5).position(|part| part == b"greet").unwrap();
    bytes[at] = b'G';
    // In place: the file stays the one that is open.
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::io::Write::write_all(&mut file, &bytes).unwrap();
    let wrong = store.check().await.unwrap();
    assert!(wrong[0].contains("is damaged"), "{wrong:?}");
}

#[tokio::test]
async fn a_damaged_record_spoils_only_itself() {
    let (_directory, path) = home();
    let store = open(&path);
    for task in ["a", "b", "c"] {
        store.create(new(task)).await.unwrap();
    }
    let damage = &mut |rows: &mut dyn Rows| rows.put(b"tb", b"{");
    store.engine().write(damage).unwrap();
    assert_eq!(
        store.read(&id("b")).await.unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    drop(store);
    let leased = lease(&open(&path), 10).await.unwrap();
    let ids: Vec<_> = leased.iter().map(|task| task.id.as_str()).collect();
    assert_eq!(ids, ["a", "c"]);
}

#[tokio::test]
async fn a_write_that_fails_or_panics_changes_nothing() {
    let (_directory, path) = home();
    let store = open(&path);
    store.create(new("a")).await.unwrap();
    let engine = store.engine();
    let failed = engine.write(&mut |rows: &mut dyn Rows| {
        rows.delete(b"ta")?;
        Err(tlo::Error::invalid("write", "no"))
    });
    assert!(failed.is_err());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        engine.write(&mut |rows: &mut dyn Rows| {
            rows.delete(b"ta")?;
            panic!("a fault of the caller")
        })
    }));
    assert!(panicked.is_err());
    store.create(new("b")).await.unwrap();
    drop(store);
    assert_eq!(total(&open(&path)).await, 2);
}

#[tokio::test]
async fn payloads_of_a_megabyte_and_of_every_character_are_kept() {
    let (_directory, path) = home();
    let store = open(&path);
    let every: String = (1..=0x11_0000)
        .step_by(7)
        .filter_map(char::from_u32)
        .collect();
    let mut task = new("i".repeat(255));
    task.args = Payload::of(&every[..900_000.min(every.floor_char_boundary(900_000))]).unwrap();
    store.create(task.clone()).await.unwrap();
    drop(store);
    let read = open(&path).read(&task.id).await.unwrap();
    assert_eq!(read.args, task.args);
    // What a person writes may have lines: they are kept as they are.
    let store = open(&path);
    let mut task = new("lines");
    task.args = Payload::parse("{\"a\": 1,\r\n \"b\": 2}").unwrap();
    store.create(task.clone()).await.unwrap();
    drop(store);
    assert_eq!(open(&path).read(&task.id).await.unwrap().args, task.args);
}
