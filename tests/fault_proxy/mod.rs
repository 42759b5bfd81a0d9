//! A TCP proxy between a program and its server that does to connections what networks do: slow them down, cut them at a
//! byte, swallow one way, hold answers back, lose the answer to a request that was carried out.
//!
//! It works on a thread of its own, so what blocks the runtime of a test does not stop it.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test stops at the first surprise, and not every one needs every fault"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

mod pump;

/// Where bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the program to the server.
    Up,
    /// From the server to the program.
    Down,
}

/// What happens to connections. A cut happens to the first connection that comes to it, and then all is well again;
/// everything else lasts until the next [`FaultProxy::set`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    #[default]
    None,
    /// Whatever goes this way arrives so much later.
    Delay { way: Way, by: Duration },
    /// A connection is reset when so many more bytes have gone this way, counted over all connections.
    CutAfter { way: Way, bytes: u64 },
    /// A request with these bytes goes to the server and is answered; the answer is lost and the connection reset.
    LoseAnswer { to: Vec<u8> },
    /// What goes this way is swallowed, and nobody hears of it. A connection with such a hole never carries anything that
    /// way again: to both sides it looks whole, and it is dead.
    Blackhole { way: Way },
    /// Answers wait until this fault is over.
    HoldAnswers,
    /// New connections are reset at once.
    Refuse,
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) connections: u64,
    /// Connections that a fault or [`FaultProxy::cut_all`] ended.
    pub(crate) cuts: u64,
    /// Bytes that went nowhere.
    pub(crate) swallowed: u64,
    /// Ways of connections that are dead since.
    pub(crate) holes: u64,
}

#[derive(Debug, Default)]
struct Counters {
    connections: AtomicU64,
    cuts: AtomicU64,
    swallowed: AtomicU64,
    holes: AtomicU64,
}

/// What the connections of a proxy share.
#[derive(Debug)]
struct Shared {
    fault: watch::Sender<Fault>,
    /// Grows when all connections are to be cut.
    cut_all: watch::Sender<u64>,
    /// Bytes left before a cut.
    left: Mutex<u64>,
    counters: Counters,
}

impl Shared {
    fn fault(&self) -> Fault {
        self.fault.borrow().clone()
    }

    /// Takes a fault for one connection; false when another was faster.
    fn take(&self, taken: &Fault) -> bool {
        self.fault.send_if_modified(|fault| {
            let mine = fault == taken;
            if mine {
                *fault = Fault::None;
            }
            mine
        })
    }
}

#[derive(Debug)]
pub(crate) struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Dropped with the proxy, which ends its thread and every connection.
    _alive: oneshot::Sender<()>,
}

impl FaultProxy {
    /// A proxy before this server, on a free port of this machine.
    pub(crate) fn start(server: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            fault: watch::Sender::default(),
            cut_all: watch::Sender::default(),
            left: Mutex::default(),
            counters: Counters::default(),
        });
        let (alive, ended) = oneshot::channel::<()>();
        let serving = Arc::clone(&shared);
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = accept(listener, server, serving) => {}
                    _ = ended => {}
                }
            });
        };
        std::thread::Builder::new()
            .name("fault-proxy".to_owned())
            .spawn(serve)
            .unwrap();
        Self {
            address,
            shared,
            _alive: alive,
        }
    }

    /// Where programs connect to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on this happens.
    pub(crate) fn set(&self, fault: Fault) {
        if let Fault::CutAfter { bytes, .. } = fault {
            *self.shared.left.lock() = bytes;
        }
        self.shared.fault.send_replace(fault);
    }

    /// From now on all is well. Answers that were held go on; connections with a hole stay dead.
    pub(crate) fn heal(&self) {
        self.set(Fault::None);
    }

    /// Resets every connection there is.
    pub(crate) fn cut_all(&self) {
        self.shared.cut_all.send_modify(|cuts| *cuts += 1);
    }

    pub(crate) fn tally(&self) -> Tally {
        let counters = &self.shared.counters;
        Tally {
            connections: counters.connections.load(Ordering::SeqCst),
            cuts: counters.cuts.load(Ordering::SeqCst),
            swallowed: counters.swallowed.load(Ordering::SeqCst),
            holes: counters.holes.load(Ordering::SeqCst),
        }
    }

    /// Waits until a cut was taken by a connection; false when none came to it in this time.
    pub(crate) async fn was_cut(&self, within: Duration) -> bool {
        let mut fault = self.shared.fault.subscribe();
        let taken = fault.wait_for(|fault| *fault == Fault::None);
        tokio::select! {
            taken = taken => taken.is_ok(),
            () = tlo::Clock::sleep(&tlo::SystemClock, within) => false,
        }
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, shared: Arc<Shared>) {
    loop {
        let Ok((program, _)) = listener.accept().await else {
            continue;
        };
        shared.counters.connections.fetch_add(1, Ordering::SeqCst);
        if shared.fault() == Fault::Refuse {
            pump::reset(&program);
            shared.counters.cuts.fetch_add(1, Ordering::SeqCst);
            continue;
        }
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // A server that is not there is, to the program, a connection that is reset.
            match TcpStream::connect(server).await {
                Ok(server) => pump::run(program, server, shared).await,
                Err(_) => pump::reset(&program),
            }
        });
    }
}
