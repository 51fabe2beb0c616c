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

const NO_STEPS: No = ("a rolling update has no steps: the controller goes on by itself", "pause it to look closer, or abort", Some(Pause));
const NOTHING: No = ("nothing is in flight: every node has the same version", "set an image, restart or undo to begin a roll", None);
const UNDO_INSTEAD: No = ("nothing is in flight that could be aborted", "undo goes back to an earlier revision", Some(Undo));
/// Filled in with the command.
const BY_HAND: No = ("with OnDelete a node gets the new version when someone deletes its pod", "", Some(Resume));

/// Not one of these is known to a DaemonSet, whatever its state.
const NEVER: &[(Verb, No)] = &[
    (
        Scale,
        ("a DaemonSet has one pod on every node it fits: the nodes are its number", "change its node selector in Git, or the nodes", None),
    ),
    (SetWeight, ("every node has its own pod: there is no share of users to set", "pause holds the roll where it is", Some(Pause))),
    (
        Flip,
        (
            "there is no switch between two sides: nodes are updated one after the other",
            "undo goes back to an earlier revision",
            Some(Undo),
        ),
    ),
    (Retry, ("nothing was aborted: the controller never stops trying", "undo goes back to an earlier revision", Some(Undo))),
    (Skip, ("there are no steps to skip", "pause, or abort", Some(Pause))),
    (ScaleDown, ("no side without users is left behind: pods are replaced in place", "undo goes back to an earlier revision", Some(Undo))),
];

pub static LAW: Law<S> = Law { rows: ROWS, never: NEVER };

static ROWS: &[Row<S>] = &[
    row(S::Deleting, &[], ("it is being deleted", "there is nothing left to steer", None), &[]),
    row(S::Unobserved, &[], ("the controller has not seen the newest change", "wait until the controller has acted", None), &[]),
    row(
        S::ByHand,
        &[Resume, Abort, Undo, SetImage],
        BY_HAND,
        &[(Pause, ("OnDelete holds it already", "resume lets the other nodes roll", Some(Resume)))],
    ),
    row(
        S::Broken,
        &[Pause, Abort, Undo, SetImage, Restart],
        NO_STEPS,
        &[
            (Promote, ("its new pods do not get ready: there is nothing to promote", "abort, or set another image", Some(Abort))),
            (PromoteFull, ("its new pods do not get ready: there is nothing to promote", "abort, or set another image", Some(Abort))),
        ],
    ),
    row(S::Rolling, &[Pause, Abort, Undo, SetImage, Restart], NO_STEPS, &[]),
    row(S::Short, &[Pause, Resume, Undo, Restart, SetImage], NOTHING, &[(Abort, UNDO_INSTEAD)]),
    row(S::Complete, &[Pause, Resume, Undo, Restart, SetImage], NOTHING, &[(Abort, UNDO_INSTEAD)]),
];

/// # Errors
/// Why the verb makes no sense here.
pub fn check(f: &Facts<'_>, verb: Verb) -> Result<S, Refusal> {
    // What OnDelete holds cannot be paused.
    LAW.check(situation(f), verb, |better| better != Pause || !f.on_delete(), || Some(f.delete()))
}
