//! Merging of rapid updates: the first at once, then at most one per object and window.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::{model::Text, object::Object};

/// Entries above which forgotten ones are swept out.
const SWEEP: usize = 512;

/// Holds back updates of objects that changed a moment ago.
///
/// After an abort the canary Service was seen to change 110 times a second; only the newest state counts.
#[derive(Debug)]
pub struct Coalescer {
    window: Duration,
    sent: HashMap<Text, Instant>,
    held: HashMap<Text, (Instant, Object)>,
}

impl Coalescer {
    pub fn new(window: Duration) -> Self {
        Self { window, sent: HashMap::new(), held: HashMap::new() }
    }

    /// Takes an update; gives it back if it is to be sent now.
    pub fn offer(&mut self, object: Object, now: Instant) -> Option<Object> {
        let uid = object.meta.uid.clone();
        if let Some((_, held)) = self.held.get_mut(&uid) {
            *held = object;
            return None;
        }
        let due = self.sent.get(&uid).map(|at| *at + self.window);
        match due {
            Some(due) if due > now => {
                self.held.insert(uid, (due, object));
                None
            }
            _ => {
                self.note(uid, now);
                Some(object)
            }
        }
    }

    /// The object is gone: what was held back of it is void.
    pub fn forget(&mut self, uid: &str) {
        self.held.remove(uid);
        self.sent.remove(uid);
    }

    pub fn clear(&mut self) {
        self.held.clear();
        self.sent.clear();
    }

    /// When the next held update is due.
    pub fn due(&self) -> Option<Instant> {
        self.held.values().map(|(due, _)| *due).min()
    }

    /// Gives out what is due at `now`; everything for `None`.
    pub fn release(&mut self, now: Option<Instant>) -> Vec<Object> {
        let ready: Vec<Text> =
            self.held.iter().filter(|(_, (due, _))| now.is_none_or(|now| *due <= now)).map(|(uid, _)| uid.clone()).collect();
        let objects: Vec<Object> = ready.iter().filter_map(|uid| self.held.remove(uid)).map(|(_, object)| object).collect();
        for uid in ready {
            self.note(uid, now.unwrap_or_else(Instant::now));
        }
        objects
    }

    fn note(&mut self, uid: Text, now: Instant) {
        if self.sent.len() >= SWEEP {
            let window = self.window;
            self.sent.retain(|_, at| *at + window > now);
        }
        self.sent.insert(uid, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Meta, kinds};

    fn object(uid: &str, version: u32) -> Object {
        let meta = Meta { uid: uid.into(), resource_version: version.to_string().into(), ..Meta::default() };
        Object::new(&kinds::SERVICE, meta, "{}".into(), None, "")
    }

    #[test]
    fn a_flapping_object_is_seen_at_once_and_then_at_the_windows_pace() {
        let start = Instant::now();
        let mut c = Coalescer::new(Duration::from_millis(50));
        let mut seen = Vec::new();
        // 110 changes a second for one second.
        for n in 0..110_u32 {
            let now = start + Duration::from_millis(u64::from(n) * 9);
            seen.extend(c.release(Some(now)).into_iter().map(|o| o.meta.resource_version));
            seen.extend(c.offer(object("a", n), now).map(|o| o.meta.resource_version));
        }
        seen.extend(c.release(None).into_iter().map(|o| o.meta.resource_version));
        assert_eq!(seen.first().unwrap(), "0", "the first passes at once");
        assert_eq!(seen.last().unwrap(), "109", "the last is never lost");
        assert!((15..=21).contains(&seen.len()), "{} updates got through", seen.len());
    }

    #[test]
    fn objects_do_not_wait_for_each_other_and_the_deleted_stay_away() {
        let now = Instant::now();
        let mut c = Coalescer::new(Duration::from_millis(50));
        assert!(c.offer(object("a", 1), now).is_some());
        assert!(c.offer(object("b", 1), now).is_some());
        assert!(c.offer(object("a", 2), now).is_none());
        c.forget("a");
        assert!(c.release(None).is_empty());
        assert_eq!(c.due(), None);
        assert!(c.offer(object("a", 3), now).is_some(), "its successor is news");
    }

    #[test]
    fn memory_is_bounded() {
        let start = Instant::now();
        let mut c = Coalescer::new(Duration::from_millis(50));
        for n in 0..10_000_u32 {
            c.offer(object(&n.to_string(), 1), start + Duration::from_millis(n.into()));
        }
        assert!(c.sent.len() <= SWEEP, "{}", c.sent.len());
    }
}
