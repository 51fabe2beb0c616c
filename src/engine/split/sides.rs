//! What stands behind a backend: its Service, and the workloads whose pods that Service selects.

use std::collections::BTreeMap;

use super::dto::DestinationRule;
use crate::{
    engine::{
        bluegreen::{detect, dto::Deployment, version},
        workload::{dto::Service, pods},
    },
    model::{Pod, Text},
    object::{Object, Objects, Resource, kinds},
    traffic::Target,
};

/// Kinds whose pods a Service may select.
static WORKLOADS: [&Resource; 2] = [&kinds::DEPLOYMENT, &kinds::STATEFUL_SET];

/// One workload; a StatefulSet has the same fields where it matters here.
#[derive(Debug, Clone)]
pub struct Workload<'a>(pub detect::Side<'a>);

impl<'a> Workload<'a> {
    pub fn object(&self) -> &'a Object {
        self.0.object
    }
}

/// One backend.
#[derive(Debug, Clone)]
pub struct Side<'a> {
    pub target: Target,
    name: String,
    pub service: Option<(&'a Object, Service)>,
    /// Istio: where its subset is defined.
    pub rule: Option<&'a Object>,
    /// Labels that its pods have; none when that cannot be told.
    pub labels: Option<BTreeMap<String, String>>,
    pub workloads: Vec<Workload<'a>>,
}

impl<'a> Side<'a> {
    pub fn read(target: &Target, namespace: &str, objects: &'a Objects) -> Self {
        let mut side = Self { target: target.clone(), name: target.name(), service: None, rule: None, labels: None, workloads: Vec::new() };
        if target.elsewhere.is_some() {
            return side;
        }
        let service = objects.named(&kinds::SERVICE, namespace, &target.service);
        side.service = service.and_then(|object| Some((&**object, object.read::<Service>().ok()?)));
        side.labels = side.service.as_ref().map(|(_, s)| s.spec.selector.0.clone()).filter(|labels| !labels.is_empty());
        if let Some(subset) = &target.subset {
            let found = subset_labels(&target.service, subset, namespace, objects);
            side.rule = found.as_ref().map(|(object, _)| *object);
            side.labels = side.labels.zip(found).map(|(labels, (_, more))| labels.into_iter().chain(more).collect());
        }
        side.workloads = side.labels.as_ref().map(|labels| workloads(labels, namespace, objects)).unwrap_or_default();
        side
    }

    /// Each workload that these labels select as a side of its own, by name.
    pub fn alone(labels: &BTreeMap<String, String>, namespace: &str, objects: &'a Objects) -> Vec<Self> {
        let side = |workload: Workload<'a>| {
            let target = Target::service(&workload.object().meta.name);
            Self { name: target.name(), target, service: None, rule: None, labels: None, workloads: vec![workload] }
        };
        workloads(labels, namespace, objects).into_iter().map(side).collect()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn label_selector(&self) -> Option<String> {
        let labels = self.labels.as_ref()?;
        Some(labels.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(","))
    }

    fn sum(&self, of: fn(&detect::Side<'_>) -> u32) -> u32 {
        self.workloads.iter().map(|w| of(&w.0)).fold(0, u32::saturating_add)
    }

    pub fn wanted(&self) -> u32 {
        self.sum(|w| w.wanted())
    }

    pub fn existing(&self) -> u32 {
        self.sum(|w| w.existing())
    }

    pub fn available(&self) -> u32 {
        self.sum(|w| w.dto.status.available_replicas.count())
    }

    pub fn ready(&self) -> u32 {
        self.sum(|w| w.ready())
    }

    /// Whether it is known what stands behind it; without that nothing says how many pods are ready.
    pub fn is_seen(&self) -> bool {
        !self.workloads.is_empty()
    }

    pub fn complete(&self) -> bool {
        self.is_seen() && self.workloads.iter().all(|w| w.0.complete())
    }

    pub fn overdue(&self) -> bool {
        self.workloads.iter().any(|w| w.0.overdue())
    }

    pub fn images(&self) -> Vec<&str> {
        self.workloads.iter().flat_map(|w| version::images(&w.0)).collect()
    }

    /// Images without their registries, or what is behind it when that is not seen.
    pub fn holds(&self) -> String {
        let short: Vec<&str> = self.images().into_iter().map(|i| i.rsplit('/').next().unwrap_or(i)).collect();
        match (&self.target.elsewhere, short.is_empty()) {
            (_, false) => short.join(", "),
            (Some(elsewhere), _) => elsewhere.clone(),
            _ => "no workload is seen".into(),
        }
    }

    pub fn hash(&self, objects: &Objects) -> Text {
        match self.workloads.as_slice() {
            [only] => only.0.hash(objects),
            _ => self.name().into(),
        }
    }

    pub fn pods(&self, objects: &Objects) -> Vec<Pod> {
        let of = |w: &Workload<'_>| [w.0.pods(objects), pods::pods(objects, &w.object().meta.uid)].concat();
        self.workloads.iter().flat_map(of).collect()
    }

    /// The pod template, where one workload stands behind it.
    pub fn template(&self) -> Option<serde_json::Value> {
        match self.workloads.as_slice() {
            [only] => only.object().value().pointer("/spec/template").cloned(),
            _ => None,
        }
    }

    /// Why requests to it fail whatever its pods do.
    pub fn lack(&self) -> Option<String> {
        let Target { service, subset, elsewhere } = &self.target;
        match (elsewhere, &self.service, subset) {
            (Some(_), ..) => None,
            (None, None, _) => Some(format!("there is no Service {service}")),
            (_, _, Some(subset)) if self.rule.is_none() => {
                Some(format!("no DestinationRule here defines the subset {subset} of {service}: its requests fail"))
            }
            _ => None,
        }
    }
}

/// A workload counts for the side that asks for more: a Service `app=web` in front of all selects the canary's pods too.
/// Says whether one did so.
pub fn part<'a>(a: &mut Side<'a>, b: &mut Side<'a>) -> bool {
    let asks = |side: &Side<'_>| side.labels.as_ref().map_or(0, BTreeMap::len);
    let (wide, narrow) = if asks(a) < asks(b) { (a, b) } else { (b, a) };
    let shared = |w: &Workload<'_>| narrow.workloads.iter().any(|n| n.object().meta.uid == w.object().meta.uid);
    let overlaps = wide.workloads.iter().any(&shared);
    if overlaps && asks(wide) < asks(narrow) {
        wide.workloads.retain(|w| !shared(w));
    }
    overlaps
}

/// The DestinationRule of the host that knows the subset.
fn subset_labels<'a>(service: &str, subset: &str, namespace: &str, objects: &'a Objects) -> Option<(&'a Object, BTreeMap<String, String>)> {
    let is_host =
        |host: &str| host == service || host == format!("{service}.{namespace}") || host.starts_with(&format!("{service}.{namespace}.svc"));
    objects.within(&kinds::DESTINATION_RULE, namespace).find_map(|object| {
        let dto: DestinationRule = object.read().ok()?;
        let found = dto.spec.subsets.into_iter().find(|s| s.name == subset).filter(|_| is_host(&dto.spec.host))?;
        Some((&**object, found.labels.0))
    })
}

fn workloads<'a>(labels: &BTreeMap<String, String>, namespace: &str, objects: &'a Objects) -> Vec<Workload<'a>> {
    let all = WORKLOADS.iter().flat_map(|kind| objects.within(kind, namespace));
    // Text first: reading each Deployment of a large namespace once per route would take long.
    let likely = all.filter(|object| labels.values().all(|value| object.pods_may_say(value)));
    let read = likely.filter_map(|object| Some((&**object, object.read::<Deployment>().ok()?)));
    let fits = |dto: &Deployment| labels.iter().all(|(k, v)| dto.spec.template.metadata.labels.get(k) == v.as_str());
    read.filter(|(object, dto)| object.meta.deleting.is_none() && fits(dto))
        .map(|(object, dto)| Workload(detect::Side { object, dto, value: object.meta.name.to_string() }))
        .collect()
}
