//! What pickles are read into: data alone, in one list of values that refer to each other by number. Nesting and cycles
//! therefore cost neither recursion nor copies. Texts are shared and nothing that an instruction refers to is copied: the
//! values cannot take much more memory than the pickle.

use std::sync::Arc;

use super::error::PickleError;

/// Number of a value in [`Values`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id(u32);

/// Type of the elements of a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementType {
    /// 64-bit float.
    F64,
    /// 32-bit float.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of a 32-bit float.
    Bf16,
    /// 64-bit integer.
    I64,
    /// 32-bit integer.
    I32,
    /// 16-bit integer.
    I16,
    /// 8-bit integer.
    I8,
    /// Byte.
    U8,
    /// A byte that is 0 or 1.
    Bool,
}

impl ElementType {
    /// The type that a storage class of `torch` holds.
    fn of_storage(class: &Class) -> Option<Self> {
        if &*class.module != "torch" {
            return None;
        }
        Some(match &*class.name {
            "DoubleStorage" => Self::F64,
            "FloatStorage" => Self::F32,
            "HalfStorage" => Self::F16,
            "BFloat16Storage" => Self::Bf16,
            "LongStorage" => Self::I64,
            "IntStorage" => Self::I32,
            "ShortStorage" => Self::I16,
            "CharStorage" => Self::I8,
            "ByteStorage" => Self::U8,
            "BoolStorage" => Self::Bool,
            _ => return None,
        })
    }

    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// The number that [`ElementType::size`] little-endian bytes stand for; integers beyond 2^53 are rounded.
    pub(super) fn number(self, bytes: &[u8]) -> f64 {
        let mut wide = [0; 8];
        wide[..self.size()].copy_from_slice(&bytes[..self.size()]);
        let bits = u64::from_le_bytes(wide);
        match self {
            Self::F64 => f64::from_bits(bits),
            Self::F32 => f64::from(f32::from_bits(bits as u32)),
            Self::F16 => half(bits as u16),
            Self::Bf16 => f64::from(f32::from_bits((bits as u32) << 16)),
            Self::I64 => bits as i64 as f64,
            Self::I32 => f64::from(bits as i32),
            Self::I16 => f64::from(bits as i16),
            Self::I8 => f64::from(bits as i8),
            Self::U8 => f64::from(bits as u8),
            Self::Bool => f64::from(u8::from(bits != 0)),
        }
    }
}

/// The number that half precision bits stand for.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    let magnitude = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

/// A tensor as the pickle describes it; its numbers lie in an entry of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TorchTensor {
    /// Extents, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// Type of the elements; `None`: one that this reader does not know.
    pub element: Option<ElementType>,
    /// Name of the entry that holds the storage.
    pub(super) storage: Arc<str>,
    /// Elements of the storage.
    pub(super) storage_len: usize,
    /// First element.
    pub(super) offset: usize,
    /// Elements from one index to the next, for each extent.
    pub(super) strides: Vec<usize>,
}

impl TorchTensor {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the tensor has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Refuses tensors that reach beyond their storage, and those with more elements than it (repeated by strides of
    /// zero), for which a small file could ask for any amount of memory.
    fn check(&self) -> Result<(), String> {
        let beyond = || format!("of shape {:?} does not fit its storage", self.shape);
        let mut elements = 1usize;
        let mut last = Some(self.offset);
        for (&extent, &stride) in self.shape.iter().zip(&self.strides) {
            elements = elements.checked_mul(extent).ok_or_else(beyond)?;
            let step = extent.saturating_sub(1).checked_mul(stride);
            last = last.zip(step).and_then(|(last, step)| last.checked_add(step));
        }
        let inside = elements == 0 || last.is_some_and(|last| last < self.storage_len);
        if inside && elements <= self.storage_len { Ok(()) } else { Err(beyond()) }
    }

    /// Position in the storage of each element, in row-major order.
    pub(super) fn positions(&self) -> impl Iterator<Item = usize> + '_ {
        let mut index = vec![0; self.shape.len()];
        let mut position = self.offset;
        (0..self.len()).map(move |_| {
            let current = position;
            for k in (0..index.len()).rev() {
                index[k] += 1;
                position += self.strides[k];
                if index[k] < self.shape[k] {
                    break;
                }
                position -= self.strides[k] * self.shape[k];
                index[k] = 0;
            }
            current
        })
    }
}

/// Name of a class or function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Class {
    pub module: Arc<str>,
    pub name: Arc<str>,
}

/// An object of a class that this reader does not know; its class is a name alone.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Object {
    /// `None` for what the result of another call returned.
    pub class: Option<Class>,
    /// What `__setstate__` or the object's dictionary would get.
    pub state: Option<Id>,
}

/// A Python value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Arc<str>),
    Tuple(Vec<Id>),
    /// Lists and sets.
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Class(Class),
    Storage {
        element: Option<ElementType>,
        key: Arc<str>,
        len: usize,
    },
    Tensor(Box<TorchTensor>),
    Object(Box<Object>),
    /// Something that no weight file needs: bytes, integers beyond 64 bits.
    Opaque,
}

/// Values that are made at most: some ten times what checkpoints of large models hold.
const MAX_VALUES: usize = 1 << 22;

/// Extents of a tensor at most, as in PyTorch.
const MAX_RANK: usize = 64;

/// All values of a pickle.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Values(Vec<Value>);

impl Values {
    pub(super) fn add(&mut self, value: Value) -> Result<Id, PickleError> {
        let id = u32::try_from(self.0.len()).ok().filter(|_| self.0.len() < MAX_VALUES);
        self.0.push(value);
        id.map(Id).ok_or(PickleError::TooMany { limit: MAX_VALUES })
    }

    pub(super) fn get(&self, id: Id) -> &Value {
        &self.0[id.0 as usize]
    }

    pub(super) fn get_mut(&mut self, id: Id) -> &mut Value {
        &mut self.0[id.0 as usize]
    }

    pub(super) fn text(&self, id: Id) -> Option<&Arc<str>> {
        match self.get(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value under a text key of a dictionary; of equal keys the last one counts.
    pub(super) fn entry(&self, dict: Id, key: &str) -> Option<Id> {
        match self.get(dict) {
            Value::Dict(pairs) => {
                pairs.iter().rev().find(|p| self.text(p.0).is_some_and(|k| &**k == key)).map(|p| p.1)
            }
            _ => None,
        }
    }

    /// A value without tensors and objects, `depth` levels of it and `left` values at most; null for the rest.
    pub(super) fn plain(&self, id: Id, depth: usize, left: &mut usize) -> serde_json::Value {
        use serde_json::Value as Json;
        if depth == 0 || *left == 0 {
            return Json::Null;
        }
        *left -= 1;
        match self.get(id) {
            Value::Bool(b) => Json::from(*b),
            Value::Int(n) => Json::from(*n),
            Value::Float(x) => Json::from(*x),
            Value::Text(text) => Json::from(&**text),
            Value::Tuple(items) | Value::List(items) => {
                items.iter().map(|&item| self.plain(item, depth - 1, left)).collect()
            }
            Value::Dict(pairs) => {
                let named = pairs.iter().filter_map(|&(key, value)| {
                    let key = match self.get(key) {
                        Value::Text(text) => text.to_string(),
                        Value::Int(n) => n.to_string(),
                        _ => return None,
                    };
                    Some((key, self.plain(value, depth - 1, left)))
                });
                Json::Object(named.collect())
            }
            _ => Json::Null,
        }
    }

    fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    fn size(&self, id: Id) -> Option<usize> {
        match self.get(id) {
            Value::Int(n) => usize::try_from(*n).ok(),
            _ => None,
        }
    }

    fn sizes(&self, id: Id) -> Option<Vec<usize>> {
        match self.get(id) {
            Value::Tuple(items) | Value::List(items) if items.len() <= MAX_RANK => {
                items.iter().map(|&i| self.size(i)).collect()
            }
            _ => None,
        }
    }

    /// Keys and types of all storages.
    pub(super) fn storages(&self) -> impl Iterator<Item = (&str, Option<ElementType>)> {
        self.0.iter().filter_map(|value| match value {
            Value::Storage { element, key, .. } => Some((&**key, *element)),
            _ => None,
        })
    }

    /// What a persistent identifier stands for: a storage, by `("storage", class, key, device, elements)`. Files before version
    /// 1.6 add what part of another storage it is; those of parts are not read.
    pub(super) fn storage(&mut self, identifier: Id) -> Result<Id, PickleError> {
        let wrong = || PickleError::Tensor("a persistent identifier names no storage".into());
        let (kind, class, key, len) = match *self.tuple(identifier).ok_or_else(wrong)? {
            [kind, class, key, _, len] => (kind, class, key, len),
            [kind, class, key, _, len, part] if *self.get(part) == Value::None => (kind, class, key, len),
            _ => return Err(wrong()),
        };
        let (Some("storage"), Value::Class(class), Some(key), Some(len)) =
            (self.text(kind).map(|t| &**t), self.get(class), self.text(key), self.size(len))
        else {
            return Err(wrong());
        };
        let storage = Value::Storage { element: ElementType::of_storage(class), key: key.clone(), len };
        self.add(storage)
    }

    /// The tensor of `(storage, offset, shape, strides, …)`.
    fn tensor(&mut self, arguments: Id) -> Result<Id, PickleError> {
        let wrong = |problem: &str| PickleError::Tensor(problem.to_owned());
        let Some(&[storage, offset, shape, strides, ..]) = self.tuple(arguments) else {
            return Err(wrong("with fewer than four arguments"));
        };
        let Value::Storage { element, key, len } = self.get(storage) else {
            return Err(wrong("without a storage"));
        };
        let (Some(offset), Some(shape), Some(mut strides)) =
            (self.size(offset), self.sizes(shape), self.sizes(strides))
        else {
            return Err(wrong("whose shape or strides are no numbers, or more than 64"));
        };
        if shape.len() != strides.len() {
            return Err(wrong("with another number of strides than extents"));
        }
        // A stride along a single element is never taken and may be anything.
        strides.iter_mut().zip(&shape).filter(|(_, extent)| **extent < 2).for_each(|(s, _)| *s = 0);
        let (element, storage, storage_len) = (*element, key.clone(), *len);
        let tensor = TorchTensor { shape, element, storage, storage_len, offset, strides };
        tensor.check().map_err(PickleError::Tensor)?;
        self.add(Value::Tensor(Box::new(tensor)))
    }

    /// What calling a class or function would give, for the few that hold weights; anything else becomes an object
    /// without content. Nothing is executed.
    pub(super) fn call(&mut self, callable: Id, arguments: Id) -> Result<Id, PickleError> {
        let class = match self.get(callable) {
            Value::Class(class) => Some(class.clone()),
            _ => None,
        };
        let first = self.tuple(arguments).and_then(|a| a.first()).copied();
        match class.as_ref().map(|c| (&*c.module, &*c.name)) {
            Some(("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2")) => self.tensor(arguments),
            Some(("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")) => {
                first.ok_or_else(|| PickleError::Tensor("of a parameter without data".into()))
            }
            // The entries follow in instructions of their own.
            Some(("collections", "OrderedDict")) if first.is_none() => self.add(Value::Dict(Vec::new())),
            Some(("torch", "Size")) => first.map_or_else(|| self.add(Value::Opaque), Ok),
            _ => self.add(Value::Object(Box::new(Object { class, state: None }))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_and_integers_are_exact() {
        let cases = [(0x3c00u16, 1.0), (0xc000, -2.0), (0x0001, 2f64.powi(-24)), (0x7bff, 65504.0)];
        for (bits, expected) in cases {
            assert_eq!(ElementType::F16.number(&bits.to_le_bytes()), expected);
        }
        assert_eq!(ElementType::F16.number(&0x7c00u16.to_le_bytes()), f64::INFINITY);
        assert!(ElementType::F16.number(&0x7c01u16.to_le_bytes()).is_nan());
        assert_eq!(ElementType::Bf16.number(&0x3fc0u16.to_le_bytes()), 1.5);
        assert_eq!(ElementType::I64.number(&(-7i64).to_le_bytes()), -7.0);
        assert_eq!(ElementType::I8.number(&[0xff]), -1.0);
        assert_eq!(ElementType::U8.number(&[0xff]), 255.0);
    }

    fn tensor(shape: &[usize], strides: &[usize], offset: usize, storage_len: usize) -> TorchTensor {
        TorchTensor {
            shape: shape.to_vec(),
            element: Some(ElementType::F32),
            storage: "".into(),
            storage_len,
            offset,
            strides: strides.to_vec(),
        }
    }

    #[test]
    fn strided_tensors_are_walked_in_row_major_order() {
        let transposed = tensor(&[2, 3], &[1, 2], 1, 7);
        assert_eq!(transposed.check(), Ok(()));
        assert_eq!(transposed.positions().collect::<Vec<_>>(), [1, 3, 5, 2, 4, 6]);
        assert_eq!(tensor(&[], &[], 4, 5).positions().collect::<Vec<_>>(), [4]);
        assert_eq!(tensor(&[0, 9], &[9, 1], 0, 0).check(), Ok(()));
    }

    #[test]
    fn tensors_outside_their_storage_are_refused() {
        assert!(tensor(&[2, 3], &[1, 2], 2, 7).check().is_err());
        assert!(tensor(&[4], &[0], 0, 3).check().is_err());
        assert!(tensor(&[usize::MAX, 2], &[0, 0], 0, 3).check().is_err());
        assert!(tensor(&[2], &[usize::MAX], 5, 30).check().is_err());
        assert!(tensor(&[], &[], 0, 0).check().is_err());
    }
}
