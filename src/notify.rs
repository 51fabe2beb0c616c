//! Telling people who are not looking.
//!
//! [`seen`] works out what happened between two looks, [`outbox`] keeps it on disk until it is told, [`sender`] sends it, each
//! [`channel`] in its own way, and [`post`] is the only room that talks to a provider. Whom to tell what is in the settings
//! ([`crate::config::notify`]); secrets are only named there ([`secret`]). What could not be told comes back as a message, so that
//! the screen says it, and goes to the next channel.

pub mod ask;
pub mod channel;
pub mod event;
#[cfg(test)]
mod kit;
pub mod message;
pub mod outbox;
pub mod pace;
pub mod post;
pub mod seen;
pub mod sender;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::mpsc;

use crate::{
    engine, journal,
    model::{Source, Text, Time},
    msg::Msg,
    state::{Effect, Known, State},
};
use channel::{Channel, Way};
use event::{Event, Kind};
use message::Message;
use outbox::Outbox;
use seen::{Change, Seen};
use sender::{Sender, Times};

/// A list that does not come must not keep all the others back for longer.
const ALL_LISTED: chrono::TimeDelta = chrono::TimeDelta::seconds(30);

/// Between two rings of a terminal.
const RINGS: chrono::TimeDelta = chrono::TimeDelta::seconds(3);

/// What watches a session's state and tells people what happens in it.
#[derive(Default)]
pub struct Notifier {
    channels: Arc<Vec<Channel>>,
    sender: Option<Sender>,
    seen: HashMap<Text, Seen>,
    /// Only this rollout, where a command is about one.
    only: Option<String>,
    rung: Option<Time>,
    /// When this looked for the first time, and whether all lists were there since.
    began: Option<Time>,
    listed: bool,
}

impl Notifier {
    /// Tells nobody.
    pub fn none() -> Self {
        Self::default()
    }

    /// Begins to send. `tx` hears what could not be told.
    pub fn start(channels: Arc<Vec<Channel>>, state_dir: Option<PathBuf>, tx: Option<mpsc::Sender<Msg>>) -> Self {
        if channels.is_empty() {
            return Self::none();
        }
        let sender = if channels.iter().all(Channel::is_terminal) {
            None
        } else {
            let outbox = open(state_dir.as_deref());
            match outbox {
                Ok(outbox) => Some(Sender::start(channels.to_vec(), outbox, Times::default(), tx)),
                Err(error) => {
                    let text = format!("nobody is told anything: the outbox cannot be written: {error}");
                    tracing::error!("{text}");
                    let body = crate::msg::Body::Untold(Some(text.into()));
                    if let Some(tx) = tx {
                        // The first message there is: there is room for it.
                        drop(tx.try_send(Msg::now(body)));
                    }
                    None
                }
            }
        };
        Self { channels, sender, ..Self::default() }
    }

    /// Tells about this rollout alone.
    pub fn about(mut self, name: &str) -> Self {
        self.only = Some(name.to_owned());
        self
    }

    /// Looks at every rollout, tells what is new, and returns what the terminal is to be sent. Cheap where nothing changed.
    pub fn observe(&mut self, state: &State, now: Time) -> Option<String> {
        if self.channels.is_empty() || !self.is_listed(state, now) {
            return None;
        }
        let (mut changes, mut rings) = (Vec::new(), Vec::new());
        for (uid, known) in &state.rollouts {
            let before = self.seen.get(uid);
            let other = self.only.as_ref().is_some_and(|name| !known.rollout.id.is_called(name));
            if other || known.deleted.is_some() || known.rollout.unobserved || before.is_some_and(|seen| seen.is_still(known)) {
                continue;
            }
            let mine = state.card.as_ref().is_some_and(|card| card.target.uid == known.rollout.id.uid);
            let (seen, mut found) = seen::changes(before, known, mine, now);
            let first = before.is_none();
            if found.iter().any(|change| change.event.is_some()) {
                let labels = self.labels(state, known);
                found.iter_mut().filter_map(|c| c.event.as_mut()).for_each(|e| e.labels.clone_from(&labels));
            }
            if !first {
                rings.extend(found.iter().filter_map(|change| change.event.clone()));
            }
            self.seen.insert(uid.clone(), seen);
            changes.extend(found);
        }
        self.seen.retain(|uid, _| state.rollouts.contains_key(uid));
        self.pass_on(changes);
        self.ring(rings, now)
    }

    /// What a rollout is made of may be listed after it: looked at too early, it would seem to do what it does not.
    fn is_listed(&mut self, state: &State, now: Time) -> bool {
        let began = *self.began.get_or_insert(now);
        self.listed |= state.links.get(Source::Fleet).synced.is_some() || now - began >= ALL_LISTED;
        self.listed
    }

    /// Tells what the reducer has done about, and no look at a rollout shows: what the guard did, and how a roll-back fared.
    pub fn effect(&mut self, state: &State, effect: &Effect, now: Time) -> Option<String> {
        let Effect::Journal { rollout: Some(id), event, .. } = effect else { return None };
        let (kind, text) = words(event)?;
        let other = self.only.as_ref().is_some_and(|name| !id.is_called(name));
        let known = state.get(&id.uid).filter(|_| !other && !self.channels.is_empty())?;
        let event = Event::about(known, kind, text, now);
        let event = match self.seen.get(&*id.uid) {
            Some(seen) => event.of_release(seen.flight().clone()),
            None => event,
        };
        self.tell(state, event)
    }

    /// Tells something once.
    pub fn tell(&mut self, state: &State, mut event: Event) -> Option<String> {
        if let Some(known) = state.get(&event.id.uid) {
            event.labels = self.labels(state, known);
        }
        let now = event.at;
        let ring = self.ring(vec![event.clone()], now);
        self.pass_on(vec![event.into()]);
        ring
    }

    fn pass_on(&self, changes: Vec<Change>) {
        if let Some(sender) = self.sender.as_ref().filter(|_| !changes.is_empty()) {
            sender.note(changes);
        }
    }

    /// The bytes for the terminal this session is drawn on; a few events at once ring once.
    fn ring(&mut self, events: Vec<Event>, now: Time) -> Option<String> {
        let mut out = String::new();
        for channel in self.channels.iter() {
            let Way::Terminal(how) = channel.way else { continue };
            let wanted: Vec<Event> = events.iter().filter(|e| channel.wants(e)).cloned().collect();
            if wanted.is_empty() {
                continue;
            }
            let message = Message { id: String::new(), events: wanted, instead: Vec::new(), again: false, folded: 0 };
            out.push_str(&how.bytes(&message));
        }
        let quiet = self.rung.is_none_or(|last| now - last >= RINGS) && !out.is_empty();
        if quiet {
            self.rung = Some(now);
        }
        quiet.then_some(out)
    }

    /// Labels of a rollout's object, where a channel asks for them.
    fn labels(&self, state: &State, known: &Known) -> BTreeMap<Text, Text> {
        if self.channels.iter().all(|c| c.labels.is_empty()) {
            return BTreeMap::new();
        }
        let uid = Text::from(&*known.rollout.id.uid);
        let object = engine::fleet_kinds().into_iter().find_map(|kind| state.objects.uid(kind, &uid));
        object.map(|o| o.labels()).unwrap_or_default()
    }

    /// Sends what waits, for as long as this; the rest stays for the next session.
    pub async fn close(self, patience: Duration) {
        if let Some(sender) = self.sender {
            sender.close(patience).await;
        }
    }
}

/// What is told of what the journal is told.
fn words(event: &journal::Event) -> Option<(Kind, String)> {
    use journal::Event as J;
    Some(match event {
        J::Armed { until, by, .. } => {
            (Kind::Armed, format!("{by} lets the guard abort it once, by itself, until {}", until.format("%H:%M:%SZ")))
        }
        J::Disarmed { why, how } if how.is_urgent() => (Kind::AbortFailed, why.to_string()),
        J::Disarmed { why, .. } => (Kind::Disarmed, format!("the guard may not act by itself any more: {why}")),
        J::GuardActs { because } => (Kind::GuardActed, format!("the guard aborts it: {because}")),
        J::GuardPromotes { step, because } => (Kind::GuardPromoted, format!("the guard promotes it from {step}: {because}")),
        J::Recovered { after_seconds } => (Kind::Recovered, format!("recovered {after_seconds} s after the roll-back")),
        J::NotRecovered { after_seconds, why } => {
            (Kind::NotRecovered, format!("THE ROLL-BACK DID NOT HELP, {after_seconds} s after it: {why}"))
        }
        _ => return None,
    })
}

/// The outbox in the state folder. Where none can be written, as in many containers, one that lasts as long as the machine.
fn open(state_dir: Option<&Path>) -> std::io::Result<Outbox> {
    let usual = state_dir.map(|dir| Outbox::open(&dir.join("notify")));
    match usual {
        Some(Ok(outbox)) => Ok(outbox),
        _ => {
            let name = format!("rolltop-notify-{}", long_hash(&format!("{:?} {}", state_dir, fastrand::u64(..))));
            Outbox::open(&std::env::temp_dir().join(name))
        }
    }
}

/// A name of 32 letters for a text.
pub(crate) fn long_hash(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// A name of 8 letters for a text.
pub(crate) fn short_hash(text: &str) -> String {
    long_hash(text).chars().take(8).collect()
}
