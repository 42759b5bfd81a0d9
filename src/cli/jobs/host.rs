//! [`Host`]: the users of this machine, and which of them a command may run as.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::command::Account;
use crate::error::{Error, ErrorKind, Result};

/// Who runs TLO, and who else there is.
///
/// Users are those of `/etc/passwd` and `/etc/group`; users that only a directory service knows are not found.
#[derive(Clone, Debug)]
pub struct Host {
    uid: u32,
    accounts: BTreeMap<String, Account>,
    own_home: PathBuf,
}

impl Host {
    /// This machine, seen by this process.
    ///
    /// # Errors
    /// `Unsupported` on systems without user ids, `Unavailable` when `/etc/passwd` cannot be read.
    pub fn this_machine() -> Result<Self> {
        let passwd = read("/etc/passwd")?;
        // Without it, everybody has their first group.
        let group = std::fs::read("/etc/group").unwrap_or_default();
        let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
        let (passwd, group) = (
            String::from_utf8_lossy(&passwd),
            String::from_utf8_lossy(&group),
        );
        Ok(Self::new(own_uid()?, &passwd, &group, home))
    }

    /// A machine with these files, seen by a user id. `own_home` is used for an id that `passwd` does not have.
    #[must_use]
    pub fn new(uid: u32, passwd: &str, group: &str, own_home: PathBuf) -> Self {
        let mut accounts = BTreeMap::new();
        for account in passwd.lines().filter_map(read_account) {
            // The first line of a name counts, as for getpwnam.
            accounts.entry(account.name.clone()).or_insert(account);
        }
        for (gid, members) in group.lines().filter_map(read_group) {
            for member in members {
                if let Some(account) = accounts.get_mut(member) {
                    account.groups.push(gid);
                }
            }
        }
        for account in accounts.values_mut() {
            account.groups.sort_unstable();
            account.groups.dedup();
        }
        Self {
            uid,
            accounts,
            own_home,
        }
    }

    /// Whoever runs this process, and so everything without a user of its own.
    #[must_use]
    pub fn me(&self) -> Account {
        // Several names may share an id, and toor is not who root expects to be.
        let named = self
            .accounts
            .values()
            .filter(|account| account.uid == self.uid);
        let me = named.min_by_key(|account| {
            (
                self.uid == 0 && account.name != "root",
                account.name.clone(),
            )
        });
        me.cloned().unwrap_or_else(|| Account {
            name: self.uid.to_string(),
            uid: self.uid,
            gid: self.uid,
            groups: vec![self.uid],
            home: self.own_home.clone(),
        })
    }

    /// Whether there is a user of this name.
    #[must_use]
    pub fn has_user(&self, name: &str) -> bool {
        self.accounts.contains_key(name)
    }

    /// Whom a command that asks for `user` runs as: `None` when that is this process already.
    ///
    /// # Errors
    /// `NotFound` for a user that does not exist, `Invalid` for another user when this process is not root's.
    pub fn run_as(&self, user: &str) -> Result<Option<Account>> {
        let Some(account) = self.accounts.get(user) else {
            return Err(Error::new(
                ErrorKind::NotFound,
                "find user",
                format!("there is no user \"{user}\" on this machine; create it, or name another"),
            ));
        };
        if account.uid == self.uid {
            return Ok(None);
        }
        if self.uid != 0 {
            let me = self.me().name;
            let way_out = match account.uid {
                0 => "start TLO as root".to_owned(),
                _ => format!("start TLO as root or as {user}"),
            };
            return Err(Error::invalid(
                "run as user",
                format!(
                    "this runs as \"{user}\", which only root can start, and you are \"{me}\"; {way_out}"
                ),
            ));
        }
        Ok(Some(account.clone()))
    }
}

fn read(path: &str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| {
        let message = format!("\"{path}\" cannot be read: {source}");
        Error::new(ErrorKind::Unavailable, "read users", message)
            .retryable(false)
            .with_source(source)
    })
}

#[cfg(unix)]
fn own_uid() -> Result<u32> {
    Ok(rustix::process::geteuid().as_raw())
}

#[cfg(not(unix))]
fn own_uid() -> Result<u32> {
    Err(Error::new(
        ErrorKind::Unsupported,
        "read users",
        "this system has no user ids; leave users out",
    ))
}

/// `name:password:uid:gid:comment:home:shell`.
fn read_account(line: &str) -> Option<Account> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, uid, gid, _, home, ..] = fields.as_slice() else {
        return None;
    };
    let gid = gid.parse().ok()?;
    Some(Account {
        name: (*name).to_owned(),
        uid: uid.parse().ok()?,
        gid,
        groups: vec![gid],
        home: PathBuf::from(if home.is_empty() { "/" } else { home }),
    })
}

/// `name:password:gid:member,member`.
fn read_group(line: &str) -> Option<(u32, Vec<&str>)> {
    let fields: Vec<&str> = line.split(':').collect();
    let [_, _, gid, members] = fields.as_slice() else {
        return None;
    };
    let members = members.split(',').filter(|member| !member.is_empty());
    Some((gid.parse().ok()?, members.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
        toor:x:0:0::/root:/bin/sh\n\
        # a comment\n\
        broken:x:one:2::/:\n\
        www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n\
        alice:x:1000:1000:Alice,,,:/home/alice:/bin/zsh\n\
        www-data:x:99:99:again:/:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nadm:x:4:alice,www-data\nwww-data:x:33:\nalice:x:1000:\ndocker:x:998:alice,ghost\n";

    fn host(uid: u32) -> Host {
        Host::new(uid, PASSWD, GROUP, PathBuf::from("/fallback"))
    }

    #[test]
    fn root_becomes_anybody_who_exists() {
        let root = host(0);
        assert_eq!(root.me().name, "root");
        assert_eq!(root.run_as("root").unwrap(), None);
        let alice = root.run_as("alice").unwrap().unwrap();
        assert_eq!((alice.uid, alice.gid), (1000, 1000));
        assert_eq!(alice.groups, [4, 998, 1000]);
        assert_eq!(alice.home, PathBuf::from("/home/alice"));
        assert_eq!(root.run_as("www-data").unwrap().unwrap().uid, 33);
        for nobody in ["ghost", "broken", ""] {
            let error = root.run_as(nobody).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(
                error.to_string().contains(&format!("\"{nobody}\"")),
                "{error}"
            );
        }
    }

    #[test]
    fn others_are_only_themselves() {
        let alice = host(1000);
        assert_eq!(alice.run_as("alice").unwrap(), None);
        for other in ["root", "www-data"] {
            let error = alice.run_as(other).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            let message = error.to_string();
            assert!(
                message.contains(other) && message.contains("you are \"alice\""),
                "{message}"
            );
            let way_out = match other {
                "root" => "; start TLO as root",
                _ => "; start TLO as root or as www-data",
            };
            assert!(message.ends_with(way_out), "{message}");
        }
    }

    #[test]
    fn an_id_without_a_name_is_somebody_too() {
        let me = host(4321).me();
        assert_eq!(
            (me.name.as_str(), me.uid, me.home),
            ("4321", 4321, PathBuf::from("/fallback"))
        );
    }

    #[test]
    fn this_machine_knows_who_runs_the_test() {
        let host = Host::this_machine().unwrap();
        let me = host.me();
        assert_eq!(me.uid, own_uid().unwrap());
    }
}
