//! The whole meaning of the port, written once over ordered bytes.
//!
//! A backend with an ordered key-value engine implements [`Rows`], four methods inside one transaction, and has
//! queue, schedules, gates and streams: the verbs here do the rest. Backends with verbs of their own are held to
//! these by running both in lockstep.

mod aside;
mod claim;
mod commit;
mod create;
mod gates;
mod holdings;
mod import;
mod index;
pub(crate) mod keys;
mod lane_cursor;
mod lanes;
mod leases;
mod maintain;
mod mark_rows;
mod marks;
mod overlay;
mod owner_rows;
mod read;
mod reopen;
mod row_index;
mod rows;
mod settle;
mod streams;
mod table;
mod unique;

pub(crate) use aside::unreadable;
#[cfg(feature = "postgres")]
pub(crate) use claim::begin_run;
pub(crate) use claim::claim;
pub(crate) use commit::commit;
pub(crate) use holdings::holdings;
pub(crate) use index::CountRow;
pub(crate) use keys::{Order, Word};
pub(crate) use leases::boot_and_end;
pub(crate) use maintain::maintain;
pub(crate) use overlay::{Overlay, View};
#[cfg(feature = "jsonl")]
pub(crate) use overlay::{Written, range_over};
pub(crate) use read::{count, events, get, list, marks};
pub(crate) use row_index::other_words;
pub use rows::{Pairs, RowEngine, Rows};
pub(crate) use table::{Head, Moment, Owner, Owners, Place, Ready, Source, Table};
#[cfg(feature = "postgres")]
pub(crate) use {
    aside::look_again,
    marks::sweep as sweep_marks,
    overlay::{Changes, decode, encode},
    reopen::{forget_sweeps, sweep as sweep_gate},
    table::Passed,
    unique::sweep as sweep_owners,
};
