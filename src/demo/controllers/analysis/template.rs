//! From analysis templates to AnalysisRuns: what the Rollout and the Experiment controllers do alike before an
//! AnalysisRun exists, and the filling in of `{{args.name}}` afterwards.

use serde_json::{Map, Value, json};

use crate::demo::{
    refusal::Refusal,
    sim::Cx,
    store::{Key, Store},
};

const RUNS: &str = "analysisruns.argoproj.io";

/// The templates that `refs` (`templateName`, `clusterScope`) name, with those they refer to in turn, as stored: those
/// of the namespace first, then those of the cluster, each once. The error is the controller's, for the first that is
/// missing.
pub fn templates(store: &Store, namespace: &str, refs: &[Value]) -> Result<Vec<Value>, String> {
    let (mut local, mut cluster) = (Vec::new(), Vec::new());
    collect(store, namespace, refs, 0, &mut local, &mut cluster)?;
    local.append(&mut cluster);
    Ok(local)
}

/// The real controller follows references without end and dies of a circle; this one gives up on it.
const DEPTH: usize = 16;

fn collect(
    store: &Store,
    namespace: &str,
    refs: &[Value],
    depth: usize,
    local: &mut Vec<Value>,
    cluster: &mut Vec<Value>,
) -> Result<(), String> {
    if depth > DEPTH {
        return Err("analysis templates refer to each other in a circle".into());
    }
    for reference in refs {
        let name = reference["templateName"].as_str().unwrap_or_default();
        let wide = reference["clusterScope"].as_bool().unwrap_or_default();
        let template = template(store, namespace, name, wide)?;
        let inner = list(&template["spec"]["templates"]).to_vec();
        let into = if wide { &mut *cluster } else { &mut *local };
        if !into.iter().any(|known| known["metadata"]["name"] == name) {
            into.push(template);
        }
        collect(store, namespace, &inner, depth + 1, local, cluster)?;
    }
    Ok(())
}

/// One template as stored.
pub fn template(store: &Store, namespace: &str, name: &str, cluster: bool) -> Result<Value, String> {
    let (kind, singular) = match cluster {
        true => ("clusteranalysistemplates.argoproj.io", "clusteranalysistemplate.argoproj.io"),
        false => ("analysistemplates.argoproj.io", "analysistemplate.argoproj.io"),
    };
    let key = Key::new(kind, if cluster { "" } else { namespace }, name);
    store.get(&key).map(|object| object.value()).ok_or_else(|| format!("{singular} \"{name}\" not found"))
}

/// The spec of the AnalysisRun that these templates make, which the Rollout and the Experiment controllers create.
///
/// `templates`: AnalysisTemplates and ClusterAnalysisTemplates as stored, in the order of [`templates`]. `args`: names
/// and values the caller resolved already; those no template asks for are left out, values win over the templates'
/// defaults, and a name that has neither is an error. `asking`: who asks, a `RolloutAnalysis` or an Experiment's spec,
/// for its `dryRun` and `measurementRetention`, which come before the templates'. The error is the controller's, word
/// for word. Metrics keep their placeholders: they are filled in when the run measures.
pub fn run_from_templates(templates: &[Value], args: &[(String, String)], asking: &Value) -> Result<Value, String> {
    let all = |field: &str| templates.iter().flat_map(|t| list(&t["spec"][field])).cloned().collect::<Vec<_>>();
    let mut metrics = all("metrics");
    if let Some(name) = first_double(&metrics, "name") {
        return Err(format!("two metrics have the same name '{name}'"));
    }
    rules(&all("dryRun"), "Dry-Run")?;
    rules(&all("measurementRetention"), "Measurement Retention")?;
    let args = merge_args(args, join_args(&all("args"))?)?;
    let both = |field: &str| list(&asking[field]).iter().cloned().chain(all(field)).collect::<Vec<_>>();
    let (dry_run, retention) = (both("dryRun"), both("measurementRetention"));
    rules(&dry_run, "Dry-Run")?;
    rules(&retention, "Measurement Retention")?;
    metrics.iter_mut().for_each(complete);
    let mut spec = json!({ "metrics": metrics });
    for (field, entries) in [("args", args), ("dryRun", dry_run), ("measurementRetention", retention)] {
        if !entries.is_empty() {
            spec[field] = entries.into();
        }
    }
    Ok(spec)
}

/// Creates the run under its name or, if that is taken, under `name.1`, `name.2`, … A run of that name that is still
/// going on, has the same spec and the same owner is taken for the one wanted.
pub fn create(cx: &mut Cx<'_>, mut run: Value) -> Result<Value, Refusal> {
    let base = run["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let namespace = run["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
    let mut collisions = 0;
    loop {
        let name = run["metadata"]["name"].as_str().unwrap_or_default();
        match cx.get(RUNS, &namespace, name) {
            None => return cx.create(RUNS, run),
            Some(found) if is_the_same(&found, &run) => return Ok(found),
            Some(_) => {
                collisions += 1;
                run["metadata"]["name"] = format!("{base}.{collisions}").into();
            }
        }
    }
}

fn is_the_same(found: &Value, wanted: &Value) -> bool {
    let same_spec = ["metrics", "dryRun", "measurementRetention", "args"].iter().all(|field| found["spec"][field] == wanted["spec"][field]);
    let owner = |run: &Value| list(&run["metadata"]["ownerReferences"]).iter().find(|o| o["controller"] == true).map(|o| o["uid"].clone());
    !super::is_final(found["status"]["phase"].as_str().unwrap_or_default())
        && same_spec
        && owner(found).is_some_and(|uid| Some(uid) == owner(wanted))
}

/// Written by a controller, a metric has these fields even if nobody set them.
fn complete(metric: &mut Value) {
    for provider in ["prometheus", "web"] {
        if let Some(fields) = metric["provider"][provider].as_object_mut() {
            let authentication = fields.entry("authentication").or_insert_with(|| json!({}));
            if let Some(kinds) = authentication.as_object_mut() {
                for kind in ["oauth2", "sigv4"] {
                    kinds.entry(kind).or_insert_with(|| json!({}));
                }
            }
        }
    }
    if let Some(providers) = metric["provider"].as_object_mut() {
        providers.retain(|_, provider| !provider.is_null());
    }
}

/// Arguments of all templates, each name once.
fn join_args(args: &[Value]) -> Result<Vec<Value>, String> {
    let mut joined: Vec<Value> = Vec::new();
    for arg in args {
        let Some(known) = joined.iter_mut().find(|known| known["name"] == arg["name"]) else {
            joined.push(arg.clone());
            continue;
        };
        match (known["value"].as_str(), arg["value"].as_str()) {
            (Some(old), Some(new)) if old != new => {
                let name = arg["name"].as_str().unwrap_or_default();
                return Err(format!("Argument `{name}` specified multiple times with different values: '{old}', '{new}'"));
            }
            (None, _) => *known = arg.clone(),
            _ => {}
        }
    }
    Ok(joined)
}

fn merge_args(given: &[(String, String)], mut args: Vec<Value>) -> Result<Vec<Value>, String> {
    for (name, value) in given {
        if let Some(arg) = args.iter_mut().find(|arg| arg["name"] == name.as_str()) {
            arg["value"] = value.clone().into();
        }
    }
    match args.iter().find(|arg| arg["value"].is_null() && arg["valueFrom"].is_null()) {
        Some(arg) => Err(format!("args.{} was not resolved", arg["name"].as_str().unwrap_or_default())),
        None => Ok(args),
    }
}

fn rules(rules: &[Value], what: &str) -> Result<(), String> {
    match first_double(rules, "metricName") {
        Some(name) => Err(format!("two {what} metric rules have the same name '{name}'")),
        None => Ok(()),
    }
}

fn first_double<'a>(entries: &'a [Value], field: &str) -> Option<&'a str> {
    let same = |(index, entry): (usize, &'a Value)| entries[..index].iter().any(|known| known[field] == entry[field]).then_some(entry);
    entries.iter().enumerate().find_map(same).map(|entry| entry[field].as_str().unwrap_or_default())
}

/// A JSON list, or nothing.
pub(in crate::demo::controllers) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A metric with `{{args.name}}` filled in everywhere, from a run's `spec.args`. The errors are the controller's.
pub(super) fn fill_in(metric: &Value, args: &[Value]) -> Result<Value, String> {
    let mut known = Map::new();
    for arg in args {
        let name = arg["name"].as_str().unwrap_or_default();
        let value = arg["value"].as_str().ok_or_else(|| format!("argument \"{name}\" was not supplied"))?;
        known.insert(format!("args.{name}"), value.into());
    }
    fill(metric, &known)
}

fn fill(value: &Value, known: &Map<String, Value>) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => resolve(text, |tag| known.get(tag)?.as_str())?.into(),
        Value::Array(entries) => entries.iter().map(|entry| fill(entry, known)).collect::<Result<Vec<_>, _>>()?.into(),
        Value::Object(fields) => {
            let fill =
                |(name, value): (&String, &Value)| Ok::<_, String>((resolve(name, |tag| known.get(tag)?.as_str())?, fill(value, known)?));
            Value::Object(fields.iter().map(fill).collect::<Result<_, _>>()?)
        }
        other => other.clone(),
    })
}

/// A text with every `{{tag}}` replaced. Spaces around a tag do not count; a tag nobody knows is an error.
pub(in crate::demo::controllers) fn resolve<'a>(text: &str, value: impl Fn(&str) -> Option<&'a str>) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    let mut unknown = None;
    while let Some((before, after)) = rest.split_once("{{") {
        filled.push_str(before);
        let end = |_| format!("Cannot find end tag=\"}}}}\" in the template=\"{text}\" starting from \"{after}\"");
        let (tag, after) = after.split_once("}}").ok_or(()).map_err(end)?;
        match value(tag.trim()) {
            Some(value) => filled.push_str(value),
            None => unknown = Some(format!("failed to resolve {{{{{tag}}}}}")),
        }
        rest = after;
    }
    filled.push_str(rest);
    unknown.map_or(Ok(filled), Err)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn template(spec: Value) -> Value {
        json!({"metadata": {"name": "t"}, "spec": spec})
    }

    fn pairs(args: &[(&str, &str)]) -> Vec<(String, String)> {
        args.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    fn run(templates: &[Value], args: &[(&str, &str)]) -> Result<Value, String> {
        run_from_templates(templates, &pairs(args), &Value::Null)
    }

    #[test]
    fn templates_become_one_spec() {
        let one = template(json!({
            "metrics": [{"name": "a", "provider": {"prometheus": {"query": "{{args.x}}"}}}],
            "args": [{"name": "x"}, {"name": "y", "value": "default"}, {"name": "s", "valueFrom": {"secretKeyRef": {"name": "n", "key": "k"}}}],
            "dryRun": [{"metricName": "a"}],
        }));
        let two = template(json!({"metrics": [{"name": "b", "count": 2, "provider": {"job": {}}}], "args": [{"name": "x", "value": "2"}]}));
        let asking =
            json!({"dryRun": [{"metricName": "b"}], "measurementRetention": [{"metricName": "a", "limit": 20}], "args": "not looked at"});
        let spec = run_from_templates(&[one, two], &pairs(&[("x", "1"), ("unasked", "z")]), &asking).unwrap();
        let expected = json!({
            "metrics": [
                {"name": "a", "provider": {"prometheus": {"query": "{{args.x}}", "authentication": {"oauth2": {}, "sigv4": {}}}}},
                {"name": "b", "count": 2, "provider": {"job": {}}},
            ],
            "args": [
                {"name": "x", "value": "1"},
                {"name": "y", "value": "default"},
                {"name": "s", "valueFrom": {"secretKeyRef": {"name": "n", "key": "k"}}},
            ],
            "dryRun": [{"metricName": "b"}, {"metricName": "a"}],
            "measurementRetention": [{"metricName": "a", "limit": 20}],
        });
        assert_eq!(spec, expected);
    }

    #[test]
    fn refusals_are_in_the_controllers_words() {
        let metric = |name: &str| json!([{"name": name, "provider": {"job": {}}}]);
        let a = || template(json!({"metrics": metric("a")}));
        assert_eq!(run(&[a(), a()], &[]).unwrap_err(), "two metrics have the same name 'a'");
        let unresolved = template(json!({"metrics": metric("a"), "args": [{"name": "x"}]}));
        assert_eq!(run(&[unresolved], &[("y", "1")]).unwrap_err(), "args.x was not resolved");
        let valued = |value: &str| template(json!({"args": [{"name": "x", "value": value}]}));
        assert_eq!(
            run(&[valued("1"), valued("2")], &[("x", "3")]).unwrap_err(),
            "Argument `x` specified multiple times with different values: '1', '2'"
        );
        let dry = template(json!({"metrics": metric("a"), "dryRun": [{"metricName": "a"}]}));
        let asking = json!({"dryRun": [{"metricName": "a"}]});
        assert_eq!(run_from_templates(&[dry], &[], &asking).unwrap_err(), "two Dry-Run metric rules have the same name 'a'");
    }

    #[test]
    fn placeholders_are_filled_in_everywhere() {
        let metric =
            json!({"name": "m", "count": "{{args.n}}", "provider": {"web": {"headers": [{"value": "a {{ args.x }} {{args.n}}"}]}}});
        let args = |x: &str| vec![json!({"name": "n", "value": "3"}), json!({"name": x, "value": "q\"\n"})];
        let filled = fill_in(&metric, &args("x")).unwrap();
        assert_eq!(filled, json!({"name": "m", "count": "3", "provider": {"web": {"headers": [{"value": "a q\"\n 3"}]}}}));
        assert_eq!(fill_in(&metric, &args("y")).unwrap_err(), "failed to resolve {{ args.x }}");
        assert_eq!(fill_in(&metric, &[json!({"name": "x"})]).unwrap_err(), "argument \"x\" was not supplied");
        let open = resolve("test-{{args.var", |_| None).unwrap_err();
        assert_eq!(open, "Cannot find end tag=\"}}\" in the template=\"test-{{args.var\" starting from \"args.var\"");
    }

    #[test]
    fn references_are_followed_and_each_template_counts_once() {
        let kinds = ["AnalysisTemplate analysistemplates", "ClusterAnalysisTemplate clusteranalysistemplates"];
        let mut store = Store::new(kinds.iter().map(|names| crate::demo::controllers::analysis::tests::kind(names)).collect());
        let mut put = |cluster: bool, name: &str, refs: Value| {
            let kind = if cluster { "clusteranalysistemplates.argoproj.io" } else { "analysistemplates.argoproj.io" };
            let key = Key::new(kind, if cluster { "" } else { "shop" }, name);
            store.put(key, json!({"metadata": {"name": name}, "spec": {"templates": refs}})).unwrap();
        };
        put(true, "c", json!([{"templateName": "b"}]));
        put(false, "a", json!([{"templateName": "c", "clusterScope": true}, {"templateName": "b"}]));
        put(false, "b", json!([]));
        put(false, "bad", json!([{"templateName": "gone", "clusterScope": true}]));
        put(false, "circle", json!([{"templateName": "circle"}]));
        let found = |name: &str| {
            let found = templates(&store, "shop", &[json!({"templateName": name})]);
            found.map(|all| all.iter().map(|t| t["metadata"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>().concat())
        };
        assert_eq!(found("a").unwrap(), "abc");
        assert_eq!(found("none").unwrap_err(), "analysistemplate.argoproj.io \"none\" not found");
        assert_eq!(found("bad").unwrap_err(), "clusteranalysistemplate.argoproj.io \"gone\" not found");
        assert!(found("circle").is_err());
    }
}
