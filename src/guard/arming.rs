//! Arming: a person lets the guard pull the brake on one release, once, for a limited time: abort it, or switch off its flag.
//!
//! What is armed stands in a Lease beside the rollout. Every rolltop sees it there, and the guard spends it, on condition that
//! it is still its own, in the write before the abort: of two that are armed, of one that was thought dead, and of one that
//! starts anew, at most one acts. No clock is trusted for that; times only say when a lease may be taken over.

use std::time::Duration;

use chrono::{SecondsFormat, TimeDelta};
use serde_json::{Value, json};

use super::{
    Ground, STALE_READINGS, people,
    promotion::{Pause, Policy},
};
use crate::{
    engine::{Change, Engine, Expectation, Goal, Patch, Plan, Progress, Refusal, Right, Write, workload::rewrite::escaped},
    intent::{Danger, Intent},
    model::{Id, LinkState, Notice, Rollout, Severity, Source, Strategy, Text, Time, WaitFor, Writer, moment},
    object::{Object, Objects, Resource},
    state::Known,
    verdict::Advice,
};

pub static LEASE: Resource = Resource::new("coordination.k8s.io", "v1", "Lease", "leases");
/// What the guard itself writes, on top of what engines do.
pub const WRITES: [Right; 2] = [Right { resource: &LEASE, subresource: None, verb: "create" }, Right::patch(&LEASE)];

/// Label by which leases are found; its value is their state.
pub const MARK: &str = "rolltop.dev/guard";
const ROLLOUT: &str = "rolltop.dev/rollout";
const RELEASE: &str = "rolltop.dev/release";
const UNTIL: &str = "rolltop.dev/until";
const BY: &str = "rolltop.dev/by";

/// For so long a lease holds without a word of its holder.
pub const LASTS: Duration = Duration::from_secs(30);
/// How often the holder says that it is there.
pub const RENEWED: Duration = Duration::from_secs(10);
/// Longer than this no release is left to a machine.
pub const LONGEST: Duration = Duration::from_secs(4 * 3600);

/// How a lease stands, by its holder's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    Armed,
    /// It was used: the guard has acted, or was about to.
    Spent,
    Disarmed,
}

impl Word {
    const ALL: [Self; 3] = [Self::Armed, Self::Spent, Self::Disarmed];

    pub fn name(self) -> &'static str {
        match self {
            Self::Armed => "armed",
            Self::Spent => "spent",
            Self::Disarmed => "disarmed",
        }
    }
}

/// How an arming came to its end, which is how loud it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// A person's own hand did it.
    Agreed,
    /// What was agreed to holds no longer.
    Unasked,
    /// The guard has acted.
    Acted,
    /// It has gone one step on.
    Promoted,
    /// It acted, and that is not known to have worked.
    Failed,
    /// It promoted, and that is not known to have worked.
    Unpromoted,
    /// It had to act, and could not: nothing was sent.
    Unable,
}

impl Ended {
    /// Whether a person must do at once what the guard has not done.
    pub fn is_urgent(self) -> bool {
        matches!(self, Self::Failed | Self::Unable)
    }

    pub fn has_acted(self) -> bool {
        matches!(self, Self::Acted | Self::Promoted | Self::Failed | Self::Unpromoted)
    }
}

/// A Lease, as far as it concerns us. Anybody may write one: all of it is untrusted text.
#[derive(Debug, Clone, PartialEq)]
pub struct Lease {
    pub word: Word,
    pub holder: Text,
    pub by: Text,
    /// `Rollout/checkout`.
    about: Text,
    pub until: Option<Time>,
    renewed: Option<Time>,
    lasts: TimeDelta,
    resource_version: Text,
}

impl Lease {
    pub fn read(object: &Object) -> Option<Self> {
        let value = object.value();
        let text = |path: &str| value.pointer(path).and_then(Value::as_str).map(Text::clean).unwrap_or_default();
        let time = |path: &str| moment(&text(path));
        let annotation = |name: &str| format!("/metadata/annotations/{}", escaped(name));
        let word = text(&format!("/metadata/labels/{}", escaped(MARK)));
        let lasts = value.pointer("/spec/leaseDurationSeconds").and_then(Value::as_i64).unwrap_or_default();
        Some(Self {
            word: Word::ALL.into_iter().find(|w| *w.name() == *word)?,
            holder: text("/spec/holderIdentity"),
            by: text(&annotation(BY)),
            about: text(&annotation(ROLLOUT)),
            until: time(&annotation(UNTIL)),
            renewed: time("/spec/renewTime"),
            lasts: TimeDelta::seconds(lasts.clamp(0, 3600)),
            resource_version: object.meta.resource_version.clone(),
        })
    }

    /// `shop/checkout`, as its holder wrote it down.
    pub fn rollout(&self, object: &Object) -> String {
        let name = self.about.split_once('/').map_or(&*self.about, |(_, name)| name);
        format!("{}/{name}", object.meta.namespace)
    }

    /// `bob (laptop/4f2a)`.
    fn whose(&self) -> String {
        format!("{} ({})", self.by, self.holder)
    }

    /// Whether its holder may still act. One that was not renewed may be taken over.
    pub fn is_live(&self, now: Time) -> bool {
        self.word == Word::Armed && self.until.is_some_and(|until| now < until) && self.renewed.is_some_and(|at| now < at + self.lasts)
    }
}

/// The lease of a rollout, if there is one.
pub fn lease_of(id: &Id, objects: &Objects) -> Option<Lease> {
    objects.named(&LEASE, &id.namespace, &lease_name(id)).and_then(|object| Lease::read(object))
}

/// So many characters the name of an object may have.
const LONGEST_NAME: usize = 253;

/// One lease for one rollout: kind and name are what tells rollouts of a namespace apart.
fn lease_name(id: &Id) -> String {
    let name = format!("rolltop-guard-{}-{}", id.kind.to_lowercase(), id.name);
    if name.len() <= LONGEST_NAME {
        return name;
    }
    // Two that are alike up to here must not share a lease: as controllers do, a hash stands for what is cut off.
    let hash = crate::notify::short_hash(&name);
    let kept: String = name.chars().take(LONGEST_NAME - hash.len() - 1).collect();
    format!("{}-{hash}", kept.trim_end_matches(['-', '.']))
}

/// Leave to act, as this session knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Arming {
    pub target: Id,
    /// What may be done: the abort, or a flag switched off.
    pub act: Intent,
    /// Or, by a policy, one step on.
    pub promotes: Option<Policy>,
    /// The pause it could be promoted at.
    pub pause: Option<Pause>,
    /// Hash of the version it is about.
    pub release: Text,
    pub by: Text,
    pub holder: Text,
    pub until: Time,
    /// When the lease was last known to be ours.
    pub held: Time,
    /// Who had written to the rollout when it was armed, and when.
    pub writers: Vec<Writer>,
    /// The step at which it was last seen to wait for a human.
    pub awaits: Option<Option<usize>>,
}

impl Arming {
    /// Of a plan that was carried out.
    pub fn begun(plan: &Plan, rollout: &Rollout, ground: &Ground<'_>) -> Option<Self> {
        let (Intent::Arm { minutes, flag }, Goal::Armed { release, .. }) = (&plan.intent, &plan.expect.goal) else { return None };
        Some(Self {
            target: plan.target.clone(),
            act: act(flag.as_ref()),
            // What was agreed to, also when another version has come meanwhile: then that ends it.
            release: release.clone(),
            promotes: ground.settings.promote.filter(|_| flag.is_none()),
            pause: None,
            by: ground.by.into(),
            holder: ground.holder.into(),
            until: ground.now + TimeDelta::minutes(i64::from(*minutes)),
            held: ground.now,
            writers: people(rollout).cloned().collect(),
            awaits: awaits(rollout),
        })
    }
}

/// Whoever ends a pause leaves no name in an Argo Rollout: a field that was taken away has no owner. But only a human does.
pub fn awaits(rollout: &Rollout) -> Option<Option<usize>> {
    rollout.wait.as_ref().filter(|wait| wait.who == WaitFor::Human).map(|_| rollout.steps.current)
}

/// The plan that arms, or why not.
pub fn arm(
    ground: &Ground<'_>,
    engine: &dyn Engine,
    known: &Known,
    (root, objects): (&Object, &Objects),
    minutes: u32,
    flag: Option<&Text>,
) -> Result<Plan, Refusal> {
    let rollout = &known.rollout;
    if !ground.settings.arming {
        return Err(Refusal::because("the settings let the guard advise only (safety.arming)"));
    }
    let span = TimeDelta::minutes(i64::from(minutes));
    let longest = LONGEST.as_secs() / 60;
    if minutes == 0 || u64::from(minutes) > longest {
        return Err(Refusal::because(format!("for 1 to {longest} minutes, not for {minutes}")));
    }
    let release = rollout.new_side().map(|t| &t.hash).filter(|hash| !hash.is_empty() && rollout.in_flight());
    let Some(release) = release else {
        return Err(Refusal::because("no release is in flight: there is nothing to pull the brake on").instead("arm it when one is", None));
    };
    if rollout.strategy == Strategy::Rolling {
        return Err(Refusal::because("the sides of a rolling update cannot be compared while it rolls").instead("watch it yourself", None));
    }
    let what = flag.map_or_else(|| "abort this release".to_owned(), |flag| format!("switch the flag {flag} off"));
    let onwards = match ground.settings.promote.filter(|_| flag.is_none()) {
        Some(_) => " Or it may, as once, promote it by one step where it waits for a person, when that is as good as the old side.",
        None => "",
    };
    let abort = super::consider(ground, engine, known, root, objects, &act(flag)).map_err(|refusal| {
        let reason = match flag {
            None => format!("it could not be aborted: {}", refusal.reason),
            Some(flag) => format!("the flag {flag} could not be switched off: {}", refusal.reason),
        };
        Refusal { reason: reason.into(), ..refusal }
    })?;
    // What a person must override, a machine must not.
    if let Some(danger) = abort.warnings.iter().find(|warning| warning.severity == Severity::Danger) {
        return Err(Refusal::because(format!("what it would do asks for a person: {}", danger.text)));
    }
    if let Some(why) = blind(ground, known) {
        return Err(Refusal::because(format!("{why}: the guard would be blind")));
    }
    let before = lease_of(&rollout.id, objects);
    if let Some(other) = before.as_ref().filter(|l| l.is_live(ground.now) && *l.holder != *ground.holder) {
        return Err(Refusal::because(format!("it is armed already, by {}{}", other.whose(), hour(" until ", other.until))));
    }
    let text = Written { id: &rollout.id, root, release, until: ground.now + span, ground };
    let write = match &before {
        Some(lease) => text.taken_over(lease),
        None => text.created(),
    };
    let said = before.as_ref().map_or_else(|| "no".into(), |lease| Text::from(lease.word.name()));
    let mut warnings: Vec<Notice> = before.iter().filter_map(|lease| taking_over(lease, ground)).collect();
    if known.verdict.is == Advice::Abort {
        let text = "ABORT is advised now: the guard will act within seconds".into();
        warnings.push(Notice { severity: Severity::Warning, text });
    }
    Ok(Plan {
        intent: Intent::Arm { minutes, flag: flag.cloned() },
        target: rollout.id.clone(),
        danger: Danger::Reversible,
        sentence: format!(
            "For {minutes} min the guard may {what} once, without asking, as soon as ABORT is advised on fresh readings.{onwards}"
        )
        .into(),
        writes: vec![write],
        changes: vec![Change { field: "armed".into(), from: said, to: format!("for version {release}").into() }],
        only_if: vec!["nobody else has armed it meanwhile".into()],
        expect: Expectation {
            goal: Goal::Armed { holder: ground.holder.into(), release: release.clone() },
            what: "armed".into(),
            within: Duration::from_secs(30),
        },
        back: "the same key disarms; so do its act, its time, stale readings, a lost connection, another version, and any other hand"
            .into(),
        warnings,
        switch: None,
        capacity: None,
    })
}

/// What another has armed and keeps up no longer: a person should know whose it was.
fn taking_over(lease: &Lease, ground: &Ground<'_>) -> Option<Notice> {
    let left = lease.word == Word::Armed && *lease.holder != *ground.holder;
    let over = lease.until.is_some_and(|until| ground.now >= until);
    let why = if over { hour("its time was over at ", lease.until) } else { hour("not heard of since ", lease.renewed) };
    let text = format!("this takes over what was armed by {}: {why}", lease.whose());
    left.then(|| Notice { severity: Severity::Warning, text: text.into() })
}

/// ` until 05:12 UTC`, in the words given.
fn hour(words: &str, at: Option<Time>) -> String {
    at.map(|at| format!("{words}{}", at.format("%H:%M UTC"))).unwrap_or_default()
}

/// What an armed guard may do.
fn act(flag: Option<&Text>) -> Intent {
    flag.map_or(Intent::Abort, |flag| Intent::Kill { flag: flag.clone() })
}

/// What the lease of a rollout says once it is armed.
struct Written<'a> {
    id: &'a Id,
    root: &'a Object,
    release: &'a str,
    until: Time,
    ground: &'a Ground<'a>,
}

impl Written<'_> {
    fn annotations(&self) -> Value {
        json!({
            ROLLOUT: format!("{}/{}", self.id.kind, self.id.name),
            RELEASE: self.release,
            UNTIL: self.until.to_rfc3339_opts(SecondsFormat::Secs, true),
            BY: self.ground.by,
        })
    }

    fn spec(&self) -> Value {
        let now = micro(self.ground.now);
        json!({"holderIdentity": self.ground.holder, "leaseDurationSeconds": LASTS.as_secs(), "acquireTime": now, "renewTime": now})
    }

    /// It goes with the rollout: nobody has to tidy up.
    fn created(&self) -> Write {
        let owner = json!({
            "apiVersion": self.root.resource.api_version(),
            "kind": self.root.resource.kind,
            "name": self.root.meta.name,
            "uid": self.root.meta.uid,
        });
        let lease = json!({
            "apiVersion": LEASE.api_version(),
            "kind": LEASE.kind,
            "metadata": {
                "name": lease_name(self.id),
                "namespace": self.id.namespace,
                "labels": {MARK: Word::Armed.name(), "app.kubernetes.io/managed-by": "rolltop"},
                "annotations": self.annotations(),
                "ownerReferences": [owner],
            },
            "spec": self.spec(),
        });
        Write { create: Some(lease), ..on_lease(self.id, Vec::new()) }
    }

    fn taken_over(&self, lease: &Lease) -> Write {
        // One's own is renewed all the time, which is no other hand.
        let mut patch = match lease.word == Word::Armed && *lease.holder == *self.ground.holder {
            true => ours(self.ground.holder),
            false => vec![json!({"op": "test", "path": "/metadata/resourceVersion", "value": lease.resource_version})],
        };
        patch.push(json!({"op": "add", "path": label(), "value": Word::Armed.name()}));
        patch.push(json!({"op": "add", "path": "/spec", "value": self.spec()}));
        let annotations = self.annotations();
        let each = annotations.as_object().into_iter().flatten();
        patch.extend(
            each.map(|(name, value)| json!({"op": "add", "path": format!("/metadata/annotations/{}", escaped(name)), "value": value})),
        );
        on_lease(self.id, patch)
    }
}

/// Only while the lease is this session's and was not used.
fn ours(holder: &str) -> Vec<Value> {
    vec![
        json!({"op": "test", "path": "/spec/holderIdentity", "value": holder}),
        json!({"op": "test", "path": label(), "value": Word::Armed.name()}),
    ]
}

fn on_lease(id: &Id, patch: Vec<Value>) -> Write {
    Write {
        resource: &LEASE,
        namespace: (&*id.namespace).into(),
        name: lease_name(id).into(),
        subresource: None,
        patch: Patch::Json(patch),
        call: None,
        create: None,
    }
}

/// The holder is still there.
pub fn renewal(id: &Id, holder: &str, now: Time) -> Write {
    let mut patch = ours(holder);
    patch.push(json!({"op": "replace", "path": "/spec/renewTime", "value": micro(now)}));
    on_lease(id, patch)
}

/// The lease is used, or given back.
pub fn ending(id: &Id, holder: &str, word: Word) -> Write {
    let mut patch = ours(holder);
    patch.push(json!({"op": "replace", "path": label(), "value": word.name()}));
    on_lease(id, patch)
}

/// The plan that disarms what this session has armed.
///
/// # Errors
/// Where that is nothing, with who has.
pub fn disarm(ground: &Ground<'_>, id: &Id, objects: &Objects) -> Result<Plan, Refusal> {
    let Some(arming) = ground.arming else {
        return Err(match lease_of(id, objects).filter(|lease| lease.is_live(ground.now)) {
            Some(lease) => Refusal::because(format!("it is armed by {}: only there it can be disarmed", lease.whose()))
                .instead("ask them; whatever you do to this rollout disarms it too", None),
            None => Refusal::because("it is not armed"),
        });
    };
    Ok(Plan {
        intent: Intent::Disarm,
        target: arming.target.clone(),
        danger: Danger::None,
        sentence: "The guard gives its leave back: from now on it only advises.".into(),
        writes: vec![ending(&arming.target, &arming.holder, Word::Disarmed)],
        changes: vec![Change { field: "armed".into(), from: format!("for version {}", arming.release).into(), to: "no".into() }],
        only_if: vec!["it has not acted yet".into()],
        expect: Expectation { goal: Goal::Disarmed, what: "disarmed".into(), within: Duration::from_secs(30) },
        back: "the same key arms it again".into(),
        warnings: Vec::new(),
        switch: None,
        capacity: None,
    })
}

/// Spends the lease before anything else: whoever cannot does not act.
pub fn spending(mut plan: Plan, arming: &Arming) -> Plan {
    let mut spent = ending(&arming.target, &arming.holder, Word::Spent);
    let Patch::Json(conditions) = &mut spent.patch;
    let release = format!("/metadata/annotations/{}", escaped(RELEASE));
    conditions.insert(0, json!({"op": "test", "path": release, "value": arming.release}));
    plan.writes.insert(0, spent);
    plan.only_if.push("the guard's lease is this session's and was not used".into());
    plan
}

/// How far arming or disarming can be seen in the lease.
pub fn progress(goal: &Goal, id: &Id, objects: &Objects) -> Option<Progress> {
    let lease = lease_of(id, objects);
    Some(match (goal, lease) {
        (Goal::Armed { holder, .. }, Some(lease)) if lease.word == Word::Armed && lease.holder == *holder => Progress::Done,
        (Goal::Armed { .. }, Some(lease)) if lease.word == Word::Armed => {
            Progress::Diverted(format!("it is armed by {}", lease.whose()).into())
        }
        (Goal::Disarmed, Some(lease)) if lease.word != Word::Armed => Progress::Done,
        (Goal::Disarmed, None) => Progress::Done,
        (Goal::Armed { .. } | Goal::Disarmed, _) => Progress::Nothing,
        _ => return None,
    })
}

/// Why the guard cannot see how the release does.
pub(super) fn blind(ground: &Ground<'_>, known: &Known) -> Option<String> {
    if !ground.settings.prometheus {
        return Some("no Prometheus is configured".into());
    }
    let fresh = &ground.settings.fresh;
    if !ground.links.fresh(Source::Fleet, ground.now, fresh.kubernetes) {
        return Some(match ground.links.get(Source::Fleet).state {
            LinkState::Live => "what the API server last said is stale".into(),
            _ => "the API server does not answer".into(),
        });
    }
    if !ground.links.fresh(Source::Prometheus, ground.now, fresh.prometheus) {
        return Some("Prometheus does not answer".into());
    }
    (known.verdict.stale || ground.readings_are_stale()).then(|| STALE_READINGS.into())
}

/// Everything that ends an arming before it acts, in the order it is asked.
type Ending = fn(&Ground<'_>, &Known, &Arming) -> Option<String>;

const ENDINGS: &[Ending] = &[
    |_, known, _| known.deleted.map(|_| "the rollout is gone".into()),
    |_, known, _| (!known.rollout.in_flight()).then(|| "the release is over".into()),
    |_, known, arming| {
        let now = known.rollout.new_side().map(|t| &t.hash);
        (now != Some(&arming.release)).then(|| "another version is on its way".into())
    },
    |ground, _, arming| (ground.now >= arming.until).then(|| "its time is over".into()),
    |_, known, arming| {
        let other = people(&known.rollout).find(|w| !arming.writers.contains(w))?;
        Some(format!("somebody else acted on it ({})", other.manager))
    },
    |_, known, arming| {
        let goes_on = arming.awaits.is_some() && awaits(&known.rollout) != arming.awaits;
        goes_on.then(|| "somebody else acted on it (it waited for a human, and goes on)".into())
    },
    |ground, known, _| blind(ground, known),
    |ground, _, arming| {
        let age = ground.now - arming.held;
        (age.to_std().is_ok_and(|age| age >= LASTS)).then(|| "its lease could not be renewed".into())
    },
];

/// Why the guard may no longer act, if so.
pub fn ends(ground: &Ground<'_>, known: &Known, arming: &Arming) -> Option<Text> {
    ENDINGS.iter().find_map(|ending| ending(ground, known, arming)).map(Text::from)
}

/// Whether the brake is to be pulled: only on evidence that is as fresh as it is clear.
pub fn calls_for_it(known: &Known) -> bool {
    known.verdict.is == Advice::Abort && !known.verdict.stale && known.rollout.in_flight()
}

fn label() -> String {
    format!("/metadata/labels/{}", escaped(MARK))
}

/// Kubernetes' `MicroTime`.
fn micro(at: Time) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}
