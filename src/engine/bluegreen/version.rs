//! Which of two sides holds the newer version, and how that is known.

use std::cmp::Ordering;

use super::detect::Side;

/// What decided, in the order of trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// Tags are numbers of one scheme.
    Tag,
    /// When the Deployment last finished bringing out a template.
    RolledOut,
    Created,
    Revision,
}

impl Because {
    pub fn words(self) -> &'static str {
        match self {
            Self::Tag => "its image has the higher version",
            Self::RolledOut => "its pods were rolled out last",
            Self::Created => "it was created last",
            Self::Revision => "it has the higher revision",
        }
    }
}

/// How `a` compares with `b`; none when both hold the same images, or nothing tells.
pub fn compare(a: &Side<'_>, b: &Side<'_>) -> Option<(Ordering, Because)> {
    if images(a) == images(b) {
        return None;
    }
    let decided = |order: Option<Ordering>, why: Because| order.filter(|o| o.is_ne()).map(|o| (o, why));
    let rows = [
        (by_tag(a, b), Because::Tag),
        (both(rolled_out(a), rolled_out(b)), Because::RolledOut),
        (both(a.object.meta.created, b.object.meta.created), Because::Created),
        (both(revision(a), revision(b)), Because::Revision),
    ];
    rows.into_iter().find_map(|(order, why)| decided(order, why))
}

fn both<T: Ord>(a: Option<T>, b: Option<T>) -> Option<Ordering> {
    Some(a?.cmp(&b?))
}

pub fn images<'s>(side: &'s Side<'_>) -> Vec<&'s str> {
    side.dto.spec.template.spec.containers.iter().map(|c| c.image.as_str()).collect()
}

/// The moment the Progressing condition last moved: after completion only another template moves it.
pub fn rolled_out(side: &Side<'_>) -> Option<crate::model::Time> {
    side.dto.status.conditions.iter().find(|c| c.kind == "Progressing")?.last_update_time.0
}

pub fn revision(side: &Side<'_>) -> Option<u64> {
    side.dto.metadata.annotation("deployment.kubernetes.io/revision").parse().ok()
}

/// All containers whose images differ must agree.
fn by_tag(a: &Side<'_>, b: &Side<'_>) -> Option<Ordering> {
    let find = |name: &str| b.dto.spec.template.spec.containers.iter().find(|c| c.name == name);
    let differing = a.dto.spec.template.spec.containers.iter().filter_map(|c| Some((&c.image, &find(&c.name)?.image)));
    let mut orders = differing.filter(|(x, y)| x != y).map(|(x, y)| {
        let same = repository(x) == repository(y);
        numbers(x).zip(numbers(y)).filter(|(x, y)| same && x.len() == y.len()).map(|(x, y)| x.cmp(&y))
    });
    let first = orders.next()??;
    orders.all(|o| o == Some(first)).then_some(first)
}

/// Registry and path, without tag and digest.
pub fn repository(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    let slash = image.rfind('/').map_or(0, |i| i + 1);
    image[slash..].find(':').map_or(image, |colon| &image[..slash + colon])
}

/// `v1.2.10` as numbers; a commit hash is none.
fn numbers(image: &str) -> Option<Vec<u64>> {
    let bare = image.split('@').next().unwrap_or(image);
    let tag = bare.get(repository(bare).len()..)?.strip_prefix(':')?;
    let tag = tag.strip_prefix('v').unwrap_or(tag);
    // `1.2.0-rc.1` and `1.2.0` are the same to this: what follows decides nothing.
    let core = tag.split(['-', '_']).next().unwrap_or(tag);
    core.split('.').map(|n| n.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_numbers_or_nothing() {
        assert_eq!(numbers("r.example:5000/app:v1.10.0"), Some(vec![1, 10, 0]));
        assert_eq!(numbers("app:v1"), Some(vec![1]));
        assert_eq!(numbers("app:1a2b3c4"), None);
        assert_eq!(numbers("app:latest"), None);
        assert_eq!(numbers("r.example:5000/app"), None);
        assert_eq!(repository("r.example:5000/team/app@sha256:aa"), "r.example:5000/team/app");
    }
}
