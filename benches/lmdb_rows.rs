//! What the LMDB store costs above bare heed: `cargo bench --bench lmdb_rows [-- DIRECTORY]`.
//!
//! Every figure is the median of five rounds, each on a new environment with LMDB's own durability. Backlog: what the round
//! itself submitted; payload: 64 bytes of JSON; retention: nothing is removed.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is a program that prints"
)]

mod rows;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvOpenOptions};
use rows::{ROUNDS, Round, Writes, report, round};
use tlo::{IdSource, LmdbEngine, LmdbOptions};

fn bare(path: &Path) -> (Env, Database<'static, Bytes, Bytes>) {
    std::fs::create_dir(path).unwrap();
    let mut options = EnvOpenOptions::new();
    #[allow(unsafe_code, reason = "nobody else opens it")]
    // SAFETY: nobody else opens it.
    let env = unsafe { options.map_size(1 << 30).max_dbs(1).open(path) }.unwrap();
    let txn = env.write_txn().unwrap();
    let made = env.create_databases_and_commit(txn, |opener, txn| {
        let rows = opener.create_database::<Bytes, Bytes>(txn, Some("rows"))?;
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(rows))
    });
    let rows = made.unwrap().unwrap_commit();
    (env, rows)
}

async fn one_round(directory: &Path) -> Round {
    let ids = Arc::new(IdSource::random());
    let engine = LmdbEngine::open(LmdbOptions::at(directory.join("store"))).unwrap();
    let (env, rows) = bare(&directory.join("bare"));
    let write = move |writes: &Writes| {
        let mut txn = env.write_txn().unwrap();
        for (key, value) in writes {
            match value {
                Some(value) => rows.put(&mut txn, key, value).unwrap(),
                None => drop(rows.delete(&mut txn, key).unwrap()),
            }
        }
        txn.commit().unwrap();
    };
    round(&ids, engine, || Box::new(write)).await
}

fn main() {
    let directory = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'))
        .map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let directory = tempfile::tempdir_in(&directory).unwrap();
        rounds.push(runtime.block_on(one_round(directory.path())));
    }
    report(&rounds);
}
