//! The command line. After parsing nothing is ambiguous: flags become settings, the rest one [`Command`].

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::{headless::watchman::Goal, session::EVERYWHERE};

#[derive(Debug, Parser)]
#[command(
    name = "rolltop",
    version,
    about = "top for rollouts: see every release that moves in a cluster, and steer it safely",
    after_help = "Keys: ? in the program lists them. Settings: rolltop config --example.",
    subcommand_negates_reqs = true,
    args_conflicts_with_subcommands = false
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,

    /// Open this rollout at once; a bare name is looked for in the current namespace, with -A in all of them.
    #[arg(value_name = "[NS/]NAME", value_parser = named)]
    pub rollout: Option<String>,

    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// The same screen, built without the ability to write.
    Watch {
        /// This rollout alone; a bare name is looked for in the current namespace, with -A in all of them.
        #[arg(value_name = "[NS/]NAME", value_parser = named)]
        rollout: Option<String>,
        /// No screen: one JSON object per line and change.
        #[arg(long)]
        json: bool,
    },
    /// One look: a table, JSON, or a line for a prompt. The exit code tells the phase.
    #[command(
        after_help = "Exit codes: 0 healthy, 10 progressing, 11 waits for a human, 12 failing, aborted or stuck, 13 unknown, or no such rollout or namespace, 2 usage, 3 cannot reach, 4 not allowed."
    )]
    Status {
        /// This rollout alone; a bare name is looked for in the current namespace, with -A in all of them.
        #[arg(value_name = "[NS/]NAME", value_parser = named)]
        rollout: Option<String>,
        /// A JSON array, one object per rollout.
        #[arg(long, conflicts_with = "line")]
        json: bool,
        /// One line, for a shell prompt or tmux.
        #[arg(long)]
        line: bool,
    },
    /// Supervise one release for a pipeline: a line for each change, and an exit code. Nothing is written, unless --execute lets it abort.
    #[command(
        after_help = "Exit codes: 0 done, 12 failed, aborted, or an abort is advised, 13 gone or unknown, 14 out of time, 15 cannot be armed, 17 an abort that is not known to have worked, 2 usage, 3 cannot reach, 4 not allowed, 143 asked to end."
    )]
    Guard(Guard),
    /// Wait for a release to come so far. Nothing is written. One that has failed already has a minute to begin anew.
    #[command(
        after_help = "Exit codes: 0 it is so, 12 failed or aborted instead, 13 gone or unknown, 14 out of time, 2 usage, 3 cannot reach, 4 not allowed, 143 asked to end."
    )]
    Wait(Wait),
    /// An embedded cluster with releases to steer; nothing needs to be installed.
    #[command(
        after_help = "What you do in a demo is journaled beside its kubeconfig and goes with it: your own journal is about real clusters. \
                      You are on call there, as assets/rbac has it."
    )]
    Demo(Demo),
    /// Whom rolltop tells what, and how each channel fares.
    #[command(
        after_help = "Exit codes of `notify test`: 0 the server took it, 2 no such channel or no secret, 3 it cannot be reached or puts us off, 4 refused."
    )]
    Notify {
        #[command(subcommand)]
        what: Option<Notify>,
    },
    /// The settings in force, each with its origin.
    Config {
        /// Print config.example.toml instead.
        #[arg(long)]
        example: bool,
    },
    /// A script that lets a shell complete commands and flags: source <(rolltop completions bash).
    Completions { shell: clap_complete::Shell },
}

#[derive(Debug, Clone, Subcommand)]
pub enum Notify {
    /// Send one marked message, and print what the server says.
    Test {
        /// Its name in the settings.
        channel: String,
    },
}

impl Cli {
    /// Settings that this command brings along.
    pub fn policy(&self) -> Option<&Path> {
        match &self.command {
            Some(Command::Guard(guard)) => guard.policy.as_deref(),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Args)]
pub struct Guard {
    /// The rollout; a bare name is looked for in the current namespace, with -A in all of them.
    #[arg(value_name = "[NS/]NAME", value_parser = named)]
    pub rollout: String,
    /// Settings with [verdict] and [[rules]] of this release, over those of the settings file.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Arm the guard: as soon as an abort is advised it is done, once. Without this it only says so.
    #[arg(long)]
    pub execute: bool,
    /// With --execute: switch this feature flag off instead ([[flags]] in the settings); the release goes on.
    #[arg(long, value_name = "NAME", requires = "execute")]
    pub kill_flag: Option<String>,
    /// How long at most.
    #[arg(long = "for", value_name = "TIME", default_value = "30m", value_parser = time)]
    pub span: Duration,
    /// A report of `status --json` a line, instead of words.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub struct Wait {
    /// The rollout; a bare name is looked for in the current namespace, with -A in all of them.
    #[arg(value_name = "[NS/]NAME", value_parser = named)]
    pub rollout: String,
    /// healthy, paused, step=N or aborted
    #[arg(long = "for", value_name = "WHAT", default_value = "healthy")]
    pub goal: Goal,
    /// How long at most.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = time)]
    pub timeout: Duration,
}

#[derive(Debug, Clone, Args)]
pub struct Demo {
    /// One of --list, a file of your own, or `drill`: a random incident, and a report of how it went.
    #[arg(value_name = "SCENARIO|FILE", default_value = "checkout")]
    pub scenario: String,
    /// Which scenarios there are, and what they show.
    #[arg(long)]
    pub list: bool,
    /// Print the default scenario, whose head documents the format.
    #[arg(long, conflicts_with = "list")]
    pub example: bool,
    /// How many times as fast as life.
    #[arg(long, value_name = "N", default_value = "1", value_parser = speed)]
    pub speed: f64,
    /// The same seed plays the same; without one a drill takes a new one each time.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Build this session without the ability to write.
    #[arg(long)]
    pub watch: bool,
    /// No screen: print KUBECONFIG=… and PROMETHEUS_URL=…, and serve until Ctrl-C.
    #[arg(long, conflicts_with = "watch")]
    pub serve: bool,
    /// Port of the API server on 127.0.0.1; without it any free one.
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// The report of a drill as JSON.
    #[arg(long, conflicts_with = "serve")]
    pub json: bool,
}

/// A name as Kubernetes has them, with or without its namespace.
fn named(text: &str) -> Result<String, String> {
    let is_name = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c));
    let fits = text.split('/').count() <= 2 && text.split('/').all(is_name);
    if fits { Ok(text.to_owned()) } else { Err("write NAME or NAMESPACE/NAME".into()) }
}

fn time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "write a time with its unit, such as 90s, 30m or 1h 30m".into())
}

/// Words that other tools have as commands, and this one has not.
const NO_COMMANDS: [&str; 18] = [
    "abort", "describe", "doctor", "get", "journal", "list", "logs", "ls", "man", "pause", "promote", "replay", "report", "restart",
    "resume", "rollback", "undo", "version",
];

/// What to say of a bare name that no rollout has and that looks like a command: there is none of that name.
pub fn mistyped(named: &str) -> Option<String> {
    let command = Cli::command();
    let near =
        command.get_subcommands().map(clap::Command::get_name).find(|known| distance(known, named) <= 1 + usize::from(known.len() > 5));
    match near {
        Some(known) => Some(format!("there is no command '{named}'; did you mean {known}?")),
        None if NO_COMMANDS.contains(&named) => Some(format!("there is no command '{named}', see rolltop --help")),
        None => None,
    }
}

/// How many letters are to be put in, taken out or changed to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.iter().enumerate() {
            let cost = (corner + usize::from(a != *b)).min(row[j] + 1).min(row[j + 1] + 1);
            corner = std::mem::replace(&mut row[j + 1], cost);
        }
    }
    row[other.len()]
}

/// That no rollout has the name, and where else to look.
pub fn missing(named: &str, scope: &str) -> String {
    let elsewhere = if named.contains('/') || scope == EVERYWHERE { "" } else { "; give NAMESPACE/NAME, or -A to look in all namespaces" };
    let mistyped = mistyped(named).map(|words| format!("; {words}")).unwrap_or_default();
    format!("no rollout {named} in {scope}{elsewhere}{mistyped}")
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "is no number".to_owned())?;
    if (0.1..=1_000.0).contains(&speed) { Ok(speed) } else { Err("must be from 0.1 to 1000".into()) }
}

#[derive(Debug, Default, Clone, Args)]
pub struct Global {
    /// Kubeconfig context
    #[arg(long, global = true)]
    pub context: Option<String>,
    /// Namespace to show
    #[arg(long, short, global = true)]
    pub namespace: Option<String>,
    /// Show all namespaces
    #[arg(long, short = 'A', global = true, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// Kubeconfig file
    #[arg(long, global = true)]
    pub kubeconfig: Option<PathBuf>,
    /// Prometheus address, or k8s:namespace/service:port
    #[arg(long, global = true, value_name = "URL")]
    pub prometheus: Option<String>,
    /// Settings file
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Build this session without the ability to write
    #[arg(long, global = true)]
    pub read_only: bool,
    /// Theme: default, high-contrast, mono
    #[arg(long, global = true)]
    pub theme: Option<String>,
    /// Only ASCII glyphs
    #[arg(long, global = true)]
    pub ascii: bool,
    /// Leave the mouse to the terminal
    #[arg(long, global = true)]
    pub no_mouse: bool,
    /// Tell no channel of [[notify]] anything
    #[arg(long, global = true)]
    pub no_notify: bool,
    /// Log level: error, warn, info, debug
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log_level: Option<String>,
}

impl Global {
    /// The flags as settings: path, flag, value.
    pub fn settings(&self) -> Vec<(&'static str, &'static str, String)> {
        let text = |path, flag, value: &Option<String>| value.clone().map(|v| (path, flag, v));
        let switch = |path, flag, on: bool, value: &str| on.then(|| (path, flag, value.to_owned()));
        let kubeconfig = self.kubeconfig.as_ref().map(|p| p.display().to_string());
        [
            text("cluster.context", "--context", &self.context),
            text("cluster.namespace", "--namespace", &self.namespace),
            switch("cluster.all-namespaces", "--all-namespaces", self.all_namespaces, "true"),
            // The flag wins over a namespace from a file: an empty name is none.
            switch("cluster.namespace", "--all-namespaces", self.all_namespaces, ""),
            text("cluster.kubeconfig", "--kubeconfig", &kubeconfig),
            text("prometheus.url", "--prometheus", &self.prometheus),
            switch("safety.read-only", "--read-only", self.read_only, "true"),
            text("display.theme", "--theme", &self.theme),
            switch("display.ascii", "--ascii", self.ascii, "yes"),
            switch("display.mouse", "--no-mouse", self.no_mouse, "false"),
            switch("notify", "--no-notify", self.no_notify, "none"),
            text("log.level", "--log-level", &self.log_level),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}
