//! Untrusted text, made harmless once, where it enters.

use std::{fmt, ops::Deref, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest text kept from a cluster, in characters. An event message has at most 1024 bytes;
/// conditions may be larger, and nobody reads further on a terminal.
const LONGEST: usize = 2_000;

/// Text that cannot steer a terminal: no control characters (C0, C1, DEL), no bidirectional
/// overrides, no invisible joiners. Line breaks and tabs become a space.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(Arc<str>);

impl Text {
    pub fn clean(raw: &str) -> Self {
        if raw.len() <= LONGEST && raw.chars().all(harmless) {
            return Self(raw.into());
        }
        let mut out: String = raw.chars().take(LONGEST).filter_map(tame).collect();
        if raw.chars().count() > LONGEST {
            out.push('…');
        }
        Self(out.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Characters of zero width or with a say in direction: invisible, so able to deceive.
fn invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e007f}')
}

fn harmless(c: char) -> bool {
    !c.is_control() && !invisible(c)
}

fn tame(c: char) -> Option<char> {
    match c {
        '\n' | '\r' | '\t' => Some(' '),
        c if harmless(c) => Some(c),
        c if c.is_control() => Some('\u{fffd}'),
        _ => None,
    }
}

impl Default for Text {
    fn default() -> Self {
        Self("".into())
    }
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Text {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl From<&str> for Text {
    fn from(raw: &str) -> Self {
        Self::clean(raw)
    }
}

impl From<String> for Text {
    fn from(raw: String) -> Self {
        Self::clean(&raw)
    }
}

impl From<&String> for Text {
    fn from(raw: &String) -> Self {
        Self::clean(raw)
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Self::clean(&std::borrow::Cow::<'de, str>::deserialize(d)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_escape_sequence_survives() {
        let hostile = "a\x1b[2Jb\x1b]0;title\x07c\u{9b}31md\u{202e}e\u{200b}f\r\ng\u{7f}";
        let text = Text::clean(hostile);
        assert!(text.chars().all(harmless), "{text:?}");
        assert!(text.contains("[2Jb"), "the visible part stays readable: {text:?}");
    }

    #[test]
    fn ordinary_text_is_untouched() {
        assert_eq!(Text::clean("Zürich – ≥ 99 %"), "Zürich – ≥ 99 %");
    }

    #[test]
    fn endless_text_ends() {
        assert_eq!(Text::clean(&"x".repeat(9_000)).chars().count(), LONGEST + 1);
    }
}
