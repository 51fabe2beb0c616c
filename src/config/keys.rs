//! Key notation, and the keymap made of the table and the user's changes.

use std::collections::BTreeMap;

use crate::{
    config::layer::{Entry, Mistake, Origin},
    intent::{COMMANDS, Command},
};

const NAMED: &[&str] = &[
    "enter",
    "esc",
    "tab",
    "backtab",
    "space",
    "backspace",
    "delete",
    "insert",
    "home",
    "end",
    "pageup",
    "pagedown",
    "up",
    "down",
    "left",
    "right",
    "f1",
    "f2",
    "f3",
    "f4",
    "f5",
    "f6",
    "f7",
    "f8",
    "f9",
    "f10",
    "f11",
    "f12",
];

/// Keys that must keep their meaning: they confirm, override or cancel a card.
const RESERVED: &[&str] = &["y", "o", "esc", "enter"];

/// Whether a key is written as we write keys.
pub fn valid(key: &str) -> bool {
    let bare = key.strip_prefix("ctrl-").or_else(|| key.strip_prefix("alt-")).unwrap_or(key);
    NAMED.contains(&bare) || bare.chars().count() == 1
}

/// The keymap: the table's keys, with those of named commands replaced.
pub fn bind(changes: &BTreeMap<String, Entry>, mistakes: &mut Vec<Mistake>) -> BTreeMap<String, Command> {
    let place = |name: &str| changes.get(name).map(|entry| entry.origin.clone());
    let mut wrong = |name: &str, text: String| mistakes.push(Mistake { origin: place(name).unwrap_or(Origin::Default), text });
    for name in changes.keys().filter(|n| !COMMANDS.iter().any(|r| r.name == n.as_str())) {
        let names: Vec<&str> = COMMANDS.iter().map(|r| r.name).collect();
        wrong(name, format!("keys.{name}: no such command; commands: {}", names.join(", ")));
    }
    let mut map = BTreeMap::new();
    for row in COMMANDS {
        let own = changes.get(row.name).map(|entry| entry.texts.clone());
        let keys: Vec<String> = own.unwrap_or_else(|| row.keys.iter().map(|k| (*k).to_owned()).collect());
        for key in keys {
            if !valid(&key) {
                let names = NAMED.join(", ");
                wrong(row.name, format!("keys.{}: '{key}' is no key; write a character, ctrl-x, alt-x, or one of {names}", row.name));
            } else if changes.contains_key(row.name) && RESERVED.contains(&key.as_str()) && !row.keys.contains(&key.as_str()) {
                wrong(row.name, format!("keys.{}: '{key}' answers action cards and cannot start anything", row.name));
            } else if let Some(other) = map.insert(key.clone(), row.command) {
                let other = COMMANDS.iter().find(|r| r.command == other).map_or("?", |r| r.name);
                // The one that was changed, and of two the later in the table.
                let changed = if changes.contains_key(row.name) { row.name } else { other };
                wrong(changed, format!("key '{key}' is bound to both {other} and {}", row.name));
            }
        }
    }
    map
}
