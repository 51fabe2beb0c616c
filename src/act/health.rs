//! Asking pods how they are, through the API server's proxy, before users are sent to them.

use std::time::Duration;

use http::Request;
use tokio::time::Instant;

use crate::{engine::Probe, msg::Health};

/// One good answer may be luck.
const IN_A_ROW: u32 = 3;
const BETWEEN: Duration = Duration::from_millis(150);
/// How long a pod may take for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the pods say, all of them several times; none when there is nothing to ask.
pub async fn ask(client: &kube::Client, probes: &[Probe]) -> Option<Health> {
    let first = probes.first()?;
    let mut slowest = Duration::ZERO;
    for turn in 0..IN_A_ROW {
        if turn > 0 {
            tokio::time::sleep(BETWEEN).await;
        }
        for probe in probes {
            match once(client, probe).await {
                Ok(took) => slowest = slowest.max(took),
                Err(health) => return Some(health),
            }
        }
    }
    let pods = if probes.len() == 1 { "1 pod".into() } else { format!("{} pods", probes.len()) };
    let slowest = slowest.as_millis();
    Some(Health::Good(format!("{pods} answered {IN_A_ROW} times in a row to {}, slowest {slowest} ms", first.path).into()))
}

async fn once(client: &kube::Client, probe: &Probe) -> Result<Duration, Health> {
    let scheme = if probe.https { "https:" } else { "" };
    let Probe { namespace, pod, port, path, .. } = probe;
    let uri = format!("/api/v1/namespaces/{namespace}/pods/{scheme}{pod}:{port}/proxy{path}");
    let unasked = |why: String| Health::NotAsked(why.into());
    let request = Request::get(uri).body(Vec::new()).map_err(|error| unasked(error.to_string()))?;
    let began = Instant::now();
    let bad = |what: String| Health::Bad(format!("{pod} to {path}: {what}").into());
    match tokio::time::timeout(PATIENCE, client.request_text(request)).await {
        Ok(Ok(_)) => Ok(began.elapsed()),
        Ok(Err(kube::Error::Api(status))) if status.code == 403 && super::is_api_servers(&status) => {
            Err(unasked("no right to get pods/proxy".into()))
        }
        Ok(Err(kube::Error::Api(status))) => Err(bad(format!("{} {}", status.code, status.message))),
        Ok(Err(error)) => Err(unasked(error.to_string())),
        Err(_) => Err(bad(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}
