//! What keys mean.

use super::state::Section;

/// A key, as it is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Down,
    Up,
    PageDown,
    PageUp,
    First,
    Last,
    /// The next section, or the one before.
    Next,
    Previous,
    Go(Section),
    /// Shows the record of the line.
    Open,
    /// Back to the table.
    Back,
    /// Look now.
    Refresh,
    Quit,
}

/// What terminals send for keys that are no characters.
const SEQUENCES: &[(&str, Key)] = &[
    ("\x1b[A", Key::Up),
    ("\x1bOA", Key::Up),
    ("\x1b[B", Key::Down),
    ("\x1bOB", Key::Down),
    ("\x1b[C", Key::Next),
    ("\x1bOC", Key::Next),
    ("\x1b[D", Key::Previous),
    ("\x1bOD", Key::Previous),
    ("\x1b[Z", Key::Previous),
    ("\x1b[5~", Key::PageUp),
    ("\x1b[6~", Key::PageDown),
    ("\x1b[H", Key::First),
    ("\x1bOH", Key::First),
    ("\x1b[1~", Key::First),
    ("\x1b[7~", Key::First),
    ("\x1b[F", Key::Last),
    ("\x1bOF", Key::Last),
    ("\x1b[4~", Key::Last),
    ("\x1b[8~", Key::Last),
];

/// The keys of these bytes, which are taken away; the beginning of a sequence that is not there yet stays.
pub(super) fn keys(bytes: &mut Vec<u8>) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        match rest {
            // Alone it is the key itself: terminals send a sequence in one piece.
            [0x1b] => {
                keys.push(Key::Back);
                at += 1;
            }
            [0x1b, b'[' | b'O', ..] => {
                let Some(length) = sequence(rest) else { break };
                let known = SEQUENCES
                    .iter()
                    .find(|(text, _)| text.as_bytes() == &rest[..length]);
                keys.extend(known.map(|(_, key)| *key));
                at += length;
            }
            [byte, ..] => {
                keys.extend(character(*byte));
                at += 1;
            }
            [] => break,
        }
    }
    bytes.drain(..at);
    keys
}

/// How long the sequence is that these bytes begin with; `None` when its end is still to come.
fn sequence(bytes: &[u8]) -> Option<usize> {
    if bytes[1] == b'O' {
        return (bytes.len() > 2).then_some(3);
    }
    let end = bytes[2..]
        .iter()
        .position(|byte| (0x40..=0x7e).contains(byte));
    end.map(|end| end + 3)
}

fn character(byte: u8) -> Option<Key> {
    Some(match byte {
        b'j' => Key::Down,
        b'k' => Key::Up,
        b' ' | b'f' | 0x06 => Key::PageDown,
        b'b' | 0x02 => Key::PageUp,
        b'g' => Key::First,
        b'G' => Key::Last,
        b'\t' | b'l' => Key::Next,
        b'h' => Key::Previous,
        b'0' | b'a' => Key::Go(Section::All),
        b'1' => Key::Go(Section::Pending),
        b'2' => Key::Go(Section::Running),
        b'3' => Key::Go(Section::Finished),
        b'\r' | b'\n' | b'i' => Key::Open,
        0x7f | 0x08 => Key::Back,
        b'r' | 0x0c => Key::Refresh,
        b'q' | b'Q' | 0x03 => Key::Quit,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<Key>, Vec<u8>) {
        let mut bytes = text.as_bytes().to_vec();
        let keys = keys(&mut bytes);
        (keys, bytes)
    }

    #[test]
    fn characters_and_sequences_are_keys() {
        let (keys, rest) = read("jG\x1b[A\x1b[6~\x1bOB\t\x1b[Z1\r\x03");
        assert_eq!(
            keys,
            [
                Key::Down,
                Key::Last,
                Key::Up,
                Key::PageDown,
                Key::Down,
                Key::Next,
                Key::Previous,
                Key::Go(Section::Pending),
                Key::Open,
                Key::Quit
            ]
        );
        assert!(rest.is_empty());
    }

    #[test]
    fn what_is_unknown_is_passed_over_whole() {
        assert_eq!(read("x\x1b[1;5Aq").0, [Key::Quit]);
        assert_eq!(read("ä\u{1b}[38;5;1mq").0, [Key::Quit]);
    }

    #[test]
    fn a_sequence_may_come_in_pieces_and_an_escape_alone() {
        let (keys_now, mut rest) = read("j\x1b[");
        assert_eq!(
            (keys_now, rest.as_slice()),
            (vec![Key::Down], &b"\x1b["[..])
        );
        rest.extend(b"B");
        assert_eq!(keys(&mut rest), [Key::Down]);
        assert_eq!(read("\x1b").0, [Key::Back]);
    }
}
