//! The cases of registries.

use std::sync::Arc;
use std::time::Duration;

use super::bench::{CaseResult, Failed, check, check_eq};
use super::registry::{Registry, cases};
use crate::error::{Error, ErrorKind};
use crate::payload::Payload;
use crate::schedule::{Overlap, Schedule};
use crate::task::{GateTemplate, TaskDef};

cases! {
    a_definition_is_found_as_it_was_put,
    an_unknown_name_is_found_as_nothing,
    a_definition_that_is_not_valid_is_refused_and_not_kept,
    a_known_name_is_refused_and_the_first_definition_stays,
    a_definition_is_found_by_its_aliases,
    a_name_and_an_alias_never_lead_to_two_tasks,
    a_refused_definition_leaves_nothing_behind,
    versions_of_a_name_live_side_by_side_and_one_of_them_twice_is_refused,
    a_name_alone_leads_to_the_definition_without_a_version_or_to_the_last,
    at_most_one_version_of_a_name_has_a_schedule,
    definitions_are_listed_in_the_order_of_their_registration,
    a_removed_name_is_free_with_its_aliases_and_all_its_versions,
    an_alias_and_an_unknown_name_are_not_removed,
    hostile_names_of_tasks_stay_apart,
    a_name_of_255_bytes_is_kept_and_a_longer_one_is_refused,
    of_many_that_register_one_name_at_once_one_succeeds,
    thousands_of_definitions_are_kept,
}

fn named(name: &str) -> TaskDef {
    TaskDef::new(name)
}

fn versioned(name: &str, version: &str) -> TaskDef {
    let mut def = named(name);
    def.version = Some(Arc::from(version));
    def
}

fn with_alias(mut def: TaskDef, alias: &str) -> TaskDef {
    def.aliases.push(Arc::from(alias));
    def
}

fn every_second(mut def: TaskDef) -> CaseResult<TaskDef> {
    def.schedule = Some(Schedule::every(Duration::from_secs(1))?);
    Ok(def)
}

/// Puts a definition that must be refused.
async fn refused(registry: &Registry, def: TaskDef) -> CaseResult<Error> {
    let shown = format!("{def:?}");
    match registry.put(def).await {
        Err(error) => Ok(error),
        Ok(()) => Err(Failed::new(format!("accepted {shown}"))),
    }
}

async fn taken(registry: &Registry, def: TaskDef) -> CaseResult {
    let name = Arc::clone(&def.name);
    let error = refused(registry, def).await?;
    check_eq!(error.kind(), ErrorKind::AlreadyExists);
    check!(
        error.to_string().contains(&format!("\"{name}\"")),
        "the error does not name \"{name}\": {error}"
    );
    Ok(())
}

fn shown(def: &Arc<TaskDef>) -> String {
    match &def.version {
        Some(version) => format!("{} {version}", def.name),
        None => def.name.to_string(),
    }
}

async fn listed(registry: &Registry) -> CaseResult<Vec<String>> {
    Ok(registry.list().await?.iter().map(shown).collect())
}

async fn found(registry: &Registry, name: &str) -> CaseResult<Option<String>> {
    Ok(registry.get(name).await?.as_ref().map(shown))
}

async fn a_definition_is_found_as_it_was_put(registry: Registry, _: usize) -> CaseResult {
    let mut def = every_second(with_alias(versioned("report", "1.2"), "old report"))?;
    def.description = Some("für alle\n\u{1f600}".to_owned());
    def.queue = Arc::from("slow");
    def.priority = 255;
    def.policy.overlap = Overlap::Replace;
    def.args = Payload::parse(r#"{"b":1,  "a":[1.0,	1e3], "n":"\u0000"}"#)?;
    def.max_attempts = Some(7);
    def.max_lost = 0;
    def.timeout = Some(Duration::from_millis(1500));
    def.lease = Some(Duration::from_secs(90));
    def.gates.push(GateTemplate {
        template: "report/{b}".to_owned(),
        limit: 3,
    });
    def.tags.insert("nightly".to_owned());
    def.metadata
        .insert("owner".to_owned(), serde_json::json!({"team": ["a", null]}));
    registry.put(def.clone()).await?;
    let def = Arc::new(def);
    check_eq!(registry.get("report").await?, Some(Arc::clone(&def)));
    check_eq!(registry.list().await?, [def]);
    Ok(())
}

async fn an_unknown_name_is_found_as_nothing(registry: Registry, _: usize) -> CaseResult {
    check_eq!(found(&registry, "x").await?, None);
    check_eq!(listed(&registry).await?.len(), 0);
    registry.put(versioned("xy", "1")).await?;
    for name in ["x", "xyz", "XY", "xy ", "", "1", "%", "*"] {
        check_eq!(found(&registry, name).await?, None, "\"{name}\"");
    }
    check_eq!(registry.get_version("xy", None).await?, None);
    check_eq!(registry.get_version("xy", Some("2")).await?, None);
    check_eq!(registry.get_version("x", Some("1")).await?, None);
    Ok(())
}

async fn a_definition_that_is_not_valid_is_refused_and_not_kept(
    registry: Registry,
    _: usize,
) -> CaseResult {
    let mut no_attempts = named("x");
    no_attempts.max_attempts = Some(0);
    let mut no_time = named("x");
    no_time.timeout = Some(Duration::ZERO);
    for def in [
        no_attempts,
        no_time,
        named(""),
        named("a\nb"),
        with_alias(named("x"), "x"),
        versioned("x", ""),
    ] {
        let error = refused(&registry, def).await?;
        check_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        check_eq!(listed(&registry).await?.len(), 0, "after {error}");
    }
    registry.put(named("x")).await?;
    Ok(())
}

async fn a_known_name_is_refused_and_the_first_definition_stays(
    registry: Registry,
    _: usize,
) -> CaseResult {
    let mut first = named("x");
    first.description = Some("first".to_owned());
    registry.put(first.clone()).await?;
    for _ in 0..2 {
        taken(&registry, named("x")).await?;
    }
    check_eq!(registry.get("x").await?, Some(Arc::new(first)));
    check_eq!(listed(&registry).await?, ["x"]);
    Ok(())
}

async fn a_definition_is_found_by_its_aliases(registry: Registry, _: usize) -> CaseResult {
    let def = with_alias(with_alias(named("new"), "old"), "older");
    registry.put(def.clone()).await?;
    registry.put(named("other")).await?;
    let def = Arc::new(def);
    for name in ["new", "old", "older"] {
        check_eq!(registry.get(name).await?, Some(def.clone()), "{name}");
        let plain = registry.get_version(name, None).await?;
        check_eq!(plain, Some(def.clone()), "{name}");
    }
    check_eq!(listed(&registry).await?, ["new", "other"]);
    Ok(())
}

async fn a_name_and_an_alias_never_lead_to_two_tasks(registry: Registry, _: usize) -> CaseResult {
    registry.put(with_alias(named("new"), "old")).await?;
    taken(&registry, named("old")).await?;
    // Another version does not make it another's.
    taken(&registry, versioned("old", "2")).await?;
    for alias in ["new", "old"] {
        for def in [named("other"), versioned("other", "2")] {
            let error = refused(&registry, with_alias(def, alias)).await?;
            check_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
        }
    }
    check_eq!(listed(&registry).await?, ["new"]);
    check_eq!(found(&registry, "old").await?.as_deref(), Some("new"));
    Ok(())
}

async fn a_refused_definition_leaves_nothing_behind(registry: Registry, _: usize) -> CaseResult {
    registry.put(named("x")).await?;
    taken(&registry, with_alias(named("x"), "free")).await?;
    let clash = with_alias(with_alias(named("y"), "fine"), "x");
    check_eq!(
        refused(&registry, clash).await?.kind(),
        ErrorKind::AlreadyExists
    );
    for name in ["free", "y", "fine"] {
        check_eq!(found(&registry, name).await?, None, "{name}");
        registry.put(named(name)).await?;
    }
    check_eq!(listed(&registry).await?, ["x", "free", "y", "fine"]);
    Ok(())
}

async fn versions_of_a_name_live_side_by_side_and_one_of_them_twice_is_refused(
    registry: Registry,
    _: usize,
) -> CaseResult {
    for def in [versioned("x", "1"), versioned("x", "2"), named("x")] {
        registry.put(with_alias(def, "old x")).await?;
    }
    registry.put(versioned("y", "1")).await?;
    for def in [versioned("x", "1"), versioned("x", "2"), named("x")] {
        taken(&registry, def).await?;
    }
    check_eq!(listed(&registry).await?, ["x 1", "x 2", "x", "y 1"]);
    for name in ["x", "old x"] {
        for version in [Some("1"), Some("2"), None] {
            let def = registry.get_version(name, version).await?;
            let seen = def.as_ref().map(|def| (&*def.name, def.version.as_deref()));
            check_eq!(seen, Some(("x", version)), "{name}");
        }
    }
    Ok(())
}

async fn a_name_alone_leads_to_the_definition_without_a_version_or_to_the_last(
    registry: Registry,
    _: usize,
) -> CaseResult {
    registry.put(versioned("x", "2")).await?;
    check_eq!(found(&registry, "x").await?.as_deref(), Some("x 2"));
    registry
        .put(with_alias(versioned("x", "10"), "old x"))
        .await?;
    registry.put(versioned("x", "1")).await?;
    check_eq!(found(&registry, "x").await?.as_deref(), Some("x 1"));
    // An alias leads to those that have it.
    check_eq!(found(&registry, "old x").await?.as_deref(), Some("x 10"));
    registry.put(named("x")).await?;
    registry.put(versioned("x", "3")).await?;
    check_eq!(found(&registry, "x").await?.as_deref(), Some("x"));
    Ok(())
}

async fn at_most_one_version_of_a_name_has_a_schedule(registry: Registry, _: usize) -> CaseResult {
    registry.put(versioned("x", "1")).await?;
    registry.put(every_second(versioned("x", "2"))?).await?;
    taken(&registry, every_second(versioned("x", "3"))?).await?;
    taken(&registry, every_second(named("x"))?).await?;
    registry.put(versioned("x", "3")).await?;
    registry.put(every_second(versioned("y", "1"))?).await?;
    check_eq!(listed(&registry).await?, ["x 1", "x 2", "x 3", "y 1"]);
    Ok(())
}

async fn definitions_are_listed_in_the_order_of_their_registration(
    registry: Registry,
    _: usize,
) -> CaseResult {
    for name in ["z", "a", "m", "B", "10", "9"] {
        registry.put(named(name)).await?;
    }
    check!(registry.remove("a").await?, "\"a\" was not there");
    check_eq!(listed(&registry).await?, ["z", "m", "B", "10", "9"]);
    registry.put(named("a")).await?;
    check_eq!(listed(&registry).await?, ["z", "m", "B", "10", "9", "a"]);
    Ok(())
}

async fn a_removed_name_is_free_with_its_aliases_and_all_its_versions(
    registry: Registry,
    _: usize,
) -> CaseResult {
    registry.put(with_alias(versioned("x", "1"), "one")).await?;
    registry.put(named("kept")).await?;
    registry
        .put(every_second(with_alias(versioned("x", "2"), "two"))?)
        .await?;
    check_eq!(registry.remove("x").await?, true);
    check_eq!(registry.remove("x").await?, false);
    check_eq!(listed(&registry).await?, ["kept"]);
    for name in ["x", "one", "two"] {
        check_eq!(found(&registry, name).await?, None, "{name}");
        registry.put(named(name)).await?;
    }
    registry.put(every_second(versioned("x", "2"))?).await?;
    check_eq!(listed(&registry).await?, ["kept", "x", "one", "two", "x 2"]);
    Ok(())
}

async fn an_alias_and_an_unknown_name_are_not_removed(registry: Registry, _: usize) -> CaseResult {
    registry
        .put(with_alias(versioned("new", "1"), "old"))
        .await?;
    for name in ["old", "unknown", "", "NEW", "1"] {
        check_eq!(registry.remove(name).await?, false, "\"{name}\"");
    }
    check_eq!(found(&registry, "old").await?.as_deref(), Some("new 1"));
    Ok(())
}

async fn hostile_names_of_tasks_stay_apart(registry: Registry, _: usize) -> CaseResult {
    let hostile = [
        "a",
        "A",
        "ａ",
        "á",
        "a\u{301}",
        " a",
        "a ",
        "a/b",
        "a/*",
        "a:b",
        "a%b",
        "a_b",
        "a'b",
        "a\"b",
        "a\\b",
        "{a}",
        "$1",
        "..",
        ".",
        "null",
        "0",
        "00",
        "'; DROP TABLE tasks; --",
        "\u{1f600}",
        "\u{202e}abc",
        "gate/queue/default",
        "İ",
        "i\u{307}",
        "ß",
        "ss",
        "*",
        "?",
    ];
    for name in hostile {
        let mut def = named(name);
        def.description = Some(format!("the one named {name:?}"));
        registry.put(def).await?;
    }
    check_eq!(listed(&registry).await?, hostile);
    for name in hostile {
        let def = registry.get(name).await?;
        let said = def.and_then(|def| def.description.clone());
        check_eq!(said, Some(format!("the one named {name:?}")));
    }
    // Name and version are two things.
    for (name, version) in [("v", "1/2"), ("v/1", "2"), ("v 1", "2"), ("v", "1 2")] {
        registry.put(versioned(name, version)).await?;
    }
    check!(registry.remove("v").await?, "\"v\" was not there");
    check_eq!(listed(&registry).await?.len(), hostile.len() + 2);
    Ok(())
}

async fn a_name_of_255_bytes_is_kept_and_a_longer_one_is_refused(
    registry: Registry,
    _: usize,
) -> CaseResult {
    let longest = "é".repeat(127) + "x";
    check_eq!(longest.len(), 255);
    let twin = "é".repeat(127) + "y";
    registry.put(named(&longest)).await?;
    registry
        .put(with_alias(versioned("short", &longest), &twin))
        .await?;
    check_eq!(found(&registry, &longest).await?, Some(longest.clone()));
    check_eq!(
        found(&registry, &twin).await?,
        Some(format!("short {longest}"))
    );
    let long = longest.clone() + "x";
    for def in [
        named(&long),
        with_alias(named("y"), &long),
        versioned("y", &long),
    ] {
        let error = refused(&registry, def).await?;
        check_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    }
    Ok(())
}

async fn of_many_that_register_one_name_at_once_one_succeeds(
    registry: Registry,
    _: usize,
) -> CaseResult {
    for round in 0..10 {
        let mut racing = tokio::task::JoinSet::new();
        for n in 0..10 {
            let registry = Arc::clone(&registry);
            racing.spawn(async move {
                let name = format!("x{round}");
                let mut def = if n % 2 == 0 {
                    named(&name)
                } else {
                    // An alias races with the name.
                    with_alias(named(&format!("y{round}-{n}")), &name)
                };
                def.description = Some(format!("{n}"));
                registry.put(def).await.is_ok().then_some(n)
            });
        }
        let mut accepted = Vec::new();
        while let Some(joined) = racing.join_next().await {
            accepted.extend(joined.map_err(|error| Failed::new(error.to_string()))?);
        }
        check_eq!(accepted.len(), 1, "round {round}: {accepted:?}");
        let def = registry.get(&format!("x{round}")).await?;
        let said = def.and_then(|def| def.description.clone());
        check_eq!(said, Some(accepted[0].to_string()));
    }
    check_eq!(listed(&registry).await?.len(), 10);
    Ok(())
}

async fn thousands_of_definitions_are_kept(registry: Registry, shrink: usize) -> CaseResult {
    let count = (5_000 / shrink).max(20);
    for n in 0..count {
        registry
            .put(with_alias(named(&format!("task {n}")), &format!("t{n}")))
            .await?;
    }
    let all = listed(&registry).await?;
    check_eq!(all.len(), count);
    for n in [0, count / 2, count - 1] {
        check_eq!(all[n], format!("task {n}"));
        let by_alias = found(&registry, &format!("t{n}")).await?;
        check_eq!(by_alias, Some(format!("task {n}")));
    }
    Ok(())
}
