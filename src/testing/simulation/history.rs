//! What happened in a simulation: one number for all of it, and its end in words.

use std::collections::VecDeque;
use std::fmt;

/// Lines that a violation is printed with.
const KEPT: usize = 80;

/// FNV-1a, as [`stable_hash`](crate::id::stable_hash) has it, of everything so far.
#[derive(Debug)]
pub(super) struct History {
    hash: u64,
    lines: u64,
    last: VecDeque<String>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            hash: crate::id::stable_hash(b""),
            lines: 0,
            last: VecDeque::with_capacity(KEPT),
        }
    }
}

impl History {
    pub(super) fn note(&mut self, what: fmt::Arguments<'_>) {
        let mut line = if self.last.len() == KEPT {
            self.last.pop_front().unwrap_or_default()
        } else {
            String::new()
        };
        line.clear();
        // Writing to a text does not fail.
        let _ = fmt::Write::write_fmt(&mut line, what);
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        self.lines += 1;
        self.last.push_back(line);
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    pub(super) fn last(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }
}
