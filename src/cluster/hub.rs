//! Many streams, one link: what the header says about a source.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

use super::{Pace, Reader, trouble::Trouble};
use crate::{
    model::{Link, LinkState, Source, Text, Time},
    msg::{Body, Msg},
};

/// The reducer is gone: there is nobody left to read for.
#[derive(Debug)]
pub struct Closed;

/// Where the streams of one source report, and the only sender of its [`Link`].
///
/// The link is as bad as the worst of its streams. It counts as heard when any stream or the probe heard
/// the server, and as synced while all required streams are live.
pub struct Hub {
    source: Source,
    epoch: u64,
    tx: mpsc::Sender<Msg>,
    pace: Pace,
    /// Its streams are an extra that no link speaks of.
    silent: bool,
    board: Mutex<Board>,
    /// Held while sending, so that links arrive in the order in which they were true.
    sent: tokio::sync::Mutex<Sent>,
    dirty: Notify,
}

#[derive(Default)]
struct Board {
    slots: BTreeMap<usize, Entry>,
    next: usize,
    heard: Option<Time>,
    synced: Option<Time>,
    /// What the probe found while the streams were silent.
    probe: Option<Trouble>,
    probe_retry: Option<Time>,
    /// What is true of the source as a whole, such as that only some namespaces are watched.
    remarks: BTreeMap<&'static str, Text>,
    /// Whether a kind that is not installed is the usual case.
    of_many_engines: bool,
}

#[derive(Clone)]
struct Entry {
    name: Text,
    optional: bool,
    state: LinkState,
    detail: Text,
    retry_at: Option<Time>,
}

#[derive(Default)]
struct Sent {
    link: Link,
    at: Option<Instant>,
}

impl Hub {
    pub fn new(source: Source, epoch: u64, tx: mpsc::Sender<Msg>, pace: Pace) -> Arc<Self> {
        let board = Board { of_many_engines: source == Source::Fleet, ..Board::default() };
        Arc::new(Self::with(source, epoch, tx, pace, board, false))
    }

    /// One that sends data and never a link.
    pub fn silent(source: Source, tx: mpsc::Sender<Msg>, pace: Pace) -> Arc<Self> {
        Arc::new(Self::with(source, 0, tx, pace, Board::default(), true))
    }

    fn with(source: Source, epoch: u64, tx: mpsc::Sender<Msg>, pace: Pace, board: Board, silent: bool) -> Self {
        let (sent, dirty) = (tokio::sync::Mutex::default(), Notify::new());
        Self { source, epoch, tx, pace, silent, board: Mutex::new(board), sent, dirty }
    }

    pub fn source(&self) -> Source {
        self.source
    }

    /// Sends data. Waits while the reducer is behind.
    pub async fn send(&self, body: Body) -> Result<(), Closed> {
        self.tx.send(Msg::of_epoch(self.epoch, body)).await.map_err(|_| Closed)
    }

    /// A place for one stream, connecting.
    pub fn slot(self: &Arc<Self>, name: impl Into<Text>, optional: bool) -> Slot {
        let mut board = self.board();
        let id = board.next;
        board.next += 1;
        let entry = Entry { name: name.into(), optional, state: LinkState::Connecting, detail: Text::default(), retry_at: None };
        board.slots.insert(id, entry);
        Slot { hub: self.clone(), id }
    }

    pub fn remark(&self, topic: &'static str, text: Text) {
        self.board().remarks.insert(topic, text);
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self) {
        let mut board = self.board();
        board.heard = Some(crate::clock::now());
        board.probe = None;
        drop(board);
        self.dirty.notify_one();
    }

    /// Sends the link if it says something new.
    pub async fn publish(&self) -> Result<(), Closed> {
        if self.silent {
            return Ok(());
        }
        let mut sent = self.sent.lock().await;
        let mut link = self.board().link();
        let same = sent.link.state == link.state;
        link.since = if same { sent.link.since } else { None }.or_else(|| Some(crate::clock::now()));
        if link == sent.link {
            return Ok(());
        }
        sent.link = link.clone();
        sent.at = Some(Instant::now());
        self.send(Body::Link(self.source, link)).await
    }

    /// Publishes what was heard, at most once per [`Pace::heard_every`], and asks the server whether it is
    /// there when nothing was heard for [`Pace::probe_every`]. Ends when nobody listens.
    pub async fn tend(self: Arc<Self>, reader: Reader) {
        let mut pause = self.pace.probe_every;
        loop {
            tokio::select! {
                () = self.dirty.notified() => {
                    let due = self.sent.lock().await.at.map(|at| at + self.pace.heard_every);
                    if let Some(due) = due {
                        tokio::time::sleep_until(due).await;
                    }
                    pause = self.pace.probe_every;
                }
                () = tokio::time::sleep(pause) => pause = self.probe(&reader).await,
            }
            if self.publish().await.is_err() {
                return;
            }
        }
    }

    /// Returns when to look again. A recovery makes all watches reconnect: theirs may have died unnoticed.
    async fn probe(&self, reader: &Reader) -> std::time::Duration {
        if !self.board().wants_probe() {
            return self.pace.probe_every;
        }
        match reader.alive().await {
            Ok(()) => {
                let was_lost = self.board().probe.is_some();
                self.heard();
                if was_lost {
                    reader.nudge();
                }
                self.pace.probe_every
            }
            Err(trouble) => {
                let again = self.pace.probe_answer.min(self.pace.probe_every);
                let mut board = self.board();
                board.probe = Some(trouble);
                board.probe_retry = Some(crate::clock::now() + again);
                again
            }
        }
    }
}

impl Board {
    /// Streams in trouble ask the server themselves.
    fn wants_probe(&self) -> bool {
        self.slots.values().any(|s| s.state == LinkState::Live)
    }

    fn link(&mut self) -> Link {
        let mut link = Link::default();
        let shown = self.worst().cloned();
        if let Some(entry) = shown {
            link.state = entry.state;
            link.detail = entry.detail;
            link.retry_at = entry.retry_at;
        }
        if link.state == LinkState::Live {
            self.synced = self.heard;
            link.detail = self.details();
            if let Some(trouble) = &self.probe {
                link.state = trouble.state.clone();
                link.detail = trouble.detail.clone();
                link.retry_at = self.probe_retry;
            }
        }
        link.heard = self.heard;
        link.synced = self.synced;
        link
    }

    /// The stream whose state stands for all. A kind that is missing or withheld does not speak for the
    /// others, unless there are no others or the open rollout cannot do without it.
    fn worst(&self) -> Option<&Entry> {
        let counted = |e: &&Entry| !(e.optional && is_withheld(&e.state));
        self.slots
            .values()
            .filter(counted)
            .max_by_key(|e| (rank(&e.state), std::cmp::Reverse(e.retry_at)))
            // All are withheld: the first of those that say most.
            .or_else(|| self.slots.values().min_by_key(|e| std::cmp::Reverse(rank(&e.state))))
    }

    fn details(&self) -> Text {
        let withheld: Vec<&str> =
            self.slots.values().filter(|e| matches!(e.state, LinkState::Forbidden { .. })).map(|e| &*e.name).collect();
        let of_slot = |e: &Entry| match &e.state {
            LinkState::Forbidden { .. } => None,
            // No cluster has every engine's kinds.
            LinkState::CrdMissing { .. } if self.of_many_engines => None,
            LinkState::CrdMissing { .. } => Some(format!("no {}", e.name)),
            _ if e.detail.is_empty() => None,
            _ => Some(format!("{}: {}", e.name, e.detail)),
        };
        let mut lines: Vec<String> = self
            .remarks
            .values()
            .map(ToString::to_string)
            .chain(listed(&withheld))
            .chain(self.slots.values().filter_map(of_slot))
            .collect();
        lines.dedup();
        lines.join("; ").into()
    }
}

/// `no right to read a, b and 3 more`.
fn listed(withheld: &[&str]) -> Option<String> {
    const NAMED: usize = 3;
    let (named, more) = withheld.split_at(withheld.len().min(NAMED));
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    (!named.is_empty()).then(|| format!("no right to read {}{more}", named.join(", ")))
}

fn is_withheld(state: &LinkState) -> bool {
    matches!(state, LinkState::Forbidden { .. } | LinkState::CrdMissing { .. })
}

/// How much a state speaks for its source: the higher, the less the picture can be trusted.
fn rank(state: &LinkState) -> u8 {
    match state {
        LinkState::Off => 0,
        LinkState::Live => 1,
        LinkState::CrdMissing { .. } => 2,
        LinkState::Forbidden { .. } => 3,
        LinkState::Connecting => 4,
        LinkState::Cut => 5,
        LinkState::Throttled => 6,
        LinkState::ServerError { .. } => 7,
        LinkState::Garbage => 8,
        LinkState::TimedOut => 9,
        LinkState::Refused => 10,
        LinkState::NoRoute => 11,
        LinkState::BadCertificate => 12,
        LinkState::Expired { .. } => 13,
    }
}

/// One stream's place in its hub. Given back when dropped.
pub struct Slot {
    pub hub: Arc<Hub>,
    id: usize,
}

impl Slot {
    /// A sign of life. Cheap: the link is sent by [`Hub::tend`], at its pace.
    pub fn heard(&self) {
        self.hub.heard();
    }

    pub fn is_live(&self) -> bool {
        self.hub.board().slots.get(&self.id).is_some_and(|e| e.state == LinkState::Live)
    }

    /// Data flows. `detail` is what is wrong all the same.
    pub async fn live(&self, detail: Text) -> Result<(), Closed> {
        self.set(LinkState::Live, detail, None);
        self.hub.heard();
        self.hub.publish().await
    }

    pub async fn trouble(&self, trouble: &Trouble, retry_at: Time) -> Result<(), Closed> {
        self.set(trouble.state.clone(), trouble.detail.clone(), Some(retry_at));
        self.hub.publish().await
    }

    fn set(&self, state: LinkState, detail: Text, retry_at: Option<Time>) {
        if let Some(entry) = self.hub.board().slots.get_mut(&self.id) {
            entry.state = state;
            entry.detail = detail;
            entry.retry_at = retry_at;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.hub.board().slots.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(slots: &[(&str, bool, LinkState)]) -> Board {
        let entry = |(name, optional, state): &(&str, bool, LinkState)| Entry {
            name: (*name).into(),
            optional: *optional,
            state: state.clone(),
            detail: Text::default(),
            retry_at: None,
        };
        Board { slots: slots.iter().map(entry).enumerate().collect(), heard: Some(crate::clock::now()), ..Board::default() }
    }

    fn missing() -> LinkState {
        LinkState::CrdMissing { kind: "Rollout".into() }
    }

    fn forbidden() -> LinkState {
        LinkState::Forbidden { verb: "list".into(), resource: "pods".into(), namespace: None, role: "r".into() }
    }

    #[test]
    fn the_worst_stream_speaks_unless_it_may_be_absent() {
        use LinkState::{Cut, Live};
        for (slots, state) in [
            (vec![("a", false, Live), ("b", false, Live)], Live),
            (vec![("a", false, Live), ("b", false, Cut)], Cut),
            (vec![("a", false, Live), ("b", true, Cut)], Cut),
            (vec![("a", false, Live), ("b", true, missing())], Live),
            (vec![("a", false, Live), ("b", true, forbidden())], Live),
            (vec![("a", false, Live), ("b", false, forbidden())], forbidden()),
            (vec![("a", true, missing())], missing()),
            (vec![("a", true, missing()), ("b", true, Live)], Live),
            (vec![("a", true, missing()), ("b", true, forbidden())], forbidden()),
        ] {
            assert_eq!(board(&slots).link().state, state, "{slots:?}");
        }
        let mut b = board(&[("pods", false, Live), ("experiments", true, missing()), ("ingresses", true, forbidden())]);
        assert_eq!(b.link().detail, "no right to read ingresses; no experiments");
        b.of_many_engines = true;
        assert_eq!(b.link().detail, "no right to read ingresses", "no cluster has every engine");
    }

    #[test]
    fn a_long_list_of_what_is_withheld_is_counted() {
        let slots: Vec<_> = ["a", "b", "c", "d", "e"].into_iter().map(|name| (name, true, forbidden())).collect();
        let mut b = board(&[vec![("live", false, LinkState::Live)], slots].concat());
        assert_eq!(b.link().detail, "no right to read a, b, c and 2 more");
    }

    #[test]
    fn only_a_live_link_is_synced() {
        assert!(board(&[("a", false, LinkState::Live)]).link().synced.is_some());
        assert!(board(&[("a", false, LinkState::Connecting)]).link().synced.is_none());
    }
}
