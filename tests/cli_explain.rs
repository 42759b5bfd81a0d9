//! `tlo explain`, and what is said about arguments that are none.

#![cfg(all(unix, feature = "cli"))]

mod operator;

use operator::Operator;
use serde_json::json;

#[test]
fn explain_answers_in_english_and_in_json() {
    let operator = Operator::new();
    let args = [
        "explain",
        "30 2 * * *",
        "--zone",
        "Europe/Berlin",
        "--from",
        "2027-03-26T12:00:00Z",
        "--count",
        "3",
    ];
    let answer = operator.json(&[&args[..], &["--json"]].concat());
    let keys: Vec<_> = answer.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["changes", "english", "next", "schedule", "zone"]);
    assert_eq!(answer["schedule"], "30 2 * * *");
    assert_eq!(answer["zone"], "Europe/Berlin");
    assert_eq!(answer["english"], "At 02:30 every day");
    let next = answer["next"].as_array().unwrap();
    assert_eq!(next.len(), 3);
    assert_eq!(
        next[0],
        json!({"at": "2027-03-27T01:30:00Z", "local": "2027-03-27T02:30:00+01:00", "note": null})
    );
    assert_eq!(next[1]["at"], "2027-03-28T01:00:00Z");
    assert!(next[1]["note"].is_string(), "{next:?}");
    let changes = answer["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 3, "March, October, and March a year later");
    assert_eq!(
        changes[0]["effect"],
        "02:30 does not exist: runs at 03:00 instead"
    );

    let table = operator.ok(&args);
    assert!(table.starts_with("At 02:30 every day (Europe/Berlin)\n\nNEXT (UTC)\tLOCAL\tNOTE\n2027-03-27T01:30:00Z\tSat 2027-03-27 02:30:00 +01:00\t\n"), "{table}");
    assert!(
        table.contains("Sun 2027-03-28 03:00:00 +02:00\t+01:00 → +02:00\t02:30 does not exist"),
        "{table}"
    );
    let five = operator.json(&[
        "explain",
        "30 2 * * *",
        "--zone",
        "Europe/Berlin",
        "--years",
        "5",
        "--count",
        "0",
        "--json",
    ]);
    assert!(five["changes"].as_array().unwrap().len() >= 9 && five["next"] == json!([]));

    for schedule in [
        "every 5m",
        "@daily",
        "@every 90s",
        "*/15 0-12/6 1,15 1-3 1-5/2",
        "0 0 29 2 *",
        "2030-01-01T00:00:00Z",
        "@reboot",
        "*/5 * * * * *",
    ] {
        operator.ok(&["explain", schedule]);
    }
    assert!(
        operator
            .ok(&["explain", "2020-01-01T00:00:00Z"])
            .contains("It never runs again.")
    );
}

#[test]
fn words_of_a_schedule_are_joined() {
    let operator = Operator::new();
    let whole = operator.ok(&["explain", "0 3 * * *", "--from", "2026-11-20T00:00:00Z"]);
    let from = ["--from", "2026-11-20T00:00:00Z"];
    let words = ["explain", "0", "3", "*", "*", "*"];
    assert_eq!(operator.ok(&[&words[..], &from].concat()), whole);
    assert_eq!(
        operator.ok(&["explain", "--from", from[1], "0", "3", "*", "*", "*"]),
        whole
    );
}

#[test]
fn what_is_no_schedule_is_refused_with_a_caret() {
    let operator = Operator::new();
    for schedule in [
        "* *",
        "0 24 * * *",
        "0 -1 * * *",
        "0 0 32 * *",
        "0 0 * 13 *",
        "0 0 * JANUARY *",
        "0 0 * * MONDAY",
        "*/0 * * * *",
        "*/65 * * * *",
        "10-5 * * * *",
        "1,,2 * * * *",
        "1-2-3 * * * *",
        "0 0 30 2 *",
    ] {
        let said = operator.fails(2, &["explain", schedule]);
        assert!(
            said.contains(&format!("\"{schedule}\"")),
            "{schedule}: {said}"
        );
        assert!(said.contains('^'), "{said}");
        assert!(!said.contains("byte "), "{said}");
    }
    assert_eq!(
        operator.fails(2, &["explain", "5m"]).lines().last(),
        Some("error: \"5m\" is a duration, not a schedule; did you mean \"every 5m\"?")
    );
    for (args, part) in [
        (
            &["explain", "0", "3", "Cargo.toml", "src", "*"][..],
            "put the schedule in quotes",
        ),
        (
            &["explain", "0 3 * * *", "--zone", "Europe/Berln"],
            "Europe/Berlin",
        ),
        (
            &["explain", "0 3 * * *", "--from", "x"],
            "is not an instant",
        ),
        (&["explain", "0 3 * * *", "--count", "10001"], "10001"),
        (&["explain", "0 3 * * *", "--years", "101"], "101"),
        (&["explain"], "<SCHEDULE>"),
        (&["bogus"], "bogus"),
        (&["lsit"], "list"),
        (&[], "Usage: tlo"),
    ] {
        let said = operator.fails(2, args);
        assert!(said.contains(part), "{args:?}: {said}");
    }
}

#[test]
fn explain_reads_both_dialects_and_every_rule_for_clock_changes() {
    let operator = Operator::new();
    let from = ["--from", "2027-03-27T12:00:00Z", "--count", "2"];
    let explain = |args: &[&str]| operator.json(&[&["explain"], args, &from, &["--json"]].concat());

    // Friday is 6 where Sunday is 1.
    let quartz = explain(&["0 30 9 ? * 6L", "--dialect", "quartz"]);
    assert_eq!(
        quartz["english"],
        "At 09:30 on the last Friday of the month"
    );
    assert_eq!(quartz["next"][0]["at"], "2027-04-30T09:30:00Z");
    let said = operator.fails(2, &["explain", "0 3 * * *", "--dialect", "quartz"]);
    assert!(said.contains("seconds"), "{said}");

    let berlin = ["30 2 * * *", "--zone", "Europe/Berlin", "--dst"];
    for (rule, gap, fold) in [
        (
            "vixie",
            "runs at 03:00 instead",
            "runs once, the first time",
        ),
        (
            "first",
            "runs at 03:00 instead",
            "runs once, the first time",
        ),
        (
            "second",
            "runs at 03:00 instead",
            "runs once, the second time",
        ),
        ("both", "runs at 03:00 instead", "runs both times"),
        ("real", "this run is skipped", "runs both times"),
        ("skip", "this run is skipped", "runs once, the first time"),
    ] {
        let answer = explain(&[&berlin[..], &[rule]].concat());
        let effects = [
            &answer["changes"][0]["effect"],
            &answer["changes"][1]["effect"],
        ];
        assert_eq!(
            effects[0],
            &format!("02:30 does not exist: {gap}"),
            "{rule}"
        );
        assert_eq!(effects[1], &format!("02:30 comes twice: {fold}"), "{rule}");
    }
    let said = operator.fails(2, &["explain", "@daily", "--dst", "maybe"]);
    assert!(said.contains("vixie, first, second"), "{said}");
}

#[test]
fn explain_says_what_is_true_of_this_schedule_only() {
    let operator = Operator::new();
    let said = |args: &[&str]| {
        let answer = operator.tlo(&[&["explain"], args].concat());
        assert_eq!(answer.code, 0, "{answer:?}");
        (answer.out, answer.err)
    };
    // An instant counts from nothing and heeds no later change of clocks.
    let (out, err) = said(&[
        "at 2031-03-30 02:30",
        "--zone",
        "Europe/Berlin",
        "--years",
        "20",
    ]);
    assert!(
        out.contains("2031-03-30T01:00:00Z\tSun 2031-03-30 03:00:00 +02:00"),
        "{out}"
    );
    assert!(
        !out.contains("CLOCKS CHANGE") && err.is_empty(),
        "{out}{err}"
    );
    let (out, err) = said(&["every 90m", "--zone", "Europe/Berlin"]);
    assert!(
        out.contains("none: an interval counts elapsed time"),
        "{out}"
    );
    assert!(err.contains("Intervals count from the moment"), "{err}");

    // H is that of the task.
    let (_, err) = said(&["H 3 * * *"]);
    assert!(err.contains("--name NAME"), "{err}");
    let times: std::collections::BTreeSet<String> = ["a", "b", "c", "d", "e"]
        .into_iter()
        .map(|name| {
            let (out, err) = said(&["H 3 * * *", "--name", name, "--count", "1"]);
            assert_eq!(err, "");
            out.lines().next().unwrap().to_owned()
        })
        .collect();
    assert!(times.len() > 2, "{times:?}");
    operator.write(
        "tlo.toml",
        "[[tasks]]\nname = \"b\"\ncron = \"H 3 * * *\"\nshell = \"true\"\n",
    );
    let listed = operator.ok(&["check"]);
    let (out, _) = said(&["H 3 * * *", "--name", "b"]);
    let english = out.lines().next().unwrap().trim_end_matches(" (UTC)");
    assert!(listed.contains(english), "{listed} {english}");
}
