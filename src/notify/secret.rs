//! Nothing of a secret in what a person reads.

use secrecy::{ExposeSecret, SecretString};

/// Takes secrets out of words of others: a server may quote the address it was asked at.
pub fn scrub(text: &str, secrets: &[SecretString]) -> String {
    let mut out = text.to_owned();
    for secret in secrets {
        // Of an address, what tells it from others: its path.
        let whole = secret.expose_secret();
        let path = whole.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map(|(_, path)| path);
        for part in [Some(whole), path].into_iter().flatten().filter(|part| part.len() >= 8) {
            out = out.replace(part, "(hidden)");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_quotes_is_hidden() {
        let secrets = ["https://hooks.slack.com/services/T0/B0/XyZ".to_owned().into(), "123456:AAE".to_owned().into()];
        let said = scrub("no route /services/T0/B0/XyZ at https://hooks.slack.com/services/T0/B0/XyZ for bot123456:AAE", &secrets);
        assert!(!said.contains("XyZ") && !said.contains("AAE"), "{said}");
    }
}
