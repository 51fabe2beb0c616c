//! Microsoft Teams: a Workflows webhook takes a message with an Adaptive Card. The address is the secret.

use serde_json::{Value, json};

use crate::notify::{
    event::Urgency,
    message::{Message, in_markdown},
};

/// Text runs know no Markdown, so that names from a cluster stay what they are; a template is Markdown of the user's own.
pub fn payload(message: &Message, template: Option<&str>) -> Value {
    let body = match template {
        Some(template) => vec![json!({"type": "TextBlock", "wrap": true, "text": message.fill(template, in_markdown)})],
        None => {
            let colour = match message.urgency() {
                Urgency::Info => "good",
                Urgency::Warning => "warning",
                Urgency::Critical | Urgency::Urgent => "attention",
            };
            let title = json!({"type": "TextRun", "text": message.title(), "weight": "bolder", "size": "medium", "color": colour});
            let lines = message.lines().into_iter().map(|line| run(json!({"type": "TextRun", "text": line})));
            std::iter::once(run(title)).chain(lines).collect()
        }
    };
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "msteams": {"width": "Full"},
                "body": body,
            },
        }],
    })
}

fn run(inline: Value) -> Value {
    json!({"type": "RichTextBlock", "inlines": [inline]})
}
