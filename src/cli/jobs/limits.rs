//! `rate` of a task and `[queues.NAME]`: limits that hold in the whole cluster.

use std::ops::Range;

use toml_edit::{Item, TableLike};

use super::fields::Fields;
use crate::cli::source::{Mistake, Source};
use crate::client::{DeclaredLimits, Limits, Target};
use crate::task::Rate;

/// What a table of a queue may say.
const KEYS: [&str; 3] = ["limit", "rate", "max_depth"];

/// What others call it.
const MEANT: [(&str, &str); 5] = [
    ("max", "limit"),
    ("concurrency", "limit"),
    ("rate_limit", "rate"),
    ("depth", "max_depth"),
    ("max_length", "max_depth"),
];

/// How often something may start: `"10/1m"`, or `{ n = 10, per = "1m", burst = 20 }`.
pub(super) fn rate(fields: &mut Fields<'_>) -> Option<Rate> {
    const HELP: &str = "write rate = \"10/1m\", or rate = { n = 10, per = \"1m\", burst = 20 }";
    let item = fields.item("rate")?;
    if item.value.as_table_like().is_none() {
        let text = fields.text_or("rate", "a text such as \"10/1m\", or a table", Some(HELP))?;
        return match text.value.parse() {
            Ok(rate) => Some(rate),
            Err(error) => {
                fields.fault_of(&text, &error);
                None
            }
        };
    }
    let mut table = fields.table("rate", "a rate", HELP)?;
    table.refuse_others(&["n", "per", "burst"], &[("max", "n"), ("period", "per")]);
    for key in ["n", "per"] {
        if !table.has(key) {
            let place = table.place();
            table.fault(place, format!("the rate has no \"{key}\""), Some(HELP));
        }
    }
    let n = table.integer("n", 1..=u32::MAX);
    let per = table.positive_duration("per");
    let burst = table.integer("burst", 1..=u32::MAX);
    fields.adopt(table.into_mistakes());
    let (n, per) = (n?, per?);
    Some(Rate { n, per, burst })
}

/// The limits of `[queues.NAME]` tables, and what is wrong with them. A list of names is a setting and says none.
pub(super) fn queues(
    source: &Source,
    item: &Item,
    place: &Range<usize>,
) -> (Vec<DeclaredLimits>, Vec<Mistake>) {
    let (mut declared, mut mistakes) = (Vec::new(), Vec::new());
    let Some(tables) = item.as_table_like() else {
        return (declared, mistakes);
    };
    for (name, item) in tables.iter() {
        let span = tables
            .get_key_value(name)
            .and_then(|(key, _)| key.span())
            .unwrap_or_else(|| place.clone());
        let Some(table) = item.as_table_like() else {
            let message = format!("\"{name}\" is no queue: a queue is a table");
            let help = format!("write [queues.{name}], and what holds for it below");
            let span = item.span().unwrap_or(span);
            mistakes.push(Mistake::error(source, span, message).help(help));
            continue;
        };
        let (limits, wrong) = queue(source, table, span);
        mistakes.extend(wrong);
        if limits != Limits::default() {
            let target = Target::Queue(name.to_owned());
            declared.push(DeclaredLimits { target, limits });
        }
    }
    (declared, mistakes)
}

fn queue(source: &Source, table: &dyn TableLike, span: Range<usize>) -> (Limits, Vec<Mistake>) {
    let mut fields = Fields::new(source, table, span, "a queue");
    fields.refuse_others(&KEYS, &MEANT);
    let limits = Limits {
        max: fields.integer("limit", 1..=u32::MAX),
        rate: rate(&mut fields),
        max_depth: fields.integer("max_depth", 1..=u32::MAX).map(u64::from),
    };
    (limits, fields.into_mistakes())
}
