//! Names for workloads that are made by the hundred.

const WHAT: [&str; 48] = [
    "account",
    "address",
    "alert",
    "asset",
    "audit",
    "basket",
    "billing",
    "booking",
    "bonus",
    "budget",
    "catalog",
    "chat",
    "claims",
    "content",
    "coupon",
    "currency",
    "customer",
    "delivery",
    "device",
    "discount",
    "document",
    "fraud",
    "identity",
    "image",
    "inventory",
    "invoice",
    "journey",
    "label",
    "ledger",
    "loyalty",
    "media",
    "message",
    "offer",
    "order",
    "parcel",
    "partner",
    "price",
    "profile",
    "promo",
    "quote",
    "rating",
    "refund",
    "report",
    "return",
    "session",
    "stock",
    "ticket",
    "voucher",
];

const DOES: [&str; 24] = [
    "api", "cache", "feed", "gateway", "hub", "import", "index", "intake", "mailer", "mapper", "monitor", "proxy", "queue", "reader",
    "relay", "router", "rules", "search", "store", "stream", "sync", "view", "worker", "writer",
];

/// The name with this number; no two numbers have the same.
pub fn workload(number: usize) -> String {
    // Neighbours should not look alike: 7 shares no factor with 48.
    let (what, does) = (WHAT[number * 7 % WHAT.len()], DOES[number / WHAT.len() % DOES.len()]);
    match number / (WHAT.len() * DOES.len()) {
        0 => format!("{what}-{does}"),
        round => format!("{what}-{does}-{}", round + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_differ() {
        let all: std::collections::BTreeSet<String> = (0..5_000).map(workload).collect();
        assert_eq!(all.len(), 5_000);
    }
}
