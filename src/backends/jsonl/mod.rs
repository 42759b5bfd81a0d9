//! A durable store in memory and in a log that a person can read: one line a record, JSON. How it is used, and what it promises: [`JsonlStore`].

mod compact;
mod engine;
mod fault;
mod journal;
mod lines;
mod log;
mod options;
mod place;
mod replay;

pub use self::engine::{JsonlEngine, JsonlFacts};
pub use self::options::{JsonlDurability, JsonlOptions};
use super::rows::RowStore;

/// A [`TaskStateStore`](crate::store::TaskStateStore) in memory and in a readable log, opened by [`JsonlOptions::open`].
///
/// ```text
/// {"tlo":"jsonl","layout":1,"after":0}
/// {"put":"t tsk_019a","row":{"id":"tsk_019a","name":"mail","status":"pending","args":{"to":"ada"}, …}}
/// {"commit":1,"rows":5,"index":[["s \u0000…","tsk_019a"], …],"sum":"5f0c…"}
/// ```
///
/// ```text
/// $ jq -c 'select(.row.id == "tsk_019a").row | [.status, .attempt, .error]' tlo.jsonl   # what became of a task
/// $ tail -f tlo.jsonl | jq -r 'select(.row.name).row | "\(.name) \(.status)"'              # what happens now
/// ```
///
/// # What it promises
///
/// - One thread writes for everybody; what waits at the same time is a group: lines that are closed by one with a checksum. An
///   answer is given when the group is on the disk. What was answered survives the death of the process and a power failure;
///   `durability = "relaxed"` waits for the operating system only.
/// - A group counts wholly or not at all. A write that was not finished, at the end of the log, is cut off when it is opened,
///   and the log of the program says so. Damage before whole groups is an error with the number of the line, never guessed at.
/// - One process at a time: it holds `tlo.jsonl.lock`, and another one is refused with its process id, host and since when. The
///   lock goes with the process, however it ends. Handles within the process share the store.
/// - A log four times larger than what counts (`compact_ratio`, from 16 MiB on, `compact_bytes`) is written anew while reads and
///   writes go on; the new log takes the place of the old one in one step, so a process killed at any moment leaves one of them whole.
/// - A full disk refuses what is written as `Unavailable`, and the store goes on when there is room.
///
/// # In production
///
/// ```toml
/// task_state_store = "jsonl:/var/lib/app/tlo.jsonl"
/// [jsonl]
/// compact_bytes = 67108864   # 64 MiB
/// ```
///
/// - Everything is in memory: about 1.5 KiB for a small task that is kept. Ended tasks are kept for a day, and 100,000 at
///   most, unless `retention` says otherwise. Opening reads the whole log.
/// - While it is compacted, the disk holds both logs.
/// - While a program has it open, `tlo` beside it is refused, too: read the log, or serve what you need from the program.
/// - For several processes, or more tasks than fit in memory, take `sqlite` or `lmdb`.
/// - Back up by copying the file: a copy taken while it is written to ends in an unfinished group at worst, which is cut off.
/// - Do not edit it: each group has a checksum. To mend a damaged log, keep the lines before the one that the error names.
/// - On a local disk: network and FUSE file systems, whose locks may not hold, are refused.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tlo::Result<()> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("tlo.jsonl");
/// use std::sync::Arc;
/// use tlo::store::TaskStateStore;
/// use tlo::{IdSource, JsonlOptions, SystemClock};
///
/// let store = JsonlOptions::at(path).open(SystemClock::shared(), Arc::new(IdSource::random()))?;
/// assert!(!store.capability().shared);
/// assert_eq!(store.engine().facts().rows, 0);
/// # Ok(())
/// # }
/// ```
pub type JsonlStore = RowStore<JsonlEngine>;
