//! Ways in which asking fails, and what each means for the connection.

use std::{error::Error, io, time::Duration};

use crate::model::{LinkState, Text};

/// Why there is no answer. No variant holds a secret; texts are cleaned and of bounded length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("nobody listens there")]
    Refused,
    #[error("no answer within {}", humantime::format_duration(*.0))]
    TimedOut(Duration),
    /// Prometheus itself gave up on the query.
    #[error("the query took too long for the server: {0}")]
    TooHeavy(Text),
    #[error("the connection broke off: {0}")]
    Cut(Text),
    #[error("no way there: {0}")]
    NoRoute(Text),
    /// Theirs is not one we trust.
    #[error("certificate not trusted: {0}")]
    BadCertificate(Text),
    /// The login is missing, wrong or over. `hint` says what to renew.
    #[error("login refused: {hint}")]
    Unauthorized { hint: Text },
    #[error("not allowed: {detail}")]
    Forbidden { verb: Text, resource: Text, namespace: Option<Text>, role: Text, detail: Text },
    #[error("asked to come back later")]
    Throttled { after: Option<Duration> },
    /// It speaks, but not the language of Prometheus.
    #[error("not an answer of Prometheus: {0}")]
    Garbage(Text),
    #[error("the answer is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("server error {code}: {text}")]
    Server { code: u16, text: Text },
    /// Prometheus is well, the query is not: `bad_data`, `execution`.
    #[error("query refused ({kind}): {text}")]
    Query { kind: Text, text: Text },
}

impl Fault {
    /// What the header shows for a connection that fails like this.
    pub fn state(&self) -> LinkState {
        match self {
            Self::Refused => LinkState::Refused,
            Self::TimedOut(_) | Self::TooHeavy(_) => LinkState::TimedOut,
            Self::Cut(_) => LinkState::Cut,
            Self::NoRoute(_) => LinkState::NoRoute,
            Self::BadCertificate(_) => LinkState::BadCertificate,
            Self::Unauthorized { hint } => LinkState::Expired { hint: hint.clone() },
            Self::Forbidden { verb, resource, namespace, role, .. } => {
                LinkState::Forbidden { verb: verb.clone(), resource: resource.clone(), namespace: namespace.clone(), role: role.clone() }
            }
            Self::Throttled { .. } => LinkState::Throttled,
            Self::Garbage(_) | Self::TooLarge { .. } => LinkState::Garbage,
            Self::Server { code, .. } => LinkState::ServerError { code: *code },
            Self::Query { .. } => LinkState::ServerError { code: 400 },
        }
    }

    /// The wait the server itself asked for.
    pub fn after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { after } => *after,
            _ => None,
        }
    }

    /// Reads a transport error by its chain of causes. The texts of the chain are only used where
    /// no type tells; the outermost text is never shown because it may quote the address.
    pub fn of_transport(error: &(dyn Error + 'static), timeout: Duration) -> Self {
        let causes = causes(error);
        if let Some(tls) = causes.iter().find_map(|c| c.downcast_ref::<rustls::Error>()) {
            return of_tls(tls);
        }
        if let Some(fault) = causes.iter().find_map(|c| c.downcast_ref::<io::Error>()).and_then(|e| of_io(e, timeout)) {
            return fault;
        }
        let text = causes.iter().map(|c| c.to_string()).collect::<Vec<_>>().join(": ");
        of_text(&text, causes.last().map_or_else(Text::default, |c| Text::clean(&c.to_string())))
    }
}

/// The chain of causes, with what `io::Error` hides: its `source` skips the error it wraps.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> Vec<&'e (dyn Error + 'static)> {
    let mut found = vec![error];
    while let Some(last) = found.last().copied().filter(|_| found.len() < 32) {
        let wrapped = last.downcast_ref::<io::Error>().and_then(|e| e.get_ref()).map(|e| e as &(dyn Error + 'static));
        match wrapped.or_else(|| last.source()) {
            Some(next) => found.push(next),
            None => break,
        }
    }
    found
}

fn of_tls(error: &rustls::Error) -> Fault {
    let text = Text::clean(&error.to_string());
    match error {
        // Their refusal of ours: the certificate to renew is the client's.
        rustls::Error::AlertReceived(_) => Fault::Unauthorized { hint: Text::clean(&format!("check cert-file: {text}")) },
        rustls::Error::InvalidMessage(_) => Fault::Garbage(Text::clean(&format!("no TLS spoken there: {text}"))),
        _ => Fault::BadCertificate(text),
    }
}

fn of_io(error: &io::Error, timeout: Duration) -> Option<Fault> {
    use io::ErrorKind as K;
    let text = || Text::clean(&error.to_string());
    Some(match error.kind() {
        K::ConnectionRefused => Fault::Refused,
        K::TimedOut => Fault::TimedOut(timeout),
        K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::UnexpectedEof => Fault::Cut(text()),
        K::HostUnreachable | K::NetworkUnreachable | K::NetworkDown | K::AddrNotAvailable => Fault::NoRoute(text()),
        _ => return None,
    })
}

fn of_text(chain: &str, last: Text) -> Fault {
    let has = |words: &[&str]| words.iter().any(|w| chain.contains(w));
    if has(&["dns error", "failed to lookup address", "Name or service not known"]) {
        return Fault::NoRoute(Text::clean(&format!("name lookup: {last}")));
    }
    if has(&["unsuccessful tunnel", "proxy authorization required", "socks"]) {
        return Fault::NoRoute(Text::clean(&format!("proxy: {last}")));
    }
    if has(&["invalid HTTP", "invalid HTTP version", "frame with invalid", "stream error received"]) {
        return Fault::Garbage(last);
    }
    Fault::Cut(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: io::ErrorKind) -> LinkState {
        Fault::of_transport(&io::Error::from(kind), Duration::from_secs(1)).state()
    }

    #[test]
    fn io_errors_become_states() {
        for (kind, state) in [
            (io::ErrorKind::ConnectionRefused, LinkState::Refused),
            (io::ErrorKind::TimedOut, LinkState::TimedOut),
            (io::ErrorKind::ConnectionReset, LinkState::Cut),
            (io::ErrorKind::UnexpectedEof, LinkState::Cut),
            (io::ErrorKind::HostUnreachable, LinkState::NoRoute),
        ] {
            assert_eq!(of(kind), state, "{kind:?}");
        }
    }

    #[test]
    fn tls_errors_are_seen_inside_io_errors() {
        let tls = |e: rustls::Error| Fault::of_transport(&io::Error::other(io::Error::other(e)), Duration::ZERO).state();
        let expired = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        assert_eq!(tls(expired), LinkState::BadCertificate);
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
        assert!(matches!(tls(alert), LinkState::Expired { .. }));
    }

    #[test]
    fn every_fault_has_its_state() {
        let t = Text::clean("x");
        let forbidden = Fault::Forbidden { verb: t.clone(), resource: t.clone(), namespace: None, role: t.clone(), detail: t.clone() };
        for (fault, state) in [
            (Fault::Refused, LinkState::Refused),
            (Fault::TimedOut(Duration::ZERO), LinkState::TimedOut),
            (Fault::TooHeavy(t.clone()), LinkState::TimedOut),
            (Fault::Cut(t.clone()), LinkState::Cut),
            (Fault::NoRoute(t.clone()), LinkState::NoRoute),
            (Fault::BadCertificate(t.clone()), LinkState::BadCertificate),
            (Fault::Unauthorized { hint: t.clone() }, LinkState::Expired { hint: t.clone() }),
            (forbidden, LinkState::Forbidden { verb: t.clone(), resource: t.clone(), namespace: None, role: t.clone() }),
            (Fault::Throttled { after: None }, LinkState::Throttled),
            (Fault::Garbage(t.clone()), LinkState::Garbage),
            (Fault::TooLarge { limit: 1 }, LinkState::Garbage),
            (Fault::Server { code: 502, text: t.clone() }, LinkState::ServerError { code: 502 }),
            (Fault::Query { kind: t.clone(), text: t.clone() }, LinkState::ServerError { code: 400 }),
        ] {
            assert_eq!(fault.state(), state, "{fault:?}");
        }
    }
}
