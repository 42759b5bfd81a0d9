//! [`Zone`]: a named time zone, found once and kept.

use jiff::tz::TimeZone;

use super::nearest::nearest;
use crate::error::{Error, Result};

/// A time zone of the IANA database (the system's, or the bundled one).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Zone(TimeZone);

impl Zone {
    pub(super) const UTC: Self = Self(TimeZone::UTC);

    /// The zone of this name, in any case of letters.
    ///
    /// # Errors
    /// `Invalid`, with the nearest names.
    pub(super) fn find(name: &str) -> Result<Self> {
        let name = name.trim();
        if name.eq_ignore_ascii_case("utc") || name.eq_ignore_ascii_case("z") {
            return Ok(Self::UTC);
        }
        match TimeZone::get(name) {
            Ok(zone) if zone.iana_name().is_some() => Ok(Self(zone)),
            _ => Err(unknown(name)),
        }
    }

    pub(super) fn name(&self) -> &str {
        // `find` admits only zones that have a name.
        self.0.iana_name().unwrap_or("UTC")
    }

    pub(super) fn time_zone(&self) -> &TimeZone {
        &self.0
    }
}

/// The name of a time zone in the spelling of the database, whatever the case of its letters.
///
/// # Errors
/// `Invalid`, with the nearest names.
pub fn find_zone(name: &str) -> Result<String> {
    Zone::find(name).map(|zone| zone.name().to_owned())
}

fn unknown(name: &str) -> Error {
    let known: Vec<String> = jiff::tz::db()
        .available()
        .map(|zone| zone.as_str().to_owned())
        .collect();
    if known.is_empty() {
        return Error::invalid(
            "time zone",
            format!(
                "the time zone \"{name}\" cannot be looked up: this machine has no time zone database (install tzdata)"
            ),
        );
    }
    let close = nearest_zones(name, &known);
    let hint = if close.is_empty() {
        "use a name such as Europe/Berlin or UTC".to_owned()
    } else {
        format!("did you mean {}?", close.join(" or "))
    };
    Error::invalid(
        "time zone",
        format!("there is no time zone \"{name}\"; {hint}"),
    )
}

/// A city alone (`berlin`) finds its full name; otherwise the names with the fewest differing letters.
fn nearest_zones(name: &str, known: &[String]) -> Vec<String> {
    let wanted = name.to_ascii_lowercase().replace(' ', "_");
    let cities: Vec<String> = known
        .iter()
        .filter(|zone| {
            zone.rsplit('/')
                .next()
                .is_some_and(|city| city.eq_ignore_ascii_case(&wanted))
        })
        .take(3)
        .cloned()
        .collect();
    if !cities.is_empty() {
        return cities;
    }
    nearest(name, known.iter().map(String::as_str), 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_name_is_answered_with_the_nearest() {
        for (wrong, right) in [
            ("Europe/Berln", "Europe/Berlin"),
            ("berlin", "Europe/Berlin"),
            ("new york", "America/New_York"),
            ("America/NewYork", "America/New_York"),
        ] {
            let error = Zone::find(wrong).unwrap_err().to_string();
            assert!(
                error.contains(wrong) && error.contains(right),
                "{wrong}: {error}"
            );
        }
    }

    #[test]
    fn names_are_found_in_any_case_and_kept_in_theirs() {
        assert_eq!(Zone::find("europe/berlin").unwrap().name(), "Europe/Berlin");
        assert_eq!(Zone::find("utc").unwrap().name(), "UTC");
        assert_eq!(Zone::find("UTC").unwrap(), Zone::UTC);
    }
}
