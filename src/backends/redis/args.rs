//! The arguments of a script: texts one behind the other, many calls in one command.

use std::fmt::{Display, Write};

/// Texts in one buffer.
#[derive(Clone, Debug, Default)]
pub(super) struct Args {
    data: Vec<u8>,
    ends: Vec<usize>,
}

impl Args {
    pub(super) fn text(&mut self, text: impl AsRef<[u8]>) {
        self.data.extend_from_slice(text.as_ref());
        self.ends.push(self.data.len());
    }

    pub(super) fn number(&mut self, number: impl Display) {
        struct Into<'a>(&'a mut Vec<u8>);
        impl Write for Into<'_> {
            fn write_str(&mut self, text: &str) -> std::fmt::Result {
                self.0.extend_from_slice(text.as_bytes());
                Ok(())
            }
        }
        // Writing to a buffer never fails.
        let _ = write!(Into(&mut self.data), "{number}");
        self.ends.push(self.data.len());
    }

    pub(super) fn flag(&mut self, flag: bool) {
        self.text(if flag { "1" } else { "0" });
    }

    /// Nothing, or the text behind "=".
    pub(super) fn optional(&mut self, text: Option<impl AsRef<[u8]>>) {
        if let Some(text) = text {
            self.data.push(b'=');
            self.data.extend_from_slice(text.as_ref());
        }
        self.ends.push(self.data.len());
    }

    /// A place to go back to.
    pub(super) fn mark(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn truncate(&mut self, mark: usize) {
        self.ends.truncate(mark);
        self.data.truncate(self.ends.last().copied().unwrap_or(0));
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of all.
    pub(super) fn bytes(&self) -> usize {
        self.data.len()
    }

    pub(super) fn append(&mut self, other: &Self) {
        let base = self.data.len();
        self.data.extend_from_slice(&other.data);
        self.ends.extend(other.ends.iter().map(|end| base + end));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = 0;
        self.ends.iter().map(move |end| {
            let text = &self.data[from..*end];
            from = *end;
            text
        })
    }
}
