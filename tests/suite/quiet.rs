//! While nothing changes, nothing is written to the terminal and next to nothing is asked of the API server.

use std::time::{Duration, Instant};

use chrono::Timelike;

use crate::{
    cluster::{Canary, Identity, Rig},
    suite::app::Start,
};

/// Long enough for a probe to come round.
const QUIET: Duration = Duration::from_secs(25);

/// Bytes it takes to move to the clock and write it.
const CLOCK: usize = 64;

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
    let (bytes, mark, began) = (app.term.bytes_written(), rig.audit().mark(), Instant::now());
    let minute = chrono::Utc::now().minute();
    tokio::time::sleep(QUIET).await;
    let written = app.term.bytes_written() - bytes;
    // The header's clock has minutes: its digits may have changed once, and nothing else.
    let allowed = if chrono::Utc::now().minute() == minute { 0 } else { CLOCK };
    assert!(written <= allowed, "{written} bytes after {:?}:\n{}", began.elapsed(), app.term.screen());
    let asked = rig.audit().since(mark).by("namespaced").namespace(&ns);
    // A watch that the server ended after its time is taken up again; nothing else.
    assert!(asked.len() <= 1, "{asked:?}");

    // It is not dead: a change arrives.
    fx.set_image("search", "v2").await;
    app.shows(&["25%"]);
    assert!(app.term.bytes_written() > bytes);
}
