//! [`LocalZone`]: the zone of this machine, by name.

use std::fmt;
use std::path::Path;

use crate::error::{Error, Result};
use crate::schedule::find_zone;

/// The zone of this machine and what said so. Crontabs mean its times, so it is looked up once and then stated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalZone {
    name: String,
    origin: String,
}

impl LocalZone {
    /// A zone by its name.
    ///
    /// # Errors
    /// `Invalid` when there is no such zone, with the nearest names.
    pub fn new(name: &str, origin: impl Into<String>) -> Result<Self> {
        let name = find_zone(name)?;
        Ok(Self {
            name,
            origin: origin.into(),
        })
    }

    /// Looks it up as programs do: the variable `TZ`, then `/etc/localtime`, then `/etc/timezone`; UTC when none is there.
    ///
    /// # Errors
    /// `Invalid` when one of them gives something that is no name, such as `TZ=CET-1CEST`.
    pub fn of_this_machine() -> Result<Self> {
        let tz = std::env::var("TZ").ok();
        let link = std::fs::read_link("/etc/localtime").ok();
        let named = std::fs::read_to_string("/etc/timezone").ok();
        Self::from_parts(tz.as_deref(), link.as_deref(), named.as_deref())
    }

    /// The same from what was found: the value of `TZ`, the target of `/etc/localtime`, the text of `/etc/timezone`.
    ///
    /// # Errors
    /// As [`of_this_machine`](Self::of_this_machine).
    pub fn from_parts(tz: Option<&str>, link: Option<&Path>, named: Option<&str>) -> Result<Self> {
        if let Some(tz) = tz {
            let name = tz.strip_prefix(':').unwrap_or(tz);
            let name = zone_of_path(Path::new(name)).unwrap_or_else(|| name.to_owned());
            let name = if name.is_empty() {
                "UTC"
            } else {
                name.as_str()
            };
            return Self::new(name, "the variable TZ").map_err(|error| {
                Error::invalid(
                    "time zone",
                    format!("the variable TZ is \"{tz}\", which names no zone: {error}"),
                )
                .with_source(error)
            });
        }
        if let Some(name) = link.and_then(zone_of_path) {
            return Self::new(&name, "/etc/localtime");
        }
        let line = named.and_then(|text| {
            text.lines()
                .map(str::trim)
                .find(|line| !line.is_empty() && !line.starts_with('#'))
        });
        match line {
            Some(name) => Self::new(name, "/etc/timezone"),
            None => Self::new(
                "UTC",
                "neither TZ, /etc/localtime nor /etc/timezone name another",
            ),
        }
    }

    /// The name, such as `Europe/Berlin`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What said so, such as `/etc/localtime`.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

impl fmt::Display for LocalZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, this machine's zone ({})", self.name, self.origin)
    }
}

/// `Europe/Berlin` of `/usr/share/zoneinfo/Europe/Berlin`.
fn zone_of_path(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    let (_, name) = text.split_once("zoneinfo/")?;
    let name = name
        .strip_prefix("posix/")
        .or_else(|| name.strip_prefix("right/"))
        .unwrap_or(name);
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_names_a_zone_decides() {
        let berlin = Path::new("/usr/share/zoneinfo/Europe/Berlin");
        let relative = Path::new("../usr/share/zoneinfo/posix/Asia/Tokyo");
        let copy = Path::new("/etc/localtime.copy");
        for (tz, link, named, name) in [
            (
                Some("America/New_York"),
                Some(berlin),
                Some("UTC"),
                "America/New_York",
            ),
            (Some(":Europe/Paris"), Some(berlin), None, "Europe/Paris"),
            (
                Some(":/usr/share/zoneinfo/Europe/Paris"),
                None,
                None,
                "Europe/Paris",
            ),
            (Some(""), Some(berlin), None, "UTC"),
            (None, Some(berlin), Some("Etc/UTC\n"), "Europe/Berlin"),
            (None, Some(relative), None, "Asia/Tokyo"),
            (
                None,
                Some(copy),
                Some("# set\n\nEurope/Rome\n"),
                "Europe/Rome",
            ),
            (None, None, Some("\n"), "UTC"),
            (None, None, None, "UTC"),
        ] {
            let zone = LocalZone::from_parts(tz, link, named).unwrap();
            assert_eq!(zone.name(), name, "{tz:?} {link:?} {named:?}");
        }
    }

    #[test]
    fn a_rule_is_no_name() {
        let error = LocalZone::from_parts(Some("CET-1CEST"), None, None).unwrap_err();
        assert!(error.to_string().contains("TZ is \"CET-1CEST\""), "{error}");
    }
}
