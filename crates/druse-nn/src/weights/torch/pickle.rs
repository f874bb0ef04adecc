//! The stack machine of pickles (protocols 2 to 5), restricted to building data: classes and functions are names, calling
//! one of the few that hold weights rebuilds what it would return, and everything else becomes an object without content.

use std::collections::HashMap;

use super::error::PickleError;
use super::value::{Class, Id, Object, Value, Values};

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Values,
    stack: Vec<Id>,
    /// Height of the stack at each open mark.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

/// Reads a pickle; returns its values and which of them is the whole, or the error and the position where it came up.
pub(super) fn read(bytes: &[u8]) -> Result<(Values, Id), (usize, PickleError)> {
    read_first(bytes).map(|(values, root, _)| (values, root))
}

/// [`read`] of bytes that begin with a pickle, with its length.
pub(super) fn read_first(bytes: &[u8]) -> Result<(Values, Id, usize), (usize, PickleError)> {
    let mut machine = Machine {
        bytes,
        at: 0,
        values: Values::default(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    loop {
        let start = machine.at;
        match machine.step() {
            Ok(None) => {}
            Ok(Some(root)) => return Ok((machine.values, root, machine.at)),
            Err(e) => return Err((start, e)),
        }
    }
}

impl<'a> Machine<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], PickleError> {
        let end = self.at.checked_add(len).ok_or(PickleError::Truncated)?;
        let part = self.bytes.get(self.at..end).ok_or(PickleError::Truncated)?;
        self.at = end;
        Ok(part)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        Ok(*self.take(N)?.first_chunk().ok_or(PickleError::Truncated)?)
    }

    fn byte(&mut self) -> Result<u8, PickleError> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32, PickleError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// A length of `N` bytes (1, 4 or 8) and so many bytes.
    fn counted<const N: usize>(&mut self) -> Result<&'a [u8], PickleError> {
        let mut wide = [0; 8];
        wide[..N].copy_from_slice(self.take(N)?);
        let len = usize::try_from(u64::from_le_bytes(wide)).map_err(|_| PickleError::Truncated)?;
        self.take(len)
    }

    fn line(&mut self) -> Result<&'a str, PickleError> {
        let rest = &self.bytes[self.at..];
        let len = rest.iter().position(|&b| b == b'\n').ok_or(PickleError::Truncated)?;
        self.at += len + 1;
        std::str::from_utf8(&rest[..len]).map_err(|_| PickleError::Text)
    }

    fn push(&mut self, value: Value) -> Result<(), PickleError> {
        let id = self.values.add(value)?;
        self.stack.push(id);
        Ok(())
    }

    fn push_text(&mut self, bytes: &[u8]) -> Result<(), PickleError> {
        let text = std::str::from_utf8(bytes).map_err(|_| PickleError::Text)?;
        self.push(Value::Text(text.into()))
    }

    /// A two's-complement integer of any length.
    fn push_integer(&mut self, bytes: &[u8]) -> Result<(), PickleError> {
        let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
        let fill = if negative { 0xff } else { 0 };
        let mut wide = [fill; 8];
        let len = bytes.len().min(8);
        wide[..len].copy_from_slice(&bytes[..len]);
        let value = i64::from_le_bytes(wide);
        let fits = bytes[len..].iter().all(|&b| b == fill) && (value < 0) == negative;
        self.push(if fits { Value::Int(value) } else { Value::Opaque })
    }

    /// Values above the last mark (or all of them) that an instruction may take.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Id, PickleError> {
        if self.stack.len() == self.floor() {
            return Err(PickleError::Stack);
        }
        self.stack.pop().ok_or(PickleError::Stack)
    }

    fn top(&self) -> Result<Id, PickleError> {
        if self.stack.len() == self.floor() {
            return Err(PickleError::Stack);
        }
        self.stack.last().copied().ok_or(PickleError::Stack)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, PickleError> {
        let mark = self.marks.pop().ok_or(PickleError::Stack)?;
        Ok(self.stack.split_off(mark))
    }

    fn pop_pairs(&mut self) -> Result<Vec<(Id, Id)>, PickleError> {
        let items = self.pop_to_mark()?;
        let (pairs, rest) = items.as_chunks::<2>();
        if rest.is_empty() {
            Ok(pairs.iter().map(|&[k, v]| (k, v)).collect())
        } else {
            Err(PickleError::Stack)
        }
    }

    fn tuple(&mut self, len: usize) -> Result<(), PickleError> {
        let start = self.stack.len().checked_sub(len).filter(|&s| s >= self.floor());
        let items = self.stack.split_off(start.ok_or(PickleError::Stack)?);
        self.push(Value::Tuple(items))
    }

    fn extend_list(&mut self, items: Vec<Id>) -> Result<(), PickleError> {
        let top = self.top()?;
        match self.values.get_mut(top) {
            Value::List(list) => list.extend(items),
            // Content of classes that this reader does not know.
            Value::Object(_) | Value::Opaque => {}
            _ => return Err(PickleError::Type("a list")),
        }
        Ok(())
    }

    fn extend_dict(&mut self, items: Vec<(Id, Id)>) -> Result<(), PickleError> {
        let top = self.top()?;
        match self.values.get_mut(top) {
            Value::Dict(pairs) => pairs.extend(items),
            Value::Object(_) | Value::Opaque => {}
            _ => return Err(PickleError::Type("a dictionary")),
        }
        Ok(())
    }

    fn remember(&mut self, number: u32) -> Result<(), PickleError> {
        let top = self.top()?;
        self.memo.insert(number, top);
        Ok(())
    }

    fn recall(&mut self, number: u32) -> Result<(), PickleError> {
        let id = *self.memo.get(&number).ok_or(PickleError::Memo(number))?;
        self.stack.push(id);
        Ok(())
    }

    /// An object of a class whose constructor is not run.
    fn new_object(&mut self, class: Id) -> Result<(), PickleError> {
        let class = match self.values.get(class) {
            Value::Class(class) => class.clone(),
            _ => return Err(PickleError::Type("a class")),
        };
        match (&*class.module, &*class.name) {
            ("collections", "OrderedDict") => self.push(Value::Dict(Vec::new())),
            _ => self.push(Value::Object(Box::new(Object { class: Some(class), state: None }))),
        }
    }

    fn build(&mut self) -> Result<(), PickleError> {
        let state = self.pop()?;
        let target = self.top()?;
        if let Value::Object(object) = self.values.get_mut(target) {
            object.state = Some(state);
        }
        // A dictionary or tensor may carry attributes too; no weight is among them.
        Ok(())
    }

    /// One instruction; the whole, when it was the last one.
    fn step(&mut self) -> Result<Option<Id>, PickleError> {
        match self.byte()? {
            0x80 => match self.byte()? {
                2..=5 => {}
                other => return Err(PickleError::Protocol(other)),
            },
            // Frames tell how much to read ahead.
            0x95 => {
                self.take(8)?;
            }
            b'.' => return self.pop().map(Some),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                self.pop()?;
            }
            b'1' => {
                self.pop_to_mark()?;
            }
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' => self.push(Value::None)?,
            0x88 => self.push(Value::Bool(true))?,
            0x89 => self.push(Value::Bool(false))?,
            b'J' => {
                let value = i64::from(i32::from_le_bytes(self.array()?));
                self.push(Value::Int(value))?;
            }
            b'K' => {
                let value = i64::from(self.byte()?);
                self.push(Value::Int(value))?;
            }
            b'M' => {
                let value = i64::from(u16::from_le_bytes(self.array()?));
                self.push(Value::Int(value))?;
            }
            0x8a => {
                let bytes = self.counted::<1>()?;
                self.push_integer(bytes)?;
            }
            0x8b => {
                let bytes = self.counted::<4>()?;
                self.push_integer(bytes)?;
            }
            b'G' => {
                let value = f64::from_be_bytes(self.array()?);
                self.push(Value::Float(value))?;
            }
            b'X' => {
                let bytes = self.counted::<4>()?;
                self.push_text(bytes)?;
            }
            0x8c => {
                let bytes = self.counted::<1>()?;
                self.push_text(bytes)?;
            }
            0x8d => {
                let bytes = self.counted::<8>()?;
                self.push_text(bytes)?;
            }
            // Strings of bytes, by the size of their length.
            b'U' | b'C' => {
                self.counted::<1>()?;
                self.push(Value::Opaque)?;
            }
            b'T' | b'B' => {
                self.counted::<4>()?;
                self.push(Value::Opaque)?;
            }
            0x8e | 0x96 => {
                self.counted::<8>()?;
                self.push(Value::Opaque)?;
            }
            b')' => self.push(Value::Tuple(Vec::new()))?,
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Value::Tuple(items))?;
            }
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b']' | 0x8f => self.push(Value::List(Vec::new()))?,
            b'l' | 0x91 => {
                let items = self.pop_to_mark()?;
                self.push(Value::List(items))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.extend_list(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_to_mark()?;
                self.extend_list(items)?;
            }
            b'}' => self.push(Value::Dict(Vec::new()))?,
            b'd' => {
                let pairs = self.pop_pairs()?;
                self.push(Value::Dict(pairs))?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.extend_dict(vec![(key, value)])?;
            }
            b'u' => {
                let pairs = self.pop_pairs()?;
                self.extend_dict(pairs)?;
            }
            b'q' => {
                let number = u32::from(self.byte()?);
                self.remember(number)?;
            }
            b'r' => {
                let number = self.u32()?;
                self.remember(number)?;
            }
            0x94 => {
                let number = u32::try_from(self.memo.len()).map_err(|_| PickleError::Memo(u32::MAX))?;
                self.remember(number)?;
            }
            b'h' => {
                let number = u32::from(self.byte()?);
                self.recall(number)?;
            }
            b'j' => {
                let number = self.u32()?;
                self.recall(number)?;
            }
            b'c' => {
                let (module, name) = (self.line()?.into(), self.line()?.into());
                self.push(Value::Class(Class { module, name }))?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Some(module), Some(name)) = (self.values.text(module), self.values.text(name)) else {
                    return Err(PickleError::Type("two texts"));
                };
                let (module, name) = (module.clone(), name.clone());
                self.push(Value::Class(Class { module, name }))?;
            }
            b'Q' => {
                let identifier = self.pop()?;
                let storage = self.values.storage(identifier)?;
                self.stack.push(storage);
            }
            b'R' => {
                let arguments = self.pop()?;
                let callable = self.pop()?;
                let result = self.values.call(callable, arguments)?;
                self.stack.push(result);
            }
            0x81 => {
                self.pop()?;
                let class = self.pop()?;
                self.new_object(class)?;
            }
            0x92 => {
                self.pop()?;
                self.pop()?;
                let class = self.pop()?;
                self.new_object(class)?;
            }
            b'b' => self.build()?,
            other => return Err(PickleError::Opcode(other)),
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(bytes: &[u8]) -> Result<Value, PickleError> {
        read(bytes).map(|(values, root)| values.get(root).clone()).map_err(|(_, e)| e)
    }

    #[test]
    fn plain_values_are_read() {
        assert_eq!(root(b"\x80\x02K\x07."), Ok(Value::Int(7)));
        assert_eq!(root(b"\x80\x02J\xff\xff\xff\xff."), Ok(Value::Int(-1)));
        assert_eq!(root(b"\x80\x02\x8a\x00."), Ok(Value::Int(0)));
        assert_eq!(root(b"\x80\x02\x8a\x02\x00\x80."), Ok(Value::Int(-32768)));
        assert_eq!(root(b"\x80\x02\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00."), Ok(Value::Opaque));
        assert_eq!(root(b"\x80\x02G\x3f\xf8\x00\x00\x00\x00\x00\x00."), Ok(Value::Float(1.5)));
        let (values, id) = read(b"\x80\x04\x95\x09\x00\x00\x00\x00\x00\x00\x00}\x8c\x01aK\x01s.").unwrap();
        let entry = values.entry(id, "a").unwrap();
        assert_eq!(values.get(entry), &Value::Int(1));
    }

    #[test]
    fn a_list_that_holds_itself_is_one_value() {
        let (values, id) = read(b"\x80\x02]q\x00h\x00a.").unwrap();
        assert_eq!(values.get(id), &Value::List(vec![id]));
    }

    fn class(module: &str, name: &str) -> Option<Class> {
        Some(Class { module: module.into(), name: name.into() })
    }

    #[test]
    fn foreign_classes_are_names_and_nothing_is_called() {
        let (values, id) = read(b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.").unwrap();
        let Value::Object(object) = values.get(id) else { panic!("{:?}", values.get(id)) };
        assert_eq!((object.class.clone(), object.state), (class("os", "system"), None));
        let (values, id) = read(b"\x80\x02cm\nScaler\n)\x81}X\x01\x00\x00\x00aK\x05sb.").unwrap();
        let Value::Object(object) = values.get(id) else { panic!("{:?}", values.get(id)) };
        let a = values.entry(object.state.unwrap(), "a").unwrap();
        assert_eq!((object.class.clone(), values.get(a)), (class("m", "Scaler"), &Value::Int(5)));
    }

    #[test]
    fn what_is_no_pickle_is_refused() {
        for (bytes, expected) in [
            (&b""[..], PickleError::Truncated),
            (b"\x80", PickleError::Truncated),
            (b"\x80\x02", PickleError::Truncated),
            (b"\x80\x09.", PickleError::Protocol(9)),
            (b"\x80\x02.", PickleError::Stack),
            (b"\x80\x02N(.", PickleError::Stack),
            (b"\x80\x02t.", PickleError::Stack),
            (b"\x80\x02\xff.", PickleError::Opcode(0xff)),
            (b"\x80\x02h\x05.", PickleError::Memo(5)),
            (b"\x80\x02X\xff\xff\xff\x7fab.", PickleError::Truncated),
            (b"\x80\x02X\x01\x00\x00\x00\xff.", PickleError::Text),
            (b"\x80\x05\x8d\xff\xff\xff\xff\xff\xff\xff\xff", PickleError::Truncated),
            (b"\x80\x02K\x01K\x02a.", PickleError::Type("a list")),
            (b"\x80\x02}(K\x01u.", PickleError::Stack),
            (b"\x80\x02K\x01)\x81.", PickleError::Type("a class")),
            (b"\x80\x02cos\nsystem", PickleError::Truncated),
        ] {
            assert_eq!(root(bytes), Err(expected), "{bytes:?}");
        }
    }

    #[test]
    fn deep_nesting_and_many_values_end() {
        let mut deep = b"\x80\x02".to_vec();
        deep.extend([b')'; 1]);
        deep.extend([0x85; 1_000_000]);
        deep.push(b'.');
        assert!(root(&deep).is_ok());
        // A class with a long name, made over and over: 100,000 objects share the one megabyte.
        let mut objects = b"\x80\x02c".to_vec();
        objects.extend(vec![b'x'; 1 << 20]);
        objects.extend(b"\nC\nq\x00");
        objects.extend(b"h\x00)\x81".repeat(100_000));
        objects.push(b'.');
        assert!(root(&objects).is_ok());
        let mut many = b"\x80\x02".to_vec();
        many.extend(vec![b'N'; 5_000_000]);
        assert!(matches!(root(&many), Err(PickleError::TooMany { .. })));
    }
}
