//! Whether a command makes sense here and now, and if not why: for help, palette and refusals alike.

use super::{Known, Mode, Screen, State};
use crate::{
    engine::{self, Plan, Refusal},
    guard::{self, Ground},
    intent::{Command, Intent, Place, Verb, describe},
    model::{Text, Time},
};

/// The plan of an intent on the rollout in hand, or why not.
///
/// # Errors
/// The guard's or the engine's refusal.
pub fn plan(state: &State, known: &Known, intent: &Intent, now: Time) -> Result<Plan, Refusal> {
    let engine = engine::of(known.rollout.engine).ok_or_else(|| Refusal::because("no engine drives this"))?;
    let gone = || Refusal::because("this rollout no longer exists").instead("press esc to go back to the fleet", None);
    let root = state.objects.uid(engine.root(), &known.rollout.id.uid).ok_or_else(gone)?;
    let ground = Ground {
        mode: state.mode,
        frozen: state.frozen.is_some(),
        links: &state.links,
        settings: &state.settings,
        metrics: state.metrics_of(&known.rollout.id),
        verdict: &known.verdict,
        now,
    };
    guard::consider(&ground, engine, known, root, &state.objects, intent)
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
        Verb::SetImage => return None,
    })
}

/// Which of the two the one key means now.
pub fn pause_or_resume(state: &State, known: &Known, now: Time) -> Verb {
    match plan(state, known, &Intent::Resume, now) {
        Ok(_) => Verb::Resume,
        Err(_) => Verb::Pause,
    }
}

/// Whether a command works here, and if not why.
///
/// # Errors
/// The reason, one phrase.
pub fn availability(state: &State, command: Command, now: Time) -> Result<(), Text> {
    let here = matches!(state.view.screen, Screen::Rollout(_));
    match describe(command).map(|r| r.place) {
        Some(Place::Rollout) if !here => return Err("open a rollout first".into()),
        Some(Place::Fleet) if here => return Err("on the fleet screen".into()),
        _ => {}
    }
    let verb = match command {
        Command::Act(verb) => verb,
        Command::PauseOrResume => match state.subject() {
            Some(known) => pause_or_resume(state, known, now),
            None => Verb::Pause,
        },
        _ => return Ok(()),
    };
    let known = state.subject().ok_or_else(|| Text::from("no rollout is selected"))?;
    // Set image asks for its words first; whether it may be done at all shows with any.
    let intent = plain(verb).unwrap_or(Intent::SetImage { container: Text::default(), image: Text::default() });
    match plan(state, known, &intent, now) {
        Err(refusal) if verb != Verb::SetImage || state.mode == Mode::Watch => Err(refusal.reason),
        _ => Ok(()),
    }
}
