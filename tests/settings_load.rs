//! Settings: what each may be, which source wins, and what is said about mistakes.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use tlo::ErrorKind;
use tlo::settings::{
    Keep, Loaded, LogLevel, PluginAddress, RetentionSettings, SettingsSource, StopBehavior,
    TloSettings,
};
use tlo::store::Retention;

fn env(variables: &[(&str, &str)]) -> SettingsSource {
    SettingsSource::empty().environment(variables.iter().copied())
}

fn load(source: &SettingsSource) -> TloSettings {
    TloSettings::load(source).unwrap().settings
}

fn message(source: &SettingsSource) -> String {
    let error = TloSettings::load(source).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    error.to_string()
}

fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn in_folder(folder: &tempfile::TempDir) -> SettingsSource {
    SettingsSource::empty().directory(folder.path())
}

#[test]
fn the_table_in_the_documentation_lists_every_setting() {
    let text = include_str!("../src/settings/mod.rs");
    let mut documented: BTreeMap<String, String> = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("//! | `")) {
        let mut cells = line
            .split('|')
            .map(|cell| cell.trim().trim_matches('`').to_owned());
        let (key, variable) = (cells.nth(1).unwrap(), cells.next().unwrap());
        documented.insert(key, variable);
    }
    let loaded = TloSettings::load(&SettingsSource::empty()).unwrap();
    let keys: Vec<String> = loaded.origins().into_iter().map(|o| o.key).collect();
    assert_eq!(documented.keys().cloned().collect::<Vec<_>>(), keys);
    for (key, variable) in documented {
        let error = message(&env(&[(&variable, "[[]]")]));
        contains(&error, &[&key, &format!("environment variable {variable}")]);
    }
}

#[test]
fn a_file_says_the_same_things_with_its_own_types() {
    let folder = folder(&[(
        "tlo.toml",
        r#"
            name = "worker-1"
            queues = ["mail", "default"]
            concurrency = 8
            lease = 60
            tick_interval = 0.25
            drain_timeout = "2m"
            strict = true
            stop_behavior = "Ignore"
            payload_limit = "64KiB"
            log_level = "TRACE"
            [retention]
            age = "1d"
            count = "forever"
        "#,
    )]);
    let settings = load(&in_folder(&folder));
    assert_eq!(settings.name, "worker-1");
    assert_eq!(settings.queues, ["mail", "default"]);
    assert_eq!(settings.concurrency, 8);
    assert_eq!(settings.lease, Duration::from_secs(60));
    assert_eq!(settings.tick_interval, Some(Duration::from_millis(250)));
    assert_eq!(settings.drain_timeout, Duration::from_secs(120));
    assert!(settings.strict);
    assert_eq!(settings.stop_behavior, StopBehavior::Ignore);
    assert_eq!(settings.payload_limit, 65_536);
    assert_eq!(settings.log_level, LogLevel::Trace);
    assert_eq!(settings.retention.count, Some(Keep::Forever));
    let rule = settings.retention.over(Retention::default());
    assert_eq!(
        (rule.age, rule.count),
        (Some(Duration::from_secs(86_400)), None)
    );
}

#[test]
fn queues_may_be_tables() {
    let folder = folder(&[("tlo.toml", "[queues.mail]\n[queues.default]\n")]);
    assert_eq!(load(&in_folder(&folder)).queues, ["default", "mail"]);
    let source = in_folder(&folder).environment([("TLO_QUEUES", "other")]);
    assert_eq!(load(&source).queues, ["other"]);
    let wrong = env(&[("TLO_QUEUES__MAIL__COLOUR", "red")]);
    contains(&message(&wrong), &["queues.mail.colour", "no such setting"]);
}

#[test]
fn tables_of_queues_say_limits_whatever_queues_are_served() {
    let file =
        "[queues.mail]\nlimit = 2\nrate = { n = 10, per = \"1m\", burst = 20 }\n[queues.slow]\n";
    let folder = folder(&[("tlo.toml", file)]);
    let said = |source: &SettingsSource| {
        let loaded = TloSettings::load(source).unwrap();
        let all = loaded.queue_limits().iter();
        let all = all.map(|(queue, limits)| format!("{queue}: {limits}"));
        all.collect::<Vec<_>>()
    };
    let limits = "mail: 2 at once, 10 per 1m in bursts of 20";
    assert_eq!(said(&in_folder(&folder)), [limits]);
    // A list says which to serve, and nothing about limits.
    let served = in_folder(&folder).environment([("TLO_QUEUES", "other")]);
    assert_eq!(said(&served), [limits]);
    assert_eq!(load(&served).queues, ["other"]);
    let more = in_folder(&folder).environment([
        ("TLO_QUEUES__MAIL__LIMIT", "3"),
        ("TLO_QUEUES__SLOW__RATE", "5/s"),
        ("TLO_QUEUES__SLOW__MAX_DEPTH", "100"),
    ]);
    assert_eq!(
        said(&more),
        [
            "mail: 3 at once, 10 per 1m in bursts of 20",
            "slow: 5 per 1s, at most 100 waiting"
        ]
    );
    for (variable, value, why) in [
        ("TLO_QUEUES__MAIL__LIMIT", "0", "a whole number from 1"),
        ("TLO_QUEUES__MAIL__LIMIT", "many", "a whole number from 1"),
        ("TLO_QUEUES__MAIL__RATE", "fast", "is no rate"),
        ("TLO_QUEUES__MAIL__MAX_DEPTH", "-1", "a whole number from 1"),
        ("TLO_QUEUES__MAIL", "3", "the table of a queue"),
    ] {
        let error = message(&env(&[(variable, value)]));
        contains(&error, &[variable, why]);
        assert_eq!(error.matches(why).count(), 1, "told once: {error}");
    }
}

#[test]
fn weights_of_queues_are_a_table_or_text() {
    let folder = folder(&[("tlo.toml", "[queue_weights]\nmail = 3\nreports = \"2\"\n")]);
    let weights = |source: &SettingsSource| {
        let weights = load(source).queue_weights;
        weights
            .into_iter()
            .map(|(queue, weight)| format!("{queue} {weight}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(weights(&in_folder(&folder)), ["mail 3", "reports 2"]);
    let source = in_folder(&folder).environment([("TLO_QUEUE_WEIGHTS", "mail=7, default = 1,")]);
    assert_eq!(weights(&source), ["default 1", "mail 7"]);
    let source = in_folder(&folder).environment([("TLO_QUEUE_WEIGHTS__MAIL", "9")]);
    assert_eq!(weights(&source), ["mail 9", "reports 2"]);
    let source = in_folder(&folder).environment([("TLO_QUEUE_WEIGHTS", "None")]);
    assert!(weights(&source).is_empty());
    assert!(weights(&SettingsSource::empty()).is_empty());
    for wrong in ["mail", "mail=0", "mail=1001", "mail=x", "=3"] {
        let error = message(&env(&[("TLO_QUEUE_WEIGHTS", wrong)]));
        contains(&error, &["queue_weights"]);
    }
}

#[test]
fn later_layers_win() {
    let folder = folder(&[("tlo.toml", "concurrency = 2\nlease = '2m'\nstrict = 'on'\n")]);
    let source = in_folder(&folder)
        .set_default("concurrency", 1)
        .set_default("kill_grace", "1s")
        .environment([("TLO_CONCURRENCY", "3"), ("TLO_LEASE", "3m")])
        .set_by("argument --concurrency", "concurrency", 4);
    let loaded = TloSettings::load(&source).unwrap();
    assert_eq!(loaded.settings.concurrency, 4);
    assert_eq!(loaded.settings.lease, Duration::from_secs(180));
    assert!(loaded.settings.strict);
    assert_eq!(loaded.settings.kill_grace, Duration::from_secs(1));
    let file = format!("file {}", folder.path().join("tlo.toml").display());
    for (key, origin) in [
        ("concurrency", "argument --concurrency"),
        ("lease", "environment variable TLO_LEASE"),
        ("strict", file.as_str()),
        ("kill_grace", "default"),
        ("name", "default"),
    ] {
        assert_eq!(loaded.origin(key), origin, "{key}");
        let listed = loaded.origins().into_iter().find(|o| o.key == key).unwrap();
        assert_eq!(listed.origin, origin, "{key}");
    }
    assert_eq!(
        loaded.file(),
        Some(folder.path().join("tlo.toml").as_path())
    );
}

#[test]
fn variables_without_the_prefix_and_reserved_ones_are_not_settings() {
    // T41: QUEUE without prefix is not used.
    let source = env(&[
        ("TLO_TICK_INTERVAL", "0.05"),
        ("QUEUE", "x"),
        ("QUEUES", "x"),
        ("CONCURRENCY", "99"),
        ("TLO_TEST_SEED", "7"),
        ("TLO_TASK_ID", "tsk_1"),
        ("TLO_TASK_NAME", "backup"),
        ("TLO_ATTEMPT", "1"),
        ("TLO_SLOT", "2026-01-01T00:00:00Z"),
        ("TLO_CONFIG", ""),
    ]);
    let settings = load(&source);
    assert_eq!(settings.tick_interval, Some(Duration::from_millis(50)));
    assert_eq!(
        (settings.queues[0].as_str(), settings.concurrency),
        ("default", 16)
    );
}

#[test]
fn empty_means_unset() {
    let folder = folder(&[("tlo.toml", "task_state_store = ''\nlease = '1m'\n")]);
    let source = in_folder(&folder)
        .set_default("task_state_store", "sqlite:")
        .environment([
            ("TLO_TASK_STATE_STORE", ""),
            ("TLO_TASK_REGISTRY", "  "),
            ("TLO_LEASE", ""),
            ("TLO_RETENTION__AGE", ""),
        ])
        .set("name", "");
    let settings = load(&source);
    assert_eq!(settings.task_state_store, PluginAddress::from("sqlite:"));
    assert_eq!(settings.task_registry.name(), "memory");
    assert_eq!(settings.lease, Duration::from_secs(60));
    assert_eq!(settings.name, TloSettings::default().name);
}

#[test]
fn an_explicit_none_is_kept() {
    let source = env(&[("TLO_TICK_INTERVAL", "1"), ("TLO_RETENTION__AGE", "1d")])
        .set("tick_interval", None::<u8>)
        .set("retention", None::<u8>);
    let settings = load(&source);
    assert_eq!(settings.tick_interval, None);
    assert_eq!(settings.retention, RetentionSettings::default());
    let wrong = SettingsSource::empty().set("lease", None::<u8>);
    contains(
        &message(&wrong),
        &["lease = none (argument)", "expected a duration"],
    );
}

#[test]
fn all_mistakes_come_at_once_with_key_value_and_source() {
    let folder = folder(&[(
        "tlo.toml",
        "concurency = 4\nlease = 'long'\n[retention]\nages = '1d'\n[[tasks]]\nname = 'x'\n",
    )]);
    let source = in_folder(&folder)
        .environment([
            ("TLO_TASK_STATE_STOR", "memory"),
            ("TLO_STRICT", "maybe"),
            ("TLO_SOMETHING_ELSE", "x"),
            ("TLO_TASKS", "x"),
        ])
        .set_by("argument --concurrency", "concurrency", "lots");
    let mistakes = TloSettings::check(&source).unwrap_err();
    let mut keys: Vec<&str> = mistakes.iter().map(|m| m.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "concurency",
            "concurrency",
            "lease",
            "retention.ages",
            "something_else",
            "strict",
            "task_state_stor",
            "tasks"
        ]
    );
    let file = format!("(file {})", folder.path().join("tlo.toml").display());
    let text = message(&source);
    contains(
        &text,
        &[
            "the settings have 8 mistakes:",
            &format!(
                "concurency = 4 {file}: there is no such setting; did you mean concurrency (TLO_CONCURRENCY)?"
            ),
            &format!("lease = \"long\" {file}: expected a duration"),
            &format!(
                "retention.ages = \"1d\" {file}: there is no such setting; did you mean retention.age (TLO_RETENTION__AGE)?"
            ),
            "task_state_stor = \"memory\" (environment variable TLO_TASK_STATE_STOR): there is no such setting; \
             did you mean task_state_store (TLO_TASK_STATE_STORE)?",
            "strict = \"maybe\" (environment variable TLO_STRICT): expected true or false",
            "something_else = \"x\" (environment variable TLO_SOMETHING_ELSE): there is no such setting; known are concurrency, drain_timeout,",
            "tasks = \"x\" (environment variable TLO_TASKS): there is no such setting",
            "concurrency = \"lots\" (argument --concurrency): expected a whole number",
        ],
    );
    let one = message(&env(&[("TLO_STRICT", "maybe")]));
    assert!(one.starts_with("strict = \"maybe\""), "{one}");
}

#[test]
fn a_default_given_in_code_can_be_wrong_too() {
    let settings = TloSettings {
        concurrency: 0,
        ..TloSettings::default()
    };
    let error = Loaded::try_from(settings).unwrap_err().to_string();
    contains(
        &error,
        &["concurrency = 0 (default): expected a whole number"],
    );
    let settings = TloSettings {
        task_state_store: PluginAddress::from("redis://me:hunter2@h"),
        lease: Duration::from_millis(1500),
        retention: RetentionSettings {
            age: Some(Keep::Forever),
            count: Some(Keep::UpTo(7)),
        },
        tick_interval: Some(Duration::from_millis(5)),
        ..TloSettings::default()
    };
    assert_eq!(
        Loaded::try_from(settings.clone()).unwrap().settings,
        settings
    );
}

#[test]
fn the_file_is_the_named_one_else_that_of_the_variable_else_tlo_toml() {
    let folder = folder(&[
        ("tlo.toml", "concurrency = 1\n"),
        ("variable.toml", "concurrency = 2\n"),
        ("named.toml", "concurrency = 3\n"),
    ]);
    let variable = [("TLO_CONFIG", "variable.toml")];
    for (source, concurrency, file) in [
        (in_folder(&folder), 1, "tlo.toml"),
        (in_folder(&folder).environment(variable), 2, "variable.toml"),
        (
            in_folder(&folder).environment(variable).file("named.toml"),
            3,
            "named.toml",
        ),
    ] {
        let path = folder.path().join(file);
        assert_eq!(source.file_path().as_deref(), Some(path.as_path()));
        let loaded = TloSettings::load(&source).unwrap();
        assert_eq!(
            (loaded.settings.concurrency, loaded.file()),
            (concurrency, Some(path.as_path()))
        );
    }
    assert_eq!(SettingsSource::empty().file_path(), None);
}

#[test]
fn only_the_file_that_nobody_named_may_be_missing() {
    let folder = folder(&[]);
    let loaded = TloSettings::load(&in_folder(&folder)).unwrap();
    assert_eq!((loaded.settings.concurrency, loaded.file()), (16, None));
    let missing = folder.path().join("missing.toml");
    let path = missing.display().to_string();
    let by_variable = SettingsSource::empty().environment([("TLO_CONFIG", &missing)]);
    contains(
        &message(&by_variable),
        &[
            &path,
            "named by environment variable TLO_CONFIG: does not exist",
        ],
    );
    let by_argument = SettingsSource::empty().file(&missing);
    contains(
        &message(&by_argument),
        &[&path, "named by argument: does not exist"],
    );
}

#[test]
fn a_file_that_cannot_be_read_is_a_mistake_beside_the_others() {
    let folder = folder(&[
        (
            "bad.toml",
            "concurrency = 4\npassword = \"canary\nlease = 1\n",
        ),
        ("dir.toml", ""),
    ]);
    let bad = in_folder(&folder)
        .file("bad.toml")
        .environment([("TLO_STRICT", "maybe")]);
    let text = message(&bad);
    contains(
        &text,
        &["bad.toml: TOML parse error at line 2", "^", "TLO_STRICT"],
    );
    assert!(!text.contains("canary"), "{text}");

    fs::write(folder.path().join("latin.toml"), b"name = '\xe9'").unwrap();
    contains(
        &message(&in_folder(&folder).file("latin.toml")),
        &["is not UTF-8 text"],
    );
    contains(&message(&in_folder(&folder).file(".")), &["cannot be read"]);
}

#[test]
fn the_tasks_of_a_jobs_file_pass_through() {
    let folder = folder(&[(
        "tlo.toml",
        "concurrency = 3\n[[tasks]]\nname = 'backup'\nevery = '5m'\ncommand = ['true']\n",
    )]);
    let loaded = TloSettings::load(&in_folder(&folder)).unwrap();
    assert_eq!(loaded.settings.concurrency, 3);
    let tasks: Vec<BTreeMap<String, figment::value::Value>> =
        loaded.figment().extract_inner("tasks").unwrap();
    assert_eq!(tasks[0]["name"].as_str(), Some("backup"));
    assert!(loaded.origins().iter().all(|o| !o.key.starts_with("tasks")));
}

#[test]
fn settings_of_a_program_are_defaults_that_a_person_can_override() {
    let program = TloSettings {
        concurrency: 2,
        lease: Duration::from_secs(5),
        ..TloSettings::default()
    };
    let source = env(&[("TLO_CONCURRENCY", "9")]).defaults(program);
    let settings = load(&source);
    assert_eq!(
        (settings.concurrency, settings.lease),
        (9, Duration::from_secs(5))
    );
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_text_is_a_mistake_only_if_it_is_ours() {
    use std::os::unix::ffi::OsStringExt;
    let bytes = || OsString::from_vec(vec![b'a', 0xff]);
    let ours = SettingsSource::empty().environment([(OsString::from("TLO_NAME"), bytes())]);
    contains(
        &message(&ours),
        &["name (environment variable TLO_NAME): is not valid Unicode"],
    );
    let others = SettingsSource::empty().environment([
        (OsString::from("OTHER"), bytes()),
        (bytes(), OsString::from("x")),
    ]);
    assert_eq!(load(&others), TloSettings::default());
}

#[test]
fn the_process_itself_can_be_a_source() {
    // Whatever this process was started with: the file path is that of its working directory, unless named.
    let path = SettingsSource::process().file_path().unwrap();
    assert!(path.is_absolute());
    if std::env::var_os("TLO_CONFIG").is_none() {
        assert_eq!(path.file_name(), Path::new("tlo.toml").file_name());
    }
}
