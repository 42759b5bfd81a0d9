//! Handlers that come with the library.
