//! The name of this machine.

/// Names longer than this are cut, so that every machine has a valid worker name.
const LONGEST: usize = 200;

/// The name of this machine, or `tlo` where it has none.
pub(crate) fn host_name() -> String {
    let name: String = machine()
        .chars()
        .filter(|c| !c.is_control() && !c.is_whitespace())
        .scan(0, |bytes, c| {
            *bytes += c.len_utf8();
            (*bytes <= LONGEST).then_some(c)
        })
        .collect();
    if name.is_empty() {
        "tlo".to_owned()
    } else {
        name
    }
}

#[cfg(unix)]
fn machine() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

#[cfg(not(unix))]
fn machine() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}
