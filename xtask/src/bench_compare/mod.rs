//! `cargo xtask bench-compare A B`: does a change make `druse bench` slower?
//!
//! Both programs measure in turn, A B A B …, so that what the machine does meanwhile meets both alike. What counts is the
//! ratio within a pair, and a verdict is given only where no pair disagrees with it.

mod answers;
mod load;
mod options;
mod programs;
mod table;

use std::path::Path;
use std::process::{Command, ExitCode};

use answers::{Answer, Comparison};
use load::Usage;
use options::Options;
use programs::Program;

pub use options::HELP;

/// Runs the command: success without a regression, failure with one, 2 where nothing was compared.
pub fn run(root: &Path, arguments: &[&str]) -> ExitCode {
    let compared = Options::parse(arguments).and_then(|options| compare(root, &options));
    match compared {
        Ok(false) => ExitCode::SUCCESS,
        Ok(true) => ExitCode::FAILURE,
        Err(reason) => {
            eprintln!("error: {reason}");
            ExitCode::from(2)
        }
    }
}

/// Measures and prints; whether something is slower.
fn compare(root: &Path, options: &Options) -> Result<bool, String> {
    let [a, b] = programs::both(root, [&options.a, &options.b])?;
    let mut comparisons = Vec::new();
    for (place, preset) in options.presets.iter().enumerate() {
        let sections = options.sections_of(place);
        if sections.is_empty() {
            continue;
        }
        let mut comparison = Comparison::new(preset);
        for round in 1..=options.rounds {
            eprintln!("{preset}, round {round} of {}", options.rounds);
            let (first, before) = measure(&a, preset, &sections, options)?;
            let (second, after) = measure(&b, preset, &sections, options)?;
            // A pair is as good as its worse half.
            comparison.add(&first, &second, before.zip(after).map(|(a, b)| a.max(b)))?;
        }
        comparisons.push(comparison);
    }
    println!("A: {}\nB: {}\n\n{}", a.name, b.name, table::table(&comparisons, options));
    Ok(comparisons.iter().any(|c| c.rows(options.beyond).iter().any(|row| row.verdict.is_regression())))
}

/// One call of the program: its answer, and the share of the machine's processor time that others took meanwhile.
fn measure(
    program: &Program,
    preset: &str,
    sections: &[&str],
    options: &Options,
) -> Result<(Answer, Option<f64>), String> {
    let before = Usage::now();
    let mut command = Command::new(&program.path);
    command.arg("bench").args(sections).args(["--preset", preset]).args(options.of_bench());
    let output = command
        .args(["--quiet", "--json"])
        .output()
        .map_err(|e| format!("cannot run {}: {e}", program.path.display()))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`druse bench` of {}, preset {preset}: {}", program.name, words.trim()));
    }
    let others = before.zip(Usage::now()).and_then(|(before, after)| before.others_until(&after));
    let answer = Answer::parse(&String::from_utf8_lossy(&output.stdout))
        .map_err(|reason| format!("the answer of {}, preset {preset}: {reason}", program.name))?;
    Ok((answer, others))
}
