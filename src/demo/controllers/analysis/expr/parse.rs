//! Tokens to a tree, by operator precedence.

use super::{
    CLOSURES,
    lex::{Kind, Token, tokens},
};

#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    Array(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Name(String),
    /// `#`, `#index`, `#acc`.
    Pointer(String),
    Unary(String, Box<Node>),
    Binary(String, Box<Node>, Box<Node>),
    If(Box<[Node; 3]>),
    /// What is behind the dot or in the brackets; whether it is called; whether nil is let through (`?.`).
    Member {
        base: Box<Node>,
        property: Box<Node>,
        method: bool,
        optional: bool,
    },
    Slice(Box<Node>, Option<Box<Node>>, Option<Box<Node>>),
    /// A call of a function of expr-lang; the rule of a closure is its second argument.
    Builtin(String, Vec<Node>),
    /// A call of anything else.
    Call(Box<Node>, Vec<Node>),
    Let(String, Box<Node>, Box<Node>),
    Sequence(Vec<Node>),
}

/// A condition of more tokens than this is refused, as expr-lang refuses one of ten thousand nodes: what walks the tree
/// goes as deep as that.
const MOST: usize = 600;
/// The same for brackets in brackets.
const DEEPEST: usize = 60;
const TOO_LARGE: &str = "compilation failed: expression exceeds maximum allowed nodes";

pub fn parse(text: &str) -> Result<Node, String> {
    let mut parser = Parser { tokens: tokens(text), at: 0, closures: 0, depth: 0 };
    if parser.tokens.len() > MOST {
        return Err(TOO_LARGE.into());
    }
    parser.not_bad()?;
    let node = parser.sequence()?;
    if parser.now().kind != Kind::Eof {
        return Err(parser.unexpected());
    }
    Ok(node)
}

/// Precedence of the binary operators. `**` and `^` bind to the right.
const BINARY: &[(u16, &[&str])] = &[
    (0, &["|"]),
    (10, &["or", "||"]),
    (15, &["and", "&&"]),
    (20, &["==", "!=", "<", ">", ">=", "<=", "in", "matches", "contains", "startsWith", "endsWith"]),
    (25, &[".."]),
    (30, &["+", "-"]),
    (60, &["*", "/", "%"]),
    (100, &["**", "^"]),
    (500, &["??"]),
];

fn precedence(operator: &str) -> Option<u16> {
    BINARY.iter().find(|(_, operators)| operators.contains(&operator)).map(|(precedence, _)| *precedence)
}

fn is_comparison(operator: &str) -> bool {
    ["<", ">", ">=", "<="].contains(&operator)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    /// How many rules of closures surround this place.
    closures: usize,
    /// How many expressions do.
    depth: usize,
}

type Parsed = Result<Node, String>;

impl Parser {
    fn now(&self) -> &Token {
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn sees(&self, kind: Kind, text: &str) -> bool {
        self.now().is(kind, text)
    }

    fn unexpected(&self) -> String {
        format!("unexpected token {}", self.now())
    }

    fn not_bad(&self) -> Result<(), String> {
        if self.now().kind == Kind::Bad { Err(self.now().text.clone()) } else { Ok(()) }
    }

    fn next(&mut self) -> Result<Token, String> {
        let token = self.now().clone();
        self.at += 1;
        if self.at >= self.tokens.len() {
            return Err("unexpected end of expression".into());
        }
        self.not_bad()?;
        Ok(token)
    }

    fn expect(&mut self, kind: Kind, text: &str) -> Result<(), String> {
        if self.sees(kind, text) { self.next().map(drop) } else { Err(self.unexpected()) }
    }

    fn expect_name(&mut self) -> Result<String, String> {
        if self.now().kind == Kind::Identifier { Ok(self.next()?.text) } else { Err(self.unexpected()) }
    }

    fn sequence(&mut self) -> Parsed {
        let mut nodes = vec![self.expression(0)?];
        while self.sees(Kind::Operator, ";") {
            self.next()?;
            if self.now().kind == Kind::Eof {
                break;
            }
            nodes.push(self.expression(0)?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Sequence(nodes) })
    }

    fn expression(&mut self, least: u16) -> Parsed {
        self.depth += 1;
        let parsed = if self.depth > DEEPEST { Err(TOO_LARGE.into()) } else { self.expression_here(least) };
        self.depth -= 1;
        parsed
    }

    fn expression_here(&mut self, least: u16) -> Parsed {
        if least == 0 && self.sees(Kind::Operator, "let") {
            return self.declaration();
        }
        if least == 0 && self.sees(Kind::Operator, "if") {
            return self.if_else();
        }
        let mut left = self.primary()?;
        let mut before = String::new();
        while let Some((operator, negated)) = self.binary_operator(least)? {
            if before == "??" && operator != "??" && operator != "|" {
                return Err(format!("Operator ({operator}) and coalesce expressions (??) cannot be mixed. Wrap either by parentheses."));
            }
            left = self.binary(left, &operator, negated)?;
            before = operator;
        }
        if least == 0 {
            while self.sees(Kind::Operator, "?") {
                left = self.ternary(left)?;
            }
        }
        Ok(left)
    }

    /// Takes the next operator if it binds at least so strongly; `not` may come before some.
    fn binary_operator(&mut self, least: u16) -> Result<Option<(String, bool)>, String> {
        if self.now().kind != Kind::Operator {
            return Ok(None);
        }
        let negated = self.sees(Kind::Operator, "not");
        let start = self.at;
        if negated {
            self.next()?;
            if !["contains", "matches", "startsWith", "endsWith", "in"].contains(&self.now().text.as_str()) {
                return Err(self.unexpected());
            }
        }
        if precedence(&self.now().text).is_some_and(|precedence| precedence >= least) {
            return Ok(Some((self.next()?.text, negated)));
        }
        self.at = start;
        Ok(None)
    }

    fn binary(&mut self, left: Node, operator: &str, negated: bool) -> Parsed {
        if operator == "|" {
            let name = self.expect_name()?;
            return self.call(name, vec![left]);
        }
        let level = precedence(operator).unwrap_or_default();
        if is_comparison(operator) {
            return self.comparisons(left, operator.to_owned(), level);
        }
        let right = self.expression(if ["**", "^"].contains(&operator) { level } else { level + 1 })?;
        let node = Node::Binary(operator.into(), Box::new(left), Box::new(right));
        Ok(if negated { Node::Unary("not".into(), Box::new(node)) } else { node })
    }

    /// `a < b <= c` is `a < b && b <= c`.
    fn comparisons(&mut self, mut left: Node, mut operator: String, level: u16) -> Parsed {
        let mut all: Option<Node> = None;
        loop {
            let right = self.expression(level + 1)?;
            let one = Node::Binary(operator, Box::new(left), Box::new(right.clone()));
            all = Some(match all {
                Some(before) => Node::Binary("&&".into(), Box::new(before), Box::new(one)),
                None => one,
            });
            if self.now().kind != Kind::Operator || !is_comparison(&self.now().text) {
                break;
            }
            left = right;
            operator = self.next()?.text;
        }
        all.ok_or_else(|| self.unexpected())
    }

    fn declaration(&mut self) -> Parsed {
        self.next()?;
        let name = self.expect_name()?;
        self.expect(Kind::Operator, "=")?;
        let value = self.expression(0)?;
        self.expect(Kind::Operator, ";")?;
        Ok(Node::Let(name, Box::new(value), Box::new(self.sequence()?)))
    }

    fn if_else(&mut self) -> Parsed {
        self.next()?;
        let condition = self.expression(0)?;
        let yes = self.block()?;
        self.expect(Kind::Operator, "else")?;
        let no = if self.sees(Kind::Operator, "if") { self.if_else()? } else { self.block()? };
        Ok(Node::If(Box::new([condition, yes, no])))
    }

    fn block(&mut self) -> Parsed {
        self.expect(Kind::Bracket, "{")?;
        let node = self.sequence()?;
        self.expect(Kind::Bracket, "}")?;
        Ok(node)
    }

    fn ternary(&mut self, condition: Node) -> Parsed {
        self.next()?;
        if self.sees(Kind::Operator, ":") {
            self.next()?;
            let no = self.expression(0)?;
            return Ok(Node::If(Box::new([condition.clone(), condition, no])));
        }
        let yes = self.expression(0)?;
        self.expect(Kind::Operator, ":")?;
        Ok(Node::If(Box::new([condition, yes, self.expression(0)?])))
    }

    fn primary(&mut self) -> Parsed {
        let token = self.now().clone();
        match (token.kind, token.text.as_str()) {
            (Kind::Operator, "not" | "!" | "-" | "+") => {
                self.next()?;
                let operand = self.expression(if ["not", "!"].contains(&token.text.as_str()) { 50 } else { 90 })?;
                self.postfix(Node::Unary(token.text, Box::new(operand)))
            }
            (Kind::Bracket, "(") => {
                self.next()?;
                let inner = self.sequence()?;
                self.expect(Kind::Bracket, ")")?;
                self.postfix(inner)
            }
            (Kind::Operator, "#") if self.closures > 0 => {
                self.next()?;
                let name = if self.now().kind == Kind::Identifier { self.next()?.text } else { String::new() };
                self.postfix(Node::Pointer(name))
            }
            (Kind::Operator, ".") if self.closures > 0 => self.postfix(Node::Pointer(String::new())),
            (Kind::Operator, "::") => {
                self.next()?;
                let name = self.expect_name()?;
                let call = self.call(name, Vec::new())?;
                self.postfix(call)
            }
            _ => self.value(token),
        }
    }

    fn value(&mut self, token: Token) -> Parsed {
        let node = match token.kind {
            Kind::Identifier => {
                self.next()?;
                match token.text.as_str() {
                    "true" | "false" => return Ok(Node::Bool(token.text == "true")),
                    "nil" => return Ok(Node::Nil),
                    _ if self.sees(Kind::Bracket, "(") => self.call(token.text, Vec::new())?,
                    _ => Node::Name(token.text),
                }
            }
            Kind::Number => {
                self.next()?;
                return number(&token.text);
            }
            Kind::String => {
                self.next()?;
                Node::Str(token.text)
            }
            Kind::Bracket if token.text == "[" => {
                self.next()?;
                Node::Array(self.entries("]", Vec::new(), |parser| parser.expression(0))?)
            }
            Kind::Bracket if token.text == "{" => {
                self.next()?;
                Node::Map(self.entries("}", Vec::new(), Self::pair)?)
            }
            _ => return Err(self.unexpected()),
        };
        self.postfix(node)
    }

    /// Comma-separated, up to the closing bracket; a comma may come last.
    fn entries<T>(&mut self, close: &str, mut entries: Vec<T>, one: impl Fn(&mut Self) -> Result<T, String>) -> Result<Vec<T>, String> {
        let given = entries.len();
        while !self.sees(Kind::Bracket, close) {
            if entries.len() > given {
                self.expect(Kind::Operator, ",")?;
                if self.sees(Kind::Bracket, close) {
                    break;
                }
            }
            entries.push(one(self)?);
        }
        self.expect(Kind::Bracket, close)?;
        Ok(entries)
    }

    fn pair(&mut self) -> Result<(Node, Node), String> {
        let key = match self.now().kind {
            Kind::Number | Kind::String | Kind::Identifier => Node::Str(self.next()?.text),
            Kind::Bracket if self.now().text == "(" => self.expression(0)?,
            _ => {
                let what = "a map key must be a quoted string, a number, a identifier, or an expression enclosed in parentheses";
                return Err(format!("{what} ({})", self.unexpected()));
            }
        };
        self.expect(Kind::Operator, ":")?;
        Ok((key, self.expression(0)?))
    }

    /// The call of a name; `arguments` are those a pipe brought.
    fn call(&mut self, name: String, arguments: Vec<Node>) -> Parsed {
        let closure = CLOSURES.iter().find(|(closure, ..)| *closure == name);
        self.expect(Kind::Bracket, "(")?;
        if let Some((_, may_lack, may_have_more)) = closure {
            return Ok(Node::Builtin(name, self.closure(arguments, *may_lack, *may_have_more)?));
        }
        let arguments = self.entries(")", arguments, |parser| parser.expression(0))?;
        let builtin = super::builtins::BUILTINS.iter().any(|builtin| builtin.name == name);
        if super::UNSUPPORTED.contains(&name.as_str()) {
            return Err(format!("the function {name}() is not supported by this cluster"));
        }
        Ok(if builtin { Node::Builtin(name, arguments) } else { Node::Call(Box::new(Node::Name(name)), arguments) })
    }

    fn closure(&mut self, mut arguments: Vec<Node>, may_lack: bool, may_have_more: bool) -> Result<Vec<Node>, String> {
        let piped = arguments.len();
        let wanted = if may_have_more { 3 } else { 2 };
        for place in piped..wanted {
            let optional = place == 2 || (place == 1 && may_lack);
            if self.sees(Kind::Bracket, ")") {
                if optional {
                    break;
                }
                return Err(format!("expected at least {} arguments", wanted - piped));
            }
            if place > piped {
                self.expect(Kind::Operator, ",")?;
            }
            arguments.push(if place == 1 { self.rule()? } else { self.expression(0)? });
        }
        if self.sees(Kind::Operator, ",") {
            self.next()?;
        }
        self.expect(Kind::Bracket, ")")?;
        Ok(arguments)
    }

    fn rule(&mut self) -> Parsed {
        self.closures += 1;
        let node = if self.sees(Kind::Bracket, "{") {
            self.block()?
        } else {
            let node = self.expression(0)?;
            if self.sees(Kind::Operator, ";") {
                return Err("wrap predicate with brackets { and }".into());
            }
            node
        };
        self.closures -= 1;
        Ok(node)
    }

    fn postfix(&mut self, mut node: Node) -> Parsed {
        loop {
            let optional = self.sees(Kind::Operator, "?.");
            if optional || self.sees(Kind::Operator, ".") {
                self.next()?;
                node = if optional && self.sees(Kind::Bracket, "[") { self.index(node, true)? } else { self.field(node, optional)? };
            } else if self.sees(Kind::Bracket, "[") {
                node = self.index(node, false)?;
            } else {
                return Ok(node);
            }
        }
    }

    fn field(&mut self, base: Node, optional: bool) -> Parsed {
        let token = self.now().clone();
        let is_name = token.kind == Kind::Identifier || (token.kind == Kind::Operator && token.text.starts_with(char::is_alphabetic));
        if token.kind == Kind::Eof {
            return Err("unexpected end of expression".into());
        }
        self.next()?;
        if !is_name {
            return Err("expected name".into());
        }
        let method = self.sees(Kind::Bracket, "(");
        let member = Node::Member { base: Box::new(base), property: Box::new(Node::Str(token.text)), method, optional };
        if !method {
            return Ok(member);
        }
        self.next()?;
        Ok(Node::Call(Box::new(member), self.entries(")", Vec::new(), |parser| parser.expression(0))?))
    }

    fn index(&mut self, base: Node, optional: bool) -> Parsed {
        self.next()?;
        let from = if self.sees(Kind::Operator, ":") { None } else { Some(Box::new(self.expression(0)?)) };
        let node = match from {
            Some(property) if !self.sees(Kind::Operator, ":") => Node::Member { base: Box::new(base), property, method: false, optional },
            from => {
                self.next()?;
                let to = if self.sees(Kind::Bracket, "]") { None } else { Some(Box::new(self.expression(0)?)) };
                Node::Slice(Box::new(base), from, to)
            }
        };
        self.expect(Kind::Bracket, "]")?;
        Ok(node)
    }
}

fn number(text: &str) -> Parsed {
    let digits = text.replace('_', "").to_lowercase();
    let radix = [("0x", 16, "hex"), ("0b", 2, "binary"), ("0o", 8, "octal")].into_iter().find(|(prefix, ..)| digits.starts_with(prefix));
    let bad = |what: &str, function: &str, why: &str| format!("invalid {what} literal: strconv.{function}: parsing {digits:?}: {why}");
    let int = |digits: &str, radix: u32, what: &str| match i64::from_str_radix(digits, radix) {
        Ok(number) => Ok(Node::Int(number)),
        Err(_) if digits.is_empty() => Err(bad(what, "ParseInt", "invalid syntax")),
        Err(_) => Err(bad(what, "ParseInt", "value out of range")),
    };
    match radix {
        Some((_, radix, what)) => int(&digits[2..], radix, what),
        None if digits.contains(['.', 'e']) => match digits.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Node::Float(number)),
            Ok(_) => Err(bad("float", "ParseFloat", "value out of range")),
            Err(_) => Err(bad("float", "ParseFloat", "invalid syntax")),
        },
        None => int(&digits, 10, "integer"),
    }
}
