//! Coordination numbers and weights against the reference.

mod common;

use std::collections::BTreeMap;

use common::{crystal, field, golden};
use druse_crystal::coordination::{CrystalNn, SiteCoordination};
use serde_json::Value;

/// `[site, image, image, image, …]` of neighbours.
type Row = (Vec<i64>, f64);

fn rows(value: &Value) -> Vec<Row> {
    let number = |x: &Value| x.as_f64().unwrap();
    let mut rows: Vec<Row> = value
        .as_array()
        .unwrap()
        .iter()
        .map(|n| {
            let n = n.as_array().unwrap();
            (n[..4].iter().map(|x| x.as_i64().unwrap()).collect(), n.get(4).map_or(1.0, number))
        })
        .collect();
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    rows
}

fn own_rows(c: &SiteCoordination, bonded: bool) -> Vec<Row> {
    let atoms = if bonded { c.bonded() } else { &c.neighbors };
    let mut rows: Vec<Row> = atoms
        .iter()
        .map(|n| {
            let place = [i64::from(n.site)].into_iter().chain(n.image.map(i64::from)).collect();
            (place, if bonded { 1.0 } else { n.weight })
        })
        .collect();
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    rows
}

fn same(a: &[Row], b: &[Row]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(p, q)| p.0 == q.0 && (p.1 - q.1).abs() < 1e-9)
}

#[test]
fn coordination_numbers_match_the_reference() {
    let (Some(cells), Some(reference)) = (golden("niggli.jsonl.gz"), golden("crystalnn.jsonl.gz")) else {
        return;
    };
    assert_eq!(cells.len(), reference.len());
    let mut count = BTreeMap::<&str, usize>::new();
    for (cell, want) in cells.iter().zip(&reference) {
        assert_eq!(cell["id"], want["id"]);
        let id = &want["id"];
        let s = crystal(&cell["canonical"]).unwrap();
        let bonds = CrystalNn::FINGERPRINT.sites(&s).unwrap();
        let graph = CrystalNn::GRAPH.sites(&s).unwrap();
        for (i, site) in want["sites"].as_array().unwrap().iter().enumerate() {
            *count.entry("sites").or_default() += 1;
            let mut tally = |what, equal: bool, detail: &dyn Fn() -> String| {
                *count.entry(what).or_default() += usize::from(!equal);
                if !equal {
                    eprintln!("{id} site {i}: {what} {}", detail());
                }
            };
            let (b, g) = (&bonds[i], &graph[i]);
            assert!((b.solid_angle - 1.0).abs() < 1e-9, "{id} site {i}: solid angle {}", b.solid_angle);
            tally("cn", b.cn == field::<usize>(site, "cn"), &|| format!("{} for {}", b.cn, site["cn"]));
            tally("cn_graph", g.cn == field::<usize>(site, "cn_graph"), &|| {
                format!("{} for {}", g.cn, site["cn_graph"])
            });
            tally("nn", same(&own_rows(b, false), &rows(&site["nn"])), &|| {
                format!("{:?} for {}", own_rows(b, false), site["nn"])
            });
            tally("nn_graph", same(&own_rows(g, true), &rows(&site["nn_graph"])), &|| {
                format!("{:?} for {}", own_rows(g, true), site["nn_graph"])
            });
            tally("n_voronoi", b.n_voronoi == field::<usize>(site, "n_voronoi"), &|| {
                format!("{} for {}", b.n_voronoi, site["n_voronoi"])
            });
            let want: BTreeMap<String, f64> = field(site, "cn_weights");
            let own: BTreeMap<String, f64> =
                b.cn_weights.iter().map(|&(cn, w)| (cn.to_string(), w)).collect();
            let close = |a: &BTreeMap<String, f64>, b: &BTreeMap<String, f64>| {
                a.iter().all(|(k, w)| (w - b.get(k).unwrap_or(&0.0)).abs() < 1e-9)
            };
            tally("cn_weights", close(&want, &own) && close(&own, &want), &|| {
                format!("{own:?} for {want:?}")
            });
        }
    }
    eprintln!("{count:?}");
}
