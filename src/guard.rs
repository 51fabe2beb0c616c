//! The one right to writing: intent + rollout + mode + freshness + rights → refusal, or a card, or an
//! approved plan.
//!
//! [`Approved`] has no public constructor besides [`approve`], and `approve` asks for a [`Grant`], which
//! only a [`Writer`](crate::act::Writer) can give. A watch session has no writer, so nothing to check there.
//!
//! There are two kinds of consent: a person's key on a card, and for one abort the leave they gave beforehand ([`arming`]), which
//! a policy may extend to one step on ([`promotion`]).

pub mod arming;
pub mod promotion;

use std::time::Duration;

use chrono::TimeDelta;

use arming::Arming;

use crate::{
    act::Writer,
    engine::{self, Engine, Plan, Refusal, flag, gitops},
    intent::{Danger, Intent, Verb},
    model::{
        Links, Notice, Rollout, Severity, Source, Text, Time,
        metrics::{Reading, RolloutMetrics},
    },
    msg::{Check, Health},
    object::{Object, Objects},
    settings::Settings,
    state::{Card, Confirm, Known, Mode},
    verdict::{Advice, Trial, Verdict},
};

/// How long a card must have been readable before an answer counts. A paste or a held key is faster.
pub const READING_TIME: Duration = Duration::from_millis(300);

/// The same for a card whose ground moved: there is more to read, and it was not expected.
pub const REREADING_TIME: Duration = Duration::from_millis(1_500);

/// Proof that a writer exists.
#[derive(Debug)]
pub struct Grant {
    holder: Text,
}

impl Grant {
    pub fn from_writer(writer: &Writer) -> Self {
        Self { holder: writer.holder() }
    }

    /// For tests of the reducer, which have no cluster to write to.
    #[cfg(test)]
    pub fn for_test() -> Self {
        Self { holder: "here/1".into() }
    }

    /// What leases of this session are held by: no other session has it.
    pub fn holder(&self) -> &Text {
        &self.holder
    }
}

/// A plan that a person confirmed after the guard let it through. Not to be cloned: one consent, one write.
#[derive(Debug)]
pub struct Approved<T> {
    inner: T,
    by_override: Option<Text>,
    armed: Option<Arming>,
}

impl Approved<Plan> {
    pub fn plan(&self) -> &Plan {
        &self.inner
    }

    /// What was overridden, for the journal.
    pub fn overridden(&self) -> Option<&Text> {
        self.by_override.as_ref()
    }

    /// What was agreed to beforehand, where no key was pressed for it.
    pub fn armed(&self) -> Option<&Arming> {
        self.armed.as_ref()
    }
}

/// What the guard looks at besides the rollout.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    pub mode: Mode,
    pub frozen: bool,
    pub links: &'a Links,
    pub settings: &'a Settings,
    pub metrics: Option<&'a RolloutMetrics>,
    pub verdict: &'a Verdict,
    /// What was counted of its release.
    pub trial: Option<&'a Trial>,
    /// What this session holds leases by; empty without a writer.
    pub holder: &'a str,
    /// As the API server knows this person.
    pub by: &'a str,
    /// What this session may abort of this rollout, if anything.
    pub arming: Option<&'a Arming>,
    pub now: Time,
}

impl Ground<'_> {
    /// Whether what was last read of this rollout is too old to go by, or there is nothing.
    fn readings_are_stale(&self) -> bool {
        let limit = TimeDelta::from_std(self.settings.fresh.prometheus).unwrap_or(TimeDelta::MAX);
        self.metrics.and_then(|metrics| metrics.at).is_none_or(|at| self.now - at > limit)
    }
}

const STALE_READINGS: &str = "the readings of this rollout are stale";

/// Everything that can forbid an intent before a plan is made, in the order it is asked.
type Rule = (fn(&Ground<'_>, &Known, Verb) -> bool, &'static str, &'static str);

const RULES: &[Rule] = &[
    (
        |g, _, _| g.mode == Mode::Watch,
        "this is a watch session: it was built without the ability to write",
        "start `rolltop` without `watch` or --read-only",
    ),
    (|g, _, verb| g.frozen && verb != Verb::Disarm, "the picture is frozen, the cluster is not", "press z to let it run again"),
    (|_, k, _| k.deleted.is_some(), "this rollout no longer exists", "press esc to go back to the fleet"),
    (
        |_, k, verb| k.rollout.unobserved && !verb.is_way_out() && !matches!(verb, Verb::Undo | Verb::Disarm),
        "the controller has not yet acted on the last change",
        "wait until it has; a second change now could skip a step",
    ),
];

/// The plan of an intent, or why there is none.
///
/// # Errors
/// The first rule that forbids it, else the engine's own refusal.
pub fn consider(
    ground: &Ground<'_>,
    engine: &dyn Engine,
    known: &Known,
    root: &Object,
    objects: &Objects,
    intent: &Intent,
) -> Result<Plan, Refusal> {
    for (forbids, reason, instead) in RULES {
        if forbids(ground, known, intent.verb()) {
            return Err(Refusal::because(*reason).instead(*instead, None));
        }
    }
    // Arming is nobody's business but the guard's: it writes to no object of the release.
    match intent {
        Intent::Arm { minutes, flag } => return arming::arm(ground, engine, known, (root, objects), *minutes, flag.as_ref()),
        Intent::Disarm => return arming::disarm(ground, &known.rollout.id, objects),
        _ => {}
    }
    let mut plan = match intent {
        Intent::Kill { flag } => flag::plan(&ground.settings.flags, &known.rollout, flag, &reason(ground.verdict))?,
        _ => engine.plan(&known.rollout, root, objects, intent, ground.now)?,
    };
    if ground.arming.is_some() {
        plan.warnings.push(Notice { severity: Severity::Warning, text: "the guard is armed: this disarms it".into() });
    }
    plan.warnings.extend(gitops::warning(&plan, &known.rollout, objects, ground.now));
    match plan.writes.iter().all(|write| engine.descriptor().writes.iter().any(|right| right.lets(write))) {
        true => Ok(plan),
        // The rights people were given, and what they were told it may touch, are these.
        false => Err(Refusal::because("this would write where its engine has no business: please report it")),
    }
}

/// Why somebody would do it, for those who are told.
fn reason(verdict: &Verdict) -> String {
    match verdict.because.is_empty() {
        true => "asked for in rolltop".into(),
        false => format!("{}: {}", verdict.is.words(), verdict.because),
    }
}

/// What speaks against a plan so loudly that it must be overridden by hand.
pub fn objections(ground: &Ground<'_>, known: &Known, plan: &Plan) -> Vec<Notice> {
    let verb = plan.intent.verb();
    let mut found: Vec<Notice> = plan.warnings.iter().filter(|w| w.severity == Severity::Danger).cloned().collect();
    let mut object = |text: String| found.push(Notice { severity: Severity::Danger, text: text.into() });
    if !moves_forward(&plan.intent, &known.rollout) {
        return found;
    }
    match ground.verdict.is {
        Advice::Abort => object(format!("ABORT is advised: {}", ground.verdict.because)),
        Advice::Hold => object(format!("HOLD is advised: {}", ground.verdict.because)),
        Advice::Go | Advice::NotEnoughData | Advice::None => {}
    }
    if !ground.links.fresh(Source::Fleet, ground.now, ground.settings.fresh.kubernetes) {
        object("what the API server last said is stale".into());
    }
    if needs_metrics(verb)
        && ground.settings.prometheus
        && known.rollout.in_flight()
        && let Some(words) = blind_spot(ground)
    {
        object(words);
    }
    found
}

/// Whether more users may meet the new version.
pub fn moves_forward(intent: &Intent, rollout: &Rollout) -> bool {
    match intent {
        Intent::SetWeight { percent } => {
            let applied = rollout.new_side().and_then(|t| t.traffic.applied);
            applied.is_none_or(|share| f64::from(*percent) / 100.0 > share)
        }
        other => other.verb().moves_forward(),
    }
}

/// Verbs that bring more users to the new version on the strength of its metrics.
fn needs_metrics(verb: Verb) -> bool {
    matches!(verb, Verb::Promote | Verb::PromoteFull | Verb::Skip | Verb::Flip | Verb::SetWeight)
}

/// Why the metrics cannot speak for the new version now.
fn blind_spot(ground: &Ground<'_>) -> Option<String> {
    if !ground.links.fresh(Source::Prometheus, ground.now, ground.settings.fresh.prometheus) {
        return Some("Prometheus does not answer: nothing says how the new version does".into());
    }
    let Some(metrics) = ground.metrics else {
        return Some("Prometheus has no series of this rollout".into());
    };
    if ground.readings_are_stale() {
        return Some(STALE_READINGS.into());
    }
    match metrics.new.errors {
        Reading::Value(_) => None,
        // A preview has no users yet: that is its point, and the card says so elsewhere.
        Reading::NoTraffic | Reading::NoData if ground.settings.prometheus && no_users(ground) => None,
        other => Some(format!("the new version's error rate: {}", other.word())),
    }
}

fn no_users(ground: &Ground<'_>) -> bool {
    ground.metrics.is_some_and(|m| m.old.errors.value().is_some() && m.measured_share.is_none_or(|s| s == 0.0))
}

/// Turns a confirmed card into the permission to write, once.
///
/// # Errors
/// Why this key press is no consent yet, one phrase for the card.
pub fn approve(card: &Card, _: &Grant, now: Time) -> Result<Approved<Plan>, Text> {
    if !matches!(card.stage, crate::state::Stage::Asking) {
        return Err("it was already answered".into());
    }
    let plan = card.plan.clone().ok_or_else(|| Text::from("there is no plan"))?;
    match card.confirm() {
        Confirm::Ready => {}
        Confirm::Checking => return Err("still asking the server".into()),
        Confirm::Impossible => return Err("the server would refuse it".into()),
        Confirm::Override => return Err("press o first to override".into()),
        Confirm::TypeName => return Err("type the rollout's name first".into()),
    }
    let readable = card.ready_at.and_then(|at| (now - at).to_std().ok()).unwrap_or_default();
    let needed = if card.moved.is_some() { REREADING_TIME } else { READING_TIME };
    if readable < needed {
        return Err("too fast to have been read: press y again".into());
    }
    let by_override = card.overridden.then(|| card.objections.iter().map(|n| n.text.to_string()).collect::<Vec<_>>().join("; ").into());
    Ok(Approved { inner: plan, by_override, armed: None })
}

/// The same without a key, for the act that a person agreed to beforehand: once, as long as everything they agreed to holds.
///
/// # Errors
/// Why it may not act, or not yet.
pub fn mandated(card: &Card, _: &Grant, ground: &Ground<'_>, known: &Known) -> Result<Approved<Plan>, Unmandated> {
    let no = |why: &str| Err(Unmandated::Never(why.into()));
    let (Some(arming), Some(plan)) = (&card.arming, &card.plan) else { return no("nobody has armed it") };
    let promotes = plan.intent == Intent::Promote && arming.promotes.is_some();
    if !matches!(card.stage, crate::state::Stage::Asking) || plan.intent != arming.act && !promotes {
        return no("it may act once, as agreed");
    }
    if let Some(why) = arming::ends(ground, known, arming) {
        return Err(Unmandated::Never(why));
    }
    let called = if promotes { promotion::calls_for_it(ground, known) } else { arming::calls_for_it(known) };
    if !called {
        return Err(Unmandated::NotYet);
    }
    if let Some(why) = promotion::misgiving(plan).filter(|_| promotes) {
        return Err(Unmandated::Never(why));
    }
    match card.confirm() {
        Confirm::Ready => Ok(Approved { inner: plan.clone(), by_override: None, armed: Some(arming.clone()) }),
        Confirm::Checking => Err(Unmandated::NotYet),
        Confirm::Override | Confirm::TypeName => {
            let why = card.objections.first().map_or("it asks for a person", |n| n.text.as_str());
            no(why)
        }
        Confirm::Impossible => no("the server would refuse it"),
    }
}

/// Why an armed guard does not act.
#[derive(Debug, Clone, PartialEq)]
pub enum Unmandated {
    NotYet,
    Never(Text),
}

/// Who has written to a rollout, without the controllers that drive releases: they do it all the time.
pub fn people(rollout: &Rollout) -> impl Iterator<Item = &crate::model::Writer> {
    rollout.writers.iter().filter(|w| !engine::is_controller(rollout.engine, w))
}

/// Whether a card in this context asks for the rollout's name. The safe direction never does.
pub fn asks_for_name(settings: &Settings, plan: &Plan) -> bool {
    settings.protected && plan.danger > Danger::None && !plan.intent.verb().is_way_out()
}

/// Pods that do not answer well are no place to send users to. One that could not be asked is only said: the right to ask is
/// a wide one, and Kubernetes' own probe has found them ready.
pub fn unwell(health: &Health) -> Option<Notice> {
    match health {
        Health::Bad(what) => Some(Notice { severity: Severity::Danger, text: format!("unhealthy: {what}").into() }),
        Health::Good(_) | Health::NotAsked(_) => None,
    }
}

/// A check that could not be asked counts as an objection, not as a yes.
pub fn doubts(check: &Check, what: &str) -> Option<Notice> {
    match check {
        Check::Unknown(why) => Some(Notice { severity: Severity::Danger, text: format!("{what} could not be asked: {why}").into() }),
        _ => None,
    }
}
