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

const NOTHING: No = ("all users are on the latest revision", "set an image to make a new one", Some(SetImage));
const NOT_READY: No = ("the new revision is not ready, and users never met it", "wait, or set another image", Some(SetImage));
const NOT_ON_IT: No = ("no user is on the latest revision: there is nothing to go back from", "promote sends them there", Some(Promote));
const HELD: No = ("users are pinned by name already", "set a weight, or promote", Some(Promote));
const ROUTE: No = ("the route does not do what is asked of it yet", "wait until it does, or abort", Some(Abort));

const NEVER: &[(Verb, No)] = &[
    (Restart, ("a revision never changes, and neither do its pods: only a new revision replaces them", "set an image", Some(SetImage))),
    (Scale, ("Knative sets the number of pods by the requests", "its annotations min-scale and max-scale bound it", None)),
    (Skip, ("there are no steps to skip", "set a weight", Some(SetWeight))),
    (Retry, ("nothing was aborted that could be begun again", "promote sends all users to the latest revision", Some(Promote))),
    (Flip, ("there is no switch between two sides", "promote sends all users to the latest revision", Some(Promote))),
    (ScaleDown, ("a revision without users is scaled to zero by Knative", "nothing needs to be done", None)),
];

pub static LAW: Law<S> = Law { rows: ROWS, never: NEVER };

static ROWS: &[Row<S>] = &[
    row(S::Deleting, &[], ("it is being deleted", "there is nothing left to steer", None), &[]),
    row(S::Unobserved, &[], ("the controller has not seen the newest change", "wait until the controller has acted", None), &[]),
    row(S::Failed, &[SetImage, Undo, Pause], NOT_READY, &[]),
    row(S::Starting, &[SetImage, Undo, Pause], NOT_READY, &[]),
    row(S::Broken, &[Abort, Undo, SetImage], ROUTE, &[]),
    row(S::Shifting, &[Abort, Undo, SetImage], ROUTE, &[]),
    row(S::Split, &[Promote, PromoteFull, SetWeight, Abort, Undo, SetImage], HELD, &[]),
    row(S::Pinned, &[Promote, PromoteFull, SetWeight, Undo, SetImage], HELD, &[(Abort, NOT_ON_IT)]),
    row(
        S::Complete,
        &[Pause, Resume, Undo, SetImage],
        NOTHING,
        &[(Abort, ("one revision serves everybody", "undo goes back to an earlier one", Some(Undo)))],
    ),
];

/// # Errors
/// Why the verb makes no sense here.
pub fn check(f: &Facts<'_>, verb: Verb) -> Result<S, Refusal> {
    // There must be a revision to go back to.
    let possible = |better| match better {
        Undo => f.revisions.len() > 1,
        Abort => f.old().is_some(),
        _ => true,
    };
    LAW.check(situation(f), verb, possible, || None)
}
