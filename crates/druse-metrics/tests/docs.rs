//! The documentation lists every metric as the table in the code describes it.

use std::fs;
use std::path::Path;

const BEGIN: &str = "<!-- metrics: made from druse_metrics::METRICS by `BLESS=1 cargo test -p druse-metrics --test docs` -->\n";
const END: &str = "<!-- end of metrics -->\n";

#[test]
fn the_table_of_metrics_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let Ok(page) = fs::read_to_string(&path) else {
        eprintln!("skipped: no {}", path.display());
        return;
    };
    let (head, rest) = page.split_once(BEGIN).expect("the beginning of the table is marked");
    let (table, tail) = rest.split_once(END).expect("the end of the table is marked");
    let wanted = format!("\n{}\n", druse_metrics::markdown_table());
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, format!("{head}{BEGIN}{wanted}{END}{tail}")).unwrap();
        return;
    }
    assert_eq!(table, wanted, "run this test with BLESS=1 to renew docs/metrics.md");
}
