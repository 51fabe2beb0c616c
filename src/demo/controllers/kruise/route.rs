//! The way of the users: a Service for each side, and an Ingress of ingress-nginx that says how many go to the new one.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    names::{HASH, INGRESSES, SERVICES},
    pass::Pass,
    spec::Step,
};
use crate::demo::{controllers::objects::between, registry::controlled_by, store::Key};

/// Routers have taken over a change after this long, unless the Rollout says otherwise.
const GRACE: u32 = 3;
const PREFIX: &str = "nginx.ingress.kubernetes.io";

/// Annotations by which users are sent.
const BY: [&str; 5] = ["canary-by-cookie", "canary-by-header", "canary-by-header-pattern", "canary-by-header-value", "canary-weight"];

impl Pass<'_, '_> {
    fn grace(&self) -> Duration {
        let seconds = self.spec.routing().and_then(|routing| routing.grace_period_seconds).unwrap_or(GRACE);
        Duration::from_secs(seconds.into())
    }

    fn in_namespace(&self, kind: &str, name: &str) -> Key {
        Key::new(kind, &self.key.namespace, name)
    }

    /// The Service users call, and the one for the new version.
    fn services(&self) -> Option<[Key; 2]> {
        let service = &self.spec.routing()?.service;
        Some([self.in_namespace(SERVICES, service), self.in_namespace(SERVICES, &format!("{service}-canary"))])
    }

    fn ingresses(&self) -> Option<[Key; 2]> {
        let name = &self.spec.routing()?.ingress.as_ref()?.name;
        Some([self.in_namespace(INGRESSES, name), self.in_namespace(INGRESSES, &format!("{name}-canary"))])
    }

    fn selected(&self, service: &Key) -> Option<String> {
        self.cx.store.get(service)?.value()["spec"]["selector"][HASH].as_str().map(str::to_owned)
    }

    /// A change, and then the time that routers may need for it. Whether it is over.
    fn settle(&mut self, modified: bool) -> bool {
        let now = self.cx.now;
        if modified {
            self.status.touch();
            let until = now + self.grace();
            self.graces.insert(self.key.clone(), until);
            self.look_again(self.grace());
            return false;
        }
        match self.graces.get(&self.key) {
            Some(until) if *until > now => {
                let rest = between(now, *until);
                self.look_again(rest);
                false
            }
            _ => {
                self.graces.remove(&self.key);
                true
            }
        }
    }

    /// The Service of the users picks the stable version only.
    pub fn hold_service(&mut self) -> bool {
        let Some([service, _]) = self.services() else { return true };
        let stable = self.status.text("stableRevision").to_owned();
        let modified = self.selected(&service).as_deref() != Some(&stable);
        if modified {
            let _ = self.cx.patch(&service, &json!({"spec": {"selector": {HASH: stable}}}));
        }
        self.settle(modified)
    }

    /// The Service of the users picks all versions again.
    pub fn restore_service(&mut self) -> bool {
        let Some([service, _]) = self.services() else { return true };
        let modified = self.selected(&service).is_some();
        if modified {
            let _ = self.cx.patch(&service, &json!({"spec": {"selector": {HASH: null}}}));
        }
        self.settle(modified)
    }

    pub fn restore_gateway(&mut self) -> bool {
        let Some([_, canary]) = self.ingresses() else { return true };
        let modified = self.cx.store.get(&canary).is_some() && self.cx.delete(&canary).is_ok();
        self.settle(modified)
    }

    pub fn remove_canary_service(&mut self) -> bool {
        let Some([_, canary]) = self.services() else { return true };
        let modified = self.cx.store.get(&canary).is_some() && self.cx.delete(&canary).is_ok();
        self.settle(modified)
    }

    pub fn route_all_to_new(&mut self) -> bool {
        if self.spec.routing().is_none() {
            return true;
        }
        let all = Step { traffic: Some("100%".into()), ..Step::default() };
        let modified = !self.ensure_ingress(&all);
        self.settle(modified)
    }

    /// What routes there are is taken back, where a step has no weight.
    pub fn end_routing(&mut self) -> bool {
        self.restore_service() && self.restore_gateway() && self.remove_canary_service()
    }

    /// Users go where the step says. Whether they do.
    pub fn do_routing(&mut self, step: &Step) -> bool {
        let Some([service, canary]) = self.services().filter(|_| step.moves_users()) else { return true };
        let grace = self.spec.routing().and_then(|routing| routing.grace_period_seconds).filter(|seconds| *seconds > 0).unwrap_or(GRACE);
        let ready = self.status.touched().map(|at| at + Duration::from_secs(grace.into()));
        if let Some(ready) = ready.filter(|ready| *ready > self.cx.now) {
            let rest = between(self.cx.now, ready);
            self.look_again(rest);
            return false;
        }
        let [stable, new] = ["stableRevision", "podTemplateHash"].map(|field| self.status.text(field).to_owned());
        let mut modified = false;
        if self.selected(&canary).as_deref() != Some(&new) {
            modified = true;
            match self.cx.store.get(&canary).is_some() {
                true => drop(self.cx.patch(&canary, &json!({"spec": {"selector": {HASH: new}}}))),
                false => self.create_canary_service(&service, &canary, &new),
            }
        }
        if self.selected(&service).as_deref() != Some(&stable) {
            modified = true;
            let _ = self.cx.patch(&service, &json!({"spec": {"selector": {HASH: stable}}}));
        }
        if modified {
            self.status.touch();
        }
        let done = !modified && self.ensure_ingress(step);
        if !done {
            self.look_again(Duration::from_secs(GRACE.into()));
        }
        done
    }

    fn create_canary_service(&mut self, service: &Key, canary: &Key, hash: &str) {
        let Some(users) = self.cx.store.get(service).map(|stored| stored.value()) else { return };
        let mut selector = users["spec"]["selector"].clone();
        selector[HASH] = hash.into();
        let object = json!({
            "metadata": {"name": *canary.name, "namespace": *canary.namespace, "ownerReferences": [controlled_by(&self.rollout)]},
            "spec": {"selector": selector, "ports": users["spec"]["ports"], "type": users["spec"]["type"]},
        });
        let _ = self.cx.create(SERVICES, object);
    }

    /// Whether the Ingress beside the users' one says what the step says; else it does from now on.
    fn ensure_ingress(&mut self, step: &Step) -> bool {
        let Some([stable, canary]) = self.ingresses() else { return true };
        let Some(found) = self.cx.store.get(&canary).map(|stored| stored.value()) else {
            if step.weight() == Some(0) {
                return true;
            }
            self.create_ingress(&stable, &canary);
            return false;
        };
        let annotations = &found["metadata"]["annotations"];
        let mut wanted = json!({annotation("canary"): "true"});
        BY.iter().for_each(|by| wanted[annotation(by)] = Value::Null);
        if let Some(weight) = step.weight() {
            wanted[annotation("canary-weight")] = weight.to_string().into();
        }
        step.matches.iter().for_each(|one| by_header(one, &mut wanted));
        let is_so = wanted.as_object().is_some_and(|wanted| wanted.iter().all(|(name, value)| annotations[name] == *value));
        if !is_so {
            let _ = self.cx.patch(&canary, &json!({"metadata": {"annotations": wanted}}));
        }
        is_so
    }

    fn create_ingress(&mut self, stable: &Key, canary: &Key) {
        let (Some(users), Some([to, new])) = (self.cx.store.get(stable).map(|stored| stored.value()), self.services()) else { return };
        let mut annotations = users["metadata"]["annotations"].clone();
        json_patch::merge(&mut annotations, &json!({annotation("canary"): "true", annotation("canary-weight"): "0"}));
        let mut spec = json!({"ingressClassName": users["spec"]["ingressClassName"], "tls": users["spec"]["tls"]});
        spec["rules"] =
            users["spec"]["rules"].as_array().into_iter().flatten().filter_map(|rule| led_to(rule, &to.name, &new.name)).collect();
        let object = json!({
            "metadata": {
                "name": *canary.name, "namespace": *canary.namespace, "annotations": annotations, "labels": users["metadata"]["labels"],
                "ownerReferences": [controlled_by(&self.rollout)],
            },
            "spec": spec,
        });
        let _ = self.cx.create(INGRESSES, object);
    }
}

fn annotation(name: &str) -> String {
    format!("{PREFIX}/{name}")
}

/// The paths of a rule that lead to one Service, now to the other.
fn led_to(rule: &Value, from: &str, to: &str) -> Option<Value> {
    let leads = |path: &&Value| path["backend"]["service"]["name"] == from;
    let mut paths: Vec<Value> = rule["http"]["paths"].as_array()?.iter().filter(leads).cloned().collect();
    paths.iter_mut().for_each(|path| path["backend"]["service"]["name"] = to.into());
    (!paths.is_empty()).then(|| json!({"host": rule["host"], "http": {"paths": paths}}))
}

/// Who is sent by what the request carries; the first header counts.
fn by_header(one: &Value, wanted: &mut Value) {
    let header = &one["headers"][0];
    if header.is_null() {
        return;
    }
    if header["name"] == "canary-by-cookie" {
        wanted[annotation("canary-by-cookie")] = header["value"].clone();
        return;
    }
    wanted[annotation("canary-by-header")] = header["name"].clone();
    let by = if header["type"] == "RegularExpression" { "canary-by-header-pattern" } else { "canary-by-header-value" };
    wanted[annotation(by)] = header["value"].clone();
}
