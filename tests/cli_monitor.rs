//! `tlo monitor` on a terminal of its own, and without one.
#![cfg(all(feature = "cli", unix))]
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

mod operator;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

use operator::{Operator, code, is_alive, send, text, until};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::Value;

const JOBS: &str = r#"
[[tasks]]
name = "quick"
command = ["true"]

[[tasks]]
name = "fails"
command = ["sh", "-c", "echo broken >&2; exit 3"]
max_attempts = 1
"#;

/// A terminal, the monitor on it, and all it wrote.
struct Terminal {
    master: File,
    /// Kept open: what is read of a terminal that nobody has open any more is an error.
    slave: OwnedFd,
    child: Child,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn with(mut command: Command, columns: u16, lines: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = File::options()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap();
        let slave: OwnedFd = slave.into();
        let master = File::from(master);
        size(&master, columns, lines);
        let child = command
            .env("TERM", "xterm")
            .stdin(slave.try_clone().unwrap())
            .stdout(slave.try_clone().unwrap())
            .stderr(slave.try_clone().unwrap())
            .spawn()
            .unwrap();
        let written = Arc::new(Mutex::new(Vec::new()));
        let mut reader = master.try_clone().unwrap();
        let all = Arc::clone(&written);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = reader.read(&mut bytes) {
                all.lock().unwrap().extend_from_slice(&bytes[..read]);
            }
        });
        Self {
            master,
            slave,
            child,
            written,
        }
    }

    fn monitor(operator: &Operator, args: &[&str]) -> Self {
        let command = operator.command(&[&["monitor"], args].concat());
        Self::with(command, 100, 12)
    }

    fn all(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned()
    }

    /// The lines that are on the screen: those of the last frame that is there whole.
    fn screen(&self) -> Vec<String> {
        let all = self.all();
        let whole = all.rsplit_once("\x1b[J").map_or("", |(whole, _)| whole);
        let frame = whole.rsplit_once("\x1b[H").map_or("", |(_, frame)| frame);
        frame
            .split("\x1b[K\r\n")
            .map(|line| plain(line.trim_end_matches("\x1b[K")))
            .collect()
    }

    fn shows(&self, what: &str) {
        until(what, || {
            self.screen().iter().any(|line| line.contains(what))
        });
    }

    fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// The line with the mark.
    fn marked(&self) -> String {
        let screen = self.screen();
        screen
            .into_iter()
            .find(|line| line.starts_with("> "))
            .unwrap_or_default()
    }

    fn is_raw(&self) -> bool {
        !tcgetattr(&self.slave)
            .unwrap()
            .local_modes
            .contains(LocalModes::ICANON)
    }

    /// Waits until it has ended; the terminal must be as it was before.
    fn ends(mut self) -> i32 {
        let mut status = None;
        until("the monitor ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(!self.is_raw());
        until("the screen of before", || {
            self.all().contains("\x1b[?25h\x1b[?1049l")
        });
        code(status.unwrap())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(master: &File, columns: u16, lines: u16) {
    let size = Winsize {
        ws_col: columns,
        ws_row: lines,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(master, size).unwrap();
}

fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        rest = rest.get(1..).unwrap_or_default();
    }
    plain + rest
}

fn submit(operator: &Operator, name: &str) -> String {
    operator.ok(&["submit", name]).trim().to_owned()
}

#[test]
fn tasks_are_seen_as_they_come_run_and_end() {
    let operator = Operator::with_jobs(JOBS);
    let ids: Vec<String> = (0..20).map(|_| submit(&operator, "quick")).collect();
    let mut terminal = Terminal::monitor(&operator, &[]);
    terminal.shows("[0 All 20]");
    terminal.shows("1 Pending 20");
    terminal.shows("1-8 of 20");
    assert!(terminal.is_raw());

    // Down by a line and by a page, to the end, and back to the top.
    let newest = &ids[19][ids[19].len() - 6..];
    until("the newest is marked", || {
        terminal.marked().contains(newest)
    });
    terminal.press("G");
    terminal.shows("13-20 of 20");
    until("the oldest is marked", || {
        terminal.marked().contains(&ids[0][ids[0].len() - 6..])
    });
    terminal.press("gjj");
    until("the third is marked", || {
        terminal.marked().contains(&ids[17][ids[17].len() - 6..])
    });

    // The record of the line, and back.
    terminal.press("\r");
    terminal.shows(&format!("id            {}", ids[17]));
    terminal.press("\x1b");
    terminal.shows("1-8 of 20");

    // What another process makes is seen, and what a runner makes of it.
    submit(&operator, "fails");
    terminal.shows("1 Pending 21");
    let running = operator.run(&[]);
    terminal.shows("3 Finished 21");
    terminal.shows("1 failed");
    terminal.press("3g");
    terminal.shows("exit code 3: broken");
    terminal.press("1");
    terminal.shows("nothing here");
    terminal.press("\t\t");
    terminal.shows("[3 Finished 21]");
    running.stop();

    // Another size.
    size(&terminal.master, 60, 9);
    send("WINCH", terminal.child.id());
    terminal.shows("1-5 of 21");
    until("no line is wider than the terminal", || {
        let screen = terminal.screen();
        screen.len() == 9 && screen.iter().all(|line| line.chars().count() <= 60)
    });
    terminal.press("q");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn the_terminal_is_given_back_however_it_ends() {
    let operator = Operator::with_jobs(JOBS);
    submit(&operator, "quick");
    for end in ["\x03", "q", "TERM", "INT", "HUP"] {
        let mut terminal = Terminal::monitor(&operator, &["--interval", "100ms"]);
        terminal.shows("[0 All 1]");
        assert!(terminal.is_raw());
        assert!(is_alive(terminal.child.id()));
        match end {
            "q" | "\x03" => terminal.press(end),
            signal => send(signal, terminal.child.id()),
        }
        assert_eq!(terminal.ends(), 0, "{end:?}");
    }
}

#[test]
fn colours_are_left_out_when_they_are_not_wanted() {
    let operator = Operator::with_jobs(JOBS);
    submit(&operator, "quick");
    for (wish, painted) in [(None, true), (Some(("NO_COLOR", "1")), false)] {
        let mut command = operator.command(&["monitor", "--status", "pending"]);
        command.envs(wish);
        let mut terminal = Terminal::with(command, 80, 10);
        terminal.shows("[0 All 1]");
        terminal.press("q");
        until("the monitor ends", || {
            terminal.all().contains("\x1b[?1049l")
        });
        let all = terminal.all();
        assert_eq!(
            all.contains("\x1b[1m") || all.contains("\x1b[7m"),
            painted,
            "{all:?}"
        );
    }
}

#[test]
fn a_snapshot_without_a_terminal() {
    let operator = Operator::with_jobs(JOBS);
    let ids: Vec<String> = (0..3).map(|_| submit(&operator, "quick")).collect();
    operator.ok(&["cancel", &ids[0]]);
    let shown = operator.ok(&["monitor"]);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[..3], ["TASKS\tSTATUS", "2\tpending", "0\trunning"]);
    assert!(lines.contains(&"1\tcancelled"));
    assert_eq!(
        lines
            .iter()
            .filter(|line| line.contains("\tquick\t"))
            .count(),
        3
    );
    assert!(!shown.contains('\x1b'));

    let seen = operator.json(&["monitor", "--json"]);
    assert_eq!(seen["counts"]["groups"]["pending"], 2);
    let ids_of = |part: &str| -> Vec<String> {
        let records = seen[part].as_array().unwrap();
        records
            .iter()
            .map(|record| text(record, "id").to_owned())
            .collect()
    };
    assert_eq!(ids_of("pending"), [ids[2].clone(), ids[1].clone()]);
    assert_eq!(ids_of("finished"), [ids[0].clone()]);
    assert_eq!(seen["running"], Value::Array(Vec::new()));
    assert_eq!(seen["more"], false);

    let one = operator.json(&[
        "monitor", "--once", "--json", "--status", "pending", "--limit", "1",
    ]);
    assert_eq!(one["pending"].as_array().unwrap().len(), 1);
    assert_eq!(one["finished"].as_array().unwrap().len(), 0);
    assert_eq!(one["more"], true);
    assert!(
        operator
            .fails(2, &["monitor", "--interval", "1ms"])
            .contains("at least 100ms")
    );
}
