//! [`TraceParent`]: the W3C trace context that a task carries in its headers.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};
use std::str::FromStr;

use crate::error::{Error, Result};

/// The header of a task that holds its [`TraceParent`].
pub const TRACEPARENT: &str = "traceparent";

/// The header of a task that holds what vendors add to it.
pub const TRACESTATE: &str = "tracestate";

/// Which trace a task belongs to, as [W3C Trace Context](https://www.w3.org/TR/trace-context/) writes it in the header
/// `traceparent`.
///
/// ```
/// use tlo::task::TraceParent;
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let parent: TraceParent = text.parse()?;
/// assert_eq!(parent.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
/// assert_eq!(parent.to_string(), text);
/// assert!("00-00000000000000000000000000000000-00f067aa0ba902b7-01".parse::<TraceParent>().is_err());
/// # tlo::Result::<()>::Ok(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace: NonZeroU128,
    span: NonZeroU64,
    flags: u8,
}

impl TraceParent {
    /// The trace, as 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }

    /// The span that the task was submitted in, as 16 hexadecimal digits.
    #[must_use]
    pub fn span_id(&self) -> String {
        format!("{:016x}", self.span)
    }

    /// Whether who began the trace recorded it.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }

    /// Reads a header; one that is not valid counts as none, as the standard asks, and is told in a debug line.
    pub(crate) fn read(header: &str) -> Option<Self> {
        header
            .parse()
            .inspect_err(|error| tracing::debug!(%error, "a traceparent is ignored"))
            .ok()
    }
}

/// The number of so many lower-case hexadecimal digits.
fn digits(text: &str, count: usize) -> Option<u128> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_good = text.len() == count && text.bytes().all(is_digit);
    is_good
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten()
}

impl FromStr for TraceParent {
    type Err = Error;

    /// Reads version 00 strictly; of a later one what version 00 knows.
    fn from_str(text: &str) -> Result<Self> {
        let parsed = || {
            let mut parts = text.splitn(5, '-');
            let version = digits(parts.next()?, 2)?;
            let trace = NonZeroU128::new(digits(parts.next()?, 32)?)?;
            let span = u64::try_from(digits(parts.next()?, 16)?).ok()?;
            let flags = u8::try_from(digits(parts.next()?, 2)?).ok()?;
            let is_known = match version {
                0 => parts.next().is_none(),
                0xff => false,
                _ => true,
            };
            is_known.then_some(Self {
                trace,
                span: NonZeroU64::new(span)?,
                flags,
            })
        };
        parsed().ok_or_else(|| {
            let start: String = text.chars().take(64).collect();
            Error::invalid(
                "traceparent",
                format!(
                    "{start:?} is no traceparent; one looks like 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
                ),
            )
        })
    }
}

impl fmt::Display for TraceParent {
    /// As version 00, with the flags that it knows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace, span, flags } = self;
        write!(f, "00-{trace:032x}-{span:016x}-{flags:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn only_what_the_standard_allows_is_read() {
        let parent: TraceParent = GOOD.parse().unwrap();
        assert!(parent.is_sampled());
        assert_eq!(parent.span_id(), "00f067aa0ba902b7");
        let later = format!("cc{}-what-comes", &GOOD[2..]);
        assert_eq!(later.parse::<TraceParent>().unwrap(), parent);
        for bad in [
            "",
            "00",
            &GOOD[..54],
            &format!("{GOOD}-more"),
            &format!("{GOOD}0"),
            &format!("ff{}", &GOOD[2..]),
            &GOOD.to_uppercase(),
            &GOOD.replace("4bf92f", "4bf92g"),
            &GOOD.replace("4bf92f", "+bf92f"),
            &GOOD.replace('-', "_"),
            &format!(" {GOOD}"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-é4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert!(bad.parse::<TraceParent>().is_err(), "{bad}");
        }
    }
}
