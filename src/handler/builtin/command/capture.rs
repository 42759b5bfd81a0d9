//! [`Capture`]: the beginning and the end of what a program prints.

use std::collections::VecDeque;

use tokio::io::{AsyncRead, AsyncReadExt};

/// Keeps the first and the last half of its capacity.
#[derive(Debug)]
pub(super) struct Capture {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    half: usize,
    total: u64,
}

impl Capture {
    pub(super) fn new(cap: usize) -> Self {
        Self {
            head: Vec::new(),
            tail: VecDeque::new(),
            half: cap / 2,
            total: 0,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let room = self.half - self.head.len();
        let (first, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(first);
        // Of more than fits only the end can stay.
        let rest = &rest[rest.len().saturating_sub(self.half)..];
        let excess = (self.tail.len() + rest.len()).saturating_sub(self.half);
        self.tail.drain(..excess);
        self.tail.extend(rest);
    }

    fn left_out(&self) -> u64 {
        self.total - (self.head.len() + self.tail.len()) as u64
    }

    pub(super) fn is_truncated(&self) -> bool {
        self.left_out() > 0
    }

    /// What was kept as text, with a line where something was left out. Bytes that are not UTF-8 become `�`.
    pub(super) fn text(&self) -> String {
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        if !self.is_truncated() {
            let all = [self.head.as_slice(), tail.as_slice()].concat();
            return String::from_utf8_lossy(&all).into_owned();
        }
        format!(
            "{}\n… {} bytes left out …\n{}",
            String::from_utf8_lossy(&self.head),
            self.left_out(),
            String::from_utf8_lossy(&tail)
        )
    }

    /// Reads to the end. A pipe that breaks has ended.
    pub(super) async fn read_all(&mut self, pipe: Option<impl AsyncRead + Unpin>) {
        let Some(mut pipe) = pipe else { return };
        let mut buffer = vec![0; 8 * 1024];
        while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
            self.push(&buffer[..count]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_beginning_and_the_end_are_kept(parts in prop::collection::vec(prop::collection::vec(b'a'..=b'z', 0..40), 0..12), half in 0_usize..50) {
            let mut capture = Capture::new(half * 2);
            for part in &parts {
                capture.push(part);
            }
            let all = parts.concat();
            let text = capture.text();
            if all.len() <= half * 2 {
                prop_assert_eq!(text.as_bytes(), all);
            } else {
                let note = format!("\n… {} bytes left out …\n", all.len() - half * 2);
                let expected = [&all[..half], note.as_bytes(), &all[all.len() - half..]].concat();
                prop_assert_eq!(text.as_bytes(), expected);
                prop_assert!(capture.is_truncated());
            }
        }
    }
}
