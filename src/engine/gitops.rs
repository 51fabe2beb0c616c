//! Whether a write will be taken back by the GitOps tool that owns the object, by whom and when.
//!
//! What Argo CD and Flux do is read from their own objects when those can be read; their marks alone tell who, not when.
//! Status is never in Git, and neither are most switches of a spec.

pub mod windows;

use std::sync::Arc;

use serde_json::Value;

use windows::{Destination, Project, Say};

use super::{
    Patch, Plan, Write,
    workload::{
        dto::{self, dto},
        owner,
    },
};
use crate::{
    model::{Notice, Owner, Rollout, Severity, Time},
    object::{Object, Objects, Resource, Selection},
};

pub static APPLICATION: Resource = Resource::new("argoproj.io", "v1alpha1", "Application", "applications");
pub static KUSTOMIZATION: Resource = Resource::new("kustomize.toolkit.fluxcd.io", "v1", "Kustomization", "kustomizations");
pub static HELM_RELEASE: Resource = Resource::new("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases");

/// Holds the sync windows of Applications.
pub static PROJECT: Resource = Resource::new("argoproj.io", "v1alpha1", "AppProject", "appprojects");

/// All kinds that own others.
static OWNERS: [&Resource; 3] = [&APPLICATION, &KUSTOMIZATION, &HELM_RELEASE];
/// All kinds that are read to know who owns and when.
pub static KINDS: [&Resource; 4] = [&APPLICATION, &PROJECT, &KUSTOMIZATION, &HELM_RELEASE];

/// Switches that manifests leave out, as parts of a pointer: whoever owns the rest leaves these alone.
const RARELY_IN_GIT: [&str; 8] = [
    "/spec/paused",
    "/spec/suspend",
    "/spec/skipAnalysis",
    "/spec/restartAt",
    "/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt",
    "/metadata/annotations/rolltop~1",
    "/spec/template/metadata/annotations/rolltop~1",
    "/metadata/annotations/kubernetes.io~1change-cause",
];

dto! {
    Named { metadata: dto::Metadata, }

    Application { metadata: dto::Metadata, spec: ApplicationSpec, }
    ApplicationSpec { project: String, destination: Destination, sync_policy: SyncPolicy, ignore_differences: Vec<Ignored>, }
    SyncPolicy { automated: Option<Automated>, }
    Automated { self_heal: bool, enabled: Option<bool>, }
    Ignored {
        group: String,
        kind: String,
        name: String,
        namespace: String,
        json_pointers: Vec<String>,
        #[serde(rename = "jqPathExpressions")]
        jq: Vec<String>,
        managed_fields_managers: Vec<String>,
    }

    Kustomization { spec: FluxSpec, }
    HelmRelease { spec: FluxSpec, }
    FluxSpec { interval: String, suspend: bool, drift_detection: DriftDetection, }
    DriftDetection { mode: String, }
}

/// What to watch so that [`warning`] can tell when.
pub fn selections(owner: &Owner) -> Vec<Selection> {
    let Some(resource) = OWNERS.into_iter().find(|kind| kind_of(kind) == owner.kind) else { return Vec::new() };
    let (namespace, name) = place(owner);
    let object = Selection::named(resource, namespace.unwrap_or_default(), name);
    // Which project it is stands in the Application; there are few.
    let projects = (resource == &APPLICATION).then(|| Selection::all(&PROJECT, ""));
    [object].into_iter().chain(projects).collect()
}

fn kind_of(resource: &Resource) -> &'static str {
    match resource.kind {
        "Application" => "argocd",
        "Kustomization" => "flux-kustomize",
        _ => "flux-helm",
    }
}

/// Argo CD writes `<namespace>_<app>` for applications outside its own namespace, which it does not name.
fn place(owner: &Owner) -> (Option<&str>, &str) {
    match owner.name.split_once('_') {
        Some((namespace, name)) if owner.kind == "argocd" => (Some(namespace), name),
        _ => (owner.namespace.as_deref(), &owner.name),
    }
}

/// The loudest thing to say about who takes these writes back.
pub fn warning(plan: &Plan, rollout: &Rollout, objects: &Objects, now: Time) -> Option<Notice> {
    plan.writes.iter().filter_map(|write| of_write(write, rollout, objects, now)).max_by_key(|notice| notice.severity)
}

fn of_write(write: &Write, rollout: &Rollout, objects: &Objects, now: Time) -> Option<Notice> {
    let paths = written(write);
    if write.subresource.is_some() || paths.is_empty() {
        return None;
    }
    let object = objects.named(write.resource, &write.namespace, &write.name);
    let owner = match object {
        Some(object) => owner_of(object)?,
        // The object is not at hand; its root's owner is as good a guess as any.
        None => rollout.owner.clone()?,
    };
    let who = owner::spoken(&owner);
    let in_git: Vec<&str> = paths.into_iter().filter(|path| !RARELY_IN_GIT.iter().any(|known| path.starts_with(known))).collect();
    if in_git.is_empty() {
        return Some(note(format!("{who} owns it and takes this back only if Git sets the field")));
    }
    Some(match fate(&owner, write, &in_git, objects, now) {
        Fate::Stays(why) => note(format!("{who} owns it, but {why}")),
        Fate::TakenBack(when) => Notice {
            severity: Severity::Warning,
            text: format!("{who} owns it and takes this back {when}: change it in Git instead").into(),
        },
    })
}

fn note(text: String) -> Notice {
    Notice { severity: Severity::Note, text: text.into() }
}

fn owner_of(object: &Arc<Object>) -> Option<Owner> {
    owner::owner(object, &object.read::<Named>().ok()?.metadata)
}

/// Pointers of what a write changes.
fn written(write: &Write) -> Vec<&str> {
    let Patch::Json(operations) = &write.patch;
    let changes = operations.iter().filter(|op| op.get("op").and_then(Value::as_str) != Some("test"));
    changes.filter_map(|op| op.get("path").and_then(Value::as_str)).collect()
}

enum Fate {
    Stays(String),
    TakenBack(String),
}

fn fate(owner: &Owner, write: &Write, paths: &[&str], objects: &Objects, now: Time) -> Fate {
    let unknown = || Fate::TakenBack("at a time that cannot be seen from here".into());
    let Some(kind) = OWNERS.into_iter().find(|kind| kind_of(kind) == owner.kind) else { return unknown() };
    let (namespace, name) = place(owner);
    let found = match namespace {
        Some(namespace) => objects.named(kind, namespace, name),
        None => objects.iter(kind).find(|o| *o.meta.name == *name),
    };
    let Some(found) = found else { return unknown() };
    match owner.kind {
        "argocd" => found
            .read::<Application>()
            .map_or_else(|_| unknown(), |app| by_argo_cd(&app, &windows(found, &app, objects, now), write, paths)),
        "flux-kustomize" => found.read::<Kustomization>().map_or_else(|_| unknown(), |k| by_kustomization(&k.spec)),
        _ => found.read::<HelmRelease>().map_or_else(|_| unknown(), |release| by_helm(&release.spec)),
    }
}

/// What the sync windows of its project say; a project that is not at hand says nothing.
fn windows(object: &Object, app: &Application, objects: &Objects, now: Time) -> Say {
    let name = if app.spec.project.is_empty() { "default" } else { &app.spec.project };
    // Applications may live outside the namespace of Argo CD, projects do not.
    let near = objects.named(&PROJECT, &object.meta.namespace, name);
    let project = near.or_else(|| objects.iter(&PROJECT).find(|project| *project.meta.name == *name));
    match project.map(|project| project.read::<Project>()) {
        Some(Ok(project)) => windows::say(&project, &object.meta.name, &app.spec.destination, now),
        Some(Err(why)) => Say::Unreadable(why),
        None => Say::Sync,
    }
}

fn by_argo_cd(app: &Application, windows: &Say, write: &Write, paths: &[&str]) -> Fate {
    let ignores = |path: &&str| app.spec.ignore_differences.iter().any(|rule| rule.fits(write) && rule.covers(path));
    if paths.iter().all(ignores) {
        return Fate::Stays("ignores differences of this field: only a full sync may overwrite it".into());
    }
    let automated = app.spec.sync_policy.automated.as_ref().filter(|auto| auto.enabled != Some(false));
    let when = match automated {
        Some(auto) if auto.self_heal => "within seconds (self-heal is on)",
        Some(_) => "with the next commit (auto-sync without self-heal)",
        None => "when somebody syncs (sync is manual)",
    };
    Fate::TakenBack(match (windows, automated) {
        (Say::Held { by_hand: true, .. }, None) | (Say::Sync, _) => when.into(),
        (Say::Held { until: Some(until), .. }, _) => {
            format!("{when}, but not before its sync windows allow it at {}", until.format("%F %H:%M UTC"))
        }
        (Say::Held { until: None, .. }, _) => format!("{when}, but its sync windows never allow it"),
        (Say::Unreadable(why), _) => format!("{when}, once its sync windows can be read: {why}"),
    })
}

impl Ignored {
    fn fits(&self, write: &Write) -> bool {
        let fits = |wanted: &str, is: &str| wanted.is_empty() || wanted == "*" || wanted == is;
        // The group of core kinds is the empty one: it is no wildcard here.
        (self.group == write.resource.group || self.group == "*")
            && fits(&self.kind, write.resource.kind)
            && fits(&self.name, &write.name)
            && fits(&self.namespace, &write.namespace)
    }

    fn covers(&self, path: &str) -> bool {
        let below = |pointer: &String| path == pointer || path.strip_prefix(pointer.as_str()).is_some_and(|rest| rest.starts_with('/'));
        self.json_pointers.iter().any(below)
            || self.jq.iter().filter_map(|jq| pointer(jq)).any(|pointer| below(&pointer))
            || self.managed_fields_managers.iter().any(|manager| manager == "rolltop")
    }
}

/// `.spec.replicas` as a pointer; what says more than a path is not understood.
fn pointer(jq: &str) -> Option<String> {
    let plain = jq.starts_with('.') && jq.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_');
    plain.then(|| jq.replace('.', "/"))
}

fn by_kustomization(spec: &FluxSpec) -> Fate {
    match spec.suspend {
        true => Fate::Stays("is suspended: this stays until it is resumed".into()),
        false => Fate::TakenBack(format!("within {} (its interval)", interval(spec))),
    }
}

fn by_helm(spec: &FluxSpec) -> Fate {
    match (spec.suspend, spec.drift_detection.mode.as_str()) {
        (true, _) => Fate::Stays("is suspended: this stays until it is resumed".into()),
        (false, "enabled") => Fate::TakenBack(format!("within {} (drift correction is on)", interval(spec))),
        (false, _) => Fate::TakenBack("with its next upgrade (no drift correction)".into()),
    }
}

fn interval(spec: &FluxSpec) -> &str {
    if spec.interval.is_empty() { "its interval" } else { &spec.interval }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;
    use crate::{cluster::decode, object::kinds};

    fn object(resource: &'static Resource, json: &Value) -> Object {
        decode::object(resource, json.to_string().as_bytes()).unwrap()
    }

    fn deployment(marks: &Value) -> Object {
        let metadata =
            json!({"namespace": "shop", "name": "web", "uid": "d", "labels": marks["labels"], "annotations": marks["annotations"]});
        object(&kinds::DEPLOYMENT, &json!({"metadata": metadata}))
    }

    fn by_argo() -> Object {
        deployment(&json!({"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/web"}}))
    }

    fn write(path: &str, subresource: Option<&'static str>) -> Write {
        let patch = Patch::Json(vec![
            json!({"op": "test", "path": "/metadata/uid", "value": "d"}),
            json!({"op": "replace", "path": path, "value": 1}),
        ]);
        Write { resource: &kinds::DEPLOYMENT, namespace: "shop".into(), name: "web".into(), subresource, patch, call: None, create: None }
    }

    fn said(objects: &Objects, path: &str) -> String {
        let rollout = super::super::workload::bare::rollout(
            crate::model::EngineKind::Deployment,
            "test",
            objects.named(&kinds::DEPLOYMENT, "shop", "web").unwrap(),
        );
        of_write(&write(path, None), &rollout, objects, now()).map(|n| format!("{:?}: {}", n.severity, n.text)).unwrap_or_default()
    }

    fn with(objects: &[Object]) -> Objects {
        let mut all = Objects::default();
        objects.iter().cloned().for_each(|o| all.put(o));
        all
    }

    fn app(spec: &Value) -> Object {
        object(&APPLICATION, &json!({"metadata": {"namespace": "argocd", "name": "shop", "uid": "app"}, "spec": spec}))
    }

    fn now() -> Time {
        "2026-11-21T23:30:00Z".parse().unwrap()
    }

    const IMAGE: &str = "/spec/template/spec/containers/0/image";

    #[test]
    fn who_nobody_owns_says_nothing() {
        assert_eq!(said(&with(&[deployment(&json!({}))]), IMAGE), "");
    }

    #[test]
    fn argo_cd_by_its_policy() {
        let policy = |policy: Value| said(&with(&[by_argo(), app(&json!({"syncPolicy": policy}))]), IMAGE);
        assert!(
            policy(json!({"automated": {"selfHeal": true}}))
                .starts_with("Warning: Argo CD app \"shop\" owns it and takes this back within seconds")
        );
        assert!(policy(json!({"automated": {}})).contains("with the next commit"));
        assert!(policy(json!({"automated": {"selfHeal": true, "enabled": false}})).contains("when somebody syncs"));
        assert!(policy(json!({})).contains("when somebody syncs"));
        assert!(said(&with(&[by_argo()]), IMAGE).contains("cannot be seen from here"), "the Application may not be read");
    }

    #[test]
    fn argo_cd_keeps_to_the_sync_windows_of_its_project() {
        let project = |windows: Value| {
            object(&PROJECT, &json!({"metadata": {"namespace": "argocd", "name": "shops", "uid": "p"}, "spec": {"syncWindows": windows}}))
        };
        let healed = |project: Object| {
            let spec = json!({"project": "shops", "syncPolicy": {"automated": {"selfHeal": true}}});
            said(&with(&[by_argo(), app(&spec), project]), IMAGE)
        };
        let night = json!([{"kind": "deny", "schedule": "0 22 * * *", "duration": "8h", "applications": ["shop"], "manualSync": true}]);
        assert!(healed(project(night.clone())).contains("not before its sync windows allow it at 2026-11-22 06:00 UTC"));
        assert!(healed(project(json!([]))).contains("within seconds (self-heal is on): change it in Git"));
        let manual = said(&with(&[by_argo(), app(&json!({"project": "shops"})), project(night)]), IMAGE);
        assert!(manual.contains("when somebody syncs (sync is manual): change"), "{manual}");
    }

    #[test]
    fn what_argo_cd_ignores_stays() {
        let ignoring = |rule: Value, path: &str| said(&with(&[by_argo(), app(&json!({"ignoreDifferences": [rule]}))]), path);
        let rule = |more: Value| {
            let mut rule = json!({"group": "apps", "kind": "Deployment"});
            rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            rule
        };
        assert!(ignoring(rule(json!({"jsonPointers": ["/spec/replicas"]})), "/spec/replicas").starts_with("Note: "));
        assert!(ignoring(rule(json!({"jqPathExpressions": [".spec.replicas"]})), "/spec/replicas").starts_with("Note: "));
        assert!(ignoring(rule(json!({"managedFieldsManagers": ["rolltop"]})), IMAGE).starts_with("Note: "));
        assert!(ignoring(rule(json!({"jsonPointers": ["/spec/replicas"]})), "/spec/replicasX").starts_with("Warning: "));
        assert!(ignoring(rule(json!({"jsonPointers": ["/spec/replicas"]})), IMAGE).starts_with("Warning: "));
        assert!(ignoring(rule(json!({"jsonPointers": ["/spec"], "name": "other"})), IMAGE).starts_with("Warning: "));
        assert!(ignoring(json!({"kind": "Deployment", "jsonPointers": ["/spec"]}), IMAGE).starts_with("Warning: "), "another group");
    }

    #[test]
    fn a_switch_is_rarely_in_git_and_status_never() {
        let objects = with(&[by_argo(), app(&json!({"syncPolicy": {"automated": {"selfHeal": true}}}))]);
        assert!(said(&objects, "/spec/paused").starts_with("Note: "));
        let root = objects.named(&kinds::DEPLOYMENT, "shop", "web").unwrap();
        let rollout = super::super::workload::bare::rollout(crate::model::EngineKind::Deployment, "test", root);
        assert_eq!(of_write(&write("/status/x", Some("status")), &rollout, &objects, now()), None);
    }

    #[test]
    fn flux_by_its_interval_and_its_drift_correction() {
        let marked = |kind: &str| {
            deployment(&json!({"labels": {
            format!("{kind}.toolkit.fluxcd.io/name"): "shop", format!("{kind}.toolkit.fluxcd.io/namespace"): "flux-system"}}))
        };
        let of = |resource: &'static Resource, spec: Value| {
            object(resource, &json!({"metadata": {"namespace": "flux-system", "name": "shop", "uid": "f"}, "spec": spec}))
        };
        let kustomization = |spec| said(&with(&[marked("kustomize"), of(&KUSTOMIZATION, spec)]), IMAGE);
        assert!(kustomization(json!({"interval": "10m0s"})).contains("within 10m0s"));
        assert!(kustomization(json!({"interval": "10m0s", "suspend": true})).starts_with("Note: "));
        let helm = |spec| said(&with(&[marked("helm"), of(&HELM_RELEASE, spec)]), IMAGE);
        assert!(helm(json!({"interval": "5m", "driftDetection": {"mode": "enabled"}})).contains("within 5m"));
        assert!(helm(json!({"interval": "5m", "driftDetection": {"mode": "warn"}})).contains("with its next upgrade"));
        assert!(helm(json!({"interval": "5m"})).contains("with its next upgrade"));
    }

    #[test]
    fn the_selection_names_the_place_when_the_mark_does() {
        let owner = |kind, name: &str, namespace: Option<&str>| Owner { kind, name: name.into(), namespace: namespace.map(Into::into) };
        let of = |owner: &Owner| selections(owner).into_iter().next().map(|s| (s.resource.kind, s.namespace, s.fields.unwrap()));
        assert_eq!(of(&owner("argocd", "shop", None)), Some(("Application", String::new(), "metadata.name=shop".into())));
        assert_eq!(of(&owner("argocd", "team_shop", None)), Some(("Application", "team".into(), "metadata.name=shop".into())));
        assert_eq!(selections(&owner("argocd", "shop", None))[1], Selection::all(&PROJECT, ""));
        let flux = owner("flux-kustomize", "shop", Some("flux-system"));
        assert_eq!(of(&flux), Some(("Kustomization", "flux-system".into(), "metadata.name=shop".into())));
    }
}
