//! Weights that others converted to safetensors: the same tensors by the same names, with texts beside them.

use safetensors::{Dtype, SafeTensors};

use super::error::PickleError;
use super::legacy::Places;
use super::value::{ElementType, Id, TorchTensor, Value, Values};

/// Whether bytes begin as such a file: the length of a header, and the header, which is JSON.
pub(super) fn recognizes(bytes: &[u8]) -> bool {
    !bytes.starts_with(b"PK") && bytes.get(8) == Some(&b'{')
}

fn element(dtype: Dtype) -> Option<ElementType> {
    Some(match dtype {
        Dtype::F64 => ElementType::F64,
        Dtype::F32 => ElementType::F32,
        Dtype::F16 => ElementType::F16,
        Dtype::BF16 => ElementType::Bf16,
        Dtype::I64 => ElementType::I64,
        Dtype::I32 => ElementType::I32,
        Dtype::I16 => ElementType::I16,
        Dtype::I8 => ElementType::I8,
        Dtype::U8 => ElementType::U8,
        Dtype::BOOL => ElementType::Bool,
        _ => return None,
    })
}

/// The content as the dictionary that `torch.save` would have written: `state_dict` with the tensors, `metadata` with the texts.
///
/// # Errors
/// The reason in words.
pub(super) fn read(bytes: &[u8]) -> Result<(Values, Id, Places), String> {
    let (header, described) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
    // Checks that the tensors cover the file.
    SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let start = size_of::<u64>() + header;
    let (mut values, mut places, mut tensors) = (Values::default(), Places::new(), Vec::new());
    let mut add = |value| values.add(value).map_err(|e: PickleError| e.to_string());
    for (name, info) in described.tensors() {
        let (from, to) = info.data_offsets;
        places.insert(name.clone(), start + from..start + to);
        let mut strides = vec![1usize; info.shape.len()];
        for k in (1..info.shape.len()).rev() {
            strides[k - 1] = strides[k].saturating_mul(info.shape[k]);
        }
        let tensor = TorchTensor {
            element: element(info.dtype),
            storage: name.as_str().into(),
            storage_len: info.shape.iter().product(),
            offset: 0,
            strides,
            shape: info.shape.clone(),
        };
        tensors.push((add(Value::Text(name.as_str().into()))?, add(Value::Tensor(Box::new(tensor)))?));
    }
    let mut texts = Vec::new();
    for (key, text) in described.metadata().iter().flatten() {
        texts.push((add(Value::Text(key.as_str().into()))?, add(Value::Text(text.as_str().into()))?));
    }
    let root = vec![
        (add(Value::Text("state_dict".into()))?, add(Value::Dict(tensors))?),
        (add(Value::Text("metadata".into()))?, add(Value::Dict(texts))?),
    ];
    let root = add(Value::Dict(root))?;
    Ok((values, root, places))
}
