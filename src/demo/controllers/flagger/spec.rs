//! What a Canary asks for, with what Flagger takes for granted where it says nothing.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use serde_json::Value;

use crate::demo::controllers::analysis::duration::parse_duration;

/// Where neither the Canary nor the controller's flags name a provider.
const DEFAULT_PROVIDER: &str = "istio";
const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);
const SHORTEST_INTERVAL: Duration = Duration::from_secs(10);
const DEFAULT_DEADLINE: i64 = 600;
/// Weights are parts of this.
pub const TOTAL: i64 = 100;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    provider: String,
    pub metrics_server: String,
    pub target_ref: Reference,
    pub ingress_ref: Option<Reference>,
    pub service: Service,
    analysis: Option<Analysis>,
    /// The older name.
    canary_analysis: Option<Analysis>,
    skip_analysis: bool,
    pub suspend: bool,
    pub revert_on_deletion: bool,
    progress_deadline_seconds: Option<i64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Reference {
    pub kind: String,
    pub name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Service {
    pub name: String,
    pub port: i64,
    pub port_name: String,
    pub target_port: Value,
    pub app_protocol: String,
    pub gateways: Vec<String>,
    pub gateway_refs: Vec<Value>,
    pub hosts: Vec<String>,
    #[serde(rename = "match")]
    pub matches: Vec<Value>,
    pub timeout: String,
    pub retries: Value,
    pub rewrite: Value,
    pub cors_policy: Value,
    pub headers: Value,
    pub traffic_policy: Value,
    pub apex: Metadata,
    pub primary: Metadata,
    pub canary: Metadata,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Metadata {
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Analysis {
    interval: String,
    threshold: i64,
    max_weight: i64,
    step_weight: i64,
    step_weights: Vec<i64>,
    pub step_weight_promotion: i64,
    pub iterations: i64,
    #[serde(rename = "match")]
    pub matches: Vec<Value>,
    pub metrics: Vec<Metric>,
    pub webhooks: Vec<Webhook>,
    primary_ready_threshold: Option<i64>,
    canary_ready_threshold: Option<i64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metric {
    pub name: String,
    interval: String,
    pub threshold: f64,
    pub threshold_range: Option<Range>,
    pub query: String,
    pub template_ref: Option<TemplateReference>,
    pub template_variables: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct Range {
    pub min: Option<f64>,
    pub max: Option<f64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct TemplateReference {
    pub name: String,
    pub namespace: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Webhook {
    #[serde(rename = "type")]
    pub kind: String,
    pub name: String,
    pub url: String,
    pub metadata: BTreeMap<String, String>,
}

/// How the new version is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    Canary,
    BlueGreen,
    AbTesting,
}

impl Spec {
    pub fn provider(&self) -> &str {
        if self.provider.is_empty() { DEFAULT_PROVIDER } else { &self.provider }
    }

    /// Names of the Services: apex, primary and canary.
    pub fn services(&self) -> [String; 3] {
        let apex = if self.service.name.is_empty() { &self.target_ref.name } else { &self.service.name };
        [apex.clone(), format!("{apex}-primary"), format!("{apex}-canary")]
    }

    pub fn primary(&self) -> String {
        format!("{}-primary", self.target_ref.name)
    }

    /// Without an analysis there is none to make.
    pub fn analysis(&self) -> Analysis {
        self.analysis.as_ref().or(self.canary_analysis.as_ref()).cloned().unwrap_or_default()
    }

    pub fn skips_analysis(&self) -> bool {
        self.skip_analysis || (self.analysis.is_none() && self.canary_analysis.is_none())
    }

    pub fn deadline(&self) -> i64 {
        self.progress_deadline_seconds.unwrap_or(DEFAULT_DEADLINE)
    }
}

impl Analysis {
    /// From one tick to the next.
    pub fn interval(&self) -> Duration {
        let asked = parse_duration(&self.interval).map(|interval| interval.to_std().unwrap_or_default());
        asked.map_or(DEFAULT_INTERVAL, |interval| interval.max(SHORTEST_INTERVAL))
    }

    /// Failed checks that end a release.
    pub fn threshold(&self) -> i64 {
        self.threshold.max(1)
    }

    pub fn primary_ready_threshold(&self) -> i64 {
        self.primary_ready_threshold.unwrap_or(100)
    }

    pub fn canary_ready_threshold(&self) -> i64 {
        self.canary_ready_threshold.unwrap_or(100)
    }

    pub fn strategy(&self) -> Strategy {
        match (self.iterations > 0, self.matches.is_empty()) {
            (true, false) => Strategy::AbTesting,
            (true, true) => Strategy::BlueGreen,
            (false, _) => Strategy::Canary,
        }
    }

    /// The weight from which on it is promoted.
    pub fn max_weight(&self) -> i64 {
        match self.step_weights.last() {
            Some(last) => TOTAL.min(*last),
            None if self.max_weight > 0 => self.max_weight,
            None => TOTAL,
        }
    }

    /// By how much the weight grows next. A weight that is not on the list is not expected: all the rest, then.
    pub fn next_step(&self, weight: i64) -> i64 {
        if self.step_weight > 0 || self.step_weights.is_empty() {
            return self.step_weight;
        }
        let rest = TOTAL - weight;
        if rest == 0 {
            return 1;
        }
        if weight == 0 {
            return rest.min(self.step_weights[0]);
        }
        let steps = self.step_weights.windows(2).find(|pair| pair[0] == weight);
        steps.map_or(rest, |pair| rest.min(pair[1] - weight))
    }

    pub fn hooks(&self, kinds: &[&str]) -> Vec<Webhook> {
        self.webhooks.iter().filter(|hook| kinds.contains(&hook.kind.as_str())).cloned().collect()
    }
}

impl Metric {
    pub fn interval(&self) -> &str {
        if self.interval.is_empty() { "1m" } else { &self.interval }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn analysis(value: Value) -> Analysis {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn weights_follow_the_list_and_jump_to_the_end_from_off_it() {
        let steps = analysis(json!({"stepWeights": [5, 10, 50]}));
        assert_eq!([0, 5, 10, 7, 50, 100].map(|weight| steps.next_step(weight)), [5, 5, 40, 93, 50, 1]);
        assert_eq!(steps.max_weight(), 50);
        let linear = analysis(json!({"stepWeight": 20, "stepWeights": [1], "maxWeight": 50}));
        assert_eq!((linear.next_step(0), linear.next_step(40), linear.max_weight()), (20, 20, 1));
        assert_eq!((analysis(json!({})).max_weight(), analysis(json!({})).next_step(0)), (100, 0));
    }

    #[test]
    fn intervals_have_a_floor_and_a_default() {
        let interval = |text: &str| analysis(json!({"interval": text})).interval().as_secs();
        assert_eq!(["1s", "30s", "2m", "", "soon"].map(interval), [10, 30, 120, 60, 60]);
    }

    #[test]
    fn iterations_and_matches_make_the_strategy() {
        let strategy = |value| analysis(value).strategy();
        assert_eq!(strategy(json!({"iterations": 2})), Strategy::BlueGreen);
        assert_eq!(strategy(json!({"iterations": 2, "match": [{}]})), Strategy::AbTesting);
        assert_eq!(strategy(json!({"match": [{}]})), Strategy::Canary);
    }
}
