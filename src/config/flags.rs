//! Feature flags as they are written: `[[flags]]` in a file, each with the request that switches it off and the one that tells.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use serde_json::Value;
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use super::secret::{self, FORM, expanded};
use crate::{
    engine::{
        ENGINES,
        flag::{Address, Expect, Flag, Header, Request, Template, address, allowed, filled},
    },
    model::{EngineKind, Text},
    settings::{NAMING, names_rollouts},
};

const FLAG: &[&str] = &["name", "rollouts", "engine", "headers", "off", "read", "on", "insecure", "ca-file", "timeout"];
const OFF: &[&str] = &["method", "url", "headers", "body", "expect"];
const READ: &[&str] = &["method", "url", "headers", "body", "pointer", "off"];
const ON: &[&str] = &["method", "url", "headers", "body"];
const EXPECT: &[&str] = &["status", "pointer", "value"];

/// Those that change something.
const CHANGING: &[&str] = &["POST", "PUT", "PATCH", "DELETE"];
/// `POST`, because some servers evaluate a flag that way.
const READING: &[&str] = &["GET", "POST"];

/// What HTTP itself sets.
const OF_HTTP: &[&str] = &["host", "content-length", "transfer-encoding", "connection", "te", "upgrade"];

const TIMEOUT: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(60);

/// A mistake: its place in the text, and what to write instead.
pub type Wrong = (usize, String);

/// All flags of a file; of one with a mistake nothing is taken.
pub fn flags(value: &Spanned<DeValue<'_>>, wrong: &mut Vec<Wrong>) -> Vec<Flag> {
    let at = value.span().start;
    let Some(all) = value.get_ref().as_array() else {
        wrong.push((at, "flags must be written as [[flags]], a table each".into()));
        return Vec::new();
    };
    let mut found: Vec<Flag> = Vec::new();
    for one in all {
        let at = one.span().start;
        let Some(table) = one.get_ref().as_table() else {
            wrong.push((at, "flags must be written as [[flags]], a table each".into()));
            continue;
        };
        let before = wrong.len();
        let flag = Reader { path: "flags".into(), at, table, wrong }.flag();
        match flag.filter(|_| wrong.len() == before) {
            Some(flag) if found.iter().any(|other| other.name == flag.name) => {
                wrong.push((at, format!("flags.name = '{}' stands twice: the journal and the card tell flags by it", flag.name)));
            }
            flag => found.extend(flag),
        }
    }
    found
}

/// One table of a flag.
struct Reader<'a, 'w> {
    path: String,
    at: usize,
    table: &'a DeTable<'a>,
    wrong: &'w mut Vec<Wrong>,
}

type Spot<'a> = &'a Spanned<DeValue<'a>>;

impl<'a> Reader<'a, '_> {
    fn get(&self, name: &str) -> Option<Spot<'a>> {
        self.table.iter().find(|(key, _)| *key.get_ref() == name).map(|(_, value)| value)
    }

    fn mistake<T>(&mut self, at: usize, name: &str, fix: impl std::fmt::Display) -> Option<T> {
        let dot = if name.is_empty() { "" } else { "." };
        self.wrong.push((at, format!("{}{dot}{name}: {fix}", self.path)));
        None
    }

    fn known(&mut self, known: &[&str]) {
        for key in self.table.keys().filter(|key| !known.contains(&&**key.get_ref())) {
            let text = format!("unknown setting '{}.{}'; known here: {}", self.path, key.get_ref(), known.join(", "));
            self.wrong.push((key.span().start, text));
        }
    }

    fn text(&mut self, name: &str, fix: &str) -> Option<(usize, String)> {
        let value = self.get(name)?;
        let at = value.span().start;
        match value.get_ref().as_str().filter(|text| !text.trim().is_empty()) {
            Some(text) => Some((at, text.to_owned())),
            None => self.mistake(at, name, fix),
        }
    }

    /// A table within this one.
    fn inner<T>(&mut self, name: &str, read: impl FnOnce(&mut Reader<'a, '_>) -> Option<T>) -> Option<T> {
        let value = self.get(name)?;
        let at = value.span().start;
        let Some(table) = value.get_ref().as_table() else { return self.mistake(at, name, "write a table") };
        read(&mut Reader { path: format!("{}.{name}", self.path), at, table, wrong: self.wrong })
    }

    fn needs<T>(&mut self, name: &str, what: &str, value: Option<T>) -> Option<T> {
        if self.get(name).is_none() {
            return self.mistake(self.at, "", format!("a flag needs `{name}`, {what}"));
        }
        value
    }

    fn flag(&mut self) -> Option<Flag> {
        self.known(FLAG);
        let name = self.text("name", "write the flag's name in quotes").map(|(_, name)| Text::clean(&name));
        let name = self.needs("name", "what people call it", name);
        let rollouts = self.rollouts();
        let rollouts = self.needs("rollouts", "such as rollouts = [\"shop/checkout\"]", rollouts);
        let engine = self.engine();
        let insecure = self.boolean("insecure").unwrap_or_default();
        let ca_file = self.text("ca-file", "write a path in quotes").map(|(_, path)| expanded(&path));
        let timeout = self.timeout();
        let common = self.headers(&[]);
        let off = self.inner("off", |r| r.off(insecure, &common));
        let off = self.needs("off", "the request that switches it off", off);
        let read = self.inner("read", |r| r.read(insecure, &common));
        let read = self.needs("read", "the request that tells whether it is off", read);
        let on = self.inner("on", |r| {
            r.known(ON);
            r.request(CHANGING, "POST", insecure, &common)
        });
        let ((off, expect), (read, pointer, off_value)) = (off?, read?);
        Some(Flag { name: name?, rollouts: rollouts?, engine, off, expect, read, pointer, off_value, on, insecure, ca_file, timeout })
    }

    fn rollouts(&mut self) -> Option<Vec<String>> {
        let value = self.get("rollouts")?;
        let one = value.get_ref().as_str().map(|text| vec![text.to_owned()]);
        let patterns = one.or_else(|| texts(value.get_ref().as_array()?)).unwrap_or_default();
        if patterns.is_empty() || !patterns.iter().all(|pattern| names_rollouts(pattern)) {
            let fix = format!("{NAMING}, such as [\"shop/*\"]");
            return self.mistake(value.span().start, "rollouts", fix);
        }
        Some(patterns)
    }

    fn engine(&mut self) -> Option<EngineKind> {
        let known = || ENGINES.iter().map(|engine| engine.kind());
        let fix = format!("write one of {}", known().map(EngineKind::name).collect::<Vec<_>>().join(", "));
        let (at, text) = self.text("engine", &fix)?;
        match known().find(|engine| engine.name() == text) {
            Some(engine) => Some(engine),
            None => self.mistake(at, "engine", format!("'{text}' is no engine; {fix}")),
        }
    }

    fn boolean(&mut self, name: &str) -> Option<bool> {
        let value = self.get(name)?;
        match value.get_ref().as_bool() {
            Some(value) => Some(value),
            None => self.mistake(value.span().start, name, "write true or false"),
        }
    }

    fn timeout(&mut self) -> Duration {
        let fix = "write a duration up to a minute, such as \"5s\"";
        let Some((at, text)) = self.text("timeout", fix) else { return TIMEOUT };
        match humantime::parse_duration(&text).ok().filter(|time| !time.is_zero() && *time <= LONGEST) {
            Some(time) => time,
            None => self.mistake(at, "timeout", fix).unwrap_or(TIMEOUT),
        }
    }

    fn off(&mut self, insecure: bool, common: &[(String, Header)]) -> Option<(Request, Expect)> {
        self.known(OFF);
        let expect = match self.get("expect") {
            Some(_) => self.inner("expect", |r| r.expected()),
            None => Some(Expect::default()),
        };
        Some((self.request(CHANGING, "POST", insecure, common)?, expect?))
    }

    fn expected(&mut self) -> Option<Expect> {
        self.known(EXPECT);
        let status = match self.get("status") {
            None => Vec::new(),
            Some(value) => {
                let one = std::slice::from_ref(value);
                let all: &[Spanned<DeValue<'_>>] = value.get_ref().as_array().map_or(one, |all| all.as_ref());
                let code = |one: &Spanned<DeValue<'_>>| json(one.get_ref())?.as_u64().and_then(|n| u16::try_from(n).ok());
                let codes: Option<Vec<u16>> = all.iter().map(|one| code(one).filter(|code| (200..300).contains(code))).collect();
                match codes.filter(|codes| !codes.is_empty()) {
                    Some(codes) => codes,
                    None => return self.mistake(value.span().start, "status", "write status codes from 200 to 299, such as [200, 204]"),
                }
            }
        };
        let answer = match (self.get("pointer"), self.get("value")) {
            (None, None) => None,
            (Some(_), Some(value)) => Some((self.pointer()?, self.value("value", value)?)),
            _ => return self.mistake(self.at, "", "`pointer` and `value` belong together"),
        };
        Some(Expect { status, answer })
    }

    fn read(&mut self, insecure: bool, common: &[(String, Header)]) -> Option<(Request, String, Value)> {
        self.known(READ);
        let pointer = if self.get("pointer").is_some() {
            self.pointer()
        } else {
            self.mistake(self.at, "", "a read-back needs `pointer`, a JSON pointer such as \"/enabled\"")
        };
        let off = match self.get("off") {
            Some(value) => self.value("off", value),
            None => self.mistake(self.at, "", "a read-back needs `off`, what stands there when the flag is off, such as off = false"),
        };
        Some((self.request(READING, "GET", insecure, common)?, pointer?, off?))
    }

    fn pointer(&mut self) -> Option<String> {
        let fix = "write a JSON pointer, such as \"/environments/production/on\"";
        let value = self.get("pointer")?;
        match value.get_ref().as_str().filter(|text| text.starts_with('/')) {
            Some(text) => Some(text.to_owned()),
            None => self.mistake(value.span().start, "pointer", fix),
        }
    }

    fn value(&mut self, name: &str, value: Spot<'_>) -> Option<Value> {
        match json(value.get_ref()) {
            Some(value) => Some(value),
            None => self.mistake(value.span().start, name, "write a text, a number, or true or false"),
        }
    }

    fn request(
        &mut self,
        methods: &'static [&'static str],
        usual: &'static str,
        insecure: bool,
        common: &[(String, Header)],
    ) -> Option<Request> {
        let fix = format!("write one of {}", methods.join(", "));
        let method = match self.get("method") {
            None => usual,
            Some(_) => {
                let (at, text) = self.text("method", &fix)?;
                match methods.iter().find(|method| **method == text) {
                    Some(method) => method,
                    None => return self.mistake(at, "method", format!("'{text}' does not do here; {fix}")),
                }
            }
        };
        let url = self.url(insecure);
        let body = self.body();
        let headers = self.headers(common);
        if method == "GET" && body.is_some() {
            return self.mistake(self.at, "body", "a GET has no body");
        }
        Some(Request { method, url: url?, headers, body })
    }

    fn url(&mut self, insecure: bool) -> Option<Address> {
        let Some(value) = self.get("url") else { return self.mistake(self.at, "", "a request needs `url`") };
        let at = value.span().start;
        if let DeValue::Table(_) = value.get_ref() {
            return match secret::read(value) {
                Ok(secret) => Some(Address::Secret(secret)),
                Err((at, fix)) => self.mistake(at, "url", fix),
            };
        }
        let Some(text) = value.get_ref().as_str() else {
            return self.mistake(at, "url", format!("write an address in quotes, or where a secret one is kept: {FORM}"));
        };
        let template = match Template::parse(text) {
            Ok(template) => template,
            Err(fix) => return self.mistake(at, "url", fix),
        };
        match address(&template, |_| "x".into()).and_then(|url| allowed(&url, insecure)) {
            Ok(()) => Some(Address::Template(template)),
            Err(fix) => self.mistake(at, "url", fix),
        }
    }

    fn body(&mut self) -> Option<Value> {
        let value = self.get("body")?;
        let at = value.span().start;
        let Some(text) = value.get_ref().as_str() else { return self.mistake(at, "body", "write JSON in quotes") };
        let body = match serde_json::from_str::<Value>(text) {
            Ok(body) => body,
            Err(error) => {
                return self.mistake(at, "body", format!("this is no JSON ({error}); a field stands within a text: \"{{name}}\""));
            }
        };
        match filled(&body, &|_| String::new()) {
            Ok(_) => Some(body),
            Err(fix) => self.mistake(at, "body", fix),
        }
    }

    /// Those of all requests, and those of this one instead of or besides them.
    fn headers(&mut self, common: &[(String, Header)]) -> Vec<(String, Header)> {
        let mut headers = common.to_vec();
        let own =
            self.inner("headers", |r| Some(r.table.iter().filter_map(|(key, value)| r.header(key.get_ref(), value)).collect::<Vec<_>>()));
        for (name, header) in own.unwrap_or_default() {
            headers.retain(|(other, _)| !other.eq_ignore_ascii_case(&name));
            headers.push((name, header));
        }
        headers
    }

    fn header(&mut self, name: &str, value: Spot<'a>) -> Option<(String, Header)> {
        let at = value.span().start;
        if HeaderName::from_bytes(name.as_bytes()).is_err() || OF_HTTP.contains(&name.to_ascii_lowercase().as_str()) {
            return self.mistake(at, name, "this is no name of a header that can be set");
        }
        let header = match value.get_ref() {
            DeValue::String(_) if secret::is_one(name) => {
                return self.mistake(at, name, format!("this is a secret by its name: write where it is kept, {FORM}"));
            }
            DeValue::String(text) if HeaderValue::from_str(text).is_ok() => Header::Plain(text.to_string()),
            DeValue::Table(_) => match secret::read(value) {
                Ok(secret) => Header::Secret(secret),
                Err((at, fix)) => return self.mistake(at, name, fix),
            },
            _ => return self.mistake(at, name, format!("write printable text, or where a secret is kept: {FORM}")),
        };
        Some((name.to_owned(), header))
    }
}

fn texts(all: &DeArray<'_>) -> Option<Vec<String>> {
    all.iter().map(|one| one.get_ref().as_str().map(str::to_owned)).collect()
}

/// A simple value of TOML as JSON has it.
fn json(value: &DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::String(text) => Some(Value::String(text.to_string())),
        DeValue::Boolean(value) => Some((*value).into()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok().map(Value::from),
        DeValue::Float(number) => number.as_str().parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Value::Number),
        _ => None,
    }
}
