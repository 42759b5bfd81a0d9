//! Pages of a long answer.

use serde::{Deserialize, Serialize};

/// The most items a page may have.
pub const PAGE_LIMIT: usize = 1_000;

/// Which part of a list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Continue after this cursor, the `next` of the page before; `None` starts at the beginning.
    pub after: Option<Cursor>,
    /// At most this many items (1 to 1,000; larger values are cut).
    pub limit: usize,
    /// The newest first.
    pub newest_first: bool,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self {
            after: None,
            limit: 100,
            newest_first: false,
        }
    }
}

impl PageRequest {
    /// The first page of this many items.
    #[must_use]
    pub fn first(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }
}

/// A place in a list: the creation sequence of the last item seen. It stays valid while items come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub u64);

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    /// The items, in order of creation (or its reverse, when asked for).
    pub items: Vec<T>,
    /// Ask again with this to go on; `None` at the end.
    pub next: Option<Cursor>,
    /// Whether the list ends here. A page can be short and not complete when many rows did not match.
    pub complete: bool,
}
