//! What may be listed where, for those who may not list everywhere: one review of rules for each namespace answers for all
//! kinds, and one list of namespaces for all who ask.

use futures::stream::{self, StreamExt};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::{AT_ONCE, NAMESPACES, Reader};
use crate::object::Resource;

/// One namespace, and the rules that hold there.
#[derive(Debug)]
pub struct Place {
    namespace: String,
    /// None where they could not be asked for.
    rules: Option<Rules>,
}

/// What was asked last, and when.
pub type Asked = Option<(Instant, Vec<Place>)>;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rules {
    resource_rules: Vec<Rule>,
    /// Some authoriser does not tell all it would allow.
    incomplete: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rule {
    verbs: Vec<String>,
    api_groups: Vec<String>,
    resources: Vec<String>,
    resource_names: Vec<String>,
}

impl Rule {
    fn lists(&self, resource: &Resource) -> bool {
        let has = |list: &[String], wanted: &str| list.iter().any(|item| item == "*" || item == wanted);
        has(&self.verbs, "list")
            && has(&self.api_groups, resource.group)
            && has(&self.resources, resource.plural)
            && self.resource_names.is_empty()
    }
}

impl Rules {
    /// `None` when only a question about this very right can tell.
    fn lists(&self, resource: &Resource) -> Option<bool> {
        match self.resource_rules.iter().any(|rule| rule.lists(resource)) {
            false if self.incomplete => None,
            known => Some(known),
        }
    }
}

/// Namespaces in which a kind may be listed. If rights cannot be asked for, the namespace counts as readable: its stream
/// will tell. If namespaces cannot be listed, the kubeconfig's own is all there is.
pub async fn readable(reader: &Reader, root: &'static Resource) -> Vec<String> {
    let mut asked = reader.rights().lock().await;
    asked.take_if(|(at, _)| at.elapsed() >= reader.pace().forbidden);
    if asked.is_none() {
        *asked = Some((Instant::now(), survey(reader).await));
    }
    let known: Vec<(String, Option<bool>)> = asked
        .iter()
        .flat_map(|(_, places)| places)
        .map(|place| (place.namespace.clone(), place.rules.as_ref().and_then(|rules| rules.lists(root))))
        .collect();
    drop(asked);
    let allowed = |(name, known): (String, Option<bool>)| async move {
        let may = match known {
            Some(may) => may,
            None => reader.can_i("list", root, None, &name, "").await.unwrap_or(true),
        };
        may.then_some(name)
    };
    let mut names: Vec<String> =
        stream::iter(known).map(allowed).buffer_unordered(AT_ONCE).filter_map(std::future::ready).take(NAMESPACES).collect().await;
    names.sort();
    names
}

async fn survey(reader: &Reader) -> Vec<Place> {
    let all = reader.namespaces().await.unwrap_or_else(|_| vec![reader.default_namespace().to_owned()]);
    let place = |namespace: String| async move { Place { rules: rules(reader, &namespace).await, namespace } };
    stream::iter(all).map(place).buffer_unordered(AT_ONCE).collect().await
}

async fn rules(reader: &Reader, namespace: &str) -> Option<Rules> {
    #[derive(Deserialize)]
    struct Review {
        status: Rules,
    }
    let body = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}});
    let review: Option<Review> = reader.review("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", &body).await.ok();
    review.map(|review| review.status)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::object::kinds;

    fn rules(json: serde_json::Value) -> Rules {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_rule_that_is_there_can_be_trusted_one_that_is_not_only_when_all_are_told() {
        let rule = json!({"verbs": ["get", "list"], "apiGroups": ["apps"], "resources": ["deployments"]});
        let told = |rule: &serde_json::Value, incomplete: bool| rules(json!({"resourceRules": [rule], "incomplete": incomplete}));
        assert_eq!(told(&rule, true).lists(&kinds::DEPLOYMENT), Some(true));
        assert_eq!(told(&rule, false).lists(&kinds::ROLLOUT), Some(false));
        assert_eq!(told(&rule, true).lists(&kinds::ROLLOUT), None);
        let all = json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]});
        assert_eq!(told(&all, false).lists(&kinds::POD), Some(true));
        let named = json!({"verbs": ["list"], "apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": ["web"]});
        assert_eq!(told(&named, false).lists(&kinds::DEPLOYMENT), Some(false));
        let status = json!({"verbs": ["list"], "apiGroups": ["apps"], "resources": ["deployments/status"]});
        assert_eq!(told(&status, false).lists(&kinds::DEPLOYMENT), Some(false));
    }
}
