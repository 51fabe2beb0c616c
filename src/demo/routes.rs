//! Who gets which share of a Rollout's requests, read from the cluster's objects as its proxy would read them; [`plain`]
//! does the same where no Rollout is behind it.
//!
//! Pure: objects in, [`Route`]s out. The rig's exporter and the embedded cluster both take the objects from an API
//! server and hand them here.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::traffic::{Role, Track, TrackId};

pub mod canaries;
pub mod plain;

const HASH: &str = "rollouts-pod-template-hash";
const CANARY_WEIGHT: &str = "nginx.ingress.kubernetes.io/canary-weight";
const CANARY_TOTAL: &str = "nginx.ingress.kubernetes.io/canary-weight-total";

/// What counts the requests.
#[derive(Debug, Clone, PartialEq)]
pub enum Proxy {
    /// ingress-nginx names the stable Ingress and Service whichever upstream answered.
    Nginx {
        ingress: String,
        service: String,
    },
    Mesh,
}

/// The requests' way to one Rollout's pods.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    pub namespace: String,
    pub rollout: String,
    pub proxy: Proxy,
    pub tracks: Vec<Track>,
}

impl Route {
    /// `namespace/name`, the traffic model's name of the workload.
    pub fn workload(&self) -> String {
        format!("{}/{}", self.namespace, self.rollout)
    }

    pub fn has_pods(&self) -> bool {
        self.tracks.iter().any(|track| track.ready_pods > 0)
    }
}

/// All objects that matter, at about one moment. Objects of other kinds or of no use do no harm.
#[derive(Debug, Clone, Copy, Default)]
pub struct Objects<'a> {
    pub rollouts: &'a [Value],
    pub replica_sets: &'a [Value],
    pub services: &'a [Value],
    pub ingresses: &'a [Value],
    pub virtual_services: &'a [Value],
}

impl<'a> Objects<'a> {
    /// One route for each Rollout.
    pub fn routes(self) -> Vec<Route> {
        let around = Around::new(self);
        self.rollouts.iter().map(|rollout| View { around: &around, rollout }.route()).collect()
    }
}

/// Objects by what they are looked for by. A fleet of a thousand must not be searched a thousand times.
struct Around<'a> {
    replica_sets: HashMap<&'a str, Vec<&'a Value>>,
    services: ByName<'a>,
    selecting: HashMap<&'a str, Vec<&'a Value>>,
    ingresses: ByName<'a>,
    virtual_services: ByName<'a>,
}

type ByName<'a> = HashMap<(&'a str, &'a str), &'a Value>;

impl<'a> Around<'a> {
    fn new(objects: Objects<'a>) -> Self {
        let mut replica_sets: HashMap<&str, Vec<&Value>> = HashMap::new();
        for set in objects.replica_sets {
            let owner = text(&set["metadata"]["ownerReferences"][0]["uid"]).unwrap_or_default();
            replica_sets.entry(owner).or_default().push(set);
        }
        let mut selecting: HashMap<&str, Vec<&Value>> = HashMap::new();
        objects.services.iter().for_each(|service| selecting.entry(namespace(service)).or_default().push(service));
        Self {
            replica_sets,
            services: by_name(objects.services),
            selecting,
            ingresses: by_name(objects.ingresses),
            virtual_services: by_name(objects.virtual_services),
        }
    }
}

fn by_name(objects: &[Value]) -> ByName<'_> {
    objects.iter().map(|object| ((namespace(object), name(object)), object)).collect()
}

/// One Rollout amid the objects around it.
struct View<'a> {
    around: &'a Around<'a>,
    rollout: &'a Value,
}

/// A ReplicaSet, as far as it matters here.
struct Version {
    hash: String,
    tag: String,
    ready: u32,
}

impl<'a> View<'a> {
    fn route(&self) -> Route {
        let strategy = &self.rollout["spec"]["strategy"];
        let routing = &strategy["canary"]["trafficRouting"];
        let (proxy, tracks) = if routing["nginx"].is_object() {
            self.nginx(&strategy["canary"])
        } else if routing["istio"].is_object() {
            (Proxy::Mesh, self.istio(&strategy["canary"]))
        } else if let Some(active) = strategy["blueGreen"]["activeService"].as_str() {
            (Proxy::Mesh, self.through(Role::Stable, active, 1.0))
        } else {
            (Proxy::Mesh, self.by_pods(&self.plain_service(), 1.0))
        };
        Route { namespace: self.namespace().into(), rollout: name(self.rollout).into(), proxy, tracks }
    }

    fn nginx(&self, canary: &Value) -> (Proxy, Vec<Track>) {
        let nginx = &canary["trafficRouting"]["nginx"];
        let ingress = text(&nginx["stableIngress"]).or(text(&nginx["stableIngresses"][0])).unwrap_or_default();
        let (stable, other) = services(canary);
        let mut tracks = self.through(Role::Canary, other, self.nginx_weight(ingress));
        // ingress-nginx drops an upstream without endpoints: its share stays with the stable one.
        tracks.retain(|track| track.ready_pods > 0);
        let taken: f64 = tracks.iter().map(|track| track.weight).sum();
        tracks.extend(self.through(Role::Stable, stable, 1.0 - taken));
        (Proxy::Nginx { ingress: ingress.into(), service: stable.into() }, tracks)
    }

    /// The canary's share, from the Ingress the controller makes.
    fn nginx_weight(&self, stable_ingress: &str) -> f64 {
        let generated = format!("{}-{stable_ingress}-canary", name(self.rollout));
        let Some(ingress) = self.find(&self.around.ingresses, &generated) else {
            return 0.0;
        };
        let number = |key: &str| ingress["metadata"]["annotations"][key].as_str()?.parse::<f64>().ok();
        number(CANARY_WEIGHT).unwrap_or_default() / number(CANARY_TOTAL).unwrap_or(100.0)
    }

    fn istio(&self, canary: &Value) -> Vec<Track> {
        let istio = &canary["trafficRouting"]["istio"];
        let service = text(&istio["virtualService"]["name"]).or(text(&istio["virtualServices"][0]["name"]));
        // The name may carry a namespace.
        let service = service.unwrap_or_default().rsplit('/').next().unwrap_or_default();
        let Some(service) = self.find(&self.around.virtual_services, service) else {
            return Vec::new();
        };
        let destinations = service["spec"]["http"][0]["route"].as_array().map(Vec::as_slice).unwrap_or_default();
        destinations.iter().flat_map(|destination| self.destination(canary, destination)).collect()
    }

    fn destination(&self, canary: &Value, route: &Value) -> Vec<Track> {
        let weight = route["weight"].as_f64().unwrap_or(100.0) / 100.0;
        let host = text(&route["destination"]["host"]).unwrap_or_default().split('.').next().unwrap_or_default();
        let subset = text(&route["destination"]["subset"]);
        let rule = &canary["trafficRouting"]["istio"]["destinationRule"];
        let status = &self.rollout["status"];
        match subset {
            Some(name) if Some(name) == text(&rule["canarySubsetName"]) => {
                self.to_hash(Role::Canary, host, text(&status["currentPodHash"]), weight)
            }
            Some(_) => self.to_hash(Role::Stable, host, text(&status["stableRS"]), weight),
            None if host == services(canary).1 => self.through(Role::Canary, host, weight),
            None => self.through(Role::Stable, host, weight),
        }
    }

    /// Requests to a Service: to the version its selector names, or to all by their pods.
    fn through(&self, role: Role, service: &str, weight: f64) -> Vec<Track> {
        let selected = self.find(&self.around.services, service).and_then(|s| text(&s["spec"]["selector"][HASH]));
        match selected {
            Some(hash) => self.to_hash(role, service, Some(hash), weight),
            None => self.by_pods(service, weight),
        }
    }

    fn to_hash(&self, role: Role, service: &str, hash: Option<&str>, weight: f64) -> Vec<Track> {
        let version = self.versions().find(|version| Some(version.hash.as_str()) == hash);
        version.into_iter().map(|version| track(role, service, version, weight)).collect()
    }

    fn by_pods(&self, service: &str, weight: f64) -> Vec<Track> {
        let ready: Vec<Version> = self.versions().filter(|version| version.ready > 0).collect();
        let all: u32 = ready.iter().map(|version| version.ready).sum();
        let stable = text(&self.rollout["status"]["stableRS"]).filter(|hash| !hash.is_empty());
        let share = |version: Version| {
            let role = if stable.is_some_and(|hash| hash != version.hash) { Role::Canary } else { Role::Stable };
            let share = weight * f64::from(version.ready) / f64::from(all);
            track(role, service, version, share)
        };
        ready.into_iter().map(share).collect()
    }

    fn versions(&self) -> impl Iterator<Item = Version> {
        let owned = text(&self.rollout["metadata"]["uid"]).and_then(|uid| self.around.replica_sets.get(uid));
        owned.into_iter().flatten().filter_map(|set| version(set))
    }

    /// A Service in front of a basic canary: any that selects its pods.
    fn plain_service(&self) -> String {
        let labels = &self.rollout["spec"]["template"]["metadata"]["labels"];
        let selects = |service: &&&Value| {
            let selector = service["spec"]["selector"].as_object();
            selector.is_some_and(|selector| !selector.is_empty() && selector.iter().all(|(k, v)| labels[k] == *v))
        };
        let here = self.around.selecting.get(self.namespace());
        here.into_iter().flatten().find(selects).map_or(name(self.rollout), |service| name(service)).to_owned()
    }

    fn find(&self, objects: &ByName<'a>, wanted: &str) -> Option<&'a Value> {
        objects.get(&(self.namespace(), wanted)).copied()
    }

    fn namespace(&self) -> &str {
        namespace(self.rollout)
    }
}

fn track(role: Role, service: &str, version: Version, weight: f64) -> Track {
    let id = TrackId { role, hash: version.hash, service: service.to_owned(), tag: version.tag };
    Track { id, weight, ready_pods: version.ready }
}

fn version(set: &Value) -> Option<Version> {
    let image = text(&set["spec"]["template"]["spec"]["containers"][0]["image"])?;
    Some(Version {
        hash: text(&set["metadata"]["labels"][HASH])?.to_owned(),
        tag: image.rsplit_once(':').map_or("latest", |(_, tag)| tag).to_owned(),
        ready: set["status"]["readyReplicas"].as_u64().and_then(|n| n.try_into().ok()).unwrap_or(0),
    })
}

/// Names of the stable and the canary Service.
fn services(canary: &Value) -> (&str, &str) {
    (text(&canary["stableService"]).unwrap_or_default(), text(&canary["canaryService"]).unwrap_or_default())
}

fn text(value: &Value) -> Option<&str> {
    value.as_str()
}

fn name(object: &Value) -> &str {
    text(&object["metadata"]["name"]).unwrap_or_default()
}

fn namespace(object: &Value) -> &str {
    text(&object["metadata"]["namespace"]).unwrap_or_default()
}

/// Routes by workload, of those that ever had a ready pod: nobody calls what was never up.
#[derive(Debug, Clone, Default)]
pub struct Routes(BTreeMap<String, Route>);

impl Routes {
    /// Takes over what is there now, all of it; returns the workloads that are gone.
    pub fn update(&mut self, now: Vec<Route>) -> Vec<String> {
        let now: BTreeMap<String, Route> = now.into_iter().map(|route| (route.workload(), route)).collect();
        let gone: Vec<String> = self.0.keys().filter(|workload| !now.contains_key(*workload)).cloned().collect();
        gone.iter().for_each(|workload| self.remove(workload));
        now.into_values().for_each(|route| self.set(route));
        gone
    }

    /// Takes over the route of one workload, for owners who know what changed.
    pub fn set(&mut self, route: Route) {
        let workload = route.workload();
        if route.has_pods() || self.0.contains_key(&workload) {
            self.0.insert(workload, route);
        }
    }

    pub fn remove(&mut self, workload: &str) {
        self.0.remove(workload);
    }

    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.values()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rollout(strategy: &Value) -> Value {
        json!({
            "metadata": {"name": "cart", "namespace": "shop", "uid": "u1"},
            "spec": {"strategy": strategy, "template": {"metadata": {"labels": {"app": "cart"}}}},
            "status": {"stableRS": "aaa", "currentPodHash": "bbb"},
        })
    }

    fn replica_set(hash: &str, tag: &str, ready: u32) -> Value {
        json!({
            "metadata": {"name": format!("cart-{hash}"), "namespace": "shop", "labels": {HASH: hash}, "ownerReferences": [{"uid": "u1"}]},
            "spec": {"template": {"spec": {"containers": [{"image": format!("registry:5000/cart:{tag}")}]}}},
            "status": {"readyReplicas": ready},
        })
    }

    fn service(name: &str, selector: &Value) -> Value {
        json!({"metadata": {"name": name, "namespace": "shop"}, "spec": {"selector": selector}})
    }

    fn shares(route: &Route) -> Vec<(Role, String, f64)> {
        route.tracks.iter().map(|t| (t.id.role, format!("{}@{}", t.id.tag, t.id.service), t.weight)).collect()
    }

    fn one(objects: Objects<'_>) -> Route {
        let mut routes = objects.routes();
        assert_eq!(routes.len(), 1);
        routes.remove(0)
    }

    #[test]
    fn nginx_sends_the_generated_ingress_weight_to_ready_canaries_only() {
        let routing = json!({"canary": {"stableService": "cart", "canaryService": "cart-canary", "trafficRouting": {"nginx": {"stableIngress": "web"}}}});
        let rollouts = [rollout(&routing)];
        let services = [service("cart", &json!({HASH: "aaa"})), service("cart-canary", &json!({HASH: "bbb"}))];
        let annotations = json!({CANARY_WEIGHT: "10", CANARY_TOTAL: "50"});
        let ingresses = [json!({"metadata": {"name": "cart-web-canary", "namespace": "shop", "annotations": annotations}})];
        let replica_sets = [replica_set("aaa", "v1", 3), replica_set("bbb", "v2", 1)];
        let objects =
            Objects { rollouts: &rollouts, replica_sets: &replica_sets, services: &services, ingresses: &ingresses, ..Objects::default() };
        let route = one(objects);
        assert_eq!(shares(&route), [(Role::Canary, "v2@cart-canary".into(), 0.2), (Role::Stable, "v1@cart".into(), 0.8)]);
        assert_eq!(route.proxy, Proxy::Nginx { ingress: "web".into(), service: "cart".into() });

        let waiting = [replica_set("aaa", "v1", 3), replica_set("bbb", "v2", 0)];
        let route = one(Objects { replica_sets: &waiting, ..objects });
        assert_eq!(shares(&route), [(Role::Stable, "v1@cart".into(), 1.0)]);
    }

    #[test]
    fn istio_follows_the_virtual_service_by_host_or_subset() {
        let rule = json!({"canarySubsetName": "new"});
        let routing = json!({"canary": {"stableService": "cart", "canaryService": "cart-canary",
            "trafficRouting": {"istio": {"virtualService": {"name": "shop/cart"}, "destinationRule": rule}}}});
        let rollouts = [rollout(&routing)];
        let services = [service("cart", &json!({HASH: "aaa"})), service("cart-canary", &json!({HASH: "bbb"}))];
        let replica_sets = [replica_set("aaa", "v1", 3), replica_set("bbb", "v2", 1)];
        let route_to = |destinations: Value| {
            let virtual_services =
                [json!({"metadata": {"name": "cart", "namespace": "shop"}, "spec": {"http": [{"route": destinations}]}})];
            let objects = Objects {
                rollouts: &rollouts,
                replica_sets: &replica_sets,
                services: &services,
                virtual_services: &virtual_services,
                ..Objects::default()
            };
            shares(&one(objects))
        };
        let by_host =
            json!([{"destination": {"host": "cart.shop.svc"}, "weight": 75}, {"destination": {"host": "cart-canary"}, "weight": 25}]);
        let by_subset = json!([{"destination": {"host": "cart", "subset": "old"}, "weight": 75}, {"destination": {"host": "cart", "subset": "new"}, "weight": 25}]);
        assert_eq!(route_to(by_host), [(Role::Stable, "v1@cart".into(), 0.75), (Role::Canary, "v2@cart-canary".into(), 0.25)]);
        assert_eq!(route_to(by_subset), [(Role::Stable, "v1@cart".into(), 0.75), (Role::Canary, "v2@cart".into(), 0.25)]);
    }

    #[test]
    fn without_a_router_pods_share_evenly_and_blue_green_sends_all_to_the_active_service() {
        let basic = [rollout(&json!({"canary": {}}))];
        let replica_sets = [replica_set("aaa", "v1", 3), replica_set("bbb", "v2", 1), replica_set("ccc", "v0", 0)];
        let services = [service("other", &json!({"app": "else"})), service("front", &json!({"app": "cart"}))];
        let objects = Objects { rollouts: &basic, replica_sets: &replica_sets, services: &services, ..Objects::default() };
        assert_eq!(shares(&one(objects)), [(Role::Stable, "v1@front".into(), 0.75), (Role::Canary, "v2@front".into(), 0.25)]);

        let blue_green = [rollout(&json!({"blueGreen": {"activeService": "live"}}))];
        let services = [service("live", &json!({HASH: "bbb"}))];
        let route = one(Objects { rollouts: &blue_green, services: &services, ..objects });
        assert_eq!(shares(&route), [(Role::Stable, "v2@live".into(), 1.0)]);
    }

    #[test]
    fn workloads_count_from_their_first_ready_pod_until_they_are_gone() {
        let route = |ready_pods| {
            let id = TrackId { role: Role::Stable, hash: "aaa".into(), service: "cart".into(), tag: "v1".into() };
            let tracks = vec![Track { id, weight: 1.0, ready_pods }];
            Route { namespace: "shop".into(), rollout: "cart".into(), proxy: Proxy::Mesh, tracks }
        };
        let mut routes = Routes::default();
        assert!(routes.update(vec![route(0)]).is_empty() && routes.iter().next().is_none());
        routes.update(vec![route(1)]);
        routes.update(vec![route(0)]);
        assert!(!routes.iter().next().unwrap().has_pods());
        assert_eq!(routes.update(Vec::new()), ["shop/cart"]);
        assert!(routes.iter().next().is_none());
    }
}
