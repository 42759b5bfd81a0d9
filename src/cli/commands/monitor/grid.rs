//! A table that is exactly as wide as it may be.

use crate::cli::output::{Cell, columns, middle_cut, start_of};

/// Between two columns.
const GAP: usize = 2;

/// A column: its label, and how narrow it may become when there is no room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) label: &'static str,
    pub(super) narrowest: usize,
    /// Cut in the middle: an id.
    pub(super) is_id: bool,
}

/// How wide each column is, so that all of them fit: the widest give way first.
pub(super) fn widths(header: &[Column], rows: &[Vec<Cell>], room: usize) -> Vec<usize> {
    let mut widths: Vec<usize> = header.iter().map(|column| columns(column.label)).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(columns(cell.text()));
        }
    }
    let gaps = GAP * header.len().saturating_sub(1);
    loop {
        let total = widths.iter().sum::<usize>() + gaps;
        let spare = |index: usize| widths[index].saturating_sub(header[index].narrowest);
        let widest = (0..widths.len())
            .filter(|index| spare(*index) > 0)
            .max_by_key(|index| widths[*index]);
        let Some(index) = widest.filter(|_| total > room) else {
            return widths;
        };
        widths[index] -= 1;
    }
}

/// A row in these widths; what does not fit the room is left out.
pub(super) fn row(
    header: &[Column],
    cells: &[Cell],
    widths: &[usize],
    room: usize,
    colour: bool,
) -> String {
    let mut line = String::new();
    let mut used = 0;
    let mut due = 0;
    for ((column, cell), width) in header.iter().zip(cells).zip(widths) {
        let start = used + due;
        let width = (*width).min(room.saturating_sub(start));
        if width == 0 {
            break;
        }
        let text = match column.is_id {
            true => middle_cut(cell.text(), width),
            false => start_of(cell.text(), width),
        };
        line.extend(std::iter::repeat_n(' ', due));
        used = start + columns(&text);
        due = start + width + GAP - used;
        line.push_str(&cell.shown(&text, colour));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[Column] = &[
        Column {
            label: "ID",
            narrowest: 6,
            is_id: true,
        },
        Column {
            label: "NAME",
            narrowest: 4,
            is_id: false,
        },
        Column {
            label: "ERROR",
            narrowest: 5,
            is_id: false,
        },
    ];

    fn lines(room: usize) -> Vec<String> {
        let rows: Vec<Vec<Cell>> = [
            [
                "tsk_0123456789",
                "mail",
                "the relay said no, and it said so twice",
            ],
            ["世界@2026", "a-long-name", ""],
        ]
        .iter()
        .map(|row| row.iter().map(Cell::from).collect())
        .collect();
        let widths = widths(HEADER, &rows, room);
        rows.iter()
            .map(|cells| row(HEADER, cells, &widths, room, false))
            .collect()
    }

    #[test]
    fn every_width_is_kept() {
        for room in 0..90 {
            for line in lines(room) {
                assert!(columns(&line) <= room, "{room}: {line:?}");
            }
        }
    }

    #[test]
    fn the_widest_gives_way_and_ids_keep_both_ends() {
        assert_eq!(
            lines(80),
            [
                "tsk_0123456789  mail         the relay said no, and it said so twice",
                "世界@2026       a-long-name  "
            ]
        );
        assert_eq!(
            lines(40),
            [
                "tsk_01…456789  mail         the relay s…",
                "世界@2026      a-long-name  "
            ]
        );
    }
}
