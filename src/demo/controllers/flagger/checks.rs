//! Metric checks: what is asked of Prometheus, and when the answer halts a release.

use serde_json::Value;

use super::{
    names::METRIC_TEMPLATES,
    spec::{Metric, Range},
    tick::{Kind::Warning, Tick},
};
use crate::demo::sim::Samples;

const SUCCESS_RATE: &str = "request-success-rate";
const DURATION: &str = "request-duration";
const NO_VALUES: &str = "no values found";
const ONLINE: &str = "vector(1)";

/// How a provider's requests are counted: the success rate in percent, and the duration with the factor that makes
/// milliseconds of it. Whether errors of the query are told with a word more differs, too.
struct Observer {
    success_rate: &'static str,
    duration: &'static str,
    to_ms: f64,
    prefixes: [&'static str; 2],
}

const PREFIX: &str = "running query failed: ";

const NGINX: Observer = Observer {
    success_rate: r#" sum( rate( nginx_ingress_controller_requests{ namespace="{{ namespace }}", ingress="{{ ingress }}", canary!="", status!~"5.*" }[{{ interval }}] ) ) / sum( rate( nginx_ingress_controller_requests{ namespace="{{ namespace }}", ingress="{{ ingress }}", canary!="" }[{{ interval }}] ) ) * 100"#,
    duration: r#" sum( rate( nginx_ingress_controller_response_duration_seconds_sum{ namespace="{{ namespace }}", ingress="{{ ingress }}", canary!="" }[{{ interval }}] ) ) / sum( rate( nginx_ingress_controller_response_duration_seconds_count{ namespace="{{ namespace }}", ingress="{{ ingress }}", canary!="" }[{{ interval }}] ) ) * 1000"#,
    to_ms: 1.0,
    prefixes: [PREFIX, PREFIX],
};

const ISTIO: Observer = Observer {
    success_rate: r#" sum( rate( istio_requests_total{ reporter="destination", destination_workload_namespace="{{ namespace }}", destination_workload=~"{{ target }}", response_code!~"5.*" }[{{ interval }}] ) ) / sum( rate( istio_requests_total{ reporter="destination", destination_workload_namespace="{{ namespace }}", destination_workload=~"{{ target }}" }[{{ interval }}] ) ) * 100"#,
    duration: r#" histogram_quantile( 0.99, sum( rate( istio_request_duration_milliseconds_bucket{ reporter="destination", destination_workload_namespace="{{ namespace }}", destination_workload=~"{{ target }}" }[{{ interval }}] ) ) by (le) )"#,
    to_ms: 1.0,
    prefixes: [PREFIX, PREFIX],
};

/// The application's own numbers.
const HTTP: Observer = Observer {
    success_rate: r#" sum( rate( http_request_duration_seconds_count{ kubernetes_namespace="{{ namespace }}", kubernetes_pod_name=~"{{ target }}-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)", status!~"5.*" }[{{ interval }}] ) ) / sum( rate( http_request_duration_seconds_count{ kubernetes_namespace="{{ namespace }}", kubernetes_pod_name=~"{{ target }}-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)" }[{{ interval }}] ) ) * 100"#,
    duration: r#" histogram_quantile( 0.99, sum( rate( http_request_duration_seconds_bucket{ kubernetes_namespace="{{ namespace }}", kubernetes_pod_name=~"{{ target }}-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)" }[{{ interval }}] ) ) by (le) )"#,
    to_ms: 1_000.0,
    prefixes: ["", PREFIX],
};

fn observer(provider: &str) -> &'static Observer {
    match provider {
        "nginx" => &NGINX,
        "kubernetes" => &HTTP,
        _ if provider.starts_with("gatewayapi") => &HTTP,
        _ => &ISTIO,
    }
}

/// Why there is no number.
enum Nothing {
    NoValues(String),
    Failed(String),
}

impl Nothing {
    fn because(prefix: &str, why: String) -> Self {
        if why == NO_VALUES { Self::NoValues(format!("{prefix}{why}")) } else { Self::Failed(format!("{prefix}{why}")) }
    }
}

impl Tick<'_, '_> {
    /// Whether the sources of all checks can be asked; said once, before anything else is made.
    pub fn check_providers(&self) -> Result<(), String> {
        for metric in &self.analysis.metrics {
            if [SUCCESS_RATE, DURATION].contains(&metric.name.as_str()) {
                let server = &self.spec.metrics_server;
                self.is_online(server).map_err(|why| format!("prometheus not avaiable: {why}"))?;
            } else if metric.template_ref.is_some() {
                let (kind, address, what) = self.template(metric).map(|(provider, _, what)| {
                    let text = |field: &str| provider[field].as_str().unwrap_or_default().to_owned();
                    (text("type"), text("address"), what)
                })?;
                self.is_online(&address).map_err(|why| format!("{kind} in {what} not avaiable: {why}"))?;
            }
        }
        Ok(())
    }

    fn is_online(&self, server: &str) -> Result<(), String> {
        let value = self.query(server, ONLINE).map_err(|why| format!("{PREFIX}{why}"))?;
        if (value - 1.0).abs() < f64::EPSILON { Ok(()) } else { Err(format!("value is not 1 for query: {ONLINE}")) }
    }

    /// The last value of an answer.
    fn query(&self, server: &str, query: &str) -> Result<f64, String> {
        let told = |why: String| {
            format!("request failed: Get {:?}: {}", url(server, query), why.rsplit_once("\": ").map_or(&*why, |(_, why)| why))
        };
        let value = match self.cx.metrics.query(server, query, self.cx.now).map_err(told)? {
            Samples::Scalar(value) => Some(value),
            Samples::Vector(values) => values.last().copied(),
        };
        value.filter(|value| !value.is_nan()).ok_or_else(|| NO_VALUES.into())
    }

    /// Whether all metrics are as they should be. The first that is not halts the release and says so.
    pub fn are_metrics_good(&mut self) -> bool {
        let metrics = self.analysis.metrics.clone();
        let failed = metrics.iter().find_map(|metric| self.built_in(metric).err());
        let failed = failed.or_else(|| metrics.iter().find_map(|metric| self.custom(metric).err()));
        if let Some(why) = &failed {
            self.event(Warning, why);
        }
        failed.is_none()
    }

    fn built_in(&self, metric: &Metric) -> Result<(), String> {
        match metric.name.as_str() {
            SUCCESS_RATE => self.success_rate(metric)?,
            DURATION => self.duration(metric)?,
            _ => (),
        }
        if metric.query.is_empty() { Ok(()) } else { self.inline(metric) }
    }

    fn success_rate(&self, metric: &Metric) -> Result<(), String> {
        let provider = self.spec.provider();
        let observer = observer(provider);
        let value =
            self.observe(metric, observer.success_rate, observer.prefixes[0]).map_err(|nothing| self.halted(metric, nothing, true))?;
        let what = self.path();
        let halt = |sign: &str, limit: f64| format!("Halt {what} advancement success rate {value:.2}% {sign} {limit}%");
        judge(value, metric.threshold_range, |value| (metric.threshold > value).then_some(("<", metric.threshold)), halt)
    }

    fn duration(&self, metric: &Metric) -> Result<(), String> {
        let observer = observer(self.spec.provider());
        let value = self.observe(metric, observer.duration, observer.prefixes[1]).map_err(|nothing| self.halted(metric, nothing, false))?;
        // Flagger counts whole milliseconds, of what is measured and of what is allowed.
        let value = (value * observer.to_ms).trunc();
        let whole = |range: Range| Range { min: range.min.map(f64::trunc), max: range.max.map(f64::trunc) };
        let what = self.path();
        let halt =
            |sign: &str, limit: f64| format!("Halt {what} advancement request duration {} {sign} {}", written(value), written(limit));
        let limit = metric.threshold.trunc();
        judge(value, metric.threshold_range.map(whole), |value| (value > limit).then_some((">", limit)), halt)
    }

    fn halted(&self, metric: &Metric, nothing: Nothing, with_reason: bool) -> String {
        match nothing {
            Nothing::Failed(why) => format!("Prometheus query failed: {why}"),
            Nothing::NoValues(why) => {
                let (target, namespace) = (&self.spec.target_ref.name, &self.key.namespace);
                let provider = self.spec.provider();
                let said = format!(
                    "Halt advancement no values found for {provider} metric {} probably {target}.{namespace} is not receiving traffic",
                    metric.name
                );
                if with_reason { format!("{said}: {why}") } else { said }
            }
        }
    }

    fn observe(&self, metric: &Metric, template: &str, prefix: &str) -> Result<f64, Nothing> {
        let query = self.render(template, metric).map_err(Nothing::Failed)?;
        self.query(&self.spec.metrics_server, &query).map_err(|why| Nothing::because(prefix, why))
    }

    fn inline(&self, metric: &Metric) -> Result<(), String> {
        let told = |nothing: Nothing| match nothing {
            Nothing::NoValues(_) => format!("Halt advancement no values found for metric: {}", metric.name),
            Nothing::Failed(why) => format!("Prometheus query failed for {}: {why}", metric.name),
        };
        let value = self.observe(metric, &metric.query, "").map_err(told)?;
        self.judge_custom(metric, value)
    }

    fn custom(&self, metric: &Metric) -> Result<(), String> {
        if metric.template_ref.is_none() {
            let is_known = [SUCCESS_RATE, DURATION].contains(&metric.name.as_str()) || !metric.query.is_empty();
            let why = "Metric query failed for no usable metrics template and query were configured";
            return if is_known { Ok(()) } else { Err(why.into()) };
        }
        let (provider, query, what) = self.template(metric).map_err(|why| capital(&why))?;
        let query = self.render(&query, metric).map_err(|why| format!("{} query render error: {why}", capital(&what)))?;
        let address = provider["address"].as_str().unwrap_or_default();
        let value = self.query(address, &query).map_err(|why| match Nothing::because("", why) {
            Nothing::NoValues(why) => format!("Halt advancement no values found for custom metric: {}: {why}", metric.name),
            Nothing::Failed(why) => format!("Metric query failed for {}: {why}", metric.name),
        })?;
        self.judge_custom(metric, value)
    }

    fn judge_custom(&self, metric: &Metric, value: f64) -> Result<(), String> {
        let (what, name) = (self.path(), &metric.name);
        let halt = |sign: &str, limit: f64| format!("Halt {what} advancement {name} {value:.2} {sign} {limit}");
        judge(value, metric.threshold_range, |value| (value > metric.threshold).then_some((">", metric.threshold)), halt)
    }

    /// Provider and query of a MetricTemplate, and what to call it.
    fn template(&self, metric: &Metric) -> Result<(Value, String, String), String> {
        let reference = metric.template_ref.clone().unwrap_or_default();
        let namespace = if reference.namespace.is_empty() { &*self.key.namespace } else { reference.namespace.as_str() };
        let what = format!("metric template {}.{namespace}", reference.name);
        let found = self.cx.get(METRIC_TEMPLATES, namespace, &reference.name);
        let found = found.ok_or_else(|| format!("{what} error: metrictemplate.flagger.app {:?} not found", reference.name))?;
        let provider = found["spec"]["provider"].clone();
        let kind = provider["type"].as_str().unwrap_or_default();
        if kind != "prometheus" {
            return Err(format!("{what} provider {kind} error: it cannot be asked from this cluster"));
        }
        Ok((provider, found["spec"]["query"].as_str().unwrap_or_default().to_owned(), what))
    }

    /// Fills in `{{ name }}` and the like.
    fn render(&self, template: &str, metric: &Metric) -> Result<String, String> {
        let [service, ..] = self.spec.services();
        let target = &self.spec.target_ref.name;
        let mut rendered = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("{{") {
            let (word, after) = after.split_once("}}").ok_or("template parsing failed: template: tmpl:1: unclosed action")?;
            let word = word.trim();
            rendered.push_str(before);
            rendered.push_str(match word {
                "name" => &self.key.name,
                "namespace" => &self.key.namespace,
                "target" | "route" => target,
                "service" => &service,
                "ingress" => self.spec.ingress_ref.as_ref().map_or(target, |ingress| &ingress.name),
                "interval" => metric.interval(),
                _ => word
                    .strip_prefix("variables.")
                    .and_then(|name| metric.template_variables.get(name))
                    .ok_or_else(|| format!("template parsing failed: template: tmpl:1: function {word:?} not defined"))?,
            });
            rest = after;
        }
        Ok(rendered + rest)
    }
}

/// A value against its range, or against the older single limit. The error is what to say.
fn judge(
    value: f64,
    range: Option<Range>,
    exceeds: impl Fn(f64) -> Option<(&'static str, f64)>,
    halt: impl Fn(&str, f64) -> String,
) -> Result<(), String> {
    let exceeded = match range {
        Some(Range { min: Some(min), .. }) if value < min => Some(("<", min)),
        Some(Range { max: Some(max), .. }) if value > max => Some((">", max)),
        Some(_) => None,
        None => exceeds(value),
    };
    exceeded.map_or(Ok(()), |(sign, limit)| Err(halt(sign, limit)))
}

fn capital(text: &str) -> String {
    text.strip_prefix('m').map_or_else(|| text.to_owned(), |rest| format!("M{rest}"))
}

/// Where a query is asked, as an error shows it.
fn url(server: &str, query: &str) -> String {
    let server = if server.is_empty() { "http://prometheus:9090" } else { server.trim_end_matches('/') };
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        b' ' => "+".to_owned(),
        _ => format!("%{byte:02X}"),
    };
    let squeezed = query.split_whitespace().collect::<Vec<_>>().join(" ");
    let lead = if query.starts_with(char::is_whitespace) { " " } else { "" };
    let escaped: String = format!("{lead}{squeezed}").bytes().map(escape).collect();
    format!("{server}/api/v1/query?query={escaped}")
}

/// Milliseconds as Go writes durations.
fn written(ms: f64) -> String {
    if ms.abs() < 1_000.0 {
        return if ms == 0.0 { "0s".into() } else { format!("{ms}ms") };
    }
    let (minutes, ms) = ((ms / 60_000.0).trunc(), ms % 60_000.0);
    let seconds = format!("{}s", ms / 1_000.0);
    match ((minutes / 60.0).trunc(), minutes % 60.0) {
        (0.0, 0.0) => seconds,
        (0.0, minutes) => format!("{minutes}m{seconds}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_does() {
        assert_eq!(
            [0.0, 1.0, 999.0, 1_000.0, 1_250.0, 61_500.0, 3_600_000.0].map(written),
            ["0s", "1ms", "999ms", "1s", "1.25s", "1m1.5s", "1h0m0s"]
        );
    }

    #[test]
    fn a_query_in_an_error_is_escaped() {
        assert_eq!(url("http://p:9090/", ONLINE), "http://p:9090/api/v1/query?query=vector%281%29");
        assert_eq!(url("", " sum(\n\ta~\"x\" )"), "http://prometheus:9090/api/v1/query?query=+sum%28+a~%22x%22+%29");
    }

    #[test]
    fn a_value_is_judged_by_its_range_or_else_by_its_limit() {
        let judged =
            |range, value| judge(value, range, |value| (value > 5.0).then_some((">", 5.0)), |sign, limit| format!("{sign} {limit}"));
        let range = Some(Range { min: Some(99.0), max: Some(99.5) });
        assert_eq!([98.0, 99.0, 99.6].map(|value| judged(range, value).err()), [Some("< 99".into()), None, Some("> 99.5".into())]);
        assert_eq!([5.0, 6.0].map(|value| judged(None, value).err()), [None, Some("> 5".into())]);
    }
}
