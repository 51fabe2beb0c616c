//! Conditions as Knative's controllers keep them: sorted by type, `Ready` following from those it stands on.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{demo::registry::stamp, model::Time};

const READY: &str = "Ready";

/// The conditions of one object, being changed.
pub struct Conditions {
    /// What `Ready` stands on.
    under: &'static [&'static str],
    all: BTreeMap<String, Value>,
    now: Time,
}

impl Conditions {
    /// What the status has; what nobody has told yet is unknown.
    pub fn read(object: &Value, under: &'static [&'static str], now: Time) -> Self {
        let listed = object["status"]["conditions"].as_array().into_iter().flatten();
        let all = listed.filter_map(|condition| Some((condition["type"].as_str()?.to_owned(), condition.clone()))).collect();
        let mut read = Self { under, all, now };
        under
            .iter()
            .filter(|kind| read.status(kind).is_empty())
            .copied()
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|kind| read.unknown(kind, "", ""));
        read
    }

    /// `True`, `False`, `Unknown`; empty where nothing is told.
    pub fn status(&self, kind: &str) -> &str {
        self.all.get(kind).and_then(|condition| condition["status"].as_str()).unwrap_or_default()
    }

    pub fn holds(&self, kind: &str) -> bool {
        self.status(kind) == "True"
    }

    pub fn fails(&self, kind: &str) -> bool {
        self.status(kind) == "False"
    }

    pub fn yes(&mut self, kind: &str) {
        self.mark(kind, "True", "", "");
    }

    pub fn no(&mut self, kind: &str, reason: &str, message: &str) {
        self.mark(kind, "False", reason, message);
    }

    pub fn unknown(&mut self, kind: &str, reason: &str, message: &str) {
        self.mark(kind, "Unknown", reason, message);
    }

    /// As another object's condition says.
    pub fn copy(&mut self, kind: &str, from: &Value) {
        let text = |field: &str| from[field].as_str().unwrap_or_default();
        match text("status") {
            "" => (),
            "True" => self.yes(kind),
            status => self.mark(kind, status, text("reason"), text("message")),
        }
    }

    pub fn mark(&mut self, kind: &str, status: &str, reason: &str, message: &str) {
        self.put(kind, status, reason, message);
        if self.under.contains(&kind) {
            self.sum_up();
        }
    }

    /// One that fails decides, else one that is not known.
    fn sum_up(&mut self) {
        let first = |status: &str| self.under.iter().find(|kind| self.status(kind) == status).and_then(|kind| self.all.get(*kind));
        let worst = first("False").or_else(|| first("Unknown")).cloned();
        let text = |field: &str| worst.as_ref().and_then(|worst| worst[field].as_str()).unwrap_or_default().to_owned();
        let (status, reason, message) = (text("status"), text("reason"), text("message"));
        self.put(READY, if status.is_empty() { "True" } else { &status }, &reason, &message);
    }

    fn put(&mut self, kind: &str, status: &str, reason: &str, message: &str) {
        let mut new = json!({"type": kind, "status": status});
        if kind != READY && !self.under.contains(&kind) {
            new["severity"] = "Info".into();
        }
        for (field, text) in [("reason", reason), ("message", message)].into_iter().filter(|(_, text)| !text.is_empty()) {
            new[field] = text.into();
        }
        let before = self.all.get(kind);
        let is_news = |field: &str| before.is_none_or(|before| before[field] != new[field]);
        if ["status", "reason", "message"].into_iter().any(is_news) {
            new["lastTransitionTime"] = stamp(self.now).into();
            self.all.insert(kind.to_owned(), new);
        }
    }

    /// The list for the status.
    pub fn list(self) -> Value {
        self.all.into_values().collect()
    }
}
