//! The words of the command line.

/// What the command takes.
pub const HELP: &str = "\
Usage: cargo xtask bench-compare A B [OPTIONS] [-- OPTIONS OF druse bench]

A and B are programs that are built, or git revisions, which are built first (a working copy is compared by its program,
target/release/druse). Exit status: 0, 1 where B is slower or takes more memory, 2 where nothing was compared.

  --presets LIST     [default: gemsdiff-small,cdvae-small,symat-small,adaptive-small,orbit-small]
  --sections LIST    [default: sample,train,graph,evaluate]; evaluate, which no model takes part in, with the first preset
  --data PATH        Data set to take the structures from [default: perovskites of five atoms, which need none]
  --batch-size N     Structures of a batch [default: 16]
  --rounds N         Pairs of measurements [default: 5]
  --seconds S        Seconds of a section in a measurement [default: 1]
  --beyond PERCENT   A difference counts where every pair shows more than this [default: 5]
  --busy PERCENT     A pair is noted where others took more than this of the machine's processor time [default: 10]";

/// Presets of each kind of model that computes on every machine within seconds.
const PRESETS: &str = "gemsdiff-small,cdvae-small,symat-small,adaptive-small,orbit-small";
const SECTIONS: &str = "sample,train,graph,evaluate";

/// The section that does not depend on the preset.
const WITHOUT_MODEL: &str = "evaluate";

/// What to compare and how.
#[derive(Debug, PartialEq)]
pub struct Options {
    /// Program or revision to compare with.
    pub a: String,
    /// Program or revision that is judged.
    pub b: String,
    pub presets: Vec<String>,
    pub sections: Vec<String>,
    pub rounds: usize,
    /// Difference from which on a figure counts, as a part of it.
    pub beyond: f64,
    /// Share of the machine from which on a pair is noted.
    pub busy: f64,
    data: Option<String>,
    batch_size: usize,
    seconds: f64,
    others: Vec<String>,
}

impl Options {
    pub fn parse(words: &[&str]) -> Result<Self, String> {
        let list = |text: &str| text.split(',').map(|name| name.trim().to_owned()).collect();
        let mut options = Self {
            a: String::new(),
            b: String::new(),
            presets: list(PRESETS),
            sections: list(SECTIONS),
            rounds: 5,
            beyond: 0.05,
            busy: 0.1,
            data: None,
            batch_size: 16,
            seconds: 1.0,
            others: Vec::new(),
        };
        let mut places = Vec::new();
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            if word == "--" {
                options.others = words.map(|&word| word.to_owned()).collect();
                break;
            }
            if !word.starts_with('-') {
                places.push(word.to_owned());
                continue;
            }
            let value =
                words.next().ok_or(format!("{word}: a value is missing, or there is no such option"))?;
            match word {
                "--presets" => options.presets = list(value),
                "--sections" => options.sections = list(value),
                "--data" => options.data = Some((*value).to_owned()),
                "--batch-size" => options.batch_size = whole(word, value)?,
                "--rounds" => options.rounds = whole(word, value)?,
                "--seconds" => options.seconds = number(word, value)?,
                "--beyond" => options.beyond = 0.01 * number(word, value)?,
                "--busy" => options.busy = 0.01 * number(word, value)?,
                _ => return Err(format!("there is no option {word}\n\n{HELP}")),
            }
        }
        let [a, b] = <[String; 2]>::try_from(places)
            .map_err(|places| format!("expected A and B, got {} of them\n\n{HELP}", places.len()))?;
        Ok(Self { a, b, ..options })
    }

    /// What the preset at this place of the list measures.
    pub fn sections_of(&self, place: usize) -> Vec<&str> {
        let sections = self.sections.iter().map(String::as_str);
        sections.filter(|&section| place == 0 || section != WITHOUT_MODEL).collect()
    }

    /// Options of every call of `druse bench`.
    pub fn of_bench(&self) -> Vec<String> {
        let mut words =
            vec![format!("--batch-size={}", self.batch_size), format!("--seconds={}", self.seconds)];
        words.extend(self.data.iter().map(|path| format!("--data={path}")));
        words.extend(self.others.iter().cloned());
        words
    }
}

fn whole(option: &str, value: &str) -> Result<usize, String> {
    value.parse().ok().filter(|&n| n > 0).ok_or(format!("{option} {value}: expected a whole number from 1"))
}

fn number(option: &str, value: &str) -> Result<f64, String> {
    let number = value.parse().ok().filter(|x: &f64| x.is_finite() && *x >= 0.0);
    number.ok_or(format!("{option} {value}: expected a number from 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(&line.split_whitespace().collect::<Vec<_>>())
    }

    #[test]
    fn words_become_options() {
        let plain = parse("HEAD~1 HEAD").unwrap();
        assert_eq!((plain.a.as_str(), plain.b.as_str()), ("HEAD~1", "HEAD"));
        assert_eq!((plain.rounds, plain.beyond, plain.presets.len()), (5, 0.05, 5));
        assert_eq!(plain.of_bench(), ["--batch-size=16", "--seconds=1"]);
        assert_eq!(plain.sections_of(0), ["sample", "train", "graph", "evaluate"]);
        assert_eq!(plain.sections_of(1), ["sample", "train", "graph"]);

        let line =
            "a --rounds 3 b --presets x,y --sections train --data d --beyond 2.5 --busy 50 -- --threads 1";
        let own = parse(line).unwrap();
        assert_eq!((own.a.as_str(), own.b.as_str(), own.rounds), ("a", "b", 3));
        assert_eq!((own.presets.join(" "), own.beyond, own.busy), ("x y".to_owned(), 0.025, 0.5));
        assert_eq!(own.of_bench()[2..], ["--data=d", "--threads", "1"]);
    }

    #[test]
    fn wrong_words_are_named() {
        for (line, word) in [
            ("HEAD", "got 1"),
            ("a b c", "got 3"),
            ("a b --rounds 0", "--rounds 0"),
            ("a b --seconds -1", "--seconds -1"),
            ("a b --busy", "--busy"),
            ("a b --speed 3", "--speed"),
        ] {
            let reason = parse(line).unwrap_err();
            assert!(reason.contains(word), "{line}: {reason}");
        }
    }
}
