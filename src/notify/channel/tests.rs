//! What each provider is sent: the documented shape, and nothing that a name from a cluster could break out of.

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::*;
use crate::{
    model::{Id, Time},
    notify::{
        event::KINDS,
        kit::{self, event},
        message::Message,
    },
};

/// A name as hostile as one can be that came through [`Text`].
const HOSTILE: &str =
    "\"}],\"x\":\"*b* _i_ `c` ~s~ <!channel> <http://evil|click> </b>&amp; [a](http://evil) \\ {title} ;\u{7}\r\nBcc: all@corp";

fn message(events: Vec<Event>) -> Message {
    Message { id: "m-1".into(), events, instead: vec!["team (slack): 410 gone".into()], again: true, folded: 0 }
}

fn fits(schema: &str, value: &Value) {
    let schema: Value = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{value:#}");
}

macro_rules! schema {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/notify/", $name, ".schema.json"))
    };
}

fn key() -> SecretString {
    "0123456789abcdef0123456789abcdef".to_owned().into()
}

/// Every kind of event, ordinary and hostile, long and short.
fn all() -> Vec<Message> {
    let long = "x <".repeat(3_000);
    let mut all: Vec<Message> = Vec::new();
    for row in KINDS {
        for text in ["it waits", HOSTILE, &long] {
            all.push(message(vec![event(row.kind, text)]));
        }
    }
    let many =
        (0..60).map(|i| Event { id: Id { uid: format!("u-{i}").into(), ..event(Kind::Waits, "").id }, ..event(Kind::Waits, HOSTILE) });
    all.push(message(many.collect()));
    all.push(super::super::message::test("", Time::default()));
    all
}

#[test]
fn every_payload_has_the_documented_shape() {
    for message in all() {
        for template in [None, Some("*{title}*\n{text} {verdict} {images}")] {
            fits(schema!("slack"), &slack::payload(&message, template));
            fits(schema!("telegram"), &telegram::payload(&message, "-100", template));
            fits(schema!("teams"), &teams::payload(&message, template));
            pagerduty::payloads(&message, &key(), template).iter().for_each(|body| fits(schema!("pagerduty"), body));
        }
        let request = webhook::request(&message, String::new().into(), &key(), Vec::new(), None, Time::default());
        fits(schema!("webhook"), &serde_json::from_slice(&request.body).unwrap());
    }
}

/// A schema that takes everything would prove nothing.
#[test]
fn the_schemas_refuse_what_is_wrong() {
    for (schema, wrong) in [
        (schema!("slack"), json!({"text": "a"})),
        (schema!("slack"), json!({"text": "a", "blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x".repeat(151)}}]})),
        (schema!("slack"), json!({"text": "a", "blocks": [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]})),
        (schema!("telegram"), json!({"chat_id": 1, "text": "x".repeat(4_097)})),
        (schema!("pagerduty"), json!({"routing_key": "short", "event_action": "resolve", "dedup_key": "a"})),
        (schema!("pagerduty"), json!({"routing_key": "0123456789abcdef0123456789abcdef", "event_action": "trigger"})),
        (schema!("teams"), json!({"text": "the format of old connectors"})),
    ] {
        let schema: Value = serde_json::from_str(schema).unwrap();
        assert!(!jsonschema::is_valid(&schema, &wrong), "{wrong}");
    }
}

#[test]
fn no_name_breaks_out_of_its_format() {
    let message = message(vec![event(Kind::Waits, HOSTILE)]);
    let sent = slack::payload(&message, Some("*{text}*"));
    let text = sent["blocks"][0]["text"]["text"].as_str().unwrap();
    assert!(!text.contains('<') && text.contains("&lt;!channel&gt;") && !text.contains("*b*") && !text.contains("`c`"), "{text}");
    assert!(!sent["text"].as_str().unwrap().contains('<'));
    let usual = slack::payload(&message, None);
    assert_eq!(usual["blocks"][1]["text"]["type"], "plain_text", "plain text formats nothing");

    let sent = telegram::payload(&message, "1", None);
    let text = sent["text"].as_str().unwrap();
    assert_eq!((text.matches('<').count(), text.matches("<b>").count(), text.matches("</b>").count()), (2, 1, 1), "{text}");
    assert!(text.contains("&amp;amp;"), "what was escaped already is escaped again: {text}");

    let text = teams::payload(&message, Some("{text}"))["attachments"][0]["content"]["body"][0]["text"].to_string();
    assert!(text.contains(r"\\[a\\]\\(http://evil\\)"), "{text}");
    let usual = teams::payload(&message, None)["attachments"][0]["content"]["body"].to_string();
    assert!(!usual.contains("\"TextBlock") && usual.contains("TextRun"), "runs know no Markdown");

    let template = r#"{"a": "{text}", "b": {"c": "{rollout}"}}"#;
    let request = webhook::request(&message, String::new().into(), &key(), Vec::new(), Some(template), Time::default());
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
    assert_eq!(body["b"]["c"], "shop/checkout");
    assert!(body["a"].as_str().unwrap().contains("{title}"), "a field inside a value is no field");

    for how in [terminal::How::Osc9, terminal::How::Osc777] {
        let named = Event { id: Id { name: "a;b\u{7}c\u{1b}[2J".into(), ..event(Kind::Waits, "").id }, ..event(Kind::Waits, HOSTILE) };
        let bytes = how.bytes(&Message { events: vec![named], ..message.clone() });
        assert_eq!(bytes.chars().filter(|c| c.is_control()).count(), 2, "one to begin, one to end: {bytes:?}");
        assert_eq!(bytes.split(';').nth(2).is_some(), how == terminal::How::Osc777);
    }
}

#[test]
fn no_name_writes_a_header_of_a_letter() {
    let mailbox = |text: &str| text.parse().unwrap();
    let email = email::Email {
        host: "127.0.0.1".into(),
        port: 25,
        safety: email::Safety::None,
        user: None,
        password: None,
        from: mailbox("rolltop <rolltop@example.com>"),
        to: vec![mailbox("on-call@example.com")],
    };
    let mut hostile = event(Kind::AbortAdvised, HOSTILE);
    hostile.id.name = "a\r\nBcc: all@corp.example\r\n\r\nbody".into();
    hostile.id.context = "prod\nX-Evil: 1".into();
    let letter = String::from_utf8(email.letter(&message(vec![hostile]), None).unwrap().formatted()).unwrap();
    let (head, _) = letter.split_once("\r\n\r\n").unwrap();
    for line in head.split("\r\n") {
        let known = ["From: ", "To: ", "Subject: ", "Message-ID: ", "Auto-Submitted: ", "Importance: ", "Date: ", "MIME-Version: "];
        let known = known.into_iter().chain(["Content-", " "]);
        assert!(known.into_iter().any(|name| line.starts_with(name)), "{line:?} of\n{head}");
    }
    assert!(head.contains("Importance: high") && head.contains("Message-ID: <m-1@example.com>"), "{head}");
}

#[test]
fn an_incident_opens_is_taken_on_and_closes_under_one_key() {
    let sent = |kinds: &[Kind]| -> Vec<(String, String)> {
        let bodies = pagerduty::payloads(&message(kinds.iter().map(|kind| event(*kind, "x")).collect()), &key(), None);
        bodies.iter().map(|b| (b["event_action"].as_str().unwrap().to_owned(), b["dedup_key"].as_str().unwrap().to_owned())).collect()
    };
    let one = |kind: Kind| sent(&[kind]);
    let release = one(Kind::AbortAdvised)[0].1.clone();
    assert_eq!(one(Kind::AbortAdvised), [("trigger".to_owned(), release.clone())]);
    assert!(one(Kind::GuardActed).contains(&("acknowledge".to_owned(), release.clone())));
    assert!(one(Kind::Aborted).contains(&("resolve".to_owned(), release.clone())));
    let wait = one(Kind::Waits)[0].1.clone();
    assert_ne!(wait, release);
    assert_eq!(one(Kind::GoesOn), [("resolve".to_owned(), wait.clone())]);
    // An incident that somebody took on calls nobody again: this one must be another.
    let failed = one(Kind::NotRecovered);
    assert!(failed.len() == 1 && failed[0].0 == "trigger" && failed[0].1 != release && failed[0].1 != wait);
    assert!(one(Kind::Recovered).contains(&("resolve".to_owned(), failed[0].1.clone())));
    // Of several events in one message the last one counts.
    assert_eq!(sent(&[Kind::Waits, Kind::GoesOn]), [("resolve".to_owned(), wait)]);
    // Another release is another incident.
    let other = Event { release: "7aa".into(), ..event(Kind::AbortAdvised, "x") };
    assert_ne!(pagerduty::payloads(&message(vec![other]), &key(), None)[0]["dedup_key"], release.as_str());
    assert!(release.len() <= 255);
}

/// The example of the specification's reference implementations.
#[test]
fn a_webhook_is_signed_as_the_standard_has_it() {
    let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned().into();
    let signature = webhook::sign(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
    assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    let plain = webhook::sign(&"plain".to_owned().into(), "a", "1", b"x");
    assert_ne!(plain, webhook::sign(&"plain".to_owned().into(), "a", "1", b"y"));
    assert_ne!(plain, webhook::sign(&"plain".to_owned().into(), "a", "2", b"x"));
    let own = vec![("Authorization".to_owned(), "Bearer x".to_owned().into())];
    let request = webhook::request(&message(vec![event(Kind::Waits, "x")]), String::new().into(), &key, own, None, Time::default());
    let names: Vec<&str> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Authorization", "webhook-id", "webhook-timestamp", "webhook-signature"]);
    assert_eq!(request.headers[1].1.expose_secret(), "m-1", "the same for every attempt");
}

#[test]
fn what_closes_an_incident_is_sent_whatever_was_asked_for() {
    let key = kit::secret("K");
    let pager = Channel { least: Urgency::Critical, ..channel(Way::PagerDuty { key, url: String::new() }) };
    let backup = Channel { backup: true, ..pager.clone() };
    for row in KINDS {
        let bodies = pagerduty::payloads(&message(vec![event(row.kind, "x")]), &self::key(), None);
        let actions: Vec<&str> = bodies.iter().map(|b| b["event_action"].as_str().unwrap()).collect();
        let closes = actions.contains(&"resolve");
        assert!(!closes || pager.wants(&event(row.kind, "x")) && backup.wants(&event(row.kind, "x")), "{}", row.name);
        assert!(!closes || !actions.contains(&"trigger"), "{}", row.name);
    }
    assert!(!pager.wants(&event(Kind::Waits, "x")) && !backup.wants(&event(Kind::AbortAdvised, "x")));
    assert!(!channel(Way::Terminal(terminal::How::Bell)).wants(&event(Kind::Recovered, "x")), "others are told what they asked for");
}

fn channel(way: Way) -> Channel {
    Channel { events: vec![Kind::Waits, Kind::AbortAdvised], ..kit::channel("a", way) }
}

/// A receiver within the cluster may have no certificate; what it is sent then holds no secret.
#[test]
fn only_what_holds_no_secret_may_go_in_the_clear() {
    let secret = || kit::secret("K");
    let plain = || Address::Plain("http://bots.svc/".into());
    let hook = |url: Address, headers| Way::Webhook { url, secret: secret(), headers };
    let ways = [
        (hook(plain(), Vec::new()), false),
        (hook(plain(), vec![("X".into(), secret())]), true),
        (hook(Address::Secret(secret()), Vec::new()), true),
        (Way::Slack { url: secret() }, true),
        (Way::PagerDuty { key: secret(), url: "http://x/".into() }, true),
        (Way::Telegram { token: secret(), chat: "1".into(), api: "http://x".into() }, true),
    ];
    for (way, closed) in ways {
        let secrets = vec![key(); 3];
        let sent = requests(&channel(way), &message(vec![event(Kind::Waits, "x")]), &secrets, Time::default());
        assert!(!sent.is_empty() && sent.iter().all(|request| request.secret == closed), "{sent:?}");
        assert!(!format!("{sent:?}").contains("0123456789abcdef"), "nor does a dump show one");
    }
}

#[test]
fn a_channel_is_told_what_it_asked_for_and_what_is_urgent() {
    let usual = channel(Way::Terminal(terminal::How::Bell));
    let wants = |c: &Channel, kind: Kind| c.wants(&event(kind, "x"));
    assert!(wants(&usual, Kind::Waits) && !wants(&usual, Kind::Completed));
    let loud = Channel { least: Urgency::Critical, ..usual.clone() };
    assert!(!wants(&loud, Kind::Waits) && wants(&loud, Kind::AbortAdvised));
    let backup = Channel { backup: true, ..usual.clone() };
    assert!(!wants(&backup, Kind::AbortAdvised));
    for c in [&usual, &loud, &backup] {
        assert!(wants(c, Kind::NotRecovered), "what is urgent goes everywhere");
    }
    let other = Channel { only: vec!["pay/*".into()], ..usual.clone() };
    assert!(!wants(&other, Kind::Waits) && !wants(&other, Kind::NotRecovered), "but not to whom it does not concern");
    assert!(wants(&Channel { only: vec!["pay/*".into(), "shop/*".into()], ..usual.clone() }, Kind::Waits));
    let labelled = Channel { labels: crate::config::rules::labels("team=shop-eu").unwrap(), ..usual };
    assert!(!wants(&labelled, Kind::Waits));
    let mut told = event(Kind::Waits, "x");
    told.labels.insert("team".into(), "shop-eu".into());
    assert!(labelled.wants(&told));
}
