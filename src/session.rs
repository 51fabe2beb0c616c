//! One connected session: what runs beside the reducer, the same for the screen and for headless commands.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::{mpsc, watch};

use crate::{
    cluster::{self, Connection, DetailWatch, ReadError, Reader, Scope, WantedLog},
    config::Config,
    engine,
    guard::arming,
    intent::Command,
    model::{LinkState, Source, Text, Time},
    msg::{Body, Msg},
    notify::Notifier,
    object::{Selection, kinds},
    prometheus::{self, Focus, Target},
    settings::Settings,
    state::{Mode, Screen, State, WINDOWS, podlogs},
};

/// Messages waiting for the reducer before their senders must wait too.
const QUEUE: usize = 4_096;

/// The header's words for no namespace in particular.
pub const EVERYWHERE: &str = "all namespaces";

/// Channels and tasks of a session. Dropping it ends them.
pub struct Session {
    pub reader: Reader,
    pub tx: mpsc::Sender<Msg>,
    pub rx: mpsc::Receiver<Msg>,
    /// Tells people what happens; nobody, unless it is put in.
    pub notifier: Notifier,
    targets: watch::Sender<Arc<Vec<Target>>>,
    focus: watch::Sender<Option<Focus>>,
    logs: watch::Sender<(u64, Vec<WantedLog>)>,
    detail: Option<DetailWatch>,
    tasks: tokio::task::JoinSet<()>,
}

/// What a session looks at.
pub struct Wanted {
    pub scope: Scope,
    /// The header's words for it.
    pub label: String,
}

impl Session {
    /// Starts the fleet's watches, the identity question, and the Prometheus sampler where one is configured.
    pub fn start(connection: &Connection, wanted: &Wanted, sampler: Option<prometheus::Settings>) -> Self {
        let (tx, rx) = mpsc::channel(QUEUE);
        let (targets, targets_rx) = watch::channel(Arc::default());
        let (focus, focus_rx) = watch::channel(None);
        let (logs, logs_rx) = watch::channel((0, Vec::new()));
        let reader = connection.reader();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(cluster::watch_fleet(reader.clone(), engine::fleet_kinds(), wanted.scope.clone(), tx.clone()));
        // Whose guard is armed, here or elsewhere.
        tasks.spawn(cluster::watch_marked(reader.clone(), &arming::LEASE, arming::MARK, wanted.scope.clone(), tx.clone()));
        tasks.spawn(introduce(reader.clone(), tx.clone()));
        tasks.spawn(cluster::follow_logs(reader.clone(), logs_rx, tx.clone()));
        if let Some(settings) = sampler {
            tasks.spawn(sample(settings, reader.clone(), targets_rx, focus_rx, tx.clone()));
        }
        Self { reader, tx, rx, notifier: Notifier::none(), targets, focus, logs, detail: None, tasks }
    }

    /// Watches what belongs to the open rollout, instead of what was watched before.
    pub fn watch(&mut self, epoch: u64, mut selections: Vec<Selection>) {
        selections.retain(|selection| !engine::is_fleet_kind(selection.resource));
        self.detail = Some(cluster::watch_detail(&self.reader, epoch, selections, self.tx.clone()));
    }

    pub fn unwatch(&mut self) {
        self.detail = None;
    }

    /// Tells the sampler whom to measure; says nothing when that is nothing new.
    pub fn measure(&self, state: &State) {
        set(&self.targets, Arc::new(targets(state)));
    }

    pub fn focus(&self, state: &State, now: Time) {
        set(&self.focus, focus(state, now));
    }

    /// Follows the logs that somebody looks at, and no others.
    pub fn listen(&self, state: &State) {
        set(&self.logs, (state.epoch, podlogs::wanted(state)));
    }

    /// The one namespace that is looked at, if there is none of that name. Who may not ask cannot tell.
    pub async fn lacks(&self, config: &Config, named: Option<&str>) -> Option<String> {
        match wanted(config, self.reader.default_namespace(), named).scope {
            Scope::Namespaces(names) if names.len() == 1 => {
                let name = names.into_iter().next()?;
                let there = self.reader.get(&kinds::NAMESPACE, "", &name).await;
                matches!(there, Err(ReadError::Missing(_))).then_some(name)
            }
            _ => None,
        }
    }

    pub fn is_alone(&self) -> bool {
        self.tasks.is_empty()
    }
}

/// Tells whoever listens, if that is news.
fn set<T: PartialEq>(listeners: &watch::Sender<T>, wanted: T) {
    listeners.send_if_modified(|current| {
        let changed = *current != wanted;
        *current = wanted;
        changed
    });
}

async fn introduce(reader: Reader, tx: mpsc::Sender<Msg>) {
    let identity = reader.identity().await.map_err(|e| Text::from(e.to_string()));
    let _ = tx.send(Msg::now(Body::Identity(identity))).await;
}

async fn sample(
    settings: prometheus::Settings,
    reader: Reader,
    targets: watch::Receiver<Arc<Vec<Target>>>,
    focus: watch::Receiver<Option<Focus>>,
    tx: mpsc::Sender<Msg>,
) {
    let proxy = match &settings.url {
        prometheus::Address::Proxy(path) => Some(reader.service_proxy(&path.namespace, &path.service, &path.port)),
        prometheus::Address::Http(_) => None,
    };
    match prometheus::Client::new(&settings, proxy) {
        Ok(client) => prometheus::run(client, settings, targets, focus, tx).await,
        Err(error) => {
            let mut link = crate::model::Link { state: LinkState::NoRoute, ..Default::default() };
            link.detail = error.to_string().into();
            let _ = tx.send(Msg::now(Body::Link(Source::Prometheus, link))).await;
        }
    }
}

/// A state with nothing known yet.
pub fn state(mode: Mode, connection: &Connection, wanted: &Wanted, settings: Settings, keys: BTreeMap<String, Command>) -> State {
    let mut state = State::new(mode, &Text::clean(connection.context()), &wanted.label, settings, keys);
    state.links.entry(Source::Fleet).state = LinkState::Connecting;
    if state.settings.prometheus {
        state.links.entry(Source::Prometheus).state = LinkState::Connecting;
    }
    state
}

/// Which part of the cluster the flags and the kubeconfig, with its `default` namespace, ask for.
pub fn wanted(config: &Config, default: &str, rollout: Option<&str>) -> Wanted {
    let one = |namespace: &str| Wanted { label: namespace.to_owned(), scope: Scope::Namespaces(vec![namespace.to_owned()]) };
    // A bare name is looked for where kubectl would, and everywhere only when that was asked for in so many words.
    let everywhere = config.flag("cluster.all-namespaces") && (rollout.is_none() || config.is_flag("cluster.all-namespaces"));
    let named = rollout.and_then(|r| r.split_once('/')).map(|(ns, _)| ns);
    match named.or_else(|| config.text("cluster.namespace").filter(|n| !n.is_empty())) {
        Some(namespace) => one(namespace),
        None if everywhere => Wanted { label: EVERYWHERE.into(), scope: Scope::All },
        None => one(default),
    }
}

/// Whom the sampler measures: every rollout that has services or hashes to tell its requests by.
pub fn targets(state: &State) -> Vec<Target> {
    state.rollouts.values().filter(|k| k.deleted.is_none()).map(|k| Target::of(&k.rollout)).collect()
}

/// The chart in view. Its span is rounded so that the passing of time alone asks for nothing new.
fn focus(state: &State, now: Time) -> Option<Focus> {
    let Screen::Rollout(uid) = &state.view.screen else { return None };
    let r = &state.rollouts.get(uid)?.rollout;
    let since_start = || r.started.and_then(|s| (now - s).to_std().ok()).unwrap_or_default().max(std::time::Duration::from_secs(300));
    let window = WINDOWS.get(state.view.window).copied().flatten().unwrap_or_else(since_start);
    let own =
        r.analyses.iter().filter(|a| a.current).flat_map(|a| &a.metrics).filter_map(|m| Some((m.name.clone(), m.query.clone()?))).collect();
    let new_since = r.new_side().and_then(|t| t.created);
    Some(Focus { id: r.id.clone(), window, points: 240, new_since, own })
}
