//! Instants as people write them: with an offset, or on the clocks of a zone.

use jiff::civil::DateTime;
use jiff::tz::AmbiguousOffset;

use super::zone::Zone;
use crate::error::{Error, Result};
use crate::timestamp::Timestamp;

/// Reads `2026-11-20T10:00:00Z`, `2026-11-20T11:00:00+01:00` and, when a zone is given, `2026-11-20 10:00` or
/// `2026-11-20` on its clocks.
///
/// When clocks change, such a time is treated as a literal time of cron: a missing one is the first instant after the gap,
/// of one that comes twice it is the first.
///
/// ```
/// use tlo::schedule::parse_instant;
/// let missing = parse_instant("2027-03-28 02:30", Some("Europe/Berlin"))?;
/// assert_eq!(missing, "2027-03-28T03:00:00+02:00".parse()?);
/// assert!(parse_instant("2027-03-28 02:30", None).is_err());
/// # Ok::<(), tlo::Error>(())
/// ```
///
/// # Errors
/// `Invalid`, quoting the text, for what is no instant and for an unknown zone.
pub fn parse_instant(text: &str, zone: Option<&str>) -> Result<Timestamp> {
    let text = text.trim();
    let instant = text.parse::<Timestamp>();
    let (Err(_), Ok(wall)) = (&instant, text.parse::<DateTime>()) else {
        return instant;
    };
    let Some(zone) = zone else {
        return Err(Error::invalid(
            "instant",
            format!("\"{text}\" has no offset; write it as {wall}Z, or name a zone"),
        ));
    };
    first_instant(wall, &Zone::find(zone)?).map_err(|source| {
        Error::invalid("instant", format!("\"{text}\" is no time of {zone}")).with_source(source)
    })
}

fn first_instant(wall: DateTime, zone: &Zone) -> std::result::Result<Timestamp, jiff::Error> {
    let zone = zone.time_zone();
    let found = zone.to_ambiguous_timestamp(wall);
    let AmbiguousOffset::Gap { after, .. } = found.offset() else {
        return found.compatible().map(Timestamp::from_jiff);
    };
    // Taken with the later offset, a missing time lies before the change.
    let before_change = after.to_timestamp(wall)?;
    match zone.following(before_change).next() {
        Some(change) => Ok(Timestamp::from_jiff(change.timestamp())),
        None => found.compatible().map(Timestamp::from_jiff),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_change_give_the_first_instant() {
        for (text, zone, instant) in [
            ("2027-03-28 02:30", "Europe/Berlin", "2027-03-28T01:00:00Z"),
            (
                "2027-03-28T02:00:00",
                "Europe/Berlin",
                "2027-03-28T01:00:00Z",
            ),
            (
                "2027-03-28T03:00:00",
                "Europe/Berlin",
                "2027-03-28T01:00:00Z",
            ),
            (
                "2027-10-31T02:30:00",
                "Europe/Berlin",
                "2027-10-31T00:30:00Z",
            ),
            (
                "2027-10-03T02:15:00",
                "Australia/Lord_Howe",
                "2027-10-02T15:30:00Z",
            ),
            ("2018-11-04", "America/Sao_Paulo", "2018-11-04T03:00:00Z"),
            // Samoa left this day out.
            ("2011-12-30 12:00", "Pacific/Apia", "2011-12-30T10:00:00Z"),
            ("2027-01-01", "UTC", "2027-01-01T00:00:00Z"),
            (
                "2027-01-01T12:00:00+09:00",
                "Europe/Berlin",
                "2027-01-01T03:00:00Z",
            ),
        ] {
            let found = parse_instant(text, Some(zone)).unwrap();
            assert_eq!(found.to_string(), instant, "{text} in {zone}");
        }
    }

    #[test]
    fn what_is_no_instant_is_told_with_the_way_out() {
        for (text, zone, way_out) in [
            ("2027-01-01", None, "write it as 2027-01-01T00:00:00Z"),
            ("tomorrow", Some("UTC"), "write it as 2026-11-20T10:00:00Z"),
            ("2027-02-30T00:00:00Z", None, "\"2027-02-30T00:00:00Z\""),
            ("2027-01-01", Some("Europe/Berln"), "Europe/Berlin"),
        ] {
            let error = parse_instant(text, zone).unwrap_err().to_string();
            assert!(error.contains(way_out), "{error}");
        }
    }
}
