//! Any receiver: JSON, signed as <https://www.standardwebhooks.com> has it, for which every language has a verifier.

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};

use super::Request;
use crate::{
    model::Time,
    notify::message::{Message, in_json},
};

pub fn request(
    message: &Message,
    url: SecretString,
    key: &SecretString,
    headers: Vec<(String, SecretString)>,
    template: Option<&str>,
    now: Time,
) -> Request {
    let body = match template {
        Some(template) => message.fill(template, in_json).into_bytes(),
        None => serde_json::to_vec(&message.facts()).unwrap_or_default(),
    };
    let stamp = now.timestamp().to_string();
    let signature = sign(key, &message.id, &stamp, &body);
    let own = [("webhook-id", message.id.clone()), ("webhook-timestamp", stamp), ("webhook-signature", signature)];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value.into()));
    Request { url, headers: headers.into_iter().chain(own).collect(), body, secret: true }
}

/// `v1,` and the HMAC-SHA256 of id, time and body. A key that begins with `whsec_` is base64.
pub fn sign(key: &SecretString, id: &str, stamp: &str, body: &[u8]) -> String {
    let key = key.expose_secret();
    let bytes = key.strip_prefix("whsec_").and_then(|coded| STANDARD.decode(coded).ok()).unwrap_or_else(|| key.as_bytes().to_vec());
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &bytes);
    let mut whole = format!("{id}.{stamp}.").into_bytes();
    whole.extend_from_slice(body);
    format!("v1,{}", STANDARD.encode(ring::hmac::sign(&key, &whole)))
}
