//! Clusters of numbers.

/// The optimal clusters of numbers ([`k_means`]).
#[derive(Debug, Clone, PartialEq)]
pub struct Clusters {
    /// Cluster of each number.
    pub labels: Vec<usize>,
    /// Means of the clusters, rising.
    pub centroids: Vec<f64>,
    /// Sum of the squared distances of all numbers from the mean of their cluster.
    pub inertia: f64,
}

impl Clusters {
    /// The mean of the cluster of each number.
    pub fn replaced(&self) -> impl Iterator<Item = f64> + '_ {
        self.labels.iter().map(|&k| self.centroids[k])
    }
}

/// Divides numbers into at most `k` clusters so that the sum of squared distances from the cluster means is smallest; the
/// exact optimum, by dynamic programming over the sorted numbers (Wang & Song, R Journal 3, 29, 2011) in O(k n²).
///
/// K-means as the published script runs it (K-means++ with ten restarts) looks for the same and may stop at a worse
/// division; this one depends on no seed. Equal numbers share a cluster, so that there are no more clusters than different
/// numbers; of equally good divisions the last cluster is the largest possible, rounding aside. Without numbers, or with
/// `k` = 0, there is no cluster and no label.
pub fn k_means(values: &[f64], k: usize) -> Clusters {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    // Different numbers and how often they occur, and where each number went.
    let (mut numbers, mut weights, mut place) = (Vec::new(), Vec::new(), vec![0; values.len()]);
    for i in order {
        if numbers.last() != Some(&values[i]) {
            numbers.push(values[i]);
            weights.push(0.0);
        }
        place[i] = numbers.len() - 1;
        weights[numbers.len() - 1] += 1.0;
    }
    let n = numbers.len();
    let k = k.min(n);
    if k == 0 {
        return Clusters { labels: Vec::new(), centroids: Vec::new(), inertia: 0.0 };
    }
    let ends = if k == n { (1..=n).collect() } else { optimal_ends(&numbers, &weights, k) };
    let mut clusters = Clusters { labels: Vec::new(), centroids: Vec::with_capacity(k), inertia: 0.0 };
    let mut cluster_of = vec![0; n];
    let mut start = 0;
    for (cluster, end) in ends.into_iter().enumerate() {
        let range = start..end;
        let mass: f64 = weights[range.clone()].iter().sum();
        let mean = match range.len() {
            1 => numbers[start],
            _ => range.clone().map(|i| numbers[i] * weights[i]).sum::<f64>() / mass,
        };
        clusters.inertia += range.clone().map(|i| weights[i] * (numbers[i] - mean).powi(2)).sum::<f64>();
        clusters.centroids.push(mean);
        cluster_of[range].fill(cluster);
        start = end;
    }
    clusters.labels = place.into_iter().map(|p| cluster_of[p]).collect();
    clusters
}

/// Where each of the `k` optimal clusters of sorted, weighted numbers ends.
fn optimal_ends(numbers: &[f64], weights: &[f64], k: usize) -> Vec<usize> {
    let n = numbers.len();
    // Counts, sums and sums of squares up to each number, from the mean on, for their digits' sake, and one by one: which of
    // equally good divisions is found is a matter of rounding, and other implementations add in this way.
    let total: f64 = weights.iter().sum();
    let mean = numbers.iter().zip(weights).map(|(x, w)| x * w).sum::<f64>() / total;
    let mut sums = vec![[0.0; 3]; n + 1];
    for i in 0..n {
        let (x, [mut count, mut sum, mut squares]) = (numbers[i] - mean, sums[i]);
        for _ in 0..weights[i] as usize {
            (count, sum, squares) = (count + 1.0, sum + x, squares + x * x);
        }
        sums[i + 1] = [count, sum, squares];
    }
    let cost = |from: usize, to: usize| {
        let [count, sum, squares] = [0, 1, 2].map(|m| sums[to][m] - sums[from][m]);
        squares - sum * sum / count
    };
    // `best[i]`: smallest cost of the first i numbers in the clusters so far; `cuts[c][i]`: where the last of them begins.
    let mut best: Vec<f64> = (0..=n).map(|i| if i == 0 { 0.0 } else { cost(0, i) }).collect();
    let mut cuts = vec![vec![0; n + 1]];
    for clusters in 2..=k {
        let (mut next, mut cut) = (vec![f64::INFINITY; n + 1], vec![0; n + 1]);
        for i in clusters..=n {
            for j in (clusters - 1..i).rev() {
                // The last cluster costs the more, the earlier it begins (but for rounding).
                let last = cost(j, i);
                if last > next[i] * (1.0 + 1e-9) {
                    break;
                }
                let total = best[j] + last;
                if total <= next[i] {
                    (next[i], cut[i]) = (total, j);
                }
            }
        }
        best = next;
        cuts.push(cut);
    }
    let mut ends = vec![n];
    for cut in cuts.iter().skip(1).rev() {
        ends.push(cut[ends[ends.len() - 1]]);
    }
    ends.reverse();
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn textbook_clusters() {
        let found = k_means(&[8.0, 1.0, 26.0, 1.0, 9.0, 27.0, 2.0], 3);
        assert_eq!(found.labels, [1, 0, 2, 0, 1, 2, 0]);
        for (got, want) in found.centroids.iter().zip([4.0 / 3.0, 8.5, 26.5]) {
            assert!((got - want).abs() < 1e-12);
        }
        assert!((found.inertia - (2.0 / 3.0 + 0.5 + 0.5)).abs() < 1e-12);
        assert_eq!(found.replaced().collect::<Vec<_>>()[2], 26.5);
    }

    #[test]
    fn of_equal_divisions_the_last_cluster_is_the_largest() {
        assert_eq!(k_means(&[1.0, 2.0, 3.0], 2).labels, [0, 1, 1]);
        assert_eq!(k_means(&[5.0, 1.0, 4.0, 2.0, 3.0], 4).labels, [3, 0, 3, 1, 2]);
    }

    #[test]
    fn no_more_clusters_than_different_numbers() {
        let found = k_means(&[0.5, 0.25, 0.5], 6);
        assert_eq!((found.labels, found.centroids, found.inertia), (vec![1, 0, 1], vec![0.25, 0.5], 0.0));
        assert_eq!(k_means(&[], 3).centroids.len(), 0);
        assert_eq!(k_means(&[1.0, 2.0], 0).labels.len(), 0);
        assert_eq!(k_means(&[1.0, 2.0], 1).centroids, [1.5]);
    }

    /// Every division of a sorted list into clusters of neighbors.
    fn exhaustive(sorted: &[f64], k: usize) -> f64 {
        let inertia = |part: &[f64]| {
            let mean = part.iter().sum::<f64>() / part.len() as f64;
            part.iter().map(|x| (x - mean).powi(2)).sum::<f64>()
        };
        match k {
            _ if sorted.len() <= k => 0.0,
            1 => inertia(sorted),
            _ => (1..sorted.len())
                .map(|cut| inertia(&sorted[cut..]) + exhaustive(&sorted[..cut], k - 1))
                .fold(f64::INFINITY, f64::min),
        }
    }

    proptest::proptest! {
        #[test]
        fn the_optimum_is_found(mut values in proptest::collection::vec(-1.0f64..2.0, 1..9), k in 1usize..5) {
            let found = k_means(&values, k);
            values.sort_by(f64::total_cmp);
            let best = exhaustive(&values, k);
            proptest::prop_assert!((found.inertia - best).abs() < 1e-12, "{} {best}", found.inertia);
            proptest::prop_assert!(found.centroids.is_sorted());
        }
    }
}
