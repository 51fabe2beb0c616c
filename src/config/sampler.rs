//! The `[prometheus]` settings as the sampler takes them.

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::{Config, layer::Mistake};
use crate::prometheus::{
    Problem, ProfileChoice, Settings,
    profile::{Custom, CustomLabels, LatencyUnit, OwnSeries},
};

/// What the file says about Prometheus; nothing when no address is given.
///
/// # Errors
/// The first setting that cannot work, with the way out.
pub fn settings(config: &Config) -> Result<Option<Settings>, Problem> {
    let Some(url) = config.text("prometheus.url").filter(|u| !u.is_empty()) else { return Ok(None) };
    let settings = Settings {
        timeout: config.duration("prometheus.timeout"),
        interval: config.duration("prometheus.interval"),
        window: config.duration("prometheus.window"),
        bearer_token_file: config.path("prometheus.bearer-token-file"),
        basic_user: config.text("prometheus.username").map(str::to_owned),
        basic_password_file: config.path("prometheus.password-file"),
        client_certificate_file: config.path("prometheus.cert-file"),
        client_key_file: config.path("prometheus.key-file"),
        ca_file: config.path("prometheus.ca-file"),
        insecure: config.flag("prometheus.insecure"),
        headers: headers(config),
        secret_headers: config.secrets("prometheus.headers"),
        profile: profile(config)?,
        ..Settings::new(url.parse()?)
    };
    settings.check()?;
    Ok(Some(settings))
}

/// The same as any other mistake in the settings: with its place, and the name it has there.
pub fn mistake(config: &Config, problem: &Problem) -> Mistake {
    config.mistake(&format!("prometheus.{}", problem.field), format!("prometheus.{problem}"))
}

fn headers(config: &Config) -> Vec<(String, SecretString)> {
    let all = config.table("prometheus.headers").into_iter();
    all.flat_map(|(name, values)| values.into_iter().map(move |v| (name.clone(), SecretString::from(v)))).collect()
}

fn profile(config: &Config) -> Result<ProfileChoice, Problem> {
    match config.text("prometheus.profile").unwrap_or("auto") {
        "custom" => Ok(ProfileChoice::Custom(Box::new(custom(config)))),
        word => word.parse(),
    }
}

/// Names with a meaning of their own in `[prometheus.custom]`; any other is a series to show.
const KNOWN: [&str; 11] =
    ["rate", "errors", "error-share", "p50", "p95", "p99", "latency-unit", "namespace-label", "service-label", "hash-label", "pod-label"];

/// The series to show, by name.
pub fn own_names<T>(table: &BTreeMap<String, T>) -> Vec<String> {
    table.keys().filter(|name| !KNOWN.contains(&name.as_str())).cloned().collect()
}

fn custom(config: &Config) -> Custom {
    let table = config.table("prometheus.custom");
    let get = |name: &str| table.get(name).and_then(|v| v.first()).cloned();
    let names = own_names(&table);
    let own = table.iter().filter(|(name, _)| names.contains(name));
    Custom {
        name: "custom".into(),
        rate: get("rate"),
        errors: get("errors"),
        error_share: get("error-share"),
        p50: get("p50"),
        p95: get("p95"),
        p99: get("p99"),
        latency_unit: if get("latency-unit").as_deref() == Some("ms") { LatencyUnit::Milliseconds } else { LatencyUnit::Seconds },
        labels: CustomLabels {
            namespace: get("namespace-label"),
            service: get("service-label"),
            hash: get("hash-label"),
            pod: get("pod-label"),
        },
        own: own
            .filter_map(|(name, v)| {
                Some(OwnSeries { name: name.clone(), query: v.first()?.clone(), unit: v.get(1).cloned().unwrap_or_default() })
            })
            .collect(),
    }
}
