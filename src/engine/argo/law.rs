//! Which action makes sense when: the table, and nothing but the table.
//!
//! The API server takes any well-typed patch, and the controller obeys, ignores or misreads it without a word;
//! so what is not allowed here is refused with a reason and, where there is one, the better command.

use super::{
    facts::Facts,
    next::{abort_trap, flip_target},
    status::{Situation, situation, step_inconclusive},
};
use crate::{engine::Refusal, intent::Verb};

use Situation as S;
use Verb::{Abort, Flip, Pause, Promote, PromoteFull, Restart, Resume, Retry, Scale, ScaleDown, SetImage, SetWeight, Skip, Undo};

/// Why not, what instead in words, and the command that does it.
type No = (&'static str, &'static str, Option<Verb>);

/// What one situation allows; everything else is refused, with the row's own words or a verb's.
pub struct Row {
    pub when: Situation,
    pub allow: &'static [Verb],
    no: No,
    but: &'static [(Verb, No)],
}

const fn row(when: Situation, allow: &'static [Verb], no: No, but: &'static [(Verb, No)]) -> Row {
    Row { when, allow, no, but }
}

const WAIT: &str = "wait until the controller has acted";
const EXPERIMENT_PROMOTE: No =
    ("promoting alone only makes the controller start the next experiment", "skip the step, or abort", Some(Skip));
const USE_PROMOTE: No = ("nothing runs here that could be skipped: it is paused", "promote ends the pause", Some(Promote));
const DECIDE: No = ("an analysis could not decide", "promote to accept it, or abort", Some(Promote));
const NOTHING_PAUSED: No = ("nothing waits for a promotion: it would skip the step in progress", "skip, if that is meant", Some(Skip));
const NOTHING_WAITS: No = ("nothing waits for a promotion", "it goes on by itself", None);
const CONTROLLER_SCALES: No = ("the controller removes the old pods by itself", "wait: scaleDownDelaySeconds says how long", None);
const STEPS_WEIGH: No =
    ("the controller sets the weight that its steps ask for", "promote goes to the next step, abort to 0", Some(Promote));
const SCALED_ELSEWHERE: No = ("its pods are counted by its own spec or an autoscaler", "kubectl scale rollout does it", None);
const NOTHING_IN_FLIGHT: No = ("nothing is in flight: one version serves everybody", "set an image or undo to begin a release", None);

pub static LAW: &[Row] = &[
    row(S::Deleting, &[], ("it is being deleted", "there is nothing left to steer", None), &[]),
    row(S::Unobserved, &[], ("the controller has not seen the newest change", WAIT, None), &[]),
    row(
        S::Unpausing,
        &[],
        ("the pause was just ended and the controller has not gone on", WAIT, None),
        &[
            (Promote, ("the pause was just ended and the controller has not gone on: a second promote would skip a step", WAIT, None)),
            (Skip, ("the pause was just ended and the controller has not gone on: this would skip the step after it", WAIT, None)),
        ],
    ),
    row(S::AbortPending, &[], ("an abort was just asked for", WAIT, None), &[]),
    row(S::RetryPending, &[], ("a retry was just asked for", WAIT, None), &[]),
    row(
        S::Invalid,
        &[Undo, SetImage],
        ("the controller refuses the spec", "correct the spec, or undo to the last template", Some(Undo)),
        &[],
    ),
    row(
        S::Aborted,
        &[Retry, Undo, PromoteFull, SetImage, Resume],
        ("the update is aborted: only a retry or another template moves it", "retry, or undo", Some(Retry)),
        &[
            (Promote, ("on an aborted update the controller sets the step back and promotes nothing", "retry, or undo", Some(Retry))),
            (Skip, ("on an aborted update the controller sets the step back and skips nothing", "retry, or undo", Some(Retry))),
            (Abort, ("it is aborted already", "undo makes the old version the wanted one", Some(Undo))),
        ],
    ),
    row(
        S::AbortBlocked,
        &[Undo],
        (
            "the abort is blocked: the active Service stays on the new version",
            "undo to the stable version is the only quick way out",
            Some(Undo),
        ),
        &[
            (
                SetImage,
                ("the abort is blocked and users are on pods that go away: they cannot wait for another image", "undo first", Some(Undo)),
            ),
            (Retry, ("a retry only brings the broken version back up", "undo to the stable version", Some(Undo))),
        ],
    ),
    row(
        S::AbortFrozen,
        &[Abort, Resume, Undo],
        (
            "it says aborted, but the manual pause keeps the abort from being carried out",
            "abort again (ends the manual pause), or undo",
            Some(Abort),
        ),
        &[(
            SetImage,
            ("the manual pause would hold another image back as well", "abort again (ends the manual pause), or undo", Some(Abort)),
        )],
    ),
    row(
        S::FirstDeploy,
        &[SetImage, Pause, Resume],
        ("this is the first deploy: no version has become stable yet", "wait, or set another image", None),
        &[],
    ),
    row(
        S::Idle,
        &[Restart, Undo, SetImage, Flip],
        NOTHING_IN_FLIGHT,
        &[(
            PromoteFull,
            (
                "the wanted version is the stable one: a full promotion would be lost",
                "after an undo or a new image, wait until the controller has seen it",
                None,
            ),
        )],
    ),
    row(
        S::IdlePaused,
        &[Resume, Restart, Undo, SetImage, Flip],
        NOTHING_IN_FLIGHT,
        &[(Pause, ("it is manually paused already", "resume", Some(Resume)))],
    ),
    row(
        S::PromotingFull,
        &[Abort, Undo],
        ("a full promotion is in progress", "abort stops it (takes the full promotion back), or undo", Some(Abort)),
        &[(SetImage, ("a full promotion is in progress: stop it before another image begins", "abort, then set the image", Some(Abort)))],
    ),
    row(
        S::ManualPause,
        &[Resume, Promote, PromoteFull, Abort, Undo, SetImage, Restart, Flip],
        ("it is manually paused", "resume first", Some(Resume)),
        &[
            (Pause, ("it is manually paused already", "resume", Some(Resume))),
            (Skip, ("manually paused: a skip would take effect only later", "resume first, or promote (resumes and skips)", Some(Resume))),
        ],
    ),
    // A new template ends the experiments as well.
    row(S::InconclusiveExperiment, &[Skip, Abort, Undo, SetImage], EXPERIMENT_PROMOTE, &[]),
    row(S::InconclusiveStep, &[Promote, Abort, Undo, SetImage], DECIDE, &[]),
    row(S::InconclusiveBackground, &[Promote, Abort, Undo, SetImage], DECIDE, &[]),
    row(S::InconclusiveBlueGreen, &[Promote, Abort, Undo, SetImage, Flip], DECIDE, &[]),
    row(S::PauseStep, &[Promote, PromoteFull, Abort, Pause, Undo, SetImage, Restart], USE_PROMOTE, &[]),
    row(S::PauseBlueGreen, &[Promote, PromoteFull, Abort, Pause, Undo, SetImage, Restart, Flip], USE_PROMOTE, &[]),
    row(
        S::DeadlineExceeded,
        &[Abort, Promote, Skip, PromoteFull, Undo, SetImage],
        ("the controller gave up waiting for pods", "abort, or undo", Some(Abort)),
        &[],
    ),
    row(
        S::AfterCutover,
        &[Abort, PromoteFull, Pause, Undo, SetImage, Restart, Flip],
        ("users are on the new version already; it is being verified", "wait, abort, or flip back", Some(Abort)),
        &[],
    ),
    row(S::RunningStep, &[Skip, Pause, Abort, PromoteFull, Undo, SetImage, Restart], NOTHING_PAUSED, &[(Promote, NOTHING_PAUSED)]),
    row(
        S::Finishing,
        &[Pause, Abort, PromoteFull, Undo, SetImage, Restart],
        NOTHING_WAITS,
        &[(Skip, ("all steps are done", "it finishes by itself", None))],
    ),
    row(S::Running, &[Pause, Abort, PromoteFull, Undo, SetImage, Restart], NOTHING_WAITS, &[]),
];

/// Refusals that depend on more than the situation; they outrank the row of an allowed verb.
type Extra = (Verb, fn(&Facts<'_>) -> bool, No);

static EXTRA: &[Extra] = &[
    (Flip, |f| !f.is_blue_green(), ("only a blue-green release can be flipped: this is a canary", "promote, or abort", None)),
    (Skip, |f| f.is_blue_green(), ("a blue-green release has no steps to skip", "promote", Some(Promote))),
    (Resume, |f| !f.ro.spec.paused, ("it is not manually paused", "a pause of its own ends by promote", Some(Promote))),
    (Retry, |f| !f.ro.status.abort, ("it is not aborted", "there is nothing to retry", None)),
    (
        Retry,
        post_analysis_failed,
        (
            "its post-promotion analysis failed: a retry would switch users over for a moment and be aborted by the same run",
            "undo, or delete the failed AnalysisRun first",
            Some(Undo),
        ),
    ),
    (Abort, |f| !f.in_flight(), NOTHING_IN_FLIGHT),
    (
        Abort,
        |f| !f.ro.status.abort && abort_trap(f),
        (
            "abort would not switch the active Service back and then remove the pods behind it: an outage",
            "undo to the stable version switches back at once",
            Some(Undo),
        ),
    ),
    (Promote, |f| f.is_blue_green() && f.ro.status.pause_conditions.is_empty() && !f.ro.spec.paused, NOTHING_WAITS),
    (Promote, |f| f.ro.spec.paused && f.has_pause("InconclusiveExperiment"), EXPERIMENT_PROMOTE),
    (
        Promote,
        |f| f.ro.spec.paused && f.has_pause("InconclusiveAnalysisRun") && !step_inconclusive(f),
        ("below the manual pause an analysis could not decide", "resume first, then decide on the analysis", Some(Resume)),
    ),
    (Promote, no_step_left, NOTHING_WAITS),
    (Skip, no_step_left, ("there is no step to skip", "it finishes by itself", None)),
    (Pause, |f| f.ro.spec.paused, ("it is manually paused already", "resume", Some(Resume))),
    (PromoteFull, |f| !f.in_flight(), NOTHING_IN_FLIGHT),
    (ScaleDown, |_| true, CONTROLLER_SCALES),
    (SetWeight, |_| true, STEPS_WEIGH),
    (Scale, |_| true, SCALED_ELSEWHERE),
    (
        Flip,
        |f| nothing_to_flip(f) && f.sets.is_empty(),
        ("whether the old pods are still there is not loaded yet", "open the rollout first", None),
    ),
    (
        Flip,
        nothing_to_flip,
        ("there is no other side to flip to: the old pods are gone or not ready", "undo takes a full rollout", Some(Undo)),
    ),
    (
        Flip,
        |f| situation(f) == S::ManualPause && f.ro.status.pause_conditions.is_empty() && !f.after_cutover(),
        ("manually paused before the preview was complete", "resume first", Some(Resume)),
    ),
];

fn post_analysis_failed(f: &Facts<'_>) -> bool {
    let run = f.ro.status.blue_green.post_promotion_analysis_run_status.as_ref();
    run.is_some_and(|r| matches!(r.status.as_str(), "Failed" | "Error"))
}

/// Without a pause to end, a promote would have to skip a step, and there is none.
fn no_step_left(f: &Facts<'_>) -> bool {
    let at_a_step = f.step_index().is_some_and(|i| i < f.steps().len());
    !f.is_blue_green() && f.ro.status.pause_conditions.is_empty() && !at_a_step && !f.ro.spec.paused
}

fn nothing_to_flip(f: &Facts<'_>) -> bool {
    f.is_blue_green() && !f.in_flight() && flip_target(f).is_none()
}

/// # Errors
/// The refusal that the table holds for this verb in this situation.
pub fn check(f: &Facts<'_>, verb: Verb) -> Result<Situation, Refusal> {
    let here = situation(f);
    let row = LAW.iter().find(|r| r.when == here);
    let extra = EXTRA.iter().find(|(v, holds, _)| *v == verb && holds(f)).map(|(_, _, no)| no);
    let allowed = row.is_some_and(|r| r.allow.contains(&verb));
    if allowed && extra.is_none() {
        return Ok(here);
    }
    let own = row.and_then(|r| r.but.iter().find(|(v, _)| *v == verb)).map(|(_, no)| no);
    let of_row = row.map(|r| &r.no);
    let no = if !allowed && one_way_out(here) { own.or(of_row) } else { own.or(extra).or(of_row) };
    Err(refusal(no.unwrap_or(&NOTHING_WAITS), verb, row))
}

/// Where every refusal must name the way out, or that there is none, before anything else.
fn one_way_out(here: Situation) -> bool {
    LAW.iter().any(|r| r.when == here && r.allow.is_empty())
        || matches!(here, S::Invalid | S::AbortBlocked | S::AbortFrozen | S::PromotingFull | S::InconclusiveExperiment)
}

/// Never points back at the refused verb, nor at one that this situation refuses as well.
fn refusal((reason, instead, better): &No, verb: Verb, row: Option<&Row>) -> Refusal {
    let useful = better.filter(|b| *b != verb && row.is_some_and(|r| r.allow.contains(b)));
    Refusal::because(*reason).instead(*instead, useful)
}
