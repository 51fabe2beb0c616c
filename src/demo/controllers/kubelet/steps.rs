//! What each step of a pod's life writes into it, says of it, and leads to.

use super::*;

/// How long image and container take at most before the process starts; the rest of the start-up is the process's.
const CREATION: Duration = Duration::from_millis(1_500);
/// Start-ups below this end with the container's start, unless a probe is to be waited for.
const BRIEF: Duration = Duration::from_secs(1);
/// How long an error shows before the back-off that follows from it.
const ERROR_SHOWS: Duration = Duration::from_secs(1);
/// Period of a readiness probe.
const PROBE: Duration = Duration::from_secs(10);
/// Back-off of restarts and image pulls: doubled each time up to the limit, forgotten after a long good run.
const BACK_OFF: Duration = Duration::from_secs(10);
const BACK_OFF_LIMIT: Duration = Duration::from_secs(300);
const GOOD_RUN: Duration = Duration::from_secs(600);

/// How long a pod of a version takes, once it is on its node.
pub struct Timing {
    /// Until its containers start.
    pub creation: Duration,
    /// From there to ready.
    pub warm_up: Duration,
}

impl Timing {
    pub fn of(pod: &Value, pods: Pods, luck: f64) -> Self {
        let whole = pods.start_up + pods.spread.mul_f64(luck);
        let probed = has_probe(pod);
        let creation = if whole < BRIEF && !probed { whole } else { (whole / 2).min(CREATION) };
        Self { creation, warm_up: whole - creation }
    }
}

pub fn start(cx: &mut Cx<'_>, pod: &mut Value, pods: Pods, plan: Plan, again: bool) -> Option<Plan> {
    report_start(cx, pod, plan.luck, again);
    status::run(pod, cx.now, again);
    let timing = Timing::of(pod, pods, plan.luck);
    let plan = Plan { started: cx.now, ..plan };
    let then = |step, after| Some(Plan { at: cx.now + after, step, ..plan });
    match pods.fate {
        Fate::CrashLoop => then(Step::Exit, pods.after),
        Fate::Never => then(Step::Probe, PROBE),
        Fate::Ready | Fate::OutOfMemory | Fate::ImagePull | Fate::Unschedulable if timing.warm_up.is_zero() => {
            get_ready(cx, pod, pods, plan)
        }
        _ => then(Step::Ready, timing.warm_up),
    }
}

pub fn get_ready(cx: &mut Cx<'_>, pod: &mut Value, pods: Pods, plan: Plan) -> Option<Plan> {
    let then = |step, after| Some(Plan { at: cx.now + after, step, ..plan });
    match pods.fate {
        Fate::CrashLoop => return then(Step::Exit, pods.after),
        Fate::Never => return then(Step::Probe, Duration::ZERO),
        _ => status::set_ready(pod, true, cx.now),
    }
    if pods.fate == Fate::OutOfMemory { then(Step::Exit, pods.after) } else { None }
}

pub fn probe(cx: &mut Cx<'_>, pod: &mut Value, pods: Pods, plan: Plan) -> Option<Plan> {
    if pods.fate != Fate::Never {
        return get_ready(cx, pod, pods, plan);
    }
    for name in names(pod) {
        report(cx, pod, &name, "Warning", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503");
    }
    status::set_ready(pod, false, cx.now);
    // Nobody hears a probe fail in prehistory.
    let next = cx.now + PROBE;
    Some(Plan { at: cx.workloads.opening().map_or(next, |opening| opening.max(next)), ..plan })
}

pub fn exit(cx: &mut Cx<'_>, pod: &mut Value, pods: Pods, plan: Plan) -> Option<Plan> {
    let (code, reason) = if pods.fate == Fate::OutOfMemory { (137, "OOMKilled") } else { (1, "Error") };
    status::exit(pod, code, reason, plan.started, cx.now);
    let failures = if between(plan.started, cx.now) >= GOOD_RUN { 1 } else { plan.failures + 1 };
    // The first restart does not wait.
    let step = if failures == 1 { Step::Restart } else { Step::BackOff };
    Some(Plan { at: cx.now + ERROR_SHOWS, step, failures, ..plan })
}

pub fn back_off(cx: &mut Cx<'_>, pod: &mut Value, plan: Plan) -> Option<Plan> {
    let pause = doubled(plan.failures.saturating_sub(2));
    let place = place(pod);
    for name in names(pod) {
        report(cx, pod, &name, "Warning", "BackOff", &format!("Back-off restarting failed container {name} in pod {place}"));
    }
    status::back_off(pod, &go_duration(pause), &place);
    Some(Plan { at: cx.now + pause - ERROR_SHOWS, step: Step::Restart, ..plan })
}

pub fn fail_pull(cx: &mut Cx<'_>, pod: &mut Value, plan: Plan) -> Option<Plan> {
    for (name, image) in images(pod) {
        let why = status::pull_error(&image);
        report(cx, pod, &name, "Normal", "Pulling", &format!("Pulling image \"{image}\""));
        report(cx, pod, &name, "Warning", "Failed", &format!("Failed to pull image \"{image}\": {why}"));
        report(cx, pod, &name, "Warning", "Failed", "Error: ErrImagePull");
    }
    status::fail_pull(pod, "ErrImagePull");
    Some(Plan { at: cx.now + ERROR_SHOWS, step: Step::PullBackOff, failures: plan.failures + 1, ..plan })
}

pub fn back_off_pull(cx: &mut Cx<'_>, pod: &mut Value, plan: Plan) -> Option<Plan> {
    for (name, image) in images(pod) {
        report(cx, pod, &name, "Normal", "BackOff", &format!("Back-off pulling image \"{image}\""));
        report(cx, pod, &name, "Warning", "Failed", "Error: ImagePullBackOff");
    }
    status::fail_pull(pod, "ImagePullBackOff");
    Some(Plan { at: cx.now + doubled(plan.failures.saturating_sub(1)) - ERROR_SHOWS, step: Step::Start, ..plan })
}

/// 10 s, 20 s, 40 s, ... 5 min.
fn doubled(times: u32) -> Duration {
    BACK_OFF.saturating_mul(1 << times.min(8)).min(BACK_OFF_LIMIT)
}

/// `10s`, `1m20s`, as Go prints durations.
fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}

fn report_start(cx: &mut Cx<'_>, pod: &Value, luck: f64, again: bool) {
    for (name, image) in images(pod) {
        let pulled = format!("Container image \"{image}\" already present on machine and can be accessed by the pod");
        if again || luck < 0.5 {
            report(cx, pod, &name, "Normal", "Pulled", &pulled);
        } else {
            let time = format!("{:.3}s", luck);
            let pulled = format!("Successfully pulled image \"{image}\" in {time} ({time} including waiting). Image size: 23457890 bytes.");
            report(cx, pod, &name, "Normal", "Pulling", &format!("Pulling image \"{image}\""));
            report(cx, pod, &name, "Normal", "Pulled", &pulled);
        }
        report(cx, pod, &name, "Normal", "Created", "Container created");
        report(cx, pod, &name, "Normal", "Started", "Container started");
    }
}

/// An event about one container.
pub fn report(cx: &mut Cx<'_>, pod: &Value, container: &str, kind: &str, reason: &str, message: &str) {
    let field = format!("spec.containers{{{container}}}");
    let host = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    events::record_by(cx, Source { component: "kubelet", host, field: &field }, pod, kind, reason, message);
}

/// `name_namespace(uid)`, as kubelets write pods.
fn place(pod: &Value) -> String {
    let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default().to_owned();
    format!("{}_{}({})", text("name"), text("namespace"), text("uid"))
}

pub fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    pod["spec"]["containers"].as_array().into_iter().flatten()
}

pub fn names(pod: &Value) -> Vec<String> {
    containers(pod).filter_map(|container| Some(container["name"].as_str()?.to_owned())).collect()
}

fn images(pod: &Value) -> Vec<(String, String)> {
    containers(pod)
        .filter_map(|container| Some((container["name"].as_str()?.to_owned(), container["image"].as_str()?.to_owned())))
        .collect()
}

fn has_probe(pod: &Value) -> bool {
    containers(pod).any(|container| !container["readinessProbe"].is_null())
}
