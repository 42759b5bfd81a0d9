//! `rate` of a task: how often it starts in the whole cluster.

use super::fields::Fields;
use crate::task::Rate;

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
