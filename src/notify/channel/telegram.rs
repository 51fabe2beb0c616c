//! A Telegram bot. Its token is part of the address.

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::notify::message::{Message, in_html, shorten};

/// Where the Bot API is; there are local servers of it, too.
pub const API: &str = "https://api.telegram.org";

/// Telegram's limit is 4 096 characters after its markup is read; ours are counted before.
const LONGEST: usize = 3_500;

pub fn address(api: &str, token: &SecretString) -> SecretString {
    format!("{}/bot{}/sendMessage", api.trim_end_matches('/'), token.expose_secret()).into()
}

pub fn payload(message: &Message, chat: &str, template: Option<&str>) -> Value {
    let text = match template {
        Some(template) => message.fill(template, in_html),
        None => format!("<b>{}</b>\n{}", in_html(&message.title()), in_html(&message.text())),
    };
    // Cut markup would be refused: what is too long goes as plain text.
    if text.chars().count() > LONGEST {
        let plain = shorten(&format!("{}\n{}", message.title(), message.text()), LONGEST);
        return json!({"chat_id": chat, "text": plain, "link_preview_options": {"is_disabled": true}});
    }
    json!({"chat_id": chat, "text": text, "parse_mode": "HTML", "link_preview_options": {"is_disabled": true}})
}
