//! A connection that statements are sent over, whoever it belongs to.

use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Transaction};

use super::fault::Fault;
use super::names::Names;
#[cfg(feature = "sqlx")]
use super::over_sqlx::Borrowed;
use super::pool::Connections;
use super::row::Row;
use crate::backends::deadline::within;
use crate::clock::{Clock, SystemClock};

/// How long a statement may take before it is looked whether the server works on it at all.
const SILENT_AFTER: Duration = Duration::from_secs(2);

/// A value and its type: statements are never asked what theirs are.
pub(super) type Value<'a> = (&'a (dyn ToSql + Sync), Type);

/// Where statements go.
#[derive(Clone, Copy)]
pub(super) enum Way<'a> {
    /// A connection of the pool, which keeps its statements prepared.
    Prepared(&'a ClientWrapper),
    /// A connection behind a pooler: nothing on the server outlives a transaction.
    Unnamed(&'a Client),
    /// A transaction of the caller.
    Enlisted(&'a Transaction<'a>),
    /// The same on a connection of `sqlx`.
    #[cfg(feature = "sqlx")]
    EnlistedSqlx(&'a Borrowed<'a>),
}

/// A connection and the names of the tables.
#[derive(Clone, Copy)]
pub(super) struct Link<'a> {
    pub(super) way: Way<'a>,
    pub(super) names: &'a Names,
    /// What asks the server on another connection when nothing comes on this one.
    pub(super) watch: Option<&'a Connections>,
}

pub(super) type Answer<T> = Result<T, Fault>;

impl Link<'_> {
    /// Waits for an answer. A connection on which nothing comes while the server is reached on another, and works on
    /// nothing of ours there, is dead, though nobody said so: what is between forgot it.
    async fn answer<T>(
        &self,
        asked: impl Future<Output = Result<T, tokio_postgres::Error>> + Send,
    ) -> Answer<T> {
        let Some(connections) = self.watch else {
            return Ok(asked.await?);
        };
        // In a box: the futures of whole transactions hold this one, and the stack of a thread is not large.
        let mut asked = Box::pin(asked);
        // The server itself gives a statement up before.
        let end = SystemClock.steady().at + connections.limit + SILENT_AFTER;
        loop {
            if let Some(answer) = within(SILENT_AFTER, asked.as_mut()).await {
                return Ok(answer?);
            }
            let looking = Box::pin(connections.works_on_nothing());
            let looked = within(SILENT_AFTER, looking).await;
            if !matches!(looked, Some(Ok(true))) && SystemClock.steady().at < end {
                continue;
            }
            // What it just ended may be on its way.
            return match within(SILENT_AFTER / 2, asked.as_mut()).await {
                Some(answer) => Ok(answer?),
                None => Err(tokio_postgres::Error::__private_api_timeout().into()),
            };
        }
    }

    pub(super) async fn query(&self, template: &str, values: &[Value<'_>]) -> Answer<Vec<Row>> {
        let sql = self.names.fill(template);
        let rows = match self.way {
            Way::Prepared(client) => {
                let types: Vec<Type> = values.iter().map(|(_, of)| of.clone()).collect();
                let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|(v, _)| *v).collect();
                let asked = async {
                    let statement = client.prepare_typed_cached(&sql, &types).await?;
                    client.query(&statement, &values).await
                };
                self.answer(asked).await?
            }
            Way::Unnamed(client) => self.answer(client.query_typed(&sql, values)).await?,
            Way::Enlisted(transaction) => transaction.query_typed(&sql, values).await?,
            #[cfg(feature = "sqlx")]
            Way::EnlistedSqlx(connection) => {
                return Box::pin(connection.query(sql, values)).await;
            }
        };
        Ok(rows.into_iter().map(Row::Native).collect())
    }

    /// How many rows a statement changed.
    pub(super) async fn execute(&self, template: &str, values: &[Value<'_>]) -> Answer<u64> {
        let sql = self.names.fill(template);
        match self.way {
            Way::Prepared(client) => {
                let types: Vec<Type> = values.iter().map(|(_, of)| of.clone()).collect();
                let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|(v, _)| *v).collect();
                let asked = async {
                    let statement = client.prepare_typed_cached(&sql, &types).await?;
                    client.execute(&statement, &values).await
                };
                self.answer(asked).await
            }
            Way::Unnamed(client) => self.answer(client.execute_typed(&sql, values)).await,
            Way::Enlisted(transaction) => Ok(transaction.execute_typed(&sql, values).await?),
            #[cfg(feature = "sqlx")]
            Way::EnlistedSqlx(connection) => Box::pin(connection.execute(sql, values)).await,
        }
    }

    /// Statements without values, as one message.
    pub(super) async fn batch(&self, sql: &str) -> Answer<()> {
        match self.way {
            Way::Prepared(client) => self.answer(client.batch_execute(sql)).await,
            Way::Unnamed(client) => self.answer(client.batch_execute(sql)).await,
            Way::Enlisted(transaction) => Ok(transaction.batch_execute(sql).await?),
            #[cfg(feature = "sqlx")]
            Way::EnlistedSqlx(connection) => Box::pin(connection.batch(sql)).await,
        }
    }
}
