//! `app=shop,tier in (a, b),!legacy`: the grammar of label selectors, and its complaints.

/// One condition upon the labels of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Requirement {
    key: String,
    wants: Wants,
}

#[derive(Debug, Clone, PartialEq)]
enum Wants {
    Present,
    Absent,
    OneOf(Vec<String>),
    /// Labels that are missing will do, too.
    NoneOf(Vec<String>),
    MoreThan(i64),
    LessThan(i64),
}

impl Requirement {
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        let value = label(&self.key);
        let listed = |values: &[String]| value.is_some_and(|value| values.iter().any(|listed| listed == value));
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match &self.wants {
            Wants::Present => value.is_some(),
            Wants::Absent => value.is_none(),
            Wants::OneOf(values) => listed(values),
            Wants::NoneOf(values) => !listed(values),
            Wants::MoreThan(bound) => number().is_some_and(|number| number > *bound),
            Wants::LessThan(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

/// Reads a selector. The error is what the real server says.
pub fn parse(text: &str) -> Result<Vec<Requirement>, String> {
    Parser { tokens: lex(text), at: 0 }.all()
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Sign(&'static str),
    End,
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Self::Word(word) => word,
            Self::Sign(sign) => sign,
            Self::End => "",
        }
    }
}

/// Longer ones first.
const SIGNS: [&str; 9] = ["==", "!=", "=", "!", "(", ")", ",", "<", ">"];

fn lex(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
        let length = match sign {
            Some(sign) => sign.len(),
            None => rest.find(|c: char| c.is_ascii_whitespace() || "=!(),<>".contains(c)).unwrap_or(rest.len()),
        };
        tokens.push(sign.map_or_else(|| Token::Word(rest[..length].into()), Token::Sign));
        rest = rest[length..].trim_start();
    }
    tokens.push(Token::End);
    tokens
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn all(mut self) -> Result<Vec<Requirement>, String> {
        let mut all = Vec::new();
        loop {
            match self.peek() {
                Token::End => return Ok(all),
                Token::Word(_) | Token::Sign("!") => (),
                other => return Err(format!("found '{}', expected: !, identifier, or 'end of string'", other.text())),
            }
            all.push(self.requirement().map_err(|why| format!("unable to parse requirement: {why}"))?);
            match self.next() {
                Token::End => return Ok(all),
                Token::Sign(",") if matches!(self.peek(), Token::Word(_) | Token::Sign("!")) => (),
                Token::Sign(",") => return Err(format!("found '{}', expected: identifier after ','", self.peek().text())),
                other => return Err(format!("found '{}', expected: ',' or 'end of string'", other.text())),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let absent = *self.peek() == Token::Sign("!");
        if absent {
            self.next();
        }
        let key = match self.next() {
            Token::Word(key) => key,
            other => return Err(format!("found '{}', expected: identifier", other.text())),
        };
        check_key(&key)?;
        if absent {
            return Ok(Requirement { key, wants: Wants::Absent });
        }
        if matches!(self.peek(), Token::End | Token::Sign(",")) {
            return Ok(Requirement { key, wants: Wants::Present });
        }
        let wants = self.wants(&key)?;
        Ok(Requirement { key, wants })
    }

    fn wants(&mut self, key: &str) -> Result<Wants, String> {
        match self.next().text() {
            "in" => Ok(Wants::OneOf(checked(key, self.values()?)?)),
            "notin" => Ok(Wants::NoneOf(checked(key, self.values()?)?)),
            "=" | "==" => Ok(Wants::OneOf(checked(key, vec![self.value()?])?)),
            "!=" => Ok(Wants::NoneOf(checked(key, vec![self.value()?])?)),
            ">" => Ok(Wants::MoreThan(number(&self.value()?)?)),
            "<" => Ok(Wants::LessThan(number(&self.value()?)?)),
            other => Err(format!("found '{other}', expected: in, notin, =, ==, !=, gt, lt")),
        }
    }

    /// After `=`; nothing is the empty value.
    fn value(&mut self) -> Result<String, String> {
        match self.peek() {
            Token::End | Token::Sign(",") => Ok(String::new()),
            Token::Word(_) => Ok(self.next().text().to_owned()),
            other => Err(format!("found '{}', expected: identifier", other.text())),
        }
    }

    /// `(a, b,)`: an omitted value is the empty one.
    fn values(&mut self) -> Result<Vec<String>, String> {
        match self.next() {
            Token::Sign("(") => (),
            other => return Err(format!("found '{}' expected: '('", other.text())),
        }
        let mut values = Vec::new();
        loop {
            match self.peek() {
                Token::Word(_) => values.push(self.next().text().to_owned()),
                Token::Sign("," | ")") => values.push(String::new()),
                other if values.is_empty() => return Err(format!("found '{}', expected: ',', ')' or identifier", other.text())),
                other => return Err(format!("found '{}', expected: ',', or identifier", other.text())),
            }
            match self.next() {
                Token::Sign(")") => return Ok(values),
                Token::Sign(",") => (),
                other => return Err(format!("found '{}', expected: ',' or ')'", other.text())),
            }
        }
    }
}

fn number(value: &str) -> Result<i64, String> {
    let why = "for 'Gt', 'Lt' operators, the value must be an integer";
    value.parse().map_err(|_| format!("values[0]: Invalid value: \"{value}\": {why}"))
}

fn checked(key: &str, values: Vec<String>) -> Result<Vec<String>, String> {
    for (index, value) in values.iter().enumerate() {
        let at = || format!("values[{index}][{key}]: Invalid value: \"{value}\": ");
        if value.len() > 63 {
            return Err(at() + "must be no more than 63 bytes");
        }
        if !value.is_empty() && !is_name(value) {
            let why = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end \
                       with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is \
                       '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
            return Err(at() + why);
        }
    }
    Ok(values)
}

fn check_key(key: &str) -> Result<(), String> {
    let name = key.rsplit('/').next().unwrap_or_default();
    let at = || format!("<nil>: Invalid value: \"{key}\": name part ");
    if name.is_empty() {
        return Err(at() + "must be non-empty");
    }
    if name.len() > 63 {
        return Err(at() + "must be no more than 63 bytes");
    }
    if !is_name(name) {
        let why = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character \
                   (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
        return Err(at() + why);
    }
    Ok(())
}

fn is_name(text: &str) -> bool {
    let ends = [text.chars().next(), text.chars().last()];
    ends.iter().all(|end| end.is_some_and(|c| c.is_ascii_alphanumeric()))
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn matches(selector: &str, labels: &[(&str, &str)]) -> bool {
        let label = |key: &str| labels.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
        parse(selector).unwrap().iter().all(|requirement| requirement.matches(label))
    }

    #[test]
    fn every_operator() {
        let labels = [("app", "shop"), ("tier", "a"), ("rank", "7"), ("empty", "")];
        for yes in
            ["", "app", "app=shop", "app==shop,tier", "tier in (a,b)", "tier in (b, a)", "app!=x", "gone!=x", "gone notin (a)", "!gone"]
        {
            assert!(matches(yes, &labels), "{yes}");
        }
        for yes in ["rank>6", "rank<8", "empty=", "empty in ()", "empty in (,x)", "tier notin (b)", " app = shop , tier"] {
            assert!(matches(yes, &labels), "{yes}");
        }
        for no in ["gone", "app=x", "!app", "tier in (b)", "tier notin (a,b)", "app!=shop", "rank>7", "rank<7", "app>1", "gone="] {
            assert!(!matches(no, &labels), "{no}");
        }
        assert!(matches("in in (in)", &[("in", "in")]));
    }

    /// The answers of a kube-apiserver 1.35.4.
    #[test]
    fn complaints_are_the_real_ones() {
        let invalid = "unable to parse requirement: ";
        for (selector, complaint) in [
            ("a===b", format!("{invalid}found '=', expected: identifier")),
            ("a in b", format!("{invalid}found 'b' expected: '('")),
            ("a=b c", "found 'c', expected: ',' or 'end of string'".into()),
            ("a b", format!("{invalid}found 'b', expected: in, notin, =, ==, !=, gt, lt")),
            ("a,", "found '', expected: identifier after ','".into()),
            ("a in (x", format!("{invalid}found '', expected: ',' or ')'")),
            ("a>z", format!("{invalid}values[0]: Invalid value: \"z\": for 'Gt', 'Lt' operators, the value must be an integer")),
            ("=a", "found '=', expected: !, identifier, or 'end of string'".into()),
        ] {
            assert_eq!(parse(selector), Err(complaint));
        }
        assert!(parse("-a").unwrap_err().starts_with(&format!("{invalid}<nil>: Invalid value: \"-a\": name part must consist of")));
        assert!(parse("a=$$").unwrap_err().starts_with(&format!("{invalid}values[0][a]: Invalid value: \"$$\": a valid label must be")));
    }
}
