//! Names and calls: the effect of the few that are known, and inert values for all others.

use super::*;

/// The result of a call.
enum Called {
    New(Value),
    /// One of its arguments.
    Argument(Id),
}

/// Why a call gives nothing.
enum Failed {
    /// An argument that it needs is inert, or made from this name.
    Inert(Rc<str>),
    Pickle(PickleError),
}

impl From<PickleError> for Failed {
    fn from(error: PickleError) -> Self {
        Self::Pickle(error)
    }
}

impl<R: Read> Machine<R> {
    /// What `module.name` stands for.
    pub(super) fn global(&mut self, module: &str, name: &str) -> Outcome<Value> {
        match Global::find(module, name) {
            Some(global) => Ok(Value::Global(global)),
            None => self.inert(module, name),
        }
    }

    fn inert(&mut self, module: &str, name: &str) -> Outcome<Value> {
        if module.len().max(name.len()) > MOST_LETTERS {
            return Err(malformed("a name has more than 1,024 letters"));
        }
        let whole = format!("{module}.{name}");
        if let Some(known) = self.names.get(&whole) {
            return Ok(Value::Inert(known.clone()));
        }
        // Kept twice. Many pairs can be made of a few long strings.
        self.spend(1 + whole.len() / 8)?;
        let name: Rc<str> = whole.as_str().into();
        self.names.insert(whole, name.clone());
        Ok(Value::Inert(name))
    }

    pub(super) fn push_inert(&mut self, module: &str, name: &str) -> Outcome<()> {
        let inert = self.inert(module, name)?;
        self.push(inert)
    }

    pub(super) fn stack_global(&mut self) -> Outcome<()> {
        let (name, module) = (self.pop()?, self.pop()?);
        let (Value::Text(module), Value::Text(name)) = (&self.arena[module], &self.arena[name]) else {
            return Err(malformed("the name of a function is not a string"));
        };
        let (module, name) = (module.clone(), name.clone());
        let global = self.global(&module, &name)?;
        self.push(global)
    }

    /// Puts the result of `function` for `arguments` on the stack.
    pub(super) fn called(&mut self, function: Id, arguments: Id) -> Outcome<()> {
        match self.call(function, arguments) {
            Ok(Called::New(value)) => self.push(value),
            Ok(Called::Argument(id)) => self.place(id),
            Err(Failed::Inert(name)) => self.push(Value::Inert(name)),
            Err(Failed::Pickle(error)) => Err(error),
        }
    }

    /// An object of a class, of what lies above the mark.
    pub(super) fn instance(&mut self, opcode: u8) -> Outcome<()> {
        let class = match opcode {
            INST => {
                let (module, name) = (self.name()?, self.name()?);
                self.pop_mark()?;
                self.global(&module, &name)?
            }
            _ => match self.pop_mark()?.first() {
                Some(class) => self.arena[*class].clone(),
                None => return Err(malformed("an object has no class")),
            },
        };
        match class {
            Value::Inert(_) => self.push(class),
            Value::Global(Global::Dict | Global::DefaultDict) => self.push(Value::Dict(Vec::new())),
            _ => Err(malformed("an object has a class that has none")),
        }
    }

    fn call(&mut self, function: Id, arguments: Id) -> Result<Called, Failed> {
        let function = match &self.arena[function] {
            Value::Global(function) => function.clone(),
            Value::Inert(name) => return Err(Failed::Inert(name.clone())),
            _ => return Err(malformed("it calls something that is not a function").into()),
        };
        let arguments = match &self.arena[arguments] {
            Value::Tuple(arguments) => arguments.as_slice(),
            Value::Inert(name) => return Err(Failed::Inert(name.clone())),
            _ => return Err(malformed("the arguments of a call are not a tuple").into()),
        };
        match (function, arguments) {
            (Global::Dict, []) => Ok(Called::New(Value::Dict(Vec::new()))),
            (Global::Dict, [items]) => {
                let pairs = self.pairs(*items)?;
                // One list can be given to many dictionaries.
                self.spend(pairs.len())?;
                Ok(Called::New(Value::Dict(pairs)))
            }
            // What follows is the default of its items, which are set later.
            (Global::DefaultDict, _) => Ok(Called::New(Value::Dict(Vec::new()))),
            (Global::RebuildTensor, &[storage, offset, shape, strides, ..]) => {
                let tensor = self.tensor(storage, offset, shape, strides)?;
                // One shape can be given to many tensors.
                self.spend(TENSOR_VALUES + 2 * tensor.shape.len())?;
                Ok(Called::New(Value::Tensor(Rc::new(tensor))))
            }
            (Global::RebuildParameter, [tensor, ..]) => Ok(Called::Argument(*tensor)),
            (Global::RebuildFromType, &[function, _, arguments, ..])
                if self.arena[function] != Value::Global(Global::RebuildFromType) =>
            {
                self.call(function, arguments)
            }
            (Global::Size, [lengths]) => Ok(Called::Argument(*lengths)),
            _ => Err(malformed("a call has other arguments than those of `torch.save`").into()),
        }
    }

    fn tensor(&self, storage: Id, offset: Id, shape: Id, strides: Id) -> Result<Tensor, Failed> {
        let storage = match &self.arena[storage] {
            Value::Storage(storage) => storage.clone(),
            Value::Inert(name) => return Err(Failed::Inert(name.clone())),
            _ => return Err(malformed("a tensor has no storage").into()),
        };
        let (shape, strides) = (self.lengths(shape)?, self.lengths(strides)?);
        if shape.len() != strides.len() {
            return Err(malformed("a tensor has the wrong number of strides").into());
        }
        Ok(Tensor { storage, offset: self.length(offset)?, shape, strides })
    }

    /// The items of a list of pairs.
    fn pairs(&self, list: Id) -> Result<Vec<(Id, Id)>, Failed> {
        let items = match &self.arena[list] {
            Value::List(items) | Value::Tuple(items) => items,
            Value::Inert(name) => return Err(Failed::Inert(name.clone())),
            _ => return Err(malformed("a dictionary is made of something that is not a list").into()),
        };
        let pair = |item: &Id| match &self.arena[*item] {
            Value::List(pair) | Value::Tuple(pair) => match pair.as_slice() {
                [key, value] => Ok((*key, *value)),
                _ => Err(malformed("a key has no value").into()),
            },
            Value::Inert(name) => Err(Failed::Inert(name.clone())),
            _ => Err(malformed("a key has no value").into()),
        };
        items.iter().map(pair).collect()
    }

    fn lengths(&self, tuple: Id) -> Result<Vec<usize>, Failed> {
        match &self.arena[tuple] {
            Value::Tuple(items) if items.len() > MOST_AXES => {
                Err(malformed(format!("a tensor has {} axes", items.len())).into())
            }
            Value::Tuple(items) => items.iter().map(|item| self.length(*item)).collect(),
            Value::Inert(name) => Err(Failed::Inert(name.clone())),
            _ => Err(malformed("the shape of a tensor is not a tuple").into()),
        }
    }

    fn length(&self, id: Id) -> Result<usize, Failed> {
        match &self.arena[id] {
            Value::Int(value) => {
                usize::try_from(*value).map_err(|_| malformed("a length is negative").into())
            }
            Value::Inert(name) => Err(Failed::Inert(name.clone())),
            _ => Err(malformed("a length is not a number").into()),
        }
    }

    /// Puts what a persistent name means on the stack: a storage, `('storage', type, key, device, length)`. Other names, and
    /// storages of unknown types, are inert.
    pub(super) fn persistent(&mut self) -> Outcome<()> {
        let id = self.pop()?;
        let Value::Tuple(parts) = &self.arena[id] else {
            return Err(malformed("the name of a storage is not a tuple"));
        };
        let parts: Vec<&Value> = parts.iter().take(MOST_AXES).map(|part| &self.arena[*part]).collect();
        match parts.as_slice() {
            [
                Value::Text(kind),
                Value::Global(Global::StorageType(of)),
                Value::Text(key),
                _,
                Value::Int(n),
                rest @ ..,
            ] if &**kind == "storage" && key.len() <= MOST_LETTERS && matches!(rest, [] | [Value::None]) => {
                let n = usize::try_from(*n).map_err(|_| malformed("a storage has a negative length"))?;
                let (of, key) = (of.clone(), key.clone());
                self.spend(TENSOR_VALUES)?;
                let storage = Storage { of, key, n };
                self.push(Value::Storage(Rc::new(storage)))
            }
            [Value::Text(kind), Value::Inert(name), ..] if &**kind == "storage" => {
                let name = name.clone();
                self.push(Value::Inert(name))
            }
            [Value::Text(kind), ..] if &**kind != "storage" => self.push_inert("pickle", "persistent_load"),
            _ => Err(malformed("the name of a storage is not one of `torch.save`")),
        }
    }
}
