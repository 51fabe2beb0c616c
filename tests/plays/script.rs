//! A play: what there is, and what somebody does to it when. Pure data; a stage performs it.

use std::{fmt, time::Duration};

use rolltop::intent::Intent;
use serde_json::Value;

use crate::{cluster::Pods, plugin::Command};

/// Name of the Rollout in every play, and of the Deployment it may refer to.
pub const APP: &str = "app";

#[derive(Debug, Clone)]
pub struct Play {
    pub name: String,
    /// Created in this order, in a namespace of its own.
    pub manifests: Vec<Value>,
    pub moves: Vec<Move>,
    /// Goes on by itself after the moves, at random.
    pub improvise: Option<Improvise>,
}

/// Random moves that make sense where the Rollout then stands.
#[derive(Debug, Clone, Copy)]
pub struct Improvise {
    pub seed: u64,
    pub moves: u32,
}

/// Wait, let some time pass, act.
#[derive(Debug, Clone)]
pub struct Move {
    pub until: Until,
    /// After the awaited state was reached.
    pub after: Duration,
    /// All of them see the state that was waited for, as people do who look at the same screen.
    pub acts: Vec<Act>,
}

/// What to wait for. All but `Quiet` are asked of every version of the Rollout since the last act, so that nothing
/// passes unseen.
#[derive(Debug, Clone)]
pub enum Until {
    /// No wait.
    Now,
    /// Phase, of the newest generation.
    Phase(&'static str),
    /// Waits at the step with this index (0-based).
    PausedAt(i64),
    /// Waits with this reason.
    PausedFor(&'static str),
    /// The message contains this.
    Message(&'static str),
    /// This field (a JSON pointer) has this value; null is also absent.
    Field(&'static str, Value),
    /// Nothing that counts has happened for so long.
    Quiet(Duration),
}

#[derive(Debug, Clone)]
pub enum Act {
    /// What the kubectl plugin sends for this command.
    Plugin(Command),
    /// What rolltop sends for this intent.
    Rolltop(Intent),
    /// A new version, by whoever owns the pod template.
    Release(String, Pods),
    /// Merge patch of the Rollout.
    Spec(Value),
    /// Merge patch of the Rollout's status.
    Status(Value),
    /// Through the scale subresource, as an autoscaler does.
    Scale(u32),
    /// Merge patch of any object: plural kind with its group, name, patch.
    Patch(&'static str, &'static str, Value),
    /// Plural kind with its group, name.
    Delete(&'static str, &'static str),
    /// So many pods of the version that `status` names with this pointer, in order of name.
    DeletePods(&'static str, usize),
    /// Makes pods of that version unready, by their status.
    BreakPods(&'static str),
    /// One more manifest.
    Create(Value),
}

impl Play {
    pub fn new(manifests: Vec<Value>) -> Self {
        Self { name: String::new(), manifests, moves: Vec::new(), improvise: None }
    }

    /// Objects that must be there before all others.
    pub fn with(mut self, mut first: Vec<Value>) -> Self {
        first.append(&mut self.manifests);
        self.manifests = first;
        self
    }

    pub fn when(self, until: Until, acts: impl Into<Vec<Act>>) -> Self {
        self.after(until, Duration::ZERO, acts)
    }

    pub fn after(mut self, until: Until, after: Duration, acts: impl Into<Vec<Act>>) -> Self {
        self.moves.push(Move { until, after, acts: acts.into() });
        self
    }

    /// Waits until the release has come to rest, then acts.
    pub fn rest(self, acts: impl Into<Vec<Act>>) -> Self {
        self.when(REST, acts)
    }

    /// The beginning of most plays: v1 is stable and at rest, v2 is released.
    pub fn update(self) -> Self {
        self.when(Until::Phase("Healthy"), []).rest([Act::release("v2")])
    }
}

/// Long enough that versions made before and after differ in their creation times, which have whole seconds.
pub const REST: Until = Until::Quiet(Duration::from_millis(1_500));

impl Act {
    pub fn release(tag: &str) -> Self {
        Self::Release(tag.into(), Pods::Fast)
    }
}

impl From<Act> for Vec<Act> {
    fn from(act: Act) -> Self {
        vec![act]
    }
}

impl Until {
    /// Whether a version of the Rollout is what is waited for. `Quiet` is the stage's business.
    pub fn holds(&self, rollout: &Value) -> bool {
        let status = &rollout["status"];
        let pauses = || status["pauseConditions"].as_array().map(Vec::as_slice).unwrap_or_default();
        match self {
            Self::Now | Self::Quiet(_) => true,
            Self::Phase(phase) => observed(rollout) && status["phase"] == *phase,
            Self::PausedAt(step) => status["currentStepIndex"] == *step && !pauses().is_empty(),
            Self::PausedFor(reason) => pauses().iter().any(|pause| pause["reason"] == *reason),
            Self::Message(part) => status["message"].as_str().unwrap_or_default().contains(part),
            Self::Field(pointer, value) => rollout.pointer(pointer).unwrap_or(&Value::Null) == value,
        }
    }

    pub fn quiet(&self) -> Option<Duration> {
        if let Self::Quiet(calm) = self { Some(*calm) } else { None }
    }
}

/// Whether the controller has seen the newest spec.
pub fn observed(rollout: &Value) -> bool {
    let seen = rollout["status"]["observedGeneration"].as_str().and_then(|text| text.parse().ok());
    seen.is_some() && seen == rollout["metadata"]["generation"].as_u64()
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => write!(f, "now"),
            Self::Phase(phase) => write!(f, "{phase}"),
            Self::PausedAt(step) => write!(f, "waiting at step {step}"),
            Self::PausedFor(reason) => write!(f, "waiting for {reason}"),
            Self::Message(part) => write!(f, "message has {part:?}"),
            Self::Field(pointer, value) => write!(f, "{pointer} is {value}"),
            Self::Quiet(calm) => write!(f, "at rest for {calm:?}"),
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plugin(command) => write!(f, "kubectl argo rollouts {command}"),
            Self::Rolltop(intent) => write!(f, "rolltop {}", intent.verb().name()),
            Self::Release(tag, Pods::Fast) => write!(f, "release {tag}"),
            Self::Release(tag, pods) => write!(f, "release {tag}, whose pods are {pods:?}"),
            Self::Spec(patch) => write!(f, "patch {patch}"),
            Self::Status(patch) => write!(f, "patch --subresource=status {patch}"),
            Self::Scale(replicas) => write!(f, "scale to {replicas}"),
            Self::Patch(kind, name, patch) => write!(f, "patch {kind} {name} {patch}"),
            Self::Delete(kind, name) => write!(f, "delete {kind} {name}"),
            Self::DeletePods(version, count) => write!(f, "delete {count} pods of {version}"),
            Self::BreakPods(version) => write!(f, "make the pods of {version} unready"),
            Self::Create(object) => write!(f, "create {} {}", object["kind"], object["metadata"]["name"]),
        }
    }
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "when {}", self.until)?;
        if !self.after.is_zero() {
            write!(f, ", {:?} later", self.after)?;
        }
        let acts: Vec<String> = self.acts.iter().map(ToString::to_string).collect();
        if acts.is_empty() { Ok(()) } else { write!(f, ": {}", acts.join("; at once: ")) }
    }
}

impl fmt::Display for Play {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for manifest in
            self.manifests.iter().filter(|m| !["Service", "Ingress", "VirtualService"].contains(&m["kind"].as_str().unwrap_or("")))
        {
            let mut shown = manifest["spec"].clone();
            if manifest["kind"] == "Rollout" {
                ["selector", "template", "revisionHistoryLimit"]
                    .iter()
                    .for_each(|field| drop(shown.as_object_mut().map(|s| s.remove(*field))));
            }
            if manifest["kind"] == "Deployment" {
                shown = serde_json::json!({"replicas": shown["replicas"]});
            }
            writeln!(f, "{} {}: {shown}", manifest["kind"].as_str().unwrap_or(""), manifest["metadata"]["name"].as_str().unwrap_or(""))?;
        }
        self.moves.iter().try_for_each(|one| writeln!(f, "{one}"))?;
        match self.improvise {
            Some(Improvise { seed, moves }) => writeln!(f, "then {moves} moves at random, seed {seed}"),
            None => Ok(()),
        }
    }
}
