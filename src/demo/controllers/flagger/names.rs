//! What Flagger, its routers and Kubernetes call things.

pub const CANARIES: &str = "canaries.flagger.app";
pub const METRIC_TEMPLATES: &str = "metrictemplates.flagger.app";
pub const DEPLOYMENTS: &str = "deployments.apps";
pub const SERVICES: &str = "services";
pub const SECRETS: &str = "secrets";
pub const CONFIG_MAPS: &str = "configmaps";
pub const INGRESSES: &str = "ingresses.networking.k8s.io";
pub const HTTP_ROUTES: &str = "httproutes.gateway.networking.k8s.io";
pub const VIRTUAL_SERVICES: &str = "virtualservices.networking.istio.io";
pub const DESTINATION_RULES: &str = "destinationrules.networking.istio.io";

/// In all marks of Flux, which must not travel to what Flagger makes.
pub const TOOLKIT: &str = "toolkit.fluxcd.io";
/// Tell Flux to leave an object alone.
pub const HANDS_OFF: [(&str, &str); 2] =
    [("kustomize.toolkit.fluxcd.io/reconcile", "disabled"), ("helm.toolkit.fluxcd.io/driftDetection", "disabled")];

pub const FINALIZER: &str = "finalizer.flagger.app";
