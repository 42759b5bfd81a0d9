//! What this process has open, by path: who opens a path again shares what is there.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::error::Result;

/// Things of one kind that are open, one for each path.
pub(super) struct OpenPaths<T: 'static>(Mutex<BTreeMap<PathBuf, Weak<T>>>);

impl<T> OpenPaths<T> {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// What is open at a path and `fits`, or what `open` makes. A path leads to one thing only when it is given in its
    /// canonical form.
    pub(super) fn share(
        &'static self,
        path: &Path,
        fits: impl FnOnce(&T) -> Result<()>,
        open: impl FnOnce() -> Result<T>,
    ) -> Result<Shared<T>> {
        let mut paths = self.0.lock();
        let known = paths.get(path).and_then(Weak::upgrade);
        let thing = match known {
            Some(thing) => {
                // Others hold it: whatever is said here, it is closed under this lock.
                fits(&thing)?;
                thing
            }
            None => {
                let thing = Arc::new(open()?);
                paths.insert(path.to_owned(), Arc::downgrade(&thing));
                thing
            }
        };
        Ok(Shared {
            among: self,
            path: path.to_owned(),
            thing: Some(thing),
        })
    }
}

/// One holder of something open. It is closed with the last one, before anybody can open the path again.
pub(super) struct Shared<T: 'static> {
    among: &'static OpenPaths<T>,
    path: PathBuf,
    /// `None` only while this is dropped.
    thing: Option<Arc<T>>,
}

impl<T> Deref for Shared<T> {
    type Target = T;

    #[allow(
        clippy::expect_used,
        reason = "it is taken only by `drop`, after which nobody can ask"
    )]
    fn deref(&self) -> &T {
        self.thing.as_ref().expect("held until dropped")
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let mut paths = self.among.0.lock();
        drop(self.thing.take());
        if paths
            .get(&self.path)
            .is_some_and(|thing| thing.strong_count() == 0)
        {
            paths.remove(&self.path);
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
