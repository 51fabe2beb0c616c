//! Whether a command makes sense here and now, and if not why: for help, palette and refusals alike.

use super::{Known, Mode, Screen, State, action};
use crate::{
    engine::{self, Plan, Refusal, flag},
    guard::{self, Ground},
    intent::{Command, Intent, Place, Verb, describe},
    model::{Text, Time},
};

/// The plan of an intent on the rollout in hand, or why not.
///
/// # Errors
/// The guard's or the engine's refusal.
pub fn plan(state: &State, known: &Known, intent: &Intent, now: Time) -> Result<Plan, Refusal> {
    planned(state, known, intent, &state.ground(known, now))
}

/// The same for the guard, which looks at the cluster and not at a picture that somebody froze, and disarms nobody else.
///
/// # Errors
/// As there.
pub fn guards_plan(state: &State, known: &Known, intent: &Intent, now: Time) -> Result<Plan, Refusal> {
    planned(state, known, intent, &Ground { frozen: false, arming: None, ..state.ground(known, now) })
}

fn planned(state: &State, known: &Known, intent: &Intent, ground: &Ground<'_>) -> Result<Plan, Refusal> {
    let engine = engine::of(known.rollout.engine).ok_or_else(|| Refusal::because("no engine drives this"))?;
    let gone = || Refusal::because("this rollout no longer exists").instead("press esc to go back to the fleet", None);
    let root = engine::root(engine, &state.objects, &known.rollout.id.uid).ok_or_else(gone)?;
    guard::consider(ground, engine, known, root, &state.objects, intent)
}

/// The intent a verb stands for before any question was asked.
pub fn plain(verb: Verb) -> Option<Intent> {
    Some(match verb {
        Verb::Promote => Intent::Promote,
        Verb::PromoteFull => Intent::PromoteFull,
        Verb::Skip => Intent::Skip,
        Verb::Pause => Intent::Pause,
        Verb::Resume => Intent::Resume,
        Verb::Abort => Intent::Abort,
        Verb::Retry => Intent::Retry,
        Verb::Undo => Intent::Undo { to: None },
        Verb::Restart => Intent::Restart,
        Verb::Flip => Intent::Flip,
        Verb::ScaleDown => Intent::ScaleDown,
        Verb::Disarm => Intent::Disarm,
        Verb::SetImage | Verb::SetWeight | Verb::Scale | Verb::Arm | Verb::KillFlag => return None,
    })
}

/// Intents that tell whether a verb can be asked for at all: of a number, two that cannot both be there already.
pub fn probes(state: &State, known: &Known, verb: Verb) -> Vec<Intent> {
    match verb {
        Verb::SetImage => vec![Intent::SetImage { container: Text::default(), image: Text::default() }],
        Verb::SetWeight => [0, 100].map(|percent| Intent::SetWeight { percent }).into(),
        Verb::Scale => [1, 2].map(|replicas| Intent::Scale { replicas }).into(),
        Verb::Arm => {
            let each = flag::of(&state.settings.flags, &known.rollout).map(|flag| Some(flag.name.clone()));
            std::iter::once(None).chain(each).map(|flag| Intent::Arm { minutes: 1, flag }).collect()
        }
        // Without any, one that is not there says why.
        Verb::KillFlag => {
            let own: Vec<_> =
                flag::of(&state.settings.flags, &known.rollout).map(|flag| Intent::Kill { flag: flag.name.clone() }).collect();
            if own.is_empty() { vec![Intent::Kill { flag: Text::default() }] } else { own }
        }
        verb => plain(verb).into_iter().collect(),
    }
}

/// Whether any of them has a plan.
///
/// # Errors
/// Why not even the first has one.
pub fn probe(state: &State, known: &Known, verb: Verb, now: Time) -> Result<(), Refusal> {
    let mut refused = None;
    for intent in probes(state, known, verb) {
        match plan(state, known, &intent, now) {
            Ok(_) => return Ok(()),
            Err(refusal) => _ = refused.get_or_insert(refusal),
        }
    }
    refused.map_or(Ok(()), Err)
}

/// Verbs that the bottom line shows only where they have a plan. An undo depends on versions that only the open rollout knows.
pub const OFFERED: [Verb; 9] =
    [Verb::Promote, Verb::PromoteFull, Verb::Pause, Verb::Resume, Verb::Abort, Verb::Flip, Verb::SetWeight, Verb::ScaleDown, Verb::Retry];

/// Finds out what the rollout in hand can be offered, unless that is known.
pub fn offer(state: &mut State, now: Time) {
    let asks = state.mode == Mode::Interactive && state.frozen.is_none();
    let Some(known) = state.subject().filter(|known| asks && known.offers.is_none()) else { return };
    let can = |verb: &Verb| action::needs_details(&known.rollout, *verb) || probe(state, known, *verb, now).is_ok();
    let (uid, offers) = (Text::from(&*known.rollout.id.uid), OFFERED.into_iter().filter(can).collect());
    if let Some(known) = state.rollouts.get_mut(&uid) {
        known.offers = Some(offers);
    }
}

/// Which of the two the one key means now.
pub fn pause_or_resume(state: &State, known: &Known, now: Time) -> Verb {
    match plan(state, known, &Intent::Resume, now) {
        Ok(_) => Verb::Resume,
        Err(_) => Verb::Pause,
    }
}

/// The same of arming: what is armed here can be disarmed here.
pub fn arm_or_disarm(state: &State, known: &Known) -> Verb {
    match state.arms.contains_key(&*known.rollout.id.uid) {
        true => Verb::Disarm,
        false => Verb::Arm,
    }
}

/// Whether this is the screen for a command.
///
/// # Errors
/// Which one is.
pub fn place(state: &State, command: Command) -> Result<(), Text> {
    let here = matches!(state.view.screen, Screen::Rollout(_));
    match describe(command).map(|r| r.place) {
        Some(Place::Rollout) if !here => Err("open a rollout first".into()),
        Some(Place::Fleet) if here => Err("on the fleet screen".into()),
        _ => Ok(()),
    }
}

/// Whether a command works here, and if not why.
///
/// # Errors
/// The reason, one phrase.
pub fn availability(state: &State, command: Command, now: Time) -> Result<(), Text> {
    place(state, command)?;
    let verb = match command {
        Command::Act(verb) => verb,
        Command::PauseOrResume => match state.subject() {
            Some(known) => pause_or_resume(state, known, now),
            None => Verb::Pause,
        },
        Command::ArmOrDisarm => state.subject().map_or(Verb::Arm, |known| arm_or_disarm(state, known)),
        _ => return Ok(()),
    };
    let known = state.subject().ok_or_else(|| super::input::nobody(state))?;
    match probe(state, known, verb, now) {
        // Set image asks for its words first; what is wrong with none shows nothing.
        Err(_) if verb == Verb::SetImage && state.mode != Mode::Watch => Ok(()),
        other => other.map_err(|refusal| refusal.reason),
    }
}
