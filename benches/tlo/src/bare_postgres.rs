//! What the store writes to PostgreSQL, without the store: the same rows, a hundred a statement.

use std::time::Instant;

use tlo::tokio_postgres::types::ToSql;
use tlo::tokio_postgres::{Client, NoTls, Statement};

use crate::backlog;

const MADE: [&str; 2] = [
    "INSERT INTO tlo.identity (seq, id, name, kind, created_at) \
        SELECT s, 'bare-' || s, 'bench', 0, s FROM unnest($1::bigint[]) AS s",
    "INSERT INTO tlo.task (seq, id, status, queue, name, lane, priority, run_at, ready, body, plain) \
        SELECT s, 'bare-' || s, 0, 'default', 'bench', '00000000-0000-0000-0000-000000000001'::uuid, 5, s, true, b, true \
        FROM unnest($1::bigint[], $2::text[]) AS u (s, b)",
];

const CLAIMED: [&str; 1] = ["UPDATE tlo.task SET status = 1, ready = false, plain = false, lease_end = 1, worker = 'bare', leased_at = 1, \
    token = '00000000-0000-0000-0000-000000000001' WHERE seq = ANY($1::bigint[])"];

const SETTLED: [&str; 2] = [
    "DELETE FROM tlo.task WHERE seq = ANY($1::bigint[])",
    "INSERT INTO tlo.ended (seq, id, status, queue, finished_at, body) \
        SELECT s, 'bare-' || s, 2, 'default', s, b FROM unnest($1::bigint[], $2::text[]) AS u (s, b)",
];

async fn prepare(client: &Client, statements: &[&str]) -> Vec<Statement> {
    let mut prepared = Vec::new();
    for sql in statements {
        prepared.push(client.prepare(sql).await.expect("prepare"));
    }
    prepared
}

/// One transaction, its statements sent at once.
async fn write(client: &Client, statements: &[Statement], seqs: &Vec<i64>, bodies: &Vec<&str>) {
    let both: [&(dyn ToSql + Sync); 2] = [seqs, bodies];
    let values = |of: &Statement| &both[..of.params().len()];
    let begun = client.batch_execute("BEGIN");
    let rest = async {
        match statements {
            [one] => drop(client.execute(one, values(one)).await.expect("write")),
            [one, two] => {
                let (one, two) = tokio::join!(client.execute(one, values(one)), client.execute(two, values(two)));
                one.and(two).expect("write");
            }
            _ => unreachable!("one or two statements"),
        }
    };
    let ended = client.batch_execute("COMMIT");
    let (begun, (), ended) = tokio::join!(biased; begun, rest, ended);
    begun.and(ended).expect("a transaction");
}

/// The figure of the store, then only such rows in the same tables, emptied.
pub async fn run(url: &str, tasks: usize, batch: usize) -> serde_json::Value {
    let ours = backlog::run(url, tasks, 0, 1000, 1000).await;
    let (client, connection) = tlo::tokio_postgres::connect(url, NoTls).await.expect("connect");
    tokio::spawn(connection);
    let row = client.query_one("SELECT body FROM tlo.ended LIMIT 1", &[]).await.expect("a record that ended");
    let ended: String = row.get(0);
    // The statements of the store plan so, too.
    let empty = "SET enable_seqscan = off; SET jit = off; TRUNCATE tlo.identity, tlo.task, tlo.ended, tlo.tally, tlo.entry; CHECKPOINT";
    client.batch_execute(empty).await.expect("truncate");
    // What waits has no history yet.
    let waiting = &ended[..ended.len().min(ended.find("\"attempts\"").unwrap_or(ended.len()))];
    let mut took = Vec::new();
    for (statements, body) in [(&MADE[..], waiting), (&CLAIMED[..], waiting), (&SETTLED[..], &ended)] {
        let prepared = prepare(&client, statements).await;
        let started = Instant::now();
        for first in (0..tasks).step_by(batch) {
            let seqs: Vec<i64> = (first..tasks.min(first + batch)).map(|n| n as i64).collect();
            let bodies = vec![body; seqs.len()];
            write(&client, &prepared, &seqs, &bodies).await;
        }
        took.push(started.elapsed().as_secs_f64());
    }
    serde_json::json!({
        "system": "bare postgres", "tasks": tasks, "batch": batch, "in_per_s": ours["in_per_s"], "out_per_s": ours["settled_per_s"],
        "bare_in_per_s": tasks as f64 / took[0], "bare_out_per_s": tasks as f64 / (took[1] + took[2]),
        "body_bytes": ended.len(),
    })
}
