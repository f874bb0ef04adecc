//! What `druse bench --json` says, pair by pair, and what follows from it.

use std::collections::BTreeMap;

use serde_json::Value;

/// Members that two answers have in common, or they measured different things.
const SAME: [&str; 6] = ["preset", "device", "precision", "threads", "structures", "atoms"];

/// Figures of a section: its member, the words for it, and the factor that gives their unit. The lower the better; a rate
/// becomes the time of one.
const FIGURES: [(&str, &str, Unit); 6] = [
    ("seconds", "ms a step", Unit::Times(1e3)),
    ("processor_seconds", "processor ms a step", Unit::Times(1e3)),
    ("one_structure_seconds", "ms for one", Unit::Times(1e3)),
    ("prepare_seconds", "ms to prepare", Unit::Times(1e3)),
    ("matcher_pairs_per_second", "ms a pair matched", Unit::Over(1e3)),
    ("peak_memory_bytes", "MB of memory", Unit::Times(1e-6)),
];

/// How many of them are the time of a step.
const OF_A_STEP: usize = 3;

#[derive(Clone, Copy)]
enum Unit {
    Times(f64),
    Over(f64),
}

/// The figures of one call, and what was measured.
#[derive(Debug)]
pub struct Answer {
    what: Vec<(&'static str, Value)>,
    /// By section and place in [`FIGURES`].
    figures: BTreeMap<(String, usize), f64>,
}

impl Answer {
    pub fn parse(text: &str) -> Result<Self, String> {
        let answer: Value = serde_json::from_str(text).map_err(|e| format!("it is no JSON: {e}"))?;
        let object = answer.as_object().ok_or("it is no object")?;
        let what = SAME.map(|name| (name, answer[name].clone()));
        if let Some((name, _)) = what.iter().find(|(_, value)| value.is_null()) {
            return Err(format!("it has no `{name}`"));
        }
        let mut figures = BTreeMap::new();
        for (section, measured) in object.iter().filter(|(_, member)| member.get("repetitions").is_some()) {
            for (place, (member, _, unit)) in FIGURES.iter().enumerate() {
                // A model without graphs has none to build: what is timed then is nothing.
                let nothing = measured["edges"] == 0 && place < OF_A_STEP;
                let found = measured[member].as_f64().filter(|x| x.is_finite() && *x > 0.0 && !nothing);
                if let Some(x) = found {
                    let value = match unit {
                        Unit::Times(factor) => x * factor,
                        Unit::Over(factor) => factor / x,
                    };
                    figures.insert((section.clone(), place), value);
                }
            }
        }
        match figures.is_empty() {
            true => Err("it has no figures".to_owned()),
            false => Ok(Self { what: what.into(), figures }),
        }
    }
}

/// The pairs of one preset.
pub struct Comparison {
    pub preset: String,
    /// Figures of A and B, a pair a round.
    pairs: BTreeMap<(String, usize), Vec<[f64; 2]>>,
    /// What others took of the machine in each round, where it is known.
    pub others: Vec<Option<f64>>,
    /// Figures that one of the programs alone gave.
    pub alone: Vec<String>,
}

/// What the pairs of a figure say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every pair shows that B takes more.
    Worse,
    /// Every pair shows that B takes less.
    Better,
    /// The pairs disagree, or the difference is too small.
    None,
}

impl Verdict {
    /// Of the lowest and the highest ratio; twice as much is as far from 1 as half.
    fn of(lowest: f64, highest: f64, beyond: f64) -> Self {
        if lowest > 1.0 + beyond {
            Self::Worse
        } else if highest < 1.0 / (1.0 + beyond) {
            Self::Better
        } else {
            Self::None
        }
    }

    pub fn is_regression(self) -> bool {
        self == Self::Worse
    }
}

/// A figure in numbers.
#[derive(Debug, PartialEq)]
pub struct Row {
    pub figure: String,
    pub medians: [f64; 2],
    /// B over A within a pair: median, lowest, highest.
    pub ratio: [f64; 3],
    pub verdict: Verdict,
}

impl Comparison {
    pub fn new(preset: &str) -> Self {
        let pairs = BTreeMap::new();
        Self { preset: preset.to_owned(), pairs, others: Vec::new(), alone: Vec::new() }
    }

    /// Adds a round.
    pub fn add(&mut self, a: &Answer, b: &Answer, others: Option<f64>) -> Result<(), String> {
        for ((name, first), (_, second)) in a.what.iter().zip(&b.what) {
            if first != second {
                let preset = &self.preset;
                return Err(format!(
                    "{preset}: the programs measured different things, {name} {first} and {second}"
                ));
            }
        }
        for (key, &first) in &a.figures {
            match b.figures.get(key) {
                Some(&second) => self.pairs.entry(key.clone()).or_default().push([first, second]),
                None => self.note_alone(key, "A"),
            }
        }
        b.figures
            .keys()
            .filter(|key| !a.figures.contains_key(*key))
            .for_each(|key| self.note_alone(key, "B"));
        self.others.push(others);
        Ok(())
    }

    fn note_alone(&mut self, key: &(String, usize), program: &str) {
        let words = format!("{} in {program} alone", name(key));
        if !self.alone.contains(&words) {
            self.alone.push(words);
        }
    }

    /// What each figure's pairs come to; `beyond` is the difference from which on it counts.
    pub fn rows(&self, beyond: f64) -> Vec<Row> {
        let row = |(key, pairs): (&(String, usize), &Vec<[f64; 2]>)| {
            let ratios: Vec<f64> = pairs.iter().map(|[a, b]| b / a).collect();
            let lowest = ratios.iter().copied().fold(f64::INFINITY, f64::min);
            let highest = ratios.iter().copied().fold(0.0, f64::max);
            Row {
                figure: name(key),
                medians: [0, 1].map(|of| median(pairs.iter().map(|pair| pair[of]).collect())),
                ratio: [median(ratios), lowest, highest],
                verdict: Verdict::of(lowest, highest, beyond),
            }
        };
        self.pairs.iter().map(row).collect()
    }
}

/// A figure in words.
fn name((section, place): &(String, usize)) -> String {
    format!("{section}, {}", FIGURES[*place].1)
}

/// The middle, or the mean of both middles; NaN of nothing.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[middle],
        _ => 0.5 * (values[middle - 1] + values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(threads: u32, step: f64, pairs: f64) -> Answer {
        let text = json!({
            "schema": 1, "command": "bench", "preset": "p", "device": "cpu", "precision": "f32", "threads": threads,
            "structures": 4, "atoms": 20, "limits": { "product_gflops": 100.0 },
            "train": { "seconds": step, "repetitions": 3, "one_structure_seconds": 0.01, "peak_memory_bytes": 5e6 },
            "graph": { "seconds": 1e-7, "repetitions": 9, "edges": 0, "prepare_seconds": 0.002 },
            "evaluate": { "seconds": 0.5, "repetitions": 3, "matcher_pairs_per_second": pairs },
        });
        Answer::parse(&text.to_string()).unwrap()
    }

    #[test]
    fn answers_become_figures() {
        let figures: Vec<_> = answer(2, 0.25, 200.0).figures.iter().map(|(k, x)| (name(k), *x)).collect();
        let expected = [
            ("evaluate, ms a step", 500.0),
            ("evaluate, ms a pair matched", 5.0),
            ("graph, ms to prepare", 2.0),
            ("train, ms a step", 250.0),
            ("train, ms for one", 10.0),
            ("train, MB of memory", 5.0),
        ];
        assert_eq!(figures.len(), expected.len());
        for ((name, value), (expected, number)) in figures.iter().zip(expected) {
            assert_eq!(name, expected);
            assert!((value - number).abs() < 1e-9, "{name}: {value}");
        }
        for (text, word) in
            [("nothing", "JSON"), ("[1]", "object"), ("{}", "preset"), (r#"{"error": {}}"#, "preset")]
        {
            assert!(Answer::parse(text).unwrap_err().contains(word), "{text}");
        }
        let empty =
            r#"{"preset": "", "device": "", "precision": "", "threads": 1, "structures": 1, "atoms": 1}"#;
        assert!(Answer::parse(empty).unwrap_err().contains("figures"));
    }

    #[test]
    fn a_verdict_needs_all_pairs() {
        let compared = |steps: &[[f64; 2]]| {
            let mut comparison = Comparison::new("p");
            for &[a, b] in steps {
                comparison.add(&answer(2, a, 100.0), &answer(2, b, 100.0), None).unwrap();
            }
            comparison.rows(0.05).into_iter().find(|row| row.figure == "train, ms a step").unwrap()
        };
        let row = compared(&[[1.0, 1.2], [2.0, 2.2], [4.0, 6.0], [1.0, 1.1]]);
        assert_eq!(row.verdict, Verdict::Worse);
        for (found, expected) in
            row.medians.into_iter().chain(row.ratio).zip([1500.0, 1700.0, 1.15, 1.1, 1.5])
        {
            assert!((found - expected).abs() < 1e-9, "{row:?}");
        }
        assert_eq!(compared(&[[1.0, 1.2], [1.0, 1.04], [1.0, 1.2]]).verdict, Verdict::None);
        assert_eq!(compared(&[[1.0, 0.9], [1.0, 0.94]]).verdict, Verdict::Better);
        // 0.953 is less than 5 % away from 1 as seen from the other side.
        assert_eq!(compared(&[[1.0, 0.9], [1.0, 0.953]]).verdict, Verdict::None);
        // A rate that falls is a time that grows.
        let mut rates = Comparison::new("p");
        rates.add(&answer(2, 1.0, 100.0), &answer(2, 1.0, 80.0), None).unwrap();
        let slower: Vec<_> = rates.rows(0.05).into_iter().filter(|r| r.verdict.is_regression()).collect();
        assert_eq!(
            slower.iter().map(|r| r.figure.as_str()).collect::<Vec<_>>(),
            ["evaluate, ms a pair matched"]
        );
    }

    #[test]
    fn different_measurements_are_not_compared() {
        let mut comparison = Comparison::new("p");
        let reason = comparison.add(&answer(2, 1.0, 1.0), &answer(1, 1.0, 1.0), None).unwrap_err();
        assert!(reason.contains("threads 2 and 1"), "{reason}");
        let (whole, mut older) = (answer(2, 1.0, 1.0), answer(2, 1.0, 1.0));
        older.figures.retain(|(section, _), _| section != "graph");
        comparison.add(&older, &whole, Some(0.3)).unwrap();
        assert_eq!(comparison.alone, ["graph, ms to prepare in B alone"]);
        assert_eq!(comparison.rows(0.05).len(), 5);
    }

    #[test]
    fn medians_are_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }
}
