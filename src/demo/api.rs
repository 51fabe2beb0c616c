//! The embedded API server: what one request is, and which room answers it.
//!
//! HTTP is taken apart here ([`Call`]); the answers are made by the rooms below and put together as the client wants
//! them. All of them work on a [`World`](super::world::World), never on files or sockets.

use std::{collections::BTreeMap, sync::Arc};

use axum::{body::Body, http::Method};
use bytes::Bytes;
use serde_json::Value;

use super::{kinds::Kind, refusal::Refusal};

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
