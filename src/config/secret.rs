//! A secret in the settings: where it is kept, never what it is.
//!
//! `{ env = "NAME" }`, `{ file = "PATH" }` or `{ command = ["pass", "show", "x"] }`, each with an optional `prefix` such as
//! `"Bearer "`. What it is then, [`crate::secret`] finds out.

use std::path::PathBuf;

use toml::{Spanned, de::DeValue};

use crate::secret::{Secret, Source};

pub const FORM: &str = "{ env = \"NAME\" }, { file = \"PATH\" } or { command = [\"program\", \"argument\"] }";

/// Whether what a header of this name says is a secret.
pub fn is_one(header: &str) -> bool {
    let name = header.to_ascii_lowercase();
    // It tells one request from another, and nobody from anybody.
    let harmless = name == "idempotency-key";
    let parts = ["authorization", "cookie", "token", "secret", "password", "credential"];
    !harmless && (parts.iter().any(|part| name.contains(part)) || name.ends_with("key"))
}

/// Reads the table of a secret.
///
/// # Errors
/// Where in the file the mistake is, and what to write instead.
pub fn read(value: &Spanned<DeValue<'_>>) -> Result<Secret, (usize, String)> {
    let at = value.span().start;
    let Some(table) = value.get_ref().as_table() else { return Err((at, format!("write {FORM}"))) };
    let (mut source, mut prefix) = (None, String::new());
    for (key, value) in table {
        let at = value.span().start;
        let found = match (&**key.get_ref(), value.get_ref()) {
            ("env", DeValue::String(name)) if !name.is_empty() && !name.contains(['=', '\0']) => Source::Env(name.to_string()),
            ("file", DeValue::String(path)) if !path.is_empty() => Source::File(expanded(path)),
            ("command", DeValue::Array(words)) => {
                let words: Option<Vec<String>> = words.iter().map(|word| word.get_ref().as_str().map(str::to_owned)).collect();
                let words = words.filter(|words| words.first().is_some_and(|program| !program.is_empty()));
                Source::Command(words.ok_or((at, "a command is a list of texts: [\"program\", \"argument\"]".to_owned()))?)
            }
            ("prefix", DeValue::String(text)) => {
                prefix = text.to_string();
                continue;
            }
            ("env" | "file" | "command" | "prefix", _) => return Err((at, format!("write {FORM}"))),
            (other, _) => return Err((at, format!("unknown setting '{other}'; known here: env, file, command, prefix"))),
        };
        if source.replace(found).is_some() {
            return Err((at, "a secret has one source: env, file or command".into()));
        }
    }
    source.map(|source| Secret { source, prefix }).ok_or((at, format!("write {FORM}")))
}

/// A path, with `~/` expanded.
pub fn expanded(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => path.into(),
    }
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    #[test]
    fn a_secret_is_known_by_its_name() {
        for name in ["Authorization", "proxy-authorization", "Cookie", "X-Api-Key", "apikey", "X-Auth-Token", "Client-Secret", "X-Token-Id"]
        {
            assert!(super::is_one(name), "{name}");
        }
        for name in ["X-Scope-OrgID", "Content-Type", "Idempotency-Key", "Accept", "X-Team"] {
            assert!(!super::is_one(name), "{name}");
        }
    }

    #[test]
    fn every_mistake_says_what_to_write() {
        for (text, says) in [
            ("\"hunter2\"", "write { env"),
            ("{ }", "write { env"),
            ("{ env = 3 }", "write { env"),
            ("{ env = \"\" }", "write { env"),
            ("{ env = \"A\", file = \"b\" }", "one source"),
            ("{ command = \"pass show x\" }", "write { env"),
            ("{ command = [] }", "a list of texts"),
            ("{ vault = \"x\" }", "unknown setting 'vault'"),
        ] {
            let text = format!("secret = {text}");
            let table = DeTable::parse(&text).unwrap();
            let (_, said) = super::read(table.get_ref().values().next().unwrap()).unwrap_err();
            assert!(said.contains(says) && !said.contains("hunter2"), "{text}: {said}");
        }
    }
}
