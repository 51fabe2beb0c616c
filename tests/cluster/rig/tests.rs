//! What the rig promises the tests that use it.

use super::{Identity, Rig, manifests};

/// Names in `tests/cluster/crds`.
fn names() -> Vec<&'static str> {
    let lines = include_str!("../crds").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_whitespace().next()).collect()
}

#[tokio::test]
async fn kinds_of_other_projects_are_installed_live_and_once() {
    let Some(rig) = Rig::shared().await else { return };
    for name in names() {
        rig.install(name).await;
    }
    let api = rig.api(Identity::Admin);
    let served = [
        "gateway.networking.k8s.io/v1/httproutes",
        "traefik.io/v1alpha1/traefikservices",
        "split.smi-spec.io/v1alpha2/trafficsplits",
        "split.smi-spec.io/v1alpha4/trafficsplits",
        "projectcontour.io/v1/httpproxies",
        "serving.knative.dev/v1/services",
        "serving.kserve.io/v1beta1/inferenceservices",
        "rollouts.kruise.io/v1beta1/rollouts",
        "argoproj.io/v1alpha1/applications",
        "helm.toolkit.fluxcd.io/v2/helmreleases",
        "kustomize.toolkit.fluxcd.io/v1/kustomizations",
    ];
    for kind in served {
        api.get(&format!("/apis/{kind}")).await.unwrap_or_else(|error| panic!("{kind}: {error}"));
    }
}

/// One gate, two ways to it: the hook's own address through the network, and the API server's service proxy.
#[tokio::test]
async fn the_gate_is_reached_by_its_name_and_through_the_api_server() {
    let Some(rig) = Rig::shared().await else { return };
    assert!(rig.flagger().await);
    let fx = rig.fixtures("gates");
    let proxy = reqwest::Proxy::http(format!("http://127.0.0.1:{}", rig.layout.ports.network)).unwrap();
    let http = reqwest::Client::builder().proxy(proxy).build().unwrap();
    let check = async || {
        let body = serde_json::json!({"name": "web", "namespace": "gates"}).to_string();
        http.post(manifests::GATE).body(body).send().await.unwrap().status().as_u16()
    };
    assert_eq!((check().await, fx.gate_is_open("web").await), (403, false));
    fx.gate("web", "open").await;
    assert_eq!((check().await, fx.gate_is_open("web").await), (200, true));
    fx.gate("web", "close").await;
    assert_eq!((check().await, fx.gate_is_open("web").await), (403, false));
}
