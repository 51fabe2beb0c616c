//! Scheduler, kubelets and container runtime: what becomes of pods once they are there.
//!
//! Nothing runs, but everything looks as if it did: pods find a node, pull their image, start, get ready, crash, wait
//! out their back-off, and take a moment to end. How they fare is what [`Workloads`](crate::demo::workloads::Workloads)
//! says of their image's tag, or their label [`FATE_LABEL`].

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use serde_json::Value;

use super::{
    events::{self, Source},
    objects::{between, condition, controller_of, time},
};
use crate::{
    demo::{
        registry::{self, Deletion, Write},
        sim::{Controller, Cx},
        store::{Change, Key, Store},
        workloads::{FATE_LABEL, Fate, Pods},
    },
    model::Time,
};

mod nodes;
mod status;
mod steps;

pub use nodes::{add_nodes, create_nodes};
use steps::{Timing, containers};

/// Pods that found no node try again after this.
const RESCHEDULE: Duration = Duration::from_secs(10);
/// How long containers take to end when asked to.
const STOPPING: Duration = Duration::from_millis(700);
/// How often the nodes look whether the behaviour of a version has changed.
const ATTENTION: Duration = Duration::from_secs(1);

/// What happens to a pod next.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    /// The container starts, or its image cannot be pulled.
    Start,
    /// The readiness probe answers.
    Ready,
    /// The readiness probe does not answer.
    Probe,
    /// The container ends with an error.
    Exit,
    /// Its restart has to wait.
    BackOff,
    Restart,
    /// The pull of its image has to wait.
    PullBackOff,
    /// Its containers have ended.
    Gone,
}

/// The next step of a pod, and what its status does not tell.
#[derive(Debug, Clone, Copy)]
struct Plan {
    at: Time,
    step: Step,
    /// Failed pulls, or failed runs.
    failures: u32,
    /// When the containers were last started; statuses have whole seconds only.
    started: Time,
    /// `0.0..1.0`: how slow this pod is among those of its version.
    luck: f64,
}

/// The controller of pods from their creation to their end.
#[derive(Default)]
pub struct Kubelet {
    plans: HashMap<Key, Plan>,
    /// Pods without a node, which changed nodes may help.
    homeless: HashSet<Key>,
    /// Of the newest pod.
    luck: f64,
    /// Revisions written in this pass, which are no news.
    own: Vec<u64>,
    /// Settled pods that [`Workloads::set_pods`](crate::demo::workloads::Workloads::set_pods) has set going again, by
    /// the time of their next step: nothing in the store tells of that, so the nodes' sign of life looks after them.
    stirred: BTreeSet<(Time, Key)>,
    /// Newest [`Workloads::revision`](crate::demo::workloads::Workloads::revision) acted upon.
    revision: u64,
    /// Names of workloads by the uid of what owns a ReplicaSet: saves parsing the owners of each pod.
    workloads: HashMap<Box<str>, Box<str>>,
    nodes: nodes::Nodes,
}

impl Controller for Kubelet {
    fn name(&self) -> &'static str {
        "kubelet"
    }

    fn wakes(&self, change: &Change, _: &Store, wake: &mut Vec<Key>) {
        let Some(object) = change.object() else { return };
        match &*object.key.kind {
            "pods" if !self.own.contains(&change.revision) => wake.push(object.key.clone()),
            "nodes" => {
                wake.push(object.key.clone());
                wake.extend(self.homeless.iter().cloned());
            }
            _ => (),
        }
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Option<Duration> {
        self.own.clear();
        if *key.kind == *"nodes" { self.beat(cx, key) } else { self.look_after(cx, key) }
    }
}

fn is_ready(pod: &Value) -> bool {
    condition(&pod["status"]["conditions"], "Ready").is_some_and(|ready| ready["status"] == "True")
}

impl Kubelet {
    fn look_after(&mut self, cx: &mut Cx<'_>, key: &Key) -> Option<Duration> {
        let Some(pod) = cx.store.get(key).map(|pod| pod.value()) else {
            self.plans.remove(key);
            self.homeless.remove(key);
            return None;
        };
        let is_deleted = !pod["metadata"]["deletionTimestamp"].is_null();
        match self.plans.get(key).copied() {
            Some(plan) if is_deleted && plan.step != Step::Gone => self.stop(cx, key, &pod),
            None if is_deleted => self.stop(cx, key, &pod),
            Some(plan) if plan.at > cx.now => Some(between(cx.now, plan.at)),
            Some(plan) => self.step(cx, key, pod, plan),
            None => self.admit(cx, key, pod),
        }
    }

    /// A pod without a plan: new, settled, or not ours.
    fn admit(&mut self, cx: &mut Cx<'_>, key: &Key, pod: Value) -> Option<Duration> {
        match pod["status"]["phase"].as_str() {
            Some("Running") => self.reconsider(cx, key, &pod),
            Some("Succeeded" | "Failed") => None,
            _ => self.schedule(cx, key, pod),
        }
    }

    /// A pod that has settled, whose version may by now fare otherwise.
    fn reconsider(&mut self, cx: &mut Cx<'_>, key: &Key, pod: &Value) -> Option<Duration> {
        let pods = self.fortune(cx, pod);
        let step = match pods.fate {
            Fate::CrashLoop | Fate::OutOfMemory => Step::Exit,
            Fate::Never => Step::Probe,
            Fate::Ready | Fate::ImagePull | Fate::Unschedulable => return None,
        };
        let luck = self.draw();
        let delay = pods.after + pods.spread.mul_f64(luck);
        let started = time(&pod["status"]["startTime"]).unwrap_or(cx.now);
        self.plan(cx, key, Plan { at: cx.now + delay, step, failures: 0, started, luck })
    }

    fn schedule(&mut self, cx: &mut Cx<'_>, key: &Key, mut pod: Value) -> Option<Duration> {
        let pods = self.fortune(cx, &pod);
        let luck = self.draw();
        let timing = Timing::of(&pod, pods, luck);
        let node = match self.place(cx, &pod, pods) {
            Ok(node) => node,
            Err(why) => return self.refuse(cx, key, pod, &why),
        };
        self.homeless.remove(key);
        let addresses = self.nodes.addresses(&node);
        if pods.fate == Fate::Ready && cx.workloads.is_prehistory(cx.now + timing.creation + timing.warm_up) {
            // Nobody sees how it gets there.
            status::appear(&mut pod, &node, &addresses, cx.now);
            self.write(cx, key, pod);
            return None;
        }
        let bound = format!("Successfully assigned {}/{} to {node}", key.namespace, key.name);
        events::record_scheduling(cx, &pod, "Normal", "Scheduled", "Binding", &bound);
        status::bind(&mut pod, &node, &addresses, cx.now);
        self.write(cx, key, pod);
        self.plan(cx, key, Plan { at: cx.now + timing.creation, step: Step::Start, failures: 0, started: cx.now, luck })
    }

    /// The node of a pod, or why no node has it.
    fn place(&mut self, cx: &Cx<'_>, pod: &Value, pods: Pods) -> Result<String, String> {
        match pod["spec"]["nodeName"].as_str() {
            Some(node) => Ok(node.to_owned()),
            None if pods.fate == Fate::Unschedulable => Err(self.nodes.full()),
            None => self.nodes.pick(cx.store, pod),
        }
    }

    fn refuse(&mut self, cx: &mut Cx<'_>, key: &Key, mut pod: Value, why: &str) -> Option<Duration> {
        self.homeless.insert(key.clone());
        if status::refuse(&mut pod, why, cx.now) {
            events::record_scheduling(cx, &pod, "Warning", "FailedScheduling", "Scheduling", why);
            self.write(cx, key, pod);
        }
        Some(RESCHEDULE)
    }

    fn step(&mut self, cx: &mut Cx<'_>, key: &Key, mut pod: Value, plan: Plan) -> Option<Duration> {
        let pods = self.fortune(cx, &pod);
        let was_ready = is_ready(&pod);
        let next = match plan.step {
            Step::Gone => {
                self.remove(cx, key);
                return None;
            }
            Step::Start if pods.fate == Fate::ImagePull => steps::fail_pull(cx, &mut pod, plan),
            Step::Start => steps::start(cx, &mut pod, pods, plan, false),
            Step::Restart => steps::start(cx, &mut pod, pods, plan, true),
            Step::Ready => steps::get_ready(cx, &mut pod, pods, plan),
            Step::Probe => steps::probe(cx, &mut pod, pods, plan),
            Step::Exit => steps::exit(cx, &mut pod, pods, plan),
            Step::BackOff => steps::back_off(cx, &mut pod, plan),
            Step::PullBackOff => steps::back_off_pull(cx, &mut pod, plan),
        };
        // A probe that fails again changes nothing.
        if plan.step != Step::Probe || was_ready != is_ready(&pod) {
            self.write(cx, key, pod);
        }
        match next {
            Some(next) => self.plan(cx, key, next),
            None => {
                self.plans.remove(key);
                None
            }
        }
    }

    /// Ends a deleted pod, with the grace it has.
    fn stop(&mut self, cx: &mut Cx<'_>, key: &Key, pod: &Value) -> Option<Duration> {
        let grace = pod["metadata"]["deletionGracePeriodSeconds"].as_u64().map_or(STOPPING, Duration::from_secs);
        if cx.workloads.is_prehistory(cx.now) || grace.is_zero() || pod["spec"]["nodeName"].is_null() {
            self.remove(cx, key);
            return None;
        }
        for name in steps::names(pod) {
            steps::report(cx, pod, &name, "Normal", "Killing", &format!("Stopping container {name}"));
        }
        self.plan(cx, key, Plan { at: cx.now + STOPPING.min(grace), step: Step::Gone, failures: 0, started: cx.now, luck: 0.0 })
    }

    fn remove(&mut self, cx: &mut Cx<'_>, key: &Key) {
        self.plans.remove(key);
        self.homeless.remove(key);
        // As a kubelet reports that nothing runs any more. With finalizers, others have to let go first.
        let done = Deletion { grace: Some(0), ..Deletion::default() };
        if registry::deletion::delete_with(cx.store, key, done, Write::new(cx.now, "")).is_ok() {
            self.own.push(cx.store.revision());
        }
    }

    fn plan(&mut self, cx: &Cx<'_>, key: &Key, plan: Plan) -> Option<Duration> {
        self.plans.insert(key.clone(), plan);
        Some(between(cx.now, plan.at))
    }

    /// Scheduler and kubelet write spec and status, through doors the registry does not have; and most of all writes
    /// are these.
    fn write(&mut self, cx: &mut Cx<'_>, key: &Key, pod: Value) {
        if let Some(stored) = cx.store.put(key.clone(), pod) {
            self.own.push(stored.revision);
        }
    }

    /// A node's sign of life, and what it does besides.
    fn beat(&mut self, cx: &mut Cx<'_>, key: &Key) -> Option<Duration> {
        let again = self.nodes.beat(cx, key)?;
        if cx.workloads.is_prehistory(cx.now) {
            return Some(again);
        }
        self.stir(cx);
        while let Some((_, pod)) = self.stirred.first().filter(|(at, _)| *at <= cx.now).cloned() {
            self.stirred.pop_first();
            if let Some(pause) = self.look_after(cx, &pod) {
                self.stirred.insert((cx.now + pause.max(ATTENTION), pod));
            }
        }
        Some(again.min(ATTENTION))
    }

    /// Sets pods going whose version's behaviour has changed under them.
    fn stir(&mut self, cx: &mut Cx<'_>) {
        if std::mem::replace(&mut self.revision, cx.workloads.revision()) == cx.workloads.revision() {
            return;
        }
        let settled: Vec<Key> =
            cx.store.list("pods", None).map(|pod| &pod.key).filter(|key| !self.plans.contains_key(key)).cloned().collect();
        for key in settled {
            if let Some(pause) = self.look_after(cx, &key) {
                self.stirred.insert((cx.now + pause, key));
            }
        }
    }

    /// The luck of the next pod: evenly spread over any few that follow each other. It goes by their number and by nothing
    /// else, so that what happens elsewhere in a cluster does not change the course of a play.
    fn draw(&mut self) -> f64 {
        const GOLDEN: f64 = 0.381_966_011_250_105;
        self.luck = (self.luck + GOLDEN).fract();
        self.luck
    }

    /// How this pod fares: its label decides, else its version does.
    fn fortune(&mut self, cx: &Cx<'_>, pod: &Value) -> Pods {
        let image = containers(pod).next().and_then(|container| container["image"].as_str()).unwrap_or_default();
        let usual = cx.workloads.pods(&self.workload(cx.store, pod), tag(image));
        match pod["metadata"]["labels"][FATE_LABEL].as_str() {
            Some("slow") => Pods { start_up: Duration::from_secs(5), spread: Duration::ZERO, fate: Fate::Ready, ..usual },
            Some("never") => Pods { fate: Fate::Never, ..usual },
            Some("crash-loop") => Pods { fate: Fate::CrashLoop, ..usual },
            Some("image-pull") => Pods { fate: Fate::ImagePull, ..usual },
            Some("oom") => Pods { fate: Fate::OutOfMemory, after: Duration::from_secs(10), ..usual },
            Some("unschedulable") => Pods { fate: Fate::Unschedulable, ..usual },
            _ => usual,
        }
    }

    /// `namespace/name` of what the pod belongs to in the end: a Rollout, a Deployment, or a ReplicaSet of its own.
    fn workload(&mut self, store: &Store, pod: &Value) -> String {
        let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
        let Some(owner) = controller_of(pod) else {
            return format!("{namespace}/{}", pod["metadata"]["name"].as_str().unwrap_or_default());
        };
        let first = owned_key(owner, namespace);
        let above = store.get(&first).and_then(|first| first.owner.clone());
        if let Some(name) = above.as_ref().and_then(|above| self.workloads.get(above)) {
            return format!("{namespace}/{name}");
        }
        let name = top(store, owner.clone(), namespace);
        if let Some(above) = above {
            self.workloads.insert(above, name.as_str().into());
        }
        format!("{namespace}/{name}")
    }
}

/// The name at the end of a chain of owners. Of Deployments only Knative's are a part of something else.
fn top(store: &Store, mut owner: Value, namespace: &str) -> String {
    while let Some(next) = store.get(&owned_key(&owner, namespace)).and_then(|found| controller_of(&found.value()).cloned()) {
        if owner["kind"] == "Deployment" && !is_knative(&next) {
            break;
        }
        owner = next;
    }
    owner["name"].as_str().unwrap_or_default().to_owned()
}

/// Where an owner is, if it is of a kind that may be owned itself.
fn owned_key(owner: &Value, namespace: &str) -> Key {
    let is_knative = is_knative(owner);
    let plural = match owner["kind"].as_str() {
        Some("ReplicaSet") => "replicasets.apps",
        Some("Deployment") => "deployments.apps",
        Some("Experiment") => "experiments.argoproj.io",
        Some("Job") => "jobs.batch",
        Some("Revision") if is_knative => "revisions.serving.knative.dev",
        Some("Configuration") if is_knative => "configurations.serving.knative.dev",
        Some("Service") if is_knative => "services.serving.knative.dev",
        _ => "",
    };
    Key::new(plural, namespace, owner["name"].as_str().unwrap_or_default())
}

fn is_knative(owner: &Value) -> bool {
    owner["apiVersion"].as_str().is_some_and(|version| version.starts_with("serving.knative.dev/"))
}

/// The tag of an image, which may have a port in its registry and a digest at its end.
fn tag(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    last.split_once(':').map_or("latest", |(_, tag)| tag)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::{super::harness::*, *};
    use crate::demo::sim::Sim;

    const SETS: &str = "replicasets.apps";

    fn one(label: &str) -> Sim {
        let mut sim = sim();
        let mut set = replica_set("web", 1);
        if !label.is_empty() {
            set["spec"]["template"]["metadata"]["labels"][FATE_LABEL] = label.into();
        }
        create(&mut sim, SETS, set);
        sim
    }

    /// What `kubectl get pods` would say, each time it changes, with the second it is first seen.
    fn watch(sim: &mut Sim, seconds: u32) -> Vec<(u32, String)> {
        let mut seen: Vec<(u32, String)> = Vec::new();
        for tenth in 1..=seconds * 10 {
            run(sim, 0.1);
            let words = pods(sim).first().map(words).unwrap_or_default();
            if seen.last().is_none_or(|(_, last)| *last != words) {
                seen.push((tenth / 10, words));
            }
        }
        seen
    }

    fn words(pod: &Value) -> String {
        let container = &pod["status"]["containerStatuses"][0];
        let state = ["waiting", "terminated"].iter().find_map(|kind| container["state"][kind]["reason"].as_str());
        let state = state.or(pod["status"]["phase"].as_str()).unwrap_or_default();
        format!("{}/1 {state} {}", u8::from(is_ready(pod)), container["restartCount"])
    }

    fn said(seen: &[(u32, String)]) -> Vec<&str> {
        seen.iter().map(|(_, words)| words.as_str()).collect()
    }

    #[test]
    fn a_good_pod_gets_ready_and_looks_like_one() {
        let mut sim = one("");
        run(&mut sim, 2.0);
        let pod = &pods(&sim)[0];
        let ready = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];
        assert!(ready.iter().all(|kind| condition(&pod["status"]["conditions"], kind).unwrap()["status"] == "True"));
        let container = &pod["status"]["containerStatuses"][0];
        assert!(container["imageID"].as_str().unwrap().starts_with("docker.io/library/app@sha256:"), "{container}");
        assert!(pod["status"]["podIP"].as_str().unwrap().starts_with("10.1."));
        assert_eq!((&pod["spec"]["nodeName"], &pod["status"]["hostIP"]), (&json!("node-1"), &json!("10.0.0.11")));
        let name = pod["metadata"]["name"].as_str().unwrap();
        let events = events(&sim, name);
        assert_eq!(events[0], format!("Scheduled: Successfully assigned shop/{name} to node-1"));
        assert_eq!(events[events.len() - 2..], ["Created: Container created", "Started: Container started"]);
    }

    #[test]
    fn a_probed_pod_runs_before_it_is_ready() {
        let mut sim = sim();
        let mut set = replica_set("web", 1);
        set["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = json!({"httpGet": {"path": "/", "port": 80}});
        create(&mut sim, SETS, set);
        let seen = watch(&mut sim, 2);
        assert_eq!(said(&seen)[said(&seen).len() - 3..], ["0/1 ContainerCreating 0", "0/1 Running 0", "1/1 Running 0"]);
    }

    #[test]
    fn slow_and_never_ready_pods() {
        assert_eq!(watch(&mut one("slow"), 10).last().unwrap(), &(5, "1/1 Running 0".into()));
        let mut sim = one("never");
        assert_eq!(watch(&mut sim, 60).last().unwrap().1, "0/1 Running 0");
        let name = pods(&sim)[0]["metadata"]["name"].as_str().unwrap().to_owned();
        assert!(events(&sim, &name).contains(&"Unhealthy: Readiness probe failed: HTTP probe failed with statuscode: 503".to_owned()));
    }

    #[test]
    fn a_crash_loop_waits_longer_each_time() {
        let mut sim = one("crash-loop");
        let seen = watch(&mut sim, 120);
        let loops: Vec<&str> = said(&seen).into_iter().skip_while(|words| !words.contains("Running")).collect();
        let first = ["0/1 Running 0", "0/1 Error 0", "0/1 Running 1", "0/1 Error 1", "0/1 CrashLoopBackOff 1", "0/1 Running 2"];
        assert_eq!(loops[..6], first);
        let restarts: Vec<u32> = seen.iter().filter(|(_, words)| words.contains("Running")).map(|(at, _)| *at).collect();
        let gaps: Vec<u32> = restarts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps[1..4].iter().zip([11, 21, 41]).all(|(gap, wanted)| gap.abs_diff(wanted) <= 1), "{gaps:?}");
        let state = &pods(&sim)[0]["status"]["containerStatuses"][0];
        assert_eq!(state["lastState"]["terminated"]["exitCode"], 1);
        let message = state["state"]["waiting"]["message"].as_str().unwrap();
        assert!(message.starts_with("back-off 1m20s restarting failed container=app pod=web-"), "{message}");
    }

    #[test]
    fn out_of_memory_is_ready_until_it_is_killed() {
        let mut sim = one("oom");
        let seen = watch(&mut sim, 30);
        assert!(said(&seen).windows(3).any(|w| w == ["1/1 Running 0", "0/1 OOMKilled 0", "1/1 Running 1"]), "{seen:?}");
        assert_eq!(pods(&sim)[0]["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 137);
    }

    #[test]
    fn an_image_that_is_not_there() {
        let mut sim = one("image-pull");
        let seen = watch(&mut sim, 40);
        let states: Vec<&str> = said(&seen).into_iter().filter(|words| words.contains("Pull")).collect();
        assert_eq!(states[..4], ["0/1 ErrImagePull 0", "0/1 ImagePullBackOff 0", "0/1 ErrImagePull 0", "0/1 ImagePullBackOff 0"]);
        let name = pods(&sim)[0]["metadata"]["name"].as_str().unwrap().to_owned();
        assert!(events(&sim, &name).contains(&"BackOff: Back-off pulling image \"app:v1\"".to_owned()));
    }

    #[test]
    fn no_room_and_no_such_node() {
        let mut sim = one("unschedulable");
        run(&mut sim, 60.0);
        let name = pods(&sim)[0]["metadata"]["name"].as_str().unwrap().to_owned();
        let told = events(&sim, &name);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("FailedScheduling: 0/3 nodes are available: 3 Insufficient memory. no new claims"), "{told:?}");
        patch(&mut sim, "pods", &name, &json!({"metadata": {"labels": {FATE_LABEL: null}}, "spec": {"nodeSelector": {"disk": "fast"}}}));
        run(&mut sim, 1.0);
        let message = pods(&sim)[0]["status"]["conditions"][0]["message"].clone();
        // As recorded from the real scheduler.
        let real = "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.";
        assert_eq!(message, real);
        let mut node = sim.store.get(&Key::new("nodes", "", "node-2")).unwrap().value();
        node["metadata"]["labels"]["disk"] = "fast".into();
        sim.store.put(Key::new("nodes", "", "node-2"), node);
        run(&mut sim, 2.0);
        assert_eq!((words(&pods(&sim)[0]), &pods(&sim)[0]["spec"]["nodeName"]), ("1/1 Running 0".into(), &json!("node-2")));
    }

    #[test]
    fn a_version_can_turn_bad_under_its_pods() {
        let mut sim = one("");
        run(&mut sim, 5.0);
        let bad = Pods { fate: Fate::CrashLoop, ..Pods::default() };
        sim.workloads.set_pods("shop/web", "v1", bad);
        assert!(watch(&mut sim, 30).iter().any(|(_, words)| words == "0/1 CrashLoopBackOff 1"));
        sim.workloads.set_pods("shop/web", "v1", Pods::default());
        assert!(watch(&mut sim, 30).last().unwrap().1.starts_with("1/1 Running"));
    }

    #[test]
    fn deleted_pods_take_a_moment_to_end() {
        let mut sim = one("");
        run(&mut sim, 2.0);
        let mut pod = pods(&sim).remove(0);
        let key = Key::new("pods", "shop", pod["metadata"]["name"].as_str().unwrap());
        pod["metadata"]["deletionTimestamp"] = "2026-11-21T08:00:32Z".into();
        pod["metadata"]["deletionGracePeriodSeconds"] = 30.into();
        sim.store.put(key.clone(), pod);
        run(&mut sim, 0.5);
        assert!(sim.store.get(&key).is_some());
        assert_eq!((pods(&sim).len(), &get(&sim, SETS, "web")["status"]["terminatingReplicas"]), (2, &json!(1)));
        run(&mut sim, 0.5);
        assert!(sim.store.get(&key).is_none());
        assert!(events(&sim, &key.name).contains(&"Killing: Stopping container app".to_owned()));
    }

    #[test]
    fn prehistory_takes_a_short_cut_to_the_same_pods() {
        let mut sim = one("");
        sim.workloads.open_at(epoch() + Duration::from_secs(10_000));
        let before = sim.store.revision();
        run(&mut sim, 5.0);
        assert_eq!(words(&pods(&sim)[0]), "1/1 Running 0");
        assert!(list(&sim, "events").is_empty());
        let writes = sim.store.changes_after("pods", before).unwrap().count();
        assert_eq!(writes, 2);
    }

    #[test]
    fn tags_of_images() {
        let cases = [("app:v2", "v2"), ("app", "latest"), ("reg:5000/team/app:v3@sha256:abc", "v3"), ("reg:5000/app", "latest")];
        assert!(cases.iter().all(|(image, wanted)| tag(image) == *wanted));
    }
}
