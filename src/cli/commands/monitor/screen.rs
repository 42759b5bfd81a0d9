//! The lines of the screen.

use unicode_width::UnicodeWidthChar;

use super::grid::{self, Column};
use super::snapshot::PARTS;
use super::state::{Monitor, Opened, Section};
use crate::cli::commands::list;
use crate::cli::output::{self, Cell, columns, start_of};
use crate::schedule::{format_duration, short_duration};
use crate::task::{TaskStateRecord, TaskStatus};
use crate::timestamp::Timestamp;

const BOLD: &str = "\x1b[1m";
const REVERSED: &str = "\x1b[7m";
const RED: &str = "\x1b[31m";
const NORMAL: &str = "\x1b[0m";

/// Before the task with the mark, and before the others.
const MARK: &str = "> ";
const NO_MARK: &str = "  ";

const COLUMNS: &[Column] = &[
    Column {
        label: "ID",
        narrowest: 9,
        is_id: true,
    },
    Column {
        label: "NAME",
        narrowest: 8,
        is_id: false,
    },
    Column {
        label: "QUEUE",
        narrowest: 5,
        is_id: false,
    },
    Column {
        label: "STATUS",
        narrowest: 9,
        is_id: false,
    },
    Column {
        label: "TRY",
        narrowest: 3,
        is_id: false,
    },
    Column {
        label: "WHEN",
        narrowest: 8,
        is_id: false,
    },
    Column {
        label: "TOOK",
        narrowest: 4,
        is_id: false,
    },
    Column {
        label: "ERROR",
        narrowest: 8,
        is_id: false,
    },
];

/// Every line of the screen, none wider than it.
pub(super) fn lines(monitor: &Monitor, colour: bool) -> Vec<String> {
    let size = monitor.size;
    let mut lines = vec![title(monitor), sections(monitor, colour)];
    match &monitor.opened {
        Some(opened) => record(&mut lines, monitor, opened),
        None => table(&mut lines, monitor, colour),
    }
    lines.resize(size.lines.saturating_sub(1), String::new());
    lines.push(footer(monitor, colour));
    // On a terminal of a line or two, what is steered by comes last.
    lines.drain(..lines.len().saturating_sub(size.lines));
    lines
}

/// Where, when, and how often it is looked at.
fn title(monitor: &Monitor) -> String {
    let at = output::instant(Some(monitor.snapshot.at));
    let right = format!("{at}  every {}", format_duration(monitor.interval));
    let room = monitor.size.columns.saturating_sub(columns(&right) + 2);
    let left = start_of(&format!("tlo monitor: {}", monitor.place), room);
    let gap = monitor
        .size
        .columns
        .saturating_sub(columns(&left) + columns(&right));
    let line = format!("{left}{}{right}", " ".repeat(gap));
    start_of(&line, monitor.size.columns)
}

/// `[0 All 9]  1 Pending 3  2 Running 3  3 Finished 3`.
fn sections(monitor: &Monitor, colour: bool) -> String {
    let snapshot = &monitor.snapshot;
    let labels = Section::EACH.map(|section| {
        let statuses = match section {
            Section::All => &TaskStatus::ALL[..],
            section => PARTS[section as usize - 1].1,
        };
        let number = section as usize;
        let text = format!("{number} {section:?} {}", snapshot.count(statuses));
        match section == monitor.section {
            true => format!("[{text}]"),
            false => format!(" {text} "),
        }
    });
    let failed = snapshot.counts.of(TaskStatus::Failed.as_str());
    let mut line = labels.join(" ");
    if failed > 0 {
        line.push_str(&format!("  {failed} failed"));
    }
    let line = start_of(&line, monitor.size.columns);
    styled(&line, BOLD, colour)
}

fn table(lines: &mut Vec<String>, monitor: &Monitor, colour: bool) {
    let now = monitor.snapshot.at;
    let shown = monitor
        .rows
        .iter()
        .enumerate()
        .skip(monitor.top)
        .take(monitor.page());
    let shown: Vec<(usize, Vec<Cell>)> = shown
        .map(|(line, record)| (line, cells(record, now)))
        .collect();
    let rows: Vec<Vec<Cell>> = shown.iter().map(|(_, cells)| cells.clone()).collect();
    let room = monitor.size.columns.saturating_sub(MARK.len());
    let widths = grid::widths(COLUMNS, &rows, room);
    let labels: Vec<Cell> = COLUMNS
        .iter()
        .map(|column| Cell::from(column.label))
        .collect();
    let head = grid::row(COLUMNS, &labels, &widths, room, false);
    lines.push(styled(&within(NO_MARK, &head, monitor), BOLD, colour));
    if shown.is_empty() {
        lines.push(start_of("  nothing here", monitor.size.columns));
    }
    for (line, cells) in shown {
        let marked = line == monitor.line;
        let text = grid::row(COLUMNS, &cells, &widths, room, colour && !marked);
        lines.push(match marked {
            true => styled(&within(MARK, &text, monitor), REVERSED, colour),
            false if monitor.size.columns < MARK.len() => String::new(),
            false => format!("{NO_MARK}{text}"),
        });
    }
}

/// A plain line with what stands before it, on any terminal.
fn within(before: &str, text: &str, monitor: &Monitor) -> String {
    start_of(&format!("{before}{text}"), monitor.size.columns)
}

fn cells(record: &TaskStateRecord, now: Timestamp) -> Vec<Cell> {
    let took = match (record.status, record.started_at) {
        (TaskStatus::Running, Some(started)) => short_duration(now.since(started)),
        _ => list::took(record),
    };
    vec![
        Cell::from(record.id.as_str()),
        Cell::from(&record.name),
        Cell::from(&record.queue),
        list::status(record),
        list::attempt(record),
        Cell::from(list::when(record, now)),
        Cell::from(took),
        list::error(record),
    ]
}

fn record(lines: &mut Vec<String>, monitor: &Monitor, opened: &Opened) {
    let text = opened.lines.as_deref().unwrap_or_default();
    let shown = folded(text, monitor.size.columns).skip(opened.top);
    lines.extend(shown.take(monitor.opened_page()));
}

/// These lines, each on as many as it needs.
pub(super) fn folded(lines: &[String], width: usize) -> impl Iterator<Item = String> {
    lines.iter().flat_map(move |line| {
        let mut parts = vec![String::new()];
        let mut used = 0;
        for c in line.chars() {
            let wide = c.width().unwrap_or(0);
            if used + wide > width.max(2) {
                parts.push(String::new());
                used = 0;
            }
            used += wide;
            if let Some(part) = parts.last_mut() {
                part.push(c);
            }
        }
        parts
    })
}

/// What is shown of how many, and the keys; or what is wrong.
fn footer(monitor: &Monitor, colour: bool) -> String {
    let width = monitor.size.columns;
    if let Some(trouble) = &monitor.trouble {
        let line = start_of(&output::one_line(trouble), width);
        return styled(&line, RED, colour);
    }
    let line = match &monitor.opened {
        Some(_) => "Esc back  j/k line  space/b page  g/G top, end  q quit".to_owned(),
        None => {
            let last = (monitor.top + monitor.page()).min(monitor.rows.len());
            let first = (monitor.top + 1).min(last);
            let more = if monitor.snapshot.more { "+" } else { "" };
            format!(
                "{first}-{last} of {}{more}  Tab 0-3 section  j/k line  space/b page  g/G top, end  Enter record  q quit",
                monitor.rows.len()
            )
        }
    };
    start_of(&line, width)
}

fn styled(text: &str, style: &str, colour: bool) -> String {
    if colour {
        format!("{style}{text}{NORMAL}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::super::snapshot::Snapshot;
    use super::super::state::Size;
    use super::*;
    use crate::id::TaskId;
    use crate::payload::Payload;
    use crate::store::Counts;
    use crate::task::NewTask;

    pub(in super::super) fn record(seq: u64, status: TaskStatus) -> TaskStateRecord {
        let id = TaskId::new(format!("tsk_0123456789abcdef{seq:04}")).unwrap();
        let new = NewTask::new(id, "mail", Payload::default());
        let at = Timestamp::UNIX_EPOCH;
        let mut record = TaskStateRecord::create(new, at, seq);
        record.status = status;
        if status != TaskStatus::Pending {
            record.attempt = 1;
            record.started_at = Some(at);
        }
        if status == TaskStatus::Failed {
            record.finished_at = Some(at.saturating_add(Duration::from_secs(2)));
            record.error = Some("the relay said no\u{1b}[2J and would not say why".to_owned());
        }
        record
    }

    pub(in super::super) fn snapshot(
        records: impl IntoIterator<Item = TaskStateRecord>,
    ) -> Snapshot {
        let mut snapshot = Snapshot {
            at: Timestamp::UNIX_EPOCH.saturating_add(Duration::from_secs(65)),
            counts: Counts {
                complete: true,
                ..Counts::default()
            },
            parts: Default::default(),
            more: false,
        };
        for record in records {
            let part = PARTS
                .iter()
                .position(|(_, statuses)| statuses.contains(&record.status));
            *snapshot
                .counts
                .groups
                .entry(record.status.to_string())
                .or_default() += 1;
            snapshot.parts[part.unwrap()].insert(0, record);
        }
        snapshot
    }

    /// So many tasks: the first pending, the next running, then one that failed, and so on.
    pub(in super::super) fn monitor(tasks: u64, columns: usize, lines: usize) -> Monitor {
        let statuses = [TaskStatus::Pending, TaskStatus::Running, TaskStatus::Failed];
        let records = (0..tasks).zip(statuses.into_iter().cycle());
        let snapshot = snapshot(records.map(|(seq, status)| record(seq, status)));
        let place = "SQLite at t.db".to_owned();
        Monitor::new(
            place,
            Duration::from_secs(1),
            Size { columns, lines },
            snapshot,
        )
    }

    #[test]
    fn a_screen() {
        let lines = lines(&monitor(3, 100, 9), false);
        assert_eq!(
            lines,
            [
                "tlo monitor: SQLite at t.db                                           1970-01-01T00:01:05Z  every 1s",
                "[0 All 3]  1 Pending 1   2 Running 1   3 Finished 1   1 failed",
                "  ID                       NAME  QUEUE    STATUS   TRY  WHEN          TOOK   ERROR",
                "> tsk_0123456…9abcdef0002  mail  default  failed   1/5  00:00:00      2s     the relay said no\\u{1b…",
                "  tsk_0123456…9abcdef0001  mail  default  running  1/5  00:00:00      1m05s  ",
                "  tsk_0123456…9abcdef0000  mail  default  pending  0/5  due 00:00:00  -      ",
                "",
                "",
                "1-3 of 3  Tab 0-3 section  j/k line  space/b page  g/G top, end  Enter record  q quit",
            ]
        );
    }

    #[test]
    fn no_line_is_too_wide_and_none_too_many() {
        for opened in [false, true] {
            for columns_ in 0..130 {
                for height in 0..12 {
                    let mut monitor = monitor(25, columns_, height);
                    if opened {
                        let id = monitor.rows[0].id.clone();
                        monitor.press(super::super::key::Key::Open);
                        monitor.show(&id, vec!["世界 and so on, a long line of text".repeat(3)]);
                    }
                    let lines = lines(&monitor, false);
                    assert_eq!(lines.len(), height);
                    for line in &lines {
                        // A wide character needs two columns, whatever there are.
                        assert!(columns(line) <= columns_.max(2), "{columns_}: {line:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn colours_change_no_text_and_nothing_of_others_is_obeyed() {
        let mut monitor = monitor(9, 90, 12);
        for trouble in [None, Some("the store\u{1b}[2J is away".to_owned())] {
            monitor.trouble = trouble;
            let plain = lines(&monitor, false);
            assert!(plain.iter().all(|line| !line.contains('\u{1b}')));
            let painted: Vec<String> = lines(&monitor, true)
                .iter()
                .map(|line| anstream::adapter::strip_str(line).to_string())
                .collect();
            assert_eq!(plain, painted);
        }
    }
}
