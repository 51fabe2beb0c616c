//! Gates: hooks whose server decides, and how a person opens one.
//!
//! Only the load tester's own paths can be opened from outside; what another server answers is its own affair.

use super::{dto::Webhook, facts::Facts};

/// The command that opens the gate behind a hook, when its URL is one of the load tester's.
pub fn open_command(f: &Facts<'_>, hook: &Webhook) -> Option<String> {
    let base = hook.url.strip_suffix("/gate/check").map(|b| format!("{b}/gate/open"));
    let url = base.or_else(|| hook.url.strip_suffix("/rollback/check").map(|b| format!("{b}/rollback/open")))?;
    // The URL is somebody's text, and the command is meant for a shell.
    let plain = url.chars().all(|c| c.is_ascii_alphanumeric() || ":/.-_[]~%".contains(c)) && url.starts_with("http");
    let (name, namespace) = (&f.root.meta.name, &f.root.meta.namespace);
    plain.then(|| format!(r#"curl -d '{{"name":"{name}","namespace":"{namespace}"}}' {url}"#))
}

/// What to do about a closed gate, in words.
pub fn advice(f: &Facts<'_>, hook: Option<&Webhook>) -> String {
    let Some(hook) = hook else { return "open its gate where the hook is answered".into() };
    open_command(f, hook).map_or_else(
        || format!("approve it where {} is answered: this is no gate that can be opened from outside", hook.url),
        |command| format!("from inside the cluster: {command} (the gate stays open until somebody closes it)"),
    )
}
