//! kubectl and the Argo Rollouts plugin, as people have them: whatever they say to a real cluster they say to the
//! embedded one.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    cluster::{Canary, Identity, Pods, Rig, fixtures::Fixtures, manifests},
    suite::app::PATIENCE,
};

/// Somebody with a terminal in one namespace.
pub struct Person<'a> {
    rig: &'a Rig,
    pub namespace: String,
    who: Identity,
}

impl<'a> Person<'a> {
    pub async fn new(rig: &'a Rig, prefix: &str, who: Identity) -> Self {
        Self { rig, namespace: rig.namespace(prefix).await, who }
    }

    pub fn fixtures(&self) -> Fixtures {
        self.rig.fixtures(&self.namespace)
    }

    fn as_(&self, who: Identity) -> Self {
        Self { rig: self.rig, namespace: self.namespace.clone(), who }
    }

    fn command(&self, line: &str) -> Command {
        let mut words = line.split_whitespace();
        let program = words.next().unwrap();
        let home = self.rig.home();
        let mut command = Command::new(Rig::programs().unwrap().join(program));
        command.args(words).env_clear().env("HOME", home).env("KUBECONFIG", self.rig.client_kubeconfig(self.who, &self.namespace));
        command
    }

    fn output(&self, line: &str, more: &[&str]) -> Output {
        self.command(line).args(more).output().unwrap()
    }

    /// What it prints; it must succeed.
    #[track_caller]
    pub fn run(&self, line: &str) -> String {
        self.run_with(line, &[])
    }

    /// The same with arguments that have spaces.
    #[track_caller]
    fn run_with(&self, line: &str, more: &[&str]) -> String {
        let output = self.output(line, more);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line} {more:?}: {} {said}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What it complains about; it must fail.
    #[track_caller]
    pub fn fails(&self, line: &str, more: &[&str]) -> String {
        let output = self.output(line, more);
        assert!(!output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
    }

    /// Runs until it is dropped; gives its lines.
    pub fn follow(&self, line: &str) -> Followed {
        let mut child = self.command(line).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (tx, lines) = mpsc::channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| tx.send(line)));
        Followed { child, lines }
    }
}

pub struct Followed {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Followed {
    #[track_caller]
    pub fn shows(&self, words: &[&str]) -> String {
        let mut seen = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            if words.iter().all(|word| line.contains(word)) {
                return line;
            }
            seen.push(line);
        }
        panic!("never showed {words:?}:\n{}", seen.join("\n"));
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn contains_all(text: &str, words: &[&str]) {
    words.iter().for_each(|word| assert!(text.contains(word), "no {word:?} in\n{text}"));
}

/// The first word of each line below the header.
fn names(table: &str) -> Vec<&str> {
    table.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect()
}

async fn paused(fx: &Fixtures) {
    fx.canary("checkout", Canary::nginx()).await;
    fx.wait_phase("checkout", "Healthy").await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    fx.set_image("checkout", "v2").await;
    fx.wait_phase("checkout", "Paused").await;
}

#[tokio::test]
async fn kubectl_get_and_describe() {
    if Rig::programs().is_none() {
        return;
    }
    let Some(rig) = Rig::shared().await else { return };
    let me = Person::new(rig, "get", Identity::Viewer).await;
    let fx = me.fixtures();
    paused(&fx).await;

    let table = me.run("kubectl get rollouts");
    contains_all(table.lines().next().unwrap(), &["NAME", "DESIRED", "CURRENT", "UP-TO-DATE", "AVAILABLE", "AGE"]);
    let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().take(5).collect();
    assert_eq!(row, ["checkout", "4", "5", "1", "5"]);
    assert_eq!(me.run("kubectl get ro checkout -o jsonpath={.status.phase}"), "Paused");
    assert_eq!(me.run("kubectl get rollout.argoproj.io -o name").trim(), "rollout.argoproj.io/checkout");

    let pods = me.run("kubectl get pods -l app=checkout -o wide");
    contains_all(pods.lines().next().unwrap(), &["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"]);
    assert_eq!(pods.lines().filter(|line| line.contains("1/1") && line.contains("Running")).count(), 5, "{pods}");
    assert_eq!(names(&me.run("kubectl get pods --field-selector status.phase=Pending")).len(), 0);
    assert_eq!(me.run("kubectl get rs -o name").lines().count(), 2);
    contains_all(&me.run("kubectl get svc,ing"), &["service/checkout-canary", "ingress.networking.k8s.io/checkout-checkout-canary"]);
    assert!(me.run("kubectl get rollouts -A -o name --chunk-size=1").lines().any(|line| line.ends_with("/checkout")));

    let described = me.run("kubectl describe rollout checkout");
    contains_all(
        &described,
        &["Name:", "checkout", "Current Pod Hash:", "Controller Pause:", "Events:", "RolloutPaused", "NewReplicaSetCreated"],
    );
    let pod = me.run("kubectl get pods -l app=checkout -o jsonpath={.items[0].metadata.name}");
    contains_all(&me.run(&format!("kubectl describe pod {pod}")), &["Controlled By:", "ReplicaSet/checkout-", "Containers:", "Ready"]);
    contains_all(&me.fails("kubectl get rollout nobody", &[]), &["rollouts.argoproj.io \"nobody\" not found"]);
    contains_all(&me.run("kubectl api-resources --api-group=argoproj.io"), &["rollouts", "ro", "argoproj.io/v1alpha1", "true", "Rollout"]);
    contains_all(&me.run("kubectl version"), &["Server Version"]);
}

#[tokio::test]
async fn kubectl_patch_and_scale() {
    if Rig::programs().is_none() {
        return;
    }
    let Some(rig) = Rig::shared().await else { return };
    let me = Person::new(rig, "patch", Identity::Admin).await;
    let fx = me.fixtures();
    paused(&fx).await;

    // What a failed test says, and what it leaves alone.
    let wrong = r#"[{"op":"test","path":"/status/currentPodHash","value":"other"},{"op":"remove","path":"/status/pauseConditions"}]"#;
    let said = me.fails("kubectl patch rollout checkout --subresource=status --type=json -p", &[wrong]);
    contains_all(&said, &["the server rejected our request due to an error in our request"]);
    assert_eq!(fx.status("checkout").await["currentStepIndex"], 1);
    let refused = me.as_(Identity::Viewer).fails("kubectl patch rollout checkout --type=merge -p", &[r#"{"spec":{"paused":true}}"#]);
    contains_all(
        &refused,
        &[
            "Error from server (Forbidden): rollouts.argoproj.io \"checkout\" is forbidden: User \"viewer\" cannot patch resource \"rollouts\"",
        ],
    );

    let resumed =
        me.run_with("kubectl patch rollout checkout --subresource=status --type=merge -p", &[r#"{"status":{"pauseConditions":null}}"#]);
    assert_eq!(resumed.trim(), "rollout.argoproj.io/checkout patched");
    fx.wait_for("checkout", |r| r["status"]["currentStepIndex"] == 3, PATIENCE).await;
    contains_all(&me.run("kubectl label rollout checkout team=shop"), &["rollout.argoproj.io/checkout labeled"]);
    contains_all(&me.run("kubectl annotate rollout checkout note=hello --overwrite"), &["annotated"]);
    assert_eq!(fx.rollout("checkout").await["metadata"]["labels"]["team"], "shop");

    assert_eq!(me.run("kubectl scale rollout checkout --replicas=6").trim(), "rollout.argoproj.io/checkout scaled");
    fx.wait_for("checkout", |r| r["spec"]["replicas"] == 6 && r["status"]["availableReplicas"] == 9, PATIENCE).await;
    contains_all(&me.fails("kubectl scale rollout checkout --current-replicas=2 --replicas=7", &[]), &["Expected replicas to be 2, was 6"]);
    contains_all(
        &me.fails("kubectl patch rollout checkout --type=merge -p", &[r#"{"spec":{"replicas":"many"}}"#]),
        &["spec.replicas", "Invalid value"],
    );
    contains_all(&me.run("kubectl delete pod -l version=v2 --wait=false"), &["deleted"]);
}

/// An ordinary Deployment lives there, too.
#[tokio::test]
async fn kubectl_rollout() {
    if Rig::programs().is_none() {
        return;
    }
    let Some(rig) = Rig::shared().await else { return };
    let me = Person::new(rig, "deploy", Identity::Admin).await;
    let mut deployment = manifests::object("apps/v1", "Deployment", "web");
    deployment["spec"] =
        json!({"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": manifests::pod_template("web", "v1", Pods::Fast)});
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    std::fs::write(file.path(), deployment.to_string()).unwrap();
    let path = file.path().to_str().unwrap();
    assert_eq!(me.run_with("kubectl apply -f", &[path]).trim(), "deployment.apps/web created");
    contains_all(&me.run("kubectl rollout status deployment/web --timeout=20s"), &["successfully rolled out"]);
    assert_eq!(me.run_with("kubectl apply -f", &[path]).trim(), "deployment.apps/web unchanged");
    deployment["spec"]["template"] = manifests::pod_template("web", "v2", Pods::Fast);
    std::fs::write(file.path(), deployment.to_string()).unwrap();
    assert_eq!(me.run_with("kubectl apply -f", &[path]).trim(), "deployment.apps/web configured");
    me.run("kubectl rollout status deployment/web --timeout=20s");
    let image = || me.run("kubectl get deployment web -o jsonpath={.spec.template.spec.containers[0].image}");
    assert!(image().ends_with(":v2"));
    contains_all(&me.run("kubectl rollout history deployment/web"), &["REVISION", "1", "2"]);
    contains_all(&me.run("kubectl rollout undo deployment/web"), &["rolled back"]);
    assert!(image().ends_with(":v1"));
    contains_all(&me.run("kubectl rollout restart deployment/web"), &["restarted"]);
    contains_all(&me.run("kubectl rollout pause deployment/web"), &["paused"]);
    contains_all(&me.run("kubectl rollout resume deployment/web"), &["resumed"]);
    contains_all(&me.run("kubectl set image deployment/web app=registry.example.test/app:v3"), &["image updated"]);
    contains_all(&me.run("kubectl rollout status deployment/web --timeout=20s"), &["successfully rolled out"]);
    contains_all(&me.run("kubectl delete deployment web"), &["deployment.apps \"web\" deleted"]);
    contains_all(&me.run("kubectl wait --for=delete pod -l app=web --timeout=20s"), &[]);
}

#[tokio::test]
async fn kubectl_follows_events_and_watches() {
    if Rig::programs().is_none() {
        return;
    }
    let Some(rig) = Rig::shared().await else { return };
    let me = Person::new(rig, "follow", Identity::Oncall).await;
    let fx = me.fixtures();
    paused(&fx).await;
    contains_all(&me.run("kubectl events --for rollout/checkout"), &["LAST SEEN", "REASON", "RolloutPaused"]);
    let events = me.follow("kubectl events --for rollout/checkout -w");
    events.shows(&["RolloutPaused"]);
    let rollouts = me.follow("kubectl get rollouts -w");
    rollouts.shows(&["checkout"]);
    let plain = me.follow("kubectl get events -w --field-selector involvedObject.kind=Rollout");
    fx.patch_status("checkout", &json!({"status": {"abort": true}})).await;
    events.shows(&["Warning", "RolloutAborted", "Rollout/checkout"]);
    plain.shows(&["RolloutAborted", "rollout/checkout"]);
    rollouts.shows(&["checkout"]);
    contains_all(&me.run("kubectl wait --for=jsonpath={.status.phase}=Degraded rollout/checkout --timeout=20s"), &["condition met"]);
}

#[tokio::test]
async fn kubectl_tells_ones_rights() {
    if Rig::programs().is_none() {
        return;
    }
    let Some(rig) = Rig::shared().await else { return };
    let me = Person::new(rig, "cani", Identity::Viewer).await;
    assert_eq!(me.run("kubectl auth can-i list rollouts.argoproj.io").trim(), "yes");
    assert_eq!(me.fails("kubectl auth can-i patch rollouts.argoproj.io --subresource=status", &[]).trim(), "no");
    assert_eq!(me.as_(Identity::Oncall).run("kubectl auth can-i patch rollouts.argoproj.io --subresource=status").trim(), "yes");
    let here = me.as_(Identity::Namespaced);
    assert_eq!(here.run("kubectl auth can-i patch rollouts.argoproj.io --subresource=status").trim(), "yes");
    assert_eq!(here.fails("kubectl auth can-i patch rollouts.argoproj.io --subresource=status -n default", &[]).trim(), "no");
    contains_all(
        &me.as_(Identity::Oncall).run("kubectl auth can-i --list"),
        &["rollouts.argoproj.io/status", "[patch]", "selfsubjectaccessreviews"],
    );
    contains_all(&me.run("kubectl auth whoami"), &["Username", "viewer", "system:authenticated"]);
    contains_all(
        &me.as_(Identity::Nobody).fails("kubectl get pods", &[]),
        &["Forbidden", "User \"nobody\" cannot list resource \"pods\" in API group \"\" in the namespace"],
    );
}

/// `get` draws a tree of everything below a Rollout, `status` waits, and the verbs do what they do.
#[tokio::test]
async fn the_argo_plugin_drives_a_canary() {
    if Rig::programs().is_none() {
        return;
    }
    let Some(rig) = Rig::shared().await else { return };
    let me = Person::new(rig, "plugin", Identity::Admin).await;
    let fx = me.fixtures();
    paused(&fx).await;

    let tree = me.run("kubectl-argo-rollouts get rollout checkout --no-color");
    contains_all(
        &tree,
        &["Name:            checkout", "Status:          ॥ Paused", "Message:         CanaryPauseStep", "Strategy:        Canary"],
    );
    contains_all(
        &tree,
        &["Step:          1/4", "SetWeight:     25", "ActualWeight:  25", "app:v1 (stable)", "app:v2 (canary)", "revision:2", "Pod"],
    );
    contains_all(&me.run("kubectl-argo-rollouts list rollouts"), &["NAME", "STRATEGY", "checkout", "Canary", "Paused", "1/4", "25"]);
    assert_eq!(me.run("kubectl-argo-rollouts status checkout --watch=false").trim(), "Paused - CanaryPauseStep");

    assert_eq!(me.run("kubectl-argo-rollouts promote checkout").trim(), "rollout 'checkout' promoted");
    fx.wait_for("checkout", |r| r["status"]["currentStepIndex"] == 3, PATIENCE).await;
    contains_all(&me.run("kubectl-argo-rollouts abort checkout"), &["rollout 'checkout' aborted"]);
    fx.wait_phase("checkout", "Degraded").await;
    contains_all(&me.fails("kubectl-argo-rollouts status checkout --watch=false", &[]), &["Degraded", "RolloutAborted"]);
    contains_all(&me.run("kubectl-argo-rollouts retry rollout checkout"), &["rollout 'checkout' retried"]);
    fx.wait_for("checkout", |r| r["status"]["currentStepIndex"] == 1 && r["status"]["phase"] == "Paused", PATIENCE).await;
    contains_all(&me.run("kubectl-argo-rollouts undo checkout"), &["rollout 'checkout' undo"]);
    contains_all(&me.run("kubectl-argo-rollouts status checkout --timeout 20s"), &["Healthy"]);
    assert_eq!(version(&fx).await, "v1");

    contains_all(&me.run("kubectl-argo-rollouts set image checkout app=registry.example.test/app:v3"), &["image updated"]);
    fx.wait_for("checkout", |r| r["status"]["phase"] == "Paused", PATIENCE).await;
    contains_all(&me.run("kubectl-argo-rollouts pause checkout"), &["rollout 'checkout' paused"]);
    fx.wait_for("checkout", |r| r["spec"]["paused"] == true, PATIENCE).await;
    contains_all(&me.run("kubectl-argo-rollouts promote checkout --full"), &["rollout 'checkout' fully promoted"]);
    contains_all(&me.run("kubectl-argo-rollouts status checkout --timeout 20s"), &["Healthy"]);
    assert_eq!(version(&fx).await, "v3");
    contains_all(&me.run("kubectl-argo-rollouts restart checkout"), &["rollout 'checkout' restarts in 0s"]);
    fx.wait_for("checkout", |r| r["status"]["restartedAt"] == r["spec"]["restartAt"] && !r["spec"]["restartAt"].is_null(), PATIENCE).await;
    let watching = me.follow("kubectl-argo-rollouts get rollout checkout --watch --no-color");
    watching.shows(&["Name:", "checkout"]);
}

async fn version(fx: &Fixtures) -> Value {
    let rollout = fx.wait_phase("checkout", "Healthy").await;
    let image = rollout["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned();
    let stable = &rollout["status"]["stableRS"];
    assert_eq!(*stable, rollout["status"]["currentPodHash"]);
    image.rsplit(':').next().unwrap().into()
}
