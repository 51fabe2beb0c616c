//! The format of scenario files as a table: the reader, the error texts and the header of `assets/demo/checkout.toml`
//! are all made from it.

use super::units::FATES;

/// Version of the format; a file says which one it is written in.
pub const VERSION: u32 = 1;

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Text,
    /// `namespace/name` of a workload of this file.
    Workload,
    /// A time relative to the opening of the screen.
    Moment,
    Duration,
    Share,
    Number,
    /// A whole number, not negative.
    Count,
    Latency,
    ColdStart,
    Bursts,
    Day,
    Fate,
    Choice(&'static [&'static str]),
    /// One text or a list of them.
    Texts,
    /// Taken over as it stands, in Kubernetes' or Argo's own words.
    Object,
    Objects,
    /// One table with these keys.
    Table(&'static Section),
    /// `[[…]]`, each with these keys.
    Tables(&'static Section),
    /// A table of named tables, each with these keys.
    Named(&'static Section),
}

/// Keys that belong together.
#[derive(Debug, PartialEq)]
pub struct Section {
    /// As a file writes it.
    pub title: &'static str,
    pub about: &'static str,
    pub keys: &'static [Key],
}

/// One key.
#[derive(Debug, PartialEq)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    pub must: bool,
    pub help: &'static str,
}

const fn key(name: &'static str, kind: Kind, help: &'static str) -> Key {
    Key { name, kind, must: false, help }
}

const fn must(name: &'static str, kind: Kind, help: &'static str) -> Key {
    Key { name, kind, must: true, help }
}

impl Key {
    /// What is expected, for error texts and the documentation.
    pub fn expects(&self) -> String {
        match self.kind {
            Kind::Text => "a text".into(),
            Kind::Workload => "\"namespace/name\"".into(),
            Kind::Moment => "a time such as \"20s\", or before the screen opens such as \"-6m\"".into(),
            Kind::Duration => "a time such as \"90s\", \"4m\" or \"3d\"".into(),
            Kind::Share => "a share such as \"2 %\"".into(),
            Kind::Number => "a number".into(),
            Kind::Count => "a whole number".into(),
            Kind::Latency => "median/p99 such as \"20ms/90ms\"".into(),
            Kind::ColdStart => "such as \"20x for 30s\"".into(),
            Kind::Bursts => "such as \"3x for 20s every 5m\"".into(),
            Kind::Day => "such as \"30 % over 20m\"".into(),
            Kind::Fate => {
                let words: Vec<&str> = FATES.iter().map(|(word, _)| *word).collect();
                format!("one of {}, possibly with \"after 40s\"", words.join(", "))
            }
            Kind::Choice(words) => format!("one of {}", words.join(", ")),
            Kind::Texts => "a text or a list of texts".into(),
            Kind::Object => "a table".into(),
            Kind::Objects => "a list of tables".into(),
            Kind::Table(section) | Kind::Tables(section) | Kind::Named(section) => format!("{}, see its section", section.title),
        }
    }

    /// The same in a word, for a table of keys.
    fn word(&self) -> String {
        match self.kind {
            Kind::Text => "text".into(),
            Kind::Workload => "NS/NAME".into(),
            Kind::Moment => "[-]time".into(),
            Kind::Duration => "time".into(),
            Kind::Share => "share".into(),
            Kind::Number => "number".into(),
            Kind::Count => "count".into(),
            Kind::Latency => "time/time".into(),
            Kind::ColdStart => "NUMBERx for time".into(),
            Kind::Bursts => "NUMBERx for time every time".into(),
            Kind::Day => "share over time".into(),
            Kind::Fate => FATES.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" | ") + " [after time]",
            Kind::Choice(words) => words.join(" | "),
            Kind::Texts => "text or list".into(),
            Kind::Object => "table".into(),
            Kind::Objects => "tables".into(),
            Kind::Table(section) | Kind::Tables(section) | Kind::Named(section) => section.title.into(),
        }
    }
}

pub const WORKLOAD_KINDS: &[&str] = &["canary", "blue-green", "deployment", "manifest", "statefulset", "daemonset", "service", "split"];
pub const ROUTERS: &[&str] = &["none", "istio", "nginx", "subsets", "httproute"];
pub const PROMETHEUS: &[&str] = &["served", "none"];
pub const OWNERS: &[&str] = &["argocd", "flux"];
pub const FAULT_TARGETS: &[&str] = &["api", "prometheus"];
pub const FAULTS: &[&str] = &["hang", "drop", "refuse", "slow", "gone", "401", "403", "429", "500", "503", "restart"];

pub static ROOT: Section = Section {
    title: "at the top",
    about: "What this is.",
    keys: &[
        must("version", Kind::Count, "of this format, 1"),
        must("title", Kind::Text, "a few words"),
        must("about", Kind::Text, "one line for `rolltop demo --list`"),
        key("try", Kind::Text, "hint on the screen; {promote} becomes the key bound to promote"),
        key("prehistory", Kind::Duration, "traffic and metrics before the screen opens; 20m"),
        key("nodes", Kind::Count, "how many there are; 3"),
        key(
            "crds",
            Kind::Texts,
            "kinds beside those of Argo, Flagger, Istio and HTTPRoute, as \"PLURAL.GROUP\"; or \"none\": not even those",
        ),
        key("prometheus", Kind::Choice(PROMETHEUS), "whether there is one; served"),
        key("workload", Kind::Tables(&WORKLOAD), "what runs"),
        key("analysis", Kind::Tables(&ANALYSIS), "analysis templates"),
        key("script", Kind::Tables(&SCRIPT), "what happens"),
        key("flag", Kind::Tables(&FLAG), "feature flags that people can switch off"),
        key("manifest", Kind::Objects, "any further objects, as kubectl would apply them"),
    ],
};

pub static WORKLOAD: Section = Section {
    title: "[[workload]]",
    about: "One workload with its Services and routes, or as many as `count` says.",
    keys: &[
        key("name", Kind::Workload, "not together with count"),
        key("count", Kind::Count, "as many workloads, in turn in `namespaces`, named from a list of words"),
        key("namespaces", Kind::Texts, "for count"),
        must(
            "kind",
            Kind::Choice(WORKLOAD_KINDS),
            "canary and blue-green are Rollouts; service and split are two Deployments and what decides; manifest: in [[manifest]]",
        ),
        key("router", Kind::Choice(ROUTERS), "who splits the traffic; the last two only of kind split; none"),
        key("replicas", Kind::Count, "4"),
        key("image", Kind::Text, "without its tag; registry.example.com/NAMESPACE/NAME"),
        key("owner", Kind::Choice(OWNERS), "the GitOps tool whose marks the objects carry"),
        key("steps", Kind::Objects, "a canary's steps in Argo's own words"),
        key("spec", Kind::Object, "merged into the spec of the Rollout, Deployment or other workload"),
        key("annotations", Kind::Object, "annotations of the same"),
        key("revision", Kind::Count, "number of the first revision in the history; 1"),
        key("history", Kind::Texts, "versions that were released, as \"v1.2 9d ago\", oldest first; the last one runs"),
        key("traffic", Kind::Table(&TRAFFIC), "what arrives; without it nothing does"),
        key("versions", Kind::Named(&VERSION_OF), "how versions behave, by image tag; others behave ordinarily"),
    ],
};

pub static TRAFFIC: Section = Section {
    title: "[workload.traffic]",
    about: "Requests that arrive at a workload.",
    keys: &[
        key("rps", Kind::Number, "requests a second; 40"),
        key("noise", Kind::Share, "slow wander of the rate; 0 %"),
        key("bursts", Kind::Bursts, "random bursts: how high, how long, how often on average"),
        key("day", Kind::Day, "a wave: how far up and down, and its length"),
        key("unscraped", Kind::Share, "scrapes that fail; the requests come all the same; 0 %"),
    ],
};

pub static VERSION_OF: Section = Section {
    title: "[workload.versions.\"TAG\"]",
    about: "How a version answers and how its pods fare.",
    keys: &[
        key("errors", Kind::Share, "requests answered with 500; 0.2 %"),
        key("not-found", Kind::Share, "requests answered with 404; 0 %"),
        key("latency", Kind::Latency, "response time; 20ms/90ms"),
        key("capacity", Kind::Number, "requests a second one pod can answer; 100"),
        key("cold-start", Kind::ColdStart, "how much slower fresh pods answer, fading"),
        key("retries", Kind::Count, "how often a request that failed is tried again at once, in vain; 0"),
        key("recounts", Kind::Duration, "on average after so long its counters begin at zero again, as those of pods that restart do"),
        key("pods", Kind::Fate, "what becomes of its pods; ready"),
        key("ready-after", Kind::Duration, "from scheduled to ready; 3s"),
        key("gauges", Kind::Tables(&GAUGE), "numbers of its own"),
    ],
};

pub static FLAG: Section = Section {
    title: "[[flag]]",
    about: "A feature flag, served on loopback and belonging to a workload.",
    keys: &[
        must("name", Kind::Text, "letters, digits, - and _"),
        must("workload", Kind::Workload, "whose screen can switch it off"),
        must("version", Kind::Text, "image tag it is built into"),
        must("off", Kind::Table(&VERSION_OF), "how that version behaves while the flag is off"),
    ],
};

pub static GAUGE: Section = Section {
    title: "gauges = [{ … }]",
    about: "A series of its own, such as a quality score.",
    keys: &[
        must("name", Kind::Text, "metric name"),
        must("value", Kind::Number, "its value without load"),
        key("noise", Kind::Number, "standard deviation; 0"),
        key("per-request", Kind::Number, "how much it grows for each request a second and pod; 0"),
    ],
};

pub static ANALYSIS: Section = Section {
    title: "[[analysis]]",
    about: "An AnalysisTemplate, put into every namespace in which a workload refers to it.",
    keys: &[
        must("name", Kind::Text, "templateName of steps and strategies"),
        key("args", Kind::Texts, "names of its arguments"),
        must("metrics", Kind::Objects, "in Argo's own words; the address of the Prometheus provider is filled in"),
    ],
};

pub static SCRIPT: Section = Section {
    title: "[[script]]",
    about: "One thing that happens: when, and exactly one of the acts. release = \"*\" picks a steady one of the counted.",
    keys: &[
        key("at", Kind::Moment, "when: since the screen opened, or before"),
        key("when", Kind::Text, "when: NS/NAME and waits, pauses, moves, steady, fails, aborted, at step 3, or at weight 25"),
        key("after", Kind::Duration, "how long `when` must have been true; 0s"),
        key("every", Kind::Duration, "again and again after this long"),
        key("by", Kind::Text, "field manager of the act; ci"),
        key("release", Kind::Text, "act: new image tag for this workload"),
        key("version", Kind::Texts, "the tag of release and behaviour; of several, release takes one after the other"),
        key("set-image", Kind::Workload, "act: another image, tag included, for this workload"),
        key("image", Kind::Text, "the image of set-image"),
        key("promote", Kind::Workload, "act: end its pause"),
        key("promote-full", Kind::Workload, "act: promote all the way"),
        key("abort", Kind::Workload, "act: abort"),
        key("retry", Kind::Workload, "act: retry after an abort"),
        key("pause", Kind::Workload, "act: pause by hand"),
        key("resume", Kind::Workload, "act: end a pause by hand"),
        key("restart", Kind::Workload, "act: restart its pods"),
        key("undo", Kind::Workload, "act: back to the stable version, or the one before"),
        key("flip", Kind::Workload, "act: the Service picks the other Deployment"),
        key("set-weight", Kind::Workload, "act: the route of this split sends another share to the new side"),
        key("weight", Kind::Count, "the share of set-weight in percent"),
        key("scale", Kind::Workload, "act: another number of replicas"),
        key("replicas", Kind::Count, "the number of scale"),
        key("behaviour", Kind::Workload, "act: a version behaves otherwise from now on"),
        key("traffic", Kind::Workload, "act: other traffic from now on"),
        key(
            "to",
            Kind::Object,
            "keys of [workload.versions] for behaviour, of [workload.traffic] for traffic; the rest stays as in this file",
        ),
        key("create", Kind::Object, "act: create this object"),
        key("delete", Kind::Text, "act: delete \"PLURAL.GROUP NS/NAME\""),
        key("install", Kind::Text, "act: install the CustomResourceDefinition \"PLURAL.GROUP\""),
        key("remove", Kind::Text, "act: remove it and all its objects"),
        key("fault", Kind::Choice(FAULT_TARGETS), "act: this server misbehaves"),
        key("how", Kind::Choice(FAULTS), "the way it does"),
        key("for", Kind::Duration, "how long it does; 20s"),
        key("note", Kind::Workload, "act: an event on this workload"),
        key("text", Kind::Text, "what it says"),
    ],
};

/// Keys of [`SCRIPT`] that are acts.
pub fn acts() -> impl Iterator<Item = &'static str> {
    SCRIPT.keys.iter().filter(|key| key.help.starts_with("act: ")).map(|key| key.name)
}

/// All sections, as the documentation lists them.
const SECTIONS: &[&Section] = &[&ROOT, &WORKLOAD, &TRAFFIC, &VERSION_OF, &GAUGE, &ANALYSIS, &SCRIPT, &FLAG];

/// The documentation as comment lines, for the head of a scenario file.
pub fn documentation() -> String {
    let mut out = format!(
        "# Scenarios of `rolltop demo`, format {VERSION}. Run your own with `rolltop demo ./mine.toml`; mistakes are told with their lines.\n\
         # A time is \"90s\", \"4m\", \"1h 30m\" or \"3d\"; a share is \"2 %\"; a number or a count is bare; * marks what is needed.\n\
         # What stands after the last semicolon is the default.\n"
    );
    for section in SECTIONS {
        out.push_str(&format!("#\n# {} — {}\n", section.title, section.about));
        for key in section.keys {
            let name = format!("{}{}", key.name, if key.must { "*" } else { "" });
            out.push_str(&format!("#   {name:<13} {} — {}\n", key.word(), key.help));
        }
    }
    out
}
