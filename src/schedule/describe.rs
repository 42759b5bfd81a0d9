//! Schedules in English.

use super::Schedule;
use super::rule::Rule;
use super::words::{capital, period};

impl Schedule {
    /// The schedule in English: `At 03:00 on Monday to Friday`, `Every 5 minutes`. The zone is not part of it.
    #[must_use]
    pub fn describe(&self) -> String {
        capital(&self.0.english())
    }
}

impl Rule {
    fn english(&self) -> String {
        match self {
            Self::Every(every) => format!("every {}", period(*every, true)),
            Self::Cron(cron) => cron.english(),
            Self::At(instant) => format!("once, at {instant}"),
            Self::After(delay) => format!("once, {} after the start", period(*delay, false)),
            Self::Reboot => "once after each boot of the machine".to_owned(),
            Self::And(both) => format!(
                "{}, but only at times that are also: {}",
                both.0.english(),
                both.1.english()
            ),
            Self::Or(both) => format!("{}, and also: {}", both.0.english(), both.1.english()),
            Self::Except(both) => format!("{}, except: {}", both.0.english(), both.1.english()),
            Self::Between(window) => {
                let mut text = window.of.english();
                if let Some(start) = window.start {
                    text = format!("{text}, from {start}");
                }
                if let Some(end) = window.end {
                    text = format!("{text}, until {end}");
                }
                text
            }
        }
    }
}
