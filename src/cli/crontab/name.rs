//! Names for the lines of a crontab, which have none.
//!
//! A name is made of the file and the command, never of the place of the line, so it is the same at every start and other
//! lines do not change it. Only when two lines have the same name, the lower one gets a suffix made of its own text.

use std::collections::HashSet;
use std::path::Path;

use super::{Crontab, CrontabEntry};
use crate::id::stable_hash;

/// The longest part of a name that is made of a command, without its suffix.
const LONGEST: usize = 40;

/// Names the entries of several crontabs so that no two are equal. Each crontab alone is named when it is read.
pub fn name_apart(crontabs: &mut [&mut Crontab]) {
    let mut taken = HashSet::new();
    for crontab in crontabs {
        let file = file_part(crontab.source.name());
        for entry in &mut crontab.entries {
            let plain = format!("{file}:{}", command_part(&entry.command));
            entry.name = if taken.contains(&plain) {
                with_suffix(&plain, entry, &taken)
            } else {
                plain
            };
            taken.insert(entry.name.clone());
        }
    }
}

/// A suffix of the line's own text, and a number for lines that are wholly alike.
fn with_suffix(plain: &str, entry: &CrontabEntry, taken: &HashSet<String>) -> String {
    let own = [
        entry.source.name(),
        &entry.schedule_text,
        &entry.zone,
        entry.user.as_deref().unwrap_or_default(),
        &entry.command,
        entry.stdin.as_deref().unwrap_or_default(),
    ]
    .join("\0");
    let marked = format!("{plain}-{}", short_hash(&own));
    let numbered = (2..).map(|number: u32| format!("{marked}-{number}"));
    std::iter::once(marked.clone())
        .chain(numbered)
        .find(|name| !taken.contains(name))
        .unwrap_or(marked)
}

fn short_hash(text: &str) -> String {
    let hash = stable_hash(text.as_bytes());
    // Both halves count: the low bits of FNV alone are weak for short texts.
    format!("{:05x}", (hash ^ hash >> 32) & 0xf_ffff)
}

/// The name of the file without what only says that it is a crontab.
fn file_part(path: &str) -> String {
    let path = Path::new(path);
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or("crontab");
    let stem = [".crontab", ".cron", ".txt"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .filter(|stem| !stem.is_empty())
        .unwrap_or(name);
    let slug = slug(stem);
    cut(if slug.is_empty() { "crontab" } else { &slug }, LONGEST).to_owned()
}

/// The program and its words, without guards such as `[ -x … ] &&`.
fn command_part(command: &str) -> String {
    let simple = simple_commands(command);
    let words = simple
        .iter()
        .find_map(|words| payload(words))
        .or_else(|| simple.last().map(Vec::as_slice))
        .unwrap_or_default();
    let slugs: Vec<String> = words
        .iter()
        .map(|word| slug(base_name(word)))
        .filter(|word| !word.is_empty())
        .collect();
    let whole = slugs.join("-");
    if whole.is_empty() {
        return short_hash(command);
    }
    let short = cut(&whole, LONGEST);
    if short.len() == whole.len() {
        whole
    } else {
        format!("{short}-{}", short_hash(command))
    }
}

/// The first bytes of a text of ASCII, ending at a whole word if possible.
fn cut(text: &str, longest: usize) -> &str {
    if text.len() <= longest {
        return text;
    }
    let head = text.get(..longest).unwrap_or(text);
    let end = head
        .rfind('-')
        .filter(|end| *end > longest / 2)
        .unwrap_or(longest);
    head.get(..end).unwrap_or(head)
}

fn base_name(word: &str) -> &str {
    let word = word.trim_end_matches('/');
    word.rsplit('/').next().unwrap_or(word)
}

/// Letters, digits, dots and underscores; everything else becomes one `-`.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || c == '.' || c == '_' {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_matches(['-', '.']).to_owned()
}

/// The words of a simple command from its program on; `None` when it only prepares or guards.
fn payload(words: &[String]) -> Option<&[String]> {
    const KEYWORDS: [&str; 14] = [
        "if", "then", "else", "elif", "fi", "while", "until", "do", "done", "!", "{", "}", "esac",
        "time",
    ];
    const GUARDS: [&str; 20] = [
        "[", "[[", "test", "command", "which", "type", "hash", "cd", ".", "source", "true",
        "false", ":", "sleep", "export", "set", "umask", "ulimit", "for", "case",
    ];
    const WRAPPERS: [&str; 14] = [
        "nice", "ionice", "chronic", "nohup", "exec", "eval", "sudo", "timeout", "setsid", "env",
        "flock", "chrt", "stdbuf", "run-one",
    ];
    let mut rest = words;
    loop {
        let first = rest.first()?;
        let name = base_name(first);
        let sleeps = rest
            .iter()
            .skip(1)
            .any(|word| word.trim_start().starts_with("sleep"));
        if KEYWORDS.contains(&first.as_str()) || is_assignment(first) {
            rest = rest.get(1..)?;
        } else if GUARDS.contains(&name)
            || (sleeps && ["perl", "python", "python3", "bash", "sh"].contains(&name))
        {
            return None;
        } else if WRAPPERS.contains(&name) {
            // The wrapper's own options, numbers and lock file.
            let is_own = |word: &str| {
                word.starts_with('-')
                    || word.starts_with(|c: char| c.is_ascii_digit())
                    || is_assignment(word)
            };
            let lock = usize::from(name == "flock");
            let own = rest.iter().skip(1).take_while(|word| is_own(word)).count();
            rest = rest.get(1 + own + lock..).filter(|rest| !rest.is_empty())?;
        } else {
            return Some(rest);
        }
    }
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// The simple commands of a shell line, as words without quotes and redirections. Not a shell: good enough for a name.
fn simple_commands(command: &str) -> Vec<Vec<String>> {
    let mut commands: Vec<Vec<String>> = vec![Vec::new()];
    let mut word = String::new();
    let mut quote: Option<char> = None;
    let mut depth = 0_usize;
    let mut previous = ' ';
    let mut skip_target = false;
    let end_word = |word: &mut String, commands: &mut Vec<Vec<String>>, skip: &mut bool| {
        if word.is_empty() {
            return;
        }
        let word = std::mem::take(word);
        if std::mem::take(skip) {
            return;
        }
        if let Some(last) = commands.last_mut() {
            last.push(word);
        }
    };
    for c in command.chars() {
        if let Some(open) = quote {
            if c == open {
                quote = None;
            } else {
                word.push(c);
            }
        } else if depth > 0 {
            depth = match c {
                '(' => depth + 1,
                ')' => depth - 1,
                _ => depth,
            };
            word.push(c);
        } else {
            match c {
                '\'' | '"' => quote = Some(c),
                '(' if previous == '$' => {
                    depth = 1;
                    word.push(c);
                }
                ' ' | '\t' => end_word(&mut word, &mut commands, &mut skip_target),
                '>' | '<' => {
                    if word.chars().all(|c| c.is_ascii_digit()) {
                        word.clear();
                    }
                    end_word(&mut word, &mut commands, &mut skip_target);
                    skip_target = true;
                }
                '&' if previous == '>' => {}
                ';' | '&' | '|' | '(' | ')' | '\n' => {
                    end_word(&mut word, &mut commands, &mut skip_target);
                    skip_target = false;
                    commands.push(Vec::new());
                }
                c => word.push(c),
            }
        }
        previous = c;
    }
    end_word(&mut word, &mut commands, &mut skip_target);
    commands.retain(|words| !words.is_empty());
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_named_after_what_they_do() {
        for (command, name) in [
            ("/usr/local/bin/backup", "backup"),
            (
                "command -v debian-sa1 > /dev/null && debian-sa1 1 1",
                "debian-sa1-1-1",
            ),
            (
                "command -v debian-sa1 > /dev/null && debian-sa1 60 2",
                "debian-sa1-60-2",
            ),
            (
                "cd / && run-parts --report /etc/cron.hourly",
                "run-parts-report-cron.hourly",
            ),
            (
                "test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }",
                "run-parts-report-cron.daily",
            ),
            (
                "[ -x /usr/lib/php/sessionclean ] && if [ ! -d /run/systemd/system ]; then /usr/lib/php/sessionclean; fi",
                "sessionclean",
            ),
            (
                "test -x /usr/bin/certbot && perl -e 'sleep int(rand(43200))' && certbot -q renew",
                "certbot-q-renew",
            ),
            (
                "if [ -x /usr/sbin/logcheck ]; then nice -n10 /usr/sbin/logcheck -R; fi",
                "logcheck-R",
            ),
            (
                "[ -f /usr/bin/x ] && flock -n /var/run/y.lock /usr/share/manage.py runjobs daily",
                "manage.py-runjobs-daily",
            ),
            (
                "test -e /run/systemd/system || SERVICE_MODE=1 /sbin/e2scrub_all -A -r",
                "e2scrub_all-A-r",
            ),
            (
                "htmldir=$({ cat a b; } | sed s/x/y/); find \"$htmldir/\" -delete",
                "find-htmldir-delete",
            ),
            (
                "php /usr/share/cacti/site/poller.php 2>&1 >/dev/null | tee x",
                "php-poller.php",
            ),
            ("/usr/share/atop/atop.daily&", "atop.daily"),
            ("sleep 5", "sleep-5"),
        ] {
            assert_eq!(command_part(command), name, "{command}");
        }
    }

    #[test]
    fn long_commands_are_cut_and_told_apart() {
        let long = |end: &str| {
            command_part(&format!(
                "/usr/bin/find /var/lib/something -type f -name '*.html' -mtime +30 {end}"
            ))
        };
        assert!(long("-delete").len() <= LONGEST + 6);
        assert_ne!(long("-delete"), long("-print"));
        assert!(long("-delete").starts_with("find-something-type-f-name-html"));
    }

    #[test]
    fn a_command_without_letters_still_has_a_name() {
        assert_eq!(command_part("«»").len(), 5);
        assert_eq!(file_part("/tmp/.cron"), "cron");
        assert_eq!(file_part("ops.cron"), "ops");
    }
}
