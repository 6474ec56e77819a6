//! Pickles, well formed and not.

use super::*;

fn read(mut bytes: &[u8]) -> Outcome<(Arena, Id)> {
    read_pickle(&mut bytes)
}

fn told(bytes: &[u8]) -> String {
    match read(bytes).unwrap_err() {
        PickleError::Io(error) => error.kind().to_string(),
        PickleError::Code(global) => format!("code: {global}"),
        PickleError::Malformed(reason) => reason,
        PickleError::TooLarge(what) => format!("too large: {what}"),
    }
}

#[test]
fn plain_values_are_read() {
    // pickle.dumps({"a": [1, -2, 300, 70000, 1.5, None, True], "b": (b"x",)}, 3)
    let bytes =
        b"\x80\x03}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01J\xfe\xff\xff\xffM,\x01Jp\x11\x01\x00G?\xf8\
                  \x00\x00\x00\x00\x00\x00N\x88eX\x01\x00\x00\x00bq\x03C\x01xq\x04\x85q\x05u.";
    let (arena, result) = read(bytes).unwrap();
    let Value::Dict(items) = &arena[result] else { panic!("{arena:?}") };
    let [(a, list), (b, tuple)] = items[..] else { panic!("{arena:?}") };
    assert_eq!((&arena[a], &arena[b]), (&Value::Text("a".into()), &Value::Text("b".into())));
    let Value::List(list) = &arena[list] else { panic!("{arena:?}") };
    let list: Vec<&Value> = list.iter().map(|item| &arena[*item]).collect();
    let int = Value::Int;
    let expected = [int(1), int(-2), int(300), int(70000), Value::Float(1.5), Value::None, Value::Bool(true)];
    assert_eq!(list, expected.iter().collect::<Vec<_>>());
    let Value::Tuple(tuple) = &arena[tuple] else { panic!("{arena:?}") };
    assert_eq!(arena[tuple[0]], Value::Bytes(b"x".to_vec()));
}

#[test]
fn integers_of_any_length_have_their_sign() {
    assert_eq!(long(vec![]), Value::Int(0));
    assert_eq!(long(vec![0xff]), Value::Int(-1));
    assert_eq!(long(vec![0xff, 0x00]), Value::Int(255));
    assert_eq!(long(vec![1; 9]), Value::Long(vec![1; 9]));
}

#[test]
fn code_is_refused_by_its_name() {
    // What `__reduce__` returning `(os.system, ("true",))` gives, with protocols 2 and 4.
    assert_eq!(told(b"\x80\x02cposix\nsystem\nq\x00X\x04\x00\x00\x00true\x85Rq\x02."), "code: posix.system");
    let bytes = b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x04true\x94\x85\x94R\x94.";
    assert_eq!(told(bytes), "code: posix.system");
    assert_eq!(told(b"\x80\x02c__builtin__\neval\n."), "code: __builtin__.eval");
}

#[test]
fn a_machine_that_is_misled_says_so_and_does_not_panic() {
    for (bytes, expected) in [
        (&b"\x80\x02"[..], "unexpected end of file"),
        (b".", "it pops from an empty stack"),
        (b"(.", "it pops from an empty stack"),
        (b"N(\x85.", "it pops from an empty stack"),
        (b"t.", "it uses a mark that does not exist"),
        (b"}(NNNu.", "a key has no value"),
        (b"NNa.", "it appends to something that is not a list"),
        (b"NNNs.", "it sets an item of something that is not a dictionary"),
        (b"h\x05.", "it reads a memo entry that does not exist"),
        (b"N)R.", "it calls something that is not a function"),
        (b"ccollections\nOrderedDict\nNR.", "the arguments of a call are not a tuple"),
        (b"ctorch\nSize\n)R.", "a call has other arguments than those of `torch.save`"),
        (b"NQ.", "the name of a storage is not a tuple"),
        (b")Q.", "the name of a storage is not one of `torch.save`"),
        (b"i", "opcode 0x69 is not used by `torch.save`"),
        (b"X\xff\xff\xff\xffab", "unexpected end of file"),
        (b"X\x01\x00\x00\x00\xff.", "a string is not UTF-8"),
    ] {
        assert_eq!(told(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn values_without_end_are_cut_off() {
    let mut endless = io::repeat(b']');
    assert!(matches!(read_pickle(&mut endless), Err(PickleError::TooLarge(_))));
    let mut text = b"X\xff\xff\xff\xff".chain(io::repeat(b'x'));
    assert!(matches!(read_pickle(&mut text), Err(PickleError::TooLarge(_))));
}
