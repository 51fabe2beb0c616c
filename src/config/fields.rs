//! Every setting there is, as a table: the loader, the environment, `config.example.toml` and
//! `rolltop config` are all read from it.

use crate::guard::promotion;

/// What a value may look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// A file; `~/` is the home folder.
    Path,
    Bool,
    /// `500ms`, `5s`, `2m`.
    Duration,
    Choice(&'static [&'static str]),
    /// A list of texts.
    List,
    /// Names and texts, a table in TOML.
    Table,
    /// Guard rules, an array of tables in TOML.
    Rules,
    /// Feature flags, an array of tables in TOML.
    Flags,
    /// Whom to tell, an array of tables in TOML.
    Channels,
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// `section.name`.
    pub path: &'static str,
    pub kind: Kind,
    /// The default as TOML; empty when there is none.
    pub default: &'static str,
    /// An example for `config.example.toml` where there is no default.
    pub example: &'static str,
    pub help: &'static str,
    /// Never shown: a value or a header that may carry credentials.
    pub secret: bool,
}

const fn field(path: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Field {
    Field { path, kind, default, example: "", help, secret: false }
}

const fn unset(path: &'static str, kind: Kind, example: &'static str, help: &'static str) -> Field {
    Field { path, kind, default: "", example, help, secret: false }
}

/// Sections in the order of the example file, with what they are about.
pub const SECTIONS: &[(&str, &str)] = &[
    ("cluster", "Which cluster and what of it. Defaults come from the kubeconfig."),
    ("prometheus", "Where error rates and latencies come from. Without a url the panes say so."),
    (
        "prometheus.headers",
        "Extra headers, such as a tenant. Values are never shown or logged; a secret is { env }, { file } or { command }, with an optional prefix.",
    ),
    ("prometheus.custom", "Queries of the profile `custom`; see the README for the placeholders."),
    ("freshness", "When evidence is too old to act on without an override."),
    ("safety", "What may be written to, and how hard it is to say yes."),
    ("verdict", "What advises to abort, to hold or to go. Without more it is the test of both sides' requests alone."),
    (
        "rules",
        "Guard rules besides the test: an array of tables. They can note, hold and abort, never go. Those of another file, such as\n# a policy, come on top; one with the same name (or without one, the same `when`) takes the place of that here.",
    ),
    ("flags", "Feature flags that can be switched off from a rollout's screen: an array of tables, see the README."),
    ("notify", "Whom to tell what, besides this screen: an array of tables, tried in this order. ROLLTOP_NOTIFY=none tells nobody."),
    ("stepper", "Phases of a release that no controller drives: promote goes to the next one, never by itself."),
    ("stepper.rollouts", "Other phases for some: patterns of namespace/name with their phases, * as wildcard."),
    ("display", "How the screen looks."),
    ("keys", "Other keys for a command: name = [\"key\", …]. `?` in the program lists names and keys."),
    ("log", "The log file; nothing is ever logged to the screen."),
];

/// Two rules that use every setting there is.
const RULES: &str = r#"[[rules]]
preset = "baseline"

[[rules]]
# errors, p50, p95, p99, rate, ready, a series of [prometheus.custom] or analysis.NAME; > >= < <= or unlike;
# a number with its unit, or so many times what the stable side does, or did at the start
when = "p99 > 3x stable"
name = "answers too late"
# without a break, and from so many requests of the new side on
for = "2m"
requests = 500
# or: a check every so often, and so many failed ones in all
# every = "1m"
# times = 5
# as Argo Rollouts counts: what a good value is (one that neither passes nor fails is inconclusive), and how many
# inconclusive checks, and checks in a row without a value, are accepted; one more holds
# passes = "p99 < 1 s"
# inconclusive-limit = 0
# consecutive-error-limit = 4
# info, warning (the default), critical
severity = "critical"
# note (the default), hold, abort
effect = "abort"
# namespace/name, * as wildcard; labels of the rollout as kubectl takes them
only = ["shop/*", "pay/*"]
labels = "team=pay, tier!=batch"
# when it works, by an IANA zone (UTC if none is named)
hours = "08:00-18:00"
days = "mon-fri"
zone = "Europe/Berlin""#;

/// One flag of each kind of server that people have, by every setting there is.
const FLAGS: &str = r##"# Unleash: the token needs the right to update this environment.
[[flags]]
name = "new-checkout"
# namespace/name, * as wildcard; `engine` narrows it to one kind of rollout
rollouts = ["shop/checkout", "shop/checkout-*"]
engine = "argo"
# of all three requests; a secret is { env }, { file } or { command }, with an optional prefix
headers = { Authorization = { env = "UNLEASH_TOKEN" } }
# an answer that takes longer is none, and nothing is sent twice
timeout = "10s"
# authorities to trust instead of the system's
# ca-file = "/etc/ssl/corp-ca.pem"
# {namespace}, {name}, {image}, {version} and {reason} may stand in a path, a query, or a text of a body
[flags.off]
method = "POST"
url = "https://unleash.example.com/api/admin/projects/shop/features/new-checkout/environments/production/off"
# any 2xx, unless it is said otherwise; also: pointer = "/status", value = "done"
expect = { status = [200] }
# the flag counts as off when the answer has this value at this JSON pointer
[flags.read]
url = "https://unleash.example.com/api/admin/projects/shop/features/new-checkout/environments/production"
pointer = "/enabled"
off = false
# the way back, as the card tells it; rolltop never sends it
[flags.on]
url = "https://unleash.example.com/api/admin/projects/shop/features/new-checkout/environments/production/on"

# LaunchDarkly: a semantic patch.
[[flags]]
name = "new-search"
rollouts = "shop/search"
headers = { Authorization = { file = "~/.config/rolltop/launchdarkly-token" } }
[flags.off]
method = "PATCH"
url = "https://app.launchdarkly.com/api/v2/flags/shop/new-search"
headers = { Content-Type = "application/json; domain-model=launchdarkly.semanticpatch" }
body = """{"environmentKey": "production", "instructions": [{"kind": "turnFlagOff"}], "comment": "{namespace}/{name} {version}: {reason}"}"""
expect = { pointer = "/environments/production/on", value = false }
[flags.read]
url = "https://app.launchdarkly.com/api/v2/flags/shop/new-search?env=production"
pointer = "/environments/production/on"
off = false

# OpenFeature flagd takes no writes: it is switched off where it reads its flags from, here a small server that keeps its
# file, and asked for what users get. Off is the default variant "off"; a flag in state DISABLED answers 404, which says nothing.
[[flags]]
name = "new-basket"
rollouts = "shop/basket"
insecure = true
[flags.off]
method = "PUT"
url = "http://flag-source.flags.svc:8080/flags/new-basket/defaultVariant"
body = """{"defaultVariant": "off", "by": "{namespace}/{name}"}"""
[flags.read]
method = "POST"
url = "http://flagd.flags.svc:8016/ofrep/v1/evaluate/flags/new-basket"
body = """{"context": {}}"""
pointer = "/value"
off = false

# Any server with a switch.
[[flags]]
name = "new-mail"
rollouts = "shop/mail*"
headers = { Authorization = { command = ["pass", "show", "flags/token"], prefix = "Bearer " } }
off = { method = "PUT", url = "https://flags.internal/v1/flags/new-mail?by={name}", body = """{"enabled": false}""" }
read = { url = "https://flags.internal/v1/flags/new-mail", pointer = "/enabled", off = false }
on = { method = "PUT", url = "https://flags.internal/v1/flags/new-mail", body = """{"enabled": true}""" }"##;

pub const FIELDS: &[Field] = &[
    unset("cluster.kubeconfig", Kind::Path, "\"~/.kube/config\"", "kubeconfig file, instead of $KUBECONFIG"),
    unset("cluster.context", Kind::Text, "\"prod-eu\"", "kubeconfig context, instead of the current one"),
    unset("cluster.namespace", Kind::Text, "\"shop\"", "namespace to show"),
    field("cluster.all-namespaces", Kind::Bool, "true", "show all namespaces unless one is named"),
    field("cluster.timeout", Kind::Duration, "\"10s\"", "how long a single request, or a credential plugin, may take"),
    unset(
        "prometheus.url",
        Kind::Text,
        "\"http://prometheus.monitoring:9090\"",
        "address with any path prefix, or k8s:namespace/service:port to go through the API server",
    ),
    field("prometheus.profile", Kind::Choice(&["auto", "istio", "ingress-nginx", "custom"]), "\"auto\"", "whose metric names to ask for"),
    field("prometheus.interval", Kind::Duration, "\"5s\"", "time between two refreshes"),
    field("prometheus.window", Kind::Duration, "\"1m\"", "window of rate(); at least four scrape intervals"),
    field("prometheus.timeout", Kind::Duration, "\"5s\"", "how long a query may take"),
    unset("prometheus.bearer-token-file", Kind::Path, "\"/run/secrets/prometheus-token\"", "token file, read again when it changes"),
    unset("prometheus.username", Kind::Text, "\"rolltop\"", "user for basic authentication"),
    unset("prometheus.password-file", Kind::Path, "\"~/.config/rolltop/password\"", "password file for basic authentication"),
    unset("prometheus.ca-file", Kind::Path, "\"/etc/ssl/corp-ca.pem\"", "certificate authority to trust, PEM"),
    unset("prometheus.cert-file", Kind::Path, "\"client.pem\"", "client certificate for mTLS, PEM"),
    unset("prometheus.key-file", Kind::Path, "\"client-key.pem\"", "its private key, PEM"),
    field("prometheus.insecure", Kind::Bool, "false", "accept any certificate of Prometheus"),
    Field { secret: true, ..unset("prometheus.headers", Kind::Table, "X-Scope-OrgID = \"team-shop\"", "extra request headers") },
    unset(
        "prometheus.custom",
        Kind::Table,
        "rate = 'sum by (namespace, service) (rate(http_requests_total[{window}]))'",
        "rate, errors or error-share, p50, p95, p99, latency-unit, *-label; any other name is a series to show",
    ),
    field("freshness.kubernetes", Kind::Duration, "\"30s\"", "age from which the API server's word is stale"),
    field("freshness.prometheus", Kind::Duration, "\"30s\"", "age from which Prometheus' word is stale"),
    field("safety.read-only", Kind::Bool, "false", "build every session without the ability to write"),
    field(
        "safety.protected-contexts",
        Kind::List,
        "[]",
        "contexts, or server addresses (a context can be renamed), * as wildcard, in which an action asks for the rollout's name",
    ),
    field("safety.arming", Kind::Bool, "true", "whether a person may arm the guard, so that it aborts by itself; false: it advises only"),
    field("safety.armed-for", Kind::Duration, "\"30m\"", "for how long, unless another time is said; whole minutes, four hours at most"),
    unset(
        "safety.journal",
        Kind::Path,
        "\"~/.local/state/rolltop/journal.jsonl\"",
        "where every attempt is recorded, instead of the XDG state folder",
    ),
    field("verdict.test", Kind::Bool, "true", "whether the test has a say, or the rules alone"),
    field(
        "verdict.warm-up",
        Kind::Duration,
        "\"30s\"",
        "slowness does not count for so long after the new side's first request; failures always do",
    ),
    field(
        "verdict.promote",
        Kind::Choice(&["never", promotion::WORDS]),
        "\"never\"",
        "whether `guard --execute` may also promote, one step at a time, at a pause that waits for a person",
    ),
    field(
        "verdict.promote-after",
        Kind::Duration,
        "\"2m\"",
        "for so long that pause's own requests must have been as good, without a break",
    ),
    field("verdict.presets", Kind::List, "[]", "rules people know: relative, baseline, absolute, slo, alerts, flagger, argo, kayenta"),
    unset("rules", Kind::Rules, RULES, "guard rules"),
    unset("flags", Kind::Flags, FLAGS, "feature flags"),
    unset("notify", Kind::Channels, super::notify::EXAMPLE, "channels"),
    field(
        "stepper.phases",
        Kind::List,
        "[\"5% 5m\", \"25% 10m\", \"50% 10m\", \"100%\"]",
        "the new side's share, and how long it should stand before the next; empty for none",
    ),
    unset("stepper.rollouts", Kind::Table, "\"shop/web-*\" = [\"10% 2m\", \"100%\"]", "phases of some rollouts"),
    field(
        "display.theme",
        Kind::Choice(&["default", "high-contrast", "mono"]),
        "\"default\"",
        "colours; all are safe for colour-blind eyes",
    ),
    field("display.colours", Kind::Choice(&["auto", "none", "16", "true"]), "\"auto\"", "auto asks NO_COLOR, COLORTERM and TERM"),
    field("display.ascii", Kind::Choice(&["auto", "yes", "no"]), "\"auto\"", "only ASCII glyphs; auto asks the locale"),
    field("display.time", Kind::Choice(&["local", "utc"]), "\"local\"", "zone of the times shown"),
    field("display.mouse", Kind::Bool, "false", "let a click select a row; takes the terminal's own selection away"),
    unset("keys", Kind::Table, "abort = [\"X\"]", "keys of a command"),
    field("log.level", Kind::Choice(&["error", "warn", "info", "debug"]), "\"info\"", "how much is written to the log file"),
];

/// The field of a path.
pub fn find(path: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|f| f.path == path)
}

impl Field {
    pub fn section(&self) -> &'static str {
        match self.kind {
            Kind::Table | Kind::Rules | Kind::Flags | Kind::Channels => self.path,
            _ => self.path.rsplit_once('.').map_or(self.path, |(section, _)| section),
        }
    }

    pub fn name(&self) -> &'static str {
        self.path.rsplit_once('.').map_or(self.path, |(_, name)| name)
    }

    /// `ROLLTOP_PROMETHEUS_URL`.
    pub fn variable(&self) -> String {
        format!("ROLLTOP_{}", self.path.to_uppercase().replace(['.', '-'], "_"))
    }

    /// What a value must be, for error messages.
    pub fn expects(&self) -> String {
        match self.kind {
            Kind::Text => "a text in quotes".into(),
            Kind::Path => "a path in quotes".into(),
            Kind::Bool => "true or false".into(),
            Kind::Duration => "a duration in quotes with its unit, such as \"5s\" or \"1m 30s\"".into(),
            Kind::Choice(choices) => format!("one of {}", choices.join(", ")),
            Kind::List => "a list of texts".into(),
            Kind::Table => "a table of names and texts".into(),
            Kind::Rules => "written as [[rules]], a table each".into(),
            Kind::Flags => "written as [[flags]], a table each".into(),
            Kind::Channels => "written as [[notify]], a table each; or none".into(),
        }
    }
}

/// `config.example.toml`, whole.
pub fn example() -> String {
    let mut out = String::from(
        "# rolltop's settings, with their defaults. What has none is commented out.\n# Put this into $XDG_CONFIG_HOME/rolltop/config.toml (usually ~/.config/rolltop/config.toml).\n# Order: defaults < this file < ROLLTOP_* variables < flags. /etc/rolltop/config.toml comes first of all files;\n# its [safety] section is a ceiling that nobody can raise.\n",
    );
    for (section, about) in SECTIONS {
        out.push_str(&format!("\n# {about}\n"));
        let rules = FIELDS.iter().find(|f| matches!(f.kind, Kind::Rules | Kind::Flags | Kind::Channels) && f.path == *section);
        if let Some(rules) = rules {
            // Twice commented out: it is a whole of its own, not a line that can be taken alone.
            for line in rules.example.lines() {
                out.push_str(format!("## {line}").trim_end());
                out.push('\n');
            }
            continue;
        }
        out.push_str(&format!("[{section}]\n"));
        for f in FIELDS.iter().filter(|f| f.section() == *section) {
            out.push_str(&line(f));
        }
    }
    out
}

fn line(f: &Field) -> String {
    if f.kind == Kind::Table {
        return format!("# {}\n", f.example);
    }
    let choices = match f.kind {
        Kind::Choice(c) => format!(" ({})", c.join(", ")),
        _ => String::new(),
    };
    let value = if f.default.is_empty() { format!("# {} = {}", f.name(), f.example) } else { format!("{} = {}", f.name(), f.default) };
    format!("# {}{choices}\n{value}\n", f.help)
}
