//! Settings: every mistake at once, with its place; layers in order; the example agrees with the code.

use std::path::PathBuf;

use rolltop::config::{Config, Sources, defaults_are_valid, fields};
use rolltop::intent::Command;

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

pub fn load(text: &str) -> Result<Config, String> {
    let (_dir, path) = file(text);
    let sources = Sources { file: Some(path), named: true, ..Sources::default() };
    Config::load(&sources, |_| None).map_err(|m| m.to_string())
}

#[test]
fn the_example_is_what_the_code_prints() {
    let shipped = include_str!("../../config.example.toml");
    assert_eq!(shipped, fields::example(), "run: cargo run -- config --example > config.example.toml");
}

#[test]
fn the_example_loads_and_changes_nothing() {
    let example = load(&fields::example()).unwrap();
    let plain = Config::load(&Sources::default(), |_| None).unwrap();
    let values = |c: &Config| c.effective().lines().map(|l| l.split("  #").next().unwrap_or(l).to_owned()).collect::<Vec<_>>();
    assert_eq!(values(&example), values(&plain));
    assert!(defaults_are_valid());
}

/// With the comments taken away every line of the example must still be taken.
#[test]
fn every_commented_setting_of_the_example_is_valid() {
    let text: String = fields::example()
        .lines()
        .map(|l| l.strip_prefix("# ").filter(|l| l.contains(" = ") && !l.starts_with("Order")).unwrap_or(l))
        .filter(|l| !l.contains("name = [\"key\""))
        .map(|l| format!("{l}\n"))
        .collect();
    load(&text).unwrap();
}

#[test]
fn every_mistake_is_named_with_line_and_choices() {
    let text = "[prometheus]\nurl = 3\nintervall = \"5s\"\ninterval = \"soon\"\n[display]\ntheme = \"x\"\n[nowhere]\na = 1\n[keys]\nabort = [\"p\"]\nfoo = [\"x\"]\nflip = [\"yy\"]\nretry = [\"y\"]\n";
    let errors = load(text).unwrap_err();
    for (line, words) in [
        (2, "prometheus.url must be a text"),
        (3, "unknown setting 'prometheus.intervall'; known here: url, profile"),
        (4, "is not a duration"),
        (6, "is not one of default, high-contrast, mono"),
        (7, "unknown setting 'nowhere'"),
        (10, "'p' is bound to both promote and abort"),
        (11, "keys.foo: no such command"),
        (12, "'yy' is no key"),
        (13, "'y' answers action cards"),
    ] {
        assert!(errors.lines().any(|l| l.contains(&format!("config.toml:{line}:")) && l.contains(words)), "line {line}: {words}\n{errors}");
    }
    assert!(load("[keys]\nabort = [\"X\"]\nretry = 3\n").unwrap_err().contains("config.toml:3: keys.retry must be a text"));
}

#[test]
fn a_time_that_is_none_is_named_with_what_to_write() {
    let wrong = |value: &str| load(&format!("[safety]\narming = true\narmed-for = {value}\n")).unwrap_err();
    for value in ["1.5", "\"90\"", "2", "\"1,5 min\""] {
        let said = wrong(value);
        assert!(said.contains("config.toml:3: ") && said.contains("a duration in quotes with its unit"), "{value}: {said}");
    }
    for value in ["\"1.5m\"", "\"90s\"", "\"1m 30s\"", "\"0s\"", "\"5h\"", "\"60001ms\""] {
        let said = wrong(value);
        assert!(said.contains("config.toml:3: ") && said.contains("is not a whole number of minutes from 1m to 4h"), "{value}: {said}");
    }
    for value in ["\"1m\"", "\"120s\"", "\"4h\""] {
        load(&format!("[safety]\narmed-for = {value}\n")).unwrap();
    }
    let sources = Sources { flags: Vec::new(), ..Sources::default() };
    let said = Config::load(&sources, |name| (name == "ROLLTOP_SAFETY_ARMED_FOR").then(|| "90s".into())).unwrap_err().to_string();
    assert!(said.contains("ROLLTOP_SAFETY_ARMED_FOR"), "{said}");
}

#[test]
fn a_broken_file_says_where() {
    let errors = load("[display]\ntheme = \n").unwrap_err();
    assert!(errors.contains("config.toml:2:"), "{errors}");
}

#[test]
fn flags_win_over_variables_over_file_over_defaults() {
    let (_dir, path) = file("[prometheus]\ninterval = \"7s\"\ntimeout = \"7s\"\nwindow = \"7m\"\n");
    let flags = vec![("prometheus.window", "--window", "9m".to_owned())];
    let sources = Sources { file: Some(path), named: true, flags, ..Sources::default() };
    let variable = |name: &str| matches!(name, "ROLLTOP_PROMETHEUS_TIMEOUT" | "ROLLTOP_PROMETHEUS_WINDOW").then(|| "8s".to_owned());
    let config = Config::load(&sources, variable).unwrap();
    let seconds = |path| config.duration(path).as_secs();
    assert_eq!((seconds("prometheus.interval"), seconds("prometheus.timeout"), seconds("prometheus.window")), (7, 8, 540));
    assert_eq!(config.duration("cluster.timeout").as_secs(), 10);
    assert!(config.effective().contains("# $ROLLTOP_PROMETHEUS_TIMEOUT"), "{}", config.effective());
}

#[test]
fn a_policy_judges_and_chooses_no_cluster() {
    let load = |text: &str| {
        let (_held, policy) = file(text);
        let sources = Sources { policy: Some(policy), ..Sources::default() };
        Config::load(&sources, |_| None).map(|config| (config.flag("verdict.test"), config.rules.len())).map_err(|m| m.to_string())
    };
    assert_eq!(load("[verdict]\ntest = false\n[[rules]]\nwhen = \"errors > 5 %\"\n"), Ok((false, 1)));
    let told = load("[verdict]\ntest = false\n[cluster]\ncontext = \"other\"\n").unwrap_err();
    assert!(told.contains(":4: 'cluster.context' is no part of a policy"), "{told}");
    assert!(load("[prometheus]\nurl = \"http://elsewhere\"\n").is_err() && load("[safety]\nread-only = false\n").is_err());
}

#[test]
fn nobody_raises_the_ceiling() {
    let (_a, ceiling) = file("[safety]\nread-only = true\nprotected-contexts = [\"prod*\"]\n");
    let (_b, own) = file("[safety]\nread-only = false\nprotected-contexts = [\"mine\"]\n");
    let flags = vec![("safety.read-only", "--read-only", "false".to_owned())];
    let sources = Sources { ceiling: Some(ceiling), file: Some(own), named: true, policy: None, flags };
    let config = Config::load(&sources, |name| (name == "ROLLTOP_SAFETY_READ_ONLY").then(|| "false".to_owned())).unwrap();
    assert!(config.flag("safety.read-only"));
    assert!(
        config.protects("prod-eu", "")
            && config.protects("mine", "")
            && !config.protects("test", "https://test")
            && config.protects("renamed", "prod-eu.example:6443/")
    );
}

/// A machine goes on only where somebody wrote so in these words, and an administrator's no, or slower, is the last word.
#[test]
fn promotion_by_policy_is_off_until_it_is_said_in_words() {
    let after = |config: &Config| config.promotion().map(|policy| policy.after.as_secs());
    assert_eq!(after(&load("").unwrap()), None);
    assert_eq!(after(&load("[verdict]\npromote-after = \"1s\"\n").unwrap()), None);
    for words in ["true", "\"always\"", "\"yes\""] {
        let mistakes = load(&format!("[verdict]\npromote = {words}\n")).unwrap_err().to_string();
        assert!(mistakes.contains("verdict.promote"), "{mistakes}");
    }
    let allowed = "[verdict]\npromote = \"when as good as the old side\"\n";
    let config = load(allowed).unwrap();
    assert_eq!(after(&config), Some(120));
    // The screen never does, whatever the settings say.
    assert_eq!(config.settings("prod", "", |_| None).promote, None);

    let under = |ceiling: &str, own: &str| {
        let ((_a, ceiling), (_b, own)) = (file(ceiling), file(&format!("{allowed}{own}")));
        let sources = Sources { ceiling: Some(ceiling), policy: Some(own), ..Sources::default() };
        after(&Config::load(&sources, |_| None).unwrap())
    };
    assert_eq!(under("[verdict]\npromote = \"never\"\n", ""), None);
    assert_eq!(under("[verdict]\npromote-after = \"10m\"\n", "promote-after = \"5s\"\n"), Some(600));
    assert_eq!(under("[verdict]\npromote-after = \"10s\"\n", "promote-after = \"5m\"\n"), Some(300));
}

#[test]
fn a_key_can_be_moved_and_only_that_one_moves() {
    let config = load("[keys]\nabort = [\"X\", \"f9\"]\n").unwrap();
    assert!(matches!(config.keys.get("X"), Some(Command::Act(rolltop::intent::Verb::Abort))));
    assert!(!config.keys.contains_key("a"));
    assert!(matches!(config.keys.get("p"), Some(Command::Act(rolltop::intent::Verb::Promote))));
}

/// A demo must look as the user likes it, and neither reach nor tell the user's clusters anything.
#[test]
fn a_session_elsewhere_takes_looks_and_locks_and_leaves_addresses() {
    let (_dir, path) = file(
        "[cluster]\ncontext = \"prod\"\nnamespace = \"pay\"\n[prometheus]\nurl = \"https://prom.corp\"\nprofile = \"istio\"\n\
         [prometheus.headers]\nX-Scope-OrgID = \"hunter2\"\n[safety]\nread-only = true\njournal = \"/var/audit\"\n\
         [display]\ntheme = \"mono\"\n[keys]\nabort = [\"X\"]\n[freshness]\nkubernetes = \"5s\"\n",
    );
    let flags = vec![("cluster.namespace", "--namespace", "shop".to_owned())];
    let config = Config::load(&Sources { file: Some(path), named: true, flags, ..Sources::default() }, |_| None).unwrap();
    let values = vec![("prometheus.url", "http://127.0.0.1:1".to_owned()), ("freshness.kubernetes", "2m".to_owned())];
    let there = config.elsewhere("demo", values).unwrap();
    assert_eq!((there.text("cluster.context"), there.text("cluster.namespace")), (None, Some("shop")));
    assert_eq!((there.text("prometheus.url"), there.text("prometheus.profile")), (Some("http://127.0.0.1:1"), Some("auto")));
    assert!(there.table("prometheus.headers").is_empty() && there.text("safety.journal").is_none());
    assert!(there.flag("safety.read-only") && there.text("display.theme") == Some("mono") && there.keys.contains_key("X"));
    assert_eq!(there.duration("freshness.kubernetes").as_secs(), 120);
    assert!(there.effective().contains("prometheus.url = \"http://127.0.0.1:1\"  # demo"), "{}", there.effective());
    assert!(config.elsewhere("demo", vec![("freshness.kubernetes", "soon".to_owned())]).is_err());
}

#[test]
fn secrets_never_show() {
    let config = load("[prometheus.headers]\nX-Scope-OrgID = \"hunter2\"\n").unwrap();
    assert!(!config.effective().contains("hunter2"));
    assert!(config.effective().contains("prometheus.headers = (hidden)"));
}

#[test]
fn a_secret_header_says_where_it_is_kept() {
    for (text, line) in [
        ("[prometheus]\nheaders = { Authorization = \"Bearer hunter2\" }\n", 2),
        ("[prometheus.headers]\nX-Scope-OrgID = \"a\"\nx-api-key = \"hunter2\"\n", 3),
        ("[prometheus.headers]\nCookie = [\"hunter2\"]\n", 2),
    ] {
        let errors = load(text).unwrap_err();
        let named = errors.contains(&format!("config.toml:{line}: prometheus.headers.")) && errors.contains("is a secret by its name");
        assert!(named && errors.contains("{ env = ") && !errors.contains("hunter2"), "{errors}");
    }
    let text = "[prometheus]\nurl = \"http://p\"\n[prometheus.headers]\nX-Scope-OrgID = \"a\"\nAuthorization = { env = \"T\", prefix = \"Bearer \" }\n";
    let settings = rolltop::config::sampler::settings(&load(text).unwrap()).unwrap().unwrap();
    assert_eq!(settings.headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["X-Scope-OrgID"]);
    assert_eq!(settings.secret_headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["Authorization"]);
}

/// What is wrong with Prometheus is named as the settings name it, at its place.
#[test]
fn problems_of_prometheus_use_the_names_of_the_settings() {
    use rolltop::config::sampler;
    let url = "url = \"http://p\"\n";
    for (line, text) in [
        (2, "url = \"http://me:hunter2@p:9090\"\n".to_owned()),
        (3, format!("{url}username = \"me\"\n")),
        (5, format!("{url}username = \"me\"\npassword-file = \"p\"\nbearer-token-file = \"t\"\n")),
        (3, format!("{url}cert-file = \"c\"\n")),
        (4, format!("{url}ca-file = \"c\"\ninsecure = true\n")),
        (3, format!("{url}interval = \"1ms\"\n")),
        (3, format!("{url}profile = \"custom\"\n[prometheus.custom]\nrate = \"r\"\nerrors = \"e\"\nerror-share = \"s\"\n")),
    ] {
        let config = load(&format!("[prometheus]\n{text}")).unwrap();
        let problem = sampler::settings(&config).unwrap_err();
        assert!(fields::find(&format!("prometheus.{}", problem.field)).is_some(), "{problem}");
        let said = sampler::mistake(&config, &problem).to_string();
        assert!(said.contains(&format!("config.toml:{line}: prometheus.{}: ", problem.field)), "line {line}: {said}");
        let words = said.split(|c: char| !(c.is_ascii_lowercase() || "-_".contains(c)));
        for word in words.filter(|word| word.contains('_') || word.ends_with("-file") || word.starts_with("user")) {
            let known = word == "user" || fields::find(&format!("prometheus.{word}")).is_some();
            assert!(known, "'{word}' is no setting: {said}");
        }
        assert!(!said.contains("hunter2"));
    }
    // The same for what is only said of a running server.
    for source in [include_str!("../../src/prometheus/settings.rs"), include_str!("../../src/prometheus/client.rs")] {
        let source = source.split("#[cfg(test)]").next().unwrap();
        let texts = source.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| line.split('"').skip(1).step_by(2));
        for text in texts {
            let odd = text.split_whitespace().find(|word| word.contains("_file") || word.contains("basic_"));
            assert_eq!(odd, None, "{text}");
        }
    }
}
