//! The rights that each engine needs, and the ClusterRoles that give these and no more.
//!
//! The manifests in `assets/rbac`, the roles of the demo's person and those of the tests are all made from this.

use std::collections::BTreeSet;

use super::{ENGINES, gitops, plan::Write};
use crate::{
    guard::arming,
    object::{Resource, kinds},
};

/// One kind of request an engine's plans make.
#[derive(Debug, PartialEq, Eq)]
pub struct Right {
    pub resource: &'static Resource,
    /// `status`, `proxy`, or none for the object itself.
    pub subresource: Option<&'static str>,
    pub verb: &'static str,
}

impl Right {
    pub const fn patch(resource: &'static Resource) -> Self {
        Self { resource, subresource: None, verb: "patch" }
    }

    pub const fn patch_status(resource: &'static Resource) -> Self {
        Self { resource, subresource: Some("status"), verb: "patch" }
    }

    /// Whether a write goes through here.
    pub fn lets(&self, write: &Write) -> bool {
        self.verb == write.verb() && self.resource == write.resource && self.subresource == write.subresource
    }

    /// Asking a pod through the API server how it is.
    pub const fn ask(resource: &'static Resource) -> Self {
        Self { resource, subresource: Some("proxy"), verb: "get" }
    }

    fn resource(&self) -> String {
        self.subresource.map_or_else(|| self.resource.plural.into(), |sub| format!("{}/{sub}", self.resource.plural))
    }
}

/// Watched for every open rollout, whatever drives it.
static COMMON: [&Resource; 4] = [&kinds::REPLICA_SET, &kinds::POD, &kinds::SERVICE, &kinds::EVENT];

const READ: [&str; 3] = ["get", "list", "watch"];

/// One rule of a ClusterRole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub group: &'static str,
    pub resources: Vec<String>,
    pub verbs: Vec<&'static str>,
}

/// A ClusterRole, its rules by the engines that need them first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    pub name: &'static str,
    about: &'static str,
    sections: Vec<(&'static str, Vec<Rule>)>,
}

impl Role {
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.sections.iter().flat_map(|(_, rules)| rules)
    }

    /// As `kubectl apply` takes it.
    pub fn manifest(&self) -> String {
        let mut out = format!(
            "# {}\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: {}\nrules:\n",
            self.about, self.name
        );
        for (title, rules) in &self.sections {
            out.push_str(&format!("# {title}\n"));
            for Rule { group, resources, verbs } in rules {
                let group = if group.is_empty() { "\"\"" } else { group };
                let list = |items: &[&str]| items.join(", ");
                let resources: Vec<&str> = resources.iter().map(String::as_str).collect();
                out.push_str(&format!("- apiGroups: [{group}]\n  resources: [{}]\n  verbs: [{}]\n", list(&resources), list(verbs)));
            }
        }
        out
    }
}

/// What reading takes.
pub fn viewer() -> Role {
    let mut sections = vec![
        ("For whatever drives a release", read(COMMON.into_iter())),
        ("Who owns an object, and when a change is taken back: Argo CD, Flux", read(gitops::KINDS.into_iter())),
        ("Whose guard is armed", read([&arming::LEASE].into_iter())),
        ("What pods write, where somebody looks", merged([("", "pods/log".to_owned(), vec!["get"])].into_iter())),
        ("Whether a namespace exists, and where to look for who may not read all of them", read([&kinds::NAMESPACE].into_iter())),
    ];
    for engine in ENGINES {
        // Whole for each engine: any section can be left out.
        let mut seen = BTreeSet::from(COMMON);
        let kinds = engine.descriptor().roots.iter().chain(engine.descriptor().around).chain(engine.descriptor().details).copied();
        sections.push((engine.kind().title(), read(kinds.filter(|kind| seen.insert(*kind)))));
    }
    sections.retain(|(_, rules)| !rules.is_empty());
    Role {
        name: "rolltop-viewer",
        about: "Everything rolltop reads. Bind it per namespace with a RoleBinding, or cluster-wide. Leave out what your cluster does not use.",
        sections,
    }
}

/// What acting takes on top of [`viewer`].
pub fn oncall() -> Role {
    let rules = |rights: &[Right]| merged(rights.iter().map(|right| (right.resource.group, right.resource(), vec![right.verb])));
    let mut sections: Vec<_> = ENGINES.iter().map(|engine| (engine.kind().title(), rules(engine.descriptor().writes))).collect();
    sections.push(("To arm the guard", rules(&arming::WRITES)));
    sections.retain(|(_, rules)| !rules.is_empty());
    Role {
        name: "rolltop-oncall",
        about: "What acting needs, on top of rolltop-viewer. Leave out what nobody should steer by hand.\n\
                # services/proxy opens Flagger's gates, pods/proxy asks pods how they are. Both reach every Service and pod of the\n\
                # namespace: name them in resourceNames, or leave them out; rolltop then says what to do instead.",
        sections,
    }
}

fn read(kinds: impl Iterator<Item = &'static Resource>) -> Vec<Rule> {
    merged(kinds.map(|kind| (kind.group, kind.plural.to_owned(), READ.into())))
}

/// One rule for all resources of a group that allow the same.
fn merged(wishes: impl Iterator<Item = (&'static str, String, Vec<&'static str>)>) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for (group, resource, verbs) in wishes {
        match rules.iter_mut().find(|rule| rule.group == group && rule.verbs == verbs) {
            Some(rule) => rule.resources.push(resource),
            None => rules.push(Rule { group, resources: vec![resource], verbs }),
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// `UPDATE=1 cargo test --lib rights` writes them anew.
    #[test]
    fn the_manifests_are_these() {
        for (file, role) in [("viewer.yaml", viewer()), ("oncall.yaml", oncall())] {
            let path = format!("{}/assets/rbac/{file}", env!("CARGO_MANIFEST_DIR"));
            if std::env::var_os("UPDATE").is_some() {
                std::fs::write(&path, role.manifest()).unwrap();
            }
            let shipped = std::fs::read_to_string(&path).unwrap();
            assert_eq!(shipped, role.manifest(), "{path}: write it anew with UPDATE=1");
            let parsed: serde_json::Value = serde_saphyr::from_str(&shipped).unwrap();
            assert_eq!(parsed["rules"].as_array().unwrap().len(), role.rules().count());
        }
    }

    #[test]
    fn every_engine_can_be_read_and_nothing_but_reading_is_in_the_viewers_role() {
        let viewer = viewer();
        assert!(viewer.rules().all(|rule| rule.verbs.iter().all(|verb| READ.contains(verb))));
        for kind in super::super::fleet_kinds() {
            assert!(viewer.rules().any(|rule| rule.group == kind.group && rule.resources.iter().any(|r| r == kind.plural)), "{kind:?}");
        }
    }
}
