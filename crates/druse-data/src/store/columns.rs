//! Columns of properties.

use serde_json::Value;

use super::file::{Checked, Cursor};
use super::{StoreError, TAG_FALSE, TAG_NONE, TAG_NUMBER, TAG_TEXT, TAG_TRUE};
use crate::properties::number;

/// How many values of each kind a property has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kinds {
    /// Numbers.
    pub numbers: usize,
    /// Texts.
    pub texts: usize,
    /// Truth values.
    pub truths: usize,
}

impl Kinds {
    /// Values of any kind.
    pub fn total(self) -> usize {
        self.numbers + self.texts + self.truths
    }

    /// Counts a value.
    pub(crate) fn count(&mut self, value: &Value) {
        match value {
            Value::Null => {}
            Value::Bool(_) => self.truths += 1,
            Value::Number(_) => self.numbers += 1,
            Value::String(_) | Value::Array(_) | Value::Object(_) => self.texts += 1,
        }
    }

    /// Adds those of other entries.
    pub(crate) fn add(&mut self, other: Self) {
        self.numbers += other.numbers;
        self.texts += other.texts;
        self.truths += other.truths;
    }
}

/// Where a column lies.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub name: String,
    pub kinds: Kinds,
    tags: u64,
    values: u64,
    end: u64,
}

impl Column {
    /// Finds the column that begins at the cursor, of so many entries, and moves behind it.
    pub(super) fn find(data: &Checked, cursor: &mut Cursor<'_>, entries: u64) -> Result<Self, StoreError> {
        let name = cursor.text()?;
        let tags = cursor.at();
        cursor.skip(entries)?;
        let values = cursor.at();
        let (mut tag_reader, mut kinds) = (data.cursor(tags, values), Kinds::default());
        // Values before the next text, which have a length that is known.
        let mut before = 0;
        for _ in 0..entries {
            match tag_reader.u8()? {
                TAG_NONE => {}
                TAG_NUMBER => {
                    kinds.numbers += 1;
                    before += 8;
                }
                TAG_TEXT => {
                    kinds.texts += 1;
                    cursor.skip(before)?;
                    before = 0;
                    cursor.skip_text()?;
                }
                TAG_FALSE | TAG_TRUE => kinds.truths += 1,
                other => return Err(StoreError::Content(format!("property tag {other}"))),
            }
        }
        cursor.skip(before)?;
        Ok(Self { name, kinds, tags, values, end: cursor.at() })
    }

    /// Reads the values one after another.
    pub(super) fn reader<'a>(&self, data: &'a Checked) -> ColumnReader<'a> {
        ColumnReader { tags: data.cursor(self.tags, self.values), values: data.cursor(self.values, self.end) }
    }
}

/// Reads a column entry by entry.
pub(crate) struct ColumnReader<'a> {
    tags: Cursor<'a>,
    values: Cursor<'a>,
}

impl ColumnReader<'_> {
    /// The value of the next entry, in the form of [`properties::scalar`](crate::properties::scalar).
    pub(crate) fn next(&mut self) -> Result<Option<Value>, StoreError> {
        Ok(Some(match self.tags.u8()? {
            TAG_NONE => return Ok(None),
            TAG_NUMBER => number(self.values.f64()?)
                .ok_or_else(|| StoreError::content("a property that is not finite"))?,
            TAG_TEXT => self.values.text()?.into(),
            TAG_FALSE => false.into(),
            TAG_TRUE => true.into(),
            other => return Err(StoreError::Content(format!("property tag {other}"))),
        }))
    }
}
