//! From checked values to a [`Scenario`], and what only the whole can tell: names that nobody has, acts that contradict.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};
use toml::de::{DeTable, DeValue};

use super::{
    Act, Event, Flag, Is, Kind, Kinds, Owner, Past, Router, Scenario, Server, Template, Verb, Version, When, Workload,
    format::{self, FAULTS, ROOT, TRAFFIC, VERSION_OF},
    names,
    read::{self, Reader, Row},
    units,
};
use crate::{
    config::Mistakes,
    demo::{
        api::crd,
        scrape,
        traffic::{Load, Profile},
        workloads::{Gauge, Pods},
    },
    intent::COMMANDS,
};

/// Traffic before the screen opens, unless the file says otherwise.
const PREHISTORY: Duration = Duration::from_secs(20 * 60);

/// From scheduled to ready, unless a version says otherwise.
const START_UP: Duration = Duration::from_secs(3);

/// For pods that fare badly after a while: how long that is.
const WHILE: Duration = Duration::from_secs(5);

/// Nodes of the cluster, unless the file says otherwise.
const NODES: u32 = 3;

const STEPS: &[&str] = &["setWeight", "pause", "setCanaryScale", "analysis", "experiment", "setHeaderRoute", "setMirrorRoute", "plugin"];

const VERBS: &[(&str, Verb)] = &[
    ("promote", Verb::Promote),
    ("promote-full", Verb::PromoteFull),
    ("abort", Verb::Abort),
    ("retry", Verb::Retry),
    ("pause", Verb::Pause),
    ("resume", Verb::Resume),
    ("restart", Verb::Restart),
    ("undo", Verb::Undo),
    ("flip", Verb::Flip),
];

const STATES: &[(&str, Is)] = &[
    ("waits", Is::Waits),
    ("pauses", Is::Pauses),
    ("moves", Is::Moves),
    ("steady", Is::Steady),
    ("fails", Is::Fails),
    ("aborted", Is::Aborted),
];

/// Reads a scenario.
pub fn scenario(name: &str, file: &str, text: &str) -> Result<Scenario, Mistakes> {
    let mut reader = Reader::new(file, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let line = reader.line(error.span().map_or(0, |span| span.start));
        reader.wrong(line, error.message());
    }
    let root = reader.row(&ROOT, table.get_ref(), 1);
    let prehistory = root.duration("prehistory").unwrap_or(PREHISTORY);
    let mut builder = Builder { reader, workloads: Vec::new(), templates: Vec::new(), lines: BTreeMap::new(), prehistory };
    let scenario = builder.scenario(name, &root);
    let mut mistakes = builder.reader.mistakes;
    mistakes.sort_by_key(|mistake| match &mistake.origin {
        crate::config::layer::Origin::File(_, line) => *line,
        _ => 0,
    });
    if mistakes.is_empty() { Ok(scenario) } else { Err(Mistakes(mistakes)) }
}

struct Builder {
    reader: Reader,
    workloads: Vec<Workload>,
    templates: Vec<Template>,
    /// Lines of named workloads.
    lines: BTreeMap<String, usize>,
    prehistory: Duration,
}

impl Builder {
    fn scenario(&mut self, name: &str, root: &Row<'_>) -> Scenario {
        if let Some(version) = root.count("version").filter(|version| *version != format::VERSION) {
            let known = format::VERSION;
            self.reader.wrong(root.line_of("version"), format!("format {version} is unknown to this rolltop; it reads format {known}"));
        }
        self.templates = root.tables("analysis").iter().map(|row| self.template(row)).collect();
        root.tables("workload").iter().for_each(|row| self.workload(row));
        let script: Vec<Event> = root.tables("script").iter().filter_map(|row| self.event(row)).collect();
        self.versions_are_known(root, &script);
        let flags = root.tables("flag").iter().filter_map(|row| self.flag(row)).collect();
        let manifests = root.objects("manifest").iter().map(|(object, line)| self.manifest(object, *line)).collect();
        self.hint(root);
        let text = |key| root.text(key).unwrap_or_default();
        Scenario {
            name: name.into(),
            title: text("title"),
            about: text("about"),
            hint: text("try"),
            prehistory: self.prehistory,
            scrape: scrape::SCRAPE,
            workloads: std::mem::take(&mut self.workloads),
            templates: std::mem::take(&mut self.templates),
            script,
            flags,
            manifests,
            nodes: root.count("nodes").unwrap_or(NODES).max(1),
            kinds: self.kinds(root),
            is_measured: root.text("prometheus").as_deref() != Some("none"),
        }
    }

    fn kinds(&mut self, root: &Row<'_>) -> Kinds {
        let names: Vec<String> = root.texts("crds").iter().map(|(name, _)| name.clone()).collect();
        if names == ["none"] {
            return Kinds::None;
        }
        let known: Vec<String> =
            crd::built_in().iter().chain(&crd::others()).filter_map(|found| Some(found["metadata"]["name"].as_str()?.to_owned())).collect();
        for (name, line) in root.texts("crds").iter().filter(|(name, _)| crd::known(name).is_none()) {
            let near =
                units::nearest(name, known.iter().map(String::as_str)).map(|near| format!("did you mean '{near}'? ")).unwrap_or_default();
            self.reader.wrong(*line, format!("no definition of '{name}'; {near}there are: {}", known.join(", ")));
        }
        Kinds::With(names)
    }

    /// `{promote}` stands for the key of that command.
    fn hint(&mut self, root: &Row<'_>) {
        let text = root.text("try").unwrap_or_default();
        let named = text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name);
        for name in named.filter(|name| !COMMANDS.iter().any(|row| row.name == *name)) {
            let names = || COMMANDS.iter().map(|row| row.name);
            let near = units::nearest(name, names()).map(|near| format!("did you mean '{{{near}}}'? ")).unwrap_or_default();
            self.reader
                .wrong(root.line_of("try"), format!("no command '{name}'; {near}commands: {}", names().collect::<Vec<_>>().join(", ")));
        }
    }

    fn template(&mut self, row: &Row<'_>) -> Template {
        let metrics = row.objects("metrics");
        for (metric, line) in metrics.iter().filter(|(metric, _)| !metric["name"].is_string() || !metric["provider"].is_object()) {
            let what = if metric["name"].is_string() { "provider" } else { "name" };
            self.reader.wrong(*line, format!("a metric of an analysis needs a '{what}'"));
        }
        Template {
            name: row.text("name").unwrap_or_default(),
            args: row.texts("args").iter().map(|(name, _)| name.clone()).collect(),
            metrics: metrics.iter().map(|(metric, _)| metric.clone()).collect(),
        }
    }

    fn manifest(&mut self, object: &Value, line: usize) -> Value {
        for (what, value) in
            [("apiVersion", &object["apiVersion"]), ("kind", &object["kind"]), ("metadata.name", &object["metadata"]["name"])]
        {
            if !value.is_string() {
                self.reader.wrong(line, format!("[[manifest]]: '{what}' is missing"));
            }
        }
        object.clone()
    }

    fn workload(&mut self, row: &Row<'_>) {
        let kind = match row.text("kind").as_deref() {
            Some("blue-green") => Kind::BlueGreen,
            Some("deployment") => Kind::Deployment,
            Some("statefulset") => Kind::StatefulSet,
            Some("daemonset") => Kind::DaemonSet,
            Some("service") => Kind::Service,
            Some("split") => Kind::Split,
            Some("manifest") => Kind::Manifest,
            _ => Kind::Canary,
        };
        self.fits(row, kind);
        let history = self.history(row, kind);
        let replicas = row.count("replicas").unwrap_or(4);
        let versions = row.named("versions").iter().map(|(tag, row)| (tag.clone(), version(row, &Version::default()))).collect();
        let model = Workload {
            namespace: String::new(),
            name: String::new(),
            kind,
            router: match row.text("router").as_deref() {
                Some("istio") => Router::Istio,
                Some("nginx") => Router::Nginx,
                Some("subsets") => Router::Subsets,
                Some("httproute") => Router::Gateway,
                _ => Router::None,
            },
            replicas,
            image: row.text("image").unwrap_or_default(),
            owner: row.text("owner").map(|owner| if owner == "flux" { Owner::Flux } else { Owner::ArgoCd }),
            steps: row.objects("steps").iter().map(|(step, _)| step.clone()).collect(),
            spec: row.object("spec").unwrap_or_else(|| json!({})),
            annotations: row.object("annotations").unwrap_or_else(|| json!({})),
            revision: row.count("revision").unwrap_or(1).max(1),
            history,
            load: row.tables("traffic").first().map_or(Load { rps: 0.0, ..Load::default() }, |row| load(row, &Load::default())),
            versions,
            counted: row.has("count"),
        };
        match row.count("count") {
            Some(count) => self.counted(row, count, &model),
            None => self.named(row, model),
        }
    }

    /// Keys that only some kinds have.
    fn fits(&mut self, row: &Row<'_>, kind: Kind) {
        let right: &[(&str, bool)] = &[
            ("steps", kind == Kind::Canary),
            ("router", matches!(kind, Kind::Canary | Kind::Split)),
            ("replicas", kind != Kind::DaemonSet),
            ("history", kind != Kind::Manifest),
            ("spec", kind != Kind::Manifest),
        ];
        if kind == Kind::Canary && ["subsets", "httproute"].iter().any(|router| row.text("router").as_deref() == Some(router)) {
            self.reader.wrong(row.line_of("router"), "[[workload]]: this router is for kind = \"split\" only");
        }
        for (key, _) in right.iter().filter(|(key, is_right)| row.has(key) && !is_right) {
            let name = row.text("kind").unwrap_or_default();
            self.reader.wrong(row.line_of(key), format!("[[workload]]: '{key}' has no meaning for kind = \"{name}\""));
        }
        for (step, line) in row.objects("steps") {
            let names: Vec<&str> = step.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            let known = names.len() == 1 && STEPS.contains(&names[0]);
            if !known {
                let near = names.first().and_then(|name| units::nearest(name, STEPS.iter().copied()));
                let hint = near.filter(|near| !names.contains(near)).map(|near| format!("did you mean '{near}'? ")).unwrap_or_default();
                let text = format!("a step has exactly one key, not '{}'; {hint}known: {}", names.join(", "), STEPS.join(", "));
                self.reader.wrong(*line, text);
            }
        }
        for (key, line) in [("steps", row.line_of("steps")), ("spec", row.line_of("spec"))] {
            let value = if key == "spec" {
                row.object("spec").unwrap_or_default()
            } else {
                row.objects("steps").iter().map(|(s, _)| s.clone()).collect()
            };
            for name in template_names(&value) {
                if !self.templates.iter().any(|template| template.name == name) {
                    let known: Vec<&str> = self.templates.iter().map(|template| template.name.as_str()).collect();
                    let text = format!("no [[analysis]] is named '{name}'; there are: {}", some(&known));
                    self.reader.wrong(line, text);
                }
            }
        }
    }

    /// `v1.2 9d ago`, oldest first.
    fn history(&mut self, row: &Row<'_>, kind: Kind) -> Vec<Past> {
        let mut history: Vec<Past> = Vec::new();
        for (text, line) in row.texts("history") {
            let parsed = text.strip_suffix(" ago").and_then(|text| text.split_once(' '));
            let parsed = parsed.and_then(|(version, age)| Some(Past { version: version.into(), age: units::duration(age)? }));
            match parsed {
                None => self.reader.wrong(*line, format!("[[workload]]: '{text}' is not a release; write it as \"v1.2 9d ago\"")),
                Some(past) if history.last().is_some_and(|last| last.age <= past.age) => {
                    let text = format!("[[workload]]: '{text}' is not younger than the release before it; write the oldest first");
                    self.reader.wrong(*line, text);
                }
                Some(past) => history.push(past),
            }
        }
        if !row.has("history") && kind != Kind::Manifest {
            self.reader.wrong(row.line, "[[workload]]: 'history' is missing; at least the version that runs, as [\"v1.2 9d ago\"]");
        }
        history
    }

    fn named(&mut self, row: &Row<'_>, model: Workload) {
        let Some(path) = row.text("name") else {
            if !row.has("name") {
                self.reader.wrong(row.line, "[[workload]]: 'name' is missing; it is \"namespace/name\" (or give 'count' and 'namespaces')");
            }
            return;
        };
        if let Some(first) = self.lines.insert(path.clone(), row.line) {
            self.reader.wrong(row.line_of("name"), format!("[[workload]]: '{path}' is already at line {first}"));
        }
        let (namespace, name) = read::split(&path).unwrap_or_default();
        self.workloads.push(placed(model, namespace, name));
    }

    fn counted(&mut self, row: &Row<'_>, count: u32, model: &Workload) {
        for key in ["name", "image"].into_iter().filter(|key| row.has(key)) {
            self.reader.wrong(row.line_of(key), format!("[[workload]]: '{key}' and 'count' do not go together"));
        }
        if model.kind == Kind::Manifest {
            self.reader.wrong(row.line_of("count"), "[[workload]]: 'count' has no meaning for kind = \"manifest\"");
        }
        let namespaces = row.texts("namespaces");
        if namespaces.is_empty() {
            self.reader.wrong(row.line, "[[workload]]: 'count' needs 'namespaces'");
            return;
        }
        for (namespace, line) in namespaces.iter().filter(|(namespace, _)| !read::is_name(namespace)) {
            self.reader.wrong(*line, format!("[[workload]]: '{namespace}' is no name of a namespace"));
        }
        for _ in 0..count {
            let at = self.workloads.len();
            let (namespace, _) = &namespaces[at % namespaces.len()];
            self.workloads.push(placed(model.clone(), namespace, &names::workload(at)));
        }
    }

    fn event(&mut self, row: &Row<'_>) -> Option<Event> {
        let acts: Vec<&str> = format::acts().filter(|act| row.has(act)).collect();
        let when = self.when(row);
        let [act] = acts[..] else {
            let known = format::acts().collect::<Vec<_>>().join(", ");
            let text = match acts.is_empty() {
                true => format!("[[script]]: no act; exactly one of {known}"),
                false => format!("[[script]]: {} are several acts; write one [[script]] for each", acts.join(" and ")),
            };
            self.reader.wrong(row.line, text);
            return None;
        };
        let act = self.act(act, row);
        Some(Event {
            when: when?,
            every: row.duration("every").filter(|every| !every.is_zero()),
            by: row.text("by").unwrap_or_else(|| "ci".into()),
            act: act?,
        })
    }

    fn when(&mut self, row: &Row<'_>) -> Option<When> {
        match (row.has("at"), row.has("when")) {
            (true, false) => {
                if row.has("after") {
                    self.reader.wrong(row.line_of("after"), "[[script]]: 'after' belongs to 'when'; with 'at' add it up yourself");
                }
                let at = row.moment("at")?;
                if (-at).to_std().is_ok_and(|before| before > self.prehistory) {
                    let prehistory = humantime::format_duration(self.prehistory);
                    self.reader.wrong(
                        row.line_of("at"),
                        format!("[[script]]: before the prehistory, which begins {prehistory} before the screen opens"),
                    );
                }
                Some(When::At(at))
            }
            (false, true) => {
                if row.has("every") {
                    self.reader.wrong(row.line_of("every"), "[[script]]: 'every' belongs to 'at'");
                }
                let line = row.line_of("when");
                let (workload, is) = self.condition(&row.text("when")?, line)?;
                Some(When::Once { workload, is, after: row.duration("after").unwrap_or_default() })
            }
            _ => {
                self.reader.wrong(row.line, "[[script]]: exactly one of 'at' and 'when' says when it happens");
                None
            }
        }
    }

    /// `shop/checkout at step 3`.
    fn condition(&mut self, text: &str, line: usize) -> Option<(String, Is)> {
        let (workload, state) = text.split_once(' ').unwrap_or((text, ""));
        let number = |prefix: &str| state.strip_prefix(prefix).and_then(|n| n.trim().parse().ok());
        let known = STATES.iter().find(|(word, _)| *word == state).map(|(_, is)| *is);
        let is = known.or_else(|| number("at step ").map(Is::AtStep)).or_else(|| number("at weight ").map(Is::AtWeight));
        if is.is_none() {
            let words: Vec<&str> = STATES.iter().map(|(word, _)| *word).collect();
            self.reader.wrong(
                line,
                format!(
                    "[[script]]: '{text}' is no condition; write \"NS/NAME STATE\" with one of {}, at step 3, at weight 25",
                    words.join(", ")
                ),
            );
        }
        self.known(workload, line)?;
        Some((workload.into(), is?))
    }

    /// The workload, if this file has it.
    fn known(&mut self, path: &str, line: usize) -> Option<&Workload> {
        if !self.workloads.iter().any(|workload| workload.path() == path) {
            let paths: Vec<String> = self.workloads.iter().map(Workload::path).collect();
            let hint =
                units::nearest(path, paths.iter().map(String::as_str)).map(|near| format!("did you mean '{near}'? ")).unwrap_or_default();
            let few: Vec<&str> = paths.iter().take(12).map(String::as_str).collect();
            self.reader.wrong(line, format!("[[script]]: no workload '{path}' here; {hint}there are: {}", some(&few)));
            return None;
        }
        self.workloads.iter().find(|workload| workload.path() == path)
    }

    fn act(&mut self, act: &str, row: &Row<'_>) -> Option<Act> {
        self.companions(act, row);
        let line = row.line_of(act);
        let text = row.text(act);
        if let Some((_, verb)) = VERBS.iter().find(|(name, _)| *name == act) {
            let workload = self.known(&text?, line)?;
            let (path, kind) = (workload.path(), workload.kind);
            if !can(kind, *verb) {
                self.reader.wrong(line, format!("[[script]]: '{act}' has no meaning for the kind of '{path}'"));
            }
            return Some(Act::Do { workload: path, verb: *verb });
        }
        match act {
            "release" => {
                let workload = self.release_target(&text?, line)?;
                let versions: Vec<String> = row.texts("version").iter().map(|(tag, _)| tag.clone()).collect();
                (!versions.is_empty()).then_some(Act::Release { workload, versions })
            }
            "set-image" => Some(Act::SetImage { workload: self.known(&text?, line)?.path(), image: row.text("image")? }),
            "scale" => Some(Act::Scale { workload: self.known(&text?, line)?.path(), replicas: row.count("replicas")? }),
            "set-weight" => {
                let workload = self.known(&text?, line)?;
                let (path, kind) = (workload.path(), workload.kind);
                if !matches!(kind, Kind::Split | Kind::Manifest) {
                    self.reader.wrong(line, format!("[[script]]: 'set-weight' is for kind = \"split\", not for '{path}'"));
                }
                Some(Act::Weigh { workload: path, percent: row.count("weight")?.min(100) })
            }
            "behaviour" => self.behaviour(&text?, row),
            "traffic" => self.traffic(&text?, row),
            "create" => Some(Act::Create(self.manifest(&row.object(act)?, line))),
            "delete" => self.delete(&text?, line),
            "install" => Some(Act::Install(text?)),
            "remove" => Some(Act::Remove(text?)),
            "fault" => {
                let how = row.text("how")?;
                let server = if text? == "api" { Server::Api } else { Server::Prometheus };
                let how = FAULTS.iter().copied().find(|known| *known == how)?;
                Some(Act::Fault { server, how, lasts: row.duration("for").unwrap_or(Duration::from_secs(20)) })
            }
            _ => Some(Act::Note { workload: self.known(&text?, line)?.path(), text: row.text("text")? }),
        }
    }

    /// Keys that go with this act and no other, and those it cannot do without.
    fn companions(&mut self, act: &str, row: &Row<'_>) {
        const TABLE: &[(&str, &[&str], &[&str])] = &[
            ("release", &["version"], &[]),
            ("set-image", &["image"], &[]),
            ("scale", &["replicas"], &[]),
            ("set-weight", &["weight"], &[]),
            ("behaviour", &["version", "to"], &[]),
            ("traffic", &["to"], &[]),
            ("fault", &["how"], &["for"]),
            ("note", &["text"], &[]),
        ];
        let (_, needs, takes) = TABLE.iter().find(|(name, ..)| *name == act).copied().unwrap_or(("", &[], &[]));
        for key in needs.iter().filter(|key| !row.has(key)) {
            self.reader.wrong(row.line, format!("[[script]]: '{act}' needs '{key}'"));
        }
        let all = TABLE.iter().flat_map(|(_, needs, takes)| needs.iter().chain(*takes));
        for key in all.filter(|key| row.has(key) && !needs.contains(key) && !takes.contains(key)) {
            self.reader.wrong(row.line_of(key), format!("[[script]]: '{key}' has no meaning for '{act}'"));
        }
    }

    fn release_target(&mut self, text: &str, line: usize) -> Option<String> {
        if text != "*" {
            return self.known(text, line).map(Workload::path);
        }
        if self.workloads.iter().any(|workload| workload.counted) {
            return Some(text.into());
        }
        self.reader.wrong(line, "[[script]]: release = \"*\" needs a [[workload]] with 'count'");
        None
    }

    fn behaviour(&mut self, path: &str, row: &Row<'_>) -> Option<Act> {
        let known = self.known(path, row.line_of("behaviour"))?;
        let (workload, versions) = (known.path(), known.versions.clone());
        let [(tag, _)] = row.texts("version") else {
            if row.has("version") {
                self.reader.wrong(row.line_of("version"), "[[script]]: 'behaviour' is about one version");
            }
            return None;
        };
        let DeValue::Table(table) = row.raw("to")?.get_ref() else { return None };
        let to = self.reader.row(&VERSION_OF, table, row.line_of("to"));
        let base = versions.get(tag).cloned().unwrap_or_default();
        Some(Act::Behave { workload, tag: tag.clone(), version: Box::new(version(&to, &base)) })
    }

    fn flag(&mut self, row: &Row<'_>) -> Option<Flag> {
        let name = row.text("name")?;
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
            self.reader.wrong(row.line_of("name"), "[[flag]]: write a name of letters, digits, - and _");
            return None;
        }
        let known = self.known(&row.text("workload")?, row.line_of("workload"))?;
        let (workload, versions, tag) = (known.path(), known.versions.clone(), row.text("version")?);
        let DeValue::Table(table) = row.raw("off")?.get_ref() else { return None };
        let off = self.reader.row(&VERSION_OF, table, row.line_of("off"));
        let on = versions.get(&tag).cloned().unwrap_or_default();
        Some(Flag { name, workload, version: tag, off: version(&off, &on), on })
    }

    fn traffic(&mut self, path: &str, row: &Row<'_>) -> Option<Act> {
        let known = self.known(path, row.line_of("traffic"))?;
        let (workload, before) = (known.path(), known.load);
        let DeValue::Table(table) = row.raw("to")?.get_ref() else { return None };
        let given = self.reader.row(&TRAFFIC, table, row.line_of("to"));
        Some(Act::Traffic { workload, load: load(&given, &before) })
    }

    fn delete(&mut self, text: &str, line: usize) -> Option<Act> {
        let parsed = text.split_once(' ').map(|(kind, path)| (kind, path.split_once('/').unwrap_or(("", path))));
        match parsed {
            Some((kind, (namespace, name))) if !kind.is_empty() && !name.is_empty() => {
                Some(Act::Delete { kind: kind.into(), namespace: namespace.into(), name: name.into() })
            }
            _ => {
                self.reader.wrong(line, "[[script]]: delete = \"PLURAL.GROUP NS/NAME\", such as \"pods shop/cart-1\"");
                None
            }
        }
    }

    /// A behaviour for a version nobody ever sees is a slip.
    fn versions_are_known(&mut self, root: &Row<'_>, script: &[Event]) {
        let mut seen: BTreeSet<(String, String)> = BTreeSet::new();
        for workload in &self.workloads {
            let tags = workload.history.iter().map(|past| &past.version);
            seen.extend(tags.map(|tag| (workload.path(), tag.clone())));
        }
        for event in script {
            match &event.act {
                Act::Release { workload, versions } if workload == "*" => {
                    let counted = self.workloads.iter().filter(|workload| workload.counted);
                    seen.extend(counted.flat_map(|workload| versions.iter().map(|tag| (workload.path(), tag.clone()))));
                }
                Act::Release { workload, versions } => seen.extend(versions.iter().map(|tag| (workload.clone(), tag.clone()))),
                Act::SetImage { workload, image } => {
                    seen.insert((workload.clone(), image.rsplit_once(':').map_or("latest", |(_, tag)| tag).into()));
                }
                _ => {}
            }
        }
        for row in root.tables("workload") {
            let (Some(path), false) = (row.text("name"), row.text("kind").as_deref() == Some("manifest")) else { continue };
            for (tag, version) in row.named("versions").iter().filter(|(tag, _)| !seen.contains(&(path.clone(), tag.clone()))) {
                self.reader.wrong(version.line, format!("[workload.versions]: '{path}' never runs '{tag}'; it runs: {}", of(&seen, &path)));
            }
        }
        for row in root.tables("script").iter().filter(|row| row.has("behaviour")) {
            let Some(path) = row.text("behaviour") else { continue };
            let manifest = self.workloads.iter().any(|workload| workload.path() == path && workload.kind == Kind::Manifest);
            for (tag, line) in row.texts("version").iter().filter(|(tag, _)| !manifest && !seen.contains(&(path.clone(), tag.clone()))) {
                self.reader.wrong(*line, format!("[[script]]: '{path}' never runs '{tag}'; it runs: {}", of(&seen, &path)));
            }
        }
    }
}

/// Whether somebody can do this to such a workload. Manifests may hold anything.
fn can(kind: Kind, verb: Verb) -> bool {
    match verb {
        Verb::Promote | Verb::PromoteFull | Verb::Abort | Verb::Retry => kind.is_rollout() || kind == Kind::Manifest,
        Verb::Pause | Verb::Resume => kind.is_rollout() || matches!(kind, Kind::Deployment | Kind::Manifest),
        Verb::Restart | Verb::Undo => !matches!(kind, Kind::Service | Kind::Split),
        Verb::Flip => kind == Kind::Service,
    }
}

fn of(seen: &BTreeSet<(String, String)>, path: &str) -> String {
    some(&seen.iter().filter(|(workload, _)| workload == path).map(|(_, tag)| tag.as_str()).collect::<Vec<_>>())
}

fn some(words: &[&str]) -> String {
    if words.is_empty() { "none".into() } else { words.join(", ") }
}

fn placed(model: Workload, namespace: &str, name: &str) -> Workload {
    let image = if model.image.is_empty() { format!("registry.example.com/{namespace}/{name}") } else { model.image };
    Workload { namespace: namespace.into(), name: name.into(), image, ..model }
}

impl Default for Version {
    fn default() -> Self {
        let pods = Pods { start_up: START_UP, spread: START_UP / 2, after: WHILE, ..Pods::default() };
        Self { profile: Profile::default(), pods, gauges: Vec::new() }
    }
}

/// What the row says, else what `base` has.
fn version(row: &Row<'_>, base: &Version) -> Version {
    let Profile { errors, not_found, latency, capacity, start_up, retries, recounts } = base.profile;
    let profile = Profile {
        errors: row.number("errors").unwrap_or(errors),
        not_found: row.number("not-found").unwrap_or(not_found),
        latency: row.latency("latency").unwrap_or(latency),
        capacity: row.number("capacity").unwrap_or(capacity),
        start_up: row.cold_start("cold-start").or(start_up),
        retries: row.count("retries").unwrap_or(retries),
        recounts: row.duration("recounts").filter(|mean| !mean.is_zero()).or(recounts),
    };
    let start = row.duration("ready-after");
    let (fate, after) = row.fate("pods").map_or((base.pods.fate, None), |(fate, after)| (fate, after));
    let pods = Pods {
        start_up: start.unwrap_or(base.pods.start_up),
        spread: start.map_or(base.pods.spread, |start| start / 2),
        fate,
        after: after.unwrap_or(base.pods.after),
    };
    let gauge = |row: &Row<'_>| Gauge {
        name: row.text("name").unwrap_or_default(),
        value: row.number("value").unwrap_or_default(),
        noise: row.number("noise").unwrap_or_default(),
        per_request: row.number("per-request").unwrap_or_default(),
    };
    let gauges = if row.has("gauges") { row.tables("gauges").iter().map(gauge).collect() } else { base.gauges.clone() };
    Version { profile, pods, gauges }
}

fn load(row: &Row<'_>, base: &Load) -> Load {
    Load {
        rps: row.number("rps").unwrap_or(base.rps),
        noise: row.number("noise").unwrap_or(base.noise),
        bursts: row.bursts("bursts").or(base.bursts),
        day: row.day("day").or(base.day),
        unscraped: row.number("unscraped").unwrap_or(base.unscraped),
    }
}

/// All values of `templateName` in there.
pub fn template_names(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            let own = fields.get("templateName").and_then(Value::as_str).filter(|_| fields.get("clusterScope") != Some(&Value::Bool(true)));
            own.map(str::to_owned).into_iter().chain(fields.values().flat_map(template_names)).collect()
        }
        Value::Array(items) => items.iter().flat_map(template_names).collect(),
        _ => Vec::new(),
    }
}
