//! Parses a pickle without executing it.
//!
//! A pickle is a program for a stack machine. Some of its instructions look up functions and classes by name, and others
//! call them. Here, a short list of names has a meaning, see [`Global`], and their effect is implemented in this crate. Any
//! other name becomes an [inert](Value::Inert) value, and so does every call of it: nothing is looked up, nothing is called.
//! What depends on such a value is refused when it is wanted. Existing pickle libraries do not support persistent names,
//! which PyTorch uses for storages.

mod calls;
mod input;
mod stack;

use std::collections::HashMap;
use std::io::{self, Read};
use std::rc::Rc;

use super::opcode::*;
use super::value::{Arena, Global, Id, Storage, Tensor, Value};

/// Why a pickle cannot be read.
#[derive(Debug)]
pub(super) enum PickleError {
    Io(io::Error),
    /// It is not what `torch.save` writes.
    Malformed(String),
    /// It is larger than that of any weight file.
    TooLarge(&'static str),
}

impl From<io::Error> for PickleError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

type Outcome<T> = Result<T, PickleError>;

/// No pickle of weights has more bytes: that of a ResNet-50 with its optimizer has 100 kB.
const MOST_BYTES: u64 = 64 << 20;
/// No pickle of weights has more values, or more on its stack.
const MOST_VALUES: usize = 2 << 20;
/// Every pickle may have as many. A longer one may have one more for every two of its bytes: names and numbers take more than
/// that, and what takes less is made to be large.
const ALWAYS_VALUES: usize = 1 << 16;
/// What a storage or a tensor takes, in units of a value, beside its axes.
const TENSOR_VALUES: usize = 4;
/// Axes of a tensor; PyTorch's own limit is 64.
const MOST_AXES: usize = 64;
/// Letters of a name.
const MOST_LETTERS: usize = 1024;

/// Parses one pickle from `reader`, up to its end and no further. Returns its values and the place of the result.
pub(super) fn read_pickle(reader: &mut impl Read) -> Outcome<(Arena, Id)> {
    let mut machine = Machine {
        reader: reader.take(MOST_BYTES),
        arena: Arena::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        names: HashMap::new(),
        n_spent: 0,
    };
    loop {
        let opcode = machine.byte()?;
        if opcode == STOP {
            let result = machine.pop()?;
            return Ok((machine.arena, result));
        }
        machine.step(opcode)?;
    }
}

struct Machine<R> {
    reader: io::Take<R>,
    arena: Arena,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// Names of inert values, each kept once.
    names: HashMap<String, Rc<str>>,
    /// What values take, in units of a value: a few instructions can ask for much memory.
    n_spent: usize,
}

impl<R: Read> Machine<R> {
    fn step(&mut self, opcode: u8) -> Outcome<()> {
        match opcode {
            PROTO => drop(self.byte()?),
            FRAME => drop(self.bytes(8)?),
            MARK => self.mark()?,
            POP => self.pop_any()?,
            POP_MARK => drop(self.pop_mark()?),
            DUP => {
                let top = self.top()?;
                self.place(top)?;
            }
            BINPUT | LONG_BINPUT | PUT | MEMOIZE => {
                let place = match opcode {
                    BINPUT => self.byte()?.into(),
                    LONG_BINPUT => u32::from_le_bytes(self.array()?),
                    PUT => self.place_in_memo()?,
                    _ => u32::try_from(self.memo.len()).map_err(|_| PickleError::TooLarge("its memo"))?,
                };
                self.memoize(place)?;
            }
            BINGET | LONG_BINGET | GET => {
                let place = match opcode {
                    BINGET => self.byte()?.into(),
                    LONG_BINGET => u32::from_le_bytes(self.array()?),
                    _ => self.place_in_memo()?,
                };
                self.recall(place)?;
            }
            NONE => self.push(Value::None)?,
            NEWTRUE => self.push(Value::Bool(true))?,
            NEWFALSE => self.push(Value::Bool(false))?,
            INT | BININT | BININT1 | BININT2 | LONG | LONG1 | LONG4 | FLOAT | BINFLOAT => {
                let number = self.number(opcode)?;
                self.push(number)?;
            }
            STRING | BINSTRING | SHORT_BINSTRING | UNICODE | BINUNICODE | SHORT_BINUNICODE | BINUNICODE8
            | BINBYTES | SHORT_BINBYTES | BINBYTES8 | BYTEARRAY8 => {
                let string = self.string(opcode)?;
                self.push(string)?;
            }
            EMPTY_DICT => self.push(Value::Dict(Vec::new()))?,
            EMPTY_LIST | EMPTY_SET => self.push(Value::List(Vec::new()))?,
            EMPTY_TUPLE => self.push(Value::Tuple(Vec::new()))?,
            TUPLE | FROZENSET => {
                let items = self.pop_mark()?;
                self.push(Value::Tuple(items))?;
            }
            TUPLE1 | TUPLE2 | TUPLE3 => {
                let n = usize::from(opcode - TUPLE1) + 1;
                let start = self.floor(n)?;
                let items = self.stack.split_off(start);
                self.push(Value::Tuple(items))?;
            }
            LIST => {
                let items = self.pop_mark()?;
                self.push(Value::List(items))?;
            }
            DICT => {
                let pairs = self.pop_pairs()?;
                self.push(Value::Dict(pairs))?;
            }
            APPEND => {
                let item = self.pop()?;
                self.extend_list(vec![item])?;
            }
            APPENDS | ADDITEMS => {
                let items = self.pop_mark()?;
                self.extend_list(items)?;
            }
            SETITEM => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.extend_dict(vec![(key, value)])?;
            }
            SETITEMS => {
                let pairs = self.pop_pairs()?;
                self.extend_dict(pairs)?;
            }
            GLOBAL => {
                let (module, name) = (self.name()?, self.name()?);
                let global = self.global(&module, &name)?;
                self.push(global)?;
            }
            STACK_GLOBAL => self.stack_global()?,
            REDUCE | NEWOBJ => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                self.called(function, arguments)?;
            }
            NEWOBJ_EX => {
                let (_named, arguments, class) = (self.pop()?, self.pop()?, self.pop()?);
                self.called(class, arguments)?;
            }
            OBJ | INST => self.instance(opcode)?,
            EXT1 | EXT2 | EXT4 => {
                self.bytes(1 << (opcode - EXT1))?;
                self.push_inert("copyreg", "extension")?;
            }
            PERSID => {
                self.name()?;
                self.push_inert("pickle", "persistent_load")?;
            }
            BINPERSID => self.persistent()?,
            NEXT_BUFFER => self.push_inert("pickle", "PickleBuffer")?,
            READONLY_BUFFER => drop(self.top()?),
            BUILD => self.build()?,
            other => return Err(malformed(format!("there is no opcode {other:#04x}"))),
        }
        Ok(())
    }
}

fn malformed(reason: impl Into<String>) -> PickleError {
    PickleError::Malformed(reason.into())
}

#[cfg(test)]
mod tests;
