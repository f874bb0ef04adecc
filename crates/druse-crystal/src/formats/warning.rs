//! What a reader tells about a structure beside the structure.

use std::fmt;

/// What a reader had to interpret, repair or leave out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What it is about.
    pub kind: WarningKind,
    /// In words for the user.
    pub text: String,
}

/// The kinds of [`Warning`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum WarningKind {
    /// Something of the file that no [`crate::Structure`] holds is left out.
    NotKept,
    /// Something was read in the only way that makes sense, though not as the format wants it written.
    Interpreted,
    /// Isotopes of hydrogen are read as hydrogen.
    Isotope,
    /// Rows of one element on one spot are one site.
    Merged,
    /// A rounded coordinate is set to the special position that it stands for.
    SpecialPosition,
    /// The element of a site was guessed from its label.
    GuessedElement,
    /// The setting of the space group was chosen among several.
    GuessedSetting,
    /// Angles of the cell that the file does not give are taken for 90°.
    GuessedCell,
    /// The symmetry operations are not those of the space group that the file names.
    ContradictedSymmetry,
    /// The sites do not give the content that the file states.
    ContradictedContent,
    /// Hydrogen that the file states has no sites.
    MissingHydrogen,
    /// Atoms are nearer to one another than atoms can be.
    CloseAtoms,
}

impl WarningKind {
    /// Whether the structure may be another one than its author meant: a guess, or a contradiction within the file.
    pub fn is_doubt(self) -> bool {
        match self {
            Self::NotKept | Self::Interpreted | Self::Isotope | Self::Merged | Self::SpecialPosition => false,
            Self::GuessedElement
            | Self::GuessedSetting
            | Self::GuessedCell
            | Self::ContradictedSymmetry
            | Self::ContradictedContent
            | Self::MissingHydrogen
            | Self::CloseAtoms => true,
        }
    }

    /// What happened, to be followed by a number of structures.
    pub fn summary(self) -> &'static str {
        match self {
            Self::NotKept => "something was not kept",
            Self::Interpreted => "something was interpreted",
            Self::Isotope => "isotopes were read as hydrogen",
            Self::Merged => "rows of one site were joined",
            Self::SpecialPosition => "rounded coordinates were set to special positions",
            Self::GuessedElement => "an element was guessed from a label",
            Self::GuessedSetting => "the setting of the space group was guessed",
            Self::GuessedCell => "missing angles were taken for 90°",
            Self::ContradictedSymmetry => "operations and space group contradict each other",
            Self::ContradictedContent => "the sites do not give the stated content",
            Self::MissingHydrogen => "hydrogen has no sites",
            Self::CloseAtoms => "atoms are too close to each other",
        }
    }
}

impl Warning {
    /// A warning of this kind.
    pub fn new(kind: WarningKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// Whether the structure may be another one than its author meant, see [`WarningKind::is_doubt`].
    pub fn is_doubt(&self) -> bool {
        self.kind.is_doubt()
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Labels to be named in a warning: the first few, each once where it comes several times in a row.
#[derive(Debug, Default)]
pub(super) struct Labels {
    first: Vec<String>,
    last: String,
    count: usize,
}

impl Labels {
    /// Labels that are named, and characters of each.
    const SHOWN: usize = 8;
    const LENGTH: usize = 60;

    pub fn push(&mut self, label: &str) {
        if self.count > 0 && self.last == label {
            return;
        }
        label.clone_into(&mut self.last);
        if self.first.len() < Self::SHOWN {
            self.first.push(label.chars().take(Self::LENGTH).collect());
        }
        self.count += 1;
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// `Fe1, Fe2 …`; `None` when there is none.
    pub fn text(&self) -> Option<String> {
        let more = if self.count > self.first.len() { " …" } else { "" };
        (!self.is_empty()).then(|| format!("{}{more}", self.first.join(", ")))
    }
}
