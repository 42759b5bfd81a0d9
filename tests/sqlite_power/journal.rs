//! What a process did to the files of its folder, as the shim noted it, and what a disk could hold after a power failure.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use fastrand::Rng;

/// The smallest piece of a write that a disk makes whole.
const SECTOR: usize = 512;

pub(crate) enum Step {
    Create {
        name: String,
        file: usize,
    },
    Unlink {
        name: String,
    },
    Write {
        file: usize,
        at: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        file: usize,
        size: usize,
    },
    /// Of a file, or of the folder when there is none.
    SyncBegins {
        file: Option<usize>,
        number: u64,
    },
    SyncEnds {
        number: u64,
    },
    /// A line that the process said after it had an answer.
    Answer(String),
}

/// Files of a folder by name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// What became of the writes that were not synced.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unsynced {
    /// None of them reached the disk.
    Lost,
    /// All did, as after the death of the process alone.
    Kept,
    /// Each by chance, in percent; a few of them in part.
    Some(u32),
}

/// The steps, and the files as they were, safely, before the first.
pub(crate) struct Journal {
    before: Files,
    pub(crate) steps: Vec<Step>,
    /// The name of each file when it was made.
    names: Vec<String>,
}

impl Journal {
    /// Reads what the shim noted of a folder that was empty before.
    pub(crate) fn read(path: &Path) -> Self {
        Self::read_after(path, Files::new(), &HashMap::new())
    }

    /// The same of a folder that held these files, of these inodes.
    pub(crate) fn read_after(path: &Path, before: Files, inodes: &HashMap<String, u64>) -> Self {
        let bytes = fs::read(path).unwrap();
        let mut names: Vec<String> = before.keys().cloned().collect();
        let by_name = |(file, name): (usize, &String)| (inodes[name], file);
        let mut file_of: HashMap<u64, usize> = names.iter().enumerate().map(by_name).collect();
        let mut steps = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let number = |n: usize| {
                let start = at + 8 * n;
                u64::from_le_bytes(bytes[start..start + 8].try_into().unwrap())
            };
            let (kind, inode, position) = (number(0), number(1), number(2));
            let data = &bytes[at + 32..at + 32 + usize::try_from(number(3)).unwrap()];
            at += 32 + data.len();
            let text = || String::from_utf8(data.to_vec()).unwrap();
            let place = usize::try_from(position).unwrap_or(usize::MAX);
            steps.push(match u8::try_from(kind).unwrap() {
                b'C' => {
                    names.push(text());
                    let file = names.len() - 1;
                    file_of.insert(inode, file);
                    let name = text();
                    Step::Create { name, file }
                }
                b'U' => Step::Unlink { name: text() },
                b'W' => Step::Write {
                    file: file_of[&inode],
                    at: place,
                    bytes: data.to_vec(),
                },
                b'T' => Step::Truncate {
                    file: file_of[&inode],
                    size: place,
                },
                b'B' => Step::SyncBegins {
                    file: (inode != 0).then(|| file_of[&inode]),
                    number: position,
                },
                b'E' => Step::SyncEnds { number: position },
                b'A' => Step::Answer(text().trim_end().to_owned()),
                other => panic!("a step of the kind {other}"),
            });
        }
        Self {
            before,
            steps,
            names,
        }
    }

    pub(crate) fn is_log(&self, file: usize) -> bool {
        self.names[file].ends_with("-wal")
    }

    /// Whether a step begins a sync of the database file: the end of a checkpoint.
    pub(crate) fn is_sync_of_database(&self, step: &Step) -> bool {
        matches!(step, Step::SyncBegins { file: Some(file), .. } if self.names[*file].ends_with(".db"))
    }

    /// Up to which step the disk is known to hold each file, and the folder, when the power fails before step `cut`.
    fn safe(&self, cut: usize) -> (Vec<usize>, usize) {
        let (mut files, mut folder) = (vec![0; self.names.len()], 0);
        let mut under_way = HashMap::new();
        for (index, step) in self.steps[..cut].iter().enumerate() {
            match step {
                Step::SyncBegins { file, number } => {
                    under_way.insert(*number, (*file, index));
                }
                Step::SyncEnds { number } => match under_way.remove(number).unwrap() {
                    (Some(file), begun) => files[file] = begun.max(files[file]),
                    (None, begun) => folder = begun.max(folder),
                },
                _ => {}
            }
        }
        (files, folder)
    }

    /// What the disk could hold when the power failed before step `cut`.
    pub(crate) fn image(&self, cut: usize, unsynced: Unsynced, random: &mut Rng) -> Files {
        let (safe, safe_folder) = self.safe(cut);
        let reaches = |index: usize, safe: usize, random: &mut Rng| {
            index < safe
                || match unsynced {
                    Unsynced::Lost => false,
                    Unsynced::Kept => true,
                    Unsynced::Some(percent) => random.u32(..100) < percent,
                }
        };
        let mut folder: BTreeMap<String, usize> =
            self.before.keys().cloned().zip(0usize..).collect();
        let mut contents: Vec<Vec<u8>> = self.before.values().cloned().collect();
        contents.resize(self.names.len(), Vec::new());
        // A file system keeps the changes of a folder in their order.
        let mut folder_stands = true;
        for (index, step) in self.steps[..cut].iter().enumerate() {
            match step {
                Step::Create { .. } | Step::Unlink { .. } if !folder_stands => {}
                Step::Create { name, file } => {
                    folder_stands = reaches(index, safe_folder, random);
                    if folder_stands {
                        folder.insert(name.clone(), *file);
                    }
                }
                Step::Unlink { name } => {
                    folder_stands = reaches(index, safe_folder, random);
                    if folder_stands {
                        folder.remove(name);
                    }
                }
                Step::Truncate { file, size } => {
                    if reaches(index, safe[*file], random) {
                        contents[*file].resize(*size, 0);
                    }
                }
                Step::Write { file, at, bytes } => {
                    let content = &mut contents[*file];
                    let is_torn = index >= safe[*file]
                        && matches!(unsynced, Unsynced::Some(_))
                        && random.u32(..4) == 0;
                    if is_torn {
                        tear(content, *at, bytes, random);
                    } else if reaches(index, safe[*file], random) {
                        put(content, *at, bytes);
                    }
                }
                Step::SyncBegins { .. } | Step::SyncEnds { .. } | Step::Answer(_) => {}
            }
        }
        let file = |(name, file)| (name, std::mem::take(&mut contents[file]));
        folder.into_iter().map(file).collect()
    }

    /// Answers up to step `cut`.
    pub(crate) fn answers(&self, cut: usize) -> impl Iterator<Item = &str> {
        self.steps[..cut].iter().filter_map(|step| match step {
            Step::Answer(line) => Some(line.as_str()),
            _ => None,
        })
    }
}

fn put(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if content.len() < at + bytes.len() {
        content.resize(at + bytes.len(), 0);
    }
    content[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Some of the sectors of a write.
fn tear(content: &mut Vec<u8>, at: usize, bytes: &[u8], random: &mut Rng) {
    let mut from = 0;
    while from < bytes.len() {
        let until = ((at + from) / SECTOR * SECTOR + SECTOR - at).min(bytes.len());
        if random.bool() {
            put(content, at + from, &bytes[from..until]);
        }
        from = until;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(steps: Vec<Step>) -> Journal {
        let before = Files::from([("f".to_owned(), vec![0; 2048])]);
        Journal {
            before,
            steps,
            names: vec!["f".to_owned()],
        }
    }

    fn write(at: usize, byte: u8) -> Step {
        Step::Write {
            file: 0,
            at,
            bytes: vec![byte; 1024],
        }
    }

    fn begins(number: u64) -> Step {
        Step::SyncBegins {
            file: Some(0),
            number,
        }
    }

    #[test]
    fn only_what_was_written_before_a_sync_that_ended_is_safe() {
        let steps = vec![
            write(0, 1),
            begins(1),
            write(1024, 2),
            Step::SyncEnds { number: 1 },
        ];
        let journal = journal(steps);
        let mut random = Rng::with_seed(1);
        for (cut, unsynced, first, second) in [
            (3, Unsynced::Lost, 0, 0),
            (4, Unsynced::Lost, 1, 0),
            (4, Unsynced::Kept, 1, 2),
            (1, Unsynced::Kept, 1, 0),
        ] {
            let image = journal.image(cut, unsynced, &mut random);
            assert_eq!((image["f"][0], image["f"][2047]), (first, second), "{cut}");
        }
    }

    #[test]
    fn a_torn_write_is_whole_in_each_sector() {
        let journal = journal(vec![write(256, 1)]);
        let mut random = Rng::with_seed(2);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..400 {
            let image = journal.image(1, Unsynced::Some(50), &mut random);
            let sectors: Vec<bool> = image["f"]
                .chunks(SECTOR)
                .map(|sector| sector.contains(&1))
                .collect();
            let whole = |at: usize| image["f"][at..at + SECTOR].iter().all(|byte| *byte == 1);
            assert_eq!(sectors[1], whole(512));
            seen.insert(sectors);
        }
        // Each of the three sectors that the write touches, with and without each other.
        assert_eq!(seen.len(), 8);
    }
}
