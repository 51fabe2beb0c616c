//! Performs a play on a stage.

use std::time::Duration;

use rolltop::{
    cluster::decode,
    engine::{Engine, Patch, argo::ARGO},
    intent::Intent,
    object::{Object, Objects, Resource, kinds},
};
use serde_json::{Value, json};

use super::{Body, Request, Stage, kind_of};
use crate::{
    cluster::manifests,
    improvise,
    plugin::{self, Command},
    project,
    record::{Answer, Recording},
    script::{APP, Act, Move, Play, REST, Until},
};

const ROLLOUT: &str = "rollouts.argoproj.io";

/// The longest anything may take in a play.
const PATIENCE: Duration = Duration::from_secs(45);

/// Longer than the deadlines that plays set.
const THE_END: Duration = Duration::from_millis(4_500);

/// Stands in manifests where the address of the stage's Prometheus goes.
pub const PROMETHEUS: &str = "http://PROMETHEUS";

pub async fn perform<S: Stage>(stage: S, play: &Play) -> Recording {
    let mut actor = Actor { stage, since: 0, answers: Vec::new() };
    let stuck = actor.play(play).await.err();
    let Actor { mut stage, answers, .. } = actor;
    let pods = stage.list("pods").await;
    let mut seen = stage.log().seen.clone();
    seen.sort_by_key(|seen| seen.revision);
    let recording = Recording { namespace: stage.namespace().into(), prometheus: stage.prometheus(), seen, answers, pods, stuck };
    stage.close().await;
    recording
}

struct Actor<S> {
    stage: S,
    /// Versions of the Rollout before this revision are not asked any more.
    since: u64,
    answers: Vec<Answer>,
}

impl<S: Stage> Actor<S> {
    async fn play(&mut self, play: &Play) -> Result<(), String> {
        for manifest in &play.manifests {
            self.create(manifest.clone()).await;
        }
        for one in &play.moves {
            self.make(one).await?;
        }
        if let Some(plan) = play.improvise {
            let mut improviser = improvise::Improviser::new(plan.seed);
            for _ in 0..plan.moves {
                let rollout = self.wait(&REST).await?;
                let one = improviser.next(&rollout);
                self.make(&one).await?;
            }
        }
        self.wait(&Until::Quiet(THE_END)).await.map(drop)
    }

    async fn make(&mut self, one: &Move) -> Result<(), String> {
        let rollout = self.wait(&one.until).await?;
        self.pass(one.after.max(self.stage.reaction())).await;
        for act in &one.acts {
            self.act(act, &rollout).await;
        }
        Ok(())
    }

    async fn create(&mut self, manifest: Value) {
        let text = manifest.to_string().replace(PROMETHEUS, &self.stage.prometheus());
        let manifest: Value = serde_json::from_str(&text).unwrap();
        let name = manifest["metadata"]["name"].as_str().unwrap().to_owned();
        let answer = self.stage.send(&Request::new(kind_of(&manifest), name, Body::Create(manifest.clone()))).await;
        let created = answer.unwrap_or_else(|refused| panic!("{refused:?}\n{manifest:#}"));
        self.since = self.since.max(revision(&created));
    }

    /// The version of the Rollout that is what is waited for.
    async fn wait(&mut self, until: &Until) -> Result<Value, String> {
        if let Some(calm) = until.quiet() {
            return self.wait_quiet(calm).await;
        }
        let (begin, mut read) = (self.stage.now(), 0);
        loop {
            let log = &self.stage.log().seen;
            let fresh = log[read..].iter().filter(|seen| seen.kind == ROLLOUT && seen.revision >= self.since && seen.name() == APP);
            for seen in fresh {
                if until.holds(&seen.object) {
                    return Ok(seen.object.clone());
                }
            }
            read = log.len();
            if self.stage.now() - begin > PATIENCE {
                return Err(format!("in vain: {until}; the status was\n{:#}", self.rollout()["status"]));
            }
            self.stage.advance(PATIENCE).await;
        }
    }

    async fn wait_quiet(&mut self, calm: Duration) -> Result<Value, String> {
        let begin = self.stage.now();
        let (mut last, mut read) = (begin, 0);
        let mut unrest = project::Unrest::default();
        loop {
            let log = &self.stage.log().seen;
            for seen in &log[read..] {
                if unrest.notices(seen) {
                    last = last.max(seen.at);
                }
            }
            read = log.len();
            let now = self.stage.now();
            if now >= last + calm {
                return Ok(self.rollout());
            }
            if now - begin > PATIENCE {
                return Err(format!("no rest within {PATIENCE:?}; the status is\n{:#}", self.rollout()["status"]));
            }
            self.stage.advance(last + calm - now).await;
        }
    }

    async fn pass(&mut self, time: Duration) {
        let end = self.stage.now() + time;
        while self.stage.now() < end {
            let left = end - self.stage.now();
            self.stage.advance(left).await;
        }
    }

    /// The newest version of the Rollout.
    fn rollout(&self) -> Value {
        let newest =
            self.stage.log().seen.iter().filter(|seen| seen.kind == ROLLOUT && seen.name() == APP).max_by_key(|seen| seen.revision);
        newest.map(|seen| seen.object.clone()).unwrap_or_default()
    }

    async fn act(&mut self, act: &Act, rollout: &Value) {
        if let Act::Create(manifest) = act {
            return self.create(manifest.clone()).await;
        }
        let requests = self.requests(act, rollout).await;
        let mut said = Vec::new();
        for request in requests {
            match self.stage.send(&request).await {
                Ok(object) => {
                    said.push("200".to_owned());
                    self.since = self.since.max(revision(&object));
                }
                Err(refused) => {
                    said.push(format!("{} {}", refused.code, refused.message));
                    break;
                }
            }
        }
        if said.is_empty() {
            said.push("nothing sent".into());
        }
        self.answers.push(Answer { act: act.to_string(), said: said.join(", ") });
    }

    async fn requests(&mut self, act: &Act, rollout: &Value) -> Vec<Request> {
        let of_rollout = |body| vec![Request::new(ROLLOUT, APP, body)];
        match act {
            Act::Plugin(command) => self.plugin(*command, rollout).await,
            Act::Rolltop(intent) => self.rolltop(intent, rollout).await,
            Act::Release(tag, pods) => {
                let owner = if rollout["spec"]["workloadRef"].is_null() { ROLLOUT } else { "deployments.apps" };
                vec![Request::new(owner, APP, Body::Merge(manifests::release(tag, *pods)))]
            }
            Act::Spec(patch) => of_rollout(Body::Merge(patch.clone())),
            Act::Status(patch) => vec![Request::new(ROLLOUT, APP, Body::Merge(patch.clone())).sub("status")],
            Act::Scale(replicas) => vec![Request::new(ROLLOUT, APP, Body::Merge(json!({"spec": {"replicas": replicas}}))).sub("scale")],
            Act::Patch(kind, name, patch) => vec![Request::new(kind, *name, Body::Merge(patch.clone()))],
            Act::Delete(kind, name) => vec![Request::new(kind, *name, Body::Delete)],
            Act::DeletePods(version, count) => {
                let pods = self.pods_of(version, rollout).await;
                pods.into_iter().take(*count).map(|name| Request::new("pods", name, Body::Delete)).collect()
            }
            Act::BreakPods(version) => {
                let unready = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
                let pods = self.pods_of(version, rollout).await;
                pods.into_iter().map(|name| Request::new("pods", name, Body::Merge(unready.clone())).sub("status")).collect()
            }
            Act::Create(_) => Vec::new(),
        }
    }

    async fn plugin(&mut self, command: Command, rollout: &Value) -> Vec<Request> {
        let owned = |mut all: Vec<Value>| {
            all.retain(|object| object["metadata"]["ownerReferences"][0]["name"] == APP);
            all
        };
        let read = plugin::Read {
            rollout: rollout.clone(),
            replica_sets: owned(self.stage.list("replicasets.apps").await),
            analysis_runs: owned(self.stage.list("analysisruns.argoproj.io").await),
            experiments: owned(self.stage.list("experiments.argoproj.io").await),
            now: self.stage.clock(),
        };
        plugin::requests(command, &read)
    }

    /// The plan of rolltop's engine for what it would have on the screen.
    async fn rolltop(&mut self, intent: &Intent, rollout: &Value) -> Vec<Request> {
        let mut objects = Objects::default();
        let root = object(rollout).expect("a Rollout");
        objects.put(root.clone());
        for kind in ["replicasets.apps", "pods", "services", "analysisruns.argoproj.io", "experiments.argoproj.io", "deployments.apps"] {
            self.stage.list(kind).await.iter().filter_map(object).for_each(|object| objects.put(object));
        }
        let model = ARGO.normalise("play", &root, &objects);
        let now = self.stage.clock().parse().unwrap();
        match ARGO.plan(&model, &root, &objects, intent, now) {
            Ok(plan) => plan.writes.iter().map(request).collect(),
            Err(_) => Vec::new(),
        }
    }

    async fn pods_of(&mut self, version: &str, rollout: &Value) -> Vec<String> {
        let hash = &rollout["status"][version];
        let pods = self.stage.list("pods").await;
        let of_version = pods.iter().filter(|pod| pod["metadata"]["labels"]["rollouts-pod-template-hash"] == *hash);
        let mut names: Vec<String> = of_version.filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned)).collect();
        names.sort();
        names
    }
}

fn request(write: &rolltop::engine::Write) -> Request {
    let Patch::Json(operations) = &write.patch;
    let (kind, ..) = super::KINDS.iter().find(|(id, ..)| *id == write.resource.qualified()).expect("a kind of plays");
    Request { subresource: write.subresource, ..Request::new(kind, write.name.as_str(), Body::Json(operations.clone().into())) }
}

fn revision(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// As rolltop's reader would have it.
fn object(value: &Value) -> Option<Object> {
    let known: [&Resource; 7] =
        [&kinds::ROLLOUT, &kinds::ANALYSIS_RUN, &kinds::EXPERIMENT, &kinds::REPLICA_SET, &kinds::DEPLOYMENT, &kinds::POD, &kinds::SERVICE];
    let resource = known.into_iter().find(|kind| value["kind"] == kind.kind)?;
    decode::object(resource, value.to_string().as_bytes()).ok()
}
