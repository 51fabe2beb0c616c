//! The `[stepper]` settings as engines take them.

use std::time::Duration;

use super::layer::{Entry, Layer, Mistake, Origin, Value};
use crate::settings::{Conventions, Stage};

const PHASES: &str = "stepper.phases";
const ROLLOUTS: &str = "stepper.rollouts";

/// The phases as they are written, every mistake with its place.
pub fn conventions(values: &Layer, mistakes: &mut Vec<Mistake>) -> Conventions {
    let mut read = |path: &str, origin: &Origin, list: &[String]| {
        let (stages, wrong) = stages(list);
        mistakes.extend(wrong.into_iter().map(|text| Mistake { origin: origin.clone(), text: format!("{path}: {text}") }));
        stages
    };
    let phases = match values.get(PHASES) {
        Some((Value::List(list), origin)) => read(PHASES, origin, list).into(),
        _ => Conventions::USUAL.phases,
    };
    let rollouts = match values.get(ROLLOUTS) {
        Some((Value::Table(table), _)) => {
            let read =
                |(name, entry): (&String, &Entry)| (name.clone(), read(&format!("{ROLLOUTS}.{name:?}"), &entry.origin, &entry.texts));
            table.iter().map(read).collect()
        }
        _ => Conventions::USUAL.rollouts,
    };
    Conventions { phases, rollouts }
}

/// Shares must rise: a phase that takes users away again is an abort.
fn stages(list: &[String]) -> (Vec<Stage>, Vec<String>) {
    let (mut stages, mut wrong): (Vec<Stage>, _) = (Vec::new(), Vec::new());
    for text in list {
        match stage(text) {
            None => wrong.push(format!("'{text}' is no phase; write a share and how long it stands, such as \"25% 10m\" or \"100%\"")),
            Some(stage) if stages.last().is_some_and(|before| before.percent >= stage.percent) => {
                wrong.push(format!("'{text}' does not go further than the phase before it"));
            }
            Some(stage) => stages.push(stage),
        }
    }
    (stages, wrong)
}

/// `25% 10m`.
fn stage(text: &str) -> Option<Stage> {
    let (percent, hold) = text.split_once('%')?;
    let percent: u8 = percent.trim().parse().ok()?;
    let hold = hold.trim();
    let hold: Option<Duration> = if hold.is_empty() { None } else { Some(humantime::parse_duration(hold).ok()?) };
    (1..=100).contains(&percent).then_some(Stage { percent, hold })
}
