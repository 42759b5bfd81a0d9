//! The fields of a record that the scripts took apart, an array. Scripts say `r@queue`; numbers take the place of the names
//! when the scripts are made.

/// The fields, in their order. The first is number 1 in Lua.
const FIELDS: [&str; 42] = [
    "id",
    "status",
    "name",
    "version",
    "queue",
    "priority",
    "run_at",
    "seq",
    "revision",
    "attempt",
    "fence",
    "leases",
    "lost",
    "forgiven",
    "cancel_requested",
    "woken",
    "expires_at",
    "created_at",
    "started_at",
    "finished_at",
    "worker",
    "until",
    "lease_token",
    "token",
    "gates",
    "holds",
    "parked",
    "parked_since",
    "opens_at",
    "unique",
    "scope",
    "unique_for",
    "unique_until",
    "prefer",
    "prefer_until",
    "words",
    "parent",
    "failed",
    "resulted",
    "runs",
    "tail",
    "big",
];

/// Puts numbers in for `@name`, and the number of fields for `@@`. What is no field stays as it is.
pub(super) fn numbered(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find('@') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('@') {
            out.push_str(&FIELDS.len().to_string());
            rest = after;
            continue;
        }
        let is_word = |c: char| c.is_ascii_lowercase() || c == '_';
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        match number(name) {
            Some(number) => {
                out.push_str(&format!("[{number}]"));
                rest = after;
            }
            None => out.push('@'),
        }
    }
    out.push_str(rest);
    out
}

fn number(name: &str) -> Option<usize> {
    FIELDS
        .iter()
        .position(|field| *field == name)
        .map(|i| i + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_fields_become_numbers_and_nothing_else_does() {
        assert_eq!(
            numbered("n@id = r@until .. '@' .. {@@} -- @unknown"),
            "n[1] = r[22] .. '@' .. {42} -- @unknown"
        );
    }
}
