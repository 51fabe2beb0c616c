//! Conditions of analyses: the part of expr-lang they use.
//!
//! The controller checks a condition against the type of the measured result before it evaluates it, so `result > 1`
//! on a list is refused where `result[0] > 1` is not, and people meet the refusals as messages of a measurement. They
//! are the same words here. A result is a number or a list of numbers, as Prometheus answers.

mod builtins;
mod check;
mod eval;
mod lex;
mod parse;

use check::Type;
use eval::Value;

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub enum Measured {
    Number(f64),
    List(Vec<f64>),
}

impl Measured {
    fn value(&self) -> Value {
        match self {
            Self::Number(number) => Value::Float(*number),
            Self::List(list) => Value::Array("[]float64", list.iter().copied().map(Value::Float).collect()),
        }
    }

    fn kind(&self) -> Type {
        match self {
            Self::Number(_) => Type::Float,
            Self::List(_) => Type::Array("[]float64", Box::new(Type::Float)),
        }
    }
}

/// Whether the condition holds. The error is what the controller would say.
pub fn holds(condition: &str, result: &Measured) -> Result<bool, String> {
    let tree = check::fit(parse::parse(condition)?, &result.kind())?;
    match eval::eval(&tree, result.value())? {
        Value::Bool(holds) => Ok(holds),
        other => Err(format!("expected bool, but got {}", other.go_type())),
    }
}

/// A name that means something without being declared.
const NAMES: &[&str] = &["result", "asInt", "asFloat", "isNaN", "isInf", "isNil", "default"];

/// Functions that take what follows as a rule for each entry of a list: name, whether the rule may be left out,
/// whether one more argument may follow.
const CLOSURES: &[(&str, bool, bool)] = &[
    ("all", false, false),
    ("none", false, false),
    ("any", false, false),
    ("one", false, false),
    ("filter", false, false),
    ("map", false, false),
    ("count", true, false),
    ("sum", true, false),
    ("find", false, false),
    ("findIndex", false, false),
    ("findLast", false, false),
    ("findLastIndex", false, false),
    ("reduce", false, true),
];

/// Functions of expr-lang that no condition on numbers needs: named to say so rather than "unknown name".
const UNSUPPORTED: &[&str] = &[
    "groupBy",
    "sortBy",
    "sort",
    "trim",
    "trimPrefix",
    "trimSuffix",
    "split",
    "splitAfter",
    "replace",
    "repeat",
    "join",
    "indexOf",
    "lastIndexOf",
    "hasPrefix",
    "hasSuffix",
    "toJSON",
    "fromJSON",
    "toBase64",
    "fromBase64",
    "now",
    "duration",
    "date",
    "timezone",
    "get",
    "keys",
    "values",
    "toPairs",
    "fromPairs",
    "uniq",
    "flatten",
    "bitand",
    "bitor",
    "bitxor",
    "bitnand",
    "bitshl",
    "bitshr",
    "bitushr",
    "bitnot",
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn monsters_are_refused_before_they_hurt() {
        let refused = |condition: &str| holds(condition, &Measured::Number(1.0)).unwrap_err();
        let too_large = "compilation failed: expression exceeds maximum allowed nodes";
        assert_eq!(refused(&"(".repeat(100_000)), too_large);
        assert_eq!(refused(&format!("{}true", "!".repeat(500))), too_large);
        assert_eq!(refused(&format!("{}1 > 0", "1 + ".repeat(10_000))), too_large);
        assert_eq!(holds(&format!("{}1 > 0", "1 + ".repeat(290)), &Measured::Number(1.0)), Ok(true));
        assert_eq!(refused("len(1..1000000000000) > 0"), "memory budget exceeded");
        assert_eq!(refused("all(1..900000, len(1..900000) > 0)"), "memory budget exceeded");
    }

    #[test]
    fn what_is_left_out_is_said() {
        let refused = |condition: &str| holds(condition, &Measured::Number(1.0)).unwrap_err();
        assert_eq!(refused("now() > 1"), "the function now() is not supported by this cluster");
        assert_eq!(refused("nonsense() > 1"), "unknown name nonsense");
    }
}
