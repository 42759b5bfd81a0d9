//! The commands of crontabs: what cron gives them, and whom they run as.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::PathBuf;
use std::time::Duration;

use tlo::cli::crontab::{Crontab, CrontabKind, LocalZone};
use tlo::cli::jobs::{CommandInput, Host, Invocation};
use tlo::cli::source::Source;
use tlo::schedule::{Misfire, Overlap};

fn zone(name: &str) -> LocalZone {
    LocalZone::new(name, "the test").unwrap()
}

fn read(text: &str, kind: CrontabKind) -> Crontab {
    Crontab::parse(
        &Source::new("jobs.cron", text),
        kind,
        &zone("Europe/Berlin"),
    )
}

fn own(text: &str) -> Crontab {
    read(text, CrontabKind::Own)
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000::/home/alice:/bin/sh\nmail:x:8:8::/var/mail:/bin/sh\n";

fn host(uid: u32) -> Host {
    Host::new(uid, PASSWD, "mail:x:8:\nadm:x:4:mail\n", PathBuf::from("/"))
}

#[test]
fn commands_get_what_cron_gives_them() {
    let text = "SHELL=/bin/bash\nLOGNAME=nobody\nA=b\nRANDOM_DELAY=5\n0 3 * * * cat%hello%you\n@daily true\n";
    let crontab = own(text);
    let job = crontab.entries[0].to_job(&host(1000)).unwrap();
    let line = "cat".to_owned();
    assert_eq!(
        job.command.run,
        Invocation::Shell {
            shell: "/bin/bash".to_owned(),
            line
        }
    );
    assert_eq!(job.command.run.argv(), ["/bin/bash", "-c", "cat"]);
    assert_eq!(
        job.command.stdin,
        CommandInput::Text("hello\nyou\n".to_owned())
    );
    assert_eq!(job.command.cwd, Some(PathBuf::from("/home/alice")));
    assert_eq!(job.command.user, None);
    assert!(!job.command.inherit_env);
    let env: Vec<String> = job
        .command
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(
        env,
        [
            "A=b",
            "HOME=/home/alice",
            "LOGNAME=alice",
            "PATH=/usr/bin:/bin",
            "RANDOM_DELAY=5",
            "SHELL=/bin/bash",
            "USER=alice"
        ]
    );
    assert_eq!(job.def.policy.misfire, Misfire::Skip);
    assert_eq!(job.def.policy.overlap, Overlap::Allow);
    assert_eq!(job.def.policy.jitter, Some(Duration::from_secs(300)));
    assert_eq!(
        job.def.schedule.as_ref().unwrap().zone(),
        Some("Europe/Berlin")
    );
    assert_eq!(
        crontab.entries[1]
            .to_job(&host(1000))
            .unwrap()
            .command
            .stdin,
        CommandInput::Empty
    );
}

#[test]
fn a_crontab_sets_home_and_path_itself() {
    let job = own("HOME=/srv\nPATH=/opt/bin\n@daily x\n").entries[0]
        .to_job(&host(1000))
        .unwrap();
    assert_eq!(job.command.cwd, Some(PathBuf::from("/srv")));
    assert_eq!(job.command.env["PATH"], "/opt/bin");
}

#[test]
fn root_runs_lines_as_their_user_and_others_are_refused_by_line() {
    let crontab = read(
        "@daily mail x\n\n@daily ghost x\n@daily root x\n",
        CrontabKind::System,
    );
    let root = host(0);
    let user = crontab.entries[0]
        .to_job(&root)
        .unwrap()
        .command
        .user
        .unwrap();
    assert_eq!((user.uid, user.gid, user.groups), (8, 8, vec![4, 8]));
    let job = crontab.entries[0].to_job(&root).unwrap();
    assert_eq!(
        (
            job.command.env["LOGNAME"].as_str(),
            job.command.env["HOME"].as_str()
        ),
        ("mail", "/var/mail")
    );
    assert_eq!(crontab.entries[2].to_job(&root).unwrap().command.user, None);
    let missing = crontab.entries[1].to_job(&root).unwrap_err();
    assert_eq!((missing.place().line, missing.place().column), (3, 8));
    assert!(missing.message.contains("no user \"ghost\""), "{missing}");

    let alice = host(1000);
    let refused = crontab.entries[0].to_job(&alice).unwrap_err();
    assert_eq!((refused.place().line, refused.place().column), (1, 8));
    assert!(
        refused.to_string().contains("only root can start"),
        "{refused}"
    );
    let spool = read("@daily x\n", CrontabKind::Of("alice".to_owned()));
    assert_eq!(spool.entries[0].to_job(&alice).unwrap().command.user, None);
    assert_eq!(
        spool.entries[0]
            .to_job(&root)
            .unwrap()
            .command
            .user
            .unwrap()
            .uid,
        1000
    );
}
