//! Armed rollouts: what ends the guard's leave, what makes it act, how its act fares, and what came of a roll-back.

use super::{Card, Effect, Known, Stage, State, action, available};
use crate::{
    guard::{
        self, Unmandated,
        arming::{self, Arming, Ended},
        promotion,
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
    /// Where it is about to promote, and why.
    pub onwards: Text,
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
                Arming::begun(plan, &known.rollout, &ground)
            });
            let Some(arming) = begun else { return };
            let event = journal::Event::Armed { release: arming.release.clone(), until: arming.until, by: arming.by.clone() };
            journal(effects, arming.target.clone(), event);
            let again = state.ended.remove(&*uid) == Some(Ended::Promoted);
            let or = if arming.promotes.is_some() { ", or promote it by one step" } else { "" };
            let words = format!("the guard may {} once{or}", deed(&arming.act, &arming.release));
            tell(state, &uid, false, if again { "armed again" } else { "armed" }, words, now);
            state.arms.insert((&*uid).into(), Armed { arming, card: None, onwards: Text::default() });
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
    let pause = promotion::look(&state.ground(&known, now), &known);
    if let Some(armed) = state.arms.get_mut(uid) {
        armed.arming.awaits = arming::awaits(&known.rollout);
        armed.arming.pause = pause;
    }
    let wanted = match arming::calls_for_it(&known) {
        true => Some(arming.act.clone()),
        false => promotion::calls_for_it(&state.ground(&known, now), &known).then_some(Intent::Promote),
    };
    let Some((wanted, grant)) = wanted.zip(state.grant.clone()) else {
        return keep(state, uid, None);
    };
    // A release that is found worse is not promoted first.
    let mut card = match (card.filter(|card| card.intent == wanted), unfit(state, &known, &wanted, now)) {
        (_, Some(why)) => return stay(state, uid, &why, now, effects),
        (Some(card), None) => card,
        (None, None) => begun(state, &known, wanted, arming, now, effects),
    };
    action::advance(state, &mut card, now, effects);
    if let Some(why) = not_onwards(state, &card, &known, now) {
        return stay(state, uid, &why, now, effects);
    }
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

fn begun(state: &mut State, known: &Known, act: Intent, arming: &Arming, now: Time, effects: &mut Vec<Effect>) -> Card {
    let because = known.verdict.because.clone();
    let event = match onwards(state, known, &act, now) {
        Some((step, because)) => {
            if let Some(armed) = state.arms.get_mut(&*known.rollout.id.uid) {
                armed.onwards = format!("{step}: {because}").into();
            }
            journal::Event::GuardPromotes { step, because }
        }
        None => journal::Event::GuardActs { because },
    };
    journal(effects, arming.target.clone(), event);
    action::draw_up(state, known, act, Some(arming.clone()), now, effects)
}

/// The step a promotion would leave, and what the requests of its pause say.
fn onwards(state: &State, known: &Known, act: &Intent, now: Time) -> Option<(Text, Text)> {
    let ground = state.ground(known, now);
    let pause = ground.arming.filter(|_| *act == Intent::Promote)?.pause.as_ref()?;
    Some((pause.step(), pause.says(&ground, known).because))
}

/// Why a promotion is not even asked about: what a person would have to weigh is not for a machine.
fn unfit(state: &State, known: &Known, wanted: &Intent, now: Time) -> Option<Text> {
    if *wanted != Intent::Promote {
        return None;
    }
    match available::guards_plan(state, known, wanted, now) {
        Ok(plan) => promotion::misgiving(&plan),
        Err(refusal) => Some(refusal.reason),
    }
}

/// Why a promotion may not be made: nothing to be woken for, the release waits on for a person.
fn not_onwards(state: &State, card: &Card, known: &Known, now: Time) -> Option<Text> {
    if card.intent != Intent::Promote {
        return None;
    }
    match (&card.stage, &state.grant) {
        (Stage::Refused(refusal), _) => Some(refusal.reason.clone()),
        (_, Some(grant)) => match guard::mandated(card, grant, &state.ground(known, now), known) {
            Err(Unmandated::Never(why)) => Some(why),
            _ => None,
        },
        (_, None) => None,
    }
}

/// It stays armed, and does not try again at this pause.
fn stay(state: &mut State, uid: &Text, why: &str, now: Time, effects: &mut Vec<Effect>) {
    let Some(pause) = state.arms.get_mut(uid).and_then(|armed| armed.arming.pause.as_mut()) else { return };
    pause.refuse();
    let words = format!("it waits on at {}: {why}", pause.step());
    effects.push(Effect::Bell);
    tell(state, uid, true, "not promoted", words, now);
    keep(state, uid, None);
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
    let onwards = state.arms.get(uid).map(|armed| armed.onwards.clone()).unwrap_or_default();
    let (how, words) = match (urgent, &card.intent) {
        (true, Intent::Promote) => (Ended::Unpromoted, format!("it promoted {onwards}; but: {}", action::words(&card.stage))),
        (false, Intent::Promote) => (Ended::Promoted, format!("the guard has promoted {onwards}")),
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
    tell(state, uid, matches!(how, Ended::Unasked | Ended::Unpromoted) || how.is_urgent(), reason, why.to_owned(), now);
    state.ended.insert(uid.into(), how);
    outlived(state, uid, why, now);
}

/// The card that armed it may still be on the screen: then it says what became of that.
fn outlived(state: &mut State, uid: &str, why: &str, now: Time) {
    let armed = |card: &&mut Card| {
        let taken = matches!(card.stage, Stage::Accepted { .. } | Stage::Observed { .. } | Stage::Silent { .. } | Stage::Done { .. });
        matches!(card.intent, Intent::Arm { .. }) && *card.target.uid == *uid && taken
    };
    if let Some(card) = state.card.as_mut().filter(armed) {
        (card.stage, card.since) = (Stage::Done { at: now }, Some(why.into()));
    }
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
