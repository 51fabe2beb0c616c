//! Whether a tree makes sense for the type of the result, before anything is evaluated.

use std::fmt;

use super::{CLOSURES, builtins::BUILTINS, parse::Node};

/// What is known about a value before it is there.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// Nothing.
    Unknown,
    /// Nothing, because a function says it returns anything.
    Any,
    Nil,
    Bool,
    Int,
    /// What `asInt` returns; Go tells it from other integers.
    Int64,
    Float,
    Str,
    /// Its name in Go and what is in it.
    Array(&'static str, Box<Type>),
    Map,
    Function(&'static Function),
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown | Self::Nil => "unknown",
            Self::Any => "interface {}",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Int64 => "int64",
            Self::Float => "float64",
            Self::Str => "string",
            Self::Array(name, _) => name,
            Self::Map => "map[string]interface {}",
            Self::Function(function) => function.signature,
        })
    }
}

impl Type {
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown | Self::Any)
    }

    pub fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Int64 | Self::Float)
    }

    fn is_integer(&self) -> bool {
        matches!(self, Self::Int | Self::Int64)
    }

    pub fn is_array(&self) -> bool {
        matches!(self, Self::Array(..))
    }

    /// A list of anything that holds this.
    pub fn list(of: Type) -> Self {
        Self::Array("[]interface {}", Box::new(of))
    }

    /// What is in the list.
    pub fn entry(&self) -> Type {
        if let Self::Array(_, entry) = self { (**entry).clone() } else { Self::Unknown }
    }

    fn assignable_to(&self, to: &Type) -> bool {
        match (self, to) {
            (Self::Nil, to) => matches!(to, Self::Any | Self::Array(..) | Self::Map | Self::Function(_)),
            (Self::Unknown, _) | (_, Self::Unknown | Self::Nil) => false,
            (_, Self::Any) => true,
            (from, to) => from.to_string() == to.to_string(),
        }
    }

    fn comparable_to(&self, to: &Type) -> bool {
        let either = |is: fn(&Type) -> bool| is(self) || is(to);
        let both = |is: fn(&Type) -> bool| is(self) && is(to);
        either(Type::is_unknown) || either(|t| *t == Type::Nil) || both(Type::is_number) || both(Type::is_array) || self.assignable_to(to)
    }
}

/// A function the controller offers to conditions.
#[derive(Debug, PartialEq)]
pub struct Function {
    pub name: &'static str,
    pub signature: &'static str,
    takes: &'static [Type],
    gives: Type,
}

pub const FUNCTIONS: &[Function] = &[
    Function { name: "asInt", signature: "func(interface {}) int64", takes: &[Type::Any], gives: Type::Int64 },
    Function { name: "asFloat", signature: "func(interface {}) float64", takes: &[Type::Any], gives: Type::Float },
    Function { name: "isNaN", signature: "func(float64) bool", takes: &[Type::Float], gives: Type::Bool },
    Function { name: "isInf", signature: "func(float64) bool", takes: &[Type::Float], gives: Type::Bool },
    Function { name: "isNil", signature: "func(interface {}) bool", takes: &[Type::Any], gives: Type::Bool },
    Function {
        name: "default",
        signature: "func(interface {}, interface {}) interface {}",
        takes: &[Type::Any, Type::Any],
        gives: Type::Any,
    },
];

/// The tree, fit to be evaluated.
pub fn fit(mut node: Node, result: &Type) -> Result<Node, String> {
    let mut checker = Checker { result: result.clone(), rules: Vec::new(), names: Vec::new() };
    checker.visit(&mut node)?;
    Ok(node)
}

/// The rule of a closure: what `#` is, and whether there are `#index` and `#acc`.
struct Rule {
    list: Type,
    index: bool,
    acc: bool,
}

struct Checker {
    result: Type,
    rules: Vec<Rule>,
    names: Vec<(String, Type)>,
}

type Checked = Result<Type, String>;

impl Checker {
    fn visit(&mut self, node: &mut Node) -> Checked {
        match node {
            Node::Nil => Ok(Type::Nil),
            Node::Bool(_) => Ok(Type::Bool),
            Node::Int(_) => Ok(Type::Int),
            Node::Float(_) => Ok(Type::Float),
            Node::Str(_) => Ok(Type::Str),
            Node::Array(entries) => self.array(entries),
            Node::Map(pairs) => {
                for (key, value) in pairs {
                    self.visit(key)?;
                    self.visit(value)?;
                }
                Ok(Type::Map)
            }
            Node::Name(name) => self.name(name),
            Node::Pointer(name) => self.pointer(name),
            Node::Unary(operator, operand) => {
                let operand = self.visit(operand)?;
                unary(operator, &operand)
            }
            Node::Binary(operator, left, right) => {
                let (left, kind) = (self.visit(left)?, self.visit(right)?);
                if let ("matches", Node::Str(pattern)) = (operator.as_str(), &**right) {
                    crate::demo::controllers::analysis::matches(pattern, "")?;
                }
                let gives = binary(operator, &left, &kind)?;
                if (&left, &kind) == (&Type::Int, &Type::Int) && ["==", "!="].contains(&operator.as_str()) {
                    *operator = format!("int {operator}");
                }
                Ok(gives)
            }
            Node::If(parts) => self.choice(parts),
            Node::Member { base, property, method, .. } => {
                let (base, kind) = (self.visit(base)?, self.visit(property)?);
                member(&base, property, &kind, *method)
            }
            Node::Slice(base, from, to) => self.slice(base, [from, to]),
            Node::Builtin(name, arguments) if CLOSURES.iter().any(|(closure, ..)| closure == name) => {
                self.closure(&name.clone(), arguments)
            }
            Node::Builtin(name, arguments) => {
                let kinds = arguments.iter_mut().map(|argument| self.visit(argument)).collect::<Result<Vec<_>, _>>()?;
                let builtin = BUILTINS.iter().find(|builtin| builtin.name == name).ok_or_else(|| format!("unknown builtin {name}"))?;
                (builtin.check)(name, &kinds)
            }
            Node::Call(callee, arguments) => self.call(callee, arguments),
            Node::Let(name, value, body) => self.declare(name, value, body),
            Node::Sequence(nodes) => nodes.iter_mut().try_fold(Type::Unknown, |_, node| self.visit(node)),
        }
    }

    fn name(&self, name: &str) -> Checked {
        if let Some((_, kind)) = self.names.iter().rev().find(|(known, _)| known == name) {
            return Ok(kind.clone());
        }
        if name == "result" {
            return Ok(self.result.clone());
        }
        FUNCTIONS.iter().find(|f| f.name == name).map(Type::Function).ok_or_else(|| format!("unknown name {name}"))
    }

    fn pointer(&self, name: &str) -> Checked {
        let rule = self.rules.last().ok_or("cannot use pointer accessor outside predicate")?;
        match name {
            "" if rule.list.is_unknown() => Ok(Type::Unknown),
            "" => Ok(rule.list.entry()),
            "index" if rule.index => Ok(Type::Int),
            "acc" if rule.acc => Ok(Type::Unknown),
            _ => Err(format!("unknown pointer #{name}")),
        }
    }

    fn array(&mut self, entries: &mut [Node]) -> Checked {
        let kinds = entries.iter_mut().map(|entry| self.visit(entry)).collect::<Result<Vec<_>, _>>()?;
        let same = kinds.windows(2).all(|pair| std::mem::discriminant(&pair[0]) == std::mem::discriminant(&pair[1]));
        Ok(Type::list(if same { kinds.last().cloned().unwrap_or(Type::Unknown) } else { Type::Any }))
    }

    fn choice(&mut self, parts: &mut [Node; 3]) -> Checked {
        let [condition, yes, no] = parts;
        let condition = self.visit(condition)?;
        if condition != Type::Bool && !condition.is_unknown() {
            return Err(format!("non-bool expression (type {condition}) used as condition"));
        }
        let (yes, no) = (self.visit(yes)?, self.visit(no)?);
        Ok(match (yes, no) {
            (Type::Nil, other) | (other, Type::Nil) => other,
            (Type::Array(_, one), Type::Array(_, other)) if one != other => Type::list(Type::Any),
            (yes, no) if yes.assignable_to(&no) => yes,
            _ => Type::Unknown,
        })
    }

    fn slice(&mut self, base: &mut Node, ends: [&mut Option<Box<Node>>; 2]) -> Checked {
        let base = self.visit(base)?;
        if base.is_unknown() {
            return Ok(Type::Unknown);
        }
        if base != Type::Str && !base.is_array() {
            return Err(format!("cannot slice {base}"));
        }
        for end in ends.into_iter().flatten() {
            let end = self.visit(end)?;
            if !end.is_integer() && !end.is_unknown() {
                return Err(format!("non-integer slice index {end}"));
            }
        }
        Ok(base)
    }

    fn declare(&mut self, name: &str, value: &mut Node, body: &mut Node) -> Checked {
        if super::NAMES.contains(&name) {
            return Err(format!("cannot redeclare {name}"));
        }
        let builtin = BUILTINS.iter().any(|b| b.name == name) || CLOSURES.iter().any(|(closure, ..)| *closure == name);
        if builtin || super::UNSUPPORTED.contains(&name) {
            return Err(format!("cannot redeclare builtin {name}"));
        }
        if self.names.iter().any(|(known, _)| known == name) {
            return Err(format!("cannot redeclare variable {name}"));
        }
        let kind = self.visit(value)?;
        self.names.push((name.into(), kind));
        let body = self.visit(body);
        self.names.pop();
        body
    }

    fn call(&mut self, callee: &mut Node, arguments: &mut [Node]) -> Checked {
        let function = match self.visit(callee)? {
            Type::Function(function) => function,
            other if other.is_unknown() => return Ok(Type::Unknown),
            Type::Nil => return Err("function is nil; cannot call nil as function".into()),
            other => return Err(format!("{other} is not callable")),
        };
        if arguments.len() != function.takes.len() {
            arguments.iter_mut().try_for_each(|argument| self.visit(argument).map(drop))?;
            let few = arguments.len() < function.takes.len();
            return Err(format!("{} arguments to call {}", if few { "not enough" } else { "too many" }, function.name));
        }
        for (argument, wanted) in arguments.iter_mut().zip(function.takes) {
            let given = self.visit(argument)?;
            if *wanted == Type::Float && given.is_integer() {
                literals_to_floats(argument);
            } else {
                accepts(function.name, &given, wanted)?;
            }
        }
        Ok(function.gives.clone())
    }

    fn closure(&mut self, name: &str, arguments: &mut [Node]) -> Checked {
        let [list, rest @ ..] = arguments else { return Err(format!("not enough arguments to call {name}")) };
        let list = self.visit(list)?;
        if !list.is_array() && !list.is_unknown() {
            return Err(format!("builtin {name} takes only array (got {list})"));
        }
        let Some((rule, rest)) = rest.split_first_mut() else {
            return Ok(if name == "count" { Type::Int } else { list.entry() });
        };
        let (index, acc) = (["map", "reduce"].contains(&name), name == "reduce");
        self.rules.push(Rule { list: list.clone(), index, acc });
        let gives = self.visit(rule);
        self.rules.pop();
        let gives = gives?;
        rest.iter_mut().try_for_each(|argument| self.visit(argument).map(drop))?;
        if gives == Type::Nil {
            let inputs = if acc { "two" } else { "one" };
            return Err(format!("predicate should has {inputs} input and one output param"));
        }
        let asks = !["map", "sum", "reduce"].contains(&name);
        if asks && gives != Type::Bool && !gives.is_unknown() {
            return Err(format!("predicate should return boolean (got {gives})"));
        }
        Ok(match name {
            "all" | "none" | "any" | "one" => Type::Bool,
            "filter" if list.is_unknown() => Type::list(Type::Any),
            "filter" => Type::list(list.entry()),
            "map" => Type::list(gives),
            "count" | "findIndex" | "findLastIndex" => Type::Int,
            "find" | "findLast" => list.entry(),
            "sum" if gives.is_unknown() => Type::Any,
            _ => gives,
        })
    }
}

/// A literal given where a fraction is wanted becomes one.
fn literals_to_floats(node: &mut Node) {
    match node {
        Node::Int(number) => *node = Node::Float(*number as f64),
        Node::Unary(_, operand) => literals_to_floats(operand),
        Node::Binary(operator, left, right) if ["+", "-", "*"].contains(&operator.as_str()) => {
            literals_to_floats(left);
            literals_to_floats(right);
        }
        _ => {}
    }
}

/// Whether a function takes such an argument.
fn accepts(name: &str, given: &Type, wanted: &Type) -> Result<(), String> {
    match given {
        Type::Nil if *wanted != Type::Any => Err(format!("cannot use nil as argument (type {wanted}) to call {name}")),
        given if given.is_unknown() || given.assignable_to(wanted) => Ok(()),
        given => Err(format!("cannot use {given} as argument (type {wanted}) to call {name} ")),
    }
}

/// The check of a function with these kinds of arguments, the last of them optional from `least` on.
pub fn takes(name: &str, given: &[Type], wanted: &[Type], least: usize, gives: Type) -> Checked {
    if given.len() < least {
        return Err(format!("not enough arguments to call {name}"));
    }
    if given.len() > wanted.len() {
        return Err(format!("too many arguments to call {name}"));
    }
    given.iter().zip(wanted).try_for_each(|(given, wanted)| accepts(name, given, wanted))?;
    Ok(gives)
}

fn unary(operator: &str, operand: &Type) -> Checked {
    match operator {
        "!" | "not" if *operand == Type::Bool || operand.is_unknown() => Ok(Type::Bool),
        "+" | "-" if operand.is_number() => Ok(operand.clone()),
        "+" | "-" if operand.is_unknown() => Ok(Type::Unknown),
        _ => Err(format!("invalid operation: {operator} (mismatched type {operand})")),
    }
}

fn binary(operator: &str, left: &Type, right: &Type) -> Checked {
    let both = |is: fn(&Type) -> bool| (is(left) || left.is_unknown()) && (is(right) || right.is_unknown());
    let known = !left.is_unknown() && !right.is_unknown();
    let bools = both(|t| *t == Type::Bool);
    let (numbers, integers, strings) = (both(Type::is_number), both(Type::is_integer), both(|t| *t == Type::Str));
    let fits = match operator {
        "==" | "!=" => left.comparable_to(right).then_some(Type::Bool),
        "or" | "||" | "and" | "&&" => bools.then_some(Type::Bool),
        "<" | ">" | ">=" | "<=" => (numbers || strings).then_some(Type::Bool),
        "+" if strings && known => Some(Type::Str),
        "+" if strings => Some(Type::Unknown),
        "+" | "-" | "*" if numbers && !known => Some(Type::Unknown),
        "+" | "-" | "*" => numbers.then(|| if [left, right].contains(&&Type::Float) { Type::Float } else { Type::Int }),
        "/" | "**" | "^" => numbers.then_some(Type::Float),
        "%" => integers.then_some(Type::Int),
        ".." => integers.then(|| Type::list(Type::Int)),
        "matches" | "contains" | "startsWith" | "endsWith" => strings.then_some(Type::Bool),
        "in" => return is_in(left, right),
        "??" => return Ok(either(left, right)),
        _ => return Err(format!("unknown operator ({operator})")),
    };
    fits.ok_or_else(|| mismatch(operator, left, right))
}

fn mismatch(operator: &str, left: &Type, right: &Type) -> String {
    format!("invalid operation: {operator} (mismatched types {left} and {right})")
}

fn either(left: &Type, right: &Type) -> Type {
    match (left, right) {
        (Type::Nil, other) | (other, Type::Nil) => other.clone(),
        (left, right) if right.assignable_to(left) => left.clone(),
        _ => Type::Unknown,
    }
}

fn is_in(left: &Type, right: &Type) -> Checked {
    match right {
        Type::Map if left.is_unknown() || *left == Type::Str => Ok(Type::Bool),
        Type::Map => Err(format!("cannot use {left} as type string in map key")),
        Type::Array(_, entry) if left.comparable_to(entry) => Ok(Type::Bool),
        Type::Array(_, entry) => Err(format!("cannot use {left} as type {entry} in array")),
        Type::Str if left.is_unknown() => Ok(Type::Bool),
        right if right.is_unknown() => Ok(Type::Bool),
        _ => Err(mismatch("in", left, right)),
    }
}

fn member(base: &Type, property: &Node, kind: &Type, method: bool) -> Checked {
    if base.is_unknown() {
        return Ok(Type::Unknown);
    }
    match (base, property) {
        (Type::Nil, Node::Str(name)) => Err(format!("type nil has no field {name}")),
        (Type::Map, _) if *kind == Type::Str || kind.is_unknown() => Ok(Type::Any),
        (Type::Map, _) => Err(format!("cannot use {kind} to get an element from {base}")),
        (Type::Array(_, entry), _) if kind.is_integer() || kind.is_unknown() => Ok((**entry).clone()),
        (Type::Array(..), _) => Err(format!("array elements can only be selected using an integer (got {kind})")),
        (_, Node::Str(name)) => Err(format!("type {base} has no {} {name}", if method { "method" } else { "field" })),
        _ => Err(format!("type {base}[{kind}] is undefined")),
    }
}
