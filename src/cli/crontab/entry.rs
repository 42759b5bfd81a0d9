//! From a line to its [`CrontabEntry`].

use super::job::USER_HELP;
use super::scan::Piece;
use super::variables::{Variables, ZoneInForce};
use super::{Crontab, CrontabEntry, CrontabKind, percent};
use crate::cli::source::Mistake;
use crate::error::Error;
use crate::schedule::Schedule;
use crate::schedule::nearest::nearest;

const NICKNAMES: [&str; 8] = [
    "@reboot",
    "@yearly",
    "@annually",
    "@monthly",
    "@weekly",
    "@daily",
    "@midnight",
    "@hourly",
];
const TIME_FIELDS: usize = 5;

type Found<T> = std::result::Result<T, Box<Mistake>>;

/// Reads a line that is neither empty, a comment nor a variable. `None` is a good line that cannot be scheduled,
/// because a mistake above it hides its zone.
pub(super) fn read(
    crontab: &mut Crontab,
    line: Piece<'_>,
    number: usize,
    variables: &Variables,
) -> Found<Option<CrontabEntry>> {
    // A minus before the first field keeps some crons from writing to the system log.
    let quiet = line
        .text
        .strip_prefix('-')
        .is_some_and(|rest| rest.starts_with(|c: char| c == '*' || c == '@' || c.is_ascii_digit()));
    let (time, rest) = time_fields(crontab, line.from(usize::from(quiet)))?;
    let zone = match &variables.zone {
        ZoneInForce::Local(zone) | ZoneInForce::Given(zone) => Some(zone.as_str()),
        ZoneInForce::Unknown => None,
    };
    let schedule = Schedule::cron_in(time.text, zone.unwrap_or("UTC"))
        .map_err(|error| bad_time(crontab, time, &error))?;
    let (user, user_span, rest) = match &crontab.kind {
        CrontabKind::System => {
            let (user, rest) = user_column(crontab, rest)?;
            (Some(user.text.to_owned()), Some(user.span()), rest)
        }
        CrontabKind::Of(owner) => (Some(owner.clone()), None, rest),
        CrontabKind::Own => (None, None, rest),
    };
    let (command, stdin) = percent::split(rest.text);
    if command.trim().is_empty() {
        return Err(no_command(crontab, rest));
    }
    doubt(crontab, rest);
    let Some(zone) = zone else {
        return Ok(None);
    };
    Ok(Some(CrontabEntry {
        name: String::new(),
        line: number,
        schedule,
        schedule_text: words(time.text).collect::<Vec<_>>().join(" "),
        zone: zone.to_owned(),
        zone_given: matches!(variables.zone, ZoneInForce::Given(_)),
        user,
        command,
        stdin,
        env: variables.values.clone(),
        jitter: variables.jitter,
        source: crontab.source.clone(),
        span: line.span(),
        user_span,
        first_word: rest.word().0.span(),
    }))
}

/// The words between blanks; cron knows no other white space.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', '\t']).filter(|word| !word.is_empty())
}

/// The nickname or the five fields, and what follows.
fn time_fields<'a>(crontab: &Crontab, line: Piece<'a>) -> Found<(Piece<'a>, Piece<'a>)> {
    let source = &crontab.source;
    if line.text.starts_with('@') {
        let (name, rest) = line.word();
        if NICKNAMES
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name.text))
        {
            return Ok((name, rest));
        }
        let mistake = Mistake::error(
            source,
            name.span(),
            format!("there is no nickname {}", name.text),
        );
        let close = nearest(name.text, NICKNAMES.iter().copied(), 1);
        return Err(Box::new(match close.first() {
            Some(close) => mistake.help(format!("did you mean {close}?")),
            None if name.text.eq_ignore_ascii_case("@every") => mistake.help(
                "crontabs have no intervals: write */5 * * * *, or every = \"5m\" in a jobs file",
            ),
            None => mistake.help(format!("there are {}", NICKNAMES.join(", "))),
        }));
    }
    let mut rest = line;
    let mut end = line.at;
    for count in 0..TIME_FIELDS {
        let (field, further) = rest.word();
        if field.text.is_empty() {
            return Err(too_few(crontab, line, count));
        }
        if let Some((at, odd)) = field
            .text
            .char_indices()
            .find(|(_, c)| c.is_whitespace() || c.is_control())
        {
            let place = field.at + at;
            let what = format!(
                "the character U+{:04X} is no blank for cron",
                u32::from(odd)
            );
            return Err(Box::new(
                Mistake::error(source, place..place + odd.len_utf8(), what)
                    .help("put a space there"),
            ));
        }
        end = field.span().end;
        rest = further;
    }
    let text = line.text.get(..end - line.at).unwrap_or_default();
    Ok((Piece { at: line.at, text }, rest))
}

/// What is wrong with the time fields. When only the last is, and is a word, the command may begin there already.
fn bad_time(crontab: &Crontab, time: Piece<'_>, error: &Error) -> Box<Mistake> {
    let mistake = Mistake::of(error, &crontab.source, time.span(), true);
    let last = time.text.rfind([' ', '\t']).map_or(0, |blank| blank + 1);
    let (four, word) = time.text.split_at(last);
    let is_word = word.starts_with(|c: char| c.is_alphabetic() || "/.~$".contains(c));
    let weekdays = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    let like_weekday = weekdays.iter().any(|day| {
        let head = word.get(..day.len()).unwrap_or(word);
        !nearest(head, [*day].into_iter(), 1).is_empty()
    });
    if !is_word || like_weekday || Schedule::cron(&format!("{four}*")).is_err() {
        return Box::new(mistake);
    }
    let message = format!("\"{word}\" is no weekday: does the command begin here?");
    let place = time.at + last..time.span().end;
    Box::new(
        Mistake::error(&crontab.source, place, message)
            .help("five time fields stand before it: minute hour day month weekday"),
    )
}

fn too_few(crontab: &Crontab, line: Piece<'_>, count: usize) -> Box<Mistake> {
    let words = if count == 1 { "word" } else { "words" };
    let example = match crontab.kind {
        CrontabKind::System => "0 3 * * * root /usr/local/bin/backup",
        CrontabKind::Own | CrontabKind::Of(_) => "0 3 * * * /usr/local/bin/backup",
    };
    let message =
        format!("a line needs five time fields and a command; this one has {count} {words}");
    Box::new(
        Mistake::error(&crontab.source, line.span(), message)
            .help(format!("write it as {example}")),
    )
}

/// The user and what follows.
fn user_column<'a>(crontab: &Crontab, rest: Piece<'a>) -> Found<(Piece<'a>, Piece<'a>)> {
    let source = &crontab.source;
    let (user, command) = rest.word();
    if user.text.is_empty() {
        return Err(Box::new(
            Mistake::error(source, user.span(), "the user and the command are missing")
                .help("a line of a system crontab names the user before the command: 0 3 * * * root COMMAND"),
        ));
    }
    let plain = |c: char| c.is_alphanumeric() || "._-@+$\\".contains(c);
    if user.text.starts_with('-') || !user.text.chars().all(plain) {
        return Err(Box::new(
            Mistake::error(source, user.span(), format!("\"{}\" cannot be the name of a user", user.text))
                .help("a line of a system crontab names the user before the command: 0 3 * * * root COMMAND"),
        ));
    }
    if command.text.is_empty() {
        return Err(Box::new(
            Mistake::error(source, command.span(), format!("nothing follows the user \"{}\"", user.text))
                .help("a line of a system crontab names the user before the command: 0 3 * * * root COMMAND"),
        ));
    }
    Ok((user, command))
}

fn no_command(crontab: &Crontab, rest: Piece<'_>) -> Box<Mistake> {
    let what = if rest.text.contains('%') {
        "nothing stands before the %, which ends the command"
    } else {
        "the command is missing"
    };
    Box::new(
        Mistake::error(&crontab.source, rest.span(), what)
            .help("a command follows the time fields; write \\% for a per cent sign"),
    )
}

/// Warns of commands that are probably something else.
fn doubt(crontab: &mut Crontab, command: Piece<'_>) {
    let (first, _) = command.word();
    let source = &crontab.source;
    let warning = if first.text == "*" || first.text.starts_with("*/") {
        Mistake::warning(source, first.span(), "a sixth time field? cron has no seconds, so the command begins here")
            .help("write five fields; a jobs file has cron = \"*/10 * * * * *\" with seconds, and every = \"10s\"")
    } else if first.text == "root" && crontab.kind == CrontabKind::Own {
        Mistake::warning(source, first.span(), "\"root\" would be run as a command").help(USER_HELP)
    } else if command.text.ends_with('\\') {
        let end = command.span().end;
        Mistake::warning(
            source,
            end - 1..end,
            "cron does not join lines: the command ends with this backslash",
        )
        .help("write the command in one line, or put it into a script")
    } else {
        return;
    };
    crontab.mistakes.push(warning);
}
