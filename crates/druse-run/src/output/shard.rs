//! Shares of a run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A share of the structures of a run: those whose index leaves the remainder `index` when divided by `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    /// Which share, from 0.
    pub index: u64,
    /// Number of shares.
    pub count: u64,
}

impl Shard {
    /// Whether a structure belongs to the share.
    pub fn holds(self, index: u64) -> bool {
        index % self.count == self.index
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self { index: 0, count: 1 }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |t: &str| t.parse::<u64>().ok();
        match text.split_once('/').map(|(i, n)| (parse(i), parse(n))) {
            Some((Some(index), Some(count))) if index < count => Ok(Self { index, count }),
            _ => Err(format!("`{text}` is no shard: expected i/n with i from 0 to n - 1, such as 0/4")),
        }
    }
}

impl TryFrom<String> for Shard {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}
