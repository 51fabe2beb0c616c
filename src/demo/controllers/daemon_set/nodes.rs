//! Which nodes take a daemon's pod, and how a pod is bound to one of them.

use serde_json::{Value, json};

use super::super::objects::all_equal;
use crate::demo::store::Store;

/// A node, as far as it decides about daemons.
pub struct Node {
    pub name: String,
    labels: Value,
    taints: Vec<Value>,
}

/// All nodes, by name.
pub fn all(store: &Store) -> Vec<Node> {
    let read = |object: Value| Node {
        name: object["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
        labels: object["metadata"]["labels"].clone(),
        taints: object["spec"]["taints"].as_array().cloned().unwrap_or_default(),
    };
    store.list("nodes", None).map(|node| read(node.value())).collect()
}

impl Node {
    /// Whether a pod with this spec should run here, and whether one that is here may stay.
    pub fn takes(&self, spec: &Value) -> (bool, bool) {
        let is_named = spec["nodeName"].as_str().is_none_or(|name| name.is_empty() || name == self.name);
        let is_selected = spec["nodeSelector"].as_object().is_none_or(|wanted| all_equal(wanted, &self.labels));
        if !(is_named && is_selected) {
            return (false, false);
        }
        let mut tolerant = json!({"tolerations": spec["tolerations"]});
        tolerate_trouble(&mut tolerant);
        let keeps_out = |taint: &&Value| !tolerant["tolerations"].as_array().into_iter().flatten().any(|t| tolerates(t, taint));
        let against = |effect: &str| self.taints.iter().filter(|taint| taint["effect"] == effect).any(|taint| keeps_out(&taint));
        let drives_out = against("NoExecute");
        (!drives_out && !against("NoSchedule"), !drives_out)
    }
}

fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let is_any = |field: &str| toleration[field].as_str().is_none_or(str::is_empty);
    let value = |of: &Value| of["value"].as_str().unwrap_or_default().to_owned();
    (is_any("effect") || toleration["effect"] == taint["effect"])
        && (is_any("key") || toleration["key"] == taint["key"])
        && (toleration["operator"] == "Exists" || value(toleration) == value(taint))
}

/// Daemons stay where others would leave.
pub fn tolerate_trouble(spec: &mut Value) {
    const TROUBLE: &[(&str, &str)] = &[
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    ];
    let mut tolerations = spec["tolerations"].as_array().cloned().unwrap_or_default();
    for (key, effect) in TROUBLE {
        let toleration = json!({"key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": effect});
        if !tolerations.contains(&toleration) {
            tolerations.push(toleration);
        }
    }
    spec["tolerations"] = tolerations.into();
}

/// Where the affinity that daemons get names their node.
const TERMS: &str = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";

/// Binds a pod to a node through its affinity: the scheduler will put it there.
pub fn pin(spec: &mut Value, node: &str) {
    let field = json!({"key": "metadata.name", "operator": "In", "values": [node]});
    let required = &mut spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    match required["nodeSelectorTerms"].as_array_mut() {
        Some(terms) => terms.iter_mut().for_each(|term| term["matchFields"] = json!([field])),
        None => *required = json!({"nodeSelectorTerms": [{"matchFields": [field]}]}),
    }
}

/// The node a pod is bound to.
pub fn pinned(pod: &Value) -> Option<String> {
    let field = pod.pointer(TERMS)?[0]["matchFields"].as_array()?.iter().find(|field| field["key"] == "metadata.name")?;
    field["values"][0].as_str().map(str::to_owned)
}
