//! The writes: first the Service, which says whose pods count and keeps the phase, then more pods, then fewer.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    counts,
    detect::{self, Pair},
    picture,
};
use crate::{
    engine::{
        Change, Expectation, Goal, Plan, Refusal, Write,
        split::{
            sides::Side,
            stepper::{self, ANNOTATION, Mark},
        },
        workload::{autoscaler, edit::Edit},
    },
    intent::{Command, Danger, Intent, Verb, describe},
    model::{Notice, Rollout, Severity, Text, Time},
    object::{Object, Objects},
    traffic::form::step,
};

/// New pods must start, old ones end.
const WITHIN: Duration = Duration::from_secs(300);

/// One intent on one pair.
pub struct Ask<'f, 'a> {
    pub root: &'f Object,
    pub objects: &'f Objects,
    pub pair: &'f Pair<'a>,
    pub rollout: &'f Rollout,
    pub intent: &'f Intent,
    pub now: Time,
}

/// # Errors
/// Why it makes no sense now.
pub fn plan(ask: &Ask<'_, '_>) -> Result<Plan, Refusal> {
    if ask.root.meta.deleting.is_some() {
        return Err(Refusal::because("the Service is being deleted").instead("there is nothing left to steer", None));
    }
    match ask.intent {
        Intent::SetWeight { percent } => ask.weight((*percent).min(100)),
        Intent::Promote => ask.promote(),
        Intent::PromoteFull => ask.weight(100),
        Intent::Abort => ask.weight(0),
        Intent::Pause => ask.pause(),
        Intent::Resume => ask.resume(),
        other => Err(elsewhere(other.verb())),
    }
}

fn elsewhere(verb: Verb) -> Refusal {
    let (reason, instead, better) = match verb {
        Verb::Retry => ("nothing was begun that could begin again", "promote begins with the first phase", Some(Verb::Promote)),
        Verb::Skip => ("there are no steps to skip", "set the weight", Some(Verb::SetWeight)),
        Verb::Flip => ("the Service selects both sides", "promote-full makes all pods new ones", Some(Verb::PromoteFull)),
        Verb::Undo => ("a Service has no earlier versions", "abort makes all pods old ones", Some(Verb::Abort)),
        _ => ("this is done on the Deployment of the side that is meant", "kubectl, or the pipeline that fills that side", None),
    };
    Refusal::because(reason).instead(instead, better)
}

impl Ask<'_, '_> {
    fn promote(&self) -> Result<Plan, Refusal> {
        let pair = self.pair;
        if pair.mark().is_some_and(|m| m.paused.is_some()) {
            return Err(Refusal::because("the release is paused").instead("resume it first", Some(Verb::Resume)));
        }
        if pair.alike() {
            return Err(Refusal::because(format!("both sides hold {}: nothing is being released", pair.new.holds()))
                .instead("set the weight, if it is meant", Some(Verb::SetWeight)));
        }
        match picture::further(pair, detect::stages(self.root, self.objects)) {
            Some(stage) => self.weight(stage.percent),
            None => Err(Refusal::because(format!("no phase goes further than {} of {} pods", pair.new.wanted(), pair.wanted()))
                .instead("set the weight", Some(Verb::SetWeight))),
        }
    }

    /// New counts of the two sides, the sum as it was.
    fn weight(&self, percent: u8) -> Result<Plan, Refusal> {
        let pair = self.pair;
        let all = pair.wanted();
        let to = counts::nearest(percent, all);
        if all == 0 {
            return Err(Refusal::because("both sides are scaled to 0").instead("scale one of them up first", None));
        }
        if to == pair.new.wanted() {
            return Err(Refusal::because(format!(
                "{to} of {all} pods are of {} already, and that is nearest to {percent} %",
                pair.new.name()
            ))
            .instead(format!("with {all} pods these shares can be had: {}", counts::reachable(all)), None));
        }
        let at_once = pair.new.ready().min(to) + pair.old.ready().min(all - to);
        if at_once == 0 {
            return Err(Refusal::because("no ready pod would be left until new ones have started")
                .instead("go there in smaller steps", Some(Verb::SetWeight)));
        }
        Ok(self.scaled(percent, to, at_once))
    }

    fn scaled(&self, percent: u8, to: u32, at_once: u32) -> Plan {
        let (pair, all) = (self.pair, self.pair.wanted());
        let (new, old) = (&pair.new, &pair.old);
        let mark = match self.intent {
            Intent::Abort => Mark::aborted(new.name(), self.now),
            _ => Mark::set(detect::stages(self.root, self.objects), new.name(), percent, self.now),
        };
        let (up, down) = if to > new.wanted() { ((new, to), (old, all - to)) } else { ((old, all - to), (new, to)) };
        let line =
            |(side, to): (&Side<'_>, u32)| change(format!("spec.replicas of {}", side.name()), &side.wanted().to_string(), &to.to_string());
        let about = if to * 100 == u32::from(percent) * all { String::new() } else { format!(", the nearest to {percent} %") };
        let sentence = format!(
            "Makes {to} of {all} pods {} ({}) and {} {} ({}){about}: more first, then fewer.",
            new.name(),
            new.holds(),
            all - to,
            old.name(),
            old.holds()
        );
        let still = |(side, _): (&Side<'_>, u32)| Text::from(format!("Deployment {} still wants {} pods", side.name(), side.wanted()));
        Plan {
            intent: self.intent.clone(),
            target: self.rollout.id.clone(),
            danger: danger(self.intent.verb()),
            sentence: sentence.into(),
            writes: [Some(self.marked(&mark)), count(up), count(down)].into_iter().flatten().collect(),
            switch: None,
            changes: vec![line(up), line(down)],
            only_if: vec![
                format!("Service {} still selects the same pods, in the same phase", self.root.meta.name).into(),
                still(up),
                still(down),
            ],
            expect: Expectation {
                goal: Goal::Scaled { name: new.name().into(), from: new.wanted(), to },
                what: format!("{to} of {all} pods are of {}", new.name()).into(),
                within: WITHIN,
            },
            back: format!("set weight {}: its pods must start again", counts::percent(new.wanted(), all)).into(),
            warnings: self.warnings(to, at_once),
            capacity: Some(format!("with {all} pods these shares can be had: {}", counts::reachable(all)).into()),
        }
    }

    fn warnings(&self, to: u32, at_once: u32) -> Vec<Notice> {
        let (pair, all) = (self.pair, self.pair.wanted());
        let mut found = Vec::new();
        let mut warn = |severity, when: bool, text: String| {
            if when {
                found.push(Notice { severity, text: text.into() });
            }
        };
        let ready = pair.ready();
        let words = format!("until new pods are ready, {at_once} of {ready} serve: fewer end before more have started");
        warn(if at_once * 2 < ready { Severity::Danger } else { Severity::Warning }, at_once < ready, words);
        let forward = to > pair.new.wanted();
        let behind = forward && pair.new.ready() < pair.new.wanted();
        warn(Severity::Danger, behind, format!("only {} of {} pods of {} are ready", pair.new.ready(), pair.new.wanted(), pair.new.name()));
        for (side, count) in [(&pair.new, to), (&pair.old, all - to)] {
            let auto = side.workloads.iter().find_map(|w| autoscaler::find(self.objects, w.object()));
            let words = |auto: &autoscaler::Autoscaler| match auto.nearest(count) {
                // Of a workload without pods an autoscaler keeps its hands off.
                _ if count == 0 => format!("{} rests while {} has no pods", auto.range(), side.name()),
                nearest => format!("{} sets the pods of {}: it makes them {nearest} or what it thinks right", auto.range(), side.name()),
            };
            warn(Severity::Warning, auto.is_some(), auto.as_ref().map(words).unwrap_or_default());
        }
        if let (Some(early), true) = (self.early(), matches!(self.intent, Intent::Promote)) {
            warn(Severity::Danger, true, early);
        }
        found.sort_by_key(|n| std::cmp::Reverse(n.severity));
        found
    }

    fn early(&self) -> Option<String> {
        let due = self.pair.mark().and_then(|m| stepper::due(detect::stages(self.root, self.objects), m)).filter(|due| *due > self.now)?;
        let left = (due - self.now).to_std().ok()?;
        Some(format!("this phase should stand for {} more", stepper::spoken(Duration::from_secs(left.as_secs().max(1)))))
    }

    /// The Service, on condition that it still selects the same pods and nobody has begun another phase.
    fn marked(&self, mark: &Mark) -> Write {
        let edit = Edit::main(self.root).same("/spec/selector");
        if self.root.value().pointer("/metadata/annotations").is_none_or(Value::is_null) {
            return edit.same("/metadata/annotations").set("/metadata/annotations", json!({ ANNOTATION: mark.text() })).write();
        }
        let path = format!("/metadata/annotations/{}", step(ANNOTATION));
        edit.same(&path).set(&path, Value::String(mark.text())).write()
    }

    fn pause(&self) -> Result<Plan, Refusal> {
        let pair = self.pair;
        if !pair.in_flight() {
            return Err(Refusal::because("no phase is in progress").instead("promote begins one", Some(Verb::Promote)));
        }
        if pair.mark().is_some_and(|m| m.paused.is_some()) {
            return Err(Refusal::because("it is paused already").instead("resume", Some(Verb::Resume)));
        }
        let begun = || Mark::set(detect::stages(self.root, self.objects), pair.new.name(), pair.percent(), self.now);
        let mark = pair.mark().cloned().unwrap_or_else(begun);
        Ok(self.annotated(
            &mark.paused(self.now),
            "Stops the countdown of this phase for everybody; the counts stay.",
            Goal::Paused,
            "resume",
        ))
    }

    fn resume(&self) -> Result<Plan, Refusal> {
        let Some(mark) = self.pair.mark().filter(|m| m.paused.is_some()) else {
            return Err(Refusal::because("it is not paused").instead("promote goes to the next phase", Some(Verb::Promote)));
        };
        Ok(self.annotated(
            &mark.clone().resumed(self.now),
            "Lets the countdown of this phase go on where it stood.",
            Goal::Resumed,
            "pause",
        ))
    }

    fn annotated(&self, mark: &Mark, sentence: &str, goal: Goal, back: &str) -> Plan {
        let state = if mark.paused.is_some() { ("running", "paused") } else { ("paused", "running") };
        Plan {
            intent: self.intent.clone(),
            target: self.rollout.id.clone(),
            danger: danger(self.intent.verb()),
            sentence: sentence.into(),
            writes: vec![self.marked(mark)],
            switch: None,
            changes: vec![change(format!("annotation {ANNOTATION}"), state.0, state.1)],
            only_if: vec![format!("Service {} still selects the same pods, in the same phase", self.root.meta.name).into()],
            expect: Expectation { goal, what: "the phase says so".into(), within: Duration::from_secs(30) },
            back: back.into(),
            warnings: Vec::new(),
            capacity: None,
        }
    }
}

/// Nothing where the count stays.
fn count((side, to): (&Side<'_>, u32)) -> Option<Write> {
    let deployment = side.workloads.first().filter(|_| side.wanted() != to)?.object();
    Some(
        Edit::main(deployment).same("/spec/template/metadata/labels").same("/spec/replicas").set("/spec/replicas", Value::from(to)).write(),
    )
}

fn change(field: String, from: &str, to: &str) -> Change {
    Change { field: field.into(), from: from.into(), to: to.into() }
}

fn danger(verb: Verb) -> Danger {
    describe(Command::Act(verb)).map_or(Danger::Grave, |row| row.danger)
}
