//! What the tests of engines share: scenes of objects as the decoder reads them, patches as the API server applies them, and
//! what must hold of every scene.

use std::{fs, path::Path};

use rolltop::{
    cluster::decode,
    engine::{Engine, Patch, Plan, Progress, Refusal},
    intent::{Intent, Verb},
    model::{Phase, Rollout, WaitFor},
    object::{Object, Objects, Resource, kinds},
};
use serde_json::{Value, json};

use crate::argo::kit::now;

pub fn list(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/{name}.json"));
    let list: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    list["items"].as_array().unwrap().clone()
}

static AROUND: [&Resource; 7] = [
    &kinds::CONTROLLER_REVISION,
    &kinds::POD,
    &kinds::AUTOSCALER,
    &kinds::DEPLOYMENT,
    &kinds::REPLICA_SET,
    &kinds::STATEFUL_SET,
    &kinds::DAEMON_SET,
];

/// The first object is of the root's kind when its group and kind are; kinds of other engines may be called the same.
fn resource(engine: &dyn Engine, item: &Value) -> Option<&'static Resource> {
    let known = engine.descriptor().roots.iter().copied().chain(AROUND);
    known.into_iter().find(|r| item["apiVersion"] == r.api_version().as_str() && item["kind"] == r.kind)
}

pub fn object(resource: &'static Resource, item: &Value) -> Object {
    decode::object(resource, item.to_string().as_bytes()).unwrap()
}

pub fn is_root(engine: &dyn Engine, item: &Value) -> bool {
    resource(engine, item).is_some_and(|r| engine.descriptor().roots.contains(&r))
}

pub struct Scene {
    engine: &'static dyn Engine,
    pub root: Object,
    pub objects: Objects,
}

impl Scene {
    pub fn of(engine: &'static dyn Engine, items: &[Value]) -> Self {
        let mut objects = Objects::default();
        for item in items {
            if let Some(resource) = resource(engine, item) {
                objects.put(object(resource, item));
            }
        }
        let root = items.iter().find(|i| is_root(engine, i)).unwrap();
        Self { engine, root: object(resource(engine, root).unwrap(), root), objects }
    }

    /// As the fleet sees it.
    pub fn alone(engine: &'static dyn Engine, items: &[Value]) -> Self {
        Self::of(engine, &items.iter().filter(|i| is_root(engine, i)).cloned().collect::<Vec<_>>())
    }

    pub fn model(&self) -> Rollout {
        self.engine.normalise("test", &self.root, &self.objects)
    }

    pub fn plan(&self, intent: &Intent) -> Result<Plan, Refusal> {
        self.engine.plan(&self.model(), &self.root, &self.objects, intent, now())
    }

    pub fn progress(&self, plan: &Plan) -> Progress {
        self.engine.progress(&plan.expect.goal, &self.model(), &self.root, &self.objects)
    }

    pub fn revisions(&self) -> Vec<(String, String)> {
        let all = self.engine.revisions(&self.model(), &self.root, &self.objects);
        all.into_iter().map(|(called, hash)| (called.to_string(), hash.to_string())).collect()
    }
}

/// The list with its root changed.
pub fn changed(engine: &dyn Engine, mut items: Vec<Value>, change: impl FnOnce(&mut Value)) -> Vec<Value> {
    change(items.iter_mut().find(|i| is_root(engine, i)).unwrap());
    items
}

/// Everything but the tests, with the values: `add /spec/replicas 3`.
pub fn ops(plan: &Plan) -> Vec<String> {
    let Patch::Json(ops) = &plan.writes[0].patch;
    let changes = ops.iter().filter(|o| o["op"] != "test");
    let value = |o: &Value| o.get("value").map(|v| format!(" {v}")).unwrap_or_default();
    changes.map(|o| format!("{} {}{}", o["op"].as_str().unwrap(), o["path"].as_str().unwrap(), value(o))).collect()
}

/// As the API server does it: a test for `null` passes for an absent member, not for one with an absent parent, and every
/// change of the spec is a new generation.
pub fn apply(engine: &dyn Engine, items: &[Value], plan: &Plan) -> Result<Vec<Value>, String> {
    let mut items = items.to_vec();
    let target = items.iter_mut().find(|i| is_root(engine, i)).unwrap();
    let before = target.clone();
    let Patch::Json(ops) = &plan.writes[0].patch;
    let absent = |op: &Value| {
        let path = op["path"].as_str().unwrap();
        let parent = path.rsplit_once('/').unwrap().0;
        op["op"] == "test" && op["value"].is_null() && before.pointer(path).is_none() && before.pointer(parent).is_some()
    };
    let ops: Vec<Value> = ops.iter().filter(|op| !absent(op)).cloned().collect();
    let patch: json_patch::Patch = serde_json::from_value(Value::Array(ops)).unwrap();
    json_patch::patch(target, &patch).map_err(|e| e.to_string())?;
    if target["spec"] != before["spec"] {
        target["metadata"]["generation"] = (before["metadata"]["generation"].as_i64().unwrap() + 1).into();
    }
    Ok(items)
}

/// One conditional write that says all a person needs, works on what it was made for, and does not work twice, nor on
/// a namesake, nor on a spec that has changed.
pub fn holds_once(engine: &'static dyn Engine, items: &[Value], intent: &Intent) -> (Plan, Vec<Value>) {
    let plan = Scene::of(engine, items).plan(intent).unwrap_or_else(|r| panic!("{intent:?}: {r:?}"));
    assert_eq!(plan.writes.len(), 1, "{intent:?}");
    assert!(!plan.changes.is_empty() && !plan.back.is_empty() && !plan.only_if.is_empty() && !plan.sentence.is_empty(), "{plan:?}");
    let after = apply(engine, items, &plan).unwrap_or_else(|e| panic!("{intent:?}: {e}"));
    assert!(apply(engine, &after, &plan).is_err(), "{intent:?} can be sent twice");
    for (path, value) in [("uid", json!("recreated")), ("generation", json!(99))] {
        let other = changed(engine, items.to_vec(), |root| root["metadata"][path] = value);
        assert!(apply(engine, &other, &plan).is_err(), "{intent:?} ignores another {path}");
    }
    (plan, after)
}

pub fn intent(verb: Verb) -> Intent {
    match verb {
        Verb::SetImage => Intent::SetImage { container: "app".into(), image: "app:v9".into() },
        Verb::SetWeight => Intent::SetWeight { percent: 100 },
        Verb::Scale => Intent::Scale { replicas: 5 },
        Verb::KillFlag => Intent::Kill { flag: "new-checkout".into() },
        Verb::Arm => Intent::Arm { minutes: 30, flag: None },
        Verb::Disarm => Intent::Disarm,
        verb => rolltop::state::available::plain(verb).unwrap(),
    }
}

/// Verbs that have a plan.
pub fn allowed(scene: &Scene) -> Vec<Verb> {
    Verb::ALL.into_iter().filter(|v| scene.plan(&intent(*v)).is_ok()).collect()
}

/// Every refusal says what to do instead, and never a command that is refused as well.
pub fn refusals_lead_somewhere(scene: &Scene) {
    for verb in Verb::ALL {
        let Err(refusal) = scene.plan(&intent(verb)) else { continue };
        assert!(!refusal.reason.is_empty(), "{verb:?}");
        assert!(refusal.instead.as_deref().is_some_and(|w| !w.is_empty()), "{verb:?}: {refusal:?}");
        if let Some(better) = refusal.try_verb {
            assert!(scene.plan(&intent(better)).is_ok(), "{verb:?} leads to {better:?}, which is refused: {refusal:?}");
        }
    }
}

/// In each scene these verbs have a plan, and the refusals of all others lead somewhere.
pub fn allows(scene: impl Fn(&str) -> Scene, names: &[&str], cases: &[(&str, &[Verb])]) {
    assert_eq!(cases.iter().map(|case| case.0).collect::<Vec<_>>(), names);
    for (name, verbs) in cases {
        let scene = scene(name);
        assert_eq!(allowed(&scene), *verbs, "{name}");
        refusals_lead_somewhere(&scene);
    }
}

/// What a person must read from every scene: phase; who is waited for; part of the detail; the way back; what happens next.
pub type Picture<'a> = (Phase, Option<WaitFor>, &'a str, Option<Verb>, &'a str);

pub fn reads_like(name: &str, rollout: &Rollout, (phase, wait, detail, back, next): Picture<'_>) {
    assert_eq!(rollout.phase, phase, "{name}: {}", rollout.phase_detail);
    assert_eq!(rollout.wait.as_ref().map(|w| w.who), wait, "{name}");
    assert!(rollout.phase_detail.contains(detail), "{name}: {}", rollout.phase_detail);
    assert_eq!(rollout.way_back.action, back, "{name}: {}", rollout.way_back.what);
    assert!(rollout.next.what.contains(next), "{name}: {}", rollout.next.what);
}

/// Shares add up to the whole, or nobody is ready.
pub fn shares_add_up(rollout: &Rollout) {
    let sum: f64 = rollout.tracks.iter().filter_map(|t| t.traffic.replica_share).sum();
    assert!(rollout.ready().0 == 0 || (sum - 1.0).abs() < 1e-9, "{:?}", rollout.tracks);
}

/// Objects with one leaf or branch replaced by something else: whatever a cluster may hold, it is a line on the screen.
pub fn never_panics(engine: &'static dyn Engine, items: &[Value]) {
    let odd = [
        json!(null),
        json!(-1),
        json!(0),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(1e300),
        json!(""),
        json!("\u{1b}[2J"),
        json!([]),
        json!({}),
        json!([null, 1, "x", {}]),
        json!(true),
        json!("100%"),
        json!("-7%"),
    ];
    for (i, item) in items.iter().enumerate() {
        let mut paths = Vec::new();
        walk("", item, &mut paths);
        // More of them at the root: elsewhere far fewer fields are read.
        let turns = if is_root(engine, item) { 5 } else { 1 };
        for (j, path) in paths.iter().enumerate().filter(|(_, p)| !KEEP.contains(&p.as_str())) {
            let turns = if path.starts_with("/spec/template/") { 1 } else { turns };
            for value in odd.iter().cycle().skip(j).take(turns) {
                let mut items = items.to_vec();
                *items[i].pointer_mut(path).unwrap() = value.clone();
                everything(engine, &items);
            }
        }
    }
}

/// Without these no object arrives.
const KEEP: [&str; 7] = ["", "/kind", "/apiVersion", "/metadata", "/metadata/uid", "/metadata/name", "/metadata/namespace"];

fn walk(path: &str, value: &Value, out: &mut Vec<String>) {
    out.push(path.to_owned());
    let key = |k: &str| format!("{path}/{}", k.replace('~', "~0").replace('/', "~1"));
    match value {
        Value::Object(map) => map.iter().for_each(|(k, v)| walk(&key(k), v, out)),
        Value::Array(list) => list.iter().enumerate().for_each(|(i, v)| walk(&key(&i.to_string()), v, out)),
        _ => {}
    }
}

fn everything(engine: &'static dyn Engine, items: &[Value]) {
    let mut objects = Objects::default();
    for item in items {
        let Some(resource) = resource(engine, item) else { continue };
        if let Ok(object) = decode::object(resource, item.to_string().as_bytes()) {
            objects.put(object);
        }
    }
    for root in engine.descriptor().roots.iter().flat_map(|kind| objects.iter(kind)) {
        let rollout = engine.normalise("test", root, &objects);
        engine.parts(root, &objects);
        engine.selections(root, &objects);
        engine.diff(&rollout, root, &objects);
        engine.revisions(&rollout, root, &objects);
        for verb in Verb::ALL {
            if let Ok(plan) = engine.plan(&rollout, root, &objects, &intent(verb), now()) {
                engine.progress(&plan.expect.goal, &rollout, root, &objects);
            }
        }
    }
}
