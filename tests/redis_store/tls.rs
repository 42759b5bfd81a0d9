//! Servers that are spoken to with TLS.
#![cfg(feature = "redis-tls")]

use std::time::Duration;

use tlo::store::TaskStateStoreExt;
use tlo::{ErrorKind, RedisOptions};

use crate::kit::{new, open_with, total};
use crate::servers::certificates::Certificates;
use crate::servers::redis::{PrivateRedis, free_port};

#[tokio::test]
async fn a_server_whose_certificate_is_signed_by_a_named_authority_is_trusted_and_no_other() {
    let Some(certificates) = Certificates::make() else {
        return;
    };
    let port = free_port().to_string();
    let (certificate, key) = (certificates.certificate(), certificates.key());
    let authority = certificates.authority().display().to_string();
    let settings = [
        ["--appendonly", "yes"],
        ["--tls-port", &port],
        ["--tls-cert-file", &certificate],
        ["--tls-key-file", &key],
        ["--tls-ca-cert-file", &authority],
        ["--tls-auth-clients", "no"],
    ];
    let Some(_server) = PrivateRedis::with(&settings.concat()) else {
        return;
    };
    let trusting = RedisOptions {
        tls_ca: Some(certificates.authority()),
        connect_timeout: Duration::from_secs(2),
        ..RedisOptions::at(format!("rediss://127.0.0.1:{port}/0"))
    };
    let store = open_with(trusting.clone()).await.unwrap();
    store.create(new("a")).await.unwrap();
    assert_eq!(total(&store).await, 1);
    let strange = RedisOptions {
        tls_ca: None,
        ..trusting.clone()
    };
    let error = open_with(strange).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error:?}");
    let missing = RedisOptions {
        tls_ca: Some("/nowhere/ca.pem".into()),
        ..trusting
    };
    let error = open_with(missing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
}
