//! `exclusive` and `limit`: how many tasks run at once.

use toml_edit::Item;

use super::fields::{Fields, Text};
use crate::task::{GateTemplate, TaskDef, render_template, template_fields};

/// The gates of a task, with the keys that a task builder gives them. `exclusive = true`, `exclusive = "{user_id}"` and
/// `limit = 3` count the tasks of this name, `limit = { key = "{user_id}", max = 3 }` all tasks with that key.
pub(super) fn read(fields: &mut Fields<'_>, name: &str) -> Vec<GateTemplate> {
    let mut gates = Vec::new();
    gates.extend(exclusive(fields, name));
    gates.extend(limit(fields, name));
    gates
}

/// Tells which fields the keys need that the args of a recurring task do not have. A gate that nobody could pass is
/// left out of the definition, so that it is told once.
pub(super) fn fill(fields: &mut Fields<'_>, def: &mut TaskDef) {
    let mut bad = false;
    let limit = fields
        .item("limit")
        .and_then(|item| item.value.as_table_like())
        .and_then(|table| table.get("key"));
    let keys = [
        fields.peek_text("exclusive"),
        limit.and_then(|key| fields.text_of(key)),
    ];
    for text in keys.into_iter().flatten() {
        let Err(error) = render_template(text.value, &def.args) else {
            continue;
        };
        bad = true;
        let help = "each run is given these args: put the field into args = { … }, or leave it out of the key";
        fields.fault(text.span, error.to_string(), Some(help));
    }
    if bad {
        def.gates.clear();
    }
}

/// A name as text of a template.
fn literal(name: &str) -> String {
    name.replace('{', "{{").replace('}', "}}")
}

fn exclusive(fields: &mut Fields<'_>, name: &str) -> Option<GateTemplate> {
    let item = fields.item("exclusive")?;
    if let Some(whether) = item.value.as_bool() {
        return whether.then(|| GateTemplate {
            template: format!("exclusive/{}", literal(name)),
            limit: 1,
        });
    }
    let key = fields.text_or(
        "exclusive",
        "true, or a key made of the args",
        Some("write exclusive = \"{user_id}\""),
    )?;
    let template = template(fields, &key)?;
    Some(GateTemplate {
        template: format!("exclusive/{}/{template}", literal(name)),
        limit: 1,
    })
}

fn limit(fields: &mut Fields<'_>, name: &str) -> Option<GateTemplate> {
    const HELP: &str = "write limit = 3, or limit = { key = \"{user_id}\", max = 3 }";
    let item = fields.item("limit")?;
    if matches!(item.value, Item::Value(toml_edit::Value::Integer(_))) {
        let limit = fields.integer("limit", 1..=u32::MAX)?;
        return Some(GateTemplate {
            template: format!("limit/{}", literal(name)),
            limit,
        });
    }
    let mut table = fields.table("limit", "a limit", HELP)?;
    table.refuse_others(&["key", "max"], &[("limit", "max"), ("template", "key")]);
    for key in ["key", "max"] {
        if !table.has(key) {
            let place = table.place();
            table.fault(place, format!("the limit has no \"{key}\""), Some(HELP));
        }
    }
    let key = table.text("key").and_then(|key| template(&mut table, &key));
    let max = table.integer("max", 1..=u32::MAX);
    fields.adopt(table.into_mistakes());
    Some(GateTemplate {
        template: key?,
        limit: max?,
    })
}

fn template(fields: &mut Fields<'_>, text: &Text<'_>) -> Option<String> {
    if text.value.is_empty() {
        fields.fault(
            text.span.clone(),
            "the key is empty",
            Some("write a word, or a field of the args such as {user_id}"),
        );
        return None;
    }
    match template_fields(text.value) {
        Ok(_) => Some(text.value.to_owned()),
        Err(error) => {
            fields.fault_of(text, &error);
            None
        }
    }
}
