//! [`PluginTable`]: names of stores and registries, and what makes them.

mod builtin;
mod kind;
mod request;
mod table;

pub use self::request::PluginRequest;
pub use self::table::PluginTable;
