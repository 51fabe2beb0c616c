//! Who gets which share of the requests to a Flagger Canary's target, read from what Flagger generated.
//!
//! Users call the apex Service, or come through the object that splits them. Behind each Service stand the pods that its
//! selector picks: the target's, or the primary's.

use serde_json::Value;

use super::{Proxy, Route, name, namespace, text};
use crate::demo::{
    controllers::{
        flagger::{
            names::{DEPLOYMENTS, HTTP_ROUTES, INGRESSES, SERVICES, VIRTUAL_SERVICES},
            spec::Spec,
        },
        objects::all_equal,
    },
    traffic::{Role, Track, TrackId},
};

const BY_WEIGHT: &str = "nginx.ingress.kubernetes.io/canary-weight";
const BY_REQUEST: [&str; 2] = ["nginx.ingress.kubernetes.io/canary-by-header", "nginx.ingress.kubernetes.io/canary-by-cookie"];

/// Where only requests that carry something are chosen: as many do.
const INSIDERS: f64 = 0.1;

/// Where the objects are, all in the Canary's namespace.
pub trait Cluster {
    fn get(&mut self, kind: &str, name: &str) -> Option<Value>;
    /// ReplicaSets of a Deployment, by its uid.
    fn replica_sets(&mut self, owner: &str) -> Vec<Value>;
}

/// The route to one Canary's target. Nothing if the Canary makes no sense.
pub fn route(canary: &Value, cluster: &mut impl Cluster) -> Option<Route> {
    let spec = serde::Deserialize::deserialize(&canary["spec"]).ok()?;
    let mut view = View::new(spec, cluster);
    let tracks = view.shares().into_iter().flat_map(|(service, weight)| view.tracks(&service, weight)).collect();
    let target = view.spec.target_ref.name.clone();
    Some(Route { namespace: namespace(canary).into(), rollout: target, proxy: view.proxy(), tracks })
}

struct View<'a, C> {
    spec: Spec,
    services: [String; 3],
    cluster: &'a mut C,
    /// The primary and the target, as far as they are there.
    sides: Vec<(Role, Value)>,
}

impl<'a, C: Cluster> View<'a, C> {
    fn new(spec: Spec, cluster: &'a mut C) -> Self {
        let primary = cluster.get(DEPLOYMENTS, &spec.primary());
        let target = cluster.get(DEPLOYMENTS, &spec.target_ref.name);
        // Before there is a primary, the target is what everybody uses.
        let role = if primary.is_some() { Role::Canary } else { Role::Stable };
        let sides = primary.map(|primary| (Role::Stable, primary)).into_iter().chain(target.map(|target| (role, target))).collect();
        Self { services: spec.services(), spec, cluster, sides }
    }

    fn proxy(&self) -> Proxy {
        match &self.spec.ingress_ref {
            Some(ingress) if self.spec.provider() == "nginx" => {
                Proxy::Nginx { ingress: ingress.name.clone(), service: self.services[0].clone() }
            }
            _ => Proxy::Mesh,
        }
    }

    /// Services with their shares. The canary's is always there, as somebody may call it who is no user.
    fn shares(&mut self) -> Vec<(String, f64)> {
        let [apex, primary, canary] = self.services.clone();
        let provider = self.spec.provider().to_owned();
        let split = match provider.as_str() {
            "kubernetes" => None,
            "nginx" => self.by_ingress().map(|share| (1.0 - share, share)),
            _ if provider.starts_with("gatewayapi") => self.by_gateway(&primary, &canary),
            _ => self.by_mesh(&primary, &canary),
        };
        let (home, away) = split.unwrap_or((1.0, 0.0));
        // Without a split of their own requests go to where the apex leads.
        let home = (if split.is_some() && provider != "nginx" { primary } else { apex }, home);
        vec![home, (canary, away)]
    }

    fn by_ingress(&mut self) -> Option<f64> {
        let name = format!("{}-canary", self.spec.ingress_ref.as_ref()?.name);
        let ingress = self.cluster.get(INGRESSES, &name)?;
        let annotations = &ingress["metadata"]["annotations"];
        if BY_REQUEST.iter().any(|by| annotations[*by].is_string()) {
            return Some(INSIDERS);
        }
        text(&annotations[BY_WEIGHT])?.parse::<f64>().ok().map(|weight| (weight / 100.0).clamp(0.0, 1.0))
    }

    fn by_gateway(&mut self, primary: &str, canary: &str) -> Option<(f64, f64)> {
        let route = self.cluster.get(HTTP_ROUTES, &self.services[0])?;
        let backends =
            route["spec"]["rules"].as_array()?.iter().find_map(|rule| rule["backendRefs"].as_array().filter(|all| all.len() == 2))?;
        let weight = |service: &str| {
            let backend = backends.iter().find(|backend| backend["name"] == service);
            backend.map_or(0.0, |backend| backend["weight"].as_f64().unwrap_or(1.0))
        };
        self.split(weight(primary), weight(canary))
    }

    fn by_mesh(&mut self, primary: &str, canary: &str) -> Option<(f64, f64)> {
        let service = self.cluster.get(VIRTUAL_SERVICES, &self.services[0])?;
        let routes = service["spec"]["http"].as_array().or(service["spec"]["tcp"].as_array())?;
        let destinations = routes.iter().find_map(|route| route["route"].as_array().filter(|all| all.len() == 2))?;
        let weight = |service: &str| {
            let to = destinations.iter().find(|to| to["destination"]["host"] == service);
            to.map_or(0.0, |to| to["weight"].as_f64().unwrap_or_default())
        };
        self.split(weight(primary), weight(canary))
    }

    /// Weights as shares of all requests.
    fn split(&self, primary: f64, canary: f64) -> Option<(f64, f64)> {
        let all = primary + canary;
        let share = if all > 0.0 { canary / all } else { return None };
        let share = if self.spec.analysis().matches.is_empty() { share } else { share * INSIDERS };
        Some((1.0 - share, share))
    }

    /// The versions behind a Service. A proxy knows them by the Service of their side, whichever Service was called.
    fn tracks(&mut self, service: &str, weight: f64) -> Vec<Track> {
        let Some(found) = self.cluster.get(SERVICES, service) else { return Vec::new() };
        let Some(selector) = found["spec"]["selector"].as_object() else { return Vec::new() };
        let picked = |(_, side): &&(Role, Value)| all_equal(selector, &side["spec"]["template"]["metadata"]["labels"]);
        let Some((role, side)) = self.sides.iter().find(picked) else { return Vec::new() };
        let known_as = if *role == Role::Canary { &self.services[2] } else { &self.services[1] };
        let sets = self.cluster.replica_sets(text(&side["metadata"]["uid"]).unwrap_or_default());
        let ready: Vec<(TrackId, u32)> = sets.iter().filter_map(|set| version(set, *role, known_as)).collect();
        let all: u32 = ready.iter().map(|(_, pods)| pods).sum();
        let share = |pods: u32| weight * f64::from(pods) / f64::from(all.max(1));
        ready.into_iter().map(|(id, pods)| Track { id, weight: share(pods), ready_pods: pods }).collect()
    }
}

/// A ReplicaSet with ready pods.
fn version(set: &Value, role: Role, service: &str) -> Option<(TrackId, u32)> {
    let image = text(&set["spec"]["template"]["spec"]["containers"][0]["image"])?;
    let tag = image.rsplit_once(':').map_or("latest", |(_, tag)| tag).to_owned();
    let hash = name(set).rsplit_once('-').map_or("", |(_, hash)| hash).to_owned();
    let ready = set["status"]["readyReplicas"].as_u64().and_then(|n| n.try_into().ok()).filter(|ready| *ready > 0)?;
    Some((TrackId { role, hash, service: service.to_owned(), tag }, ready))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::json;

    use super::*;

    /// Objects by kind and name; ReplicaSets by their owner.
    #[derive(Default)]
    struct Fake(HashMap<(String, String), Value>);

    impl Fake {
        fn put(&mut self, kind: &str, name: &str, object: Value) {
            self.0.insert((kind.into(), name.into()), object);
        }
    }

    impl Cluster for Fake {
        fn get(&mut self, kind: &str, name: &str) -> Option<Value> {
            self.0.get(&(kind.into(), name.into())).cloned()
        }

        fn replica_sets(&mut self, owner: &str) -> Vec<Value> {
            self.get("sets", owner).and_then(|sets| sets.as_array().cloned()).unwrap_or_default()
        }
    }

    fn cluster() -> Fake {
        let mut fake = Fake::default();
        for (name, app) in [("x", "x"), ("x-primary", "x-primary")] {
            let labels = json!({"template": {"metadata": {"labels": {"app": app}}}});
            fake.put(DEPLOYMENTS, name, json!({"metadata": {"uid": name}, "spec": labels}));
        }
        let set = |name: &str, tag: &str, ready: u32| {
            json!({
                "metadata": {"name": name}, "status": {"readyReplicas": ready},
                "spec": {"template": {"spec": {"containers": [{"image": format!("r:5000/x:{tag}")}]}}},
            })
        };
        fake.put("sets", "x", json!([set("x-bbb", "v2", 2), set("x-aaa", "v1", 0)]));
        fake.put("sets", "x-primary", json!([set("x-primary-ccc", "v1", 3), set("x-primary-ddd", "v2", 1)]));
        for (name, app) in [("x", "x-primary"), ("x-primary", "x-primary"), ("x-canary", "x")] {
            fake.put(SERVICES, name, json!({"spec": {"selector": {"app": app}}}));
        }
        fake
    }

    fn canary(spec: Value) -> Value {
        let mut canary =
            json!({"metadata": {"name": "c", "namespace": "shop"}, "spec": {"targetRef": {"kind": "Deployment", "name": "x"}}});
        json_patch::merge(&mut canary["spec"], &spec);
        canary
    }

    fn shares(spec: Value, fake: &mut Fake) -> Vec<(String, f64)> {
        let route = route(&canary(spec), fake).unwrap_or_else(|| panic!("no route"));
        assert_eq!(route.workload(), "shop/x");
        route.tracks.iter().map(|t| (format!("{:?} {}@{} {}", t.id.role, t.id.tag, t.id.service, t.id.hash), t.weight)).collect()
    }

    fn both(home: f64, away: f64) -> Vec<(String, f64)> {
        vec![
            ("Stable v1@x-primary ccc".into(), home * 0.75),
            ("Stable v2@x-primary ddd".into(), home * 0.25),
            ("Canary v2@x-canary bbb".into(), away),
        ]
    }

    #[test]
    fn each_provider_splits_by_its_own_object() {
        let mut fake = cluster();
        let nginx = json!({"provider": "nginx", "ingressRef": {"name": "web"}});
        assert_eq!(shares(nginx.clone(), &mut fake), both(1.0, 0.0), "no Ingress yet");
        fake.put(INGRESSES, "web-canary", json!({"metadata": {"annotations": {BY_WEIGHT: "20"}}}));
        assert_eq!(shares(nginx.clone(), &mut fake), both(0.8, 0.2));
        fake.put(INGRESSES, "web-canary", json!({"metadata": {"annotations": {BY_WEIGHT: "0", BY_REQUEST[0]: "x"}}}));
        assert_eq!(shares(nginx, &mut fake), both(0.9, 0.1));

        let backends = json!([{"name": "x-primary", "weight": 1}, {"name": "x-canary", "weight": 3}]);
        fake.put(HTTP_ROUTES, "x", json!({"spec": {"rules": [{"backendRefs": backends}]}}));
        assert_eq!(shares(json!({"provider": "gatewayapi:v1"}), &mut fake), both(0.25, 0.75));

        let to = |host: &str, weight: u32| json!({"destination": {"host": host}, "weight": weight});
        fake.put(VIRTUAL_SERVICES, "x", json!({"spec": {"http": [{"route": [to("x-primary", 50), to("x-canary", 50)]}]}}));
        assert_eq!(shares(json!({}), &mut fake), both(0.5, 0.5));
        assert_eq!(shares(json!({"provider": "kubernetes"}), &mut fake), both(1.0, 0.0));
    }

    #[test]
    fn before_there_is_a_primary_the_target_serves() {
        let mut fake = cluster();
        fake.0.remove(&(DEPLOYMENTS.into(), "x-primary".into()));
        fake.put(SERVICES, "x", json!({"spec": {"selector": {"app": "x"}}}));
        let shares = shares(json!({"provider": "kubernetes"}), &mut fake);
        assert_eq!(shares[0], ("Stable v2@x-primary bbb".into(), 1.0));
    }
}
