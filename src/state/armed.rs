//! Armed rollouts: what ends the guard's leave, what makes it act, how its act fares, and what came of a roll-back.

use super::{Card, Effect, Known, Stage, State, action};
use crate::{
    guard::{
        self, Unmandated,
        arming::{self, Arming, Ended},
    },
    intent::Intent,
    journal,
    model::{Id, Text, Time},
    timeline::{Entry, Origin},
    verdict::{Recovery, recovery::Finding},
};

/// An act whose outcome is unknown is followed for so long.
const UNKNOWN_FOR: chrono::TimeDelta = chrono::TimeDelta::seconds(60);

/// A rollout that the guard of this session may abort.
#[derive(Debug, Clone, PartialEq)]
pub struct Armed {
    pub arming: Arming,
    /// Its act: opened when it is called for, at most once sent.
    pub card: Option<Card>,
}

/// After every event.
pub fn follow(state: &mut State, now: Time, effects: &mut Vec<Effect>) {
    let uids: Vec<Text> = state.arms.keys().cloned().collect();
    for uid in uids {
        let Some(mut armed) = state.arms.get(&uid).cloned() else { continue };
        match armed.card.take() {
            Some(card) if card.stage != Stage::Asking => tracked(state, &uid, card, now, effects),
            card => considered(state, &uid, &armed.arming, card, now, effects),
        }
    }
    recoveries(state, now, effects);
}

/// The server has taken a card's writes: of a lease that is all there is to it.
pub fn accepted(state: &mut State, card: &Card, now: Time, effects: &mut Vec<Effect>) {
    let uid = card.target.uid.clone();
    match &card.intent {
        Intent::Arm { .. } => {
            let begun = state.rollouts.get(&*uid).zip(card.plan.as_ref()).and_then(|(known, plan)| {
                let ground = state.ground(known, now);
                Arming::begun(plan, &known.rollout, &ground.holder.into(), ground.by.into(), now)
            });
            let Some(arming) = begun else { return };
            let event = journal::Event::Armed { release: arming.release.clone(), until: arming.until, by: arming.by.clone() };
            journal(effects, arming.target.clone(), event);
            tell(state, &uid, false, "armed", format!("the guard may {} once", deed(&arming.act, &arming.release)), now);
            state.ended.remove(&*uid);
            state.arms.insert((&*uid).into(), Armed { arming, card: None });
        }
        Intent::Disarm => give_back(state, &uid, Ended::Agreed, "a person disarmed it", now, effects),
        _ => {}
    }
}

/// A person acts on a rollout: it is theirs again.
pub fn overtaken(state: &mut State, card: &Card, now: Time, effects: &mut Vec<Effect>) {
    if !matches!(card.intent, Intent::Arm { .. } | Intent::Disarm) {
        give_back(state, &card.target.uid, Ended::Agreed, "you took it into your own hands", now, effects);
    }
}

/// The writer's word about a lease.
pub fn held(state: &mut State, uid: &str, renewed: Result<(), Text>, at: Time, effects: &mut Vec<Effect>) {
    let Some(armed) = state.arms.get_mut(uid) else { return };
    match renewed {
        Ok(()) => armed.arming.held = at,
        // The act itself spends the lease.
        Err(_) if armed.card.as_ref().is_some_and(|card| card.stage != Stage::Asking) => {}
        Err(why) => give_back(state, uid, Ended::Unasked, &format!("its lease is lost: {why}"), at, effects),
    }
}

/// A release was sent back: whether that helped is seen from now on.
pub fn rolled_back(state: &mut State, uid: &str, now: Time) {
    let counted = state.trials.get(uid).and_then(|trial| trial.failing.shares()).map(|(_, old)| old);
    let read = state.metrics.get(uid).map(|metrics| (metrics.old.errors.value(), metrics.old.p95.value()));
    let (read, quick) = read.unwrap_or_default();
    state.recoveries.insert(uid.into(), Recovery::begun(counted.or(read), quick, now));
}

/// How it is said that an act of the guard came to nothing.
fn failed(act: &Intent, why: &str) -> String {
    let what = if let Intent::Kill { .. } = act { "THE FLAG WAS NOT SWITCHED OFF" } else { "THE ABORT DID NOT WORK" };
    format!("{what}, act yourself: {why}")
}

/// Armed and quiet, or about to act.
fn considered(state: &mut State, uid: &Text, arming: &Arming, card: Option<Card>, now: Time, effects: &mut Vec<Effect>) {
    let Some(known) = state.rollouts.get(uid).cloned() else {
        return give_back(state, uid, Ended::Unasked, "the rollout is gone", now, effects);
    };
    if let Some(why) = arming::ends(&state.ground(&known, now), &known, arming) {
        return give_back(state, uid, Ended::Unasked, &why, now, effects);
    }
    if let Some(armed) = state.arms.get_mut(uid) {
        armed.arming.awaits = arming::awaits(&known.rollout);
    }
    let Some(grant) = state.grant.clone().filter(|_| arming::calls_for_it(&known)) else {
        return keep(state, uid, None);
    };
    let mut card = match card {
        Some(card) => card,
        None => begun(state, &known, arming, now, effects),
    };
    action::advance(state, &mut card, now, effects);
    if let Stage::Refused(refusal) = &card.stage {
        let why = format!("it could not {}: {}", deed(&arming.act, &arming.release), refusal.reason);
        return give_back(state, uid, Ended::Unable, &failed(&arming.act, &why), now, effects);
    }
    match guard::mandated(&card, &grant, &state.ground(&known, now), &known) {
        Ok(approved) => {
            card.stage = Stage::Sent { at: now };
            card.confirmed = Some(now);
            effects.push(Effect::Act { card: card.number, approved: Box::new(approved) });
        }
        Err(Unmandated::NotYet) => {}
        Err(Unmandated::Never(why)) => return give_back(state, uid, Ended::Unable, &failed(&arming.act, &why), now, effects),
    }
    keep(state, uid, Some(card));
}

fn begun(state: &mut State, known: &Known, arming: &Arming, now: Time, effects: &mut Vec<Effect>) -> Card {
    let because = known.verdict.because.clone();
    journal(effects, arming.target.clone(), journal::Event::GuardActs { because });
    action::draw_up(state, known, arming.act.clone(), Some(arming.clone()), now, effects)
}

/// `abort version 68cf7f476d`.
fn deed(act: &Intent, release: &str) -> String {
    match act {
        Intent::Kill { flag } => format!("switch the flag {flag} off"),
        _ => format!("abort version {release}"),
    }
}

fn keep(state: &mut State, uid: &str, card: Option<Card>) {
    if let Some(armed) = state.arms.get_mut(uid) {
        armed.card = card;
    }
}

/// The act is on its way, or has come to its end: then the leave is used up.
fn tracked(state: &mut State, uid: &Text, mut card: Card, now: Time, effects: &mut Vec<Effect>) {
    action::advance(state, &mut card, now, effects);
    let urgent = match card.stage {
        Stage::Done { .. } => false,
        Stage::Unknown { at, .. } if now - at < UNKNOWN_FOR => return keep(state, uid, Some(card)),
        Stage::Sent { .. } | Stage::Accepted { .. } | Stage::Observed { .. } => return keep(state, uid, Some(card)),
        _ => true,
    };
    let (how, words) = match (urgent, &card.intent) {
        (true, act) => (Ended::Failed, failed(act, &action::words(&card.stage))),
        (false, Intent::Kill { flag }) => (Ended::Acted, format!("the guard has switched the flag {flag} off")),
        (false, _) => (Ended::Acted, "the guard has aborted it".to_owned()),
    };
    give_back(state, uid, how, &words, now, effects);
}

/// The guard may act no longer: it has acted, or it says why not.
fn give_back(state: &mut State, uid: &str, how: Ended, why: &str, now: Time, effects: &mut Vec<Effect>) {
    let Some(armed) = state.arms.remove(uid) else { return };
    effects.push(Effect::LetGo { rollout: armed.arming.target.clone() });
    if how != Ended::Agreed {
        effects.push(Effect::Bell);
    }
    journal(effects, armed.arming.target, journal::Event::Disarmed { why: why.into(), how });
    let reason = if how.has_acted() { "" } else { "disarmed" };
    tell(state, uid, how == Ended::Unasked || how.is_urgent(), reason, why.to_owned(), now);
    state.ended.insert(uid.into(), how);
}

fn recoveries(state: &mut State, now: Time, effects: &mut Vec<Effect>) {
    let uids: Vec<Text> = state.recoveries.keys().cloned().collect();
    for uid in uids {
        let (Some(mut recovery), Some(known)) = (state.recoveries.remove(&uid), state.rollouts.get(&uid)) else { continue };
        let (found, id) = (recovery.look(&known.rollout, state.metrics.get(&uid), now), known.rollout.id.clone());
        if !matches!(found, Some(Finding::Recovered { .. } | Finding::GivenUp)) {
            state.recoveries.insert(uid.clone(), recovery);
        }
        let (event, loud, words) = match found {
            Some(Finding::Recovered { after, how }) => {
                let seconds = after.num_seconds();
                (journal::Event::Recovered { after_seconds: seconds }, false, format!("recovered after {seconds} s: {how}"))
            }
            Some(Finding::NotYet { after, why }) => {
                let seconds = after.num_seconds();
                let words = format!("THE ROLL-BACK DID NOT HELP, {seconds} s after it: {why}");
                effects.push(Effect::Bell);
                (journal::Event::NotRecovered { after_seconds: seconds, why: why.into() }, true, words)
            }
            Some(Finding::GivenUp) | None => continue,
        };
        journal(effects, id, event);
        tell(state, &uid, loud, "roll-back", words, now);
    }
}

fn journal(effects: &mut Vec<Effect>, rollout: Id, event: journal::Event) {
    effects.push(Effect::Journal { card: None, rollout: Some(rollout), event: Box::new(event) });
}

/// On the status line, and in the rollout's timeline. What the guard did needs no other word before it.
fn tell(state: &mut State, uid: &str, warning: bool, reason: &str, message: String, now: Time) {
    let path = state.rollouts.get(uid).map(|known| known.rollout.id.path()).unwrap_or_default();
    let joint = if reason.is_empty() { "" } else { " " };
    state.note = Some((now, format!("{path}{joint}{reason}: {message}").into()));
    let entry = Entry { at: now, origin: Origin::Guard, warning, object: None, reason: reason.into(), message: message.into(), count: 1 };
    super::ingest::log(state, uid, entry);
}
