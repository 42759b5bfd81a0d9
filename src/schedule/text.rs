//! What a person types for a schedule.

use super::zone::Zone;
use super::{Schedule, parse_duration, parse_instant};
use crate::error::{Error, Result};

impl Schedule {
    /// Reads what a person types: `every 5m`, `@every 5m`, `every hour`, `after 10m`, `@daily`, `*/5 * * * *`,
    /// `quartz 0 0 12 ? * MON-FRI`, `2026-11-20T10:00:00Z`, and, when a zone is given, `2026-11-20 10:00`.
    ///
    /// `zone` is the zone of the clocks; `None` is UTC for cron.
    ///
    /// # Errors
    /// `Invalid`, quoting the text, for what is none of these or wrong in itself, and for an unknown zone.
    pub fn parse(text: &str, zone: Option<&str>) -> Result<Self> {
        let clocks = zone.map_or(Ok(Zone::UTC), Zone::find)?;
        let trimmed = text.trim();
        if trimmed.starts_with('@') {
            return Self::from_cron_text(trimmed, clocks);
        }
        if let Some(period) = after_word(trimmed, "every") {
            return Self::every(period_of(period)?);
        }
        if let Some(delay) = after_word(trimmed, "after").or_else(|| after_word(trimmed, "in")) {
            return parse_duration(delay).map(Self::after);
        }
        if let Some(expression) = after_word(trimmed, "quartz") {
            return Self::quartz(expression, clocks.name());
        }
        let instant = after_word(trimmed, "at").unwrap_or(trimmed);
        if looks_like_a_date(instant) {
            return parse_instant(instant, zone).map(Self::at);
        }
        if trimmed.split_whitespace().count() < 3 && !trimmed.contains('*') {
            return Err(Error::invalid(
                "schedule",
                format!(
                    "\"{text}\" is not a schedule; write it as every 5m, @daily, 0 3 * * *, or 2026-11-20T10:00:00Z"
                ),
            ));
        }
        Self::from_cron_text(text, clocks)
    }
}

/// The rest of a text that begins with this word, in any case of letters.
pub(super) fn after_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let head = text.get(..word.len())?;
    let rest = text.get(word.len()..)?;
    (head.eq_ignore_ascii_case(word) && rest.starts_with(char::is_whitespace)).then(|| rest.trim())
}

/// A period: `5m`, or a unit alone (`hour`).
fn period_of(text: &str) -> Result<std::time::Duration> {
    const UNITS: [&str; 7] = ["second", "minute", "hour", "day", "week", "month", "year"];
    if UNITS.iter().any(|unit| unit.eq_ignore_ascii_case(text)) {
        return parse_duration(&format!("1{text}"));
    }
    parse_duration(text)
}

/// Whether a text begins like `2026-11-20`.
fn looks_like_a_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 10
        && bytes[..4].iter().all(u8::is_ascii_digit)
        && bytes[4] == b'-'
        && bytes[7] == b'-'
}
