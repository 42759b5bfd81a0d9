//! The screen, the keys and the store brought together.

use std::io::Read;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::key::{self, Key};
use super::screen;
use super::snapshot::{Snapshot, Wanted};
use super::state::{Monitor, Wish};
use super::terminal::Terminal;
use super::watch::{Look, News, Watcher};
use crate::cli::output;
use crate::context::TloContext;
use crate::error::{Error, ErrorKind, Result};

/// Keys and news that wait to be looked at.
const AHEAD: usize = 64;

/// Shows the screen until a key or a signal ends it.
///
/// # Errors
/// When the terminal cannot be used.
pub(super) async fn run(
    tlo: &TloContext,
    wanted: Wanted,
    interval: Duration,
    first: Snapshot,
) -> Result<()> {
    let promise = tlo.store().capability().promise;
    let place = promise.split("; ").next().unwrap_or_default();
    let mut monitor = Monitor::new(output::one_line(place), interval, Terminal::size(), first);
    let colour = output::colour(&std::io::stdout());
    let mut signals = Signals::listen()?;
    let (look, looks) = watch::channel(Look::default());
    let (tell, mut news) = mpsc::channel(AHEAD);
    let watching = tokio::spawn(Watcher::new(tlo, wanted, interval, looks, tell).watch());
    let terminal = Terminal::enter()?;
    let mut keys = keys();
    loop {
        terminal.draw(&screen::lines(&monitor, colour))?;
        tokio::select! {
            biased;
            said = signals.next() => match said {
                Said::End => break,
                Said::GoOn => terminal.take_again()?,
                Said::Size => {
                    monitor.resize(Terminal::size());
                    ask(&look, &monitor);
                }
            },
            key = keys.recv() => match key.map(|key| monitor.press(key)) {
                // Nobody is at the keys any more.
                None | Some(Wish::Quit) => break,
                Some(Wish::Look) => ask(&look, &monitor),
                Some(Wish::Nothing) => {}
            },
            Some(news) = news.recv() => match news {
                News::Tasks(snapshot) => monitor.see(*snapshot),
                News::Record(id, lines) => monitor.show(&id, lines),
                News::Trouble(why) => monitor.fail(why),
            },
        }
    }
    watching.abort();
    Ok(())
}

/// Looks at the store now, and at the record that is open.
fn ask(look: &watch::Sender<Look>, monitor: &Monitor) {
    look.send_replace(Look {
        opened: monitor.opened.as_ref().map(|opened| opened.id.clone()),
        columns: monitor.size.columns,
    });
}

/// The keys, as they are pressed. A read of a terminal cannot be given up, so the thread that waits for the next key is left
/// behind; the process does not wait for it.
fn keys() -> mpsc::Receiver<Key> {
    let (sender, keys) = mpsc::channel(AHEAD);
    std::thread::spawn(move || {
        let mut pending = Vec::new();
        let mut bytes = [0; 256];
        let mut input = std::io::stdin().lock();
        loop {
            match input.read(&mut bytes) {
                Ok(0) => return,
                Ok(read) => pending.extend_from_slice(&bytes[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
            for key in key::keys(&mut pending) {
                if sender.blocking_send(key).is_err() {
                    return;
                }
            }
        }
    });
    keys
}

/// What the system says meanwhile.
struct Signals {
    size: Signal,
    go_on: Signal,
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                let message = format!("signals cannot be listened to: {error}");
                Error::new(ErrorKind::Internal, "monitor", message).with_source(error)
            })
        };
        Ok(Self {
            size: listen(SignalKind::window_change())?,
            go_on: listen(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?,
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Said {
        tokio::select! {
            _ = self.interrupt.recv() => Said::End,
            _ = self.terminate.recv() => Said::End,
            _ = self.hang_up.recv() => Said::End,
            _ = self.go_on.recv() => Said::GoOn,
            _ = self.size.recv() => Said::Size,
        }
    }
}

/// What a signal says.
#[derive(Clone, Copy, Debug)]
enum Said {
    End,
    /// This process was stopped, and goes on.
    GoOn,
    /// The terminal has another size.
    Size,
}
