//! The `%` of crontab commands.

/// The command and what it reads: the first bare `%` ends the command, each further one is a line end, and `\%` is a
/// per cent sign. Other backslashes stay.
///
/// The input ends with a line end, as cron makes it.
pub(super) fn split(raw: &str) -> (String, Option<String>) {
    let (command, rest) = upto_percent(raw);
    let Some(mut rest) = rest else {
        return (command, None);
    };
    let mut input = String::new();
    loop {
        let (line, further) = upto_percent(rest);
        input.push_str(&line);
        match further {
            Some(further) => {
                input.push('\n');
                rest = further;
            }
            None => break,
        }
    }
    if !input.is_empty() && !input.ends_with('\n') {
        input.push('\n');
    }
    (command, Some(input))
}

/// The text before the first bare `%`, and what follows it.
fn upto_percent(text: &str) -> (String, Option<&str>) {
    let mut plain = String::with_capacity(text.len());
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if c == '%' && !escaped {
            return (plain, text.get(at + 1..));
        }
        if c == '%' {
            // The backslash before it goes.
            plain.pop();
        }
        escaped = c == '\\' && !escaped;
        plain.push(c);
    }
    (plain, None)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn percent_signs_as_cron_reads_them() {
        for (raw, command, stdin) in [
            ("echo hi", "echo hi", None),
            ("date +\\%d", "date +%d", None),
            (
                "mail -s x root%one%two",
                "mail -s x root",
                Some("one\ntwo\n"),
            ),
            ("cat%", "cat", Some("")),
            ("cat%%", "cat", Some("\n")),
            ("cat%a\\%b", "cat", Some("a%b\n")),
            ("cat%a\\b", "cat", Some("a\\b\n")),
            ("cat%ends with\\", "cat", Some("ends with\\\n")),
            ("sed 's/^\\s*x//'", "sed 's/^\\s*x//'", None),
            ("printf 'a\\\\b'", "printf 'a\\\\b'", None),
            // The first backslash hides the second, so the per cent sign is bare.
            ("x\\\\%y", "x\\\\", Some("y\n")),
            ("", "", None),
        ] {
            let (found, input) = split(raw);
            assert_eq!(
                (found.as_str(), input.as_deref()),
                (command, stdin),
                "{raw}"
            );
        }
    }
}
