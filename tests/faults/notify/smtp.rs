//! A mail server on loopback: the state machine of a real one, with TLS from the start, later, or not at all.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use mailin::{Action, AuthMechanism, Handler, Response, SessionBuilder};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rolltop::notify::{
    channel::Answer,
    message::{self, Message},
    post::post,
};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use super::{Desk, event};
use rolltop::notify::event::Kind;

/// What the server takes, and what it says.
#[derive(Debug, Clone, Copy, Default)]
struct Manners {
    /// Said to the recipient instead of yes.
    refuses: Option<(u16, &'static str)>,
    tls_at_once: bool,
    starttls: bool,
    login: bool,
}

#[derive(Debug, Clone, Default)]
struct Letter {
    to: Vec<String>,
    text: String,
    user: Option<String>,
    safe: bool,
}

#[derive(Clone)]
struct Clerk {
    manners: Manners,
    letters: Arc<Mutex<Vec<Letter>>>,
    letter: Letter,
}

impl Handler for Clerk {
    fn rcpt(&mut self, to: &str) -> Response {
        self.letter.to.push(to.to_owned());
        match self.manners.refuses {
            Some((code, said)) => Response::custom(code, said.to_owned()),
            None => mailin::response::OK,
        }
    }

    fn data(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.letter.text.push_str(&String::from_utf8_lossy(bytes));
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        self.letters.lock().unwrap().push(self.letter.clone());
        mailin::response::OK
    }

    fn auth_plain(&mut self, _: &str, user: &str, password: &str) -> Response {
        if (user, password) != ("rolltop", "hunter2") {
            return mailin::response::INVALID_CREDENTIALS;
        }
        self.letter.user = Some(user.to_owned());
        mailin::response::AUTH_OK
    }
}

trait Line: Read + Write + Send {}
impl<T: Read + Write + Send> Line for T {}

struct Server {
    port: u16,
    letters: Arc<Mutex<Vec<Letter>>>,
}

/// A certificate authority, and the server's certificate by it.
fn tls(desk: &Desk, name: &str) -> Arc<ServerConfig> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(desk.path(name), ca.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Arc::new(ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap())
}

impl Server {
    fn start(manners: Manners, tls: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let letters: Arc<Mutex<Vec<Letter>>> = Arc::default();
        let clerk = Clerk { manners, letters: letters.clone(), letter: Letter::default() };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (clerk, tls) = (clerk.clone(), tls.clone());
                std::thread::spawn(move || serve(stream, clerk, &tls));
            }
        });
        Self { port, letters }
    }

    fn letters(&self) -> Vec<Letter> {
        self.letters.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, mut clerk: Clerk, tls: &Arc<ServerConfig>) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let manners = clerk.manners;
    let wrap = |stream: TcpStream| Box::new(StreamOwned::new(ServerConnection::new(tls.clone()).unwrap(), stream)) as Box<dyn Line>;
    clerk.letter.safe = manners.tls_at_once;
    let raw = stream.try_clone().ok()?;
    let mut line: Box<dyn Line> = if manners.tls_at_once { wrap(stream) } else { Box::new(stream) };
    let mut builder = SessionBuilder::new("localhost");
    if manners.starttls {
        builder.enable_start_tls();
    }
    if manners.login {
        builder.enable_auth(AuthMechanism::Plain);
    }
    let mut session = builder.build(IpAddr::V4(Ipv4Addr::LOCALHOST), clerk);
    if manners.tls_at_once {
        session.tls_active();
    }
    line.write_all(&session.greeting().buffer().ok()?).ok()?;
    line.flush().ok()?;
    loop {
        let mut text = Vec::new();
        while !text.ends_with(b"\n") {
            let mut byte = [0];
            line.read_exact(&mut byte).ok()?;
            text.push(byte[0]);
        }
        let response = session.process(&text);
        line.write_all(&response.buffer().ok()?).ok()?;
        line.flush().ok()?;
        match response.action {
            Action::Close => return None,
            Action::UpgradeTls => {
                line = wrap(raw.try_clone().ok()?);
                session.tls_active();
            }
            Action::Reply | Action::NoReply => {}
        }
    }
}

async fn send(desk: &Desk, server: &Server, host: &str, more: &str) -> Answer {
    let text = format!(
        "[[notify]]\nkind = \"email\"\nserver = \"{host}:{}\"\nfrom = \"rolltop <rolltop@example.com>\"\nto = [\"on-call@example.com\", \"boss@example.com\"]\n{more}\n",
        server.port
    );
    let channels = desk.channels(&text);
    let mut told = event("checkout", Kind::AbortAdvised);
    told.text = "ABORT advised: canary fails 4.1 % — stable 0.2 %\r\nBcc: all@corp".into();
    let message = Message { events: vec![told], ..message::test("", chrono::Utc::now()) };
    post(&channels[0], &message, chrono::Utc::now()).await
}

#[tokio::test]
async fn mail_goes_over_plain_loopback() {
    let desk = Desk::new();
    let server = Server::start(Manners::default(), tls(&desk, "ca.pem"));
    let answer = send(&desk, &server, "127.0.0.1", "tls = \"none\"").await;
    assert!(matches!(&answer, Answer::Taken(said) if said.starts_with("250")), "{answer:?}");
    let letter = server.letters().pop().unwrap();
    assert_eq!(letter.to, ["on-call@example.com", "boss@example.com"]);
    let head: Vec<&str> = letter.text.split("\r\n\r\n").next().unwrap().lines().collect();
    assert!(
        head.contains(&"From: \"rolltop\" <rolltop@example.com>") || head.contains(&"From: rolltop <rolltop@example.com>"),
        "{head:#?}"
    );
    assert!(head.iter().any(|l| l.starts_with("Subject: [rolltop] shop/checkout ABORT advised")), "{head:#?}");
    assert!(head.contains(&"Importance: high") && head.contains(&"Auto-Submitted: auto-generated"), "{head:#?}");
    assert!(!head.iter().any(|l| l.starts_with("Bcc")), "{head:#?}");
}

#[tokio::test]
async fn mail_goes_over_starttls_with_a_login() {
    let desk = Desk::new();
    let server = Server::start(Manners { starttls: true, login: true, ..Manners::default() }, tls(&desk, "ca.pem"));
    let login = |password: &str| {
        format!(
            "user = \"rolltop\"\npassword = {}\nca-file = {:?}",
            desk.secret("password", password),
            desk.path("ca.pem").display().to_string()
        )
    };
    let answer = send(&desk, &server, "localhost", &login("hunter2")).await;
    assert!(matches!(answer, Answer::Taken(_)), "{answer:?}");
    assert_eq!(server.letters().pop().unwrap().user.as_deref(), Some("rolltop"));
    let answer = send(&desk, &server, "localhost", &login("hunter3")).await;
    assert!(matches!(&answer, Answer::Refused(why) if why.contains("535") && !why.contains("hunter")), "{answer:?}");
    assert_eq!(server.letters().len(), 1);
}

#[tokio::test]
async fn mail_goes_over_tls_from_the_first_byte() {
    let desk = Desk::new();
    let server = Server::start(Manners { tls_at_once: true, ..Manners::default() }, tls(&desk, "ca.pem"));
    let trusted = format!("tls = \"tls\"\nca-file = {:?}", desk.path("ca.pem").display().to_string());
    let answer = send(&desk, &server, "localhost", &trusted).await;
    assert!(matches!(answer, Answer::Taken(_)), "{answer:?}");
    assert!(server.letters().pop().unwrap().safe);
    tls(&desk, "other.pem");
    let stranger = format!("tls = \"tls\"\nca-file = {:?}", desk.path("other.pem").display().to_string());
    let answer = send(&desk, &server, "localhost", &stranger).await;
    assert!(!matches!(answer, Answer::Taken(_)) && format!("{answer:?}").to_lowercase().contains("certificate"), "{answer:?}");
    assert_eq!(server.letters().len(), 1);
}

/// A server, or somebody in between, that does not offer TLS gets no letter and no password.
#[tokio::test]
async fn without_the_tls_that_was_asked_for_nothing_is_sent() {
    let desk = Desk::new();
    let server = Server::start(Manners { login: true, ..Manners::default() }, tls(&desk, "ca.pem"));
    let login = format!("user = \"rolltop\"\npassword = {}", desk.secret("password", "hunter2"));
    let answer = send(&desk, &server, "localhost", &login).await;
    assert!(matches!(&answer, Answer::Refused(why) if why.to_lowercase().contains("starttls")), "{answer:?}");
    assert!(server.letters().is_empty());
}

#[tokio::test]
async fn a_mailbox_that_is_full_is_tried_again_and_one_that_is_gone_is_not() {
    let desk = Desk::new();
    for (code, said, again) in [(452, "mailbox full", true), (421, "try later", true), (550, "no such user", false)] {
        let server = Server::start(Manners { refuses: Some((code, said)), ..Manners::default() }, tls(&desk, "ca.pem"));
        match (send(&desk, &server, "127.0.0.1", "tls = \"none\"").await, again) {
            (Answer::Later { why, .. }, true) | (Answer::Refused(why), false) => {
                assert!(why.contains(&code.to_string()) && why.contains(said), "{why}");
            }
            (answer, _) => panic!("{code}: {answer:?}"),
        }
    }
}
