//! Who splits the users between the two sides, and by which object.

use serde_json::Value;

use super::{gateway, istio, nginx, spec::TOTAL, tick::Tick};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Router {
    /// No object at all: users stay with the primary to the end.
    Kubernetes,
    Nginx,
    GatewayApi,
    Istio,
    /// One of those whose objects nobody looks at here.
    Unserved,
}

const UNSERVED: [&str; 14] = [
    "apisix",
    "appmesh",
    "appmesh:v1beta2",
    "contour",
    "gloo",
    "knative",
    "kuma",
    "linkerd",
    "osm",
    "skipper",
    "smi:v1alpha1",
    "smi:v1alpha2",
    "smi:v1alpha3",
    "traefik",
];

impl Router {
    /// What nobody knows is taken for Istio.
    pub fn of(provider: &str) -> Self {
        match provider {
            "kubernetes" => Self::Kubernetes,
            "nginx" => Self::Nginx,
            _ if provider.starts_with("gatewayapi") => Self::GatewayApi,
            _ if UNSERVED.contains(&provider) => Self::Unserved,
            _ => Self::Istio,
        }
    }
}

/// Shares of the primary and of the canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weights {
    pub primary: i64,
    pub canary: i64,
}

impl Weights {
    pub const HOME: Self = Self { primary: TOTAL, canary: 0 };
    pub const AWAY: Self = Self { primary: 0, canary: TOTAL };
}

impl Tick<'_, '_> {
    /// Makes the routing object, or brings it back to what the Canary says. Weights that are only other stay.
    pub fn reconcile_route(&mut self) -> Result<(), String> {
        match self.router {
            Router::Kubernetes => Ok(()),
            Router::Nginx => nginx::reconcile(self),
            Router::GatewayApi => gateway::reconcile(self),
            Router::Istio => istio::reconcile(self),
            Router::Unserved => Err(format!("provider {} is not served by this cluster", self.spec.provider())),
        }
    }

    /// The weights that are in force.
    pub fn weights(&self) -> Result<Weights, String> {
        match self.router {
            Router::Nginx => nginx::weights(self),
            Router::GatewayApi => gateway::weights(self),
            Router::Istio => istio::weights(self),
            Router::Kubernetes | Router::Unserved if self.status.iterations > 0 => Ok(Weights::AWAY),
            Router::Kubernetes | Router::Unserved => Ok(Weights::HOME),
        }
    }

    pub fn set_weights(&mut self, weights: Weights) -> Result<(), String> {
        match self.router {
            Router::Nginx => nginx::set_weights(self, weights),
            Router::GatewayApi => gateway::set_weights(self, weights),
            Router::Istio => istio::set_weights(self, weights),
            Router::Kubernetes | Router::Unserved => Ok(()),
        }
    }
}

/// Every match of one list with every match of the other: of the first those fields, of the second all else.
pub fn merged(first: &[Value], second: &[Value], fields: [&str; 2]) -> Vec<Value> {
    if first.is_empty() || second.is_empty() {
        return [first, second].concat();
    }
    let both = |(one, other): (&Value, &Value)| {
        let mut all = other.clone();
        for field in fields.iter().filter(|field| !one[**field].is_null()) {
            all[*field] = one[*field].clone();
        }
        all
    };
    first.iter().flat_map(|one| second.iter().map(move |other| (one, other))).map(both).collect()
}

/// The object without its weights, at any depth.
pub fn unweighted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.iter().filter(|(key, _)| *key != "weight").map(|(key, value)| (key.clone(), unweighted(value))).collect()
        }
        Value::Array(items) => items.iter().map(unweighted).collect(),
        other => other.clone(),
    }
}
