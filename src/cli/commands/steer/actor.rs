//! Who steers.

use crate::client::Client;
use crate::context::TloContext;

/// The client, acting for who runs the command: audit events say so.
pub(in crate::cli::commands) fn client(tlo: &TloContext) -> Client {
    let user = ["SUDO_USER", "USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    let host = &tlo.settings().name;
    match user.or_else(own_account) {
        Some(user) => tlo.client().acting_as(format!("{user}@{host}")),
        None => tlo.client(),
    }
}

/// The name of the account of this process, where the environment does not say it.
#[cfg(unix)]
fn own_account() -> Option<String> {
    let uid = rustix::process::getuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = passwd
        .lines()
        .find(|line| line.split(':').nth(2) == Some(uid.to_string().as_str()))?;
    line.split(':').next().map(str::to_owned)
}

#[cfg(not(unix))]
fn own_account() -> Option<String> {
    None
}
