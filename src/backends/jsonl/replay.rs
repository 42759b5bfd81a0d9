//! Reading the log: whole groups, a torn end, damage before it.

use std::io::{self, BufRead};

use super::lines::{self, Change, Kind, Line};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    /// The end of the last whole group, in bytes.
    pub(super) end: u64,
    /// The number of the last group.
    pub(super) number: u64,
    /// Whole groups.
    pub(super) groups: u64,
    /// What stands after the last whole group.
    pub(super) rest: Option<Rest>,
}

/// Bytes that are no whole group.
#[derive(Debug)]
pub(super) struct Rest {
    /// The first line that is not as it was written, from 1.
    pub(super) line: u64,
    /// What is wrong there.
    pub(super) why: String,
    /// A whole group follows: this is damage, not the end of a write that was never answered.
    pub(super) is_followed: bool,
}

/// A line of the log that cannot be the first.
pub(super) struct NotALog(pub(super) String);

/// Reads a log, and hands over the rows of each whole group.
pub(super) fn replay(
    log: &mut impl BufRead,
    mut apply: impl FnMut(Vec<Change>),
) -> io::Result<Result<Replayed, NotALog>> {
    let mut group = Vec::new();
    log.read_until(b'\n', &mut group)?;
    let after = match lines::read(&group) {
        Ok(Line::Head { after }) => after,
        Ok(_) => return Ok(Err(NotALog("its first line is missing".to_owned()))),
        Err(why) => return Ok(Err(NotALog(why))),
    };
    let mut done = Replayed {
        end: group.len() as u64,
        number: after,
        ..Replayed::default()
    };
    let (mut line, mut parts) = (1, 0);
    loop {
        group.clear();
        let mut changes = Vec::new();
        let mut own = 0;
        let wrong = loop {
            let from = group.len();
            if log.read_until(b'\n', &mut group)? == 0 {
                break (own > 0).then(|| "its group was not closed".to_owned());
            }
            own += 1;
            match lines::read(&group[from..]) {
                Ok(Line::Row(change)) => changes.push(change),
                Ok(Line::Closing {
                    kind,
                    number,
                    rows,
                    index,
                }) => {
                    changes.extend(index);
                    let next = match kind {
                        Kind::Commit => done.number + 1,
                        Kind::Snapshot if done.number == after => parts + 1,
                        // A snapshot stands before all commits.
                        Kind::Snapshot => 0,
                    };
                    if !lines::is_whole(&group) {
                        break Some("its checksum is another".to_owned());
                    }
                    if number != next || rows != changes.len() {
                        break Some(format!("its number is {number}, not {next}"));
                    }
                    match kind {
                        Kind::Commit => done.number = number,
                        Kind::Snapshot => parts = number,
                    }
                    break None;
                }
                Ok(Line::Head { .. }) => break Some("it begins another log".to_owned()),
                Err(why) => break Some(why),
            }
        };
        if let Some(why) = wrong {
            // Of a group whose sum is wrong, any line may be.
            let at = if lines::closes(last_line(&group)) {
                1
            } else {
                own
            };
            done.rest = Some(Rest {
                line: line + at,
                why,
                is_followed: whole_group_follows(log, group)?,
            });
            return Ok(Ok(done));
        }
        if own == 0 {
            return Ok(Ok(done));
        }
        line += own;
        done.end += group.len() as u64;
        done.groups += 1;
        apply(changes);
    }
}

fn last_line(lines: &[u8]) -> &[u8] {
    let body = lines.strip_suffix(b"\n").unwrap_or(lines);
    let from = body.iter().rposition(|byte| *byte == b'\n');
    &lines[from.map_or(0, |at| at + 1)..]
}

/// Whether a whole group stands at the end of these lines, or in what follows.
fn whole_group_follows(log: &mut impl BufRead, mut window: Vec<u8>) -> io::Result<bool> {
    loop {
        if ends_in_a_whole_group(&window) {
            return Ok(true);
        }
        // A group ends here; should the end of this line be damaged, the next one begins in it.
        let last = last_line(&window);
        if lines::closes(last) {
            window.drain(..window.len() - last.len());
        }
        if log.read_until(b'\n', &mut window)? == 0 {
            return Ok(false);
        }
    }
}

/// Whether the last lines are a group as it was written.
///
/// Its closing line says how many lines it has. The end of line before it may be what is damaged: then it begins within a line.
fn ends_in_a_whole_group(window: &[u8]) -> bool {
    if !lines::ends_in_a_sum(window) {
        return false;
    }
    let closing = window.len() - last_line(window).len();
    lines::beginnings(&window[closing..]).any(|at| {
        let Some(before) = lines::lines_before(&window[closing + at..]) else {
            return false;
        };
        // The ends of the lines before the closing one, the nearest first.
        let mut ends = (0..closing).rev().filter(|at| window[*at] == b'\n');
        let first = match before {
            0 => closing + at,
            _ => match ends.nth(before) {
                Some(end) => end + 1,
                // The window begins with the group.
                None => 0,
            },
        };
        lines::is_whole(&window[first..])
            || (before > 0
                && lines::beginnings(&window[first..])
                    .any(|at| lines::is_whole(&window[first + at..])))
    })
}
