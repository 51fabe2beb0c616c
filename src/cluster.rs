//! The reading room: one cluster's objects as a stream of messages, with an honest account of what is
//! known and since when.
//!
//! - [`Connection`] comes from a kubeconfig or from inside a pod and knows how to renew credentials.
//! - [`Reader`] is the client everybody else holds. That it only reads is a property of the client
//!   ([`gate`], [`path`]), not of the code that uses it.
//! - [`watch_fleet`] and [`watch_detail`] run streams (`watch`) that report to a hub (`hub`), one hub
//!   per [`Source`], which sends the [`Link`](crate::model::Link) of that source.
//!
//! What the reducer can rely on:
//! - `Snapshot { scope, .. }` is complete for its scope: what that scope held before and does not hold now
//!   is gone. `scope` is the index of the selection ([`watch_detail`]) or of the namespace
//!   ([`watch_fleet`]; 0 when it is watched as a whole). `Applied` carries the scope it belongs to.
//! - Only after a stream's snapshot can its link be live. All required streams must be.
//! - `heard` moves with data, bookmarks and probes; nothing is sent while nothing is heard.
//! - Everything that touches the server is paced by [`Pace`].

pub mod coalesce;
mod connect;
pub mod decode;
mod discovery;
pub mod gate;
mod hub;
mod logs;
mod pace;
pub mod path;
mod plugin;
mod proxy;
mod reader;
mod rights;
mod trouble;
mod watch;
mod wire;

use std::sync::Arc;

use tokio::{sync::mpsc, task::JoinSet};

pub use connect::{ConnectError, Connection, Options};
pub use gate::{NoAnswer, Refused};
pub use logs::{POD_LOG, Wanted as WantedLog, follow_logs};
pub use pace::{Backoff, Pace};
pub use reader::{ReadError, Reader};
pub use trouble::Trouble;

use crate::{
    model::{LinkState, Source, Text},
    msg::{Body, Msg},
    object::{Resource, Selection, kinds},
};
use hub::{Hub, Slot};
use watch::{OnForbidden, Stream, Target};

/// Most namespaces that are watched one by one: each costs a connection.
const NAMESPACES: usize = 40;
/// Questions about rights asked at the same time.
const AT_ONCE: usize = 4;

/// Which part of the cluster the fleet is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    All,
    Namespaces(Vec<String>),
}

/// Watches the kinds that stand for rollouts. Ends only when `tx` is closed; dropping the future ends all
/// its streams.
///
/// Without the right to list a kind in all namespaces it watches the namespaces it may list, or the
/// kubeconfig's own, and says so in a note and in the link's detail.
pub async fn watch_fleet(reader: Reader, roots: Vec<&'static Resource>, scope: Scope, tx: mpsc::Sender<Msg>) {
    let hub = Hub::new(Source::Fleet, 0, tx.clone(), reader.pace().clone());
    let mut tasks = JoinSet::new();
    for root in roots {
        match &scope {
            Scope::All => {
                let slot = hub.slot(root.qualified(), true);
                tasks.spawn(everywhere(reader.clone(), root, slot));
            }
            Scope::Namespaces(names) => in_each(&mut tasks, &reader, root, &hub, names),
        }
    }
    tasks.spawn(hub.clone().tend(reader));
    let _ = hub.publish().await;
    // A quiet stream sends nothing and so would not notice that nobody listens.
    tx.closed().await;
}

/// Watches what of a kind carries a label, over the fleet's part of the cluster. It is an extra: no link speaks of it, and without
/// the right to read it there is none of it.
pub async fn watch_marked(reader: Reader, resource: &'static Resource, label: &str, scope: Scope, tx: mpsc::Sender<Msg>) {
    let hub = Hub::silent(Source::Fleet, tx.clone(), reader.pace().clone());
    let namespaces = match scope {
        Scope::All => vec![None],
        Scope::Namespaces(names) => names.into_iter().map(Some).collect(),
    };
    let mut tasks = JoinSet::new();
    for (scope, namespace) in (0_u32..).zip(namespaces) {
        let target = Target { resource, namespace, labels: Some(label.to_owned()), fields: None, scope };
        tasks.spawn(run(reader.clone(), target, hub.slot(resource.qualified(), true)));
    }
    tx.closed().await;
}

fn in_each(tasks: &mut JoinSet<()>, reader: &Reader, root: &'static Resource, hub: &Arc<Hub>, names: &[String]) {
    for (scope, name) in (0_u32..).zip(names) {
        let target = Target { resource: root, namespace: Some(name.clone()), labels: None, fields: None, scope };
        // Optional: a namespace withheld leaves the others whole. If all are, that is what shows.
        let slot = hub.slot(format!("{} in {name}", root.qualified()), true);
        tasks.spawn(run(reader.clone(), target, slot));
    }
}

async fn run(reader: Reader, target: Target, slot: Slot) {
    Stream::new(reader, target, slot).run(OnForbidden::Wait).await;
}

/// One kind over all namespaces, or over those that may be listed.
async fn everywhere(reader: Reader, root: &'static Resource, slot: Slot) {
    let hub = slot.hub.clone();
    let mut slot = slot;
    loop {
        let target = Target { resource: root, namespace: None, labels: None, fields: None, scope: 0 };
        let Some(refusal) = Stream::new(reader.clone(), target, slot).run(OnForbidden::Return).await else { return };
        slot = hub.slot(root.qualified(), true);
        // Without rights a kind that does not exist is refused like one that does: no question in every namespace for that.
        let refusal = match reader.serves(root).await {
            Ok(false) => Trouble::new(LinkState::CrdMissing { kind: root.kind.into() }, ""),
            _ => refusal,
        };
        let is_served = !matches!(refusal.state, LinkState::CrdMissing { .. });
        let names = if is_served { rights::readable(&reader, root).await } else { Vec::new() };
        if !names.is_empty() {
            return each_alone(&reader, root, slot, &names).await;
        }
        let wait = reader.pace().forbidden;
        if slot.trouble(&refusal, crate::clock::now() + wait).await.is_err() {
            return;
        }
        let mut nudges = reader.nudges();
        nudges.mark_unchanged();
        let _ = tokio::time::timeout(wait, nudges.changed()).await;
    }
}

/// One kind in each of these namespaces, with a word about why.
async fn each_alone(reader: &Reader, root: &'static Resource, slot: Slot, names: &[String]) {
    let hub = slot.hub.clone();
    let note = narrowed(root, names);
    hub.remark("narrowed", format!("only {}", named(names)).into());
    let mut tasks = JoinSet::new();
    in_each(&mut tasks, reader, root, &hub, names);
    drop(slot);
    if hub.send(Body::Note(note)).await.is_ok() {
        while tasks.join_next().await.is_some() {}
    }
}

fn narrowed(root: &Resource, names: &[String]) -> Text {
    format!("no right to list {} in all namespaces: watching {}", root.qualified(), named(names)).into()
}

fn named(names: &[String]) -> String {
    let shown = names.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if names.len() > 5 { format!(" and {} more", names.len() - 5) } else { String::new() };
    format!("{shown}{more}")
}

/// The streams of the open rollout. Dropping it ends them.
pub struct DetailWatch {
    _tasks: JoinSet<()>,
}

/// Watches what belongs to one rollout: a stream per selection, events reported as [`Source::Events`] and
/// the rest as [`Source::Detail`]. Must be called within a runtime.
///
/// An optional selection without rights, or of a kind that is not installed, leaves the link as it is and
/// is named in its detail.
pub fn watch_detail(reader: &Reader, epoch: u64, selections: Vec<Selection>, tx: mpsc::Sender<Msg>) -> DetailWatch {
    let hub = |source| Hub::new(source, epoch, tx.clone(), reader.pace().clone());
    let (detail, events) = (hub(Source::Detail), hub(Source::Events));
    let mut tasks = JoinSet::new();
    for (scope, selection) in (0_u32..).zip(&selections) {
        let hub = if *selection.resource == kinds::EVENT { &events } else { &detail };
        let namespace = Some(selection.namespace.clone()).filter(|n| !n.is_empty());
        let Selection { resource, labels, fields, optional, .. } = selection.clone();
        let target = Target { resource, namespace, labels, fields, scope };
        tasks.spawn(run(reader.clone(), target, hub.slot(resource.qualified(), optional)));
    }
    for hub in [detail, events] {
        let reader = reader.clone();
        tasks.spawn(async move {
            if hub.publish().await.is_ok() {
                hub.tend(reader).await;
            }
        });
    }
    DetailWatch { _tasks: tasks }
}

impl std::fmt::Debug for DetailWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DetailWatch").finish_non_exhaustive()
    }
}
