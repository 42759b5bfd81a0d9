//! A certificate authority of a test's own, and a certificate for servers of this machine that it signed.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "each test program uses a part of the kit; what is skipped is said"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

pub(crate) struct Certificates {
    directory: TempDir,
}

impl Certificates {
    /// Makes them, or says why they cannot be had.
    pub(crate) fn make() -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            println!("SKIPPED: no openssl here to make certificates with");
            return None;
        }
        let made = Self {
            directory: TempDir::new().unwrap(),
        };
        let curve = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        let extensions = "subjectAltName=DNS:localhost,IP:127.0.0.1";
        std::fs::write(made.path("extensions"), extensions).unwrap();
        for line in [
            format!("req -x509 {curve} -keyout ca.key -out ca.pem -days 2 -subj /CN=tlo-test-authority"),
            format!("req {curve} -keyout server.key -out server.csr -subj /CN=localhost"),
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out server.pem"
                .to_owned(),
        ] {
            let done = Command::new("openssl")
                .args(line.split(' '))
                .current_dir(made.directory.path())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&done.stderr);
            assert!(done.status.success(), "openssl {line}: {said}");
        }
        Some(made)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.path("ca.pem")
    }

    pub(crate) fn certificate(&self) -> String {
        self.path("server.pem").display().to_string()
    }

    pub(crate) fn key(&self) -> String {
        self.path("server.key").display().to_string()
    }
}
