//! Arguments that come from Secrets: never shown before they are needed, and blotted out of messages.

use serde_json::Value;

use crate::demo::sim::Cx;

/// The arguments with something in the place of each secret, for what is checked but not asked.
pub fn hidden(args: &[Value]) -> Vec<Value> {
    let hide = |arg: &Value| {
        let mut arg = arg.clone();
        if arg["valueFrom"]["secretKeyRef"].is_object() {
            arg["value"] = "temp-for-secret".into();
        }
        arg
    };
    args.iter().map(hide).collect()
}

/// The arguments with their secrets, and the secrets.
pub fn revealed(cx: &Cx<'_>, namespace: &str, args: &[Value]) -> Result<(Vec<Value>, Vec<String>), String> {
    let (mut all, mut secrets) = (args.to_vec(), Vec::new());
    for arg in &mut all {
        let reference = &arg["valueFrom"]["secretKeyRef"];
        if !reference.is_object() {
            continue;
        }
        let (name, key) = (reference["name"].as_str().unwrap_or_default(), reference["key"].as_str().unwrap_or_default());
        let secret = cx.get("secrets", namespace, name).ok_or_else(|| format!("secrets \"{name}\" not found"))?;
        let data = secret["data"][key].as_str().and_then(decode);
        let content = data.ok_or_else(|| format!("key '{key}' does not exist in secret '{name}'"))?;
        arg["value"] = content.clone().into();
        secrets.push(content);
    }
    Ok((all, secrets))
}

/// Base64 to text, as Secrets keep it.
fn decode(text: &str) -> Option<String> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let mut bytes = Vec::new();
    let (mut bits, mut have) = (0_u32, 0);
    for c in text.trim_end_matches('=').bytes() {
        bits = (bits << 6) | u32::from(digit(c)?);
        have += 6;
        if have >= 8 {
            have -= 8;
            bytes.push(((bits >> have) & 0xff) as u8);
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
