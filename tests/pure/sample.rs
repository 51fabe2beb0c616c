//! States as they are at three in the morning, for tests of views and of whatever reads a whole state.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta};
use rolltop::{
    engine::{Change, Expectation, Goal, Patch, Plan, Refusal, Write},
    intent::{COMMANDS, Danger, Intent, Verb},
    model::{
        Analysis, AnalysisKind, AnalysisMetric, AnalysisPhase, EngineKind, Id, Link, LinkState, Measurement, Next, Notice, Owner, Phase,
        Pod, PodHealth, Role, Rollout, Severity, Source, Step, StepKind, Steps, Strategy, Subject, Text, Threshold, Time, Track, Traffic,
        Wait, WaitFor, WayBack,
        metrics::{Reading, RolloutMetrics, Series, Side, TrackReadings},
    },
    msg::{Check, Identity},
    object::kinds,
    settings::{Look, Settings, Zone},
    state::{Card, Known, Mode, Screen, Stage, State},
    timeline::{Entry, Origin},
    verdict::{Advice, Verdict},
};

/// The moment all samples are about: 14:03:22 UTC.
pub fn now() -> Time {
    DateTime::from_timestamp(1_795_269_802, 0).unwrap_or_default()
}

pub fn ago(seconds: i64) -> Time {
    now() - TimeDelta::seconds(seconds)
}

pub fn ahead(seconds: i64) -> Time {
    now() + TimeDelta::seconds(seconds)
}

pub fn id(namespace: &str, name: &str, kind: &str) -> Id {
    Id {
        context: "prod-eu".into(),
        namespace: namespace.into(),
        kind: kind.into(),
        name: name.into(),
        uid: format!("uid-{namespace}-{name}").into(),
    }
}

pub fn uid(namespace: &str, name: &str) -> Text {
    format!("uid-{namespace}-{name}").into()
}

/// An empty session on a live cluster.
pub fn session() -> State {
    let settings = Settings { prometheus: true, look: Look { zone: Zone::Utc, ..Look::default() }, ..Settings::default() };
    let keys = COMMANDS.iter().flat_map(|row| row.keys.iter().map(|key| ((*key).to_owned(), row.command))).collect();
    let mut state = State::new(Mode::Interactive, "prod-eu", "all namespaces", settings, keys);
    state.identity = Some(Ok(Identity { user: "ana@corp".into(), groups: Vec::new() }));
    state.view.window = 1;
    for (source, age) in [(Source::Fleet, 0), (Source::Prometheus, 2), (Source::Events, 4), (Source::Detail, 1)] {
        live(&mut state, source, age);
    }
    state
}

pub fn live(state: &mut State, source: Source, age: i64) {
    *state.links.entry(source) =
        Link { state: LinkState::Live, since: Some(ago(600)), heard: Some(ago(age)), synced: Some(ago(600)), ..Link::default() };
}

pub fn track(role: Role, is_new: bool, revision: &str, image: &str, ready: u32, desired: u32) -> Track {
    Track {
        roles: vec![role],
        is_new,
        revision: Some(revision.into()),
        hash: format!("6f9d8c{revision}").into(),
        images: vec![format!("registry.corp/team/{image}").into()],
        desired,
        current: desired,
        ready,
        available: ready,
        traffic: Traffic::default(),
        scale_down_at: None,
        created: Some(ago(1_320)),
        pods: Vec::new(),
    }
}

pub fn pods(workload: &str, hash: &str, n: usize) -> Vec<Pod> {
    let one = |i: usize| Pod {
        name: format!("{workload}-{hash}-{}", ["x2x9k", "b7lqp", "m4zzt", "q8w2s", "h5n6d", "t3rvc", "k9fjj", "w6pmx"][i % 8]).into(),
        health: PodHealth::Ready,
        status: "Running".into(),
        containers: (2, 2),
        restarts: 0,
        node: Some(format!("node-{}", i % 3 + 1).into()),
        created: Some(ago(1_200)),
        last_end: None,
        trouble: None,
    };
    (0..n).map(one).collect()
}

fn plain(namespace: &str, name: &str, engine: EngineKind, strategy: Strategy, phase: Phase) -> Rollout {
    let kind = match engine {
        EngineKind::Argo => "Rollout",
        EngineKind::Flagger => "Canary",
        EngineKind::StatefulSet => "StatefulSet",
        _ => "Deployment",
    };
    Rollout {
        id: id(namespace, name, kind),
        engine,
        strategy,
        router: None,
        phase,
        phase_detail: Text::default(),
        started: Some(ago(1_320)),
        generation: 57,
        unobserved: false,
        replicas: 8,
        tracks: Vec::new(),
        steps: Steps::default(),
        wait: None,
        next: Next::default(),
        way_back: WayBack::default(),
        analyses: Vec::new(),
        experiments: Vec::new(),
        notices: Vec::new(),
        owner: None,
        writers: Vec::new(),
        subject: Subject::default(),
        labels: BTreeMap::new(),
        surge: None,
        detailed: false,
        counted: false,
    }
}

fn step(kind: StepKind, label: &str, from: Option<i64>, to: Option<i64>) -> Step {
    Step { kind, label: label.into(), started: from.map(ago), ended: to.map(ago) }
}

/// The release of the first screen: a canary at step 4 of 8 that waits for a human and does badly.
pub fn canary() -> Rollout {
    let mut r = plain("shop", "checkout", EngineKind::Argo, Strategy::Canary, Phase::Waiting);
    r.phase_detail = "Paused: CanaryPauseStep".into();
    r.router = Some("istio".into());
    r.detailed = true;
    let mut new = track(Role::Canary, true, "42", "api:v2.9.0", 2, 2);
    new.traffic = Traffic { desired: Some(0.25), applied: Some(0.25), applied_by: "istio".into(), replica_share: Some(0.2) };
    new.pods = pods("checkout", "6f9d8c42", 2);
    new.pods[0].restarts = 1;
    new.pods[0].last_end = Some((ago(184), "OOMKilled".into()));
    let mut old = track(Role::Stable, false, "41", "api:v2.8.1", 8, 8);
    old.traffic = Traffic { desired: Some(0.75), applied: Some(0.75), applied_by: "istio".into(), replica_share: Some(0.8) };
    old.pods = pods("checkout", "77bc0a41", 8);
    let mut gone = track(Role::Old, false, "40", "api:v2.8.0", 0, 0);
    gone.scale_down_at = Some(ahead(21));
    r.tracks = vec![new, old, gone];
    r.steps = Steps {
        items: vec![
            step(StepKind::SetWeight(0.05), "weight 5 %", Some(1_320), Some(1_278)),
            step(StepKind::Pause(Some(std::time::Duration::from_secs(300))), "pause 5m", Some(1_278), Some(978)),
            step(StepKind::Analysis, "analysis success-rate", Some(978), Some(252)),
            step(StepKind::Pause(None), "pause", Some(252), None),
            step(StepKind::SetWeight(0.5), "weight 50 %", None, None),
            step(StepKind::Pause(Some(std::time::Duration::from_secs(600))), "pause 10m", None, None),
            step(StepKind::Analysis, "analysis success-rate", None, None),
            step(StepKind::SetWeight(1.0), "weight 100 %", None, None),
        ],
        current: Some(3),
    };
    r.wait = Some(Wait { who: WaitFor::Human, reason: "pause step".into(), since: Some(ago(252)), until: None });
    r.next = Next { at: None, what: "nothing until someone promotes; then weight 50 %, pause 10m".into() };
    r.way_back = WayBack { action: Some(Verb::Abort), seconds: Some(3), until: None, what: "abort, ≈ 3 s".into() };
    r.analyses = vec![success_rate(), latency_analysis()];
    r.owner = Some(Owner { kind: "argocd", name: "shop".into(), namespace: None });
    r
}

fn success_rate() -> Analysis {
    let taken = |s: i64, value: &str, phase| Measurement { at: Some(ago(s)), phase, value: value.into(), message: Text::default() };
    let metric = AnalysisMetric {
        name: "success-rate".into(),
        provider: "prometheus".into(),
        phase: AnalysisPhase::Running,
        message: Text::default(),
        successful: 2,
        failed: 3,
        inconclusive: 0,
        error: 0,
        count: Some(10),
        failure_limit: Some(3),
        dry_run: false,
        condition: "result[0] >= 0.99".into(),
        threshold: Some(Threshold { op: ">=".into(), limit: 0.99 }),
        query: None,
        measurements: vec![taken(100, "[0.995]", AnalysisPhase::Successful), taken(40, "[0.959]", AnalysisPhase::Failed)],
    };
    Analysis {
        name: "checkout-42-3".into(),
        kind: AnalysisKind::Background,
        phase: AnalysisPhase::Running,
        message: Text::default(),
        started: Some(ago(700)),
        ended: None,
        current: true,
        metrics: vec![metric],
    }
}

fn latency_analysis() -> Analysis {
    let mut run = success_rate();
    run.metrics[0] = AnalysisMetric {
        name: "latency-p99".into(),
        phase: AnalysisPhase::Successful,
        successful: 5,
        failed: 0,
        count: Some(5),
        condition: "result[0] < 1.5".into(),
        threshold: Some(Threshold { op: "<".into(), limit: 1.5 }),
        measurements: Vec::new(),
        ..run.metrics[0].clone()
    };
    run
}

pub fn readings(rate: f64, errors: f64, p99: f64) -> TrackReadings {
    TrackReadings {
        rate: Reading::Value(rate),
        errors: Reading::Value(errors),
        p50: Reading::Value(p99 * 0.2),
        p95: Reading::Value(p99 * 0.6),
        p99: Reading::Value(p99),
    }
}

/// Fifteen minutes of both sides, a point each ten seconds, with a gap and with the canary going bad.
pub fn metrics() -> RolloutMetrics {
    let mut m = RolloutMetrics {
        at: Some(ago(2)),
        new: readings(76.0, 0.041, 0.84),
        old: readings(240.0, 0.002, 0.31),
        measured_share: Some(0.24),
        ..RolloutMetrics::default()
    };
    for i in 0..132 {
        let (at, x) = (ago(1_322 - i * 10), i as f64 / 131.0);
        let wobble = ((i * 37) % 11) as f64 / 11.0;
        let gap = (52..58).contains(&i);
        let bad = (x - 0.6).max(0.0) * 2.5;
        let mut put = |side, series, value: f64| m.history.entry((side, series)).or_default().push_back((at, (!gap).then_some(value)));
        put(Side::New, Series::Errors, 0.002 + 0.04 * bad.min(1.0) + 0.002 * wobble);
        put(Side::Old, Series::Errors, 0.002 + 0.0005 * wobble);
        put(Side::New, Series::P99, 0.31 + 0.53 * bad.min(1.0) + 0.04 * wobble);
        put(Side::Old, Series::P99, 0.30 + 0.02 * wobble);
        put(Side::New, Series::Rate, if x < 0.3 { 16.0 } else { 76.0 } + 4.0 * wobble);
        put(Side::Old, Series::Rate, if x < 0.3 { 300.0 } else { 240.0 } + 9.0 * wobble);
        m.own.entry("queue-depth".into()).or_default().push_back((at, (!gap).then_some(12.0 + 30.0 * bad + 3.0 * wobble)));
    }
    m
}

/// Blue-green: the new side is up, has no users yet, and the flip waits for a person.
pub fn blue_green() -> Rollout {
    let mut r = plain("pay", "ledger", EngineKind::Argo, Strategy::BlueGreen, Phase::Waiting);
    r.phase_detail = "Paused: BlueGreenPause".into();
    let mut new = track(Role::Preview, true, "18", "ledger:3.1.0", 6, 6);
    new.traffic = Traffic { desired: Some(0.0), applied: Some(0.0), applied_by: "service".into(), replica_share: None };
    r.tracks = vec![new, track(Role::Active, false, "17", "ledger:3.0.4", 6, 6)];
    r.steps = Steps {
        items: vec![
            step(StepKind::Preview, "preview up", Some(2_000), Some(1_880)),
            step(StepKind::Flip, "flip", Some(1_880), None),
            step(StepKind::ScaleDownOld, "scale down old after 30s", None, None),
        ],
        current: Some(1),
    };
    r.wait = Some(Wait { who: WaitFor::Human, reason: "auto-promotion is off".into(), since: Some(ago(1_880)), until: None });
    r.next = Next { at: None, what: "nothing until someone promotes; then all users on ledger:3.1.0 at once".into() };
    r.way_back =
        WayBack { action: Some(Verb::Abort), seconds: Some(1), until: None, what: "abort, at once: no user is on the new side".into() };
    r
}

fn rolling() -> Rollout {
    let mut r = plain("web", "frontend", EngineKind::Deployment, Strategy::Rolling, Phase::Progressing);
    let mut new = track(Role::Canary, true, "9", "web:9.1", 13, 21);
    new.traffic.replica_share = Some(0.62);
    r.tracks = vec![new, track(Role::Stable, false, "8", "web:9.0", 8, 8)];
    r.next = Next { at: Some(ahead(130)), what: "gives up: progress deadline".into() };
    r.way_back = WayBack { action: Some(Verb::Undo), seconds: Some(90), until: None, what: "undo, a full rollout".into() };
    r
}

fn timed(namespace: &str, name: &str, current: usize, of: usize, weight: f64, left: i64) -> Rollout {
    let mut r = plain(namespace, name, EngineKind::Argo, Strategy::Canary, Phase::Paused);
    let mut new = track(Role::Canary, true, "5", "app:5", 4, 4);
    new.traffic = Traffic { desired: Some(weight), applied: Some(weight), applied_by: "nginx".into(), replica_share: Some(weight) };
    r.tracks = vec![new, track(Role::Stable, false, "4", "app:4", 4, 4)];
    r.steps = Steps {
        items: (0..of).map(|i| step(StepKind::SetWeight(i as f64 / of as f64), "weight", None, None)).collect(),
        current: Some(current),
    };
    r.wait = Some(Wait { who: WaitFor::Timer, reason: "pause 10m".into(), since: Some(ago(60)), until: Some(ahead(left)) });
    r.next = Next { at: Some(ahead(left)), what: "weight 75 %".into() };
    r.way_back = WayBack { action: Some(Verb::Abort), seconds: Some(3), until: None, what: "abort, ≈ 3 s".into() };
    r
}

fn aborted() -> Rollout {
    let mut r = timed("pay", "fx", 1, 5, 0.0, 10);
    r.phase = Phase::Aborted;
    r.phase_detail = "RolloutAborted: metric success-rate failed".into();
    r.tracks[0].ready = 0;
    r.tracks[0].desired = 1;
    r.wait = Some(Wait { who: WaitFor::Human, reason: "aborted".into(), since: Some(ago(7_300)), until: None });
    r.next = Next { at: None, what: "nothing until someone retries or undoes".into() };
    r.notices = vec![Notice { severity: Severity::Danger, text: "the spec still asks for app:5: the next change starts it again".into() }];
    r
}

fn steady(namespace: &str, name: &str) -> Rollout {
    let mut r = plain(namespace, name, EngineKind::Deployment, Strategy::Rolling, Phase::Healthy);
    r.tracks = vec![track(Role::Stable, false, "3", "app:3", 8, 8)];
    r
}

pub fn add(state: &mut State, rollout: Rollout, verdict: Verdict, metrics: Option<RolloutMetrics>) {
    let uid = Text::from(&*rollout.id.uid);
    let haystack = rolltop::state::filter::haystack(&rollout);
    if let Some(metrics) = metrics {
        state.metrics.insert(uid.clone(), metrics);
    }
    state.order.push(uid.clone());
    let known = Known { rollout, verdict, unobserved_since: None, deleted: None, haystack, offers: None, finished: None, stalled: false };
    state.rollouts.insert(uid, Box::new(known));
}

fn says(is: Advice, because: &str) -> Verdict {
    Verdict { is, because: because.into(), ..Verdict::default() }
}

/// A fleet in which everything happens at once.
pub fn fleet() -> State {
    let mut state = session();
    let quiet = |new: TrackReadings, old: TrackReadings| Some(RolloutMetrics { at: Some(ago(2)), new, old, ..RolloutMetrics::default() });
    let bad = "canary fails 4.1 % of 1 204 requests, stable 0.2 % of 3 611: 20× the baseline (rule: 3× → abort). p99 2.7× (rule: 2× → warn). Cost of waiting: ≈ 12 failed requests a second, 49 so far.";
    add(&mut state, canary(), says(Advice::Abort, bad), Some(metrics()));
    add(
        &mut state,
        blue_green(),
        says(Advice::NotEnoughData, "no user is on the preview"),
        quiet(
            TrackReadings { errors: Reading::NoTraffic, p99: Reading::NoTraffic, ..TrackReadings::default() },
            readings(90.0, 0.0, 0.033),
        ),
    );
    add(
        &mut state,
        aborted(),
        says(Advice::None, ""),
        quiet(TrackReadings { errors: Reading::NoData, p99: Reading::NotANumber, ..TrackReadings::default() }, readings(50.0, 0.0, 0.012)),
    );
    add(
        &mut state,
        timed("shop", "cart", 1, 6, 0.2, 252),
        says(Advice::Go, "as good as the stable side over 8 120 requests"),
        quiet(readings(20.0, 0.001, 0.095), readings(80.0, 0.0014, 0.09)),
    );
    add(
        &mut state,
        timed("ml", "ranker", 2, 4, 0.5, 108),
        says(Advice::Hold, "p99 1.4× the baseline"),
        quiet(readings(4.0, 0.003, 0.31), readings(4.0, 0.003, 0.22)),
    );
    add(&mut state, rolling(), says(Advice::None, ""), quiet(readings(310.0, 0.0, 0.041), readings(190.0, 0.0004, 0.04)));
    for name in ["search", "assets", "a-workload-with-a-name-longer-than-any-column"] {
        add(&mut state, steady("shop", name), Verdict::default(), None);
    }
    state.view.steady = true;
    state
}

/// The canary's own screen.
pub fn open() -> State {
    let mut state = fleet();
    state.view.screen = Screen::Rollout(uid("shop", "checkout"));
    let entry = |s: i64, origin, warning, reason: &str, message: &str, count| Entry {
        at: ago(s),
        origin,
        warning,
        object: None,
        reason: reason.into(),
        message: message.into(),
        count,
    };
    state.timeline = [
        entry(1_320, Origin::Event, false, "RolloutUpdated", "revision 42", 1),
        entry(1_318, Origin::Event, false, "ScalingReplicaSet", "scaled up checkout-6f9d8c42 from 0 to 2", 1),
        entry(1_290, Origin::Seen, false, "", "weight 0 → 5 %", 1),
        entry(978, Origin::Event, false, "AnalysisRunRunning", "success-rate started", 1),
        entry(680, Origin::Seen, false, "", "weight 5 → 25 %", 1),
        entry(382, Origin::Event, true, "AnalysisRunFailing", "success-rate: 1 of 5 failed", 3),
        entry(291, Origin::You, false, "", "abort card opened, cancelled", 1),
        entry(252, Origin::Event, false, "RolloutPaused", "rollout paused (CanaryPauseStep)", 1),
        entry(184, Origin::Event, true, "BackOff", "restarted container api in pod checkout-6f9d8c42-x2x9k: OOMKilled", 1),
    ]
    .into();
    state
}

/// The blue-green's own screen.
pub fn open_blue_green() -> State {
    let mut state = fleet();
    state.view.screen = Screen::Rollout(uid("pay", "ledger"));
    state
}

pub fn plan() -> Plan {
    Plan {
        intent: Intent::Promote,
        target: id("shop", "checkout", "Rollout"),
        danger: Danger::Reversible,
        sentence: "Ends the pause at step 4. The controller then sets weight 50 % and pauses 10m.".into(),
        writes: vec![Write {
            resource: &kinds::ROLLOUT,
            namespace: "shop".into(),
            name: "checkout".into(),
            subresource: Some("status"),
            patch: Patch::Json(Vec::new()),
            call: None,
            create: None,
        }],
        switch: None,
        changes: vec![Change { field: "status.pauseConditions".into(), from: "[CanaryPauseStep 13:59:10]".into(), to: "null".into() }],
        only_if: vec!["step is still 4".into(), "canary hash 6f9d8c42".into(), "generation 57".into()],
        expect: Expectation { goal: Goal::Resumed, what: "weight 50 % applied".into(), within: std::time::Duration::from_secs(30) },
        back: "abort: weight to 0, ≈ 3 s".into(),
        warnings: vec![Notice { severity: Severity::Warning, text: "argocd app \"shop\" has auto-sync on".into() }],
        capacity: Some("2 ready pods would take 96 rps each (now 38)".into()),
    }
}

pub fn card(stage: Stage) -> Card {
    Card {
        stage,
        plan: Some(plan()),
        dry_run: Check::Yes,
        rights: Check::Yes,
        evidence: "api 0s · prom 2s".into(),
        verdict: "ABORT advised: canary fails 4.1 %, stable 0.2 %".into(),
        others: "argocd touched it 22m ago, nobody since".into(),
        ready_at: Some(ago(3)),
        ..Card::asking(1, Intent::Promote, id("shop", "checkout", "Rollout"), ago(5))
    }
}

/// Every card a person can meet, by name.
pub fn cards() -> BTreeMap<&'static str, Card> {
    let objection =
        Notice { severity: Severity::Danger, text: "ABORT is advised: canary fails 4.1 % of 1 204 requests, stable 0.2 % of 3 611".into() };
    let asking = card(Stage::Asking);
    let refusal =
        Refusal::because("Promote would skip step 5: the pause already ended 2 s ago").instead("look again: it moves by itself now", None);
    BTreeMap::from([
        ("refused", Card { plan: None, ..card(Stage::Refused(refusal)) }),
        ("checking", Card { dry_run: Check::Pending, rights: Check::Pending, ready_at: None, ..asking.clone() }),
        ("forbidden", Card { rights: Check::No("patch rollouts.argoproj.io/status in shop".into()), ..asking.clone() }),
        ("override", Card { objections: vec![objection.clone()], ..asking.clone() }),
        ("overridden", Card { objections: vec![objection], overridden: true, ..asking.clone() }),
        ("name", Card { typed: Some("che".into()), ..asking.clone() }),
        (
            "moved",
            Card { moved: Some("the step is now 5".into()), dry_run: Check::Unknown("no answer within 15 s".into()), ..asking.clone() },
        ),
        ("ready", asking),
        ("sent", card(Stage::Sent { at: ago(1) })),
        ("accepted", card(Stage::Accepted { at: ago(2) })),
        ("observed", card(Stage::Observed { at: ago(14) })),
        ("done", card(Stage::Done { at: ago(1) })),
        ("silent", card(Stage::Silent { at: ago(31) })),
        ("conflict", card(Stage::Conflict { said: "the step is no longer 4".into() })),
        ("failed", card(Stage::Failed { said: "admission webhook denied the request: freeze until Monday".into() })),
        ("unknown", card(Stage::Unknown { said: "no answer within 15 s".into(), at: ago(16) })),
        ("diverted", card(Stage::Diverted { said: "it was aborted by its own analysis".into() })),
        ("flag", flag_card(Stage::Asking)),
        ("flag_accepted", flag_card(Stage::Accepted { at: ago(2) })),
        ("flag_silent", flag_card(Stage::Silent { at: ago(31) })),
        ("flag_unknown", flag_card(Stage::Unknown { said: "504 Gateway Timeout".into(), at: ago(3) })),
    ])
}

/// The card of the example's first flag.
fn flag_card(stage: Stage) -> Card {
    let example = rolltop::config::fields::example();
    let lines = example.lines().skip_while(|l| !l.starts_with("## # Unleash")).map_while(|l| l.strip_prefix("##"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, lines.map(|l| format!("{}\n", l.trim())).collect::<String>()).unwrap();
    let sources = rolltop::config::Sources { file: Some(path), named: true, ..Default::default() };
    let flags = rolltop::config::Config::load(&sources, |_| None).unwrap().settings("prod-eu", "", |_| None).flags;
    let rollout = open().open().unwrap().rollout.clone();
    let plan = rolltop::engine::flag::plan(&flags, &rollout, "new-checkout", "ABORT advised").unwrap();
    let flag = Some(rolltop::engine::flag::Reading::On("true".into()));
    Card { intent: plan.intent.clone(), plan: Some(plan), flag, ..card(stage) }
}

/// Every way a connection can be, by name.
pub fn links() -> BTreeMap<&'static str, LinkState> {
    BTreeMap::from([
        ("off", LinkState::Off),
        ("connecting", LinkState::Connecting),
        ("live", LinkState::Live),
        (
            "forbidden",
            LinkState::Forbidden {
                verb: "list".into(),
                resource: "rollouts.argoproj.io".into(),
                namespace: None,
                role: "rolltop-view".into(),
            },
        ),
        ("expired", LinkState::Expired { hint: "aws sso login --profile prod".into() }),
        ("refused", LinkState::Refused),
        ("timed-out", LinkState::TimedOut),
        ("cut", LinkState::Cut),
        ("no-crd", LinkState::CrdMissing { kind: "Rollout (argoproj.io/v1alpha1)".into() }),
        ("bad-certificate", LinkState::BadCertificate),
        ("no-route", LinkState::NoRoute),
        ("garbage", LinkState::Garbage),
        ("throttled", LinkState::Throttled),
        ("server-error", LinkState::ServerError { code: 503 }),
    ])
}

/// A link in this state, with the error as it was given.
pub fn link(state: LinkState) -> Link {
    // What a live link has to tell is what it lacks.
    let detail = if state == LinkState::Live { "" } else { "error trying to connect" };
    Link { state, since: Some(ago(80)), heard: Some(ago(75)), retry_at: Some(ahead(12)), detail: detail.into(), synced: Some(ago(600)) }
}
