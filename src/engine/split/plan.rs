//! The writes: weights and the phase they belong to in one patch of the route, tested on both.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    claims,
    facts::{Facts, Pair, Shape},
    notices,
    sides::Side,
    stepper::{self, ANNOTATION, Mark},
};
use crate::{
    engine::{
        Change, Expectation, Goal, Plan, Refusal, Write,
        workload::{draft::percent as spelled, edit::Edit},
    },
    intent::{Command, Danger, Intent, Verb, describe},
    model::{Notice, Rollout, Severity, Text, Time},
    traffic::form::step,
};

/// Watches tell within moments; the rest is for a busy cluster.
const SOON: Duration = Duration::from_secs(30);

/// # Errors
/// Why it makes no sense now.
pub fn plan(f: &Facts<'_>, rollout: &Rollout, intent: &Intent, now: Time) -> Result<Plan, Refusal> {
    let pair = movable(f)?;
    let ask = Ask { f, pair, rollout, intent, now };
    match intent {
        Intent::SetWeight { percent } => ask.weight((*percent).min(100)),
        Intent::Promote => ask.promote(),
        Intent::PromoteFull => ask.weight(100),
        Intent::Abort => ask.weight(0),
        Intent::Pause => ask.pause(),
        Intent::Resume => ask.resume(),
        other => Err(elsewhere(other.verb())),
    }
}

/// The two sides, if this route is there to be moved by hand.
fn movable<'f, 'a>(f: &'f Facts<'a>) -> Result<&'f Pair<'a>, Refusal> {
    if f.root.meta.deleting.is_some() {
        return Err(Refusal::because("the route is being deleted").instead("there is nothing left to steer", None));
    }
    if let Some(owner) = claims::claim(f, claims::Where::Everywhere) {
        return Err(Refusal::because(format!("{owner} moves the weights of this route")).instead("act on that rollout", None));
    }
    match &f.shape {
        Shape::Pair(pair) => Ok(pair),
        Shape::Crowd(_, why) => Err(Refusal::because(why.clone()).instead("set its weights where the route is written", None)),
    }
}

/// Nobody drives a route but the person who moves its weights.
fn elsewhere(verb: Verb) -> Refusal {
    let (reason, instead, better) = match verb {
        Verb::Retry => ("a route keeps no release to begin again", "promote begins with the first phase", Some(Verb::Promote)),
        Verb::Skip => ("a route runs no steps to skip", "set the weight", Some(Verb::SetWeight)),
        Verb::Flip => ("weights move users part by part", "promote-full sends all of them at once", Some(Verb::PromoteFull)),
        Verb::Undo => ("a route has no earlier versions", "abort takes all users back", Some(Verb::Abort)),
        _ => ("this is done on the workload of the side that is meant", "kubectl, or the pipeline that fills that side", None),
    };
    Refusal::because(reason).instead(instead, better)
}

/// One intent on one pair.
struct Ask<'f, 'a> {
    f: &'f Facts<'a>,
    pair: &'f Pair<'a>,
    rollout: &'f Rollout,
    intent: &'f Intent,
    now: Time,
}

impl Ask<'_, '_> {
    fn promote(&self) -> Result<Plan, Refusal> {
        let (f, new) = (self.f, self.pair.new.name());
        if f.mark().is_some_and(|m| m.paused.is_some()) {
            return Err(Refusal::because("the release is paused").instead("resume it first", Some(Verb::Resume)));
        }
        if f.new_share().is_some_and(|s| s >= 1.0) && !f.uneven() {
            return Err(self.already(100));
        }
        if f.new_share() == Some(0.0) && f.alike() {
            return Err(Refusal::because(format!("both sides hold {}: nothing is being released", self.pair.new.holds()))
                .instead("set the weight, if it is meant", Some(Verb::SetWeight)));
        }
        match stepper::next(f.stages(), f.percent()) {
            Some(stage) => self.weight(stage.percent),
            None => Err(Refusal::because(format!("no phase goes further than {} % on {new}", f.percent()))
                .instead("set the weight", Some(Verb::SetWeight))),
        }
    }

    fn already(&self, percent: u8) -> Refusal {
        let (new, old) = (&self.pair.new, &self.pair.old);
        match percent {
            0 => Refusal::because(format!("all users are on {} already: there is nothing to go back from", old.name())),
            100 => Refusal::because(format!("all users are on {} already", new.name())).instead("abort takes them back", Some(Verb::Abort)),
            _ => Refusal::because(format!("{} has {percent} % already", new.name())),
        }
    }

    /// Weights and annotation in one patch.
    fn weight(&self, percent: u8) -> Result<Plan, Refusal> {
        let (f, pair) = (self.f, self.pair);
        if f.percent_of(pair.new.name()) == Some(percent) {
            return Err(self.already(percent));
        }
        let forward = percent > 0 && f.new_share().is_none_or(|s| f64::from(percent) / 100.0 > s);
        if forward {
            able_to_serve(&pair.new)?;
        }
        let write = self.write(percent).map_err(|why| Refusal::because(why).instead("another weight may do", Some(Verb::SetWeight)))?;
        let mut warnings = self.warnings(percent, forward);
        warnings.sort_by_key(|n| std::cmp::Reverse(n.severity));
        let from = f.percent_of(pair.new.name());
        Ok(Plan {
            intent: self.intent.clone(),
            target: self.rollout.id.clone(),
            danger: danger(self.intent.verb()),
            sentence: self.sentence(percent).into(),
            writes: vec![write],
            switch: None,
            changes: self.changes(percent),
            only_if: self.only_if(),
            expect: Expectation {
                goal: Goal::Share { side: pair.new.name().into(), percent, from },
                what: format!("{percent} % on {}", pair.new.name()).into(),
                within: SOON,
            },
            back: self.back(percent).into(),
            warnings,
            capacity: capacity(pair, percent).map(Text::from),
        })
    }

    fn sentence(&self, percent: u8) -> String {
        let said = |side: &Side<'_>| format!("{} ({})", side.name(), side.holds());
        let (new, old) = (said(&self.pair.new), said(&self.pair.old));
        match percent {
            0 => format!("Sends all requests to {old}, none to {new}."),
            100 => format!("Sends all requests to {new}, none to {old}."),
            _ => format!("Sends {percent} % of the requests to {new}, the rest to {old}."),
        }
    }

    fn back(&self, percent: u8) -> String {
        match self.f.percent_of(self.pair.new.name()) {
            Some(0) if percent > 0 => "abort: all requests go back, at once".into(),
            Some(before) => format!("set weight {before}"),
            None => "the rules had different weights: they are listed above".into(),
        }
    }

    /// One line for each rule and side.
    fn changes(&self, percent: u8) -> Vec<Change> {
        let (f, pair) = (self.f, self.pair);
        let line = |rule: &crate::traffic::Rule| {
            let from = rule.share(&pair.new.target).map_or_else(|| "no weight".into(), spelled);
            change(format!("{}: {}", rule.name, pair.new.name()), &from, &format!("{percent} %"))
        };
        f.weighted().map(line).collect()
    }

    fn only_if(&self) -> Vec<Text> {
        let kind = self.f.root.resource.kind;
        let names: Vec<&str> = self.f.weighted().map(|r| r.name.as_str()).collect();
        let of_rules = format!(
            "{} still {} between the same backends with the weights shown",
            names.join(", "),
            if names.len() == 1 { "divides" } else { "divide" }
        );
        vec![
            format!("{kind} {} is the same object", self.f.root.meta.name).into(),
            of_rules.into(),
            "nobody has begun another phase meanwhile".into(),
        ]
    }

    fn write(&self, percent: u8) -> Result<Write, String> {
        let (f, new) = (self.f, self.pair.new.name());
        let rules: Vec<_> = f.weighted().collect();
        let puts = f.form.puts(&f.route, &rules, &self.pair.new.target, percent)?;
        let mut guards: Vec<&str> = Vec::new();
        for guard in rules.iter().flat_map(|r| &r.guard) {
            if !guards.contains(&guard.as_str()) {
                guards.push(guard);
            }
        }
        let mark = match self.intent {
            Intent::Abort => Mark::aborted(new, self.now),
            _ => Mark::set(f.stages(), new, percent, self.now),
        };
        let edit = marked(Edit::main(f.root).all_same(&guards), f, &mark);
        Ok(puts.into_iter().fold(edit, |edit, put| edit.set(&put.path, put.value)).write())
    }

    fn warnings(&self, percent: u8, forward: bool) -> Vec<Notice> {
        let (f, pair) = (self.f, self.pair);
        let mut found = common(f);
        let mut warn = |severity, when: bool, text: String| {
            if when {
                found.push(Notice { severity, text: text.into() });
            }
        };
        let to = if forward { &pair.new } else { &pair.old };
        warn(
            Severity::Danger,
            forward && !to.is_seen(),
            format!("what stands behind {} is not seen: nobody knows whether it is ready", to.name()),
        );
        warn(
            Severity::Danger,
            !forward && to.is_seen() && to.ready() == 0,
            format!("{} has no ready pod: its requests would fail", to.name()),
        );
        warn(Severity::Danger, !forward && to.lack().is_some(), to.lack().unwrap_or_default());
        let part = to.is_seen() && to.ready() > 0 && !to.complete();
        warn(
            Severity::Danger,
            forward && part,
            format!("{} of {} pods of {} are ready, not all of its newest template", to.ready(), to.wanted(), to.name()),
        );
        warn(
            Severity::Danger,
            forward && pair.overlap,
            format!("one Service selects pods of both {} and {}", pair.old.name(), pair.new.name()),
        );
        if let (Some(early), true) = (self.early(), matches!(self.intent, Intent::Promote)) {
            warn(Severity::Danger, true, early);
        }
        let (few, load) = (to.ready(), if forward { percent } else { 100 - percent });
        let all = pair.new.ready() + pair.old.ready();
        let short = to.is_seen() && all > 0 && few > 0 && few * 100 < u32::from(load) * all;
        warn(Severity::Warning, short, format!("{few} of {all} ready pods would carry {load} % of the requests"));
        warn(Severity::Note, f.uneven(), "the rules have different weights now; this makes them one".into());
        found
    }

    /// The time of the phase in progress has not passed.
    fn early(&self) -> Option<String> {
        let due = self.f.mark().and_then(|m| stepper::due(self.f.stages(), m)).filter(|due| *due > self.now)?;
        let left = (due - self.now).to_std().ok()?;
        Some(format!("this phase should stand for {} more", stepper::spoken(Duration::from_secs(left.as_secs().max(1)))))
    }

    // ── the countdown ───────────────────────────────────────────────────────────────────────────

    fn pause(&self) -> Result<Plan, Refusal> {
        let f = self.f;
        let current = f.percent_of(self.pair.new.name()).filter(|percent| (1..100).contains(percent));
        let Some(percent) = current else {
            return Err(Refusal::because("no phase is in progress").instead("promote begins one", Some(Verb::Promote)));
        };
        if f.mark().is_some_and(|m| m.paused.is_some()) {
            return Err(Refusal::because("it is paused already").instead("resume", Some(Verb::Resume)));
        }
        let mark = f.mark().cloned().unwrap_or_else(|| Mark::set(f.stages(), self.pair.new.name(), percent, self.now));
        let words = "Stops the countdown of this phase for everybody; the weights stay, and promote asks to resume first.";
        Ok(self.annotate(&mark.paused(self.now), words, Goal::Paused, "resume"))
    }

    fn resume(&self) -> Result<Plan, Refusal> {
        let Some(mark) = self.f.mark().filter(|m| m.paused.is_some()) else {
            return Err(Refusal::because("it is not paused").instead("promote goes to the next phase", Some(Verb::Promote)));
        };
        Ok(self.annotate(&mark.clone().resumed(self.now), "Lets the countdown of this phase go on where it stood.", Goal::Resumed, "pause"))
    }

    fn annotate(&self, mark: &Mark, sentence: &str, goal: Goal, back: &str) -> Plan {
        let f = self.f;
        let guards: Vec<&str> = f.weighted().flat_map(|r| &r.guard).map(String::as_str).collect();
        let before = f.mark().map_or_else(|| "not set".into(), said);
        Plan {
            intent: self.intent.clone(),
            target: self.rollout.id.clone(),
            danger: danger(self.intent.verb()),
            sentence: sentence.into(),
            writes: vec![marked(Edit::main(f.root).all_same(&guards), f, mark).write()],
            switch: None,
            changes: vec![change(format!("annotation {ANNOTATION}"), &before, &said(mark))],
            only_if: self.only_if(),
            expect: Expectation { goal, what: "the phase says so".into(), within: SOON },
            back: back.into(),
            warnings: common(f),
            capacity: None,
        }
    }
}

/// The annotation, on condition that it is still the one that was read.
fn marked<'a>(edit: Edit<'a>, f: &Facts<'_>, mark: &Mark) -> Edit<'a> {
    if f.route.read.pointer("/metadata/annotations").is_none_or(Value::is_null) {
        return edit.same("/metadata/annotations").set("/metadata/annotations", json!({ ANNOTATION: mark.text() }));
    }
    let path = format!("/metadata/annotations/{}", step(ANNOTATION));
    edit.same(&path).set(&path, Value::String(mark.text()))
}

fn said(mark: &Mark) -> String {
    let state = if mark.paused.is_some() { "paused" } else { "running" };
    format!("phase {}, {} %, {state}", mark.phase, mark.weight)
}

fn able_to_serve(to: &Side<'_>) -> Result<(), Refusal> {
    let no = |reason: String, instead: &str| Err(Refusal::because(reason).instead(instead, None));
    match (to.lack(), to.is_seen(), to.wanted(), to.ready()) {
        (Some(lack), ..) => no(lack, "bring it up first"),
        (_, true, 0, _) => no(format!("{} is scaled to 0: its requests would fail", to.name()), "scale its workload up first"),
        (_, true, wanted, 0) => {
            no(format!("none of {}'s {wanted} pods is ready: its requests would fail", to.name()), "wait until they are ready")
        }
        _ => Ok(()),
    }
}

/// What is to be known of any write to this route.
fn common(f: &Facts<'_>) -> Vec<Notice> {
    let mut found = Vec::new();
    let mut add = |severity, text: String| found.push(Notice { severity, text: text.into() });
    if let Some((controller, at)) = claims::writer(f.root) {
        let when = at.map(|at| format!(" at {}", at.format("%F %T UTC"))).unwrap_or_default();
        add(Severity::Danger, format!("{controller} wrote this route{when}: if it still runs, it undoes this or takes it for progress"));
    }
    notices::siblings(f).for_each(|name| add(Severity::Warning, format!("{name} leads to the same two and stays as it is")));
    found
}

fn capacity(pair: &Pair<'_>, percent: u8) -> Option<String> {
    let (new, old) = (&pair.new, &pair.old);
    let carries = |side: &Side<'_>, percent: u8| format!("{} ready of {} would carry {percent} %", side.ready(), side.name());
    (new.is_seen() && old.is_seen()).then(|| format!("{}, {}", carries(new, percent), carries(old, 100 - percent)))
}

fn change(field: String, from: &str, to: &str) -> Change {
    Change { field: field.into(), from: from.into(), to: to.into() }
}

fn danger(verb: Verb) -> Danger {
    describe(Command::Act(verb)).map_or(Danger::Grave, |row| row.danger)
}
