//! Tensors as numpy keeps them: a zip archive with one `.npy` file a tensor. Only from
//! safetensors, and only to be read elsewhere: nothing here reads such archives.

use std::io::{self, Cursor, Write as _};

use safetensors::{Dtype, SafeTensorError, SafeTensors};
use zip::result::ZipError;
use zip::write::FileOptions;
use zip::{CompressionMethod, ZipWriter};

/// What a `.npy` file begins with: a magic text and the version of the form, 1.0.
const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";

/// The values of a `.npy` file begin at a multiple of this.
const ALIGNMENT: usize = 64;

/// Why tensors could not be written in numpy's form.
#[derive(Debug, thiserror::Error)]
pub enum NpzError {
    /// The file is not safetensors.
    #[error("the file is not safetensors")]
    NotSafetensors(#[from] SafeTensorError),
    /// numpy has no such type of number.
    #[error("tensor `{name}` is of type `{dtype:?}`, which numpy does not have")]
    Type {
        /// The tensor.
        name: String,
        /// Its type.
        dtype: Dtype,
    },
    /// A tensor has more dimensions or longer ones than the form can say.
    #[error("tensor `{name}` has a shape too long for numpy's form")]
    Shape {
        /// The tensor.
        name: String,
    },
    /// A tensor's name would be a path out of the directory that it is unpacked into.
    #[error("tensor `{name}` has a name that cannot be a file's")]
    Name {
        /// The tensor.
        name: String,
    },
    /// The archive could not be made.
    #[error("cannot make the archive")]
    Archive(#[from] ZipError),
    /// The archive could not be written.
    #[error("cannot write the archive")]
    Write(#[from] io::Error),
}

/// The tensors of a safetensors file as `.npz`, in the order of their names. Equal files
/// give equal bytes.
///
/// # Errors
/// When the file is not safetensors, or has a tensor that numpy cannot have.
pub fn from_safetensors(bytes: &[u8]) -> Result<Vec<u8>, NpzError> {
    let tensors = SafeTensors::deserialize(bytes)?;
    let mut tensors = tensors.tensors();
    tensors.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = FileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .unix_permissions(0o644);
    for (name, tensor) in tensors {
        let is_inside = |part: &str| !matches!(part, "" | "." | "..");
        if name.contains('\\') || !name.split('/').all(is_inside) {
            return Err(NpzError::Name { name });
        }
        let header = header(&name, tensor.dtype(), tensor.shape())?;
        archive.start_file(format!("{name}.npy"), options)?;
        archive.write_all(&header)?;
        archive.write_all(tensor.data())?;
    }
    Ok(archive.finish()?.into_inner())
}

/// Checks that a file is safetensors.
///
/// # Errors
/// When it is not.
pub fn ensure_safetensors(bytes: &[u8]) -> Result<(), NpzError> {
    SafeTensors::deserialize(bytes)?;
    Ok(())
}

/// What stands before the values of a tensor, row after row.
fn header(name: &str, dtype: Dtype, shape: &[usize]) -> Result<Vec<u8>, NpzError> {
    let kind = match dtype {
        Dtype::BOOL => "|b1",
        Dtype::U8 => "|u1",
        Dtype::I8 => "|i1",
        Dtype::U16 => "<u2",
        Dtype::I16 => "<i2",
        Dtype::U32 => "<u4",
        Dtype::I32 => "<i4",
        Dtype::U64 => "<u8",
        Dtype::I64 => "<i8",
        Dtype::F16 => "<f2",
        Dtype::F32 => "<f4",
        Dtype::F64 => "<f8",
        dtype => {
            let name = name.to_owned();
            return Err(NpzError::Type { name, dtype });
        }
    };
    // A tuple of one has a comma too.
    let dims: Vec<_> = shape.iter().map(|dim| format!("{dim},")).collect();
    let mut text = format!(
        "{{'descr': '{kind}', 'fortran_order': False, 'shape': ({}), }}",
        dims.join(" ")
    );
    let before = MAGIC.len() + size_of::<u16>();
    let length = (before + text.len() + 1).next_multiple_of(ALIGNMENT) - before;
    let said = u16::try_from(length).map_err(|_| NpzError::Shape {
        name: name.to_owned(),
    })?;
    while text.len() + 1 < length {
        text.push(' ');
    }
    text.push('\n');
    Ok([MAGIC, &said.to_le_bytes(), text.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use safetensors::tensor::TensorView;
    use zip::ZipArchive;

    use super::*;

    fn file(tensors: &[(&str, Dtype, &[usize], &[u8])]) -> Vec<u8> {
        let views = tensors.iter().map(|(name, dtype, shape, data)| {
            (
                *name,
                TensorView::new(*dtype, shape.to_vec(), data).unwrap(),
            )
        });
        safetensors::serialize(views, None).unwrap()
    }

    #[test]
    fn every_tensor_is_a_file_with_its_type_and_shape() {
        let numbers: Vec<u8> = [1.0_f32, -2.5, 0.0]
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect();
        let count = 7_i64.to_le_bytes();
        let bytes = file(&[
            ("embedding", Dtype::F32, &[3, 1], &numbers),
            ("a.count", Dtype::I64, &[], &count),
            ("row", Dtype::F32, &[3], &numbers),
        ]);
        let archive = from_safetensors(&bytes).unwrap();
        assert_eq!(archive, from_safetensors(&bytes).unwrap());
        let mut archive = ZipArchive::new(Cursor::new(archive)).unwrap();
        let check = |archive: &mut ZipArchive<_>, name, described: &str, values: &[u8]| {
            let mut content = Vec::new();
            archive
                .by_name(name)
                .unwrap()
                .read_to_end(&mut content)
                .unwrap();
            let values_at = content.len() - values.len();
            assert_eq!(values_at % ALIGNMENT, 0);
            assert_eq!(&content[values_at..], values);
            let text = String::from_utf8_lossy(&content[10..values_at]).into_owned();
            assert_eq!(text.trim_end(), described);
            assert_eq!(
                usize::from(content[8]) + 256 * usize::from(content[9]),
                text.len()
            );
        };
        let described = |kind: &str, shape: &str| {
            format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}")
        };
        check(
            &mut archive,
            "embedding.npy",
            &described("<f4", "(3, 1,)"),
            &numbers,
        );
        check(&mut archive, "a.count.npy", &described("<i8", "()"), &count);
        check(&mut archive, "row.npy", &described("<f4", "(3,)"), &numbers);
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        for name in ["../a", "/a", "a/../b", "a//b", "..", "", "a\\b"] {
            let bytes = file(&[(name, Dtype::U8, &[1], &[7])]);
            let refused = from_safetensors(&bytes);
            assert!(matches!(refused, Err(NpzError::Name { .. })), "{name}");
        }
        let inside = file(&[("layers/0.weight", Dtype::U8, &[1], &[7])]);
        assert!(from_safetensors(&inside).is_ok());
    }

    #[test]
    fn what_numpy_cannot_have_is_refused() {
        let message = |bytes: &[u8]| from_safetensors(bytes).unwrap_err().to_string();
        assert_eq!(message(b"text"), "the file is not safetensors");
        let half = file(&[("w", Dtype::BF16, &[1], &[0, 0])]);
        assert!(message(&half).contains("tensor `w` is of type `BF16`"));
    }
}
