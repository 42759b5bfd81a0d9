//! Tables: aligned and cut to the width of a terminal, tab-separated and whole in a pipe.

use std::io::IsTerminal;

use clap::builder::styling::{AnsiColor, Style};

use super::text::{columns, one_line, start_of};
use crate::error::Result;
use crate::task::TaskStatus;

/// Between two columns.
const GAP: usize = 2;

/// What the last column keeps in a narrow terminal.
const NARROWEST: usize = 16;

/// A terminal that does not say how wide it is.
const USUAL: usize = 120;

/// A cell of a table.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Cell {
    text: String,
    style: Style,
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self {
            text: one_line(text.as_ref()),
            style: Style::new(),
        }
    }
}

impl Cell {
    /// A text in the colour of a status.
    pub(in crate::cli) fn of_status(status: TaskStatus, text: &str) -> Self {
        let style = match status {
            TaskStatus::Pending => Style::new(),
            TaskStatus::Running => AnsiColor::Cyan.on_default(),
            TaskStatus::Succeeded => AnsiColor::Green.on_default(),
            TaskStatus::Failed => AnsiColor::Red.on_default().bold(),
            TaskStatus::Cancelled => AnsiColor::Yellow.on_default(),
        };
        Self {
            style,
            ..Self::from(text)
        }
    }
}

impl Cell {
    /// What it says.
    pub(in crate::cli) fn text(&self) -> &str {
        &self.text
    }

    /// Its text, or a part of it, in its style.
    pub(in crate::cli) fn shown(&self, text: &str, colour: bool) -> String {
        if colour {
            format!("{}{text}{:#}", self.style, self.style)
        } else {
            text.to_owned()
        }
    }
}

/// For whom a table is written.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Form {
    /// The columns of the terminal; none in a pipe.
    width: Option<usize>,
    colour: bool,
}

impl Form {
    /// For whoever reads standard output.
    pub(in crate::cli) fn of_stdout() -> Self {
        let out = std::io::stdout();
        Self {
            width: out.is_terminal().then(|| width(&out)),
            colour: super::colour(&out),
        }
    }

    /// For a part of a screen, without colours.
    pub(in crate::cli) fn plain(width: usize) -> Self {
        Self {
            width: Some(width),
            colour: false,
        }
    }
}

/// Writes a table to standard output.
///
/// # Errors
/// When standard output cannot be written.
pub(in crate::cli) fn table(header: &[&str], rows: &[Vec<Cell>]) -> Result<()> {
    super::raw(table_text(header, rows, Form::of_stdout()).as_bytes())
}

/// A table as text; each line ends with a line end.
pub(in crate::cli) fn table_text(header: &[&str], rows: &[Vec<Cell>], form: Form) -> String {
    let head = head(header);
    let mut text = String::new();
    if let Some(width) = form.width {
        aligned(&mut text, &head, rows, width, form.colour);
    } else {
        for row in std::iter::once(head.as_slice()).chain(rows.iter().map(Vec::as_slice)) {
            let cells: Vec<String> = row
                .iter()
                .map(|cell| cell.shown(&cell.text, form.colour))
                .collect();
            text.push_str(&cells.join("\t"));
            text.push('\n');
        }
    }
    text
}

fn head(labels: &[&str]) -> Vec<Cell> {
    let bold = Style::new().bold();
    let cell = |label: &&str| Cell {
        text: (*label).to_owned(),
        style: bold,
    };
    labels.iter().map(cell).collect()
}

fn aligned(text: &mut String, head: &[Cell], rows: &[Vec<Cell>], width: usize, colour: bool) {
    let all = || std::iter::once(head).chain(rows.iter().map(Vec::as_slice));
    let widths: Vec<usize> = (0..head.len())
        .map(|index| {
            all()
                .filter_map(|row| row.get(index))
                .map(|cell| columns(&cell.text))
                .max()
                .unwrap_or(0)
        })
        .collect();
    let before_last: usize = widths.iter().rev().skip(1).map(|width| width + GAP).sum();
    let room = width.saturating_sub(before_last).max(NARROWEST);
    for row in all() {
        let mut line = String::new();
        let mut gap = 0;
        for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if cell.text.is_empty() {
                gap += width + GAP;
                continue;
            }
            let last = index + 1 == head.len();
            let shown = start_of(&cell.text, if last { room } else { usize::MAX });
            line.extend(std::iter::repeat_n(' ', gap));
            gap = (width + GAP).saturating_sub(columns(&shown));
            line.push_str(&cell.shown(&shown, colour));
        }
        text.push_str(&line);
        text.push('\n');
    }
}

#[cfg(unix)]
fn width(out: &std::io::Stdout) -> usize {
    rustix::termios::tcgetwinsize(out)
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|columns| *columns > 0)
        .unwrap_or(USUAL)
}

#[cfg(not(unix))]
fn width(_: &std::io::Stdout) -> usize {
    USUAL
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(width: usize, colour: bool) -> String {
        let mut text = String::new();
        let rows = [
            vec![
                Cell::from("a"),
                Cell::of_status(TaskStatus::Failed, "failed"),
                Cell::from("a very long error that does not fit"),
            ],
            vec![Cell::from("世界"), Cell::from("-"), Cell::from("")],
        ];
        aligned(
            &mut text,
            &head(&["ID", "STATUS", "ERROR"]),
            &rows,
            width,
            colour,
        );
        text
    }

    #[test]
    fn columns_are_aligned_and_the_last_is_cut() {
        assert_eq!(
            shown(32, false),
            "ID    STATUS  ERROR\n\
             a     failed  a very long error…\n\
             世界  -\n"
        );
        assert!(shown(1, false).contains("a very long err…"));
        assert!(shown(120, false).contains("does not fit\n"));
    }

    #[test]
    fn colours_do_not_move_columns() {
        let painted = shown(120, true);
        assert!(painted.contains("\u{1b}[1m\u{1b}[31mfailed\u{1b}[0m  a very"));
        assert_eq!(
            anstream::adapter::strip_str(&painted).to_string(),
            shown(120, false)
        );
    }
}
