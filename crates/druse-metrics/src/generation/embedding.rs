//! The Fréchet distance between vectors that a network makes of crystals.

use super::Population;
use crate::{distribution::frechet_distance, features::Features, metric::Metric};

/// A vector of each crystal of a set, or why there is none.
pub type Vectors = [Result<Vec<f64>, String>];

/// `frechet_{model}`: the squared Fréchet distance ([`Gaussian::frechet`](crate::distribution::Gaussian::frechet)) between the vectors
/// of the generated crystals at `members`, those of a population, and of the reference; crystals without a vector are left out.
/// `about` says in words what made the vectors: figures of other networks or other weights are not comparable.
pub fn embedding_metric(
    model: &str,
    about: &str,
    (generated, population, members): (&Vectors, Population, &[usize]),
    reference: &Vectors,
) -> Metric {
    fn usable(row: &Result<Vec<f64>, String>) -> Option<&Vec<f64>> {
        row.as_ref().ok().filter(|row| row.iter().all(|x| x.is_finite()))
    }
    let of = |rows: Vec<&Vec<f64>>| {
        let features = Features::from_rows(&rows).map_err(|e| e.to_string());
        (rows.len(), features)
    };
    let (count, a) = of(members.iter().filter_map(|&i| usable(generated.get(i)?)).collect());
    let (against, b) = of(reference.iter().filter_map(usable).collect());
    let value = a.and_then(|a| frechet_distance(&a, &b?).map_err(|e| e.to_string()));
    let protocol = format!("{population}, Gaussians of {about}");
    Metric::new(format!("frechet_{model}"), value, count, Some(against), protocol)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crystals_without_a_vector_are_left_out() {
        let row = |x: f64| Ok(vec![x]);
        let none = || Err("an element that the network does not know".to_owned());
        let generated = [row(0.0), none(), row(2.0), row(4.0), row(f64::NAN), row(100.0)];
        let reference = [row(1.0), row(2.0), none(), row(3.0)];
        let members = [0, 1, 2, 3, 4];
        let found = embedding_metric("toy", "sums", (&generated, Population::All, &members), &reference);
        assert_eq!((found.key.as_str(), found.of, found.against), ("frechet_toy", 3, Some(3)));
        // Standard deviations 2 and 1, equal means.
        assert!((found.value.unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(found.protocol, "all generated, Gaussians of sums");
        let few = embedding_metric("toy", "sums", (&generated, Population::All, &[0]), &reference);
        assert!(few.value.is_none() && few.problem.unwrap().contains("too few"));
    }
}
