//! What an empty cluster needs before anybody can work in it.

use std::time::Duration;

use color_eyre::eyre::Result;
use futures::future::try_join_all;
use serde_json::{Value, json};

use super::api::Api;
use super::layout::Layout;
use super::manifests::object;
use super::roles;

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

pub async fn run(api: &Api, layout: &Layout) -> Result<()> {
    let mut objects = roles::cluster_wide();
    objects.push(object("v1", "Namespace", "argo-rollouts"));
    objects.extend((1..=3).map(|n| node(&format!("node-{n}"))));
    tokio::try_join!(create_crds(api, layout), roles::apply_all(api, &objects), node_status(api))?;
    served(api).await;
    Ok(())
}

async fn create_crds(api: &Api, layout: &Layout) -> Result<()> {
    let files = layout.crds()?.into_iter().map(std::fs::read_to_string).collect::<Result<Vec<_>, _>>()?;
    try_join_all(files.iter().flat_map(|file| documents(file)).map(|document| api.create_yaml(CRDS, document))).await?;
    Ok(())
}

fn documents(file: &str) -> impl Iterator<Item = &str> {
    file.split("\n---").filter(|document| document.contains("kind:"))
}

/// Creates the kinds in a file, unless they are there, and waits until all are served.
pub async fn install(api: &Api, file: &str) -> Result<()> {
    for document in documents(file) {
        if let Err(error) = api.create_yaml(CRDS, document).await
            && !matches!(&error, kube::Error::Api(status) if status.code == 409)
        {
            return Err(error.into());
        }
    }
    for crd in api.list(CRDS).await?.iter().filter(|crd| is_in(file, crd)) {
        established(api, crd).await;
    }
    Ok(())
}

fn is_in(file: &str, crd: &Value) -> bool {
    crd["metadata"]["name"].as_str().is_some_and(|name| file.contains(&format!("name: {name}\n")))
}

async fn established(api: &Api, crd: &Value) {
    let (spec, served) = (&crd["spec"], |version: &&Value| version["served"] == true);
    for version in spec["versions"].as_array().into_iter().flatten().filter(served) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let path = format!("/apis/{}/{}/{}?limit=1", text(&spec["group"]), text(&version["name"]), text(&spec["names"]["plural"]));
        while api.get(&path).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The webhooks of another project, which it completes itself.
pub async fn webhooks(api: &Api, file: &str) -> Result<()> {
    for document in documents(file) {
        let plural = if document.contains("kind: Mutating") { "mutating" } else { "validating" };
        api.create_yaml(&format!("/apis/admissionregistration.k8s.io/v1/{plural}webhookconfigurations"), document).await?;
    }
    Ok(())
}

/// Waits until the new kinds are served; the Rollouts controller would give up without them.
async fn served(api: &Api) {
    let kinds = [
        "argoproj.io/v1alpha1/rollouts",
        "argoproj.io/v1alpha1/analysisruns",
        "argoproj.io/v1alpha1/experiments",
        "argoproj.io/v1alpha1/clusteranalysistemplates",
        "networking.istio.io/v1/virtualservices",
    ];
    for kind in kinds {
        while api.get(&format!("/apis/{kind}?limit=1")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn node(name: &str) -> Value {
    let mut node = object("v1", "Node", name);
    node["metadata"]["labels"] = json!({"type": "kwok"});
    node["metadata"]["annotations"] = json!({"kwok.x-k8s.io/node": "fake"});
    node
}

/// Big nodes: no test is about scheduling unless it asks for more than this.
async fn node_status(api: &Api) -> Result<()> {
    let size = json!({"cpu": "1000", "memory": "1000Gi", "pods": "10000"});
    let patch = json!({"status": {"allocatable": size, "capacity": size}});
    for n in 1..=3 {
        let path = format!("/api/v1/nodes/node-{n}/status");
        while api.merge(&path, &patch).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}
