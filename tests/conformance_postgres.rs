//! The conformance suite over a real PostgreSQL server, and over one behind a pooler of transactions.
#![cfg(all(feature = "testing", feature = "postgres"))]
#![allow(
    clippy::print_stdout,
    reason = "the table of cases is what the run is for"
)]

mod servers;
#[path = "stores/sides.rs"]
mod sides;
#[path = "stores/table.rs"]
mod table;

use servers::postgres::Postgres;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_the_contract_and_skips_what_a_server_clock_cannot_do() {
    if let Some(postgres) = Postgres::start() {
        sides::keeps_the_contract("postgres", &postgres, 4).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_behind_pgbouncer_keeps_the_contract_as_without() {
    if let Some(postgres) = Postgres::pooled() {
        sides::keeps_the_contract("postgres behind pgbouncer", &postgres, 4).await;
    }
}
