//! Which action makes sense when. What is not allowed is refused with a reason and the better command.

use super::{
    facts::Facts,
    status::{Situation as S, situation},
};
use crate::{
    engine::{
        Refusal,
        law::{Law, No, Row, row},
    },
    intent::Verb::{
        self, Abort, Flip, Pause, Promote, PromoteFull, Restart, Resume, Retry, Scale, ScaleDown, SetImage, SetWeight, Skip, Undo,
    },
};

const NOTHING: No = ("nothing is in flight: one version serves everybody", "set an image to begin a release", Some(SetImage));
const BUSY: No = ("the step is still in progress", "wait until it pauses, or abort", Some(Abort));
const CLEANING: No = ("the controller is cleaning up", "wait until it is done", None);
const NOT_PAUSED: No = ("it is not paused by a person", "promote ends the pause of a step", Some(Promote));

const NEVER: &[(Verb, No)] = &[
    (SetWeight, ("its steps set the weight, and the controller would set it back", "promote goes to the next step", Some(Promote))),
    (Scale, ("the workload has the number of pods, not the Rollout", "kubectl scale the workload", None)),
    (Restart, ("a restart would be a release with all its steps", "kubectl rollout restart on the workload begins one", None)),
    (Retry, ("a release that was rolled back is over", "set the image again to release it anew", Some(SetImage))),
    (
        Undo,
        (
            "its Rollout keeps no versions: the workload does",
            "abort takes back a release in flight; else kubectl rollout undo",
            Some(Abort),
        ),
    ),
    (Flip, ("users move by its steps, not by a switch", "promote goes to the next step", Some(Promote))),
    (ScaleDown, ("the controller takes the old side away itself", "nothing needs to be done", None)),
];

pub static LAW: Law<S> = Law { rows: ROWS, never: NEVER };

static ROWS: &[Row<S>] = &[
    row(S::Deleting, &[], ("it is being deleted", "there is nothing left to steer", None), &[]),
    row(S::Unobserved, &[], ("the controller has not seen the newest change", "wait until the controller has acted", None), &[]),
    row(S::Disabled, &[SetImage], ("it is disabled: it steers nothing", "enable it first: spec.disabled", None), &[]),
    row(S::NoWorkload, &[], ("its workload is not there", "make the workload first", None), &[]),
    row(S::Idle, &[Pause, Resume, SetImage], NOTHING, &[]),
    row(
        S::Paused,
        &[Resume, Abort, SetImage],
        ("it is paused: the controller looks at no step", "resume first", Some(Resume)),
        &[(Pause, ("it is paused already", "resume lets it go on", Some(Resume)))],
    ),
    row(S::Approval, &[Promote, PromoteFull, Skip, Pause, Abort, SetImage], NOTHING, &[(Resume, NOT_PAUSED)]),
    row(S::Timed, &[Promote, PromoteFull, Skip, Pause, Abort, SetImage], NOTHING, &[(Resume, NOT_PAUSED)]),
    row(S::Moving, &[PromoteFull, Pause, Abort, SetImage], BUSY, &[]),
    row(S::RollingBack, &[], ("it is rolling back", "wait until the old version serves everybody", None), &[]),
    row(S::Finalising, &[], CLEANING, &[]),
];

/// # Errors
/// Why the verb makes no sense here.
pub fn check(f: &Facts<'_>, verb: Verb) -> Result<S, Refusal> {
    LAW.check(situation(f), verb, |better| possible(f, better), || None)
}

/// Only a Deployment's stable template is at hand, and only a watched workload's image.
fn possible(f: &Facts<'_>, verb: Verb) -> bool {
    match verb {
        Abort => f.set(f.stable()).is_some() && f.is_deployment(),
        SetImage => f.workload.is_some(),
        _ => true,
    }
}
