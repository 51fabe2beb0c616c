//! Objects of built-in kinds in protobuf, as kubectl sends them. Only reading: everybody who writes it reads JSON, too.

use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value};

use super::types::{self, Numbered, Shape, Type};

/// What a body in protobuf begins with.
const MAGIC: &[u8] = b"k8s\0";
/// Deeper than any type is.
const DEPTH: usize = 40;

/// The media type.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// The object in a body. `None`: it is not one, or of a type nobody here knows.
pub fn decode(body: &[u8]) -> Option<Value> {
    let envelope = body.strip_prefix(MAGIC)?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for field in Message(envelope) {
        match field? {
            (1, Wire::Bytes(meta)) => {
                for field in Message(meta) {
                    match field? {
                        (1, Wire::Bytes(text)) => api_version = string(text)?,
                        (2, Wire::Bytes(text)) => kind = string(text)?,
                        _ => (),
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => (),
        }
    }
    let name = if api_version == "events.k8s.io/v1" && kind == "Event" { "Event.events.v1" } else { kind.as_str() };
    let mut object = message(types::named(name)?, raw, DEPTH)?;
    object.insert("apiVersion".into(), api_version.into());
    object.insert("kind".into(), kind.into());
    Some(object.into())
}

/// A value on the wire.
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, one by one; `None` within: the bytes make no sense.
struct Message<'a>(&'a [u8]);

impl<'a> Iterator for Message<'a> {
    type Item = Option<(u32, Wire<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Message<'a> {
    fn field(&mut self) -> Option<(u32, Wire<'a>)> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok()?;
        let value = match tag & 7 {
            0 => Wire::Number(self.varint()?),
            1 => Wire::Number(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Wire::Bytes(self.take(length)?)
            }
            5 => Wire::Number(u32::from_le_bytes(self.take(4)?.try_into().ok()?).into()),
            _ => return None,
        };
        Some((number, value))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

fn string(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

/// Signed numbers travel as if they were large.
fn signed(number: u64) -> i64 {
    i64::from_le_bytes(number.to_le_bytes())
}

fn message(known: &Type, bytes: &[u8], depth: usize) -> Option<Map<String, Value>> {
    let mut object = Map::new();
    level(known, &[], bytes, &mut object, depth.checked_sub(1)?)?;
    Some(object)
}

fn level(known: &Type, above: &[u32], bytes: &[u8], object: &mut Map<String, Value>, depth: usize) -> Option<()> {
    for field in Message(bytes) {
        let (number, wire) = field?;
        let path = [above, &[number]].concat();
        match (known.numbered(&path), wire) {
            (Numbered::Field(name, field), wire) => gather(object.entry(name).or_insert(Value::Null), &field.shape, wire, depth)?,
            (Numbered::Level, Wire::Bytes(bytes)) => level(known, &path, bytes, object, depth.checked_sub(1)?)?,
            _ => (),
        }
    }
    Some(())
}

/// Puts a value into its field; lists and maps come in pieces.
fn gather(slot: &mut Value, shape: &Shape, wire: Wire<'_>, depth: usize) -> Option<()> {
    match (shape, wire) {
        (Shape::List(item, _), wire) => {
            let value = value(item, wire, depth)?;
            match slot {
                Value::Array(items) => items.push(value),
                slot => *slot = vec![value].into(),
            }
        }
        (Shape::Map(item), Wire::Bytes(entry)) => {
            let (mut key, mut held) = (String::new(), None);
            for field in Message(entry) {
                match field? {
                    (1, Wire::Bytes(text)) => key = string(text)?,
                    (2, wire) => held = Some(value(item, wire, depth)?),
                    _ => (),
                }
            }
            let held = held.unwrap_or_else(|| if matches!(**item, Shape::String | Shape::Bytes) { "".into() } else { Value::Null });
            match slot {
                Value::Object(fields) => drop(fields.insert(key, held)),
                slot => *slot = Map::from_iter([(key, held)]).into(),
            }
        }
        (shape, wire) => *slot = value(shape, wire, depth)?,
    }
    Some(())
}

fn value(shape: &Shape, wire: Wire<'_>, depth: usize) -> Option<Value> {
    Some(match (shape, wire) {
        (Shape::String, Wire::Bytes(bytes)) => string(bytes)?.into(),
        (Shape::Int32 | Shape::Int64, Wire::Number(number)) => signed(number).into(),
        (Shape::Bool, Wire::Number(number)) => (number != 0).into(),
        (Shape::Float, Wire::Number(bits)) => f64::from_bits(bits).into(),
        (Shape::Quantity, Wire::Bytes(bytes)) => string(part(bytes, 1)?.0)?.into(),
        (Shape::Time, Wire::Bytes(bytes)) => time(bytes, SecondsFormat::Secs)?,
        (Shape::MicroTime, Wire::Bytes(bytes)) => time(bytes, SecondsFormat::Micros)?,
        (Shape::IntOrString, Wire::Bytes(bytes)) => {
            let (text, is_text) = (part(bytes, 3)?.0, part(bytes, 1)?.1 == 1);
            if is_text { string(text)?.into() } else { signed(part(bytes, 2)?.1).into() }
        }
        (Shape::Bytes, Wire::Bytes(bytes)) => base64(bytes).into(),
        (Shape::Any, Wire::Bytes(bytes)) => serde_json::from_slice(part(bytes, 1)?.0).unwrap_or_default(),
        (Shape::Object(name), Wire::Bytes(bytes)) => message(types::named(name)?, bytes, depth)?.into(),
        _ => return None,
    })
}

/// One field of a small message, as bytes and as a number; empty and zero if it is not there.
fn part(bytes: &[u8], wanted: u32) -> Option<(&[u8], u64)> {
    let mut found = (&[][..], 0);
    for field in Message(bytes) {
        match field? {
            (number, Wire::Bytes(bytes)) if number == wanted => found.0 = bytes,
            (number, Wire::Number(value)) if number == wanted => found.1 = value,
            _ => (),
        }
    }
    Some(found)
}

fn time(bytes: &[u8], precision: SecondsFormat) -> Option<Value> {
    if bytes.is_empty() {
        return Some(Value::Null);
    }
    let (seconds, nanos) = (signed(part(bytes, 1)?.1), part(bytes, 2)?.1);
    let time = DateTime::from_timestamp(seconds, u32::try_from(nanos).ok()?)?;
    // The zero of Go, which nobody means.
    Some(if seconds < -62_000_000_000 { Value::Null } else { time.to_rfc3339_opts(precision, true).into() })
}

/// Base64, as JSON has bytes.
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let encode = |chunk: &[u8]| {
        let bits = chunk.iter().enumerate().fold(0_u32, |bits, (at, byte)| bits | (u32::from(*byte) << (16 - 8 * at)));
        let letters = (0..4).map(|at| char::from(ALPHABET[(bits >> (18 - 6 * at)) as usize & 63]));
        letters.take(chunk.len() + 1).chain(std::iter::repeat_n('=', 3 - chunk.len())).collect::<String>()
    };
    bytes.chunks(3).map(encode).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    /// A message of fields with bytes.
    fn bytes(fields: &[(u8, &[u8])]) -> Vec<u8> {
        fields.iter().flat_map(|(number, bytes)| [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], *bytes].concat()).collect()
    }

    fn envelope(kind: &str, raw: &[u8]) -> Vec<u8> {
        let meta = bytes(&[(1, b"v1"), (2, kind.as_bytes())]);
        [MAGIC, &bytes(&[(1, &meta), (2, raw), (3, b""), (4, b"")])].concat()
    }

    #[test]
    fn objects_are_read_by_their_types() {
        let label = bytes(&[(1, b"a"), (2, b"b")]);
        let metadata = bytes(&[(1, b"x"), (11, &label)]);
        let data = bytes(&[(1, b"key"), (2, b"value")]);
        let map = envelope("ConfigMap", &bytes(&[(1, &metadata), (2, &data)]));
        let expected =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "labels": {"a": "b"}}, "data": {"key": "value"}});
        assert_eq!(decode(&map), Some(expected));
        let port = [&bytes(&[(1, b"http")])[..], &[3 << 3, 80], &bytes(&[(4, &[1 << 3, 1, 3 << 3 | 2, 3, b'w', b'e', b'b'])])].concat();
        let service = envelope("Service", &bytes(&[(2, &bytes(&[(1, &port)]))]));
        let ports = decode(&service).unwrap()["spec"]["ports"].clone();
        assert_eq!(ports, json!([{"name": "http", "port": 80, "targetPort": "web"}]));
    }

    #[test]
    fn levels_that_json_does_not_have_are_left_out() {
        let volume = bytes(&[(1, b"v"), (2, &bytes(&[(2, b"")]))]);
        let pod = envelope("Pod", &bytes(&[(2, &bytes(&[(1, &volume)]))]));
        assert_eq!(decode(&pod).unwrap()["spec"]["volumes"], json!([{"name": "v", "emptyDir": {}}]));
    }

    #[test]
    fn nonsense_is_no_object() {
        assert_eq!(decode(b"{}"), None);
        assert_eq!(decode(&envelope("Nothing", b"")), None);
        assert_eq!(decode(&envelope("Pod", &[0xff; 20])), None);
        assert_eq!(decode(&envelope("Pod", &[2 << 3 | 2, 90])), None);
    }
}
