//! `rolltop watch`: whatever is typed, pasted or clicked, the API server never sees a write.

use std::time::Duration;

use crate::{
    cluster::{Canary, Rig},
    suite::app::Start,
};

#[tokio::test]
async fn thousands_of_random_keys_write_nothing() {
    let Some(rig) = Rig::shared().await else { return };
    let ns = rig.namespace("watch").await;
    let fx = rig.fixtures(&ns);
    fx.canary("checkout", Canary::nginx()).await;
    fx.wait_phase("checkout", "Healthy").await;
    fx.set_image("checkout", "v2").await;
    fx.wait_phase("checkout", "Paused").await;
    let mark = rig.audit().mark();
    let app = Start::new(rig, &ns).args(["watch", "-n", &ns, "checkout"]).run();
    app.shows(&["WATCH", "checkout"]);

    let mut random = fastrand::Rng::with_seed(7);
    // Everything but what ends or stops the program.
    let keys: Vec<&str> = vec![
        "p",
        "P",
        "y",
        "o",
        "a",
        "f",
        "r",
        "u",
        "R",
        "i",
        " ",
        "\r",
        "\x1b",
        "\t",
        "1",
        "5",
        "/",
        ":",
        "?",
        "j",
        "k",
        "z",
        "d",
        "t",
        "c",
        "\x1b[A",
        "\x1b[B",
        "promote\r",
        "\x1b[200~py\x1b[201~",
        "\x1b[<0;10;5M",
        "\x1b[<0;10;5m",
        "[",
        "]",
        "s",
        "n",
    ];
    for round in 0..150 {
        let burst: String = (0..20).map(|_| keys[random.usize(..keys.len())]).collect();
        app.press(&burst);
        if round % 10 == 0 {
            std::thread::sleep(Duration::from_millis(400));
            app.press("y");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(800));
    let entries = rig.audit().since(mark).by("oncall").namespace(&ns);
    let writes = entries.clone().only(|e| e.is_write() || e.is_dry_run());
    assert!(writes.is_empty(), "{writes:?}");
    assert_eq!(fx.status("checkout").await["currentStepIndex"], 1);
    // The test could fail: it did see this session read.
    assert!(!entries.is_empty());
}
