//! Feature flags in the settings: what is taken, what is named as a mistake, and what a card would send.

use rolltop::{
    config::{Config, Sources, fields},
    engine::{
        flag::{self, Field, Flag, Target, Template},
        plan::Goal,
    },
    intent::{Danger, Intent},
    model::{Rollout, Severity, Text},
};
use serde_json::{Value, json};

use crate::{config::load, sample};

fn flags(text: &str) -> Vec<Flag> {
    load(text).unwrap().settings("prod", "", |_| None).flags.to_vec()
}

/// One flag with other lines for some of its requests.
fn written(off: &str, read: &str, more: &str) -> String {
    format!(
        "[[flags]]\nname = \"new-checkout\"\nrollouts = [\"shop/*\"]\n{more}\n[flags.off]\n{off}\n[flags.read]\n{read}\npointer = \"/enabled\"\noff = false\n"
    )
}

const OFF: &str = "url = \"https://flags.internal/new-checkout/off\"";
const READ: &str = "url = \"https://flags.internal/new-checkout\"";

fn checkout() -> Rollout {
    let state = sample::fleet();
    state.rollouts.values().find(|k| k.rollout.id.path() == "shop/checkout").unwrap().rollout.clone()
}

fn with_image(image: &str) -> Rollout {
    let mut rollout = checkout();
    rollout.tracks.iter_mut().filter(|t| t.is_new).for_each(|t| t.images = vec![image.into()]);
    rollout
}

fn plan(text: &str, rollout: &Rollout) -> rolltop::engine::Plan {
    flag::plan(&flags(text), rollout, "new-checkout", "ABORT advised: canary fails").unwrap()
}

fn url(target: &Target) -> String {
    match target {
        Target::Known(url) => url.to_string(),
        Target::Secret(_) => panic!("a secret"),
    }
}

/// All four of the example, as people copy them.
#[test]
fn the_examples_are_taken_as_they_are() {
    let text: String =
        fields::example().lines().filter_map(|l| l.strip_prefix("## ").or((l == "##").then_some(""))).map(|l| format!("{l}\n")).collect();
    let from = text.find("# Unleash").unwrap();
    let flags = flags(&text[from..]);
    let names: Vec<&str> = flags.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["new-checkout", "new-search", "new-basket", "new-mail"]);
    assert!(flags.iter().all(|f| f.off_value == json!(false)));
    assert_eq!((flags[1].off.method, flags[1].pointer.as_str()), ("PATCH", "/environments/production/on"));
    let content: Vec<&str> = flags[1].off.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(content, ["Authorization", "Content-Type"], "those of all requests, and its own");
}

#[test]
fn every_mistake_is_named_with_its_line() {
    for (text, line, says) in [
        ("[[flags]]\n", 1, "a flag needs `name`"),
        ("[[flags]]\n", 1, "a flag needs `off`"),
        ("[[flags]]\n", 1, "a flag needs `read`"),
        ("[[flags]]\n", 1, "a flag needs `rollouts`"),
        ("flags = 3\n", 1, "must be written as [[flags]]"),
        ("[[flags]]\nname = \"x\"\nrollouts = \"checkout\"\n", 3, "write namespace/name"),
        ("[[flags]]\nname = \"x\"\nengine = \"argocd\"\n", 3, "'argocd' is no engine; write one of argo, flagger"),
        ("[[flags]]\nnmae = \"x\"\n", 2, "unknown setting 'flags.nmae'; known here: name, rollouts"),
        ("[[flags]]\ntimeout = \"2h\"\n", 2, "a duration up to a minute"),
        ("[[flags]]\n[flags.off]\nurl = \"http://flags.internal/off\"\n", 3, "plain http leaves this machine"),
        ("[[flags]]\n[flags.off]\nurl = \"ftp://flags.internal/off\"\n", 3, "'ftp' is no scheme for this"),
        ("[[flags]]\n[flags.off]\nurl = \"https://me:hunter2@flags.internal/off\"\n", 3, "a login does not belong into an address"),
        ("[[flags]]\n[flags.off]\nurl = \"https://flags.internal/#/off\"\n", 3, "leave it out"),
        ("[[flags]]\n[flags.off]\nurl = \"https://{name}.internal/off\"\n", 3, "a field can stand in the path or the query"),
        ("[[flags]]\n[flags.off]\nurl = \"{name}\"\n", 3, "no address"),
        ("[[flags]]\n[flags.off]\nurl = \"https://flags.internal/{nmae}\"\n", 3, "unknown field '{nmae}'; known here: {namespace}, {name}"),
        ("[[flags]]\n[flags.off]\nmethod = \"GET\"\nurl = \"https://a/\"\n", 3, "'GET' does not do here; write one of POST"),
        ("[[flags]]\n[flags.off]\nurl = \"https://a/\"\nbody = \"enabled=false\"\n", 4, "this is no JSON"),
        ("[[flags]]\n[flags.off]\nurl = \"https://a/\"\nbody = '{\"a\": {name}}'\n", 4, "a field stands within a text"),
        ("[[flags]]\n[flags.off]\nurl = \"https://a/\"\nbody = '{\"{name}\": 1}'\n", 4, "in a value, not in a name"),
        ("[[flags]]\n[flags.off]\nurl = \"https://a/\"\nbody = '{\"a\": \"{vrsion}\"}'\n", 4, "unknown field '{vrsion}'"),
        ("[[flags]]\n[flags.off]\nurl = \"https://a/\"\nexpect = { status = [404] }\n", 4, "from 200 to 299"),
        ("[[flags]]\n[flags.off]\nurl = \"https://a/\"\nexpect = { pointer = \"/a\" }\n", 4, "belong together"),
        ("[[flags]]\n[flags.off]\nurl = { env = \"A\", file = \"b\" }\n", 3, "one source"),
        ("[[flags]]\n[flags.read]\nurl = \"https://a/\"\n", 2, "a read-back needs `pointer`"),
        ("[[flags]]\n[flags.read]\nurl = \"https://a/\"\npointer = \"enabled\"\n", 4, "write a JSON pointer"),
        ("[[flags]]\n[flags.read]\nurl = \"https://a/\"\nbody = \"{}\"\n", 2, "a GET has no body"),
        ("[[flags]]\nheaders = { \"Con tent\" = \"x\" }\n", 2, "no name of a header"),
        ("[[flags]]\nheaders = { Host = \"x\" }\n", 2, "no name of a header that can be set"),
        ("[[flags]]\nheaders = { X = { vault = \"x\" } }\n", 2, "unknown setting 'vault'"),
        ("[[flags]]\nheaders = { X = 3 }\n", 2, "write printable text"),
        ("[[flags]]\nheaders = { Authorization = \"hunter2\" }\n", 2, "secret by its name: write where it is kept, { env = "),
    ] {
        let errors = load(text).unwrap_err();
        let here = errors.lines().any(|l| l.contains(&format!("config.toml:{line}:")) && l.contains(says));
        assert!(here && !errors.contains("hunter2"), "{text}line {line}: {says}\n{errors}");
    }
    let twice = written(OFF, READ, "") + &written(OFF, READ, "");
    assert!(load(&twice).unwrap_err().contains("stands twice"));
}

#[test]
fn plain_http_stays_on_this_machine_unless_it_is_said() {
    for host in ["127.0.0.1:8080", "localhost", "[::1]:9"] {
        assert_eq!(flags(&written(&format!("url = \"http://{host}/off\""), READ, "")).len(), 1, "{host}");
    }
    for host in ["localhost.evil.example", "127.0.0.1.nip.io", "10.0.0.1", "flags.svc"] {
        let text = |more: &str| written(&format!("url = \"http://{host}/off\""), READ, more);
        assert!(load(&text("")).is_err(), "{host}");
        assert_eq!(flags(&text("insecure = true")).len(), 1, "{host}");
    }
}

#[test]
fn the_settings_show_how_many_and_no_secret() {
    let text = written(OFF, READ, "headers = { X-Team = \"hunter2\" }");
    let config = load(&text).unwrap();
    assert!(config.effective().contains("flags = 1 of them") && !config.effective().contains("hunter2"));
    assert!(!format!("{config:?}").contains("hunter2"), "nor does a debugger's view");
}

/// A file of its own over the administrator's, and nothing of the user's in a session elsewhere.
#[test]
fn flags_travel_as_rules_do_and_stay_with_their_clusters() {
    let folder = tempfile::tempdir().unwrap();
    let ceiling = folder.path().join("ceiling.toml");
    std::fs::write(&ceiling, format!("{}[safety]\nread-only = true\n", written(OFF, READ, ""))).unwrap();
    let config = Config::load(&Sources { ceiling: Some(ceiling), ..Sources::default() }, |_| None).unwrap();
    let names = |config: &Config| config.settings("c", "", |_| None).flags.iter().map(|f| f.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&config), ["new-checkout"]);
    assert!(config.flag("safety.read-only"), "and then no session has hands to switch it");
    assert!(names(&config.elsewhere("demo", Vec::new()).unwrap()).is_empty());
    let policy = folder.path().join("policy.toml");
    std::fs::write(&policy, written(OFF, READ, "")).unwrap();
    let told = Config::load(&Sources { policy: Some(policy), ..Sources::default() }, |_| None).unwrap_err().to_string();
    assert!(told.contains("'flags' is no part of a policy"), "{told}");
}

#[test]
fn the_card_says_what_it_does_and_what_it_does_not() {
    let plan = plan(&written(OFF, READ, ""), &checkout());
    assert_eq!(plan.sentence, "Switches flag new-checkout off at flags.internal");
    assert_eq!(plan.intent, Intent::Kill { flag: "new-checkout".into() });
    assert!(plan.writes.is_empty(), "nothing in the cluster is written");
    assert_eq!((plan.expect.goal, plan.changes[0].to.as_str()), (Goal::FlagOff, "false"));
    assert!(plan.only_if[0].contains("still reads on"));
    assert!(plan.warnings.iter().any(|w| w.text.contains("moves no traffic")), "{:?}", plan.warnings);
    assert!(plan.warnings.iter().all(|w| w.severity < Severity::Danger), "the safe direction needs no override");
    assert_eq!(plan.danger, Danger::Grave, "nobody said how to switch it on again");
    let on = format!("{}[flags.on]\nmethod = \"PUT\"\nurl = \"https://flags.internal/on\"\n", written(OFF, READ, ""));
    let plan = self::plan(&on, &checkout());
    assert_eq!(plan.danger, Danger::Reversible);
    assert!(plan.back.contains("PUT to flags.internal"), "{}", plan.back);
}

#[test]
fn a_flag_is_there_where_it_belongs_and_nowhere_else() {
    let rollout = checkout();
    for (more, belongs) in [("engine = \"argo\"", true), ("engine = \"flagger\"", false)] {
        let flags = flags(&written(OFF, READ, more));
        assert_eq!(flag::of(&flags, &rollout).count() == 1, belongs, "{more}");
    }
    let elsewhere = written(OFF, READ, "").replace("shop/*", "pay/*");
    let refusal = flag::plan(&flags(&elsewhere), &rollout, "new-checkout", "").unwrap_err();
    assert_eq!(refusal.reason, "no flag in config belongs to this rollout: see [[flags]]");
    assert!(flag::plan(&flags(&written(OFF, READ, "")), &rollout, "other", "").is_err());
}

/// What comes from the cluster is text, wherever it stands.
#[test]
fn values_never_become_structure() {
    let off = "url = \"https://flags.internal/{namespace}/{version}?by={name}&why={reason}\"\nbody = '{\"why\": \"{reason}\", \"image\": \"{image}\"}'";
    let evil = "registry/app:v2/../../admin?x=1&y#z";
    let text = written(off, READ, "");
    let plan = plan(&text, &with_image(evil));
    let switch = plan.switch.unwrap();
    assert_eq!(
        url(&switch.off.target),
        "https://flags.internal/shop/6f9d8c42?by=checkout&why=ABORT%20advised%3A%20canary%20fails",
        "that image has no tag: its last part has no colon"
    );
    let body: Value = serde_json::from_str(switch.off.body.as_deref().unwrap()).unwrap();
    assert_eq!(body, json!({"why": "ABORT advised: canary fails", "image": evil}));

    let reason = "\", \"enabled\": true, \"x\": \"\\ {name} \u{e9}";
    let plan = flag::plan(&flags(&text), &with_image("app:v2"), "new-checkout", reason).unwrap();
    let switch = plan.switch.unwrap();
    let body: Value = serde_json::from_str(switch.off.body.as_deref().unwrap()).unwrap();
    assert_eq!(body, json!({"why": reason, "image": "app:v2"}), "and it is not filled in twice");
    let Target::Known(sent) = &switch.off.target else { panic!() };
    let pairs: Vec<(String, String)> = sent.query_pairs().map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
    assert_eq!(pairs, [("by".into(), "checkout".into()), ("why".into(), reason.into())]);
    assert_eq!(sent.path(), "/shop/v2");
}

#[test]
fn a_value_that_would_climb_the_path_is_refused() {
    let template = Template::parse("https://flags.internal/flags/{version}/off").unwrap();
    let with = |value: &'static str| flag::address(&template, |_| value.into());
    assert_eq!(with("a/b?c#d").unwrap().path(), "/flags/a%2Fb%3Fc%23d/off");
    for climbing in ["..", ".", "%2e%2e"] {
        let path = with(climbing).map(|url| url.path().to_owned());
        assert!(path.as_ref().is_err() || path.as_ref().is_ok_and(|p| p == "/flags/%252e%252e/off"), "{climbing}: {path:?}");
    }
    let refusal = flag::plan(&flags(&written("url = \"https://a/{version}\"", READ, "")), &with_image("app:.."), "new-checkout", "");
    assert!(refusal.unwrap_err().reason.contains("change the path"));
}

#[test]
fn a_missing_value_is_no_empty_path() {
    let mut bare = checkout();
    bare.tracks.iter_mut().for_each(|track| {
        track.images.clear();
        track.hash = Text::default();
    });
    let refusal = flag::plan(&flags(&written("url = \"https://a/{image}/off\"", READ, "")), &bare, "new-checkout", "").unwrap_err();
    assert_eq!(refusal.reason, "the flag's address needs the image, and this rollout has none");
}

#[test]
fn versions_are_tags_and_fields_are_documented() {
    let version = |image: &str| {
        let plan = plan(&written("url = \"https://a/{version}\"", READ, ""), &with_image(image));
        url(&plan.switch.unwrap().off.target)
    };
    assert_eq!(version("registry:5000/shop/app:v2@sha256:abc"), "https://a/v2");
    assert_eq!(version("app:1.2.3"), "https://a/1.2.3");
    let readme = include_str!("../../README.md");
    let example = fields::example();
    for (name, field) in Field::ALL {
        let word = format!("{{{name}}}");
        assert!(example.contains(&word) && readme.contains(&format!("`{word}`")), "{field:?} is not documented");
    }
}
