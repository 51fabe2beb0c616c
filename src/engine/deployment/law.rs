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
    intent::Verb::{self, Abort, Flip, Pause, Promote, Restart, Resume, Retry, Scale, ScaleDown, SetImage, SetWeight, Undo},
};

const NO_STEPS: No = ("a rolling update has no steps: the controller goes on by itself", "pause it to look closer, or abort", Some(Pause));
const PAUSED: No = ("a rolling update has no steps to promote: it is paused", "resume lets the roll go on", Some(Resume));
const NOT_PAUSED: No = ("it is not paused", "it goes on by itself", None);
const NOTHING_IN_FLIGHT: No = ("nothing is in flight: one version serves everybody", "set an image, restart or undo to begin a roll", None);
const UNDO_INSTEAD: No = ("nothing is in flight that could be aborted", "undo goes back to an earlier revision", Some(Undo));
const ALREADY_PAUSED: No = ("it is paused already", "resume lets it go on", Some(Resume));
const RESTART_PAUSED: No = ("while it is paused a restart would wait, and nothing would say so", "resume first", Some(Resume));
const NO_RETRY: No = ("nothing was aborted: the controller never stops trying", "restart replaces all pods, undo goes back", Some(Undo));
const NO_FLIP: No =
    ("there is no switch between two sides: pods are replaced one after the other", "undo goes back to an earlier revision", Some(Undo));

/// What no state allows.
const NEVER: &[(Verb, No)] = &[
    (Flip, NO_FLIP),
    (Retry, NO_RETRY),
    (ScaleDown, ("there is one side only", "scale sets its number of pods", Some(Scale))),
    (SetWeight, ("no router: how many users meet the new version follows from its ready pods", "pause holds the share", Some(Pause))),
];

pub static LAW: Law<S> = Law { rows: ROWS, never: NEVER };

static ROWS: &[Row<S>] = &[
    row(S::Deleting, &[], ("it is being deleted", "there is nothing left to steer", None), &[]),
    row(
        S::Unobserved,
        &[Undo],
        ("the controller has not seen the newest change", "wait until the controller has acted", None),
        &[(Abort, ("the controller has not seen the newest change", "undo takes it back", Some(Undo)))],
    ),
    row(S::PausedMidway, &[Resume, Abort, Undo, SetImage, Scale], PAUSED, &[(Pause, ALREADY_PAUSED), (Restart, RESTART_PAUSED)]),
    row(
        S::PausedIdle,
        &[Resume, Undo, SetImage, Scale],
        NOTHING_IN_FLIGHT,
        &[(Pause, ALREADY_PAUSED), (Restart, RESTART_PAUSED), (Abort, UNDO_INSTEAD)],
    ),
    row(
        S::DeadlineExceeded,
        &[Pause, Abort, Undo, Restart, SetImage, Scale],
        NO_STEPS,
        &[
            (Resume, NOT_PAUSED),
            (Promote, ("its new pods do not get ready: there is nothing to promote", "abort, or set another image", Some(Abort))),
        ],
    ),
    row(S::CannotCreate, &[Pause, Abort, Undo, Restart, SetImage, Scale], NO_STEPS, &[(Resume, NOT_PAUSED)]),
    row(S::Rolling, &[Pause, Abort, Undo, Restart, SetImage, Scale], NO_STEPS, &[(Resume, NOT_PAUSED)]),
    row(S::Short, &[Pause, Undo, Restart, SetImage, Scale], NOTHING_IN_FLIGHT, &[(Resume, NOT_PAUSED), (Abort, UNDO_INSTEAD)]),
    row(S::Complete, &[Pause, Undo, Restart, SetImage, Scale], NOTHING_IN_FLIGHT, &[(Resume, NOT_PAUSED), (Abort, UNDO_INSTEAD)]),
];

/// # Errors
/// Why the verb makes no sense here.
pub fn check(f: &Facts<'_>, verb: Verb) -> Result<S, Refusal> {
    LAW.check(situation(f), verb, |_| true, || None)
}
