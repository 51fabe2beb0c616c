//! The blue-green strategy: a preview beside the active version, and one switch of a Service.

use super::{
    pass::{Outcome, Pass},
    replica_set,
    replica_set::ReplicaSet,
    services::Service,
    status::{Pause, Status},
};

impl Pass<'_, '_> {
    pub fn blue_green(&mut self) -> Outcome {
        let Some(blue_green) = self.spec.blue_green().cloned() else { return Ok(()) };
        let mut preview = match blue_green.preview_service.as_str() {
            "" => None,
            name => Some(self.needed_service(name)?),
        };
        let mut active = self.needed_service(&blue_green.active_service)?;
        self.sync_revision()?;
        if let Some(preview) = preview.as_mut().filter(|_| !self.is_halted()) {
            let hash = Self::hash_of(self.new_set()).to_owned();
            self.switch_service(preview, &hash)?;
        }
        if self.template_changed() {
            return self.sync_blue_green(preview.as_ref(), &active);
        }
        self.restart_pods()?;
        self.blue_green_sets()?;
        self.wait_for_promotion(&active);
        self.switch_active(&mut active)?;
        self.run_analyses()?;
        self.dress_pods()?;
        self.sync_blue_green(preview.as_ref(), &active)
    }

    pub fn blue_green_sets(&mut self) -> Outcome {
        self.remove_deadlines()?;
        if let Some(stable) = self.stable_set().cloned() {
            self.scale(&stable, self.spec.replicas())?;
        }
        self.scale_new()?;
        self.scale_others()?;
        self.clean_up_history()
    }

    /// Whether old versions keep their pods because the new one is not trusted yet.
    pub fn waits_for_post_promotion(&self) -> bool {
        let Some(blue_green) = self.spec.blue_green() else { return false };
        let is_asked = blue_green.post_promotion_analysis.is_some() && blue_green.scale_down_delay_seconds.is_none();
        let run = self.runs.post.as_ref();
        is_asked && !self.skips_post_promotion() && run.is_none_or(|run| run.status.phase != "Successful")
    }

    /// Whether the update need not wait for anybody.
    fn is_fast_tracked(&self, active: &Service) -> bool {
        self.is_fast_rollback() || self.status.promote_full || active.hash().is_empty() || active.hash() == Self::hash_of(self.new_set())
    }

    /// Whether the new version has the pods it should have at this point, all available.
    fn is_ready_for_pause(&self) -> bool {
        let count = self.count(|counting| counting.new_pods(None));
        self.new_set().is_some_and(|new| new.spec.replicas == count && new.available() == count)
    }

    /// Pauses before the switch, or ends that pause.
    fn wait_for_promotion(&mut self, active: &Service) {
        if self.status.abort || !self.is_ready_for_pause() || self.is_halted() {
            return;
        }
        let Some(blue_green) = self.spec.blue_green() else { return };
        let seconds = blue_green.auto_promotion_seconds;
        let is_asked = blue_green.auto_promotion_enabled == Some(false) || seconds > 0;
        if self.is_fast_tracked(active) || self.status.blue_green.scale_up_preview_check_point || !is_asked {
            self.pauses.remove(Pause::PROMOTION);
            return;
        }
        if !self.pre_promotion_passed() {
            return;
        }
        match self.status.paused_for(&Pause::PROMOTION) {
            Some(_) if self.pauses.blue_green_is_over(&self.spec, &self.status, self.cx.now) => self.pauses.remove(Pause::PROMOTION),
            Some(since) if seconds > 0 => self.look_again_at(since + chrono::Duration::seconds(seconds)),
            Some(_) => {}
            // A pause of the controller without a condition is one that somebody ended.
            None if !self.status.controller_pause => self.pauses.add(Pause::PROMOTION),
            None => {}
        }
    }

    /// Points the active Service to the version that should serve, once that has all its pods.
    fn switch_active(&mut self, active: &mut Service) -> Outcome {
        let is_saturated = self.new_set().is_some_and(|new| new.is_saturated(&self.spec));
        if self.is_halted() || !self.is_ready_for_pause() || !is_saturated {
            return Ok(());
        }
        let is_over = self.pauses.blue_green_is_over(&self.spec, &self.status, self.cx.now);
        let hash = match () {
            () if self.status.abort => self.status.stable_rs.clone(),
            () if self.is_fast_tracked(active) || (is_over && self.pre_promotion_passed()) => Self::hash_of(self.new_set()).to_owned(),
            () => active.hash().to_owned(),
        };
        self.switch_service(active, &hash)
    }

    fn pre_promotion_passed(&self) -> bool {
        let is_asked = self.spec.blue_green().is_some_and(|blue_green| blue_green.pre_promotion_analysis.is_some());
        !is_asked || self.runs.pre.as_ref().is_some_and(|run| run.status.phase == "Successful")
    }

    fn sync_blue_green(&mut self, preview: Option<&Service>, active: &Service) -> Outcome {
        let mut status = self.base_status();
        status.stable_rs = self.status.stable_rs.clone();
        if self.template_changed() {
            self.reset(&mut status);
        }
        if self.status.promote_full || self.is_within_window() {
            self.pauses.clear();
            self.pauses.unabort();
        }
        status.blue_green.preview_selector = preview.map_or("", Service::hash).into();
        status.blue_green.active_selector = active.hash().into();
        match self.blue_green_may_be_promoted(&status) {
            Some(why) => self.promote(&mut status, why)?,
            None => status.blue_green.scale_up_preview_check_point = self.preview_check_point(),
        }
        self.count_active(&mut status);
        self.persist(status)
    }

    /// Counts are those of the version that serves, once there is one.
    fn count_active(&self, status: &mut Status) {
        match self.set_of(&status.blue_green.active_selector) {
            Some(active) => {
                status.hpa_replicas = active.status.replicas;
                status.selector = active.spec.selector.to_string();
                status.available_replicas = active.available();
                status.ready_replicas = active.status.ready_replicas;
            }
            None => {
                status.hpa_replicas = replica_set::existing(&self.sets);
                status.selector = self.spec.selector.clone().unwrap_or_default().to_string();
                status.available_replicas = replica_set::available(&self.sets);
            }
        }
    }

    /// Why the new version becomes the stable one now, if it does.
    fn blue_green_may_be_promoted(&self, status: &Status) -> Option<&'static str> {
        let active = &status.blue_green.active_selector;
        if self.stable.is_none() || active.is_empty() {
            return Some("Initial deploy");
        }
        let passed = || {
            let is_asked = self.spec.blue_green().is_some_and(|blue_green| blue_green.post_promotion_analysis.is_some());
            !is_asked || self.runs.post.as_ref().is_some_and(|run| run.status.phase == "Successful")
        };
        match () {
            () if *active != status.current_pod_hash => None,
            () if self.status.promote_full => Some("Full promotion requested"),
            () if self.is_fast_rollback() && self.is_within_window() => Some("Rollback within window"),
            () if self.is_fast_rollback() => Some("Fast rollback"),
            () if self.is_aborted() || !passed() => None,
            () => Some("Completed blue-green update"),
        }
    }

    /// Whether the preview, kept small until now, may grow to full size. Once it may, it may until the update is over.
    fn preview_check_point(&self) -> bool {
        let Some(preview) = self.spec.blue_green().and_then(|blue_green| blue_green.preview_replica_count) else { return false };
        let is_over = || self.pauses.blue_green_is_over(&self.spec, &self.status, self.cx.now);
        self.status.blue_green.scale_up_preview_check_point
            || (self.pre_promotion_passed() && is_over() && self.new_set().map_or(0, ReplicaSet::available) == preview)
    }
}
