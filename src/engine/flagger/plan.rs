//! What may be asked of a Canary, and the exact writes.
//!
//! Flagger obeys three fields of the spec and one of the status; everything else is its own. The phase is never
//! written: a phase set by hand leaves route and pods as they are and makes the condition lie.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    dto,
    facts::{Facts, Workload},
    gates::{self, Keeper},
};
use crate::{
    engine::{
        Change, Expectation, Goal, Plan, Refusal,
        workload::{edit::Edit, image},
    },
    intent::{Command, Danger, Intent, Verb, describe},
    model::{Notice, Rollout, Severity, Text, Time},
};

/// A change of the target's template that is none, so that Flagger sees a new revision.
const RETRIED_AT: &str = "rolltop/retried-at";

/// What tells one state of a release from another.
const RELEASE: [&str; 4] = ["/status/phase", "/status/lastAppliedSpec", "/spec/suspend", "/spec/skipAnalysis"];

/// # Errors
/// Why it makes no sense now, with what to do instead.
pub fn plan(f: &Facts<'_>, rollout: &Rollout, intent: &Intent, now: Time) -> Result<Plan, Refusal> {
    if f.root.meta.deleting.is_some() || matches!(f.phase(), "Terminating" | "Terminated") {
        return Err(Refusal::because("it is being deleted"));
    }
    let draft = match intent {
        Intent::Pause => pause(f),
        Intent::Resume => resume(f),
        Intent::PromoteFull => promote_full(f),
        Intent::Abort => abort(f),
        Intent::Retry => retry(f, now),
        Intent::SetImage { container, image } => set_image(f, container, image),
        Intent::Promote => promote(f),
        Intent::Skip => Err(skip()),
        Intent::Undo { .. } => Err(undo(f)),
        Intent::Restart => Err(restart(f)),
        Intent::Flip => Err(Refusal::because("Flagger moves users itself: there is nothing to flip")
            .instead("promote-full skips the rest of the analysis", Some(Verb::PromoteFull))),
        _ => Err(Refusal::because("Flagger knows no such action")),
    }?;
    Ok(draft.finish(f, rollout, intent))
}

/// What the plan of a verb says; the rest is the same for all.
struct Draft {
    sentence: String,
    writes: Vec<crate::engine::Write>,
    changes: Vec<Change>,
    only_if: Vec<Text>,
    goal: Goal,
    what: &'static str,
    ticks: u32,
    back: String,
    warnings: Vec<Notice>,
}

impl Draft {
    fn new(sentence: impl Into<String>, goal: Goal, what: &'static str, back: impl Into<String>) -> Self {
        Self {
            sentence: sentence.into(),
            writes: Vec::new(),
            changes: Vec::new(),
            only_if: Vec::new(),
            goal,
            what,
            ticks: 0,
            back: back.into(),
            warnings: Vec::new(),
        }
    }

    fn write(mut self, edit: Edit<'_>) -> Self {
        self.writes.push(edit.write());
        self
    }

    fn call(mut self, write: crate::engine::Write) -> Self {
        self.writes.push(write);
        self
    }

    fn change(mut self, field: impl Into<Text>, from: impl Into<Text>, to: impl Into<Text>) -> Self {
        self.changes.push(Change { field: field.into(), from: from.into(), to: to.into() });
        self
    }

    fn only_if(mut self, words: impl Into<Text>) -> Self {
        self.only_if.push(words.into());
        self
    }

    /// Seen only after this many ticks.
    fn ticks(mut self, ticks: u32) -> Self {
        self.ticks = ticks;
        self
    }

    fn warn(mut self, severity: Severity, when: bool, text: impl Into<Text>) -> Self {
        if when {
            self.warnings.push(Notice { severity, text: text.into() });
        }
        self
    }

    fn finish(mut self, f: &Facts<'_>, rollout: &Rollout, intent: &Intent) -> Plan {
        self.warnings.sort_by_key(|n| std::cmp::Reverse(n.severity));
        // Flagger looks at its Canaries every ten seconds, and at each one at its interval.
        let tick = Duration::try_from_secs_f64(f.interval()).unwrap_or(Duration::from_secs(60));
        Plan {
            intent: intent.clone(),
            target: rollout.id.clone(),
            danger: describe(Command::Act(intent.verb())).map_or(Danger::Reversible, |row| row.danger),
            sentence: self.sentence.into(),
            writes: self.writes,
            switch: None,
            changes: self.changes,
            only_if: self.only_if,
            expect: Expectation {
                goal: self.goal,
                what: self.what.into(),
                within: Duration::from_secs(30).saturating_add(tick.saturating_mul(self.ticks)),
            },
            back: self.back.into(),
            warnings: self.warnings,
            capacity: None,
        }
    }
}

fn word(on: bool) -> &'static str {
    if on { "true" } else { "false" }
}

fn still(f: &Facts<'_>) -> String {
    format!("it is still {} with the same revision", f.phase())
}

// ── pause and resume ────────────────────────────────────────────────────────────────────────────

fn pause(f: &Facts<'_>) -> Result<Draft, Refusal> {
    if f.ca.spec.suspend {
        return Err(Refusal::because("it is already suspended").instead("resume it", Some(Verb::Resume)));
    }
    let sentence = match f.in_flight() {
        true => "Suspends it: weights, counters and pods stay as they are, and no check runs.",
        false => "Suspends it: a new version will not be released until someone resumes.",
    };
    Ok(Draft::new(sentence, Goal::Paused, "it is suspended", "resume")
        .write(Edit::main(f.root).all_same(&RELEASE).set("/spec/suspend", Value::Bool(true)))
        .change("spec.suspend", "false", "true")
        .only_if(still(f))
        .warn(Severity::Warning, f.in_flight(), "no checks run while suspended: a broken new version keeps its share of users"))
}

/// Takes back what holds it: the suspension first, then a skipAnalysis that was left on.
fn resume(f: &Facts<'_>) -> Result<Draft, Refusal> {
    if f.ca.spec.suspend {
        return Ok(Draft::new(
            "Ends the suspension: the analysis goes on where it stood.",
            Goal::Resumed,
            "it is no longer suspended",
            "pause",
        )
        .write(Edit::main(f.root).all_same(&RELEASE).set("/spec/suspend", Value::Bool(false)))
        .change("spec.suspend", "true", "false")
        .only_if(still(f)));
    }
    if f.ca.spec.skip_analysis {
        let sentence = "Sets skipAnalysis back: releases are analysed again.";
        return Ok(Draft::new(sentence, Goal::Analysed, "releases are analysed again", "promote-full sets it again")
            .write(Edit::main(f.root).all_same(&RELEASE).set("/spec/skipAnalysis", Value::Bool(false)))
            .change("spec.skipAnalysis", "true", "false")
            .only_if(still(f))
            .warn(Severity::Warning, f.phase() == "Progressing", "the release in flight has not been promoted yet: it is analysed again"));
    }
    Err(match f.closed_gate() {
        Some((kind, hook)) => gates::refusal(f, format!("it is not suspended, gate {kind} is closed"), hook),
        None => Refusal::because("it is not suspended"),
    })
}

// ── forward ─────────────────────────────────────────────────────────────────────────────────────

/// A gate is no field: its server is asked, where the API server leads to it.
fn promote(f: &Facts<'_>) -> Result<Draft, Refusal> {
    if f.ca.spec.suspend && f.in_flight() {
        return Err(Refusal::because("it is suspended: nothing would happen").instead("resume it first", Some(Verb::Resume)));
    }
    let Some((kind, hook)) = f.closed_gate() else { return Err(nothing_to_open(f)) };
    let Some((hook, keeper)) = hook.and_then(|hook| Some((hook, Keeper::of(hook)?))) else {
        let place = hook.map_or_else(String::new, |hook| format!(": {} is no gate at a Service of this cluster", hook.url));
        return Err(gates::refusal(f, format!("gate {kind} is closed, and can be opened only where it is answered{place}"), hook));
    };
    Ok(open(f, kind, hook, &keeper))
}

/// Each gate by the order it is asked in, and what comes when it opens.
const GATES: [(&str, &str, &str); 3] = [
    ("confirm-rollout", "starts the new version", "the new version starts"),
    ("confirm-traffic-increase", "raises the weight", "the gate has let it pass"),
    ("confirm-promotion", "promotes the new version", "it is being promoted"),
];

fn open(f: &Facts<'_>, kind: &'static str, hook: &dto::Webhook, keeper: &Keeper) -> Draft {
    let (index, (_, then, what)) = (0..).zip(GATES).find(|(_, (name, ..))| *name == kind).unwrap_or((0, GATES[0]));
    let Keeper { namespace, name, .. } = keeper;
    let goal = Goal::PauseOver {
        hash: f.ca.status.last_applied_spec.as_str().into(),
        index: Some(index),
        started: f.ca.status.last_transition_time.0,
    };
    let back = match kind {
        "confirm-promotion" => "none once it is promoting; then set-image with the old version",
        _ => "abort",
    };
    // One gate for all hooks of a Canary: whatever asks it later finds it open too.
    let also: Vec<&str> = GATES[index as usize..].iter().skip(1).filter(|(kind, ..)| asks_the_same(f, kind, hook)).map(|g| g.0).collect();
    Draft::new(
        format!("Opens gate {kind} with POST /gate/open to Service {name} in {namespace}. At its next tick Flagger {then}."),
        goal,
        what,
        back,
    )
    .call(keeper.open(f, Edit::main(f.root).all_same(&RELEASE).write()))
    .change(format!("gate of {}.{}", f.root.meta.name, f.root.meta.namespace), "closed", "open")
    .only_if(still(f))
    .only_if("the gate is still closed")
    .ticks(2)
    .warn(Severity::Warning, !also.is_empty(), format!("the same gate is asked at {}: it will be open there too", also.join(" and ")))
    .warn(Severity::Warning, true, format!("it stays open for every later release until it is closed: {}", keeper.command(f, "close")))
}

fn asks_the_same(f: &Facts<'_>, kind: &str, hook: &dto::Webhook) -> bool {
    f.hooks(kind).any(|other| Keeper::of(other) == Keeper::of(hook))
}

fn nothing_to_open(f: &Facts<'_>) -> Refusal {
    match f.phase() {
        _ if f.ca.spec.suspend => Refusal::because("it is suspended").instead("resume it", Some(Verb::Resume)),
        "Progressing" | "WaitingPromotion" => {
            Refusal::because("Flagger steps by itself while the checks pass; no gate is known to be closed")
                .instead("promote-full skips the rest of the analysis", Some(Verb::PromoteFull))
        }
        _ if f.failed() => Refusal::because("it was rolled back").instead("retry analyses it again", Some(Verb::Retry)),
        _ => Refusal::because("there is nothing to promote"),
    }
}

/// Flagger takes a weight written by hand for its own progress.
fn skip() -> Refusal {
    Refusal::because(
        "Flagger has no step to skip, and a weight set by hand would be read back as its progress: off its list it jumps to 100 %",
    )
    .instead("promote-full skips the rest of the analysis", Some(Verb::PromoteFull))
}

fn promote_full(f: &Facts<'_>) -> Result<Draft, Refusal> {
    let spec = &f.ca.spec;
    match f.phase() {
        _ if spec.suspend && f.in_flight() => {
            return Err(Refusal::because("it is suspended: nothing would happen").instead("resume it first", Some(Verb::Resume)));
        }
        "Waiting" => {
            let hook = f.closed_gate().and_then(|(_, hook)| hook);
            return Err(gates::refusal(f, "gate confirm-rollout is closed, and holds even without analysis", hook));
        }
        "Progressing" | "WaitingPromotion" if spec.skip_analysis => {
            return Err(Refusal::because("it is already being promoted without analysis"));
        }
        "Progressing" | "WaitingPromotion" => {}
        "Failed" => return Err(Refusal::because("it was rolled back").instead("retry analyses it again", Some(Verb::Retry))),
        "Promoting" | "Finalising" => return Err(Refusal::because("it is already being promoted")),
        _ => return Err(Refusal::because("there is nothing to promote")),
    }
    let ready = f.canary_ready();
    Ok(Draft::new(
        "Promotes without further analysis: at the next tick the primary takes the new version.",
        Goal::Stable(f.ca.status.last_applied_spec.as_str().into()),
        "the new version is the primary's",
        "none once it is promoting; then set-image with the old version",
    )
    .write(Edit::main(f.root).all_same(&RELEASE).set("/spec/skipAnalysis", Value::Bool(true)))
    .change("spec.skipAnalysis", word(spec.skip_analysis), "true")
    .only_if(still(f))
    .ticks(3)
    .warn(Severity::Warning, true, "skipAnalysis stays on for every later release until it is set back: resume does that afterwards")
    .warn(Severity::Warning, true, "Flagger says Succeeded without waiting for the primary's rolling update")
    .warn(Severity::Danger, ready == Some(false), "the new pods are not ready: it takes effect only when they are")
    .warn(Severity::Warning, ready.is_none(), "whether the new pods are ready is not known"))
}

// ── back ────────────────────────────────────────────────────────────────────────────────────────

fn abort(f: &Facts<'_>) -> Result<Draft, Refusal> {
    match f.phase() {
        "Progressing" | "WaitingPromotion" => {}
        "Waiting" => {
            return Err(Refusal::because("nothing runs yet: the new version waits at its gate, and no user is on it")
                .instead("leave the gate closed, or set the old image again", Some(Verb::SetImage)));
        }
        "Promoting" | "Finalising" => {
            return Err(Refusal::because("it is being promoted: Flagger no longer looks at the checks")
                .instead("set the old image when it is done", Some(Verb::SetImage)));
        }
        "Failed" => return Err(Refusal::because("it is already rolled back")),
        _ => return Err(Refusal::because("nothing is in flight")),
    }
    let draft = if unavailable(f) { abort_unready(f) } else { abort_by_checks(f) };
    Ok(if f.ca.spec.suspend { then_resume(f, draft) } else { draft })
}

/// Flagger gives up a canary by its deadline only when the target says it is unavailable.
fn unavailable(f: &Facts<'_>) -> bool {
    let condition = f.target.as_ref().and_then(|t| t.condition("Available"));
    f.canary_ready() == Some(false) && condition.is_some_and(|c| c.status == "False" && c.reason == "MinimumReplicasUnavailable")
}

fn abort_by_checks(f: &Facts<'_>) -> Draft {
    let (failed, threshold) = (f.ca.status.failed_checks.0, f.threshold());
    let ready = f.canary_ready();
    // Already there: the next tick rolls back by itself, and a larger number does no harm.
    let to = threshold.max(failed.saturating_add(1));
    let edit = Edit::status(f.root).all_same(&RELEASE).same("/status/failedChecks");
    Draft::new(
        format!("Counts {to} failed checks of {threshold}: at the next tick Flagger rolls back, all users on the primary."),
        Goal::Aborted,
        "it is rolled back",
        "retry: the analysis begins anew",
    )
    .write(edit.set("/status/failedChecks", to.into()))
    .change("status.failedChecks", failed.to_string(), to.to_string())
    .only_if(still(f))
    .only_if(format!("{failed} checks have failed"))
    .ticks(2)
    .warn(Severity::Warning, ready == Some(false), "Flagger looks at the checks only when the new pods are ready: until then this waits")
    .warn(Severity::Warning, ready.is_none(), "whether the new pods are ready is not known; until they are this waits")
}

fn abort_unready(f: &Facts<'_>) -> Draft {
    let old = f.ca.spec.progress_deadline_seconds.map_or_else(|| "null".to_owned(), |n| n.0.to_string());
    let (name, namespace) = (&f.root.meta.name, &f.root.meta.namespace);
    let back = format!(r#"kubectl -n {namespace} patch canary {name} --type merge -p '{{"spec":{{"progressDeadlineSeconds":{old}}}}}'"#);
    let edit = Edit::main(f.root).all_same(&RELEASE).same("/spec/progressDeadlineSeconds");
    Draft::new(
        "The new pods are not ready, so Flagger does not look at the checks: a deadline of 1 s makes it roll back at the next tick.",
        Goal::Aborted,
        "it is rolled back",
        "retry, after the deadline was set back",
    )
    .write(edit.set("/spec/progressDeadlineSeconds", 1.into()))
    .change("spec.progressDeadlineSeconds", if old == "null" { "600 (default)" } else { old.as_str() }, "1")
    .only_if(still(f))
    .ticks(2)
    .warn(Severity::Warning, true, format!("the deadline must be set back afterwards: {back}"))
}

/// A suspended Canary does not react; the suspension goes last, so that no check runs before.
fn then_resume(f: &Facts<'_>, draft: Draft) -> Draft {
    draft.write(Edit::main(f.root).test("/spec/suspend", Value::Bool(true)).set("/spec/suspend", Value::Bool(false))).change(
        "spec.suspend",
        "true",
        "false",
    )
}

fn undo(f: &Facts<'_>) -> Refusal {
    if matches!(f.phase(), "Progressing" | "WaitingPromotion") {
        return Refusal::because("the primary still runs the old version").instead("abort", Some(Verb::Abort));
    }
    Refusal::because("Flagger keeps no earlier versions: an older template is a new release to it")
        .instead("set the old image", Some(Verb::SetImage))
}

// ── the target ──────────────────────────────────────────────────────────────────────────────────

fn target<'f, 'a>(f: &'f Facts<'a>) -> Result<&'f Workload<'a>, Refusal> {
    let name = f.target_name();
    let reason = if f.is_deployment() {
        format!("Deployment {name} is not at hand")
    } else {
        format!("its target is a {}, which rolltop does not write", f.ca.spec.target_ref.kind)
    };
    f.target.as_ref().ok_or_else(|| Refusal::because(reason).instead("open the rollout and try again", None))
}

fn retry(f: &Facts<'_>, now: Time) -> Result<Draft, Refusal> {
    if !f.failed() {
        return Err(Refusal::because("nothing has failed").instead("set-image begins a new release", Some(Verb::SetImage)));
    }
    let target = target(f)?;
    let at = now.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let old = target.dto.spec.template.metadata.annotation(RETRIED_AT);
    let parent = "/spec/template/metadata/annotations";
    let edit = Edit::main(target.object).pinned();
    // Adding below a member that is not there would be refused.
    let edit = match target.object.value().pointer(parent).is_some_and(Value::is_object) {
        true => edit.set(&format!("{parent}/{}", RETRIED_AT.replace('/', "~1")), at.as_str().into()),
        false => edit.same(parent).set(parent, json!({ RETRIED_AT: at })),
    };
    let gated = f.hooks("confirm-rollout").next().is_some();
    Ok(Draft::new(
        format!("Annotates the template of Deployment {}: a new revision to Flagger, analysed from the start.", f.target_name()),
        Goal::Template { hash: None, not: Some(f.ca.status.last_applied_spec.as_str().into()) },
        "it is analysed again",
        "abort",
    )
    .write(edit)
    .change(format!("template annotation {RETRIED_AT}"), if old.is_empty() { "none" } else { old }, at.as_str())
    .only_if(format!("Deployment {} is as it was read", f.target_name()))
    .ticks(2)
    .warn(Severity::Warning, f.ca.spec.suspend, "it is suspended: nothing starts until someone resumes")
    .warn(Severity::Warning, f.ca.spec.skip_analysis, "skipAnalysis is on: it will be promoted without a check")
    .warn(Severity::Note, gated, "gate confirm-rollout is asked first"))
}

fn restart(f: &Facts<'_>) -> Refusal {
    let refusal = Refusal::because("restarted pods of the target are a new revision to Flagger, and the primary is its own");
    if f.failed() {
        return refusal.instead("retry analyses it again", Some(Verb::Retry));
    }
    refusal
        .instead(format!("kubectl -n {} rollout restart deployment/{} begins a new analysis", f.root.meta.namespace, f.target_name()), None)
}

fn set_image(f: &Facts<'_>, container: &str, image: &str) -> Result<Draft, Refusal> {
    image::check(image).map_err(|wrong| {
        Refusal::because(format!("{image:?} is no image name: {wrong}")).instead("such as registry.example:5000/team/app:v2", None)
    })?;
    let target = target(f)?;
    let spec = &target.dto.spec.template.spec;
    let lists = [("containers", &spec.containers), ("initContainers", &spec.init_containers)];
    let found = lists.iter().find_map(|(list, all)| {
        let at = all.iter().position(|c| c.name == container)?;
        Some((format!("/spec/template/spec/{list}/{at}"), all.get(at)?.image.clone()))
    });
    let Some((at, old)) = found else {
        let known: Vec<&str> = spec.containers.iter().map(|c| c.name.as_str()).collect();
        return Err(
            Refusal::because(format!("there is no container {container}")).instead(format!("containers: {}", known.join(", ")), None)
        );
    };
    if old == image {
        return Err(
            Refusal::because(format!("container {container} already has image {image}")).instead("name another tag or digest", None)
        );
    }
    let again = if f.in_flight() { " The analysis in flight begins anew with it." } else { "" };
    Ok(Draft::new(
        format!("Begins a new release with {image} in container {container}.{again}"),
        Goal::Template { hash: None, not: Some(f.ca.status.last_applied_spec.as_str().into()) },
        "a new version is being released",
        format!("abort, or set {old} again"),
    )
    .write(Edit::main(target.object).same(&format!("{at}/name")).same(&format!("{at}/image")).set(&format!("{at}/image"), image.into()))
    .change(format!("image of {container}"), old.as_str(), image)
    .only_if(format!("container {container} still has {old}"))
    .ticks(2)
    .warn(Severity::Warning, f.ca.spec.suspend, "it is suspended: nothing starts until someone resumes")
    .warn(Severity::Danger, f.ca.spec.skip_analysis, "skipAnalysis is on: it will be promoted without a check"))
}
