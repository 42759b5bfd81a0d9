//! What a server or the way to it says, as errors of TLO.

use redis::{ErrorKind as Kind, RedisError, ServerErrorKind};

use crate::error::{Error, ErrorKind};

/// The error of a call.
pub(super) fn fault(operation: &'static str, source: RedisError) -> Error {
    let (kind, message) = describe(&source);
    Error::new(kind, operation, message).with_source(source)
}

fn describe(source: &RedisError) -> (ErrorKind, String) {
    use ErrorKind::{Configuration, Internal, Timeout, Unavailable, Unsupported};
    if source.is_timeout() {
        return (
            Timeout,
            "the Redis server did not answer in time; whether this was written is not known"
                .to_owned(),
        );
    }
    if let Some(code) = source.code() {
        let detail = source.detail().unwrap_or_default();
        return match code {
            "OOM" => (
                Unavailable,
                "the Redis server is out of memory (maxmemory); nothing of this was written"
                    .to_owned(),
            ),
            "LOADING" => (Unavailable, "the Redis server is still loading its data".to_owned()),
            "READONLY" => (
                Unavailable,
                "this Redis server is a replica; nothing of this was written".to_owned(),
            ),
            "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "NOREPLICAS" | "BUSY" | "MISCONF" => {
                (Unavailable, format!("the Redis server refuses to write now: {code} {detail}"))
            }
            "MOVED" | "ASK" => (
                Unsupported,
                "this server is one node of a Redis Cluster and does not have the slot of this namespace; add ?cluster=true to the URL"
                    .to_owned(),
            ),
            "NOAUTH" | "WRONGPASS" => (
                Configuration,
                format!("the Redis server refuses the user or the password: {detail}"),
            ),
            "NOPERM" => (
                Configuration,
                format!("the user may not do this on the Redis server: {detail}"),
            ),
            _ => (Internal, format!("the Redis server answered {code} {detail}")),
        };
    }
    match source.kind() {
        Kind::AuthenticationFailed => (
            Configuration,
            "the Redis server refuses the user or the password".to_owned(),
        ),
        Kind::InvalidClientConfig => (Configuration, format!("the address cannot be used: {source}")),
        Kind::Server(ServerErrorKind::NoPerm) => (
            Configuration,
            format!("the user may not do this on the Redis server: {source}"),
        ),
        // It does not pass by waiting.
        _ if source.to_string().contains("peer certificate") => (
            Configuration,
            format!("the certificate of the Redis server cannot be trusted ({source}); name the file of who signed it in tls_ca"),
        ),
        _ if source.is_io_error() || source.is_connection_dropped() || source.is_connection_refusal() => (
            Unavailable,
            "the Redis server cannot be reached, or the connection broke: whether a write was made is then not known"
                .to_owned(),
        ),
        _ => (Internal, format!("the Redis server was not understood: {source}")),
    }
}

/// Whether a new connection is needed after this.
pub(super) fn spoils(source: &RedisError) -> bool {
    breaks(source)
        || source.is_timeout()
        || source.is_unrecoverable_error()
        || matches!(
            source.code(),
            Some("READONLY" | "LOADING" | "MASTERDOWN" | "MOVED" | "CLUSTERDOWN")
        )
}

/// Whether the connection broke, before or after the server did something. One that broke while nobody used it is often
/// noticed by the next call only.
pub(super) fn breaks(source: &RedisError) -> bool {
    !source.is_timeout() && (source.is_io_error() || source.is_connection_dropped())
}

/// Whether the server did nothing for a reason that passes, so that the same may be sent again. While a slot moves to
/// another node of a cluster, neither of the two has all keys of it: everything waits for its end.
pub(super) fn passes(source: &RedisError, moves: bool) -> bool {
    match source.code() {
        Some("READONLY" | "LOADING" | "MASTERDOWN") => true,
        Some("MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN") => moves,
        _ => false,
    }
}

/// An answer of another shape than the scripts give.
pub(super) fn unexpected(operation: &'static str) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        operation,
        "the Redis server answered with something that the scripts of this build do not give",
    )
}

/// The same error for one more caller.
pub(super) fn again(error: &Error) -> Error {
    Error::new(
        error.kind(),
        error.operation().to_owned(),
        error.to_string(),
    )
    .retryable(error.is_retryable())
}
