//! How many pods each version gets.

use super::{
    replica_set::{self, ReplicaSet},
    spec::{BlueGreen, CanaryScale, IntOrString, Spec, Step, Threshold},
    status::{Status, Weights},
};

/// A rollout and its versions, as far as counting pods needs them.
#[derive(Clone, Copy)]
pub struct Counting<'a> {
    pub spec: &'a Spec,
    pub status: &'a Status,
    pub new: Option<&'a ReplicaSet>,
    pub stable: Option<&'a ReplicaSet>,
    /// Versions that are neither.
    pub others: &'a [&'a ReplicaSet],
}

/// Pods of the new and of the stable version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pods {
    pub new: i64,
    pub stable: i64,
}

/// The step a canary is at, and its index. The index is the number of steps when all are done; `None` without steps.
pub fn current_step<'a>(spec: &'a Spec, status: &Status) -> (Option<&'a Step>, Option<i64>) {
    let steps = spec.steps();
    if steps.is_empty() {
        return (None, None);
    }
    let index = status.current_step_index.unwrap_or_default();
    (usize::try_from(index).ok().and_then(|index| steps.get(index)), Some(index))
}

/// Steps up to and with the current one, latest first; none when all are done.
pub fn steps_so_far<'a>(spec: &'a Spec, status: &Status) -> impl Iterator<Item = &'a Step> {
    let (step, index) = current_step(spec, status);
    let until = step.and(index).map_or(0, |index| usize::try_from(index).map_or(0, |index| index + 1));
    spec.steps()[..until].iter().rev()
}

/// The weight of the latest setWeight step. All of it when no step is left.
pub fn set_weight(spec: &Spec, status: &Status) -> i64 {
    if status.abort {
        return 0;
    }
    match current_step(spec, status) {
        (None, _) => spec.max_weight(),
        _ => steps_so_far(spec, status).find_map(|step| step.set_weight).unwrap_or(0),
    }
}

/// Pods that may be missing.
pub fn max_unavailable(spec: &Spec) -> i64 {
    let replicas = spec.replicas();
    if replicas == 0 {
        return 0;
    }
    let unavailable = match (spec.canary(), spec.blue_green()) {
        (Some(_), _) => surge_and_unavailable(spec).1,
        (_, Some(blue_green)) => share(&blue_green.max_unavailable, replicas, false),
        _ => 0,
    };
    unavailable.min(replicas)
}

/// Pods that a canary without a router may have too many.
pub fn max_surge(spec: &Spec) -> i64 {
    if spec.canary().is_some() { surge_and_unavailable(spec).0 } else { 0 }
}

fn surge_and_unavailable(spec: &Spec) -> (i64, i64) {
    let replicas = spec.replicas();
    let canary = spec.canary();
    let surge = canary.map_or(0, |canary| share(&canary.max_surge, replicas, true));
    let unavailable = canary.map_or(0, |canary| share(&canary.max_unavailable, replicas, false));
    // Rounding can leave no room to move at all.
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
}

/// A quarter unless the spec says otherwise.
fn share(value: &Option<IntOrString>, replicas: i64, round_up: bool) -> i64 {
    value.as_ref().map_or_else(|| IntOrString::Text("25%".into()).of(replicas, round_up), |value| value.of(replicas, round_up))
}

/// Whether enough of the wanted pods are available to go on.
pub fn threshold_met(threshold: Option<&Threshold>, set: Option<&ReplicaSet>, desired: i64) -> bool {
    let (Some(threshold), Some(set)) = (threshold.filter(|threshold| threshold.value >= 0), set) else {
        return set.is_some_and(|set| set.spec.replicas == desired && set.available() == desired);
    };
    match threshold.kind.as_str() {
        "Percent" => desired == 0 || set.available() * 100 >= threshold.value * desired,
        _ => set.available() >= threshold.value,
    }
}

impl Counting<'_> {
    /// Pods the new version should have now. `weights`: the traffic as it is.
    pub fn new_pods(&self, weights: Option<&Weights>) -> i64 {
        match (self.spec.blue_green(), self.spec.canary()) {
            (Some(blue_green), _) => self.preview_pods(blue_green),
            _ => self.canary_pods(weights).new,
        }
    }

    /// Pods of a canary and its stable version, with or without a router.
    pub fn canary_pods(&self, weights: Option<&Weights>) -> Pods {
        if self.spec.router().is_some() { self.routed(weights) } else { self.basic() }
    }

    fn preview_pods(&self, blue_green: &BlueGreen) -> i64 {
        let all = self.spec.replicas();
        let (Some(preview), Some(new)) = (blue_green.preview_replica_count, self.new) else { return all };
        let active = &self.status.blue_green.active_selector;
        let is_active_known =
            [self.stable, self.new].into_iter().flatten().chain(self.others.iter().copied()).any(|set| set.hash() == *active);
        if active.is_empty() || !is_active_known || new.hash() == *active || self.status.promote_full {
            return all;
        }
        let is_waiting = self.spec.paused || !self.status.pause_conditions.is_empty();
        let is_past = new.hash() == self.status.current_pod_hash && !is_waiting && self.status.blue_green.scale_up_preview_check_point;
        if is_past { all } else { preview }
    }

    /// Whether both versions have the pods that the current step asks for.
    pub fn is_at_desired(&self, weights: Option<&Weights>) -> bool {
        let canary = self.spec.canary();
        let desired = self.canary_pods(weights);
        if !threshold_met(canary.and_then(|canary| canary.replica_progress_threshold.as_ref()), self.new, desired.new) {
            return false;
        }
        let is_routed = self.spec.router().is_some();
        let all_created =
            self.stable.is_some_and(|stable| stable.spec.replicas == desired.stable && stable.status.replicas == desired.stable);
        if (!is_routed || !self.spec.is_dynamic()) && !all_created {
            return false;
        }
        // Without a router every pod serves, so those of older versions have to go first.
        is_routed || replica_set::available(self.others.iter().copied()) == 0
    }

    /// An explicit number of canary pods, or the weight they are to match.
    fn pods_or_weight(&self) -> (Option<i64>, i64) {
        if self.status.promote_full || self.status.stable_rs.is_empty() || self.status.is_fully_promoted() {
            return (None, self.spec.max_weight());
        }
        match self.canary_scale() {
            Some(CanaryScale { replicas: Some(replicas), .. }) => (Some(*replicas), 0),
            Some(CanaryScale { weight: Some(weight), .. }) => (None, *weight),
            _ => (None, self.desired_weight()),
        }
    }

    /// The latest setCanaryScale that is still in force.
    fn canary_scale(&self) -> Option<&CanaryScale> {
        self.spec.router()?;
        if self.status.abort && self.spec.abort_scale_down_delay().is_some() {
            return None;
        }
        steps_so_far(self.spec, self.status).find_map(|step| step.set_canary_scale.as_ref()).filter(|scale| !scale.match_traffic_weight)
    }

    /// The weight to aim at. An aborted rollout whose stable version was scaled down goes back along its own steps, so
    /// that the stable version can grow under the load.
    pub fn desired_weight(&self) -> i64 {
        let (true, true, Some(new), Some(stable)) = (self.status.abort, self.spec.is_dynamic(), self.new, self.stable) else {
            return set_weight(self.spec, self.status);
        };
        let replicas = self.spec.replicas();
        let canaries = (replicas - stable.available()).max(new.available());
        let lower = |weight: &i64| share_of(replicas, *weight, self.spec.max_weight()) < canaries;
        self.spec.steps().iter().rev().filter_map(|step| step.set_weight).find(lower).unwrap_or(0)
    }

    fn routed(&self, weights: Option<&Weights>) -> Pods {
        let (replicas, max) = (self.spec.replicas(), self.spec.max_weight());
        let (explicit, weight) = self.pods_or_weight();
        let new = explicit.unwrap_or_else(|| self.at_least(share_of(replicas, weight, max)));
        if !self.spec.is_dynamic() {
            return Pods { new, stable: replicas };
        }
        // The stable version keeps what its traffic needs now and what it will need next, whichever is more; on an
        // abort so does the new one.
        let mut pods = Pods { new, stable: share_of(replicas, max - weight, max) };
        if let Some(weights) = weights {
            pods.stable = pods.stable.max(share_of(replicas, weights.stable.weight, max));
            if self.status.abort {
                pods.new = pods.new.max(share_of(replicas, weights.canary.weight, max));
            }
        }
        Pods { new: self.at_least(pods.new), stable: self.at_least(pods.stable) }
    }

    /// Never fewer than `minPodsPerReplicaSet`, but none may stay none.
    fn at_least(&self, count: i64) -> i64 {
        let least = self.spec.canary().and_then(|canary| canary.min_pods_per_replica_set).unwrap_or(0);
        if count == 0 { 0 } else { count.max(least.min(self.spec.replicas())) }
    }

    /// Without a router the pods are the weight: as close to it as `maxSurge` and `maxUnavailable` let one come now.
    fn basic(&self) -> Pods {
        let replicas = self.spec.replicas();
        let surge = max_surge(self.spec);
        let (_, weight) = self.pods_or_weight();
        let mut desired = closest(replicas, weight, self.spec.max_weight(), surge);
        let stable = self.stable.filter(|stable| self.new.is_none_or(|new| new.name() != stable.name()));
        if stable.is_none() {
            desired = Pods { new: replicas, stable: 0 };
        }
        let most = replicas + surge;
        let mut pods = Pods { new: spec_of(self.new), stable: spec_of(stable) };
        let old = replica_set::wanted(self.others.iter().copied());
        let mut room = most - (old + pods.new + pods.stable);
        if stable.is_some() && pods.stable < desired.stable && room > 0 {
            let grown = (pods.stable + room).min(desired.stable);
            room -= grown - pods.stable;
            pods.stable = grown;
        }
        if self.new.is_some() && pods.new < desired.new && room > 0 {
            pods.new = (pods.new + room).min(desired.new);
        }
        // Older versions shrink before these two do.
        if old > 0 { pods } else { self.shrink(pods, desired, stable, most) }
    }

    /// Takes pods from the version that has too many, as far as enough stay available.
    fn shrink(&self, pods: Pods, desired: Pods, stable: Option<&ReplicaSet>, most: i64) -> Pods {
        let least = self.spec.replicas() - max_unavailable(self.spec);
        let is_growing = self.new.is_none_or(|new| desired.new >= new.spec.replicas);
        // Of the version that shrinks, pods that are not available count too: they may go without harm.
        let counted = counted(self.new, !is_growing) + counted(self.stable, is_growing);
        if counted <= least {
            return pods;
        }
        let drained = |set: Option<&ReplicaSet>, desired: i64, now: i64| match set {
            Some(set) if set.spec.replicas > desired => desired.max(set.spec.replicas - (counted - least)),
            _ => now,
        };
        if !is_growing {
            let new = drained(self.new, desired.new, pods.new);
            let (new, stable) = within_limits(self.new, self.stable, new, pods.stable, most, least);
            return Pods { new, stable };
        }
        if stable.is_none() {
            return pods;
        }
        let old = drained(stable, desired.stable, pods.stable);
        let (stable, new) = within_limits(stable, self.new, old, pods.new, most, least);
        Pods { new, stable }
    }
}

fn spec_of(set: Option<&ReplicaSet>) -> i64 {
    set.map_or(0, |set| set.spec.replicas)
}

/// Pods of a version that count when deciding how many may go.
fn counted(set: Option<&ReplicaSet>, whatever_their_state: bool) -> i64 {
    let Some(set) = set else { return 0 };
    if whatever_their_state { set.spec.replicas } else { set.available().min(set.spec.replicas) }
}

/// Makes room for `drain` and `adjust` together by taking from `adjust` first, but gives back what availability needs.
fn within_limits(
    drain: Option<&ReplicaSet>,
    adjust: Option<&ReplicaSet>,
    drained: i64,
    adjusted: i64,
    most: i64,
    least: i64,
) -> (i64, i64) {
    let Some(adjust) = adjust else { return (drained, adjusted) };
    let over = |drained: i64, adjusted: i64| (drained + adjusted - most).max(0);
    let mut kept = adjusted - over(drained, adjusted);
    let available = drain.map_or(0, |drain| drain.available().min(drained)) + adjust.available().min(kept);
    let lost = (adjust.available() - kept).max(0);
    kept += lost.min((least - available).max(0));
    (drained - over(drained, kept), kept)
}

/// Pods that carry this weight, rounded up.
fn share_of(replicas: i64, weight: i64, max: i64) -> i64 {
    (replicas * weight).div_euclid(max) + i64::from((replicas * weight).rem_euclid(max) > 0)
}

/// The numbers of pods whose ratio is closest to the weight. One pod more than asked for is allowed if there may be a
/// surge; for weights between none and all both sides keep a pod; in a tie the canary gets more.
fn closest(replicas: i64, weight: i64, max: i64, surge: i64) -> Pods {
    if replicas == 0 {
        return Pods { new: 0, stable: 0 };
    }
    let (ceil, floor) = (share_of(replicas, weight, max), (replicas * weight).div_euclid(max));
    let is_tied = |total: i64| (2 * total * weight).rem_euclid(2 * max) == max;
    let may_be_none = weight == max || weight == 0 || (replicas == 1 && surge == 0);
    let mut options: Vec<(i64, i64)> = Vec::new();
    if ceil < replicas || may_be_none {
        options.push((ceil, replicas));
    }
    if !is_tied(replicas) && (floor != 0 || may_be_none) {
        options.push((floor, replicas));
    }
    if surge > 0 {
        options.push((ceil, replicas + 1));
        if !is_tied(replicas + 1) && (floor != 0 || may_be_none) {
            options.push((floor, replicas + 1));
        }
    }
    let distance = |(canary, total): &(i64, i64)| ((canary * max) as f64 / *total as f64 - weight as f64).abs();
    let best = options.into_iter().reduce(|best, next| if distance(&next) < distance(&best) { next } else { best });
    best.map_or(Pods { new: 0, stable: replicas }, |(canary, total)| Pods { new: canary, stable: total - canary })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, from_value, json};

    use super::*;

    fn set(name: &str, wanted: i64, available: i64) -> ReplicaSet {
        from_value(json!({
            "metadata": {"name": name, "labels": {"rollouts-pod-template-hash": name}},
            "spec": {"replicas": wanted}, "status": {"replicas": available, "availableReplicas": available},
        }))
        .unwrap()
    }

    /// In the middle of an update from `stable` to `new`, at a step that sets this weight.
    fn basic(replicas: i64, weight: i64, new: (i64, i64), stable: (i64, i64), canary: Value) -> Pods {
        let mut canary = canary;
        canary["steps"] = json!([{"setWeight": weight}, {"pause": {}}]);
        let spec: Spec = from_value(json!({"replicas": replicas, "strategy": {"canary": canary}})).unwrap();
        let status: Status = from_value(json!({"currentStepIndex": 0, "stableRS": "stable", "currentPodHash": "new"})).unwrap();
        let (new, stable) = (set("new", new.0, new.1), set("stable", stable.0, stable.1));
        Counting { spec: &spec, status: &status, new: Some(&new), stable: Some(&stable), others: &[] }.canary_pods(None)
    }

    fn moves(surge: i64, unavailable: i64) -> Value {
        json!({"maxSurge": surge, "maxUnavailable": unavailable})
    }

    #[test]
    fn a_canary_without_a_router_moves_within_surge_and_unavailable() {
        // replicas, weight, (wanted, available) of new and stable, surge, unavailable, expected new and stable.
        type Row = (i64, i64, (i64, i64), (i64, i64), i64, i64, i64, i64);
        let rows: &[Row] = &[
            (10, 10, (0, 0), (10, 10), 1, 1, 1, 9),
            (10, 30, (0, 0), (10, 10), 3, 0, 3, 10),
            (10, 30, (0, 0), (10, 10), 0, 5, 0, 7),
            (10, 5, (0, 0), (10, 10), 1, 1, 1, 10),
            (1, 5, (0, 0), (1, 1), 1, 0, 1, 1),
            (1, 95, (0, 0), (1, 1), 1, 0, 1, 1),
            // Pods of the new version must be available before old ones go.
            (10, 50, (5, 0), (10, 10), 5, 0, 5, 10),
            (10, 50, (5, 5), (10, 10), 5, 0, 5, 5),
            (10, 50, (5, 2), (10, 10), 5, 0, 5, 8),
            // The last step of a weight of all.
            (4, 100, (4, 4), (1, 1), 1, 0, 4, 0),
        ];
        for row in rows {
            let &(replicas, weight, new, stable, surge, unavailable, expected_new, expected_stable) = row;
            let pods = basic(replicas, weight, new, stable, moves(surge, unavailable));
            assert_eq!(pods, Pods { new: expected_new, stable: expected_stable }, "{row:?}");
        }
    }

    #[test]
    fn the_ratio_is_the_closest_there_is() {
        // replicas, weight, surge: canary and stable.
        for (replicas, weight, surge, new, stable) in [
            (10, 25, 0, 3, 7),
            (10, 24, 0, 2, 8),
            (3, 50, 0, 2, 1),
            (3, 50, 1, 2, 2),
            (4, 25, 1, 1, 3),
            (5, 1, 0, 1, 4),
            (5, 99, 0, 4, 1),
            (5, 99, 1, 5, 1),
            (1, 50, 1, 1, 1),
            (1, 50, 0, 1, 0),
            (1, 40, 0, 0, 1),
            (2, 0, 1, 0, 2),
            (2, 100, 1, 2, 0),
            (0, 50, 1, 0, 0),
        ] {
            assert_eq!(closest(replicas, weight, 100, surge), Pods { new, stable }, "{replicas} at {weight}, surge {surge}");
        }
    }

    fn routed(spec: Value, status: Value, new: (i64, i64), stable: (i64, i64)) -> (Pods, bool) {
        let mut spec = spec;
        spec["strategy"]["canary"]["trafficRouting"] = json!({"nginx": {}});
        let spec: Spec = from_value(spec).unwrap();
        let mut status = status;
        status["stableRS"] = "stable".into();
        status["currentPodHash"] = "new".into();
        let status: Status = from_value(status).unwrap();
        let (new, stable) = (set("new", new.0, new.1), set("stable", stable.0, stable.1));
        let counting = Counting { spec: &spec, status: &status, new: Some(&new), stable: Some(&stable), others: &[] };
        (counting.canary_pods(status.canary.weights.as_ref()), counting.is_at_desired(status.canary.weights.as_ref()))
    }

    #[test]
    fn with_a_router_the_stable_version_keeps_its_pods() {
        let spec = |steps: Value| json!({"replicas": 5, "strategy": {"canary": {"steps": steps}}});
        let at = |index: i64| json!({"currentStepIndex": index});
        let (pods, done) = routed(spec(json!([{"setWeight": 25}])), at(0), (2, 1), (5, 5));
        assert_eq!((pods, done), (Pods { new: 2, stable: 5 }, false));
        assert!(routed(spec(json!([{"setWeight": 25}])), at(0), (2, 2), (5, 5)).1);
        let scale = |scale: Value| spec(json!([{"setWeight": 20}, {"setCanaryScale": scale}, {"pause": {}}]));
        assert_eq!(routed(scale(json!({"replicas": 4})), at(2), (1, 1), (5, 5)).0.new, 4);
        assert_eq!(routed(scale(json!({"weight": 100})), at(2), (1, 1), (5, 5)).0.new, 5);
        assert_eq!(routed(scale(json!({"matchTrafficWeight": true})), at(2), (1, 1), (5, 5)).0.new, 1);
        assert_eq!(routed(scale(json!({"replicas": 4})), json!({"currentStepIndex": 2, "abort": true}), (1, 1), (5, 5)).0.new, 0);
        assert_eq!(routed(spec(json!([{"setWeight": 20}])), json!({"promoteFull": true}), (1, 1), (5, 5)).0.new, 5);
    }

    #[test]
    fn a_dynamic_stable_version_shrinks_behind_its_traffic_and_returns_step_by_step() {
        let spec = || {
            json!({"replicas": 4, "strategy": {"canary": {
                "dynamicStableScale": true, "steps": [{"setWeight": 25}, {"pause": {}}, {"setWeight": 75}, {"pause": {}}],
            }}})
        };
        let weights = |canary: i64| json!({"canary": {"weight": canary}, "stable": {"weight": 100 - canary}});
        let status = |index: i64, canary: i64| json!({"currentStepIndex": index, "canary": {"weights": weights(canary)}});
        assert_eq!(routed(spec(), status(2, 25), (1, 1), (3, 3)).0, Pods { new: 3, stable: 3 });
        assert_eq!(routed(spec(), status(2, 75), (3, 3), (3, 3)).0, Pods { new: 3, stable: 1 });
        let mut aborted = status(0, 75);
        aborted["abort"] = true.into();
        assert_eq!(routed(spec(), aborted.clone(), (3, 3), (1, 1)).0, Pods { new: 3, stable: 3 });
        assert_eq!(routed(spec(), aborted, (3, 3), (3, 3)).0, Pods { new: 3, stable: 3 });
    }

    #[test]
    fn a_threshold_lets_a_step_end_early() {
        let threshold = |kind: &str, value: i64| Threshold { kind: kind.into(), value };
        let three_of_five = set("a", 5, 3);
        assert!(!threshold_met(None, Some(&three_of_five), 5));
        assert!(threshold_met(Some(&threshold("Percent", 60)), Some(&three_of_five), 5));
        assert!(!threshold_met(Some(&threshold("Percent", 61)), Some(&three_of_five), 5));
        assert!(threshold_met(Some(&threshold("Pods", 3)), Some(&three_of_five), 5));
        assert!(!threshold_met(Some(&threshold("Pods", 1)), None, 5));
    }
}
