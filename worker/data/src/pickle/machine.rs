//! The stack machine. Each opcode does work proportional to the bytes it reads
//! or the values it pops, so reading is linear in the input.

use super::cursor::Cursor;
use super::opcode as op;
use super::value::{Node, NodeId, Pickle};
use super::{Global, Limits, PickleError};

/// Reads one pickle from the start of `bytes`. Imports are refused unless they
/// are in `allowed`.
pub fn read<'b>(
    bytes: &'b [u8],
    allowed: &[Global],
    limits: &Limits,
) -> Result<Pickle<'b>, PickleError> {
    if bytes.len() > limits.bytes {
        return Err(PickleError::Limit {
            offset: limits.bytes,
            what: "bytes",
            limit: limits.bytes,
        });
    }
    let machine = Machine {
        input: Cursor::new(bytes),
        allowed,
        limits,
        nodes: Vec::new(),
        depths: Vec::new(),
        entries: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Vec::new(),
    };
    machine.run()
}

struct Machine<'b, 'l> {
    input: Cursor<'b>,
    allowed: &'l [Global],
    limits: &'l Limits,
    nodes: Vec<Node<'b>>,
    /// Nesting of each node as known when its children were added.
    depths: Vec<u32>,
    /// Container entries so far; with the nodes, the items of the limits.
    entries: usize,
    stack: Vec<NodeId>,
    /// Stack heights at the open marks.
    marks: Vec<usize>,
    memo: Vec<Option<NodeId>>,
}

impl<'b> Machine<'b, '_> {
    fn run(mut self) -> Result<Pickle<'b>, PickleError> {
        loop {
            let opcode = self.input.opcode()?;
            if opcode == op::STOP {
                let root = self.pop()?;
                return Ok(Pickle {
                    nodes: self.nodes,
                    root,
                    consumed: self.input.consumed(),
                });
            }
            self.step(opcode)?;
        }
    }

    fn step(&mut self, opcode: u8) -> Result<(), PickleError> {
        match opcode {
            op::PROTO => self.protocol(),
            op::FRAME => self.frame(),
            op::MARK => self.mark(),
            op::NONE => self.push(Node::None),
            op::NEWTRUE => self.push(Node::Bool(true)),
            op::NEWFALSE => self.push(Node::Bool(false)),
            op::BININT => self
                .input
                .array()
                .map(i32::from_le_bytes)
                .and_then(|n| self.int(n)),
            op::BININT1 => self
                .input
                .array()
                .map(u8::from_le_bytes)
                .and_then(|n| self.int(n)),
            op::BININT2 => self
                .input
                .array()
                .map(u16::from_le_bytes)
                .and_then(|n| self.int(n)),
            op::LONG1 => self.long(),
            op::BINFLOAT => {
                let value = f64::from_be_bytes(self.input.array()?);
                self.push(Node::Float(value))
            }
            op::SHORT_BINBYTES | op::BINBYTES => {
                let value = self.input.counted(opcode == op::BINBYTES)?;
                self.push(Node::Bytes(value))
            }
            op::SHORT_BINUNICODE | op::SHORT_BINSTRING | op::BINUNICODE => {
                let value = self.input.counted(opcode == op::BINUNICODE)?;
                let text = self.input.utf8(value)?;
                self.push(Node::Text(text))
            }
            op::EMPTY_DICT => self.push(Node::Dict(Vec::new())),
            op::EMPTY_LIST => self.push(Node::List(Vec::new())),
            op::EMPTY_SET => self.push(Node::Set(Vec::new())),
            op::EMPTY_TUPLE => self.tuple_of(0),
            op::TUPLE1 => self.tuple_of(1),
            op::TUPLE2 => self.tuple_of(2),
            op::TUPLE3 => self.tuple_of(3),
            op::TUPLE => {
                let items = self.pop_to_mark()?;
                self.push_tuple(items)
            }
            op::APPEND => {
                let item = self.pop()?;
                self.extend("APPEND", vec![item])
            }
            op::APPENDS => {
                let items = self.pop_to_mark()?;
                self.extend("APPENDS", items)
            }
            op::ADDITEMS => {
                let items = self.pop_to_mark()?;
                self.extend("ADDITEMS", items)
            }
            op::SETITEM => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.insert("SETITEM", &[key, value])
            }
            op::SETITEMS => {
                let items = self.pop_to_mark()?;
                self.insert("SETITEMS", &items)
            }
            op::MEMOIZE => self.remember(self.memo.len()),
            op::BINPUT | op::LONG_BINPUT => {
                let index = self.input.index(opcode == op::LONG_BINPUT)?;
                self.remember(index)
            }
            op::BINGET | op::LONG_BINGET => {
                let index = self.input.index(opcode == op::LONG_BINGET)?;
                self.recall(index)
            }
            op::GLOBAL => {
                let module = self.input.line()?;
                let name = self.input.line()?;
                self.global(module, name)
            }
            op::STACK_GLOBAL => self.stack_global(),
            op::REDUCE => self.reduce(),
            op::BUILD => self.build(),
            op::BINPERSID => {
                let payload = self.pop()?;
                let id = self.add(Node::Persistent(payload))?;
                self.nest(id, payload)?;
                self.stack_push(id)
            }
            _ => Err(PickleError::Opcode {
                offset: self.input.offset(),
                opcode,
            }),
        }
    }

    fn protocol(&mut self) -> Result<(), PickleError> {
        let [version] = self.input.array()?;
        if (2..=5).contains(&version) {
            Ok(())
        } else {
            Err(PickleError::Protocol {
                offset: self.input.offset(),
                version,
            })
        }
    }

    /// A frame only announces how many bytes follow; it must not announce more
    /// than there are.
    fn frame(&mut self) -> Result<(), PickleError> {
        let length = u64::from_le_bytes(self.input.array()?);
        if length > self.input.remaining() as u64 {
            return Err(PickleError::Truncated {
                offset: self.input.offset(),
            });
        }
        Ok(())
    }

    fn mark(&mut self) -> Result<(), PickleError> {
        self.marks.push(self.stack.len());
        let limit = self.limits.depth as usize;
        if self.marks.len() > limit {
            return Err(self.over("levels", limit));
        }
        Ok(())
    }

    fn int(&mut self, value: impl Into<i64>) -> Result<(), PickleError> {
        self.push(Node::Int(value.into()))
    }

    /// Little-endian two's complement of 0 to 8 bytes.
    fn long(&mut self) -> Result<(), PickleError> {
        let [width] = self.input.array()?;
        let digits = self.input.take(usize::from(width))?;
        let mut bytes = match digits.last() {
            Some(top) if top & 0x80 != 0 => [0xff; 8],
            _ => [0; 8],
        };
        let Some(low) = bytes.get_mut(..digits.len()) else {
            return Err(PickleError::Integer {
                offset: self.input.offset(),
                width: digits.len(),
            });
        };
        low.copy_from_slice(digits);
        self.int(i64::from_le_bytes(bytes))
    }

    fn tuple_of(&mut self, count: usize) -> Result<(), PickleError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let start = self.stack.len().checked_sub(count);
        let Some(start) = start.filter(|start| *start >= floor) else {
            return Err(PickleError::Stack {
                offset: self.input.offset(),
            });
        };
        let items = self.stack.split_off(start);
        self.push_tuple(items)
    }

    fn push_tuple(&mut self, items: Vec<NodeId>) -> Result<(), PickleError> {
        self.count_entries(items.len())?;
        let id = self.add(Node::Tuple(Vec::new()))?;
        for item in &items {
            self.nest(id, *item)?;
        }
        self.nodes[id as usize] = Node::Tuple(items);
        self.stack_push(id)
    }

    /// Adds members to the list or set on the stack.
    fn extend(&mut self, opcode: &'static str, items: Vec<NodeId>) -> Result<(), PickleError> {
        let target = self.top()?;
        self.count_entries(items.len())?;
        for item in &items {
            self.nest(target, *item)?;
        }
        match (&mut self.nodes[target as usize], opcode) {
            (Node::Set(members), "ADDITEMS") | (Node::List(members), "APPEND" | "APPENDS") => {
                members.extend(items);
                Ok(())
            }
            (_, "ADDITEMS") => Err(self.operand(opcode, "a set", target)),
            _ => Err(self.operand(opcode, "a list", target)),
        }
    }

    /// Adds entries, given as key, value, key, value, to the dictionary on the
    /// stack.
    fn insert(&mut self, opcode: &'static str, items: &[NodeId]) -> Result<(), PickleError> {
        let target = self.top()?;
        self.count_entries(items.len())?;
        for item in items {
            self.nest(target, *item)?;
        }
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(PickleError::Stack {
                offset: self.input.offset(),
            });
        }
        match &mut self.nodes[target as usize] {
            Node::Dict(entries) => {
                entries.extend(pairs.iter().map(|[key, value]| (*key, *value)));
                Ok(())
            }
            _ => Err(self.operand(opcode, "a dictionary", target)),
        }
    }

    fn remember(&mut self, index: usize) -> Result<(), PickleError> {
        if index >= self.limits.memo {
            return Err(self.over("memo entries", self.limits.memo));
        }
        let top = self.top()?;
        if index >= self.memo.len() {
            self.memo.resize(index + 1, None);
        }
        self.memo[index] = Some(top);
        Ok(())
    }

    fn recall(&mut self, index: usize) -> Result<(), PickleError> {
        match self.memo.get(index).copied().flatten() {
            Some(id) => self.stack_push(id),
            None => Err(PickleError::Memo {
                offset: self.input.offset(),
                index,
            }),
        }
    }

    fn stack_global(&mut self) -> Result<(), PickleError> {
        let name = self.pop()?;
        let module = self.pop()?;
        match (&self.nodes[module as usize], &self.nodes[name as usize]) {
            (&Node::Text(module), &Node::Text(name)) => self.global(module, name),
            (Node::Text(_), _) => Err(self.operand("STACK_GLOBAL", "a name", name)),
            _ => Err(self.operand("STACK_GLOBAL", "a module's name", module)),
        }
    }

    fn global(&mut self, module: &str, name: &str) -> Result<(), PickleError> {
        let known = |global: &&Global| global.module == module && global.name == name;
        match self.allowed.iter().find(known) {
            Some(global) => self.push(Node::Global(*global)),
            None => Err(PickleError::Global {
                offset: self.input.offset(),
                name: format!("{module}.{name}").chars().take(120).collect(),
            }),
        }
    }

    /// Records a call. An empty ordered dictionary is a dictionary.
    fn reduce(&mut self) -> Result<(), PickleError> {
        let arguments = self.pop()?;
        let function = self.pop()?;
        let Node::Global(global) = self.nodes[function as usize] else {
            return Err(self.operand("REDUCE", "an imported name", function));
        };
        let Node::Tuple(values) = &self.nodes[arguments as usize] else {
            return Err(self.operand("REDUCE", "a tuple of arguments", arguments));
        };
        if global == Global::ORDERED_DICT && values.is_empty() {
            return self.push(Node::Dict(Vec::new()));
        }
        let id = self.add(Node::Call {
            function: global,
            arguments,
            state: None,
        })?;
        self.nest(id, arguments)?;
        self.stack_push(id)
    }

    /// Records the state of a call's result. A dictionary's attributes (torch
    /// puts `_metadata` on state dictionaries) are not data and are dropped.
    fn build(&mut self) -> Result<(), PickleError> {
        let given = self.pop()?;
        let target = self.top()?;
        match &mut self.nodes[target as usize] {
            Node::Call { state, .. } => {
                *state = Some(given);
                self.nest(target, given)
            }
            Node::Dict(_) => Ok(()),
            _ => Err(self.operand("BUILD", "a call or a dictionary", target)),
        }
    }

    fn push(&mut self, node: Node<'b>) -> Result<(), PickleError> {
        let id = self.add(node)?;
        self.stack_push(id)
    }

    fn add(&mut self, node: Node<'b>) -> Result<NodeId, PickleError> {
        let id = self.nodes.len() as NodeId;
        self.nodes.push(node);
        self.depths.push(0);
        self.count_entries(0)?;
        Ok(id)
    }

    /// Pushing is counted as an entry: a memo recall makes no node, but a stack
    /// that grows by one for every two bytes must be bounded as well.
    fn stack_push(&mut self, id: NodeId) -> Result<(), PickleError> {
        self.count_entries(1)?;
        self.stack.push(id);
        Ok(())
    }

    fn count_entries(&mut self, more: usize) -> Result<(), PickleError> {
        self.entries += more;
        if self.entries.max(self.nodes.len()) > self.limits.items {
            return Err(self.over("items", self.limits.items));
        }
        Ok(())
    }

    /// Notes that `child` lies in `parent`. A child that grows deeper afterwards
    /// does not raise its parents: the bound is against absurd input, nothing
    /// relies on it to end.
    fn nest(&mut self, parent: NodeId, child: NodeId) -> Result<(), PickleError> {
        let depth = self.depths[parent as usize].max(self.depths[child as usize] + 1);
        if depth > self.limits.depth {
            return Err(self.over("levels", self.limits.depth as usize));
        }
        self.depths[parent as usize] = depth;
        Ok(())
    }

    /// The top value above the last mark.
    fn top(&self) -> Result<NodeId, PickleError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.last() {
            Some(id) if self.stack.len() > floor => Ok(*id),
            _ => Err(PickleError::Stack {
                offset: self.input.offset(),
            }),
        }
    }

    fn pop(&mut self) -> Result<NodeId, PickleError> {
        let id = self.top()?;
        self.stack.pop();
        Ok(id)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<NodeId>, PickleError> {
        let height = self.marks.pop();
        let height = height.ok_or(PickleError::Stack {
            offset: self.input.offset(),
        })?;
        Ok(self.stack.split_off(height))
    }

    fn over(&self, what: &'static str, limit: usize) -> PickleError {
        PickleError::Limit {
            offset: self.input.offset(),
            what,
            limit,
        }
    }

    fn operand(&self, opcode: &'static str, expected: &'static str, id: NodeId) -> PickleError {
        PickleError::Operand {
            offset: self.input.offset(),
            opcode,
            expected,
            found: self.nodes[id as usize].describe(),
        }
    }
}
