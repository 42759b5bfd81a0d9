//! The lines of the log.
//!
//! A row whose value is a JSON object has a line of its own; the rows of indexes stand in the line that closes their group.
//! Keys, and values that are no objects, are texts whose characters U+0000 to U+00FF are the bytes; a space stands after
//! the first byte of a key, which names its table.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use twox_hash::XxHash3_128;

use crate::store::kv::Written;

/// The layout of this build.
pub(super) const LAYOUT: u32 = 1;

/// What closes a line that closes a group: `,"sum":"`, 32 digits, `"}` and the end of the line.
const SUM: usize = 8 + 32 + 3;

/// A row that was put or deleted.
pub(super) type Change = (Vec<u8>, Written);

/// The first line: the number of the last group that the rows of a snapshot include.
pub(super) fn head(after: u64) -> Vec<u8> {
    format!("{{\"tlo\":\"jsonl\",\"layout\":{LAYOUT},\"after\":{after}}}\n").into_bytes()
}

/// What a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A part of a snapshot: rows as they are.
    Snapshot,
    /// What was committed together.
    Commit,
}

/// The lines of one group, as they are made.
#[derive(Default)]
pub(super) struct Group {
    lines: Vec<u8>,
    index: Vec<u8>,
    rows: usize,
}

impl Group {
    /// Adds a row that was put, or one that was deleted.
    pub(super) fn add(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.rows += 1;
        let object = value.filter(|value| is_object_on_one_line(value));
        if let Some(object) = object {
            self.lines.extend_from_slice(b"{\"put\":");
            write_key(&mut self.lines, key);
            self.lines.extend_from_slice(b",\"row\":");
            self.lines.extend_from_slice(object);
            self.lines.extend_from_slice(b"}\n");
        } else if value.is_none() && is_for_people(key) {
            self.lines.extend_from_slice(b"{\"delete\":");
            write_key(&mut self.lines, key);
            self.lines.extend_from_slice(b"}\n");
        } else {
            self.index
                .extend_from_slice(if self.index.is_empty() { b"[" } else { b",[" });
            write_key(&mut self.index, key);
            if let Some(value) = value {
                self.index.push(b',');
                write_text(&mut self.index, value);
            }
            self.index.push(b']');
        }
    }

    /// Bytes so far, about.
    pub(super) fn len(&self) -> usize {
        self.lines.len() + self.index.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The group with its closing line.
    pub(super) fn close(self, kind: Kind, number: u64) -> Vec<u8> {
        let word = match kind {
            Kind::Snapshot => "snapshot",
            Kind::Commit => "commit",
        };
        let mut bytes = self.lines;
        let opening = format!("{{\"{word}\":{number},\"rows\":{},\"index\":[", self.rows);
        bytes.extend_from_slice(opening.as_bytes());
        bytes.extend_from_slice(&self.index);
        bytes.push(b']');
        let sum = XxHash3_128::oneshot(&bytes);
        bytes.extend_from_slice(format!(",\"sum\":\"{sum:032x}\"}}\n").as_bytes());
        bytes
    }
}

/// Records, marks and events; their rows are objects.
fn is_for_people(key: &[u8]) -> bool {
    matches!(key.first(), Some(b't' | b'm' | b'e'))
}

fn is_object_on_one_line(value: &[u8]) -> bool {
    value.first() == Some(&b'{')
        && value.last() == Some(&b'}')
        && !value.contains(&b'\n')
        && serde_json::from_slice::<&RawValue>(value).is_ok()
}

fn write_key(to: &mut Vec<u8>, key: &[u8]) {
    let Some((table, rest)) = key.split_first() else {
        return to.extend_from_slice(b"\"\"");
    };
    to.push(b'"');
    write_bytes(to, &[*table]);
    to.push(b' ');
    write_bytes(to, rest);
    to.push(b'"');
}

fn write_text(to: &mut Vec<u8>, bytes: &[u8]) {
    to.push(b'"');
    write_bytes(to, bytes);
    to.push(b'"');
}

fn write_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            b'"' | b'\\' => to.extend_from_slice(&[b'\\', *byte]),
            b' '..=b'~' => to.push(*byte),
            0..0x20 | 0x7F..=0x9F => to.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => {
                let mut room = [0; 2];
                to.extend_from_slice(char::from(*byte).encode_utf8(&mut room).as_bytes());
            }
        }
    }
}

fn read_text(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| u8::try_from(c).ok()).collect()
}

fn read_key(text: &str) -> Option<Vec<u8>> {
    let mut key = read_text(text)?;
    match key.get(1) {
        Some(b' ') => drop(key.remove(1)),
        None if key.is_empty() => {}
        _ => return None,
    }
    Some(key)
}

/// A line that was read.
pub(super) enum Line {
    /// The first.
    Head {
        /// See [`head`].
        after: u64,
    },
    /// A row.
    Row(Change),
    /// The end of a group.
    Closing {
        /// What the group is.
        kind: Kind,
        /// Its number.
        number: u64,
        /// Its rows, in all.
        rows: usize,
        /// The rows of this line.
        index: Vec<Change>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    tlo: Option<String>,
    layout: Option<u32>,
    after: Option<u64>,
    #[serde(borrow)]
    put: Option<Cow<'a, str>>,
    #[serde(borrow)]
    row: Option<&'a RawValue>,
    #[serde(borrow)]
    delete: Option<Cow<'a, str>>,
    snapshot: Option<u64>,
    commit: Option<u64>,
    rows: Option<usize>,
    #[serde(borrow)]
    index: Option<Vec<Vec<Cow<'a, str>>>>,
    #[serde(borrow, rename = "sum")]
    _sum: Option<Cow<'a, str>>,
}

/// Reads a line, which ends with its end of line; or says what is wrong with it.
pub(super) fn read(line: &[u8]) -> Result<Line, String> {
    if line.last() != Some(&b'\n') {
        return Err("it has no end".to_owned());
    }
    let fields: Fields<'_> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let key = |text: &str| read_key(text).ok_or("its key is none of ours");
    Ok(match fields {
        Fields {
            put: Some(put),
            row: Some(row),
            ..
        } => Line::Row((key(&put)?, Some(row.get().as_bytes().to_vec()))),
        Fields {
            delete: Some(gone), ..
        } => Line::Row((key(&gone)?, None)),
        Fields {
            commit,
            snapshot,
            rows: Some(rows),
            index: Some(index),
            ..
        } => {
            let (kind, number) = match (commit, snapshot) {
                (Some(number), None) => (Kind::Commit, number),
                (None, Some(number)) => (Kind::Snapshot, number),
                _ => return Err("it is no line of ours".to_owned()),
            };
            let change = |pair: Vec<Cow<'_, str>>| match &pair[..] {
                [gone] => Ok((key(gone)?, None)),
                [put, value] => {
                    let value = read_text(value).ok_or("its value is none of ours")?;
                    Ok((key(put)?, Some(value)))
                }
                _ => Err("its index is none of ours"),
            };
            let index = index.into_iter().map(change);
            Line::Closing {
                kind,
                number,
                rows,
                index: index.collect::<Result<_, _>>()?,
            }
        }
        Fields {
            tlo: Some(what),
            layout: Some(layout),
            after: Some(after),
            ..
        } if what == "jsonl" => {
            if layout != LAYOUT {
                return Err(format!(
                    "it has layout {layout}, and this build knows {LAYOUT}"
                ));
            }
            Line::Head { after }
        }
        _ => return Err("it is no line of ours".to_owned()),
    })
}

/// Whether a line looks like one that closes a group.
pub(super) fn closes(line: &[u8]) -> bool {
    line.starts_with(b"{\"commit\":") || line.starts_with(b"{\"snapshot\":")
}

/// Where in the first of these lines a line of a group may begin, should the end of the line before it be damaged.
pub(super) fn beginnings(lines: &[u8]) -> impl Iterator<Item = usize> {
    // In a line that closes a group, quotes are escaped: behind one, the first place found is the right one.
    const TRIED: usize = 200;
    let end = lines.iter().position(|byte| *byte == b'\n');
    let line = &lines[..end.unwrap_or(lines.len())];
    (0..line.len())
        .filter(|at| {
            let rest = &line[*at..];
            closes(rest) || rest.starts_with(b"{\"put\":") || rest.starts_with(b"{\"delete\":")
        })
        .take(TRIED)
}

/// The lines that stand before this one in its group, if it closes one.
pub(super) fn lines_before(closing: &[u8]) -> Option<usize> {
    match read(closing) {
        Ok(Line::Closing { rows, index, .. }) => rows.checked_sub(index.len()),
        _ => None,
    }
}

/// Whether these lines end as a group does.
pub(super) fn ends_in_a_sum(lines: &[u8]) -> bool {
    let sum = lines.len().checked_sub(SUM).map(|at| &lines[at..]);
    sum.is_some_and(|sum| sum.starts_with(b",\"sum\":\"") && sum.ends_with(b"\"}\n"))
}

/// Whether the last of these lines closes them all as they are.
pub(super) fn is_whole(lines: &[u8]) -> bool {
    let Some(at) = lines.len().checked_sub(SUM) else {
        return false;
    };
    let (summed, sum) = lines.split_at(at);
    let wanted = format!(",\"sum\":\"{:032x}\"}}\n", XxHash3_128::oneshot(summed));
    sum == wanted.as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_comes_back_as_it_was() {
        let every: Vec<u8> = (0..=255).collect();
        let rows: Vec<Change> = vec![
            (
                b"ta\"b\\c".to_vec(),
                Some(b"{\"id\": \"\\u0000 \xC3\xA9\"}".to_vec()),
            ),
            (b"tb".to_vec(), Some(b"{\"id\"".to_vec())),
            (b"tc".to_vec(), Some(b"{\"a\":\n1}".to_vec())),
            (b"td".to_vec(), Some(b" {}".to_vec())),
            (b"te".to_vec(), None),
            ([&b"q"[..], &every[..]].concat(), Some(every.clone())),
            (b"z".to_vec(), Some(Vec::new())),
            (b"l".to_vec(), None),
            (b" ".to_vec(), Some(b"12".to_vec())),
        ];
        let mut group = Group::default();
        for (key, value) in &rows {
            group.add(key, value.as_deref());
        }
        let bytes = group.close(Kind::Commit, 7);
        assert!(is_whole(&bytes));
        let mut back = Vec::new();
        let mut closed = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match read(line).unwrap_or_else(|why| panic!("{why}: {}", line.escape_ascii())) {
                Line::Row(change) => back.push(change),
                Line::Closing {
                    kind,
                    number,
                    rows,
                    index,
                } => {
                    assert_eq!((kind, number, rows), (Kind::Commit, 7, 9));
                    back.extend(index);
                    closed += 1;
                }
                Line::Head { .. } => panic!("no head here"),
            }
        }
        let sorted = |mut rows: Vec<Change>| {
            rows.sort();
            rows
        };
        assert_eq!((sorted(back), closed), (sorted(rows), 1));
        let printable = |byte: &u8| (b' '..=b'~').contains(byte) || *byte == b'\n' || *byte > 0x7F;
        assert!(bytes.iter().all(printable) && std::str::from_utf8(&bytes).is_ok());
    }

    #[test]
    fn a_group_with_any_byte_changed_is_not_whole() {
        let mut group = Group::default();
        group.add(b"ta", Some(b"{\"n\":1}"));
        group.add(b"q1", Some(b"a"));
        let bytes = group.close(Kind::Commit, 1);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(!is_whole(&damaged), "byte {at}");
            assert!(!is_whole(&bytes[..at]), "cut at {at}");
        }
    }

    #[test]
    fn a_log_of_another_layout_says_so() {
        let newer = b"{\"tlo\":\"jsonl\",\"layout\":9,\"after\":0}\n";
        assert!(read(newer).is_err_and(|why| why.contains("layout 9")));
        assert!(matches!(read(&head(3)), Ok(Line::Head { after: 3 })));
    }
}
