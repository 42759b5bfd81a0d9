//! Servers that are spoken to with TLS.

use tlo::PostgresOptions;
use tlo::store::TaskStateStoreExt;

use super::kit::{new, open, total, try_open};
use super::servers::certificates::Certificates;
use super::servers::postgres::{PrivatePostgres, connect, give_to_user};

#[tokio::test]
async fn a_server_whose_certificate_is_signed_by_a_named_authority_is_trusted_and_no_other() {
    let Some(certificates) = Certificates::make() else {
        return;
    };
    give_to_user(certificates.directory());
    let certificate = format!("ssl_cert_file={}", certificates.certificate());
    let key = format!("ssl_key_file={}", certificates.key());
    let Some(server) = PrivatePostgres::with(&["ssl=on", &certificate, &key]) else {
        return;
    };
    let trusting = PostgresOptions {
        tls_ca: Some(certificates.authority()),
        ..PostgresOptions::at(server.url().replace("disable", "require"))
    };
    let store = open(trusting.clone()).await;
    store.create(new("a")).await.unwrap();
    assert_eq!(total(&*store).await, 1);
    let database = connect(&server.url()).await.unwrap();
    let plain = "SELECT a.pid FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid) \
        WHERE a.application_name LIKE 'tlo%' AND NOT s.ssl";
    assert_eq!(database.query(plain, &[]).await.unwrap().len(), 0);
    let strange = PostgresOptions {
        tls_ca: None,
        ..trusting.clone()
    };
    let error = try_open(strange).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error:?}");
    let missing = PostgresOptions {
        tls_ca: Some("/nowhere/ca.pem".into()),
        ..trusting
    };
    let error = try_open(missing).await.unwrap_err();
    assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
}
