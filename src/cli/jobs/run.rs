//! `command`, `shell`, `env`, `cwd`, `kill_grace`: what runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::command::{CommandSpec, Invocation};
use super::fields::{Fields, Text};

const SHELL: &str = "/bin/sh";
const COMMAND_HELP: &str = "write command = [\"echo\", \"hello\"], or shell = \"echo hello\"";

/// The command of a task, if it has a good one.
pub(super) fn read(fields: &mut Fields<'_>) -> Option<CommandSpec> {
    let env = env(fields);
    let cwd = cwd(fields);
    let kill_grace = fields.duration("kill_grace").map(|grace| grace.value);
    let run = match (fields.has("command"), fields.has("shell")) {
        (true, true) => {
            let span = fields.key_span("shell");
            fields.fault(
                span,
                "both \"command\" and \"shell\" say what runs",
                Some("keep one of them"),
            );
            return None;
        }
        (true, false) => words(fields)?,
        (false, true) => shell_line(fields)?,
        (false, false) => {
            let place = fields.place();
            fields.fault(place, "this task runs nothing", Some(COMMAND_HELP));
            return None;
        }
    };
    let mut command = CommandSpec::new(run);
    command.env = env;
    command.cwd = cwd;
    command.kill_grace = kill_grace;
    Some(command)
}

fn words(fields: &mut Fields<'_>) -> Option<Invocation> {
    let words = fields.texts("command", Some(COMMAND_HELP))?;
    let Some(program) = words.first() else {
        let span = fields
            .item("command")
            .map_or_else(|| fields.place(), |item| item.span);
        fields.fault(span, "the command is empty", Some(COMMAND_HELP));
        return None;
    };
    if program.value.trim().is_empty() {
        fields.fault(
            program.span.clone(),
            "the first word, the program, is empty",
            Some(COMMAND_HELP),
        );
        return None;
    }
    let mut good = true;
    for word in &words {
        good &= without_nul(fields, word);
    }
    if words.len() == 1 && program.value.contains(' ') && !program.value.contains('/') {
        let help = format!(
            "write shell = \"{}\", or one word for each part",
            program.value
        );
        fields.fault(
            program.span.clone(),
            format!(
                "there is no program \"{}\" with a blank in its name",
                program.value
            ),
            Some(&help),
        );
        return None;
    }
    good.then(|| Invocation::Argv(words.iter().map(|word| word.value.to_owned()).collect()))
}

fn shell_line(fields: &mut Fields<'_>) -> Option<Invocation> {
    let line = fields.text_or("shell", "a line for the shell", Some(COMMAND_HELP))?;
    if line.value.trim().is_empty() {
        fields.fault(
            line.span,
            "the line for the shell is empty",
            Some(COMMAND_HELP),
        );
        return None;
    }
    without_nul(fields, &line).then(|| Invocation::Shell {
        shell: SHELL.to_owned(),
        line: line.value.to_owned(),
    })
}

fn env(fields: &mut Fields<'_>) -> BTreeMap<String, String> {
    let Some(mut table) =
        fields.table("env", "the environment", "write env = { NAME = \"value\" }")
    else {
        return BTreeMap::new();
    };
    let mut env = BTreeMap::new();
    for name in table.keys() {
        if name.is_empty() || name.contains(['=', '\0']) {
            let span = table.key_span(&name);
            table.fault(span, format!("no variable can be called {name:?}"), None);
        }
        let Some(value) = table.text_or(&name, "a variable, so text", Some("put it in quotes"))
        else {
            continue;
        };
        if without_nul(&mut table, &value) {
            env.insert(name, value.value.to_owned());
        }
    }
    fields.adopt(table.into_mistakes());
    env
}

/// The folder, relative to the file.
fn cwd(fields: &mut Fields<'_>) -> Option<PathBuf> {
    let text = fields.text_or("cwd", "the path of a folder", None)?;
    if text.value.is_empty() {
        fields.fault(
            text.span,
            "\"cwd\" is empty",
            Some("leave the key out to run where TLO runs, or write \".\""),
        );
        return None;
    }
    if !without_nul(fields, &text) {
        return None;
    }
    let base = Path::new(fields.source().name()).parent();
    Some(base.map_or_else(|| PathBuf::from(text.value), |base| base.join(text.value)))
}

fn without_nul(fields: &mut Fields<'_>, text: &Text<'_>) -> bool {
    let good = !text.value.contains('\0');
    if !good {
        fields.fault(
            text.span.clone(),
            "a command cannot be given a NUL character",
            None,
        );
    }
    good
}
