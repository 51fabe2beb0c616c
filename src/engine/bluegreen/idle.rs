//! What is done to the side without users: another image, a restart, another number of pods.
//!
//! Each is one conditional write of its Deployment, after one of the Service that changes nothing and fails when
//! somebody has flipped meanwhile: what was meant for nobody must not happen to users.

use std::time::Duration;

use super::{
    detect::Side,
    facts::Facts,
    plan::{change, danger, plural, still_elsewhere},
};
use crate::{
    engine::{
        Expectation, Goal, Plan, Refusal, Write,
        workload::{edit::Edit, rewrite},
    },
    intent::Intent,
    model::{Notice, Rollout, Severity, Text, Time},
};

/// Until its controller has seen it; for new pods, until they may be there.
const SOON: Duration = Duration::from_secs(30);

/// What differs from one of these actions to the next.
struct Draft {
    sentence: String,
    write: Write,
    field: String,
    from: String,
    to: String,
    goal: Goal,
    what: String,
    back: String,
    only_if: String,
    warning: Option<Notice>,
}

pub fn set_image(f: &Facts<'_>, rollout: &Rollout, intent: &Intent, container: &str, image: &str) -> Result<Plan, Refusal> {
    let side = f.idle();
    let (edit, old) = rewrite::image(of_side(side), side.object, rewrite::TEMPLATE, container, image)?;
    let draft = Draft {
        sentence: format!("Rolls out {image} on {}, which has no users; users stay on {} until someone flips.", side.value, f.live().value),
        write: edit.write(),
        field: format!("image of {container} on {}", side.value),
        from: old.clone(),
        to: image.to_owned(),
        goal: another(side),
        what: format!("{} is being filled with it", side.value),
        back: format!("set {old} again"),
        only_if: untouched(side),
        warning: empty(side),
    };
    Ok(finish(f, rollout, intent, draft))
}

pub fn restart(f: &Facts<'_>, rollout: &Rollout, intent: &Intent, now: Time) -> Result<Plan, Refusal> {
    let side = f.idle();
    if side.wanted() == 0 {
        return Err(Refusal::because(format!("{} has no pods that could be restarted", side.value)).instead("scale it up first", None));
    }
    let (edit, at) = rewrite::restart(of_side(side), side.object, now);
    let was = side.dto.spec.template.metadata.annotation(rewrite::RESTARTED_AT);
    let draft = Draft {
        sentence: format!("Replaces all pods of {}, which has no users, a few at a time.", side.value),
        write: edit.write(),
        field: format!("restartedAt on {}", side.value),
        from: if was.is_empty() { "none".into() } else { was.to_owned() },
        to: at,
        goal: another(side),
        what: format!("pods of {} are being replaced", side.value),
        back: "none: replaced pods do not come back".into(),
        only_if: untouched(side),
        warning: None,
    };
    Ok(finish(f, rollout, intent, draft))
}

pub fn scale(f: &Facts<'_>, rollout: &Rollout, intent: &Intent, to: u32) -> Result<Plan, Refusal> {
    let side = f.idle();
    let from = side.wanted();
    if to == from {
        return Err(
            Refusal::because(format!("{from} {} of {} are wanted already", plural(from), side.value)).instead("name another number", None)
        );
    }
    if to == 0 {
        return Err(
            Refusal::because(format!("this would take {} away", side.value)).instead("scale down", Some(crate::intent::Verb::ScaleDown))
        );
    }
    let name = side.name().clone();
    let draft = Draft {
        sentence: format!("Scales {}, which has no users, from {from} to {to} {}.", side.value, plural(to)),
        write: Edit::main(side.object)
            .same("/spec/template/metadata/labels")
            .same("/spec/replicas")
            .set("/spec/replicas", to.into())
            .write(),
        field: format!("spec.replicas of {name}"),
        from: from.to_string(),
        to: to.to_string(),
        what: format!("{to} {} of {} are ready", plural(to), side.value),
        back: format!("scale to {from}"),
        only_if: format!("Deployment {name} still wants {from} {}", plural(from)),
        goal: Goal::Scaled { name, from, to },
        warning: fights(f, side, to),
    };
    Ok(finish(f, rollout, intent, draft))
}

/// Its template, which also says which side it is, and nothing else: an autoscaler may change its size meanwhile.
fn of_side<'a>(side: &Side<'a>) -> Edit<'a> {
    Edit::main(side.object).same_template()
}

fn another(side: &Side<'_>) -> Goal {
    Goal::Template { hash: None, not: Some(side.template()) }
}

fn untouched(side: &Side<'_>) -> String {
    format!("nobody changed the template of Deployment {} since", side.name())
}

fn empty(side: &Side<'_>) -> Option<Notice> {
    let text = format!("{} has no pods: nothing runs of it until it is scaled up", side.value);
    (side.wanted() == 0).then(|| Notice { severity: Severity::Warning, text: text.into() })
}

fn fights(f: &Facts<'_>, side: &Side<'_>, to: u32) -> Option<Notice> {
    let auto = f.autoscaler(side)?;
    let text = match auto.nearest(to) {
        nearest if nearest == to => format!("{} sets the number of pods: without users it shrinks {} again", auto.range(), side.value),
        nearest => format!("{} sets the number of pods: it takes this back to {nearest}", auto.range()),
    };
    Some(Notice { severity: Severity::Warning, text: text.into() })
}

fn finish(f: &Facts<'_>, rollout: &Rollout, intent: &Intent, draft: Draft) -> Plan {
    let elsewhere: Text = format!("Service {} still selects {}", f.root.meta.name, f.live().value).into();
    Plan {
        intent: intent.clone(),
        target: rollout.id.clone(),
        danger: danger(intent.verb()),
        sentence: draft.sentence.into(),
        writes: vec![still_elsewhere(f), draft.write],
        switch: None,
        changes: vec![change(draft.field, &draft.from, &draft.to)],
        only_if: vec![elsewhere, draft.only_if.into()],
        expect: Expectation { goal: draft.goal, what: draft.what.into(), within: SOON * 2 },
        back: draft.back.into(),
        warnings: draft.warning.into_iter().collect(),
        capacity: None,
    }
}
