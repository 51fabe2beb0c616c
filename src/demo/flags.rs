//! Feature flags of a scenario: a small server on loopback, and versions that behave as their flag stands.
//!
//! The session is told of them as a person would write them into the settings; nothing else of rolltop knows of this room.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use axum::{
    Router,
    body::to_bytes,
    extract::{Request, State},
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;

use super::{
    scenario::{Flag, stage},
    world::World,
};

/// Larger requests are not for it.
const BODY_LIMIT: usize = 4 * 1024;

#[derive(Clone)]
struct Flags {
    all: Arc<Vec<Flag>>,
    off: Arc<Mutex<BTreeSet<String>>>,
    world: Arc<OnceLock<Arc<World>>>,
}

#[derive(Deserialize)]
struct Wanted {
    enabled: bool,
}

/// `GET` tells how a flag stands, `PUT {"enabled": false}` switches it.
pub fn router(all: Vec<Flag>, world: Arc<OnceLock<Arc<World>>>) -> Router {
    Router::new().fallback(serve).with_state(Flags { all: all.into(), off: Arc::default(), world })
}

/// What a person would write for flags served there.
pub fn settings(all: &[Flag], url: &str) -> String {
    let one = |flag: &Flag| {
        let Flag { name, workload, .. } = flag;
        let request = format!("url = \"{url}/flags/{name}\"");
        format!(
            "[[flags]]\nname = \"{name}\"\nrollouts = \"{workload}\"\n\
             off = {{ method = \"PUT\", {request}, body = '{{\"enabled\": false, \"why\": \"{{reason}}\"}}' }}\n\
             read = {{ {request}, pointer = \"/enabled\", off = false }}\n\
             on = {{ method = \"PUT\", {request}, body = '{{\"enabled\": true}}' }}\n"
        )
    };
    all.iter().map(one).collect()
}

async fn serve(State(flags): State<Flags>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let name = parts.uri.path().strip_prefix("/flags/").unwrap_or_default();
    let (Some(flag), Some(world)) = (flags.all.iter().find(|flag| flag.name == name), flags.world.get()) else {
        return (StatusCode::NOT_FOUND, json!({"message": "there is no such flag"}).to_string()).into_response();
    };
    if parts.method == Method::PUT {
        let Ok(body) = to_bytes(body, BODY_LIMIT).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
        let Ok(Wanted { enabled }) = serde_json::from_slice(&body) else { return StatusCode::BAD_REQUEST.into_response() };
        flags.turn(flag, enabled, world);
    } else if parts.method != Method::GET {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    json!({"name": flag.name, "enabled": !flags.off().contains(&flag.name)}).to_string().into_response()
}

impl Flags {
    fn off(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.off.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, flag: &Flag, on: bool, world: &World) {
        let version = if on { &flag.on } else { &flag.off };
        world.with(|sim| stage::behave(&mut sim.workloads, &flag.workload, &flag.version, version));
        match on {
            true => self.off().remove(&flag.name),
            false => self.off().insert(flag.name.clone()),
        };
    }
}
