//! A row of an answer, whoever's connection it came over.

use tokio_postgres::types::FromSql;

use super::fault::Fault;

#[derive(Debug)]
pub(super) enum Row {
    Native(tokio_postgres::Row),
    #[cfg(feature = "sqlx")]
    Sqlx(sqlx::postgres::PgRow),
}

impl Row {
    /// The value of a column.
    pub(super) fn try_get<'a, T: FromSql<'a>>(&'a self, at: usize) -> Result<T, Fault> {
        match self {
            Self::Native(row) => Ok(row.try_get(at)?),
            #[cfg(feature = "sqlx")]
            Self::Sqlx(row) => super::over_sqlx::column(row, at),
        }
    }

    /// As [`try_get`](Self::try_get), for statements that say themselves what is in the column.
    ///
    /// # Panics
    ///
    /// When something else is in it, as the one of `tokio_postgres` does.
    pub(super) fn get<'a, T: FromSql<'a>>(&'a self, at: usize) -> T {
        match self.try_get(at) {
            Ok(value) => value,
            Err(fault) => panic!("column {at} is not what the statement says: {fault:?}"),
        }
    }
}
