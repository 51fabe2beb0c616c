//! The writes: the flip is one patch of the Service's selector, in both directions; taking the old side away is another.

use std::time::Duration;

use serde_json::Value;

use super::{
    detect::Side,
    dto::{Ported, Service},
    facts::Facts,
    idle, picture, version,
};
use crate::{
    engine::{
        Change, Expectation, Goal, Plan, Refusal, Write,
        workload::{edit::Edit, rewrite::escaped},
    },
    intent::{Command, Danger, Intent, Verb, describe},
    model::{Notice, Rollout, Severity, Text, Time},
};

/// The endpoints follow within milliseconds; the rest is for a busy cluster.
const SOON: Duration = Duration::from_secs(30);

/// # Errors
/// Why it makes no sense now.
pub fn plan(f: &Facts<'_>, rollout: &Rollout, intent: &Intent, now: Time) -> Result<Plan, Refusal> {
    if f.root.meta.deleting.is_some() {
        return Err(Refusal::because("the Service is being deleted").instead("there is nothing left to steer", None));
    }
    match intent {
        Intent::Flip => flip(f, rollout, intent),
        Intent::Promote if f.new_is_idle() => flip(f, rollout, intent),
        Intent::Promote => Err(Refusal::because("no newer version waits beside the one users have")
            .instead("flip goes to the other side nevertheless", Some(Verb::Flip))),
        Intent::Abort if f.old_is_idle() => flip(f, rollout, intent),
        Intent::Abort => Err(Refusal::because("users are not on a new version: there is nothing to go back from")
            .instead("scale the new side down, if it is to go", Some(Verb::ScaleDown))),
        Intent::ScaleDown => scale_down(f, rollout, intent, now),
        Intent::Scale { replicas } => idle::scale(f, rollout, intent, *replicas),
        Intent::SetImage { container, image } => idle::set_image(f, rollout, intent, container, image),
        Intent::Restart => idle::restart(f, rollout, intent, now),
        other => Err(no_controller(other.verb())),
    }
}

/// Nobody drives a blue-green by Service but the person who flips it.
fn no_controller(verb: Verb) -> Refusal {
    let (reason, instead, better) = match verb {
        Verb::Undo => ("a Service has no earlier versions", "flip goes back to the other side", Some(Verb::Flip)),
        Verb::Retry => ("nothing was aborted", "flip goes to the other side", Some(Verb::Flip)),
        Verb::PromoteFull | Verb::Skip => ("there are no steps to skip: a flip moves all users at once", "flip", Some(Verb::Flip)),
        Verb::Pause | Verb::Resume => ("nothing goes on by itself here, so nothing can be paused", "just do not flip", None),
        Verb::SetWeight => ("a Service sends all users to one side", "flip", Some(Verb::Flip)),
        _ => ("a blue-green by Service knows no such action", "flip", Some(Verb::Flip)),
    };
    Refusal::because(reason).instead(instead, better)
}

// ── flip ────────────────────────────────────────────────────────────────────────────────────────

fn flip(f: &Facts<'_>, rollout: &Rollout, intent: &Intent) -> Result<Plan, Refusal> {
    let (from, to) = (f.live(), f.idle());
    able_to_serve(to)?;
    let back = if from.ready() > 0 {
        format!("flip back to {} while its pods live", from.value)
    } else {
        format!("none: {} has no ready pod to go back to", from.value)
    };
    let direction = if f.old_is_idle() { "Sends all users back from" } else { "Sends all users from" };
    let sentence = format!(
        "{direction} {} ({}) to {} ({}) at once; open connections stay on {} until they close.",
        from.value,
        from.images(),
        to.value,
        to.images(),
        from.value
    );
    let service = &f.root.meta.name;
    let mut warnings = flip_warnings(f, to, from);
    warnings.sort_by_key(|n| std::cmp::Reverse(n.severity));
    Ok(Plan {
        intent: intent.clone(),
        target: rollout.id.clone(),
        danger: danger(intent.verb()),
        sentence: sentence.into(),
        writes: vec![flip_write(f, to)],
        switch: None,
        changes: vec![change(format!("spec.selector.{}", f.pair.key), &from.value, &to.value)],
        only_if: vec![
            format!("Service {service} is the same object").into(),
            format!("it still selects {}, and nothing else in its selector has changed", from.value).into(),
        ],
        expect: Expectation {
            goal: Goal::Active { hash: to.value.as_str().into(), from: from.value.as_str().into() },
            what: format!("users are on {}", to.value).into(),
            within: SOON,
        },
        back: back.into(),
        warnings,
        capacity: Some(
            format!(
                "{} ready {} of {} would carry what {} of {} carry now",
                to.ready(),
                plural(to.ready()),
                to.value,
                from.ready(),
                from.value
            )
            .into(),
        ),
    })
}

fn able_to_serve(to: &Side<'_>) -> Result<(), Refusal> {
    let no = |reason: String, instead: &str| Err(Refusal::because(reason).instead(instead, None));
    let gone = to.object.meta.deleting.is_some();
    match (gone, to.wanted(), to.ready()) {
        (true, ..) => no(format!("Deployment {} is being deleted", to.name()), "bring it up again first"),
        (_, 0, _) => no(format!("{} is scaled to 0: users would get nothing", to.value), "scale its Deployment up first"),
        (_, wanted, 0) => {
            no(format!("none of {}'s {wanted} pods is ready: users would get nothing", to.value), "wait until they are ready")
        }
        _ => Ok(()),
    }
}

/// The whole selector is quoted: with another key in it the new value could select nobody.
fn flip_write(f: &Facts<'_>, to: &Side<'_>) -> Write {
    let path = format!("/spec/selector/{}", escaped(&f.pair.key));
    Edit::main(f.root).same("/spec/selector").same(&path).set(&path, Value::String(to.value.clone())).write()
}

fn flip_warnings(f: &Facts<'_>, to: &Side<'_>, from: &Side<'_>) -> Vec<Notice> {
    let mut found = Vec::new();
    let mut warn = |severity, when: bool, text: String| {
        if when {
            found.push(Notice { severity, text: text.into() });
        }
    };
    let (ready, wanted) = (to.ready(), to.wanted());
    warn(Severity::Danger, ready < wanted, format!("only {ready} of {wanted} pods of {} are ready", to.value));
    let mixed = ready >= wanted && !to.complete();
    warn(Severity::Danger, mixed, format!("{} is still rolling out: its pods are not all of its newest template", to.value));
    warn(
        Severity::Danger,
        ready < from.ready(),
        format!("{} is smaller than {}: {ready} ready {} for the load of {}", to.value, from.value, plural(ready), from.ready()),
    );
    warn(
        Severity::Danger,
        is_foreign(to, from),
        format!("{} holds {}, which is no version of what {} holds: {}", to.value, to.images(), from.value, from.images()),
    );
    if let Some(auto) = f.autoscaler(to) {
        let text = format!("{} lets {} grow to fewer pods than {} has ready: {}", auto.range(), to.value, from.value, from.ready());
        warn(Severity::Danger, auto.max < from.ready(), text);
    }
    let ports = missing_ports(to, &f.pair.service);
    warn(
        Severity::Danger,
        !ports.is_empty(),
        format!("{} has no port named {}: the Service would have no endpoints", to.value, ports.join(", ")),
    );
    let companions = f.companions();
    warn(Severity::Warning, !companions.is_empty(), format!("Service {} stays on {}", companions.join(", "), from.value));
    warn(Severity::Note, f.idle_is.is_none(), format!("both sides hold the same images: {}", to.images()));
    found
}

/// A container from a repository that the other side has nothing of.
fn is_foreign(to: &Side<'_>, from: &Side<'_>) -> bool {
    let repositories = |side| version::images(side).into_iter().map(version::repository).collect::<Vec<_>>();
    let known = repositories(from);
    repositories(to).iter().any(|r| !known.contains(r))
}

/// Ports the Service names and this side does not have.
pub fn missing_ports(side: &Side<'_>, service: &Service) -> Vec<String> {
    let Ok(ported) = side.object.read::<Ported>() else { return Vec::new() };
    let has = |name: &str| ported.spec.template.spec.containers.iter().flat_map(|c| &c.ports).any(|p| p.name == name);
    let named = service.spec.ports.iter().map(|p| &p.target_port.0).filter(|p| !p.is_empty() && p.parse::<u16>().is_err());
    named.filter(|p| !has(p)).cloned().collect()
}

// ── the side without users ──────────────────────────────────────────────────────────────────────

fn scale_down(f: &Facts<'_>, rollout: &Rollout, intent: &Intent, now: Time) -> Result<Plan, Refusal> {
    let (live, idle) = (f.live(), f.idle());
    if idle.wanted() == 0 {
        return Err(Refusal::because(format!("{} is at 0 already, and users are on {}", idle.value, live.value)));
    }
    if live.ready() == 0 {
        return Err(Refusal::because(format!("{} has no ready pod: {} is the only way back", live.value, idle.value))
            .instead(format!("flip to {}", idle.value), Some(Verb::Flip)));
    }
    let others = f.companions_on_idle();
    if !others.is_empty() {
        return Err(Refusal::because(format!("Service {} still sends users to {}", others.join(", "), idle.value))
            .instead("flip it as well first", None));
    }
    let sentence = format!("Takes all {} pods of {} ({}) away: users are on {}.", idle.wanted(), idle.value, idle.images(), live.value);
    let mut warnings = Vec::new();
    if let Some(left) = f.soaked().filter(|until| f.old_is_idle() && *until > now) {
        let left = picture::spoken(Duration::from_secs((left - now).num_seconds().unsigned_abs()));
        let text = format!(
            "users are on {} for less than {}: {left} are left in which {} can be flipped back to",
            live.value,
            picture::spoken(f.soak()),
            idle.value
        );
        warnings.push(Notice { severity: Severity::Danger, text: text.into() });
    }
    if let Some(auto) = f.autoscaler(idle) {
        let text = format!("{} is switched off for as long as there are no pods", auto.called);
        warnings.push(Notice { severity: Severity::Note, text: text.into() });
    }
    if !live.complete() {
        let text =
            format!("{} is not complete: {} of {} pods ready, and this takes the fast way back", live.value, live.ready(), live.wanted());
        warnings.push(Notice { severity: Severity::Danger, text: text.into() });
    }
    if f.new_is_idle() {
        let text = format!("{} holds the newer version, which users have not had yet", idle.value);
        warnings.push(Notice { severity: Severity::Warning, text: text.into() });
    }
    warnings.sort_by_key(|n| std::cmp::Reverse(n.severity));
    let deployment = idle.name().clone();
    Ok(Plan {
        intent: intent.clone(),
        target: rollout.id.clone(),
        danger: danger(intent.verb()),
        sentence: sentence.into(),
        writes: vec![still_elsewhere(f), emptied(idle)],
        switch: None,
        changes: vec![change(format!("spec.replicas of {deployment}"), &idle.wanted().to_string(), "0")],
        only_if: vec![
            format!("Service {} still selects {}", f.root.meta.name, live.value).into(),
            format!("Deployment {deployment} still wants {} pods", idle.wanted()).into(),
        ],
        expect: Expectation {
            goal: Goal::Empty { side: idle.value.as_str().into() },
            what: format!("no pods of {} are left", idle.value).into(),
            within: SOON * 2,
        },
        back: format!("scale Deployment {deployment} to {} again, and wait until its pods are ready", idle.wanted()).into(),
        warnings,
        capacity: None,
    })
}

/// Changes nothing: the server refuses it, and with it the write that follows, when somebody has flipped meanwhile.
/// One patch cannot hold conditions on two objects.
pub fn still_elsewhere(f: &Facts<'_>) -> Write {
    Edit::main(f.root).same("/spec/selector").write()
}

fn emptied(side: &Side<'_>) -> Write {
    // Which side this is stands in the labels of its pods.
    Edit::main(side.object).same("/spec/template/metadata/labels").same("/spec/replicas").set("/spec/replicas", Value::from(0)).write()
}

// ── common ──────────────────────────────────────────────────────────────────────────────────────

pub fn change(field: String, from: &str, to: &str) -> Change {
    Change { field: field.into(), from: from.into(), to: to.into() }
}

pub fn danger(verb: Verb) -> Danger {
    describe(Command::Act(verb)).map_or(Danger::Grave, |row| row.danger)
}

pub fn plural(pods: u32) -> &'static str {
    if pods == 1 { "pod" } else { "pods" }
}

/// Containers and images of a side.
pub fn containers(side: &Side<'_>) -> Vec<(Text, Text)> {
    side.dto.spec.template.spec.containers.iter().map(|c| (c.name.as_str().into(), c.image.as_str().into())).collect()
}
