//! Traefik: weighted services of a TraefikService, and of the routes of an IngressRoute.

use serde_json::Value;

use super::{
    Form, Weights,
    form::{never_unread, no_complaints},
    lists::{Absent, Lists, Place, everybody, no_mirror, service},
    text,
};
use crate::object::kinds;

pub static SERVICE: Form = Form {
    router: "traefik",
    kind: &kinds::TRAEFIK_SERVICE,
    weights: Weights::Listed(Lists {
        places: &[Place::One("/spec/weighted")],
        backends: "services",
        absent: Absent::One,
        target: service,
        audience: everybody,
        mirrors: no_mirror,
    }),
    complaints: no_complaints,
    unread: never_unread,
};

pub static ROUTE: Form = Form {
    router: "traefik",
    kind: &kinds::INGRESS_ROUTE,
    weights: Weights::Listed(Lists {
        places: &[Place::Each("/spec/routes")],
        backends: "services",
        absent: Absent::One,
        target: service,
        audience,
        mirrors: no_mirror,
    }),
    complaints: no_complaints,
    unread: never_unread,
};

/// `Host(...) && Header("X-Canary", "always")`: not for everybody where a header decides.
fn audience(route: &Value) -> Option<String> {
    let rule = text(route, "match")?;
    ["Header(", "Headers(", "HeaderRegexp(", "HeadersRegexp("].iter().any(|word| rule.contains(word)).then(|| rule.to_owned())
}
