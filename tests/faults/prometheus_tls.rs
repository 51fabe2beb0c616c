//! Certificates: theirs, ours, and none.

use std::{io::Read, io::Write, net::TcpListener, path::PathBuf, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rolltop::{model::LinkState, prometheus::Settings};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};

use super::{ONE, ask, settings, state_of};

/// A certificate authority and what it signs, as files.
struct Office {
    dir: tempfile::TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Office {
    fn open() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let office = Self { dir: tempfile::tempdir().unwrap(), ca };
        std::fs::write(office.file("ca.pem"), office.ca.pem()).unwrap();
        let (certificate, key) = office.sign("someone");
        std::fs::write(office.file("client.pem"), certificate.pem()).unwrap();
        std::fs::write(office.file("client.key"), key.serialize_pem()).unwrap();
        office
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn sign(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.ca).unwrap();
        (certificate, key)
    }

    /// A server for `localhost` that answers every query with one, and may want our certificate.
    fn serve(&self, mutual: bool) -> String {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (certificate, key) = self.sign("localhost");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.der().clone()).unwrap();
        let builder = ServerConfig::builder();
        let builder = if mutual {
            builder.with_client_cert_verifier(WebPkiClientVerifier::builder(roots.into()).build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let config = Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        std::thread::spawn(move || {
            for stream in listener.incoming().take(4).flatten() {
                let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
                if stream.read(&mut [0; 4096]).is_ok() {
                    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", ONE.len());
                    let _ = stream.write_all(format!("{head}{ONE}").as_bytes());
                    stream.conn.send_close_notify();
                }
                let _ = stream.flush();
            }
        });
        url
    }
}

#[tokio::test]
async fn their_certificate_must_be_trusted() {
    let office = Office::open();
    let url = office.serve(false);
    let other = Office::open();
    let stranger = Settings { ca_file: Some(other.file("ca.pem")), ..settings(&url) };
    assert_eq!(state_of(&stranger).await, LinkState::BadCertificate);
    let trusted = Settings { ca_file: Some(office.file("ca.pem")), ..settings(&url) };
    assert_eq!(ask(&trusted).await, Ok(Some(1.0)));
    let insecure = Settings { insecure: true, ..settings(&url) };
    assert_eq!(ask(&insecure).await, Ok(Some(1.0)));
}

#[tokio::test]
async fn our_certificate_is_shown_where_it_is_wanted() {
    let office = Office::open();
    let url = office.serve(true);
    let without = Settings { ca_file: Some(office.file("ca.pem")), ..settings(&url) };
    let state = state_of(&without).await;
    assert!(matches!(&state, LinkState::Expired { hint } if hint.contains("cert-file")), "{state:?}");
    let with =
        Settings { client_certificate_file: Some(office.file("client.pem")), client_key_file: Some(office.file("client.key")), ..without };
    assert_eq!(ask(&with).await, Ok(Some(1.0)));
}

#[test]
fn unusable_files_are_named() {
    let office = Office::open();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let empty = office.file("empty");
    std::fs::write(&empty, "nothing").unwrap();
    let field = |s: &Settings| rolltop::prometheus::Client::new(s, None).err().unwrap().field;
    assert_eq!(field(&Settings { ca_file: Some(office.file("gone")), ..settings("https://h") }), "ca-file");
    assert_eq!(field(&Settings { ca_file: Some(empty.clone()), ..settings("https://h") }), "ca-file");
    let ours = Settings { client_certificate_file: Some(office.file("client.pem")), client_key_file: Some(empty), ..settings("https://h") };
    assert_eq!(field(&ours), "cert-file");
}
