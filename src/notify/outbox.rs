//! What is still to be sent, and what was told already, on disk: a restart neither loses nor doubles.
//!
//! An entry is a file of its own, written whole under another name and then renamed, before the request that sends it. After the
//! answer it is taken away. A crash between the two sends it again under the same id: PagerDuty, mail servers and signed
//! webhooks know it by that; Slack, Telegram and Teams show it twice, and the second one says that it may be a repeat.
//! Several rolltops of one user share it: whoever holds a channel's lock sends, the others put in.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::{
    model::Time,
    notify::{
        channel::Channel,
        event::{Event, Slot},
        pace,
        seen::Change,
    },
};

/// What nobody could be told for so long is no news any more.
const OLD: TimeDelta = TimeDelta::hours(24);
/// What is remembered of a release that was not heard of again.
const FORGOTTEN: TimeDelta = TimeDelta::days(30);
/// An advice that comes and goes is told again after this; and what several sessions see within it is one thing.
const FLAPPING: TimeDelta = TimeDelta::minutes(10);
/// Entries of one channel; beyond them the oldest go, and the channel says so.
const MOST: usize = 1_000;

/// One event for one channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub id: String,
    pub event: Event,
    /// Not before.
    pub due: Time,
    /// The message it was first sent in.
    #[serde(default)]
    pub sent_as: Option<String>,
    /// An attempt was begun whose end is not known.
    #[serde(default)]
    pub unclear: bool,
    /// Handed to the next channel already.
    #[serde(default)]
    pub raised: bool,
    /// Channels that could not tell it, and why.
    #[serde(default)]
    pub instead: Vec<String>,
}

/// What a channel says about itself to all rolltops that share it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trouble {
    pub at: Time,
    pub text: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Memory {
    told: BTreeMap<String, Told>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Told {
    value: String,
    at: Time,
}

/// The folder of all channels.
#[derive(Debug, Clone)]
pub struct Outbox {
    root: PathBuf,
}

/// Held by who sends for a channel; free again when its process ends, however that happens.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code)] File);

const LOCK: &str = "lock";
const TROUBLE: &str = "trouble";
const MEMORY: &str = "told.json";

impl Outbox {
    /// Opens (or begins) an outbox.
    ///
    /// # Errors
    /// When the folder cannot be made or written to.
    pub fn open(root: &Path) -> io::Result<Self> {
        folder(root)?;
        drop(file(&root.join(MEMORY).with_extension("lock"))?);
        Ok(Self { root: root.into() })
    }

    fn folder(&self, channel: &Channel) -> PathBuf {
        self.root.join(channel.folder())
    }

    /// Takes note of changes: what is news is put into every channel that wants it, then remembered.
    /// A crash in between puts the same entries again, in the place of the first ones.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn note(&self, changes: &[Change], channels: &[Channel], now: Time) -> io::Result<usize> {
        let guard = file(&self.root.join(MEMORY).with_extension("lock"))?;
        guard.lock()?;
        let mut memory: Memory = read(&self.root.join(MEMORY)).unwrap_or_default();
        let (mut told, mut new) = (0, false);
        for change in changes {
            if !memory.is_news(change) {
                continue;
            }
            if let Some(event) = change.event.as_ref().filter(|_| !memory.is_flapping(change)) {
                for channel in channels.iter().filter(|c| !c.is_terminal() && c.wants(event)) {
                    self.put(channel, &Entry::new(event, channel, now))?;
                    told += 1;
                }
            }
            memory.remember(change, now);
            new = true;
        }
        if new {
            memory.told.retain(|_, told| now - told.at < FORGOTTEN);
            write(&self.root.join(MEMORY), &memory)?;
        }
        Ok(told)
    }

    /// # Errors
    /// When the disk does not take it.
    pub fn put(&self, channel: &Channel, entry: &Entry) -> io::Result<()> {
        let folder_of = self.folder(channel);
        folder(&folder_of)?;
        write(&folder_of.join(&entry.id).with_extension("json"), entry)
    }

    /// # Errors
    /// When the disk does not take it.
    pub fn remove(&self, channel: &Channel, entry: &Entry) -> io::Result<()> {
        match std::fs::remove_file(self.folder(channel).join(&entry.id).with_extension("json")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// What waits for a channel, oldest first. What cannot be read, or is too old, is taken away.
    pub fn waiting(&self, channel: &Channel, now: Time) -> Vec<Entry> {
        let Ok(files) = std::fs::read_dir(self.folder(channel)) else { return Vec::new() };
        let paths = files.filter_map(|f| Some(f.ok()?.path())).filter(|p| p.extension().is_some_and(|e| e == "json"));
        let mut entries: Vec<Entry> = paths
            .filter_map(|path| {
                let entry: Option<Entry> = read(&path).filter(|e: &Entry| now - e.event.at < OLD);
                if entry.is_none() {
                    tracing::warn!(path = %path.display(), "an entry of the outbox is too old or cannot be read; it is dropped");
                    let _ = std::fs::remove_file(&path);
                }
                entry
            })
            .collect();
        entries.sort_by(|a, b| (a.event.at, &a.id).cmp(&(b.event.at, &b.id)));
        let surplus = entries.len().saturating_sub(MOST);
        for entry in entries.drain(..surplus) {
            tracing::warn!(channel = %channel.name, "the outbox is full: the oldest entry is dropped");
            let _ = self.remove(channel, &entry);
        }
        entries
    }

    /// How many entries wait, for a look from outside.
    pub fn count(&self, channel: &Channel) -> usize {
        let files = std::fs::read_dir(self.folder(channel)).into_iter().flatten().flatten();
        files.filter(|f| f.path().extension().is_some_and(|e| e == "json")).count()
    }

    /// The right to send for a channel, unless another rolltop has it.
    pub fn lock(&self, channel: &Channel) -> Option<Lock> {
        let path = self.folder(channel);
        folder(&path).ok()?;
        let file = file(&path.join(LOCK)).ok()?;
        file.try_lock().ok()?;
        Some(Lock(file))
    }

    pub fn trouble(&self, channel: &Channel) -> Option<Trouble> {
        read(&self.folder(channel).join(TROUBLE))
    }

    /// Says what is wrong with a channel, or that nothing is.
    pub fn say(&self, channel: &Channel, trouble: Option<&Trouble>) {
        let path = self.folder(channel).join(TROUBLE);
        match trouble {
            Some(trouble) => drop(write(&path, trouble)),
            None => drop(std::fs::remove_file(path)),
        }
    }
}

impl Entry {
    pub fn new(event: &Event, channel: &Channel, now: Time) -> Self {
        // What can happen again without anything else in between is told apart by its time.
        let when = if event.kind.row().topic.repeats() { event.at.timestamp() / FLAPPING.num_seconds() } else { 0 };
        let id = super::long_hash(&format!("{} {} {when} {}", event.slot().0, event.value(), channel.name));
        let due = pace::due(event.urgency >= super::event::Urgency::Urgent, channel.group, now);
        Self { id, event: event.clone(), due, sent_as: None, unclear: false, raised: false, instead: Vec::new() }
    }
}

impl Memory {
    fn value(&self, slot: &Slot) -> Option<&str> {
        self.told.get(&slot.0).map(|told| told.value.as_str())
    }

    fn is_news(&self, change: &Change) -> bool {
        let known = self.value(&change.slot);
        let begun = change.after.as_ref().is_none_or(|after| known.is_some_and(|known| known.starts_with(after.as_str())));
        begun && (known != Some(&change.value) || self.is_anew(change))
    }

    /// The same thing happened another time.
    fn is_anew(&self, change: &Change) -> bool {
        let Some(event) = change.event.as_ref().filter(|e| e.kind.row().topic.repeats() && e.mark.is_empty()) else { return false };
        self.told.get(&change.slot.0).is_some_and(|told| event.at - told.at >= FLAPPING)
    }

    /// The same was told a short while ago, with something else in between.
    fn is_flapping(&self, change: &Change) -> bool {
        let of_kind = change.event.as_ref().and_then(|event| self.told.get(&by_kind(event)));
        let at = change.event.as_ref().map(|event| event.at).unwrap_or_default();
        of_kind.is_some_and(|told| told.value == change.value && at - told.at < FLAPPING)
    }

    fn remember(&mut self, change: &Change, now: Time) {
        let told = || Told { value: change.value.clone(), at: now };
        if let Some(event) = change.event.as_ref().filter(|e| e.kind.row().topic == super::event::Topic::Advice)
            && !self.is_flapping(change)
        {
            self.told.insert(by_kind(event), told());
        }
        self.told.insert(change.slot.0.clone(), told());
    }
}

fn by_kind(event: &Event) -> String {
    format!("{} {}", event.slot().0, event.kind.row().name)
}

/// A folder that only its owner can look into.
fn folder(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Whole or not at all, and on the disk when this returns.
fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let part = path.with_extension(format!("part{:08x}", fastrand::u32(..)));
    let written = file(&part).and_then(|mut file| {
        file.write_all(&serde_json::to_vec(value)?)?;
        file.sync_all()
    });
    let renamed = written.and_then(|()| std::fs::rename(&part, path));
    if renamed.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    renamed?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
