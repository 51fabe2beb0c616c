//! The AnalysisRun controller: it measures, assesses, and keeps the record.
//!
//! Metrics of Prometheus are asked of [`Metrics`](crate::demo::sim::Metrics). Every other provider ends in an error
//! measurement that says so.

use std::{collections::HashSet, time::Duration};

use chrono::SubsecRound;
use promql_parser::{label::Matcher, parser::token::T_EQL_REGEX};
use serde_json::{Value, json};

use super::{events, objects::between};
use crate::{
    demo::{
        sim::{Controller, Cx},
        store::{Change, Key, Store},
    },
    model::Time,
};

mod assess;
pub(in crate::demo::controllers) mod duration;
mod expr;
mod measure;
mod run;
mod secret;
mod template;

use run::{Measurement, Metric, MetricResult, Status};

pub use assess::is_worse;
pub use duration::parse_duration;
pub use template::{create, run_from_templates, template, templates};
pub(super) use template::{list, resolve};

pub const ANALYSIS_RUNS: &str = "analysisruns.argoproj.io";

/// Measurements kept of each metric if nobody says otherwise.
const KEPT: usize = 10;

/// Completed runs are looked at again only when the controller's cache is refreshed.
const RESYNC: Duration = Duration::from_secs(15 * 60);

/// Whether a phase of an AnalysisRun, a metric, a measurement or an Experiment is its last.
pub fn is_final(phase: &str) -> bool {
    ["Successful", "Failed", "Error", "Inconclusive"].contains(&phase)
}

/// Whether a pattern is found in a text. The parser of queries has the only regular expressions here; its are anchored.
fn matches(pattern: &str, text: &str) -> Result<bool, String> {
    let anywhere = format!("(?s:.*)(?:{pattern})(?s:.*)");
    let matcher = Matcher::new_matcher(T_EQL_REGEX, String::new(), anywhere).map_err(|_| format!("error parsing regexp: `{pattern}`"))?;
    Ok(matcher.is_match(text))
}

/// From a new run to its first measurements: asking takes a while, and who created it has looked at it by then.
const ASKING: Duration = Duration::from_millis(25);

/// The AnalysisRun controller.
#[derive(Default)]
pub struct AnalysisRuns {
    /// Runs that are being asked for the first time.
    asking: HashSet<Key>,
}

impl Controller for AnalysisRuns {
    fn name(&self) -> &'static str {
        "rollouts-controller"
    }

    fn wakes(&self, change: &Change, _: &Store, wake: &mut Vec<Key>) {
        wake.extend(change.object().filter(|object| *object.key.kind == *ANALYSIS_RUNS).map(|object| object.key.clone()));
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Option<Duration> {
        let object = cx.store.get(key).map(|object| object.value());
        let Some(object) = object.filter(|object| !object["metadata"]["deletionTimestamp"].is_string()) else {
            self.asking.remove(key);
            return None;
        };
        let mut run = Run::read(object);
        if run.status.phase.is_empty() && self.asking.insert(key.clone()) {
            return Some(ASKING);
        }
        self.asking.remove(key);
        if is_final(&run.status.phase) {
            return collect(cx, key, &run);
        }
        let before = run.status.clone();
        let again = run.reconcile(cx);
        if run.status != before {
            write(cx, run.object, &run.status);
        }
        again
    }
}

/// What was refused here (the run is gone) needs no further look.
fn write(cx: &mut Cx<'_>, mut object: Value, status: &Status) {
    object["status"] = json!(status);
    let _ = cx.update(ANALYSIS_RUNS, object);
}

/// Deletes a completed run whose time is over.
fn collect(cx: &mut Cx<'_>, key: &Key, run: &Run) -> Option<Duration> {
    let strategy = &run.object["spec"]["ttlStrategy"];
    let by_phase = match &*run.status.phase {
        "Successful" => strategy["secondsAfterSuccess"].as_i64(),
        "Failed" => strategy["secondsAfterFailure"].as_i64(),
        _ => None,
    };
    let seconds = by_phase.or_else(|| strategy["secondsAfterCompletion"].as_i64())?;
    if (cx.now - run.status.completed_at?).num_seconds() > seconds {
        let _ = cx.delete(key);
        return None;
    }
    Some(RESYNC)
}

struct Run {
    object: Value,
    status: Status,
    terminate: bool,
}

impl Run {
    fn read(object: Value) -> Self {
        let status = serde_json::from_value(object["status"].clone()).unwrap_or_default();
        let terminate = object["spec"]["terminate"] == true;
        Self { object, status, terminate }
    }

    /// One pass. What is wrong with the run as a whole ends it.
    fn reconcile(&mut self, cx: &mut Cx<'_>) -> Option<Duration> {
        match self.advance(cx) {
            Ok(next) => next.map(|next| between(cx.now, next)),
            Err(message) => {
                self.status.phase = "Error".into();
                self.status.message = message;
                self.announce(cx);
                None
            }
        }
    }

    fn advance(&mut self, cx: &mut Cx<'_>) -> Result<Option<Time>, String> {
        let unresolved = |why| format!("Unable to resolve metric arguments: {why}");
        let invalid = |why| format!("Analysis spec invalid: {why}");
        let metrics = self.metrics(&secret::hidden(list(&self.object["spec"]["args"]))).map_err(unresolved)?;
        run::check(&metrics).map_err(invalid)?;
        let dry = self.rules("dryRun", &metrics).map_err(invalid)?;
        let dry: Vec<&str> = dry.iter().map(|(name, _)| &**name).collect();
        let retention = self.rules("measurementRetention", &metrics).map_err(invalid)?;
        self.measure(cx, &metrics, &dry).map_err(unresolved)?;
        self.assess(cx, &metrics, &dry);
        self.forget(&retention);
        Ok(self.next(&metrics, cx.now))
    }

    /// The metrics with these arguments filled in.
    fn metrics(&self, args: &[Value]) -> Result<Vec<Metric>, String> {
        let read = |metric: &Value| serde_json::from_value(template::fill_in(metric, args)?).map_err(|error| error.to_string());
        list(&self.object["spec"]["metrics"]).iter().map(read).collect()
    }

    /// Names of the metrics that the rules in this field of the spec are about, with the rule: the last one counts.
    fn rules(&self, field: &str, metrics: &[Metric]) -> Result<Vec<(String, Value)>, String> {
        let mut found: Vec<(String, Value)> = Vec::new();
        for (index, rule) in list(&self.object["spec"][field]).iter().enumerate() {
            let pattern = rule["metricName"].as_str().unwrap_or_default();
            let meant: Vec<&Metric> = metrics.iter().filter(|metric| matches(pattern, &metric.name).unwrap_or_default()).collect();
            if meant.is_empty() {
                return Err(format!("{field}[{index}]: Rule didn't match any metric name(s)"));
            }
            for metric in meant {
                found.retain(|(name, _)| *name != metric.name);
                found.push((metric.name.clone(), rule.clone()));
            }
        }
        Ok(found)
    }

    fn measure(&mut self, cx: &Cx<'_>, metrics: &[Metric], dry: &[&str]) -> Result<(), String> {
        let namespace = self.object["metadata"]["namespace"].as_str().unwrap_or_default();
        let (args, secrets) = secret::revealed(cx, namespace, list(&self.object["spec"]["args"]))?;
        let due: Vec<usize> = (0..metrics.len()).filter(|index| self.is_due(&metrics[*index], cx.now)).collect();
        if due.is_empty() {
            return Ok(());
        }
        let revealed = self.metrics(&args)?;
        for metric in due.into_iter().map(|index| &revealed[index]) {
            let mut taken = take_measurement(cx, metric);
            for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
                taken.measurement.message = taken.measurement.message.replace(secret, "*****");
            }
            self.result(metric, dry, taken.metadata).take(taken.measurement);
        }
        Ok(())
    }

    /// Whether a metric has to be measured in this pass.
    fn is_due(&self, metric: &Metric, now: Time) -> bool {
        if self.status.is_completed(&metric.name) || self.status.is_terminating(self.terminate) {
            return false;
        }
        match self.status.last(&metric.name) {
            None => self.first_due(metric).is_some_and(|due| due.is_none_or(|due| due <= now)),
            Some(_) => self.next_of(metric).is_some_and(|due| due <= now),
        }
    }

    /// When a metric is measured for the first time; inside `None` is at once. `None`: not before the run has started.
    fn first_due(&self, metric: &Metric) -> Option<Option<Time>> {
        if metric.initial_delay.is_empty() {
            return Some(None);
        }
        let delay = parse_duration(&metric.initial_delay).ok()?;
        self.status.started_at.map(|started| Some(started + delay))
    }

    /// When a metric that was measured before is measured again.
    fn next_of(&self, metric: &Metric) -> Option<Time> {
        let result = self.status.result(&metric.name)?;
        if metric.effective_count().is_some_and(|count| result.count >= count) {
            return None;
        }
        let last = result.measurements.last()?;
        Some(last.finished_at? + metric.pause_after(last)?)
    }

    /// The record of a metric, new if this is its first measurement.
    fn result(&mut self, metric: &Metric, dry: &[&str], metadata: Value) -> &mut MetricResult {
        let results = &mut self.status.metric_results;
        let at = results.iter().position(|result| result.name == metric.name).unwrap_or_else(|| {
            let metadata = metadata.as_object().cloned().unwrap_or_default();
            let dry_run = dry.contains(&&*metric.name);
            results.push(MetricResult { name: metric.name.clone(), phase: "Running".into(), dry_run, metadata, ..MetricResult::default() });
            results.len() - 1
        });
        &mut results[at]
    }

    fn assess(&mut self, cx: &mut Cx<'_>, metrics: &[Metric], dry: &[&str]) {
        let now = cx.now.trunc_subsecs(0);
        self.status.started_at = self.status.started_at.or(Some(now));
        let assessed = assess::assess(&mut self.status, metrics, dry, self.terminate);
        for (metric, phase) in &assessed.ended {
            let message = format!("Metric '{metric}' Completed. Result: {phase}");
            events::record(cx, &self.object, severity(phase), &format!("Metric{phase}"), &message);
        }
        if assessed.phase == self.status.phase {
            return;
        }
        self.status.phase = assessed.phase;
        self.status.message = assessed.message;
        if is_final(&self.status.phase) {
            self.announce(cx);
            self.status.completed_at = self.status.completed_at.or(Some(now));
        }
    }

    fn announce(&self, cx: &mut Cx<'_>) {
        let phase = &self.status.phase;
        let message = format!("Analysis Completed. Result: {phase}");
        events::record(cx, &self.object, severity(phase), &format!("AnalysisRun{phase}"), &message);
    }

    /// Keeps only the newest measurements.
    fn forget(&mut self, retention: &[(String, Value)]) {
        for result in &mut self.status.metric_results {
            let rule = retention.iter().find(|(name, _)| *name == result.name);
            let limit = rule.and_then(|(_, rule)| rule["limit"].as_u64()).filter(|limit| *limit > 0);
            let kept = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(KEPT);
            let length = result.measurements.len();
            result.measurements.drain(..length.saturating_sub(kept));
        }
    }

    /// When there will be something to measure.
    fn next(&self, metrics: &[Metric], now: Time) -> Option<Time> {
        let open = metrics.iter().filter(|metric| !self.status.is_completed(&metric.name));
        let due = |metric: &Metric| match self.status.last(&metric.name) {
            None if metric.initial_delay.is_empty() => None,
            None => Some(self.status.started_at.unwrap_or(now) + parse_duration(&metric.initial_delay).ok()?),
            Some(_) => self.next_of(metric),
        };
        open.filter_map(due).min()
    }
}

fn severity(phase: &str) -> &'static str {
    if ["Error", "Failed"].contains(&phase) { "Warning" } else { "Normal" }
}

/// A measurement, and what its provider says about the metric.
struct Taken {
    measurement: Measurement,
    metadata: Value,
}

fn take_measurement(cx: &Cx<'_>, metric: &Metric) -> Taken {
    let failed = |message: String| Measurement::ended("Error", String::new(), message, cx.now);
    let Some(prometheus) = metric.provider.get("prometheus") else {
        let name = metric.provider.keys().next().map_or("", String::as_str);
        let message = format!("metric provider {name} is not available in this cluster");
        return Taken { measurement: failed(message), metadata: Value::Null };
    };
    let address = prometheus["address"].as_str().unwrap_or_default();
    if let Err(message) = usable(address, prometheus) {
        return Taken { measurement: failed(message), metadata: Value::Null };
    }
    let query = prometheus["query"].as_str().unwrap_or_default();
    let measurement = measure_once(cx, metric, address, prometheus).unwrap_or_else(failed);
    let metadata = if query.is_empty() { Value::Null } else { json!({"ResolvedPrometheusQuery": query}) };
    Taken { measurement, metadata }
}

/// What makes a provider impossible before it is asked.
fn usable(address: &str, prometheus: &Value) -> Result<(), String> {
    let is_url = address.split_once("://").is_some_and(|(scheme, host)| !scheme.is_empty() && !host.is_empty() && !host.starts_with('/'));
    if !address.is_empty() && !is_url {
        return Err("prometheus address is not is url format".into());
    }
    if prometheus["timeout"].as_i64().is_some_and(|timeout| timeout < 0) {
        return Err("prometheus timeout should not be negative".into());
    }
    Ok(())
}

fn measure_once(cx: &Cx<'_>, metric: &Metric, address: &str, prometheus: &Value) -> Result<Measurement, String> {
    if prometheus["rangeQuery"].is_object() {
        return Err("range queries are not available in this cluster".into());
    }
    let result = measure::measured(cx.metrics.query(address, prometheus["query"].as_str().unwrap_or_default(), cx.now)?);
    let phase = measure::judge(&metric.success_condition, &metric.failure_condition, &result)?;
    Ok(Measurement::ended(phase, measure::shown(&result), String::new(), cx.now))
}

#[cfg(test)]
pub(in crate::demo::controllers) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::{
        collections::HashMap,
        sync::{Mutex, PoisonError},
    };

    use super::*;
    use crate::demo::{
        kinds::{Custom, Kind},
        registry::{self, Write},
        sim::{Metrics, Samples, Sim},
    };

    /// A kind of Argo's, from `Kind plural`, as its CustomResourceDefinition describes it.
    pub fn kind(names: &str) -> Kind {
        let (kind, plural) = names.split_once(' ').unwrap();
        Kind {
            group: "argoproj.io".into(),
            versions: vec!["v1alpha1".into()],
            kind: kind.into(),
            plural: plural.into(),
            singular: kind.to_lowercase(),
            namespaced: !kind.starts_with("Cluster"),
            custom: Some(Custom { schema: Default::default(), columns: Default::default() }),
            ..Kind::default()
        }
    }

    /// Answers by the query itself: `name: 0.9; 0.1 0.2; -; s1; !boom` gives a list, another, an empty one, a number
    /// and an error, one for each time it is asked, and stays with the last.
    #[derive(Default)]
    pub struct Script(Mutex<HashMap<String, usize>>);

    impl Metrics for Script {
        fn query(&self, _: &str, query: &str, _: Time) -> Result<Samples, String> {
            let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let times = asked.entry(query.to_owned()).or_default();
            let steps: Vec<&str> = query.split_once(':').unwrap().1.split(';').map(str::trim).collect();
            let step = steps[(*times).min(steps.len() - 1)];
            *times += 1;
            match step {
                "-" => Ok(Samples::Vector(Vec::new())),
                step if step.starts_with('!') => Err(format!("execution: {}", &step[1..])),
                step if step.starts_with('s') => Ok(Samples::Scalar(step[1..].parse().unwrap())),
                step => Ok(Samples::Vector(step.split(' ').map(|number| number.parse().unwrap()).collect())),
            }
        }
    }

    /// A status without its moments. Metrics are measured at once and come in any order.
    pub fn timeless(status: &Value) -> Value {
        const MOMENTS: &[&str] =
            &["startedAt", "finishedAt", "completedAt", "resumeAt", "lastTransitionTime", "lastUpdateTime", "availableAt"];
        match status {
            Value::Object(fields) => {
                let strip = |(name, value): (&String, &Value)| {
                    (name.clone(), if MOMENTS.contains(&&**name) { "T".into() } else { timeless(value) })
                };
                let mut fields: serde_json::Map<_, _> = fields.iter().map(strip).collect();
                if let Some(Value::Array(results)) = fields.get_mut("metricResults") {
                    results.sort_by_key(|result| result["name"].to_string());
                }
                Value::Object(fields)
            }
            Value::Array(entries) => entries.iter().map(timeless).collect(),
            other => other.clone(),
        }
    }

    /// All different statuses an object had, in order.
    pub fn statuses(sim: &Sim, kind: &str, name: &str) -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        for change in sim.store.changes_after(kind, 1).unwrap() {
            let Some(object) = change.after.as_ref().filter(|object| *object.key.name == *name) else { continue };
            let status = object.value()["status"].take();
            let status = if status.is_null() { json!({}) } else { timeless(&status) };
            if all.last() != Some(&status) {
                all.push(status);
            }
        }
        all
    }

    /// `Type Reason: message` of all events about an object, with how often if more than once.
    pub fn events(sim: &Sim, name: &str) -> Vec<String> {
        let mut events: Vec<Value> = sim.store.list("events", None).map(|event| event.value()).collect();
        events.retain(|event| event["involvedObject"]["name"] == name);
        events.sort_by_key(|event| event["metadata"]["name"].as_str().unwrap().rsplit_once('.').unwrap().1.to_owned());
        let text = |event: &Value| {
            let field = |name: &str| event[name].as_str().unwrap().to_owned();
            let count = event["count"].as_i64().filter(|count| *count > 1).map(|count| format!(" x{count}"));
            format!("{} {}: {}{}", field("type"), field("reason"), field("message"), count.unwrap_or_default())
        };
        events.iter().map(text).collect()
    }

    pub fn epoch() -> Time {
        "2026-11-21T08:00:00.25Z".parse().unwrap()
    }

    fn sim() -> Sim {
        let mut sim = Sim::new(epoch(), 7, vec![Box::<AnalysisRuns>::default()], Box::<Script>::default());
        sim.store.add_kind(kind("AnalysisRun analysisruns"));
        let secret = json!({"metadata": {"name": "sec", "namespace": "shop"}, "data": {"k": "MC4xMjM0"}});
        registry::create(&mut sim.store, "secrets", "shop", secret, Write::new(epoch(), "test")).unwrap();
        sim
    }

    fn start(sim: &mut Sim, name: &str, spec: &Value) {
        let run = json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec});
        let write = Write::new(sim.now(), "test");
        registry::create(&mut sim.store, ANALYSIS_RUNS, "shop", run, write).unwrap();
    }

    fn patch(sim: &mut Sim, name: &str, patch: &Value) {
        let mut object = sim.store.get(&Key::new(ANALYSIS_RUNS, "shop", name)).unwrap().value();
        json_patch::merge(&mut object, patch);
        let write = Write::new(sim.now(), "test");
        registry::update(&mut sim.store, ANALYSIS_RUNS, object, write).unwrap();
    }

    /// Runs the play until its acts are done and half a minute more.
    fn act(sim: &mut Sim, name: &str, acts: &[Value]) {
        for act in acts {
            let wanted = act[0].as_u64().unwrap() as usize;
            while statuses(sim, ANALYSIS_RUNS, name).len() < wanted {
                let next = sim.next().unwrap();
                sim.run_until(next);
            }
            patch(sim, name, &act[1]);
        }
        sim.run_until(sim.now() + Duration::from_secs(30));
    }

    /// Plays as the real controller (Argo Rollouts 1.10.1) went through them: each status it wrote, each event.
    const RECORDED: &str = include_str!("analysis/recorded.json");

    #[test]
    fn runs_go_through_the_same_statuses_as_the_real_ones() {
        let plays: Value = serde_json::from_str(RECORDED).unwrap();
        for (name, play) in plays.as_object().unwrap() {
            let mut sim = sim();
            start(&mut sim, name, &play["spec"]);
            act(&mut sim, name, list(&play["acts"]));
            let seen = statuses(&sim, ANALYSIS_RUNS, name);
            for (index, status) in list(&play["statuses"]).iter().enumerate() {
                assert_eq!(*seen.get(index).unwrap_or(&Value::Null), timeless(status), "{name}, status {index}");
            }
            assert_eq!(seen.len(), list(&play["statuses"]).len(), "{name}");
            assert_eq!(json!(events(&sim, name)), play["events"], "{name}");
        }
    }
    #[test]
    fn a_completed_run_goes_when_its_time_is_over_and_the_cache_is_refreshed() {
        let mut sim = sim();
        let metrics = json!([{"name": "m", "provider": {"prometheus": {"query": "m: 1"}}}]);
        start(&mut sim, "ends", &json!({"metrics": metrics, "ttlStrategy": {"secondsAfterFailure": 5, "secondsAfterCompletion": 60}}));
        start(&mut sim, "stays", &json!({"metrics": metrics, "ttlStrategy": {"secondsAfterFailure": 5}}));
        let mut left_after = |seconds: u64| {
            sim.run_until(epoch() + Duration::from_secs(seconds));
            sim.store.list(ANALYSIS_RUNS, None).map(|run| run.key.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(left_after(70), ["ends", "stays"]);
        assert_eq!(left_after(1_000), ["stays"]);
    }

    #[test]
    fn what_this_cluster_cannot_ask_is_an_error_that_says_so() {
        let mut sim = sim();
        let web = json!({"name": "w", "consecutiveErrorLimit": 0, "provider": {"web": {"url": "http://x"}}});
        let range =
            json!({"name": "r", "consecutiveErrorLimit": 0, "provider": {"prometheus": {"query": "r: 1", "rangeQuery": {"step": "1m"}}}});
        start(&mut sim, "run", &json!({"metrics": [web, range]}));
        sim.run_until(epoch() + Duration::from_secs(2));
        let status = statuses(&sim, ANALYSIS_RUNS, "run").pop().unwrap();
        let messages: Vec<&str> =
            list(&status["metricResults"]).iter().map(|r| r["measurements"][0]["message"].as_str().unwrap()).collect();
        assert_eq!(messages, ["range queries are not available in this cluster", "metric provider web is not available in this cluster"]);
        assert_eq!(status["phase"], "Error");
    }

    #[test]
    fn a_run_of_the_same_name_is_taken_over_or_stepped_aside_for() {
        struct Maker;
        impl Controller for Maker {
            fn name(&self) -> &'static str {
                "maker"
            }
            fn wakes(&self, change: &Change, _: &Store, wake: &mut Vec<Key>) {
                wake.extend(change.after.iter().filter(|object| *object.key.kind == *"configmaps").map(|object| object.key.clone()));
            }
            fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Option<Duration> {
                let spec = cx.store.get(key)?.value()["data"].take();
                let owners = json!([{"uid": "owner", "controller": true}]);
                create(cx, json!({"metadata": {"name": "run", "namespace": "shop", "ownerReferences": owners}, "spec": spec})).unwrap();
                None
            }
        }
        let mut sim = Sim::new(epoch(), 7, vec![Box::new(Maker), Box::<AnalysisRuns>::default()], Box::<Script>::default());
        sim.store.add_kind(kind("AnalysisRun analysisruns"));
        let endless = json!({"metrics": [{"name": "m", "interval": "1s", "provider": {"prometheus": {"query": "m: 1"}}}]});
        let once = json!({"metrics": [{"name": "m", "provider": {"prometheus": {"query": "m: 1"}}}]});
        for (index, spec) in [&endless, &endless, &once, &once].into_iter().enumerate() {
            let ask = json!({"metadata": {"name": format!("ask-{index}"), "namespace": "shop"}, "data": spec});
            registry::create(&mut sim.store, "configmaps", "shop", ask, Write::new(epoch(), "test")).unwrap();
            sim.run_until(sim.now() + Duration::from_secs(1));
        }
        let names: Vec<String> = sim.store.list(ANALYSIS_RUNS, None).map(|run| run.key.name.to_string()).collect();
        assert_eq!(names, ["run", "run.1", "run.2"]);
    }
}
