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
    match shown.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => {
            world.tokens.user(token.trim()).ok_or_else(|| Refusal::new(401, "Unauthorized", "Unauthorized"))
        }
        _ => Ok(User { name: "system:anonymous".into(), groups: vec![UNKNOWN.into()] }),
    }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use super::*;
    use crate::demo::registry::fixtures;

    fn world() -> Arc<World> {
        let mut sim = fixtures::sim();
        rights::install(&mut sim, fixtures::now());
        let world = fixtures::world(sim);
        world.tokens.add("secret", "admin", &[MASTERS]);
        world.tokens.add("other", "nobody", &[]);
        world
    }

    fn who(headers: &[(&'static str, &str)]) -> Result<User, Refusal> {
        let headers = headers.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect();
        user(&world(), &headers)
    }

    #[test]
    fn tokens_tell_who_asks() {
        assert_eq!(who(&[("authorization", "Bearer secret")]).unwrap().name, "admin");
        assert_eq!(who(&[("authorization", "Bearer secret")]).unwrap().groups, [MASTERS, KNOWN]);
        assert_eq!(who(&[("authorization", "Bearer wrong")]).unwrap_err().code, 401);
        assert_eq!(who(&[]).unwrap(), User { name: "system:anonymous".into(), groups: vec![UNKNOWN.into()] });
    }

    #[test]
    fn who_acts_as_somebody_else_needs_the_right_to() {
        let as_viewer = |token: &str| who(&[("authorization", token), ("impersonate-user", "viewer"), ("impersonate-group", "g")]);
        assert_eq!(as_viewer("Bearer secret").unwrap(), User { name: "viewer".into(), groups: vec!["g".into(), KNOWN.into()] });
        let refusal = as_viewer("Bearer other").unwrap_err();
        let message =
            "users \"viewer\" is forbidden: User \"nobody\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope";
        assert_eq!((refusal.code, refusal.message.as_str()), (403, message));
        let account = who(&[("authorization", "Bearer secret"), ("impersonate-user", "system:serviceaccount:shop:default")]).unwrap();
        assert_eq!(account.groups, ["system:serviceaccounts", "system:serviceaccounts:shop", KNOWN]);
        assert_eq!(who(&[("authorization", "Bearer secret"), ("impersonate-group", "g")]).unwrap_err().code, 400);
    }
}
