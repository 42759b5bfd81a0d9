//! The scripts: one for each verb, made of the files in `lua/`.

use super::fields::numbered;

/// A script that the server keeps under its hash.
#[derive(Debug)]
pub(super) struct Script {
    /// The verb, for errors.
    pub(super) verb: &'static str,
    /// Whether the server lets it write nothing: then it may be run twice.
    pub(super) reads: bool,
    pub(super) source: String,
    pub(super) sha: String,
}

macro_rules! lua {
    ($($name:literal),*) => { [$(include_str!(concat!("lua/", $name, ".lua"))),*] };
}

/// What the first line of a script says that only reads.
const READS: &str = " flags=no-writes";

/// What all need.
const WORDS: [&str; 3] = lua!("words", "calls", "heads");

/// What verbs need that give leases.
const FENCES: [&str; 1] = lua!("fences");

/// What every writing verb needs.
const RECORDS: [&str; 8] = lua!(
    "writes", "records", "flush", "lanes", "unique", "gates", "index", "reopen"
);

/// The scripts of the store.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) arrive: Script,
    pub(super) commit: Script,
    pub(super) claim: Script,
    pub(super) quick_commit: Script,
    pub(super) quick_claim: Script,
    pub(super) maintain: Script,
    pub(super) names: Script,
    pub(super) aside: Script,
    pub(super) reading: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        let beside = lua!("streams", "marks");
        let ends = lua!("settle", "refuse", "create");
        Self {
            arrive: script("open redis", "", &[&FENCES, &lua!("arrive")]),
            commit: script(
                "commit",
                "",
                &[
                    &RECORDS,
                    &beside,
                    &FENCES,
                    &ends,
                    &lua!("control", "import", "commit"),
                ],
            ),
            claim: script(
                "claim",
                "",
                &[&RECORDS, &FENCES, &lua!("settle", "claim", "claim_queues")],
            ),
            maintain: script("maintain", "", &[&RECORDS, &beside, &lua!("maintain")]),
            quick_commit: script("commit", "", &[&lua!("quick_commit")]),
            quick_claim: script("claim", "", &[&FENCES, &lua!("quick_claim")]),
            names: script("claim", "", &[&lua!("names")]),
            aside: script("claim", "", &[&RECORDS, &lua!("aside")]),
            reading: script("read", READS, &[&lua!("writes", "records", "reading")]),
        }
    }
}

fn script(verb: &'static str, flags: &str, parts: &[&[&str]]) -> Script {
    // The first line lets the server refuse a script as a whole, before its first write, when it is out of memory or no
    // longer the one that writes.
    let mut source = format!("#!lua{flags}\n");
    for part in WORDS.iter().chain(parts.iter().copied().flatten()) {
        source.push_str(&numbered(part));
    }
    Script {
        verb,
        reads: flags == READS,
        sha: ::redis::Script::new(&source).get_hash().to_owned(),
        source,
    }
}
