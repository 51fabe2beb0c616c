//! Text to tokens.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Identifier,
    Number,
    String,
    Operator,
    Bracket,
    Eof,
    /// Not a token: the text is what is wrong. Always the last.
    Bad,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    pub kind: Kind,
    pub text: String,
}

impl Token {
    pub fn is(&self, kind: Kind, text: &str) -> bool {
        self.kind == kind && self.text == text
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Eof => write!(f, "EOF"),
            kind => write!(f, "{kind:?}({:?})", self.text),
        }
    }
}

/// Words that are operators.
const WORDS: &[&str] = &["not", "in", "or", "and", "matches", "contains", "startsWith", "endsWith", "let", "if", "else"];

/// All tokens; the last is the end, or what is wrong there.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { rest: text, tokens: Vec::new() };
    if let Err(message) = lexer.run() {
        lexer.push(Kind::Bad, message);
    }
    lexer.tokens
}

struct Lexer<'a> {
    rest: &'a str,
    tokens: Vec<Token>,
}

impl<'a> Lexer<'a> {
    fn run(&mut self) -> Result<(), String> {
        while let Some(first) = self.peek() {
            match first {
                c if c.is_whitespace() => drop(self.take(c.len_utf8())),
                '\'' | '"' => self.string(first)?,
                '`' => self.raw_string()?,
                '0'..='9' => self.number()?,
                '.' if self.rest[1..].starts_with(|c: char| c.is_ascii_digit()) => self.number()?,
                '/' if self.rest.starts_with("//") => drop(self.take(self.rest.find('\n').map_or(self.rest.len(), |end| end + 1))),
                '/' if self.rest.starts_with("/*") => {
                    let end = self.rest[2..].find("*/").ok_or("unclosed comment")?;
                    self.take(end + 4);
                }
                '(' | '[' | '{' | ')' | ']' | '}' => self.token(Kind::Bracket, 1),
                c if is_word(c) => self.word(),
                c => self.operator(c)?,
            }
        }
        self.push(Kind::Eof, "");
        Ok(())
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        taken
    }

    fn push(&mut self, kind: Kind, text: impl Into<String>) {
        self.tokens.push(Token { kind, text: text.into() });
    }

    fn token(&mut self, kind: Kind, bytes: usize) {
        let text = self.take(bytes);
        self.push(kind, text);
    }

    /// One character, or two if the second can follow the first.
    fn operator(&mut self, first: char) -> Result<(), String> {
        let second = match first {
            '#' | ',' | ';' | '%' | '+' | '-' | '^' | '/' => "",
            '|' | ':' => &self.rest[..1],
            '?' => ".?",
            '.' => ".",
            '&' | '!' | '=' | '*' | '<' | '>' => "&=*",
            other => return Err(format!("unrecognized character: U+{:04X} '{other}'", u32::from(other))),
        };
        let two = self.rest[1..].starts_with(|c: char| second.contains(c));
        self.token(Kind::Operator, if two { 2 } else { 1 });
        Ok(())
    }

    fn word(&mut self) {
        let word = self.take(self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len()));
        self.push(if WORDS.contains(&word) { Kind::Operator } else { Kind::Identifier }, word);
    }

    fn number(&mut self) -> Result<(), String> {
        let start = self.rest;
        let radix = ["0x", "0X", "0o", "0O", "0b", "0B"].iter().find(|prefix| start.starts_with(**prefix)).map(|prefix| &prefix[1..]);
        let digits = match radix {
            Some("x" | "X") => "0123456789abcdefABCDEF_",
            Some("o" | "O") => "01234567_",
            Some(_) => "01_",
            None => "0123456789_",
        };
        let run = |from: usize| from + start[from..].find(|c| !digits.contains(c)).unwrap_or(start.len() - from);
        let mut end = run(if radix.is_some() { 2 } else { 0 });
        // Two dots are the range operator.
        if start[end..].starts_with('.') && !start[end..].starts_with("..") {
            end = run(end + 1);
        }
        if start[end..].starts_with(['e', 'E']) {
            let sign = usize::from(start[end + 1..].starts_with(['+', '-']));
            end = run(end + 1 + sign);
        }
        if let Some(next) = start[end..].chars().next().filter(|c| is_word(*c)) {
            return Err(format!("bad number syntax: {:?}", &start[..end + next.len_utf8()]));
        }
        self.token(Kind::Number, end);
        Ok(())
    }

    fn raw_string(&mut self) -> Result<(), String> {
        self.take(1);
        let mut text = String::new();
        loop {
            let end = self.rest.find('`').ok_or("literal not terminated")?;
            text.push_str(self.take(end));
            self.take(1);
            if !self.rest.starts_with('`') {
                break;
            }
            text.push_str(self.take(1));
        }
        self.push(Kind::String, text);
        Ok(())
    }

    fn string(&mut self, quote: char) -> Result<(), String> {
        self.take(1);
        let mut text = String::new();
        loop {
            let next = self.peek().filter(|c| *c != '\n').ok_or("literal not terminated")?;
            self.take(next.len_utf8());
            match next {
                c if c == quote => break,
                '\\' => text.push(self.escape(quote)?),
                c => text.push(c),
            }
        }
        self.push(Kind::String, text);
        Ok(())
    }

    fn escape(&mut self, quote: char) -> Result<char, String> {
        const INVALID: &str = "invalid char escape";
        let next = self.peek().ok_or(INVALID)?;
        self.take(next.len_utf8());
        let (digits, radix) = match next {
            'a' => return Ok('\u{7}'),
            'b' => return Ok('\u{8}'),
            'f' => return Ok('\u{c}'),
            'n' => return Ok('\n'),
            'r' => return Ok('\r'),
            't' => return Ok('\t'),
            'v' => return Ok('\u{b}'),
            c if c == '\\' || c == quote => return Ok(c),
            'x' => (2, 16),
            'u' => (4, 16),
            'U' => (8, 16),
            _ => return Err(INVALID.into()),
        };
        let code = self.rest.get(..digits).and_then(|code| u32::from_str_radix(code, radix).ok()).ok_or(INVALID)?;
        self.take(digits);
        char::from_u32(code).ok_or_else(|| "unable to unescape string".into())
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}
