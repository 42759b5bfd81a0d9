//! Commands that steer: tasks one by one or many at once, queues, names, schedules and keys.

mod actor;
pub(in crate::cli) mod audit;
pub(in crate::cli) mod dead;
mod gates;
mod known;
pub(in crate::cli) mod limit;
pub(in crate::cli) mod many;
pub(in crate::cli) mod pause;
mod selection;
pub(in crate::cli) mod trigger;
pub(in crate::cli) mod verbs;

pub(super) use self::actor::client;
pub(super) use self::known::Known;
