//! The append-only record of what was asked, refused, sent and answered.
//!
//! One JSON object a line. An attempt is on disk before its request leaves the machine, so that even a
//! crash in between leaves a trace. Private to the user (0600).

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use serde::Serialize;

use crate::{
    engine::{Call, Patch, Plan, flag::Prepared},
    guard::arming::Ended,
    intent::Intent,
    model::{Id, Text, Time},
};

/// What a line is about.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    SessionStarted {
        version: &'static str,
        mode: &'static str,
    },
    Refused {
        intent: Intent,
        reason: Text,
    },
    CardOpened {
        intent: Intent,
    },
    Cancelled {
        intent: Intent,
    },
    /// Written and synced before the request is sent.
    Attempt {
        intent: Intent,
        sentence: Text,
        writes: Vec<WriteRecord>,
        #[serde(skip_serializing_if = "Option::is_none")]
        request: Option<RequestRecord>,
        overridden: Option<Text>,
        /// Who agreed to it beforehand, where the guard acts by itself.
        #[serde(skip_serializing_if = "Option::is_none")]
        armed_by: Option<Text>,
    },
    Outcome {
        intent: Intent,
        outcome: String,
        said: Option<Text>,
        writes_done: usize,
    },
    Effect {
        intent: Intent,
        seen: String,
    },
    /// The guard may abort this release once, by itself.
    Armed {
        release: Text,
        until: Time,
        by: Text,
    },
    /// It may no longer.
    Disarmed {
        why: Text,
        /// For those who are told; a line of the journal says it in its words.
        #[serde(skip)]
        how: Ended,
    },
    /// An armed guard begins to act.
    GuardActs {
        because: Text,
    },
    /// An armed guard begins to promote by one step, as its policy says.
    GuardPromotes {
        step: Text,
        because: Text,
    },
    /// After a roll-back: the old side serves and errors are back where they were.
    Recovered {
        after_seconds: i64,
    },
    /// After a roll-back: they are not.
    NotRecovered {
        after_seconds: i64,
        why: Text,
    },
}

#[derive(Debug, Clone, Serialize)]
pub struct WriteRecord {
    pub resource: String,
    pub namespace: Text,
    pub name: Text,
    pub subresource: Option<&'static str>,
    pub patch: Patch,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<Call>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create: Option<serde_json::Value>,
}

/// A request to somewhere else than the cluster, without what is secret.
#[derive(Debug, Clone, Serialize)]
pub struct RequestRecord {
    pub method: &'static str,
    pub url: String,
    /// Names alone.
    pub headers: Vec<String>,
    pub body: Option<String>,
}

/// One line.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    pub at: Time,
    /// The same for all lines of one run.
    pub session: Arc<str>,
    pub context: Arc<str>,
    /// As the API server named us, if it did.
    pub identity: Option<Text>,
    /// The card's number within the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Id>,
    #[serde(flatten)]
    pub event: Event,
}

/// The writes of a plan as the journal keeps them.
pub fn writes(plan: &Plan) -> Vec<WriteRecord> {
    plan.writes
        .iter()
        .map(|w| WriteRecord {
            resource: w.resource.qualified(),
            namespace: w.namespace.clone(),
            name: w.name.clone(),
            subresource: w.subresource,
            patch: redacted(&w.patch),
            call: w.call.clone(),
            create: w.create.clone(),
        })
        .collect()
}

/// Of a header only that it is sent: a token may stand in any of them.
pub fn request(request: &Prepared) -> RequestRecord {
    RequestRecord {
        method: request.method,
        url: request.target.words(),
        headers: request.headers.iter().map(|(name, _)| name.clone()).collect(),
        body: request.body.clone(),
    }
}

/// A pod template carries its environment, and people put passwords there.
fn redacted(patch: &Patch) -> Patch {
    let Patch::Json(operations) = patch;
    let mut operations = operations.clone();
    operations.iter_mut().for_each(hide_environment);
    Patch::Json(operations)
}

fn hide_environment(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, inner) in fields.iter_mut() {
                match (name.as_str(), inner.as_array_mut()) {
                    ("env", Some(variables)) => {
                        variables.iter_mut().filter_map(|v| v.get_mut("value")).for_each(|v| *v = "(hidden)".into())
                    }
                    _ => hide_environment(inner),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(hide_environment),
        _ => {}
    }
}

/// An open journal. Clones write to the same file.
#[derive(Debug, Clone)]
pub struct Journal {
    file: Arc<Mutex<File>>,
    path: Arc<PathBuf>,
    pub session: Arc<str>,
}

impl Journal {
    /// Opens (or begins) the journal and its folder.
    ///
    /// # Errors
    /// When the folder or the file cannot be made or opened for appending.
    pub fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        // An older or shared file may be open to others; if it is not ours to change, it stays as its owner wants.
        #[cfg(unix)]
        let _ = file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600));
        let session = format!("{:08x}", fastrand::u32(..)).into();
        Ok(Self { file: Arc::new(Mutex::new(file)), path: Arc::new(path.into()), session })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a line; it may still be in the page cache afterwards.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn note(&self, record: &Record) -> io::Result<()> {
        self.append(record).map(drop)
    }

    /// Appends a line and returns only when the disk has it.
    ///
    /// # Errors
    /// When the disk does not take it: then nothing may be sent.
    pub fn commit(&self, record: &Record) -> io::Result<()> {
        self.append(record)?.sync_data()
    }

    fn append(&self, record: &Record) -> io::Result<File> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        let mut file = self.file.lock().map_err(|_| io::Error::other("a writer of the journal panicked"))?;
        // One write call: lines of two sessions never mix in an O_APPEND file.
        file.write_all(&line)?;
        file.try_clone()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn passwords_in_a_template_are_not_written_down() {
        let template =
            json!({"spec": {"containers": [{"name": "app", "image": "app:v2", "env": [{"name": "DB_PASSWORD", "value": "hunter2"}]}]}});
        let Patch::Json(kept) = redacted(&Patch::Json(vec![json!({"op": "replace", "path": "/spec/template", "value": template})]));
        let text = serde_json::to_string(&kept).unwrap();
        assert!(!text.contains("hunter2") && text.contains("app:v2") && text.contains("DB_PASSWORD"), "{text}");
    }
}
