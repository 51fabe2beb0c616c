//! Endpoints and EndpointSlices: which ready pods a Service leads to.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use serde_json::{Map, Value, json};

use super::{
    objects::{all_equal, between, hash},
    pods::Pod,
};
use crate::{
    demo::{
        registry::{self, Write, controlled_by, stamp},
        sim::{Controller, Cx},
        store::{Change, Key, Store, Stored},
    },
    model::Time,
};

const SERVICES: &str = "services";
const SLICES: &str = "endpointslices.discovery.k8s.io";
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// Changes are gathered for this long: selectors may flip fifty times a second.
const GATHERED: Duration = Duration::from_millis(100);
/// The same while nobody looks.
const GATHERED_UNSEEN: Duration = Duration::from_secs(3);
/// Endpoints in one slice at most.
const SLICE: usize = 100;

/// The Endpoints and the EndpointSlice controller.
#[derive(Default)]
pub struct Endpoints {
    /// Who may select whom. Every change is looked at, and must not cost a search.
    index: RefCell<Index>,
    /// From when on each Service may be looked after again.
    due: HashMap<Key, Time>,
}

#[derive(Default)]
struct Index {
    /// Names of pods by namespace and one label.
    pods: HashMap<u64, BTreeSet<Arc<str>>>,
    /// Services by namespace and the first label they select by.
    services: HashMap<u64, Vec<Key>>,
    selectors: HashMap<Key, Map<String, Value>>,
}

impl Controller for Endpoints {
    fn name(&self) -> &'static str {
        "kube-controller-manager"
    }

    fn wakes(&self, change: &Change, _: &Store, wake: &mut Vec<Key>) {
        let Some(object) = change.object() else { return };
        match &*object.key.kind {
            "pods" => {
                let mut index = self.index.borrow_mut();
                index.update_pod(change);
                let after = change.after.iter();
                let before = change.before.iter().filter(|before| change.after.as_ref().is_none_or(|after| before.labels != after.labels));
                after.chain(before).for_each(|pod| index.selecting(pod, wake));
            }
            SERVICES => {
                self.index.borrow_mut().update_service(change);
                wake.push(object.key.clone());
            }
            // Somebody has removed what this controller made.
            "endpoints" if change.after.is_none() => wake.push(Key { kind: SERVICES.into(), ..object.key.clone() }),
            SLICES if change.after.is_none() => {
                wake.extend(object.label(SERVICE_LABEL).map(|name| Key { kind: SERVICES.into(), name: name.into(), ..object.key.clone() }));
            }
            _ => (),
        }
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Option<Duration> {
        let Some(service) = cx.store.get(key).map(|service| service.value()) else {
            self.due.remove(key);
            let _ = registry::delete(cx.store, &Key { kind: "endpoints".into(), ..key.clone() }, Write::new(cx.now, ""));
            return None;
        };
        let selector = service["spec"]["selector"].as_object().filter(|selector| !selector.is_empty())?;
        let rest = self.rest(cx, key);
        if !rest.is_zero() {
            return Some(rest);
        }
        self.due.insert(key.clone(), cx.now + GATHERED);
        let pods = self.index.borrow().selected(cx.store, key, selector);
        let targets = Targets::of(&service, &pods);
        write_endpoints(cx, &service, &targets);
        write_slices(cx, &service, &targets);
        None
    }
}

impl Endpoints {
    /// How long more changes are to be gathered for a Service.
    fn rest(&mut self, cx: &Cx<'_>, key: &Key) -> Duration {
        let is_unseen = cx.workloads.is_prehistory(cx.now + GATHERED_UNSEEN);
        let due = self.due.get(key).filter(|due| !is_unseen || **due >= cx.now);
        match due {
            Some(due) => between(cx.now, *due),
            None if is_unseen => {
                self.due.insert(key.clone(), cx.now + GATHERED_UNSEEN);
                GATHERED_UNSEEN
            }
            None => Duration::ZERO,
        }
    }
}

impl Index {
    fn update_pod(&mut self, change: &Change) {
        if let (Some(before), Some(after)) = (&change.before, &change.after)
            && before.labels == after.labels
        {
            return;
        }
        for pod in change.before.iter() {
            for place in places(pod) {
                if let Some(names) = self.pods.get_mut(&place) {
                    names.remove(&pod.key.name);
                    if names.is_empty() {
                        self.pods.remove(&place);
                    }
                }
            }
        }
        for pod in change.after.iter() {
            for place in places(pod) {
                self.pods.entry(place).or_default().insert(pod.key.name.clone());
            }
        }
    }

    fn update_service(&mut self, change: &Change) {
        let Some(object) = change.object() else { return };
        if let Some(selector) = self.selectors.remove(&object.key)
            && let Some(services) = first(&object.key, &selector).and_then(|place| self.services.get_mut(&place))
        {
            services.retain(|key| *key != object.key);
        }
        let selector = change.after.as_ref().and_then(|service| service.value()["spec"]["selector"].as_object().cloned());
        if let Some(selector) = selector
            && let Some(place) = first(&object.key, &selector)
        {
            self.services.entry(place).or_default().push(object.key.clone());
            self.selectors.insert(object.key.clone(), selector);
        }
    }

    /// Services that select a pod.
    fn selecting(&self, pod: &Stored, wake: &mut Vec<Key>) {
        let near = places(pod).filter_map(|place| self.services.get(&place)).flatten();
        wake.extend(near.filter(|key| self.selectors.get(key).is_some_and(|selector| all_equal(selector, pod))).cloned());
    }

    /// Pods that a Service selects.
    fn selected(&self, store: &Store, service: &Key, selector: &Map<String, Value>) -> Vec<Arc<Stored>> {
        let places = selector.iter().map(|(name, value)| place(service, name, value.as_str().unwrap_or_default()));
        let Some(rarest) = places.map(|place| self.pods.get(&place)).min_by_key(|names| names.map_or(0, BTreeSet::len)).flatten() else {
            return Vec::new();
        };
        let key = |name: &Arc<str>| Key { kind: "pods".into(), namespace: service.namespace.clone(), name: name.clone() };
        rarest.iter().filter_map(|name| store.get(&key(name))).filter(|pod| all_equal(selector, &***pod)).cloned().collect()
    }
}

fn places(pod: &Stored) -> impl Iterator<Item = u64> {
    pod.labels.iter().map(|(name, value)| place(&pod.key, name, value))
}

fn place(near: &Key, name: &str, value: &str) -> u64 {
    hash(&[&near.namespace, name, value])
}

fn first(service: &Key, selector: &Map<String, Value>) -> Option<u64> {
    selector.iter().next().map(|(name, value)| place(service, name, value.as_str().unwrap_or_default()))
}

/// Where a Service leads.
struct Targets {
    pods: Vec<Target>,
    ports: Vec<Value>,
}

struct Target {
    ip: Box<str>,
    node: Box<str>,
    reference: Value,
    ready: bool,
    serving: bool,
    terminating: bool,
}

impl Targets {
    fn of(service: &Value, pods: &[Arc<Stored>]) -> Self {
        let eager = service["spec"]["publishNotReadyAddresses"] == true;
        let target = |stored: &Arc<Stored>| {
            let pod = Pod::read(stored).filter(|pod| !pod.is_over() && !pod.ip.is_empty())?;
            let reference = json!({"kind": "Pod", "namespace": &*stored.key.namespace, "name": &*pod.name, "uid": &*pod.uid});
            let (serving, terminating) = (pod.is_ready(), pod.deleting);
            let ready = eager || (serving && !terminating);
            Some(Target { reference, ready, serving, terminating, ip: pod.ip, node: pod.node })
        };
        let ports = || service["spec"]["ports"].as_array().into_iter().flatten();
        let example = pods.first().filter(|_| ports().any(|port| port["targetPort"].is_string())).map(|pod| pod.value());
        let ports = ports().filter_map(|port| resolved(port, example.as_ref().unwrap_or(&Value::Null))).collect();
        Self { pods: pods.iter().filter_map(target).collect(), ports }
    }
}

/// A Service's port as the pods have it: a `targetPort` may be the name of one of theirs.
fn resolved(port: &Value, pod: &Value) -> Option<Value> {
    let protocol = port["protocol"].as_str().unwrap_or("TCP");
    let target = if port["targetPort"].is_null() { &port["port"] } else { &port["targetPort"] };
    let named = |name: &str| {
        let mut ports =
            pod["spec"]["containers"].as_array()?.iter().flat_map(|container| container["ports"].as_array().into_iter().flatten());
        ports.find(|port| port["name"] == name)?["containerPort"].as_i64()
    };
    let number = target.as_i64().filter(|number| *number > 0).or_else(|| named(target.as_str()?)).or_else(|| port["port"].as_i64())?;
    let mut found = json!({"name": port["name"].as_str().unwrap_or_default(), "port": number, "protocol": protocol});
    if !port["appProtocol"].is_null() {
        found["appProtocol"] = port["appProtocol"].clone();
    }
    Some(found)
}

fn write_endpoints(cx: &mut Cx<'_>, service: &Value, targets: &Targets) {
    let address = |target: &Target| json!({"ip": &*target.ip, "nodeName": &*target.node, "targetRef": target.reference});
    let list = |ready: bool| {
        let mut picked: Vec<&Target> = targets.pods.iter().filter(|target| !target.terminating && target.ready == ready).collect();
        picked.sort_by(|a, b| a.ip.cmp(&b.ip));
        picked.into_iter().map(address).collect::<Vec<_>>()
    };
    let lists = [("addresses", list(true)), ("notReadyAddresses", list(false))];
    let mut subset: Map<String, Value> =
        lists.into_iter().filter(|(_, list)| !list.is_empty()).map(|(field, list)| (field.into(), list.into())).collect();
    let mut content = json!({});
    if !subset.is_empty() {
        let unnamed = |port: &Value| {
            let mut port = port.clone();
            if port["name"] == "" {
                port.as_object_mut().map(|port| port.remove("name"));
            }
            port
        };
        subset.insert("ports".into(), targets.ports.iter().map(unnamed).collect());
        content["subsets"] = json!([subset]);
    }
    let metadata = json!({
        "name": service["metadata"]["name"], "namespace": service["metadata"]["namespace"],
        "labels": labels(service, "endpoints.kubernetes.io/managed-by", "endpoint-controller"),
    });
    write(cx, "endpoints", None, metadata, content, &["subsets"]);
}

fn write_slices(cx: &mut Cx<'_>, service: &Value, targets: &Targets) {
    let endpoint = |target: &Target| {
        json!({
            "addresses": [&*target.ip], "nodeName": &*target.node, "targetRef": target.reference,
            "conditions": {"ready": target.ready, "serving": target.serving, "terminating": target.terminating},
        })
    };
    let uid = service["metadata"]["uid"].as_str().unwrap_or_default();
    let mut present: Vec<Value> = cx.store.owned(SLICES, uid).map(|slice| slice.value()).collect();
    let mut wanted: Vec<Vec<Value>> = targets.pods.chunks(SLICE).map(|pods| pods.iter().map(endpoint).collect()).collect();
    if wanted.is_empty() {
        wanted.push(Vec::new());
    }
    for surplus in present.drain(wanted.len().min(present.len())..) {
        let _ = registry::delete(cx.store, &super::objects::key_of(SLICES, &surplus), Write::new(cx.now, ""));
    }
    let mut labels = labels(service, "endpointslice.kubernetes.io/managed-by", "endpointslice-controller.k8s.io");
    labels[SERVICE_LABEL] = service["metadata"]["name"].clone();
    for (index, endpoints) in wanted.into_iter().enumerate() {
        let metadata = json!({
            "generateName": format!("{}-", service["metadata"]["name"].as_str().unwrap_or_default()),
            "namespace": service["metadata"]["namespace"], "labels": labels, "ownerReferences": [controlled_by(service)],
        });
        let ports = if endpoints.is_empty() { json!([]) } else { json!(targets.ports) };
        let content = json!({"addressType": "IPv4", "endpoints": endpoints, "ports": ports});
        write(cx, SLICES, present.get(index), metadata, content, &["endpoints", "ports"]);
    }
}

/// The labels of a Service, which what is made for it gets as well.
fn labels(service: &Value, name: &str, value: &str) -> Value {
    let mut labels = service["metadata"]["labels"].clone();
    labels[name] = value.into();
    labels
}

/// Creates or replaces, if there is anything new.
fn write(cx: &mut Cx<'_>, kind: &str, present: Option<&Value>, metadata: Value, content: Value, fields: &[&str]) {
    let found = present.cloned().or_else(|| Some(cx.store.get(&super::objects::key_of(kind, &json!({"metadata": metadata})))?.value()));
    let is_new = |old: &Value| fields.iter().any(|field| old[*field] != content[*field]) || old["metadata"]["labels"] != metadata["labels"];
    if found.as_ref().is_some_and(|old| !is_new(old)) {
        return;
    }
    let namespace = metadata["namespace"].as_str().unwrap_or_default().to_owned();
    let mut object = content;
    object["metadata"] = metadata;
    let write = Write::new(cx.now, "");
    let _ = match found {
        Some(old) => {
            for field in ["name", "generateName", "resourceVersion"] {
                object["metadata"][field] = old["metadata"][field].clone();
            }
            object["apiVersion"] = old["apiVersion"].clone();
            object["kind"] = old["kind"].clone();
            object["metadata"]["annotations"] = triggered(cx.now);
            registry::update(cx.store, kind, object, write)
        }
        None => {
            object["metadata"]["annotations"] = triggered(cx.now);
            registry::create(cx.store, kind, &namespace, object, write)
        }
    };
}

fn triggered(now: Time) -> Value {
    json!({"endpoints.kubernetes.io/last-change-trigger-time": stamp(now)})
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{super::harness::*, *};
    use crate::demo::sim::Sim;

    fn service(selector: Value) -> Value {
        json!({
            "metadata": {"name": "web", "namespace": "shop", "labels": {"team": "a"}},
            "spec": {"selector": selector, "ports": [{"port": 80, "targetPort": "http"}, {"name": "admin", "port": 81, "targetPort": 9000}]},
        })
    }

    fn made(selector: Value) -> Sim {
        let mut sim = sim();
        let mut set = replica_set("web", 3);
        set["spec"]["template"]["spec"]["containers"][0]["ports"] = json!([{"name": "http", "containerPort": 8080}]);
        create(&mut sim, SERVICES, service(selector));
        create(&mut sim, "replicasets.apps", set);
        run(&mut sim, 3.0);
        sim
    }

    fn ready(sim: &Sim) -> (usize, usize) {
        let slices = list(sim, SLICES);
        let in_slices = slices
            .iter()
            .flat_map(|slice| slice["endpoints"].as_array().unwrap())
            .filter(|endpoint| endpoint["conditions"]["ready"] == true);
        let subsets = get(sim, "endpoints", "web")["subsets"].clone();
        (in_slices.count(), subsets[0]["addresses"].as_array().map_or(0, Vec::len))
    }

    #[test]
    fn a_service_leads_to_its_ready_pods() {
        let mut sim = made(json!({"app": "web"}));
        assert_eq!(ready(&sim), (3, 3));
        let slice = &list(&sim, SLICES)[0];
        assert_eq!(
            slice["ports"],
            json!([{"name": "", "port": 8080, "protocol": "TCP"}, {"name": "admin", "port": 9000, "protocol": "TCP"}])
        );
        let labels =
            json!({"team": "a", "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io", SERVICE_LABEL: "web"});
        assert_eq!(slice["metadata"]["labels"], labels);
        assert!(slice["metadata"]["name"].as_str().unwrap().starts_with("web-"));
        patch(&mut sim, "replicasets.apps", "web", &json!({"spec": {"replicas": 1}}));
        run(&mut sim, 1.0);
        assert_eq!(ready(&sim), (1, 1));
    }

    #[test]
    fn unready_pods_are_known_but_not_led_to() {
        let mut sim = made(json!({"app": "web"}));
        let never = crate::demo::workloads::Pods { fate: crate::demo::workloads::Fate::Never, ..Default::default() };
        sim.workloads.set_pods("shop/web", "v1", never);
        run(&mut sim, 5.0);
        assert_eq!(ready(&sim), (0, 0));
        assert_eq!(get(&sim, "endpoints", "web")["subsets"][0]["notReadyAddresses"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn a_flipping_selector_costs_few_writes() {
        let mut sim = made(json!({"app": "web"}));
        let before = sim.store.revision();
        for flip in 0..100 {
            let app = if flip % 2 == 0 { "other" } else { "web" };
            patch(&mut sim, SERVICES, "web", &json!({"spec": {"selector": {"app": app}}}));
            run(&mut sim, 0.02);
        }
        run(&mut sim, 1.0);
        let writes = sim.store.changes_after("endpoints", before).unwrap().count();
        assert!((1..=21).contains(&writes), "{writes}");
        assert_eq!(ready(&sim), (3, 3));
    }

    #[test]
    fn nothing_stays_of_a_deleted_service() {
        let mut sim = made(json!({"app": "web"}));
        sim.store.remove(&Key::new("endpoints", "shop", "web"));
        run(&mut sim, 1.0);
        assert_eq!(ready(&sim), (3, 3));
        sim.store.remove(&Key::new(SERVICES, "shop", "web"));
        run(&mut sim, 1.0);
        assert_eq!((list(&sim, SLICES).len(), list(&sim, "endpoints").len()), (0, 0));
    }
}
