//! The terminal while a screen is on it. It gets back as it was, however that ends.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use super::state::Size;
use crate::error::{Error, ErrorKind, Result};

/// The other screen of the terminal, no cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[2J";

/// The cursor, and the screen that was there before.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// A terminal that keys are read from one by one, and that shows a screen. Dropping it puts everything back.
pub(super) struct Terminal(Arc<Before>);

/// What it was like before.
struct Before {
    modes: Termios,
    is_left: AtomicBool,
}

impl Terminal {
    /// Takes the terminal that standard input and output are. A panic anywhere in the process puts it back before it is
    /// told.
    ///
    /// # Errors
    /// `Internal` when it cannot be taken.
    pub(super) fn enter() -> Result<Self> {
        let modes = tcgetattr(std::io::stdin()).map_err(|error| failed(error.into()))?;
        let before = Arc::new(Before {
            modes,
            is_left: AtomicBool::new(false),
        });
        before.take()?;
        let told = std::panic::take_hook();
        let before_panic = Arc::clone(&before);
        std::panic::set_hook(Box::new(move |panic| {
            before_panic.leave();
            told(panic);
        }));
        Ok(Self(before))
    }

    /// Takes it once more: who stopped this process and let it go on may have changed it.
    ///
    /// # Errors
    /// As for [`enter`](Self::enter).
    pub(super) fn take_again(&self) -> Result<()> {
        self.0.take()
    }

    /// How large it is; 80 columns and 24 lines when it does not say.
    pub(super) fn size() -> Size {
        let size = tcgetwinsize(std::io::stdout()).ok();
        let or =
            |said: Option<u16>, usual| said.filter(|said| *said > 0).map_or(usual, usize::from);
        Size {
            columns: or(size.map(|size| size.ws_col), 80),
            lines: or(size.map(|size| size.ws_row), 24),
        }
    }

    /// Shows these lines, as many as it has.
    ///
    /// # Errors
    /// `Internal` when standard output cannot be written.
    pub(super) fn draw(&self, lines: &[String]) -> Result<()> {
        // In one write and without clearing first: nothing flickers.
        let text = format!("\x1b[H{}\x1b[K\x1b[J", lines.join("\x1b[K\r\n"));
        write(&text)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Before {
    fn take(&self) -> Result<()> {
        let mut raw = self.modes.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &raw)
            .map_err(|error| failed(error.into()))?;
        write(ENTER)
    }

    /// Puts it back, once.
    fn leave(&self) {
        if self.is_left.swap(true, Ordering::AcqRel) || !std::io::stdout().is_terminal() {
            return;
        }
        // When it is gone nobody needs it.
        let _ = write(LEAVE);
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Drain, &self.modes);
    }
}

fn write(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(failed)
}

fn failed(source: std::io::Error) -> Error {
    let message =
        format!("the terminal does not take the screen: {source}; --once prints one snapshot");
    Error::new(ErrorKind::Internal, "monitor", message).with_source(source)
}
