//! The same reducer without a screen: `status`, `watch --json`, `guard` and `wait`.

pub mod executor;
pub mod watchman;

use std::{collections::HashMap, io::Write, time::Duration};

use executor::Executor;
use watchman::{End, Watchman};

use crate::{
    hands::{Hands, NoHands},
    model::{LinkState, Source, Text, Time},
    msg::Body,
    report,
    session::Session,
    state::{Effect, Event, Known, Screen, State, input, update},
    verdict::rules::Metric,
};

/// How a headless look ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The fleet is known.
    Known,
    /// Not in time, or not at all.
    Unreachable,
    NotAllowed,
}

/// How `status` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Table,
    Json,
    Line,
}

/// Takes one look: waits until the fleet (and a named rollout's details, and one set of readings) is there.
pub async fn look(state: &mut State, session: &mut Session, named: Option<&str>, patience: Duration) -> Look {
    let deadline = tokio::time::Instant::now() + patience;
    let mut opened = false;
    loop {
        if let Some(look) = verdict(state, opened || named.is_none()) {
            return look;
        }
        let Ok(Some(msg)) = tokio::time::timeout_at(deadline, session.rx.recv()).await else {
            return if synced(state, Source::Fleet) { Look::Known } else { Look::Unreachable };
        };
        step(state, session, &NoHands, Event::Msg(msg));
        if !opened && synced(state, Source::Fleet) {
            opened = true;
            if let Some(uid) = named.and_then(|name| state.named(name)) {
                let mut effects = Vec::new();
                input::open(state, &uid, crate::clock::now(), &mut effects);
                perform(state, session, &NoHands, effects);
            }
        }
    }
}

/// Whether waiting longer can still bring something.
fn verdict(state: &State, opened: bool) -> Option<Look> {
    let fleet = state.links.get(Source::Fleet);
    match fleet.state {
        LinkState::Forbidden { .. } => return Some(Look::NotAllowed),
        LinkState::Refused | LinkState::BadCertificate | LinkState::NoRoute | LinkState::Expired { .. } | LinkState::Garbage => {
            return Some(Look::Unreachable);
        }
        // No such kind: there are no rollouts, and that is an answer.
        LinkState::CrdMissing { .. } => return Some(Look::Known),
        _ => {}
    }
    let measured = !state.settings.prometheus
        || state.rollouts.is_empty()
        || !state.metrics.is_empty()
        || !matches!(state.links.get(Source::Prometheus).state, LinkState::Connecting | LinkState::Live);
    let detailed = !matches!(state.view.screen, Screen::Rollout(_)) || state.open().is_some_and(|k| k.rollout.detailed);
    (synced(state, Source::Fleet) && opened && measured && detailed).then_some(Look::Known)
}

fn synced(state: &State, source: Source) -> bool {
    state.links.get(source).synced.is_some()
}

fn step(state: &mut State, session: &mut Session, hands: &impl Hands, event: Event) {
    if let Event::Msg(msg) = &event
        && let Body::Identity(Ok(identity)) = &msg.body
    {
        hands.known_as(&identity.user);
    }
    let effects = update(state, event, crate::clock::now());
    perform(state, session, hands, effects);
}

/// Without a writer there are only reading effects: no card is ever approved.
fn perform(state: &State, session: &mut Session, hands: &impl Hands, effects: Vec<Effect>) {
    for effect in &effects {
        session.notifier.effect(state, effect, crate::clock::now());
    }
    for effect in effects.into_iter().filter_map(|effect| hands.take(effect)) {
        match effect {
            Effect::Watch { epoch, selections } => session.watch(epoch, selections),
            Effect::Measure => session.measure(state),
            // Own series are asked for of one rollout only; nobody looks at its chart here.
            Effect::Focus if state.settings.rules.iter().any(|rule| matches!(rule.metric, Metric::Own(_))) => {
                session.focus(state, crate::clock::now());
            }
            _ => {}
        }
    }
}

/// The rollouts a command is about, most urgent first.
pub fn shown<'a>(state: &'a State, named: Option<&str>) -> Vec<&'a Known> {
    let mut rows: Vec<&Known> =
        state.rollouts.values().map(|k| &**k).filter(|k| named.is_none_or(|name| k.rollout.id.is_called(name))).collect();
    rows.sort_by_key(|k| (k.rollout.phase.urgency(), k.rollout.id.path()));
    rows
}

/// `status` as text.
///
/// # Errors
/// Never in practice: every part of a report can be written as JSON.
pub fn print(state: &State, rows: &[&Known], form: Form) -> serde_json::Result<String> {
    let now = crate::clock::now();
    Ok(match form {
        Form::Table => report::table(state, rows),
        Form::Line => report::line(state, rows) + "\n",
        Form::Json => {
            let all: Vec<_> = rows.iter().map(|k| report::report(state, k, now)).collect();
            serde_json::to_string_pretty(&all)? + "\n"
        }
    })
}

/// Paths of those a bare name may mean.
pub fn namesakes(state: &State, named: &str) -> Vec<String> {
    let paths: std::collections::BTreeSet<String> = shown(state, Some(named)).iter().map(|known| known.rollout.id.path()).collect();
    paths.into_iter().collect()
}

/// Whether what was last heard is too old to say how the release does. Its requests only matter to whoever judges them.
pub fn is_blind(state: &State, known: &Known, judges: bool, now: Time) -> bool {
    let fresh = |source, limit| state.links.fresh(source, now, limit);
    let limits = state.settings.fresh;
    let counts = judges && state.settings.prometheus && known.rollout.in_flight();
    !fresh(Source::Fleet, limits.kubernetes) || counts && (known.verdict.stale || !fresh(Source::Prometheus, limits.prometheus))
}

/// `guard` and `wait`: watches one release, a line for each change, until there is an end.
///
/// # Errors
/// When nobody reads the lines any more.
pub async fn attend(
    state: &mut State,
    session: &mut Session,
    hands: &impl Hands,
    (named, mut watchman, mut executor): (&str, Watchman, Option<Executor>),
    form: Form,
    mut out: impl Write,
) -> std::io::Result<End> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    let mut trouble = [(Source::Fleet, None, "the API server answers again"), (Source::Prometheus, None, "Prometheus answers again")];
    // What is not there from the start was said already.
    if let Some((source, before, _)) = trouble.last_mut() {
        *before = crate::ui::trouble(*source, &state.links.get(*source)).map(|trouble| trouble.title);
    }
    let Some(uid) = state.named(named) else { return Ok(End::Gone) };
    let mut begins = true;
    loop {
        let now = crate::clock::now();
        session.notifier.observe(state, now);
        let known = state.get(&uid);
        let (new, end) = watchman.look(known, now);
        if let Some(known) = known.filter(|_| new) {
            let line = match form {
                Form::Json => serde_json::to_string(&report::report(state, known, now))?,
                Form::Line | Form::Table => report::spoken(known, now),
            };
            writeln!(out, "{line}")?;
            if let Some(words) = watchman.awaits(&known.rollout).filter(|_| std::mem::take(&mut begins)) {
                aside(&mut out, form, now, &words)?;
            }
            out.flush()?;
        }
        for (source, before, again) in &mut trouble {
            let now_in_trouble = crate::ui::trouble(*source, &state.links.get(*source)).map(|trouble| trouble.title);
            if *before != now_in_trouble && form != Form::Json {
                writeln!(out, "{} {}", now.format("%H:%M:%SZ"), now_in_trouble.as_deref().unwrap_or(again))?;
                out.flush()?;
            }
            *before = now_in_trouble;
        }
        if let Some(executor) = &mut executor {
            let mut effects = Vec::new();
            let lines = executor.step(state, &uid, now, &mut effects);
            perform(state, session, hands, effects);
            for line in lines {
                aside(&mut out, form, now, &line)?;
            }
            out.flush()?;
        }
        let end = executor.as_ref().map_or(end, |executor| executor.end(state, &uid, end));
        match end {
            Some(End::TimedOut) if state.get(&uid).is_some_and(|known| is_blind(state, known, watchman.judges(), now)) => {
                return Ok(End::Blind);
            }
            Some(end) => return Ok(end),
            None => {}
        }
        let event = tokio::select! {
            Some(msg) = session.rx.recv() => Event::Msg(msg),
            _ = ticks.tick() => Event::Tick,
        };
        step(state, session, hands, event);
    }
}

/// A line that is no report.
fn aside(out: &mut impl Write, form: Form, now: Time, line: &str) -> std::io::Result<()> {
    match form {
        Form::Json => writeln!(out, "{}", serde_json::json!({"at": now, "guard": line})),
        Form::Line | Form::Table => writeln!(out, "{} {line}", now.format("%H:%M:%SZ")),
    }
}

/// How long a command that is done stays to tell people what is left to tell.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Tells what is left to tell; who could not be told, once everything was tried.
pub async fn last_words(state: &State, session: &mut Session) -> Option<Text> {
    std::mem::take(&mut session.notifier).close(LAST_WORDS).await;
    let mut untold = state.untold.clone();
    while let Ok(msg) = session.rx.try_recv() {
        if let crate::msg::Body::Untold(said) = msg.body {
            untold = said;
        }
    }
    untold
}

/// `watch --json`: one object per line and change, until the reader goes or the process is asked to end.
///
/// # Errors
/// When a report cannot be written as JSON.
pub async fn stream(
    state: &mut State,
    session: &mut Session,
    named: Option<&str>,
    mut out: impl Write,
    missing: impl Fn(&str),
) -> std::io::Result<()> {
    let mut last: HashMap<Text, String> = HashMap::new();
    let mut looked = named.is_none();
    while let Some(msg) = session.rx.recv().await {
        step(state, session, &NoHands, Event::Msg(msg));
        // Said once: it may well come.
        if !looked && synced(state, Source::Fleet) {
            looked = true;
            if shown(state, named).is_empty() {
                missing(&state.scope);
            }
        }
        let now = crate::clock::now();
        session.notifier.observe(state, now);
        for (uid, known) in &state.rollouts {
            if named.is_some_and(|name| !known.rollout.id.is_called(name)) {
                continue;
            }
            // Ages change with every look; a change of them alone is no change.
            let mut value = serde_json::to_value(report::report(state, known, now))?;
            let evidence = value.as_object_mut().and_then(|o| o.remove("evidence"));
            let key = value.to_string();
            if last.get(uid) != Some(&key) {
                last.insert(uid.clone(), key);
                if let (Some(object), Some(evidence)) = (value.as_object_mut(), evidence) {
                    object.insert("evidence".into(), evidence);
                }
                writeln!(out, "{value}")?;
            }
        }
        out.flush()?;
    }
    Ok(())
}
