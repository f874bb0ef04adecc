//! The table, in Markdown and readable as it stands.

use super::answers::{Comparison, Row, Verdict};
use super::options::Options;

/// One table of all figures, and below it what was noted.
pub fn table(comparisons: &[Comparison], options: &Options) -> String {
    let title = ["figure", "A", "B", "B / A", "lowest", "highest", "verdict"].map(str::to_owned);
    let mut rows = vec![title];
    for comparison in comparisons {
        rows.extend(comparison.rows(options.beyond).iter().map(|row| cells(&comparison.preset, row)));
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 7] = std::array::from_fn(width);
    let line = |row: &[String; 7]| {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
            0 | 6 => format!("{cell:width$}"),
            _ => format!("{cell:>width$}"),
        });
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let mut text = line(&rows[0]);
    text += &format!("|{}|\n", widths.map(|width| "-".repeat(width + 2)).join("|"));
    rows[1..].iter().for_each(|row| text += &line(row));
    text += &notes(comparisons, options);
    text
}

fn cells(preset: &str, row: &Row) -> [String; 7] {
    let [a, b] = row.medians.map(|x| format!("{x:.*}", decimals(x)));
    let [middle, lowest, highest] = row.ratio.map(|x| format!("{x:.3}"));
    let verdict = match row.verdict {
        Verdict::Worse => "WORSE",
        Verdict::Better => "better",
        Verdict::None => "",
    };
    [format!("{preset}: {}", row.figure), a, b, middle, lowest, highest, verdict.to_owned()]
}

/// Three or four digits of a number.
fn decimals(x: f64) -> usize {
    match x.abs() {
        x if x >= 100.0 => 0,
        x if x >= 10.0 => 1,
        x if x >= 1.0 => 2,
        _ => 4,
    }
}

/// Pairs that a busy machine may have distorted, figures that cannot be compared.
fn notes(comparisons: &[Comparison], options: &Options) -> String {
    let mut text = String::new();
    for comparison in comparisons {
        for (round, others) in (1..).zip(&comparison.others) {
            if let Some(share) = others.filter(|share| *share > options.busy) {
                let (preset, percent) = (&comparison.preset, 100.0 * share);
                text += &format!("{preset}, pair {round}: others took {percent:.0} % of the machine\n");
            }
        }
        if comparison.others.contains(&None) {
            text += &format!("{}: how busy the machine was is not known here\n", comparison.preset);
        }
        comparison.alone.iter().for_each(|words| text += &format!("{}: {words}\n", comparison.preset));
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

#[cfg(test)]
mod tests {
    use super::super::answers::Answer;
    use super::*;

    fn answer(seconds: f64) -> Answer {
        let text = format!(
            r#"{{"preset": "p", "device": "cpu", "precision": "f32", "threads": 2, "structures": 4, "atoms": 20,
                "sample": {{"seconds": {seconds}, "repetitions": 3}}}}"#
        );
        Answer::parse(&text).unwrap()
    }

    #[test]
    fn the_table_has_a_line_a_figure_and_notes_below() {
        let options = Options::parse(&["a", "b", "--busy", "20"]).unwrap();
        let mut quiet = Comparison::new("p");
        quiet.add(&answer(0.1), &answer(0.1), Some(0.2)).unwrap();
        let expected = "\
| figure               |   A |   B | B / A | lowest | highest | verdict |
|----------------------|-----|-----|-------|--------|---------|---------|
| p: sample, ms a step | 100 | 100 | 1.000 |  1.000 |   1.000 |         |
";
        assert_eq!(table(&[quiet], &options), expected);

        let mut busy = Comparison::new("p");
        busy.add(&answer(0.002), &answer(0.003), Some(0.35)).unwrap();
        busy.add(&answer(0.002), &answer(0.004), None).unwrap();
        let text = table(&[busy], &options);
        assert!(text.contains("| 2.00 | 3.50 | 1.750 |  1.500 |   2.000 | WORSE   |"), "{text}");
        assert!(text.ends_with("\np, pair 1: others took 35 % of the machine\np: how busy the machine was is not known here\n"), "{text}");
    }
}
