//! rolltop itself, as a test drives it: the built binary, a terminal, and a home of its own.

use std::time::Duration;

use rolltop::guard::{READING_TIME, REREADING_TIME};

use serde_json::Value;

use crate::cluster::{
    Identity, Rig,
    term::{Program, Term},
};

/// How long anything may take to show: the machine may be busy with the whole suite.
pub const PATIENCE: Duration = Duration::from_secs(25);

pub struct App {
    pub term: Term,
    home: tempfile::TempDir,
}

/// What to start, and how.
pub struct Start<'a> {
    pub rig: &'a Rig,
    pub who: Identity,
    pub namespace: &'a str,
    pub args: Vec<String>,
    pub size: (u16, u16),
    pub env: Vec<(&'static str, String)>,
    pub prometheus: bool,
}

impl<'a> Start<'a> {
    pub fn new(rig: &'a Rig, namespace: &'a str) -> Self {
        Self {
            rig,
            who: Identity::Oncall,
            namespace,
            args: vec!["-n".into(), namespace.into()],
            size: (120, 40),
            env: Vec::new(),
            prometheus: false,
        }
    }

    pub fn who(self, who: Identity) -> Self {
        Self { who, ..self }
    }

    pub fn size(self, columns: u16, rows: u16) -> Self {
        Self { size: (columns, rows), ..self }
    }

    /// Another command line in place of `-n NAMESPACE`.
    pub fn args<const N: usize>(self, args: [&str; N]) -> Self {
        Self { args: args.map(str::to_owned).into(), ..self }
    }

    pub fn measured(self) -> Self {
        Self { prometheus: true, ..self }
    }

    fn program(&self, home: &std::path::Path) -> Program {
        let mut program = Program::new(env!("CARGO_BIN_EXE_rolltop"))
            .size(self.size.0, self.size.1)
            .env("HOME", home)
            .env("KUBECONFIG", self.rig.kubeconfig(self.who, self.namespace))
            .env("ROLLTOP_PROMETHEUS_INTERVAL", "1s")
            .env("ROLLTOP_PROMETHEUS_WINDOW", "5s")
            .args(self.args.clone());
        if self.prometheus {
            program = program.env("ROLLTOP_PROMETHEUS_URL", self.rig.prometheus_url());
        }
        self.env.iter().fold(program, |program, (name, value)| program.env(name, value))
    }

    pub fn run(self) -> App {
        let home = tempfile::tempdir().unwrap();
        App { term: self.program(home.path()).start().unwrap(), home }
    }
}

impl App {
    /// Waits until all of these words are on the screen.
    #[track_caller]
    pub fn shows(&self, words: &[&str]) -> String {
        match self.term.wait_for(|screen| words.iter().all(|w| screen.contains(w)), PATIENCE) {
            Ok(screen) => screen,
            Err(screen) => panic!("never showed {words:?}; the screen was\n{screen}"),
        }
    }

    /// Waits until none of these words is on the screen.
    #[track_caller]
    pub fn loses(&self, words: &[&str]) -> String {
        match self.term.wait_for(|screen| !words.iter().any(|w| screen.contains(w)), PATIENCE) {
            Ok(screen) => screen,
            Err(screen) => panic!("kept showing one of {words:?}; the screen was\n{screen}"),
        }
    }

    pub fn press(&self, keys: &str) {
        self.term.send(keys);
    }

    /// Escape, and a moment: a terminal takes what follows at once for an Alt key.
    pub fn escape(&self) {
        self.press("\x1b");
        std::thread::sleep(Duration::from_millis(300));
    }

    /// Waits until the action's effect was seen and its tracker has left the screen.
    #[track_caller]
    pub fn done(&self) {
        self.loses(&[" on rig ─"]);
    }

    /// Answers an open card the way a person does: reads it, presses y, and once more if it was asked anew meanwhile.
    #[track_caller]
    pub fn confirm(&self) {
        self.shows(&["esc cancel"]);
        let until = std::time::Instant::now() + PATIENCE;
        // The card counts a key only once it could have been read; one that moved meanwhile takes longer, and each early key
        // begins the reading anew.
        let mut reading = READING_TIME + Duration::from_millis(400);
        while self.term.screen().contains("esc cancel") {
            assert!(std::time::Instant::now() < until, "the card takes no yes:\n{}", self.term.screen());
            std::thread::sleep(reading);
            self.press("y");
            std::thread::sleep(Duration::from_millis(300));
            reading = REREADING_TIME + Duration::from_millis(300);
        }
    }

    /// The journal's lines so far.
    pub fn journal(&self) -> Vec<Value> {
        let path = self.home.path().join(".local/state/rolltop/journal.jsonl");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn journaled(&self, event: &str) -> Vec<Value> {
        self.journal().into_iter().filter(|line| line["event"] == event).collect()
    }
}

/// Runs a headless command to its end.
pub fn headless(rig: &Rig, who: Identity, namespace: &str, args: &[&str]) -> std::process::Output {
    let home = tempfile::tempdir().unwrap();
    std::process::Command::new(env!("CARGO_BIN_EXE_rolltop"))
        .args(args)
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap_or_default())
        .env("HOME", home.path())
        .env("KUBECONFIG", rig.kubeconfig(who, namespace))
        .env("ROLLTOP_PROMETHEUS_URL", rig.prometheus_url())
        .env("ROLLTOP_PROMETHEUS_WINDOW", "5s")
        .output()
        .unwrap()
}
