//! What a person should know before touching the weights.

use super::{
    claims,
    facts::{Facts, Pair, Shape},
    stepper::{ANNOTATION, Standing},
};
use crate::{
    engine::workload::{draft::percent, pods},
    model::{Notice, Severity},
    traffic::Rule,
};
use Severity::{Danger, Note, Warning};

pub fn notices(f: &Facts<'_>) -> Vec<Notice> {
    let mut found: Vec<(Severity, String)> = Vec::new();
    found.extend((f.form.complaints)(&f.route.read).into_iter().map(|words| (Warning, words)));
    found.extend(f.weighted().filter_map(sums));
    found.extend(f.chosen().map(|rule| (Note, chosen(rule))));
    match &f.shape {
        Shape::Crowd(_, why) => found.push((Warning, format!("{why}: rolltop moves weights between two only"))),
        Shape::Pair(pair) => found.extend(of_pair(f, pair)),
    }
    if let Some((controller, _)) = claims::writer(f.root) {
        found.push((Warning, format!("{controller} has written this route: it may take any weight back")));
    }
    let mut notices: Vec<Notice> = found.into_iter().map(|(severity, text)| Notice { severity, text: text.into() }).collect();
    notices.sort_by_key(|n| std::cmp::Reverse(n.severity));
    notices
}

fn of_pair(f: &Facts<'_>, pair: &Pair<'_>) -> Vec<(Severity, String)> {
    let mut found = vec![(Note, format!("{} counts as the new side: {}", pair.new.name(), pair.because.words()))];
    let sides = [(&pair.new, f.new_share()), (&pair.old, f.new_share().map(|s| 1.0 - s))];
    for (side, share) in sides {
        let severity = if share.is_some_and(|s| s > 0.0) { Danger } else { Warning };
        found.extend(side.lack().map(|lack| (severity, lack)));
        if share.is_some_and(|s| s > 0.0) && side.is_seen() && side.ready() == 0 {
            found.push((Danger, format!("{} has users and no ready pod", side.name())));
        }
        if !side.is_seen() && side.lack().is_none() {
            found.push((Note, format!("what stands behind {} is not seen from here", side.name())));
        }
    }
    if pair.overlap {
        found.push((
            Warning,
            format!("one Service selects pods of both {} and {}: the weights are not the shares", pair.old.name(), pair.new.name()),
        ));
    }
    if f.uneven() {
        let each: Vec<String> =
            f.weighted().map(|r| format!("{} {}", r.name, r.share(&pair.new.target).map_or("none".into(), percent))).collect();
        found.push((Warning, format!("the rules disagree on {}: {}", pair.new.name(), each.join(", "))));
    }
    found.extend(siblings(f).map(|name| (Warning, format!("{name} leads to the same two and is not moved with this one"))));
    found.extend(phase(f).map(|words| (Warning, words)));
    found.extend(stuck(f, pair).map(|words| (Warning, words)));
    found
}

/// The other routes of the same two sides.
pub fn siblings(f: &Facts<'_>) -> impl Iterator<Item = String> {
    f.siblings().map(|route| format!("{} {}", route.resource.kind, route.meta.name))
}

fn stuck(f: &Facts<'_>, pair: &Pair<'_>) -> Option<String> {
    let stuck = pods::stuck(&pair.new.pods(f.objects)).filter(|_| f.in_flight())?;
    let message = if stuck.message.is_empty() { String::new() } else { format!(": {}", stuck.message) };
    Some(format!("pods of {} cannot start: {}{message} (pod {})", pair.new.name(), stuck.reason, stuck.pod))
}

/// Shares are parts of the sum; one that is not 100 reads differently in the object.
fn sums(rule: &Rule) -> Option<(Severity, String)> {
    match rule.sum() {
        0.0 => Some((Danger, format!("{}: all weights are 0, its requests fail", rule.name))),
        100.0 => None,
        sum => Some((Note, format!("{}: the weights add up to {sum}, not 100; shares are parts of that", rule.name))),
    }
}

/// `header x-canary: always: all to web-canary`.
fn chosen(rule: &Rule) -> String {
    let who = rule.audience.as_deref().unwrap_or("");
    let to: Vec<String> = match rule.backends.as_slice() {
        [] => vec!["answered by the router".into()],
        [only] => vec![format!("all to {}", only.target.name())],
        many => many.iter().map(|b| format!("{} to {}", rule.share(&b.target).map_or("none".into(), percent), b.target.name())).collect(),
    };
    format!("chosen requests ({who}): {}", to.join(", "))
}

/// An annotation that does not fit what is there.
fn phase(f: &Facts<'_>) -> Option<String> {
    match &f.standing {
        Standing::Unreadable => Some(format!("the annotation {ANNOTATION} cannot be read: the next promote writes it anew")),
        Standing::Stale(mark) if f.in_flight() => {
            let now = f.new_share().map_or("none".into(), percent);
            Some(format!(
                "the weight was set to {} % for {}, somebody has made it {now} since: promote goes on from there",
                mark.weight, mark.new
            ))
        }
        _ => None,
    }
}
