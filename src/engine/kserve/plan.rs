//! The exact writes of each verb: one number, `canaryTrafficPercent`, in one conditional JSON Patch.

use super::{facts::Facts, law};
use crate::{
    engine::{
        Goal, Plan, Refusal,
        workload::{draft::Draft, edit::Edit},
    },
    intent::Intent,
    model::{Rollout, Severity},
};

const PERCENT: &str = "/spec/predictor/canaryTrafficPercent";

/// # Errors
/// The law's refusal, or one that depends on the target.
pub fn plan(f: &Facts<'_>, rollout: &Rollout, intent: &Intent) -> Result<Plan, Refusal> {
    law::check(f, intent.verb())?;
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

/// Holds only for the number and the revisions that were looked at.
fn edit<'a>(f: &Facts<'a>) -> Edit<'a> {
    let component = "/status/components/predictor";
    let revisions = ["latestReadyRevision", "latestCreatedRevision", "latestRolledoutRevision"];
    revisions.iter().fold(Edit::main(f.root).pinned().same(PERCENT), |edit, field| edit.same(&format!("{component}/{field}")))
}

fn now(f: &Facts<'_>) -> String {
    f.percent().map_or_else(|| "none".to_owned(), |p| format!("{p} %"))
}

/// The route names the latest revision whatever its share, and Knative moves nobody while a target is not ready.
fn stuck(f: &Facts<'_>, draft: Draft) -> Draft {
    let text = format!("{} is not ready, and no user is moved until it is: the route goes on naming it", f.ready());
    draft.warn(Severity::Danger, f.is("PredictorConfigurationReady", "False"), text)
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
    Ok(stuck(f, draft.change("canaryTrafficPercent", now(f), format!("{percent} %")).warn(Severity::Note, percent == 100, note)))
}

fn abort(f: &Facts<'_>) -> Result<Draft, Refusal> {
    if f.percent() == Some(0) {
        return Err(Refusal::because("no user is on the new revision").instead("put the old model back in Git, to be rid of it", None));
    }
    let (new, old) = (f.ready(), f.rolled_out());
    let sentence = format!("Sends all users to {old}, at once. {new} stays without users until someone promotes it or changes the model.");
    let write = edit(f).set(PERCENT, 0.into()).write();
    let draft = Draft::new(sentence, write, active(f, old), format!("all users are on {old}"), format!("promote: all users to {new}"));
    Ok(stuck(f, draft.change("canaryTrafficPercent", now(f), "0 %")))
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
    let back = format!("promote: all users to {now_on}");
    let draft = Draft::new(sentence, write, active(f, before), format!("all users are on {before}"), back);
    Ok(stuck(f, draft.change("canaryTrafficPercent", now(f), "0 %").change("users", now_on, before)))
}
