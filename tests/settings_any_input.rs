//! Settings: no input makes loading fail in another way than by saying what is wrong.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use proptest::prelude::*;
use tlo::settings::{Loaded, SettingsSource, TloSettings};

fn key() -> impl Strategy<Value = String> {
    let known: Vec<String> = TloSettings::load(&SettingsSource::empty())
        .unwrap()
        .origins()
        .into_iter()
        .map(|origin| origin.key.replace('.', "__").to_uppercase())
        .chain(["TASKS", "APP", "APP__X", "APP__DYNAMO__Y", "", "_"].map(str::to_owned))
        .collect();
    prop_oneof![
        4 => proptest::sample::select(known),
        1 => "[A-Za-z_.ß0-9]{0,12}",
    ]
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9.]{1,4}(ms|s|m|h|d|KiB)?",
        "(drain|cancel|debug|on|forever|memory|redis://a:b@c|sqlite:x)",
        r#"[\[\]{}",=a-z0-9:@ ]{0,12}"#,
        "\\PC{0,12}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever stands in the environment and in the file, the answer is settings that read the same again, or
    /// mistakes that say what they are about.
    #[test]
    fn gives_settings_or_mistakes(
        variables in proptest::collection::vec((key(), value()), 0..6),
        lines in proptest::collection::vec((key(), value(), any::<bool>()), 0..6),
    ) {
        let text: Vec<String> = lines
            .iter()
            .map(|(key, value, quoted)| {
                let value = if *quoted { format!("'{}'", value.replace('\'', "")) } else { value.clone() };
                format!("{} = {value}\n", key.replace("__", ".").to_lowercase())
            })
            .collect();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tlo.toml"), text.concat()).unwrap();
        let source = SettingsSource::empty()
            .directory(folder.path())
            .sections(["app", "app.dynamo"])
            .environment(variables.iter().map(|(key, value)| (format!("TLO_{key}"), value)));
        match TloSettings::check(&source) {
            Ok(loaded) => {
                let again = Loaded::try_from(loaded.settings.clone()).unwrap().settings;
                prop_assert_eq!(again, loaded.settings);
            }
            Err(mistakes) => {
                prop_assert!(!mistakes.is_empty());
                for mistake in mistakes {
                    prop_assert!(!mistake.reason.is_empty() && !mistake.origin.is_empty());
                }
            }
        }
    }
}
