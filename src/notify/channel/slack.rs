//! Slack's incoming webhooks, in Block Kit. The address is the secret.

use serde_json::{Value, json};

use crate::notify::message::{Message, in_slack, shorten};

/// Slack's limits for a header and a section.
const HEADER: usize = 150;
const SECTION: usize = 3_000;

/// `plain_text` formats nothing, so that names from a cluster stay what they are; a template is markup of the user's own.
pub fn payload(message: &Message, template: Option<&str>) -> Value {
    // Notifications show this; Slack reads it as markup.
    let fallback = shorten(&in_slack(&message.title()), HEADER);
    if let Some(template) = template {
        let text = shorten(&message.fill(template, in_slack), SECTION);
        return json!({"text": fallback, "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": true}}]});
    }
    let mut facts = vec![format!("severity: {}", message.urgency().name())];
    if let Some(event) = message.main().filter(|e| !e.images.is_empty()) {
        let images: Vec<&str> = event.images.iter().map(|i| &**i).collect();
        facts.push(shorten(&images.join(", "), 300));
    }
    let facts: Vec<Value> = facts.iter().map(|fact| plain(fact)).collect();
    json!({
        "text": fallback,
        "blocks": [
            {"type": "header", "text": plain(&shorten(&message.title(), HEADER))},
            {"type": "section", "text": plain(&shorten(&message.text(), SECTION))},
            {"type": "context", "elements": facts},
        ],
    })
}

fn plain(text: &str) -> Value {
    json!({"type": "plain_text", "text": text, "emoji": false})
}
