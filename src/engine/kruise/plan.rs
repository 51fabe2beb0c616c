//! The exact writes of each verb: one JSON Patch each, whose `test` operations quote what was read.
//!
//! Approving a step is a write of the status, as OpenKruise's own kubectl plugin does it; a pause is a switch in the
//! spec; going back is the workload's template.

use serde_json::Value;

use super::{facts::Facts, law, picture::called, status::Situation};
use crate::{
    engine::{
        Goal, Plan, Refusal,
        workload::{
            draft::{Draft, images},
            edit::Edit,
            rewrite::{self, TEMPLATE},
        },
    },
    intent::{Intent, Verb},
    model::{Rollout, Severity},
    object::Object,
};

const PAUSED: &str = "/spec/strategy/paused";

/// # Errors
/// The law's refusal, or one that depends on the target.
pub fn plan(f: &Facts<'_>, rollout: &Rollout, intent: &Intent) -> Result<Plan, Refusal> {
    let here = law::check(f, intent.verb())?;
    let ask = Ask { f, here };
    let draft = match intent {
        Intent::Promote => ask.promote()?,
        Intent::PromoteFull => ask.jump(f.steps().len())?,
        Intent::Skip => ask.jump(f.at().map_or(0, |i| i + 3))?,
        Intent::Pause => ask.pause()?,
        Intent::Resume => ask.resume()?,
        Intent::Abort => ask.abort()?,
        Intent::SetImage { container, image } => ask.set_image(container, image)?,
        // The law lets none of these through.
        _ => return Err(Refusal::because("OpenKruise knows no such action")),
    };
    Ok(draft.finish(rollout, f.root, intent))
}

struct Ask<'f, 'a> {
    f: &'f Facts<'a>,
    here: Situation,
}

impl<'a> Ask<'_, 'a> {
    /// Holds only for this step of this version.
    fn status(&self) -> Result<(Edit<'a>, &'static str), Refusal> {
        let (_, at) =
            self.f.status().ok_or_else(|| Refusal::because("the controller has not said where it stands").instead("wait", None))?;
        let read = ["currentStepIndex", "nextStepIndex", "currentStepState", "podTemplateHash"];
        let edit = Edit::status(self.f.root).pinned();
        Ok((read.iter().fold(edit, |edit, field| edit.same(&format!("{at}/{field}"))), at))
    }

    fn past(&self, index: usize) -> Goal {
        Goal::StepPast { hash: self.f.revision().into(), index: i64::try_from(index).unwrap_or(i64::MAX) }
    }

    fn promote(&self) -> Result<Draft, Refusal> {
        let f = self.f;
        let (edit, at) = self.status()?;
        let i = f.at().ok_or_else(|| Refusal::because("its step is none of the plan's").instead("look at its steps", None))?;
        let then = f.steps().get(i + 1).map_or_else(|| "the new version becomes the stable one".to_owned(), called);
        let early = if self.here == Situation::Timed { " before its time" } else { "" };
        let sentence = format!("Ends the pause of step {} of {}{early}: next is {then}.", i + 1, f.steps().len());
        let write = edit.set(&format!("{at}/currentStepState"), "StepReady".into()).write();
        let draft = Draft::new(sentence, write, self.past(i + 1), format!("step {} is left", i + 1), "abort").change(
            "currentStepState",
            "StepPaused",
            "StepReady",
        );
        Ok(draft)
    }

    /// To a step, 1-based: the controller does that step and leaves out those between.
    fn jump(&self, to: usize) -> Result<Draft, Refusal> {
        let f = self.f;
        let i = f.at().ok_or_else(|| Refusal::because("its step is none of the plan's").instead("look at its steps", None))?;
        let step = f.steps().get(to.wrapping_sub(1)).filter(|_| to > i + 1);
        let step = step.ok_or_else(|| Refusal::because("no step is left to jump to").instead("promote ends the last ones", None))?;
        let (edit, at) = self.status()?;
        let left_out = to - i - 2;
        // The controller takes the next step for no jump at all.
        if left_out == 0 {
            let refusal = Refusal::because("the next step is the last one: there is nothing to leave out");
            return Err(match self.here {
                Situation::Moving => refusal.instead("wait until this step is done", None),
                _ => refusal.instead("promote", Some(Verb::Promote)),
            });
        }
        let last = to == f.steps().len();
        let rest = if self.here == Situation::Moving { "the rest of this one and " } else { "" };
        let sentence = format!(
            "Jumps from step {} to step {to} of {} ({}): {rest}{left_out} between are left out.",
            i + 1,
            f.steps().len(),
            called(step)
        );
        let was = f.status().map(|(p, _)| p.next_step_index.0).unwrap_or_default();
        let write = edit.set(&format!("{at}/nextStepIndex"), to.into()).write();
        let goal = self.past(to - 1);
        Ok(Draft::new(sentence, write, goal, format!("step {to} has begun"), "abort")
            .change("nextStepIndex", was.to_string(), to.to_string())
            .warn(
                Severity::Note,
                last && step.replicas.as_ref().is_none_or(|r| r.0 != "100%"),
                "the last step has not all pods, and pauses as well",
            ))
    }

    fn pause(&self) -> Result<Draft, Refusal> {
        if self.f.ro.spec.strategy.paused {
            return Err(Refusal::because("it is paused already").instead("resume lets it go on", Some(Verb::Resume)));
        }
        let write = Edit::main(self.f.root).pinned().same(PAUSED).set(PAUSED, Value::Bool(true)).write();
        let sentence = if self.f.progressing() {
            "Pauses the release where it is: pods and weights stay, and no step is looked at."
        } else {
            "Pauses it: the next release waits before its first step."
        };
        Ok(Draft::new(sentence, write, Goal::Paused, "the Rollout is paused", "resume").change("strategy.paused", "false", "true"))
    }

    fn resume(&self) -> Result<Draft, Refusal> {
        if !self.f.ro.spec.strategy.paused {
            return Err(Refusal::because("it is not paused").instead("it goes on by itself", None));
        }
        let write = Edit::main(self.f.root).pinned().same(PAUSED).set(PAUSED, Value::Bool(false)).write();
        let sentence = "Resumes: the step goes on where it was; the pause of a step still waits for its own end.";
        Ok(Draft::new(sentence, write, Goal::Resumed, "the Rollout is resumed", "pause").change("strategy.paused", "true", "false"))
    }

    fn workload(&self) -> Result<&'a Object, Refusal> {
        let target = &self.f.ro.spec.workload_ref;
        self.f.workload.as_ref().map(|(object, _)| *object).ok_or_else(|| {
            Refusal::because(format!("{} {} is not at hand", target.kind, target.name)).instead("use kubectl on the workload", None)
        })
    }

    /// The workload as it was read; the Rollout's own state needs no condition, as its controller follows the template.
    fn of_workload(&self) -> Result<Edit<'a>, Refusal> {
        Ok(Edit::main(self.workload()?).pinned())
    }

    fn abort(&self) -> Result<Draft, Refusal> {
        let f = self.f;
        let workload = self.workload()?;
        if !f.is_deployment() {
            let instead = format!("kubectl rollout undo {}/{}", f.ro.spec.workload_ref.kind.to_lowercase(), f.ro.spec.workload_ref.name);
            return Err(Refusal::because("only a Deployment's stable template is at hand").instead(instead, None));
        }
        let stable = f.set(f.stable()).ok_or_else(|| {
            Refusal::because("the ReplicaSet of the stable version is not loaded, or gone").instead("open it first", None)
        })?;
        let template = stable.template().ok_or_else(|| Refusal::because("the ReplicaSet has no template to go back to"))?;
        let old: Vec<&str> = stable.dto.spec.template.spec.containers.iter().map(|c| c.image.as_str()).collect();
        let sentence = format!(
            "Puts the stable template ({}) back into Deployment {}: the controller takes it as a rollback and goes back at once, without steps.",
            old.join(", "),
            workload.meta.name
        );
        let write = self.of_workload()?.set(TEMPLATE, template).write();
        let goal = Goal::Aborted;
        // While it is paused its controller does not even look at the workload. Resumed first, it would go on with the release.
        let paused = f.ro.spec.strategy.paused;
        let resume = paused.then(|| Edit::main(f.root).pinned().test(PAUSED, Value::Bool(true)).set(PAUSED, Value::Bool(false)).write());
        let draft = Draft::new(sentence, write, goal, "the old version serves everybody again", "set the image again")
            .then(resume)
            .only_if(only_if(workload))
            .pods(f.replicas())
            .change("pod template", images(workload), old.join(", "))
            .warn(Severity::Note, paused, "it is paused and would not go back: the pause ends with this");
        Ok(if paused { draft.change("strategy.paused", "true", "false") } else { draft })
    }

    fn set_image(&self, container: &str, image: &str) -> Result<Draft, Refusal> {
        let f = self.f;
        let in_flight = f.progressing();
        if in_flight && f.is_blue_green() {
            return Err(
                Refusal::because("a blue-green release takes no other version before it is rolled back").instead("abort first", None)
            );
        }
        let workload = self.workload()?;
        let (edit, old) = rewrite::image(self.of_workload()?, workload, TEMPLATE, container, image)?;
        let begins = if in_flight { " The release in flight begins anew with it." } else { "" };
        let disabled = self.here == Situation::Disabled;
        let how = if disabled { "by the workload's own strategy".to_owned() } else { format!("in {} steps", f.steps().len()) };
        let sentence =
            format!("Releases {image} in container {container} of {} {}, {how}.{begins}", workload.resource.kind, workload.meta.name);
        // While it is disabled the Rollout's status says nothing of its workload: the image there has to do.
        let goal = Goal::Template { hash: disabled.then(|| image.into()), not: Some(f.revision().into()) };
        let back = format!("{}set {old} again", if disabled { "" } else { "abort, or " });
        Ok(Draft::new(sentence, edit.write(), goal, "a new release has begun", back)
            .only_if(only_if(workload))
            .change(&format!("image of {container}"), old.as_str(), image)
            .warn(Severity::Warning, f.ro.spec.strategy.paused, "it is paused: nothing of it starts until someone resumes"))
    }
}

fn only_if(workload: &Object) -> String {
    format!("nobody changed {} {} since", workload.resource.kind, workload.meta.name)
}
