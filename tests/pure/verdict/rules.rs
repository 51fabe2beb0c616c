//! Guard rules: read with every mistake in its place, tripped only by what was measured.

use chrono::TimeDelta;
use rolltop::{
    cluster::decode,
    config::{
        Config, Sources,
        rules::{PRESETS, preset},
    },
    model::{
        Source, Time,
        metrics::{Points, Reading, RolloutMetrics, Series, Side},
    },
    msg::{Body, Msg},
    object::kinds,
    settings::Settings,
    state::{Event, Mode, State, update},
    verdict::{Advice, Case, Trial, Verdict, judge, mann_whitney, rules::Rule},
};
use serde_json::json;

use super::release::{SAME, start};
use crate::sample;

/// Series of one's own, after the rules so that their lines stay.
const QUEUE: &str = "[prometheus]\nprofile = \"custom\"\n[prometheus.custom]\nrate = 'r{{service=\"{service}\"}}'\nservice-label = 's'\nqueue-depth = 'q'\n";

fn load(text: &str) -> Result<Vec<Rule>, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    std::fs::write(&path, format!("{text}\n{QUEUE}")).unwrap();
    let sources = Sources { file: Some(path), named: true, ..Sources::default() };
    Config::load(&sources, |_| None).map(|c| c.rules.to_vec()).map_err(|m| m.to_string())
}

fn one(when: &str) -> Rule {
    load(&format!("[[rules]]\nwhen = \"{when}\"\nseverity = \"critical\"\neffect = \"abort\"\n")).unwrap().remove(0)
}

/// Readings of both sides after so many seconds.
fn readings(after: i64, new: f64, old: f64) -> RolloutMetrics {
    let mut m = RolloutMetrics { at: Some(at(after)), ..Default::default() };
    (m.new.rate, m.old.rate) = (Reading::Value(10.0), Reading::Value(90.0));
    (m.new.errors, m.old.errors) = (Reading::Value(new), Reading::Value(old));
    (m.new.p99, m.old.p99) = (Reading::Value(new * 10.0), Reading::Value(old * 10.0));
    m
}

fn at(after: i64) -> Time {
    start() + TimeDelta::seconds(after)
}

struct Session {
    settings: Settings,
    trial: Trial,
}

impl Session {
    fn of(rules: Vec<Rule>) -> Self {
        Self { settings: Settings { rules: rules.into(), ..Settings::default() }, trial: Trial::new("new", "old", Some(start())) }
    }

    fn sees(&mut self, m: &RolloutMetrics) -> Verdict {
        let mut rollout = sample::canary();
        rollout.analyses.clear();
        rollout.labels.insert("team".into(), "shop".into());
        self.trial.watch(&self.settings.rules, &rollout, m);
        let case = Case { metrics: Some(m), trial: Some(&self.trial), ..Case::under(&self.settings, &rollout, m.at.unwrap()) };
        judge(&case)
    }
}

#[test]
fn every_preset_can_be_read_and_used_in_two_ways() {
    for p in PRESETS {
        let rules = preset(p.name).unwrap();
        assert!(!rules.is_empty() && rules.iter().all(|r| r.name.starts_with(p.name)), "{}", p.name);
        assert_eq!(load(&format!("[[rules]]\npreset = \"{}\"\n", p.name)).unwrap(), rules);
        assert_eq!(load(&format!("[verdict]\npresets = [\"{}\"]\n", p.name)).unwrap(), rules);
    }
    assert_eq!(load("").unwrap(), [], "the default is the test alone");
}

#[test]
fn every_mistake_is_named_with_its_line_and_the_way_out() {
    let text = r#"[[rules]]
when = "errors > 3x"
[[rules]]
when = "p99 > 2"
for = "soon"
[[rules]]
effect = "explode"
[[rules]]
when = "errors > 5 s"
severity = "high"
days = "someday"
hours = "8-18"
[[rules]]
when = "ready < 120 %"
wenn = "x"
[[rules]]
preset = "spinaker"
[[rules]]
when = "queue-depth > 3x stable"
only = ["shop"]
[[rules]]
when = "p95 too high"
times = 0
[[rules]]
when = "erors > 5 %"
[[rules]]
when = "errors > 5 %"
times = 5
[[rules]]
when = "errors > 5 %"
every = "1m"
for = "5m"
zone = "Mars/Base"
labels = "team pay"
[[rules]]
when = "errors > 5 %"
consecutive-error-limit = 4
[[rules]]
when = "errors > 5 %"
every = "1m"
inconclusive-limit = 0
[[rules]]
when = "errors > 5 %"
every = "1m"
passes = "p99 < 1 s"
[[rules]]
when = "errors > 5 %"
every = "1m"
passes = "errors <= 5 %"
inconclusive-limit = -1
[[rules]]
when = "p99 >> 3x stable"
[[rules]]
when = "p99 => 2 s"
[[rules]]
when = "errors == 5 %"
"#;
    let errors = load(text).unwrap_err();
    for (line, words) in [
        (2, "3x of what? write \"3x stable\""),
        (4, "a latency needs a unit"),
        (5, "write a duration"),
        (6, "a rule needs `when`"),
        (7, "write one of note, hold, abort"),
        (9, "is no unit here: write a share"),
        (10, "write one of info, warning, critical"),
        (11, "write days such as"),
        (12, "write two times of the day"),
        (14, "a share lies between 0 % and 100 %"),
        (15, "unknown setting 'rules.wenn'; known here: when, name"),
        (17, "'spinaker' is no preset of rules; there are relative, baseline"),
        (19, "a custom series has no stable side"),
        (20, "write namespace/name"),
        (22, "write METRIC OPERATOR LIMIT"),
        (23, "write how many checks may fail"),
        (25, "'erors' is no metric; there are errors, p50, p95, p99, rate, ready, queue-depth, analysis.NAME"),
        (28, "it needs `every`"),
        (32, "write one of them"),
        (33, "write a time zone by its IANA name"),
        (34, "write labels as kubectl takes them"),
        (37, "rules.consecutive-error-limit is about single checks: it needs `every`"),
        (41, "rules.inconclusive-limit needs `passes`"),
        (45, "rules.passes must be about the metric of `when`"),
        (50, "write how many are accepted"),
        (52, "'>>' is no operator; there are >, >=, <, <= and unlike"),
        (54, "'=>' is no operator"),
        (56, "'==' is no operator"),
    ] {
        assert!(errors.lines().any(|l| l.contains(&format!("config.toml:{line}:")) && l.contains(words)), "line {line}: {words}\n{errors}");
    }
    assert!(load("rules = 3\n").unwrap_err().contains("written as [[rules]]"));
}

#[test]
fn a_series_nobody_asks_for_is_a_mistake() {
    let custom = "[prometheus.custom]\nqueue-depth = 'q'\n[[rules]]\nwhen = \"queue-depth > 3\"\n";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    std::fs::write(&path, custom).unwrap();
    let sources = Sources { file: Some(path), named: true, ..Sources::default() };
    let said = Config::load(&sources, |_| None).unwrap_err().to_string();
    assert!(said.contains("config.toml:4: ") && said.contains("profile = \"custom\" only"), "{said}");
    let own = one("analysis.success-rate < 0.95");
    assert_eq!(own.metric, rolltop::verdict::rules::Metric::Own("success-rate".into()));
    // A session on another cluster, such as a demo's, keeps its rules.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    std::fs::write(&path, format!("[[rules]]\nwhen = \"queue-depth > 3\"\n{QUEUE}")).unwrap();
    let sources = Sources { file: Some(path), named: true, ..Sources::default() };
    let config = Config::load(&sources, |_| None).unwrap();
    assert_eq!(config.elsewhere("demo", Vec::new()).unwrap().rules, config.rules);
}

#[test]
fn a_policy_comes_on_top_of_the_rules_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let [file, policy] = [
        ("config.toml", "[[rules]]\nwhen = \"errors > 5 %\"\neffect = \"abort\"\n[[rules]]\nname = \"slow\"\nwhen = \"p99 > 2 s\"\n[[rules]]\npreset = \"slo\"\n"),
        ("policy.toml", "[[rules]]\nwhen = \"errors  >  5 %\"\neffect = \"hold\"\n[[rules]]\nname = \"slow\"\nwhen = \"p99 > 1 s\"\n[[rules]]\nwhen = \"ready < 80 %\"\n"),
    ]
    .map(|(name, text)| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    });
    let alone = Config::load(&Sources { file: Some(file.clone()), ..Sources::default() }, |_| None).unwrap();
    let both = Config::load(&Sources { file: Some(file), policy: Some(policy), ..Sources::default() }, |_| None).unwrap();
    let told = |config: &Config| config.rules.iter().map(|r| (r.name.clone(), r.effect)).collect::<Vec<_>>();
    use rolltop::verdict::rules::Effect::{Abort, Hold, Note};
    assert_eq!(told(&alone).len(), 3);
    let names = [("slo: errors > 5 %", Abort), ("errors > 5 %", Hold), ("slow", Note), ("ready < 80 %", Note)];
    assert_eq!(told(&both), names.map(|(name, effect)| (name.to_owned(), effect)));
    assert!(both.rules.iter().any(|r| r.name == "slow" && r.limit == rolltop::verdict::rules::Limit::Number(1.0)));
}

#[test]
fn the_rule_of_the_example_says_what_it_means() {
    let example: String =
        rolltop::config::fields::example().lines().filter_map(|l| l.strip_prefix("## ")).map(|l| format!("{l}\n")).collect();
    let rules = load(&example).unwrap();
    let own = rules.last().unwrap();
    assert_eq!((own.zone.name(), own.labels.len()), ("Europe/Berlin", 2));
    assert_eq!((rules.len(), own.lasting.as_secs(), own.requests, own.hours), (4, 120, 500.0, Some((480, 1080))));
    assert_eq!(own.days, [true, true, true, true, true, false, false]);
}

#[test]
fn units_and_sides_are_understood() {
    for (when, new, old, trips) in [
        ("errors > 5 %", 0.051, 0.0, true),
        ("errors > 5 %", 0.05, 0.0, false),
        ("errors >= 0.05", 0.05, 0.0, true),
        ("errors > 3x stable", 0.031, 0.01, true),
        ("errors > 3x stable", 0.029, 0.01, false),
        ("p99 > 2 s", 0.21, 0.1, true),
        ("p99 > 2000 ms", 0.19, 0.1, false),
        ("rate < 20/s", 0.0, 0.0, true),
        ("ready < 80 %", 0.0, 0.0, false),
        ("ready <= 100 %", 0.0, 0.0, true),
    ] {
        let said = Session::of(vec![one(when)]).sees(&readings(0, new, old));
        assert_eq!(said.is == Advice::Abort, trips, "{when} {new} {old}: {}", said.because);
    }
    let said = Session::of(vec![one("errors > 3x stable")]).sees(&readings(0, 0.041, 0.002));
    assert_eq!(said.because.as_str(), "rule errors > 3x stable: now 4.1 %, limit 0.6 %; advises to abort");
}

#[test]
fn the_start_is_the_old_side_as_it_was_first_seen() {
    let mut session = Session::of(vec![one("errors > 3x start")]);
    assert_ne!(session.sees(&readings(0, 0.01, 0.01)).is, Advice::Abort);
    // Both sides get worse together: a rule about the start does not see that.
    assert_eq!(session.sees(&readings(5, 0.05, 0.05)).is, Advice::Abort);
}

#[test]
fn it_must_last_and_a_gap_begins_anew() {
    let mut session = Session::of(vec![Rule { lasting: std::time::Duration::from_secs(60), ..one("errors > 1 %") }]);
    let mut is = |after, share| session.sees(&readings(after, share, 0.0)).is == Advice::Abort;
    assert_eq!([is(0, 0.02), is(55, 0.02), is(60, 0.02)], [false, false, true]);
    assert_eq!([is(65, 0.0), is(70, 0.02), is(125, 0.02)], [false, false, false]);
    let mut session = Session::of(vec![Rule { lasting: std::time::Duration::from_secs(60), ..one("errors > 1 %") }]);
    session.sees(&readings(0, 0.02, 0.0));
    let mut gap = readings(30, 0.02, 0.0);
    gap.new.errors = Reading::NoData;
    session.sees(&gap);
    assert_ne!(session.sees(&readings(61, 0.02, 0.0)).is, Advice::Abort, "nobody knows what was in the gap");
}

#[test]
fn what_has_no_value_trips_nothing_and_lets_nothing_go() {
    let hold = Rule { effect: rolltop::verdict::rules::Effect::Hold, ..one("queue-depth > 100") };
    let mut session = Session::of(vec![hold]);
    SAME.blocks(1).iter().for_each(|block| session.trial.take(block, None));
    assert!(session.trial.failing.is_as_good());
    let blind = session.sees(&readings(0, 0.01, 0.01));
    assert!(blind.is == Advice::Hold && blind.because.contains("queue-depth > 100 has no value"), "{}", blind.because);
    let with = |depth: f64| {
        let mut m = readings(5, 0.01, 0.01);
        m.own.insert("queue-depth".into(), Points::from([(at(5), Some(depth))]));
        m
    };
    assert_eq!(session.sees(&with(3.0)).is, Advice::Go);
    assert_eq!(session.sees(&with(300.0)).is, Advice::Hold);
    for word in [Reading::NoData, Reading::NotANumber, Reading::NoTraffic, Reading::Unasked] {
        let mut m = readings(0, 0.0, 0.0);
        (m.new.errors, m.old.errors) = (word, word);
        let rules = PRESETS.iter().flat_map(|p| preset(p.name).unwrap()).filter(|r| r.name.contains("errors")).collect();
        assert_ne!(Session::of(rules).sees(&m).is, Advice::Abort, "{word:?}");
    }
}

#[test]
fn hours_days_scope_and_requests_let_a_rule_sleep() {
    // 2023-11-14, a Tuesday, 22:13 UTC.
    for (settings, trips) in [
        ("hours = \"22:00-06:00\"", true),
        ("hours = \"08:00-18:00\"", false),
        ("days = \"mon-fri\"", true),
        ("days = \"sat, sun\"", false),
        ("days = \"sun-tue\"", true),
        ("only = [\"shop/*\"]", true),
        ("only = [\"pay/*\"]", false),
        // In Berlin it is 23:13 of the same day, in Tokyo seven in the morning of the next.
        ("hours = \"23:00-23:30\"\nzone = \"Europe/Berlin\"", true),
        ("hours = \"22:00-23:00\"\nzone = \"Europe/Berlin\"", false),
        ("days = \"wed\"\nzone = \"Asia/Tokyo\"", true),
        ("days = \"tue\"\nzone = \"Asia/Tokyo\"", false),
        ("labels = \"team=shop\"", true),
        ("labels = \"team=pay\"", false),
        ("labels = \"team, tier!=batch, !legacy\"", true),
        ("labels = [\"team=shop\", \"!team\"]", false),
        ("requests = 500", false),
        ("requests = 0", true),
    ] {
        let rules = load(&format!("[[rules]]\nwhen = \"errors > 1 %\"\neffect = \"abort\"\n{settings}\n")).unwrap();
        assert_eq!(Session::of(rules).sees(&readings(0, 0.5, 0.0)).is == Advice::Abort, trips, "{settings}");
    }
}

/// Nobody else needs them, and a thousand rollouts have many.
#[test]
fn labels_are_read_when_a_rule_asks_for_them() {
    let rules = load("[[rules]]\nwhen = \"errors > 1 %\"\nlabels = \"team=pay\"\n").unwrap();
    for (rules, found) in [(rules, 1), (Vec::new(), 0)] {
        let settings = Settings { rules: rules.into(), ..Settings::default() };
        let mut state = State::new(Mode::Watch, "prod", "all namespaces", settings, Default::default());
        let metadata = json!({"namespace": "pay", "name": "fx", "uid": "u", "generation": 1, "labels": {"team": "pay"}});
        let template = json!({"metadata": {"labels": {"app": "fx"}}, "spec": {"containers": [{"name": "app", "image": "fx:1"}]}});
        let spec = json!({"replicas": 1, "selector": {"matchLabels": {"app": "fx"}}, "template": template});
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec, "status": {}});
        let object = Box::new(decode::object(&kinds::DEPLOYMENT, deployment.to_string().as_bytes()).unwrap());
        let body = Body::Applied { source: Source::Fleet, scope: 0, object };
        update(&mut state, Event::Msg(Msg { at: start(), epoch: 0, body }), start());
        let known = state.rollouts.values().next().expect("a Deployment is a rollout");
        assert_eq!(known.rollout.labels.len(), found);
    }
}

#[test]
fn so_many_failed_checks_in_all() {
    let mut session = Session::of(preset("flagger").unwrap());
    let mut aborts = Vec::new();
    for i in 0..60 {
        let share = if i % 12 == 0 { 0.02 } else { 0.0 };
        if session.sees(&readings(i * 10, share, 0.0)).is == Advice::Abort {
            aborts.push(i * 10);
        }
    }
    // A check a minute, every second of which fails: the fifth failure is the ninth check.
    assert_eq!(aborts.first(), Some(&480));
    let said = session.sees(&readings(600, 0.02, 0.0)).rules;
    assert!(said.iter().any(|(_, text)| text.contains("failed checks: 6, 5 are too many")), "{said:?}");
}

/// Readings in which nobody could tell the new side's errors, for this reason.
fn without(after: i64, word: Reading) -> RolloutMetrics {
    let mut m = readings(after, 0.0, 0.0);
    m.new.errors = word;
    m
}

/// The preset, and what a minute of such readings, one each five seconds, makes of it.
struct Argo(Session, i64);

impl Argo {
    fn new(rules: Vec<Rule>) -> Self {
        Self(Session::of(rules), 0)
    }

    fn sees(&mut self, seconds: i64, reading: Reading) -> Verdict {
        let mut said = Verdict::default();
        for _ in 0..seconds / 5 {
            said = self.0.sees(&without(self.1, reading));
            self.1 += 5;
        }
        said
    }
}

#[test]
fn argos_consecutive_errors_hold_and_one_value_forgets_them() {
    let argo = || Argo::new(preset("argo").unwrap());
    for word in [Reading::NoData, Reading::Unasked] {
        let mut a = argo();
        // Errors are tried again after ten seconds: four are accepted.
        assert_ne!(a.sees(40, word).is, Advice::Hold);
        let said = a.sees(5, word);
        assert_eq!(said.is, Advice::Hold, "{word:?}: missing evidence holds and never aborts");
        let words = "checks without a value in a row: 5, accepted 4; holds";
        assert!(said.because.contains(words) && said.rules[0].1.contains(words), "{}", said.because);
        assert_ne!(a.sees(5, Reading::Value(0.0)).is, Advice::Hold);
        assert_ne!(a.sees(35, word).is, Advice::Hold, "in succession, not in all");
        // A measurement a minute, and the last one was good.
        assert_eq!(a.sees(3_600, word).is, Advice::Hold);
    }
    assert_ne!(argo().sees(3_600, Reading::NoTraffic).is, Advice::Hold, "nobody came: nothing was measured");
}

#[test]
fn argos_inconclusive_measurements_hold_until_somebody_looks() {
    // No number is neither more nor less than a limit.
    let mut a = Argo::new(preset("argo").unwrap());
    let said = a.sees(5, Reading::NotANumber);
    assert!(said.is == Advice::Hold && said.because.contains("inconclusive checks: 1, accepted 0; holds"), "{}", said.because);
    assert_eq!(a.sees(120, Reading::Value(0.0)).is, Advice::Hold, "they count in all");
    assert_eq!(a.sees(60, Reading::Value(0.5)).is, Advice::Abort, "a failure outweighs them");

    // As in Argo's own example: good from 90 %, bad below 50 %, a human between.
    let text =
        "[[rules]]\nwhen = \"errors > 50 %\"\npasses = \"errors <= 10 %\"\nevery = \"1m\"\ninconclusive-limit = 2\neffect = \"abort\"\n";
    let mut band = Argo::new(load(text).unwrap());
    assert_ne!(band.sees(120, Reading::Value(0.3)).is, Advice::Hold, "two are accepted");
    assert_ne!(band.sees(60, Reading::Value(0.1)).is, Advice::Hold, "that one passes");
    assert_eq!(band.sees(60, Reading::Value(0.11)).is, Advice::Hold);

    let noted = load(&text.replace("abort", "note")).unwrap();
    assert_ne!(Argo::new(noted).sees(600, Reading::Value(0.3)).is, Advice::Hold, "a rule that only notes holds nothing");
}

#[test]
fn argos_failure_limit_is_the_first_failure() {
    let mut a = Argo::new(preset("argo").unwrap());
    assert_ne!(a.sees(60, Reading::Value(0.05)).is, Advice::Abort);
    assert_eq!(a.sees(5, Reading::Value(0.051)).is, Advice::Abort);
}

#[test]
fn kayentas_judge_tells_shifted_readings_from_equal_ones() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut draw = |shift: f64| (0..60).map(|_| shift + rng.f64()).collect::<Vec<f64>>();
    let (a, b, shifted) = (draw(0.0), draw(0.0), draw(0.6));
    assert_eq!((mann_whitney::is_higher(&a, &b), mann_whitney::is_higher(&shifted, &b)), (Some(false), Some(true)));
    assert_eq!(mann_whitney::is_higher(&b, &shifted), Some(false), "lower is not higher");
    assert_eq!(mann_whitney::is_higher(&a[..40], &b), None);
    assert_eq!(mann_whitney::is_higher(&[0.0; 60], &[0.0; 60]), Some(false));
    let line = |values: &[f64]| values.iter().enumerate().map(|(i, v)| (at(i as i64), Some(*v))).collect::<Points>();
    let mut m = readings(60, 0.0, 0.0);
    m.history.insert((Side::New, Series::Errors), line(&shifted));
    m.history.insert((Side::Old, Series::Errors), line(&b));
    assert_eq!(Session::of(preset("kayenta").unwrap()).sees(&m).is, Advice::Abort);
}

#[test]
fn rules_alone_never_go() {
    let mut session = Session::of(preset("slo").unwrap());
    session.settings.rules_alone = true;
    SAME.blocks(1).iter().for_each(|block| session.trial.take(block, None));
    let said = session.sees(&readings(0, 0.001, 0.001));
    assert!(said.is == Advice::NotEnoughData && said.because.contains("no proof"), "{}", said.because);
}
