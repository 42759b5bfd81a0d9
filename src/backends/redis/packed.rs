//! Reading what the scripts packed: the part of MessagePack that they write.

/// A packed value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Packed {
    /// Nothing, or false.
    None,
    True,
    Number(i64),
    Text(String),
    List(Vec<Packed>),
}

/// Reads one value; `None` when it is damaged or something is left over.
pub(super) fn read(bytes: &[u8]) -> Option<Packed> {
    let mut rest = bytes;
    let value = value(&mut rest, 0)?;
    rest.is_empty().then_some(value)
}

/// Lists in lists, at most; damaged bytes must not end the stack.
const DEPTH: usize = 4;

fn value(rest: &mut &[u8], depth: usize) -> Option<Packed> {
    let [tag] = *take::<1>(rest)?;
    Some(match tag {
        0x00..=0x7f => Packed::Number(i64::from(tag)),
        0xe0..=0xff => Packed::Number(i64::from(tag.cast_signed())),
        0xc0 | 0xc2 => Packed::None,
        0xc3 => Packed::True,
        0xcc => Packed::Number(i64::from(take::<1>(rest)?[0])),
        0xcd => Packed::Number(i64::from(u16::from_be_bytes(*take(rest)?))),
        0xce => Packed::Number(i64::from(u32::from_be_bytes(*take(rest)?))),
        0xcf => Packed::Number(i64::try_from(u64::from_be_bytes(*take(rest)?)).ok()?),
        0xd0 => Packed::Number(i64::from(i8::from_be_bytes(*take(rest)?))),
        0xd1 => Packed::Number(i64::from(i16::from_be_bytes(*take(rest)?))),
        0xd2 => Packed::Number(i64::from(i32::from_be_bytes(*take(rest)?))),
        0xd3 => Packed::Number(i64::from_be_bytes(*take(rest)?)),
        0xcb => whole(f64::from_be_bytes(*take(rest)?))?,
        0xca => whole(f64::from(f32::from_be_bytes(*take(rest)?)))?,
        0xa0..=0xbf => text(rest, usize::from(tag & 0x1f))?,
        0xd9 => {
            let length = usize::from(take::<1>(rest)?[0]);
            text(rest, length)?
        }
        0xda => {
            let length = usize::from(u16::from_be_bytes(*take(rest)?));
            text(rest, length)?
        }
        0xdb => {
            let length = usize::try_from(u32::from_be_bytes(*take(rest)?)).ok()?;
            text(rest, length)?
        }
        0x90..=0x9f => list(rest, usize::from(tag & 0x0f), depth)?,
        0xdc => {
            let length = usize::from(u16::from_be_bytes(*take(rest)?));
            list(rest, length, depth)?
        }
        0xdd => {
            let length = usize::try_from(u32::from_be_bytes(*take(rest)?)).ok()?;
            list(rest, length, depth)?
        }
        // An empty table of Lua may be either.
        0x80 => Packed::List(Vec::new()),
        _ => return None,
    })
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(first)
}

/// Numbers of Lua are fractions; those that are stored are whole.
fn whole(number: f64) -> Option<Packed> {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "whole numbers below 2^53 are exact"
    )]
    (number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0)
        .then_some(Packed::Number(number as i64))
}

fn text(rest: &mut &[u8], length: usize) -> Option<Packed> {
    let (text, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(Packed::Text(String::from_utf8(text.to_vec()).ok()?))
}

fn list(rest: &mut &[u8], length: usize, depth: usize) -> Option<Packed> {
    if depth == DEPTH || length > rest.len() {
        return None;
    }
    let items = (0..length).map(|_| value(rest, depth + 1));
    items.collect::<Option<_>>().map(Packed::List)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lua_packs_is_read_and_damage_is_nothing() {
        let packed = [0x94, 0xa1, b'a', 0xcd, 1, 0, 0xc2, 0x91, 0xff];
        let wanted = Packed::List(vec![
            Packed::Text("a".to_owned()),
            Packed::Number(256),
            Packed::None,
            Packed::List(vec![Packed::Number(-1)]),
        ]);
        assert_eq!(read(&packed), Some(wanted));
        for end in 0..packed.len() {
            assert_eq!(read(&packed[..end]), None, "{end}");
        }
        assert_eq!(read(&[0xdd, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(read(&[0x91; 64]), None);
    }
}
