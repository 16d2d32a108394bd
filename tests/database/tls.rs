//! TLS to the database: the certificate is checked, name included.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_util::sync::CancellationToken;
use usher::{
    config::{Database, DatabaseTls},
    ledger,
};

use crate::{fixture::Postgres, ledger::Running};

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server that says to who asks for TLS what PostgreSQL says without it: the letter N. Its port.
async fn without_tls() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut asked = [0; 8];
            client.read_exact(&mut asked).await.unwrap();
            client.write_all(b"N").await.unwrap();
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_trusted_certificate_is_used_and_any_other_stops_the_start() {
    let postgres = Postgres::start().await;
    let plain = postgres.database().await;
    let (ours, other) = (authority("ours"), authority("other"));
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".into()]).unwrap().signed_by(&key, &ours).unwrap();
    let port = postgres.restart_with_tls(&certificate.pem(), &key.serialize_pem());
    let folder = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        Some(folder.path().join(name))
    };
    let trusting = Database {
        host: "localhost".into(),
        port,
        tls: DatabaseTls::Require,
        ca_file: file("ours", &ours.pem()),
        ..plain
    };

    let (running, roster) = Running::ready(&trusting).await;
    assert_eq!(roster.agents.len(), 3);
    drop(running);

    for (database, expected) in [
        (Database { ca_file: file("other", &other.pem()), ..trusting.clone() }, "database.ca_file"),
        (Database { host: "127.0.0.1".into(), ..trusting.clone() }, "certificate not valid for name"),
        (Database { ca_file: file("none", "nothing"), ..trusting.clone() }, "no certificate in it"),
        (Database { ca_file: Some("/nonexistent".into()), ..trusting.clone() }, "/nonexistent"),
        (Database { host: "127.0.0.1".into(), port: without_tls().await, ..trusting.clone() }, "check database.tls"),
        (Database { tls: DatabaseTls::Disable, ..trusting.clone() }, "pg_hba.conf"),
    ] {
        let error = ledger::spawn(&database, ledger::Terms::alone(), CancellationToken::new())
            .await
            .err()
            .unwrap_or_else(|| panic!("{expected}"));
        assert!(error.to_string().contains(expected), "{expected}: {error}");
    }
}
