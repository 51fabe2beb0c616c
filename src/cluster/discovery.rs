//! Which kinds a server knows, by its own list of them.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use serde::Deserialize;
use tokio::time::Instant;

/// What the server said lately.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// `group/version`; none when the list could not be read.
    pub groups: Option<(Instant, Option<BTreeSet<String>>)>,
    /// Plural names by path of the group's document.
    pub kinds: HashMap<String, (Instant, BTreeSet<String>)>,
}

impl Catalogue {
    pub fn forget_older_than(&mut self, age: Duration) {
        self.groups.take_if(|(at, _)| at.elapsed() >= age);
        self.kinds.retain(|_, (at, _)| at.elapsed() < age);
    }
}

/// All `group/version` of an `APIGroupList`.
pub fn groups(bytes: &[u8]) -> Option<BTreeSet<String>> {
    #[derive(Deserialize)]
    struct List {
        groups: Vec<Group>,
    }
    #[derive(Deserialize)]
    struct Group {
        #[serde(default)]
        versions: Vec<Version>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        group_version: String,
    }
    let list: List = serde_json::from_slice(bytes).ok()?;
    Some(list.groups.into_iter().flat_map(|group| group.versions).map(|version| version.group_version).collect())
}

/// Plural names of an `APIResourceList`.
pub fn kinds(bytes: &[u8]) -> BTreeSet<String> {
    #[derive(Deserialize)]
    struct List {
        #[serde(default)]
        resources: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        name: String,
    }
    let list: Option<List> = serde_json::from_slice(bytes).ok();
    list.into_iter().flat_map(|list| list.resources).map(|entry| entry.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_kinds_are_read_and_anything_else_is_none() {
        let list = br#"{"kind":"APIGroupList","groups":[{"name":"apps","versions":[{"groupVersion":"apps/v1","version":"v1"}]},{"name":"empty"}]}"#;
        assert_eq!(groups(list), Some(BTreeSet::from(["apps/v1".to_owned()])));
        assert_eq!(groups(b"<html>"), None);
        assert_eq!(kinds(br#"{"resources":[{"name":"deployments"},{"name":"deployments/scale"}]}"#).len(), 2);
        assert!(kinds(b"{}").is_empty());
    }
}
