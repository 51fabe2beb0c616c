//! The README agrees with the code because it is made from it.

use rolltop::intent;

const BEGIN: &str = "<!-- keys: generated from src/intent.rs, tested -->\n";
const END: &str = "<!-- /keys -->";

#[test]
fn the_key_table_is_the_codes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let (head, rest) = readme.split_once(BEGIN).unwrap();
    let (table, tail) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(path, format!("{head}{BEGIN}{}{END}{tail}", intent::markdown())).unwrap();
        return;
    }
    assert_eq!(table, intent::markdown(), "run: UPDATE_README=1 cargo test --test pure readme");
}

#[test]
fn every_exit_code_of_status_is_documented() {
    let readme = include_str!("../../README.md");
    for code in ["0", "10", "11", "12", "13", "2", "3", "4"] {
        assert!(readme.lines().any(|l| l.starts_with(&format!("| {code} |"))), "{code}");
    }
}
