//! `tlo init`.

use std::io::Write;
use std::path::Path;

use crate::cli::jobs::INIT;
use crate::cli::output;
use crate::error::{Error, ErrorKind, Result};

/// Writes a commented jobs file. One that is there stays as it is.
///
/// # Errors
/// `Configuration` when the file cannot be written.
pub(super) fn run(config: Option<&Path>) -> Result<()> {
    let path = config.unwrap_or_else(|| Path::new("tlo.toml"));
    let failed = |source: std::io::Error| {
        let message = format!("{} cannot be written", path.display());
        Error::new(ErrorKind::Configuration, "init", message).with_source(source)
    };
    match std::fs::File::options()
        .write(true)
        .create_new(true)
        .open(path)
    {
        Ok(mut file) => {
            file.write_all(INIT.as_bytes()).map_err(failed)?;
            output::say(&format!(
                "wrote {}; check it with `tlo check`, run it with `tlo run`",
                path.display()
            ));
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            output::say(&format!(
                "{} is there already and was left as it is",
                path.display()
            ));
        }
        Err(error) => return Err(failed(error)),
    }
    Ok(())
}
