//! Servers that die, connections that are cut and networks that lose things, under load: nothing that was answered is lost
//! and work goes on.
//!
//! `TLO_PROOF=full` ends the server 30 times, 500 connections by the server and 2,000 by the proxy; otherwise a twentieth
//! of that. `TLO_TEST_SEED` repeats the faults of a run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tlo::PostgresOptions;
use tlo::store::{Hint, SharedStore, TaskStateStore, TaskStateStoreExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::fault_proxy::{Fault, FaultProxy, Way};
use super::kit::{new, open, total};
use super::network::{what_lost_its_answer_may_be_sent_again, work_through_faults};
use super::servers::load::{Load, comes_true, counted};
use super::servers::postgres::{PrivatePostgres, connect};

/// The message that commits a transaction, and nothing else.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// Options for a server at this address.
fn at(address: SocketAddr) -> PostgresOptions {
    PostgresOptions {
        connect_timeout: Duration::from_secs(2),
        ..PostgresOptions::at(format!("postgres://tlo@{address}/postgres?sslmode=disable"))
    }
}

async fn store(server: &PrivatePostgres) -> SharedStore {
    open(PostgresOptions::at(server.url())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_loses_nothing_it_answered_and_work_goes_on() {
    let Some(server) = PrivatePostgres::start() else {
        return;
    };
    let store = store(&server).await;
    let mut load = Load::begin(&[Arc::clone(&store)]).await;
    let rounds = counted(30).max(2);
    for round in 0..rounds {
        load.more_answers(20).await;
        if round % 2 == 0 {
            server.stop_at_once();
        } else {
            server.kill();
        }
        server.start_again();
        load.resumes().await;
    }
    let figures = load.check(&*store).await;
    println!("{rounds} deaths of the server: {figures}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_waits_for_a_server_that_restarts_and_no_longer_than_it_may() {
    let Some(server) = PrivatePostgres::start() else {
        return;
    };
    let patient = open(PostgresOptions {
        connect_timeout: Duration::from_secs(20),
        ..PostgresOptions::at(server.url())
    })
    .await;
    let hasty = open(PostgresOptions {
        connect_timeout: Duration::from_millis(300),
        ..PostgresOptions::at(server.url())
    })
    .await;
    server.kill();
    let error = hasty.create(new("hasty")).await.unwrap_err();
    assert_eq!(error.kind(), tlo::ErrorKind::Unavailable, "{error:?}");
    assert!(error.is_retryable(), "{error:?}");
    let waits = tokio::spawn(async move {
        // The connection that it had is found broken first.
        patient.create(new("patient")).await
    });
    tokio::task::block_in_place(|| server.start_again());
    waits.await.unwrap().unwrap();
    assert_eq!(total(&*hasty).await, 1);
}

/// Takes connections where a server was, lets everybody in, and says nothing more.
async fn let_in_and_be_silent(listener: TcpListener) {
    let mut held = Vec::new();
    loop {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut length = [0; 4];
        connection.read_exact(&mut length).await.unwrap();
        let rest = u32::from_be_bytes(length) - 4;
        let mut asked = vec![0; usize::try_from(rest).unwrap()];
        connection.read_exact(&mut asked).await.unwrap();
        // Who asks is who it says it is; ready for the first statement.
        let welcome = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
        connection.write_all(welcome).await.unwrap();
        held.push(connection);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lets_in_and_then_says_nothing_is_given_up() {
    let Some(server) = PrivatePostgres::start() else {
        return;
    };
    let store = open(PostgresOptions {
        connect_timeout: Duration::from_secs(1),
        call_timeout: Duration::from_secs(10),
        ..PostgresOptions::at(server.url())
    })
    .await;
    server.kill();
    let listener = TcpListener::bind(server.address()).await.unwrap();
    let silent = tokio::spawn(let_in_and_be_silent(listener));
    let error = store.create(new("a")).await.unwrap_err();
    assert_eq!(error.kind(), tlo::ErrorKind::Unavailable, "{error:?}");
    silent.abort();
    assert!(silent.await.unwrap_err().is_cancelled());
    tokio::task::block_in_place(|| server.start_again());
    store.create(new("a")).await.unwrap();
    assert_eq!(total(&*store).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_lose_nothing_and_work_goes_on() {
    let Some(server) = PrivatePostgres::start() else {
        return;
    };
    let store = store(&server).await;
    let mut load = Load::begin(&[Arc::clone(&store)]).await;
    let database = connect(&server.url()).await.unwrap();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' ORDER BY random() LIMIT 1";
    let wanted = counted(500);
    let mut cuts = 0;
    while cuts < wanted {
        cuts += database.query(cut, &[]).await.unwrap().len();
        load.more_answers(3).await;
    }
    // All at once, those that listen as well.
    let all = cut.replace("LIMIT 1", "");
    cuts += database.query(&all, &[]).await.unwrap().len();
    load.resumes().await;
    let figures = load.check(&*store).await;
    println!("{cuts} connections ended by the server: {figures}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_cuts_swallows_and_delays_loses_nothing_and_work_goes_on() {
    let Some(server) = PrivatePostgres::start() else {
        return;
    };
    let open = async |address| open(at(address)).await as SharedStore;
    let to: [&[u8]; 3] = [COMMIT, COMMIT, b"BEGIN"];
    work_through_faults("postgres", server.address(), &to, open).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_says_so_and_may_be_sent_again() {
    let Some(server) = PrivatePostgres::start() else {
        return;
    };
    let proxy = FaultProxy::start(server.address());
    let store = open(at(proxy.address())).await as SharedStore;
    let to = COMMIT.to_vec();
    let lose = || proxy.set(Fault::LoseAnswer { to: to.clone() });
    what_lost_its_answer_may_be_sent_again(&store, lose).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_dead_without_a_word_is_found_out() {
    let Some(server) = PrivatePostgres::start() else {
        return;
    };
    let proxy = FaultProxy::start(server.address());
    let (through, around) = (
        open(at(proxy.address())).await,
        open(at(server.address())).await,
    );
    let database = connect(&server.url()).await.unwrap();
    through.create(new("zeroth")).await.unwrap();
    // Nothing is under way when the trouble begins.
    let quiet = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'tlo' AND state = 'idle' AND query LIKE '%pg_notify%'";
    let told = async || !database.query(quiet, &[]).await.unwrap().is_empty();
    assert!(comes_true(Duration::from_secs(10), told).await);
    assert_eq!(total(&*through).await, 1);
    let mut hints = through.hints();
    // The one that listens hears nothing more, and what is asked is not answered.
    proxy.set(Fault::Blackhole { way: Way::Down });
    around.create(new("first")).await.unwrap();
    let store = Arc::clone(&through);
    let asked = tokio::spawn(async move { store.create(new("second")).await });
    let both = async || proxy.tally().holes == 2;
    assert!(comes_true(Duration::from_secs(10), both).await);
    proxy.heal();
    let begun = super::kit::since_boot();
    // It had only begun, so it is tried again inside.
    asked.await.unwrap().unwrap();
    let asked = super::kit::since_boot() - begun;
    // The ear comes back, too.
    while hints.next().await != Some(Hint::Unknown) {}
    around.create(new("third")).await.unwrap();
    while hints.next().await != Some(Hint::Ready("default".into())) {}
    let heard = super::kit::since_boot() - begun;
    println!("a dead connection was found out after {asked:?}, a dead ear after {heard:?}");
    assert!(asked < Duration::from_secs(10) && heard < Duration::from_secs(15));
    assert_eq!(total(&*around).await, 4);
}

/// One message of a session: its kind, its length and what is in it.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[kind][..], &length, body].concat()
}

/// A session of TLO that locks the tasks and then sends half of what it wants, as one does whose connection dies in the
/// middle of a batch.
fn half_asked(server: &PrivatePostgres) -> std::net::TcpStream {
    use std::io::{Read, Write};
    let mut session = std::net::TcpStream::connect(server.address()).unwrap();
    session
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let who = b"user\0tlo\0database\0postgres\0application_name\0tlo\0\0";
    let length = u32::try_from(who.len() + 8).unwrap().to_be_bytes();
    let begin = [&length[..], &196_608_u32.to_be_bytes(), who].concat();
    session.write_all(&begin).unwrap();
    let lock = b"BEGIN; LOCK TABLE tlo.task IN ACCESS EXCLUSIVE MODE; SELECT 'locked'\0";
    session.write_all(&message(b'Q', lock)).unwrap();
    let (mut said, mut bytes) = (Vec::new(), [0; 1024]);
    while !said.windows(6).any(|part| part == b"locked") {
        let count = session.read(&mut bytes).unwrap();
        assert!(count > 0, "{}", said.escape_ascii());
        said.extend_from_slice(&bytes[..count]);
    }
    // Neither run nor synchronised: the rest is on a way that leads nowhere.
    session
        .write_all(&message(b'P', b"\0SELECT 1\0\0\0"))
        .unwrap();
    session
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_waits_for_the_rest_of_a_message_does_not_keep_its_locks() {
    let Some(server) = PrivatePostgres::start() else {
        return;
    };
    let store = open(at(server.address())).await;
    store.create(new("a")).await.unwrap();
    let session = half_asked(&server);
    let begun = super::kit::since_boot();
    store.create(new("b")).await.unwrap();
    let waited = super::kit::since_boot() - begun;
    println!("its locks were free after {waited:?}");
    assert!(waited > Duration::from_secs(1) && waited < Duration::from_secs(10));
    assert_eq!(total(&*store).await, 2);
    drop(session);
}
