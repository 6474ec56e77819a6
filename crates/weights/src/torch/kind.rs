//! Kinds of tensors that are not read, by the function of PyTorch that makes them.

/// What the function `global` makes, if it is a tensor.
pub(super) fn unsupported_kind(global: &str) -> Option<&'static str> {
    Some(match global.strip_prefix("torch._utils._rebuild_")? {
        "sparse_tensor" | "sparse_csr_tensor" => "a sparse tensor",
        "qtensor" => "a quantized tensor",
        "tensor_v3" => "a tensor of float8 or another type without a storage of its own",
        "nested_tensor" => "a nested tensor",
        "meta_tensor_no_storage" => "a tensor without values, of the device `meta`",
        "wrapper_subclass" => "a tensor of a class of its own",
        _ => "a tensor of a special kind",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_functions_that_make_tensors_are_kinds() {
        assert_eq!(unsupported_kind("torch._utils._rebuild_sparse_tensor"), Some("a sparse tensor"));
        assert_eq!(unsupported_kind("torch._utils._rebuild_later"), Some("a tensor of a special kind"));
        assert_eq!(unsupported_kind("posix.system"), None);
        assert_eq!(unsupported_kind("torch.nn.modules.linear.Linear"), None);
    }
}
