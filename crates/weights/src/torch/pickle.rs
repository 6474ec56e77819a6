//! Parses a pickle without executing it.
//!
//! A pickle is a program for a stack machine. Two of its instructions call functions by name. Here, these names are
//! looked up in a short list, see [`Global`], and their effect is implemented in this crate; any other name is an
//! error. Existing pickle libraries do not support persistent names, which PyTorch uses for storages.

mod input;

use std::collections::HashMap;
use std::io::{self, Read};

use super::opcode::*;
use super::value::{Arena, Global, Id, Storage, Tensor, Value};

/// Why a pickle cannot be read.
#[derive(Debug)]
pub(super) enum PickleError {
    Io(io::Error),
    /// It refers to a name that is not on the list.
    Code(String),
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
/// No pickle of weights has more values.
const MOST_VALUES: usize = 4 << 20;
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
        n_pairs: 0,
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

/// The result of a call.
enum Called {
    New(Value),
    /// One of its arguments.
    Argument(Id),
}

struct Machine<R> {
    reader: io::Take<R>,
    arena: Arena,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// Pairs copied from lists to dictionaries.
    n_pairs: usize,
}

impl<R: Read> Machine<R> {
    fn step(&mut self, opcode: u8) -> Outcome<()> {
        match opcode {
            PROTO => drop(self.byte()?),
            FRAME => drop(self.bytes(8)?),
            MARK => self.marks.push(self.stack.len()),
            NONE => self.push(Value::None)?,
            NEWTRUE => self.push(Value::Bool(true))?,
            NEWFALSE => self.push(Value::Bool(false))?,
            BININT => {
                let value = i32::from_le_bytes(self.array()?);
                self.push(Value::Int(value.into()))?;
            }
            BININT1 => {
                let value = self.byte()?;
                self.push(Value::Int(value.into()))?;
            }
            BININT2 => {
                let value = u16::from_le_bytes(self.array()?);
                self.push(Value::Int(value.into()))?;
            }
            LONG1 => {
                let n = self.byte()?;
                let bytes = self.bytes(n.into())?;
                self.push(long(bytes))?;
            }
            BINFLOAT => {
                let value = f64::from_be_bytes(self.array()?);
                self.push(Value::Float(value))?;
            }
            BINUNICODE | BINSTRING => {
                let n = u32::from_le_bytes(self.array()?);
                self.text(n.into())?;
            }
            SHORT_BINUNICODE | SHORT_BINSTRING => {
                let n = self.byte()?;
                self.text(n.into())?;
            }
            BINBYTES => {
                let n = u32::from_le_bytes(self.array()?);
                let bytes = self.bytes(n.into())?;
                self.push(Value::Bytes(bytes))?;
            }
            SHORT_BINBYTES => {
                let n = self.byte()?;
                let bytes = self.bytes(n.into())?;
                self.push(Value::Bytes(bytes))?;
            }
            EMPTY_DICT => self.push(Value::Dict(Vec::new()))?,
            EMPTY_LIST => self.push(Value::List(Vec::new()))?,
            EMPTY_TUPLE => self.push(Value::Tuple(Vec::new()))?,
            TUPLE => {
                let items = self.pop_mark()?;
                self.push(Value::Tuple(items))?;
            }
            TUPLE1 | TUPLE2 | TUPLE3 => {
                let n = usize::from(opcode - TUPLE1) + 1;
                let start = self.floor(n)?;
                let items = self.stack.split_off(start);
                self.push(Value::Tuple(items))?;
            }
            APPEND => {
                let item = self.pop()?;
                self.list()?.push(item);
            }
            APPENDS => {
                let items = self.pop_mark()?;
                self.list()?.extend(items);
            }
            SETITEM => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.dict()?.push((key, value));
            }
            SETITEMS => {
                let items = self.pop_mark()?;
                let (pairs, rest) = items.as_chunks();
                if !rest.is_empty() {
                    return Err(malformed("a key has no value"));
                }
                let pairs: Vec<(Id, Id)> = pairs.iter().map(|[key, value]| (*key, *value)).collect();
                self.dict()?.extend(pairs);
            }
            BINPUT => {
                let place = self.byte()?;
                self.memoize(place.into())?;
            }
            LONG_BINPUT => {
                let place = u32::from_le_bytes(self.array()?);
                self.memoize(place)?;
            }
            MEMOIZE => {
                let place = u32::try_from(self.memo.len()).map_err(|_| PickleError::TooLarge("its memo"))?;
                self.memoize(place)?;
            }
            BINGET => {
                let place = self.byte()?;
                self.recall(place.into())?;
            }
            LONG_BINGET => {
                let place = u32::from_le_bytes(self.array()?);
                self.recall(place)?;
            }
            GLOBAL => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(&module, &name)?;
            }
            STACK_GLOBAL => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (&self.arena[module], &self.arena[name]) {
                    (Value::Text(module), Value::Text(name)) => {
                        let (module, name) = (module.clone(), name.clone());
                        self.global(&module, &name)?;
                    }
                    _ => return Err(malformed("the name of a function is not a string")),
                }
            }
            BINPERSID => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.push(Value::Storage(storage))?;
            }
            REDUCE => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                match self.call(function, arguments)? {
                    Called::New(value) => self.push(value)?,
                    Called::Argument(id) => self.stack.push(id),
                }
            }
            // The only objects here are dictionaries; what is set on them beside their items, `_metadata`, has no use.
            BUILD => {
                self.pop()?;
                self.dict()?;
            }
            other => return Err(malformed(format!("opcode {other:#04x} is not used by `torch.save`"))),
        }
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Outcome<()> {
        match Global::find(module, name) {
            Some(global) => self.push(Value::Global(global)),
            None => Err(PickleError::Code(format!("{module}.{name}"))),
        }
    }

    /// The result of `function` for `arguments`.
    fn call(&mut self, function: Id, arguments: Id) -> Outcome<Called> {
        let Value::Global(function) = &self.arena[function] else {
            return Err(malformed("it calls something that is not a function"));
        };
        let Value::Tuple(arguments) = &self.arena[arguments] else {
            return Err(malformed("the arguments of a call are not a tuple"));
        };
        match (function, arguments.as_slice()) {
            (Global::OrderedDict, []) => Ok(Called::New(Value::Dict(Vec::new()))),
            (Global::OrderedDict, [pairs]) => {
                let pairs = self.pairs(*pairs)?;
                // One list can be given to many dictionaries.
                self.n_pairs += pairs.len();
                if self.n_pairs > MOST_VALUES {
                    return Err(PickleError::TooLarge("its pickle has millions of values"));
                }
                Ok(Called::New(Value::Dict(pairs)))
            }
            (Global::RebuildTensor, [storage, offset, shape, strides, ..]) => {
                let Value::Storage(storage) = &self.arena[*storage] else {
                    return Err(malformed("a tensor has no storage"));
                };
                let (shape, strides) = (self.lengths(*shape)?, self.lengths(*strides)?);
                if shape.len() != strides.len() {
                    return Err(malformed("a tensor has the wrong number of strides"));
                }
                let offset = self.length(*offset)?;
                Ok(Called::New(Value::Tensor(Tensor { storage: storage.clone(), offset, shape, strides })))
            }
            (Global::RebuildParameter, [tensor, ..]) => Ok(Called::Argument(*tensor)),
            (Global::Size, [lengths]) => Ok(Called::Argument(*lengths)),
            _ => Err(malformed("a call has other arguments than those of `torch.save`")),
        }
    }

    /// The items of a list of pairs.
    fn pairs(&self, list: Id) -> Outcome<Vec<(Id, Id)>> {
        let (Value::List(items) | Value::Tuple(items)) = &self.arena[list] else {
            return Err(malformed("a dictionary is made of something that is not a list"));
        };
        let pair = |item: &Id| match &self.arena[*item] {
            Value::List(pair) | Value::Tuple(pair) => match pair.as_slice() {
                [key, value] => Ok((*key, *value)),
                _ => Err(malformed("a key has no value")),
            },
            _ => Err(malformed("a key has no value")),
        };
        items.iter().map(pair).collect()
    }

    /// The storage that a persistent name means: `('storage', type, key, device, length)`.
    fn storage(&self, id: Id) -> Outcome<Storage> {
        let Value::Tuple(parts) = &self.arena[id] else {
            return Err(malformed("the name of a storage is not a tuple"));
        };
        let parts: Vec<&Value> = parts.iter().map(|part| &self.arena[*part]).collect();
        match parts.as_slice() {
            [
                Value::Text(kind),
                Value::Global(Global::StorageType(of)),
                Value::Text(key),
                _,
                Value::Int(n),
                rest @ ..,
            ] if kind == "storage" && key.len() <= MOST_LETTERS && matches!(rest, [] | [Value::None]) => {
                let n = usize::try_from(*n).map_err(|_| malformed("a storage has a negative length"))?;
                Ok(Storage { of: of.clone(), key: key.clone(), n })
            }
            _ => Err(malformed("the name of a storage is not one of `torch.save`")),
        }
    }

    fn lengths(&self, tuple: Id) -> Outcome<Vec<usize>> {
        match &self.arena[tuple] {
            Value::Tuple(items) if items.len() > MOST_AXES => {
                Err(malformed(format!("a tensor has {} axes", items.len())))
            }
            Value::Tuple(items) => items.iter().map(|item| self.length(*item)).collect(),
            _ => Err(malformed("the shape of a tensor is not a tuple")),
        }
    }

    fn length(&self, id: Id) -> Outcome<usize> {
        match &self.arena[id] {
            Value::Int(value) => usize::try_from(*value).map_err(|_| malformed("a length is negative")),
            _ => Err(malformed("a length is not a number")),
        }
    }

    fn push(&mut self, value: Value) -> Outcome<()> {
        if self.arena.len() == MOST_VALUES {
            return Err(PickleError::TooLarge("its pickle has millions of values"));
        }
        self.stack.push(self.arena.len());
        self.arena.push(value);
        Ok(())
    }

    /// Where the topmost `n` start, none of which may lie under a mark.
    fn floor(&self, n: usize) -> Outcome<usize> {
        let lowest = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(n) {
            Some(start) if start >= lowest => Ok(start),
            _ => Err(malformed("it pops from an empty stack")),
        }
    }

    fn pop(&mut self) -> Outcome<Id> {
        self.floor(1)?;
        Ok(self.stack.pop().expect("`floor` has found one"))
    }

    fn top(&self) -> Outcome<Id> {
        self.floor(1).map(|place| self.stack[place])
    }

    fn pop_mark(&mut self) -> Outcome<Vec<Id>> {
        let mark = self.marks.pop().ok_or_else(|| malformed("it uses a mark that does not exist"))?;
        Ok(self.stack.split_off(mark))
    }

    fn list(&mut self) -> Outcome<&mut Vec<Id>> {
        let top = self.top()?;
        match &mut self.arena[top] {
            Value::List(items) => Ok(items),
            _ => Err(malformed("it appends to something that is not a list")),
        }
    }

    fn dict(&mut self) -> Outcome<&mut Vec<(Id, Id)>> {
        let top = self.top()?;
        match &mut self.arena[top] {
            Value::Dict(items) => Ok(items),
            _ => Err(malformed("it sets an item of something that is not a dictionary")),
        }
    }

    fn memoize(&mut self, place: u32) -> Outcome<()> {
        let top = self.top()?;
        self.memo.insert(place, top);
        Ok(())
    }

    fn recall(&mut self, place: u32) -> Outcome<()> {
        let id =
            *self.memo.get(&place).ok_or_else(|| malformed("it reads a memo entry that does not exist"))?;
        self.stack.push(id);
        Ok(())
    }
}

fn malformed(reason: impl Into<String>) -> PickleError {
    PickleError::Malformed(reason.into())
}

/// An integer, little-endian and signed.
fn long(bytes: Vec<u8>) -> Value {
    if bytes.len() > 8 {
        return Value::Long(bytes);
    }
    let sign = if bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
    let mut all = [sign; 8];
    all[..bytes.len()].copy_from_slice(&bytes);
    Value::Int(i64::from_le_bytes(all))
}

#[cfg(test)]
mod tests;
