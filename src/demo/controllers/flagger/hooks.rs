//! Webhooks: whom Flagger asks before it does something, and what it does with the answer.

use serde_json::json;

use super::{
    names::SERVICES,
    spec::Webhook,
    status::Phase,
    tick::{Kind::Normal, Kind::Warning, Tick},
};
use crate::demo::{controllers::objects::pod_template_hash, store::Key};

/// Where Flagger itself runs: names of Services without a namespace are looked for there.
const HOME: &str = "flagger-system";

/// The highest status that is a yes.
const YES: u16 = 202;

impl Tick<'_, '_> {
    /// Asks; the error is what the other side says, or why it could not be asked.
    fn ask(&mut self, hook: &Webhook, phase: Phase) -> Result<(), String> {
        let failed = |why: String| format!("POST {url} giving up after 1 attempt(s): Post {url:?}: {why}", url = hook.url);
        let (host, path) = split(&hook.url).ok_or_else(|| failed("unsupported protocol scheme \"\"".into()))?;
        if !self.is_load_tester(host) {
            return Err(failed(format!("dial tcp: lookup {}: no such host", host.split(':').next().unwrap_or_default())));
        }
        let mut payload = json!({
            "name": *self.key.name, "namespace": *self.key.namespace, "phase": phase, "checksum": self.checksum(),
        });
        if !hook.metadata.is_empty() {
            payload["metadata"] = json!(hook.metadata);
        }
        let now = self.cx.now;
        let answer = self.cx.workloads.loadtester.answer(path, payload.to_string().as_bytes(), now);
        if answer.code > YES { Err(answer.body) } else { Ok(()) }
    }

    /// By its address outside, or by the name of its Service.
    fn is_load_tester(&self, host: &str) -> bool {
        let outside = self.cx.workloads.loadtester.address.strip_prefix("http://").unwrap_or_default();
        if !outside.is_empty() && host == outside {
            return true;
        }
        let host = host.split(':').next().unwrap_or_default();
        let host = host.strip_suffix(".cluster.local").unwrap_or(host);
        let host = host.strip_suffix(".svc").unwrap_or(host);
        let (name, namespace) = host.split_once('.').unwrap_or((host, HOME));
        is_load_tester(name) && self.cx.store.get(&Key::new(SERVICES, namespace, name)).is_some()
    }

    fn checksum(&self) -> String {
        pod_template_hash(&json!([self.status.tracked_configs, self.status.last_applied_spec]))
    }

    /// Whether a release may begin. Waiting is told once.
    pub fn confirm_rollout(&mut self) -> Result<bool, String> {
        for hook in self.analysis.hooks(&["confirm-rollout"]) {
            let phase = self.status.phase;
            if self.ask(&hook, phase).is_err() {
                if phase != Phase::Waiting {
                    self.set_phase(Phase::Waiting)?;
                    let what = self.path();
                    self.event(Warning, &format!("Halt {what} advancement waiting for approval {}", hook.name));
                }
                return Ok(false);
            }
            self.event(Normal, &format!("Confirm-rollout check {} passed", hook.name));
        }
        Ok(true)
    }

    /// Whether more users may come.
    pub fn confirm_traffic_increase(&mut self) -> bool {
        for hook in self.analysis.hooks(&["confirm-traffic-increase"]) {
            if self.ask(&hook, Phase::Progressing).is_err() {
                let what = self.path();
                self.event(Warning, &format!("Halt {what} advancement waiting for traffic increase approval {}", hook.name));
                return false;
            }
            self.event(Normal, &format!("Confirm-traffic-increase check {} passed", hook.name));
        }
        true
    }

    /// Whether the primary may take the new version. Waiting is told once; while it lasts the last iteration is repeated.
    pub fn confirm_promotion(&mut self) -> Result<bool, String> {
        for hook in self.analysis.hooks(&["confirm-promotion"]) {
            if self.ask(&hook, Phase::Progressing).is_err() {
                if self.status.phase == Phase::WaitingPromotion {
                    self.set_iterations(self.analysis.iterations - 1)?;
                } else {
                    self.set_phase(Phase::WaitingPromotion)?;
                    let what = self.path();
                    self.event(Warning, &format!("Halt {what} advancement waiting for promotion approval {}", hook.name));
                }
                return Ok(false);
            }
            self.event(Normal, &format!("Confirm-promotion check {} passed", hook.name));
        }
        Ok(true)
    }

    pub fn before_rollout(&mut self) -> bool {
        for hook in self.analysis.hooks(&["pre-rollout"]) {
            if let Err(why) = self.ask(&hook, Phase::Progressing) {
                let what = self.path();
                self.event(Warning, &format!("Halt {what} advancement pre-rollout check {} failed {why}", hook.name));
                return false;
            }
            self.event(Normal, &format!("Pre-rollout check {} passed", hook.name));
        }
        true
    }

    /// Checks of others during the analysis.
    pub fn during_rollout(&mut self) -> bool {
        for hook in self.analysis.hooks(&["", "rollout"]) {
            if let Err(why) = self.ask(&hook, Phase::Progressing) {
                let what = self.path();
                self.event(Warning, &format!("Halt {what} advancement external check {} failed {why}", hook.name));
                return false;
            }
        }
        true
    }

    pub fn after_rollout(&mut self, phase: Phase) {
        for hook in self.analysis.hooks(&["post-rollout"]) {
            if let Err(why) = self.ask(&hook, phase) {
                self.event(Warning, &format!("Post-rollout hook {} failed {why}", hook.name));
                return;
            }
            self.event(Normal, &format!("Post-rollout check {} passed", hook.name));
        }
    }

    /// Whether somebody asks for the way back.
    pub fn is_called_back(&mut self) -> bool {
        for hook in self.analysis.hooks(&["rollback"]) {
            let phase = self.status.phase;
            if self.ask(&hook, phase).is_ok() {
                self.event(Warning, &format!("Rollback check {} passed", hook.name));
                return true;
            }
            self.event(Normal, &format!("Rollback hook {} not signaling a rollback", hook.name));
        }
        false
    }
}

/// By this the Service of a load tester is known.
pub fn is_load_tester(service: &str) -> bool {
    service.contains("loadtester")
}

/// Host with its port, and the path.
fn split(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))?;
    let at = rest.find('/').unwrap_or(rest.len());
    let path = rest[at..].split('?').next().unwrap_or_default();
    Some((&rest[..at], if path.is_empty() { "/" } else { path }))
}
