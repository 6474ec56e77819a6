//! The values of a PyTorch pickle.

use std::rc::Rc;

use crate::file::{Counts, Dtype, Floats};

/// The index of a value in its [`Arena`].
pub(super) type Id = usize;

/// All values of a pickle. Containers refer to their items by index, so that shared and circular ones cost nothing.
pub(super) type Arena = Vec<Value>;

/// One value. A copy of it takes no memory beyond its own few bytes, because a pickle can ask for millions of copies.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// An integer of more than 64 bits, little-endian.
    Long(Vec<u8>),
    Float(f64),
    Text(Rc<str>),
    Bytes(Vec<u8>),
    Tuple(Vec<Id>),
    /// A list or a set.
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage(Rc<Storage>),
    Tensor(Rc<Tensor>),
    /// Something that Python would look up by this name, or the result of calling it, or of a call with it. It is not
    /// known here, has no value, and takes in whatever is added to it.
    Inert(Rc<str>),
}

/// The names that have a meaning here. All others are [inert](Value::Inert).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Global {
    /// `collections.OrderedDict`.
    Dict,
    /// `collections.defaultdict`.
    DefaultDict,
    /// `torch._utils._rebuild_tensor_v2`.
    RebuildTensor,
    /// `torch._utils._rebuild_parameter`.
    RebuildParameter,
    /// `torch._tensor._rebuild_from_type_v2`: a tensor with attributes of its own.
    RebuildFromType,
    /// `torch.Size`.
    Size,
    /// `torch.FloatStorage` and its like.
    StorageType(StorageType),
}

/// The data type of a storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StorageType {
    /// A supported type.
    Known(Dtype),
    /// An unsupported type, by its name, with its bytes per value.
    Other(&'static str, usize),
}

impl StorageType {
    /// Bytes per value.
    pub(super) fn n_bytes(&self) -> usize {
        match self {
            Self::Known(dtype) => dtype.n_bytes(),
            Self::Other(_, n_bytes) => *n_bytes,
        }
    }
}

impl Global {
    /// The global called `module.name`; `None` if it is not on the list.
    pub(super) fn find(module: &str, name: &str) -> Option<Self> {
        let storage = |dtype| Some(Self::StorageType(StorageType::Known(dtype)));
        let other = |name, n_bytes| Some(Self::StorageType(StorageType::Other(name, n_bytes)));
        match (module, name) {
            ("collections", "OrderedDict") => Some(Self::Dict),
            ("collections", "defaultdict") => Some(Self::DefaultDict),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Self::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Self::RebuildParameter),
            ("torch._tensor", "_rebuild_from_type_v2") => Some(Self::RebuildFromType),
            ("torch", "Size") => Some(Self::Size),
            ("torch", "FloatStorage") => storage(Dtype::Floats(Floats::F32)),
            ("torch", "HalfStorage") => storage(Dtype::Floats(Floats::F16)),
            ("torch", "BFloat16Storage") => storage(Dtype::Floats(Floats::Bf16)),
            ("torch", "LongStorage") => storage(Dtype::Counts(Counts::I64)),
            ("torch", "DoubleStorage") => other("float64", 8),
            ("torch", "IntStorage") => other("int32", 4),
            ("torch", "ShortStorage") => other("int16", 2),
            ("torch", "CharStorage") => other("int8", 1),
            ("torch", "ByteStorage") => other("uint8", 1),
            ("torch", "BoolStorage") => other("bool", 1),
            ("torch", "ComplexFloatStorage") => other("complex64", 8),
            ("torch", "ComplexDoubleStorage") => other("complex128", 16),
            _ => None,
        }
    }
}

/// Memory that tensors refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Storage {
    pub(super) of: StorageType,
    pub(super) key: Rc<str>,
    /// Values in it.
    pub(super) n: usize,
}

/// A view of a storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tensor {
    pub(super) storage: Rc<Storage>,
    /// The offset of its first value.
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    /// The strides of its axes, in values.
    pub(super) strides: Vec<usize>,
}
