//! PyTorch's zip checkpoints: the index, without running or reading what it need not.
//!
//! Owns the way from a pickled state dict to ranges of the file. candle reads the pickle into inert
//! values, which here become tensors or nothing: no class is ever looked up. Always: members are
//! stored uncompressed, so that a tensor is a range of the mapped file.
//! Source: `torch.save` (format of version 1.6 on), `torch/_utils.py` for the rebuilding functions.

use std::collections::HashMap;
use std::io::{BufReader, Cursor, Read};
use std::ops::Range;

use candle_core::DType;
use candle_core::pickle::{Object, Stack};
use zip::{CompressionMethod, ZipArchive};

use super::checkpoint::{Entry, TENSORS_MAX};

/// A hundred bytes a tensor are usual; protects memory against a pickle that is none.
const PICKLE_BYTES_MAX: u64 = 64 << 20;
/// Convolutions have five axes at most.
const AXES_MAX: usize = 8;

type Members = HashMap<String, Range<usize>>;

/// The tensors of the archive `bytes`. What is said of a fault is for people.
pub(super) fn index(bytes: &[u8]) -> Result<Vec<(String, Entry)>, String> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| error.to_string())?;
    let members = members(&mut archive, bytes.len())?;
    let mut pickles = members.keys().filter(|name| name.ends_with("data.pkl"));
    let (Some(pickle), None) = (pickles.next(), pickles.next()) else {
        return Err("an archive without exactly one `data.pkl` is no PyTorch checkpoint".into());
    };
    let folder = pickle.strip_suffix("data.pkl").unwrap_or_default();
    if let Some(order) = members.get(&format!("{folder}byteorder"))
        && &bytes[order.clone()] != b"little"
    {
        return Err("its numbers are not little-endian".into());
    }
    let state = state_dict(unpickle(&bytes[members[pickle].clone()])?)?;
    let mut entries = Vec::with_capacity(state.len());
    for (key, value) in &state {
        let Object::Unicode(name) = key else { continue };
        let Some(rebuild) = rebuild_arguments(value) else { continue };
        let data = |key: &str| members.get(&format!("{folder}data/{key}")).cloned();
        let entry = entry(rebuild, data).map_err(|detail| format!("`{name}`: {detail}"))?;
        entries.push((name.clone(), entry));
    }
    if entries.is_empty() {
        return Err("its pickle holds no state dict".into());
    }
    Ok(entries)
}

/// Where each member's bytes lie.
fn members(archive: &mut ZipArchive<Cursor<&[u8]>>, length: usize) -> Result<Members, String> {
    if archive.len() > TENSORS_MAX {
        return Err(format!("an archive of more than {TENSORS_MAX} members"));
    }
    let mut members = HashMap::with_capacity(archive.len());
    for index in 0..archive.len() {
        let member = archive.by_index(index).map_err(|error| error.to_string())?;
        let name = member.name().map_err(|error| error.to_string())?.into_owned();
        if member.compression() != CompressionMethod::Stored || member.encrypted() {
            return Err(format!("its member `{name}` is compressed"));
        }
        let outside = || format!("its member `{name}` reaches past the end");
        let begin = member.data_start().and_then(|at| usize::try_from(at).ok());
        let begin = begin.ok_or_else(outside)?;
        let size = usize::try_from(member.size()).map_err(|_| outside())?;
        let end = begin.checked_add(size).filter(|end| *end <= length).ok_or_else(outside)?;
        members.insert(name, begin..end);
    }
    Ok(members)
}

fn unpickle(bytes: &[u8]) -> Result<Object, String> {
    if bytes.len() as u64 > PICKLE_BYTES_MAX {
        return Err(format!("its pickle is larger than {PICKLE_BYTES_MAX} bytes"));
    }
    let mut reader = BufReader::new(bytes.take(PICKLE_BYTES_MAX));
    let mut stack = Stack::empty();
    stack.read_loop(&mut reader).map_err(|error| format!("its pickle: {error}"))?;
    stack.finalize().map_err(|error| format!("its pickle: {error}"))
}

/// The dictionary itself, or the one below the key `state_dict`.
fn state_dict(root: Object) -> Result<Vec<(Object, Object)>, String> {
    let Object::Dict(pairs) = root else { return Err("its pickle is no dictionary".into()) };
    let is_nested = |pair: &(Object, Object)| match pair {
        (Object::Unicode(key), Object::Dict(_)) => key == "state_dict",
        _ => false,
    };
    match pairs.iter().position(is_nested) {
        Some(at) => state_dict(pairs.into_iter().nth(at).map_or(Object::None, |pair| pair.1)),
        None => Ok(pairs),
    }
}

/// The arguments of `_rebuild_tensor_v2`, also inside a parameter or a subclass; `None` for a value
/// that is no tensor.
fn rebuild_arguments(value: &Object) -> Option<&[Object]> {
    let Object::Reduce { callable, args } = value else { return None };
    let (Object::Class { module_name, class_name }, Object::Tuple(args)) = (&**callable, &**args)
    else {
        return None;
    };
    match (module_name.as_str(), class_name.as_str(), args.as_slice()) {
        ("torch._utils", "_rebuild_tensor_v2", args) => Some(args),
        ("torch._utils", "_rebuild_parameter", [tensor, ..]) => rebuild_arguments(tensor),
        ("torch._tensor", "_rebuild_from_type_v2", [rebuild, _, Object::Tuple(args), ..]) => {
            let Object::Class { class_name, .. } = rebuild else { return None };
            (class_name == "_rebuild_tensor_v2").then_some(args)
        }
        _ => None,
    }
}

/// `arguments`: storage, offset, size, stride, and what inference does not need.
fn entry(
    arguments: &[Object],
    data: impl Fn(&str) -> Option<Range<usize>>,
) -> Result<Entry, String> {
    let [Object::PersistentLoad(storage), offset, size, stride, ..] = arguments else {
        return Err("a tensor whose parts are not those of PyTorch 1.6".into());
    };
    let Object::Tuple(storage) = &**storage else { return Err("a storage without parts".into()) };
    let [_, Object::Class { class_name, .. }, Object::Unicode(key), ..] = storage.as_slice() else {
        return Err("a storage without type and key".into());
    };
    let (dtype, element) = element(class_name)?;
    let (shape, stride) = (sizes(size)?, sizes(stride)?);
    if shape.len() != stride.len() || shape.len() > AXES_MAX {
        return Err(format!("shape {shape:?} with strides {stride:?}"));
    }
    let range = data(key).ok_or_else(|| format!("its data `{key}` is missing"))?;
    let past = || format!("it reaches past its data `{key}`");
    let skipped = count(offset)?.checked_mul(element).ok_or_else(past)?;
    let elements = extent(&shape, &stride).ok_or_else(past)?;
    let bytes = elements.checked_mul(element).ok_or_else(past)?;
    let end = skipped.checked_add(bytes).ok_or_else(past)?;
    if end > range.len() {
        return Err(past());
    }
    let stride = (!is_row_major(&shape, &stride)).then_some(stride);
    Ok(Entry { file: 0, offset: range.start + skipped, bytes, shape, stride, dtype })
}

/// Type and bytes of a storage's elements.
fn element(storage: &str) -> Result<(Result<DType, String>, usize), String> {
    let dtype = match storage {
        "FloatStorage" => DType::F32,
        "DoubleStorage" => DType::F64,
        "HalfStorage" => DType::F16,
        "BFloat16Storage" => DType::BF16,
        "ByteStorage" | "BoolStorage" => DType::U8,
        "ShortStorage" => DType::I16,
        "IntStorage" => DType::I32,
        "LongStorage" => DType::I64,
        "CharStorage" => return Ok((Err(storage.to_owned()), 1)),
        "ComplexFloatStorage" => return Ok((Err(storage.to_owned()), 8)),
        "ComplexDoubleStorage" => return Ok((Err(storage.to_owned()), 16)),
        other => return Err(format!("a storage of the unknown type {other}")),
    };
    Ok((Ok(dtype), dtype.size_in_bytes()))
}

fn sizes(value: &Object) -> Result<Vec<usize>, String> {
    let Object::Tuple(values) = value else { return Err("a shape that is no tuple".into()) };
    values.iter().map(count).collect()
}

fn count(value: &Object) -> Result<usize, String> {
    let count = match value {
        Object::Int(count) => i64::from(*count),
        Object::Long(count) => *count,
        _ => return Err("a size that is no number".into()),
    };
    usize::try_from(count).map_err(|_| format!("the negative size {count}"))
}

/// Elements from the first to the last that the shape reaches; 0 for an empty one. `None` when the
/// shape, or what packing it would take, overflows.
fn extent(shape: &[usize], stride: &[usize]) -> Option<usize> {
    let packed = shape.iter().try_fold(1_usize, |product, side| product.checked_mul(*side))?;
    if packed == 0 {
        return Some(0);
    }
    let mut last = 0_usize;
    for (side, step) in shape.iter().zip(stride) {
        last = last.checked_add((side - 1).checked_mul(*step)?)?;
    }
    let extent = last.checked_add(1)?;
    // A stride of zero repeats elements: a tiny file could ask for all of memory.
    (packed <= extent).then_some(extent)
}

fn is_row_major(shape: &[usize], stride: &[usize]) -> bool {
    let mut expected = 1;
    shape.iter().zip(stride).rev().all(|(side, step)| {
        let fits = *side == 1 || *step == expected;
        expected *= side;
        fits
    })
}
