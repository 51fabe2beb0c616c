//! A checked tree to a value.

use std::{cmp::Ordering, collections::BTreeMap, fmt};

use super::{CLOSURES, builtins::BUILTINS, check::FUNCTIONS, parse::Node};

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Nil,
    Bool(bool),
    Int(i64),
    Int64(i64),
    Float(f64),
    Str(String),
    /// Its name in Go and its entries.
    Array(&'static str, Vec<Value>),
    Map(BTreeMap<String, Value>),
    /// Its signature in Go.
    Function(&'static str),
}

impl Value {
    pub fn go_type(&self) -> &'static str {
        match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Int64(_) => "int64",
            Self::Float(_) => "float64",
            Self::Str(_) => "string",
            Self::Array(name, _) => name,
            Self::Map(_) => "map[string]interface {}",
            Self::Function(signature) => signature,
        }
    }

    pub fn list(entries: Vec<Value>) -> Self {
        Self::Array("[]interface {}", entries)
    }

    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Int(number) | Self::Int64(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }

    pub fn integer(&self) -> Option<i64> {
        if let Self::Int(number) | Self::Int64(number) = self { Some(*number) } else { None }
    }
}

/// As Go prints with `%v`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("<nil>"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) | Self::Int64(value) => write!(f, "{value}"),
            Self::Float(value) => f.write_str(&float(*value)),
            Self::Str(value) => f.write_str(value),
            Self::Array(_, entries) => {
                let entries: Vec<String> = entries.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", entries.join(" "))
            }
            Self::Map(pairs) => {
                let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}:{value}")).collect();
                write!(f, "map[{}]", pairs.join(" "))
            }
            Self::Function(signature) => f.write_str(signature),
        }
    }
}

/// The shortest text that reads back as this number, with an exponent where Go's `%g` has one.
fn float(value: f64) -> String {
    if !value.is_finite() || value == 0.0 {
        return match value {
            v if v.is_nan() => "NaN".into(),
            v if v == 0.0 => format!("{v}"),
            v => if v > 0.0 { "+Inf" } else { "-Inf" }.into(),
        };
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// Evaluates with this result. The error is what expr-lang says.
pub fn eval(node: &Node, result: Value) -> Evaluated {
    Run { result, rules: Vec::new(), names: Vec::new(), made: 0 }.eval(node)
}

pub type Evaluated = Result<Value, String>;

struct Rule {
    list: Vec<Value>,
    index: usize,
    acc: Value,
}

struct Run {
    result: Value,
    rules: Vec<Rule>,
    names: Vec<(String, Value)>,
    /// Entries of all lists made so far.
    made: usize,
}

/// More entries than this are refused, as expr-lang does.
const MOST: usize = 1_000_000;
const OUT_OF_MEMORY: &str = "memory budget exceeded";

impl Run {
    fn eval(&mut self, node: &Node) -> Evaluated {
        match node {
            Node::Nil => Ok(Value::Nil),
            Node::Bool(value) => Ok(Value::Bool(*value)),
            Node::Int(value) => Ok(Value::Int(*value)),
            Node::Float(value) => Ok(Value::Float(*value)),
            Node::Str(value) => Ok(Value::Str(value.clone())),
            Node::Array(entries) => {
                let made = self.all(entries).map(Value::list)?;
                self.count(made)
            }
            Node::Map(pairs) => {
                let mut pair = |(key, value): &(Node, Node)| Ok::<_, String>((text(&self.eval(key)?)?, self.eval(value)?));
                pairs.iter().map(&mut pair).collect::<Result<_, _>>().map(Value::Map)
            }
            Node::Name(name) => {
                let function =
                    || FUNCTIONS.iter().find(|function| function.name == name).map(|function| Value::Function(function.signature));
                let known = self.names.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone());
                Ok(known.or_else(function).unwrap_or_else(|| self.result.clone()))
            }
            Node::Pointer(name) => Ok(self.pointer(name)),
            Node::Unary(operator, operand) => {
                let operand = self.eval(operand)?;
                unary(operator, operand)
            }
            Node::Binary(operator, left, right) => self.binary(operator, left, right),
            Node::If(parts) => {
                let [condition, yes, no] = &**parts;
                if truth(&self.eval(condition)?)? { self.eval(yes) } else { self.eval(no) }
            }
            Node::Member { base, property, optional, .. } => {
                let base = self.eval(base)?;
                if *optional && base == Value::Nil {
                    return Ok(Value::Nil);
                }
                fetch(&base, &self.eval(property)?).map_err(|why| if is_end_of_filter(node) { END_OF_FILTER.into() } else { why })
            }
            Node::Slice(base, from, to) => {
                let base = self.eval(base)?;
                let mut end = |end: &Option<Box<Node>>| end.as_ref().map(|end| self.eval(end)).transpose();
                slice(&base, end(from)?, end(to)?)
            }
            Node::Builtin(name, arguments) if CLOSURES.iter().any(|(closure, ..)| closure == name) => self.closure(name, arguments),
            Node::Builtin(name, arguments) => {
                let values = self.all(arguments)?;
                let builtin = BUILTINS.iter().find(|builtin| builtin.name == name).ok_or_else(|| format!("unknown builtin {name}"))?;
                (builtin.call)(name, &values)
            }
            Node::Call(callee, arguments) => {
                let values = self.all(arguments)?;
                match &**callee {
                    Node::Name(name) => self.function(name, &values),
                    _ => Err("invalid operation: cannot call nil".into()),
                }
            }
            Node::Let(name, value, body) => {
                let value = self.eval(value)?;
                self.names.push((name.clone(), value));
                let body = self.eval(body);
                self.names.pop();
                body
            }
            Node::Sequence(nodes) => nodes.iter().try_fold(Value::Nil, |_, node| self.eval(node)),
        }
    }

    /// Lets a list through as long as there are not too many entries.
    fn count(&mut self, made: Value) -> Evaluated {
        if let Value::Array(_, entries) = &made {
            self.made += entries.len();
        }
        if self.made >= MOST { Err(OUT_OF_MEMORY.into()) } else { Ok(made) }
    }

    fn all(&mut self, nodes: &[Node]) -> Result<Vec<Value>, String> {
        nodes.iter().map(|node| self.eval(node)).collect()
    }

    fn pointer(&self, name: &str) -> Value {
        let Some(rule) = self.rules.last() else { return Value::Nil };
        match name {
            "index" => Value::Int(rule.index as i64),
            "acc" => rule.acc.clone(),
            _ => rule.list.get(rule.index).cloned().unwrap_or(Value::Nil),
        }
    }

    fn binary(&mut self, operator: &str, left: &Node, right: &Node) -> Evaluated {
        match operator {
            "and" | "&&" => self.logic(true, left, right),
            "or" | "||" => self.logic(false, left, right),
            "??" => match self.eval(left)? {
                Value::Nil => self.eval(right),
                value => Ok(value),
            },
            "%" if matches!((left, right), (Node::Int(_), Node::Int(0))) => Err("integer divide by zero".into()),
            _ => {
                let (left, right) = (self.eval(left)?, self.eval(right)?);
                let made = binary(operator, &left, &right)?;
                self.count(made)
            }
        }
    }

    /// A literal is settled before anything is evaluated; the right side is looked at only if the left leaves it open.
    fn logic(&mut self, and: bool, left: &Node, right: &Node) -> Evaluated {
        let (open, settled) = (Node::Bool(and), Node::Bool(!and));
        if *left == open {
            return self.eval(right);
        }
        if *right == open {
            return self.eval(left);
        }
        if [left, right].contains(&&settled) || truth(&self.eval(left)?)? != and {
            return Ok(Value::Bool(!and));
        }
        self.eval(right)
    }

    /// What the controller adds. The argument of two of them counts for nothing: they look at the result.
    fn function(&self, name: &str, values: &[Value]) -> Evaluated {
        let no_float = |value: &Value| format!("interface conversion: interface {{}} is {}, not float64", go_name(value));
        let exact = |value: &Value| if let Value::Float(number) = value { Ok(*number) } else { Err(no_float(value)) };
        match name {
            "asInt" => as_int(&values[0]),
            "asFloat" => as_float(&values[0]),
            "isNaN" => exact(&values[0]).map(|number| Value::Bool(number.is_nan())),
            "isInf" => exact(&values[0]).map(|number| Value::Bool(number.is_infinite())),
            "isNil" => Ok(Value::Bool(false)),
            "default" => Ok(self.result.clone()),
            _ => Err(format!("unknown name {name}")),
        }
    }

    fn closure(&mut self, name: &str, arguments: &[Node]) -> Evaluated {
        let list = match self.eval(&arguments[0])? {
            Value::Array(_, list) => list,
            other => return Err(format!("reflect: call of reflect.Value.Len on {} Value", reflect_kind(&other))),
        };
        let rule = arguments.get(1);
        if name == "reduce" {
            return self.reduce(list, &arguments[1], arguments.get(2));
        }
        let entries = list.clone();
        self.rules.push(Rule { list, index: 0, acc: Value::Nil });
        let outcome = self.each(name, &entries, rule);
        self.rules.pop();
        self.count(outcome?)
    }

    fn each(&mut self, name: &str, entries: &[Value], rule: Option<&Node>) -> Evaluated {
        let mut kept = Vec::new();
        let mut sum = Value::Int(0);
        let backwards = name.starts_with("findLast");
        for step in 0..entries.len() {
            let index = if backwards { entries.len() - 1 - step } else { step };
            if let Some(here) = self.rules.last_mut() {
                here.index = index;
            }
            let said = rule.map_or_else(|| Ok(entries[index].clone()), |rule| self.eval(rule))?;
            match name {
                "map" => kept.push(said),
                "sum" => sum = binary("+", &said, &sum)?,
                _ => match (name, truth(&said)?) {
                    ("all", false) | ("none", true) => return Ok(Value::Bool(false)),
                    ("any", true) => return Ok(Value::Bool(true)),
                    ("find" | "findLast", true) => return Ok(entries[index].clone()),
                    ("findIndex" | "findLastIndex", true) => return Ok(Value::Int(index as i64)),
                    (_, true) => kept.push(entries[index].clone()),
                    _ => {}
                },
            }
        }
        Ok(match name {
            "all" | "none" => Value::Bool(true),
            "any" => Value::Bool(false),
            "one" => Value::Bool(kept.len() == 1),
            "count" => Value::Int(kept.len() as i64),
            "sum" => sum,
            "map" | "filter" => Value::list(kept),
            _ => Value::Nil,
        })
    }

    fn reduce(&mut self, list: Vec<Value>, rule: &Node, start: Option<&Node>) -> Evaluated {
        let length = list.len();
        let (acc, from) = match start {
            Some(start) => (self.eval(start)?, 0),
            None => (list.first().cloned().ok_or("reflect: slice index out of range")?, 1),
        };
        self.rules.push(Rule { list, index: from, acc });
        let mut outcome = Ok(());
        for index in from..length {
            if let Some(here) = self.rules.last_mut() {
                here.index = index;
            }
            match self.eval(rule) {
                Ok(value) => self.rules.iter_mut().last().into_iter().for_each(|here| here.acc = value.clone()),
                Err(message) => {
                    outcome = Err(message);
                    break;
                }
            }
        }
        let acc = self.rules.pop().map_or(Value::Nil, |rule| rule.acc);
        outcome.map(|()| acc)
    }
}

/// `filter(…)[0]` is turned into a search, which fails in other words.
const END_OF_FILTER: &str = "reflect: slice index out of range";

fn is_end_of_filter(node: &Node) -> bool {
    let Node::Member { base, property, optional: false, .. } = node else { return false };
    let end = match &**property {
        Node::Int(index) => *index == 0,
        Node::Unary(minus, index) => minus == "-" && **index == Node::Int(1),
        _ => false,
    };
    end && matches!(&**base, Node::Builtin(name, _) if name == "filter")
}

fn truth(value: &Value) -> Result<bool, String> {
    if let Value::Bool(value) = value {
        Ok(*value)
    } else {
        Err(format!("interface conversion: interface {{}} is {}, not bool", go_name(value)))
    }
}

pub fn text(value: &Value) -> Result<String, String> {
    let wrong = || format!("interface conversion: interface {{}} is {}, not string", go_name(value));
    if let Value::Str(text) = value { Ok(text.clone()) } else { Err(wrong()) }
}

fn go_name(value: &Value) -> &'static str {
    if *value == Value::Nil { "nil" } else { value.go_type() }
}

/// As Go's reflection calls it.
pub fn reflect_kind(value: &Value) -> &'static str {
    match value {
        Value::Nil => "zero",
        Value::Array(..) => "slice",
        Value::Map(_) => "map",
        other => other.go_type(),
    }
}

fn unary(operator: &str, operand: Value) -> Evaluated {
    match (operator, operand) {
        ("!" | "not", operand) => truth(&operand).map(|value| Value::Bool(!value)),
        ("+", operand) => Ok(operand),
        (_, Value::Int(value)) => Ok(Value::Int(value.wrapping_neg())),
        (_, Value::Int64(value)) => Ok(Value::Int64(value.wrapping_neg())),
        (_, Value::Float(value)) => Ok(Value::Float(-value)),
        (_, other) => Err(format!("invalid operation: - {}", other.go_type())),
    }
}

fn binary(operator: &str, left: &Value, right: &Value) -> Evaluated {
    let wrong = || format!("invalid operation: {} {operator} {}", left.go_type(), right.go_type());
    let numbers = || left.number().zip(right.number()).ok_or_else(wrong);
    let texts = || Ok::<_, String>((text(left)?, text(right)?));
    let nil = *left == Value::Nil || *right == Value::Nil;
    Ok(match operator {
        "int ==" | "int !=" => {
            let int = |value: &Value| {
                value.integer().ok_or_else(|| format!("interface conversion: interface {{}} is {}, not int", go_name(value)))
            };
            // The right one is looked at first.
            let right = int(right)?;
            Value::Bool((int(left)? == right) == (operator == "int =="))
        }
        "==" => Value::Bool(equal(left, right)),
        "!=" => Value::Bool(!equal(left, right)),
        "<" | ">" | "<=" | ">=" => Value::Bool(ordered(operator, compare(left, right).ok_or_else(wrong)?)),
        "+" if matches!((left, right), (Value::Str(_), Value::Str(_))) => Value::Str(format!("{left}{right}")),
        "+" | "-" | "*" => arithmetic(operator, left, right).ok_or_else(wrong)?,
        "/" => numbers().map(|(left, right)| Value::Float(left / right))?,
        "%" => match left.integer().zip(right.integer()).ok_or_else(wrong)? {
            (_, 0) => return Err("runtime error: integer divide by zero".into()),
            (left, right) => Value::Int(left.wrapping_rem(right)),
        },
        "**" | "^" => power(left, right)?,
        ".." => range(left, right)?,
        "in" => Value::Bool(is_in(left, right)?),
        "matches" | "contains" | "startsWith" | "endsWith" if nil => Value::Bool(false),
        "contains" => texts().map(|(text, part)| Value::Bool(text.contains(&part)))?,
        "startsWith" => texts().map(|(text, part)| Value::Bool(text.starts_with(&part)))?,
        "endsWith" => texts().map(|(text, part)| Value::Bool(text.ends_with(&part)))?,
        "matches" => {
            let (text, pattern) = texts()?;
            Value::Bool(crate::demo::controllers::analysis::matches(&pattern, &text)?)
        }
        _ => return Err(format!("unknown operator ({operator})")),
    })
}

fn arithmetic(operator: &str, left: &Value, right: &Value) -> Option<Value> {
    if let Some((left, right)) = left.integer().zip(right.integer()) {
        return Some(Value::Int(match operator {
            "+" => left.wrapping_add(right),
            "-" => left.wrapping_sub(right),
            _ => left.wrapping_mul(right),
        }));
    }
    let (left, right) = left.number().zip(right.number())?;
    Some(Value::Float(match operator {
        "+" => left + right,
        "-" => left - right,
        _ => left * right,
    }))
}

fn power(left: &Value, right: &Value) -> Evaluated {
    let number = |value: &Value| value.number().ok_or_else(|| format!("invalid operation: float({})", value.go_type()));
    Ok(Value::Float(number(left)?.powf(number(right)?)))
}

fn range(left: &Value, right: &Value) -> Evaluated {
    let (from, to) = (whole(left)?, whole(right)?);
    let size = usize::try_from(to.wrapping_sub(from).wrapping_add(1)).unwrap_or_default();
    if size >= MOST {
        return Err(OUT_OF_MEMORY.into());
    }
    Ok(Value::Array("[]int", (from..).take(size).map(Value::Int).collect()))
}

/// Any number as an integer.
pub fn whole(value: &Value) -> Result<i64, String> {
    let float = |value: &Value| if let Value::Float(number) = value { Some(truncated(*number)) } else { None };
    value.integer().or_else(|| float(value)).ok_or_else(|| format!("invalid operation: int({})", value.go_type()))
}

/// As the processor truncates: what does not fit becomes the smallest integer.
fn truncated(number: f64) -> i64 {
    // 2^63, the first that does not fit.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&number) { number as i64 } else { i64::MIN }
}

/// `None` inside: NaN is neither more nor less. `None` outside: these cannot be compared.
pub fn compare(left: &Value, right: &Value) -> Option<Option<Ordering>> {
    match (left, right) {
        (Value::Str(left), Value::Str(right)) => Some(Some(left.cmp(right))),
        _ => match left.integer().zip(right.integer()) {
            Some((left, right)) => Some(Some(left.cmp(&right))),
            None => left.number().zip(right.number()).map(|(left, right)| left.partial_cmp(&right)),
        },
    }
}

fn ordered(operator: &str, order: Option<Ordering>) -> bool {
    match operator {
        "<" => order == Some(Ordering::Less),
        ">" => order == Some(Ordering::Greater),
        "<=" => order.is_some_and(Ordering::is_le),
        _ => order.is_some_and(Ordering::is_ge),
    }
}

fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Array(one, left), Value::Array(other, right)) => {
            let like = one == other || [one, other].contains(&&"[]interface {}");
            like && left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        _ => match compare(left, right) {
            Some(order) => order == Some(Ordering::Equal),
            None => left == right,
        },
    }
}

fn is_in(needle: &Value, hay: &Value) -> Result<bool, String> {
    match hay {
        Value::Nil => Ok(false),
        Value::Array(_, entries) => Ok(entries.iter().any(|entry| equal(entry, needle))),
        Value::Map(_) => fetch(hay, needle).map(|found| found != Value::Nil),
        other => Err(format!("operator \"in\" not defined on {}", other.go_type())),
    }
}

pub fn fetch(base: &Value, property: &Value) -> Evaluated {
    let none = || format!("cannot fetch {property} from {}", base.go_type());
    match base {
        Value::Array(_, entries) => {
            let (asked, length) = (whole(property)?, entries.len() as i64);
            let index = if asked < 0 { length + asked } else { asked };
            let entry = usize::try_from(index).ok().and_then(|index| entries.get(index));
            entry.cloned().ok_or_else(|| format!("index out of range: {index} (array length is {length})"))
        }
        Value::Map(pairs) => match property {
            Value::Str(key) => Ok(pairs.get(key).cloned().unwrap_or(Value::Nil)),
            Value::Nil => Ok(pairs.get("").cloned().unwrap_or(Value::Nil)),
            other => Err(format!("reflect.Value.MapIndex: value of type {} is not assignable to type string", other.go_type())),
        },
        _ => Err(none()),
    }
}

fn slice(base: &Value, from: Option<Value>, to: Option<Value>) -> Evaluated {
    let length = match base {
        Value::Array(_, entries) => entries.len(),
        Value::Str(text) => text.len(),
        _ => return Err(format!("cannot slice {}", from.unwrap_or(Value::Int(0)))),
    } as i64;
    let place = |end: Option<Value>, otherwise: i64| {
        let end = end.map_or(Ok(otherwise), |end| whole(&end))?;
        Ok::<_, String>(if end < 0 { (length + end).max(0) } else { end })
    };
    let to = place(to, length)?.min(length);
    let (from, to) = (place(from, 0)?.min(to) as usize, to as usize);
    Ok(match base {
        Value::Array(name, entries) => Value::Array(name, entries[from..to].to_vec()),
        Value::Str(text) => Value::Str(String::from_utf8_lossy(&text.as_bytes()[from..to]).into_owned()),
        other => other.clone(),
    })
}

fn as_int(value: &Value) -> Evaluated {
    match value {
        Value::Int(number) | Value::Int64(number) => Ok(Value::Int64(*number)),
        Value::Float(number) => Ok(Value::Int64(truncated(*number))),
        Value::Str(text) => text.parse().map(Value::Int64).map_err(|_| format!("strconv.ParseInt: parsing {text:?}: invalid syntax")),
        other => Err(format!("asInt() not supported on {} {other}", other.go_type())),
    }
}

fn as_float(value: &Value) -> Evaluated {
    match value {
        Value::Str(text) => text.parse().map(Value::Float).map_err(|_| format!("strconv.ParseFloat: parsing {text:?}: invalid syntax")),
        other => other.number().map(Value::Float).ok_or_else(|| format!("asFloat() not supported on {} {other}", other.go_type())),
    }
}
