//! A secret in the settings: where it is kept, never what it is.
//!
//! `{ env = "NAME" }`, `{ file = "PATH" }` or `{ command = ["pass", "show", "x"] }`, each with an optional `prefix` such as
//! `"Bearer "`. It is read when it is needed, so that a renewed one counts at once; nothing keeps or shows it.

use std::{path::PathBuf, process::Stdio, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use toml::{Spanned, de::DeValue};

use crate::model::Text;

/// How long a command may take to tell its secret.
const PATIENCE: Duration = Duration::from_secs(10);

pub const FORM: &str = "{ env = \"NAME\" }, { file = \"PATH\" } or { command = [\"program\", \"argument\"] }";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Env(String),
    File(PathBuf),
    Command(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    pub source: Source,
    /// Put before it: `Bearer `.
    pub prefix: String,
}

impl Secret {
    /// Reads the table of a secret.
    ///
    /// # Errors
    /// Where in the file the mistake is, and what to write instead.
    pub fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, (usize, String)> {
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
        source.map(|source| Self { source, prefix }).ok_or((at, format!("write {FORM}")))
    }

    /// Where it comes from, in words that may be shown.
    pub fn words(&self) -> String {
        match &self.source {
            Source::Env(name) => format!("${name}"),
            Source::File(path) => path.display().to_string(),
            Source::Command(words) => format!("`{}`", words.first().map_or("", String::as_str)),
        }
    }

    /// The secret as it is now, with its prefix.
    ///
    /// # Errors
    /// Why there is none; what was read never gets into the error.
    pub async fn get(&self) -> Result<SecretString, Text> {
        let no = |why: String| Text::from(format!("{}: {why}", self.words()));
        let text: SecretString = match &self.source {
            Source::Env(name) => std::env::var(name).map_err(|_| no("is not set".into()))?,
            Source::File(path) => tokio::fs::read_to_string(path).await.map_err(|e| no(e.to_string()))?,
            Source::Command(words) => told(words).await.map_err(no)?,
        }
        .into();
        match text.expose_secret().trim() {
            "" => Err(no("is empty".into())),
            text => Ok(format!("{}{text}", self.prefix).into()),
        }
    }
}

/// A path, with `~/` expanded.
pub fn expanded(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => path.into(),
    }
}

/// What a program prints. What it says on stderr stays out: it could be anything.
async fn told(words: &[String]) -> Result<String, String> {
    let (program, arguments) = words.split_first().ok_or("there is no program")?;
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?.map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(format!("ended with {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| "is no text".into())
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::*;

    fn read(text: &str) -> Result<Secret, (usize, String)> {
        let text = format!("secret = {text}");
        let table = DeTable::parse(&text).unwrap();
        Secret::read(table.get_ref().values().next().unwrap())
    }

    #[tokio::test]
    async fn it_is_read_when_it_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let secret = read(&format!("{{ file = {:?}, prefix = \"Bearer \" }}", path.display().to_string())).unwrap();
        assert!(secret.get().await.unwrap_err().contains("token"), "there is no file yet");
        for now in ["first", "renewed"] {
            std::fs::write(&path, format!("{now}\n")).unwrap();
            assert_eq!(secret.get().await.unwrap().expose_secret(), format!("Bearer {now}"));
        }
        std::fs::write(&path, " \n").unwrap();
        assert!(secret.get().await.unwrap_err().ends_with("is empty"));
        let command = |text: &str| read(&format!("{{ command = [\"sh\", \"-c\", {text:?}] }}")).unwrap();
        assert_eq!(command("echo told").get().await.unwrap().expose_secret(), "told");
        let failed = command("echo hunter2; echo hunter2 >&2; exit 3").get().await.unwrap_err();
        assert!(failed.contains('3') && !failed.contains("hunter2"), "{failed}");
        assert!(read("{ env = \"ROLLTOP_NO_SUCH_SECRET\" }").unwrap().get().await.unwrap_err().contains("is not set"));
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
            let (_, said) = read(text).unwrap_err();
            assert!(said.contains(says) && !said.contains("hunter2"), "{text}: {said}");
        }
    }
}
