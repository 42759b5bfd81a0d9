//! Servers of a test's own: started on a free port with a temporary directory, killed when they are dropped.

pub(crate) mod redis;
