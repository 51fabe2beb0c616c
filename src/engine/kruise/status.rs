//! Where a Rollout of OpenKruise stands, and who must act.

use super::facts::Facts;
use crate::{
    intent::Verb,
    model::{Next, Phase, Text, Wait, WaitFor, WayBack},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Situation {
    Deleting,
    /// The controller has not seen the newest spec.
    Unobserved,
    /// It does nothing while it is disabled.
    Disabled,
    NoWorkload,
    /// Nothing in flight.
    Idle,
    Paused,
    /// The step is done: a person decides.
    Approval,
    /// The step is done: a clock decides.
    Timed,
    Moving,
    /// The template was put back, and the controller cleans up.
    RollingBack,
    /// All steps are done, and the controller cleans up.
    Finalising,
}

pub fn situation(f: &Facts<'_>) -> Situation {
    use Situation as S;
    let status = &f.ro.status;
    let waits = f.state() == "StepPaused";
    let table = [
        (f.root.meta.deleting.is_some() || status.phase == "Terminating", S::Deleting),
        (!f.observed(), S::Unobserved),
        (f.ro.spec.disabled || status.phase.starts_with("Disabl"), S::Disabled),
        (status.message == "Workload Not Found", S::NoWorkload),
        (!f.progressing(), S::Idle),
        (f.reason() == "Cancelling", S::RollingBack),
        (matches!(f.reason(), "Finalising" | "Completed"), S::Finalising),
        (f.ro.spec.strategy.paused || f.reason() == "Paused", S::Paused),
        (waits && !pauses(f), S::Moving),
        (waits && f.step().is_some_and(|s| s.pause.duration.is_none()), S::Approval),
        (waits, S::Timed),
    ];
    table.into_iter().find(|(holds, _)| *holds).map_or(S::Moving, |(_, s)| s)
}

/// The last step of a canary that has all pods is not waited for.
pub fn pauses(f: &Facts<'_>) -> bool {
    let last = f.at().is_some_and(|i| i + 1 == f.steps().len());
    let all = f.step().and_then(|s| s.replicas.as_ref()).is_some_and(|r| r.0 == "100%");
    !(last && all && !f.is_blue_green())
}

pub fn phase(f: &Facts<'_>) -> Phase {
    use Situation as S;
    match situation(f) {
        S::Deleting | S::Unobserved | S::Moving | S::Finalising | S::RollingBack => Phase::Progressing,
        S::Disabled | S::Paused | S::Timed => Phase::Paused,
        S::NoWorkload => Phase::Stuck,
        S::Idle => Phase::Healthy,
        S::Approval => Phase::Waiting,
    }
}

pub fn detail(f: &Facts<'_>) -> Text {
    use Situation as S;
    let at = || match f.at() {
        Some(i) => format!("step {}/{}", i + 1, f.steps().len()),
        None => "before its first step".to_owned(),
    };
    let told = match situation(f) {
        S::Deleting => "being deleted".to_owned(),
        S::Unobserved => "waiting for the spec to be observed".to_owned(),
        S::Disabled => "disabled: releases roll without steps".to_owned(),
        S::NoWorkload => "its workload is not there".to_owned(),
        S::Idle if f.condition("Succeeded").is_some_and(|c| c.status == "False") => "the last release was rolled back".to_owned(),
        S::Idle => "nothing to release".to_owned(),
        S::Paused => format!("paused at {}", at()),
        S::Approval => format!("{} waits for approval", at()),
        S::Timed => format!("{} pauses", at()),
        S::Moving => format!("{}: {}", at(), state(f)),
        S::RollingBack => "rolling back".to_owned(),
        S::Finalising => "all steps done, cleaning up".to_owned(),
    };
    told.into()
}

fn state<'f>(f: &'f Facts<'_>) -> &'f str {
    match f.state() {
        "BeforeStepUpgrade" | "StepUpgrade" => "new pods come",
        "StepTrafficRouting" => "traffic moves",
        "StepMetricsAnalysis" | "StepPaused" | "StepReady" | "Completed" => "done, the next follows",
        "" => "begins",
        other => other,
    }
}

pub fn wait(f: &Facts<'_>) -> Option<Wait> {
    use Situation as S;
    let since = f.status().and_then(|(p, _)| p.last_update_time.0);
    let wait = |who, reason: Text, until| Some(Wait { who, reason, since, until });
    match situation(f) {
        S::Idle | S::Disabled => None,
        S::Approval => wait(WaitFor::Human, "approval".into(), None),
        S::Timed => wait(WaitFor::Timer, "pause".into(), f.pause_ends()),
        S::Paused => wait(WaitFor::Human, "paused".into(), None),
        S::NoWorkload => wait(WaitFor::Human, detail(f), None),
        S::Moving if f.state() == "StepUpgrade" => wait(WaitFor::Pods, detail(f), None),
        S::Deleting | S::Unobserved | S::Moving | S::RollingBack | S::Finalising => wait(WaitFor::Controller, detail(f), None),
    }
}

pub fn next(f: &Facts<'_>) -> Next {
    use Situation as S;
    let after = || match f.at().and_then(|i| f.steps().get(i + 1)) {
        Some(step) => super::picture::called(step),
        None => "the new version becomes the stable one".to_owned(),
    };
    let (at, what) = match situation(f) {
        S::Idle | S::Disabled => (None, "nothing".to_owned()),
        S::Deleting => (None, "it is removed".to_owned()),
        S::Unobserved => (None, "the controller looks at the newest change".to_owned()),
        S::NoWorkload => (None, "nothing until the workload exists".to_owned()),
        S::Paused => (None, "nothing until someone resumes".to_owned()),
        S::Approval => (None, format!("nothing until someone promotes; then {}", after())),
        S::Timed => (f.pause_ends(), after()),
        S::Moving => (None, "the step goes on by itself".to_owned()),
        S::RollingBack => (None, "the old version serves everybody again".to_owned()),
        S::Finalising => (None, "the new version becomes the stable one".to_owned()),
    };
    Next { at, what: what.into() }
}

pub fn way_back(f: &Facts<'_>) -> WayBack {
    use Situation as S;
    let in_flight = matches!(situation(f), S::Paused | S::Approval | S::Timed | S::Moving);
    if !in_flight || !f.is_deployment() {
        return WayBack::default();
    }
    WayBack {
        action: Some(Verb::Abort),
        seconds: None,
        until: None,
        what: "abort: the stable template put back, rolls back at once".into(),
    }
}
