//! The same releases through the whole armed path: readings come in as messages, the reducer judges, the guard opens its card,
//! the server says yes, and what would be written is counted. `cargo bench --bench verdict -- armed` does this alone.

use std::sync::Arc;

use chrono::TimeDelta;
use rolltop::{
    act::Writer,
    cluster::{Connection, Options, decode},
    config::{Config, Sources, keys},
    guard::Grant,
    intent::Verb,
    journal::Journal,
    model::{
        Id, Link, LinkState, Source, Time,
        metrics::{Block, Reading, RolloutMetrics},
    },
    msg::{Body, Check, Findings, Msg, Outcome},
    object::{Resource, kinds},
    state::{Effect, Event, Key, Mode, State, action, update, update::settle},
};

use crate::{
    cells::{CELLS, Cell},
    contest::{Ticked, counts, tick},
    release::{TICK, TICKS},
};

const RUNS: u64 = 11_000;
/// "Not worse" in the end, but its first half minute fails for users: the guard takes that at its word.
pub const FAILS_AT_FIRST: &str = "cold start: 3×";
const RELEASE: &str = include_str!("../../fixtures/argo/canary-router-paused-at-step.json");
const READ: [&Resource; 5] = [&kinds::ROLLOUT, &kinds::REPLICA_SET, &kinds::POD, &kinds::SERVICE, &kinds::INGRESS];

/// A release whose guard was just armed.
#[derive(Clone)]
struct Scene {
    state: State,
    id: Id,
    began: Time,
}

/// What is printed and kept: of releases that are as good, how many were aborted; of worse ones, how many.
pub fn table() -> String {
    let scene = scene();
    let healthy: Vec<&Cell> = CELLS.iter().filter(|c| !c.worse).collect();
    let each = RUNS.div_ceil(healthy.len() as u64);
    let mut out = format!(
        "**The armed guard: releases of half an hour that it aborted, of {each} each.**\n\n| release | aborted | per cent |\n|---|---|---|\n"
    );
    let (mut all, mut aborted, mut cold) = (0, 0, 0);
    for cell in healthy {
        let found = played(&scene, cell, each);
        (all, aborted) = (all + each, aborted + found);
        cold += if cell.name.starts_with(FAILS_AT_FIRST) { found } else { 0 };
        out.push_str(&format!("| {} | {found} | {:.1} |\n", cell.name, found as f64 / each as f64 * 100.0));
    }
    let (healthy, wrongly) = (all - each, aborted - cold);
    out.push_str(&format!("| all of these | {aborted} of {all} | {:.2} |\n", aborted as f64 / all as f64 * 100.0));
    let percent = wrongly as f64 / healthy as f64 * 100.0;
    out.push_str(&format!("| **all but the one that really fails at first** | **{wrongly} of {healthy}** | **{percent:.2}** |\n"));
    for name in ["5× of 1 %", "20× of 0.2 %"] {
        let cell = CELLS.iter().find(|c| c.name == name).expect("a cell of this name");
        let found = played(&scene, cell, each);
        out.push_str(&format!("| worse: {name} | {found} | {:.1} |\n", found as f64 / each as f64 * 100.0));
    }
    out
}

fn played(scene: &Scene, cell: &Cell, runs: u64) -> u64 {
    let half = |from: u64| move || (from..runs).step_by(2).filter(|seed| is_aborted(scene.clone(), cell, *seed)).count() as u64;
    std::thread::scope(|scope| [scope.spawn(half(0)), scope.spawn(half(1))].into_iter().map(|t| t.join().unwrap()).sum())
}

/// Plays one release; whether the guard wrote.
fn is_aborted(mut scene: Scene, cell: &Cell, seed: u64) -> bool {
    let mut rng = fastrand::Rng::with_seed(seed * 7_000_003 + cell.name.len() as u64);
    let mut owed = [Ticked::default(); 2];
    let mut from = scene.began;
    // What rolltop asks for when a release begins: five minutes of the old side.
    let moment = (cell.moment)(0, &mut rng);
    let at = |i: i64| scene.began + TimeDelta::seconds(5 * i);
    let past = |i| Block { from: at(i), to: at(i + 1), new: None, old: counts(tick(cell, &moment, 1, &mut rng), 1.0), stretch: 1.0 };
    let blocks = (-60..0).map(past).collect();
    let now = scene.began;
    scene.hears(RolloutMetrics { at: Some(now), blocks, ..RolloutMetrics::default() }, now);
    for i in 0..TICKS {
        let moment = (cell.moment)(i, &mut rng);
        let now = scene.began + TimeDelta::milliseconds(((i + 1) as f64 * TICK * 1000.0) as i64);
        let sides = [0, 1].map(|side| owed[side].and(tick(cell, &moment, side, &mut rng)));
        if moment.gap {
            // Prometheus answers as ever: what it did not scrape it does not count.
            owed = sides;
            scene.hears(RolloutMetrics { at: Some(now), ..RolloutMetrics::default() }, now);
        } else {
            owed = Default::default();
            let [new, old] = [0, 1].map(|side| counts(sides[side], moment.counted[side]));
            let block = Block { from, to: now, new, old, stretch: 1.0 };
            from = now;
            let mut metrics = RolloutMetrics { at: Some(now), blocks: vec![block], ..RolloutMetrics::default() };
            for (side, reading) in sides.iter().zip([&mut metrics.new, &mut metrics.old]) {
                reading.rate = Reading::Value(side.all / TICK);
                reading.errors = if side.all > 0.0 { Reading::Value(side.bad / side.all) } else { Reading::NoTraffic };
            }
            if scene.hears(metrics, now) {
                return true;
            }
        }
        let why = scene.state.note.as_ref().map(|(_, text)| text.to_string());
        assert!(!scene.state.arms.is_empty(), "{}: disarmed at {i}: {why:?}", cell.name);
    }
    false
}

impl Scene {
    /// One refresh of everything; whether that made the guard write.
    fn hears(&mut self, metrics: RolloutMetrics, now: Time) -> bool {
        self.live(now);
        let uid = (&*self.id.uid).into();
        self.take(Body::Held { uid, renewed: Ok(()) }, now);
        let effects = self.take(Body::Metrics(vec![(self.id.clone(), metrics)]), now);
        effects.into_iter().any(|effect| match effect {
            Effect::Rehearse { card, plan, .. } => self.agrees(card, *plan, now).iter().any(|e| matches!(e, Effect::Act { .. })),
            Effect::Act { .. } => true,
            _ => false,
        })
    }

    fn agrees(&mut self, card: u64, plan: rolltop::engine::Plan, now: Time) -> Vec<Effect> {
        let findings = Findings { root: None, dry_run: Check::Yes, rights: Check::Yes, health: None, plan };
        self.take(Body::Rehearsed { card, findings: Box::new(findings) }, now)
    }

    fn live(&mut self, now: Time) {
        for source in [Source::Fleet, Source::Prometheus] {
            let link = Link { state: LinkState::Live, heard: Some(now), synced: Some(now), ..Link::default() };
            self.take(Body::Link(source, link), now);
        }
    }

    fn take(&mut self, body: Body, now: Time) -> Vec<Effect> {
        update(&mut self.state, Event::Msg(Msg { at: now, epoch: 0, body }), now)
    }

    fn press(&mut self, name: &str, now: Time) -> Vec<Effect> {
        let text = name.chars().next().filter(|_| name.len() == 1);
        update(&mut self.state, Event::Key(Key { name: name.into(), text }), now)
    }
}

/// Only a writer gives a grant. This one's server does not exist, and nothing is ever sent to it.
fn grant() -> Grant {
    let dir = tempfile::tempdir().unwrap();
    let kubeconfig = dir.path().join("kubeconfig");
    let text = "apiVersion: v1\nkind: Config\ncurrent-context: bench\nclusters: [{name: bench, cluster: {server: 'http://127.0.0.1:1'}}]\n\
                contexts: [{name: bench, context: {cluster: bench, user: bench}}]\nusers: [{name: bench, user: {token: x}}]\n";
    std::fs::write(&kubeconfig, text).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let options = Options { kubeconfig: Some(kubeconfig), context: None, timeout: std::time::Duration::from_secs(1) };
        let connection = Connection::load(options).await.unwrap();
        let (tx, _) = tokio::sync::mpsc::channel(1);
        let journal = Journal::open(&dir.path().join("journal.jsonl")).unwrap();
        let writer = Writer::new(connection.write_client().unwrap(), connection.reader(), journal, "bench".into(), tx);
        Grant::from_writer(&writer)
    })
}

fn scene() -> Scene {
    let config = Config::load(&Sources::default(), |_| None).unwrap();
    let mut settings = config.settings("bench", "", |_| None);
    settings.prometheus = true;
    let keys = keys::bind(&Default::default(), &mut Vec::new());
    let mut state = State::new(Mode::Interactive, "bench", "all namespaces", settings, keys);
    state.grant = Some(Arc::new(grant()));
    state.view.size = (120, 40);
    let list: serde_json::Value = serde_json::from_str(RELEASE).unwrap();
    let objects = list["items"].as_array().unwrap();
    let read = |value: &serde_json::Value| {
        let resource = READ.into_iter().find(|r| value["kind"] == r.kind)?;
        decode::object(resource, value.to_string().as_bytes()).ok()
    };
    let mut scene = Scene { state, id: rolltop_id(), began: Time::default() };
    for object in objects.iter().filter_map(read) {
        scene.take(Body::Applied { source: Source::Fleet, scope: 0, object: Box::new(object) }, Time::default());
    }
    settle(&mut scene.state, Time::default());
    scene.press("enter", Time::default());
    for object in objects.iter().filter_map(read) {
        scene.take(Body::Applied { source: Source::Detail, scope: 0, object: Box::new(object) }, Time::default());
    }
    let rollout = scene.state.open().expect("the release").rollout.clone();
    scene.id = rollout.id.clone();
    scene.began = rollout.new_side().and_then(|t| t.created).expect("when it began");
    armed(scene)
}

fn rolltop_id() -> Id {
    Id { context: "".into(), namespace: "".into(), kind: "".into(), name: "".into(), uid: "".into() }
}

/// As a person does it.
fn armed(mut scene: Scene) -> Scene {
    let now = scene.began;
    scene.live(now);
    let quiet = RolloutMetrics { at: Some(now), ..RolloutMetrics::default() };
    scene.take(Body::Metrics(vec![(scene.id.clone(), quiet)]), now);
    let mut effects = Vec::new();
    action::open(&mut scene.state, rolltop::intent::Intent::Arm { minutes: 60, flag: None }, now, &mut effects);
    let Some(Effect::Rehearse { card, plan, .. }) = effects.into_iter().find(|e| matches!(e, Effect::Rehearse { .. })) else {
        panic!("{:?} is refused: {:?}", Verb::Arm, scene.state.card)
    };
    scene.agrees(card, *plan, now);
    let effects = scene.press("y", now + TimeDelta::seconds(2));
    assert!(effects.iter().any(|e| matches!(e, Effect::Act { .. })), "{:?}", scene.state.note);
    scene.take(Body::Acted { card, outcome: Outcome::Accepted { generation: 1 } }, now + TimeDelta::seconds(2));
    assert_eq!(scene.state.arms.len(), 1);
    scene.state.card = None;
    scene
}
