//! Scenario files: what ships is right, and what is wrong is said all at once.

use std::sync::Arc;

use rolltop::{
    demo::{
        ledger::Counts,
        prometheus::{self, Tsdb},
        scenario::{Act, Is, SHIPPED, Scenario, Server, Verb, When, acts, format, script::Switch},
        scrape::RETENTION,
        serve::{Play, simulate},
        sim::Sim,
        store::Key,
    },
    model::Time,
};
use serde_json::Value;

#[path = "scenarios/plain.rs"]
mod plain;
#[path = "scenarios/revisions.rs"]
mod revisions;

fn mistakes(text: &str) -> String {
    Scenario::parse("mine", "mine.toml", text).unwrap_err().to_string()
}

/// A file with these lines after a head without mistakes. The first of them is line 4.
fn with(lines: &str) -> String {
    format!("version = 1\ntitle = \"t\"\nabout = \"a\"\n{lines}")
}

/// Every mistake is there with its line and its words, and there is no other.
fn expect(text: &str, wanted: &[(usize, &str)]) {
    let found = mistakes(text);
    for (line, words) in wanted {
        let place = format!("mine.toml:{line}: ");
        assert!(found.lines().any(|l| l.starts_with(&place) && l.contains(words)), "line {line}: {words}\n{found}");
    }
    assert_eq!(found.lines().count(), wanted.len(), "{found}");
}

#[test]
fn what_ships_has_no_mistakes() {
    for (name, text) in SHIPPED {
        let scenario = Scenario::parse(name, name, text).unwrap_or_else(|mistakes| panic!("{name}:\n{mistakes}"));
        assert!(!scenario.about.is_empty() && scenario.about.len() < 110, "{name}: {}", scenario.about);
        assert!(!scenario.hint.is_empty() && !scenario.workloads.is_empty(), "{name}");
    }
}

#[test]
fn the_head_of_the_default_scenario_documents_the_format() {
    let shipped = include_str!("../../assets/demo/checkout.toml");
    assert!(shipped.starts_with(&format::documentation()), "the head should be:\n{}", format::documentation());
}

#[test]
fn the_list_names_every_scenario() {
    let list = rolltop::demo::scenario::list();
    assert!(SHIPPED.iter().all(|(name, _)| list.lines().any(|line| line.starts_with(name) && line.len() > 20)), "{list}");
    assert!(list.lines().all(|line| line.len() <= 120), "{list}");
}

#[test]
fn a_name_nobody_has_finds_its_neighbour() {
    let said = Scenario::load("bluegren").unwrap_err().to_string();
    assert!(said.contains("did you mean 'bluegreen'?") && said.contains("cold-start"), "{said}");
    assert!(Scenario::load("./no/such/file.toml").unwrap_err().to_string().contains("./no/such/file.toml"));
}

#[test]
fn keys_values_and_what_is_missing() {
    let text = "version = 2\ntitel = \"t\"\nabout = 3\nprehistory = \"soon\"\n[[workload]]\nname = \"cart\"\nkind = \"canery\"\nreplicas = 2.5\n\
                history = [\"v1 2d ago\"]\n[workload.traffic]\nrps = \"many\"\nbursts = \"3x for 20s\"\n[workload.versions.v1]\nerrors = 4\n\
                latency = \"90ms/20ms\"\npods = \"explodes\"\n";
    expect(
        text,
        &[
            (1, "at the top: 'title' is missing"),
            (1, "format 2 is unknown to this rolltop; it reads format 1"),
            (2, "unknown key 'titel'; did you mean 'title'? known here: version, title, about"),
            (3, "about = 3 is not a text"),
            (4, "prehistory = \"soon\" is not a time such as \"90s\""),
            (6, "name = \"cart\" is not \"namespace/name\""),
            (7, "kind = \"canery\" is not one of canary, blue-green, deployment, manifest"),
            (8, "replicas = 2.5 is not a whole number"),
            (11, "rps = \"many\" is not a number"),
            (12, "bursts = \"3x for 20s\" is not such as \"3x for 20s every 5m\""),
            (14, "errors = 4 is not a share such as \"2 %\""),
            (15, "latency = \"90ms/20ms\" is not median/p99"),
            (16, "pods = \"explodes\" is not one of ready, never-ready, crash-loop"),
        ],
    );
}

#[test]
fn what_only_the_whole_can_tell() {
    let text = with(
        "[[workload]]\nname = \"shop/cart\"\nkind = \"canary\"\nhistory = [\"v1 2d ago\", \"v2 3d ago\", \"soon\"]\n\
         steps = [\n{ setWeigth = 5 },\n{ pause = {}, setWeight = 3 },\n{ analysis = { templates = [{ templateName = \"good\" }] } }]\n\
         [workload.versions.v9]\nerrors = \"1 %\"\n\
         [[workload]]\nname = \"shop/cart\"\nkind = \"blue-green\"\nrouter = \"istio\"\n\
         [[workload]]\nkind = \"canary\"\ncount = 2\nname = \"shop/x\"\nhistory = [\"v1 2d ago\"]\n",
    );
    expect(
        &text,
        &[
            (7, "'v2 3d ago' is not younger than the release before it"),
            (7, "'soon' is not a release; write it as \"v1.2 9d ago\""),
            (8, "no [[analysis]] is named 'good'; there are: none"),
            (9, "a step has exactly one key, not 'setWeigth'; did you mean 'setWeight'?"),
            (10, "a step has exactly one key, not 'pause, setWeight'"),
            (12, "'shop/cart' never runs 'v9'; it runs: v1"),
            (14, "'history' is missing"),
            (15, "'shop/cart' is already at line 4"),
            (17, "'router' has no meaning for kind = \"blue-green\""),
            (18, "'count' needs 'namespaces'"),
            (21, "'name' and 'count' do not go together"),
        ],
    );
}

#[test]
fn the_script_acts_on_what_is_there_at_a_time_there_is() {
    let text = with(
        "try = \"{promot} it\"\n\
         [[workload]]\nname = \"shop/cart\"\nkind = \"canary\"\nhistory = [\"v1 2d ago\"]\n\
         [[script]]\nat = \"-2h\"\nrelease = \"shop/card\"\nversion = \"v2\"\n\
         [[script]]\nabort = \"shop/cart\"\npromote = \"shop/cart\"\nat = \"1s\"\n\
         [[script]]\nat = \"1s\"\nwhen = \"shop/cart waits\"\nabort = \"shop/cart\"\n\
         [[script]]\nwhen = \"shop/cart sleeps\"\nscale = \"shop/cart\"\n\
         [[script]]\nat = \"1s\"\n\
         [[script]]\nat = \"1s\"\nbehaviour = \"shop/cart\"\nversion = \"v3\"\nto = { erors = \"1 %\" }\n\
         [[script]]\nat = \"1s\"\nfault = \"etcd\"\nhow = \"hang\"\n\
         [[script]]\nat = \"1s\"\nrelease = \"*\"\nversion = \"v2\"\n\
         [[script]]\nat = \"1s\"\nretry = \"shop/cart\"\nimage = \"x\"\n\
         [[script]]\nat = \"1s\"\ndelete = \"cart\"\n",
    );
    expect(
        &text,
        &[
            (4, "no command 'promot'; did you mean '{promote}'?"),
            (10, "before the prehistory, which begins 20m before"),
            (11, "no workload 'shop/card' here; did you mean 'shop/cart'?"),
            (13, "are several acts; write one [[script]] for each"),
            (17, "exactly one of 'at' and 'when'"),
            (22, "is no condition; write \"NS/NAME STATE\" with one of waits, pauses"),
            (21, "'scale' needs 'replicas'"),
            (24, "no act; exactly one of release, set-image"),
            (30, "unknown key 'erors'; did you mean 'errors'?"),
            (29, "'shop/cart' never runs 'v3'; it runs: v1"),
            (33, "fault = \"etcd\" is not one of api, prometheus"),
            (37, "release = \"*\" needs a [[workload]] with 'count'"),
            (42, "'image' has no meaning for 'retry'"),
            (45, "delete = \"PLURAL.GROUP NS/NAME\""),
        ],
    );
}

#[test]
fn broken_toml_is_told_with_its_line_beside_the_other_mistakes() {
    let found = mistakes("version = 1\ntitle = \nabout = \"a\"\nfoo = 1\n");
    assert!(found.contains("mine.toml:2: ") && found.contains("mine.toml:4: at the top: unknown key 'foo'"), "{found}");
}

#[test]
fn a_right_file_is_taken_at_its_word() {
    let text = with(
        "[[workload]]\nname = \"shop/cart\"\nkind = \"canary\"\nrouter = \"nginx\"\nreplicas = 3\nhistory = [\"v1 9d ago\", \"v2 2d ago\"]\n\
         steps = [{ setWeight = 5 }, { pause = { duration = \"2m\" } }]\ntraffic = { rps = 20, noise = \"10 %\" }\n\
         [workload.versions.v3]\nerrors = \"2 %\"\npods = \"out-of-memory after 40s\"\n\
         [[workload]]\ncount = 3\nnamespaces = [\"a\", \"b\"]\nkind = \"blue-green\"\nhistory = [\"v1 1d ago\"]\n\
         [[script]]\nwhen = \"shop/cart at weight 5\"\nafter = \"30s\"\nrelease = \"shop/cart\"\nversion = [\"v3\", \"v4\"]\n",
    );
    let scenario = Scenario::parse("mine", "mine.toml", &text).unwrap();
    let cart = scenario.workload("shop/cart").unwrap();
    assert_eq!((cart.replicas, cart.history.len(), cart.load.rps, cart.load.noise), (3, 2, 20.0, 0.1));
    assert_eq!(cart.steps, serde_json::json!([{"setWeight": 5}, {"pause": {"duration": "2m"}}]));
    assert_eq!((cart.versions["v3"].profile.errors, cart.versions["v3"].pods.after.as_secs()), (0.02, 40));
    assert_eq!(scenario.workloads.len(), 4);
    let event = &scenario.script[0];
    assert!(matches!(&event.when, When::Once { after, .. } if after.as_secs() == 30), "{event:?}");
    assert!(matches!(&event.act, Act::Release { versions, .. } if versions.len() == 2), "{event:?}");
}

/// A scenario in a simulation without servers, at its opening.
struct Stage {
    sim: Sim,
    opening: Time,
    tsdb: Arc<Tsdb>,
}

fn stage(name: &str) -> Stage {
    staged(Scenario::load(name).unwrap_or_else(|error| panic!("{error}")))
}

fn staged(scenario: Scenario) -> Stage {
    let opening = chrono::DateTime::from_timestamp(1_795_269_802, 0).unwrap();
    let tsdb = Arc::new(Tsdb::new(RETENTION));
    let play = Play { scenario: &scenario, opening, seed: 1, ledger: None };
    let sim = simulate(&play, "http://127.0.0.1:1", tsdb.clone(), Switch::default());
    Stage { sim, opening, tsdb }
}

impl Stage {
    /// Runs until so long after the opening.
    fn at(&mut self, time: &str) -> &mut Self {
        let time = humantime::parse_duration(time).unwrap();
        self.sim.run_until(self.opening + chrono::TimeDelta::from_std(time).unwrap());
        self
    }

    /// Or another workload.
    fn rollout(&self, path: &str) -> Value {
        acts::find(&self.sim.store, path).unwrap_or_else(|| panic!("no {path}"))
    }

    /// In the words of a script's conditions.
    fn is(&self, path: &str, is: Is) -> bool {
        acts::holds(&self.rollout(path), is)
    }

    fn must(&self, path: &str, is: Is) -> &Self {
        assert!(self.is(path, is), "{path} is not {is:?} at {}:\n{:#}", self.sim.now() - self.opening, self.rollout(path)["status"]);
        self
    }

    fn revision(&self, path: &str) -> u32 {
        self.rollout(path)["metadata"]["annotations"]["rollout.argoproj.io/revision"].as_str().unwrap().parse().unwrap()
    }

    fn image(&self, path: &str) -> String {
        self.rollout(path)["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().into()
    }

    fn act(&mut self, path: &str, verb: Verb) {
        let now = self.sim.now();
        acts::Hand { store: &mut self.sim.store, now, by: "test" }.act(path, verb).unwrap_or_else(|refusal| panic!("{}", refusal.message));
    }

    /// Requests of one version so far.
    fn counts(&self, path: &str, tag: &str) -> Counts {
        let tracks = self.sim.workloads.traffic.counters(path).filter(|(track, _)| track.tag == tag);
        tracks.fold(Counts::default(), |sum, (_, counters)| sum.plus(Counts::of(counters)))
    }

    /// Share of a version's requests that failed in the time this takes.
    fn failing(&mut self, path: &str, tag: &str, until: &str) -> f64 {
        let before = self.counts(path, tag);
        let passed = self.at(until).counts(path, tag).since(before);
        assert!(passed.all > 0, "{path} {tag} got no requests");
        passed.failed as f64 / passed.all as f64
    }

    /// The first value of an instant query.
    fn query(&self, query: &str) -> Option<f64> {
        match self.tsdb.instant(query, self.sim.now()).unwrap_or_else(|error| panic!("{query}: {error}")) {
            prometheus::Value::Vector(samples) => samples.first().map(|sample| sample.value),
            other => panic!("{other:?}"),
        }
    }

    fn count(&self, kind: &str) -> usize {
        self.sim.store.list(kind, None).count()
    }
}

#[test]
fn callers_try_again_counters_restart_and_scrapes_fail_where_a_file_says_so() {
    let one = |name: &str, traffic: &str, version: &str| {
        format!(
            "[[workload]]\nname = \"a/{name}\"\nkind = \"canary\"\nrouter = \"istio\"\nhistory = [\"v1 1d ago\"]\n\
             traffic = {{ rps = 40{traffic} }}\nversions.v1 = {{ errors = \"10 %\"{version} }}\n"
        )
    };
    let workloads = one("plain", "", "")
        + &one("retried", "", ", retries = 2")
        + &one("restarts", "", ", recounts = \"20s\"")
        + &one("hidden", ", unscraped = \"100 %\"", "");
    let mut stage = staged(Scenario::parse("mine", "mine.toml", &with(&workloads)).unwrap());
    stage.at("2m");
    let ask = |stage: &Stage, query: &str, name: &str| {
        stage.query(&query.replace("{}", &format!("{{destination_workload=\"{name}\",response_code=\"500\"}}")))
    };
    let failed = |name| ask(&stage, "max(istio_requests_total{})", name);
    assert!(failed("retried").unwrap() % 3.0 == 0.0 && failed("plain").unwrap() > 0.0 && failed("hidden").is_none());
    let resets = |name| ask(&stage, "max(resets(istio_requests_total{}[10m]))", name).unwrap();
    assert!(resets("restarts") > 3.0 && resets("plain") == 0.0);
    assert!(stage.counts("a/hidden", "v1").failed > 100);
}

#[test]
fn checkout_keeps_its_promises_for_ten_minutes() {
    let mut stage = stage("checkout");
    stage.must("pay/payments", Is::Waits).must("pay/fx", Is::Waits).must("data/exports", Is::Aborted).must("shop/checkout", Is::Steady);
    assert!(!stage.is("web/frontend", Is::Steady), "something moves from the first moment");
    // Revisions, ages and past versions as in a place where people have lived.
    assert_eq!((stage.revision("shop/checkout"), stage.revision("web/frontend")), (41, 133));
    let old = stage.rollout("shop/checkout")["metadata"]["creationTimestamp"].as_str().unwrap().to_owned();
    assert_eq!(old, "2026-11-12T14:03:22Z");
    stage.at("20s").must("shop/checkout", Is::AtWeight(5)).must("shop/checkout", Is::Pauses);
    stage.at("1m").must("shop/checkout", Is::AtWeight(25)).must("shop/checkout", Is::Waits);
    assert!(stage.failing("pay/payments", "v4.2.0", "2m 50s") < 0.02);
    stage.at("3m 10s");
    assert!(stage.failing("pay/payments", "v4.2.0", "5m") > 0.04, "it goes bad after three minutes");
    stage.at("6m").must("shop/cart", Is::Aborted).must("shop/checkout", Is::Waits).must("pay/payments", Is::Waits);
    stage.act("shop/checkout", Verb::Promote);
    stage.act("pay/payments", Verb::Abort);
    stage.at("10m").must("shop/checkout", Is::Steady).must("pay/payments", Is::Aborted);
    assert!(stage.image("shop/checkout").ends_with(":v2.9.0") && stage.image("shop/cart").ends_with(":v1.19.1"));
    assert!(stage.revision("web/frontend") >= 135 && stage.revision("ml/ranker") >= 57);
}

#[test]
fn good_goes_its_way() {
    let mut stage = stage("good");
    stage.at("30s").must("shop/checkout", Is::AtWeight(5));
    stage.at("6m").must("shop/checkout", Is::Steady);
    assert!(stage.image("shop/checkout").ends_with(":v2.9.0"));
}

#[test]
fn regression_waits_and_fails() {
    let mut stage = stage("regression");
    stage.at("1m").must("shop/checkout", Is::Waits).must("shop/checkout", Is::AtWeight(25));
    assert!((0.03..0.06).contains(&stage.failing("shop/checkout", "v2.9.0", "2m")));
    assert!(stage.failing("shop/checkout", "v2.8.1", "3m") < 0.01);
    let query = |version: &str, bad: &str| {
        format!("sum(rate(istio_requests_total{{reporter=\"destination\",destination_version=\"{version}\"{bad}}}[1m]))")
    };
    let bad = stage.query(&query("v2.9.0", ",response_code=~\"5..\"")).unwrap() / stage.query(&query("v2.9.0", "")).unwrap();
    assert!((0.02..0.07).contains(&bad), "Prometheus says {bad}");
}

#[test]
fn slow_is_slow_and_not_wrong() {
    let mut stage = stage("slow");
    stage.at("1m").must("shop/search", Is::Waits);
    let (before, old) = (stage.counts("shop/search", "v3.5.0"), stage.counts("shop/search", "v3.4.0"));
    stage.at("2m");
    let (new, old) = (stage.counts("shop/search", "v3.5.0").since(before), stage.counts("shop/search", "v3.4.0").since(old));
    assert!(new.slow as f64 / new.all as f64 > 0.02 && new.failed * 100 <= new.all, "{new:?}");
    assert!(old.slow * 200 < old.all, "{old:?}");
}

#[test]
fn quiet_has_hardly_a_request() {
    let mut stage = stage("quiet");
    stage.at("3m").must("ops/reports", Is::Waits);
    assert!(stage.counts("ops/reports", "v0.8.0").all < 60);
}

#[test]
fn sick_stable_fails_on_both_sides_and_recovers() {
    let mut stage = stage("sick-stable");
    stage.must("shop/checkout", Is::Waits);
    assert!(stage.failing("shop/checkout", "v2.8.1", "2m") > 0.03);
    assert!(stage.failing("shop/checkout", "v2.9.0", "4m") > 0.03);
    stage.at("6m 10s");
    assert!(stage.failing("shop/checkout", "v2.9.0", "8m") < 0.02);
}

#[test]
fn cold_start_is_slow_until_it_is_warm() {
    let mut stage = stage("cold-start");
    stage.at("20s").must("shop/catalog", Is::Waits);
    let slow = |counts: Counts| counts.slow as f64 / counts.all as f64;
    let cold = stage.at("50s").counts("shop/catalog", "v6.3.0");
    let before = stage.at("3m").counts("shop/catalog", "v6.3.0");
    let warm = stage.at("4m").counts("shop/catalog", "v6.3.0").since(before);
    assert!(slow(cold) > 0.1 && slow(warm) < 0.01, "{cold:?} {warm:?}");
}

#[test]
fn crashloop_meets_no_user_and_runs_out_of_time() {
    let mut stage = stage("crashloop");
    stage.at("4m").must("shop/checkout", Is::Fails).must("pay/ledger", Is::Fails);
    assert!(!stage.is("shop/checkout", Is::Aborted));
    let status = stage.rollout("shop/checkout")["status"].clone();
    assert!(status["message"].as_str().unwrap().contains("ProgressDeadlineExceeded"), "{status:#}");
    assert_eq!(stage.counts("shop/checkout", "v2.9.0").all, 0);
    let restarts =
        stage.sim.store.list("pods", Some("shop")).map(|pod| pod.value()["status"]["containerStatuses"][0]["restartCount"].as_u64());
    assert!(restarts.flatten().max() >= Some(2));
}

#[test]
fn bluegreen_flips_and_one_of_them_breaks() {
    let mut stage = stage("bluegreen");
    stage.must("pay/ledger", Is::Waits).must("pay/fx", Is::Waits);
    stage.act("pay/ledger", Verb::Promote);
    stage.act("pay/fx", Verb::Promote);
    assert!(stage.failing("pay/ledger", "v8.2.0", "2m") < 0.01);
    assert!(stage.counts("pay/fx", "v1.32.0").failed > 500);
    // The old pods are still there: the way back is a moment.
    let now = stage.sim.now();
    acts::Hand { store: &mut stage.sim.store, now, by: "test" }.set_image("pay/fx", |image| image.replace("v1.32.0", "v1.31.0")).unwrap();
    stage.at("2m 10s").must("pay/fx", Is::Steady);
    let before = stage.counts("pay/fx", "v1.32.0").all;
    assert_eq!(stage.at("3m").counts("pay/fx", "v1.32.0").all, before);
}

#[test]
fn undo_goes_behind_both_bad_versions() {
    let mut stage = stage("undo");
    stage.must("shop/checkout", Is::Aborted);
    assert_eq!(stage.revision("shop/checkout"), 44);
    stage.act("shop/checkout", Verb::Undo);
    stage.at("1m").must("shop/checkout", Is::Steady);
    assert!(stage.image("shop/checkout").ends_with(":v2.8.1"));
}

#[test]
fn fleet_is_large_and_moves() {
    let mut stage = stage("fleet");
    assert_eq!(stage.count("rollouts.argoproj.io"), 1_000);
    assert!((9_900..10_300).contains(&stage.count("pods")), "{}", stage.count("pods"));
    stage.at("20s");
    let moving = stage.sim.store.list("rollouts.argoproj.io", None).filter(|rollout| !acts::holds(&rollout.value(), Is::Steady)).count();
    assert!((10..40).contains(&moving), "{moving}");
}

#[test]
#[allow(clippy::type_complexity)]
fn outage_sends_its_faults_and_ends_them() {
    let seen: Arc<std::sync::Mutex<Vec<(Server, &str, bool)>>> = Arc::default();
    let scenario = Scenario::load("outage").unwrap();
    let opening = chrono::DateTime::from_timestamp(1_795_269_802, 0).unwrap();
    let switch = Switch::default();
    let play = Play { scenario: &scenario, opening, seed: 1, ledger: None };
    let mut sim = simulate(&play, "", Arc::new(Tsdb::new(RETENTION)), switch.clone());
    let log = seen.clone();
    assert!(switch.set(Box::new(move |server, how, on| log.lock().unwrap().push((server, how, on)))).is_ok());
    sim.run_until(opening + chrono::TimeDelta::minutes(4));
    let seen = seen.lock().unwrap();
    let pairs: Vec<_> = seen.chunks(2).map(|pair| (pair[0], pair[1])).collect();
    assert_eq!(pairs.len(), 5, "{seen:?}");
    assert!(pairs.iter().all(|(begun, ended)| begun.2 && !ended.2 && begun.1 == ended.1), "{seen:?}");
}

#[test]
fn hostile_objects_are_there_and_nothing_falls_over() {
    let mut stage = stage("hostile");
    stage.at("2m").must("shop/checkout", Is::Waits);
    assert_eq!(stage.count("rollouts.argoproj.io"), 4);
    let events = stage
        .sim
        .store
        .list("events", Some("shop"))
        .filter(|event| event.value()["message"].as_str().is_some_and(|text| text.contains('\u{202e}')));
    assert!(events.count() >= 1);
}

#[test]
fn llm_goes_in_phases_with_numbers_of_its_own() {
    let mut stage = stage("llm");
    stage.at("1m").must("llm/assistant", Is::Waits).must("llm/assistant", Is::AtWeight(25));
    let hash = stage.rollout("llm/assistant")["status"]["currentPodHash"].as_str().unwrap().to_owned();
    let quality = stage.query(&format!("avg(llm_quality_score{{rollouts_pod_template_hash=\"{hash}\"}})")).unwrap();
    assert!((0.9..0.96).contains(&quality), "{quality}");
    assert!(stage.query("max(llm_queue_depth)").is_some() && stage.query("min(DCGM_FI_DEV_FB_USED)").is_some());
    stage.act("llm/assistant", Verb::Promote);
    stage.at("8m").must("llm/assistant", Is::Steady);
    assert!(stage.image("llm/assistant").ends_with(":green-3.0"));
}

#[test]
fn kruise_asks_goes_on_by_the_clock_and_has_both_sides_up() {
    let mut stage = stage("kruise");
    let at = |stage: &Stage, path: &str| {
        let (namespace, name) = path.split_once('/').unwrap();
        let rollout = stage.sim.store.get(&Key::new("rollouts.rollouts.kruise.io", namespace, name)).unwrap().value();
        let status = rollout["status"].clone();
        let part = ["canaryStatus", "blueGreenStatus"].into_iter().find(|part| status[*part].is_object()).unwrap();
        (status["phase"].as_str().unwrap().to_owned(), status[part]["currentStepIndex"].as_u64().unwrap(), {
            status[part]["currentStepState"].as_str().unwrap().to_owned()
        })
    };
    let waits = |step: u64| ("Progressing".to_owned(), step, "StepPaused".to_owned());
    let rests = |step: u64| ("Healthy".to_owned(), step, "Completed".to_owned());
    let course = |stage: &Stage| ["shop/checkout", "shop/cart", "pay/ledger", "web/frontend"].map(|path| at(stage, path));
    assert_eq!(course(&stage), [waits(1), rests(3), waits(1), rests(2)]);
    // Users follow the weight of the first step; the blue side is not shown to anybody.
    let (new, old) = (stage.counts("shop/checkout", "v2.9.0"), stage.counts("shop/checkout", "v2.8.1"));
    stage.at("1m");
    let (new, old) = (stage.counts("shop/checkout", "v2.9.0").since(new).all, stage.counts("shop/checkout", "v2.8.1").since(old).all);
    assert!((0.03..0.07).contains(&(new as f64 / (new + old) as f64)), "five percent of the users: {new} of {}", new + old);
    assert_eq!(stage.counts("pay/ledger", "v8.2.0").all, 0);
    // The batches have begun, and users are where the pods are.
    assert_eq!(at(&stage, "shop/cart"), waits(1));
    assert!(stage.counts("shop/cart", "v1.19.0").all > 0);
    stage.at("3m");
    assert_eq!(course(&stage), [waits(1), waits(2), waits(1), rests(2)]);
    stage.at("8m");
    assert_eq!(at(&stage, "shop/cart").0, "Healthy", "nobody stopped it");
}

#[test]
fn flagger_steps_fails_tests_and_waits_at_gates() {
    let mut stage = stage("flagger");
    let status = |stage: &Stage, path: &str| {
        let (namespace, name) = path.split_once('/').unwrap();
        let key = Key::new("canaries.flagger.app", namespace, name);
        stage.sim.store.get(&key).unwrap_or_else(|| panic!("no {path}")).value()["status"].clone()
    };
    let phase = |stage: &Stage, path: &str| status(stage, path)["phase"].as_str().unwrap().to_owned();
    let course = |stage: &Stage| ["shop/checkout", "shop/cart", "pay/ledger", "pay/fx", "web/frontend"].map(|path| phase(stage, path));
    assert_eq!(course(&stage), ["Initialized", "Initialized", "Initialized", "Waiting", "Initialized"]);
    // Users follow the weights of the generated Ingress.
    stage.at("55s");
    assert_eq!(phase(&stage, "shop/checkout"), "Progressing");
    let before = stage.counts("shop/checkout", "v2.9.0").all;
    assert!(before > 0);
    stage.at("2m");
    assert_eq!(
        (phase(&stage, "shop/checkout"), status(&stage, "shop/checkout")["canaryWeight"].clone()),
        ("WaitingPromotion".into(), 0.into())
    );
    let (new, old) = (stage.counts("shop/checkout", "v2.9.0"), stage.counts("shop/checkout", "v2.8.1"));
    stage.at("2m 30s");
    let (new, old) = (stage.counts("shop/checkout", "v2.9.0").since(new).all, stage.counts("shop/checkout", "v2.8.1").since(old).all);
    assert!((0.45..0.55).contains(&(new as f64 / (new + old) as f64)), "half of the users: {new} of {}", new + old);
    let asked = "sum(rate(nginx_ingress_controller_requests{ingress=\"checkout\",canary!=\"\"}[1m]))";
    let rate = stage.query(asked).unwrap();
    assert!(rate > 20.0, "{rate}");
    // The gateway's canary was bad, and nobody is on it any more.
    assert_eq!(phase(&stage, "shop/cart"), "Failed");
    let before = stage.counts("shop/cart", "v1.19.0").all;
    assert!(before > 0);
    // Blue-green: its load test, and no user, until the primary has it.
    stage.at("4m");
    assert_eq!((phase(&stage, "pay/ledger"), stage.counts("shop/cart", "v1.19.0").all), ("Succeeded".into(), before));
    // A person opens both gates.
    assert_eq!((phase(&stage, "shop/checkout"), phase(&stage, "pay/fx")), ("WaitingPromotion".into(), "Waiting".into()));
    for gate in ["checkout.shop", "fx.pay"] {
        stage.sim.workloads.loadtester.set(gate, true);
    }
    stage.at("6m");
    assert_eq!(course(&stage), ["Succeeded", "Failed", "Succeeded", "Succeeded", "Initialized"]);
    let deployment = |name: &str| stage.sim.store.get(&Key::new("deployments.apps", "shop", name)).unwrap().value()["spec"].clone();
    let image = deployment("checkout-primary")["template"]["spec"]["containers"][0]["image"].clone();
    assert_eq!((image, deployment("checkout")["replicas"].clone()), ("registry.example.com/shop/checkout:v2.9.0".into(), 0.into()));
}

#[test]
fn the_same_seed_plays_the_same_however_time_is_sliced() {
    let (mut one, mut two) = (stage("regression"), stage("regression"));
    one.at("90s");
    (0..900).for_each(|tenth| two.sim.run_until(two.opening + chrono::TimeDelta::milliseconds(tenth * 100)));
    two.at("90s");
    assert_eq!(one.sim.store.revision(), two.sim.store.revision());
    for tag in ["v2.8.1", "v2.9.0"] {
        assert_eq!(one.counts("shop/checkout", tag), two.counts("shop/checkout", tag));
    }
}

/// `demo --serve` as a script starts it.
fn serving() -> (std::process::Child, std::path::PathBuf) {
    use std::io::BufRead;
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_rolltop"))
        .args(["demo", "good", "--serve", "--seed", "3"])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let kubeconfig = lines.next().unwrap().strip_prefix("KUBECONFIG=").unwrap().into();
    assert!(lines.next().unwrap().starts_with("PROMETHEUS_URL=http://127.0.0.1:"));
    (child, kubeconfig)
}

#[test]
fn serving_needs_no_terminal_prints_two_lines_and_leaves_nothing_behind() {
    for signal in ["INT", "TERM", "HUP"] {
        let (mut child, kubeconfig) = serving();
        assert!(std::fs::read_to_string(&kubeconfig).unwrap().contains("current-context"));
        let sent = std::process::Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
        assert!(sent.success() && child.wait().unwrap().success(), "SIG{signal}");
        assert!(!kubeconfig.parent().unwrap().exists(), "SIG{signal}");
    }
}

#[test]
fn what_makes_no_sense_on_the_command_line_is_told_before_anything_starts() {
    let said = |arguments: &[&str]| {
        let out =
            std::process::Command::new(env!("CARGO_BIN_EXE_rolltop")).args(arguments).stdin(std::process::Stdio::null()).output().unwrap();
        assert_eq!(out.status.code(), Some(2), "{arguments:?}");
        String::from_utf8(out.stderr).unwrap()
    };
    assert!(said(&["demo"]).contains("needs a terminal") && said(&["demo", "drill"]).contains("needs a terminal"));
    assert!(said(&["demo", "regresion", "--serve"]).contains("did you mean 'regression'?"));
    assert!(said(&["--context", "prod", "demo", "--serve"]).contains("--context does not go with it"));
    assert!(said(&["demo", "--json", "--serve"]).contains("--json") && said(&["demo", "good", "--json"]).contains("--json is for"));
    assert!(said(&["demo", "--speed", "0"]).contains("0.1 to 1000"));
}
