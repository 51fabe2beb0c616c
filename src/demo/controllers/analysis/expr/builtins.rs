//! The functions of expr-lang that take no rule: what they accept, and what they give.

use std::cmp::Ordering;

use super::{
    check::{Type, takes},
    eval::{Evaluated, Value, compare, fetch, reflect_kind, text, whole},
};

/// A function of expr-lang without a rule.
pub struct Builtin {
    pub name: &'static str,
    /// What it gives for such arguments.
    pub check: fn(&str, &[Type]) -> Result<Type, String>,
    pub call: fn(&str, &[Value]) -> Evaluated,
}

pub const BUILTINS: &[Builtin] = &[
    Builtin { name: "len", check: check_len, call: len },
    Builtin { name: "type", check: |name, given| takes(name, given, &[Type::Any], 1, Type::Str), call: type_of },
    Builtin {
        name: "string",
        check: |name, given| takes(name, given, &[Type::Any], 1, Type::Str),
        call: |_, v| Ok(Value::Str(v[0].to_string())),
    },
    Builtin { name: "upper", check: check_text, call: |_, v| text(&v[0]).map(|text| Value::Str(text.to_uppercase())) },
    Builtin { name: "lower", check: check_text, call: |_, v| text(&v[0]).map(|text| Value::Str(text.to_lowercase())) },
    Builtin { name: "abs", check: |name, given| check_number(name, given, false).map(|()| given[0].clone()), call: abs },
    Builtin { name: "ceil", check: check_round, call: |name, v| round(name, &v[0], f64::ceil) },
    Builtin { name: "floor", check: check_round, call: |name, v| round(name, &v[0], f64::floor) },
    Builtin { name: "round", check: check_round, call: |name, v| round(name, &v[0], f64::round) },
    Builtin { name: "int", check: |name, given| check_number(name, given, true).map(|()| Type::Int), call: int },
    Builtin { name: "float", check: |name, given| check_number(name, given, true).map(|()| Type::Float), call: to_float },
    Builtin { name: "max", check: check_aggregate, call: |name, v| extreme(name, v, Ordering::Less) },
    Builtin { name: "min", check: check_aggregate, call: |name, v| extreme(name, v, Ordering::Greater) },
    Builtin { name: "mean", check: check_aggregate, call: |name, v| numbers(name, v).map(|all| Value::Float(mean(&all))) },
    Builtin { name: "median", check: check_aggregate, call: |name, v| numbers(name, v).map(|all| Value::Float(median(all))) },
    Builtin { name: "first", check: check_end, call: |_, v| Ok(fetch(&v[0], &Value::Int(0)).unwrap_or(Value::Nil)) },
    Builtin { name: "last", check: check_end, call: |_, v| Ok(fetch(&v[0], &Value::Int(-1)).unwrap_or(Value::Nil)) },
    Builtin { name: "take", check: check_take, call: take },
    Builtin { name: "reverse", check: check_lists, call: |name, v| lists(name, v).map(|all| Value::list(all.into_iter().rev().collect())) },
    Builtin { name: "concat", check: check_lists, call: |name, v| lists(name, v).map(Value::list) },
];

/// A type in a message of a function: Go cannot print that of nil.
fn printed(kind: &Type) -> String {
    if *kind == Type::Nil { "%!s(<nil>)".into() } else { kind.to_string() }
}

fn one_of(given: &[Type]) -> Result<&Type, String> {
    if let [one] = given { Ok(one) } else { Err(format!("invalid number of arguments (expected 1, got {})", given.len())) }
}

fn check_len(_: &str, given: &[Type]) -> Result<Type, String> {
    match one_of(given)? {
        Type::Array(..) | Type::Map | Type::Str | Type::Unknown | Type::Any => Ok(Type::Int),
        other => Err(format!("invalid argument for len (type {})", printed(other))),
    }
}

fn check_text(name: &str, given: &[Type]) -> Result<Type, String> {
    takes(name, given, &[Type::Str], 1, Type::Str)
}

fn check_number(name: &str, given: &[Type], text: bool) -> Result<(), String> {
    match one_of(given)? {
        Type::Str if text => Ok(()),
        one if one.is_number() || one.is_unknown() => Ok(()),
        other => Err(format!("invalid argument for {name} (type {})", printed(other))),
    }
}

fn check_round(name: &str, given: &[Type]) -> Result<Type, String> {
    check_number(name, given, false).map(|()| Type::Float)
}

fn check_aggregate(name: &str, given: &[Type]) -> Result<Type, String> {
    let first = given.first().ok_or_else(|| format!("not enough arguments to call {name}"))?;
    for one in given {
        if one.is_unknown() || one.is_array() {
            return Ok(Type::Any);
        }
        if !one.is_number() {
            return Err(format!("invalid argument for {name} (type {})", printed(one)));
        }
    }
    Ok(first.clone())
}

fn check_end(name: &str, given: &[Type]) -> Result<Type, String> {
    match one_of(given)? {
        one if one.is_unknown() => Ok(Type::Any),
        Type::Array("[]float64", entry) => Ok((**entry).clone()),
        Type::Array(..) => Ok(Type::Any),
        other => Err(format!("cannot get {name} element from {}", printed(other))),
    }
}

fn check_take(_: &str, given: &[Type]) -> Result<Type, String> {
    match given {
        [list, count] if (list.is_array() || list.is_unknown()) && (matches!(count, Type::Int | Type::Int64) || count.is_unknown()) => {
            Ok(list.clone())
        }
        [list, _] if !list.is_array() && !list.is_unknown() => Err(format!("cannot take from {}", printed(list))),
        [_, count] => Err(format!("cannot take {} elements", printed(count))),
        _ => Err(format!("invalid number of arguments (expected 2, got {})", given.len())),
    }
}

fn check_lists(name: &str, given: &[Type]) -> Result<Type, String> {
    if name == "reverse" {
        one_of(given)?;
    } else if given.is_empty() {
        return Err("invalid number of arguments (expected at least 1, got 0)".into());
    }
    match given.iter().find(|one| !one.is_array() && !one.is_unknown()) {
        Some(other) => Err(format!("cannot {name} {}", printed(other))),
        None => Ok(Type::list(Type::Any)),
    }
}

fn len(_: &str, values: &[Value]) -> Evaluated {
    match &values[0] {
        Value::Array(_, entries) => Ok(Value::Int(entries.len() as i64)),
        Value::Map(pairs) => Ok(Value::Int(pairs.len() as i64)),
        Value::Str(text) => Ok(Value::Int(text.chars().count() as i64)),
        other => Err(format!("invalid argument for len (type {})", other.go_type())),
    }
}

fn type_of(_: &str, values: &[Value]) -> Evaluated {
    let name = match &values[0] {
        Value::Nil => "nil",
        Value::Int64(_) => "int",
        Value::Float(_) => "float",
        Value::Array(..) => "array",
        Value::Map(_) => "map",
        other => other.go_type(),
    };
    Ok(Value::Str(name.into()))
}

fn abs(_: &str, values: &[Value]) -> Evaluated {
    match &values[0] {
        Value::Int(number) => Ok(Value::Int(number.wrapping_abs())),
        Value::Int64(number) => Ok(Value::Int64(number.wrapping_abs())),
        // Not f64::abs: NaN and -0 stay what they are.
        Value::Float(number) => Ok(Value::Float(if *number < 0.0 { -number } else { *number })),
        other => Err(format!("invalid argument for abs (type {})", other.go_type())),
    }
}

fn round(name: &str, value: &Value, how: fn(f64) -> f64) -> Evaluated {
    match value.number() {
        Some(number) => Ok(Value::Float(how(number))),
        None => Err(format!("invalid argument for {name} (type {})", value.go_type())),
    }
}

fn int(_: &str, values: &[Value]) -> Evaluated {
    match &values[0] {
        Value::Str(text) => text.parse().map(Value::Int).map_err(|_| format!("invalid operation: int({text})")),
        other => whole(other).map(Value::Int),
    }
}

fn to_float(_: &str, values: &[Value]) -> Evaluated {
    match &values[0] {
        Value::Str(text) => text.parse().map(Value::Float).map_err(|_| format!("invalid operation: float({text})")),
        other => other.number().map(Value::Float).ok_or_else(|| format!("invalid operation: float({})", other.go_type())),
    }
}

/// The largest or smallest number, also of lists in lists. `replace`: how a value stands to one that takes its place.
fn extreme(name: &str, values: &[Value], replace: Ordering) -> Evaluated {
    let mut best = Value::Nil;
    for value in values {
        let found = match value {
            Value::Array(_, entries) => {
                let each = |entry: &Value| extreme(name, std::slice::from_ref(entry), replace);
                entries.iter().map(each).collect::<Result<Vec<_>, _>>()?
            }
            value if value.number().is_some() => vec![value.clone()],
            value if values.len() == 1 => return Ok(value.clone()),
            value => return Err(format!("invalid argument for {name} (type {})", value.go_type())),
        };
        for one in found {
            if one.number().is_none() {
                return Err(format!("invalid argument for {name} (type {})", one.go_type()));
            }
            if best == Value::Nil || compare(&best, &one) == Some(Some(replace)) {
                best = one;
            }
        }
    }
    Ok(best)
}

fn numbers(name: &str, values: &[Value]) -> Result<Vec<f64>, String> {
    let mut all = Vec::new();
    for value in values {
        match value {
            Value::Array(_, entries) => all.append(&mut numbers(name, entries)?),
            value => all.push(value.number().ok_or_else(|| format!("invalid argument for {name} (type {})", value.go_type()))?),
        }
    }
    Ok(all)
}

fn mean(all: &[f64]) -> f64 {
    // An empty sum is -0 for iterators.
    if all.is_empty() { 0.0 } else { all.iter().fold(0.0, |sum, number| sum + number) / all.len() as f64 }
}

fn median(mut all: Vec<f64>) -> f64 {
    // NaN first, as Go sorts.
    all.sort_by(|a, b| b.is_nan().cmp(&a.is_nan()).then(a.partial_cmp(b).unwrap_or(Ordering::Equal)));
    match all.len() {
        0 => 0.0,
        n if n % 2 == 1 => all[n / 2],
        n => (all[n / 2 - 1] + all[n / 2]) / 2.0,
    }
}

fn take(_: &str, values: &[Value]) -> Evaluated {
    let Value::Array(name, entries) = &values[0] else { return Err(format!("cannot take from {}", reflect_kind(&values[0]))) };
    let count = values[1].integer().ok_or_else(|| format!("cannot take {} elements", reflect_kind(&values[1])))?;
    let to = usize::try_from(count).map_err(|_| "reflect.Value.Slice: slice index out of bounds".to_owned())?.min(entries.len());
    Ok(Value::Array(name, entries[..to].to_vec()))
}

fn lists(name: &str, values: &[Value]) -> Result<Vec<Value>, String> {
    let mut all = Vec::new();
    for value in values {
        match value {
            Value::Array(_, entries) => all.extend(entries.iter().cloned()),
            other => return Err(format!("cannot {name} {}", reflect_kind(other))),
        }
    }
    Ok(all)
}
