//! Waiting for a lock that another process holds.
//!
//! SQLite is given a plain function, with nothing of a store in it: the oldest `rusqlite` that this builds with, the one
//! beside which the SQLite of `sqlx` fits into a program, takes no other. So what it has to know is kept for the thread that
//! waits.

use std::cell::Cell;
use std::time::Duration;

use rusqlite::Connection;

thread_local! {
    /// How long this thread waits for one lock, and how long it has waited for this one.
    static LIMIT: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static WAITED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// From here on this thread waits at most so long, whatever store it works for.
pub(super) fn wait_at_most(limit: Duration) {
    LIMIT.set(limit);
}

/// Makes a connection wait as long as the thread that uses it may.
pub(super) fn wait_when_busy(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_handler(Some(wait))
}

/// Waits in short steps of random length, so that processes that write at the same time do not keep in step. False is the
/// end of the patience.
fn wait(times: i32) -> bool {
    if times == 0 {
        WAITED.set(Duration::ZERO);
    }
    let waited = WAITED.get();
    if waited >= LIMIT.get() {
        return false;
    }
    // Others hold the lock for one commit: about a millisecond. A long holder is asked less often.
    let longest = if times < 50 { 1_000.0 } else { 10_000.0 };
    let step = Duration::from_secs_f64((0.1 + 0.9 * fastrand::f64()) * longest * 1e-6);
    std::thread::park_timeout(step);
    WAITED.set(waited + step);
    true
}
