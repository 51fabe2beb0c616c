//! Who asks: bearer tokens and impersonation.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

use axum::http::{HeaderMap, header};

use super::{
    User,
    rights::{self, Wish},
};
use crate::demo::{refusal::Refusal, world::World};

/// Everybody with a token is in this group.
const KNOWN: &str = "system:authenticated";
const UNKNOWN: &str = "system:unauthenticated";
/// May do everything, whatever the roles say.
pub const MASTERS: &str = "system:masters";

/// The tokens that are good, and whose they are. Empty at first: nobody gets in.
#[derive(Default)]
pub struct Tokens(RwLock<BTreeMap<String, User>>);

impl Tokens {
    /// Lets whoever shows this token in under this name. Replaces whom the token belonged to before.
    pub fn add(&self, token: &str, name: &str, groups: &[&str]) {
        let groups = groups.iter().map(|group| (*group).to_owned()).chain([KNOWN.to_owned()]).collect();
        let user = User { name: name.into(), groups };
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(token.into(), user);
    }

    fn user(&self, token: &str) -> Option<User> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }
}

/// The user behind a request's headers. Without a token that is the anonymous one, who may next to nothing.
///
/// # Errors
/// 401 for a token nobody has, 403 for acting as somebody without the right to, 400 for groups without a user.
pub fn user(world: &World, headers: &HeaderMap) -> Result<User, Refusal> {
    let asking = bearer(world, headers)?;
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let groups: Vec<&str> = headers.get_all("impersonate-group").iter().filter_map(|value| value.to_str().ok()).collect();
    let Some(name) = text("impersonate-user").filter(|name| !name.is_empty()) else {
        return match groups.first() {
            Some(group) => Err(Refusal::bad_request(format!("requested [{{Group  {group}    }}] without impersonating a user"))),
            None => Ok(asking),
        };
    };
    for wish in impersonations(name, &groups) {
        world.look(|sim| rights::may(&sim.store, &asking, &wish))?;
    }
    Ok(impersonated(name, &groups))
}

fn bearer(world: &World, headers: &HeaderMap) -> Result<User, Refusal> {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = shown.split_once(' ').and_then(|(scheme, rest)| match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some(rest.trim().to_owned()),
        "basic" => password(rest.trim()),
        _ => None,
    });
    match token.filter(|token| !token.is_empty()) {
        Some(token) => world.tokens.user(&token).ok_or_else(|| Refusal::new(401, "Unauthorized", "Unauthorized")),
        None => Ok(User { name: "system:anonymous".into(), groups: vec![UNKNOWN.into()] }),
    }
}

/// kubectl keeps its token to itself where there is no TLS, but not a password in the server's address
/// (`http://user:TOKEN@127.0.0.1:8001`). That may be the token, too.
fn password(encoded: &str) -> Option<String> {
    let decoded = decode(encoded)?;
    String::from_utf8(decoded).ok()?.split_once(':').map(|(_, password)| password.to_owned())
}

/// Base64.
fn decode(text: &str) -> Option<Vec<u8>> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let mut decoded = Vec::new();
    for chunk in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = chunk.iter().try_fold(0_u32, |bits, byte| Some(bits << 6 | u32::from(value(*byte)?)))? << (6 * (4 - chunk.len()));
        decoded.extend(&bits.to_be_bytes()[1..chunk.len()]);
    }
    Some(decoded)
}

fn service_account(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("system:serviceaccount:")?.split_once(':')
}

/// What one must be allowed to in order to be somebody else.
fn impersonations<'a>(name: &'a str, groups: &[&'a str]) -> Vec<Wish<'a>> {
    let wish = |resource: &'a str, name: &'a str, namespace: Option<&'a str>| Wish {
        verb: "impersonate",
        resource,
        name,
        namespace,
        ..Wish::default()
    };
    let user = match service_account(name) {
        Some((namespace, account)) => wish("serviceaccounts", account, Some(namespace)),
        None => wish("users", name, None),
    };
    std::iter::once(user).chain(groups.iter().map(|group| wish("groups", group, None))).collect()
}

fn impersonated(name: &str, groups: &[&str]) -> User {
    let mut groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
    if let Some((namespace, _)) = service_account(name)
        && groups.is_empty()
    {
        groups.extend(["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]);
    }
    let group = if name == "system:anonymous" { UNKNOWN } else { KNOWN };
    if !groups.iter().any(|has| has == group) {
        groups.push(group.into());
    }
    User { name: name.into(), groups }
}
