//! Pods the way `kubectl get pods` says it, plus why one is not ready.

use super::dto;
use crate::{
    model::{Pod, PodHealth, Text, Time},
    object::{Objects, kinds},
};

/// Pods of one owner, such as a ReplicaSet, those in trouble first.
pub fn pods(objects: &Objects, owner: &str) -> Vec<Pod> {
    let mut pods: Vec<Pod> = objects.owned_by(&kinds::POD, owner).filter_map(|o| o.read::<dto::Pod>().ok()).map(|p| pod(&p)).collect();
    pods.sort_by(|a, b| b.health.cmp(&a.health).then_with(|| a.name.cmp(&b.name)));
    pods
}

/// What a container or the scheduler says when a pod will not start by itself.
const CANNOT_START: [&str; 9] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "Unschedulable",
];

/// The first pod that cannot start.
pub struct Stuck {
    pub pod: Text,
    pub reason: String,
    /// May be empty.
    pub message: String,
}

pub fn stuck(pods: &[Pod]) -> Option<Stuck> {
    pods.iter().find_map(|pod| {
        let (reason, message) = told(pod).filter(|_| pod.health == PodHealth::Failing)?;
        Some(Stuck { pod: pod.name.clone(), reason: reason.into(), message: message.into() })
    })
}

/// Reason and message of a pod that cannot start.
fn told(pod: &Pod) -> Option<(&str, &str)> {
    let trouble = pod.trouble.as_deref()?;
    let (reason, message) = trouble.split_once(": ").unwrap_or((trouble, ""));
    CANNOT_START.contains(&reason).then_some((reason, message))
}

/// Why a pod fails, in one word.
pub fn reason(pod: &Pod) -> &str {
    told(pod).map_or(&pod.status, |(reason, _)| reason)
}

fn pod(p: &dto::Pod) -> Pod {
    let status = status(p);
    let health = health(p, &status);
    let all = &p.status.container_statuses;
    Pod {
        name: (&p.metadata.name).into(),
        health,
        containers: (count(all.iter().filter(|c| c.ready).count()), count(p.spec.containers.len().max(all.len()))),
        restarts: all.iter().map(|c| c.restart_count.count()).fold(0, u32::saturating_add),
        node: (!p.spec.node_name.is_empty()).then(|| (&p.spec.node_name).into()),
        created: p.metadata.creation_timestamp.0,
        last_end: last_end(p),
        trouble: (!matches!(health, PodHealth::Ready | PodHealth::Ending)).then(|| trouble(p, &status)).flatten().map(Text::from),
        status: status.into(),
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn condition<'a>(p: &'a dto::Pod, kind: &str) -> Option<&'a dto::Condition> {
    p.status.conditions.iter().find(|c| c.kind == kind)
}

fn is_ready(p: &dto::Pod) -> bool {
    condition(p, "Ready").is_some_and(|c| c.status == "True")
}

/// kubectl's STATUS column, in kubectl's order.
pub fn status(p: &dto::Pod) -> String {
    let mut reason = if p.status.reason.is_empty() { p.status.phase.clone() } else { p.status.reason.clone() };
    if condition(p, "PodScheduled").is_some_and(|c| c.reason == "SchedulingGated") {
        reason = "SchedulingGated".into();
    }
    match init_reason(p) {
        Some(init) => reason = init,
        None => {
            let mut running = false;
            for c in p.status.container_statuses.iter().rev() {
                match container_reason(&c.state) {
                    Some(said) => reason = said,
                    None => running |= c.ready && c.state.running.is_some(),
                }
            }
            if reason == "Completed" && running {
                reason = if is_ready(p) { "Running".into() } else { "NotReady".into() };
            }
        }
    }
    match (p.metadata.deletion_timestamp.0, p.status.reason.as_str()) {
        (Some(_), "NodeLost") => "Unknown".into(),
        (Some(_), _) if !matches!(p.status.phase.as_str(), "Succeeded" | "Failed") => "Terminating".into(),
        _ => reason,
    }
}

fn container_reason(state: &dto::ContainerState) -> Option<String> {
    if let Some(w) = state.waiting.as_ref().filter(|w| !w.reason.is_empty()) {
        return Some(w.reason.clone());
    }
    state.terminated.as_ref().map(end_reason)
}

fn end_reason(t: &dto::Terminated) -> String {
    match (t.reason.as_str(), t.signal.0) {
        ("", 0) => format!("ExitCode:{}", t.exit_code.0),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.into(),
    }
}

/// What the first unfinished init container says.
fn init_reason(p: &dto::Pod) -> Option<String> {
    let total = p.spec.init_containers.len();
    for (i, c) in p.status.init_container_statuses.iter().enumerate() {
        let sidecar = p.spec.init_containers.iter().any(|s| s.name == c.name && s.restart_policy == "Always");
        match &c.state {
            dto::ContainerState { terminated: Some(t), .. } if t.exit_code.0 == 0 => {}
            _ if sidecar && c.started => {}
            dto::ContainerState { terminated: Some(t), .. } => return Some(format!("Init:{}", end_reason(t))),
            dto::ContainerState { waiting: Some(w), .. } if !matches!(w.reason.as_str(), "" | "PodInitializing") => {
                return Some(format!("Init:{}", w.reason));
            }
            _ => return Some(format!("Init:{i}/{total}")),
        }
    }
    None
}

/// Waiting reasons that mean nothing is wrong yet.
const NORMAL: [&str; 5] = ["ContainerCreating", "PodInitializing", "Pending", "Running", "NotReady"];

fn health(p: &dto::Pod, status: &str) -> PodHealth {
    if p.metadata.deletion_timestamp.0.is_some() {
        return PodHealth::Ending;
    }
    if is_ready(p) {
        return PodHealth::Ready;
    }
    let unschedulable = condition(p, "PodScheduled").is_some_and(|c| c.reason == "Unschedulable");
    let fine = NORMAL.contains(&status) || status == "SchedulingGated" || status.starts_with("Init:") && status.contains('/');
    if unschedulable || !fine { PodHealth::Failing } else { PodHealth::Starting }
}

/// Why it is not ready, the most telling source first.
fn trouble(p: &dto::Pod, status: &str) -> Option<String> {
    if let Some(c) = condition(p, "PodScheduled").filter(|c| c.status == "False") {
        return Some(join(&c.reason, &c.message));
    }
    let all = p.status.init_container_statuses.iter().chain(&p.status.container_statuses);
    for c in all.filter(|c| !c.ready) {
        if let Some(w) = c.state.waiting.as_ref().filter(|w| !w.reason.is_empty()) {
            let last = c.last_state.terminated.as_ref().map(|t| format!("last ended {}", end_words(t)));
            return Some(join(&w.reason, last.as_deref().unwrap_or(&w.message)));
        }
        if let Some(t) = &c.state.terminated {
            return Some(join(&c.name, &format!("ended {}", end_words(t))));
        }
    }
    let gate = p.spec.readiness_gates.iter().find(|g| condition(p, &g.condition_type).is_none_or(|c| c.status != "True"));
    if let Some(gate) = gate {
        return Some(format!("readiness gate {} is not true", gate.condition_type));
    }
    if !p.status.message.is_empty() {
        return Some(join(&p.status.reason, &p.status.message));
    }
    let waiting: Vec<&str> = p.status.container_statuses.iter().filter(|c| !c.ready).map(|c| c.name.as_str()).collect();
    (!waiting.is_empty()).then(|| format!("{status}, not ready: {}", waiting.join(", ")))
}

fn join(what: &str, why: &str) -> String {
    match (what, why) {
        (what, "") => what.into(),
        ("", why) => why.into(),
        (what, why) => format!("{what}: {why}"),
    }
}

/// `OOMKilled (137)`.
fn end_words(t: &dto::Terminated) -> String {
    let code = if t.signal.0 != 0 { format!("signal {}", t.signal.0) } else { t.exit_code.0.to_string() };
    if t.reason.is_empty() { format!("exit {code}") } else { format!("{} ({code})", t.reason) }
}

fn last_end(p: &dto::Pod) -> Option<(Time, Text)> {
    let ends = p.status.container_statuses.iter().flat_map(|c| [&c.last_state.terminated, &c.state.terminated]).flatten();
    ends.filter_map(|t| Some((t.finished_at.0?, end_words(t)))).max().map(|(at, why)| (at, why.into()))
}
