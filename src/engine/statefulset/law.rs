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

const NOTHING: No = ("nothing is in flight: one version serves everybody", "set an image, restart or undo to begin a roll", None);
const UNDO_INSTEAD: No = ("nothing is in flight that could be aborted", "undo goes back to an earlier revision", Some(Undo));
const IN_STEP: No = ("the pods of this step are still being replaced", "wait until they are ready", None);
const NOT_HELD: No = ("no partition holds it", "it goes on by itself", None);
const HELD_ALREADY: No = ("a partition holds it already", "promote goes one step on, resume lets all the rest roll", Some(Promote));
const MIX: No =
    ("two versions are in play: a restart would bring a third to the upper pods only", "abort, or promote to the end, first", Some(Abort));
const NOT_READY: No = ("pods do not get ready: there is nothing to promote", "abort, or set another image", Some(Abort));
const HALTED: No = ("it waits for a broken pod anyway", "abort, or set another image", Some(Abort));
const BACK_ALREADY: No = ("the old version is being brought back already", "wait until its pods are ready", None);

/// Not one of these is known to a StatefulSet, whatever its state.
const NEVER: &[(Verb, No)] = &[
    (
        Flip,
        (
            "there is no switch between two sides: pods are replaced one after the other",
            "undo goes back to an earlier revision",
            Some(Undo),
        ),
    ),
    (Retry, ("nothing was aborted: the controller never stops trying", "undo goes back to an earlier revision", Some(Undo))),
    (Skip, ("there is no analysis to skip: a partition waits for a person only", "promote", Some(Promote))),
    (ScaleDown, ("no side without users is left behind: pods are replaced in place", "scale sets the number of pods", Some(Scale))),
];

pub static LAW: Law<S> = Law { rows: ROWS, never: NEVER };

static ROWS: &[Row<S>] = &[
    row(S::Deleting, &[], ("it is being deleted", "there is nothing left to steer", None), &[]),
    row(S::Unobserved, &[], ("the controller has not seen the newest change", "wait until the controller has acted", None), &[]),
    row(S::Blocked, &[Undo, SetImage, Scale], ("a broken pod holds everything up", "", None), &[]),
    row(S::ByHand, &[Abort, Undo, SetImage, Scale], ("with OnDelete pods are replaced when someone deletes them", "", None), &[]),
    row(
        S::Broken,
        &[Abort, Undo, SetImage, Scale],
        NOT_READY,
        &[
            (Pause, HALTED),
            (Resume, HALTED),
            (Restart, ("a restart would bring the same broken template once more", "abort, or set another image", Some(Abort))),
        ],
    ),
    row(
        S::Held,
        &[Promote, PromoteFull, SetWeight, Resume, Abort, Undo, SetImage, Scale],
        NOTHING,
        &[(Pause, HELD_ALREADY), (Restart, MIX)],
    ),
    row(
        S::Rolling,
        &[PromoteFull, SetWeight, Pause, Abort, Undo, SetImage, Scale],
        NOTHING,
        &[(Promote, IN_STEP), (Resume, NOT_HELD), (Restart, MIX)],
    ),
    row(S::TakingBack, &[Undo, SetImage, Scale], BACK_ALREADY, &[]),
    row(S::Short, &[Pause, Resume, Undo, Restart, SetImage, Scale], NOTHING, &[(Abort, UNDO_INSTEAD)]),
    row(S::Complete, &[Pause, Resume, Undo, Restart, SetImage, Scale], NOTHING, &[(Abort, UNDO_INSTEAD)]),
];

/// # Errors
/// Why the verb makes no sense here.
pub fn check(f: &Facts<'_>, verb: Verb) -> Result<S, Refusal> {
    let here = situation(f);
    LAW.check(here, verb, |_| true, || command(f, here))
}

/// Only a person deletes pods.
fn command(f: &Facts<'_>, here: S) -> Option<String> {
    match here {
        S::Blocked => Some(f.delete(&f.blocker()?.name)),
        S::ByHand => Some(f.delete(&f.next_to_delete())),
        _ => None,
    }
}
