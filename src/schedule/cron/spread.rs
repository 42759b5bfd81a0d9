//! `H`: a number that is different for each task and always the same for one, so that not all run at once.

use super::fault::{Fault, Piece};
use super::item::ItemContext;
use super::unit::{Dialect, Unit};
use crate::id::stable_hash;

/// The numbers of `H`, `H/n`, `H(a-b)` and `H(a-b)/n` (weekdays from Sunday = 0), and whether it is a single one.
pub(super) fn spread(
    unit: Unit,
    item: Piece<'_>,
    context: ItemContext<'_>,
) -> Result<(u64, bool), Fault> {
    let (base, step) = match item.split_once('/') {
        Some((base, step)) => (base, Some(step)),
        None => (item, None),
    };
    let (least, most) = range(unit, base, context.dialect)?;
    let span = most - least + 1;
    let name = format!("{}\u{0}{}", context.seed, unit.name());
    let hash = mixed(stable_hash(name.as_bytes()));
    let pick = |below: u32| u32::try_from(hash % u64::from(below.max(1))).unwrap_or(0);
    let Some(step) = step else {
        return Ok((1 << (least + pick(span)), true));
    };
    let every = step
        .text
        .parse::<u32>()
        .ok()
        .filter(|every| (1..=span).contains(every))
        .ok_or_else(|| {
            let near = if step.text == "0" { 1 } else { span };
            Fault::of(step, format!("the step of H is 1 to {span} here")).instead(near.to_string())
        })?;
    let mut set = 0;
    let mut number = least + pick(every);
    while number <= most {
        set |= 1 << number;
        number += every;
    }
    Ok((set, false))
}

/// The numbers to choose from, weekdays from Sunday = 0.
fn range(unit: Unit, base: Piece<'_>, dialect: Dialect) -> Result<(u32, u32), Fault> {
    let (least, most) = match (unit, dialect) {
        // Sunday counts once.
        (Unit::Weekday, Dialect::Unix) => (0, 6),
        _ => unit.range(dialect),
    };
    let first = u32::from(unit == Unit::Weekday && dialect == Dialect::Quartz);
    let text = base.text.get(1..).unwrap_or_default();
    if text.is_empty() {
        // Every month has the days up to 28.
        let most = if unit == Unit::Day { 28 } else { most };
        return Ok((least - first, most - first));
    }
    text.strip_prefix('(')
        .and_then(|text| text.strip_suffix(')'))
        .and_then(|text| text.split_once('-'))
        .and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)))
        .filter(|(from, to): &(u32, u32)| least <= *from && from <= to && *to <= most)
        .map(|(from, to)| (from - first, to - first))
        .ok_or_else(|| {
            Fault::of(
                base,
                format!("H is written H, H/n, H({least}-{most}) or H({least}-{most})/n"),
            )
            .instead("H")
        })
}

/// Spreads the bits of a hash, so that its remainder by small numbers is even (the finisher of SplitMix64).
pub(in crate::schedule) fn mixed(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
