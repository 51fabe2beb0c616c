//! Canaries of Flagger's: seen through to the end, steered by hand, and opened where a gate holds them.

use crate::cluster::{Rig, manifests::FlaggerCanary};

#[tokio::test]
async fn a_canary_that_passes_its_checks_is_promoted() {
    let Some(rig) = Rig::shared().await else { return };
    if !rig.flagger().await {
        return;
    }
    let ns = rig.namespace("flg-pass").await;
    let fx = rig.fixtures(&ns);
    fx.flagger_canary("web", FlaggerCanary::nginx()).await;
    let begin = std::time::Instant::now();
    fx.wait_canary_phase("web", "Initialized").await;
    eprintln!("initialized {:?}", begin.elapsed());
    fx.release_deployment("web", "v2", crate::cluster::Pods::Fast).await;
    for phase in ["Progressing", "Promoting", "Succeeded"] {
        fx.wait_canary_phase("web", phase).await;
        eprintln!("{phase} {:?}", begin.elapsed());
    }
}
