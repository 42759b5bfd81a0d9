//! A sentinel that believes what it is told, as one does that has not heard of the latest failover yet.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test program uses a part of the kit"
)]

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use parking_lot::Mutex;

/// Which server takes writes, and since the failover of which number.
type Belief = Arc<Mutex<(SocketAddr, u64)>>;

/// A sentinel that names the server it was told. It ends with the test program.
pub(crate) struct ToldSentinel {
    address: SocketAddr,
    belief: Belief,
}

impl ToldSentinel {
    /// Starts one that says that `server` has taken writes since the failover number `epoch`.
    pub(crate) fn start(server: SocketAddr, epoch: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let belief = Arc::new(Mutex::new((server, epoch)));
        let believed = Arc::clone(&belief);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let believed = Arc::clone(&believed);
                // A client that goes away ends its own connection.
                std::thread::spawn(move || answer(&connection, &believed));
            }
        });
        Self { address, belief }
    }

    /// Says so from now on.
    pub(crate) fn tell(&self, server: SocketAddr, epoch: u64) {
        *self.belief.lock() = (server, epoch);
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn answer(connection: &TcpStream, belief: &Belief) -> io::Result<()> {
    let mut asked = BufReader::new(connection);
    let mut answers = connection;
    while let Some(words) = command(&mut asked)? {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (server, epoch) = *belief.lock();
        match words.as_slice() {
            ["SENTINEL", "MASTER", _] => tell(
                &mut answers,
                &["name", "shop", "config-epoch", &epoch.to_string()],
            )?,
            ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", _] => {
                let (host, port) = (server.ip().to_string(), server.port().to_string());
                tell(&mut answers, &[&host, &port])?;
            }
            _ => answers.write_all(b"+OK\r\n")?,
        }
    }
    Ok(())
}

fn tell(answers: &mut impl Write, words: &[&str]) -> io::Result<()> {
    let mut said = format!("*{}\r\n", words.len());
    for word in words {
        said.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    answers.write_all(said.as_bytes())
}

/// The words of the next command; none when there is no more.
fn command(asked: &mut impl BufRead) -> io::Result<Option<Vec<String>>> {
    let Some(count) = number(asked)? else {
        return Ok(None);
    };
    let mut words = Vec::new();
    for _ in 0..count {
        let length = number(asked)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut word = vec![0; length + 2];
        asked.read_exact(&mut word)?;
        word.truncate(length);
        words.push(String::from_utf8_lossy(&word).into_owned());
    }
    Ok(Some(words))
}

/// The number of a line such as `*3` or `$5`.
fn number(asked: &mut impl BufRead) -> io::Result<Option<usize>> {
    let mut line = String::new();
    if asked.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let number = line.trim_end().get(1..).and_then(|text| text.parse().ok());
    Ok(Some(number.ok_or(io::ErrorKind::InvalidData)?))
}
