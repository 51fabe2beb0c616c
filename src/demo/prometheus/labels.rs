//! Labels of a series, kept so that a histogram's buckets share all they have in common.
//!
//! A classic histogram is twenty series that differ in `le` and in the end of their names. [`Labels`] therefore holds the
//! name, `le` and the rest apart: dropping the name or grouping without `le`, which queries do all the time, allocates
//! nothing, and tens of thousands of series cost as much memory as a few thousand label sets.

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

/// Label that holds the metric's name.
pub const NAME: &str = "__name__";
/// Label that holds a bucket's upper bound.
pub const BUCKET: &str = "le";

type Pair = (Arc<str>, Arc<str>);

/// Labels other than name and `le`: sorted, none empty.
#[derive(Debug)]
pub struct LabelSet {
    pairs: Box<[Pair]>,
    hash: u64,
}

impl LabelSet {
    /// Sorts, and drops labels without a value: Prometheus takes them as not there. The last of equal names counts.
    pub fn new(mut pairs: Vec<Pair>) -> Self {
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs.reverse();
        pairs.dedup_by(|a, b| a.0 == b.0);
        pairs.reverse();
        pairs.retain(|(_, value)| !value.is_empty());
        Self::sorted(pairs)
    }

    fn sorted(pairs: Vec<Pair>) -> Self {
        let mut hasher = DefaultHasher::new();
        pairs.hash(&mut hasher);
        Self { pairs: pairs.into_boxed_slice(), hash: hasher.finish() }
    }

    fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(key, _)| **key == *name).map_or("", |(_, value)| value)
    }

    /// The pairs for which `keep` holds; itself if that is all.
    fn filter(self: &Arc<Self>, keep: impl Fn(&str) -> bool) -> Arc<Self> {
        if self.pairs.iter().all(|(name, _)| keep(name)) {
            return self.clone();
        }
        Arc::new(Self::sorted(self.pairs.iter().filter(|(name, _)| keep(name)).cloned().collect()))
    }

    fn with(&self, name: &str, value: &str) -> Self {
        let mut pairs: Vec<Pair> = self.pairs.iter().filter(|(key, _)| **key != *name).cloned().collect();
        pairs.push((name.into(), value.into()));
        Self::new(pairs)
    }
}

impl PartialEq for LabelSet {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.pairs == other.pairs
    }
}

impl Eq for LabelSet {}

impl Hash for LabelSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// All labels of a series. Cloning is cheap.
#[derive(Clone)]
pub struct Labels {
    name: Option<Arc<str>>,
    bucket: Option<Arc<str>>,
    rest: Arc<LabelSet>,
}

impl Labels {
    /// A series of this metric.
    pub fn new(name: Arc<str>, rest: Arc<LabelSet>) -> Self {
        Self { name: Some(name), bucket: None, rest }
    }

    /// One bucket of this histogram.
    pub fn bucket(name: Arc<str>, bound: Arc<str>, rest: Arc<LabelSet>) -> Self {
        Self { name: Some(name), bucket: Some(bound), rest }
    }

    pub fn empty() -> Self {
        Self { name: None, bucket: None, rest: Arc::new(LabelSet::sorted(Vec::new())) }
    }

    /// From any labels, the name as `__name__`.
    pub fn from_pairs<K: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        let (mut name, mut bucket, mut rest) = (None, None, Vec::new());
        for (key, value) in pairs {
            let value: Arc<str> = value.as_ref().into();
            match key.as_ref() {
                NAME => name = Some(value),
                BUCKET => bucket = Some(value),
                other => rest.push((other.into(), value)),
            }
        }
        let filled = |value: &Arc<str>| !value.is_empty();
        Self { name: name.filter(filled), bucket: bucket.filter(filled), rest: Arc::new(LabelSet::new(rest)) }
    }

    /// The label's value, empty if there is no such label.
    pub fn get(&self, label: &str) -> &str {
        match label {
            NAME => self.name.as_deref().unwrap_or_default(),
            BUCKET => self.bucket.as_deref().unwrap_or_default(),
            other => self.rest.get(other),
        }
    }

    pub fn name(&self) -> Option<&Arc<str>> {
        self.name.as_ref()
    }

    /// What series of the same target and meaning share.
    pub fn rest(&self) -> &Arc<LabelSet> {
        &self.rest
    }

    pub fn without_name(&self) -> Self {
        Self { name: None, ..self.clone() }
    }

    pub fn without_bucket(&self) -> Self {
        Self { bucket: None, ..self.clone() }
    }

    /// With this label set, or without it if the value is empty.
    pub fn with(&self, label: &str, value: &str) -> Self {
        let single = || (!value.is_empty()).then(|| value.into());
        match label {
            NAME => Self { name: single(), ..self.clone() },
            BUCKET => Self { bucket: single(), ..self.clone() },
            other => Self { rest: Arc::new(self.rest.with(other, value)), ..self.clone() },
        }
    }

    /// Pairs in the order of their names.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let single = |name: &'static str, value: &'_ Option<Arc<str>>| value.is_some().then_some(name);
        let mut apart = [single(NAME, &self.name), single(BUCKET, &self.bucket)].into_iter().flatten().peekable();
        let mut rest = self.rest.pairs.iter().peekable();
        std::iter::from_fn(move || match (apart.peek(), rest.peek()) {
            (Some(name), Some((other, _))) if **other < **name => rest.next().map(|(k, v)| (&**k, &**v)),
            (Some(_), _) => apart.next().map(|name| (name, self.get(name))),
            (None, _) => rest.next().map(|(k, v)| (&**k, &**v)),
        })
    }

    /// Shares the strings of earlier labels.
    pub(super) fn interned(self, pool: &mut Pool) -> Self {
        Self {
            name: self.name.map(|name| pool.text(&name)),
            bucket: self.bucket.map(|bucket| pool.text(&bucket)),
            rest: pool.set(&self.rest),
        }
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.bucket == other.bucket && (Arc::ptr_eq(&self.rest, &other.rest) || self.rest == other.rest)
    }
}

impl Eq for Labels {}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, &self.bucket, &self.rest).hash(state);
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.pairs().cmp(other.pairs())
    }
}

/// As in Prometheus' messages: `{__name__="up", job="x"}`.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (name, value)) in self.pairs().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{name}={value:?}")?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Strings and label sets that are in use, each once.
#[derive(Debug, Default)]
pub(super) struct Pool {
    texts: HashSet<Arc<str>>,
    sets: HashSet<Arc<LabelSet>>,
    /// Buckets arrive side by side: the set of the sample before, and what it became.
    last: Option<(Arc<LabelSet>, Arc<LabelSet>)>,
}

impl Pool {
    fn text(&mut self, text: &Arc<str>) -> Arc<str> {
        if let Some(known) = self.texts.get(&**text) {
            return known.clone();
        }
        self.texts.insert(text.clone());
        text.clone()
    }

    fn set(&mut self, set: &Arc<LabelSet>) -> Arc<LabelSet> {
        if let Some((before, known)) = &self.last
            && Arc::ptr_eq(before, set)
        {
            return known.clone();
        }
        let known = match self.sets.get(set) {
            Some(known) => known.clone(),
            None => {
                let pairs = set.pairs.iter().map(|(name, value)| (self.text(name), self.text(value))).collect();
                let fresh = Arc::new(LabelSet { pairs, hash: set.hash });
                self.sets.insert(fresh.clone());
                fresh
            }
        };
        self.last = Some((set.clone(), known.clone()));
        known
    }

    /// Forgets what nobody else holds.
    pub(super) fn sweep(&mut self) {
        self.last = None;
        self.sets.retain(|set| Arc::strong_count(set) > 1);
        self.texts.retain(|text| Arc::strong_count(text) > 1);
    }
}

/// Which labels a grouping or a matching looks at.
#[derive(Debug, Clone)]
pub(super) enum Names {
    /// `by`, `on`.
    Only(Vec<String>),
    /// `without`, `ignoring`. The name is never looked at.
    AllBut(Vec<String>),
}

impl Names {
    fn keeps(&self, label: &str) -> bool {
        match self {
            Self::Only(names) => names.iter().any(|name| name == label),
            Self::AllBut(names) => label != NAME && !names.iter().any(|name| name == label),
        }
    }
}

/// Reduces labels to some names, once for each set that many series share.
pub(super) struct Projection<'a> {
    names: &'a Names,
    name: bool,
    bucket: bool,
    /// By address; the originals are held so that no address is reused.
    sets: HashMap<*const LabelSet, (Arc<LabelSet>, Arc<LabelSet>)>,
}

impl<'a> Projection<'a> {
    pub fn new(names: &'a Names) -> Self {
        Self { names, name: names.keeps(NAME), bucket: names.keeps(BUCKET), sets: HashMap::new() }
    }

    pub fn of(&mut self, labels: &Labels) -> Labels {
        let names = self.names;
        let fresh = || (labels.rest.clone(), labels.rest.filter(|name| names.keeps(name)));
        let (_, rest) = self.sets.entry(Arc::as_ptr(&labels.rest)).or_insert_with(fresh);
        Labels {
            name: labels.name.clone().filter(|_| self.name),
            bucket: labels.bucket.clone().filter(|_| self.bucket),
            rest: rest.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied())
    }

    #[test]
    fn name_and_bucket_are_labels_like_others() {
        let l = labels(&[("zone", "b"), ("le", "0.5"), ("Zone", "a"), ("__name__", "x"), ("empty", "")]);
        let pairs: Vec<(&str, &str)> = l.pairs().collect();
        assert_eq!(pairs, [("Zone", "a"), ("__name__", "x"), ("le", "0.5"), ("zone", "b")]);
        assert_eq!((l.get("le"), l.get("__name__"), l.get("zone"), l.get("empty")), ("0.5", "x", "b", ""));
        assert_eq!(l.without_name().without_bucket(), labels(&[("Zone", "a"), ("zone", "b")]));
        assert_eq!(l.to_string(), r#"{Zone="a", __name__="x", le="0.5", zone="b"}"#);
        assert_eq!(l.with("zone", "").with("le", "1").with("a", "b"), labels(&[("Zone", "a"), ("__name__", "x"), ("a", "b"), ("le", "1")]));
    }

    #[test]
    fn order_is_by_name_then_value_then_length() {
        let mut all = [labels(&[("a", "2")]), labels(&[("b", "1")]), labels(&[("a", "1"), ("b", "1")]), labels(&[("a", "1")]), labels(&[])];
        all.sort();
        let shown: Vec<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["{}", r#"{a="1"}"#, r#"{a="1", b="1"}"#, r#"{a="2"}"#, r#"{b="1"}"#]);
    }

    #[test]
    fn projections_keep_or_drop() {
        let l = labels(&[("__name__", "x"), ("le", "1"), ("a", "1"), ("b", "2")]);
        let project = |names| Projection::new(&names).of(&l);
        assert_eq!(project(Names::Only(vec!["a".into(), "le".into(), "none".into()])), labels(&[("a", "1"), ("le", "1")]));
        assert_eq!(project(Names::Only(vec!["__name__".into()])), labels(&[("__name__", "x")]));
        assert_eq!(project(Names::AllBut(vec!["a".into()])), labels(&[("b", "2"), ("le", "1")]));
    }

    #[test]
    fn the_pool_shares_and_forgets() {
        let mut pool = Pool::default();
        let a = labels(&[("__name__", "x"), ("a", "1")]).interned(&mut pool);
        let b = labels(&[("__name__", "y"), ("a", "1")]).interned(&mut pool);
        assert!(Arc::ptr_eq(a.rest(), b.rest()));
        drop(a);
        pool.sweep();
        assert_eq!(pool.texts.len(), 3);
        drop(b);
        pool.sweep();
        pool.sweep();
        assert!(pool.texts.is_empty() && pool.sets.is_empty());
    }
}
