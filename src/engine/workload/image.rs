//! Image references, checked as registries read them: `[domain[:port]/]path[:tag][@digest]`.
//! The API server takes any text; the mistake would show only when no pod can pull it.

/// Longest name without tag and digest.
const LONGEST: usize = 255;

/// # Errors
/// What is wrong with it, in words.
pub fn check(image: &str) -> Result<(), String> {
    if image.is_empty() {
        return Err("it is empty".into());
    }
    if let Some(c) = image.chars().find(|c| c.is_whitespace() || c.is_control()) {
        return Err(if c == ' ' { "it has a space in it".into() } else { "it has a control character or a line break in it".into() });
    }
    let (rest, digest) = image.split_once('@').map_or((image, None), |(rest, digest)| (rest, Some(digest)));
    let (domain, rest) = domain(rest);
    // Only what follows the last slash can have a tag.
    let tag_at = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (path, tag) = rest[tag_at..].split_once(':').map_or((rest, None), |(name, tag)| (&rest[..tag_at + name.len()], Some(tag)));
    domain.map_or(Ok(()), check_domain)?;
    path.split('/').try_for_each(check_component)?;
    let name = domain.map_or(0, |d| d.len() + 1) + path.len();
    if name > LONGEST {
        return Err(format!("its name has {name} characters, at most {LONGEST} are allowed"));
    }
    tag.map_or(Ok(()), check_tag)?;
    digest.map_or(Ok(()), check_digest)
}

/// The first part is a registry if it could not be a path: with a dot, a port, an upper-case letter, or `localhost`.
fn domain(rest: &str) -> (Option<&str>, &str) {
    match rest.split_once('/') {
        Some((first, tail)) if first.contains(['.', ':']) || first == "localhost" || first.chars().any(|c| c.is_ascii_uppercase()) => {
            (Some(first), tail)
        }
        _ => (None, rest),
    }
}

fn check_domain(domain: &str) -> Result<(), String> {
    if let Some(inner) = domain.strip_prefix('[') {
        let (address, port) = inner.split_once(']').ok_or_else(|| format!("registry {domain:?} lacks its closing bracket"))?;
        address.parse::<std::net::Ipv6Addr>().map_err(|_| format!("{address:?} is no IPv6 address"))?;
        return if port.is_empty() { Ok(()) } else { port.strip_prefix(':').map_or_else(|| Err(no_port(port)), check_port) };
    }
    let (host, port) = domain.split_once(':').map_or((domain, None), |(host, port)| (host, Some(port)));
    let fine = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') && !part.starts_with('-') && !part.ends_with('-')
    };
    if !host.split('.').all(fine) {
        return Err(format!("{host:?} is no registry name"));
    }
    port.map_or(Ok(()), check_port)
}

fn check_port(port: &str) -> Result<(), String> {
    if !port.is_empty() && port.chars().all(|c| c.is_ascii_digit()) { Ok(()) } else { Err(no_port(port)) }
}

fn no_port(port: &str) -> String {
    format!("{port:?} after the first colon is no port number")
}

/// Lower-case letters and digits, joined by `.`, `_`, `__` or any number of `-`.
fn check_component(part: &str) -> Result<(), String> {
    if part.is_empty() {
        return Err("a part of its path is empty".into());
    }
    if part.chars().any(|c| c.is_ascii_uppercase()) {
        return Err(format!("{part:?} has upper-case letters: only tags may"));
    }
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if let Some(c) = part.chars().find(|c| !word(*c) && !['.', '_', '-'].contains(c)) {
        return Err(format!("{part:?} has {c:?} in it"));
    }
    let joins = part.split(word).filter(|join| !join.is_empty());
    let joined = joins.into_iter().all(|join| matches!(join, "." | "_" | "__") || join.chars().all(|c| c == '-'));
    let ends = part.starts_with(word) && part.ends_with(word);
    if joined && ends { Ok(()) } else { Err(format!("{part:?} has a separator where a letter or digit must be")) }
}

fn check_tag(tag: &str) -> Result<(), String> {
    if tag.contains(':') {
        return Err(format!("there are two colons in its last part: {tag:?} is no tag"));
    }
    let first = tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let rest = tag.chars().all(|c| c.is_ascii_alphanumeric() || ['_', '.', '-'].contains(&c));
    match (tag.is_empty(), first && rest, tag.len() <= 128) {
        (true, ..) => Err("its tag is empty".into()),
        (_, false, _) => Err(format!("{tag:?} is no tag")),
        (.., false) => Err("its tag has more than 128 characters".into()),
        _ => Ok(()),
    }
}

fn check_digest(digest: &str) -> Result<(), String> {
    let no = || Err(format!("{digest:?} is no digest such as sha256:…"));
    let Some((algorithm, hex)) = digest.split_once(':') else { return no() };
    let word = |part: &str| part.starts_with(|c: char| c.is_ascii_alphabetic()) && part.chars().all(|c| c.is_ascii_alphanumeric());
    if !algorithm.split(['-', '_', '+', '.']).all(word) || !hex.chars().all(|c| c.is_ascii_hexdigit()) {
        return no();
    }
    match (algorithm, hex.len()) {
        ("sha256", 64) => Ok(()),
        ("sha256", n) => Err(format!("its digest has {n} characters, sha256 has 64")),
        (_, n) if n >= 32 => Ok(()),
        _ => no(),
    }
}
