//! `tlo man`.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::cli::output;
use crate::error::{Error, ErrorKind, Result};

/// Which pages to write.
#[derive(Args, Clone, Debug)]
pub(crate) struct ManArgs {
    /// The command whose page is wanted, such as run or config show; by default the page of all
    command: Vec<String>,
    /// Write the pages of all commands into this folder instead
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    out: Option<PathBuf>,
}

/// Prints the manual page of a command, or writes all of them into a folder.
///
/// # Errors
/// `Invalid` for a command that does not exist, `Configuration` when a file cannot be written.
pub(super) fn run(all: Command, program: &str, args: &ManArgs) -> Result<()> {
    let mut all = all
        .bin_name(program)
        .display_name(program.to_owned())
        .disable_help_subcommand(true);
    all.build();
    if let Some(folder) = &args.out {
        std::fs::create_dir_all(folder).map_err(|source| {
            let message = format!("{} cannot be made: {source}", folder.display());
            Error::new(ErrorKind::Configuration, "man", message).with_source(source)
        })?;
        return write_all(&all, folder);
    }
    let mut command = &all;
    for name in &args.command {
        command = command.find_subcommand(name).ok_or_else(|| {
            let message = format!("there is no command \"{}\"", args.command.join(" "));
            Error::invalid("man", message)
        })?;
    }
    let mut page = Vec::new();
    // Writing to memory does not fail.
    write_page(command, &mut page)
        .map_err(|source| Error::invalid("man", "the page cannot be made").with_source(source))?;
    output::raw(&page)
}

fn write_all(command: &Command, folder: &Path) -> Result<()> {
    let man = Man::new(command.clone());
    let path = folder.join(man.get_filename());
    std::fs::File::create(&path)
        .and_then(|mut file| {
            write_page(command, &mut file)?;
            file.flush()
        })
        .map_err(|source| {
            let message = format!("{} cannot be written: {source}", path.display());
            Error::new(ErrorKind::Configuration, "man", message).with_source(source)
        })?;
    command
        .get_subcommands()
        .try_for_each(|command| write_all(command, folder))
}

fn write_page(command: &Command, page: &mut dyn io::Write) -> io::Result<()> {
    let version = command.get_version().unwrap_or_default().to_owned();
    let man = Man::new(command.clone()).source(format!("TLO {version}").trim());
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(page)?;
    }
    match command.get_after_long_help() {
        Some(more) => as_written(&more.to_string()).to_writer(page),
        None => Ok(()),
    }
}

/// A text with headings such as `Begin:` as sections whose lines stay as they are.
fn as_written(text: &str) -> Roff {
    let mut roff = Roff::new();
    let mut blank = false;
    for line in text.lines() {
        if let Some(heading) = line.strip_suffix(':').filter(|text| !text.starts_with(' ')) {
            roff.control("fi", []);
            roff.control("SH", [heading.to_uppercase().as_str()]);
            roff.control("nf", []);
        } else if line.is_empty() {
            blank = true;
            continue;
        } else {
            if blank {
                roff.control("sp", []);
            }
            roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
        }
        blank = false;
    }
    roff.control("fi", []);
    roff
}
