//! Reads the objects that decide who gets which share of a Rollout's requests.

use rolltop::demo::routes::{Objects, Route};
use serde_json::Value;

use super::api::Api;

/// All objects that matter, at about one moment.
#[derive(Default)]
pub struct Snapshot {
    rollouts: Vec<Value>,
    pub replica_sets: Vec<Value>,
    pub services: Vec<Value>,
    pub ingresses: Vec<Value>,
    pub virtual_services: Vec<Value>,
    pub canaries: Vec<Value>,
    /// This and the next only when there are Canaries.
    pub deployments: Vec<Value>,
    pub http_routes: Vec<Value>,
}

impl Snapshot {
    pub async fn read(api: &Api) -> Result<Self, kube::Error> {
        // From the API server's cache: near enough, and cheap.
        let list = |path: &'static str| async move { api.list(&format!("{path}?resourceVersion=0")).await };
        let (rollouts, replica_sets, services, ingresses, virtual_services) = tokio::try_join!(
            list("/apis/argoproj.io/v1alpha1/rollouts"),
            list("/apis/apps/v1/replicasets"),
            list("/api/v1/services"),
            list("/apis/networking.k8s.io/v1/ingresses"),
            list("/apis/networking.istio.io/v1/virtualservices"),
        )?;
        let canaries = list("/apis/flagger.app/v1beta1/canaries").await?;
        let (mut deployments, mut http_routes) = Default::default();
        if !canaries.is_empty() {
            deployments = list("/apis/apps/v1/deployments").await?;
            // A kind that is installed on request.
            http_routes = list("/apis/gateway.networking.k8s.io/v1/httproutes").await.unwrap_or_default();
        }
        Ok(Self { rollouts, replica_sets, services, ingresses, virtual_services, canaries, deployments, http_routes })
    }

    pub fn routes(&self) -> Vec<Route> {
        let Self { rollouts, replica_sets, services, ingresses, virtual_services, .. } = self;
        Objects { rollouts, replica_sets, services, ingresses, virtual_services }.routes()
    }
}
