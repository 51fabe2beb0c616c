//! Mail over SMTP.

use std::time::Duration;

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Tokio1Executor,
    message::{Mailbox, SinglePart, header},
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls, TlsParameters},
    },
};
use secrecy::{ExposeSecret, SecretString};

use super::{Answer, Channel};
use crate::{
    notify::{
        event::Urgency,
        message::{Message, shorten},
    },
    secret::Secret,
};

/// How the connection is made safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safety {
    /// Begins in the clear and must turn to TLS before anything is said.
    StartTls,
    /// TLS from the first byte.
    Tls,
    None,
}

pub const SAFETIES: [(&str, Safety); 3] = [("starttls", Safety::StartTls), ("tls", Safety::Tls), ("none", Safety::None)];

#[derive(Debug, Clone, PartialEq)]
pub struct Email {
    pub host: String,
    pub port: u16,
    pub safety: Safety,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub from: Mailbox,
    pub to: Vec<Mailbox>,
}

/// One command and its answer.
const PATIENCE: Duration = Duration::from_secs(15);
const SUBJECT: usize = 180;

impl Email {
    pub fn place(&self) -> String {
        let to: Vec<String> = self.to.iter().map(ToString::to_string).collect();
        let login = match (&self.user, &self.password) {
            (Some(user), Some(password)) => format!(", as {user} with the password from {}", password.words()),
            _ => String::new(),
        };
        format!("{} by {}:{}{login}", to.join(", "), self.host, self.port)
    }

    /// # Errors
    /// Never for addresses that were read from the settings.
    pub fn letter(&self, message: &Message, template: Option<&str>) -> Result<lettre::Message, lettre::error::Error> {
        let text = match template {
            Some(template) => message.fill(template, str::to_owned),
            None => {
                let verdict = message.field("verdict").filter(|v| !v.is_empty()).map(|v| format!("\n\nverdict: {v}")).unwrap_or_default();
                let images = message.field("images").filter(|v| !v.is_empty()).map(|v| format!("\nimages: {v}")).unwrap_or_default();
                format!("{}\n\n{}{verdict}{images}\n", message.title(), message.text())
            }
        };
        let subject = format!("[rolltop] {}", message.title());
        let host = self.from.email.domain();
        let mut letter = lettre::Message::builder()
            .from(self.from.clone())
            // Coded by the header where it is more than letters: no name begins another header.
            .subject(shorten(&subject, SUBJECT))
            // The same for every attempt: servers that look at it deliver once.
            .message_id(Some(format!("<{}@{host}>", message.id)))
            .header(AutoSubmitted);
        for to in &self.to {
            letter = letter.to(to.clone());
        }
        if message.urgency() >= Urgency::Critical {
            letter = letter.header(Importance);
        }
        letter.singlepart(SinglePart::plain(text))
    }
}

/// Keeps out-of-office answers away.
#[derive(Clone)]
struct AutoSubmitted;

impl header::Header for AutoSubmitted {
    fn name() -> header::HeaderName {
        header::HeaderName::new_from_ascii_str("Auto-Submitted")
    }
    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }
    fn display(&self) -> header::HeaderValue {
        header::HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

#[derive(Clone)]
struct Importance;

impl header::Header for Importance {
    fn name() -> header::HeaderName {
        header::HeaderName::new_from_ascii_str("Importance")
    }
    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }
    fn display(&self) -> header::HeaderValue {
        header::HeaderValue::new(Self::name(), "high".to_owned())
    }
}

/// Hands a message to the mail server. It taking it is no proof that it is delivered.
pub async fn send(email: &Email, channel: &Channel, message: &Message, password: Option<SecretString>) -> Answer {
    let letter = match email.letter(message, channel.template.as_deref()) {
        Ok(letter) => letter,
        Err(error) => return Answer::Refused(format!("no letter can be made of it: {error}")),
    };
    let transport = match transport(email, channel, password) {
        Ok(transport) => transport,
        Err(why) => return Answer::Refused(why),
    };
    match transport.send(letter).await {
        Ok(said) => Answer::Taken(format!("{} {}", said.code(), said.message().collect::<Vec<_>>().join(" "))),
        Err(error) => judge(&error),
    }
}

fn judge(error: &lettre::transport::smtp::Error) -> Answer {
    let said = match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    if error.is_permanent() || error.is_tls() || error.is_client() {
        return Answer::Refused(said);
    }
    Answer::Later { why: said, after: None }
}

fn transport(email: &Email, channel: &Channel, password: Option<SecretString>) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let tls = match email.safety {
        Safety::None => Tls::None,
        Safety::StartTls => Tls::Required(parameters(email, channel)?),
        Safety::Tls => Tls::Wrapper(parameters(email, channel)?),
    };
    let mut builder =
        AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&email.host).port(email.port).tls(tls).timeout(Some(PATIENCE));
    if let (Some(user), Some(password)) = (&email.user, password) {
        builder = builder.credentials(Credentials::new(user.clone(), password.expose_secret().to_owned()));
    }
    Ok(builder.build())
}

fn parameters(email: &Email, channel: &Channel) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(email.host.clone());
    if let Some(path) = &channel.ca_file {
        let pem = std::fs::read(path).map_err(|e| format!("ca-file {}: {}", path.display(), e.kind()))?;
        let certificate = Certificate::from_pem(&pem).map_err(|_| format!("ca-file {} holds no certificate", path.display()))?;
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(certificate);
    }
    builder.build_rustls().map_err(|e| format!("TLS cannot be set up: {e}"))
}
