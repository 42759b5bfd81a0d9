//! A connection that statements are sent over, whoever it belongs to.

use deadpool_postgres::ClientWrapper;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, Transaction};

use super::names::Names;

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
}

/// A connection and the names of the tables.
#[derive(Clone, Copy)]
pub(super) struct Link<'a> {
    pub(super) way: Way<'a>,
    pub(super) names: &'a Names,
}

type Answer<T> = Result<T, tokio_postgres::Error>;

impl Link<'_> {
    pub(super) async fn query(&self, template: &str, values: &[Value<'_>]) -> Answer<Vec<Row>> {
        let sql = self.names.fill(template);
        match self.way {
            Way::Prepared(client) => {
                let types: Vec<Type> = values.iter().map(|(_, of)| of.clone()).collect();
                let statement = client.prepare_typed_cached(&sql, &types).await?;
                let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|(v, _)| *v).collect();
                client.query(&statement, &values).await
            }
            Way::Unnamed(client) => client.query_typed(&sql, values).await,
            Way::Enlisted(transaction) => transaction.query_typed(&sql, values).await,
        }
    }

    /// How many rows a statement changed.
    pub(super) async fn execute(&self, template: &str, values: &[Value<'_>]) -> Answer<u64> {
        let sql = self.names.fill(template);
        match self.way {
            Way::Prepared(client) => {
                let types: Vec<Type> = values.iter().map(|(_, of)| of.clone()).collect();
                let statement = client.prepare_typed_cached(&sql, &types).await?;
                let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|(v, _)| *v).collect();
                client.execute(&statement, &values).await
            }
            Way::Unnamed(client) => client.execute_typed(&sql, values).await,
            Way::Enlisted(transaction) => transaction.execute_typed(&sql, values).await,
        }
    }

    /// Statements without values, as one message.
    pub(super) async fn batch(&self, sql: &str) -> Answer<()> {
        match self.way {
            Way::Prepared(client) => client.batch_execute(sql).await,
            Way::Unnamed(client) => client.batch_execute(sql).await,
            Way::Enlisted(transaction) => transaction.batch_execute(sql).await,
        }
    }
}
