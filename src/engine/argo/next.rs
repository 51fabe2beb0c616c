//! Why it stands still, what happens next if nobody does anything, and the fast way back.

use super::{
    dto,
    facts::{Facts, Set},
    status::{self, Situation, situation},
    steps::{self, short},
    tracks,
};
use crate::{
    intent::Verb,
    model::{Next, Steps, Text, Time, Wait, WaitFor, WayBack},
};

// ── wait ────────────────────────────────────────────────────────────────────────────────────────

fn wait_for(who: WaitFor, reason: impl Into<Text>, since: Option<Time>) -> Option<Wait> {
    Some(Wait { who, reason: reason.into(), since, until: None })
}

pub fn wait(f: &Facts<'_>) -> Option<Wait> {
    use Situation as S;
    let paused_at = f.ro.status.pause_conditions.first().and_then(|p| p.start_time.0);
    match situation(f) {
        S::Idle if status::word(f).phase == "Healthy" => None,
        S::Deleting => wait_for(WaitFor::Controller, "being deleted", None),
        S::Unobserved | S::Unpausing | S::AbortPending | S::RetryPending => wait_for(WaitFor::Controller, status::word(f).message, None),
        S::Invalid => wait_for(WaitFor::Human, "the spec is invalid", condition_since(f, "InvalidSpec")),
        S::Aborted | S::AbortBlocked | S::AbortFrozen => wait_for(WaitFor::Human, "aborted", f.ro.status.aborted_at.0),
        S::ManualPause | S::IdlePaused => wait_for(WaitFor::Human, "manually paused", manual_since(f)),
        S::InconclusiveExperiment => wait_for(WaitFor::Human, "the experiment could not decide", paused_at),
        S::InconclusiveStep | S::InconclusiveBackground | S::InconclusiveBlueGreen => {
            wait_for(WaitFor::Human, "the analysis could not decide", paused_at)
        }
        S::PauseStep => timed("pause step", paused_at, steps::pause_seconds(f)),
        S::PauseBlueGreen => timed("before the switch", paused_at, steps::auto_promotion_seconds(f)),
        S::DeadlineExceeded => wait_for(WaitFor::Human, named(f, "gave up waiting for pods".into()), condition_since(f, "Progressing")),
        S::AfterCutover => after_cutover(f),
        S::RunningStep => running(f),
        S::FirstDeploy | S::Idle | S::PromotingFull | S::Finishing | S::Running => for_pods(f),
    }
}

fn timed(reason: &str, since: Option<Time>, seconds: Option<f64>) -> Option<Wait> {
    let until = since.zip(seconds).and_then(|(start, s)| steps::after(start, s));
    let who = if seconds.is_some() { WaitFor::Timer } else { WaitFor::Human };
    Some(Wait { who, reason: reason.into(), since, until })
}

fn condition_since(f: &Facts<'_>, kind: &str) -> Option<Time> {
    f.condition(kind)?.last_transition_time.0
}

/// The Paused condition tells since when only if no other pause set it before.
fn manual_since(f: &Facts<'_>) -> Option<Time> {
    if f.ro.status.pause_conditions.is_empty() { condition_since(f, "Paused") } else { None }
}

fn after_cutover(f: &Facts<'_>) -> Option<Wait> {
    let run =
        f.ro.status.blue_green.post_promotion_analysis_run_status.as_ref().filter(|r| matches!(r.status.as_str(), "Running" | "Pending"));
    match run {
        Some(_) if !status::active_is_empty(f) => wait_for(WaitFor::Analysis, "post-promotion analysis", None),
        _ => for_pods(f),
    }
}

fn running(f: &Facts<'_>) -> Option<Wait> {
    let step = f.step_index().and_then(|i| f.steps().get(i))?;
    let since = steps::steps(f).now().and_then(|s| s.started);
    match step {
        dto::Step { analysis: Some(_), .. } => wait_for(WaitFor::Analysis, "analysis step", since),
        dto::Step { experiment: Some(_), .. } => wait_for(WaitFor::Experiment, "experiment step", since),
        dto::Step { set_weight: Some(_), .. } | dto::Step { set_canary_scale: Some(_), .. } => for_pods(f),
        _ => wait_for(WaitFor::Controller, "step in progress", since),
    }
}

/// The reason with what keeps the new side's pods from starting, when that can be seen.
fn named(f: &Facts<'_>, reason: String) -> String {
    match f.stuck() {
        Some(stuck) if reason.is_empty() => stuck.reason,
        Some(stuck) => format!("{reason}: {}", stuck.reason),
        None => reason,
    }
}

fn for_pods(f: &Facts<'_>) -> Option<Wait> {
    // The condition is of the release before until the controller has begun with this one.
    let begun = f.in_flight().then(|| super::started(f).or_else(|| f.root.meta.written())).flatten();
    let progressed = f.condition("Progressing").and_then(|c| c.last_update_time.0);
    let since = condition_since(f, "Progressing").max(progressed).max(begun);
    let reason = match tracks::ready_of_new(f) {
        (ready, wanted) if ready < wanted => format!("{ready} of {wanted} new pods ready"),
        _ => status::word(f).message,
    };
    wait_for(WaitFor::Pods, named(f, reason), since)
}

// ── next ────────────────────────────────────────────────────────────────────────────────────────

fn phrase(what: impl Into<Text>) -> Next {
    Next { at: None, what: what.into() }
}

pub fn next(f: &Facts<'_>) -> Next {
    use Situation as S;
    let then = |words: &str| phrase(format!("nothing until someone {words}"));
    match situation(f) {
        S::Deleting => phrase("its pods are removed"),
        S::Unobserved | S::Unpausing | S::AbortPending | S::RetryPending => phrase("the controller acts on the last change"),
        S::Invalid => then("corrects the spec"),
        S::AbortBlocked => blocked_next(f),
        S::AbortFrozen => phrase("nothing: the abort waits for a resume"),
        S::Aborted => aborted_next(f),
        S::IdlePaused => then("resumes"),
        S::Idle | S::FirstDeploy => idle_next(f),
        S::PromotingFull => gives_up(f).unwrap_or_else(|| phrase("all users on the new version, rest skipped")),
        S::ManualPause => then(&format!("resumes; then {}", resumed(f))),
        S::InconclusiveExperiment => phrase("starts experiments until abort or skip"),
        S::InconclusiveStep => then(&format!("promotes; then {}", following(f))),
        S::InconclusiveBackground => then("promotes; then the analysis starts anew"),
        S::InconclusiveBlueGreen => then("promotes or aborts"),
        S::PauseStep => pause_next(f, steps::pause_seconds(f), &following(f)),
        S::PauseBlueGreen => pause_next(f, steps::auto_promotion_seconds(f), "all users switch"),
        S::DeadlineExceeded => phrase("nothing, until someone acts or pods get ready"),
        S::AfterCutover => verify_next(f),
        S::RunningStep => gives_up(f).unwrap_or_else(|| phrase(running_next(f))),
        S::Finishing => gives_up(f).unwrap_or_else(|| phrase("becomes stable once its pods are ready")),
        S::Running => gives_up(f).unwrap_or_else(|| phrase(bring_up(f))),
    }
}

fn bring_up(f: &Facts<'_>) -> &'static str {
    match f.blue_green() {
        None => "all users on the new version, pod by pod",
        Some(b) if b.auto_promotion_enabled == Some(false) => "waits for a promotion once the preview is up",
        Some(_) => "users are switched once the preview is up",
    }
}

fn pause_next(f: &Facts<'_>, seconds: Option<f64>, then: &str) -> Next {
    let start = f.ro.status.pause_conditions.first().and_then(|p| p.start_time.0);
    match seconds {
        Some(s) => Next { at: start.and_then(|t| steps::after(t, s)), what: then.into() },
        None => phrase(format!("nothing until someone promotes; then {then}")),
    }
}

/// What a resume uncovers: a pause below stays, everything else goes on.
fn resumed(f: &Facts<'_>) -> String {
    if status::waits_for_human(f) {
        return "the pause below waits on".into();
    }
    let has_timer = !f.ro.status.pause_conditions.is_empty();
    if has_timer { format!("the pause below runs out: {}", following(f)) } else { "it goes on".into() }
}

/// Steps after the one in progress, up to where it stands still again.
pub fn following(f: &Facts<'_>) -> String {
    f.step_index().map_or_else(|| "all users on the new version".into(), |i| from_step(&steps::steps(f), i + 1))
}

/// Steps from an index on, up to where it stands still again, in words.
pub fn from_step(steps: &Steps, index: usize) -> String {
    use crate::model::StepKind as K;
    let mut words: Vec<&str> = Vec::new();
    for step in steps.items.iter().skip(index) {
        words.push(&step.label);
        if matches!(step.kind, K::Pause(_) | K::Analysis | K::Experiment) {
            return words.join(", then ");
        }
    }
    words.push("all users on the new version");
    words.join(", then ")
}

fn running_next(f: &Facts<'_>) -> String {
    let step = f.step_index().and_then(|i| f.steps().get(i));
    let after = following(f);
    match step {
        Some(dto::Step { analysis: Some(_), .. }) => format!("if the analysis succeeds {after}; else abort"),
        Some(dto::Step { experiment: Some(_), .. }) => format!("if the experiment succeeds {after}; else abort"),
        Some(dto::Step { plugin: Some(_), .. }) => format!("when the plugin is done {after}"),
        _ => format!("once the pods are ready {after}"),
    }
}

/// The moment the controller stops waiting for pods, while some are missing and the clock runs.
fn gives_up(f: &Facts<'_>) -> Option<Next> {
    let (ready, wanted) = tracks::ready_of_new(f);
    let missing = wanted.checked_sub(ready).filter(|missing| *missing > 0)?;
    let progressing = f.condition("Progressing").filter(|c| c.status == "True")?;
    let blocked = [dto_step_holds_clock(f), !f.ro.status.pause_conditions.is_empty(), f.ro.spec.paused];
    if blocked.contains(&true) {
        return None;
    }
    #[allow(clippy::cast_precision_loss)]
    let at = steps::after(progressing.last_update_time.0?, f.progress_deadline().max(0) as f64)?;
    Some(Next {
        at: Some(at),
        what: format!("gives up unless {missing} more {} ready", if missing == 1 { "pod gets" } else { "pods get" }).into(),
    })
}

/// The progress deadline is not evaluated on pause, analysis and experiment steps.
fn dto_step_holds_clock(f: &Facts<'_>) -> bool {
    let step = f.step_index().and_then(|i| f.steps().get(i));
    step.is_some_and(|s| s.pause.is_some() || s.analysis.is_some() || s.experiment.is_some())
}

fn aborted_next(f: &Facts<'_>) -> Next {
    match f.set(f.current()).and_then(Set::deadline) {
        Some(at) => Next { at: Some(at), what: "aborted pods are removed".into() },
        None => phrase("nothing until someone retries or undoes"),
    }
}

fn blocked_next(f: &Facts<'_>) -> Next {
    match f.set(f.active()).and_then(Set::deadline) {
        Some(at) => Next { at: Some(at), what: "outage: the active pods are removed".into() },
        None => phrase("nothing until someone undoes to stable"),
    }
}

fn idle_next(f: &Facts<'_>) -> Next {
    let leaving = f.sets.iter().filter(|s| s.hash != f.current()).filter_map(Set::deadline).min();
    match leaving {
        Some(at) => Next { at: Some(at), what: "the old pods are removed".into() },
        None if status::word(f).phase == "Healthy" && unseen_old(f) => phrase("nothing for users"),
        None if status::word(f).phase == "Healthy" => phrase("nothing"),
        None => gives_up(f).unwrap_or_else(|| phrase("steady once all pods are ready")),
    }
}

/// Whether old pods may still be there to flip back to: what they are is only known of an open rollout.
fn unseen_old(f: &Facts<'_>) -> bool {
    f.is_blue_green() && f.sets.is_empty()
}

fn verify_next(f: &Facts<'_>) -> Next {
    let run = f.ro.status.blue_green.post_promotion_analysis_run_status.as_ref();
    if status::active_is_empty(f) {
        return gives_up(f).unwrap_or_else(|| phrase("waits for pods that users are already on"));
    }
    match run {
        Some(r) if r.status != "Successful" => phrase("stable if post-promotion analysis succeeds"),
        _ => phrase("the new version becomes stable"),
    }
}

// ── way back ────────────────────────────────────────────────────────────────────────────────────

/// Seconds an abort takes where only a weight or a selector changes: two passes of the controller and the
/// router's reload. Measured: 30 ms for a selector, at once for a weight.
const ABORT_SECONDS: u32 = 3;

fn back(action: Verb, seconds: Option<u32>, what: impl Into<Text>) -> WayBack {
    WayBack { action: Some(action), seconds, until: None, what: what.into() }
}

pub fn way_back(f: &Facts<'_>) -> WayBack {
    use Situation as S;
    match situation(f) {
        S::Deleting | S::FirstDeploy => WayBack { what: "there is nothing to go back to".into(), ..WayBack::default() },
        S::Unobserved | S::Unpausing | S::AbortPending | S::RetryPending => {
            WayBack { what: "known once the controller has acted".into(), ..WayBack::default() }
        }
        S::Aborted => WayBack { what: "already back on the old version".into(), ..WayBack::default() },
        S::Invalid => back(Verb::Undo, None, "undo: the last template that was valid"),
        S::AbortBlocked => back(Verb::Undo, Some(ABORT_SECONDS), "undo to stable: abort is blocked"),
        S::AbortFrozen => back(Verb::Abort, Some(ABORT_SECONDS), "abort again: ends the pause that blocks it"),
        S::Idle | S::IdlePaused => idle_back(f),
        S::AfterCutover => cutover_back(f),
        _ if f.after_cutover() => cutover_back(f),
        S::PromotingFull => back(Verb::Abort, abort_seconds(f), "abort: ends the full promotion"),
        _ => back(Verb::Abort, abort_seconds(f), format!("abort: {}", abort_words(f))),
    }
}

/// An abort is instant while the stable side keeps its pods and something else than pods decides who gets what.
fn abort_seconds(f: &Facts<'_>) -> Option<u32> {
    let at_once = f.is_blue_green() || f.router().is_some() && !f.canary().is_some_and(|c| c.dynamic_stable_scale);
    at_once.then_some(ABORT_SECONDS)
}

fn abort_words(f: &Facts<'_>) -> String {
    if f.is_blue_green() {
        return "no user has moved".into();
    }
    let dynamic = f.canary().is_some_and(|c| c.dynamic_stable_scale);
    match (f.router(), dynamic) {
        (None, _) => "stable pods replace the new ones".into(),
        (Some(_), true) => "gradually, stable gets its pods first".into(),
        (Some(_), false) => format!("weight to 0, ≈ {} s", short(f64::from(ABORT_SECONDS)).trim_end_matches('s')),
    }
}

/// Whether an abort after the switch of a blue-green would end in an outage: while it is manually paused, or with
/// unready pods behind the active Service, that Service is not switched back, and then those pods are removed.
pub fn abort_trap(f: &Facts<'_>) -> bool {
    let new = f.set(f.current());
    let unready = new.map_or(f.ro.status.ready_replicas.count() < f.replicas(), |s| s.ready() < s.wanted());
    f.after_cutover() && (f.ro.spec.paused || unready)
}

fn cutover_back(f: &Facts<'_>) -> WayBack {
    match abort_trap(f) {
        true => back(Verb::Undo, Some(ABORT_SECONDS), "undo to stable; abort would be an outage"),
        false => back(Verb::Abort, Some(ABORT_SECONDS), "abort: the active Service goes back at once"),
    }
}

/// The old side of a finished blue-green that still has its pods.
pub fn flip_target<'a, 'b>(f: &'b Facts<'a>) -> Option<&'b Set<'a>> {
    let waiting = |s: &&Set<'_>| s.hash != f.current() && s.deadline().is_some() && s.ready() > 0;
    f.sets.iter().filter(|_| f.is_blue_green() && !f.in_flight()).find(waiting)
}

fn idle_back(f: &Facts<'_>) -> WayBack {
    if let Some(old) = flip_target(f) {
        let until = old.deadline();
        return WayBack { until, ..back(Verb::Flip, Some(ABORT_SECONDS), "flip back: the old pods are still there") };
    }
    if unseen_old(f) {
        return back(Verb::Undo, None, "open it: flip back while the old pods live, else undo");
    }
    let others = f.sets.iter().any(|s| s.hash != f.current());
    if !f.sets.is_empty() && !others {
        return WayBack { what: "there is no earlier version".into(), ..WayBack::default() };
    }
    back(Verb::Undo, None, "undo takes a full rollout")
}
