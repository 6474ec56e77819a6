//! The values of tensors, from the storages of a file.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use run_store::checkpoint::Stored;

use super::contents::{Found, Item};
use super::kind::unsupported_kind;
use super::pickle::PickleError;
use super::value::{Storage, StorageType, Tensor};
use crate::ReadError;
use crate::file::{Source, check_room, decode};

/// Access to the bytes of storages.
pub(super) trait Storages {
    /// The bytes of `storage`, exactly as many as it says.
    fn bytes(&mut self, storage: &Storage) -> Result<Vec<u8>, ReadError>;
}

/// A file of `torch.save` whose pickle has been parsed.
pub(super) struct TorchFile<S> {
    pub(super) path: PathBuf,
    pub(super) items: Vec<Item>,
    pub(super) storages: S,
    /// The length of the file.
    pub(super) n_bytes: u64,
}

impl<S: Storages> Source for TorchFile<S> {
    fn name(&self, item: usize) -> Option<(&str, &str)> {
        self.items.get(item).map(|item| (&*item.place, &*item.name))
    }

    fn is_inert(&self, item: usize) -> bool {
        matches!(self.items[item].found, Found::Inert(_))
    }

    fn read(&mut self, wanted: &[usize]) -> Result<Vec<Stored>, ReadError> {
        let mut named = Vec::with_capacity(wanted.len());
        for item in wanted.iter().map(|item| &self.items[*item]) {
            match &item.found {
                Found::Tensor(tensor) => named.push(Named { name: &item.name, tensor }),
                Found::Inert(global) => {
                    let path = self.path.clone();
                    return Err(match unsupported_kind(global) {
                        Some(kind) => ReadError::Kind { path, tensor: (*item.name).into(), kind },
                        None => ReadError::Code { path, global: (**global).into() },
                    });
                }
            }
        }
        read_all(&self.path, &named, self.n_bytes, &mut self.storages)
    }
}

/// A tensor, and its name.
struct Named<'a> {
    name: &'a str,
    tensor: &'a Rc<Tensor>,
}

/// The values of `named`, in their order, from `storages`. `n_bytes` is the length of the file.
fn read_all(
    path: &Path,
    named: &[Named<'_>],
    n_bytes: u64,
    storages: &mut dyn Storages,
) -> Result<Vec<Stored>, ReadError> {
    check_sizes(path, named, n_bytes)?;
    // Each storage is read once, whatever the order of the names that share it.
    let mut order: Vec<usize> = (0..named.len()).collect();
    let key = |i: &usize| (&named[*i].tensor.storage.key, named[*i].tensor.storage.n);
    order.sort_by(|a, b| key(a).cmp(&key(b)));
    let mut all: Vec<Option<Stored>> = vec![None; named.len()];
    let mut last: Option<(&Storage, Vec<u8>)> = None;
    let mut n_read: u64 = 0;
    for i in order {
        let Named { name, tensor } = &named[i];
        let refused =
            |dtype: &str| ReadError::Dtype { path: path.into(), tensor: (*name).into(), dtype: dtype.into() };
        let dtype = match &tensor.storage.of {
            StorageType::Known(dtype) => *dtype,
            StorageType::Other(dtype, _) => return Err(refused(dtype)),
        };
        let bytes = match last.take() {
            Some((storage, bytes)) if *storage == *tensor.storage => bytes,
            _ => {
                let bytes = storages.bytes(&tensor.storage)?;
                n_read = n_read.saturating_add(bytes.len() as u64);
                if n_read > n_bytes {
                    let what = "its storages have more values than it has bytes for".into();
                    return Err(ReadError::TooLarge { path: path.into(), what });
                }
                bytes
            }
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
        all[i] = Some(stored);
    }
    Ok(all.into_iter().flatten().collect())
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
            return Err(ReadError::Repeats {
                path: path.into(),
                tensor: (*name).into(),
                shape: tensor.shape.clone(),
                n_values: tensor.storage.n,
            });
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
        PickleError::Malformed(reason) => ReadError::Damaged { path, reason },
        PickleError::TooLarge(what) => ReadError::TooLarge { path, what: what.into() },
    }
}

/// Room for `n` bytes.
pub(super) fn room(path: &Path, n: usize) -> Result<Vec<u8>, ReadError> {
    check_room(path, n as u64)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(n).map_err(|_| ReadError::io(path)(std::io::ErrorKind::OutOfMemory.into()))?;
    Ok(bytes)
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
    use super::*;
    use crate::file::{Dtype, Floats};

    fn tensor(n: usize, offset: usize, shape: &[usize], strides: &[usize]) -> Tensor {
        let of = StorageType::Known(Dtype::Floats(Floats::F32));
        let storage = Rc::new(Storage { of, key: "0".into(), n });
        Tensor { storage, offset, shape: shape.to_vec(), strides: strides.to_vec() }
    }

    struct Counted(usize);

    impl Storages for Counted {
        fn bytes(&mut self, _: &Storage) -> Result<Vec<u8>, ReadError> {
            Ok((0..self.0).flat_map(|i| (i as f32).to_le_bytes()).collect())
        }
    }

    fn read(tensor: &Tensor) -> Result<Vec<Stored>, String> {
        let named = [Named { name: "x", tensor: &Rc::new(tensor.clone()) }];
        read_all(Path::new("f"), &named, 1000, &mut Counted(tensor.storage.n))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn views_are_read_in_the_order_of_their_axes() {
        let x = |tensor| match read(&tensor).unwrap().pop() {
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
    fn a_storage_is_read_once_whatever_the_order_of_the_names_in_it() {
        struct Calls(usize);
        impl Storages for Calls {
            fn bytes(&mut self, storage: &Storage) -> Result<Vec<u8>, ReadError> {
                self.0 += 1;
                let first: f32 = storage.key.parse().unwrap();
                Ok((0..storage.n).flat_map(|i| (first + i as f32).to_le_bytes()).collect())
            }
        }
        let of_key = |key: &str, n: usize, offset: usize| {
            let tensor = tensor(n, offset, &[1], &[1]);
            let storage = Storage { key: key.into(), ..(*tensor.storage).clone() };
            Rc::new(Tensor { storage: Rc::new(storage), ..tensor })
        };
        let tensors: Vec<Rc<Tensor>> =
            (0..20).map(|i| of_key(if i % 2 == 0 { "10" } else { "20" }, 10, i / 2)).collect();
        let named: Vec<Named<'_>> = tensors.iter().map(|tensor| Named { name: "x", tensor }).collect();
        let mut calls = Calls(0);
        let values = read_all(Path::new("f"), &named, 1000, &mut calls).unwrap();
        let first = |stored: &Stored| match stored {
            Stored::F32 { values, .. } => values[0],
            Stored::U64(_) => panic!("a count"),
        };
        assert_eq!(values.iter().take(4).map(first).collect::<Vec<_>>(), [10.0, 20.0, 11.0, 21.0]);
        assert_eq!(calls.0, 2);
        // Under one key, but of another length each time.
        let tensors: Vec<Rc<Tensor>> = (1..100).map(|n| of_key("0", n, 0)).collect();
        let named: Vec<Named<'_>> = tensors.iter().map(|tensor| Named { name: "x", tensor }).collect();
        let error = read_all(Path::new("f"), &named, 1000, &mut Calls(0)).unwrap_err();
        assert!(matches!(error, ReadError::TooLarge { .. }), "{error}");
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
            "`f`: `x` of shape [9] repeats the 6 values of its storage, as `tensor.expand` makes it"
        );
        let huge = usize::MAX / 2;
        assert!(told(tensor(6, 0, &[huge, 3], &[0, 0])).ends_with("has more values than can be counted"));
        assert!(told(tensor(6, 0, &[2], &[huge])).ends_with("goes beyond its storage of 6 values"));
        assert!(told(tensor(2000, 0, &[1500], &[1])).ends_with("more values than fit in 1000 bytes"));
        let storage = tensor(usize::MAX, 0, &[1], &[1]).storage;
        assert!(length(Path::new("f"), &storage, 1000).is_err());
    }
}
