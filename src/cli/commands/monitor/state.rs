//! What is shown, and what a key makes of it. No terminal, no store.

use std::time::Duration;

use super::key::Key;
use super::snapshot::Snapshot;
use crate::id::TaskId;
use crate::task::TaskStateRecord;

/// Which tasks are in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    All,
    Pending,
    Running,
    Finished,
}

impl Section {
    pub(super) const EACH: [Self; 4] = [Self::All, Self::Pending, Self::Running, Self::Finished];

    fn step(self, by: usize) -> Self {
        Self::EACH[(self as usize + by) % Self::EACH.len()]
    }
}

/// Columns and lines of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) lines: usize,
}

/// Lines that are not of the table: place and time, sections, labels, and the keys at the bottom.
pub(super) const AROUND: usize = 4;

/// What a key asks for that the state cannot do by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Nothing,
    /// Look at the store.
    Look,
    Quit,
}

/// A record that is shown in place of the table.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    pub(super) id: TaskId,
    /// `None` until it was read.
    pub(super) lines: Option<Vec<String>>,
    /// The first line that is shown.
    pub(super) top: usize,
}

/// Everything that is on the screen.
#[derive(Clone, Debug)]
pub(super) struct Monitor {
    /// Where the tasks live.
    pub(super) place: String,
    pub(super) interval: Duration,
    pub(super) size: Size,
    pub(super) snapshot: Snapshot,
    pub(super) section: Section,
    pub(super) rows: Vec<TaskStateRecord>,
    /// The line with the mark, counted from the first task.
    pub(super) line: usize,
    /// The first task that is shown.
    pub(super) top: usize,
    pub(super) opened: Option<Opened>,
    /// Why the latest look failed.
    pub(super) trouble: Option<String>,
}

impl Monitor {
    pub(super) fn new(place: String, interval: Duration, size: Size, snapshot: Snapshot) -> Self {
        let mut monitor = Self {
            place,
            interval,
            size,
            rows: Vec::new(),
            snapshot,
            section: Section::All,
            line: 0,
            top: 0,
            opened: None,
            trouble: None,
        };
        monitor.fill();
        monitor
    }

    /// How many tasks fit on the screen.
    pub(super) fn page(&self) -> usize {
        self.size.lines.saturating_sub(AROUND).max(1)
    }

    /// How many lines of a record fit: it needs no labels.
    pub(super) fn opened_page(&self) -> usize {
        self.page() + 1
    }

    /// Shows what was seen now. The mark stays on its task; at the top it stays at the top, where the newest come in.
    pub(super) fn see(&mut self, snapshot: Snapshot) {
        let marked = self.rows.get(self.line).map(|record| record.id.clone());
        let offset = self.line.saturating_sub(self.top);
        self.snapshot = snapshot;
        self.trouble = None;
        self.fill();
        let stays = marked.filter(|_| self.line > 0).and_then(|id| {
            let mut rows = self.rows.iter();
            rows.position(|record| record.id == id)
        });
        if let Some(line) = stays {
            self.line = line;
            self.top = line.saturating_sub(offset);
        }
        self.settle();
    }

    /// Shows that a look failed; what was seen before stays.
    pub(super) fn fail(&mut self, why: String) {
        self.trouble = Some(why);
    }

    /// Shows a record, if it is still the one that is wanted.
    pub(super) fn show(&mut self, id: &TaskId, lines: Vec<String>) {
        if let Some(opened) = self.opened.as_mut().filter(|opened| opened.id == *id) {
            opened.lines = Some(lines);
        }
        self.settle();
    }

    pub(super) fn resize(&mut self, size: Size) {
        self.size = size;
        self.settle();
    }

    pub(super) fn press(&mut self, key: Key) -> Wish {
        match key {
            Key::Quit => return Wish::Quit,
            Key::Refresh => return Wish::Look,
            Key::Go(section) => self.go(section),
            Key::Next => self.go(self.section.step(1)),
            Key::Previous => self.go(self.section.step(Section::EACH.len() - 1)),
            Key::Back => self.opened = None,
            Key::Open if self.opened.is_some() => self.opened = None,
            Key::Open => {
                let Some(record) = self.rows.get(self.line) else {
                    return Wish::Nothing;
                };
                self.opened = Some(Opened {
                    id: record.id.clone(),
                    lines: None,
                    top: 0,
                });
                return Wish::Look;
            }
            key => self.scroll(key),
        }
        self.settle();
        Wish::Nothing
    }

    fn go(&mut self, section: Section) {
        self.opened = None;
        if section != self.section {
            self.section = section;
            self.line = 0;
            self.top = 0;
            self.fill();
        }
    }

    fn scroll(&mut self, key: Key) {
        let page = match self.opened {
            Some(_) => self.opened_page(),
            None => self.page(),
        };
        let at = match &mut self.opened {
            Some(opened) => &mut opened.top,
            None => &mut self.line,
        };
        *at = match key {
            Key::Down => at.saturating_add(1),
            Key::Up => at.saturating_sub(1),
            Key::PageDown => at.saturating_add(page),
            Key::PageUp => at.saturating_sub(page),
            Key::First => 0,
            Key::Last => usize::MAX,
            _ => *at,
        };
    }

    fn fill(&mut self) {
        self.rows = match self.section {
            Section::All => self.snapshot.merged(),
            section => self.snapshot.parts[section as usize - 1].clone(),
        };
    }

    /// Brings the mark and what is shown back inside what is there.
    fn settle(&mut self) {
        let page = self.page();
        let last_top = self.rows.len().saturating_sub(page);
        self.line = self.line.min(self.rows.len().saturating_sub(1));
        self.top = self
            .top
            .clamp(self.line.saturating_sub(page - 1), self.line)
            .min(last_top);
        let page = self.opened_page();
        let width = self.size.columns;
        if let Some(opened) = &mut self.opened {
            let lines = opened.lines.as_deref().unwrap_or_default();
            let height = super::screen::folded(lines, width).count();
            opened.top = opened.top.min(height.saturating_sub(page));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::screen::tests::{monitor, record, snapshot};
    use super::*;
    use crate::task::TaskStatus;

    fn press(monitor: &mut Monitor, keys: &[Key]) {
        for key in keys {
            assert_eq!(monitor.press(*key), Wish::Nothing, "{key:?}");
        }
    }

    #[test]
    fn lines_pages_top_and_bottom() {
        // 25 tasks on a screen of 10 lines: 6 tasks a page.
        let mut monitor = monitor(25, 80, 10);
        assert_eq!((monitor.page(), monitor.rows.len()), (6, 25));
        press(&mut monitor, &[Key::Up]);
        assert_eq!((monitor.line, monitor.top), (0, 0));
        press(&mut monitor, &[Key::Down; 5]);
        assert_eq!((monitor.line, monitor.top), (5, 0));
        press(&mut monitor, &[Key::Down]);
        assert_eq!((monitor.line, monitor.top), (6, 1));
        press(&mut monitor, &[Key::PageDown]);
        assert_eq!((monitor.line, monitor.top), (12, 7));
        press(&mut monitor, &[Key::Last]);
        assert_eq!((monitor.line, monitor.top), (24, 19));
        press(&mut monitor, &[Key::Down, Key::PageDown]);
        assert_eq!((monitor.line, monitor.top), (24, 19));
        press(&mut monitor, &[Key::PageUp]);
        assert_eq!((monitor.line, monitor.top), (18, 18));
        press(&mut monitor, &[Key::First]);
        assert_eq!((monitor.line, monitor.top), (0, 0));
    }

    #[test]
    fn sections_go_round_and_show_their_tasks() {
        let mut monitor = monitor(9, 80, 24);
        let shown = |monitor: &Monitor| -> Vec<TaskStatus> {
            monitor.rows.iter().map(|record| record.status).collect()
        };
        press(&mut monitor, &[Key::Down, Key::Next]);
        assert_eq!((monitor.section, monitor.line), (Section::Pending, 0));
        assert_eq!(shown(&monitor), [TaskStatus::Pending; 3]);
        press(&mut monitor, &[Key::Go(Section::Running)]);
        assert_eq!(shown(&monitor), [TaskStatus::Running; 3]);
        press(&mut monitor, &[Key::Next, Key::Next]);
        assert_eq!(monitor.section, Section::All);
        press(&mut monitor, &[Key::Previous]);
        assert_eq!(monitor.section, Section::Finished);
    }

    #[test]
    fn the_mark_stays_on_its_task_and_at_the_top() {
        let mut monitor = monitor(9, 80, 24);
        let more = |n: u64| snapshot((0..n).map(|seq| record(seq, TaskStatus::Pending)));
        monitor.see(more(10));
        assert_eq!(monitor.rows[monitor.line].seq, 9);
        press(&mut monitor, &[Key::Down, Key::Down]);
        assert_eq!(monitor.rows[monitor.line].seq, 7);
        monitor.see(more(14));
        assert_eq!((monitor.rows[monitor.line].seq, monitor.line), (7, 6));
        // Its task is gone.
        monitor.see(more(3));
        assert_eq!(monitor.line, 2);
        monitor.see(more(0));
        assert_eq!((monitor.line, monitor.top), (0, 0));
        assert_eq!(monitor.press(Key::Open), Wish::Nothing);
    }

    #[test]
    fn a_record_opens_scrolls_and_closes() {
        let mut monitor = monitor(9, 40, 10);
        press(&mut monitor, &[Key::Down]);
        assert_eq!(monitor.press(Key::Open), Wish::Look);
        let id = monitor.opened.as_ref().unwrap().id.clone();
        let lines: Vec<String> = (0..20).map(|n| format!("line {n}")).collect();
        monitor.show(&TaskId::new("another").unwrap(), lines.clone());
        assert!(monitor.opened.as_ref().unwrap().lines.is_none());
        monitor.show(&id, lines);
        press(&mut monitor, &[Key::Last]);
        assert_eq!(monitor.opened.as_ref().unwrap().top, 13);
        press(&mut monitor, &[Key::Up, Key::Back]);
        assert!(monitor.opened.is_none());
        assert_eq!(monitor.line, 1);
    }

    #[test]
    fn a_smaller_terminal_keeps_the_mark_in_sight() {
        let mut monitor = monitor(25, 80, 24);
        press(&mut monitor, &[Key::PageDown]);
        assert_eq!((monitor.line, monitor.top), (20, 1));
        for lines in [8, 3, 0] {
            monitor.resize(Size { columns: 20, lines });
            let page = monitor.page();
            assert!(monitor.top <= monitor.line && monitor.line < monitor.top + page);
        }
        assert_eq!(monitor.press(Key::Quit), Wish::Quit);
    }
}
