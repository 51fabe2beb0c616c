//! Reading objects: one, or many in pages.
//!
//! All pages of a list show the cluster as it was at the first: the past is put together from the changes that
//! watches are given, and when those do not reach back far enough the list has expired.

use std::{collections::BTreeMap, convert::Infallible, iter, sync::Arc, vec};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::stream;
use serde_json::{Value, json};

use super::{
    Answer, Call,
    select::Selector,
    view::{self, View},
};
use crate::{
    demo::{
        refusal::{Problem, Refusal},
        store::{Key, Store, Stored},
        world::World,
    },
    model::Time,
};

/// Lists leave in pieces of about this size.
pub const PIECE: usize = 64 * 1024;

pub fn get(world: &World, call: &Call) -> Answer {
    read(world, call).unwrap_or_else(Answer::from)
}

fn read(world: &World, call: &Call) -> Result<Answer, Refusal> {
    let target = &call.target;
    let view = View::of(call, false)?;
    let name = target.name.as_deref().unwrap_or_default();
    let key = Key::new(&view::storage(&target.kind), target.namespace.as_deref().unwrap_or_default(), name);
    let asked = revision(call).map_err(|why| Refusal::new(500, "", why))?;
    let (found, newest) = world.with(|sim| (sim.store.get(&key).cloned(), sim.store.revision()));
    reached(asked, newest)?;
    let object = found.ok_or_else(|| Refusal::not_found(&target.kind.id(), name))?;
    let whole = [&view.object(&object, world.clock.now(), true)[..], b"\n"].concat();
    Ok(Answer::Stream(Body::from(whole)))
}

pub fn list(world: &World, call: &Call) -> Answer {
    pages(world, call).unwrap_or_else(|refused| refused)
}

fn pages(world: &World, call: &Call) -> Result<Answer, Answer> {
    let view = View::of(call, true)?;
    let selector = Selector::of(call)?;
    let asked = Asked::of(call)?;
    let kind = view::storage(&call.target.kind);
    // Under the lock only pointers are copied.
    let (newest, all) = world.with(|sim| (sim.store.revision(), snapshot(&sim.store, &kind, selector.namespace(), asked.at)));
    let page = asked.page(newest, all, &selector)?;
    let (start, end) = view.list(&page.metadata());
    let objects = page.objects.into_iter();
    Ok(Answer::Stream(Pieces { view, now: world.clock.now(), objects, start: Some(start), end: Some(end) }.body()))
}

/// A number out of the query. The error is what the real server says.
fn number<T: std::str::FromStr>(text: &str, parser: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("strconv.{parser}: parsing \"{text}\": invalid syntax"))
}

/// `resourceVersion` as a number; 0 for none.
pub fn revision(call: &Call) -> Result<u64, String> {
    match call.asks("resourceVersion") {
        None | Some("") => Ok(0),
        Some(text) => number(text, "ParseUint").map_err(|why| format!("resourceVersion: Invalid value: \"{text}\": {why}")),
    }
}

/// Refuses to read from the future, where clients of an earlier life of the cluster think they are.
pub fn reached(asked: u64, newest: u64) -> Result<(), Refusal> {
    if asked <= newest {
        return Ok(());
    }
    let message = format!("Timeout: Too large resource version: {asked}, current: {newest}");
    let cause = json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"});
    Err(Refusal { details: json!({"causes": [cause], "retryAfterSeconds": 1}), ..Refusal::new(504, "Timeout", message) })
}

/// Options that make no sense together.
pub fn senseless(problem: Problem) -> Refusal {
    Refusal::invalid_options("ListOptions", "meta.k8s.io", "", &[problem])
}

/// Which part of which moment a list is to show.
struct Asked {
    /// 0: no limit.
    limit: usize,
    /// As of this revision; now if `None`.
    at: Option<u64>,
    /// Not before this revision.
    least: u64,
    /// Only what comes after this namespace and name.
    after: Option<(String, String)>,
}

impl Asked {
    fn of(call: &Call) -> Result<Self, Refusal> {
        let text = |name: &str| call.asks(name).unwrap_or_default();
        if call.asks("sendInitialEvents").is_some() {
            return Err(senseless(Problem::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")));
        }
        let limit: i64 = match text("limit") {
            "" => 0,
            limit => number(limit, "ParseInt").map_err(Refusal::bad_request)?,
        };
        let limit = usize::try_from(limit).unwrap_or_default();
        let (matching, version, token) = (text("resourceVersionMatch"), text("resourceVersion"), text("continue"));
        check_match(matching, version, token)?;
        if token.is_empty() {
            let revision = revision(call).map_err(|why| Refusal::bad_request(format!("invalid resource version: {why}")))?;
            return Ok(Self { limit, at: (matching == "Exact").then_some(revision), least: revision, after: None });
        }
        let (at, namespace, name) =
            read_token(token).ok_or_else(|| Refusal::bad_request("invalid continue token: continue key is not valid"))?;
        if !["", "0"].contains(&version) {
            return Err(Refusal::bad_request("specifying resource version is not allowed when using continue"));
        }
        Ok(Self { limit, at, least: 0, after: Some((namespace, name)) })
    }

    /// `all` there is as of the moment asked for, if that can still be told.
    fn page(&self, newest: u64, all: Option<Vec<Arc<Stored>>>, selector: &Selector) -> Result<Page, Answer> {
        reached(self.at.unwrap_or(self.least), newest)?;
        let revision = self.at.unwrap_or(newest);
        let all = all.ok_or_else(|| self.expired(newest))?;
        let mut rest = all.into_iter().filter(|object| self.is_due(object) && selector.matches(object));
        let objects: Vec<_> = rest.by_ref().take(if self.limit == 0 { usize::MAX } else { self.limit }).collect();
        // How many are left is told, and therefore counted, only of lists that are not narrowed down.
        let left = if selector.is_everything() { rest.count() } else { usize::from(rest.next().is_some()) };
        let last = objects.last().filter(|_| left > 0);
        let next = last.map(|last| token(Some(revision), &last.key.namespace, &last.key.name));
        Ok(Page { revision, next, left: selector.is_everything().then_some(left), objects })
    }

    fn is_due(&self, object: &Stored) -> bool {
        self.after.as_ref().is_none_or(|(namespace, name)| (&*object.key.namespace, &*object.key.name) > (namespace, name))
    }

    /// The moment is too long ago. What is left can still be had as it is now.
    fn expired(&self, newest: u64) -> Answer {
        let Some((namespace, name)) = &self.after else {
            return Refusal::new(410, "Expired", "The resourceVersion for the provided list is too old.").into();
        };
        let message = "The provided continue parameter is too old to display a consistent list result. You can start a new list without \
                       the continue parameter, or use the continue token in this response to retrieve the remainder of the results. \
                       Continuing with the provided token results in an inconsistent list - objects that were created, modified, or \
                       deleted between the time the first chunk was returned and now may show up in the list.";
        let mut status = Refusal::new(410, "Expired", message).status();
        status["metadata"] = json!({"resourceVersion": newest.to_string(), "continue": token(None, namespace, name)});
        Answer::Json(410, status)
    }
}

fn check_match(matching: &str, version: &str, token: &str) -> Result<(), Refusal> {
    let field = "resourceVersionMatch";
    let problem = match (matching, version) {
        ("", _) => return Ok(()),
        (_, "") => Problem::forbidden(field, "resourceVersionMatch is forbidden unless resourceVersion is provided"),
        _ if !token.is_empty() => Problem::forbidden(field, "resourceVersionMatch is forbidden when continue is provided"),
        ("Exact", "0") => Problem::forbidden(field, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""),
        ("Exact" | "NotOlderThan", _) => return Ok(()),
        (other, _) => Problem::unsupported(field, &other.into(), ["Exact", "NotOlderThan", ""]),
    };
    Err(senseless(problem))
}

/// All objects of a kind as of a revision; `None` when that is too long ago to tell.
fn snapshot(store: &Store, kind: &str, namespace: Option<&str>, at: Option<u64>) -> Option<Vec<Arc<Stored>>> {
    let present = store.list(kind, namespace).cloned();
    let Some(at) = at.filter(|at| *at < store.revision()) else { return Some(present.collect()) };
    let mut objects: BTreeMap<Key, Arc<Stored>> = present.map(|object| (object.key.clone(), object)).collect();
    let changes: Vec<_> = store.changes_after(kind, at).ok()?.collect();
    for change in changes.into_iter().rev() {
        let Some(object) = change.object() else { continue };
        if namespace.is_some_and(|namespace| *namespace != *object.key.namespace) {
            continue;
        }
        match &change.before {
            Some(before) => objects.insert(before.key.clone(), before.clone()),
            None => objects.remove(&object.key),
        };
    }
    Some(objects.into_values().collect())
}

/// Where a list goes on: as of which revision, after which namespace and name.
fn token(at: Option<u64>, namespace: &str, name: &str) -> String {
    format!("{}:{namespace}/{name}", at.map(|at| at.to_string()).unwrap_or_default())
}

fn read_token(token: &str) -> Option<(Option<u64>, String, String)> {
    let (at, place) = token.split_once(':')?;
    let (namespace, name) = place.split_once('/')?;
    let at = if at.is_empty() { None } else { Some(at.parse().ok()?) };
    Some((at, namespace.into(), name.into()))
}

/// One page of a list.
struct Page {
    revision: u64,
    next: Option<String>,
    /// How many objects are to come, if that is to be told.
    left: Option<usize>,
    objects: Vec<Arc<Stored>>,
}

impl Page {
    fn metadata(&self) -> Value {
        let mut metadata = json!({"resourceVersion": self.revision.to_string()});
        if let Some(next) = &self.next {
            metadata["continue"] = next.clone().into();
            if let Some(left) = self.left {
                metadata["remainingItemCount"] = left.into();
            }
        }
        metadata
    }
}

/// Puts a list together piece by piece, as fast as the client takes it.
struct Pieces {
    view: View,
    now: Time,
    objects: vec::IntoIter<Arc<Stored>>,
    /// What is still to be said before and after the objects.
    start: Option<String>,
    end: Option<&'static str>,
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.end?;
        let start = self.start.take();
        let mut first = start.is_some();
        let mut piece = BytesMut::from(start.unwrap_or_default().as_bytes());
        while piece.len() < PIECE {
            let Some(object) = self.objects.next() else {
                piece.extend_from_slice(self.end.take().unwrap_or_default().as_bytes());
                break;
            };
            if !std::mem::take(&mut first) {
                piece.extend_from_slice(b",");
            }
            piece.extend_from_slice(&self.view.entry(&object, self.now));
        }
        Some(piece.freeze())
    }
}

impl Pieces {
    /// Small lists go out in one piece and with their length.
    fn body(mut self) -> Body {
        let first = self.next().unwrap_or_default();
        if self.end.is_none() {
            return Body::from(first);
        }
        Body::from_stream(stream::iter(iter::once(first).chain(self).map(Ok::<_, Infallible>)))
    }
}
