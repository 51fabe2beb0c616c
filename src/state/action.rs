//! The life of an action card: opened, checked, confirmed, tracked.

use std::time::Duration;

use chrono::TimeDelta;

use super::{Card, Effect, Known, Prompt, PromptKind, Stage, State, armed, available, view::Overlay};
use crate::{
    engine::{
        self, Engine, Goal, Plan, Progress, Refusal,
        flag::{self, Reading},
    },
    guard::{
        self,
        arming::{self, Arming},
    },
    intent::{Intent, Verb},
    journal,
    model::{EngineKind, LinkState, Notice, Rollout, Source, Strategy, Text, Time},
    msg::{Check, Findings, Outcome},
    timeline::{Entry, Origin},
};

/// A tracker that reached its goal leaves the screen after this.
const LINGER: Duration = Duration::from_secs(4);

/// A verb was asked for: a question first where it needs one, else a card.
pub fn begin(state: &mut State, verb: Verb, now: Time, effects: &mut Vec<Effect>) {
    let Some(known) = state.subject().cloned() else {
        state.note = Some((now, super::input::nobody(state)));
        return;
    };
    // Whatever becomes of it, the next key is for the same one.
    state.view.selected_uid = Some(Text::from(&*known.rollout.id.uid));
    // Only the last wish counts.
    state.view.pending = None;
    match verb {
        verb if needs_details(&known.rollout, verb) && (state.view.screen == super::Screen::Fleet || is_loading(state, &known.rollout)) => {
            if state.view.screen == super::Screen::Fleet {
                super::input::open(state, &known.rollout.id.uid, now, effects);
            }
            state.view.pending = Some(verb);
        }
        Verb::Undo => ask_revision(state, &known, now, effects),
        Verb::SetImage => ask_container(state, &known, now, effects),
        Verb::SetWeight | Verb::Scale => ask_number(state, &known, verb, now, effects),
        Verb::Arm => ask_deed(state, &known, now, effects),
        Verb::KillFlag => ask_flag(state, &known, now, effects),
        verb => {
            if let Some(intent) = available::plain(verb) {
                open(state, intent, now, effects);
            }
        }
    }
}

/// Earlier versions and pods are only watched while the rollout is open: whether there is one to go back to shows there.
pub fn needs_details(rollout: &Rollout, verb: Verb) -> bool {
    let asks_details = match verb {
        // Whoever would get the users is asked first.
        Verb::Flip | Verb::Promote if rollout.engine == EngineKind::BlueGreen => true,
        Verb::Undo => true,
        Verb::Abort => rollout.strategy == Strategy::Rolling,
        Verb::Flip => rollout.strategy == Strategy::BlueGreen && !rollout.in_flight(),
        _ => false,
    };
    asks_details && !rollout.detailed
}

/// Whether the open rollout's details are on their way. Those that may not be read never come.
fn is_loading(state: &State, rollout: &Rollout) -> bool {
    !rollout.detailed && matches!(state.links.get(Source::Detail).state, LinkState::Off | LinkState::Connecting)
}

/// Goes on with a verb that had to wait for the rollout's details.
pub fn resume(state: &mut State, now: Time, effects: &mut Vec<Effect>) {
    let ready = state.open().is_some_and(|k| !is_loading(state, &k.rollout)) && state.card.is_none() && state.view.overlay.is_none();
    if let Some(verb) = state.view.pending.take_if(|_| ready) {
        begin(state, verb, now, effects);
    }
}

fn ask_revision(state: &mut State, known: &Known, now: Time, effects: &mut Vec<Effect>) {
    let choices = with_engine(state, &known.rollout, |engine, root| engine.revisions(&known.rollout, root, &state.objects));
    if choices.len() < 2 {
        return open(state, Intent::Undo { to: None }, now, effects);
    }
    ask_about(state);
    state.view.overlay = Some(Overlay::Prompt(Prompt { kind: PromptKind::Undo, input: String::new(), selected: 0, choices }));
}

/// Asks the engine of a rollout about its root object; nothing when either is gone.
fn with_engine<T: Default>(state: &State, rollout: &Rollout, ask: impl FnOnce(&dyn Engine, &crate::object::Object) -> T) -> T {
    let Some(engine) = engine::of(rollout.engine) else { return T::default() };
    engine::root(engine, &state.objects, &rollout.id.uid).map(|root| ask(engine, root)).unwrap_or_default()
}

fn ask_container(state: &mut State, known: &Known, now: Time, effects: &mut Vec<Effect>) {
    let containers = containers(state, &known.rollout);
    match containers.as_slice() {
        [] => open(state, Intent::SetImage { container: Text::default(), image: Text::default() }, now, effects),
        [(name, image)] => ask_image(state, name.clone(), image),
        _ => {
            let choices = containers.iter().map(|(name, image)| (format!("{name}  {image}").into(), name.clone())).collect();
            ask_about(state);
            state.view.overlay = Some(Overlay::Prompt(Prompt { kind: PromptKind::Container, input: String::new(), selected: 0, choices }));
        }
    }
}

/// How much, or how many; the refusal at once where no number would do.
fn ask_number(state: &mut State, known: &Known, verb: Verb, now: Time, effects: &mut Vec<Effect>) {
    if available::probe(state, known, verb, now).is_err() {
        return available::probes(state, known, verb).into_iter().take(1).for_each(|intent| open(state, intent, now, effects));
    }
    let share = known.rollout.new_side().and_then(|t| t.traffic.applied);
    let (kind, input) = match verb {
        Verb::SetWeight => (PromptKind::Weight, share.map(|s| format!("{:.0}", s * 100.0)).unwrap_or_default()),
        _ => (PromptKind::Replicas, known.rollout.replicas.to_string()),
    };
    ask_about(state);
    state.view.overlay = Some(Overlay::Prompt(Prompt { kind, input, selected: super::input::FILLED_IN, choices: Vec::new() }));
}

/// What the guard may do, where the release has a flag to switch off; else for how long it may abort.
fn ask_deed(state: &mut State, known: &Known, now: Time, effects: &mut Vec<Effect>) {
    if available::probe(state, known, Verb::Arm, now).is_err() {
        return available::probes(state, known, Verb::Arm).into_iter().take(1).for_each(|intent| open(state, intent, now, effects));
    }
    let off = |flag: &flag::Flag| (format!("switch the flag {} off", flag.name).into(), flag.name.clone());
    let flags = flag::of(&state.settings.flags, &known.rollout).map(off);
    let choices: Vec<(Text, Text)> = std::iter::once(("abort this release".into(), Text::default())).chain(flags).collect();
    if choices.len() < 2 {
        return ask_minutes(state, None);
    }
    ask_about(state);
    state.view.overlay = Some(Overlay::Prompt(Prompt { kind: PromptKind::Deed, input: String::new(), selected: 0, choices }));
}

fn ask_minutes(state: &mut State, flag: Option<Text>) {
    let input = (state.settings.armed_for.as_secs() / 60).to_string();
    ask_about(state);
    let kind = PromptKind::Minutes { flag };
    state.view.overlay = Some(Overlay::Prompt(Prompt { kind, input, selected: super::input::FILLED_IN, choices: Vec::new() }));
}

/// Which flag, where there are several; else the card of the only one, or why there is none.
fn ask_flag(state: &mut State, known: &Known, now: Time, effects: &mut Vec<Effect>) {
    let mut own = available::probes(state, known, Verb::KillFlag);
    if own.len() < 2 || available::probe(state, known, Verb::KillFlag, now).is_err() {
        return own.drain(..).take(1).for_each(|intent| open(state, intent, now, effects));
    }
    let choices = flag::of(&state.settings.flags, &known.rollout).map(|flag| (flag.name.clone(), flag.name.clone())).collect();
    ask_about(state);
    state.view.overlay = Some(Overlay::Prompt(Prompt { kind: PromptKind::Flag, input: String::new(), selected: 0, choices }));
}

fn ask_about(state: &mut State) {
    state.view.asked_about = state.subject().map(|k| Text::from(&*k.rollout.id.uid));
}

fn ask_image(state: &mut State, container: Text, current: &str) {
    let kind = PromptKind::Image { container };
    let prompt = Prompt { kind, input: current.to_owned(), selected: super::input::FILLED_IN, choices: Vec::new() };
    ask_about(state);
    state.view.overlay = Some(Overlay::Prompt(prompt));
}

fn containers(state: &State, rollout: &Rollout) -> Vec<(Text, Text)> {
    with_engine(state, rollout, |engine, root| engine.containers(rollout, root, &state.objects))
}

/// A prompt was answered. This only opens a card; it never acts.
pub fn answered(state: &mut State, prompt: Prompt, now: Time, effects: &mut Vec<Effect>) {
    // Rows move while people type: the answer is for the rollout that was asked about.
    if state.subject().map(|k| &*k.rollout.id.uid) != state.view.asked_about.as_deref() {
        state.note = Some((now, "another rollout is selected by now: nothing was opened".into()));
        return;
    }
    let chosen = prompt.choices.get(prompt.selected).map(|(_, value)| value.clone());
    match (prompt.kind.clone(), chosen) {
        (PromptKind::Flag, Some(flag)) => open(state, Intent::Kill { flag }, now, effects),
        (PromptKind::Undo, Some(hash)) => open(state, Intent::Undo { to: Some(hash) }, now, effects),
        (PromptKind::Container, Some(container)) => {
            let Some(known) = state.subject().cloned() else { return };
            let image = containers(state, &known.rollout).into_iter().find(|(name, _)| *name == container).map(|(_, i)| i);
            ask_image(state, container, image.as_deref().unwrap_or_default());
        }
        (PromptKind::Image { container }, _) => {
            let image = Text::from(prompt.input.trim());
            open(state, Intent::SetImage { container, image }, now, effects);
        }
        (PromptKind::Weight, _) => match percent(&prompt.input) {
            Some(percent) => open(state, Intent::SetWeight { percent }, now, effects),
            None => ask_again(state, prompt, "a weight is a whole number from 0 to 100", now),
        },
        (PromptKind::Deed, Some(flag)) => ask_minutes(state, Some(flag).filter(|flag| !flag.is_empty())),
        (PromptKind::Minutes { flag }, _) => match prompt.input.trim().parse() {
            Ok(minutes) => open(state, Intent::Arm { minutes, flag }, now, effects),
            Err(_) => ask_again(state, prompt, "minutes are a whole number", now),
        },
        (PromptKind::Replicas, _) => match prompt.input.trim().parse() {
            Ok(replicas) => open(state, Intent::Scale { replicas }, now, effects),
            Err(_) => ask_again(state, prompt, "replicas are a whole number", now),
        },
        _ => {}
    }
}

fn percent(input: &str) -> Option<u8> {
    input.trim().trim_end_matches('%').trim_end().parse().ok().filter(|percent| *percent <= 100)
}

fn ask_again(state: &mut State, prompt: Prompt, why: &'static str, now: Time) {
    state.note = Some((now, why.into()));
    state.view.overlay = Some(Overlay::Prompt(prompt));
}

/// Opens a card for an intent, or shows why there is none.
pub fn open(state: &mut State, intent: Intent, now: Time, effects: &mut Vec<Effect>) {
    let Some(known) = state.subject().cloned() else { return };
    if state.card.as_ref().is_some_and(|c| matches!(c.stage, Stage::Sent { .. })) && intent.verb() != Verb::Abort {
        state.note = Some((now, "an action is on its way: wait for the server's answer".into()));
        return;
    }
    if let Some(old) = state.card.take() {
        retire(state, &old, now);
    }
    let card = draw_up(state, &known, intent, None, now, effects);
    state.card = Some(card);
}

/// A card with the plan of an intent, or with why there is none; journaled.
pub fn draw_up(state: &mut State, known: &Known, intent: Intent, arming: Option<Arming>, now: Time, effects: &mut Vec<Effect>) -> Card {
    let number = state.next_card;
    state.next_card += 1;
    let folded = arming.is_some();
    let mut card =
        Card { arming, folded, others: others(&known.rollout, now), ..Card::asking(number, intent.clone(), known.rollout.id.clone(), now) };
    let event = match plan(state, known, &card, now) {
        Err(refusal) => {
            let event = journal::Event::Refused { intent, reason: refusal.reason.clone() };
            card.stage = Stage::Refused(refusal);
            event
        }
        Ok(plan) => {
            fill(state, known, &mut card, plan, now, effects);
            journal::Event::CardOpened { intent }
        }
    };
    effects.push(Effect::Journal { card: Some(number), rollout: Some(card.target.clone()), event: Box::new(event) });
    card
}

/// The plan of a card as things are now. The guard's own spends its leave first.
fn plan(state: &State, known: &Known, card: &Card, now: Time) -> Result<Plan, Refusal> {
    match &card.arming {
        Some(arming) => Ok(arming::spending(available::guards_plan(state, known, &card.intent, now)?, arming)),
        None => available::plan(state, known, &card.intent, now),
    }
}

/// Puts a plan on the card and asks the server about it.
fn fill(state: &State, known: &Known, card: &mut Card, plan: Plan, now: Time, effects: &mut Vec<Effect>) {
    card.dry_run = Check::Pending;
    card.rights = Check::Pending;
    card.health = None;
    card.flag = None;
    card.ready_at = None;
    card.overridden = false;
    // Whoever armed the guard has typed it.
    card.typed = (card.arming.is_none() && guard::asks_for_name(&state.settings, &plan)).then(String::new);
    speak(state, known, card, &plan, now);
    let engine = engine::of(known.rollout.engine);
    if let Some((engine, root)) = engine.and_then(|e| Some((e, engine::root(e, &state.objects, &known.rollout.id.uid)?))) {
        let probes = engine.probes(&known.rollout, root, &state.objects, &plan.intent);
        effects.push(Effect::Rehearse { card: card.number, plan: Box::new(plan.clone()), root: root.resource, probes });
    }
    card.plan = Some(plan);
}

/// The lines of the card that depend on evidence.
fn speak(state: &State, known: &Known, card: &mut Card, plan: &Plan, now: Time) {
    let ground = state.ground(known, now);
    card.objections = guard::objections(&ground, known, plan);
    if guard::moves_forward(&plan.intent, &known.rollout) {
        card.objections.extend(guard::doubts(&card.dry_run, "the dry run"));
        card.objections.extend(guard::doubts(&card.rights, "the rights"));
        card.objections.extend(card.health.as_ref().and_then(guard::unwell));
    }
    if plan.switch.is_some() {
        card.objections.extend(guard::doubts(&card.dry_run, "whether the flag is on"));
    }
    card.evidence = evidence(state, now);
    card.verdict = match known.verdict.because.is_empty() {
        true => known.verdict.is.words().into(),
        false => format!("{}: {}", known.verdict.is.words(), known.verdict.because).into(),
    };
}

fn evidence(state: &State, now: Time) -> Text {
    let line = |source: Source| {
        let link = state.links.get(source);
        let age = link.age(now).map_or_else(|| "never heard".into(), |a| format!("{} s", a.as_secs()));
        format!("{} {age}{}", source.label(), if link.is_live() { "" } else { " (not live)" })
    };
    match state.settings.prometheus {
        true => format!("{} · {}", line(Source::Fleet), line(Source::Prometheus)).into(),
        false => format!("{} · prom not configured", line(Source::Fleet)).into(),
    }
}

/// Who else touched the object lately, newest first.
fn others(rollout: &Rollout, now: Time) -> Text {
    let mut writers: Vec<_> = guard::people(rollout).filter_map(|w| Some((w.at?, w))).collect();
    writers.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let lines: Vec<String> = writers.iter().take(2).map(|(at, w)| format!("{} {} ago", w.manager, ago(now - *at))).collect();
    match lines.is_empty() {
        true => "nobody but the controller".into(),
        false => lines.join(" · ").into(),
    }
}

fn ago(delta: TimeDelta) -> String {
    match delta.num_seconds().max(0) {
        s @ 0..=119 => format!("{s}s"),
        s @ 120..=7199 => format!("{}m", s / 60),
        s @ 7200..=172_799 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86_400),
    }
}

/// The server has spoken about a card's plan.
pub fn rehearsed(state: &mut State, number: u64, findings: Findings, at: Time, effects: &mut Vec<Effect>) {
    if let Some(root) = findings.root {
        // A dry run may take seconds: the watch can be ahead of what was read for it.
        let version = |o: &crate::object::Object| o.meta.resource_version.parse::<u64>().ok();
        let newer = state.objects.uid(root.resource, &root.meta.uid).is_some_and(|have| version(&root) > version(have));
        let uid = root.meta.uid.clone();
        if newer && let Some(engine) = state.rollouts.get(&uid).and_then(|k| engine::of(k.rollout.engine)) {
            state.objects.put(root);
            super::ingest::remodel(state, engine, &uid, at, effects);
        }
    }
    let Some(mut card) = take(state, number).filter(|card| card.stage == Stage::Asking) else { return };
    let current = card.plan.as_ref().is_some_and(|p| same_ground(p, &findings.plan));
    if current {
        card.dry_run = findings.dry_run;
        card.rights = findings.rights;
        card.health = findings.health;
        card.ready_at = Some(at);
        if let (Some(known), Some(plan)) = (state.rollouts.get(&*card.target.uid), card.plan.clone()) {
            speak(state, known, &mut card, &plan, at);
        }
    }
    put(state, card);
}

/// A card by its number: the person's, or one of the guard's.
fn take(state: &mut State, number: u64) -> Option<Card> {
    let own = state.card.take_if(|card| card.number == number);
    own.or_else(|| state.arms.values_mut().find_map(|armed| armed.card.take_if(|card| card.number == number)))
}

/// Back to where [`take`] found it.
fn put(state: &mut State, card: Card) {
    match card.arming.as_ref().and_then(|arming| state.arms.get_mut(&*arming.target.uid)) {
        Some(armed) => armed.card = Some(card),
        None => state.card = Some(card),
    }
}

/// Whether two plans rest on the same conditions. Values taken from the clock do not count.
fn same_ground(a: &Plan, b: &Plan) -> bool {
    a.intent == b.intent
        && a.sentence == b.sentence
        && a.only_if == b.only_if
        && a.expect.goal == b.expect.goal
        && conditions(a) == conditions(b)
}

fn conditions(plan: &Plan) -> Vec<&serde_json::Value> {
    plan.writes
        .iter()
        .flat_map(|w| {
            let engine::Patch::Json(operations) = &w.patch;
            operations
        })
        .filter(|op| op["op"] == "test")
        .collect()
}

/// After every event: an open card follows the ground it stands on, a sent one its effect.
pub fn follow(state: &mut State, now: Time, effects: &mut Vec<Effect>) {
    let Some(mut card) = state.card.take() else { return };
    advance(state, &mut card, now, effects);
    match card.stage {
        Stage::Done { at } if (now - at).to_std().is_ok_and(|d| d >= LINGER) => retire(state, &card, now),
        _ => state.card = Some(card),
    }
}

/// One card, a person's or the guard's, after an event.
pub fn advance(state: &mut State, card: &mut Card, now: Time, effects: &mut Vec<Effect>) {
    let known = state.rollouts.get(&*card.target.uid).cloned();
    let was_done = matches!(card.stage, Stage::Done { .. });
    match card.stage.clone() {
        Stage::Asking => replan(state, known.as_deref(), card, now, effects),
        Stage::Refused(old) => refresh(state, known.as_deref(), card, &old, now),
        Stage::Sent { .. } | Stage::Accepted { .. } | Stage::Observed { .. } | Stage::Unknown { .. } | Stage::Silent { .. } => {
            track(state, known.as_deref(), card, now, effects);
        }
        _ => {}
    }
    if !was_done && matches!(card.stage, Stage::Done { .. }) && card.intent == Intent::Abort {
        armed::rolled_back(state, &card.target.uid, now);
    }
}

/// A refusal speaks of now: its reason follows the rollout, and when it is gone, so it says.
fn refresh(state: &State, known: Option<&Known>, card: &mut Card, old: &Refusal, now: Time) {
    let Some(known) = known else { return };
    let new = match plan(state, known, card, now) {
        Err(refusal) => refusal,
        Ok(_) => Refusal::because("this is possible now").instead("close this and press the key again", Some(card.intent.verb())),
    };
    if new != *old {
        card.moved = Some(moved(&known.rollout, now));
        card.stage = Stage::Refused(new);
    }
}

fn replan(state: &State, known: Option<&Known>, card: &mut Card, now: Time, effects: &mut Vec<Effect>) {
    let Some(known) = known else {
        card.stage = Stage::Refused(Refusal::because("the rollout is gone"));
        return;
    };
    match plan(state, known, card, now) {
        Err(refusal) => {
            effects.push(Effect::Journal {
                card: Some(card.number),
                rollout: Some(card.target.clone()),
                event: Box::new(journal::Event::Refused { intent: card.intent.clone(), reason: refusal.reason.clone() }),
            });
            card.moved = Some(moved(&known.rollout, now));
            card.stage = Stage::Refused(refusal);
        }
        Ok(plan) if card.plan.as_ref().is_none_or(|old| !same_ground(old, &plan)) => {
            card.moved = Some(moved(&known.rollout, now));
            fill(state, known, card, plan, now, effects);
        }
        Ok(plan) => {
            // The same conditions, so the rehearsal holds; but evidence and warnings are of now, not of the key press.
            if unanswered(card) && asked_long_ago(card, now) && state.links.fresh(Source::Fleet, now, state.settings.fresh.kubernetes) {
                // The server is back: what it could not be asked then, it can be asked now.
                return fill(state, known, card, plan, now, effects);
            }
            let before = card.objections.len();
            speak(state, known, card, &plan, now);
            if card.ready_at.is_some() && card.objections.len() > before {
                card.overridden = false;
                card.ready_at = Some(now);
            }
            card.plan = Some(plan);
        }
    }
}

fn unanswered(card: &Card) -> bool {
    let unknown = |check: &Check| matches!(check, Check::Unknown(_));
    unknown(&card.rights) || (unknown(&card.dry_run) && !matches!(card.rights, Check::No(_)))
}

fn asked_long_ago(card: &Card, now: Time) -> bool {
    card.ready_at.is_some_and(|at| (now - at).num_seconds() >= 5)
}

/// Where it stands now, and who wrote to it last.
fn moved(rollout: &Rollout, now: Time) -> Text {
    let step = rollout.steps.current.filter(|_| !rollout.steps.items.is_empty());
    let step = step.map(|i| format!(", step {}/{}", (i + 1).min(rollout.steps.items.len()), rollout.steps.items.len())).unwrap_or_default();
    let others = others(rollout, now);
    format!("it moved while you were reading. Now: {}{step}. Last writers: {others}", rollout.phase.name()).into()
}

fn track(state: &State, known: Option<&Known>, card: &mut Card, now: Time, effects: &mut Vec<Effect>) {
    let Some(plan) = card.plan.as_ref() else { return };
    let Some(known) = known else {
        card.stage = Stage::Diverted { said: "the rollout is gone".into() };
        return;
    };
    let Some(engine) = engine::of(known.rollout.engine) else { return };
    let Some(root) = engine::root(engine, &state.objects, &known.rollout.id.uid) else { return };
    let sent_only = matches!(card.stage, Stage::Sent { .. });
    let before = card.stage.clone();
    let seen = arming::progress(&plan.expect.goal, &known.rollout.id, &state.objects);
    let progress = match (seen, &plan.expect.goal) {
        (Some(seen), _) => seen,
        (None, Goal::FlagOff) => progress_of_flag(card),
        (None, goal) => engine.progress(goal, &known.rollout, root, &state.objects),
    };
    match progress {
        Progress::Done if !sent_only => card.stage = Stage::Done { at: now },
        Progress::Diverted(said) if !sent_only => card.stage = Stage::Diverted { said },
        Progress::Observed if matches!(card.stage, Stage::Accepted { .. }) => card.stage = Stage::Observed { at: now },
        _ => late(card, plan.expect.within, now),
    }
    if before != card.stage && !matches!(card.stage, Stage::Observed { .. }) {
        effects.push(Effect::Journal {
            card: Some(card.number),
            rollout: Some(card.target.clone()),
            event: Box::new(journal::Event::Effect { intent: card.intent.clone(), seen: words(&card.stage).to_string() }),
        });
    }
}

fn progress_of_flag(card: &Card) -> Progress {
    match card.flag {
        Some(Reading::Off(_)) => Progress::Done,
        _ => Progress::Nothing,
    }
}

/// What a flag reads: before its card is answered, and after.
pub fn flag_read(state: &mut State, number: u64, reading: Reading) {
    if let Some(card) = take(state, number) {
        put(state, Card { flag: Some(reading), ..card });
    }
}

fn late(card: &mut Card, within: Duration, now: Time) {
    let since = match card.stage {
        Stage::Accepted { at } | Stage::Observed { at } => at,
        _ => return,
    };
    if (now - since).to_std().is_ok_and(|d| d > within) {
        card.stage = Stage::Silent { at: now };
    }
}

/// The writer reports.
pub fn acted(state: &mut State, number: u64, outcome: Outcome, at: Time, effects: &mut Vec<Effect>) {
    let Some(mut card) = take(state, number) else {
        state.note = Some((at, format!("an earlier action: {}", outcome_words(&outcome)).into()));
        return;
    };
    let partly = |said: Text, done: usize| match done {
        0 => said,
        n => format!("{n} of the writes was taken, then: {said}").into(),
    };
    card.stage = match outcome {
        // A part of it happened: that is no failure to forget, the watch must tell what came of it.
        Outcome::Conflict { said, done } | Outcome::Refused { said, done } if done > 0 => Stage::Unknown { said: partly(said, done), at },
        Outcome::Sent => Stage::Sent { at },
        Outcome::Accepted { generation } => {
            card.generation = Some(generation);
            Stage::Accepted { at }
        }
        Outcome::Conflict { said, done } => Stage::Conflict { said: partly(said, done) },
        Outcome::Refused { said, done } => Stage::Failed { said: partly(said, done) },
        Outcome::NotSent { said } => Stage::Failed { said },
        Outcome::Unknown { said, done } => Stage::Unknown { said: partly(said, done), at },
    };
    if matches!(card.stage, Stage::Accepted { .. }) {
        armed::accepted(state, &card, at, effects);
    }
    put(state, card);
}

fn outcome_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Sent => "sent".into(),
        Outcome::Accepted { .. } => "accepted".into(),
        Outcome::Conflict { said, .. } => format!("conflict: {said}"),
        Outcome::Refused { said, .. } | Outcome::NotSent { said } => format!("failed: {said}"),
        Outcome::Unknown { said, .. } => format!("outcome unknown: {said}"),
    }
}

/// A key on an open card. Anything but its own keys is ignored, `esc` cancels.
pub fn key(state: &mut State, name: &str, text: Option<char>, now: Time, effects: &mut Vec<Effect>) {
    let Some(mut card) = state.card.take() else { return };
    if name == "esc" || (name == "q" && card.typed.is_none()) || matches!(card.stage, Stage::Refused(_)) {
        return cancel(state, card, now, effects);
    }
    // While a name is asked for, what is typed is the name: `pay` may begin `pay-gateway`. Only after a pause
    // is y the answer.
    let complete = card.typed.as_ref().is_some_and(|t| *t == *card.target.name);
    let settled = card.ready_at.and_then(|at| (now - at).to_std().ok()).is_some_and(|d| d >= guard::READING_TIME);
    let typing = card.typed.is_some() && !overriding(&card) && !(complete && settled && name == "y");
    match (name, text) {
        ("backspace", _) => {
            if let Some(typed) = &mut card.typed {
                typed.pop();
            }
        }
        (_, Some(c)) if typing => {
            if let Some(typed) = &mut card.typed {
                typed.push(c);
            }
        }
        ("o", _) if overriding(&card) && card.ready_at.is_some() => card.overridden = true,
        ("y", _) => consent(state, &mut card, now, effects),
        _ => {}
    }
    if card.stage == Stage::Asking && card.ready_at.is_some() {
        // Every key begins the reading anew: a burst, a held key or a paste without brackets never gets there.
        card.ready_at = Some(now);
    }
    state.card = Some(card);
}

fn overriding(card: &Card) -> bool {
    !card.objections.is_empty() && !card.overridden
}

fn consent(state: &mut State, card: &mut Card, now: Time, effects: &mut Vec<Effect>) {
    if !card.readable(state.view.size) {
        state.note = Some((now, "make the window larger to confirm: not all of the card is shown".into()));
        return;
    }
    let Some(grant) = state.grant.clone() else { return };
    match guard::approve(card, &grant, now) {
        Ok(approved) => {
            card.stage = Stage::Sent { at: now };
            card.confirmed = Some(now);
            card.moved = None;
            state.hint = None;
            effects.push(Effect::Act { card: card.number, approved: Box::new(approved) });
            armed::overtaken(state, card, now, effects);
        }
        Err(why) => state.note = Some((now, why)),
    }
}

fn cancel(state: &mut State, card: Card, now: Time, effects: &mut Vec<Effect>) {
    state.note = None;
    if card.stage == Stage::Asking {
        let event = journal::Event::Cancelled { intent: card.intent.clone() };
        effects.push(Effect::Journal { card: Some(card.number), rollout: Some(card.target.clone()), event: Box::new(event) });
        remember(state, &card, now, "card opened, cancelled".into());
    }
}

/// Takes a card off the screen and leaves a line of it.
pub fn retire(state: &mut State, card: &Card, now: Time) {
    if card.asks() {
        return;
    }
    // What came since was said when it came.
    if card.since.is_none() {
        let line: Text = format!("{} {}: {}", card.intent.verb().name(), card.target.path(), words(&card.stage)).into();
        state.note = Some((now, line));
    }
    remember(state, card, now, words(&card.stage));
}

fn remember(state: &mut State, card: &Card, now: Time, message: Text) {
    let entry = Entry {
        // What was done is of the key press, whenever its card goes.
        at: card.confirmed.unwrap_or(now),
        origin: Origin::You,
        warning: matches!(card.stage, Stage::Failed { .. } | Stage::Silent { .. } | Stage::Unknown { .. }),
        object: None,
        reason: card.intent.verb().name().into(),
        message,
        count: 1,
    };
    super::ingest::log(state, &card.target.uid, entry);
}

/// A stage in words, for the timeline and the status line.
pub fn words(stage: &Stage) -> Text {
    match stage {
        Stage::Refused(refusal) => format!("refused: {}", refusal.reason).into(),
        Stage::Asking => "asked".into(),
        Stage::Sent { .. } => "sent, no answer yet".into(),
        Stage::Accepted { .. } => "accepted".into(),
        Stage::Observed { .. } => "accepted, the controller has seen it".into(),
        Stage::Done { .. } => "done".into(),
        Stage::Silent { .. } => "accepted, but nothing happened in time".into(),
        Stage::Conflict { said } => format!("not written, the rollout had moved: {said}").into(),
        Stage::Failed { said } => format!("failed: {said}").into(),
        Stage::Unknown { said, .. } => format!("outcome unknown: {said}").into(),
        Stage::Diverted { said } => format!("something else happened: {said}").into(),
    }
}

/// The loudest thing that speaks against a card, for one-line screens.
pub fn loudest(card: &Card) -> Option<&Notice> {
    card.objections.iter().max_by_key(|n| n.severity)
}
