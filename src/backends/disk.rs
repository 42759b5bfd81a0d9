//! What the files of a store stand on: which file a path leads to, and which file system that is on.

#[cfg(unix)]
use std::fs;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// Local file systems by their magic numbers.
#[cfg(target_os = "linux")]
const LOCAL: &[(u32, &str)] = &[
    (0xEF53, "ext4"),
    (0x5846_5342, "XFS"),
    (0x9123_683E, "Btrfs"),
    (0x2FC1_2FC1, "ZFS"),
    (0xF2F5_2010, "F2FS"),
    (
        0x794C_7630,
        "overlayfs, as in a container: gone with the container",
    ),
    (0x0102_1994, "tmpfs: in memory, gone after a restart"),
    (0x8584_58F6, "ramfs: in memory, gone after a restart"),
];

/// The file system of a directory and the room that is left; `None` where the system does not say.
#[cfg(target_os = "linux")]
pub(super) fn describe(directory: &Path) -> Option<String> {
    let magic = magic(directory)?;
    let room = rustix::fs::statvfs(directory).ok()?;
    let free = room.f_bavail.saturating_mul(room.f_frsize) >> 20;
    let name = LOCAL
        .iter()
        .find(|(number, _)| *number == magic)
        .map_or_else(
            || format!("type {magic:#x}"),
            |(_, name)| (*name).to_owned(),
        );
    Some(format!("{free} MiB free, {name}"))
}

/// The file system of a directory and the room that is left; `None` where the system does not say.
#[cfg(not(target_os = "linux"))]
pub(super) fn describe(_directory: &Path) -> Option<String> {
    None
}

/// Device and inode; `None` where the system does not tell.
pub(super) type Identity = Option<(u64, u64)>;

/// Which file a path leads to.
#[cfg(unix)]
pub(super) fn identity(path: &Path) -> std::io::Result<Identity> {
    use std::os::unix::fs::MetadataExt;
    let file = fs::metadata(path)?;
    Ok(Some((file.dev(), file.ino())))
}

#[cfg(not(unix))]
pub(super) fn identity(path: &Path) -> std::io::Result<Identity> {
    fs::metadata(path).map(|_| None)
}

/// File systems that are shared over a network, or through a program, by their magic numbers.
#[cfg(target_os = "linux")]
const NETWORK: &[(u32, &str)] = &[
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB2"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "FUSE"),
    (0x00C3_6400, "Ceph"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x0BD0_0BD0, "Lustre"),
    (0x7375_7245, "Coda"),
    (0x4750_4653, "GPFS"),
];

#[cfg(target_os = "linux")]
fn network_name(magic: u32) -> Option<&'static str> {
    let found = NETWORK.iter().find(|(number, _)| *number == magic);
    found.map(|(_, name)| *name)
}

/// The number of the file system that a directory is on.
#[cfg(target_os = "linux")]
fn magic(directory: &Path) -> Option<u32> {
    let system = rustix::fs::statfs(directory).ok()?;
    // The kernel's field has 32 meaningful bits; its sign and width differ between machines.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "only the low 32 bits carry the number"
    )]
    Some(system.f_type as u32)
}

/// Refuses a directory whose file system does not keep the locks of processes apart for sure.
#[cfg(target_os = "linux")]
pub(super) fn refuse_network(operation: &'static str, directory: &Path) -> Result<()> {
    let Some(magic) = magic(directory) else {
        return Ok(());
    };
    match network_name(magic) {
        Some(name) => Err(Error::new(
            ErrorKind::Configuration,
            operation,
            format!(
                "\"{}\" is on a {name} file system, where locks may not hold and two processes can destroy a database; \
                 use a local disk, or set allow_network_file_system if you know that it is safe",
                directory.display()
            ),
        )),
        None => Ok(()),
    }
}

/// Refuses nothing where the system does not say what a directory is on.
#[cfg(not(target_os = "linux"))]
pub(super) fn refuse_network(_operation: &'static str, _directory: &Path) -> Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_their_numbers() {
        assert_eq!(network_name(0x6969), Some("NFS"));
        assert_eq!(network_name(0x6573_5546), Some("FUSE"));
        // ext4, tmpfs, btrfs, xfs, overlayfs
        for local in [0xEF53, 0x0102_1994, 0x9123_683E, 0x5846_5342, 0x794C_7630] {
            assert_eq!(network_name(local), None);
        }
        assert!(refuse_network("open sqlite", &std::env::temp_dir()).is_ok());
    }
}
