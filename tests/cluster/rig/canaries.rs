//! Flagger's Canaries among the objects that the exporter reads: who gets which share of the requests to each.

use rolltop::demo::controllers::flagger::names::{DEPLOYMENTS, HTTP_ROUTES, INGRESSES, SERVICES, VIRTUAL_SERVICES};
use rolltop::demo::routes::{Route, canaries};
use serde_json::Value;

use super::observe::Snapshot;

/// One route for each Canary, under the name of its target.
pub fn routes(snapshot: &Snapshot) -> Vec<Route> {
    let route = |canary: &Value| {
        let namespace = canary["metadata"]["namespace"].as_str().unwrap_or_default();
        canaries::route(canary, &mut InNamespace { snapshot, namespace })
    };
    snapshot.canaries.iter().filter_map(route).collect()
}

struct InNamespace<'a> {
    snapshot: &'a Snapshot,
    namespace: &'a str,
}

impl canaries::Cluster for InNamespace<'_> {
    fn get(&mut self, kind: &str, name: &str) -> Option<Value> {
        let objects = match kind {
            DEPLOYMENTS => &self.snapshot.deployments,
            HTTP_ROUTES => &self.snapshot.http_routes,
            INGRESSES => &self.snapshot.ingresses,
            SERVICES => &self.snapshot.services,
            VIRTUAL_SERVICES => &self.snapshot.virtual_services,
            _ => return None,
        };
        let wanted = |object: &&Value| object["metadata"]["namespace"] == self.namespace && object["metadata"]["name"] == name;
        objects.iter().find(wanted).cloned()
    }

    fn replica_sets(&mut self, owner: &str) -> Vec<Value> {
        let owned = |set: &&Value| set["metadata"]["ownerReferences"][0]["uid"] == owner;
        self.snapshot.replica_sets.iter().filter(owned).cloned().collect()
    }
}
