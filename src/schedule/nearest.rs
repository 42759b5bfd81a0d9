//! The nearest of a list of names, for messages that say what was probably meant.

/// At most `count` of the names that differ from `wanted` in few letters (up to a third of them), nearest first.
pub(crate) fn nearest<'a>(
    wanted: &str,
    known: impl Iterator<Item = &'a str>,
    count: usize,
) -> Vec<String> {
    let wanted = wanted.to_ascii_lowercase();
    let limit = (wanted.chars().count() / 3).max(1);
    let mut close: Vec<(usize, &str)> = known
        .map(|name| (distance(&wanted, &name.to_ascii_lowercase()), name))
        .filter(|(distance, _)| *distance <= limit)
        .collect();
    close.sort_unstable();
    close
        .into_iter()
        .take(count)
        .map(|(_, name)| name.to_owned())
        .collect()
}

/// What to say behind a name that is not known: the nearest that is, or else the first ten behind `listed`, or `none` when
/// there are none.
pub(crate) fn hint<'a>(
    wanted: &str,
    known: impl Iterator<Item = &'a str> + Clone,
    listed: &str,
    none: &str,
) -> String {
    const LISTED: usize = 10;
    if let Some(near) = nearest(wanted, known.clone(), 1).first() {
        return format!("; did you mean \"{near}\"?");
    }
    let names: Vec<_> = known
        .clone()
        .take(LISTED)
        .map(|name| format!("\"{name}\""))
        .collect();
    if names.is_empty() {
        return none.to_owned();
    }
    let more = if known.count() > LISTED { ", …" } else { "" };
    format!("; {listed} {}{more}", names.join(", "))
}

/// The number of letters to add, drop, change or swap with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = change.min(row[j - 1] + 1).min(rows[i - 1][j] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_changed_letters() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
        assert_eq!(distance("debgu", "debug"), 1);
        assert_eq!(distance("ab", "ba"), 1);
    }
}
