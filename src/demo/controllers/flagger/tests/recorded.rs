//! The same courses as those in which the real Flagger 1.43 was recorded: the same objects must be there at the end.

use serde_json::{Value, json};

use super::kit::{self, Play, TESTER, said};
use crate::demo::{
    controllers::{
        flagger::names,
        objects::{between, same, time},
    },
    workloads::Fate,
};

macro_rules! recorded {
    ($name:literal) => {
        include_str!(concat!("../../../../../tests/fixtures/flagger/", $name, ".json"))
    };
}

/// What was recorded at one moment.
struct Moment(Vec<Value>);

impl Moment {
    fn new(text: &str) -> Self {
        let text = text.replace("http://loadtester.example", TESTER).replace("prometheus.example:9090/api", "prometheus:9090/api");
        let list: Value = serde_json::from_str(&text).unwrap();
        Self(list["items"].as_array().unwrap().clone())
    }

    fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter(move |object| object["kind"] == kind)
    }

    fn canary(&self) -> &Value {
        self.of("Canary").next().unwrap()
    }

    fn name(&self) -> &str {
        self.canary()["metadata"]["name"].as_str().unwrap()
    }

    /// The recorded target and Canary, as they were at first.
    fn play(&self) -> Play {
        let mut play = Play::new();
        ["v1", "v2", "v3"].iter().for_each(|tag| play.pods(self.name(), tag, Fate::Ready));
        let mut target = bare(self.of("Deployment").find(|found| found["metadata"]["name"] == self.name()).unwrap());
        target["spec"]["replicas"] = 2.into();
        target["spec"]["template"]["spec"]["containers"][0]["image"] = "app:v1".into();
        json_patch::merge(&mut target["spec"]["template"]["spec"], &json!({"nodeSelector": null}));
        play.create(json!({"kind": "Deployment", "metadata": {"name": self.name(), "namespace": "shop"}, "spec": target["spec"]}));
        if self.canary()["spec"]["provider"] == "nginx" {
            play.create(kit::ingress(self.name()));
        }
        let mut canary = json!({"kind": "Canary", "metadata": {"name": self.name(), "namespace": "shop"}, "spec": self.canary()["spec"]});
        json_patch::merge(&mut canary["spec"], &json!({"suspend": null}));
        play.create(canary);
        play
    }

    /// Everything that was recorded is there, and says the same; so were the events.
    #[track_caller]
    fn compare(&self, play: &Play) {
        self.compare_objects(play);
        assert_eq!(play.events(self.name()), self.events());
    }

    fn events(&self) -> Vec<String> {
        let of_it = |event: &&Value| event["involvedObject"]["kind"] == "Canary" && event["involvedObject"]["name"] == self.name();
        said(self.of("Event").filter(of_it).cloned().collect())
    }

    #[track_caller]
    fn compare_objects(&self, play: &Play) {
        for (kind, id) in
            [("Canary", names::CANARIES), ("Deployment", names::DEPLOYMENTS), ("Service", names::SERVICES), ("Ingress", names::INGRESSES)]
        {
            for wanted in self.of(kind) {
                let name = wanted["metadata"]["name"].as_str().unwrap();
                let found = bare(&play.get(id, name));
                let wanted = bare(wanted);
                assert!(same(&found, &wanted), "{kind} {name}:\n{found:#}\nbut recorded was\n{wanted:#}\n{:#?}", play.events(self.name()));
            }
        }
    }
}

/// What is the same in every cluster.
fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    let by_chance = json!({"metadata": {"uid": null, "resourceVersion": null, "creationTimestamp": null, "managedFields": null}});
    json_patch::merge(&mut object, &by_chance);
    for owner in object["metadata"]["ownerReferences"].as_array_mut().into_iter().flatten() {
        owner["uid"] = "u".into();
    }
    match object["kind"].as_str() {
        Some("Service") => json_patch::merge(&mut object, &json!({"spec": {"clusterIP": null, "clusterIPs": null}})),
        // What the Deployment controller says is compared elsewhere; some moments were recorded before it had its say.
        Some("Deployment") => {
            object["status"] = Value::Null;
            json_patch::merge(&mut object["metadata"], &json!({"annotations": {"deployment.kubernetes.io/revision": null}}));
            if !object["spec"]["template"]["metadata"]["annotations"]["flagger-id"].is_null() {
                object["spec"]["template"]["metadata"]["annotations"]["flagger-id"] = "id".into();
            }
        }
        Some("Canary") => relative(&mut object["status"]),
        _ => (),
    }
    object
}

/// Times by how long ago they were when the status was written last; hashes by whether they are the same.
fn relative(status: &mut Value) {
    let last = time(&status["lastTransitionTime"]).unwrap();
    let ago = |value: &Value| between(time(value).unwrap(), last).as_secs();
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        for field in ["lastTransitionTime", "lastUpdateTime"] {
            condition[field] = ago(&condition[field]).into();
        }
    }
    status["lastAppliedSpec"] = json!(status["lastAppliedSpec"] == status["lastPromotedSpec"]);
    let fields = status.as_object_mut().unwrap();
    fields.remove("lastPromotedSpec");
    fields.remove("lastTransitionTime");
}

#[test]
fn blue_green_without_a_router() {
    let moment = Moment::new(recorded!("initialized"));
    let mut play = moment.play();
    play.ticks(2);
    moment.compare(&play);
    play.image("bgplain", "v2");
    play.ticks(2);
    Moment::new(recorded!("progressing-bluegreen")).compare(&play);
    play.ticks(3);
    Moment::new(recorded!("promoting")).compare(&play);
    play.ticks(2);
    Moment::new(recorded!("succeeded")).compare(&play);
}

#[test]
fn gates_and_the_way_back() {
    let moment = Moment::new(recorded!("waiting-confirm-rollout"));
    let mut play = moment.play();
    play.ticks(2);
    play.image("gates", "v2");
    play.ticks(1);
    moment.compare(&play);
    play.ticks(2);
    moment.compare(&play);
    play.gate("gates.shop", true);
    play.ticks(1);
    play.gate("gates.shop", false);
    play.ticks(4);
    Moment::new(recorded!("waiting-promotion")).compare(&play);
    play.gate("rollback.gates.shop", true);
    play.ticks(1);
    Moment::new(recorded!("failed-rollback-gate")).compare(&play);
}

#[test]
fn weights_by_nginx_with_a_suspension_and_a_promotion_and_a_failure() {
    let moment = Moment::new(recorded!("progressing-canary-nginx"));
    let mut play = moment.play();
    let suspend = |play: &mut Play, on: bool| play.patch(names::CANARIES, "ng", &json!({"spec": {"suspend": on}}));
    play.ticks(2);
    play.ticks(1);
    play.image("ng", "v2");
    play.ticks(2);
    moment.compare(&play);
    suspend(&mut play, true);
    play.ticks(2);
    Moment::new(recorded!("suspended-in-progress")).compare(&play);
    suspend(&mut play, false);
    play.ticks(3);
    Moment::new(recorded!("waiting-promotion-nginx")).compare(&play);
    play.gate("ng.shop", true);
    play.ticks(1);
    Moment::new(recorded!("promoting-nginx")).compare(&play);
    play.ticks(2);
    play.image("ng", "v3");
    play.ticks(2);
    play.patch_status("ng", &json!({"failedChecks": 3}));
    play.ticks(1);
    // Which of many messages are folded into one is a matter of chance in the real recorder. Warnings are few.
    let failed = Moment::new(recorded!("failed-by-status-failedchecks"));
    failed.compare_objects(&play);
    let warnings = |events: Vec<String>| events.into_iter().filter(|event| event.starts_with("Warning")).collect::<Vec<_>>();
    assert_eq!(warnings(play.events("ng")), warnings(failed.events()));
}

#[test]
fn pods_that_never_become_ready() {
    let moment = Moment::new(recorded!("progressing-canary-not-ready"));
    let mut play = moment.play();
    play.ticks(2);
    // No node is such.
    let template = moment.of("Deployment").find(|found| found["metadata"]["name"] == "bad").unwrap()["spec"]["template"].clone();
    play.patch(names::DEPLOYMENTS, "bad", &json!({"spec": {"template": template}}));
    play.ticks(2);
    moment.compare(&play);
    play.ticks(3);
    play.patch_status("bad", &json!({"failedChecks": 9}));
    play.patch(names::CANARIES, "bad", &json!({"spec": {"progressDeadlineSeconds": 1}}));
    play.ticks(1);
    let failed = Moment::new(recorded!("failed-progress-deadline"));
    failed.compare(&play);
}

#[test]
fn a_closed_gate_before_more_traffic() {
    let moment = Moment::new(recorded!("progressing-traffic-gate-closed"));
    let mut play = moment.play();
    play.ticks(2);
    play.image("cti", "v2");
    play.ticks(3);
    moment.compare(&play);
}

#[test]
fn no_metrics_server() {
    let moment = Moment::new(recorded!("failed-no-prometheus"));
    let mut play = moment.play();
    let refused = "Post \"http://prometheus.example:9090/api/v1/query\": dial tcp prometheus.example:9090: connect: connection refused";
    *play.said.lock().unwrap() = Err(refused.into());
    play.ticks(2);
    play.image("nometric", "v2");
    play.ticks(6);
    moment.compare(&play);
}

#[test]
fn a_success_rate_below_its_limit() {
    let moment = Moment::new(recorded!("failed-metric-threshold"));
    let mut play = moment.play();
    *play.said.lock().unwrap() = Ok((100.0, 100.0));
    play.ticks(2);
    play.image("met", "v2");
    play.ticks(7);
    *play.said.lock().unwrap() = Ok((80.0, 80.0));
    play.image("met", "v3");
    play.ticks(5);
    moment.compare(&play);
}
