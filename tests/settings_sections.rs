//! Sections of plugins: nesting, overriding, relative paths, secrets.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tlo::settings::{RelativePathBuf, Secret, SettingsSource, TloSettings};
use tlo::{ErrorKind, Result};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct App {
    debug: bool,
    db: Db,
    cache: Option<Cache>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Db {
    host: String,
    port: u16,
    pool: Pool,
}

impl Default for Db {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: 5432,
            pool: Pool::default(),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Pool {
    size: u32,
    ratio: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Cache {
    url: String,
}

fn source(variables: &[(&str, &str)]) -> SettingsSource {
    SettingsSource::empty()
        .section("app")
        .environment(variables.iter().copied())
}

fn app(source: &SettingsSource) -> Result<App> {
    TloSettings::load(source)?.section("app").extract()
}

#[test]
fn nested_variables_reach_three_levels_and_more() {
    let app = app(&source(&[
        ("TLO_APP__DEBUG", "YeS"),
        ("TLO_APP__DB__HOST", "db.example.org"),
        ("TLO_APP__DB__PORT", "6543"),
        ("TLO_APP__DB__POOL__SIZE", "20"),
        ("TLO_APP__DB__POOL__RATIO", "0.5"),
    ]))
    .unwrap();
    assert!(app.debug);
    assert_eq!(
        (app.db.host.as_str(), app.db.port),
        ("db.example.org", 6543)
    );
    assert_eq!((app.db.pool.size, app.db.pool.ratio), (20, 0.5));
    assert_eq!(app.cache, None);
}

/// What an app without variables, and one with those of a deployment, reads.
#[test]
fn t40_nested_settings_load_and_are_overridden_in_part_as_a_whole_or_by_none() {
    // Two and three levels below the prefix; what no variable names keeps its default.
    let variables = [
        ("TLO_APP__DB__HOST", "env"),
        ("TLO_APP__DB__POOL__SIZE", "20"),
        ("TLO_APP__CACHE__URL", "redis://env"),
    ];
    let db = |source: &SettingsSource| app(source).unwrap().db;
    let from_env = db(&source(&variables));
    assert_eq!((from_env.host.as_str(), from_env.port), ("env", 5432));
    assert_eq!((from_env.pool.size, from_env.pool.ratio), (20, 0.0));
    // A mapping overrides what it names and nothing else.
    let part = source(&variables).set("app.db", serde_json::json!({"host": "given"}));
    let part = db(&part);
    assert_eq!((part.host.as_str(), part.pool.size), ("given", 20));
    // A ready object is taken as it is.
    let ready = Db {
        host: "ready".to_owned(),
        ..Db::default()
    };
    assert_eq!(db(&source(&variables).set("app.db", &ready)), ready);
    // An optional section whose default is none appears with a variable, and an explicit none stands against it.
    let cache = |source: SettingsSource| app(&source).unwrap().cache;
    let none = |source: SettingsSource| source.set_default("app.cache", None::<Cache>);
    assert_eq!(cache(none(source(&[]))), None);
    let appeared = cache(none(source(&variables))).unwrap();
    assert_eq!(appeared.url, "redis://env");
    assert_eq!(
        cache(source(&variables).set("app.cache", None::<Cache>)),
        None
    );
}

#[test]
fn a_mapping_overrides_only_what_it_names() {
    let source = source(&[("TLO_APP__DB__HOST", "env"), ("TLO_APP__DB__PORT", "1")])
        .set("app.db", serde_json::json!({"host": "given"}));
    let db = app(&source).unwrap().db;
    assert_eq!((db.host.as_str(), db.port), ("given", 1));
}

#[test]
fn a_ready_object_is_kept_as_it_is() {
    let ready = Db {
        host: "ready".to_owned(),
        port: 7,
        pool: Pool {
            size: 3,
            ratio: 1.5,
        },
    };
    let source = source(&[("TLO_APP__DB__PORT", "1"), ("TLO_APP__DB__POOL__SIZE", "9")])
        .set("app.db", ready.clone());
    assert_eq!(app(&source).unwrap().db, ready);
}

#[test]
fn an_explicit_none_is_kept_against_variables() {
    let variables = [("TLO_APP__CACHE__URL", "redis://c")];
    assert!(app(&source(&variables)).unwrap().cache.is_some());
    let none = source(&variables).set("app.cache", None::<Cache>);
    assert_eq!(app(&none).unwrap().cache, None);
    let loaded = TloSettings::load(&source(&variables).set("app", None::<App>)).unwrap();
    assert!(!loaded.section("app").is_set());
    assert_eq!(loaded.section("app").optional::<App>().unwrap(), None);
}

#[test]
fn an_optional_section_appears_with_its_first_variable() {
    let with = app(&source(&[("TLO_APP__CACHE__URL", "redis://c")])).unwrap();
    assert_eq!(with.cache.unwrap().url, "redis://c");
    assert_eq!(app(&source(&[])).unwrap().cache, None);
    // A default of none gives way to a nested variable.
    let over = source(&[("TLO_APP__CACHE__URL", "x")]).set_default("app.cache", None::<Cache>);
    assert_eq!(app(&over).unwrap().cache.unwrap().url, "x");
    // The same for a section as a whole.
    let loaded = TloSettings::load(&source(&[])).unwrap();
    assert_eq!(loaded.section("app").optional::<App>().unwrap(), None);
    assert_eq!(
        loaded.section("app").extract::<App>().unwrap(),
        App::default()
    );
    let loaded = TloSettings::load(&source(&[("TLO_APP__DEBUG", "1")])).unwrap();
    assert!(
        loaded
            .section("app")
            .optional::<App>()
            .unwrap()
            .unwrap()
            .debug
    );
}

#[test]
fn lists_and_tables_may_stand_in_a_variable_and_text_stays_text() {
    #[derive(Debug, Deserialize)]
    struct Lists {
        hosts: Vec<String>,
        limits: std::collections::BTreeMap<String, u32>,
        code: String,
        quoted: String,
        bracket: String,
    }
    let source = source(&[
        ("TLO_APP__HOSTS", r#"["a", "b"]"#),
        ("TLO_APP__LIMITS", "{ x = 1, y = 2 }"),
        ("TLO_APP__CODE", "0042"),
        ("TLO_APP__QUOTED", r#""[not a list]""#),
        ("TLO_APP__BRACKET", "[open"),
    ]);
    let lists: Lists = TloSettings::load(&source)
        .unwrap()
        .section("app")
        .extract()
        .unwrap();
    assert_eq!(lists.hosts, ["a", "b"]);
    assert_eq!(lists.limits["y"], 2);
    assert_eq!(lists.code, "0042");
    assert_eq!(lists.quoted, "[not a list]");
    assert_eq!(lists.bracket, "[open");
}

#[test]
fn mistakes_in_a_section_come_at_once_with_their_sources() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("tlo.toml"),
        "[app]\ncolour = 'red'\n[app.db]\nport = 'x'\n",
    )
    .unwrap();
    let source = SettingsSource::empty()
        .section("app")
        .directory(folder.path())
        .environment([
            ("TLO_APP__DB__POOL__SIZE", "many"),
            ("TLO_APP__DB__HOSTT", "h"),
            ("TLO_APP__DEBUG", "maybe"),
        ]);
    let error = app(&source).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let text = error.to_string();
    let file = format!("(file {})", folder.path().join("tlo.toml").display());
    for part in [
        "5 mistakes".to_owned(),
        format!("app.colour = \"red\" {file}: there is no such setting"),
        format!("app.db.port = \"x\" {file}: expected u16"),
        "app.db.pool.size = \"many\" (environment variable TLO_APP__DB__POOL__SIZE): expected u32".to_owned(),
        "app.db.hostt = \"h\" (environment variable TLO_APP__DB__HOSTT): there is no such setting; \
         did you mean app.db.host (TLO_APP__DB__HOST)?"
            .to_owned(),
        "app.debug = \"maybe\" (environment variable TLO_APP__DEBUG): expected a boolean".to_owned(),
    ] {
        assert!(text.contains(&part), "{part:?} is not in {text}");
    }
}

#[test]
fn a_missing_value_says_how_to_set_it() {
    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Needs {
        region: String,
        retries: u8,
    }
    for (variables, wanted) in [
        (
            vec![],
            "app.region: is needed; set it in the file or as TLO_APP__REGION",
        ),
        (
            vec![("TLO_APP__REGION", "eu"), ("TLO_APP__RETRIES", "lots")],
            "app.retries = \"lots\" (environment variable TLO_APP__RETRIES): expected u8",
        ),
    ] {
        let loaded = TloSettings::load(&source(&variables)).unwrap();
        let error = loaded.section("app").extract::<Needs>().unwrap_err();
        assert_eq!(error.to_string(), wanted);
    }
}

#[test]
fn a_section_is_found_in_any_case_and_only_if_it_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tlo.toml");
    fs::write(&file, "[my_app.Dynamo]\nhost = 'a'\nport = 1\n").unwrap();
    let base = SettingsSource::empty()
        .directory(folder.path())
        .environment([("TLO_MY_APP__DYNAMO__PORT", "2")]);
    let loaded = TloSettings::load(&base.clone().section("My_App.Dynamo")).unwrap();
    for name in ["my_app.Dynamo", "MY_APP.DYNAMO"] {
        let db: Db = loaded.section(name).extract().unwrap();
        assert_eq!((db.host.as_str(), db.port), ("a", 2), "{name}");
    }
    let refused = TloSettings::load(&base).unwrap_err().to_string();
    assert!(refused.contains("my_app = "), "{refused}");
    let near = TloSettings::load(&base.section("my_ap"))
        .unwrap_err()
        .to_string();
    assert!(near.contains("did you mean my_ap (TLO_MY_AP)?"), "{near}");
}

#[test]
fn a_section_is_a_table_with_a_name_of_its_own() {
    let error = TloSettings::load(&source(&[("TLO_APP", "x")]))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "app (environment variable TLO_APP): is a section; set its keys, in [app] or as TLO_APP__KEY"
    );
    let error = TloSettings::load(&source(&[]).section("lease"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("\"lease\" is a setting of TLO"), "{error}");
}

#[test]
fn a_section_may_be_nested_in_another() {
    let source = source(&[("TLO_APP__DEBUG", "on"), ("TLO_APP__DYNAMO__HOST", "h")]);
    let loaded = TloSettings::load(&source.clone().section("app.dynamo")).unwrap();
    assert!(loaded.section("app").extract::<App>().unwrap().debug);
    assert_eq!(
        loaded.section("app.dynamo").extract::<Db>().unwrap().host,
        "h"
    );
    let error = app(&source).unwrap_err().to_string();
    assert!(error.contains("app.dynamo = {host = \"h\"}"), "{error}");
    let both = SettingsSource::empty().sections(["app", "app.dynamo"]);
    let scalar = both.environment([("TLO_APP__DYNAMO", "x")]);
    let error = TloSettings::load(&scalar).unwrap_err().to_string();
    assert!(
        error.starts_with("app.dynamo (environment variable TLO_APP__DYNAMO): is a section"),
        "{error}"
    );
}

#[test]
fn paths_are_relative_to_the_file_that_they_stand_in() {
    #[derive(Debug, Deserialize)]
    struct Files {
        path: RelativePathBuf,
        other: Option<RelativePathBuf>,
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.toml");
    fs::write(&file, "[app]\npath = 'data/x.db'\n").unwrap();
    let source = source(&[("TLO_APP__OTHER", "y.db")]).file(&file);
    let files: Files = TloSettings::load(&source)
        .unwrap()
        .section("app")
        .extract()
        .unwrap();
    assert_eq!(files.path.relative(), folder.path().join("data/x.db"));
    assert_eq!(files.other.unwrap().relative(), PathBuf::from("y.db"));
}

#[test]
fn secrets_never_show_themselves() {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Server {
        password: Secret,
        dsn: Option<Secret>,
        tokens: Vec<Secret>,
        port: u16,
    }
    const CANARY: &str = "c4n4ry";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tlo.toml");
    fs::write(
        &file,
        format!(
            "task_registry = 'postgres://me:{CANARY}@h/db'\n\
             [app]\ndsn = 'host=h password={CANARY}'\ntokens = ['{CANARY}']\nport = 1\n"
        ),
    )
    .unwrap();
    let url = format!("redis://:{CANARY}@h");
    let good = [
        ("TLO_APP__PASSWORD", CANARY),
        ("TLO_TASK_STATE_STORE", url.as_str()),
    ];
    let source = source(&good).file(&file);
    let loaded = TloSettings::load(&source).unwrap();
    let section = loaded.section("app");
    let server: Server = section.extract().unwrap();
    assert_eq!(server.password.expose(), CANARY);
    assert_eq!(server.tokens[0].expose(), CANARY);
    assert_eq!(loaded.settings.task_state_store.url(), Some(url.as_str()));

    let origins = loaded.origins();
    let shown = |key: &str| origins.iter().find(|o| o.key == key).unwrap().value.clone();
    assert_eq!(shown("app.password"), "***");
    assert_eq!(shown("app.tokens"), "***");
    assert_eq!(shown("app.dsn"), "\"host=h password=***\"");
    assert_eq!(shown("app.port"), "1");
    assert_eq!(shown("task_state_store"), "\"redis://:***@h\"");

    let wrong = source.clone().environment([
        ("TLO_APP__PASSWORD", CANARY),
        ("TLO_APP__PORT", &format!("http://u:{CANARY}@h")),
        ("TLO_APP__PASWORD", CANARY),
        ("TLO_APP__API_TOKEN", CANARY),
        ("TLO_APP__TOKENS", &format!("{{ a = \"{CANARY}\" }}")),
    ]);
    let error = TloSettings::load(&wrong)
        .unwrap()
        .section("app")
        .extract::<Server>()
        .unwrap_err();
    let unknown =
        TloSettings::load(&SettingsSource::empty().environment([("TLO_REDIS_PASSWORD", CANARY)]))
            .unwrap_err();
    for text in [
        format!("{loaded:?} {section:?} {server:?} {source:?} {origins:?}"),
        serde_json::to_string(&loaded.settings).unwrap(),
        loaded.settings.task_registry.to_string(),
        error.to_string(),
        unknown.to_string(),
    ] {
        assert!(!text.contains(CANARY), "{text}");
    }
}
