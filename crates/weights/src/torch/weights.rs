//! The tensors of a pickle, by name.

use std::path::Path;

use super::pickle::PickleError;
use super::value::{Arena, Id, Storage, StorageType, Tensor, Value};
use crate::file::decode;
use crate::{ReadError, Tensors};

/// The keys under which a file of several things has its weights: those of the reference repositories and DeiT.
const KEYS: [&str; 2] = ["state_dict", "model"];

/// Access to the bytes of storages.
pub(super) trait Storages {
    /// The bytes of `storage`, exactly as many as it says.
    fn bytes(&mut self, storage: &Storage) -> Result<Vec<u8>, ReadError>;
}

/// A tensor, and its name.
pub(super) struct Named<'a> {
    name: &'a str,
    tensor: &'a Tensor,
}

/// The tensors in a file's pickle.
pub(super) fn find<'a>(path: &Path, arena: &'a Arena, root: Id) -> Result<Vec<Named<'a>>, ReadError> {
    let nothing = |reason: String| ReadError::NoWeights { path: path.into(), reason };
    let Value::Dict(top) = &arena[root] else {
        return Err(nothing("it is not a dictionary".into()));
    };
    let inner = top.iter().find_map(|(key, value)| match (&arena[*key], &arena[*value]) {
        (Value::Text(key), Value::Dict(items)) if KEYS.contains(&key.as_str()) => Some((key.as_str(), items)),
        _ => None,
    });
    let (place, items) = inner.unwrap_or(("", top));
    let mut found = Vec::new();
    for (key, value) in items {
        match (&arena[*key], &arena[*value]) {
            (Value::Text(name), Value::Tensor(tensor)) => found.push(Named { name, tensor }),
            // Next to tensors at the top level, there may be anything.
            _ if place.is_empty() => {}
            (Value::Text(name), _) => {
                return Err(nothing(format!("`{name}` in its `{place}` is not a tensor")));
            }
            _ => return Err(nothing(format!("a name in its `{place}` is not a string"))),
        }
    }
    if found.is_empty() {
        return Err(nothing("it has no named tensors".into()));
    }
    Ok(found)
}

/// The values of `named`, from `storages`. `n_bytes` is the length of the file.
pub(super) fn read_all(
    path: &Path,
    named: &[Named<'_>],
    n_bytes: u64,
    storages: &mut dyn Storages,
) -> Result<Tensors, ReadError> {
    check_sizes(path, named, n_bytes)?;
    let mut tensors = Tensors::new();
    // A storage is often shared by two names, seldom by more, and these are adjacent.
    let mut last: Option<(&Storage, Vec<u8>)> = None;
    for Named { name, tensor } in named {
        let refused =
            |dtype: &str| ReadError::Dtype { path: path.into(), tensor: (*name).into(), dtype: dtype.into() };
        let dtype = match &tensor.storage.of {
            StorageType::Known(dtype) => *dtype,
            StorageType::Other(dtype, _) => return Err(refused(dtype)),
        };
        let bytes = match last.take() {
            Some((storage, bytes)) if storage == &tensor.storage => bytes,
            _ => storages.bytes(&tensor.storage)?,
        };
        let stored = match gathered(tensor, dtype.n_bytes(), &bytes) {
            Some(gathered) => decode(dtype, &tensor.shape, &gathered),
            None => {
                let start = tensor.offset * dtype.n_bytes();
                let n = tensor.shape.iter().product::<usize>() * dtype.n_bytes();
                decode(dtype, &tensor.shape, &bytes[start..start + n])
            }
        }
        .map_err(refused)?;
        last = Some((&tensor.storage, bytes));
        if tensors.insert((*name).to_owned(), stored).is_some() {
            return Err(ReadError::Damaged { path: path.into(), reason: format!("`{name}` appears twice") });
        }
    }
    Ok(tensors)
}

/// Checks that all tensors are within their storages, and that there are no more values than a file of `n_bytes` can
/// have.
fn check_sizes(path: &Path, named: &[Named<'_>], n_bytes: u64) -> Result<(), ReadError> {
    let mut total: u64 = 0;
    for Named { name, tensor } in named {
        let outside = |what: &str| ReadError::TooLarge {
            path: path.into(),
            what: format!("`{name}` of shape {:?} {what}", tensor.shape),
        };
        let Some((n, end)) = extent(tensor) else {
            return Err(outside("has more values than can be counted"));
        };
        if end > tensor.storage.n {
            return Err(outside(&format!("goes beyond its storage of {} values", tensor.storage.n)));
        }
        if n > tensor.storage.n {
            return Err(outside(&format!("repeats the {} values of its storage", tensor.storage.n)));
        }
        total = total.saturating_add(n as u64);
        // A value has at least two bytes, and two names may share it.
        if total > n_bytes {
            return Err(outside(&format!(
                "and those before it have more values than fit in {n_bytes} bytes"
            )));
        }
    }
    Ok(())
}

/// The number of values of a tensor, and the end of the last one in its storage.
fn extent(tensor: &Tensor) -> Option<(usize, usize)> {
    let n = tensor.shape.iter().try_fold(1_usize, |n, length| n.checked_mul(*length))?;
    if n == 0 {
        return Some((0, tensor.offset));
    }
    let mut last = tensor.offset;
    for (length, stride) in tensor.shape.iter().zip(&tensor.strides) {
        last = last.checked_add((length - 1).checked_mul(*stride)?)?;
    }
    Some((n, last.checked_add(1)?))
}

/// The bytes of the values of `tensor`, in order; `None` if they are already contiguous.
fn gathered(tensor: &Tensor, n_bytes: usize, bytes: &[u8]) -> Option<Vec<u8>> {
    // Beside an axis of length 0, others can have any length.
    if tensor.shape.contains(&0) {
        return None;
    }
    let mut expected = 1;
    let in_order = tensor.shape.iter().zip(&tensor.strides).rev().all(|(length, stride)| {
        let fits = *length == 1 || *stride == expected;
        expected *= length;
        fits
    });
    if in_order {
        return None;
    }
    let n: usize = tensor.shape.iter().product();
    let mut gathered = Vec::with_capacity(n * n_bytes);
    for i in 0..n {
        let (mut rest, mut place) = (i, tensor.offset);
        for (length, stride) in tensor.shape.iter().zip(&tensor.strides).rev() {
            place += rest % length * stride;
            rest /= length;
        }
        gathered.extend_from_slice(&bytes[place * n_bytes..][..n_bytes]);
    }
    Some(gathered)
}

/// Converts an error of a pickle to an error of its file.
pub(super) fn refused(path: &Path) -> impl FnOnce(PickleError) -> ReadError {
    let path = path.to_owned();
    move |error| match error {
        PickleError::Io(reason) => ReadError::io(&path)(reason),
        PickleError::Code(global) => ReadError::Code { path, global },
        PickleError::Malformed(reason) => ReadError::Damaged { path, reason },
        PickleError::TooLarge(what) => ReadError::TooLarge { path, what: what.into() },
    }
}

/// The length of the values of `storage`, if they fit into a file of `n_bytes`.
pub(super) fn length(path: &Path, storage: &Storage, n_bytes: u64) -> Result<usize, ReadError> {
    match storage.n.checked_mul(storage.of.n_bytes()) {
        Some(length) if length as u64 <= n_bytes => Ok(length),
        _ => Err(ReadError::TooLarge {
            path: path.into(),
            what: format!(
                "storage `{}` would have {} values in a file of {n_bytes} bytes",
                storage.key, storage.n
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use run_store::checkpoint::Stored;

    use super::*;
    use crate::file::{Dtype, Floats};

    fn tensor(n: usize, offset: usize, shape: &[usize], strides: &[usize]) -> Tensor {
        let of = StorageType::Known(Dtype::Floats(Floats::F32));
        let storage = Storage { of, key: "0".into(), n };
        Tensor { storage, offset, shape: shape.to_vec(), strides: strides.to_vec() }
    }

    struct Counted(usize);

    impl Storages for Counted {
        fn bytes(&mut self, _: &Storage) -> Result<Vec<u8>, ReadError> {
            Ok((0..self.0).flat_map(|i| (i as f32).to_le_bytes()).collect())
        }
    }

    fn read(tensor: &Tensor) -> Result<Tensors, String> {
        let named = [Named { name: "x", tensor }];
        read_all(Path::new("f"), &named, 1000, &mut Counted(tensor.storage.n))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn views_are_read_in_the_order_of_their_axes() {
        let x = |tensor| match read(&tensor).unwrap().remove("x") {
            Some(Stored::F32 { values, .. }) => values,
            other => panic!("{other:?}"),
        };
        assert_eq!(x(tensor(6, 1, &[2, 2], &[2, 1])), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(x(tensor(6, 0, &[3, 2], &[1, 3])), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(x(tensor(6, 5, &[], &[])), [5.0]);
        assert_eq!(x(tensor(6, 6, &[0], &[1])), [0.0; 0]);
        assert_eq!(x(tensor(6, 6, &[0, usize::MAX, 9], &[1, 1, 1])), [0.0; 0]);
    }

    #[test]
    fn tensors_that_claim_too_much_are_refused() {
        let told = |tensor| read(&tensor).unwrap_err();
        let start = "`f` claims an impossible size: `x` of shape";
        assert_eq!(
            told(tensor(6, 3, &[4], &[1])),
            format!("{start} [4] goes beyond its storage of 6 values")
        );
        assert_eq!(
            told(tensor(6, 0, &[9], &[0])),
            format!("{start} [9] repeats the 6 values of its storage")
        );
        let huge = usize::MAX / 2;
        assert!(told(tensor(6, 0, &[huge, 3], &[0, 0])).ends_with("has more values than can be counted"));
        assert!(told(tensor(6, 0, &[2], &[huge])).ends_with("goes beyond its storage of 6 values"));
        assert!(told(tensor(2000, 0, &[1500], &[1])).ends_with("more values than fit in 1000 bytes"));
        let storage = tensor(usize::MAX, 0, &[1], &[1]).storage;
        assert!(length(Path::new("f"), &storage, 1000).is_err());
    }
}
