//! `tlo bench` that is interrupted.
#![cfg(all(unix, feature = "cli"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod operator;

use operator::{Operator, Running, until};

#[test]
fn one_that_is_interrupted_leaves_nothing_behind() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let operator = Operator::new();
        let folder = operator.path("disk");
        std::fs::create_dir(&folder).unwrap();
        let args = ["bench", "--store", "sqlite", "--tasks", "10000000", "--dir"];
        let args = [&args[..], &[folder.to_str().unwrap()]].concat();
        let running = Running::of(&mut operator.command(&args), &operator.path(""));
        until("the file is there", || {
            let inside = std::fs::read_dir(&folder).unwrap().next();
            inside.is_some_and(|inside| inside.unwrap().path().join("bench.db-wal").exists())
        });
        running.signal(signal);
        assert_eq!(running.ended(), code);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "{signal}");
    }
}
