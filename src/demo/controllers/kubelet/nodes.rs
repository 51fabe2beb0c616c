//! The nodes, and which of them takes a pod.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    super::{daemon_set, objects},
    status::Addresses,
};
use crate::{
    demo::{
        registry::{self, Write, stamp, stamp_micro},
        sim::Cx,
        store::{Key, Store},
    },
    model::Time,
};

const NODES: usize = 3;
const LEASES: &str = "leases.coordination.k8s.io";
const LEASE_NAMESPACE: &str = "kube-node-lease";
/// Period of a node's sign of life.
const BEAT: Duration = Duration::from_secs(10);

/// What is known of the nodes.
#[derive(Default)]
pub struct Nodes {
    nodes: Vec<Node>,
    /// Newest revision of a node that was looked at.
    revision: u64,
    /// How many pods were placed so far: they go round.
    placed: usize,
}

struct Node {
    name: String,
    host: String,
    labels: Value,
    is_open: bool,
    /// Pods get addresses in turn.
    addresses: u16,
}

impl Nodes {
    /// A node that takes the pod, or why there is none, in the scheduler's words.
    pub fn pick(&mut self, store: &Store, pod: &Value) -> Result<String, String> {
        if self.nodes.is_empty() {
            self.learn(store);
        }
        // Daemons go where they are sent, and do not wait for a node to be in order.
        let sent = daemon_set::pinned(pod).filter(|sent| self.nodes.iter().any(|node| node.name == *sent));
        if let Some(node) = sent {
            return Ok(node);
        }
        let wanted = pod["spec"]["nodeSelector"].as_object();
        let fits = |node: &&Node| wanted.is_none_or(|wanted| objects::all_equal(wanted, &node.labels));
        let fitting: Vec<&Node> = self.nodes.iter().filter(|node| node.is_open).filter(fits).collect();
        if let Some(node) = fitting.get(self.placed % fitting.len().max(1)) {
            self.placed += 1;
            return Ok(node.name.clone());
        }
        Err(self.why_not())
    }

    fn why_not(&self) -> String {
        let all = self.nodes.len();
        let closed = self.nodes.iter().filter(|node| !node.is_open).count();
        let mut reasons = Vec::new();
        if all > closed {
            reasons.push(format!("{} node(s) didn't match Pod's node affinity/selector", all - closed));
        }
        if closed > 0 {
            reasons.push(format!("{closed} node(s) were unschedulable"));
        }
        refusal(all, &reasons.join(", "), &format!("{all} Preemption is not helpful for scheduling"))
    }

    /// Why a pod that no node has room for is refused.
    pub fn full(&self) -> String {
        let all = self.nodes.len().max(NODES);
        refusal(all, &format!("{all} Insufficient memory"), &format!("{all} No preemption victims found for incoming pod"))
    }

    /// Addresses of a node and of a new pod on it.
    pub fn addresses(&mut self, node: &str) -> Addresses {
        let Some(at) = self.nodes.iter().position(|known| known.name == node) else {
            return Addresses { host: String::new(), pod: String::new() };
        };
        let node = &mut self.nodes[at];
        node.addresses = node.addresses.checked_add(1).unwrap_or(2).max(2);
        let [high, low] = node.addresses.to_be_bytes();
        Addresses { host: node.host.clone(), pod: format!("10.{}.{high}.{low}", 1 + at % 200) }
    }

    /// A node has changed, or it is time for its sign of life.
    pub fn beat(&mut self, cx: &mut Cx<'_>, key: &Key) -> Option<Duration> {
        self.learn(cx.store);
        cx.store.get(key)?;
        if let Some(opening) = cx.workloads.opening().filter(|opening| cx.now < *opening) {
            return Some(objects::between(cx.now, opening));
        }
        let lease = Key::new(LEASES, LEASE_NAMESPACE, &key.name);
        let renewed = cx.store.get(&lease).and_then(|lease| objects::time(&lease.value()["spec"]["renewTime"]));
        let due = renewed.map_or(cx.now, |renewed| renewed + BEAT);
        if due > cx.now {
            return Some(objects::between(cx.now, due));
        }
        renew(cx.store, &key.name, cx.now);
        Some(BEAT)
    }

    fn learn(&mut self, store: &Store) {
        let (newest, count) = store.list("nodes", None).fold((0, 0), |(newest, count), node| (node.revision.max(newest), count + 1));
        if (newest, count) == (self.revision, self.nodes.len()) {
            return;
        }
        self.revision = newest;
        let known = std::mem::take(&mut self.nodes);
        for stored in store.list("nodes", None) {
            let node = stored.value();
            let name = stored.key.name.to_string();
            let internal = node["status"]["addresses"].as_array().into_iter().flatten().find(|address| address["type"] == "InternalIP");
            self.nodes.push(Node {
                host: internal.and_then(|address| address["address"].as_str()).unwrap_or_default().into(),
                labels: node["metadata"]["labels"].clone(),
                is_open: node["spec"]["unschedulable"] != true && is_ready(&node),
                addresses: known.iter().find(|old| old.name == name).map_or(1, |old| old.addresses),
                name,
            });
        }
    }
}

fn is_ready(node: &Value) -> bool {
    objects::condition(&node["status"]["conditions"], "Ready").is_some_and(|ready| ready["status"] == "True")
}

fn refusal(all: usize, reasons: &str, preemption: &str) -> String {
    if all == 0 {
        return "no nodes available to schedule pods".into();
    }
    format!("0/{all} nodes are available: {reasons}. no new claims to deallocate, preemption: 0/{all} nodes are available: {preemption}.")
}

/// Adds the nodes of a new cluster.
pub fn create_nodes(store: &mut Store, now: Time) {
    add_nodes(store, NODES, now);
}

/// Adds nodes up to this number.
pub fn add_nodes(store: &mut Store, count: usize, now: Time) {
    for index in 1..=count {
        // Only a cluster that has them already refuses.
        let _ = registry::create(store, "nodes", "", node(index, now), Write::new(now, "kubelet"));
        renew(store, &format!("node-{index}"), now);
    }
}

fn renew(store: &mut Store, node: &str, now: Time) {
    let lease = json!({
        "metadata": {"name": node, "namespace": LEASE_NAMESPACE},
        "spec": {"holderIdentity": node, "leaseDurationSeconds": 40, "renewTime": stamp_micro(now)},
    });
    let write = Write::new(now, "kubelet");
    if registry::update(store, LEASES, lease.clone(), write).is_err() {
        let _ = registry::create(store, LEASES, LEASE_NAMESPACE, lease, write);
    }
}

fn node(index: usize, now: Time) -> Value {
    let name = format!("node-{index}");
    let room = json!({"cpu": "64", "memory": "263856536Ki", "pods": "5000", "ephemeral-storage": "1055762868Ki", "hugepages-2Mi": "0"});
    let zone = ["a", "b", "c"][(index - 1) % 3];
    json!({
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
                "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64", "topology.kubernetes.io/zone": zone,
            },
        },
        "spec": {"podCIDR": format!("10.{index}.0.0/16"), "podCIDRs": [format!("10.{index}.0.0/16")], "providerID": format!("demo://{name}")},
        "status": {
            "capacity": room, "allocatable": room,
            "addresses": [{"type": "InternalIP", "address": format!("10.0.0.{}", 10 + index)}, {"type": "Hostname", "address": name}],
            "conditions": conditions(now),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {
                "machineID": format!("{index:032x}"), "systemUUID": format!("{index:032x}"), "bootID": format!("{index:032x}"),
                "kernelVersion": "6.12.0", "osImage": "Embedded", "containerRuntimeVersion": "containerd://2.1.4",
                "kubeletVersion": "v1.35.4", "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": "amd64",
            },
        },
    })
}

fn conditions(now: Time) -> Value {
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": stamp(now), "lastTransitionTime": stamp(now),
        })
    };
    json!([
        condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ])
}
