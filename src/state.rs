//! What is known and what is shown: one struct, one reducer.
//!
//! Views read it, only [`update`](update::update) changes it. What must be done outside comes back as [`Effect`]s.

pub mod action;
pub mod armed;
pub mod available;
pub mod card;
pub mod filter;
pub mod ingest;
pub mod input;
pub mod order;
pub mod podlogs;
pub mod update;
pub mod view;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use crate::{
    engine::{ENGINES, survey::Survey},
    guard::{
        Ground,
        arming::{self, Ended, Lease},
    },
    intent::{Command, Verb},
    model::{Id, Links, Rollout, Text, Time, metrics::RolloutMetrics},
    msg::Identity,
    object::Objects,
    settings::Settings,
    timeline::Entry,
    verdict::{Recovery, Trial, Verdict},
};

pub use armed::Armed;
pub use card::{Card, Confirm, Stage};
pub use filter::{Filter, Group};
pub use podlogs::PodLogs;
pub use update::{Effect, Event, Key, update};
pub use view::{Overlay, Pane, Prompt, PromptKind, Screen, View, WINDOWS};

/// Whether this session was built with the ability to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Interactive,
    Watch,
}

/// Everything the screen is drawn from.
#[derive(Debug, Clone)]
pub struct State {
    pub mode: Mode,
    /// Kubeconfig context; pinned at start, a change underneath is never followed.
    pub context: Arc<str>,
    /// What the header says about namespaces: a name, or `all namespaces`.
    pub scope: Text,
    pub settings: Settings,
    pub identity: Option<Result<Identity, Text>>,
    pub links: Links,
    pub objects: Objects,
    /// Who is a rollout and what belongs to whom, by namespace.
    pub surveys: HashMap<Text, Survey>,
    /// All rollouts by uid.
    pub rollouts: BTreeMap<Text, Box<Known>>,
    /// Uids in the order of the fleet screen, filter applied.
    pub order: Vec<Text>,
    pub metrics: HashMap<Text, RolloutMetrics>,
    /// What was counted of the releases in flight, by uid.
    pub trials: HashMap<Text, Trial>,
    /// Events of the open rollout and what this session did, newest last.
    pub timeline: VecDeque<Entry>,
    /// What was seen or done while a rollout was not open, or was open before; by uid.
    pub logs: HashMap<Text, VecDeque<Entry>>,
    /// What the pods of the open rollout write, while somebody looks.
    pub pod_logs: PodLogs,
    pub view: View,
    /// The action being confirmed or tracked.
    pub card: Option<Card>,
    /// What the guard of this session may abort by itself, by uid.
    pub arms: BTreeMap<Text, Armed>,
    /// How the last arming of this session came to its end, by uid.
    pub ended: BTreeMap<Text, Ended>,
    /// Rollouts that were sent back, until it is seen what came of it; by uid.
    pub recoveries: BTreeMap<Text, Recovery>,
    /// One line for the person, with the time it was said.
    pub note: Option<(Time, Text)>,
    /// Who could not be told, and why.
    pub untold: Option<Text>,
    /// What somebody new could try: `{promote}` stands for that command's key. Gone with the first action.
    pub hint: Option<Text>,
    /// A picture kept by `freeze`; views draw this one instead while it is set.
    pub frozen: Option<Box<State>>,
    pub frozen_at: Option<Time>,
    /// Counts openings of a rollout; messages of an earlier one are dropped.
    pub epoch: u64,
    pub next_card: u64,
    /// Keys as configured: from notation to command.
    pub keys: Arc<BTreeMap<String, Command>>,
    /// Approved plans are only possible while this is there: it comes with the writer.
    pub grant: Option<Arc<crate::guard::Grant>>,
    /// Which stream each object came by, so that a new list of one stream leaves the others' objects alone.
    pub streams: HashMap<Text, u32>,
    /// Fleet order must be made anew before the next picture.
    pub unsorted: bool,
}

/// A rollout and what was derived from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    pub rollout: Rollout,
    pub verdict: Verdict,
    /// Since when the controller has not seen the newest spec.
    pub unobserved_since: Option<Time>,
    /// Gone from the cluster while it was open.
    pub deleted: Option<Time>,
    /// Lower-case text the filter looks in.
    pub haystack: Box<str>,
    /// What of [`available::OFFERED`] has a plan now; asked once per model, and only of the rollout the keys act on.
    pub offers: Option<Vec<Verb>>,
    /// Set for a while after this session saw its release come to its end.
    pub finished: Option<Finished>,
    /// Its pods have made no progress for longer than pods need.
    pub stalled: bool,
}

/// A release that has just come to its end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finished {
    pub at: Time,
    /// Share of failed requests of the version before, while both were there.
    pub errors_before: Option<f64>,
    /// The same now, where it is clearly more.
    pub errors: Option<f64>,
}

impl Known {
    /// Whether it fails clearly more often since its release came to its end.
    pub fn relapsed(&self) -> bool {
        self.finished.is_some_and(|finished| finished.errors.is_some())
    }
}

/// Counts for the fleet's second line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    pub waiting: usize,
    pub failing: usize,
    pub moving: usize,
    /// Held by somebody: it moves when somebody lets it.
    pub paused: usize,
    pub steady: usize,
}

impl State {
    pub fn new(mode: Mode, context: &str, scope: &str, settings: Settings, keys: BTreeMap<String, Command>) -> Self {
        Self {
            mode,
            context: context.into(),
            scope: scope.into(),
            objects: Objects::under(settings.conventions.clone()),
            settings,
            identity: None,
            links: Links::default(),
            surveys: HashMap::new(),
            rollouts: BTreeMap::new(),
            order: Vec::new(),
            metrics: HashMap::new(),
            trials: HashMap::new(),
            timeline: VecDeque::new(),
            logs: HashMap::new(),
            pod_logs: PodLogs::default(),
            view: View { window: 1, ..View::default() },
            card: None,
            arms: BTreeMap::new(),
            ended: BTreeMap::new(),
            recoveries: BTreeMap::new(),
            note: None,
            hint: None,
            untold: None,
            frozen: None,
            frozen_at: None,
            epoch: 0,
            next_card: 1,
            keys: Arc::new(keys),
            grant: None,
            streams: HashMap::new(),
            unsorted: true,
        }
    }

    pub fn get(&self, uid: &str) -> Option<&Known> {
        self.rollouts.get(uid).map(|known| &**known)
    }

    /// The rollout that `NAME` or `NAMESPACE/NAME` means. Of several with one name, that of the first engine in the table.
    pub fn named(&self, name: &str) -> Option<Text> {
        let rank = |known: &Known| ENGINES.iter().position(|engine| engine.kind() == known.rollout.engine);
        self.rollouts
            .iter()
            .filter(|(_, known)| known.rollout.id.is_called(name))
            .min_by_key(|(_, known)| rank(known))
            .map(|(uid, _)| uid.clone())
    }

    /// The rollout the keys act on: the open one, or the selected row.
    pub fn subject(&self) -> Option<&Known> {
        match &self.view.screen {
            Screen::Rollout(uid) => self.get(uid),
            Screen::Fleet if self.lost_selection() => None,
            Screen::Fleet => self.get(self.order.get(self.view.selected)?),
        }
    }

    /// Whether the row that a person stood on is no longer there. Its place is another's by now, who was not chosen.
    pub fn lost_selection(&self) -> bool {
        let chosen = self.view.selected_uid.as_ref();
        !self.view.filtering && chosen.is_some() && chosen != self.order.get(self.view.selected)
    }

    /// The open rollout.
    pub fn open(&self) -> Option<&Known> {
        match &self.view.screen {
            Screen::Rollout(uid) => self.get(uid),
            Screen::Fleet => None,
        }
    }

    /// What the guard looks at besides the rollout itself.
    pub fn ground<'a>(&'a self, known: &'a Known, now: Time) -> Ground<'a> {
        Ground {
            mode: self.mode,
            frozen: self.frozen.is_some(),
            links: &self.links,
            settings: &self.settings,
            metrics: self.metrics_of(&known.rollout.id),
            verdict: &known.verdict,
            trial: self.trials.get(&*known.rollout.id.uid),
            holder: self.grant.as_ref().map_or("", |grant| grant.holder()),
            by: self.identity.as_ref().and_then(|known| known.as_ref().ok()).map_or("somebody", |identity| &*identity.user),
            arming: self.arms.get(&*known.rollout.id.uid).map(|armed| &armed.arming),
            now,
        }
    }

    /// Whose guard may abort a rollout now, here or elsewhere.
    pub fn armed(&self, id: &Id, now: Time) -> Option<Lease> {
        arming::lease_of(id, &self.objects).filter(|lease| lease.is_live(now))
    }

    pub fn metrics_of(&self, id: &Id) -> Option<&RolloutMetrics> {
        self.metrics.get(&*id.uid)
    }

    pub fn tally(&self) -> Tally {
        let mut t = Tally::default();
        for known in self.rollouts.values().filter(|k| k.deleted.is_none()) {
            match Group::of(&known.rollout) {
                _ if known.relapsed() => t.failing += 1,
                Group::Waiting => t.waiting += 1,
                Group::Failing => t.failing += 1,
                Group::Paused => t.paused += 1,
                Group::Moving => t.moving += 1,
                Group::Steady => t.steady += 1,
            }
        }
        t
    }
}
