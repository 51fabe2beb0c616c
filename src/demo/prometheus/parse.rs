//! From the text of a query to the tree that is evaluated.
//!
//! The grammar is the `promql-parser` crate's. What it lets through and a Prometheus without feature flags refuses is
//! refused here: experimental functions and operators, and arguments of the wrong type.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use promql_parser::{
    label::{MatchOp, Matchers},
    parser::{self as syntax, AtModifier, LabelModifier, Offset, VectorMatchCardinality, value::ValueType},
};

use super::{
    error::Error,
    eval::functions::{self, Function},
    labels::{Labels, NAME, Names},
};

pub use promql_parser::label::Matcher;

/// Brackets within brackets, and operators in all. Nobody writes more, and every one may cost stack.
const DEEPEST: usize = 60;
const MOST_OPERATORS: usize = 160;

/// As both the crate and Prometheus have it.
const NO_MATCHER: &str = "must contain at least one non-empty matcher";

/// A query.
#[derive(Debug)]
pub enum Expr {
    Number(f64),
    Text(String),
    Select(Selector),
    Range(Selector, i64),
    Subquery(Box<Subquery>),
    Negate(Box<Expr>),
    Binary(Box<Binary>),
    Aggregate(Box<Aggregate>),
    Call(&'static Function, Vec<Expr>),
}

/// Series by their labels, and when to look at them.
#[derive(Debug)]
pub struct Selector {
    pub matchers: Vec<Matcher>,
    pub when: When,
}

/// `offset` and `@`.
#[derive(Debug, Clone, Copy, Default)]
pub struct When {
    /// Milliseconds into the past.
    pub offset: i64,
    pub at: Option<At>,
}

#[derive(Debug, Clone, Copy)]
pub enum At {
    Start,
    End,
    /// Milliseconds since 1970.
    Time(i64),
}

#[derive(Debug)]
pub struct Subquery {
    pub expr: Expr,
    pub range: i64,
    pub step: Option<i64>,
    pub when: When,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterEqual,
    LessEqual,
    And,
    Or,
    Unless,
}

const OPS: [(&str, Op); 16] = [
    ("+", Op::Add),
    ("-", Op::Sub),
    ("*", Op::Mul),
    ("/", Op::Div),
    ("%", Op::Mod),
    ("^", Op::Pow),
    ("atan2", Op::Atan2),
    ("==", Op::Equal),
    ("!=", Op::NotEqual),
    (">", Op::Greater),
    ("<", Op::Less),
    (">=", Op::GreaterEqual),
    ("<=", Op::LessEqual),
    ("and", Op::And),
    ("or", Op::Or),
    ("unless", Op::Unless),
];

impl Op {
    pub fn compares(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual | Self::Greater | Self::Less | Self::GreaterEqual | Self::LessEqual)
    }

    pub fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }
}

#[derive(Debug)]
pub struct Binary {
    pub op: Op,
    pub left: Expr,
    pub right: Expr,
    /// `bool`: say 0 or 1 instead of filtering.
    pub say: bool,
    pub matching: Names,
    pub group: Group,
}

/// Which side may have several series of one signature, and labels it takes from the other.
#[derive(Debug, PartialEq, Eq)]
pub enum Group {
    None,
    Left(Vec<String>),
    Right(Vec<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregator {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Group,
    Stddev,
    Stdvar,
    TopK,
    BottomK,
    Quantile,
    CountValues,
}

const AGGREGATORS: [(&str, Aggregator); 12] = [
    ("sum", Aggregator::Sum),
    ("avg", Aggregator::Avg),
    ("min", Aggregator::Min),
    ("max", Aggregator::Max),
    ("count", Aggregator::Count),
    ("group", Aggregator::Group),
    ("stddev", Aggregator::Stddev),
    ("stdvar", Aggregator::Stdvar),
    ("topk", Aggregator::TopK),
    ("bottomk", Aggregator::BottomK),
    ("quantile", Aggregator::Quantile),
    ("count_values", Aggregator::CountValues),
];

#[derive(Debug)]
pub struct Aggregate {
    pub op: Aggregator,
    pub expr: Expr,
    pub param: Option<Expr>,
    pub by: Names,
}

impl Expr {
    pub fn kind(&self) -> ValueType {
        match self {
            Self::Number(_) => ValueType::Scalar,
            Self::Text(_) => ValueType::String,
            Self::Select(_) | Self::Aggregate(_) => ValueType::Vector,
            Self::Range(..) | Self::Subquery(_) => ValueType::Matrix,
            Self::Negate(expr) => expr.kind(),
            Self::Binary(b) if b.left.kind() == ValueType::Scalar && b.right.kind() == ValueType::Scalar => ValueType::Scalar,
            Self::Binary(_) => ValueType::Vector,
            Self::Call(function, _) => function.kind(),
        }
    }
}

impl Selector {
    /// The one name its series have.
    pub fn name(&self) -> Option<&str> {
        let named = |matcher: &&Matcher| matcher.name == NAME && matcher.op == MatchOp::Equal && !matcher.value.is_empty();
        self.matchers.iter().find(named).map(|matcher| matcher.value.as_str())
    }

    /// Labels that its series would certainly have, for the answer to `absent`.
    pub fn certain(&self) -> Labels {
        let mut certain: HashMap<&str, Option<&str>> = HashMap::new();
        for matcher in self.matchers.iter().filter(|matcher| matcher.name != NAME) {
            match certain.get_mut(matcher.name.as_str()) {
                Some(value) => *value = None,
                None if matcher.op == MatchOp::Equal => drop(certain.insert(&matcher.name, Some(&matcher.value))),
                None => (),
            }
        }
        let certain = certain.into_iter().filter_map(|(name, value)| Some((name, value?)));
        Labels::from_pairs(certain)
    }
}

/// Reads a query.
///
/// # Errors
/// [`Error::BadData`] if it is none, or none for a range.
pub fn query(text: &str, ranged: bool) -> Result<Expr, Error> {
    let expr = expression(text)?;
    let kind = expr.kind();
    if ranged && !matches!(kind, ValueType::Scalar | ValueType::Vector) {
        let kind = documented(kind);
        return Err(Error::BadData(format!("invalid expression type \"{kind}\" for range query, must be Scalar or instant Vector")));
    }
    Ok(expr)
}

/// Reads a series selector, as `match[]` parameters are.
///
/// # Errors
/// [`Error::BadData`] if it is none or would select everything.
pub fn selector(text: &str) -> Result<Vec<Matcher>, Error> {
    match expression(text) {
        Ok(Expr::Select(Selector { matchers, when: When { offset: 0, at: None } })) => Ok(matchers),
        Ok(_) => Err(refused("a series selector is wanted")),
        Err(error) if error.to_string().ends_with(NO_MATCHER) => {
            Err(Error::BadData("match[] must contain at least one non-empty matcher".into()))
        }
        Err(error) => Err(error),
    }
}

fn expression(text: &str) -> Result<Expr, Error> {
    convert(syntax::parse(&prepared(text)?).map_err(refused)?)
}

fn refused(why: impl std::fmt::Display) -> Error {
    Error::BadData(format!("parse error: {why}"))
}

/// The query as the grammar's crate can read it: raw strings become quoted ones. What it would panic on is refused:
/// numbers as durations that are none; and so is what would exhaust the stack.
fn prepared(text: &str) -> Result<String, Error> {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut depth, mut operators, mut matching) = (text, 0_usize, 0_usize, false);
    while let Some(c) = rest.chars().next() {
        let (token, after) = rest.split_at(length_of_token(rest, c));
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ if matching => (),
            _ if "+-*/%^<>=!".contains(c) || OPS.iter().any(|(word, _)| token.eq_ignore_ascii_case(word)) => operators += 1,
            _ => (),
        }
        matching = c == '{' || (matching && c != '}');
        if depth > DEEPEST || operators > MOST_OPERATORS {
            return Err(refused("query is too long or nested too deeply"));
        }
        let lengths = match token {
            "[" => after.split(']').next().unwrap_or_default(),
            word if word.eq_ignore_ascii_case("offset") => first_word(after),
            _ => "",
        };
        if lengths.split(':').any(no_duration) {
            return Err(refused("duration out of range"));
        }
        match token.strip_prefix('`').and_then(|raw| raw.strip_suffix('`')) {
            Some(raw) => out.extend(["\"", &raw.replace('\\', r"\\").replace('"', "\\\"").replace('\n', "\\n"), "\""]),
            None => out.push_str(token),
        }
        rest = after;
    }
    Ok(out)
}

/// Strings, comments and words are one token each, anything else a character.
fn length_of_token(text: &str, first: char) -> usize {
    match first {
        '"' | '\'' => quoted(text, first),
        '`' => text[1..].find('`').map_or(text.len(), |end| end + 2),
        '#' => text.find('\n').unwrap_or(text.len()),
        c if is_word(c) => text.find(|c| !is_word(c)).unwrap_or(text.len()),
        c => c.len_utf8(),
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || "_:.".contains(c)
}

/// Length of the quoted string at the beginning.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == quote && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(index, _)| index + 1)
}

/// The first word or number, whatever its sign.
fn first_word(text: &str) -> &str {
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || "+-".contains(c));
    &text[..text.find(|c| !is_word(c)).unwrap_or(text.len())]
}

/// Whether this is a number and no length of time. Words and durations are the grammar's business.
fn no_duration(text: &str) -> bool {
    let text = text.trim();
    let seconds = match text.to_ascii_lowercase().strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(|n| n as f64),
        None => text.parse::<f64>().ok(),
    };
    seconds.is_some_and(|seconds| !(0.0..9.2e9).contains(&seconds))
}

fn convert(expr: syntax::Expr) -> Result<Expr, Error> {
    Ok(match expr {
        syntax::Expr::Paren(paren) => convert(*paren.expr)?,
        syntax::Expr::NumberLiteral(number) => Expr::Number(number.val),
        syntax::Expr::StringLiteral(text) => Expr::Text(text.val),
        syntax::Expr::VectorSelector(vector) => Expr::Select(select(vector)?),
        syntax::Expr::MatrixSelector(matrix) => Expr::Range(select(matrix.vs)?, length(matrix.range)?),
        syntax::Expr::Subquery(subquery) => Expr::Subquery(Box::new(Subquery {
            expr: convert(*subquery.expr)?,
            range: length(subquery.range)?,
            step: subquery.step.map(length).transpose()?,
            when: when(subquery.offset.as_ref(), subquery.at.as_ref()),
        })),
        syntax::Expr::Unary(unary) => Expr::Negate(Box::new(convert(*unary.expr)?)),
        syntax::Expr::Binary(binary) => Expr::Binary(Box::new(operation(binary)?)),
        syntax::Expr::Aggregate(aggregate) => Expr::Aggregate(Box::new(aggregation(aggregate)?)),
        syntax::Expr::Call(call) => application(call)?,
        syntax::Expr::Extension(_) => return Err(refused("invalid promql query")),
    })
}

fn select(vector: syntax::VectorSelector) -> Result<Selector, Error> {
    let Matchers { mut matchers, or_matchers } = vector.matchers;
    if !or_matchers.is_empty() {
        return Err(refused("unexpected \"or\" in label matching, expected \",\" or \"}\""));
    }
    matchers.extend(vector.name.map(|name| Matcher::new(MatchOp::Equal, NAME, &name)));
    if matchers.iter().all(|matcher| matcher.is_match("")) {
        return Err(refused(NO_MATCHER));
    }
    Ok(Selector { matchers, when: when(vector.offset.as_ref(), vector.at.as_ref()) })
}

fn length(duration: Duration) -> Result<i64, Error> {
    match millis(duration) {
        0 => Err(refused("duration must be greater than 0")),
        millis => Ok(millis),
    }
}

fn when(offset: Option<&Offset>, at: Option<&AtModifier>) -> When {
    let offset = match offset {
        Some(Offset::Pos(back)) => millis(*back),
        Some(Offset::Neg(ahead)) => -millis(*ahead),
        None => 0,
    };
    let at = at.map(|at| match at {
        AtModifier::Start => At::Start,
        AtModifier::End => At::End,
        AtModifier::At(time) => At::Time(match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => millis(after),
            Err(before) => -millis(before.duration()),
        }),
    });
    When { offset, at }
}

/// Centuries are enough for everybody, and sums of a few do not overflow.
fn millis(duration: Duration) -> i64 {
    super::millis(duration).min(1 << 48)
}

fn operation(binary: syntax::BinaryExpr) -> Result<Binary, Error> {
    let text = binary.op.to_string();
    let op = lookup(&OPS, &text).ok_or_else(|| refused(format!("binary expression does not support operator \"{text}\"")))?;
    let modifier = binary.modifier.unwrap_or_default();
    if modifier.fill_values.lhs.is_some() || modifier.fill_values.rhs.is_some() {
        return Err(refused("binop fill modifiers are experimental and not enabled"));
    }
    let group = match modifier.card {
        VectorMatchCardinality::ManyToOne(include) => Group::Left(include.labels),
        VectorMatchCardinality::OneToMany(include) => Group::Right(include.labels),
        VectorMatchCardinality::OneToOne | VectorMatchCardinality::ManyToMany => Group::None,
    };
    let (left, right) = (convert(*binary.lhs)?, convert(*binary.rhs)?);
    if op.is_set() && group != Group::None {
        return Err(refused(format!("no grouping allowed for \"{text}\" operation")));
    }
    Ok(Binary { op, left, right, say: modifier.return_bool, matching: names(modifier.matching), group })
}

fn names(modifier: Option<LabelModifier>) -> Names {
    match modifier {
        Some(LabelModifier::Include(labels)) => Names::Only(labels.labels),
        Some(LabelModifier::Exclude(labels)) => Names::AllBut(labels.labels),
        None => Names::AllBut(Vec::new()),
    }
}

fn aggregation(aggregate: syntax::AggregateExpr) -> Result<Aggregate, Error> {
    let text = aggregate.op.to_string();
    let op = lookup(&AGGREGATORS, &text).ok_or_else(|| {
        refused(format!("{text}() is experimental and must be enabled with --enable-feature=promql-experimental-functions"))
    })?;
    let by = match aggregate.modifier {
        None => Names::Only(Vec::new()),
        modifier => names(modifier),
    };
    Ok(Aggregate { op, expr: convert(*aggregate.expr)?, param: aggregate.param.map(|param| convert(*param)).transpose()?, by })
}

fn application(call: syntax::Call) -> Result<Expr, Error> {
    let name = call.func.name;
    if call.func.experimental {
        return Err(refused(format!("function \"{name}\" is not enabled")));
    }
    let function = functions::find(name).ok_or_else(|| refused(format!("function \"{name}\" is not supported here")))?;
    let arguments = call.args.args.into_iter().map(|argument| convert(*argument)).collect::<Result<Vec<_>, _>>()?;
    for (index, argument) in arguments.iter().enumerate() {
        let wanted = call.func.arg_types.get(index).or(call.func.arg_types.last());
        if let Some(wanted) = wanted.filter(|wanted| **wanted != argument.kind()) {
            let (wanted, found) = (documented(*wanted), documented(argument.kind()));
            return Err(refused(format!("expected type {wanted} in call to function \"{name}\", got {found}")));
        }
    }
    Ok(Expr::Call(function, arguments))
}

fn lookup<T: Copy>(table: &[(&str, T)], text: &str) -> Option<T> {
    table.iter().find(|(name, _)| *name == text).map(|(_, value)| *value)
}

fn documented(kind: ValueType) -> &'static str {
    match kind {
        ValueType::Scalar => "scalar",
        ValueType::String => "string",
        ValueType::Vector => "instant vector",
        ValueType::Matrix => "range vector",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn error(text: &str) -> String {
        expression(text).unwrap_err().to_string()
    }

    #[test]
    fn what_needs_a_feature_flag_is_refused() {
        assert_eq!(error("mad_over_time(x[5m])"), "parse error: function \"mad_over_time\" is not enabled");
        assert!(error("limitk(2, x)").starts_with("parse error: limitk() is experimental"));
        assert!(error("a + fill(0) b").contains("experimental"));
        assert!(error("nonsense(x)").contains("nonsense"));
    }

    #[test]
    fn durations_that_are_none_are_refused_and_do_not_panic() {
        for text in ["x[1e30]", "x[inf]", "x[NaN]", "x[5m:1e300]", "x offset 1e300", "x OFFSET - inf", "x[0x7fffffffffffffff]", "x[0s]"] {
            assert!(error(text).starts_with("parse error: "), "{text}: {}", error(text));
        }
        assert!(expression("offset_total{a=\"[1e30]\", b='offset inf', c=`offset\ninf`} # [inf]").is_ok());
        assert!(error(&"(".repeat(100_000)).contains("deep"));
        assert!(error(&"1+".repeat(100_000)).contains("deep"));
    }

    #[test]
    fn raw_strings_are_taken_as_they_are() {
        let text = |query| match expression(query) {
            Ok(Expr::Text(text)) => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(text("`a\\d\"'\n`"), "a\\d\"'\n");
        assert_eq!(text(r#""quote \" and ` tick""#), "quote \" and ` tick");
        assert_eq!(text("'don\\'t'"), "don't");
        assert!(error("`open").contains("parse error"));
    }

    #[test]
    fn types_are_checked_even_where_the_crate_does_not() {
        assert!(error("exp(Inf)").contains("expected type instant vector in call to function \"exp\", got scalar"));
        let ranged = |text| query(text, true).unwrap_err().to_string();
        assert_eq!(ranged("x[5m]"), "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector");
        assert!(ranged("\"a\"").contains("\"string\""));
    }

    #[test]
    fn only_what_is_certain_is_named_absent() {
        let certain = |text| match expression(text).unwrap() {
            Expr::Select(selector) => selector.certain().to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(certain("x{a=\"1\", b=~\"2\", c!=\"3\"}"), "{a=\"1\"}");
        assert_eq!(certain("x{a=\"1\", a=\"2\"}"), "{}");
        assert_eq!(certain("x{a=\"1\", a=~\"1\"}"), "{}");
        assert_eq!(certain("x{a=~\"1\", a=\"1\"}"), "{a=\"1\"}");
    }
}
