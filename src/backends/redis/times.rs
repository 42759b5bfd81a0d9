//! Times as the scripts have them: 20 digits, in the order of the times.

use std::time::Duration;

use crate::task::Due;
use crate::timestamp::Timestamp;

/// What is added to the microseconds since 1970, so that all have as many digits and none a sign.
const BASE: i128 = 10_000_000_000_000_000_000;

pub(super) fn code(time: Timestamp) -> String {
    format!("{:020}", BASE + i128::from(time.as_micros()))
}

pub(super) fn time(code: &str) -> Option<Timestamp> {
    if code.len() != 20 {
        return None;
    }
    let micros = code.parse::<i128>().ok()? - BASE;
    Some(Timestamp::from_micros(i64::try_from(micros).ok()?))
}

/// Microseconds, as many as Lua counts exactly; what is longer is for ever.
pub(super) fn micros(duration: Duration) -> String {
    duration.as_micros().min(1 << 60).to_string()
}

pub(super) fn due(due: Due) -> String {
    match due {
        Due::Now => "n".to_owned(),
        Due::At(time) => format!("@{}", code(time)),
        Due::In(wait) => format!("+{}", micros(wait)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_order_and_come_back() {
        let times = [
            Timestamp::MIN,
            Timestamp::from_micros(-1),
            Timestamp::UNIX_EPOCH,
            Timestamp::from_micros(1),
            Timestamp::MAX,
        ];
        let codes = times.map(code);
        assert!(codes.is_sorted(), "{codes:?}");
        for (wanted, code) in times.into_iter().zip(&codes) {
            assert_eq!(time(code), Some(wanted));
        }
    }
}
