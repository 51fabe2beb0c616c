//! Gates: hooks whose server decides, and how a person opens one.
//!
//! Only the load tester's own paths can be opened from outside; what another server answers is its own affair. A load
//! tester in the cluster is reached through the API server, with no other right than to its Service's proxy.

use serde_json::{Value, json};

use super::{dto::Webhook, facts::Facts};
use crate::{
    engine::{Call, Refusal, Write},
    intent::Verb,
    model::Text,
    object::kinds,
};

/// The Service behind a hook's gate, as the API server's proxy names it.
#[derive(Debug, PartialEq)]
pub struct Keeper {
    pub namespace: String,
    pub name: String,
    /// `http:flagger-loadtester:80`
    proxied: String,
}

impl Keeper {
    /// Of `http://NAME.NAMESPACE[.svc[.DOMAIN]][:PORT]/gate/check`. A name alone is looked up in Flagger's own namespace,
    /// which cannot be known here; any other host is no Service.
    pub fn of(hook: &Webhook) -> Option<Self> {
        let (scheme, rest) = hook.url.split_once("://")?;
        let usual = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let authority = rest.strip_suffix("/gate/check")?;
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, port.parse::<u16>().ok()?),
            None => (authority, usual),
        };
        let labels: Vec<&str> = host.trim_end_matches('.').split('.').collect();
        let (name, namespace) = match labels[..] {
            [name, namespace] | [name, namespace, "svc", ..] => (name, namespace),
            _ => return None,
        };
        if !labels.iter().all(|label| is_label(label)) {
            return None;
        }
        Some(Self { namespace: namespace.into(), name: name.into(), proxied: format!("{scheme}:{name}:{port}") })
    }

    /// The request that opens the gate. Its conditions are those of `on`, a write to the Canary that changes nothing.
    pub fn open(&self, f: &Facts<'_>, on: Write) -> Write {
        let call = Call { root: on.resource, path: "gate/open".into(), check: "gate/check".into(), body: key(f) };
        Write {
            resource: &kinds::SERVICE,
            namespace: self.namespace.as_str().into(),
            name: self.proxied.as_str().into(),
            subresource: Some("proxy"),
            patch: on.patch,
            call: Some(call),
            create: None,
        }
    }

    /// What does the same in a shell: `open` or `close`.
    pub fn command(&self, f: &Facts<'_>, what: &str) -> String {
        let Self { namespace, proxied, .. } = self;
        let path = format!("/api/v1/namespaces/{namespace}/services/{proxied}/proxy/gate/{what}");
        format!("echo '{}' | kubectl create --raw {path} -f -", key(f))
    }
}

fn is_label(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// One gate for all hooks of a Canary.
fn key(f: &Facts<'_>) -> Value {
    json!({"name": f.root.meta.name, "namespace": f.root.meta.namespace})
}

/// The command that opens the gate behind a hook, when its URL is one of the load tester's.
fn open_command(f: &Facts<'_>, hook: &Webhook) -> Option<String> {
    let base = hook.url.strip_suffix("/gate/check").map(|b| format!("{b}/gate/open"));
    let url = base.or_else(|| hook.url.strip_suffix("/rollback/check").map(|b| format!("{b}/rollback/open")))?;
    // The URL is somebody's text, and the command is meant for a shell.
    let plain = url.chars().all(|c| c.is_ascii_alphanumeric() || ":/.-_[]~%".contains(c)) && url.starts_with("http");
    plain.then(|| format!("curl -d '{}' {url}", key(f)))
}

/// What to do about a closed gate, in words.
pub fn advice(f: &Facts<'_>, hook: Option<&Webhook>) -> String {
    let Some(hook) = hook else { return "open its gate where the hook is answered".into() };
    if let Some(Keeper { namespace, name, .. }) = Keeper::of(hook) {
        return format!("promote opens it, through Service {name} in {namespace}");
    }
    open_command(f, hook).map_or_else(
        || format!("approve it where {} is answered: this is no gate that can be opened from outside", hook.url),
        |command| format!("where its server is reached: {command} (the gate stays open until somebody closes it)"),
    )
}

/// Why a verb of another kind does not help at a closed gate.
pub fn refusal(f: &Facts<'_>, reason: impl Into<Text>, hook: Option<&Webhook>) -> Refusal {
    let opens = hook.and_then(Keeper::of).map(|_| Verb::Promote);
    Refusal::because(reason).instead(advice(f, hook), opens)
}
