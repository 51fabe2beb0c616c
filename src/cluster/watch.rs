//! One stream of objects: list, watch, and again, whatever the server does.
//!
//! ```text
//!          ┌────────────── 410, or the list was cut ───────────────┐
//!          ▼                                                       │
//!   list (streamed or paged) ──▶ Snapshot ──▶ watch ──▶ Applied, Deleted, bookmarks
//!          ▲                                    ▲                  │
//!          └── trouble ──▶ wait (one back-off) ─┴── closed, cut ◀──┘
//! ```
//! Every arrow back goes through the same jittered wait, so no server can make this loop hot.

use std::time::Duration;

use futures::future::{Either, pending};
use http::StatusCode;
use http_body_util::BodyExt;
use kube::client::Body;
use tokio::{
    sync::watch as tokio_watch,
    time::{Instant, sleep_until, timeout},
};

use super::{
    coalesce::Coalescer,
    decode::{self, Frame},
    hub::{Closed, Slot},
    pace::Backoff,
    reader::{self, LARGEST, Reader},
    trouble::{Ask, Trouble},
};
use crate::{
    model::{LinkState, Text},
    msg::Body as Message,
    object::{Object, Resource},
};

/// Objects per page of a list: the customary number.
const PAGE: u32 = 500;

/// Which objects a stream covers.
#[derive(Debug, Clone)]
pub struct Target {
    pub resource: &'static Resource,
    /// `None` for all namespaces.
    pub namespace: Option<String>,
    pub labels: Option<String>,
    pub fields: Option<String>,
    /// What tells this stream's snapshots from others of the same kind.
    pub scope: u32,
}

impl Target {
    fn path(&self, parameters: &str) -> String {
        let mut path = format!("{}?{parameters}", reader::collection(self.resource, self.namespace.as_deref()));
        for (name, value) in [("labelSelector", &self.labels), ("fieldSelector", &self.fields)] {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", reader::query(value)));
            }
        }
        path
    }
}

/// Why a session with the server ended.
#[derive(Debug)]
enum End {
    /// The server closed the watch in good order, as it does every few minutes.
    Closed,
    /// A person, or a recovered connection, asks for a fresh start.
    Nudged,
    /// No byte for longer than bookmarks take.
    Silent,
    Trouble(Trouble),
}

/// What a stream does when it lacks the right to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnForbidden {
    /// Says so and tries again, slowly.
    Wait,
    /// Returns, for somebody who knows another way.
    Return,
}

/// Refusals after which a right that was there counts as taken away.
const PATIENT_REFUSALS: u32 = 6;

/// One stream, running until the reducer is gone.
pub struct Stream {
    reader: Reader,
    target: Target,
    slot: Slot,
    backoff: Backoff,
    nudges: tokio_watch::Receiver<u64>,
    coalescer: Coalescer,
    /// Where the watch goes on. `None` asks for a list.
    version: Option<String>,
    /// Objects that could not be read since the last list, and the first such error.
    unreadable: (u32, Text),
    /// Whether this session brought data, for the back-off.
    data: bool,
    /// Whether this stream has ever held a whole picture: then it had the right to.
    was_live: bool,
    /// Refusals in a row since.
    refused: u32,
}

impl Stream {
    pub fn new(reader: Reader, target: Target, slot: Slot) -> Self {
        let pace = reader.pace();
        let (backoff, coalescer) = (Backoff::new(pace), Coalescer::new(pace.coalesce));
        let nudges = reader.nudges();
        Self {
            reader,
            target,
            slot,
            backoff,
            nudges,
            coalescer,
            version: None,
            unreadable: Default::default(),
            data: false,
            was_live: false,
            refused: 0,
        }
    }

    /// Runs until nobody listens, or until rights are missing if the caller wants to know that.
    pub async fn run(mut self, forbidden: OnForbidden) -> Option<Trouble> {
        loop {
            let began = Instant::now();
            self.data = false;
            let Ok(end) = self.session().await else { return None };
            self.backoff.settle(began.elapsed(), self.data);
            let flushed = self.flush(None).await;
            let reacted = match end {
                End::Trouble(t) if forbidden == OnForbidden::Return && !self.was_live && matches!(t.state, LinkState::Forbidden { .. }) => {
                    return Some(t);
                }
                End::Trouble(t) if matches!(t.state, LinkState::CrdMissing { .. }) => self.await_kind(t).await,
                end => self.pause(end).await,
            };
            flushed.and(reacted).ok()?;
        }
    }

    /// List if need be, then watch until something ends it.
    async fn session(&mut self) -> Result<End, Closed> {
        let first = match self.version {
            Some(_) => Ok(None),
            None if self.reader.streams() => self.streamed_list().await?,
            None => self.paged_list().await?.map(|()| None),
        };
        match first {
            Err(trouble) => Ok(End::Trouble(trouble)),
            Ok(Some(lines)) => self.follow(lines).await,
            Ok(None) => match self.open_watch("").await {
                Err(trouble) => Ok(End::Trouble(trouble)),
                Ok(lines) => self.follow(lines).await,
            },
        }
    }

    fn ask<'a>(reader: &'a Reader, target: &'a Target, verb: &'a str) -> Ask<'a> {
        reader.ask(verb, Some(target.resource), target.namespace.as_deref())
    }

    // ---- lists

    async fn paged_list(&mut self) -> Result<Result<(), Trouble>, Closed> {
        match self.pages().await {
            Ok((objects, version)) => self.snapshot(objects, version).await.map(Ok),
            Err(trouble) => Ok(Err(trouble)),
        }
    }

    /// All pages of one list. An expired `continue` shows as a 410 and starts the list over.
    async fn pages(&mut self) -> Result<(Vec<Object>, String), Trouble> {
        let reader = self.reader.clone();
        let target = self.target.clone();
        let ask = Self::ask(&reader, &target, "list");
        let mut objects = Vec::new();
        let mut next = String::new();
        self.unreadable = Default::default();
        loop {
            let more = if next.is_empty() { String::new() } else { format!("&continue={}", reader::query(&next)) };
            let answer = reader.open(&target.path(&format!("limit={PAGE}{more}")), &ask).await?;
            let bytes = reader.collect(answer.into_body(), &ask).await?;
            // A page that is not a list is answered by its first words, as any garbage.
            let page = decode::page(&bytes).map_err(|_| Trouble::of_answer(StatusCode::OK, &http::HeaderMap::new(), &bytes, &ask))?;
            objects.extend(page.items.iter().filter_map(|raw| self.read(raw)));
            if page.next.is_empty() {
                return Ok((objects, page.resource_version));
            }
            next = page.next;
        }
    }

    /// The list as a stream of events. Returns the open watch, or nothing after falling back to pages.
    async fn streamed_list(&mut self) -> Result<Result<Option<Lines>, Trouble>, Closed> {
        match self.initial_events().await {
            Ok((lines, objects, version)) => self.snapshot(objects, version).await.map(|()| Ok(Some(lines))),
            Err(Initial::Unsupported) => {
                self.reader.stop_streaming();
                Ok(self.paged_list().await?.map(|()| None))
            }
            Err(Initial::Trouble(trouble)) => Ok(Err(trouble)),
        }
    }

    /// Collects events until the bookmark that ends the beginning.
    async fn initial_events(&mut self) -> Result<(Lines, Vec<Object>, String), Initial> {
        let pace = self.reader.pace().clone();
        let parameters = "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
        let mut lines = self.open_watch(parameters).await.map_err(Initial::of_refusal)?;
        let deadline = Instant::now() + pace.stream_total;
        let mut objects = Vec::new();
        self.unreadable = Default::default();
        loop {
            let until = deadline.min(Instant::now() + pace.stream_idle);
            let line = tokio::time::timeout_at(until, lines.next()).await.map_err(|_| Initial::Unsupported)??;
            let Some(line) = line else {
                return Err(Initial::Trouble(Trouble::new(LinkState::Cut, "the server closed the connection within the list")));
            };
            self.slot.heard();
            let Some(frame) = parse(&line) else { return Err(Initial::Trouble(garbage(&line))) };
            match &*frame.kind {
                "ADDED" | "MODIFIED" => objects.extend(self.read(frame.object)),
                "BOOKMARK" if decode::ends_initial_events(frame.object) => {
                    let version = decode::resource_version(frame.object).unwrap_or_default();
                    return Ok((lines, objects, version));
                }
                "ERROR" => return Err(Initial::of_refusal(self.error(frame.object))),
                _ => {}
            }
        }
    }

    async fn snapshot(&mut self, objects: Vec<Object>, version: String) -> Result<(), Closed> {
        self.coalescer.clear();
        // Without a version there is nothing to go on from: the next session lists again.
        self.version = Some(version).filter(|v| !v.is_empty());
        let (source, resource, scope) = (self.slot.hub.source(), self.target.resource, self.target.scope);
        self.slot.hub.send(Message::Snapshot { source, resource, scope, objects }).await?;
        self.report_unreadable().await?;
        self.live().await
    }

    // ---- watching

    async fn open_watch(&mut self, more: &str) -> Result<Lines, Trouble> {
        let seconds = fastrand::u32(self.reader.pace().session.clone());
        let version = self.version.as_ref().map(|v| format!("&resourceVersion={}", reader::query(v))).unwrap_or_default();
        let path = self.target.path(&format!("watch=1&allowWatchBookmarks=true&timeoutSeconds={seconds}{version}{more}"));
        let ask = Self::ask(&self.reader, &self.target, "watch");
        let answer = self.reader.open(&path, &ask).await?;
        self.slot.heard();
        Ok(Lines { reader: self.reader.clone(), body: answer.into_body(), buffer: Vec::new(), searched: 0 })
    }

    /// Passes events on until the watch ends.
    async fn follow(&mut self, mut lines: Lines) -> Result<End, Closed> {
        let pace = self.reader.pace().clone();
        self.nudges.mark_unchanged();
        let trusted = Instant::now() + pace.trust;
        let mut silence = Instant::now() + pace.silence;
        let mut proven = self.slot.is_live();
        loop {
            let held = self.coalescer.due().map_or_else(|| Either::Right(pending()), |at| Either::Left(sleep_until(at)));
            tokio::select! {
                line = lines.next() => {
                    let line = match line {
                        Err(trouble) => return Ok(End::Trouble(trouble)),
                        Ok(None) => return Ok(End::Closed),
                        Ok(Some(line)) => line,
                    };
                    silence = Instant::now() + pace.silence;
                    self.slot.heard();
                    let ended = self.event(&line).await?;
                    if ended.is_some() {
                        return Ok(ended.map_or(End::Closed, End::Trouble));
                    }
                    if !proven {
                        proven = true;
                        self.live().await?;
                    }
                }
                () = held => self.flush(Some(Instant::now())).await?,
                () = sleep_until(trusted), if !proven => {
                    proven = true;
                    self.live().await?;
                }
                () = sleep_until(silence) => return Ok(End::Silent),
                _ = self.nudges.changed() => return Ok(End::Nudged),
            }
        }
    }

    /// One line of a watch; trouble if it ends the watch.
    async fn event(&mut self, line: &[u8]) -> Result<Option<Trouble>, Closed> {
        let Some(frame) = parse(line) else { return Ok(Some(garbage(line))) };
        if frame.kind == "ERROR" {
            return Ok(Some(self.error(frame.object)));
        }
        self.data |= frame.kind != "BOOKMARK";
        let object = if matches!(&*frame.kind, "ADDED" | "MODIFIED" | "DELETED") { self.read(frame.object) } else { None };
        let version = match &object {
            Some(object) => Some(object.meta.resource_version.to_string()).filter(|v| !v.is_empty()),
            None => decode::resource_version(frame.object),
        };
        self.version = version.or(self.version.take());
        match &*frame.kind {
            "ADDED" | "MODIFIED" => match object {
                Some(object) => self.apply(object).await?,
                None => {
                    self.report_unreadable().await?;
                    self.live().await?;
                }
            },
            "DELETED" => {
                if let Some(object) = object {
                    self.delete(object).await?;
                }
            }
            _ => {}
        }
        Ok(None)
    }

    async fn apply(&mut self, object: Object) -> Result<(), Closed> {
        match self.coalescer.offer(object, Instant::now()) {
            Some(object) => self.send_applied(object).await,
            None => Ok(()),
        }
    }

    async fn delete(&mut self, object: Object) -> Result<(), Closed> {
        self.coalescer.forget(&object.meta.uid);
        let source = self.slot.hub.source();
        self.slot.hub.send(Message::Deleted { source, resource: self.target.resource, uid: object.meta.uid }).await
    }

    async fn send_applied(&self, object: Object) -> Result<(), Closed> {
        let (source, scope) = (self.slot.hub.source(), self.target.scope);
        self.slot.hub.send(Message::Applied { source, scope, object: Box::new(object) }).await
    }

    /// Sends held updates that are due by `now`; all of them for `None`.
    async fn flush(&mut self, now: Option<Instant>) -> Result<(), Closed> {
        for object in self.coalescer.release(now) {
            self.send_applied(object).await?;
        }
        Ok(())
    }

    fn error(&self, raw: &serde_json::value::RawValue) -> Trouble {
        Trouble::of_event(raw.get().as_bytes(), &Self::ask(&self.reader, &self.target, "watch"))
    }

    // ---- objects that cannot be read

    fn read(&mut self, raw: &serde_json::value::RawValue) -> Option<Object> {
        match decode::raw_object(self.target.resource, raw) {
            Ok(object) => Some(object),
            Err(error) => {
                if self.unreadable.0 == 0 {
                    self.unreadable.1 = error.to_string().into();
                }
                self.unreadable.0 += 1;
                None
            }
        }
    }

    fn complaint(&self) -> Text {
        match self.unreadable.0 {
            0 => Text::default(),
            1 => format!("1 object cannot be read: {}", self.unreadable.1).into(),
            n => format!("{n} objects cannot be read; the first: {}", self.unreadable.1).into(),
        }
    }

    /// Says it once, when the first such object appears.
    async fn report_unreadable(&self) -> Result<(), Closed> {
        if self.unreadable.0 == 0 {
            return Ok(());
        }
        self.slot.hub.send(Message::Note(format!("{}: {}", self.target.resource.qualified(), self.complaint()).into())).await
    }

    async fn live(&mut self) -> Result<(), Closed> {
        self.was_live = true;
        self.refused = 0;
        self.slot.live(self.complaint()).await
    }

    // ---- waiting

    /// The one way back to the server.
    async fn pause(&mut self, end: End) -> Result<(), Closed> {
        let pace = self.reader.pace();
        let mut wait = self.backoff.next(fastrand::f64());
        let trouble = match end {
            End::Closed => Some(Trouble::new(LinkState::Cut, "the server closes the watch again and again")),
            End::Silent | End::Nudged => None,
            End::Trouble(trouble) => Some(trouble),
        };
        let Some(trouble) = trouble else { return self.rest(wait).await };
        if trouble.gone {
            self.version = None;
        }
        if matches!(trouble.state, LinkState::Forbidden { .. }) {
            self.refused += 1;
            // An API server that has just started refuses everybody until it has read its roles.
            if !self.was_live || self.refused > PATIENT_REFUSALS {
                wait = wait.max(pace.forbidden);
            }
        }
        if let Some(asked) = trouble.retry_after {
            wait = wait.max(asked.min(pace.patience));
        }
        // A watch that ends and is taken up again within a second is how watches are, not news; and after a
        // 410 the list that follows is as good as the watch was.
        let usual = trouble.gone || (trouble.state == LinkState::Cut && wait < pace.trust && self.slot.is_live());
        if !usual {
            self.slot.trouble(&trouble, crate::clock::now() + wait).await?;
        }
        self.rest(wait).await
    }

    /// The kind is not installed: asks for its group's discovery document, which is cheap, until it is.
    async fn await_kind(&mut self, trouble: Trouble) -> Result<(), Closed> {
        self.version = None;
        // What was shown of it is gone with its definition, once discovery says so too: one odd 404 of a
        // restarting server must not empty the screen.
        let mut told = !self.was_live;
        loop {
            let wait = self.reader.pace().missing;
            self.slot.heard();
            self.slot.trouble(&trouble, crate::clock::now() + wait).await?;
            self.rest(wait).await?;
            match self.reader.serves(self.target.resource).await {
                Ok(false) if told => {}
                Ok(false) => {
                    told = true;
                    let (source, resource, scope) = (self.slot.hub.source(), self.target.resource, self.target.scope);
                    self.slot.hub.send(Message::Snapshot { source, resource, scope, objects: Vec::new() }).await?;
                }
                Ok(true) => break,
                Err(trouble) => return self.pause(End::Trouble(trouble)).await,
            }
        }
        // Discovery is ahead of the kind's own handler by moments.
        let wait = self.backoff.next(fastrand::f64());
        self.rest(wait).await
    }

    /// Waits, or less if nudged.
    async fn rest(&mut self, wait: Duration) -> Result<(), Closed> {
        self.nudges.mark_unchanged();
        let _ = timeout(wait, self.nudges.changed()).await;
        Ok(())
    }
}

/// Why a streamed list gave no list.
enum Initial {
    Unsupported,
    Trouble(Trouble),
}

impl From<Trouble> for Initial {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl Initial {
    /// 400, 405, 406, 415 and 422 say that the server does not know streamed lists.
    fn of_refusal(trouble: Trouble) -> Self {
        match trouble.state {
            LinkState::ServerError { code: 400..=499 } => Self::Unsupported,
            _ => Self::Trouble(trouble),
        }
    }
}

fn parse(line: &[u8]) -> Option<Frame<'_>> {
    serde_json::from_slice(line).ok()
}

fn garbage(line: &[u8]) -> Trouble {
    let ask = Ask { verb: "watch", resource: None, namespace: None, login: "" };
    Trouble::of_answer(StatusCode::OK, &http::HeaderMap::new(), line, &ask)
}

/// The lines of a watch.
struct Lines {
    reader: Reader,
    body: Body,
    buffer: Vec<u8>,
    /// How far the buffer is known to hold no line break.
    searched: usize,
}

impl Lines {
    /// The next line that is not empty. A half line at the end is a cut. Safe to drop and call again.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Trouble> {
        loop {
            while let Some(line) = self.take() {
                if !line.trim_ascii().is_empty() {
                    return Ok(Some(line));
                }
            }
            if self.buffer.len() > LARGEST {
                return Err(Trouble::new(LinkState::Garbage, "a line without end"));
            }
            match self.body.frame().await {
                None if self.buffer.trim_ascii().is_empty() => return Ok(None),
                // HTML and the like often end without a line break.
                None if serde_json::from_slice::<serde::de::IgnoredAny>(&self.buffer).is_err_and(|e| e.is_syntax()) => {
                    return Err(garbage(&self.buffer));
                }
                None => return Err(Trouble::new(LinkState::Cut, "the connection ended in the middle of an event")),
                Some(Err(error)) => return Err(Trouble::of_error(&error, "")),
                Some(Ok(frame)) => {
                    self.reader.touch();
                    self.buffer.extend_from_slice(frame.data_ref().map_or(&[], |d| d));
                }
            }
        }
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        let found = self.buffer[self.searched..].iter().position(|b| *b == b'\n');
        let Some(at) = found.map(|at| self.searched + at) else {
            self.searched = self.buffer.len();
            return None;
        };
        self.searched = 0;
        let rest = self.buffer.split_off(at + 1);
        Some(std::mem::replace(&mut self.buffer, rest))
    }
}
