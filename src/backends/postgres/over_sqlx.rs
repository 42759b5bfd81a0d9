//! Statements over a connection of `sqlx`. What goes and what comes are the bytes that the server speaks; they are made and
//! read as over any other connection, and `sqlx` only carries them.

use std::error::Error as StdError;

use bytes::BytesMut;
use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgConnection, PgRow, PgTypeInfo, Postgres};
use sqlx::{Arguments, AssertSqlSafe, Row as _, ValueRef};
use tokio::sync::{Mutex, MutexGuard};
use tokio_postgres::types::{FromSql, IsNull as Nothing, Type, WrongType};

use super::link::{Answer, Value};
use super::row::Row;

/// A connection of the caller. It takes one statement at a time: those that are sent at once wait here, in their order.
#[derive(Debug)]
pub(super) struct Borrowed<'c>(Mutex<&'c mut PgConnection>);

impl<'c> Borrowed<'c> {
    pub(super) fn new(connection: &'c mut PgConnection) -> Self {
        Self(Mutex::new(connection))
    }

    async fn connection(&self) -> MutexGuard<'_, &'c mut PgConnection> {
        self.0.lock().await
    }

    pub(super) async fn query(&self, sql: String, values: &[Value<'_>]) -> Answer<Vec<Row>> {
        let statement = statement(sql, values)?;
        let mut connection = self.connection().await;
        let rows = statement.fetch_all(&mut **connection).await?;
        Ok(rows.into_iter().map(Row::Sqlx).collect())
    }

    /// How many rows a statement changed.
    pub(super) async fn execute(&self, sql: String, values: &[Value<'_>]) -> Answer<u64> {
        let statement = statement(sql, values)?;
        let mut connection = self.connection().await;
        let done = statement.execute(&mut **connection).await?;
        Ok(done.rows_affected())
    }

    /// Statements without values, as one message.
    pub(super) async fn batch(&self, sql: &str) -> Answer<()> {
        let mut connection = self.connection().await;
        let sql = AssertSqlSafe(sql.to_owned());
        sqlx::raw_sql(sql).execute(&mut **connection).await?;
        Ok(())
    }
}

type Statement = sqlx::query::Query<'static, Postgres, PgArguments>;

/// Not kept prepared: it works behind a pooler, and takes no place from the statements that the caller keeps.
fn statement(sql: String, values: &[Value<'_>]) -> Answer<Statement> {
    let mut arguments = PgArguments::default();
    for (value, of) in values {
        let mut bytes = BytesMut::new();
        let bytes = match value.to_sql_checked(of, &mut bytes) {
            Ok(Nothing::No) => Some(bytes),
            Ok(Nothing::Yes) => None,
            Err(error) => return Err(sqlx::Error::Encode(error).into()),
        };
        let argument = Argument {
            bytes,
            of: Oid(of.oid()),
        };
        arguments.add(argument).map_err(sqlx::Error::Encode)?;
    }
    // The text is one of this store's, with quoted names in it.
    Ok(sqlx::query_with(AssertSqlSafe(sql), arguments).persistent(false))
}

/// A value as the server is sent it, and its type.
struct Argument {
    bytes: Option<BytesMut>,
    of: Oid,
}

impl sqlx::Type<Postgres> for Argument {
    fn type_info() -> PgTypeInfo {
        // Each says its own.
        PgTypeInfo::with_oid(Oid(Type::UNKNOWN.oid()))
    }
}

impl Encode<'_, Postgres> for Argument {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let Some(bytes) = &self.bytes else {
            return Ok(IsNull::Yes);
        };
        buffer.extend_from_slice(bytes);
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(self.of))
    }

    fn size_hint(&self) -> usize {
        self.bytes.as_ref().map_or(0, BytesMut::len)
    }
}

/// The value of a column, read as those of other connections are.
pub(super) fn column<'a, T: FromSql<'a>>(row: &'a PgRow, at: usize) -> Answer<T> {
    let wrong = |source: Box<dyn StdError + Send + Sync>| sqlx::Error::ColumnDecode {
        index: at.to_string(),
        source,
    };
    let value = row.try_get_raw(at)?;
    let oid = value.type_info().oid().map_or(0, |oid| oid.0);
    let of = Type::from_oid(oid).unwrap_or(Type::UNKNOWN);
    if !T::accepts(&of) {
        return Err(wrong(Box::new(WrongType::new::<T>(of))).into());
    }
    let read = if value.is_null() {
        T::from_sql_null(&of)
    } else {
        value.as_bytes().and_then(|bytes| T::from_sql(&of, bytes))
    };
    Ok(read.map_err(wrong)?)
}
