//! One connection: bytes both ways, until one side closes it or a fault does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::{Fault, Shared, Way};

/// Why a connection ends.
#[derive(PartialEq)]
enum End {
    /// A side closed it.
    Closed,
    /// A fault did.
    Cut,
}

/// Closes with a reset instead of a farewell.
pub(super) fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

pub(super) async fn run(program: TcpStream, server: TcpStream, shared: Arc<Shared>) {
    let _ = (program.set_nodelay(true), server.set_nodelay(true));
    let mut cut_all = shared.cut_all.subscribe();
    cut_all.mark_unchanged();
    let (from_program, to_program) = program.into_split();
    let (from_server, to_server) = server.into_split();
    let mut up = Pump::new(Way::Up, from_program, to_server, &shared);
    let mut down = Pump::new(Way::Down, from_server, to_program, &shared);
    let end = loop {
        // Each answer comes after its request, so one may look at what the other did.
        let lost = tokio::select! {
            end = up.work() => match end {
                Step::End(end) => break end,
                Step::Asked => down.answer_came().await,
            },
            end = down.work() => match end {
                Step::End(end) => break end,
                Step::Asked => continue,
            },
            _ = cut_all.changed() => break End::Cut,
        };
        if lost {
            break End::Cut;
        }
    };
    if end == End::Cut {
        reset(up.from.as_ref());
        reset(down.from.as_ref());
        // A half that is dropped says farewell.
        up.to.forget();
        down.to.forget();
        shared.counters.cuts.fetch_add(1, Ordering::SeqCst);
    }
}

/// What a pump stops for.
enum Step {
    End(End),
    /// A request whose answer is to be lost has gone to the server.
    Asked,
}

struct Pump<'a> {
    way: Way,
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    shared: &'a Shared,
    /// Read and not written yet. It is kept here, for the other way may end the wait of this one at any moment.
    waiting: Vec<u8>,
    /// The end of what went by, as much as a request to look for may have begun in.
    tail: Vec<u8>,
    /// Something of this way was swallowed. What follows a hole never arrives, either: the other side waits for the hole.
    has_hole: bool,
}

impl<'a> Pump<'a> {
    fn new(way: Way, from: OwnedReadHalf, to: OwnedWriteHalf, shared: &'a Shared) -> Self {
        Self {
            way,
            from,
            to,
            shared,
            waiting: Vec::new(),
            tail: Vec::new(),
            has_hole: false,
        }
    }

    /// Carries bytes until something else than carrying is to be done. It may be dropped and called anew at any wait.
    async fn work(&mut self) -> Step {
        loop {
            if self.waiting.is_empty() {
                let mut bytes = [0; 16 * 1024];
                match self.from.read(&mut bytes).await {
                    Ok(0) | Err(_) => return Step::End(End::Closed),
                    Ok(count) => self.waiting.extend_from_slice(&bytes[..count]),
                }
            }
            let fault = self.shared.fault();
            match &fault {
                _ if self.has_hole => {
                    self.swallow();
                    continue;
                }
                Fault::Delay { way, by } if *way == self.way => {
                    tlo::Clock::sleep(&tlo::SystemClock, *by).await;
                }
                Fault::Blackhole { way } if *way == self.way => {
                    self.has_hole = true;
                    self.shared.counters.holes.fetch_add(1, Ordering::SeqCst);
                    self.swallow();
                    continue;
                }
                Fault::HoldAnswers if self.way == Way::Down => {
                    let mut changes = self.shared.fault.subscribe();
                    if changes.wait_for(|now| *now != fault).await.is_err() {
                        return Step::End(End::Closed);
                    }
                    continue;
                }
                Fault::CutAfter { way, .. } if *way == self.way => {
                    let count = self.waiting.len() as u64;
                    let allowed = {
                        let mut left = self.shared.left.lock();
                        let allowed = count.min(*left);
                        *left -= allowed;
                        allowed
                    };
                    if allowed < count && self.shared.take(&fault) {
                        self.waiting
                            .truncate(usize::try_from(allowed).unwrap_or(usize::MAX));
                        let _ = self.write().await;
                        return Step::End(End::Cut);
                    }
                }
                Fault::LoseAnswer { to } if self.way == Way::Up => {
                    let seen = [self.tail.as_slice(), &self.waiting].concat();
                    if contains(&seen, to) && self.shared.take(&fault) {
                        if self.write().await.is_err() {
                            return Step::End(End::Closed);
                        }
                        return Step::Asked;
                    }
                    let keep = seen.len().saturating_sub(to.len().saturating_sub(1));
                    self.tail = seen[keep..].to_vec();
                }
                _ => {}
            }
            if self.write().await.is_err() {
                return Step::End(End::Closed);
            }
        }
    }

    fn swallow(&mut self) {
        let count = self.waiting.len() as u64;
        let swallowed = &self.shared.counters.swallowed;
        swallowed.fetch_add(count, Ordering::SeqCst);
        self.waiting.clear();
    }

    /// Writes what waits. What was written is forgotten at once: this may be dropped between two writes.
    async fn write(&mut self) -> std::io::Result<()> {
        while !self.waiting.is_empty() {
            let written = self.to.write(&self.waiting).await?;
            self.waiting.drain(..written);
        }
        Ok(())
    }

    /// Waits for the next bytes from this side and swallows them: who sent them has done what it was asked for.
    async fn answer_came(&mut self) -> bool {
        let mut bytes = [0; 1024];
        tokio::select! {
            _ = self.from.read(&mut bytes) => {}
            () = tlo::Clock::sleep(&tlo::SystemClock, Duration::from_secs(10)) => {}
        }
        true
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && text.windows(part.len()).any(|window| window == part)
}
