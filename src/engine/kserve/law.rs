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
    intent::Verb::{self, Abort, Pause, Promote, PromoteFull, Restart, Resume, Scale, SetImage, SetWeight, Undo},
};

const NOTHING: No =
    ("nothing is in flight: one revision has all users", "a change of the model in Git makes a new one; undo goes back", Some(Undo));

/// Not one of these is known to an InferenceService, whatever its state.
const NEVER: &[(Verb, No)] = &[
    (SetImage, ("its model and runtime stand in its spec, not in an image alone", "change the predictor in Git", None)),
    (Restart, ("a revision never changes: only a new one replaces its pods", "change the predictor in Git", None)),
    (Scale, ("it is scaled by requests", "minReplicas and maxReplicas bound it", None)),
    (
        Pause,
        (
            "it has no pause: lowering the share of a finished release would take it back",
            "set canaryTrafficPercent in the same change as the model, in Git",
            None,
        ),
    ),
    (Resume, ("it has no pause", "promote sends all users to the new revision", Some(Promote))),
];

pub static LAW: Law<S> = Law { rows: ROWS, never: NEVER };

static ROWS: &[Row<S>] = &[
    row(S::Deleting, &[], ("it is being deleted", "there is nothing left to steer", None), &[]),
    row(S::Stopped, &[], ("it is stopped", "start it first: annotation serving.kserve.io/stop", None), &[]),
    row(S::Failed, &[], ("the new model cannot be loaded, and no user is on it", "put the model right in Git", None), &[]),
    row(S::Starting, &[], ("the new revision loads its model", "wait until it is ready", None), &[]),
    row(S::Shifting, &[Abort], ("the route does not do what is asked of it yet", "wait until it does, or abort", Some(Abort)), &[]),
    row(
        S::Canary,
        &[Promote, PromoteFull, SetWeight, Abort],
        ("a canary is in flight", "set a weight, promote, or abort", Some(Promote)),
        &[],
    ),
    row(S::NotReady, &[Undo], ("it is not ready", "look at its conditions; undo goes back", Some(Undo)), &[]),
    row(S::Complete, &[Undo], NOTHING, &[]),
];

/// # Errors
/// Why the verb makes no sense here.
pub fn check(f: &Facts<'_>, verb: Verb) -> Result<S, Refusal> {
    let here = situation(f);
    if !f.splits() && here != S::Deleting {
        let reason = "its deployment mode knows no share of users: a new version rolls pod by pod";
        return Err(Refusal::because(reason).instead("change the predictor in Git", None));
    }
    // With a share of 0 there is nothing to take from anybody.
    let possible = |better| match better {
        Undo => !f.previous().is_empty() && f.previous() != f.rolled_out() && f.percent() != Some(0),
        Abort => f.percent() != Some(0),
        Promote => f.percent().is_some(),
        _ => true,
    };
    LAW.check(here, verb, possible, || None)
}
