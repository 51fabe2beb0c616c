//! The types of the built-in kinds: which fields there are, what they may hold, how lists in them are merged.
//!
//! `assets/demo/types.txt` has one type a line: its name, then its fields as `name#NUMBER:TYPE`. The number is the field's
//! in protobuf, with a dot where JSON has no level of its own. A `=` behind the name of a type or a field makes it atomic:
//! it has one owner as a whole. A TYPE is
//! - `s i l f b`: string, int32, int64, float, bool; `q` quantity, `t` and `u` times in seconds and microseconds, `x` a
//!   number or a string, `y` bytes, `*` anything;
//! - the name of another type;
//! - `[T]` a list; behind it `=` makes it a set, `{a,b}` a list of objects told apart by these fields;
//! - `<T>` a map; behind it `=` makes it atomic.
//!
//! Then come `~key` for lists that a strategic merge patch merges by that key (without a key: by value), `^` for objects
//! of which a patch names the fields to retain, and last `!` for fields that are there even if nobody gave them, or `?`
//! for fields whose zero means something else than their absence.

use std::{collections::HashMap, sync::OnceLock};

use crate::demo::kinds::Kind;

/// A type of a built-in kind.
#[derive(Debug)]
pub struct Type {
    pub name: &'static str,
    /// Has one owner as a whole.
    pub atomic: bool,
    fields: Vec<(&'static str, Field)>,
}

impl Type {
    pub fn field(&self, name: &str) -> Option<&Field> {
        let at = self.fields.binary_search_by_key(&name, |(name, _)| name).ok()?;
        Some(&self.fields[at].1)
    }

    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &Field)> {
        self.fields.iter().map(|(name, field)| (*name, field))
    }

    /// The field with this number in protobuf, or what is known to be below it.
    pub fn numbered(&self, path: &[u32]) -> Numbered<'_> {
        match self.fields.iter().find(|(_, field)| field.number.starts_with(path)) {
            Some((name, field)) if field.number.len() == path.len() => Numbered::Field(name, field),
            Some(_) => Numbered::Level,
            None => Numbered::Nothing,
        }
    }

    /// As error messages call it.
    pub fn go_name(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(name, _)| name)
    }
}

/// What a number in protobuf stands for.
pub enum Numbered<'a> {
    Field(&'static str, &'a Field),
    /// A message whose fields JSON has one level higher.
    Level,
    Nothing,
}

#[derive(Debug)]
pub struct Field {
    /// In protobuf; empty for what is not there.
    pub number: Vec<u32>,
    pub shape: Shape,
    /// Has one owner as a whole, whatever its type says.
    pub atomic: bool,
    /// What a strategic merge patch does with the list here; `Some("")` merges by value.
    pub merge_key: Option<&'static str>,
    pub retain_keys: bool,
    pub presence: Presence,
}

/// What the absence of a field, or a zero in it, comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// A zero is the same as absence, and is left out.
    OmitZero,
    /// Kept when given.
    Optional,
    /// Always there, if need be as a zero.
    Always,
}

#[derive(Debug)]
pub enum Shape {
    String,
    Int32,
    Int64,
    Float,
    Bool,
    Quantity,
    Time,
    MicroTime,
    IntOrString,
    Bytes,
    Any,
    Object(&'static str),
    List(Box<Shape>, Topology),
    Map(Box<Shape>),
}

/// What makes two elements of a list the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    /// Nothing: the list is one value.
    Atomic,
    /// Being equal.
    Set,
    /// These fields.
    Keys(Vec<&'static str>),
}

/// The type of this name.
pub fn named(name: &str) -> Option<&'static Type> {
    static TABLE: OnceLock<HashMap<&'static str, Type>> = OnceLock::new();
    let lines = || include_str!("../../../assets/demo/types.txt").lines().filter(|line| !line.starts_with('#'));
    TABLE.get_or_init(|| lines().filter_map(parse).map(|read| (read.name, read)).collect()).get(name)
}

/// The type of a built-in kind's objects. `None`: nothing is known of them.
pub fn of(kind: &Kind) -> Option<&'static Type> {
    match (kind.group.as_str(), kind.kind.as_str()) {
        _ if kind.custom.is_some() => None,
        ("events.k8s.io", _) => named("Event.events.v1"),
        (_, name) => named(name),
    }
}

fn parse(line: &'static str) -> Option<Type> {
    let mut words = line.split(' ');
    let name = words.next().filter(|name| !name.is_empty())?;
    let mut fields: Vec<_> = words.filter_map(|word| word.split_once(':')).map(|(name, rest)| field(name, rest)).collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    Some(Type { name: name.trim_end_matches('='), atomic: name.ends_with('='), fields })
}

fn field(name: &'static str, text: &'static str) -> (&'static str, Field) {
    let (name, number) = name.split_once('#').unwrap_or((name, ""));
    let number = number.split('.').filter_map(|part| part.parse().ok()).collect();
    let (text, presence) = match text.as_bytes().last() {
        Some(b'!') => (&text[..text.len() - 1], Presence::Always),
        Some(b'?') => (&text[..text.len() - 1], Presence::Optional),
        _ => (text, Presence::OmitZero),
    };
    let (text, retain_keys) = text.strip_suffix('^').map_or((text, false), |text| (text, true));
    let (text, merge_key) = text.split_once('~').map_or((text, None), |(text, key)| (text, Some(key)));
    let (shape, rest) = shape(text);
    (name, Field { number, shape, atomic: rest == "=", merge_key, retain_keys, presence })
}

/// A shape and what stands behind it.
fn shape(text: &'static str) -> (Shape, &'static str) {
    if let Some(inner) = text.strip_prefix('[') {
        let (item, rest) = shape(inner);
        let rest = rest.strip_prefix(']').unwrap_or(rest);
        let (topology, rest) = match rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            Some((keys, rest)) => (Topology::Keys(keys.split(',').collect()), rest),
            None if rest.starts_with('=') => (Topology::Set, &rest[1..]),
            None => (Topology::Atomic, rest),
        };
        return (Shape::List(Box::new(item), topology), rest);
    }
    if let Some(inner) = text.strip_prefix('<') {
        let (value, rest) = shape(inner);
        return (Shape::Map(Box::new(value)), rest.strip_prefix('>').unwrap_or(rest));
    }
    let end = text.find([']', '>', '=']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    (scalar(name).unwrap_or(Shape::Object(name)), rest)
}

fn scalar(name: &str) -> Option<Shape> {
    Some(match name {
        "s" => Shape::String,
        "i" => Shape::Int32,
        "l" => Shape::Int64,
        "f" => Shape::Float,
        "b" => Shape::Bool,
        "q" => Shape::Quantity,
        "t" => Shape::Time,
        "u" => Shape::MicroTime,
        "x" => Shape::IntOrString,
        "y" => Shape::Bytes,
        "*" => Shape::Any,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::demo::kinds;

    #[test]
    fn every_built_in_kind_has_its_type_and_every_type_is_there() {
        let untyped: Vec<_> = kinds::built_in().into_iter().filter(|kind| of(kind).is_none()).map(|kind| kind.kind).collect();
        assert_eq!(untyped, ["CustomResourceDefinition"]);
        fn check(shape: &Shape, seen: &mut Vec<&'static str>) {
            match shape {
                Shape::Object(name) if !seen.contains(name) => {
                    seen.push(name);
                    named(name).unwrap_or_else(|| panic!("no type {name}")).fields().for_each(|(_, field)| check(&field.shape, seen));
                }
                Shape::List(inner, _) | Shape::Map(inner) => check(inner, seen),
                _ => (),
            }
        }
        let mut seen = Vec::new();
        kinds::built_in().iter().filter_map(of).for_each(|root| root.fields().for_each(|(_, field)| check(&field.shape, &mut seen)));
        assert!(seen.len() > 200, "{}", seen.len());
    }

    #[test]
    fn fields_say_how_they_are_merged() {
        let pod = named("PodSpec").unwrap();
        let containers = pod.field("containers").unwrap();
        assert!(matches!(&containers.shape, Shape::List(item, Topology::Keys(keys))
            if matches!(**item, Shape::Object("Container")) && *keys == ["name"]));
        assert_eq!((containers.merge_key, containers.retain_keys, containers.presence), (Some("name"), false, Presence::Always));
        assert!(pod.field("volumes").unwrap().retain_keys);
        assert!(pod.field("nodeSelector").unwrap().atomic);
        assert!(matches!(&pod.field("tolerations").unwrap().shape, Shape::List(_, Topology::Atomic)));
        let finalizers = named("ObjectMeta").unwrap().field("finalizers").unwrap();
        assert!(matches!(&finalizers.shape, Shape::List(_, Topology::Set)) && finalizers.merge_key == Some(""));
        assert!(named("LabelSelector").unwrap().atomic);
        assert!(pod.field("nothing").is_none());
    }
}
