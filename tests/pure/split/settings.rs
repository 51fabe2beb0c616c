//! The phases as the settings give them.

use std::time::Duration;

use rolltop::{
    config::{Config, Sources},
    settings::{Conventions, Stage},
};

fn load(text: &str) -> Result<Conventions, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    let sources = Sources { file: Some(path), named: true, ..Sources::default() };
    Config::load(&sources, |_| None).map(|c| (*c.conventions).clone()).map_err(|m| m.to_string())
}

#[test]
fn the_defaults_are_the_usual_ones() {
    assert_eq!(load("").unwrap(), Conventions::default());
    let config = Config::load(&Sources::default(), |_| None).unwrap();
    assert_eq!(*config.settings("rig", "", |_| None).conventions, Conventions::default());
}

#[test]
fn phases_are_read_and_the_nearest_pattern_counts() {
    let text = "[stepper]\nphases = [\"10% 90s\", \"100 %\"]\n[stepper.rollouts]\n\"shop/*\" = \"50% 1h 30m\"\n\"shop/web\" = []\n";
    let read = load(text).unwrap();
    let stage = |percent, seconds: u64| Stage { percent, hold: (seconds > 0).then(|| Duration::from_secs(seconds)) };
    assert_eq!(read.phases("other", "web"), [stage(10, 90), stage(100, 0)]);
    assert_eq!(read.phases("shop", "api"), [stage(50, 5400)]);
    assert_eq!(read.phases("shop", "web"), []);
}

#[test]
fn every_mistake_has_its_place() {
    let text = "[stepper]\nphases = [\"x\", \"50% soon\", \"0%\", \"101%\", \"50%\", \"50%\"]\n[stepper.rollouts]\n\"a/b\" = \"-5%\"\n";
    let errors = load(text).unwrap_err();
    for bad in ["'x'", "'50% soon'", "'0%'", "'101%'"] {
        assert!(
            errors.lines().any(|l| l.contains("config.toml:2:") && l.contains(&format!("stepper.phases: {bad} is no phase"))),
            "{bad}\n{errors}"
        );
    }
    assert!(errors.contains("stepper.phases: '50%' does not go further than the phase before it"), "{errors}");
    assert!(errors.contains("stepper.rollouts.\"a/b\": '-5%' is no phase"), "{errors}");
}
