//! Error groups: one name for errors that differ only in their numbers and ids.

const GROUP_LIMIT: usize = 120;

/// The first line of an error with numbers, quoted parts and ids replaced, so that a thousand failures of one cause
/// have one name.
///
/// ```
/// assert_eq!(tlo::error_group("row 17 of \"users\" is locked\nat …"), "row # of \"…\" is locked");
/// assert_eq!(tlo::error_group("no host 3fa85f64-5717-4562-b3fc-2c963f66afa6"), "no host #");
/// ```
#[must_use]
pub fn error_group(error: &str) -> String {
    let line = error
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("no message");
    let mut group = String::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        if group.len() >= GROUP_LIMIT {
            break;
        }
        if (first == '"' || first == '\'' || first == '`')
            && let Some(end) = rest[1..].find(first)
        {
            group.push(first);
            group.push('…');
            group.push(first);
            rest = &rest[end + 2..];
            continue;
        }
        let word = rest
            .find(|c: char| !c.is_alphanumeric() && c != '-' && c != '_')
            .unwrap_or(rest.len());
        if word == 0 {
            group.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            group.push_str(&without_numbers(&rest[..word]));
            rest = &rest[word..];
        }
    }
    group
}

/// A word that is an id becomes `#`; digits inside another word become `#` each run.
fn without_numbers(word: &str) -> String {
    let digits = word.chars().filter(char::is_ascii_digit).count();
    let hex = word
        .chars()
        .all(|c| c.is_ascii_hexdigit() || c == '-' || c == '_');
    if digits > 0 && (hex || digits * 2 >= word.chars().count()) {
        return "#".to_owned();
    }
    let mut text = String::new();
    for c in word.chars() {
        if !c.is_ascii_digit() {
            text.push(c);
        } else if !text.ends_with('#') {
            text.push('#');
        }
    }
    text
}
