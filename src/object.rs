//! Objects as a cluster serves them: pruned, kept as JSON text, read by the engine that understands them.
//!
//! Text instead of a tree: a thousand rollouts stay in a few megabytes, the engine parses an object
//! once per change into just the fields it needs, and a plan can quote the original value exactly.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};

use crate::{
    model::{Text, Time, Writer},
    settings::Conventions,
};

pub mod packed;

use packed::Packed;

static USUAL: Conventions = Conventions::USUAL;

/// A kind of object, as the API server names it.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Resource {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
}

impl Resource {
    pub const fn new(group: &'static str, version: &'static str, kind: &'static str, plural: &'static str) -> Self {
        Self { group, version, kind, plural }
    }

    /// `rollouts.argoproj.io`, the way RBAC errors and `kubectl auth can-i` say it.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.into() } else { format!("{}.{}", self.plural, self.group) }
    }

    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.into() } else { format!("{}/{}", self.group, self.version) }
    }
}

/// Kinds that several engines read.
pub mod kinds {
    use super::Resource;

    pub static ROLLOUT: Resource = Resource::new("argoproj.io", "v1alpha1", "Rollout", "rollouts");
    pub static CANARY: Resource = Resource::new("flagger.app", "v1beta1", "Canary", "canaries");
    pub static ANALYSIS_RUN: Resource = Resource::new("argoproj.io", "v1alpha1", "AnalysisRun", "analysisruns");
    pub static EXPERIMENT: Resource = Resource::new("argoproj.io", "v1alpha1", "Experiment", "experiments");
    pub static REPLICA_SET: Resource = Resource::new("apps", "v1", "ReplicaSet", "replicasets");
    pub static DEPLOYMENT: Resource = Resource::new("apps", "v1", "Deployment", "deployments");
    pub static STATEFUL_SET: Resource = Resource::new("apps", "v1", "StatefulSet", "statefulsets");
    pub static DAEMON_SET: Resource = Resource::new("apps", "v1", "DaemonSet", "daemonsets");
    pub static CONTROLLER_REVISION: Resource = Resource::new("apps", "v1", "ControllerRevision", "controllerrevisions");
    pub static AUTOSCALER: Resource = Resource::new("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers");
    pub static NAMESPACE: Resource = Resource::new("", "v1", "Namespace", "namespaces");
    pub static POD: Resource = Resource::new("", "v1", "Pod", "pods");
    pub static SERVICE: Resource = Resource::new("", "v1", "Service", "services");
    pub static EVENT: Resource = Resource::new("", "v1", "Event", "events");
    pub static POD_TEMPLATE: Resource = Resource::new("", "v1", "PodTemplate", "podtemplates");
    pub static INGRESS: Resource = Resource::new("networking.k8s.io", "v1", "Ingress", "ingresses");
    pub static VIRTUAL_SERVICE: Resource = Resource::new("networking.istio.io", "v1", "VirtualService", "virtualservices");
    pub static DESTINATION_RULE: Resource = Resource::new("networking.istio.io", "v1", "DestinationRule", "destinationrules");
    pub static HTTP_ROUTE: Resource = Resource::new("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes");
    pub static GRPC_ROUTE: Resource = Resource::new("gateway.networking.k8s.io", "v1", "GRPCRoute", "grpcroutes");
    pub static TRAEFIK_SERVICE: Resource = Resource::new("traefik.io", "v1alpha1", "TraefikService", "traefikservices");
    pub static INGRESS_ROUTE: Resource = Resource::new("traefik.io", "v1alpha1", "IngressRoute", "ingressroutes");
    pub static TRAFFIC_SPLIT: Resource = Resource::new("split.smi-spec.io", "v1alpha2", "TrafficSplit", "trafficsplits");
    pub static HTTP_PROXY: Resource = Resource::new("projectcontour.io", "v1", "HTTPProxy", "httpproxies");
}

/// A controller reference.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnerRef {
    pub kind: Text,
    pub name: Text,
    pub uid: Text,
}

/// What every object has, read once on arrival.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Meta {
    pub namespace: Text,
    pub name: Text,
    pub uid: Text,
    pub resource_version: Text,
    pub generation: i64,
    pub created: Option<Time>,
    pub deleting: Option<Time>,
    /// The owner with `controller: true`.
    pub owner: Option<OwnerRef>,
    /// `managedFields`, reduced to who wrote last and when.
    pub writers: Vec<Writer>,
}

impl Meta {
    /// When somebody last wrote the object itself, not its status.
    pub fn written(&self) -> Option<Time> {
        self.writers.iter().filter(|writer| writer.subresource.is_none()).filter_map(|writer| writer.at).max()
    }
}

#[derive(Deserialize)]
struct Labelled {
    metadata: Labels,
}

#[derive(Deserialize)]
struct Labels {
    #[serde(default)]
    labels: Option<BTreeMap<Text, Text>>,
}

/// Where workloads keep what their pods are made from.
const TEMPLATE: &str = "/spec/template";

/// Kinds of which a cluster has thousands that do not move.
static CALM: [&Resource; 3] = [&kinds::DEPLOYMENT, &kinds::STATEFUL_SET, &kinds::DAEMON_SET];
/// Bytes from which it pays to pack the text of one.
const LONG: usize = 512;

/// One object.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    pub resource: &'static Resource,
    pub meta: Meta,
    json: Json,
    /// The template, where the JSON says of it only what a fleet shows: labels, images, ports, resources.
    template: Option<Packed>,
}

/// The whole of an object less managed fields and other ballast, and with the outline of a template that is kept apart.
#[derive(Debug, Clone, PartialEq)]
enum Json {
    Plain(Box<str>),
    Packed { text: Packed, pod_labels: Box<str> },
}

impl Object {
    /// An object of this JSON; `template` is what it leaves out of a template, `pod_labels` what it says of its pods' labels.
    pub fn new(resource: &'static Resource, meta: Meta, json: String, template: Option<Packed>, pod_labels: &str) -> Self {
        let json = match CALM.contains(&resource) && json.len() > LONG {
            true => Json::Packed { text: Packed::of(&json), pod_labels: pod_labels.into() },
            false => Json::Plain(json.into()),
        };
        Self { resource, meta, json, template }
    }

    /// Its JSON as it is kept: see [`Object::value`] for the whole of it.
    pub fn text(&self) -> Cow<'_, str> {
        match &self.json {
            Json::Plain(text) => Cow::Borrowed(text),
            Json::Packed { text, .. } => Cow::Owned(text.text()),
        }
    }

    /// False only if no label of its pods says this: spares reading each workload of a large namespace.
    pub fn pods_may_say(&self, value: &str) -> bool {
        match &self.json {
            Json::Plain(text) => text.contains(value),
            Json::Packed { pod_labels, .. } => pod_labels.contains(value),
        }
    }

    /// Parses the fields a reader needs. The error names the path of the field that does not fit.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        read(&self.text())
    }

    /// As [`Object::read`], for fields of a template that its outline leaves out.
    pub fn read_whole<T: DeserializeOwned>(&self) -> Result<T, String> {
        read(&self.value().to_string())
    }

    pub fn labels(&self) -> BTreeMap<Text, Text> {
        self.read::<Labelled>().ok().and_then(|object| object.metadata.labels).unwrap_or_default()
    }

    /// Whether its labels and annotations are written as the other's.
    pub fn is_marked_as(&self, other: &Self) -> bool {
        marks(&self.text()) == marks(&other.text())
    }

    /// The whole object, for plans that must quote a part of it.
    pub fn value(&self) -> Value {
        let mut value: Value = serde_json::from_str(&self.text()).unwrap_or_default();
        if let (Some(whole), Some(outline)) = (&self.template, value.pointer_mut(TEMPLATE)) {
            *outline = whole.value();
        }
        value
    }
}

/// Labels and annotations, as they are written.
fn marks(text: &str) -> (Option<&str>, Option<&str>) {
    #[derive(Deserialize)]
    struct Marked<'a> {
        #[serde(borrow)]
        metadata: Marks<'a>,
    }
    #[derive(Deserialize)]
    struct Marks<'a> {
        #[serde(borrow)]
        labels: Option<&'a RawValue>,
        #[serde(borrow)]
        annotations: Option<&'a RawValue>,
    }
    let Ok(Marked { metadata }) = serde_json::from_str::<Marked<'_>>(text) else { return (None, None) };
    (metadata.labels.map(RawValue::get), metadata.annotations.map(RawValue::get))
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    // Keeping the path at hand costs as much again; only an error needs it.
    if let Ok(read) = serde_json::from_str(text) {
        return Ok(read);
    }
    let mut parser = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut parser).map_err(|e| format!("{}: {}", e.path(), e.inner()))
}

/// Which objects of a kind to watch while a rollout is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    pub resource: &'static Resource,
    pub namespace: String,
    pub labels: Option<String>,
    pub fields: Option<String>,
    /// Missing rights or a missing kind here leave the picture whole.
    pub optional: bool,
}

impl Selection {
    /// All of a kind in a namespace, if it can be had.
    pub fn all(resource: &'static Resource, namespace: impl Into<String>) -> Self {
        Self { resource, namespace: namespace.into(), labels: None, fields: None, optional: true }
    }

    /// One object by its name, if it can be had.
    pub fn named(resource: &'static Resource, namespace: impl Into<String>, name: &str) -> Self {
        Self { fields: Some(format!("metadata.name={name}")), ..Self::all(resource, namespace) }
    }

    /// What carries these labels. Without it the picture is not whole.
    pub fn labelled(resource: &'static Resource, namespace: impl Into<String>, labels: impl Into<String>) -> Self {
        Self { labels: Some(labels.into()), optional: false, ..Self::all(resource, namespace) }
    }

    /// What happened to an object, if it can be had.
    pub fn events(object: &Object) -> Self {
        let fields = Some(format!("involvedObject.uid={}", object.meta.uid));
        Self { fields, ..Self::all(&kinds::EVENT, &*object.meta.namespace) }
    }

    /// The name this selects, if it selects by name.
    pub fn name(&self) -> Option<&str> {
        self.fields.as_deref()?.strip_prefix("metadata.name=")
    }
}

/// The objects at hand. Everything by uid, as names come back with another uid.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    kinds: HashMap<&'static Resource, Kind>,
    conventions: Option<Arc<Conventions>>,
}

/// All objects of one kind.
#[derive(Debug, Clone, Default)]
struct Kind {
    by_uid: HashMap<Text, Arc<Object>>,
    /// Namespace, name, and the uid that was last seen under it.
    names: BTreeMap<Text, BTreeMap<Text, Text>>,
}

impl Kind {
    fn put(&mut self, object: Object) {
        let Meta { namespace, name, uid, .. } = &object.meta;
        self.names.entry(namespace.clone()).or_default().insert(name.clone(), uid.clone());
        self.by_uid.insert(uid.clone(), Arc::new(object));
    }

    fn remove(&mut self, uid: &str) -> Option<Arc<Object>> {
        let object = self.by_uid.remove(uid)?;
        if let Some(names) = self.names.get_mut(&object.meta.namespace) {
            // A namesake may have come before this one went.
            names.retain(|name, of| *name != object.meta.name || *of != *uid);
            if names.is_empty() {
                self.names.remove(&object.meta.namespace);
            }
        }
        Some(object)
    }
}

impl Objects {
    /// None yet, under the conventions of this session.
    pub fn under(conventions: Arc<Conventions>) -> Self {
        Self { conventions: Some(conventions), ..Self::default() }
    }

    /// What people here have agreed on; the defaults where nobody said.
    pub fn conventions(&self) -> &Conventions {
        self.conventions.as_deref().unwrap_or(&USUAL)
    }

    pub fn put(&mut self, object: Object) {
        self.kinds.entry(object.resource).or_default().put(object);
    }

    pub fn remove(&mut self, resource: &'static Resource, uid: &str) -> Option<Arc<Object>> {
        self.kinds.get_mut(resource)?.remove(uid)
    }

    pub fn clear(&mut self, resource: &'static Resource) {
        self.kinds.remove(resource);
    }

    pub fn kinds(&self) -> impl Iterator<Item = &'static Resource> {
        self.kinds.keys().copied()
    }

    pub fn iter(&self, resource: &'static Resource) -> impl Iterator<Item = &Arc<Object>> {
        self.kinds.get(resource).into_iter().flat_map(|kind| kind.by_uid.values())
    }

    /// Those of one namespace, by name.
    pub fn within<'a>(&'a self, resource: &'static Resource, namespace: &str) -> impl Iterator<Item = &'a Arc<Object>> {
        let names = self.kinds.get(resource).and_then(|kind| Some((kind, kind.names.get(namespace)?)));
        names.into_iter().flat_map(|(kind, names)| names.values().filter_map(|uid| kind.by_uid.get(uid)))
    }

    pub fn count(&self, resource: &'static Resource) -> usize {
        self.kinds.get(resource).map_or(0, |kind| kind.by_uid.len())
    }

    pub fn uid(&self, resource: &'static Resource, uid: &str) -> Option<&Arc<Object>> {
        self.kinds.get(resource)?.by_uid.get(uid)
    }

    pub fn named(&self, resource: &'static Resource, namespace: &str, name: &str) -> Option<&Arc<Object>> {
        let kind = self.kinds.get(resource)?;
        kind.by_uid.get(kind.names.get(namespace)?.get(name)?)
    }

    pub fn owned_by<'a>(&'a self, resource: &'static Resource, uid: &'a str) -> impl Iterator<Item = &'a Arc<Object>> {
        self.iter(resource).filter(move |o| o.meta.owner.as_ref().is_some_and(|r| r.uid == uid))
    }
}
