//! The real Rollouts controller works on the embedded API server: its lists, watches, patches and conflicts are those of
//! a cluster. Only the embedded controllers of the same kinds stay at home.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use rolltop::{
    clock::Clock,
    demo::{
        api::{self, crd, rights, server::Server},
        controllers,
        kubeconfig::Kubeconfig,
        registry::{self, Write},
        sim::{Metrics, Samples, Sim},
        store::Key,
        world::World,
    },
    model::Time,
};
use serde_json::{Value, json};

use crate::cluster::Rig;

const ROLLOUTS: &str = "rollouts.argoproj.io";
const PATIENCE: Duration = Duration::from_secs(40);

struct NoMetrics;

impl Metrics for NoMetrics {
    fn query(&self, _: &str, _: &str, _: Time) -> Result<Samples, String> {
        Ok(Samples::Vector(Vec::new()))
    }
}

fn world() -> Arc<World> {
    let now: Time = chrono::Utc::now();
    let others = controllers::all().into_iter().filter(|controller| controller.name() != "rollouts-controller");
    let mut sim = Sim::new(now, 1, others.collect(), Box::new(NoMetrics));
    controllers::bootstrap(&mut sim.store, now);
    for namespace in ["argo-rollouts", "shop"] {
        controllers::namespace::create_namespace(&mut sim.store, namespace, now);
    }
    crd::install(&mut sim, now);
    rights::install(&mut sim, now);
    let world = World::new(sim, Clock::new(now, 1.0));
    world.tokens.add("controllers", "controllers", &["system:masters"]);
    tokio::spawn(world.clone().drive());
    world
}

struct Controller(Child);

impl Controller {
    fn start(server: &Server, folder: &Path) -> Self {
        let kubeconfig = folder.join("kubeconfig");
        let [token, namespace, context] = ["controllers", "shop", "embedded"].map(String::from);
        Kubeconfig { server: server.url(), token, namespace, context }.write(&kubeconfig).unwrap();
        let ports = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let [metrics, health] = ports.map(|port| port.local_addr().unwrap().port());
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/rig/bin/rollouts-controller");
        let child = Command::new(program)
            .env_clear()
            .env("HOME", folder)
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .args(["--leader-elect=false", "--qps=500", "--burst=1000"])
            .args([format!("--metricsport={metrics}"), format!("--healthzPort={health}")])
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.join("log")).unwrap())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn rollout() -> Value {
    let container = json!({"name": "web", "image": "web:1", "ports": [{"containerPort": 80}]});
    json!({
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 3, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}},
            "strategy": {"canary": {"steps": [{"setWeight": 34}, {"pause": {}}]}},
        },
    })
}

fn read(world: &World) -> Value {
    world.look(|sim| sim.store.get(&Key::new(ROLLOUTS, "shop", "web")).map(|found| found.value())).unwrap_or_default()
}

/// Writes as a client does.
fn change(world: &World, status: bool, change: impl Fn(&mut Value)) {
    world.with(|sim| {
        let mut object = sim.store.get(&Key::new(ROLLOUTS, "shop", "web")).unwrap().value();
        change(&mut object);
        let write = Write { client: true, ..Write::new(sim.now(), "tester") };
        registry::update(&mut sim.store, ROLLOUTS, object, if status { write.status() } else { write }).unwrap();
    });
}

async fn wait(world: &World, what: &str, is: impl Fn(&Value) -> bool) {
    let begun = std::time::Instant::now();
    while !is(&read(world)) {
        assert!(begun.elapsed() < PATIENCE, "not {what}: {}", read(world)["status"]);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn is_stable(rollout: &Value, image: &str) -> bool {
    let status = &rollout["status"];
    status["phase"] == "Healthy"
        && status["stableRS"] == status["currentPodHash"]
        && rollout["spec"]["template"]["spec"]["containers"][0]["image"] == image
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_real_controller_takes_a_rollout_through_its_life() {
    if !Rig::built() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let world = world();
    let server = Server::start(api::router(world.clone()), None).await.unwrap();
    let controller = Controller::start(&server, folder.path());
    world.with(|sim| {
        let write = Write { client: true, ..Write::new(sim.now(), "tester") };
        registry::create(&mut sim.store, ROLLOUTS, "shop", rollout(), write).unwrap();
    });
    wait(&world, "deployed", |rollout| is_stable(rollout, "web:1")).await;

    let set_image = |image: &'static str| {
        change(&world, false, move |rollout| rollout["spec"]["template"]["spec"]["containers"][0]["image"] = image.into())
    };
    let is_paused = |rollout: &Value| rollout["status"]["phase"] == "Paused" && rollout["status"]["message"] == "CanaryPauseStep";
    set_image("web:2");
    wait(&world, "paused at its step", is_paused).await;
    change(&world, true, |rollout| rollout["status"]["pauseConditions"] = Value::Null);
    wait(&world, "promoted", |rollout| is_stable(rollout, "web:2")).await;

    set_image("web:3");
    wait(&world, "paused again", is_paused).await;
    change(&world, true, |rollout| rollout["status"]["abort"] = true.into());
    let message = "RolloutAborted: Rollout aborted update to revision 3";
    wait(&world, "aborted", |rollout| rollout["status"]["phase"] == "Degraded" && rollout["status"]["message"] == message).await;
    set_image("web:2");
    wait(&world, "back", |rollout| is_stable(rollout, "web:2")).await;

    let managers: Vec<Value> =
        read(&world)["metadata"]["managedFields"].as_array().unwrap().iter().map(|entry| entry["manager"].clone()).collect();
    assert!(managers.contains(&"tester".into()) && managers.contains(&"rollouts-controller".into()), "{managers:?}");
    let reasons = world.look(|sim| {
        let events = sim.store.list("events", Some("shop")).map(|event| event.value());
        events.filter_map(|event| event["reason"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    });
    for reason in ["NewReplicaSetCreated", "RolloutPaused", "RolloutStepCompleted", "RolloutCompleted", "RolloutAborted"] {
        assert!(reasons.iter().any(|seen| seen == reason), "no event {reason}");
    }
    drop(controller);
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    // Two controllers that write the same object at once are the daily bread of a cluster.
    let is_error = |line: &&str| (line.contains("level=error") || line.starts_with("E1")) && !line.contains("the object has been modified");
    let errors: Vec<&str> = log.lines().filter(is_error).collect();
    assert!(errors.is_empty(), "the controller complains:\n{}", errors.join("\n"));
}
