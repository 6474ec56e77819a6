//! Pickles, well formed and not.

use super::input::long;
use super::*;

fn read(mut bytes: &[u8]) -> Outcome<(Arena, Id)> {
    read_pickle(&mut bytes)
}

fn told(bytes: &[u8]) -> String {
    match read(bytes).unwrap_err() {
        PickleError::Io(error) => error.kind().to_string(),
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

/// The name that the result of a pickle depends on.
fn inert(bytes: &[u8]) -> String {
    let (arena, result) = read(bytes).unwrap();
    match &arena[result] {
        Value::Inert(name) => (**name).into(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn code_becomes_a_value_without_content_under_its_name() {
    // What `__reduce__` returning `(os.system, ("true",))` gives, with protocols 2 and 4.
    assert_eq!(inert(b"\x80\x02cposix\nsystem\nq\x00X\x04\x00\x00\x00true\x85Rq\x02."), "posix.system");
    let bytes = b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x04true\x94\x85\x94R\x94.";
    assert_eq!(inert(bytes), "posix.system");
    assert_eq!(inert(b"\x80\x02c__builtin__\neval\n."), "__builtin__.eval");
    for bytes in [
        // Called, built, filled, by the instructions of every protocol.
        &b"ca\nb\n)\x81}b."[..],
        b"ca\nb\n)}\x92(NNNNu.",
        b"(ca\nb\nNNo(NNe.",
        b"(NNia\nb\nNNs.",
        b"ca\nb\nNa(NN\x90.",
        b"ca\nb\n)R)R)\x81.",
        // An argument that a known call needs.
        b"ccollections\nOrderedDict\nca\nb\n)RR.",
        b"ccollections\nOrderedDict\n]ca\nb\n)Ra\x85R.",
        b"ctorch._utils\n_rebuild_parameter\nca\nb\n)R\x85R.",
        b"ctorch._utils\n_rebuild_tensor_v2\n(ca\nb\nK\x00))\x89NtR.",
        b"ctorch._tensor\n_rebuild_from_type_v2\n(ca\nb\nN)}tR.",
        // A storage of an unknown type.
        b"(X\x07\x00\x00\x00storageca\nb\nNNNtQ.",
    ] {
        assert_eq!(inert(bytes), "a.b", "{:?}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(inert(b"\x82\x01."), "copyreg.extension");
    assert_eq!(inert(b"P0\n."), "pickle.persistent_load");
    assert_eq!(inert(b"X\x06\x00\x00\x00module\x85Q."), "pickle.persistent_load");
    assert_eq!(inert(b"\x97\x98."), "pickle.PickleBuffer");
}

#[test]
fn protocol_0_and_the_containers_of_the_others_are_read() {
    let one = |bytes: &[u8]| {
        let (arena, result) = read(bytes).unwrap();
        arena[result].clone()
    };
    let text = |text: &str| Value::Text(text.into());
    assert_eq!(one(b"I01\n."), Value::Bool(true));
    assert_eq!(one(b"I-5\n."), Value::Int(-5));
    assert_eq!(one(b"L7L\n."), Value::Int(7));
    assert_eq!(one(b"F1.5\n."), Value::Float(1.5));
    assert_eq!(one(b"S'ab'\np0\n0g0\n."), text("ab"));
    assert_eq!(one(b"Vab\n."), text("ab"));
    assert_eq!(one(b"U\x01\xff."), Value::Bytes(vec![0xff]));
    assert_eq!(one(b"\x8d\x02\x00\x00\x00\x00\x00\x00\x00ab."), text("ab"));
    assert_eq!(one(b"\x96\x01\x00\x00\x00\x00\x00\x00\x00\xfe."), Value::Bytes(vec![0xfe]));
    assert_eq!(one(b"\x8b\x01\x00\x00\x00\xff."), Value::Int(-1));
    assert_eq!(one(b"N2(NN10."), Value::None);
    assert_eq!(one(b"(I1\nI2\nl."), Value::List(vec![0, 1]));
    assert_eq!(one(b"(I1\nI2\nd."), Value::Dict(vec![(0, 1)]));
    assert_eq!(one(b"\x8f(N\x90."), Value::List(vec![1]));
    assert_eq!(one(b"(N\x91."), Value::Tuple(vec![0]));
    // `defaultdict(list)`.
    assert_eq!(one(b"ccollections\ndefaultdict\ncbuiltins\nlist\n\x85R."), Value::Dict(vec![]));
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
        (b"\xff", "there is no opcode 0xff"),
        (b"(o", "an object has no class"),
        (b"(itorch\nSize\n", "an object has a class that has none"),
        (b"Iabc\n", "a number is not one"),
        (b"gx\n", "a memo entry is not a number"),
        (b"NNb", "it sets attributes of something that has none"),
        (b"1", "it uses a mark that does not exist"),
        (b"X\xff\xff\xff\xffab", "unexpected end of file"),
        (b"X\x01\x00\x00\x00\xff.", "a string is not UTF-8"),
    ] {
        assert_eq!(told(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn values_without_end_are_cut_off() {
    for byte in [b']', b'(', b'2', b'\x94', b'\x97'] {
        let mut endless = b"N".chain(io::repeat(byte));
        assert!(matches!(read_pickle(&mut endless), Err(PickleError::TooLarge(_))), "{byte:#04x}");
    }
    let mut text = b"X\xff\xff\xff\xff".chain(io::repeat(b'x'));
    assert!(matches!(read_pickle(&mut text), Err(PickleError::TooLarge(_))));
}

/// A string of the pickle's language.
fn text(text: &[u8]) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text].concat()
}

#[test]
fn what_is_asked_for_again_and_again_takes_no_memory_again_and_again() {
    let storage =
        [b"(", &text(b"storage")[..], b"ctorch\nFloatStorage\n", &text(&[b'k'; 1024]), &text(b"cpu")];
    let storage = [&storage.concat()[..], b"K\x0ct"].concat();
    // One storage, named ten thousand times by a key of 1,024 letters, which is kept once.
    let names = |n: usize| [&storage[..], b"q\x00", &b"h\x00Q0".repeat(n), b"N."].concat();
    assert!(told(&names(1_000_000)).starts_with("too large"), "names");
    let names = names(10_000);
    let (arena, _) = read(&names).unwrap();
    let keys = arena.iter().filter_map(|value| match value {
        Value::Storage(storage) => Some(Rc::as_ptr(&storage.key)),
        _ => None,
    });
    assert_eq!(keys.collect::<std::collections::HashSet<_>>().len(), 1);
    // Tensors of 64 axes, whose axes are counted.
    let axes = [b"(", &b"K\x01".repeat(64)[..], b"t"].concat();
    let arguments = [b"(", &storage[..], b"QK\x00", &axes, &axes, b"\x89Nt"].concat();
    let calls = [
        b"ctorch._utils\n_rebuild_tensor_v2\nq\x00",
        &arguments[..],
        b"q\x01",
        &b"h\x00h\x01R".repeat(40_000),
    ];
    assert!(told(&calls.concat()).starts_with("too large"), "axes");
    // Names made of every pair of a few long strings.
    let long = |i: u8| [&text(format!("{i:01000}").as_bytes())[..], &[b'q', i]].concat();
    let strings: Vec<u8> = (0..200).flat_map(long).collect();
    let pairs: Vec<u8> =
        (0..200).flat_map(|i| (0..200).flat_map(move |j| [b'h', i, b'h', j, 0x93])).collect();
    assert!(told(&[&strings[..], &pairs, b"."].concat()).starts_with("too large"), "pairs");
}
