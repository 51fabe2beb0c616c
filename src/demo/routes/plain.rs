//! Who gets which share of the requests where nothing but a route decides: a weighted route, an ingress-nginx canary, or
//! a Service alone, whose ready endpoints share evenly.
//!
//! Users come to an entry, a name in a namespace. A Knative Service of this name, or one that belongs to it, decides; else
//! the first object of [`ROUTERS`] that has this name or leads there; else the Ingress, else the Service of this name.

use std::{cmp::Ordering, collections::BTreeMap};

use serde_json::{Map, Value};

use super::{CANARY_TOTAL, CANARY_WEIGHT, Proxy, Route, name};
use crate::demo::traffic::{Role, Track, TrackId};

const SERVICES: &str = "services";
const SLICES: &str = "endpointslices.discovery.k8s.io";
const INGRESSES: &str = "ingresses.networking.k8s.io";
const DESTINATION_RULES: &str = "destinationrules.networking.istio.io";
const KNATIVE: &str = "services.serving.knative.dev";
const CANARY: &str = "nginx.ingress.kubernetes.io/canary";

/// Kinds whose objects make a difference, besides pods: whoever keeps routes reads them again when one of these changes.
pub const KINDS: &[&str] = &[
    SERVICES,
    SLICES,
    INGRESSES,
    DESTINATION_RULES,
    KNATIVE,
    "virtualservices.networking.istio.io",
    "httproutes.gateway.networking.k8s.io",
    "grpcroutes.gateway.networking.k8s.io",
    "ingressroutes.traefik.io",
    "traefikservices.traefik.io",
    "httpproxies.projectcontour.io",
    "trafficsplits.split.smi-spec.io",
];

/// The objects of one namespace.
pub trait Namespace {
    fn get(&self, kind: &str, name: &str) -> Option<Value>;
    fn list(&self, kind: &str) -> Vec<Value>;
}

/// Where a kind of route keeps its weighted backends.
struct Router {
    kind: &'static str,
    /// List of rules below `spec`; empty: the spec is the only rule.
    rules: &'static str,
    /// Conditions of a rule.
    matches: &'static str,
    /// List of backends in a rule, as a pointer.
    backends: &'static str,
    /// Name of the Service in a backend, as a pointer.
    service: &'static str,
    unweighted: Unweighted,
}

/// What a backend without a weight gets.
enum Unweighted {
    /// The same as all others.
    One,
    /// All, if it is the only one.
    AllOrNothing,
    /// The same as all others, if none has a weight.
    EvenOrNothing,
}

const fn router(
    kind: &'static str,
    rules: &'static str,
    matches: &'static str,
    backends: &'static str,
    service: &'static str,
    unweighted: Unweighted,
) -> Router {
    Router { kind, rules, matches, backends, service, unweighted }
}

const ROUTERS: &[Router] = &[
    router("virtualservices.networking.istio.io", "http", "match", "/route", "/destination/host", Unweighted::AllOrNothing),
    router("httproutes.gateway.networking.k8s.io", "rules", "matches", "/backendRefs", "/name", Unweighted::One),
    router("grpcroutes.gateway.networking.k8s.io", "rules", "matches", "/backendRefs", "/name", Unweighted::One),
    router("ingressroutes.traefik.io", "routes", "", "/services", "/name", Unweighted::One),
    router("traefikservices.traefik.io", "", "", "/weighted/services", "/name", Unweighted::One),
    router("httpproxies.projectcontour.io", "routes", "", "/services", "/name", Unweighted::EvenOrNothing),
    router("trafficsplits.split.smi-spec.io", "", "", "/backends", "/service", Unweighted::One),
];

/// The way of an entry's requests; `None`: nothing leads there.
pub fn route(objects: &impl Namespace, namespace: &str, entry: &str) -> Option<Route> {
    let view = View { objects, entry };
    let (proxy, tracks) = view.knative().or_else(|| view.routed()).or_else(|| view.ingress()).or_else(|| view.service())?;
    Some(Route { namespace: namespace.into(), rollout: entry.into(), proxy, tracks })
}

struct View<'a, N> {
    objects: &'a N,
    entry: &'a str,
}

/// A backend and its share.
struct Backend {
    service: String,
    /// Labels of the pods, where not all of the Service's are meant.
    labels: Map<String, Value>,
    weight: f64,
}

impl<N: Namespace> View<'_, N> {
    fn routed(&self) -> Option<(Proxy, Vec<Track>)> {
        let of = |router: &Router| {
            let all = self.objects.list(router.kind);
            let named = all.iter().find(|object| name(object) == self.entry);
            let found = named.or_else(|| all.iter().find(|object| router.leads_to(object, self.entry)))?;
            let tracks = self.backends(router, found).iter().flat_map(|backend| self.tracks(Role::Stable, backend)).collect();
            Some((Proxy::Mesh, tracks))
        };
        ROUTERS.iter().find_map(of)
    }

    /// By what its route does. Behind each revision stands a Service of its own.
    fn knative(&self) -> Option<(Proxy, Vec<Track>)> {
        let belongs = |object: &&Value| object["metadata"]["ownerReferences"][0]["name"] == self.entry;
        let all = self.objects.list(KNATIVE);
        let service = all.iter().find(|object| name(object) == self.entry).or_else(|| all.iter().find(belongs))?;
        let latest = &service["status"]["latestReadyRevisionName"];
        let mut shares: BTreeMap<&str, f64> = BTreeMap::new();
        for target in service["status"]["traffic"].as_array().into_iter().flatten() {
            *shares.entry(target["revisionName"].as_str()?).or_default() += target["percent"].as_f64().unwrap_or_default() / 100.0;
        }
        let is_split = shares.len() > 1;
        let to = |(revision, weight): (&str, f64)| {
            let role = if is_split && *latest == revision { Role::Canary } else { Role::Stable };
            self.tracks(role, &Backend { service: format!("{revision}-private"), labels: Map::new(), weight })
        };
        Some((Proxy::Mesh, shares.into_iter().filter(|(_, weight)| *weight > 0.0).flat_map(to).collect()))
    }

    fn backends(&self, router: &Router, object: &Value) -> Vec<Backend> {
        let listed = router.listed(object);
        let weights = router.weights(&listed);
        listed.iter().zip(weights).flat_map(|(backend, weight)| self.resolve(router, backend, weight)).collect()
    }

    /// A backend may be one more route.
    fn resolve(&self, router: &Router, backend: &Value, weight: f64) -> Vec<Backend> {
        let service = router.service_of(backend);
        let nested = ROUTERS.iter().find(|nested| backend["kind"] == "TraefikService" && nested.kind.starts_with("traefikservices"));
        if let Some((nested, object)) = nested.and_then(|nested| Some((nested, self.objects.get(nested.kind, &service)?))) {
            let mut inner: Vec<Backend> = nested.listed(&object).iter().zip(nested.weights(&nested.listed(&object))).map(plain).collect();
            let all: f64 = inner.iter().map(|backend| backend.weight).sum();
            inner.iter_mut().for_each(|backend| backend.weight *= weight / all.max(f64::MIN_POSITIVE));
            return inner;
        }
        let labels = backend["destination"]["subset"].as_str().map(|subset| self.subset(&service, subset)).unwrap_or_default();
        vec![Backend { service, labels, weight }]
    }

    /// The labels of a subset, by whichever DestinationRule defines it for the host.
    fn subset(&self, host: &str, subset: &str) -> Map<String, Value> {
        let rules = self.objects.list(DESTINATION_RULES);
        let of = rules.iter().filter(|rule| first_word(&rule["spec"]["host"]) == host);
        let mut subsets = of.flat_map(|rule| rule["spec"]["subsets"].as_array().into_iter().flatten());
        subsets.find(|found| found["name"] == subset).and_then(|found| found["labels"].as_object().cloned()).unwrap_or_default()
    }

    fn ingress(&self) -> Option<(Proxy, Vec<Track>)> {
        let all = self.objects.list(INGRESSES);
        let is_canary = |ingress: &Value| ingress["metadata"]["annotations"][CANARY] == "true";
        let leads_here = |ingress: &&Value| name(ingress) == self.entry || backend_of(ingress) == self.entry;
        let main = all.iter().filter(|ingress| !is_canary(ingress)).find(leads_here)?;
        let host = &main["spec"]["rules"][0]["host"];
        let canary = all.iter().find(|ingress| is_canary(ingress) && ingress["spec"]["rules"][0]["host"] == *host);
        let backend = |service: &str, weight| Backend { service: service.into(), labels: Map::new(), weight };
        let mut tracks = Vec::new();
        if let Some(canary) = canary {
            let number = |key: &str| canary["metadata"]["annotations"][key].as_str()?.parse::<f64>().ok();
            // A smaller total than a hundred is not believed.
            let share = number(CANARY_WEIGHT).unwrap_or_default() / number(CANARY_TOTAL).unwrap_or_default().max(100.0);
            tracks = self.tracks(Role::Canary, &backend(backend_of(canary), share.clamp(0.0, 1.0)));
            // An upstream without endpoints is dropped: its share stays with the main one.
            tracks.retain(|track| track.ready_pods > 0);
        }
        let taken: f64 = tracks.iter().map(|track| track.weight).sum();
        tracks.extend(self.tracks(Role::Stable, &backend(backend_of(main), 1.0 - taken)));
        Some((Proxy::Nginx { ingress: name(main).into(), service: backend_of(main).into() }, tracks))
    }

    fn service(&self) -> Option<(Proxy, Vec<Track>)> {
        self.objects.get(SERVICES, self.entry)?;
        let all = Backend { service: self.entry.into(), labels: Map::new(), weight: 1.0 };
        Some((Proxy::Mesh, self.tracks(Role::Stable, &all)))
    }

    /// The versions behind a backend, by their ready endpoints. Without any there is still somebody to answer 503.
    fn tracks(&self, role: Role, backend: &Backend) -> Vec<Track> {
        let mut versions: BTreeMap<(String, String), u32> = BTreeMap::new();
        let slices = self.objects.list(SLICES);
        let mine = slices.iter().filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == *backend.service);
        let endpoints = mine.flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
        for endpoint in endpoints.filter(|endpoint| endpoint["conditions"]["ready"] == true) {
            let Some(pod) = endpoint["targetRef"]["name"].as_str().and_then(|pod| self.objects.get("pods", pod)) else { continue };
            let labels = &pod["metadata"]["labels"];
            if backend.labels.iter().all(|(name, value)| labels[name] == *value) {
                *versions.entry((version(&pod), tag(&pod))).or_default() += 1;
            }
        }
        let all: u32 = versions.values().sum();
        let track = |(hash, tag): (String, String), ready_pods, weight| Track {
            id: TrackId { role, hash, service: backend.service.clone(), tag },
            weight,
            ready_pods,
        };
        if all == 0 {
            return vec![track((format!("{}-none", backend.service), "none".into()), 0, backend.weight)];
        }
        versions.into_iter().map(|(version, ready)| track(version, ready, backend.weight * f64::from(ready) / f64::from(all))).collect()
    }
}

fn plain((backend, weight): (&Value, f64)) -> Backend {
    Backend { service: first_word(&backend["name"]).into(), labels: Map::new(), weight }
}

impl Router {
    /// The backends for whoever meets no further condition.
    fn listed(&self, object: &Value) -> Vec<Value> {
        let spec = &object["spec"];
        let rule = match spec[self.rules].as_array() {
            _ if self.rules.is_empty() => Some(spec),
            Some(rules) => rules.iter().find(|rule| self.is_open(rule)).or(rules.first()),
            None => None,
        };
        let listed = rule.and_then(|rule| rule.pointer(self.backends)).and_then(Value::as_array);
        listed.into_iter().flatten().filter(|backend| backend["mirror"] != true).cloned().collect()
    }

    fn is_open(&self, rule: &Value) -> bool {
        const CONDITIONS: [&str; 4] = ["headers", "queryParams", "method", "sourceLabels"];
        let matches = if self.matches.is_empty() { None } else { rule[self.matches].as_array() };
        matches.is_none_or(|all| all.is_empty() || all.iter().any(|one| CONDITIONS.iter().all(|condition| one[*condition].is_null())))
    }

    fn weights(&self, backends: &[Value]) -> Vec<f64> {
        let given: Vec<Option<f64>> = backends.iter().map(|backend| number(&backend["weight"])).collect();
        let alone = given.len() == 1;
        let none = given.iter().all(Option::is_none);
        let missing = match self.unweighted {
            Unweighted::One => 1.0,
            Unweighted::AllOrNothing => f64::from(u8::from(alone)),
            Unweighted::EvenOrNothing => f64::from(u8::from(none)),
        };
        given.into_iter().map(|weight| weight.unwrap_or(missing)).collect()
    }

    fn service_of(&self, backend: &Value) -> String {
        backend.pointer(self.service).map(first_word).unwrap_or_default().to_owned()
    }

    /// Whether its users are those of the Service of this name.
    fn leads_to(&self, object: &Value, entry: &str) -> bool {
        let spec = &object["spec"];
        let hosts = spec["hosts"].as_array().into_iter().flatten().any(|host| first_word(host) == entry);
        let parents =
            spec["parentRefs"].as_array().into_iter().flatten().any(|parent| parent["kind"] == "Service" && parent["name"] == entry);
        hosts || parents || spec["service"] == entry
    }
}

/// `cart` of `cart.shop.svc.cluster.local`.
fn first_word(host: &Value) -> &str {
    host.as_str().unwrap_or_default().split('.').next().unwrap_or_default()
}

/// A weight; in the oldest TrafficSplits a quantity such as `900m`.
fn number(weight: &Value) -> Option<f64> {
    let text = || {
        let text = weight.as_str()?;
        let (digits, unit) = text.strip_suffix('m').map_or((text, 1.0), |digits| (digits, 1_000.0));
        Some(digits.parse::<f64>().ok()? / unit)
    };
    weight.as_f64().or_else(text).filter(|weight| weight.partial_cmp(&0.0) != Some(Ordering::Less))
}

/// The Service of an Ingress's first path.
fn backend_of(ingress: &Value) -> &str {
    ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"].as_str().unwrap_or_default()
}

/// What tells versions apart: the workload's name and the hash of its template, as in the names of pods.
fn version(pod: &Value) -> String {
    let owner = &pod["metadata"]["ownerReferences"][0];
    let owned_by = owner["name"].as_str().unwrap_or(name(pod));
    let labels = &pod["metadata"]["labels"];
    let hash = ["pod-template-hash", "rollouts-pod-template-hash", "controller-revision-hash"].iter().find_map(|key| labels[*key].as_str());
    match hash {
        // ReplicaSets have it in their name, StatefulSets have theirs in the hash.
        Some(hash) if owned_by.ends_with(hash) => owned_by.to_owned(),
        Some(hash) => format!("{owned_by}-{}", hash.rsplit('-').next().unwrap_or(hash)),
        None => format!("{owned_by}-pod"),
    }
}

fn tag(pod: &Value) -> String {
    let image = pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
    image.rsplit_once(':').map_or("latest", |(_, tag)| tag).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Objects by kind.
    struct Shop(Vec<(&'static str, Value)>);

    impl Namespace for Shop {
        fn get(&self, kind: &str, wanted: &str) -> Option<Value> {
            self.list(kind).into_iter().find(|object| name(object) == wanted)
        }

        fn list(&self, kind: &str) -> Vec<Value> {
            self.0.iter().filter(|(of, _)| *of == kind).map(|(_, object)| object.clone()).collect()
        }
    }

    impl Shop {
        /// Two Deployments, `cart` (v1, three pods) and `cart-next` (v2, one), each behind the Service of its name.
        fn new() -> Self {
            let mut shop = Self(Vec::new());
            shop.service("cart", &["a", "b", "c"]).service("cart-next", &["d"]);
            for pod in ["a", "b", "c"] {
                shop.pod(pod, "cart", "v1");
            }
            shop.pod("d", "cart-next", "v2");
            shop
        }

        fn pod(&mut self, pod: &str, owner: &str, tag: &str) {
            let labels = json!({"app": "cart", "track": owner, "pod-template-hash": "h1"});
            let pod = json!({
                "metadata": {"name": pod, "labels": labels, "ownerReferences": [{"name": format!("{owner}-h1")}]},
                "spec": {"containers": [{"image": format!("registry:5000/cart:{tag}")}]},
            });
            self.0.push(("pods", pod));
        }

        fn service(&mut self, service: &str, pods: &[&str]) -> &mut Self {
            let endpoint =
                |pod: &&str| json!({"conditions": {"ready": !pod.starts_with('!')}, "targetRef": {"name": pod.trim_start_matches('!')}});
            self.0.push((SERVICES, json!({"metadata": {"name": service}})));
            self.0.push((
                SLICES,
                json!({
                    "metadata": {"name": format!("{service}-x"), "labels": {"kubernetes.io/service-name": service}},
                    "endpoints": pods.iter().map(endpoint).collect::<Vec<_>>(),
                }),
            ));
            self
        }

        fn with(mut self, kind: &'static str, name: &str, spec: &Value) -> Self {
            self.0.push((kind, json!({"metadata": {"name": name}, "spec": spec})));
            self
        }

        /// Tag, Service and share in percent.
        fn shares(&self) -> Vec<(String, i64)> {
            let route = route(self, "shop", "cart").unwrap();
            let all: f64 = route.tracks.iter().map(|track| track.weight).sum();
            let share = |track: &Track| (format!("{}@{}", track.id.tag, track.id.service), (track.weight / all * 100.0).round() as i64);
            route.tracks.iter().filter(|track| track.weight > 0.0).map(share).collect()
        }
    }

    fn split(v1: i64, v2: i64) -> Vec<(String, i64)> {
        vec![("v1@cart".into(), v1), ("v2@cart-next".into(), v2)]
    }

    #[test]
    fn a_service_alone_shares_among_its_ready_endpoints() {
        let mut shop = Shop(Vec::new());
        shop.service("cart", &["a", "b", "c", "!e"]);
        shop.pod("a", "cart", "v1");
        shop.pod("b", "cart", "v1");
        shop.pod("c", "cart-next", "v2");
        shop.pod("e", "cart-next", "v2");
        assert_eq!(shop.shares(), [("v1@cart".into(), 67), ("v2@cart".into(), 33)]);
        let tracks = route(&shop, "shop", "cart").unwrap().tracks;
        assert_eq!(tracks.iter().map(|t| (t.id.hash.as_str(), t.ready_pods)).collect::<Vec<_>>(), [("cart-h1", 2), ("cart-next-h1", 1)]);
        // Nobody is there: still somebody asks.
        let mut shop = Shop(Vec::new());
        shop.service("cart", &["!a"]);
        shop.pod("a", "cart", "v1");
        let tracks = route(&shop, "shop", "cart").unwrap().tracks;
        assert_eq!((tracks.len(), tracks[0].ready_pods, tracks[0].weight), (1, 0, 1.0));
        assert!(route(&shop, "shop", "else").is_none());
    }

    #[test]
    fn every_router_splits_by_its_weights() {
        let backends = json!([{"name": "cart", "port": 80, "weight": 30}, {"name": "cart-next", "port": 80, "weight": 10}]);
        let hosts = json!([{"destination": {"host": "cart.shop.svc"}, "weight": 75}, {"destination": {"host": "cart-next"}, "weight": 25}]);
        let services = json!([{"service": "cart", "weight": "750m"}, {"service": "cart-next", "weight": "250m"}]);
        let routes = [
            ("virtualservices.networking.istio.io", json!({"http": [{"route": hosts}]})),
            ("httproutes.gateway.networking.k8s.io", json!({"rules": [{"backendRefs": backends}]})),
            ("grpcroutes.gateway.networking.k8s.io", json!({"rules": [{"backendRefs": backends}]})),
            ("ingressroutes.traefik.io", json!({"routes": [{"services": backends}]})),
            ("traefikservices.traefik.io", json!({"weighted": {"services": backends}})),
            ("httpproxies.projectcontour.io", json!({"routes": [{"services": backends}]})),
            ("trafficsplits.split.smi-spec.io", json!({"service": "cart", "backends": services})),
        ];
        for (kind, spec) in routes {
            assert!(KINDS.contains(&kind));
            assert_eq!(Shop::new().with(kind, "cart", &spec).shares(), split(75, 25), "{kind}");
        }
    }

    #[test]
    fn missing_weights_mean_what_each_router_takes_them_for() {
        let two = |first: Value| json!([first, {"name": "cart-next"}]);
        let rules = |first| json!({"rules": [{"backendRefs": two(first)}]});
        let kind = "httproutes.gateway.networking.k8s.io";
        assert_eq!(Shop::new().with(kind, "cart", &rules(json!({"name": "cart", "weight": 3}))).shares(), split(75, 25));
        let routes = |first| json!({"routes": [{"services": two(first)}]});
        let kind = "httpproxies.projectcontour.io";
        assert_eq!(Shop::new().with(kind, "cart", &routes(json!({"name": "cart"}))).shares(), split(50, 50));
        assert_eq!(Shop::new().with(kind, "cart", &routes(json!({"name": "cart", "weight": 9}))).shares(), [("v1@cart".into(), 100)]);
        let alone = json!({"http": [{"route": [{"destination": {"host": "cart-next"}}]}]});
        assert_eq!(Shop::new().with("virtualservices.networking.istio.io", "cart", &alone).shares(), [("v2@cart-next".into(), 100)]);
    }

    #[test]
    fn subsets_pick_pods_by_the_labels_of_the_destination_rule() {
        let mut shop = Shop::new();
        shop.0.retain(|(kind, _)| *kind == "pods");
        shop.service("cart", &["a", "b", "c", "d"]);
        let subsets = json!([{"name": "old", "labels": {"track": "cart"}}, {"name": "new", "labels": {"track": "cart-next"}}]);
        let to = |subset: &str, weight: u32| json!({"destination": {"host": "cart", "subset": subset}, "weight": weight});
        let shop = shop.with(DESTINATION_RULES, "cart", &json!({"host": "cart.shop.svc.cluster.local", "subsets": subsets})).with(
            "virtualservices.networking.istio.io",
            "web",
            &json!({"hosts": ["cart"], "http": [{"route": [to("old", 90), to("new", 10)]}]}),
        );
        assert_eq!(shop.shares(), [("v1@cart".into(), 90), ("v2@cart".into(), 10)]);
    }

    #[test]
    fn rules_that_ask_for_more_are_not_everybodys() {
        let rule = |matches: Value, service: &str| json!({"matches": matches, "backendRefs": [{"name": service}]});
        let tester = rule(json!([{"headers": [{"name": "x-test", "value": "1"}]}]), "cart-next");
        let spec = json!({"rules": [tester, rule(json!([{"path": {"value": "/"}}]), "cart")]});
        assert_eq!(Shop::new().with("httproutes.gateway.networking.k8s.io", "cart", &spec).shares(), [("v1@cart".into(), 100)]);
    }

    #[test]
    fn a_traefik_route_may_lead_to_a_weighted_service() {
        let weighted = json!({"weighted": {"services": [{"name": "cart", "weight": 1}, {"name": "cart-next", "weight": 4}]}});
        let entry = json!({"routes": [{"services": [{"name": "both", "kind": "TraefikService"}]}]});
        let shop = Shop::new().with("traefikservices.traefik.io", "both", &weighted).with("ingressroutes.traefik.io", "cart", &entry);
        assert_eq!(shop.shares(), split(20, 80));
    }

    #[test]
    fn an_nginx_canary_takes_its_weight_if_anybody_is_there() {
        let ingress = |name: &str, service: &str, annotations: Value| {
            let backend = json!({"service": {"name": service}});
            let rules = json!([{"host": "cart.example.com", "http": {"paths": [{"backend": backend}]}}]);
            (INGRESSES, json!({"metadata": {"name": name, "annotations": annotations}, "spec": {"rules": rules}}))
        };
        let with = |canary: Value| {
            let mut shop = Shop::new();
            shop.0.extend([ingress("cart", "cart", json!({})), ingress("next", "cart-next", canary)]);
            shop
        };
        let shop = with(json!({CANARY: "true", CANARY_WEIGHT: "20"}));
        assert_eq!(shop.shares(), [("v2@cart-next".into(), 20), ("v1@cart".into(), 80)]);
        let route = route(&shop, "shop", "cart").unwrap();
        assert_eq!(route.proxy, Proxy::Nginx { ingress: "cart".into(), service: "cart".into() });
        assert_eq!(route.tracks[0].id.role, Role::Canary);
        assert_eq!(with(json!({CANARY: "true", CANARY_WEIGHT: "20", CANARY_TOTAL: "200"})).shares()[0].1, 10);
        assert_eq!(with(json!({CANARY: "true", CANARY_WEIGHT: "20", CANARY_TOTAL: "40"})).shares()[0].1, 20, "no total below 100");
        assert_eq!(with(json!({CANARY: "false", CANARY_WEIGHT: "20"})).shares(), [("v1@cart".into(), 100)]);
        let mut empty = with(json!({CANARY: "true", CANARY_WEIGHT: "20"}));
        empty.0.retain(|(kind, object)| *kind != "pods" || name(object) != "d");
        assert_eq!(empty.shares(), [("v1@cart".into(), 100)]);
    }
}
