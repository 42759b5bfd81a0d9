//! Settings: what each may be.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::Duration;

use tlo::ErrorKind;
use tlo::settings::{LogLevel, RetentionSettings, SettingsSource, StopBehavior, TloSettings};

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

#[test]
fn defaults_are_those_of_the_documentation() {
    let settings = load(&SettingsSource::empty());
    assert_eq!(settings, TloSettings::default());
    assert_eq!(settings.task_state_store.name(), "memory");
    assert_eq!(settings.task_registry.name(), "memory");
    assert!(!settings.name.is_empty());
    assert_eq!(settings.queues, ["default"]);
    assert_eq!(settings.concurrency, 16);
    assert_eq!(settings.lease, Duration::from_secs(30));
    assert_eq!(settings.heartbeat(), Duration::from_secs(10));
    assert_eq!(settings.tick_interval, None);
    assert_eq!(settings.stop_behavior, StopBehavior::Drain);
    assert_eq!(settings.drain_timeout, Duration::from_secs(30));
    assert_eq!(settings.kill_grace, Duration::from_secs(5));
    assert_eq!(settings.retention, RetentionSettings::default());
    assert_eq!(settings.payload_limit, 1 << 20);
    assert!(!settings.strict);
    assert_eq!(settings.log_level, LogLevel::Info);
}

/// What a setting is when a variable says so, as text, or a part of the error.
type Case = (
    &'static str,
    &'static str,
    Result<&'static str, &'static str>,
);

#[test]
fn every_setting_takes_what_it_should_and_refuses_the_rest() {
    let cases: &[Case] = &[
        // T38
        ("TICK_INTERVAL", "0.5", Ok("500ms")),
        ("TICK_INTERVAL", "0.05", Ok("50ms")),
        ("TICK_INTERVAL", "not-a-number", Err("expected a duration")),
        ("TICK_INTERVAL", "2", Ok("2s")),
        ("TICK_INTERVAL", " 250ms ", Ok("250ms")),
        ("TICK_INTERVAL", "0", Err("at least 1ms")),
        ("TICK_INTERVAL", "-1", Err("expected a duration")),
        ("TICK_INTERVAL", "NaN", Err("expected a duration")),
        ("TICK_INTERVAL", "1e20", Err("expected a duration")),
        ("TICK_INTERVAL", "99999999999999", Err("at most 36500d")),
        ("STOP_BEHAVIOR", "Cancel", Ok("cancel")),
        ("STOP_BEHAVIOR", "DRAIN", Ok("drain")),
        ("STOP_BEHAVIOR", "ignore", Ok("ignore")),
        (
            "STOP_BEHAVIOR",
            "explode",
            Err("one of drain, cancel, ignore"),
        ),
        ("STOP_BEHAVIOR", "cancle", Err("did you mean cancel?")),
        ("STRICT", "1", Ok("true")),
        ("STRICT", "true", Ok("true")),
        ("STRICT", "TRUE", Ok("true")),
        ("STRICT", "on", Ok("true")),
        ("STRICT", "yes", Ok("true")),
        ("STRICT", "YeS", Ok("true")),
        ("STRICT", "0", Ok("false")),
        ("STRICT", "false", Ok("false")),
        ("STRICT", "off", Ok("false")),
        ("STRICT", "no", Ok("false")),
        ("STRICT", "No", Ok("false")),
        ("STRICT", "maybe", Err("expected true or false")),
        ("STRICT", "2", Err("expected true or false")),
        // T44
        ("LOG_LEVEL", "DEBUG", Ok("debug")),
        ("LOG_LEVEL", "Warning", Ok("warn")),
        ("LOG_LEVEL", "off", Ok("off")),
        (
            "LOG_LEVEL",
            "loud",
            Err("one of off, error, warn, info, debug, trace"),
        ),
        ("LOG_LEVEL", "debgu", Err("did you mean debug?")),
        ("LOG_LEVEL", "10", Err("expected one of")),
        ("LEASE", "5m", Ok("5m")),
        ("LEASE", "1h30m", Ok("1h30m")),
        ("LEASE", "45", Ok("45s")),
        ("LEASE", "99ms", Err("at least 100ms")),
        ("LEASE", "one minute", Err("expected a duration")),
        ("DRAIN_TIMEOUT", "0", Ok("0s")),
        ("KILL_GRACE", "1.5s", Ok("1s500ms")),
        ("KILL_GRACE", "soon", Err("expected a duration")),
        ("CONCURRENCY", "8", Ok("8")),
        ("CONCURRENCY", "0", Err("a whole number from 1")),
        ("CONCURRENCY", "-3", Err("a whole number from 1")),
        ("CONCURRENCY", "2.5", Err("a whole number from 1")),
        ("CONCURRENCY", "many", Err("a whole number from 1")),
        ("PAYLOAD_LIMIT", "4096", Ok("4096")),
        ("PAYLOAD_LIMIT", "512KiB", Ok("524288")),
        ("PAYLOAD_LIMIT", "1 MiB", Ok("1048576")),
        ("PAYLOAD_LIMIT", "2 MiB", Err("the most that stores keep")),
        ("PAYLOAD_LIMIT", "1kb", Ok("1000")),
        ("PAYLOAD_LIMIT", "0", Err("a size from 1 byte")),
        ("PAYLOAD_LIMIT", "2 parsecs", Err("a size")),
        ("PAYLOAD_LIMIT", "99999999999999999999999GiB", Err("a size")),
        ("NAME", "007", Ok("007")),
        ("NAME", "a\tb", Err("control character")),
        ("QUEUES", "mail", Ok(r#"["mail"]"#)),
        ("QUEUES", "mail, default,mail", Ok(r#"["mail","default"]"#)),
        ("QUEUES", r#"["a", "b,c"]"#, Ok(r#"["a","b,c"]"#)),
        ("QUEUES", "a,,b", Err("a queue name is empty")),
        ("QUEUES", "[]", Err("names no queue")),
        ("QUEUES__MAIL", "{}", Ok(r#"["mail"]"#)),
        ("RETENTION__AGE", "7d", Ok(r#"{"age":"7d","count":null}"#)),
        (
            "RETENTION__AGE",
            "Forever",
            Ok(r#"{"age":"forever","count":null}"#),
        ),
        ("RETENTION__AGE", "old", Err("or forever")),
        ("RETENTION__COUNT", "0", Ok(r#"{"age":null,"count":0}"#)),
        ("RETENTION__COUNT", "-1", Err("or forever")),
        ("TASK_REGISTRY", " Memory ", Ok("Memory")),
        ("TASK_STATE_STORE", "redis://h", Ok("redis://h")),
    ];
    for (key, value, expected) in cases {
        let variable = format!("TLO_{key}");
        let source = env(&[(&variable, value)]);
        let field = key.split("__").next().unwrap().to_lowercase();
        match expected {
            Ok(shown) => {
                let settings = serde_json::to_value(load(&source)).unwrap();
                let got = match &settings[&field] {
                    serde_json::Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                assert_eq!(got, *shown, "{variable}={value}");
            }
            Err(part) => {
                let key = key.replace("__", ".").to_lowercase();
                let from = format!("environment variable {variable}");
                contains(&message(&source), &[part, &from, &key]);
            }
        }
    }
}
