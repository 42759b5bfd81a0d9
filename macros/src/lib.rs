//! The attribute macros of `tlo`. They only generate builder calls.
