//! While nothing changes, nothing is written to the terminal and next to nothing is asked of the API server.

use std::time::{Duration, Instant};

use chrono::Timelike;

use crate::{
    app::Start,
    cluster::{Canary, Identity, Rig},
};

/// Long enough for a probe to come round.
const QUIET: Duration = Duration::from_secs(25);

#[tokio::test]
async fn an_idle_fleet_writes_nothing_and_asks_next_to_nothing() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("quiet").await;
    let fx = rig.fixtures(&ns);
    fx.canary("search", Canary::nginx()).await;
    fx.wait_phase("search", "Healthy").await;
    let app = Start::new(rig, &ns).who(Identity::Namespaced).run();
    app.shows(&["search"]);
    // What follows a start has come: the last of it is a second of link news.
    tokio::time::sleep(Duration::from_secs(6)).await;
    // The header's clock has minutes: begin at the start of one.
    let second = chrono::Utc::now().second();
    if u64::from(60 - second) < QUIET.as_secs() + 2 {
        tokio::time::sleep(Duration::from_secs(u64::from(61 - second))).await;
    }
    let (bytes, mark, began) = (app.term.bytes_written(), rig.audit().mark(), Instant::now());
    tokio::time::sleep(QUIET).await;
    let written = app.term.bytes_written() - bytes;
    assert_eq!(written, 0, "after {:?}:\n{}", began.elapsed(), app.term.screen());
    let asked = rig.audit().since(mark).by("namespaced").namespace(&ns);
    // A watch that the server ended after its time is taken up again; nothing else.
    assert!(asked.len() <= 1, "{asked:?}");

    // It is not dead: a change arrives.
    fx.set_image("search", "v2").await;
    app.shows(&["25%"]);
    assert!(app.term.bytes_written() > bytes);
}
