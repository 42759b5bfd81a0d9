//! When a task runs, and what becomes of slots that are missed, overlap or crowd.

use toml_edit::{Item, Value};

use super::fields::{Fields, Placed, Text};
use crate::cli::source::Mistake;
use crate::schedule::{Dst, Misfire, Overlap, Schedule, find_zone, parse_instant};
use crate::task::TaskDef;
use crate::timestamp::Timestamp;

const WHEN: [&str; 3] = ["cron", "every", "at"];
/// What `misfire = "all"` makes up for at most.
const ALL: u32 = 10_000;

/// Puts schedule and policy into the definition. Answers with the instant of a task that runs once.
pub(super) fn read(fields: &mut Fields<'_>, def: &mut TaskDef) -> Option<Placed<Timestamp>> {
    let zone = zone(fields);
    let given: Vec<&str> = WHEN.into_iter().filter(|key| fields.has(key)).collect();
    let mut once = None;
    let rule = match given.as_slice() {
        [] => None,
        ["cron"] => cron(fields, zone.as_ref(), &def.name),
        ["every"] => every(fields),
        ["at"] => {
            once = at(fields, zone.as_ref());
            once.as_ref().map(|at| Schedule::at(at.value))
        }
        several => {
            let names: Vec<String> = several.iter().map(|key| format!("\"{key}\"")).collect();
            // The lower one is the one too many.
            let spans = several.iter().map(|key| fields.key_span(key));
            let span = spans
                .max_by_key(|span| span.start)
                .unwrap_or_else(|| fields.place());
            fields.fault(
                span,
                format!(
                    "{} are {} schedules; a task has one",
                    names.join(" and "),
                    names.len()
                ),
                Some("keep one, or write two tasks"),
            );
            None
        }
    };
    let by_cron = ("cron", "give the task a cron expression");
    only_with(fields, &["dialect", "dst"], &["cron"], by_cron);
    let by_clock = (
        "cron or at",
        "schedule the task by cron or at (an interval knows no clock)",
    );
    only_with(fields, &["zone"], &["cron", "at", "start", "end"], by_clock);
    let policy_keys = [
        "start", "end", "max_runs", "misfire", "grace", "overlap", "jitter",
    ];
    let by_any = ("a schedule", "add cron, every or at");
    only_with(fields, &policy_keys, &WHEN, by_any);
    let (start, end) = (
        instant(fields, "start", zone.as_ref()),
        instant(fields, "end", zone.as_ref()),
    );
    if let (Some(start), Some(end)) = (start, end)
        && end < start
    {
        let span = fields
            .item("end")
            .map_or_else(|| fields.place(), |item| item.span);
        fields.fault(span, "\"end\" is before \"start\", so it never runs", None);
    }
    def.schedule = match rule {
        Some(rule) if start.is_some() || end.is_some() => Some(rule.between(start, end)),
        rule => rule,
    };
    def.policy.misfire = misfire(fields).unwrap_or_default();
    def.policy.grace = fields.duration("grace").map(|grace| grace.value);
    def.policy.overlap = fields
        .choice(
            "overlap",
            &[
                ("skip", Overlap::Skip),
                ("queue", Overlap::Queue),
                ("allow", Overlap::Allow),
                ("replace", Overlap::Replace),
            ],
        )
        .unwrap_or_default();
    def.policy.jitter = fields
        .duration("jitter")
        .map(|jitter| jitter.value)
        .filter(|jitter| !jitter.is_zero());
    def.policy.max_runs = fields
        .integer("max_runs", 1..=i64::MAX)
        .and_then(|runs| u64::try_from(runs).ok());
    def.policy.run_at_start = fields.boolean("run_at_start").unwrap_or(false);
    once
}

/// Refuses keys that mean nothing without one of the others, which are called `what`; `way_out` gets one.
fn only_with(
    fields: &mut Fields<'_>,
    keys: &[&str],
    others: &[&str],
    (what, way_out): (&str, &str),
) {
    if others.iter().any(|other| fields.has(other)) {
        return;
    }
    let given: Vec<&str> = keys.iter().copied().filter(|key| fields.has(key)).collect();
    for key in given {
        let span = fields.key_span(key);
        fields.fault(
            span,
            format!("\"{key}\" means nothing without {what}"),
            Some(&format!("leave it out, or {way_out}")),
        );
    }
}

/// The zone, once it is known to exist.
fn zone<'a>(fields: &mut Fields<'a>) -> Option<Text<'a>> {
    let zone = fields.text_or(
        "zone",
        "the name of a time zone",
        Some("write zone = \"Europe/Berlin\""),
    )?;
    match find_zone(zone.value) {
        Ok(_) => Some(zone),
        Err(error) => {
            fields.fault_of(&zone, &error);
            None
        }
    }
}

fn cron(fields: &mut Fields<'_>, zone: Option<&Text<'_>>, name: &str) -> Option<Schedule> {
    let text = fields.text_or(
        "cron",
        "text with a cron expression",
        Some("write cron = \"0 3 * * *\""),
    )?;
    let quartz = fields.choice("dialect", &[("unix", false), ("quartz", true)]);
    let dst = fields.choice("dst", &Dst::ALL.map(|dst| (dst.as_str(), dst)));
    let zone = zone.map_or("UTC", |zone| zone.value);
    let schedule = if quartz == Some(true) {
        Schedule::quartz(text.value, zone)
    } else {
        Schedule::cron_in(text.value, zone)
    };
    let schedule = schedule.and_then(|schedule| {
        if name.is_empty() {
            Ok(schedule)
        } else {
            schedule.seeded(name)
        }
    });
    match schedule {
        Ok(schedule) => Some(schedule.dst(dst.unwrap_or_default())),
        Err(error) => {
            fields.fault_of(&text, &error);
            None
        }
    }
}

fn every(fields: &mut Fields<'_>) -> Option<Schedule> {
    let period = fields.duration("every")?;
    match Schedule::every(period.value) {
        Ok(schedule) => Some(schedule),
        Err(error) => {
            fields.fault(
                period.span,
                error.to_string(),
                Some("write every = \"1s\" or longer"),
            );
            None
        }
    }
}

fn at(fields: &mut Fields<'_>, zone: Option<&Text<'_>>) -> Option<Placed<Timestamp>> {
    let value = instant(fields, "at", zone)?;
    let span = fields.item("at")?.span;
    Some(Placed { value, span })
}

/// An instant: a date of TOML or text, with an offset or in the zone of the task.
fn instant(fields: &mut Fields<'_>, key: &str, zone: Option<&Text<'_>>) -> Option<Timestamp> {
    let found = fields.item(key)?;
    let text = match found.value {
        Item::Value(Value::Datetime(date)) => date.value().to_string(),
        Item::Value(Value::String(text)) => text.value().trim().to_owned(),
        other => {
            let message = format!(
                "\"{key}\" is an instant; here it is {}",
                super::fields::kind_of(other)
            );
            fields.fault(found.span, message, Some("write 2026-11-20T10:00:00Z"));
            return None;
        }
    };
    match parse_instant(&text, zone.map(|zone| zone.value)) {
        Ok(instant) => Some(instant),
        Err(error) => {
            let mistake = Mistake::of(&error, fields.source(), found.span, false);
            let message = format!("\"{key}\": {}", mistake.message);
            fields.adopt(vec![Mistake { message, ..mistake }]);
            None
        }
    }
}

/// `"skip"`, `"once"`, `"all"`, or `{ all = 10 }`.
fn misfire(fields: &mut Fields<'_>) -> Option<Misfire> {
    let found = fields.item("misfire")?;
    if found.value.as_table_like().is_none() {
        return fields.choice(
            "misfire",
            &[
                ("skip", Misfire::Skip),
                ("once", Misfire::Once),
                ("all", Misfire::All { max: ALL }),
            ],
        );
    }
    let mut table = fields.table("misfire", "a misfire table", "write misfire = { all = 10 }")?;
    table.refuse_others(&["all"], &[("max", "all")]);
    let max = table.integer("all", 1..=ALL);
    fields.adopt(table.into_mistakes());
    max.map(|max| Misfire::All { max })
}
