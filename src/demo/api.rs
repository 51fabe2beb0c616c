//! The embedded API server: what one request is, and which room answers it.
//!
//! HTTP is taken apart here ([`Call`]); the answers are made by the rooms below and put together as the client wants
//! them. All of them work on a [`World`], never on files or sockets.

pub mod apply;
pub mod audit;
pub mod crd;
pub mod discovery;
pub mod faults;
pub mod list;
pub mod logs;
pub mod openapi;
pub mod patch;
pub mod proxy;
pub mod reviews;
pub mod rights;
pub mod router;
pub mod scale;
pub mod select;
pub mod server;
pub mod table;
pub mod tokens;
pub mod view;
pub mod watch;
pub mod write;

use std::{collections::BTreeMap, sync::Arc};

use axum::{body::Body, http::Method};
use bytes::Bytes;
use serde_json::Value;

pub use self::router::router;
use super::{kinds::Kind, refusal::Refusal, world::World};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct User {
    pub name: String,
    pub groups: Vec<String>,
}

/// The object or collection a path names.
#[derive(Debug, Clone)]
pub struct Target {
    pub kind: Arc<Kind>,
    /// The version asked for, one of the kind's.
    pub version: String,
    /// `None`: all namespaces, or a kind without.
    pub namespace: Option<String>,
    pub name: Option<String>,
    /// `status`, `scale`, `log`, ...; empty for the object itself. May hold slashes (`proxy/metrics`).
    pub subresource: String,
}

/// One request, understood.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: Method,
    /// `get list watch create update patch delete deletecollection`, as RBAC and audit name it.
    pub verb: &'static str,
    pub uri: String,
    pub user: User,
    pub target: Target,
    pub query: BTreeMap<String, String>,
    pub accept: String,
    pub content_type: String,
    pub user_agent: String,
    pub body: Bytes,
}

impl Call {
    pub fn asks(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    pub fn is_dry_run(&self) -> bool {
        self.asks("dryRun").is_some_and(|value| value == "All")
    }
}

/// What goes back.
pub enum Answer {
    /// An object, a list or a Status, with its HTTP code.
    Json(u16, Value),
    /// The same with what the client should be warned of.
    Warned(u16, Value, Vec<String>),
    /// Logs, health.
    Text(u16, String),
    /// A watch, a followed log.
    Stream(Body),
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self::Json(refusal.code, refusal.status())
    }
}

type Room = fn(&Arc<World>, &Call) -> Answer;

/// Verb, subresource, and who answers.
const ROOMS: &[(&str, &str, Room)] = &[
    ("get", "", |world, call| list::get(world, call)),
    ("list", "", |world, call| list::list(world, call)),
    ("watch", "", |world, call| watch::watch(world, call)),
    ("create", "", |world, call| write::create(world, call)),
    ("update", "", |world, call| write::update(world, call)),
    ("patch", "", |world, call| write::patch(world, call)),
    ("delete", "", |world, call| write::delete(world, call)),
    ("deletecollection", "", |world, call| write::delete_collection(world, call)),
    ("get", "status", |world, call| list::get(world, call)),
    ("update", "status", |world, call| write::update(world, call)),
    ("patch", "status", |world, call| write::patch(world, call)),
    ("get", "log", |world, call| logs::read(world, call)),
    ("get", "scale", |world, call| scale::get(world, call)),
    ("update", "scale", |world, call| scale::update(world, call)),
    ("patch", "scale", |world, call| scale::patch(world, call)),
];

/// Who answers this call; `None`: the method is not allowed there.
fn room(call: &Call) -> Option<Room> {
    let target = &call.target;
    let object = target.subresource.is_empty();
    if object && !discovery::has_verb(&target.kind, call.verb) {
        return None;
    }
    let everywhere = target.kind.namespaced && target.namespace.is_none();
    let by_name = match call.verb {
        "create" => Some(false),
        "update" | "patch" => Some(true),
        _ => None,
    };
    if (everywhere && !["list", "watch"].contains(&call.verb)) || (object && by_name.is_some_and(|named| named != target.name.is_some())) {
        return None;
    }
    if discovery::is_review(&target.kind) {
        return Some(|world, call| reviews::answer(world, call));
    }
    ROOMS.iter().find(|(verb, subresource, _)| (*verb, *subresource) == (call.verb, &target.subresource)).map(|(.., room)| *room)
}

#[cfg(test)]
mod tests;
