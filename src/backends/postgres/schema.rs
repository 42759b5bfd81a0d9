//! The steps that bring a schema to the layout of this build.

use super::fault::fault;
use super::names::Names;
use crate::error::{Error, ErrorKind, Result};
use crate::id::stable_hash;

/// Step n is the n-th of these, from 1. A released step never changes: a new one follows it.
const STEPS: &[&str] = &[
    include_str!("migrations/1_tables.sql"),
    include_str!("migrations/2_claims.sql"),
    include_str!("migrations/3_view.sql"),
];

const JOURNAL: &str = "CREATE TABLE IF NOT EXISTS @migration \
    (number integer PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())";

/// Applies the steps that are missing, all in one transaction that others who open the store wait for, and checks those
/// that were applied before. When there is nothing to do nothing is written: a user that may not create anything can
/// open the store.
pub(super) async fn migrate(client: &mut tokio_postgres::Client, names: &Names) -> Result<()> {
    if applied(client, names).await? == newest() {
        return Ok(());
    }
    let fault = |source| fault("migrate postgres", source);
    let transaction = client.transaction().await.map_err(fault)?;
    let lock = stable_hash(format!("tlo migrate {}", names.space()).as_bytes()).cast_signed();
    let locking = format!("SELECT pg_advisory_xact_lock({lock})");
    transaction.batch_execute(&locking).await.map_err(fault)?;
    if !has_schema(transaction.client(), names).await? {
        let create = names.fill("CREATE SCHEMA IF NOT EXISTS @@");
        transaction.batch_execute(&create).await.map_err(fault)?;
    }
    // Another process may have been first.
    let done = applied(transaction.client(), names).await?;
    let journal = names.fill(JOURNAL);
    transaction.batch_execute(&journal).await.map_err(fault)?;
    for (number, step) in (1..).zip(STEPS).filter(|(number, _)| *number > done) {
        let sql = names.fill(step);
        transaction.batch_execute(&sql).await.map_err(fault)?;
        let checksum = checksum(step);
        let note =
            format!("INSERT INTO @migration (number, checksum) VALUES ({number}, '{checksum}')");
        transaction
            .batch_execute(&names.fill(&note))
            .await
            .map_err(fault)?;
        tracing::info!(step = number, schema = names.schema, "migrated");
    }
    transaction.commit().await.map_err(fault)
}

fn newest() -> i32 {
    i32::try_from(STEPS.len()).unwrap_or(i32::MAX)
}

async fn has_schema(client: &tokio_postgres::Client, names: &Names) -> Result<bool> {
    let sql = format!("SELECT to_regnamespace('\"{}\"') IS NOT NULL", names.schema);
    asks(client, &sql).await
}

async fn asks(client: &tokio_postgres::Client, sql: &str) -> Result<bool> {
    let rows = client.query_typed(sql, &[]).await;
    let rows = rows.map_err(|source| fault("migrate postgres", source))?;
    Ok(rows
        .first()
        .is_some_and(|row| row.get::<_, Option<bool>>(0) == Some(true)))
}

/// The newest step that was applied; refuses steps that this build does not know.
async fn applied(client: &tokio_postgres::Client, names: &Names) -> Result<i32> {
    let exists = names.fill("SELECT to_regclass('@migration') IS NOT NULL");
    if !asks(client, &exists).await? {
        return Ok(0);
    }
    let sql = names.fill("SELECT number, checksum FROM @migration ORDER BY number");
    let rows = client.query_typed(&sql, &[]).await;
    let rows = rows.map_err(|source| fault("migrate postgres", source))?;
    let mut last = 0;
    for row in rows {
        let (number, stored): (i32, &str) = (row.get(0), row.get(1));
        last = number;
        let known = (1..).zip(STEPS).find(|(known, _)| *known == number);
        let Some((_, step)) = known else {
            return Err(refused(format!(
                "the schema \"{}\" has layout {number} and this build knows up to {}; use the newer build that wrote it, or another schema",
                names.schema,
                newest()
            )));
        };
        if checksum(step) != stored {
            return Err(refused(format!(
                "step {number} of the layout of the schema \"{}\" is not the one this build knows; it was written by another build of the same number: use that one",
                names.schema
            )));
        }
    }
    Ok(last)
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::Configuration, "migrate postgres", message)
}

fn checksum(step: &str) -> String {
    format!("{:016x}", stable_hash(step.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database that has a step is refused by a build in which that step is another one: these only grow.
    #[test]
    fn released_steps_never_change() {
        let released = ["fa09bda810690412", "81a036e872eb309d", "9c753599514a082f"];
        let known: Vec<String> = STEPS.iter().map(|step| checksum(step)).collect();
        assert_eq!(known, released);
    }
}
