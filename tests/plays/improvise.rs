//! Moves at random that a person could make where a Rollout stands.

use std::time::Duration;

use rolltop::intent::Intent;
use serde_json::{Value, json};

use crate::{
    cluster::{BlueGreen, Canary, Pods},
    plugin::Command,
    script::{APP, Act, Improvise, Move, Play, Until},
};

pub struct Improviser {
    rng: fastrand::Rng,
    releases: u32,
}

impl Improviser {
    pub fn new(seed: u64) -> Self {
        Self { rng: fastrand::Rng::with_seed(seed), releases: 1 }
    }

    /// The next move of a Rollout at rest.
    pub fn next(&mut self, rollout: &Value) -> Move {
        let mut acts = vec![self.act(rollout)];
        if self.rng.u8(..100) < 20 {
            acts.push(self.act(rollout));
        }
        let after = if self.rng.u8(..100) < 20 { Duration::from_millis(self.rng.u64(1..2_000)) } else { Duration::ZERO };
        Move { until: Until::Now, after, acts }
    }

    fn act(&mut self, rollout: &Value) -> Act {
        let status = &rollout["status"];
        let waits = status["pauseConditions"].as_array().is_some_and(|pauses| !pauses.is_empty());
        let paused = rollout["spec"]["paused"] == true;
        let stable = status["stableRS"] == status["currentPodHash"];
        let aborted = status["abort"] == true;
        // What people do there, the likely more often.
        let mut choices: Vec<(u32, Choice)> = vec![(2, Choice::Release), (1, Choice::Scale), (1, Choice::Restart), (1, Choice::Undo)];
        if paused {
            choices.push((4, Choice::Resume));
        } else {
            choices.push((1, Choice::Pause));
        }
        if aborted {
            choices.extend([(4, Choice::Retry), (3, Choice::Undo), (1, Choice::Full)]);
        } else if !stable {
            choices.extend([(3, Choice::Promote), (2, Choice::Abort), (1, Choice::Full), (1, Choice::Skip)]);
        }
        if waits {
            choices.extend([(5, Choice::Promote), (2, Choice::RolltopPromote)]);
        }
        let all: u32 = choices.iter().map(|(weight, _)| weight).sum();
        let mut at = self.rng.u32(..all);
        for (weight, choice) in choices {
            if at < weight {
                return self.concrete(choice);
            }
            at -= weight;
        }
        Act::Plugin(Command::Promote)
    }

    fn concrete(&mut self, choice: Choice) -> Act {
        match choice {
            Choice::Release => {
                self.releases += 1;
                let pods = if self.rng.u8(..100) < 15 { Pods::Never } else { Pods::Fast };
                Act::Release(format!("v{}", self.releases), pods)
            }
            Choice::Scale => Act::Scale(self.rng.u32(1..7)),
            Choice::Restart => Act::Plugin(Command::Restart),
            Choice::Undo => Act::Plugin(Command::Undo),
            Choice::Resume => Act::Spec(json!({"spec": {"paused": false}})),
            Choice::Pause => Act::Plugin(Command::Pause),
            Choice::Retry => Act::Plugin(Command::Retry),
            Choice::Full => Act::Plugin(Command::PromoteFull),
            Choice::Promote => Act::Plugin(Command::Promote),
            Choice::RolltopPromote => Act::Rolltop(Intent::Promote),
            Choice::Abort => Act::Plugin(Command::Abort),
            Choice::Skip => Act::Plugin(Command::SkipCurrentStep),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Choice {
    Release,
    Scale,
    Restart,
    Undo,
    Resume,
    Pause,
    Retry,
    Full,
    Promote,
    RolltopPromote,
    Abort,
    Skip,
}

/// A play nobody wrote. The same seed makes the same play.
pub fn play(seed: u64) -> Play {
    let mut rng = fastrand::Rng::with_seed(seed);
    let manifests = match rng.u8(..4) {
        0 => Canary {
            replicas: rng.u32(1..7),
            strategy: json!({"scaleDownDelaySeconds": 3, "abortScaleDownDelaySeconds": 3}),
            ..Canary::nginx()
        }
        .steps(steps(&mut rng))
        .objects(APP),
        1 => Canary {
            replicas: rng.u32(1..7),
            strategy: json!({"scaleDownDelaySeconds": 3, "abortScaleDownDelaySeconds": 3}),
            ..Canary::istio()
        }
        .steps(steps(&mut rng))
        .objects(APP),
        2 => Canary { replicas: rng.u32(1..7), ..Canary::default() }.steps(steps(&mut rng)).objects(APP),
        _ => BlueGreen {
            strategy: json!({"autoPromotionEnabled": rng.bool(), "scaleDownDelaySeconds": 3, "abortScaleDownDelaySeconds": 3}),
            ..BlueGreen::default()
        }
        .objects(APP),
    };
    let mut play = Play::new(manifests).update();
    play.name = format!("random-{seed}");
    play.improvise = Some(Improvise { seed, moves: 6 });
    play
}

fn steps(rng: &mut fastrand::Rng) -> Value {
    let mut weight = 0;
    let mut steps = Vec::new();
    for _ in 0..rng.u8(1..4) {
        weight = (weight + rng.u32(10..40)).min(100);
        steps.push(json!({"setWeight": weight}));
        steps.push(if rng.u8(..4) == 0 { json!({"pause": {"duration": 2}}) } else { json!({"pause": {}}) });
    }
    steps.into()
}
