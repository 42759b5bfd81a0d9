//! A private PgBouncer that gives the sessions of a server to transactions.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "each test program uses a part of the kit; what is skipped is said"
)]

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Stdio};

use tempfile::TempDir;

use super::postgres::{as_user, give_to_user, program};

pub(crate) struct PgBouncer {
    port: u16,
    child: Child,
    _directory: TempDir,
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ports that somebody else took between the look and the start, at most.
const TRIES: usize = 8;

impl PgBouncer {
    /// Starts one before a server, or says why it cannot be had.
    pub(crate) fn start(server: SocketAddr) -> Option<Self> {
        let Some(pgbouncer) = program("pgbouncer") else {
            println!("SKIPPED: no pgbouncer here; scripts/services installs it");
            return None;
        };
        for _ in 0..TRIES {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            let directory = TempDir::new().unwrap();
            let config = directory.path().join("pgbouncer.ini");
            let (host, server_port) = (server.ip(), server.port());
            let text = format!(
                "[databases]\n* = host={host} port={server_port} user=tlo\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
                 unix_socket_dir =\nauth_type = any\npool_mode = transaction\nmax_client_conn = 500\ndefault_pool_size = 30\n"
            );
            std::fs::write(&config, text).unwrap();
            give_to_user(directory.path());
            let mut child = as_user(&pgbouncer)
                .arg(&config)
                .current_dir("/")
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut said = BufReader::new(child.stderr.take().expect("it is piped")).lines();
            let is_up = said
                .by_ref()
                .map_while(Result::ok)
                .any(|line| line.contains("process up"));
            // A pipe that nobody reads would stop it.
            std::thread::spawn(move || said.for_each(drop));
            if is_up {
                return Some(Self {
                    port,
                    child,
                    _directory: directory,
                });
            }
            let _ = child.wait();
        }
        panic!("pgbouncer did not start on {TRIES} free ports");
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://tlo@{}/postgres?sslmode=disable", self.address())
    }
}
