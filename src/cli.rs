//! The command line. After parsing nothing is ambiguous: flags become settings, the rest one [`Command`].

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

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

    /// Open this rollout at once.
    #[arg(value_name = "[NS/]NAME")]
    pub rollout: Option<String>,

    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// The same screen, built without the ability to write.
    Watch {
        #[arg(value_name = "[NS/]NAME")]
        rollout: Option<String>,
        /// No screen: one JSON object per line and change.
        #[arg(long)]
        json: bool,
    },
    /// One look: a table, JSON, or a line for a prompt. The exit code tells the state.
    #[command(
        after_help = "Exit codes: 0 healthy, 10 progressing, 11 waits for a human, 12 failing or aborted, 13 unknown or stale, 2 usage, 3 cannot reach, 4 not allowed."
    )]
    Status {
        #[arg(value_name = "[NS/]NAME")]
        rollout: Option<String>,
        /// A JSON array, one object per rollout.
        #[arg(long, conflicts_with = "line")]
        json: bool,
        /// One line, for a shell prompt or tmux.
        #[arg(long)]
        line: bool,
    },
    /// The settings in force, each with its origin.
    Config {
        /// Print config.example.toml instead.
        #[arg(long)]
        example: bool,
    },
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
            text("log.level", "--log-level", &self.log_level),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}
