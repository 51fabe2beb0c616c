//! What a Rollout asks for, as far as the controller reads it.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use crate::model::Time;

/// `metadata` of any object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Meta {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub generation: i64,
    pub creation_timestamp: Option<Time>,
    pub deletion_timestamp: Option<Time>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

impl Meta {
    pub fn annotation(&self, name: &str) -> &str {
        self.annotations.get(name).map_or("", String::as_str)
    }

    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    /// 0 if there is none, as for the first version before it has one.
    pub fn revision(&self) -> i64 {
        self.annotation(super::names::REVISION).parse().unwrap_or(0)
    }

    /// Whether this was created before the other. Times have whole seconds, so of two versions made within one second
    /// neither is the older.
    pub fn is_older_than(&self, other: &Self) -> bool {
        self.creation_timestamp < other.creation_timestamp
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    pub replicas: Option<i64>,
    pub selector: Option<Selector>,
    /// The pod template as it is written. With a `workloadRef` the workload's.
    pub template: Option<Box<RawValue>>,
    pub workload_ref: Option<WorkloadRef>,
    pub strategy: Strategy,
    pub paused: bool,
    pub restart_at: Option<Time>,
    pub min_ready_seconds: i64,
    pub progress_deadline_seconds: Option<i64>,
    pub progress_deadline_abort: bool,
    pub revision_history_limit: Option<i64>,
    pub rollback_window: Option<RollbackWindow>,
    pub analysis: Option<RunHistory>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WorkloadRef {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scale_down: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RollbackWindow {
    pub revisions: i64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RunHistory {
    pub successful_run_history_limit: Option<i64>,
    pub unsuccessful_run_history_limit: Option<i64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Strategy {
    pub canary: Option<Canary>,
    pub blue_green: Option<BlueGreen>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Canary {
    pub canary_service: String,
    pub stable_service: String,
    pub steps: Vec<Step>,
    pub traffic_routing: Option<TrafficRouting>,
    pub max_surge: Option<IntOrString>,
    pub max_unavailable: Option<IntOrString>,
    pub analysis: Option<BackgroundAnalysis>,
    pub dynamic_stable_scale: bool,
    pub scale_down_delay_seconds: Option<i64>,
    pub scale_down_delay_revision_limit: Option<i64>,
    pub abort_scale_down_delay_seconds: Option<i64>,
    pub min_pods_per_replica_set: Option<i64>,
    pub replica_progress_threshold: Option<Threshold>,
    pub canary_metadata: Option<PodMetadata>,
    pub stable_metadata: Option<PodMetadata>,
    pub anti_affinity: Option<Value>,
    pub ping_pong: Option<PingPong>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BlueGreen {
    pub active_service: String,
    pub preview_service: String,
    pub preview_replica_count: Option<i64>,
    pub auto_promotion_enabled: Option<bool>,
    pub auto_promotion_seconds: i64,
    pub max_unavailable: Option<IntOrString>,
    pub scale_down_delay_seconds: Option<i64>,
    pub scale_down_delay_revision_limit: Option<i64>,
    pub abort_scale_down_delay_seconds: Option<i64>,
    pub pre_promotion_analysis: Option<Analysis>,
    pub post_promotion_analysis: Option<Analysis>,
    pub preview_metadata: Option<PodMetadata>,
    pub active_metadata: Option<PodMetadata>,
    pub anti_affinity: Option<Value>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PingPong {
    pub ping_service: String,
    pub pong_service: String,
}

/// Which routers carry the weights. Those not named here are unknown to the embedded cluster.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TrafficRouting {
    pub nginx: Option<Nginx>,
    pub istio: Option<Istio>,
    pub traefik: Option<Traefik>,
    pub alb: Option<Value>,
    pub apisix: Option<Value>,
    pub smi: Option<Value>,
    pub ambassador: Option<Value>,
    pub app_mesh: Option<Value>,
    /// By the plugin's name; `argoproj-labs/gatewayAPI` is known.
    pub plugins: BTreeMap<String, Value>,
    pub managed_routes: Option<Vec<Named>>,
    pub max_traffic_weight: Option<i64>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Named {
    pub name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Nginx {
    pub annotation_prefix: String,
    pub stable_ingress: String,
    pub stable_ingresses: Vec<String>,
    pub additional_ingress_annotations: BTreeMap<String, String>,
    pub canary_ingress_annotations: BTreeMap<String, String>,
}

impl Nginx {
    /// The Ingresses that are given a canary of their own.
    pub fn ingresses(&self) -> &[String] {
        if self.stable_ingresses.is_empty() { std::slice::from_ref(&self.stable_ingress) } else { &self.stable_ingresses }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Istio {
    pub virtual_service: Option<VirtualService>,
    pub virtual_services: Vec<VirtualService>,
    pub destination_rule: Option<DestinationRule>,
}

impl Istio {
    pub fn all(&self) -> impl Iterator<Item = &VirtualService> {
        let several = !self.virtual_services.is_empty();
        self.virtual_services.iter().chain(self.virtual_service.iter().filter(move |_| !several))
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct VirtualService {
    /// May be `name.namespace`.
    pub name: String,
    pub routes: Vec<String>,
}

impl VirtualService {
    /// Namespace and name; the namespace is the rollout's unless the name says otherwise.
    pub fn place<'a>(&'a self, namespace: &'a str) -> (&'a str, &'a str) {
        let name = self.name.strip_suffix(".cluster.local").unwrap_or(&self.name);
        name.rsplit_once('.').map_or((namespace, name), |(name, namespace)| (namespace, name))
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DestinationRule {
    pub name: String,
    pub canary_subset_name: String,
    pub stable_subset_name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Traefik {
    pub weighted_traefik_service_name: String,
}

/// When a step may go on before all pods are available.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Threshold {
    /// `Percent` or `Pods`.
    #[serde(rename = "type")]
    pub kind: String,
    pub value: i64,
}

/// Metadata that pods wear while their version has a role.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct PodMetadata {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A canary step. Exactly one field should be set; which ones are is for the validation to judge.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Step {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_weight: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<PauseStep>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment: Option<ExperimentStep>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Analysis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_canary_scale: Option<CanaryScale>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_header_route: Option<ManagedRoute>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_mirror_route: Option<ManagedRoute>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<Plugin>,
}

impl Step {
    /// Whether a step may take any time, so that no progress is expected of it.
    pub fn is_open_ended(&self) -> bool {
        self.experiment.is_some() || self.analysis.is_some() || self.pause.is_some()
    }
}

/// As events name a step.
impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self { set_weight: Some(weight), .. } => write!(f, "setWeight: {weight}"),
            Self { pause: Some(PauseStep { duration: Some(duration) }), .. } => write!(f, "pause: {duration}"),
            Self { pause: Some(_), .. } => write!(f, "pause"),
            Self { experiment: Some(_), .. } => write!(f, "experiment"),
            Self { analysis: Some(_), .. } => write!(f, "analysis"),
            Self { set_canary_scale: Some(scale), .. } => write!(f, "setCanaryScale{{{scale}}}"),
            Self { plugin: Some(plugin), .. } => write!(f, "plugin: {}", plugin.name),
            Self { set_header_route: Some(route), .. } => write!(f, "setHeaderRoute: {}", route.name),
            Self { set_mirror_route: Some(route), .. } => write!(f, "setMirrorRoute: {}", route.name),
            _ => write!(f, "invalid"),
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct PauseStep {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<IntOrString>,
}

impl PauseStep {
    /// 0 without a duration; -1 if nobody can read it, which the validation refuses.
    pub fn seconds(&self) -> i64 {
        match &self.duration {
            None => 0,
            Some(IntOrString::Int(seconds)) => *seconds,
            Some(IntOrString::Text(text)) => text.parse().ok().or_else(|| go_duration(text).map(|d| d as i64)).unwrap_or(-1),
        }
    }
}

/// `1h30m`, `1.5s`, `-2ms`: seconds of a duration as Go writes it.
fn go_duration(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 8] =
        [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("μs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (unit, factor) = UNITS.iter().filter(|(unit, _)| rest.starts_with(unit)).max_by_key(|(unit, _)| unit.len())?;
        seconds += number * factor;
        rest = &rest[unit.len()..];
    }
    (!text.is_empty()).then_some(sign * seconds)
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CanaryScale {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub match_traffic_weight: bool,
}

impl std::fmt::Display for CanaryScale {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self { weight: Some(weight), .. } => write!(f, "weight: {weight}"),
            Self { match_traffic_weight: true, .. } => write!(f, "matchTrafficWeight: true"),
            Self { replicas, .. } => write!(f, "replicas: {}", replicas.unwrap_or_default()),
        }
    }
}

/// A route that a step puts before all others, or takes away if it matches nothing.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct ManagedRoute {
    pub name: String,
    #[serde(rename = "match", skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentage: Option<i64>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Plugin {
    pub name: String,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub config: Value,
}

/// Which analysis templates to run, and with what.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Analysis {
    /// `templateName`, `clusterScope`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<Arg>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dry_run: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub measurement_retention: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analysis_run_metadata: Option<PodMetadata>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BackgroundAnalysis {
    #[serde(flatten)]
    pub analysis: Analysis,
    pub starting_step: Option<i64>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Arg {
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_from: Option<ArgSource>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ArgSource {
    /// `Stable` or `Latest`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_template_hash_value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field_ref: Option<FieldRef>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FieldRef {
    pub field_path: String,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExperimentStep {
    pub templates: Vec<ExperimentTemplate>,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub duration: Value,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub analyses: Vec<ExperimentAnalysis>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dry_run: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_down_delay_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analysis_run_metadata: Option<PodMetadata>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExperimentTemplate {
    pub name: String,
    /// `canary` or `stable`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub spec_ref: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i64>,
    pub metadata: PodMetadata,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub selector: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<ExperimentService>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct ExperimentService {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExperimentAnalysis {
    pub name: String,
    pub template_name: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cluster_scope: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<Arg>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub required_for_completion: bool,
}

/// A label selector.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Selector {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<Expression>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Expression {
    pub key: String,
    pub operator: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

impl Selector {
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }

    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|e| e.matches(labels))
    }
}

impl Expression {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let listed = value.is_some_and(|value| self.values.contains(value));
        match self.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            "Exists" => value.is_some(),
            _ => value.is_none(),
        }
    }
}

/// As in `status.selector`: requirements by key, `<none>` for an empty selector.
impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts: Vec<(&str, String)> =
            self.match_labels.iter().map(|(key, value)| (key.as_str(), format!("{key}={value}"))).collect();
        parts.extend(self.match_expressions.iter().map(|e| (e.key.as_str(), e.to_string())));
        parts.sort();
        let parts: Vec<String> = parts.into_iter().map(|(_, text)| text).collect();
        write!(f, "{}", if parts.is_empty() { "<none>".into() } else { parts.join(",") })
    }
}

impl std::fmt::Display for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (key, mut values) = (&self.key, self.values.clone());
        values.sort();
        match self.operator.as_str() {
            "In" => write!(f, "{key} in ({})", values.join(",")),
            "NotIn" => write!(f, "{key} notin ({})", values.join(",")),
            "Exists" => write!(f, "{key}"),
            _ => write!(f, "!{key}"),
        }
    }
}

/// A number, or a text that is mostly a percentage.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum IntOrString {
    Int(i64),
    Text(String),
}

impl std::fmt::Display for IntOrString {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Int(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text}"),
        }
    }
}

impl IntOrString {
    /// A number, or the share of `total` that a percentage means. A text is always a percentage, even without `%`.
    pub fn of(&self, total: i64, round_up: bool) -> i64 {
        match self {
            Self::Int(number) => *number,
            Self::Text(text) => {
                let percent: i64 = text.replace('%', "").parse().unwrap_or_default();
                let exact = percent * total;
                if round_up { exact.div_euclid(100) + i64::from(exact.rem_euclid(100) > 0) } else { exact.div_euclid(100) }
            }
        }
    }

    /// The bare number of either form, which the validation looks at.
    pub fn number(&self) -> i64 {
        match self {
            Self::Int(number) => *number,
            Self::Text(text) => text.strip_suffix('%').unwrap_or(text).parse().unwrap_or_default(),
        }
    }
}

/// Fields that mean something when they are absent.
impl Spec {
    pub fn replicas(&self) -> i64 {
        self.replicas.unwrap_or(1)
    }

    pub fn progress_deadline(&self) -> Duration {
        Duration::from_secs(self.progress_deadline_seconds.unwrap_or(600).try_into().unwrap_or_default())
    }

    pub fn revision_history_limit(&self) -> usize {
        self.revision_history_limit.unwrap_or(10).try_into().unwrap_or_default()
    }

    /// How many finished runs to keep: successful ones, others.
    pub fn run_limits(&self) -> (usize, usize) {
        let limit = |limit: Option<i64>| limit.unwrap_or(5).try_into().unwrap_or_default();
        let history = self.analysis.as_ref();
        (limit(history.and_then(|h| h.successful_run_history_limit)), limit(history.and_then(|h| h.unsuccessful_run_history_limit)))
    }

    pub fn canary(&self) -> Option<&Canary> {
        self.strategy.canary.as_ref()
    }

    /// Blue-green wins where both strategies are given and the validation has not yet said so.
    pub fn blue_green(&self) -> Option<&BlueGreen> {
        self.strategy.blue_green.as_ref()
    }

    pub fn router(&self) -> Option<&TrafficRouting> {
        self.canary()?.traffic_routing.as_ref()
    }

    pub fn steps(&self) -> &[Step] {
        self.canary().map_or(&[], |canary| &canary.steps)
    }

    pub fn max_weight(&self) -> i64 {
        self.router().and_then(|router| router.max_traffic_weight).unwrap_or(100)
    }

    pub fn is_dynamic(&self) -> bool {
        self.canary().is_some_and(|canary| canary.dynamic_stable_scale)
    }

    /// How long the old version keeps its pods after the new one took over.
    pub fn scale_down_delay(&self) -> Duration {
        let seconds = match (self.blue_green(), self.canary()) {
            (Some(blue_green), _) => blue_green.scale_down_delay_seconds.unwrap_or(30),
            (_, Some(canary)) if canary.traffic_routing.is_some() => canary.scale_down_delay_seconds.unwrap_or(30),
            _ => 0,
        };
        Duration::from_secs(seconds.try_into().unwrap_or_default())
    }

    /// How long the new version keeps its pods after an abort; `None` for ever.
    pub fn abort_scale_down_delay(&self) -> Option<Duration> {
        let seconds = match (self.blue_green(), self.canary()) {
            (Some(blue_green), _) => blue_green.abort_scale_down_delay_seconds.unwrap_or(30),
            (_, Some(canary)) if canary.traffic_routing.is_some() => canary.abort_scale_down_delay_seconds.unwrap_or(30),
            _ => return Some(Duration::ZERO),
        };
        (seconds != 0).then(|| Duration::from_secs(seconds.try_into().unwrap_or_default()))
    }

    /// How many old versions may wait for their deadline.
    pub fn scale_down_revision_limit(&self) -> usize {
        let limit = match (self.blue_green(), self.canary()) {
            (Some(blue_green), _) => blue_green.scale_down_delay_revision_limit,
            (_, Some(canary)) => canary.scale_down_delay_revision_limit,
            _ => None,
        };
        limit.map_or(usize::MAX, |limit| limit.try_into().unwrap_or_default())
    }

    /// Services the rollout refers to, with the fields that do.
    pub fn services(&self) -> Vec<(&'static str, &str)> {
        let named: Vec<(&'static str, &str)> = match (self.blue_green(), self.canary()) {
            (Some(blue_green), _) => {
                vec![("blueGreen.activeService", &blue_green.active_service), ("blueGreen.previewService", &blue_green.preview_service)]
            }
            (_, Some(canary)) => {
                let ping_pong = canary.ping_pong.as_ref();
                vec![
                    ("canary.stableService", &canary.stable_service),
                    ("canary.canaryService", &canary.canary_service),
                    ("canary.pingPong.pingService", ping_pong.map_or("", |services| &services.ping_service)),
                    ("canary.pingPong.pongService", ping_pong.map_or("", |services| &services.pong_service)),
                ]
            }
            _ => Vec::new(),
        };
        named.into_iter().filter(|(_, name)| !name.is_empty()).collect()
    }

    /// The kind of `workloadRef` as the store knows it, if it is one that can be referred to.
    pub fn workload_kind(&self) -> Option<&'static str> {
        let workload = self.workload_ref.as_ref()?;
        let group = workload.api_version.split_once('/').map_or("", |(group, _)| group);
        match (group, workload.kind.as_str()) {
            ("apps", "Deployment") => Some(super::names::DEPLOYMENTS),
            ("apps", "ReplicaSet") => Some(super::names::REPLICA_SETS),
            ("", "PodTemplate") => Some(super::names::POD_TEMPLATES),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn pauses_last_as_long_as_go_says() {
        for (duration, seconds) in [
            (json!(30), 30),
            (json!("30"), 30),
            (json!("10m"), 600),
            (json!("1h30m"), 5400),
            (json!("1.5s"), 1),
            (json!("1500ms"), 1),
            (json!("soon"), -1),
            (json!("5"), 5),
            (json!(""), -1),
            (json!("5 s"), -1),
        ] {
            let pause: PauseStep = from_value(json!({"duration": duration})).unwrap();
            assert_eq!(pause.seconds(), seconds, "{duration}");
        }
        assert_eq!(PauseStep::default().seconds(), 0);
    }

    #[test]
    fn steps_are_named_as_in_events() {
        for (step, name) in [
            (json!({"setWeight": 5}), "setWeight: 5"),
            (json!({"pause": {}}), "pause"),
            (json!({"pause": {"duration": "10m"}}), "pause: 10m"),
            (json!({"pause": {"duration": 30}}), "pause: 30"),
            (json!({"setCanaryScale": {"weight": 5}}), "setCanaryScale{weight: 5}"),
            (json!({"setCanaryScale": {"replicas": 2}}), "setCanaryScale{replicas: 2}"),
            (json!({"setCanaryScale": {"matchTrafficWeight": true}}), "setCanaryScale{matchTrafficWeight: true}"),
            (json!({"setHeaderRoute": {"name": "h"}}), "setHeaderRoute: h"),
            (json!({"analysis": {}}), "analysis"),
            (json!({"experiment": {"templates": []}}), "experiment"),
        ] {
            assert_eq!(from_value::<Step>(step).unwrap().to_string(), name);
        }
    }

    #[test]
    fn selectors_print_by_key() {
        let selector: Selector = from_value(json!({
            "matchLabels": {"z": "1", "b": "2"},
            "matchExpressions": [{"key": "m", "operator": "In", "values": ["y", "x"]}, {"key": "a", "operator": "DoesNotExist"}],
        }))
        .unwrap();
        assert_eq!(selector.to_string(), "!a,b=2,m in (x,y),z=1");
        assert_eq!(Selector::default().to_string(), "<none>");
    }

    #[test]
    fn shares_round_up_or_down() {
        let text = |text: &str| IntOrString::Text(text.into());
        assert_eq!((text("25%").of(10, true), text("25%").of(10, false)), (3, 2));
        assert_eq!((text("100%").of(3, true), text("0%").of(3, true)), (3, 0));
        assert_eq!((IntOrString::Int(2).of(10, true), text("25").of(10, true)), (2, 3));
    }
}
