//! The file that grows: a group is appended wholly or not at all.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::fault::fault;
use super::lines::{self, Change};
use super::place::Place;
use super::replay::{NotALog, Replayed, replay};
use crate::backends::disk::{Identity, identity};
use crate::error::{Error, ErrorKind, Result};

/// How much is read or copied at once, in bytes.
const PIECE: usize = 1 << 20;

/// The log of an open store.
#[derive(Debug)]
pub(super) struct Log {
    file: File,
    identity: Identity,
    /// The end of the last whole group, in bytes.
    pub(super) end: u64,
    /// Its number.
    pub(super) number: u64,
    /// Something may stand behind the end that was never answered.
    dirty: bool,
}

impl Log {
    /// Opens the log, or makes an empty one. Each group is handed over; a torn end is cut off.
    pub(super) fn open(place: &Place, apply: impl FnMut(Vec<Change>)) -> Result<Self> {
        let path = &place.log;
        let failed = |source| fault(path, "open jsonl", source);
        // What a compaction left that did not come to its end.
        match std::fs::remove_file(place.next()) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(failed(source)),
            _ => {}
        }
        let Some(file) = place.open().map_err(failed)? else {
            return Self::make(place).map_err(failed);
        };
        let read = read_through(path, &file, u64::MAX, apply)?;
        let mut log = Self {
            identity: identity(path).map_err(failed)?,
            file,
            end: read.end,
            number: read.number,
            dirty: false,
        };
        if let Some(rest) = read.rest {
            let length = log.file.metadata().map_err(failed)?.len();
            tracing::warn!(
                path = %path.display(), line = rest.line, why = %rest.why, bytes = length - log.end,
                "the log ends in a write that was not finished; it is cut back to the group before it"
            );
            log.dirty = true;
            log.mend().map_err(failed)?;
        }
        Ok(log)
    }

    fn make(place: &Place) -> io::Result<Self> {
        let mut file = place.begin_next()?;
        let head = lines::head(0);
        file.write_all(&head)?;
        file.sync_all()?;
        place.replace()?;
        Ok(Self {
            identity: identity(&place.log)?,
            file,
            end: head.len() as u64,
            number: 0,
            dirty: false,
        })
    }

    /// Appends a group. After a failure nothing of it stays.
    pub(super) fn append(&mut self, group: &[u8], sync: bool) -> io::Result<()> {
        self.mend()?;
        self.dirty = true;
        self.file.seek(SeekFrom::Start(self.end))?;
        let written = self.file.write_all(group);
        let written = written.and_then(|()| if sync { self.file.sync_data() } else { Ok(()) });
        match written {
            Ok(()) => {
                self.dirty = false;
                self.end += group.len() as u64;
                self.number += 1;
                Ok(())
            }
            Err(source) => {
                // What does not work now is done before the next group.
                let _ = self.mend();
                Err(source)
            }
        }
    }

    /// Cuts off what stands behind the end.
    fn mend(&mut self) -> io::Result<()> {
        if self.dirty {
            self.file.set_len(self.end)?;
            self.file.sync_data()?;
            self.dirty = false;
        }
        Ok(())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// The same file, to be read elsewhere.
    pub(super) fn reader(&self, path: &Path) -> io::Result<File> {
        let file = File::open(path)?;
        if identity(path)? == self.identity {
            return Ok(file);
        }
        Err(io::Error::other("the log was replaced by another file"))
    }

    /// Copies the bytes from here to the end into another file, which then is the log.
    pub(super) fn move_to(&mut self, place: &Place, mut next: File, from: u64) -> io::Result<()> {
        self.mend()?;
        copy(&mut self.reader(&place.log)?, &mut next, from, self.end)?;
        next.sync_all()?;
        place.replace()?;
        self.identity = identity(&place.log)?;
        self.end = next.stream_position()?;
        self.file = next;
        Ok(())
    }

    /// Fails when the path leads to another file now, or to none: what is written would be seen by nobody.
    pub(super) fn check(&self, path: &Path) -> Result<()> {
        let (what, source) = match identity(path) {
            Ok(now) if now == self.identity => return Ok(()),
            Ok(_) => ("was replaced by another file", None),
            Err(source) => ("is gone", Some(source)),
        };
        let error = Error::new(
            ErrorKind::Unavailable,
            "check jsonl file",
            format!(
                "\"{}\" {what} while this process had the store open; nothing more is written: \
                 put the file back, or stop this process, look at the files, and start again",
                path.display()
            ),
        )
        .retryable(false);
        Err(match source {
            Some(source) => error.with_source(source),
            None => error,
        })
    }
}

/// Appends bytes of one file to another.
pub(super) fn copy(from: &mut File, to: &mut File, begin: u64, end: u64) -> io::Result<()> {
    from.seek(SeekFrom::Start(begin))?;
    let wanted = end.saturating_sub(begin);
    let copied = io::copy(&mut BufReader::with_capacity(PIECE, from).take(wanted), to)?;
    if copied == wanted {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// Reads a log up to a place in it, and refuses one that is damaged or none.
pub(super) fn read_through(
    path: &Path,
    file: &File,
    until: u64,
    apply: impl FnMut(Vec<Change>),
) -> Result<Replayed> {
    let failed = |source| fault(path, "read jsonl", source);
    let mut file = file;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let mut lines = BufReader::with_capacity(PIECE, file.take(until));
    let shown = path.display();
    let read = match replay(&mut lines, apply).map_err(failed)? {
        Ok(read) => read,
        Err(NotALog(why)) => {
            return Err(Error::new(
                ErrorKind::Configuration,
                "open jsonl",
                format!(
                    "the file \"{shown}\" is not a log of this build of TLO ({why}); choose another path, or restore a backup if it was one"
                ),
            ));
        }
    };
    match read.rest {
        Some(rest) if rest.is_followed => Err(Error::new(
            ErrorKind::Corrupt,
            "read jsonl",
            format!(
                "line {line} of \"{shown}\" is damaged ({why}) and whole groups follow it; restore a backup, or keep what stands \
                 before it: \"head -n {before} '{shown}' > mended.jsonl\"",
                line = rest.line,
                why = rest.why,
                before = rest.line - 1
            ),
        )),
        rest => Ok(Replayed { rest, ..read }),
    }
}
