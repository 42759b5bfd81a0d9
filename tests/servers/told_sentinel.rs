//! A sentinel that believes what it is told, as one does that has not heard of the latest failover yet.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test program uses a part of the kit"
)]

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// A sentinel that names one server for ever. It ends with the test program.
pub(crate) struct ToldSentinel {
    address: SocketAddr,
}

impl ToldSentinel {
    /// Starts one that says that `server` has taken writes since the failover number `epoch`.
    pub(crate) fn start(server: SocketAddr, epoch: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                // A client that goes away ends its own connection.
                std::thread::spawn(move || answer(&connection, server, epoch));
            }
        });
        Self { address }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn answer(connection: &TcpStream, server: SocketAddr, epoch: u64) -> io::Result<()> {
    let mut asked = BufReader::new(connection);
    let mut answers = connection;
    while let Some(words) = command(&mut asked)? {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
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
