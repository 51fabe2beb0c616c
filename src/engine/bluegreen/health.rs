//! Whom to ask before users are sent to the idle side: its ready pods, at the path that Kubernetes asks them, too.

use super::facts::Facts;
use crate::{
    engine::{
        Probe,
        workload::dto::{IntOrText, dto},
    },
    model::PodHealth,
};

/// So many pods speak for all.
const ASKED: usize = 3;

dto! {
    Probed { spec: Spec, }
    Spec { template: Template, }
    Template { spec: Pods, }
    Pods { containers: Vec<Container>, }
    Container { ports: Vec<Port>, readiness_probe: Option<Readiness>, }
    Port { name: String, container_port: Option<u16>, }
    Readiness { http_get: Option<HttpGet>, }
    HttpGet { path: String, port: IntOrText, scheme: String, }
}

pub fn probes(f: &Facts<'_>) -> Vec<Probe> {
    let side = f.idle();
    let Ok(probed) = side.object.read_whole::<Probed>() else { return Vec::new() };
    let Some((port, get)) = probed.spec.template.spec.containers.iter().find_map(asked) else { return Vec::new() };
    let one = |pod: crate::model::Pod| Probe {
        namespace: f.root.meta.namespace.clone(),
        pod: pod.name,
        https: get.scheme == "HTTPS",
        port,
        path: if get.path.starts_with('/') { (&get.path).into() } else { format!("/{}", get.path).into() },
    };
    side.pods(f.objects).into_iter().filter(|pod| pod.health == PodHealth::Ready).take(ASKED).map(one).collect()
}

fn asked(container: &Container) -> Option<(u16, &HttpGet)> {
    let get = container.readiness_probe.as_ref()?.http_get.as_ref()?;
    let named = |name: &str| container.ports.iter().find(|port| port.name == name)?.container_port;
    let text = &get.port.0;
    Some((text.parse().ok().or_else(|| named(text))?, get))
}
