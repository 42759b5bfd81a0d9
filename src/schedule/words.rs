//! English lists and numbers.

use std::time::Duration;

/// `a`, `a and b`, `a, b and c`.
pub(super) fn list(items: &[String], last: &str) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [most @ .., end] => format!("{} {last} {end}", most.join(", ")),
    }
}

/// `1st`, `2nd`, `3rd`, `11th`.
pub(super) fn ordinal(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// `5 minutes`, `1 hour and 30 minutes`; a single unit is named alone when `bare` (`hour`, for "every hour").
pub(super) fn period(duration: Duration, bare: bool) -> String {
    let seconds = duration.as_secs();
    let micros = u64::from(duration.subsec_micros());
    let parts: Vec<(u64, &str)> = [
        (seconds / 86_400, "day"),
        (seconds / 3_600 % 24, "hour"),
        (seconds / 60 % 60, "minute"),
        (seconds % 60, "second"),
        (micros / 1_000, "millisecond"),
        (micros % 1_000, "microsecond"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .collect();
    if let ([(1, unit)], true) = (parts.as_slice(), bare) {
        return (*unit).to_owned();
    }
    let words: Vec<String> = parts
        .iter()
        .map(|(count, unit)| format!("{count} {unit}{}", if *count == 1 { "" } else { "s" }))
        .collect();
    if words.is_empty() {
        return "0 seconds".to_owned();
    }
    list(&words, "and")
}

/// A text that begins a sentence.
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().collect::<String>() + letters.as_str()
    })
}
