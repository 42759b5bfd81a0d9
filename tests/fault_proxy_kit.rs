//! The proxy that the tests of network stores put before their servers does what it says.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test stops at the first surprise"
)]

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use fault_proxy::{Fault, FaultProxy, Tally, Way};

mod fault_proxy;

/// A server that answers each request with `+` and the request, and says what it was asked.
async fn echo() -> (SocketAddr, mpsc::UnboundedReceiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (heard, hearing) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let heard = heard.clone();
            tokio::spawn(async move {
                let mut bytes = [0; 1024];
                while let Ok(count @ 1..) = stream.read(&mut bytes).await {
                    heard.send(bytes[..count].to_vec()).unwrap();
                    let answer = [b"+", &bytes[..count]].concat();
                    if stream.write_all(&answer).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (address, hearing)
}

async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = tlo::Clock::sleep(&tlo::SystemClock, limit) => None,
    }
}

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(20);

struct Caller(TcpStream);

impl Caller {
    async fn new(proxy: &FaultProxy) -> Self {
        Self(TcpStream::connect(proxy.address()).await.unwrap())
    }

    async fn ask(&mut self, request: &str) -> std::io::Result<String> {
        self.0.write_all(request.as_bytes()).await?;
        self.answer(request.len() + 1).await
    }

    async fn answer(&mut self, bytes: usize) -> std::io::Result<String> {
        let mut answer = vec![0; bytes];
        within(LONG, self.0.read_exact(&mut answer))
            .await
            .expect("an answer or an end")?;
        Ok(String::from_utf8(answer).unwrap())
    }
}

#[tokio::test]
async fn without_a_fault_everything_goes_through() {
    let (server, _heard) = echo().await;
    let proxy = FaultProxy::start(server);
    let mut caller = Caller::new(&proxy).await;
    assert_eq!(caller.ask("one").await.unwrap(), "+one");
    assert_eq!(caller.ask("two").await.unwrap(), "+two");
    let tally = Tally {
        connections: 1,
        ..Tally::default()
    };
    assert_eq!(proxy.tally(), tally);
}

#[tokio::test]
async fn a_delay_holds_what_goes_its_way() {
    let (server, _heard) = echo().await;
    for way in [Way::Up, Way::Down] {
        let proxy = FaultProxy::start(server);
        let mut caller = Caller::new(&proxy).await;
        proxy.set(Fault::Delay { way, by: SHORT });
        let begun = tlo::Clock::steady(&tlo::SystemClock).at;
        assert_eq!(caller.ask("late").await.unwrap(), "+late");
        let took = tlo::Clock::steady(&tlo::SystemClock).at - begun;
        assert!(took >= SHORT, "{took:?}");
    }
}

#[tokio::test]
async fn a_cut_lets_exactly_so_many_bytes_through_and_happens_once() {
    let (server, mut heard) = echo().await;
    let proxy = FaultProxy::start(server);
    let mut caller = Caller::new(&proxy).await;
    let bytes = 3;
    proxy.set(Fault::CutAfter {
        way: Way::Up,
        bytes,
    });
    caller.ask("abcdef").await.unwrap_err();
    assert!(proxy.was_cut(LONG).await);
    assert_eq!(heard.recv().await.unwrap(), b"abc");
    let mut caller = Caller::new(&proxy).await;
    assert_eq!(caller.ask("again").await.unwrap(), "+again");
    proxy.set(Fault::CutAfter {
        way: Way::Down,
        bytes: 2,
    });
    caller.0.write_all(b"xyz").await.unwrap();
    let mut answer = Vec::new();
    let end = within(LONG, caller.0.read_to_end(&mut answer)).await;
    assert!(end.unwrap().is_err(), "a reset, not a farewell");
    assert!(b"+x".starts_with(&answer), "{answer:?}");
    assert_eq!(proxy.tally().cuts, 2);
}

#[tokio::test]
async fn an_answer_is_lost_when_the_server_has_done_what_it_was_asked() {
    let (server, mut heard) = echo().await;
    let proxy = FaultProxy::start(server);
    let mut caller = Caller::new(&proxy).await;
    let to = b"COMMIT".to_vec();
    proxy.set(Fault::LoseAnswer { to });
    assert_eq!(caller.ask("BEGIN").await.unwrap(), "+BEGIN");
    // Found although it comes in two parts.
    assert_eq!(caller.ask("COM").await.unwrap(), "+COM");
    caller.ask("MIT").await.unwrap_err();
    let mut asked = Vec::new();
    while asked.len() < 3 {
        asked.push(heard.recv().await.unwrap());
    }
    assert_eq!(asked.concat(), b"BEGINCOMMIT");
    assert_eq!(proxy.tally().cuts, 1);
}

#[tokio::test]
async fn a_blackhole_swallows_one_way_and_leaves_a_dead_connection() {
    let (server, mut heard) = echo().await;
    let proxy = FaultProxy::start(server);
    let mut caller = Caller::new(&proxy).await;
    proxy.set(Fault::Blackhole { way: Way::Down });
    assert!(within(SHORT, caller.ask("gone")).await.is_none());
    assert_eq!(heard.recv().await.unwrap(), b"gone");
    proxy.set(Fault::Blackhole { way: Way::Up });
    assert!(within(SHORT, caller.ask("unheard")).await.is_none());
    proxy.heal();
    // What follows a hole does not arrive, either.
    assert!(within(SHORT, caller.ask("late")).await.is_none());
    let mut caller = Caller::new(&proxy).await;
    assert_eq!(caller.ask("heard").await.unwrap(), "+heard");
    assert_eq!(heard.recv().await.unwrap(), b"heard");
    assert_eq!(
        proxy.tally().swallowed,
        ("+gone".len() + "unheard".len() + "late".len()) as u64
    );
}

#[tokio::test]
async fn answers_that_were_held_go_on() {
    let (server, mut heard) = echo().await;
    let proxy = FaultProxy::start(server);
    let mut caller = Caller::new(&proxy).await;
    proxy.set(Fault::HoldAnswers);
    assert!(within(SHORT, caller.ask("wait")).await.is_none());
    assert_eq!(heard.recv().await.unwrap(), b"wait");
    proxy.heal();
    assert_eq!(caller.answer(5).await.unwrap(), "+wait");
}

#[tokio::test]
async fn connections_are_refused_and_all_can_be_cut_at_once() {
    let (server, _heard) = echo().await;
    let proxy = FaultProxy::start(server);
    let mut callers = [Caller::new(&proxy).await, Caller::new(&proxy).await];
    for caller in &mut callers {
        assert_eq!(caller.ask("here").await.unwrap(), "+here");
    }
    proxy.set(Fault::Refuse);
    // Some hear of it when they connect, some when they ask.
    if let Ok(refused) = TcpStream::connect(proxy.address()).await {
        Caller(refused).ask("hello").await.unwrap_err();
    }
    proxy.cut_all();
    for caller in &mut callers {
        caller.ask("still").await.unwrap_err();
    }
    proxy.heal();
    let mut caller = Caller::new(&proxy).await;
    assert_eq!(caller.ask("well").await.unwrap(), "+well");
    assert_eq!(proxy.tally().cuts, 3);
    drop(proxy);
    caller.ask("over").await.unwrap_err();
}
