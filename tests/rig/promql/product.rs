//! Every kind of query rolltop sends, for the workloads of the test's data.

use std::{collections::BTreeSet, time::Duration};

use rolltop::{
    model::{Id, Text},
    prometheus::{
        Target,
        profile::{Custom, CustomLabels, OwnSeries, Profile, Scope},
    },
};

pub fn target(namespace: &str, name: &str, behind_ingress: bool, in_flight: bool) -> Target {
    let text = |text: &str| Text::clean(text);
    Target {
        id: Id { context: "c".into(), namespace: namespace.into(), kind: "Rollout".into(), name: name.into(), uid: name.into() },
        namespace: text(namespace),
        name: text(name),
        stable_service: Some(text(name)),
        stable_workload: None,
        canary_workload: None,
        canary_service: Some(text(&format!("{name}-canary"))),
        ingresses: behind_ingress.then(|| text(&format!("{name}-web"))).into_iter().collect(),
        new_hash: Some(text(&format!("{name}v2"))),
        old_hash: Some(text(&format!("{name}v1"))),
        in_flight,
    }
}

fn custom(edit: impl FnOnce(&mut Custom)) -> Profile {
    let mut custom = Custom { name: "mine".into(), ..Custom::default() };
    edit(&mut custom);
    custom.check().unwrap();
    Profile::Custom(Box::new(custom))
}

fn profiles() -> Vec<Profile> {
    let rate = "sum by (namespace, rollouts_pod_template_hash) (rate(http_requests_total[{window}]))";
    let bad = "sum by (namespace, rollouts_pod_template_hash) (rate(http_requests_total{code=~\"5..\"}[{window}]))";
    let quantile = "histogram_quantile(0.9, sum by (le, namespace, pod) (rate(http_request_duration_seconds_bucket{namespace=~\"{namespaces}\"}[{window}])))";
    vec![
        Profile::Istio,
        Profile::IngressNginx,
        Profile::Mixed,
        custom(|c| {
            c.rate = Some(rate.into());
            c.errors = Some(bad.into());
            c.labels = CustomLabels {
                namespace: Some("namespace".into()),
                hash: Some("rollouts_pod_template_hash".into()),
                ..CustomLabels::default()
            };
            let query = "avg(llm_quality_score{namespace=\"{namespace}\", version=\"green\"})".into();
            c.own = vec![OwnSeries { name: "quality".into(), query, unit: String::new() }];
        }),
        custom(|c| {
            c.rate = Some("sum(rate(http_requests_total{namespace=\"{namespace}\", pod=~\"{pod}\"}[{window}]))".into());
            c.error_share = Some(
                "sum(rate(http_requests_total{rollouts_pod_template_hash=\"{hash}\", code=~\"5..\"}[{window}])) \
                 / sum(rate(http_requests_total{rollouts_pod_template_hash=\"{hash}\"}[{window}]))"
                    .into(),
            );
        }),
        custom(|c| {
            c.p95 = Some(quantile.into());
            c.labels = CustomLabels { namespace: Some("namespace".into()), pod: Some("pod".into()), ..CustomLabels::default() };
        }),
    ]
}

/// All different queries, in a fixed order.
pub fn queries() -> Vec<String> {
    let few = [target("shop", "cart", true, true), target("shop", "search", false, true), target("web", "mail", false, false)];
    let many: Vec<Target> = (0..30).map(|i| target(&format!("ns.{i}"), "x", false, false)).chain(few.clone()).collect();
    let mut queries = BTreeSet::new();
    for profile in profiles() {
        for window in [Duration::from_secs(120), Duration::from_millis(45_500)] {
            let scopes = [Scope::Fleet(&few), Scope::Fleet(&many), Scope::Fleet(&few[..1])];
            for scope in scopes.into_iter().chain(few.iter().map(Scope::One)) {
                queries.extend(profile.questions(scope, window).into_iter().map(|question| question.promql));
            }
            let of_native = |scope| profile.counts(scope, Duration::from_secs(15), &[250.0], &[250.0]);
            queries.extend([Scope::Fleet(&few), Scope::One(&few[1])].into_iter().filter_map(of_native));
            queries.extend(profile.shapes(Scope::Fleet(&few)));
            queries.extend(few.iter().flat_map(|target| profile.own(target, window)).map(|(_, promql)| promql));
        }
    }
    queries.into_iter().collect()
}
