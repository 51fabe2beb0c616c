//! Which questions a kind of traffic router needs, as data.
//!
//! One query per series serves every rollout, because it groups by the labels that tell them apart.

use std::{collections::BTreeSet, time::Duration};

use super::{
    mapping::Target,
    settings::{Problem, ProfileChoice},
};
use crate::model::{Text, metrics::Series};

/// Above this, naming every namespace costs more than reading the rest.
const NAMESPACES_NAMED: usize = 20;
/// Label put on the answers of queries that are made per side.
pub(crate) const SIDE_LABEL: &str = "rolltop_side";
/// How far a round bound may be from the latency wanted, as a logarithm: half a power of two, with some room for rounding.
const NEAR_ENOUGH: f64 = 0.35;
/// Label that says what was counted.
pub(crate) const COUNT_LABEL: &str = "rolltop_count";
/// Label on latencies that a native histogram gave, because there are no classic buckets.
pub(crate) const NATIVE_LABEL: &str = "rolltop_native";
/// Requests below a bound of a native histogram are a share of them, so rounding must not look like a counter that fell.
const ROUNDED: &str = "0.001";
/// Labels by which Prometheus, or whoever set it up, says what a series was scraped from.
const SCRAPED: &str = "job, instance, pod";
/// A counter that was there so lately is not new: nobody may have scraped it.
const LATELY: &str = "5m";
/// Custom series evaluated for the open rollout.
const OWN_SERIES: usize = 16;

/// How the labels of an answer lead to a rollout and a side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attach {
    /// By the Service requests went to, or by the workload that answered them where a rollout's sides share a Service.
    /// The first namespace label that is not empty counts.
    Service { namespace: Vec<String>, service: String, workload: Option<String> },
    /// By ingress-nginx's Ingress, and its `canary` label: empty, or `NAMESPACE-SERVICE-PORT`.
    Ingress { namespace: Vec<String>, ingress: String, canary: String },
    /// By pod template hash. Without a namespace label, hashes are taken to be unique.
    Hash { namespace: Vec<String>, hash: String },
    /// By a pod's name, `WORKLOAD-HASH-xxxxx`.
    Pod { namespace: Vec<String>, pod: String },
    /// Asked for one rollout and per side; the answer says which by a label we added.
    Side,
    /// Asked for one rollout, without a way to tell its sides: only useful while there is one.
    Whole,
}

/// What an `errors` query counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorsAre {
    /// Failed requests a second, of those that `rate` counts. Absent while there is traffic: none failed.
    Rate,
    /// Share of all requests, 0 to 1. Absent: unknown.
    Share,
}

/// A router whose series are known.
#[derive(Debug)]
struct Known {
    name: &'static str,
    counter: &'static str,
    /// Matchers of every query.
    fixed: &'static str,
    /// Matchers of failed requests; one that any of them selects has failed.
    bad: &'static [&'static str],
    histogram: &'static str,
    /// Bounds of its buckets, in its unit.
    bounds: &'static [f64],
    /// Seconds per unit of the histogram.
    scale: f64,
    /// Labels that may hold the namespace, the most trusted first.
    namespace: &'static [&'static str],
    /// Label that holds the Service or the Ingress.
    place: &'static str,
    /// Label that holds the workload, where there is one.
    workload: Option<&'static str>,
    /// Further labels that tell the sides apart.
    also: &'static [&'static str],
}

/// gRPC answers failures with HTTP 200; these statuses are the server's fault.
const ISTIO: Known = Known {
    name: "istio",
    counter: "istio_requests_total",
    fixed: r#"reporter="destination""#,
    bad: &[r#"response_code=~"5..""#, r#"grpc_response_status=~"2|4|12|13|14|15""#],
    histogram: "istio_request_duration_milliseconds",
    bounds: &[0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4, 3e4, 6e4, 3e5],
    scale: 0.001,
    namespace: &["destination_service_namespace"],
    place: "destination_service_name",
    workload: Some("destination_workload"),
    also: &["destination_workload"],
};

/// Scraped without `honorLabels`, the Ingress's own namespace is `exported_namespace`.
const NGINX: Known = Known {
    name: "ingress-nginx",
    counter: "nginx_ingress_controller_requests",
    fixed: "",
    bad: &[r#"status=~"5..""#],
    histogram: "nginx_ingress_controller_request_duration_seconds",
    bounds: &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0],
    scale: 1.0,
    namespace: &["exported_namespace", "namespace"],
    place: "ingress",
    workload: None,
    also: &["canary"],
};

/// The questions in use.
#[derive(Debug, Clone)]
pub enum Profile {
    Istio,
    IngressNginx,
    /// Both routers: one query asks for both, and each rollout is read by its own.
    Mixed,
    Custom(Box<Custom>),
}

/// Whom a question is about.
#[derive(Debug, Clone, Copy)]
pub enum Scope<'a> {
    Fleet(&'a [Target]),
    One(&'a Target),
}

/// One query.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    pub series: Series,
    pub promql: String,
}

impl Profile {
    /// The profile a choice means. Auto asks for both routers in one: a router that is not there answers nothing.
    pub fn of(choice: &ProfileChoice) -> Self {
        match choice {
            ProfileChoice::Auto => Self::Mixed,
            ProfileChoice::Istio => Self::Istio,
            ProfileChoice::IngressNginx => Self::IngressNginx,
            ProfileChoice::Custom(custom) => Self::Custom(custom.clone()),
        }
    }

    /// The profile one rollout is read by. Behind an Ingress its users are counted there, even in a mesh.
    pub fn of_target(&self, target: &Target) -> Self {
        match self {
            Self::Mixed if target.ingresses.is_empty() => Self::Istio,
            Self::Mixed => Self::IngressNginx,
            other => other.clone(),
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Self::Mixed => "istio and ingress-nginx",
            Self::Istio => ISTIO.name,
            Self::IngressNginx => NGINX.name,
            Self::Custom(custom) => &custom.name,
        }
    }

    /// Whether one question serves all rollouts; otherwise only the open one is asked about.
    pub fn serves_fleet(&self) -> bool {
        match self {
            Self::Istio | Self::IngressNginx | Self::Mixed => true,
            Self::Custom(custom) => custom.serves_fleet(),
        }
    }

    pub fn attach(&self) -> Attach {
        let owned = |labels: &[&str]| labels.iter().map(|l| (*l).to_owned()).collect();
        match self {
            Self::Istio => Attach::Service {
                namespace: owned(ISTIO.namespace),
                service: ISTIO.place.into(),
                workload: ISTIO.workload.map(str::to_owned),
            },
            Self::IngressNginx => {
                Attach::Ingress { namespace: owned(NGINX.namespace), ingress: NGINX.place.into(), canary: "canary".into() }
            }
            // Mixed answers are attached by the profile of each target.
            Self::Mixed => Attach::Whole,
            Self::Custom(custom) => custom.attach(),
        }
    }

    pub fn errors_are(&self) -> ErrorsAre {
        match self {
            Self::Custom(c) if c.errors.is_none() && c.error_share.is_some() => ErrorsAre::Share,
            _ => ErrorsAre::Rate,
        }
    }

    /// Seconds per unit of the latency answers.
    pub fn scale(&self) -> f64 {
        match self {
            Self::Istio => ISTIO.scale,
            Self::IngressNginx | Self::Mixed => NGINX.scale,
            Self::Custom(c) if c.latency_unit == LatencyUnit::Milliseconds => 0.001,
            Self::Custom(_) => 1.0,
        }
    }

    /// One question per series that the profile defines: at most five.
    pub fn questions(&self, scope: Scope<'_>, window: Duration) -> Vec<Question> {
        if let (Self::Mixed, Scope::One(target)) = (self, scope) {
            return self.of_target(target).questions(scope, window);
        }
        let ask = |series| match self {
            // Their labels differ, so `or` is the union of both.
            Self::Mixed => Some(format!("{} or {}", ISTIO.ask(series, scope, window), NGINX.ask(series, scope, window))),
            Self::Istio => Some(ISTIO.ask(series, scope, window)),
            Self::IngressNginx => Some(NGINX.ask(series, scope, window)),
            Self::Custom(custom) => custom.ask(series, scope, window),
        };
        Series::ALL.into_iter().filter_map(|series| Some(Question { series, promql: ask(series)? })).collect()
    }

    /// Requests, failed requests and requests below each bound of the histogram, by how much they grew in one step: one
    /// question. The label [`COUNT_LABEL`] or `le` says which is which. A profile of queries knows no counters.
    ///
    /// `native` are the bounds about which native histograms are asked too: a server that never showed one may not know the
    /// functions for that.
    pub fn counts(&self, scope: Scope<'_>, step: Duration, bounds: &[f64], native: &[f64]) -> Option<String> {
        self.of_routers(|known| known.counts(scope, step, bounds, native))
    }

    /// Native histograms of both sides as they are, with the bounds of their buckets.
    pub fn shapes(&self, scope: Scope<'_>) -> Option<String> {
        self.of_routers(|known| format!("sum by ({}) ({})", known.by(), known.select(known.histogram, &[""], scope, str::to_owned)))
    }

    fn of_routers(&self, ask: impl Fn(&Known) -> String) -> Option<String> {
        match self {
            // Their labels differ, so `or` is the union of both.
            Self::Mixed => Some(format!("{} or {}", ask(&ISTIO), ask(&NGINX))),
            Self::Istio => Some(ask(&ISTIO)),
            Self::IngressNginx => Some(ask(&NGINX)),
            Self::Custom(_) => None,
        }
    }

    /// The bound nearest to a latency in seconds: of a histogram's own, or if none are known of the router's classic buckets.
    /// Of its own rather a power of two: every resolution has those, and releases that share a bound share a question.
    pub fn bound(&self, target: &Target, seconds: f64, own: &[f64]) -> Option<f64> {
        let known = match self.of_target(target) {
            Self::Istio => &ISTIO,
            Self::IngressNginx | Self::Mixed => &NGINX,
            Self::Custom(_) => return None,
        };
        let far = |bound: &f64| (bound * known.scale / seconds).ln().abs();
        let nearest = |bounds: &[f64]| bounds.iter().copied().filter(|b| *b > 0.0).min_by(|a, b| far(a).total_cmp(&far(b)));
        let powers: Vec<f64> = own.iter().copied().filter(|b| b.log2().fract() == 0.0).collect();
        let power = nearest(&powers).filter(|b| far(b) <= NEAR_ENOUGH);
        power.or_else(|| nearest(own)).or_else(|| nearest(known.bounds)).filter(|_| seconds.is_finite() && seconds > 0.0)
    }

    /// The custom profile's further series, for the open rollout.
    pub fn own(&self, target: &Target, window: Duration) -> Vec<(String, String)> {
        match self {
            Self::Custom(c) => {
                let one = std::slice::from_ref(target);
                let filled = |o: &OwnSeries| fill(&o.query, Some((target, Part::New)), one, window);
                c.own.iter().map(|o| (o.name.clone(), filled(o))).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl Known {
    fn ask(&self, series: Series, scope: Scope<'_>, window: Duration) -> String {
        match series {
            Series::Rate => self.rate(&[""], scope, window),
            Series::Errors => self.rate(self.bad, scope, window),
            Series::P50 => self.quantile("0.5", scope, window),
            Series::P95 => self.quantile("0.95", scope, window),
            Series::P99 => self.quantile("0.99", scope, window),
        }
    }

    fn rate(&self, extra: &[&str], scope: Scope<'_>, window: Duration) -> String {
        format!("sum by ({}) ({})", self.by(), self.rates(self.counter, extra, scope, window))
    }

    /// Classic buckets, or where there are none the native histogram of the same name, and then it says so.
    fn quantile(&self, q: &str, scope: Scope<'_>, window: Duration) -> String {
        let by = self.by();
        let classic = self.rates(&format!("{}_bucket", self.histogram), &[""], scope, window);
        let native = self.rates(self.histogram, &[""], scope, window);
        let native = marked(NATIVE_LABEL, "yes", &format!("histogram_quantile({q}, sum by ({by}) ({native}))"));
        format!("histogram_quantile({q}, sum by (le, {by}) ({classic})) or on ({by}) {native}")
    }

    fn by(&self) -> String {
        [self.namespace, &[self.place], self.also].concat().join(", ")
    }

    fn counts(&self, scope: Scope<'_>, step: Duration, bounds: &[f64], native: &[f64]) -> String {
        let (by, step) = (self.by(), duration(step));
        let grown = |metric: &str, extra: &[&str], counted: &dyn Fn(&str) -> String| {
            let now = self.select(metric, extra, scope, counted);
            let before = self.select(metric, extra, scope, |s| counted(&format!("{s} offset {step}")));
            format!("(({now}) - ({before})) >= 0")
        };
        let plain: &dyn Fn(&str) -> String = &str::to_owned;
        let sum = |grown: String| format!("sum by ({by}) ({grown})");
        let of_counter = |word, extra: &[&str]| {
            let steady = grown(self.counter, extra, plain);
            let first = self.first(extra, scope, &by, &step);
            marked(COUNT_LABEL, word, &sum(format!("({steady}) or ({first})")))
        };
        let mut question = format!("{} or {}", of_counter("all", &[""]), of_counter("bad", self.bad));
        if !bounds.is_empty() {
            let texts: Vec<String> = bounds.iter().map(|b| format!("{}(\\.0)?", regex(&b.to_string()))).collect();
            let le = format!("le=~{}", quoted(&format!("\\+Inf|{}", texts.join("|"))));
            question.push_str(&format!(" or sum by (le, {by}) ({})", grown(&format!("{}_bucket", self.histogram), &[&le], plain)));
        }
        let mut of_native = |le: &str, counted: &dyn Fn(&str) -> String| {
            let sum = sum(grown(self.histogram, &[""], counted));
            question.push_str(&format!(" or {}", marked("le", le, &marked(COUNT_LABEL, "native", &sum))));
        };
        if !native.is_empty() {
            of_native("+Inf", &|s| format!("histogram_count({s})"));
        }
        for bound in native {
            of_native(&bound.to_string(), &|s| below(*bound, s));
        }
        question
    }

    /// Counters that were not there a step before, while others of what they are scraped with were, and still are under the
    /// same labels: a proxy has no counter for a status before it first answered with it, so these grew from zero. Nothing
    /// like that is asked about histograms, of which there are many: their own totals go without these requests, too.
    fn first(&self, extra: &[&str], scope: Scope<'_>, by: &str, step: &str) -> String {
        let of = |extra: &[&str], dress: &dyn Fn(&str) -> String| self.select(self.counter, extra, scope, dress);
        let (now, before) = (str::to_owned, |s: &str| format!("{s} offset {step}"));
        let lately = of(extra, &|s| format!("last_over_time({s}[{LATELY}] offset {step})"));
        let known = format!("({}) and ({})", of(&[""], &now), of(&[""], &before));
        format!("(({}) unless ({lately})) and on ({by}, {SCRAPED}) ({known})", of(extra, &now))
    }

    fn rates(&self, metric: &str, extra: &[&str], scope: Scope<'_>, window: Duration) -> String {
        let window = duration(window);
        self.select(metric, extra, scope, |selector| format!("rate({selector}[{window}])"))
    }

    /// Union of the selections; `or` counts a series that several of them select once.
    fn select(&self, metric: &str, extra: &[&str], scope: Scope<'_>, dress: impl Fn(&str) -> String) -> String {
        let scopes = self.scopes(scope);
        let one = |scope: &String, extra: &&str| {
            let parts: Vec<&str> = [self.fixed, scope, extra].into_iter().filter(|p| !p.is_empty()).collect();
            dress(&format!("{metric}{{{}}}", parts.join(",")))
        };
        let all: Vec<String> = scopes.iter().flat_map(|s| extra.iter().map(move |e| one(s, e))).collect();
        all.join(" or ")
    }

    fn scopes(&self, scope: Scope<'_>) -> Vec<String> {
        let namespaces = match scope {
            Scope::Fleet(targets) => match namespaces(targets) {
                Some(names) => names,
                None => return vec![String::new()],
            },
            Scope::One(target) => vec![regex(&target.namespace)],
        };
        let places = match scope {
            Scope::Fleet(_) => String::new(),
            Scope::One(target) => {
                let (label, names) = self.places(target);
                format!(",{label}=~{}", quoted(&names.join("|")))
            }
        };
        let matcher = |label: &&str| format!("{label}=~{}{places}", quoted(&namespaces.join("|")));
        self.namespace.iter().map(matcher).collect()
    }

    /// The label that finds a rollout's requests, and its values as regular expressions.
    fn places(&self, target: &Target) -> (&'static str, Vec<String>) {
        let both = |old: &Option<Text>, new: &Option<Text>| old.iter().chain(new).map(|s| regex(s)).collect();
        match self.workload {
            _ if self.place == "ingress" => (self.place, target.ingresses.iter().map(|i| regex(i)).collect()),
            Some(label) if target.by_workload() => (label, both(&target.stable_workload, &target.canary_workload)),
            _ => (self.place, both(&target.stable_service, &target.canary_service)),
        }
    }
}

/// Requests of a native histogram that took no longer than a bound. A bound of its own is exact; within a bucket the server
/// interpolates. An empty one has no share, and so none below.
fn below(bound: f64, histogram: &str) -> String {
    let share = format!("histogram_fraction(0, {bound}, {histogram})");
    format!("(round(histogram_count({histogram}) * {share}, {ROUNDED}) >= 0 or histogram_count({histogram}))")
}

fn marked(label: &str, word: &str, query: &str) -> String {
    format!("label_replace({query}, \"{label}\", \"{word}\", \"\", \"\")")
}

/// Every namespace as a regular expression; `None` when there are too many to name.
fn namespaces(targets: &[Target]) -> Option<Vec<String>> {
    let names: BTreeSet<&str> = targets.iter().map(|t| &*t.namespace).collect();
    (names.len() <= NAMESPACES_NAMED).then(|| names.into_iter().map(regex).collect())
}

/// Unit of a custom profile's latency answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LatencyUnit {
    #[default]
    Seconds,
    Milliseconds,
}

/// A profile of the user's own.
///
/// Templates are PromQL with the placeholders `{namespace}`, `{name}`, `{service}`, `{hash}`,
/// `{pod}` (a regular expression for the side's pods: use `=~`), `{window}` and `{namespaces}`
/// (a regular expression). Values are escaped for a place between double quotes.
///
/// Without the first five, one query serves all rollouts, if `labels` says which labels tell them
/// apart. With one of them a template is about one rollout, and only the open rollout is asked
/// about: the cost must not grow with the fleet. `{service}`, `{hash}` and `{pod}` are filled once
/// per side, and both sides still go in one query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Custom {
    pub name: String,
    /// Requests a second.
    pub rate: Option<String>,
    /// Failed requests a second.
    pub errors: Option<String>,
    /// Failed share, 0 to 1; instead of `errors`.
    pub error_share: Option<String>,
    pub p50: Option<String>,
    pub p95: Option<String>,
    pub p99: Option<String>,
    pub latency_unit: LatencyUnit,
    pub labels: CustomLabels,
    /// Further series, for the open rollout; side placeholders mean the new side.
    pub own: Vec<OwnSeries>,
}

/// Names of the labels that tell rollouts and sides apart. One of `service`, `hash`, `pod`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CustomLabels {
    pub namespace: Option<String>,
    pub service: Option<String>,
    pub hash: Option<String>,
    pub pod: Option<String>,
}

/// A series beyond the five, such as a queue's depth.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnSeries {
    pub name: String,
    pub query: String,
    /// Shown behind the number; converts nothing.
    pub unit: String,
}

const ROLLOUT_WORDS: [&str; 2] = ["namespace", "name"];
const SIDE_WORDS: [&str; 3] = ["service", "hash", "pod"];
const FREE_WORDS: [&str; 2] = ["window", "namespaces"];

impl Custom {
    /// # Errors
    /// Unknown placeholders, unusable labels, nothing to ask.
    pub fn check(&self) -> Result<(), Problem> {
        let problem = |what: String, fix: &str| Err(Problem::new("profile", format!("{}: {what}", self.name), fix));
        if self.templates().next().is_none() && self.own.is_empty() {
            return problem("asks nothing".into(), "give at least `rate`");
        }
        if self.errors.is_some() && self.error_share.is_some() {
            return problem("has both errors and error-share".into(), "keep one");
        }
        if self.errors.is_some() && self.rate.is_none() {
            return problem("has errors without rate".into(), "add `rate`, or use error-share");
        }
        if self.own.len() > OWN_SERIES {
            return problem(format!("has more than {OWN_SERIES} own series"), "remove some: each is a query");
        }
        for query in self.templates().chain(self.own.iter().map(|o| o.query.as_str())) {
            if let Some(word) = words(query).find(|w| !known(w)) {
                let fix = "use {namespace} {name} {service} {hash} {pod} {window} {namespaces}";
                return problem(format!("placeholder {{{word}}} is unknown"), fix);
            }
        }
        self.check_labels()
    }

    fn check_labels(&self) -> Result<(), Problem> {
        let l = &self.labels;
        let tell: Vec<&String> = [&l.service, &l.hash, &l.pod].into_iter().flatten().collect();
        let bad = |problem: &str, fix: &str| Err(Problem::new("profile", format!("{}: {problem}", self.name), fix));
        if tell.iter().copied().chain(&l.namespace).any(|label| !label_name(label)) {
            return bad("a *-label holds a name that is no label name", "use letters, digits and `_`");
        }
        if tell.len() > 1 {
            return bad("has more than one of service-label, hash-label and pod-label", "keep one");
        }
        if tell.is_empty() && self.serves_fleet() && self.templates().next().is_some() {
            let fix = "give service-label, hash-label or pod-label, or use placeholders";
            return bad("nothing tells the rollouts apart", fix);
        }
        if l.service.is_some() && l.namespace.is_none() && !self.uses(&ROLLOUT_WORDS) {
            return bad("service-label needs namespace-label", "add the label that holds the namespace");
        }
        Ok(())
    }

    fn templates(&self) -> impl Iterator<Item = &str> {
        Series::ALL.into_iter().filter_map(|s| self.template(s))
    }

    fn template(&self, series: Series) -> Option<&str> {
        match series {
            Series::Rate => self.rate.as_deref(),
            Series::Errors => self.errors.as_deref().or(self.error_share.as_deref()),
            Series::P50 => self.p50.as_deref(),
            Series::P95 => self.p95.as_deref(),
            Series::P99 => self.p99.as_deref(),
        }
    }

    fn uses(&self, list: &[&str]) -> bool {
        self.templates().any(|t| words(t).any(|w| list.contains(&w)))
    }

    fn serves_fleet(&self) -> bool {
        !self.uses(&ROLLOUT_WORDS) && !self.uses(&SIDE_WORDS)
    }

    fn attach(&self) -> Attach {
        let namespace: Vec<String> = self.labels.namespace.iter().cloned().collect();
        if self.uses(&SIDE_WORDS) {
            return Attach::Side;
        }
        match &self.labels {
            CustomLabels { service: Some(service), .. } => Attach::Service { namespace, service: service.clone(), workload: None },
            CustomLabels { hash: Some(hash), .. } => Attach::Hash { namespace, hash: hash.clone() },
            CustomLabels { pod: Some(pod), .. } => Attach::Pod { namespace, pod: pod.clone() },
            _ => Attach::Whole,
        }
    }

    fn ask(&self, series: Series, scope: Scope<'_>, window: Duration) -> Option<String> {
        let template = self.template(series)?;
        match scope {
            Scope::Fleet(targets) => Some(fill(template, None, targets, window)),
            Scope::One(target) if self.attach() == Attach::Side => Some(both_sides(template, target, window)),
            Scope::One(target) => Some(fill(template, Some((target, Part::New)), std::slice::from_ref(target), window)),
        }
    }
}

/// Which side fills the side placeholders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    New,
    Old,
}

/// One query for both sides: each answer gets a label that says whose it is.
fn both_sides(template: &str, target: &Target, window: Duration) -> String {
    let mark = |part, word| {
        let query = fill(template, Some((target, part)), std::slice::from_ref(target), window);
        format!("label_replace({query}, \"{SIDE_LABEL}\", \"{word}\", \"\", \"\")")
    };
    let old = mark(Part::Old, "old");
    if target.in_flight { format!("{} or {old}", mark(Part::New, "new")) } else { old }
}

/// Puts values in place of placeholders.
fn fill(template: &str, one: Option<(&Target, Part)>, targets: &[Target], window: Duration) -> String {
    let mut out = template.replace("{window}", &duration(window));
    if out.contains("{namespaces}") {
        let names = namespaces(targets).map_or_else(|| ".+".into(), |n| n.join("|"));
        out = out.replace("{namespaces}", &escaped(&names));
    }
    let Some((target, part)) = one else { return out };
    let (service, hash) = match part {
        Part::New if target.in_flight => (target.canary_service.as_ref(), target.new_hash.as_ref()),
        _ => (target.stable_service.as_ref(), target.old_hash.as_ref()),
    };
    let text = |t: Option<&crate::model::Text>| t.map_or_else(String::new, |t| escaped(t));
    let pods = format!("{}-{}-.*", regex(&target.name), regex(hash.map_or("", |h| h)));
    out.replace("{namespace}", &escaped(&target.namespace))
        .replace("{name}", &escaped(&target.name))
        .replace("{service}", &text(service))
        .replace("{hash}", &text(hash))
        .replace("{pod}", &escaped(&pods))
}

fn known(word: &str) -> bool {
    ROLLOUT_WORDS.contains(&word) || SIDE_WORDS.contains(&word) || FREE_WORDS.contains(&word)
}

/// Words in braces. PromQL has none of its own: its braces hold matchers or nothing.
fn words(template: &str) -> impl Iterator<Item = &str> {
    template.split('{').skip(1).filter_map(|rest| {
        let (word, _) = rest.split_once('}')?;
        (!word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')).then_some(word)
    })
}

fn label_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A PromQL duration.
pub(crate) fn duration(d: Duration) -> String {
    match d.as_millis() {
        ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}

/// A regular expression that matches just this.
fn regex(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// For a place between double quotes.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

#[cfg(test)]
mod tests {
    use super::{super::mapping::tests::target, *};

    const W: Duration = Duration::from_secs(120);

    fn query(profile: &Profile, series: Series, targets: &[Target]) -> String {
        profile.questions(Scope::Fleet(targets), W).into_iter().find(|q| q.series == series).unwrap().promql
    }

    fn custom(edit: impl FnOnce(&mut Custom)) -> Custom {
        let mut custom = Custom { name: "mine".into(), ..Custom::default() };
        edit(&mut custom);
        custom
    }

    #[test]
    fn istio_asks_by_service() {
        let t = [target("shop", "cart"), target("web", "home")];
        assert_eq!(
            query(&Profile::Istio, Series::Rate, &t),
            "sum by (destination_service_namespace, destination_service_name, destination_workload) \
             (rate(istio_requests_total{reporter=\"destination\",destination_service_namespace=~\"shop|web\"}[120s]))"
        );
        let p99 = query(&Profile::Istio, Series::P99, &t);
        assert!(p99.contains("_milliseconds_bucket{") && p99.contains("_milliseconds{"), "{p99}");
    }

    #[test]
    fn nginx_looks_at_both_namespace_labels() {
        let q = query(&Profile::IngressNginx, Series::Errors, &[target("shop", "cart")]);
        assert!(q.starts_with("sum by (exported_namespace, namespace, ingress, canary) "), "{q}");
        assert!(q.contains("exported_namespace=~\"shop\",status=~\"5..\"}[120s]) or rate("), "{q}");
    }

    #[test]
    fn the_number_of_questions_and_their_length_are_bounded() {
        let many: Vec<Target> = (0..1000).map(|i| target(&format!("ns{i}"), "x")).collect();
        for profile in [Profile::Istio, Profile::IngressNginx] {
            let few = profile.questions(Scope::Fleet(&many[..1]), W);
            let all = profile.questions(Scope::Fleet(&many), W);
            assert_eq!((few.len(), all.len()), (5, 5));
            assert!(all.iter().all(|q| q.promql.len() < 700 && !q.promql.contains("ns1")));
            let twenty = profile.questions(Scope::Fleet(&many[..20]), W);
            assert!(twenty[0].promql.contains("ns19"));
        }
    }

    #[test]
    fn one_rollout_is_asked_about_by_its_places() {
        let t = target("shop", "cart");
        let q = &Profile::Istio.questions(Scope::One(&t), W)[0].promql;
        assert!(q.contains("destination_service_name=~\"cart-stable|cart-canary\""), "{q}");
    }

    #[test]
    fn hostile_names_stay_inside_their_quotes() {
        let mut t = target("a\"} or up{x=\"", "cart");
        t.stable_service = Some("s\\\"|.*".into());
        for q in Profile::Istio.questions(Scope::One(&t), W) {
            assert!(q.promql.contains(r#"=~"a\"\\} or up\\{x=\"""#), "{}", q.promql);
            assert!(q.promql.contains(r#""s\\\\\"\\|\\.\\*|cart-canary""#), "{}", q.promql);
        }
    }

    #[test]
    fn auto_reads_each_rollout_by_its_own_router() {
        let mut t = target("a", "b");
        let auto = Profile::of(&ProfileChoice::Auto);
        assert!(matches!(auto.of_target(&t), Profile::Istio));
        t.ingresses = vec!["web".into()];
        assert!(matches!(auto.of_target(&t), Profile::IngressNginx));
        let both = query(&auto, Series::Rate, &[t.clone()]);
        assert!(both.contains(ISTIO.counter) && both.contains(NGINX.counter), "{both}");
        let one = auto.questions(Scope::One(&t), W);
        assert!(one.iter().all(|q| !q.promql.contains(ISTIO.counter)));
    }

    #[test]
    fn custom_per_side_templates_make_one_query() {
        let c = custom(|c| c.rate = Some("sum(rate(r{ns=\"{namespace}\",pod=~\"{pod}\"}[{window}]))".into()));
        c.check().unwrap();
        let profile = Profile::Custom(Box::new(c));
        assert!(!profile.serves_fleet());
        let mut t = target("shop", "cart");
        let q = profile.questions(Scope::One(&t), W);
        assert_eq!(
            q[0].promql,
            "label_replace(sum(rate(r{ns=\"shop\",pod=~\"cart-new1-.*\"}[120s])), \"rolltop_side\", \"new\", \"\", \"\") or \
             label_replace(sum(rate(r{ns=\"shop\",pod=~\"cart-old1-.*\"}[120s])), \"rolltop_side\", \"old\", \"\", \"\")"
        );
        t.in_flight = false;
        assert!(!profile.questions(Scope::One(&t), W)[0].promql.contains("\"new\""));
    }

    #[test]
    fn custom_mistakes_are_named() {
        let labels = |c: &mut Custom| c.labels.hash = Some("rollouts_pod_template_hash".into());
        let good = custom(|c| {
            c.rate = Some("sum by (rollouts_pod_template_hash) (rate(r{}[{window}]))".into());
            labels(c);
        });
        good.check().unwrap();
        assert!(good.serves_fleet());
        for (edit, word) in [
            (Box::new(|c: &mut Custom| c.rate = None) as Box<dyn Fn(&mut Custom)>, "asks nothing"),
            (Box::new(|c| c.rate = Some("x{a=\"{servce}\"}".into())), "{servce}"),
            (Box::new(|c| c.labels = CustomLabels::default()), "tells the rollouts apart"),
            (Box::new(|c| c.labels.pod = Some("pod".into())), "more than one"),
            (Box::new(|c| c.labels.hash = Some("a-b".into())), "no label name"),
            (Box::new(|c| (c.errors, c.error_share) = (Some("e".into()), Some("s".into()))), "both"),
            (Box::new(|c| (c.rate, c.errors) = (None, Some("e".into()))), "without rate"),
        ] {
            let mut c = good.clone();
            edit(&mut c);
            let problem = c.check().unwrap_err().to_string();
            assert!(problem.contains(word) && problem.contains("mine"), "{problem}");
        }
    }
}
