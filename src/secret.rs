//! Secrets of the settings: kept where they are, read when they are needed, never shown.

use std::{path::PathBuf, process::Stdio, time::Duration};

use secrecy::{ExposeSecret, SecretString};

use crate::model::Text;

/// How long a command may take to tell its secret.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Env(String),
    File(PathBuf),
    Command(Vec<String>),
}

/// Where a secret is kept. A renewed one counts at once: nothing keeps what was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    pub source: Source,
    /// Put before it: `Bearer `.
    pub prefix: String,
}

impl Secret {
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

/// Takes secrets out of words of others: a server may quote what it was sent, or the address it was asked at.
pub fn hide(text: &str, secrets: &[SecretString]) -> String {
    let mut out = text.to_owned();
    for secret in secrets {
        // Of an address, what tells it from others: its path.
        let whole = secret.expose_secret();
        let path = whole.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map(|(_, path)| path);
        // What is shorter stands in any text by chance.
        let parts = [(Some(whole), 4), (path, 8)].into_iter().filter_map(|(part, least)| part.filter(|part| part.len() >= least));
        for part in parts {
            out = out.replace(part, "(hidden)");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(source: Source) -> Secret {
        Secret { source, prefix: String::new() }
    }

    #[tokio::test]
    async fn it_is_read_when_it_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let token = Secret { source: Source::File(path.clone()), prefix: "Bearer ".into() };
        assert!(token.get().await.unwrap_err().contains("token"), "there is no file yet");
        for now in ["first", "renewed"] {
            std::fs::write(&path, format!("{now}\n")).unwrap();
            assert_eq!(token.get().await.unwrap().expose_secret(), format!("Bearer {now}"));
        }
        std::fs::write(&path, " \n").unwrap();
        assert!(token.get().await.unwrap_err().ends_with("is empty"));
        let command = |text: &str| secret(Source::Command(["sh", "-c", text].map(str::to_owned).to_vec()));
        assert_eq!(command("echo told").get().await.unwrap().expose_secret(), "told");
        let failed = command("echo hunter2; echo hunter2 >&2; exit 3").get().await.unwrap_err();
        assert!(failed.contains('3') && !failed.contains("hunter2"), "{failed}");
        assert!(secret(Source::Env("ROLLTOP_NO_SUCH_SECRET".into())).get().await.unwrap_err().contains("is not set"));
    }

    #[test]
    fn what_a_server_quotes_is_hidden() {
        let secrets = ["https://hooks.slack.com/services/T0/B0/XyZ".to_owned().into(), "123456:AAE".to_owned().into()];
        let said = hide("no route /services/T0/B0/XyZ at https://hooks.slack.com/services/T0/B0/XyZ for bot123456:AAE", &secrets);
        assert!(!said.contains("XyZ") && !said.contains("AAE"), "{said}");
    }
}
