//! What a Rollout asks for.

use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    pub workload_ref: Reference,
    pub strategy: Strategy,
    pub disabled: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reference {
    pub kind: String,
    pub name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Strategy {
    pub paused: bool,
    canary: Option<Plan>,
    blue_green: Option<Plan>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Plan {
    pub steps: Vec<Step>,
    pub traffic_routings: Vec<Routing>,
    enable_extra_workload_for_canary: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Step {
    pub traffic: Option<String>,
    /// A number, or a share.
    pub replicas: Value,
    pub matches: Vec<Value>,
    pub pause: Pause,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pause {
    pub duration: Option<u32>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Routing {
    pub service: String,
    pub grace_period_seconds: Option<u32>,
    pub ingress: Option<Ingress>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ingress {
    pub name: String,
}

/// How new pods come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// In a Deployment of their own.
    Canary,
    /// In place of old ones.
    Partition,
    BlueGreen,
}

impl Spec {
    /// Nothing for a workload that is not looked after here, or without any steps.
    pub fn read(rollout: &Value) -> Option<Self> {
        let spec = Self::deserialize(&rollout["spec"]).ok()?;
        (spec.workload_ref.kind == "Deployment" && !spec.plan()?.steps.is_empty()).then_some(spec)
    }

    pub fn plan(&self) -> Option<&Plan> {
        self.strategy.blue_green.as_ref().or(self.strategy.canary.as_ref())
    }

    pub fn steps(&self) -> &[Step] {
        self.plan().map_or(&[], |plan| &plan.steps)
    }

    pub fn style(&self) -> Style {
        match (&self.strategy.blue_green, &self.strategy.canary) {
            (Some(_), _) => Style::BlueGreen,
            (None, Some(plan)) if plan.enable_extra_workload_for_canary => Style::Canary,
            _ => Style::Partition,
        }
    }

    pub fn routing(&self) -> Option<&Routing> {
        self.plan()?.traffic_routings.first()
    }
}

impl Step {
    pub fn moves_users(&self) -> bool {
        self.traffic.is_some() || !self.matches.is_empty()
    }

    /// The weight on the route, if it has one.
    pub fn weight(&self) -> Option<i64> {
        self.traffic.as_ref()?.trim_end_matches('%').parse().ok()
    }

    pub fn has_all_pods(&self) -> bool {
        self.replicas == "100%"
    }
}
