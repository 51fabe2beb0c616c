//! What makes sense when, and the exact writes: one number, `canaryTrafficPercent`, in one conditional JSON Patch.

use super::{
    facts::Facts,
    status::{Situation as S, situation},
};
use crate::{
    engine::{
        Goal, Plan, Refusal,
        workload::{draft::Draft, edit::Edit},
    },
    intent::{
        Intent,
        Verb::{self, Abort, Pause, Promote, PromoteFull, Resume, SetWeight, Undo},
    },
    model::{Rollout, Severity},
};

const PERCENT: &str = "/spec/predictor/canaryTrafficPercent";

/// Situation; what may be done; why not the rest, what instead, and the command that does it.
type Row = (S, &'static [Verb], (&'static str, &'static str, Option<Verb>));

const NOTHING: (&str, &str, Option<Verb>) =
    ("nothing is in flight: one revision has all users", "a change of the model in Git makes a new one; undo goes back", Some(Undo));

pub static LAW: &[Row] = &[
    (S::Deleting, &[], ("it is being deleted", "there is nothing left to steer", None)),
    (S::Stopped, &[], ("it is stopped", "start it first: annotation serving.kserve.io/stop", None)),
    (S::Failed, &[], ("the new model cannot be loaded, and no user is on it", "put the model right in Git", None)),
    (S::Starting, &[], ("the new revision loads its model", "wait until it is ready", None)),
    (S::Shifting, &[Abort], ("the route does not do what is asked of it yet", "wait until it does, or abort", Some(Abort))),
    (S::Canary, &[Promote, PromoteFull, SetWeight, Abort], ("a canary is in flight", "set a weight, promote, or abort", Some(Promote))),
    (S::NotReady, &[], ("it is not ready", "look at its conditions", None)),
    (S::Complete, &[Undo], NOTHING),
];

/// Not one of these is known to an InferenceService, whatever its state.
const NEVER: &[(Verb, &str, &str)] = &[
    (Verb::SetImage, "its model and runtime stand in its spec, not in an image alone", "change the predictor in Git"),
    (Verb::Restart, "a revision never changes: only a new one replaces its pods", "change the predictor in Git"),
    (Verb::Scale, "it is scaled by requests", "minReplicas and maxReplicas bound it"),
    (
        Pause,
        "it has no pause: lowering the share of a finished release would take it back",
        "set canaryTrafficPercent before the change of the model, in Git",
    ),
    (Resume, "it has no pause", "promote sends all users to the new revision"),
];

/// # Errors
/// The law's refusal, or one that depends on the target.
pub fn plan(f: &Facts<'_>, rollout: &Rollout, intent: &Intent) -> Result<Plan, Refusal> {
    check(f, intent.verb())?;
    let draft = match intent {
        Intent::Promote | Intent::PromoteFull => promote(f)?,
        Intent::SetWeight { percent } => set_weight(f, i64::from(*percent))?,
        Intent::Abort => abort(f)?,
        Intent::Undo { .. } => undo(f)?,
        // The law lets none of these through.
        _ => return Err(Refusal::because("KServe knows no such action")),
    };
    Ok(draft.finish(rollout, f.root, intent))
}

fn check(f: &Facts<'_>, verb: Verb) -> Result<(), Refusal> {
    let here = situation(f);
    let Some((_, allow, no)) = LAW.iter().find(|(when, ..)| *when == here) else {
        return Err(Refusal::because("nothing is known of this state"));
    };
    if !f.splits() && here != S::Deleting {
        let reason = "its deployment mode knows no share of users: a new version rolls pod by pod";
        return Err(Refusal::because(reason).instead("change the predictor in Git", None));
    }
    if allow.contains(&verb) {
        return Ok(());
    }
    if let Some((_, reason, instead)) = NEVER.iter().find(|(v, ..)| *v == verb && here != S::Deleting) {
        return Err(Refusal::because(*reason).instead(*instead, None));
    }
    // Never the way that is closed as well.
    let possible = |v: &Verb| match v {
        Undo => allow.contains(v) && !f.previous().is_empty() && f.percent() != Some(0),
        Abort => allow.contains(v) && f.percent() != Some(0),
        Promote => allow.contains(v) && f.percent().is_some(),
        _ => allow.contains(v),
    };
    Err(Refusal::because(no.0).instead(no.1, no.2.filter(possible)))
}

/// Holds only for the number and the revisions that were looked at.
fn edit<'a>(f: &Facts<'a>) -> Edit<'a> {
    let component = "/status/components/predictor";
    let revisions = ["latestReadyRevision", "latestCreatedRevision", "latestRolledoutRevision"];
    revisions.iter().fold(Edit::main(f.root).pinned().same(PERCENT), |edit, field| edit.same(&format!("{component}/{field}")))
}

fn now(f: &Facts<'_>) -> String {
    f.percent().map_or_else(|| "none".to_owned(), |p| format!("{p} %"))
}

fn active(f: &Facts<'_>, hash: &str) -> Goal {
    Goal::Active { hash: hash.into(), from: f.percent().unwrap_or(100).to_string().into() }
}

fn promote(f: &Facts<'_>) -> Result<Draft, Refusal> {
    if f.percent().is_none() {
        return Err(
            Refusal::because("no canary share is set: all users go to the new revision already").instead("wait until they are there", None)
        );
    }
    let (new, old) = (f.ready(), f.rolled_out());
    let sentence = format!("Removes the canary share: all users go from {old} to {new}, and the next revision gets all users as well.");
    let write = edit(f).remove_if_there(PERCENT).write();
    Ok(Draft::new(sentence, write, active(f, new), format!("all users are on {new}"), format!("undo: all users back to {old}")).change(
        "canaryTrafficPercent",
        now(f),
        "none",
    ))
}

fn set_weight(f: &Facts<'_>, percent: i64) -> Result<Draft, Refusal> {
    if f.percent() == Some(percent) {
        return Err(Refusal::because(format!("the share is {percent} % already")).instead("name another one", None));
    }
    let (new, old) = (f.ready(), f.rolled_out());
    let sentence = format!("Sends {percent} % of the users to {new} and {} % to {old}, at once.", 100 - percent);
    let write = edit(f).set(PERCENT, percent.into()).write();
    let goal = Goal::Active { hash: format!("{new} {percent}").into(), from: now(f).into() };
    let draft = Draft::new(sentence, write, goal, format!("{new} has {percent} % of the users"), format!("abort: all users to {old}"));
    let note = "at 100 % it counts as rolled out; lowering the number afterwards takes it back";
    Ok(draft.change("canaryTrafficPercent", now(f), format!("{percent} %")).warn(Severity::Note, percent == 100, note))
}

fn abort(f: &Facts<'_>) -> Result<Draft, Refusal> {
    if f.percent() == Some(0) {
        return Err(Refusal::because("no user is on the new revision").instead("put the old model back in Git, to be rid of it", None));
    }
    let (new, old) = (f.ready(), f.rolled_out());
    let sentence = format!("Sends all users to {old}, at once. {new} stays without users until someone promotes it or changes the model.");
    let write = edit(f).set(PERCENT, 0.into()).write();
    Ok(Draft::new(sentence, write, active(f, old), format!("all users are on {old}"), format!("promote: all users to {new}")).change(
        "canaryTrafficPercent",
        now(f),
        "0 %",
    ))
}

/// A lowered share after a finished release makes KServe go back to the revision it remembers.
fn undo(f: &Facts<'_>) -> Result<Draft, Refusal> {
    let (now_on, before) = (f.rolled_out(), f.previous());
    if before.is_empty() || before == now_on {
        return Err(Refusal::because("KServe remembers no revision before this one").instead("put the old model back in Git", None));
    }
    if f.percent() == Some(0) {
        return Err(Refusal::because("the share is 0 already").instead("put the old model back in Git", None));
    }
    let sentence = format!("Sets the share to 0: KServe takes {now_on} back and sends all users to {before}, the revision it remembers.");
    let write = edit(f).same("/status/components/predictor/previousRolledoutRevision").set(PERCENT, 0.into()).write();
    Ok(Draft::new(sentence, write, active(f, before), format!("all users are on {before}"), format!("promote: all users to {now_on}"))
        .change("canaryTrafficPercent", now(f), "0 %")
        .change("users", now_on, before))
}
