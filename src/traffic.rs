//! Where weights live: each router keeps them in an object of its own, and that object is the truth.
//!
//! Status fields are what a controller believes it did. One file per router. Two questions are asked of them: a
//! controller's engine asks for the canary's share ([`ROUTERS`]); where no controller moves the weights a person does,
//! and the `split` engine asks what is divided between whom and how other weights are written ([`FORMS`]).

pub mod alb;
pub mod contour;
pub mod form;
pub mod gateway_api;
pub mod ingress_nginx;
pub mod istio;
pub mod lists;
pub mod smi;
pub mod traefik;

use serde_json::Value;

use crate::object::{Objects, Selection};

pub use form::{Backend, Form, Put, Route, Rule, Target, Weights};

/// Who splits, between what.
#[derive(Debug, Clone, Copy)]
pub struct Split<'a> {
    pub namespace: &'a str,
    /// Name of the Rollout: part of the names of what its controller generates.
    pub rollout: &'a str,
    /// The router's own part of `spec.strategy.canary.trafficRouting`, or what another engine writes in its place.
    pub config: &'a Value,
    pub canary_service: &'a str,
    pub stable_service: &'a str,
    /// Routes made by header and mirror steps: they carry no share of ordinary users.
    pub managed_routes: &'a [String],
}

/// One router.
#[derive(Debug)]
pub struct Router {
    /// Its key in `trafficRouting`, and the name on screen.
    pub key: &'static str,
    /// Objects that carry its weights.
    pub selections: fn(&Split<'_>) -> Vec<Selection>,
    /// The canary's share of requests as the objects say it, 0 to 1; `None` when they are not at hand.
    /// If several routes disagree, the largest: the reader wants to know who may still be on the canary.
    pub canary_share: fn(&Split<'_>, &Objects) -> Option<f64>,
}

/// Routers of which a controller's engine asks the share.
pub static ROUTERS: &[&Router] = &[&ingress_nginx::ROUTER, &istio::ROUTER, &gateway_api::ROUTER];

/// Every kind of route whose weights a person can move. Of two that read the same kind the first that finds weights
/// in an object is the one.
pub static FORMS: &[&Form] = &[
    &gateway_api::HTTP,
    &gateway_api::GRPC,
    &istio::FORM,
    &ingress_nginx::FORM,
    &alb::FORM,
    &traefik::SERVICE,
    &traefik::ROUTE,
    &smi::FORM,
    &contour::FORM,
];

/// The router of this key, if its objects can be read.
pub fn router(key: &str) -> Option<&'static Router> {
    ROUTERS.iter().find(|r| r.key == key).copied()
}

/// The texts of a list, also when one of them stands alone.
pub(crate) fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => many.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}

/// A number, also when written as text.
pub(crate) fn number(value: &Value) -> Option<f64> {
    let n = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    n.is_finite().then_some(n)
}

/// `part` of `whole` as a share between 0 and 1.
pub(crate) fn share(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0 && part >= 0.0).then(|| (part / whole).min(1.0))
}

/// A member that is text; nothing when it is empty.
pub(crate) fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str().filter(|text| !text.is_empty())
}

/// The items of a list member; none when it is no list.
pub(crate) fn items<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}
