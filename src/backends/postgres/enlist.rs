//! Commits inside a transaction of the caller.

use async_trait::async_trait;
use tokio_postgres::Transaction;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::NAME;
use super::fault::Fault;
use super::floor::Since;
use super::link::{Link, Way};
use super::loaded::is_missed;
use super::names::Names;
use super::options::PostgresOptions;
#[cfg(feature = "sqlx")]
use super::over_sqlx::Borrowed;
use super::table::Tokens;
use super::transaction::{Job, Tried};
use super::writer::needs_of;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::id::IdSource;
use crate::store::kv;
use crate::store::{Commit, Committed, EnlistAsync, TaskStateStore};

/// Times that others may be in the way.
const TRIES: usize = 10;

const IS_STORE: &str = "SELECT to_regclass($1) IS NOT NULL";

#[async_trait]
impl EnlistAsync for &Transaction<'_> {
    async fn enlist(
        self,
        commit: Commit,
        store: &dyn TaskStateStore,
        clock: &dyn Clock,
        ids: &IdSource,
    ) -> Result<Committed> {
        let names = names_of(store)?;
        write(link(Way::Enlisted(self), &names), commit, clock, ids).await
    }
}

/// For transactions that were begun by a statement, too.
#[cfg(feature = "sqlx")]
#[async_trait]
impl EnlistAsync for &mut sqlx::PgConnection {
    async fn enlist(
        self,
        commit: Commit,
        store: &dyn TaskStateStore,
        clock: &dyn Clock,
        ids: &IdSource,
    ) -> Result<Committed> {
        let names = names_of(store)?;
        let borrowed = Borrowed::new(self);
        let link = link(Way::EnlistedSqlx(&borrowed), &names);
        write(link, commit, clock, ids).await
    }
}

#[cfg(feature = "sqlx")]
#[async_trait]
impl EnlistAsync for &mut sqlx::PgTransaction<'_> {
    async fn enlist(
        self,
        commit: Commit,
        store: &dyn TaskStateStore,
        clock: &dyn Clock,
        ids: &IdSource,
    ) -> Result<Committed> {
        let connection: &mut sqlx::PgConnection = &mut *self;
        connection.enlist(commit, store, clock, ids).await
    }
}

/// Whether the connection is alive is for the caller to watch.
fn link<'a>(way: Way<'a>, names: &'a Names) -> Link<'a> {
    Link {
        way,
        names,
        watch: None,
    }
}

async fn write(
    link: Link<'_>,
    commit: Commit,
    clock: &dyn Clock,
    ids: &IdSource,
) -> Result<Committed> {
    let table = link.names.fill("@migration");
    let rows = link.query(IS_STORE, &[(&table, Type::TEXT)]).await;
    let found = rows.map_err(failed)?;
    if !found.first().is_some_and(|row| row.get::<bool>(0)) {
        return Err(Error::invalid(
            "submit",
            format!(
                "the database of this transaction has no store in the schema \"{}\"; connect to the one that the settings name",
                link.names.schema
            ),
        ));
    }
    let set = std::slice::from_ref(&commit);
    let (needs, fresh) = needs_of(&[set]);
    let mut job = Job {
        tokens: Tokens::new(ids, None),
        now: (!clock.is_of_the_machine()).then(|| clock.now()),
        claim: None,
        from: Since::START,
        floor: None,
        fresh,
        needs,
        begin: None,
        held: Vec::new(),
    };
    for _ in 0..TRIES {
        link.batch("SAVEPOINT tlo_enlisted").await.map_err(failed)?;
        let tried = job
            .run(link, |sketch| match kv::commit(sketch, commit.clone()) {
                Err(error) if is_missed(&error) => Ok(Ok(Vec::new())),
                other => other,
            })
            .await;
        match tried {
            Ok(Tried::Written {
                answer: Ok(effects),
                ..
            }) => {
                link.batch("RELEASE tlo_enlisted").await.map_err(failed)?;
                return Ok(Ok(effects));
            }
            Ok(Tried::Written { answer, .. }) => {
                undo(link).await?;
                return Ok(answer);
            }
            Ok(Tried::Again) => undo(link).await?,
            Err(error) => {
                // When this fails, too, the transaction is lost, and its own error says more.
                let _ = undo(link).await;
                return Err(failed(error));
            }
        }
    }
    Err(Error::new(
        ErrorKind::Unavailable,
        "submit",
        "others were in the way again and again; roll your transaction back and try again",
    ))
}

/// A failure as the caller's: the transaction is theirs.
fn failed(fault: Fault) -> Error {
    match fault.code() {
        Some(code) if code == SqlState::NO_ACTIVE_SQL_TRANSACTION => Error::invalid(
            "submit",
            "this connection has no open transaction; begin one, or submit without it",
        ),
        Some(code) if code == SqlState::IN_FAILED_SQL_TRANSACTION => Error::invalid(
            "submit",
            "a statement of this transaction failed before; roll it back and begin anew",
        ),
        _ => fault.into_error("submit"),
    }
}

async fn undo(link: Link<'_>) -> Result<()> {
    link.batch("ROLLBACK TO tlo_enlisted; RELEASE tlo_enlisted")
        .await
        .map_err(failed)
}

/// Where the tables of the client's store are.
fn names_of(store: &dyn TaskStateStore) -> Result<Names> {
    let Some(tables) = store.tables().filter(|tables| tables.store == NAME) else {
        return Err(Error::invalid(
            "submit",
            format!(
                "the store of this client is \"{}\", and the transaction is one of PostgreSQL; submit without it",
                store.capability().name
            ),
        ));
    };
    Ok(Names::of(&PostgresOptions {
        schema: tables.schema,
        table_prefix: tables.prefix,
        ..PostgresOptions::default()
    }))
}
