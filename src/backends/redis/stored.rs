//! The value of a record as it is stored: fields of fixed width, its worker and names, what few records have in packed
//! form, and parts.
//! The scripts read and write the same (`lua/records.lua`).

use super::packed::{self, Packed};

/// Bytes of the fields of fixed width.
const FIXED: usize = 207;

/// How this layout is marked.
const LAYOUT: u8 = b'A';

/// A time or a token that is not there.
const BLANK: u8 = b'-';
const NO_TOKEN: [u8; 32] = [BLANK; 32];

/// Longer parts lie beside the value, so that they are not written again with every change of it.
pub(super) const BIG: usize = 4096;

/// What few records have: gates, a key and the like. The order is that of the scripts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Special {
    ExpiresAt,
    Gates,
    Holds,
    Parked,
    ParkedSince,
    OpensAt,
    Unique,
    UniqueUntil = 9,
    Prefer,
    PreferUntil,
    Parent = 13,
}

const SPECIALS: usize = 14;

/// Numbers of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    pub(super) revision: u64,
    pub(super) fence: u64,
    pub(super) attempt: u32,
    pub(super) leases: u64,
    pub(super) lost: u32,
    pub(super) forgiven: u32,
}

/// A letter and a text; no text when that lies beside the value.
pub(super) type Part<'a> = (u8, Option<&'a [u8]>);

/// A value, cut where its fields end.
#[derive(Debug)]
pub(super) struct Stored<'a> {
    fixed: &'a [u8],
    pub(super) numbers: Numbers,
    pub(super) id: &'a str,
    pub(super) queue: &'a str,
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) worker: &'a str,
    special: Vec<Packed>,
    parts: &'a [u8],
}

/// Takes bytes from the front.
struct Front<'a>(&'a [u8]);

impl<'a> Front<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn text(&mut self, length: usize) -> Option<&'a str> {
        std::str::from_utf8(self.take(length)?).ok()
    }

    fn long(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_be_bytes)
    }

    fn int(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    fn short(&mut self) -> Option<usize> {
        let short = self.take(2)?.try_into().ok().map(u16::from_be_bytes);
        short.map(usize::from)
    }
}

impl<'a> Stored<'a> {
    /// `None` for bytes that are no value of this layout.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut front = Front(bytes);
        let fixed = front.take(FIXED)?;
        if fixed[7] != LAYOUT {
            return None;
        }
        let mut block = Front(&fixed[127..175]);
        let (revision, attempt, leases) = (block.long()?, block.int()?, block.long()?);
        let (lost, forgiven, _runs) = (block.int()?, block.int()?, block.int()?);
        let (names, worker) = (block.short()?, block.short()?);
        let special = usize::try_from(block.int()?).ok()?;
        let fence = block.long()?;
        let worker = front.text(worker)?;
        let mut texts = front.text(names)?.strip_suffix('\0')?.split('\0');
        let mut text = || texts.next();
        let (id, queue, name, version) = (text()?, text()?, text()?, text()?);
        if text().is_some() {
            return None;
        }
        let special = match front.take(special)? {
            [] => Vec::new(),
            packed => match packed::read(packed)? {
                Packed::List(list) if list.len() == SPECIALS => list,
                _ => return None,
            },
        };
        Some(Self {
            fixed,
            numbers: Numbers {
                revision,
                fence,
                attempt,
                leases,
                lost,
                forgiven,
            },
            id,
            queue,
            name,
            version,
            worker,
            special,
            parts: front.0,
        })
    }

    /// One of the digits that it begins with: status, then whether a cancel was requested, and whether it was woken.
    pub(super) fn digit(&self, index: usize) -> i64 {
        i64::from(self.fixed[index]) - i64::from(b'0')
    }

    fn text(&self, from: usize, length: usize) -> &'a str {
        std::str::from_utf8(&self.fixed[from..from + length]).unwrap_or_default()
    }

    /// The priority, as orders have it, and the number of its creation.
    pub(super) fn order(&self) -> Option<(u8, u64)> {
        let priority: u8 = self.text(8, 3).parse().ok()?;
        Some((255 - priority, self.text(31, 16).parse().ok()?))
    }

    pub(super) fn run_at(&self) -> &'a str {
        self.text(11, 20)
    }

    pub(super) fn created_at(&self) -> &'a str {
        self.text(47, 20)
    }

    pub(super) fn started_at(&self) -> &'a str {
        self.text(67, 20)
    }

    pub(super) fn finished_at(&self) -> &'a str {
        self.text(87, 20)
    }

    pub(super) fn until(&self) -> &'a str {
        self.text(107, 20)
    }

    /// Of its lease, or of the last one.
    pub(super) fn token(&self) -> Option<&'a str> {
        Some(self.text(175, 32)).filter(|token| token.as_bytes() != NO_TOKEN)
    }

    pub(super) fn special(&self, which: Special) -> Option<&str> {
        match self.special.get(which as usize)? {
            Packed::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    pub(super) fn list(&self, which: Special) -> &[Packed] {
        match self.special.get(which as usize) {
            Some(Packed::List(list)) => list,
            _ => &[],
        }
    }

    /// Its parts; `None` when they are damaged.
    pub(super) fn parts(&self) -> Option<Vec<Part<'a>>> {
        let (mut front, mut parts) = (Front(self.parts), Vec::with_capacity(4));
        while !front.0.is_empty() {
            let letter = front.take(1)?[0];
            let text = match front.text(8)? {
                "--------" => None,
                length => Some(front.take(length.parse().ok()?)?),
            };
            parts.push((letter, text));
        }
        Some(parts)
    }
}

/// A part in its frame.
pub(super) fn put_part(into: &mut Vec<u8>, letter: u8, text: &[u8]) {
    into.push(letter);
    into.extend_from_slice(format!("{:08}", text.len()).as_bytes());
    into.extend_from_slice(text);
}

/// What follows the times in the value of a task that was just made and has nothing special. `names` is its queue, name
/// and version, each with a zero behind it.
pub(super) fn fresh(id: &str, names: &str, parts: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(id.len() + 1 + names.len()).ok()?;
    let mut value = Vec::with_capacity(80 + usize::from(length) + parts.len());
    value.extend_from_slice(&1_u64.to_be_bytes());
    value.extend_from_slice(&[0; 24]);
    value.extend_from_slice(&length.to_be_bytes());
    value.extend_from_slice(&[0; 14]);
    value.extend_from_slice(&NO_TOKEN);
    value.extend_from_slice(id.as_bytes());
    value.push(0);
    value.extend_from_slice(names.as_bytes());
    value.extend_from_slice(parts);
    Some(value)
}
