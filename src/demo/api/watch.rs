//! Watches: the changes of a kind as a stream without end.
//!
//! A watch keeps nothing but its place: whenever its kind changes and the client has taken what it was sent, it reads
//! on in the store's recent changes. A client that is too slow for them is told so (410) and has to begin again.

use std::{convert::Infallible, sync::Arc, time::Duration, vec};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::stream;
use tokio::{sync::watch, time::Instant};

use super::{
    Answer, Call,
    list::{PIECE, reached, revision, senseless},
    select::Selector,
    view::{self, View},
};
use crate::demo::{
    refusal::{Problem, Refusal},
    store::{Change, Gone, Store, Stored},
    world::World,
};

/// Changes read at a time.
const BATCH: usize = 128;

pub fn watch(world: &Arc<World>, call: &Call) -> Answer {
    start(world, call).unwrap_or_else(Answer::from)
}

fn start(world: &Arc<World>, call: &Call) -> Result<Answer, Refusal> {
    let pieces = stream::unfold(Watching::begin(world, call)?, |mut watching| async {
        let piece = watching.next().await?;
        Some((Ok::<_, Infallible>(piece), watching))
    });
    Ok(Answer::Stream(Body::from_stream(pieces)))
}

/// Where a watch is to begin.
struct Asked {
    revision: u64,
    /// `sendInitialEvents`.
    initial: Option<bool>,
    bookmarks: bool,
}

/// What a watch begins with.
struct Began {
    changed: watch::Receiver<u64>,
    revision: u64,
    initial: Vec<Arc<Stored>>,
}

impl Asked {
    fn of(call: &Call) -> Result<Self, Refusal> {
        let truth = |name: &str| call.asks(name).map(|value| ["true", "1"].contains(&value));
        let asked = Self {
            revision: revision(call).map_err(|why| Refusal::new(500, "", why))?,
            initial: truth("sendInitialEvents"),
            bookmarks: truth("allowWatchBookmarks") == Some(true),
        };
        let field = "resourceVersionMatch";
        match (asked.initial, call.asks(field).unwrap_or_default()) {
            (None, "") | (Some(_), "NotOlderThan") => Ok(asked),
            (None, _) => {
                let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                Err(senseless(Problem::forbidden(field, why)))
            }
            (Some(_), _) => {
                Err(senseless(Problem::forbidden(field, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")))
            }
        }
    }

    fn begin(&self, store: &Store, kind: &str, namespace: Option<&str>) -> Result<Began, Refusal> {
        let newest = store.revision();
        if self.initial == Some(true) {
            reached(self.revision, newest)?;
        }
        let from_now = self.initial == Some(true) || self.revision == 0;
        let all = from_now && self.initial != Some(false);
        let objects = all.then(|| store.list(kind, namespace).cloned());
        Ok(Began {
            changed: store.subscribe(kind).ok_or_else(unserved)?,
            revision: if from_now { newest } else { self.revision },
            initial: objects.into_iter().flatten().collect(),
        })
    }
}

fn unserved() -> Refusal {
    Refusal::new(404, "NotFound", "the server could not find the requested resource")
}

struct Watching {
    world: Arc<World>,
    /// Id in the store.
    kind: String,
    view: View,
    selector: Selector,
    changed: watch::Receiver<u64>,
    /// All changes up to this revision have been sent.
    revision: u64,
    /// Objects that were there before the watch and are not yet sent.
    initial: vec::IntoIter<Arc<Stored>>,
    /// Whether a bookmark is to end the initial objects.
    ends_initial: bool,
    /// The first table names its columns, the others do not.
    any_sent: bool,
    /// When the next bookmark is due, for clients that want them.
    bookmark: Option<Instant>,
    pause: Duration,
    deadline: Instant,
    over: bool,
}

impl Watching {
    fn begin(world: &Arc<World>, call: &Call) -> Result<Self, Refusal> {
        let asked = Asked::of(call)?;
        let kind = view::storage(&call.target.kind);
        let (view, selector) = (View::of(call, false)?, Selector::of(call)?);
        let began = world.with(|sim| asked.begin(&sim.store, &kind, selector.namespace()))?;
        let seconds = call.asks("timeoutSeconds").and_then(|text| text.parse().ok()).filter(|seconds| *seconds > 0);
        // Without a wish half an hour to an hour, and all of them not at the same time.
        let lasts = Duration::from_secs(seconds.unwrap_or(1800 + began.revision * 37 % 1800));
        let pause = Duration::from_secs(55 + began.revision % 11);
        Ok(Self {
            world: world.clone(),
            kind,
            view,
            selector,
            changed: began.changed,
            revision: began.revision,
            initial: began.initial.into_iter(),
            ends_initial: asked.bookmarks && asked.initial == Some(true),
            any_sent: false,
            bookmark: asked.bookmarks.then(|| Instant::now() + pause),
            pause,
            deadline: Instant::now() + lasts,
            over: false,
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            // Closed when the kind is no longer served, even if another of its name is.
            let served = self.changed.has_changed().is_ok();
            if self.over || !served || Instant::now() >= self.deadline {
                return None;
            }
            if let Some(piece) = self.initial_events() {
                return Some(piece);
            }
            // Seen before reading: a change in between will wake the wait below.
            self.changed.borrow_and_update();
            let events = match self.read() {
                Ok(changes) => self.events(&changes),
                Err(event) => {
                    self.over = true;
                    return event;
                }
            };
            if !events.is_empty() {
                return Some(events);
            }
            if self.bookmark.is_some_and(|due| due <= Instant::now()) {
                return Some(self.bookmark(false));
            }
            if self.changed.has_changed().is_ok_and(|changed| !changed) {
                self.wait().await;
            }
        }
    }

    /// Until there may be something to say.
    async fn wait(&mut self) {
        let next = self.bookmark.map_or(self.deadline, |bookmark| bookmark.min(self.deadline));
        tokio::select! {
            _ = self.changed.changed() => (),
            () = tokio::time::sleep_until(next) => (),
        }
    }

    fn initial_events(&mut self) -> Option<Bytes> {
        let mut piece = BytesMut::new();
        while piece.len() < PIECE
            && let Some(object) = self.initial.next()
        {
            if self.selector.matches(&object) {
                self.write(&mut piece, "ADDED", &object);
            }
        }
        if piece.is_empty() {
            return std::mem::take(&mut self.ends_initial).then(|| self.bookmark(true));
        }
        Some(piece.freeze())
    }

    /// The next changes. The error is the last thing the client is told, if anything.
    fn read(&mut self) -> Result<Vec<Change>, Option<Bytes>> {
        let revision = self.revision;
        let (changes, newest) = self.world.look(|sim| {
            if sim.store.kind(&self.kind).is_none() {
                return Err(None);
            }
            match sim.store.changes_after(&self.kind, revision) {
                Ok(changes) => Ok((changes.take(BATCH).cloned().collect::<Vec<_>>(), sim.store.revision())),
                Err(Gone) => Err(Some(too_old(revision, floor(&sim.store, &self.kind, revision)))),
            }
        })?;
        let read_all = changes.len() < BATCH;
        self.revision = if read_all { newest.max(revision) } else { changes.last().map_or(revision, |change| change.revision) };
        Ok(changes)
    }

    fn events(&mut self, changes: &[Change]) -> Bytes {
        let mut piece = BytesMut::new();
        for change in changes {
            let matching = |object: &Option<Arc<Stored>>| object.clone().filter(|object| self.selector.matches(object));
            match (matching(&change.before), matching(&change.after)) {
                (None, None) => (),
                (None, Some(after)) => self.write(&mut piece, "ADDED", &after),
                (Some(_), Some(after)) => self.write(&mut piece, "MODIFIED", &after),
                // Gone, or no longer what the client asked for: it gets the last state it knows of, as of now.
                (Some(before), None) => self.write(&mut piece, "DELETED", &view::at_revision(&before, change.revision)),
            }
        }
        piece.freeze()
    }

    fn write(&mut self, piece: &mut BytesMut, kind: &str, object: &Stored) {
        let header = !std::mem::replace(&mut self.any_sent, true);
        piece.extend_from_slice(b"{\"type\":\"");
        piece.extend_from_slice(kind.as_bytes());
        piece.extend_from_slice(b"\",\"object\":");
        piece.extend_from_slice(&self.view.object(object, self.world.clock.now(), header));
        piece.extend_from_slice(b"}\n");
    }

    fn bookmark(&mut self, ends_initial: bool) -> Bytes {
        self.bookmark = self.bookmark.map(|_| Instant::now() + self.pause);
        let object = self.view.bookmark(self.revision, ends_initial);
        format!("{{\"type\":\"BOOKMARK\",\"object\":{object}}}\n").into()
    }
}

/// The event that ends a watch which has missed changes.
fn too_old(revision: u64, floor: u64) -> Bytes {
    let refusal = Refusal::new(410, "Expired", format!("too old resource version: {revision} ({floor})"));
    format!("{{\"type\":\"ERROR\",\"object\":{}}}\n", refusal.status()).into()
}

/// The oldest revision a watch of the kind could begin at.
fn floor(store: &Store, kind: &str, missed: u64) -> u64 {
    let (mut low, mut high) = (missed, store.revision());
    while low + 1 < high {
        let middle = low.midpoint(high);
        if store.changes_after(kind, middle).is_ok() { high = middle } else { low = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::http::Method;
    use serde_json::{Value, json};

    use super::*;
    use crate::demo::api::{Target, User, tests};

    fn call(world: &World) -> Call {
        let kind = world.look(|sim| sim.store.kind("pods").cloned()).unwrap();
        let query = [("resourceVersion", "6"), ("allowWatchBookmarks", "true")].map(|(name, value)| (name.into(), value.into()));
        let target = Target { kind, version: "v1".into(), namespace: Some("shop".into()), name: None, subresource: String::new() };
        Call {
            method: Method::GET,
            verb: "watch",
            uri: String::new(),
            user: User::default(),
            target,
            query: query.into(),
            accept: String::new(),
            content_type: String::new(),
            user_agent: String::new(),
            body: Bytes::new(),
        }
    }

    #[tokio::test]
    async fn bookmarks_come_about_every_minute() {
        let world = tests::world();
        let mut watching = Watching::begin(&world, &call(&world)).unwrap();
        assert!((55..=65).contains(&watching.pause.as_secs()));
        // The same in less than a minute.
        watching.pause = Duration::from_millis(20);
        watching.bookmark = Some(Instant::now() + watching.pause);
        for revision in ["6", "7", "7"] {
            let began = Instant::now();
            let event: Value = serde_json::from_slice(&watching.next().await.unwrap()).unwrap();
            assert!(began.elapsed() >= Duration::from_millis(15));
            let object = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": revision}});
            assert_eq!(event, json!({"type": "BOOKMARK", "object": object}));
            if revision == "6" {
                // Changes of other kinds move it on, too.
                tests::put(&world, "configmaps", "shop", "c", json!({}));
            }
        }
    }
}
