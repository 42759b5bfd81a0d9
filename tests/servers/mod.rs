//! Servers of a test's own: started on a free port with a temporary directory, killed when they are dropped.

#[cfg(any(feature = "postgres", feature = "redis"))]
pub(crate) mod certificates;
#[cfg(any(feature = "postgres", feature = "redis"))]
pub(crate) mod load;
#[cfg(feature = "postgres")]
pub(crate) mod pgbouncer;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "redis")]
pub(crate) mod redis;
#[cfg(feature = "redis")]
pub(crate) mod redis_cluster;
#[cfg(feature = "redis")]
pub(crate) mod told_sentinel;
