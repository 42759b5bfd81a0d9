//! [`RunLog`]: what a run says, on its way to the store.

use parking_lot::Mutex;

use crate::task::{LineLevel, LogLine, cut_text};
use crate::timestamp::Timestamp;

/// What is kept of a run, in bytes of JSON text.
const RUN_LIMIT: usize = 256 * 1024;

/// What a line takes beside its text: its time, its level, its place in the list. Lines without text are not free.
const LINE_COST: usize = 80;

/// What is kept of a line, in bytes.
const LINE_LIMIT: usize = 16 * 1024;

/// Lines that are written together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LogBatch {
    /// Its number within the run, from 1: a batch that is sent again is known by it.
    pub(crate) number: u64,
    pub(crate) lines: Vec<LogLine>,
}

impl LogBatch {
    /// About what it takes as JSON text.
    pub(crate) fn bytes(&self) -> usize {
        let lines = self.lines.iter();
        lines.map(|line| LINE_COST + json_bytes(&line.text)).sum()
    }
}

/// The lines that a run has said and that are not written yet. Nothing is allocated for a run that says nothing.
#[derive(Debug, Default)]
pub(super) struct RunLog(Mutex<Option<Box<Lines>>>);

#[derive(Debug, Default)]
struct Lines {
    waiting: Vec<LogLine>,
    /// Batches that could not be written.
    returned: Vec<LogBatch>,
    /// Batches that are on their way: whether they were written is not known yet.
    sent: Vec<LogBatch>,
    batches: u64,
    kept: usize,
    dropped: u64,
    dropped_bytes: u64,
    closed: bool,
}

impl RunLog {
    /// Keeps a line; answers whether it is the first that waits.
    pub(super) fn push(&self, at: Timestamp, level: LineLevel, text: String) -> bool {
        let mut log = self.0.lock();
        let log = log.get_or_insert_default();
        let text = cut_text(text, LINE_LIMIT);
        let bytes = LINE_COST + json_bytes(&text);
        if log.closed || log.dropped > 0 || log.kept + bytes > RUN_LIMIT {
            let is_first = log.dropped == 0;
            log.dropped += 1;
            log.dropped_bytes += text.len() as u64;
            if !is_first || log.closed {
                return false;
            }
            return log.say(
                at,
                "the log of this run is full: it keeps 256 KiB, and what follows is dropped",
            );
        }
        log.kept += bytes;
        log.waiting.push(LogLine { at, level, text });
        log.waiting.len() == 1
    }

    pub(super) fn is_waiting(&self) -> bool {
        let log = self.0.lock();
        log.as_ref()
            .is_some_and(|log| !log.waiting.is_empty() || !log.returned.is_empty())
    }

    /// The lines to write next. Whoever takes them says what became of them.
    pub(super) fn take(&self) -> Vec<LogBatch> {
        let mut log = self.0.lock();
        let Some(log) = log.as_mut() else {
            return Vec::new();
        };
        let batches = log.take();
        log.sent.extend(batches.iter().cloned());
        batches
    }

    /// The last lines, with what was dropped and what is on its way, which may come too late; nothing is kept any more.
    pub(super) fn close(&self, now: impl FnOnce() -> Timestamp) -> Vec<LogBatch> {
        let mut log = self.0.lock();
        let Some(log) = log.as_mut() else {
            return Vec::new();
        };
        if log.dropped > 0 && !log.closed {
            let text = format!(
                "dropped: lines {}, bytes {}",
                log.dropped, log.dropped_bytes
            );
            log.say(now(), &text);
        }
        log.closed = true;
        let mut last = std::mem::take(&mut log.sent);
        last.append(&mut log.take());
        last.sort_by_key(|batch| batch.number);
        last
    }

    /// These are not on their way any more: they were written, or the store does not take them.
    pub(super) fn forget(&self, batches: &[LogBatch]) {
        if let Some(log) = self.0.lock().as_mut() {
            log.forget(batches);
        }
    }

    /// Takes back what could not be written, unless it went with the end of the run.
    pub(super) fn give_back(&self, batches: Vec<LogBatch>) {
        if let Some(log) = self.0.lock().as_mut().filter(|log| !log.closed) {
            log.forget(&batches);
            // Two writes may have failed, one after the other.
            log.returned.extend(batches);
            log.returned.sort_by_key(|batch| batch.number);
        }
    }

    pub(super) fn lines(&self) -> Vec<LogLine> {
        let log = self.0.lock();
        log.as_ref()
            .map(|log| log.waiting.clone())
            .unwrap_or_default()
    }
}

impl Lines {
    fn say(&mut self, at: Timestamp, text: &str) -> bool {
        self.waiting.push(LogLine {
            at,
            level: LineLevel::Warn,
            text: text.to_owned(),
        });
        self.waiting.len() == 1
    }

    fn forget(&mut self, batches: &[LogBatch]) {
        let known = |sent: &LogBatch| batches.iter().any(|batch| batch.number == sent.number);
        self.sent.retain(|sent| !known(sent));
    }

    fn take(&mut self) -> Vec<LogBatch> {
        // Those that may have been written stay as they are, so that the store knows them again.
        let mut batches = std::mem::take(&mut self.returned);
        if !self.waiting.is_empty() {
            self.batches += 1;
            batches.push(LogBatch {
                number: self.batches,
                lines: std::mem::take(&mut self.waiting),
            });
        }
        batches
    }
}

/// What a text takes as JSON, without its quotes.
fn json_bytes(text: &str) -> usize {
    let escaped = text.bytes().map(|byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 2,
        0..0x20 => 6,
        _ => 1,
    });
    escaped.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(log: &RunLog, text: &str) -> bool {
        log.push(Timestamp::UNIX_EPOCH, LineLevel::Info, text.to_owned())
    }

    #[test]
    fn what_could_not_be_written_is_sent_again_as_it_was() {
        let log = RunLog::default();
        assert!(log.take().is_empty() && log.close(|| Timestamp::UNIX_EPOCH).is_empty());
        assert!(push(&log, "a"));
        assert!(!push(&log, "b"));
        let first = log.take();
        assert_eq!(
            (first.len(), first[0].number, first[0].lines.len()),
            (1, 1, 2)
        );
        assert!(!log.is_waiting());
        log.give_back(first.clone());
        assert!(log.is_waiting());
        assert!(push(&log, "c"));
        let both = log.take();
        assert_eq!(both[0], first[0]);
        assert_eq!((both.len(), both[1].number), (2, 2));
        assert_eq!(both[1].lines[0].text, "c");
        let (first, second) = both.split_at(1);
        log.give_back(second.to_vec());
        log.give_back(first.to_vec());
        assert_eq!(log.take(), both);
        // What is on its way goes with the end as well, unless it has arrived.
        log.forget(first);
        assert_eq!(log.close(|| Timestamp::UNIX_EPOCH), second);
        log.give_back(second.to_vec());
        assert!(log.take().is_empty());
    }

    #[test]
    fn a_run_keeps_a_limited_amount_and_says_what_it_dropped() {
        let log = RunLog::default();
        // Six bytes of JSON for each.
        let line = "\u{1}".repeat(1_000);
        for _ in 0..100 {
            push(&log, &line);
        }
        let kept: Vec<LogLine> = log.take().remove(0).lines;
        assert_eq!(kept.len(), RUN_LIMIT / 6_000 + 1);
        assert!(kept.last().unwrap().text.contains("256 KiB"));
        push(&log, "small, but after the others");
        let last = log.close(|| Timestamp::UNIX_EPOCH);
        assert_eq!((last.len(), last[1].lines.len()), (2, 1));
        assert_eq!(last[1].lines[0].text, "dropped: lines 58, bytes 57027");
        // A run that ended says nothing any more.
        assert!(!push(&log, "late"));
        assert!(log.close(|| Timestamp::UNIX_EPOCH).is_empty());
        let short = RunLog::default();
        for _ in 0..100_000 {
            push(&short, "");
        }
        let kept = short.take();
        let written = serde_json::to_string(&kept[0].lines).unwrap().len();
        assert!((RUN_LIMIT / 2..=RUN_LIMIT).contains(&written), "{written}");
        let long = RunLog::default();
        push(&long, &"x".repeat(LINE_LIMIT + 1));
        assert!(long.lines()[0].text.ends_with("… (cut)"));
    }
}
