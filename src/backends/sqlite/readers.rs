//! A few connections that only read.

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use super::connection::Connector;
use super::fault::spoils;
use super::patience::wait_at_most;
use crate::error::Result;

#[derive(Default)]
struct Pool {
    idle: Vec<Connection>,
    /// Connections that exist, idle or in use.
    open: usize,
}

/// Connections for reading, opened when needed and lent to one reader at a time.
#[derive(Default)]
pub(super) struct Readers {
    pool: Mutex<Pool>,
    freed: Condvar,
}

impl Readers {
    /// Runs a read on a connection, waiting for one when all are in use. Blocks.
    pub(super) fn with<T>(
        &self,
        connector: &Connector,
        read: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        let mut lent = Lent {
            readers: self,
            connection: self.take(connector.options.readers),
            keep: false,
        };
        let connection = match lent.connection.take() {
            Some(connection) => connection,
            None => connector.reader()?,
        };
        let connection = lent.connection.insert(connection);
        wait_at_most(connector.options.busy_timeout);
        let answer = read(connection);
        lent.keep = match &answer {
            Ok(_) => true,
            Err(error) => connection.is_autocommit() && !spoils(error),
        };
        answer
    }

    /// An idle connection, or the right to open one more.
    fn take(&self, limit: usize) -> Option<Connection> {
        let mut pool = self.pool.lock();
        loop {
            if let Some(connection) = pool.idle.pop() {
                return Some(connection);
            }
            if pool.open < limit {
                pool.open += 1;
                return None;
            }
            self.freed.wait(&mut pool);
        }
    }
}

/// Gives the connection back, also when the read fails or panics; after a failure it is closed instead of kept.
struct Lent<'a> {
    readers: &'a Readers,
    connection: Option<Connection>,
    keep: bool,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let kept = self.connection.take().filter(|_| self.keep);
        let mut pool = self.readers.pool.lock();
        match kept {
            Some(connection) => pool.idle.push(connection),
            None => pool.open -= 1,
        }
        drop(pool);
        self.readers.freed.notify_one();
    }
}
