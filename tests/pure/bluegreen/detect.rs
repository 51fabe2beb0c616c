//! Which Services are a blue-green, and which only look like one.

use rolltop::{
    engine::{ENGINES, survey::survey},
    model::EngineKind,
};
use serde_json::json;

use super::kit::{scene, waiting};

fn both() -> Option<Vec<String>> {
    Some(vec!["app-blue".into(), "app-green".into()])
}

#[test]
fn a_colour_in_the_selector_decides() {
    assert_eq!(scene("before-flip").parts("app"), both());
    assert_eq!(
        scene("after-flip").parts("app"),
        both().map(|mut p| {
            p.reverse();
            p
        })
    );
}

/// The same scene with another key and other values for the sides.
fn keyed(key: &str, blue: &str, green: &str) -> super::kit::Scene {
    let text = serde_json::to_string(&scene("before-flip").items).unwrap();
    let text = text
        .replace("\"color\":\"blue\"", &format!("\"{key}\":\"{blue}\""))
        .replace("\"color\":\"green\"", &format!("\"{key}\":\"{green}\""));
    super::kit::Scene { items: serde_json::from_str(&text).unwrap() }
}

#[test]
fn any_key_can_be_named_and_only_known_ones_are_guessed() {
    for (key, a, b) in [("version", "v1", "v2"), ("slot", "a", "b"), ("app.kubernetes.io/version", "1.0", "1.1"), ("lane", "blue", "green")]
    {
        assert_eq!(keyed(key, a, b).parts("app"), both(), "{key}");
    }
    let components = keyed("component", "web", "worker");
    assert_eq!(components.parts("app"), None, "parts of one application are no sides");
    let named = |at: &'static str| components.clone().with("app", |s| s["metadata"][at] = json!({"rolltop.dev/blue-green": "component"}));
    assert_eq!(named("labels").parts("app"), both());
    assert_eq!(named("annotations").parts("app"), both());
    let off = scene("before-flip").with("app", |s| s["metadata"]["labels"] = json!({"rolltop.dev/blue-green": "off"}));
    assert_eq!(off.parts("app"), None);
}

#[test]
fn everything_else_is_none() {
    let base = || scene("before-flip");
    let third = base().items[2].to_string().replace("green", "red");
    let owner = json!([{"apiVersion": "x/v1", "kind": "Canary", "name": "app", "uid": "u", "controller": true}]);
    let selector = |value: serde_json::Value| base().with("app", |s| s["spec"]["selector"] = value);
    for (why, none) in [
        ("both sides serve", selector(json!({"app": "app"}))),
        ("no selector", selector(json!({}))),
        ("the colour alone", selector(json!({"color": "blue"}))),
        ("nobody has that colour", selector(json!({"app": "app", "color": "red"}))),
        ("one side", base().with("app-green", |d| d["spec"]["template"]["metadata"]["labels"]["app"] = "other".into())),
        ("three sides", base().plus(serde_json::from_str(&third).unwrap())),
        ("a controller owns one side", base().with("app-green", |d| d["metadata"]["ownerReferences"] = owner.clone())),
        ("a controller owns the Service", base().with("app", |s| s["metadata"]["ownerReferences"] = owner.clone())),
        ("headless", base().with("app", |s| s["spec"]["clusterIP"] = "None".into())),
        ("another namespace", base().with("app-green", |d| d["metadata"]["namespace"] = "elsewhere".into())),
        ("another thing altogether", base().image("app-green", "other:v1").with("app-green", |d| d["metadata"]["name"] = "billing".into())),
    ] {
        assert_eq!(none.parts("app"), None, "{why}");
    }
}

#[test]
fn of_several_services_one_stands_for_the_release() {
    let scene = waiting()
        .service("app-preview", json!({"app": "app", "color": "green"}))
        .service("app-blue", json!({"app": "app", "color": "blue"}))
        .service("app-internal", json!({"app": "app", "color": "blue"}));
    assert_eq!(scene.parts("app"), both());
    for other in ["app-preview", "app-blue", "app-internal"] {
        assert_eq!(scene.parts(other), None, "{other}");
    }
    let words: Vec<String> = scene.model().notices.iter().map(|n| n.text.to_string()).collect();
    assert!(words.iter().any(|w| w.starts_with("Service app-internal selects blue as well")), "{words:?}");
}

/// Who drives what in the scene's namespace, by name of the root.
fn shown(scene: &super::kit::Scene) -> Vec<(String, EngineKind)> {
    let objects = scene.objects();
    let found = survey(ENGINES, "shop", &objects);
    let mut all: Vec<(String, EngineKind)> = objects
        .kinds()
        .flat_map(|kind| objects.within(kind, "shop"))
        .filter_map(|o| Some((o.meta.name.to_string(), *found.rollouts.get(&o.meta.uid)?)))
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[test]
fn sides_are_shown_once_and_those_of_a_controller_are_none() {
    let base = || scene("before-flip");
    let pair = |name: &str| (name.to_owned(), EngineKind::BlueGreen);
    let alone = |name: &str| (name.to_owned(), EngineKind::Deployment);
    assert_eq!(shown(&base()), [pair("app")]);
    let none = base().with("app", |s| s["metadata"]["labels"] = json!({"rolltop.dev/blue-green": "off"}));
    assert_eq!(shown(&none), [alone("app-blue"), alone("app-green")]);
    let canary = base().plus(json!({"kind": "Canary", "metadata": {"namespace": "shop", "name": "web", "uid": "c"},
        "spec": {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app-blue"}}}));
    assert_eq!(shown(&canary), [alone("app-green"), ("web".to_owned(), EngineKind::Flagger)], "Flagger drives one of the sides");
    let rollout = base().plus(json!({"kind": "Rollout", "metadata": {"namespace": "shop", "name": "web", "uid": "r"},
        "spec": {"workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app-green"}}}));
    assert_eq!(shown(&rollout), [alone("app-blue"), ("web".to_owned(), EngineKind::Argo)], "Argo Rollouts takes its template from one");
}
