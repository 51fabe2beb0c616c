//! Messages from the sources: objects become models, answers find their card.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{Effect, Finished, Known, Screen, State, action, armed, filter, input, order, podlogs};
use crate::{
    engine::{self, ENGINES, Engine, survey},
    guard::arming::LEASE,
    model::{EngineKind, Notice, Phase, Rollout, Severity, Text, Time, metrics::RolloutMetrics},
    msg::{Body, Msg},
    object::{Object, Resource},
    timeline::{self, Entry, Origin},
    verdict::{self, Advice},
};

/// A spec that the controller has not seen for this long is a controller that is not there.
const UNOBSERVED_LIMIT: Duration = Duration::from_secs(30);
/// Readings kept per series of the open rollout: six hours at five seconds.
const HISTORY: usize = 4_320;
/// The same of one that moves in the fleet: a quarter of an hour. What lies further back is asked for when it is opened.
const GLIMPSE: usize = 180;
/// Lines kept about a rollout that is not open.
const LOG: usize = 60;
/// By how much the share of failed requests must rise after a release to be said aloud, and how many a minute must fail.
const RELAPSE: f64 = 0.02;
const FEW: f64 = 5.0;
/// Lines of the timeline that are kept.
const TIMELINE: usize = 500;

pub fn message(state: &mut State, msg: Msg, effects: &mut Vec<Effect>) {
    if msg.epoch != 0 && msg.epoch != state.epoch {
        return;
    }
    let at = msg.at;
    match msg.body {
        Body::Link(source, link) => {
            *state.links.entry(source) = link;
            action::resume(state, at, effects);
        }
        Body::Snapshot { resource, scope, objects, .. } => snapshot(state, resource, scope, objects, at, effects),
        Body::Applied { object, scope, .. } => applied(state, *object, scope, at, effects),
        Body::Deleted { resource, uid, .. } => deleted(state, resource, &uid, at, effects),
        Body::Identity(identity) => state.identity = Some(identity),
        Body::Hint(hint) => state.hint = Some(hint),
        Body::Untold(untold) => state.untold = untold,
        Body::Metrics(readings) => measured(state, readings, at),
        Body::Backfill(id, filled) => backfilled(state, &id.uid, *filled),
        Body::Rehearsed { card, findings } => action::rehearsed(state, card, *findings, at, effects),
        Body::Acted { card, outcome } => action::acted(state, card, outcome, at, effects),
        Body::Held { uid, renewed } => armed::held(state, &uid, renewed, at, effects),
        Body::FlagRead { card, reading } => action::flag_read(state, card, reading),
        Body::Log(news) => podlogs::heard(state, *news),
        Body::Note(text) => state.note = Some((at, text)),
    }
}

/// What changes by time alone.
pub fn tick(state: &mut State, now: Time) {
    let late = |known: &Known| known.unobserved_since.is_some_and(|since| (now - since).to_std().is_ok_and(|d| d >= UNOBSERVED_LIMIT));
    let mut changed = false;
    for known in state.rollouts.values_mut().filter(|k| k.rollout.phase != Phase::Stuck && late(k)) {
        stuck(&mut known.rollout);
        changed = true;
    }
    state.unsorted |= changed;
    rejudge(state, now);
    for known in state.rollouts.values_mut() {
        let stalled = order::stalls(&known.rollout, now);
        state.unsorted |= std::mem::replace(&mut known.stalled, stalled) != stalled;
        state.unsorted |= known.finished.take_if(|finished| order::is_past(finished, now)).is_some();
    }
    if state.note.as_ref().is_some_and(|(at, _)| (now - *at).num_seconds() >= 10) {
        state.note = None;
    }
}

/// Readings grow old by themselves.
fn rejudge(state: &mut State, now: Time) {
    let State { rollouts, trials, metrics, settings, unsorted, .. } = state;
    for (uid, known) in rollouts.iter_mut().filter(|(_, k)| k.rollout.in_flight() && k.deleted.is_none()) {
        let Some(metrics) = metrics.get(uid) else { continue };
        let trial = trials.get(uid);
        let case = verdict::Case { metrics: Some(metrics), trial, ..verdict::Case::under(settings, &known.rollout, now) };
        if known.verdict.stale != case.is_stale() {
            let verdict = verdict::judge(&case);
            *unsorted |= known.verdict.is != verdict.is;
            known.verdict = verdict;
        }
    }
}

fn stuck(rollout: &mut Rollout) {
    rollout.phase = Phase::Stuck;
    rollout
        .notices
        .push(Notice { severity: Severity::Danger, text: "the controller has not seen the last change for 30 s: is it running?".into() });
}

fn snapshot(state: &mut State, resource: &'static Resource, scope: u32, objects: Vec<Object>, at: Time, effects: &mut Vec<Effect>) {
    let present: HashSet<Text> = objects.iter().map(|o| o.meta.uid.clone()).collect();
    let gone: Vec<Text> = state
        .objects
        .iter(resource)
        .map(|o| o.meta.uid.clone())
        .filter(|uid| !present.contains(uid) && state.streams.get(uid).copied().unwrap_or(scope) == scope)
        .collect();
    let is_fleet = engine::is_fleet_kind(resource);
    let mut reshaped: BTreeSet<Text> =
        gone.iter().filter_map(|uid| forget(state, resource, uid)).map(|o| o.meta.namespace.clone()).collect();
    let mut touched = Vec::new();
    for object in objects {
        if is_fleet && is_reshaped(state, &object) {
            reshaped.insert(object.meta.namespace.clone());
        }
        touched.push(object.meta.uid.clone());
        keep(state, object, scope);
    }
    match is_fleet {
        true => fleet_changed(state, resource, &touched, &reshaped, at, effects),
        false => remodel_open(state, at, effects),
    }
}

fn is_reshaped(state: &State, object: &Object) -> bool {
    state.objects.uid(object.resource, &object.meta.uid).is_none_or(|before| survey::is_reshaped(before, object))
}

/// Models, each once, the rollouts that these objects are or are parts of, and those to whom the survey of a namespace
/// brought something new.
fn fleet_changed(
    state: &mut State,
    resource: &'static Resource,
    touched: &[Text],
    reshaped: &BTreeSet<Text>,
    at: Time,
    effects: &mut Vec<Effect>,
) {
    let mut roots = BTreeMap::new();
    for namespace in reshaped {
        roots.extend(survey(state, namespace, at, effects));
    }
    let root_of = |uid: &Text| {
        let object = state.objects.uid(resource, uid)?;
        state.surveys.get(&object.meta.namespace)?.root_of(object)
    };
    roots.extend(touched.iter().filter_map(root_of));
    roots.extend(open_beside(state, resource, touched));
    for (uid, kind) in roots {
        engine::of(kind).into_iter().for_each(|engine| remodel(state, engine, &uid, at, effects));
    }
    follow_owner(state, at, effects);
}

/// A workload may be opened by its name before what drives it is known: then that is what was meant.
fn follow_owner(state: &mut State, at: Time, effects: &mut Vec<Effect>) {
    let owner = || {
        let Screen::Rollout(uid) = &state.view.screen else { return None };
        let open = state.rollouts.get(uid).filter(|known| known.deleted.is_some())?;
        let root = engine::root(engine::of(open.rollout.engine)?, &state.objects, uid)?;
        let (owner, _) = state.surveys.get(&root.meta.namespace)?.root_of(root)?;
        state.rollouts.contains_key(&owner).then(|| (uid.clone(), owner))
    };
    let Some((uid, owner)) = owner() else { return };
    let was = state.rollouts.remove(&uid).map(|known| format!("{} {}", known.rollout.id.kind, known.rollout.id.name));
    input::open(state, &owner, at, effects);
    state.note = was.map(|was| (at, format!("{was} belongs to this one").into()));
}

/// The open rollout, when one of these objects lies in its namespace: it may read what belongs to another, such as a route
/// that two of them share.
fn open_beside(state: &State, resource: &'static Resource, touched: &[Text]) -> Option<(Text, EngineKind)> {
    let Screen::Rollout(uid) = &state.view.screen else { return None };
    // One that was ended is not to come back.
    let open = &state.rollouts.get(uid).filter(|known| known.deleted.is_none())?.rollout;
    let beside = |uid: &Text| state.objects.uid(resource, uid).is_some_and(|o| *o.meta.namespace == *open.id.namespace);
    touched.iter().any(beside).then(|| (uid.clone(), open.engine))
}

/// Finds out anew who is a rollout in a namespace, ends those that are none any more, and gives those for whom it changed.
fn survey(state: &mut State, namespace: &str, at: Time, effects: &mut Vec<Effect>) -> Vec<(Text, EngineKind)> {
    let now = survey::survey(ENGINES, namespace, &state.objects);
    let before = state.surveys.remove(namespace).unwrap_or_default();
    for uid in before.rollouts.keys().filter(|uid| !now.rollouts.contains_key(*uid)) {
        end(state, uid, at, effects);
    }
    let changed = now.changed_since(&before);
    if !now.rollouts.is_empty() {
        state.surveys.insert(namespace.into(), now);
    }
    changed
}

fn keep(state: &mut State, object: Object, scope: u32) {
    state.streams.insert(object.meta.uid.clone(), scope);
    state.objects.put(object);
}

fn forget(state: &mut State, resource: &'static Resource, uid: &str) -> Option<Arc<Object>> {
    state.streams.remove(uid);
    state.objects.remove(resource, uid)
}

fn applied(state: &mut State, object: Object, scope: u32, at: Time, effects: &mut Vec<Effect>) {
    let resource = object.resource;
    if !engine::is_fleet_kind(resource) {
        keep(state, object, scope);
        return remodel_open(state, at, effects);
    }
    let reshaped = is_reshaped(state, &object).then(|| object.meta.namespace.clone());
    let uid = object.meta.uid.clone();
    keep(state, object, scope);
    fleet_changed(state, resource, &[uid], &reshaped.into_iter().collect(), at, effects);
}

fn deleted(state: &mut State, resource: &'static Resource, uid: &str, at: Time, effects: &mut Vec<Effect>) {
    let gone = forget(state, resource, uid).filter(|_| engine::is_fleet_kind(resource));
    match gone {
        Some(object) => fleet_changed(state, resource, &[], &[object.meta.namespace.clone()].into(), at, effects),
        None => remodel_open(state, at, effects),
    }
}

/// A rollout is one no more: its root is gone, or has become a part of another.
fn end(state: &mut State, uid: &str, at: Time, effects: &mut Vec<Effect>) {
    state.unsorted = true;
    measure(effects);
    state.metrics.remove(uid);
    state.trials.remove(uid);
    let open = matches!(&state.view.screen, Screen::Rollout(o) if *o == *uid);
    if open {
        if let Some(known) = state.rollouts.get_mut(uid) {
            known.deleted = Some(at);
        }
    } else {
        state.rollouts.remove(uid);
        state.logs.remove(uid);
    }
}

fn remodel_open(state: &mut State, at: Time, effects: &mut Vec<Effect>) {
    let Screen::Rollout(uid) = state.view.screen.clone() else { return };
    let Some(engine) = state.rollouts.get(&uid).and_then(|k| engine::of(k.rollout.engine)) else { return };
    remodel(state, engine, &uid, at, effects);
    action::resume(state, at, effects);
    if let Some(root) = engine::root(engine, &state.objects, &uid) {
        let events = timeline::from_events(root, &state.objects);
        merge_events(state, events);
    }
}

/// Makes one rollout's model anew from the objects at hand.
pub fn remodel(state: &mut State, engine: &dyn Engine, uid: &str, at: Time, effects: &mut Vec<Effect>) {
    let Some(root) = engine::root(engine, &state.objects, uid).cloned() else { return };
    let mut rollout = engine.normalise(&state.context, &root, &state.objects);
    if state.settings.rules.iter().any(|rule| !rule.labels.is_empty()) {
        rollout.labels = root.labels();
    }
    let before = state.rollouts.get(uid);
    let unobserved_since = rollout.unobserved.then(|| before.and_then(|k| k.unobserved_since).unwrap_or(at));
    if unobserved_since.is_some_and(|since| (at - since).to_std().is_ok_and(|d| d >= UNOBSERVED_LIMIT)) {
        stuck(&mut rollout);
    }
    if before.is_some_and(|k| k.rollout == rollout && k.unobserved_since == unobserved_since) {
        return;
    }
    let seen = before.map(|k| changes(&k.rollout, &rollout, at)).unwrap_or_default();
    let finished = before.and_then(|k| match order::moves(&k.rollout) {
        true => Some(Finished { at, errors_before: state.metrics.get(uid).and_then(usual_errors), errors: None }),
        false => k.finished,
    });
    if before.is_none_or(|k| {
        k.rollout.subject != rollout.subject || k.rollout.in_flight() != rollout.in_flight() || hashes(&k.rollout) != hashes(&rollout)
    }) {
        measure(effects);
        // Another version began: what the last one did says nothing about it.
        if before.is_some_and(|k| hashes(&k.rollout) != hashes(&rollout))
            && let Some(m) = state.metrics.get_mut(uid)
        {
            m.new = Default::default();
            m.old = Default::default();
        }
    }
    let verdict = verdict::judge(&case(state, uid, &rollout, at));
    let haystack = filter::haystack(&rollout);
    let key: Text = uid.into();
    let finished = finished.filter(|_| !order::moves(&rollout));
    let stalled = order::stalls(&rollout, at);
    let known = Known { rollout, verdict, unobserved_since, deleted: None, haystack, offers: None, finished, stalled };
    state.rollouts.insert(key.clone(), Box::new(known));
    state.unsorted = true;
    for entry in seen {
        log(state, &key, entry);
    }
}

/// Keeps a line about a rollout, whether it is open or not.
pub fn log(state: &mut State, uid: &str, entry: Entry) {
    if matches!(&state.view.screen, Screen::Rollout(open) if **open == *uid) {
        return remember(state, entry);
    }
    insert(state.logs.entry(uid.into()).or_default(), entry, LOG);
}

/// The open rollout's timeline begins with what was kept about it.
pub fn recall(state: &mut State, uid: &str) {
    state.timeline = state.logs.remove(uid).unwrap_or_default();
}

/// Puts away what Kubernetes will not tell again.
pub fn put_away(state: &mut State, uid: &str) {
    let mut log = std::mem::take(&mut state.timeline);
    log.retain(|e| e.origin != Origin::Event);
    while log.len() > LOG {
        log.pop_front();
    }
    if !log.is_empty() {
        state.logs.insert(uid.into(), log);
    }
}

/// Once: the list of a thousand rollouts would ask for it a thousand times, and each answer goes through all of them.
fn measure(effects: &mut Vec<Effect>) {
    if !effects.iter().any(|e| matches!(e, Effect::Measure)) {
        effects.push(Effect::Measure);
    }
}

fn hashes(rollout: &Rollout) -> (Option<&Text>, Option<&Text>) {
    (rollout.new_side().map(|t| &t.hash), rollout.old_side().map(|t| &t.hash))
}

/// What a person would say changed between two pictures.
fn changes(before: &Rollout, after: &Rollout, at: Time) -> Vec<Entry> {
    let mut lines = Vec::new();
    let mut say = |reason: &str, message: String, warning: bool| {
        lines.push(Entry { at, origin: Origin::Seen, warning, object: None, reason: reason.into(), message: message.into(), count: 1 });
    };
    if before.phase != after.phase {
        let warning = matches!(after.phase, Phase::Failing | Phase::Aborted | Phase::Stuck);
        say("phase", format!("{} → {}", before.phase.name(), after.phase.name()), warning);
    }
    if before.steps.current != after.steps.current
        && let Some(step) = after.steps.now()
    {
        say("step", format!("{}/{}: {}", after.steps.current.unwrap_or_default() + 1, after.steps.items.len(), step.label), false);
    }
    let weight = |r: &Rollout| r.new_side().and_then(|t| t.traffic.applied).map(|w| (w * 100.0).round());
    if let (Some(from), Some(to)) = (weight(before), weight(after))
        && from != to
    {
        say("weight", format!("{from} → {to} %"), false);
    }
    lines
}

/// What share of requests to the old side failed while the new one was there.
fn usual_errors(metrics: &RolloutMetrics) -> Option<f64> {
    use crate::model::metrics::{Series, Side};
    let history = metrics.history.get(&(Side::Old, Series::Errors));
    let seen: Vec<f64> = history.into_iter().flatten().filter_map(|(_, value)| *value).collect();
    match seen.len() {
        0 => metrics.old.errors.value(),
        n => Some(seen.iter().sum::<f64>() / n as f64),
    }
}

/// What share fails now, where that is clearly more than before the release, and of more than a handful.
fn relapsed(finished: Finished, metrics: &RolloutMetrics) -> Option<f64> {
    let (before, now) = (finished.errors_before?, metrics.old.errors.value()?);
    let a_minute = metrics.old.rate.value().map(|rate| rate * now * 60.0);
    (now >= before + RELAPSE && now >= 3.0 * before && a_minute.is_none_or(|n| n >= FEW)).then_some(now)
}

/// Adds a line at its place in time.
pub fn remember(state: &mut State, entry: Entry) {
    insert(&mut state.timeline, entry, TIMELINE);
}

fn insert(lines: &mut VecDeque<Entry>, entry: Entry, most: usize) {
    let place = lines.partition_point(|e| e.at <= entry.at);
    lines.insert(place, entry);
    while lines.len() > most {
        lines.pop_front();
    }
}

fn merge_events(state: &mut State, events: Vec<Entry>) {
    state.timeline.retain(|e| e.origin != Origin::Event);
    for entry in events {
        remember(state, entry);
    }
}

fn case<'a>(state: &'a State, uid: &str, rollout: &'a Rollout, now: Time) -> verdict::Case<'a> {
    let (metrics, trial) = (state.metrics.get(uid), state.trials.get(uid));
    verdict::Case { metrics, trial, ..verdict::Case::under(&state.settings, rollout, now) }
}

/// The earliest moment from which requests to the new side are surely those of this release: a Service had another version
/// behind it before, and a version that is released again has pods or a ReplicaSet from then. Too late only costs requests.
fn begun(rollout: &Rollout, now: Time) -> Time {
    let written = rollout.writers.iter().filter(|w| w.subresource.is_none()).filter_map(|w| w.at).max();
    let created = rollout.new_side().and_then(|new| new.created);
    [created, rollout.started, written].into_iter().flatten().max().unwrap_or(now)
}

/// The trial of the release in flight: other versions are another trial.
fn try_blocks(
    trials: &mut HashMap<Text, verdict::Trial>,
    uid: &Text,
    rollout: &Rollout,
    fresh: &RolloutMetrics,
    warm_up: Duration,
    now: Time,
) {
    let (Some(new), Some(old)) = (rollout.new_side(), rollout.old_side()) else { return drop(trials.remove(uid)) };
    let begin = || verdict::Trial::new(&new.hash, &old.hash, Some(begun(rollout, now))).warming_up(warm_up);
    let trial = trials
        .entry(uid.clone())
        .and_modify(|t| {
            if !t.is_of(&new.hash, &old.hash) {
                *t = begin()
            }
        })
        .or_insert_with(begin);
    trial.limit = fresh.limit.or(trial.limit);
    for block in &fresh.blocks {
        trial.take(block, new.traffic.applied);
    }
}

fn measured(state: &mut State, readings: Vec<(crate::model::Id, RolloutMetrics)>, now: Time) {
    for (id, fresh) in readings {
        let uid: Text = Text::from(&*id.uid);
        let kept = state.metrics.entry(uid.clone()).or_default();
        let at = fresh.at;
        if let Some(known) = state.rollouts.get(&uid) {
            try_blocks(&mut state.trials, &uid, &known.rollout, &fresh, state.settings.warm_up, now);
            if let Some(pause) = state.arms.get_mut(&uid).and_then(|armed| armed.arming.pause.as_mut()) {
                pause.take(&fresh, &known.rollout);
            }
        }
        kept.at = at.or(kept.at);
        kept.new = fresh.new;
        kept.old = fresh.old;
        kept.measured_share = fresh.measured_share;
        let keep = match state.rollouts.get(&uid) {
            _ if matches!(&state.view.screen, Screen::Rollout(open) if *open == uid) => HISTORY,
            Some(known) if known.rollout.in_flight() => GLIMPSE,
            // A thousand that stand still would fill a gigabyte.
            _ => 0,
        };
        if let Some(at) = at {
            extend(kept, at, keep);
        }
        for (name, points) in fresh.own {
            append(kept.own.entry(name).or_default(), points, keep);
        }
        if let (Some(known), Some(trial)) = (state.rollouts.get(&uid), state.trials.get_mut(&uid)) {
            trial.watch(&state.settings.rules, &known.rollout, kept);
        }
        if let Some(known) = state.rollouts.get_mut(&uid)
            && let Some(finished) = known.finished.as_mut()
        {
            let errors = state.metrics.get(&uid).and_then(|metrics| relapsed(*finished, metrics));
            state.unsorted |= errors.is_some() != finished.errors.is_some();
            finished.errors = errors;
        }
        let verdict = state.rollouts.get(&uid).map(|known| verdict::judge(&case(state, &uid, &known.rollout, now)));
        if let (Some(verdict), Some(known)) = (verdict, state.rollouts.get_mut(&uid)) {
            state.unsorted |= known.verdict.is != verdict.is;
            known.verdict = verdict;
            advised(state, &uid, now);
        }
    }
}

/// When an abort or a hold was first advised belongs to the story; one that comes and goes is told once.
fn advised(state: &mut State, uid: &str, now: Time) {
    const REASON: &str = "verdict";
    let Some(verdict) = state.rollouts.get(uid).map(|known| &known.verdict) else { return };
    if verdict.stale || !matches!(verdict.is, Advice::Abort | Advice::Hold) {
        return;
    }
    let is_open = matches!(&state.view.screen, Screen::Rollout(open) if **open == *uid);
    let story = if is_open { Some(&state.timeline) } else { state.logs.get(uid) };
    let last = story.and_then(|story| story.iter().rev().find(|e| e.origin == Origin::Seen && &*e.reason == REASON));
    if last.is_some_and(|last| last.message.starts_with(verdict.is.words())) {
        return;
    }
    let message = format!("{}: {}", verdict.is.words(), verdict.because).into();
    let warning = verdict.is == Advice::Abort;
    log(state, uid, Entry { at: now, origin: Origin::Seen, warning, object: None, reason: REASON.into(), message, count: 1 });
}

fn extend(metrics: &mut RolloutMetrics, at: Time, keep: usize) {
    use crate::model::metrics::{Series, Side};
    if keep == 0 {
        return metrics.history.clear();
    }
    for side in [Side::New, Side::Old] {
        for series in Series::ALL {
            let value = metrics.side(side).get(series).value();
            append(metrics.history.entry((side, series)).or_default(), [(at, value)].into(), keep);
        }
    }
}

fn append(line: &mut crate::model::metrics::Points, more: crate::model::metrics::Points, keep: usize) {
    for (at, value) in more {
        if line.back().is_none_or(|(last, _)| *last < at) {
            line.push_back((at, value));
        }
    }
    if line.len() > keep {
        line.drain(..line.len() - keep);
        line.shrink_to(keep + keep / 2);
    }
}

/// A chart's past goes before what was seen since.
fn backfilled(state: &mut State, uid: &str, filled: RolloutMetrics) {
    let kept = state.metrics.entry(uid.into()).or_default();
    kept.filled_from = filled.filled_from;
    for (key, mut past) in filled.history {
        let line = kept.history.entry(key).or_default();
        let end = past.back().map(|(at, _)| *at);
        past.extend(line.drain(..).filter(|(at, _)| end.is_none_or(|e| *at > e)));
        *line = past;
    }
    for (name, points) in filled.own {
        kept.own.insert(name, points);
    }
}

/// Forgets what was only watched for the open rollout.
pub fn forget_detail(state: &mut State) {
    let kinds: Vec<_> = state.objects.kinds().filter(|resource| !engine::is_fleet_kind(resource) && **resource != LEASE).collect();
    for resource in kinds {
        for object in state.objects.iter(resource) {
            state.streams.remove(&object.meta.uid);
        }
        state.objects.clear(resource);
    }
}
