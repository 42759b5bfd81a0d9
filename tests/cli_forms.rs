//! The forms of what commands print: manual pages, colours, and lists a line each.

#![cfg(all(unix, feature = "cli"))]

mod operator;

use operator::{Answer, Operator};
use serde_json::Value;

const JOBS: &str = "[[tasks]]\nname = \"a\"\ncron = \"0 3 * * *\"\nshell = \"true\"\n\n\
                    [[tasks]]\nname = \"b\"\nshell = \"exit 3\"\n";

#[test]
fn every_command_has_a_manual_page() {
    let operator = Operator::new();
    let page = operator.ok(&["man"]);
    for part in [
        ".TH tlo 1",
        ".SH NAME",
        ".SH SYNOPSIS",
        ".SH \"EXIT CODES\"",
        "5 store unreachable",
        "TLO_TASK_STATE_STORE",
        "tlo\\-run(1)",
    ] {
        assert!(page.contains(part), "{part:?} is not in {page}");
    }
    let show = operator.ok(&["man", "config", "show"]);
    assert!(show.contains("\\-\\-origin"), "{show}");
    let said = operator.fails(2, &["man", "fly"]);
    assert!(said.contains("there is no command \"fly\""), "{said}");

    operator.ok(&["man", "--out", "deep/pages"]);
    assert_eq!(operator.read("deep/pages/tlo.1"), page);
    assert_eq!(operator.read("deep/pages/tlo-config-show.1"), show);
    let help = operator.ok(&["help"]);
    let commands = help.lines().filter_map(|line| line.strip_prefix("  "));
    let commands: Vec<&str> = commands
        .take_while(|line| !line.starts_with("tlo"))
        .filter_map(|line| line.split_once("  "))
        .map(|(name, _)| name)
        .filter(|name| !name.is_empty() && *name != "help" && !name.starts_with('-'))
        .collect();
    assert!(
        commands.contains(&"run") && commands.contains(&"man"),
        "{help}"
    );
    for name in commands {
        let page = operator.read(&format!("deep/pages/tlo-{name}.1"));
        assert!(
            page.contains(&format!(".TH tlo-{name} 1")),
            "{name}: {page}"
        );
    }
    operator.write("file", "");
    operator.fails(1, &["man", "--out", "file/pages"]);
}

#[test]
fn the_manual_page_reads_well() {
    let Ok(groff) = std::process::Command::new("man").arg("--version").output() else {
        eprintln!("SKIPPED: there is no program \"man\" to read pages with");
        return;
    };
    assert!(groff.status.success());
    let operator = Operator::new();
    operator.write("tlo.1", &operator.ok(&["man"]));
    let mut man = std::process::Command::new("man");
    man.args(["--warnings", "-l", "tlo.1"])
        .env("MANWIDTH", "100")
        .env("LC_ALL", "C.UTF-8")
        .current_dir(operator.path("."));
    let answer = Answer::of(&mut man);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{answer:?}");
    // Lines that belong apart stay apart.
    for line in ["EXIT CODES", "5 store unreachable"] {
        let mut lines = answer.out.lines();
        assert!(
            lines.any(|found| found.contains(line)),
            "{line}: {}",
            answer.out
        );
    }
    let begin = "tlo init                                write a commented tlo.toml";
    assert!(answer.out.contains(begin), "{}", answer.out);
}

#[test]
fn colours_are_switched_by_an_argument_wherever_it_stands() {
    let operator = Operator::with_jobs(JOBS);
    operator.ok(&["submit", "b"]);
    let coloured = |text: &str| text.contains("\u{1b}[");
    let loud = [("TERM", "xterm"), ("CLICOLOR_FORCE", "1")];
    for args in [
        &["list"][..],
        &["stats"],
        &["help"],
        &["bogus"],
        &["explain", "61 * * * *"],
    ] {
        for (variables, colour, expected) in [
            (&[("NO_COLOR", "1")][..], "always", true),
            (&[("TERM", "dumb")], "always", true),
            (&loud, "never", false),
            (&[], "auto", false),
        ] {
            for args in [
                [&["--color", colour], args].concat(),
                [args, &[&format!("--color={colour}")]].concat(),
            ] {
                let answer = operator.tlo_with(variables, &args);
                let text = format!("{}{}", answer.out, answer.err);
                assert_eq!(coloured(&text), expected, "{args:?} {variables:?}: {text}");
            }
        }
    }
    let said = operator.fails(2, &["list", "--color", "sometimes"]);
    assert!(said.contains("auto, always, never"), "{said}");
    // In a pipe the columns stay tab-separated, and the text is the same.
    let painted = operator.ok(&["list", "--color=always"]);
    let plain = anstream::adapter::strip_str(&painted).to_string();
    assert_eq!(plain, operator.ok(&["list"]));
}

#[test]
fn lists_come_a_line_each() {
    let operator = Operator::with_jobs(JOBS);
    for _ in 0..3 {
        operator.ok(&["submit", "b"]);
    }
    for args in [
        &["list"][..],
        &["check"],
        &["config", "show"],
        &["config", "show", "--origin"],
    ] {
        let whole = operator.json(&[args, &["--json"]].concat());
        let lines = operator.ok(&[args, &["--jsonl"]].concat());
        let lines: Vec<Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert!(lines.len() >= 2, "{args:?}");
        assert_eq!(Value::Array(lines), whole, "{args:?}");
        operator.fails(2, &[args, &["--json", "--jsonl"]].concat());
    }
    assert_eq!(operator.ok(&["list", "--status", "failed", "--jsonl"]), "");
    assert_eq!(
        operator.ok(&["list", "--status", "failed", "--json"]),
        "[]\n"
    );
}
