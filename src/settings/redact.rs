//! Keeps secrets out of everything that is printed. When in doubt it hides too much.

use crate::schedule::nearest::nearest;

const HIDDEN: &str = "***";

const SECRET_WORDS: [&str; 13] = [
    "pass",
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "credential",
    "api_key",
    "apikey",
    "access_key",
    "private_key",
    "secret_key",
];

/// Whether a part of a key says that its value is a secret, such as `sslpassword` or `auth_tokens`.
pub(super) fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| key.contains(word))
}

/// Whether a key may be meant as one that names a secret.
pub(super) fn resembles_secret_key(key: &str) -> bool {
    is_secret_key(key) || !nearest(key, SECRET_WORDS.into_iter(), 1).is_empty()
}

/// The text with the passwords of URLs and of `password=…` pairs replaced by `***`.
pub(super) fn redact(text: &str) -> String {
    hide_pairs(&hide_url_password(text))
}

/// `scheme://user:password@host` becomes `scheme://user:***@host`. The password ends at the last `@`, because people
/// forget to encode the `@`, `/` and `#` in it.
fn hide_url_password(text: &str) -> String {
    let Some(start) = text.find("://").map(|at| at + 3) else {
        return text.to_owned();
    };
    let (scheme, rest) = text.split_at(start);
    match (rest.find(':'), rest.rfind('@')) {
        (Some(colon), Some(at)) if colon < at => {
            format!("{scheme}{}:{HIDDEN}{}", &rest[..colon], &rest[at..])
        }
        _ => text.to_owned(),
    }
}

/// `host=x password=y` and `?token=y&z` with their secret values hidden.
fn hide_pairs(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(equals) = rest.find('=') {
        let (before, after) = rest.split_at(equals + 1);
        shown.push_str(before);
        let key_start = before
            .trim_end_matches(['=', ' '])
            .char_indices()
            .rfind(|(_, c)| !(c.is_alphanumeric() || matches!(c, '_' | '-')))
            .map_or(0, |(at, c)| at + c.len_utf8());
        if is_secret_key(&before[key_start..]) {
            let value = after.trim_start();
            let end = match value.chars().next() {
                Some(quote @ ('\'' | '"')) => value[1..].find(quote).map(|at| at + 2),
                _ => value.find(|c: char| c.is_whitespace() || matches!(c, '&' | ';' | ',' | '}')),
            };
            shown.push_str(HIDDEN);
            rest = &value[end.unwrap_or(value.len())..];
        } else {
            rest = after;
        }
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hidden_wherever_they_stand() {
        for (text, shown) in [
            ("memory", "memory"),
            ("sqlite:tlo.db", "sqlite:tlo.db"),
            ("redis://localhost:6379/0", "redis://localhost:6379/0"),
            ("redis://:canary@h:6379", "redis://:***@h:6379"),
            ("postgres://me:canary@h/db", "postgres://me:***@h/db"),
            ("postgres://me:can@ary/c#a@h/db", "postgres://me:***@h/db"),
            ("postgres://me@h/db", "postgres://me@h/db"),
            (
                "postgres://h/db?user=me&password=canary&x=1",
                "postgres://h/db?user=me&password=***&x=1",
            ),
            (
                "postgres:host=h password = 'canary two' user=me",
                "postgres:host=h password =*** user=me",
            ),
            ("h?sslpassword=canary", "h?sslpassword=***"),
            ("x=1&auth_token=canary", "x=1&auth_token=***"),
            ("password='canary", "password=***"),
            (
                "\u{1680}=\u{1680}password=canary",
                "\u{1680}=\u{1680}password=***",
            ),
            ("größe=1 password=cänary ü", "größe=1 password=*** ü"),
        ] {
            assert_eq!(redact(text), shown);
        }
    }

    #[test]
    fn keys_that_name_secrets_are_known() {
        for key in ["password", "AUTH_TOKEN", "client_secret", "credentials"] {
            assert!(is_secret_key(key), "{key}");
        }
        for key in ["host", "durability", "key_prefix"] {
            assert!(!resembles_secret_key(key), "{key}");
        }
        for key in ["pasword", "TOKNE", "sercet", "password"] {
            assert!(resembles_secret_key(key), "{key}");
        }
    }
}
