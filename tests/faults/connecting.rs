//! Servers that are not there, not trusted, or not where the kubeconfig says.

use std::{sync::Arc, time::Duration};

use rolltop::{
    cluster::{ConnectError, Connection, Options, Scope},
    model::LinkState,
};
use tokio::net::TcpListener;

use crate::server::*;

#[tokio::test]
async fn refused_and_then_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut room = Room::fleet(reader(&format!("http://{address}"), brisk()).await, Scope::All);
    let link = room.link("refused", |s| *s == LinkState::Refused).await;
    assert!(link.retry_at.is_some() && link.heard.is_none());
    let listener = TcpListener::bind(address).await.unwrap();
    let _server = Server::on(listener, |a, _| healthy(a));
    room.live().await;
}

#[tokio::test]
async fn a_server_that_dies_is_cut_and_then_refused() {
    let server = Server::start(|a, _| healthy(a)).await;
    let mut room = Room::fleet(reader(&server.url(), brisk()).await, Scope::All);
    room.live().await;
    kill(server).await;
    let link = room.link("refused", |s| *s == LinkState::Refused).await;
    assert!(link.synced.is_some(), "what was known keeps its date");
}

/// Ends a server with all its connections.
async fn kill(server: Server) {
    let address = server.address;
    drop(server);
    // The listener closes when its task has been dropped, which is a moment later.
    for _ in 0..50 {
        if tokio::net::TcpStream::connect(address).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A TLS server with a certificate of its own making; returns its address and the certificate in PEM.
async fn tls() -> (std::net::SocketAddr, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let config = config.clone();
            tokio::task::spawn_blocking(move || {
                use std::io::{Read, Write};
                let mut socket = socket.into_std().unwrap();
                socket.set_nonblocking(false).unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
                let mut session = rustls::ServerConnection::new(config).unwrap();
                let mut tls = rustls::Stream::new(&mut session, &mut socket);
                let mut buffer = [0; 4096];
                let _ = tls.read(&mut buffer);
                let body = r#"{"gitVersion":"v1.33.0"}"#;
                let _ = write!(tls, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            });
        }
    });
    (address, made.cert.pem())
}

#[tokio::test]
async fn an_unknown_authority_is_named_and_a_known_one_trusted() {
    let (address, pem) = tls().await;
    let server = format!("https://localhost:{}", address.port());
    let (other, _) = (rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap().cert.pem(), ());
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, pem: &str| {
        std::fs::write(folder.path().join(name), pem).unwrap();
        format!(", certificate-authority: \"{}\"", folder.path().join(name).display())
    };
    let strange = Kubeconfig::new(&server, &file("other.crt", &other), "").connect(brisk()).await;
    let mut room = Room::fleet(strange.reader(), Scope::All);
    room.link("bad certificate", |s| *s == LinkState::BadCertificate).await;
    let known = Kubeconfig::new(&server, &file("ca.crt", &pem), "").connect(brisk()).await;
    assert_eq!(known.reader().version().await.unwrap(), "v1.33.0");
}

#[tokio::test]
async fn plain_http_behind_an_https_address_is_garbage() {
    let server = Server::start(|a, _| healthy(a)).await;
    let mut room = Room::fleet(reader(&format!("https://{}", server.address), brisk()).await, Scope::All);
    room.link("garbage", |s| *s == LinkState::Garbage).await;
}

#[tokio::test]
async fn something_that_is_not_http_is_garbage() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let mut held = Vec::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.write_all(b"SSH-2.0-OpenSSH_9.9\r\n").await;
            held.push(socket);
        }
    });
    let mut room = Room::fleet(reader(&format!("http://{address}"), brisk()).await, Scope::All);
    room.link("garbage", |s| *s == LinkState::Garbage).await;
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_no_route() {
    let mut room = Room::fleet(reader("http://no-such-host.invalid:6443", brisk()).await, Scope::All);
    room.link("no route", |s| *s == LinkState::NoRoute).await;
}

#[tokio::test]
async fn a_proxy_that_refuses_is_no_route() {
    let proxy = Server::start(|_, _| status(502, "bad gateway")).await;
    let with = format!(", proxy-url: \"{}\"", proxy.url());
    let connection = Kubeconfig::new("https://api.internal.example:6443", &with, "").connect(brisk()).await;
    let mut room = Room::fleet(connection.reader(), Scope::All);
    let link = room.link("no route", |s| *s == LinkState::NoRoute).await;
    assert!(link.detail.contains("tunnel"), "{}", link.detail);
}

#[tokio::test]
async fn what_the_kubeconfig_gets_wrong_is_named() {
    let good = Kubeconfig::new("http://127.0.0.1:1", "", "");
    let connection = Connection::load(Options { context: Some("other".into()), ..good.options() }).await.unwrap();
    assert_eq!((connection.context(), connection.default_namespace(), connection.server()), ("other", "default", "http://127.0.0.1:1"));

    let error = Connection::load(Options { context: Some("prod".into()), ..good.options() }).await.unwrap_err();
    assert!(matches!(&error, ConnectError::UnknownContext { contexts, .. } if contexts == &["test", "other"]), "{error}");

    let nowhere = good.folder().join("nowhere");
    let error = Connection::load(Options { kubeconfig: Some(nowhere.clone()), ..good.options() }).await.unwrap_err();
    assert!(error.to_string().contains(nowhere.to_str().unwrap()), "{error}");

    std::fs::write(&nowhere, "contexts: {").unwrap();
    let error = Connection::load(Options { kubeconfig: Some(nowhere), ..good.options() }).await.unwrap_err();
    assert!(matches!(error, ConnectError::Invalid { .. }), "{error}");

    let strange = Kubeconfig::new("api.example", "", "");
    assert!(matches!(Connection::load(strange.options()).await.unwrap_err(), ConnectError::BadServer { .. }));

    // A list of files, of which one is missing, as $KUBECONFIG may be.
    let both = std::env::join_paths([good.folder().join("missing"), good.path()]).unwrap();
    assert!(Connection::load(Options { kubeconfig: Some(both.into()), ..good.options() }).await.is_ok());
}
