//! The part of JSONPath that printer columns use: `.spec.replicas`, `.status.conditions[?(@.type=="Ready")].status`.

use serde_json::Value;

/// A path through an object. One that cannot be read finds nothing.
pub struct Path(Vec<Step>);

enum Step {
    Field(String),
    /// Negative ones count from the end.
    Index(i64),
    All,
    /// Elements whose field at this path equals the text, or does not.
    Where(Path, bool, String),
    Nothing,
}

impl Path {
    pub fn parse(text: &str) -> Self {
        let mut steps = Vec::new();
        let mut rest = text.trim().trim_start_matches('{').trim_end_matches('}').trim_start_matches('$');
        while !rest.is_empty() {
            let (step, after) = match rest.strip_prefix('[') {
                Some(inside) => bracket(inside),
                None => field(rest.strip_prefix('.').unwrap_or(rest)),
            };
            steps.push(step);
            rest = after;
        }
        Self(steps)
    }

    /// The first value it leads to.
    pub fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        walk(&self.0, value)
    }
}

fn walk<'a>(steps: &[Step], value: &'a Value) -> Option<&'a Value> {
    let Some((step, rest)) = steps.split_first() else { return Some(value) };
    match step {
        Step::Field(name) => walk(rest, value.get(name)?),
        Step::Index(index) => {
            let all = value.as_array()?;
            let from_end = all.len().checked_sub(usize::try_from(index.unsigned_abs()).ok()?);
            let at = if *index < 0 { from_end? } else { usize::try_from(*index).ok()? };
            walk(rest, all.get(at)?)
        }
        Step::All => value.as_array()?.iter().find_map(|element| walk(rest, element)),
        Step::Where(path, equal, text) => {
            let holds = |element: &&Value| {
                let found = path.find(element);
                let same = found.is_some_and(|found| match found {
                    Value::String(found) => found == text,
                    // Numbers and truths as they are written.
                    other => serde_json::from_str(text).is_ok_and(|wanted: Value| *other == wanted),
                });
                same == *equal
            };
            value.as_array()?.iter().filter(holds).find_map(|element| walk(rest, element))
        }
        Step::Nothing => None,
    }
}

/// A name up to the next dot or bracket; a backslash makes the next character part of it.
fn field(text: &str) -> (Step, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            '.' | '[' => return (named(name), &text[at..]),
            c => name.push(c),
        }
    }
    (named(name), "")
}

fn named(name: String) -> Step {
    match name.as_str() {
        "" => Step::Nothing,
        "*" => Step::All,
        _ => Step::Field(name),
    }
}

/// What stands behind an opening bracket, and what follows the closing one.
fn bracket(text: &str) -> (Step, &str) {
    let Some(end) = closing(text) else { return (Step::Nothing, "") };
    let (inside, rest) = (text[..end].trim(), &text[end + 1..]);
    let step = if inside == "*" {
        Step::All
    } else if let Some(condition) = inside.strip_prefix("?(").and_then(|inside| inside.strip_suffix(')')) {
        condition_of(condition)
    } else if let Some(name) = unquote(inside) {
        Step::Field(name.replace('\\', ""))
    } else {
        inside.trim_end_matches(':').parse().map_or(Step::Nothing, Step::Index)
    };
    (step, rest)
}

fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, ']') => return Some(at),
            _ => (),
        }
    }
    None
}

fn condition_of(text: &str) -> Step {
    let Some((path, equal, value)) = text
        .split_once("==")
        .map(|(path, value)| (path, true, value))
        .or_else(|| text.split_once("!=").map(|(path, value)| (path, false, value)))
    else {
        return Step::Nothing;
    };
    let value = value.trim();
    Step::Where(Path::parse(path.trim().trim_start_matches('@')), equal, unquote(value).unwrap_or(value).to_owned())
}

fn unquote(text: &str) -> Option<&str> {
    ['\'', '"'].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_that_definitions_use() {
        let object = json!({
            "spec": {"replicas": 3, "hosts": ["a", "b"]},
            "metadata": {"labels": {"app.kubernetes.io/name": "shop"}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Done", "status": "False", "n": 1}]},
        });
        for (path, found) in [
            (".spec.replicas", Some(json!(3))),
            ("{.spec.replicas}", Some(json!(3))),
            (".spec.hosts[1]", Some(json!("b"))),
            (".spec.hosts[-1]", Some(json!("b"))),
            (".spec.hosts[-1:]", Some(json!("b"))),
            (".spec.hosts[-3]", None),
            (".spec.hosts[*]", Some(json!("a"))),
            (".spec.hosts", Some(json!(["a", "b"]))),
            (".status.conditions[?(@.type==\"Done\")].status", Some(json!("False"))),
            (".status.conditions[?(@.type=='Gone')].status", None),
            (".status.conditions[?(@.type != 'Ready')].status", Some(json!("False"))),
            (".status.conditions[?(@.n==1)].type", Some(json!("Done"))),
            (r".metadata.labels.app\.kubernetes\.io/name", Some(json!("shop"))),
            ("['metadata']['labels']['app.kubernetes.io/name']", Some(json!("shop"))),
            (".spec.gone.deeper", None),
            (".spec.hosts[", None),
            (".spec.hosts[?(x)]", None),
        ] {
            assert_eq!(Path::parse(path).find(&object), found.as_ref(), "{path}");
        }
    }
}
