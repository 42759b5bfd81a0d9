//! What the file stands on, for people.

use std::path::Path;

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
    let magic = super::place::magic(directory)?;
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
