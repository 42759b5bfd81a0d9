//! What the store asks of Redis, without the store: the calls that its scripts made, recorded by MONITOR, made again by one
//! script a batch that does nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::backlog;

/// Batches under way at once, so that neither side waits for the other.
const FLYING: usize = 2;

/// Each call as its number of words, then the words.
const REPLAY: &str = "local at = 1 while at <= #ARGV do local n = tonumber(ARGV[at]) \
    redis.call(unpack(ARGV, at + 1, at + n)) at = at + n + 1 end";

type Call = Vec<Vec<u8>>;

/// The calls of one script, and when it came.
struct Batch {
    at: f64,
    calls: Vec<Call>,
}

/// The driver gives an answer half a second unless told otherwise.
async fn connect(client: &redis::Client) -> redis::aio::MultiplexedConnection {
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(60)));
    client.get_multiplexed_async_connection_with_config(&patient).await.expect("connect")
}

/// The words of a line of MONITOR, without their quotes.
fn words(line: &str) -> Call {
    let (mut words, mut rest) = (Call::new(), line.as_bytes());
    while let Some(begin) = rest.iter().position(|byte| *byte == b'"') {
        rest = &rest[begin + 1..];
        let mut word = Vec::new();
        loop {
            match rest {
                [b'"', after @ ..] => {
                    rest = after;
                    break;
                }
                [b'\\', b'x', high, low, after @ ..] => {
                    let digits = [*high, *low];
                    let digits = std::str::from_utf8(&digits).expect("two digits");
                    word.push(u8::from_str_radix(digits, 16).expect("two digits"));
                    rest = after;
                }
                [b'\\', escaped, after @ ..] => {
                    word.push(match escaped {
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'a' => 7,
                        b'b' => 8,
                        other => *other,
                    });
                    rest = after;
                }
                [byte, after @ ..] => {
                    word.push(*byte);
                    rest = after;
                }
                [] => panic!("a line of MONITOR ends within a word"),
            }
        }
        words.push(word);
    }
    words
}

/// Listens until the word `end of the record` is said.
async fn record(server: &str) -> tokio::task::JoinHandle<Vec<Batch>> {
    let mut stream = BufReader::new(TcpStream::connect(server).await.expect("connect"));
    stream.write_all(b"MONITOR\r\n").await.expect("monitor");
    let mut line = String::new();
    stream.read_line(&mut line).await.expect("monitor");
    assert_eq!(line.trim(), "+OK", "MONITOR was refused");
    tokio::spawn(async move {
        let mut batches: Vec<Batch> = Vec::new();
        loop {
            line.clear();
            stream.read_line(&mut line).await.expect("monitor");
            let from_script = line.contains(" lua] ");
            let call = words(&line);
            let name = call.first().map(|name| name.to_ascii_uppercase()).unwrap_or_default();
            if name == b"PING" && call.len() == 2 && call[1] == b"end of the record" {
                return batches;
            }
            if name.starts_with(b"EVAL") || name == b"FCALL" {
                let at = line[1..].split(' ').next().and_then(|at| at.parse().ok()).expect("a time");
                batches.push(Batch { at, calls: Vec::new() });
            } else if from_script && name != b"TIME" {
                batches.last_mut().expect("a script calls").calls.push(call);
            }
        }
    })
}

async fn replay(client: &redis::Client, batches: Vec<Batch>) -> f64 {
    let batches = Arc::new(batches);
    let next = Arc::new(AtomicUsize::new(0));
    let script = redis::Script::new(REPLAY);
    let started = Instant::now();
    let flying: Vec<_> = (0..FLYING)
        .map(|_| {
            let (client, batches, next, script) = (client.clone(), Arc::clone(&batches), Arc::clone(&next), script.clone());
            tokio::spawn(async move {
                let mut connection = connect(&client).await;
                while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut call = script.prepare_invoke();
                    for words in &batch.calls {
                        call.arg(words.len());
                        for word in words {
                            call.arg(word.as_slice());
                        }
                    }
                    let _: redis::Value = call.invoke_async(&mut connection).await.expect("replay");
                }
            })
        })
        .collect();
    for one in flying {
        one.await.expect("replay");
    }
    started.elapsed().as_secs_f64()
}

/// The figure of the store, then the same while it is recorded, then only its calls on an empty server.
pub async fn run(url: &str, tasks: usize, concurrency: usize) -> serde_json::Value {
    let client = redis::Client::open(url).expect("url");
    let mut connection = connect(&client).await;
    let ours = backlog::run(url, tasks, 0, concurrency, 0).await;
    let clean = |mut connection: redis::aio::MultiplexedConnection| async move {
        let _: () = redis::cmd("FLUSHALL").arg("ASYNC").query_async(&mut connection).await.expect("flush");
    };
    clean(connection.clone()).await;
    let server = url.trim_start_matches("redis://").split('/').next().expect("a host and a port").to_owned();
    let recording = record(&server).await;
    let recorded = backlog::run(url, tasks, 0, concurrency, 0).await;
    let _: redis::Value = redis::cmd("PING").arg("end of the record").query_async(&mut connection).await.expect("ping");
    let mut submits = recording.await.expect("record");
    clean(connection).await;
    submits.retain(|batch| !batch.calls.is_empty());
    let submitted = recorded["submitted_at"].as_f64().expect("a time");
    let runs = submits.split_off(submits.partition_point(|batch| batch.at <= submitted));
    let calls = |batches: &[Batch]| batches.iter().map(|batch| batch.calls.len()).sum::<usize>() as f64 / tasks as f64;
    let (in_calls, out_calls) = (calls(&submits), calls(&runs));
    let groups = (submits.len(), runs.len());
    let (bare_in, bare_out) = (replay(&client, submits).await, replay(&client, runs).await);
    serde_json::json!({
        "system": "bare redis", "tasks": tasks, "in_per_s": ours["in_per_s"], "out_per_s": ours["settled_per_s"],
        "bare_in_per_s": tasks as f64 / bare_in, "bare_out_per_s": tasks as f64 / bare_out,
        "calls_in": in_calls, "calls_out": out_calls, "scripts_in": groups.0, "scripts_out": groups.1,
    })
}
