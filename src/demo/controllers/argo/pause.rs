//! What a pass decides about pausing and aborting, until the status is written.

use super::{
    spec::Spec,
    status::{Pause, PauseCondition, Status},
};
use crate::model::Time;

#[derive(Debug, Default)]
pub struct Pauses {
    add: Vec<Pause>,
    remove: Vec<Pause>,
    clear: bool,
    abort: Option<String>,
    unabort: bool,
}

impl Pauses {
    pub fn add(&mut self, reason: Pause) {
        self.add.push(reason);
    }

    pub fn remove(&mut self, reason: Pause) {
        self.remove.push(reason);
    }

    pub fn clear(&mut self) {
        self.clear = true;
    }

    /// Aborts for a reason, which is told together with the abort.
    pub fn abort(&mut self, why: String) {
        self.abort = Some(why);
    }

    pub fn unabort(&mut self) {
        self.unabort = true;
    }

    pub fn is_adding(&self) -> bool {
        !self.add.is_empty()
    }

    pub fn is_aborted(&self, status: &Status) -> bool {
        !self.unabort && (self.abort.is_some() || status.abort)
    }

    /// Why this pass aborts, if it does.
    pub fn abort_reason(&self) -> Option<&str> {
        self.abort.as_deref().filter(|why| !why.is_empty())
    }

    /// Writes the decisions into `new`, which is to follow `old`. Fields of `new` that no decision touches stay as the
    /// caller set them. `now` has whole seconds.
    pub fn apply(&self, old: &Status, new: &mut Status, now: Time) {
        new.abort = self.abort.is_some() || (!self.unabort && old.abort);
        // The first moment stays, or the status would change for ever.
        new.aborted_at = new.abort.then(|| old.aborted_at.unwrap_or(now));
        if new.abort || self.clear {
            return;
        }
        let mut conditions: Vec<PauseCondition> =
            old.pause_conditions.iter().filter(|c| !self.remove.contains(&c.reason)).cloned().collect();
        let mut controller_pause = old.controller_pause;
        for reason in &self.add {
            if old.paused_for(reason).is_none() {
                conditions.push(PauseCondition { reason: reason.clone(), start_time: now });
                controller_pause = true;
            }
        }
        if !conditions.is_empty() {
            new.controller_pause = controller_pause;
            new.pause_conditions = conditions;
        }
    }

    /// Whether a blue-green rollout has waited for promotion as long as it must.
    pub fn blue_green_is_over(&self, spec: &Spec, status: &Status, now: Time) -> bool {
        let Some(blue_green) = spec.blue_green() else { return false };
        let paused = status.paused_for(&Pause::PROMOTION);
        if self.is_adding() {
            return false;
        }
        if status.blue_green.scale_up_preview_check_point {
            return true;
        }
        match (blue_green.auto_promotion_enabled, blue_green.auto_promotion_seconds, paused) {
            // Somebody took the condition away: that is the promotion.
            (Some(false), _, _) => status.controller_pause && paused.is_none(),
            (_, 0, _) => true,
            (_, seconds, Some(since)) => now > since + chrono::Duration::seconds(seconds),
            (_, _, None) => false,
        }
    }
}

/// Whether a pause step is done: somebody took the condition away, or the time is up.
pub fn step_is_over(status: &Status, seconds: Option<i64>, now: Time) -> bool {
    match (status.paused_for(&Pause::STEP), seconds) {
        (None, _) => status.controller_pause,
        (Some(since), Some(seconds)) => now > since + chrono::Duration::seconds(seconds),
        (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{from_value, json};

    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn paused(reason: &str) -> Status {
        from_value(json!({"controllerPause": true, "pauseConditions": [{"reason": reason, "startTime": at(0)}]})).unwrap()
    }

    #[test]
    fn an_abort_keeps_its_first_moment_and_beats_every_pause() {
        let mut pauses = Pauses::default();
        pauses.abort("why".into());
        pauses.add(Pause::STEP);
        let mut new = Status::default();
        pauses.apply(&paused("CanaryPauseStep"), &mut new, at(1));
        assert_eq!((new.abort, new.aborted_at, new.pause_conditions.len(), new.controller_pause), (true, Some(at(1)), 0, false));
        let mut later = Status::default();
        pauses.apply(&new, &mut later, at(9));
        assert_eq!(later.aborted_at, Some(at(1)));
        pauses.unabort();
        assert!(!pauses.is_aborted(&new));
    }

    #[test]
    fn the_controllers_pause_lasts_while_there_is_a_reason() {
        let mut pauses = Pauses::default();
        pauses.add(Pause::ANALYSIS);
        let mut new = Status::default();
        pauses.apply(&paused("CanaryPauseStep"), &mut new, at(1));
        assert_eq!((new.pause_conditions.len(), new.pause_conditions[0].start_time, new.controller_pause), (2, at(0), true));
        let mut resumed = Status::default();
        pauses = Pauses::default();
        pauses.remove(Pause::STEP);
        pauses.apply(&paused("CanaryPauseStep"), &mut resumed, at(1));
        assert_eq!(resumed, Status::default());
    }

    #[test]
    fn a_pause_step_ends_by_hand_or_by_time() {
        let by_hand: Status = from_value(json!({"controllerPause": true})).unwrap();
        assert!(step_is_over(&by_hand, None, at(0)) && !step_is_over(&Status::default(), None, at(0)));
        let waiting = paused("CanaryPauseStep");
        assert!(!step_is_over(&waiting, None, at(999)));
        assert!(!step_is_over(&waiting, Some(10), at(10)) && step_is_over(&waiting, Some(10), at(11)));
    }

    #[test]
    fn a_blue_green_pause_ends_as_its_settings_say() {
        let over = |settings: serde_json::Value, status: &Status, now: i64| {
            let spec: Spec = from_value(json!({"strategy": {"blueGreen": settings}})).unwrap();
            Pauses::default().blue_green_is_over(&spec, status, at(now))
        };
        let (waiting, by_hand) = (paused("BlueGreenPause"), from_value(json!({"controllerPause": true})).unwrap());
        assert!(over(json!({}), &Status::default(), 0));
        assert!(!over(json!({"autoPromotionEnabled": false}), &waiting, 999));
        assert!(over(json!({"autoPromotionEnabled": false}), &by_hand, 0));
        assert!(!over(json!({"autoPromotionSeconds": 5}), &Status::default(), 9));
        assert!(!over(json!({"autoPromotionSeconds": 5}), &waiting, 5));
        assert!(over(json!({"autoPromotionSeconds": 5}), &waiting, 6));
        // Seconds do not count where a person decides.
        assert!(!over(json!({"autoPromotionEnabled": false, "autoPromotionSeconds": 5}), &waiting, 99));
    }
}
