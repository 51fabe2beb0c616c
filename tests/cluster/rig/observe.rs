//! Reads from the cluster's objects who gets which share of a Rollout's requests, as its proxy would.

use std::collections::BTreeMap;

use rolltop::demo::traffic::{Role, Track, TrackId};
use serde_json::Value;

use super::api::Api;

const HASH: &str = "rollouts-pod-template-hash";
const CANARY_WEIGHT: &str = "nginx.ingress.kubernetes.io/canary-weight";
const CANARY_TOTAL: &str = "nginx.ingress.kubernetes.io/canary-weight-total";

/// All objects that matter, at about one moment.
#[derive(Default)]
pub struct Snapshot {
    rollouts: Vec<Value>,
    replica_sets: Vec<Value>,
    services: Vec<Value>,
    ingresses: Vec<Value>,
    virtual_services: Vec<Value>,
}

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
#[derive(Debug, Clone)]
pub struct Route {
    pub namespace: String,
    pub rollout: String,
    pub proxy: Proxy,
    pub tracks: Vec<Track>,
}

impl Route {
    pub fn workload(&self) -> String {
        format!("{}/{}", self.namespace, self.rollout)
    }

    pub fn has_pods(&self) -> bool {
        self.tracks.iter().any(|track| track.ready_pods > 0)
    }
}

impl Snapshot {
    pub async fn read(api: &Api) -> Result<Self, kube::Error> {
        // From the API server's cache: near enough, and cheap.
        let list = |path: &'static str| async move { api.list(&format!("{path}?resourceVersion=0")).await };
        let (rollouts, replica_sets, services, ingresses, virtual_services) = tokio::try_join!(
            list("/apis/argoproj.io/v1alpha1/rollouts"),
            list("/apis/apps/v1/replicasets"),
            list("/api/v1/services"),
            list("/apis/networking.k8s.io/v1/ingresses"),
            list("/apis/networking.istio.io/v1/virtualservices"),
        )?;
        Ok(Self { rollouts, replica_sets, services, ingresses, virtual_services })
    }

    pub fn routes(&self) -> Vec<Route> {
        self.rollouts.iter().map(|rollout| View { snapshot: self, rollout }.route()).collect()
    }
}

/// One Rollout amid the objects around it.
struct View<'a> {
    snapshot: &'a Snapshot,
    rollout: &'a Value,
}

/// A ReplicaSet, as far as it matters here.
struct Version {
    hash: String,
    tag: String,
    ready: u32,
}

impl View<'_> {
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
        let Some(ingress) = self.find(&self.snapshot.ingresses, &generated) else {
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
        let Some(service) = self.find(&self.snapshot.virtual_services, service) else {
            return Vec::new();
        };
        let destinations = service["spec"]["http"][0]["route"].as_array().cloned().unwrap_or_default();
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
        let selected = self.find(&self.snapshot.services, service).and_then(|s| text(&s["spec"]["selector"][HASH]));
        match selected {
            Some(hash) => self.to_hash(role, service, Some(hash), weight),
            None => self.by_pods(service, weight),
        }
    }

    fn to_hash(&self, role: Role, service: &str, hash: Option<&str>, weight: f64) -> Vec<Track> {
        let version = self.versions().into_iter().find(|version| Some(version.hash.as_str()) == hash);
        version.into_iter().map(|version| track(role, service, version, weight)).collect()
    }

    fn by_pods(&self, service: &str, weight: f64) -> Vec<Track> {
        let versions = self.versions();
        let all: u32 = versions.iter().map(|version| version.ready).sum();
        let stable = text(&self.rollout["status"]["stableRS"]).filter(|hash| !hash.is_empty());
        let ready = versions.into_iter().filter(|version| version.ready > 0);
        ready
            .map(|version| {
                let role = if stable.is_some_and(|hash| hash != version.hash) { Role::Canary } else { Role::Stable };
                let share = weight * f64::from(version.ready) / f64::from(all);
                track(role, service, version, share)
            })
            .collect()
    }

    fn versions(&self) -> Vec<Version> {
        let uid = &self.rollout["metadata"]["uid"];
        let owned = |set: &&Value| set["metadata"]["ownerReferences"][0]["uid"] == *uid;
        self.snapshot.replica_sets.iter().filter(owned).filter_map(version).collect()
    }

    /// A Service in front of a basic canary: any that selects its pods.
    fn plain_service(&self) -> String {
        let labels = &self.rollout["spec"]["template"]["metadata"]["labels"];
        let selects = |service: &&Value| {
            let selector = service["spec"]["selector"].as_object();
            selector.is_some_and(|selector| !selector.is_empty() && selector.iter().all(|(k, v)| labels[k] == *v))
        };
        let mut here = self.snapshot.services.iter().filter(|service| namespace(service) == self.namespace());
        here.find(selects).map_or(name(self.rollout), name).to_owned()
    }

    fn find<'b>(&self, objects: &'b [Value], wanted: &str) -> Option<&'b Value> {
        objects.iter().find(|object| namespace(object) == self.namespace() && name(object) == wanted)
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
#[derive(Default)]
pub struct Routes(BTreeMap<String, Route>);

impl Routes {
    /// Takes over what is there now; returns the workloads that are gone.
    pub fn update(&mut self, now: Vec<Route>) -> Vec<String> {
        let now: BTreeMap<String, Route> = now.into_iter().map(|route| (route.workload(), route)).collect();
        let gone: Vec<String> = self.0.keys().filter(|workload| !now.contains_key(*workload)).cloned().collect();
        let known = std::mem::take(&mut self.0);
        self.0 = now.into_iter().filter(|(workload, route)| known.contains_key(workload) || route.has_pods()).collect();
        gone
    }

    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.values()
    }
}
