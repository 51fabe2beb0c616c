//! Makes happen what a scenario's script says: one more controller of the simulation, acting under other people's names.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
    time::Duration,
};

use chrono::TimeDelta;

use super::{
    Act, Event, Is, Kind, Scenario, Server, When,
    acts::{Hand, WORKLOADS, find, holds},
};
use crate::{
    demo::{
        api::crd,
        refusal::Refusal,
        sim::{Controller, Cx},
        store::{Change, Key, Store},
    },
    model::Time,
};

/// How many workloads are looked at to find a steady one.
const TRIES: usize = 40;

/// Kind of the keys under which this controller wakes itself; the store has none such.
const SELF: &str = "script";

/// What carries out faults, once there are servers that can have them: which server, how, and whether from now on.
pub type Switch = Arc<OnceLock<Box<dyn Fn(Server, &'static str, bool) + Send + Sync>>>;

/// The script of one scenario.
pub struct Script {
    entries: Vec<Entry>,
    /// Before this moment nothing of the script happens: the past is being made up.
    armed: Time,
    counted: Vec<String>,
    manifests: BTreeSet<String>,
    /// Workloads without a Rollout: their kind, and with how many pods a new side begins.
    plain: BTreeMap<String, (Kind, u32)>,
    switch: Switch,
    begun: bool,
}

struct Entry {
    event: Event,
    due: Option<Time>,
    /// When the fault it brought ends.
    ends: Option<Time>,
    times: usize,
    done: bool,
}

impl Script {
    pub fn new(scenario: &Scenario, opening: Time, switch: Switch) -> Self {
        let prehistory = TimeDelta::from_std(scenario.prehistory).unwrap_or_default();
        let entry = |event: &Event| {
            let due = match event.when {
                When::At(offset) => Some(opening + offset),
                When::Once { .. } => None,
            };
            Entry { event: event.clone(), due, ends: None, times: 0, done: false }
        };
        Self {
            entries: scenario.script.iter().map(entry).collect(),
            armed: opening - prehistory,
            counted: scenario.workloads.iter().filter(|workload| workload.counted).map(super::Workload::path).collect(),
            manifests: scenario
                .workloads
                .iter()
                .filter(|workload| workload.kind == super::Kind::Manifest)
                .map(super::Workload::path)
                .collect(),
            plain: scenario
                .workloads
                .iter()
                .filter(|workload| !workload.kind.is_rollout() && workload.kind != Kind::Manifest)
                .map(|workload| (workload.path(), (workload.kind, workload.first_pods())))
                .collect(),
            switch,
            begun: false,
        }
    }

    fn turn(&mut self, cx: &mut Cx<'_>, index: usize) -> Option<Duration> {
        let now = cx.now;
        let until = |time: Time| (time - now).to_std().unwrap_or_default();
        if now < self.armed {
            return Some(until(self.armed));
        }
        self.end_fault(index, now);
        self.look(cx, index);
        if let Some(due) = self.entries.get(index)?.due.filter(|due| *due <= now) {
            self.fire(cx, index);
            let entry = &mut self.entries[index];
            entry.due = entry.event.every.map(|every| due + every);
            entry.done = entry.due.is_none();
            if let Act::Fault { lasts, .. } = entry.event.act {
                entry.ends = Some(now + lasts);
            }
        }
        let entry = &self.entries[index];
        [entry.due, entry.ends].into_iter().flatten().min().map(until)
    }

    fn end_fault(&mut self, index: usize, now: Time) {
        let Some(entry) = self.entries.get_mut(index).filter(|entry| entry.ends.is_some_and(|ends| ends <= now)) else { return };
        entry.ends = None;
        if let Act::Fault { server, how, .. } = entry.event.act {
            self.fault(server, how, false);
        }
    }

    /// A condition counts from the moment it became true, and only while it stays so.
    fn look(&mut self, cx: &Cx<'_>, index: usize) {
        let Some(entry) = self.entries.get_mut(index).filter(|entry| !entry.done) else { return };
        if let When::Once { workload, is, after } = &entry.event.when {
            let holds = find(cx.store, workload).is_some_and(|rollout| holds(&rollout, *is));
            entry.due = holds.then(|| entry.due.unwrap_or(cx.now + *after));
        }
    }

    fn fire(&mut self, cx: &mut Cx<'_>, index: usize) {
        let Entry { event, times, .. } = &mut self.entries[index];
        let nth = *times;
        *times += 1;
        let event = event.clone();
        // A script that meets a world it did not expect goes on: people act in it, too.
        if let Err(refusal) = self.act(cx, &event, nth) {
            tracing::warn!(?event, %refusal.message, "the script's act was refused");
        }
    }

    fn act(&mut self, cx: &mut Cx<'_>, event: &Event, nth: usize) -> Result<(), Refusal> {
        let mut hand = Hand { store: cx.store, now: cx.now, by: &event.by };
        match &event.act {
            Act::Release { workload, versions } => {
                self.release(cx, event, workload, &versions[nth % versions.len()].replace("{n}", &(nth + 1).to_string()))
            }
            Act::SetImage { workload, image } => hand.set_image(workload, |_| image.clone()),
            Act::Do { workload, verb } => hand.act(workload, *verb),
            Act::Weigh { workload, percent } => hand.weigh(workload, *percent),
            Act::Scale { workload, replicas } => hand.change(workload, |spec| spec["replicas"] = (*replicas).into()),
            Act::Behave { workload, tag, version } => {
                super::stage::behave(cx.workloads, workload, tag, version);
                Ok(())
            }
            Act::Traffic { workload, load } => {
                cx.workloads.set_load(workload, *load);
                Ok(())
            }
            Act::Create(object) => hand.create(object),
            Act::Delete { kind, namespace, name } => hand.delete(kind, namespace, name),
            Act::Install(name) => match crd::known(name) {
                Some(definition) => hand.create(&definition),
                None => Err(Refusal::not_found(crd::KIND, name)),
            },
            Act::Remove(name) => hand.delete(crd::KIND, "", name),
            Act::Fault { server, how, .. } => {
                self.fault(*server, how, true);
                Ok(())
            }
            Act::Note { workload, text } => hand.note(workload, text),
        }
    }

    fn fault(&self, server: Server, how: &'static str, on: bool) {
        if let Some(switch) = self.switch.get() {
            switch(server, how, on);
        }
    }

    /// A pipeline that comes back waits for its turn: it does not overtake its own last release.
    fn release(&self, cx: &mut Cx<'_>, event: &Event, workload: &str, tag: &str) -> Result<(), Refusal> {
        let steady = |path: &str| find(cx.store, path).is_some_and(|rollout| holds(&rollout, Is::Steady));
        let target = if workload == "*" {
            // Of a large fleet not all need to be looked at to find one.
            let tries = (0..TRIES.min(self.counted.len() * 2)).map(|_| &self.counted[cx.rng.usize(..self.counted.len())]);
            let Some(target) = tries.collect::<Vec<_>>().into_iter().find(|path| steady(path)).cloned() else { return Ok(()) };
            target
        } else {
            if event.every.is_some() && !self.manifests.contains(workload) && !steady(workload) {
                return Ok(());
            }
            workload.to_owned()
        };
        let image = |before: &str| format!("{}:{tag}", before.rsplit_once(':').map_or(before, |(base, _)| base));
        let mut hand = Hand { store: cx.store, now: cx.now, by: &event.by };
        match self.plain.get(&target) {
            None => hand.set_image(&target, image),
            Some((Kind::Service, replicas)) => {
                let idle = hand.idle(&target).unwrap_or(target);
                hand.release(&idle, image, *replicas)
            }
            Some((Kind::Split, replicas)) => hand.release(&format!("{target}-canary"), image, *replicas),
            Some((_, replicas)) => hand.release(&target, image, *replicas),
        }
    }
}

impl Controller for Script {
    fn name(&self) -> &'static str {
        "script"
    }

    fn wakes(&self, change: &Change, _: &Store, wake: &mut Vec<Key>) {
        let key = |index: usize| Key::new(SELF, "", &index.to_string());
        if !self.begun {
            wake.extend((0..self.entries.len()).map(key));
            return;
        }
        let Some(object) = change.object().filter(|object| WORKLOADS.contains(&&*object.key.kind)) else { return };
        let (namespace, name) = (&*object.key.namespace, &*object.key.name);
        for (index, entry) in self.entries.iter().enumerate().filter(|(_, entry)| !entry.done) {
            if let When::Once { workload, .. } = &entry.event.when
                && workload.split_once('/') == Some((namespace, name))
            {
                wake.push(key(index));
            }
        }
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Option<Duration> {
        self.begun = true;
        self.turn(cx, key.name.parse().ok()?)
    }
}
