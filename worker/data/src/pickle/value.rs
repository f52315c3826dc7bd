//! What was read: an arena of nodes, and references into it.
//!
//! Accessors answer `None` for a value of another kind; the reader of a format
//! knows what it expected and says so in its own error.

use super::Global;

/// Position of a node in the arena.
pub(super) type NodeId = u32;

/// One value; children are other nodes, texts and bytes are slices of the input.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node<'b> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'b str),
    Bytes(&'b [u8]),
    Tuple(Vec<NodeId>),
    List(Vec<NodeId>),
    Set(Vec<NodeId>),
    Dict(Vec<(NodeId, NodeId)>),
    Global(Global),
    Call {
        function: Global,
        arguments: NodeId,
        state: Option<NodeId>,
    },
    Persistent(NodeId),
}

/// A pickle that was read; it borrows the input.
#[derive(Debug)]
pub struct Pickle<'b> {
    pub(super) nodes: Vec<Node<'b>>,
    pub(super) root: NodeId,
    pub(super) consumed: usize,
}

impl Pickle<'_> {
    /// The value that the pickle stands for.
    pub fn root(&self) -> Value<'_> {
        self.value(self.root)
    }

    /// Bytes of the input up to and including the stop; another pickle may follow.
    pub fn consumed(&self) -> usize {
        self.consumed
    }

    /// The payload of every reference to something outside, in file order.
    pub fn persistent(&self) -> impl Iterator<Item = Value<'_>> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Persistent(payload) => Some(self.value(*payload)),
            _ => None,
        })
    }

    fn value(&self, id: NodeId) -> Value<'_> {
        Value { pickle: self, id }
    }
}

/// A recorded call, never carried out.
#[derive(Debug, Clone, Copy)]
pub struct Call<'p> {
    /// What would be called.
    pub function: Global,
    /// Its arguments, a tuple.
    pub arguments: Value<'p>,
    /// The state that would be given to the result.
    pub state: Option<Value<'p>>,
}

/// A reference to a value of a [`Pickle`].
#[derive(Debug, Clone, Copy)]
pub struct Value<'p> {
    pickle: &'p Pickle<'p>,
    id: NodeId,
}

impl<'p> Value<'p> {
    fn node(self) -> &'p Node<'p> {
        &self.pickle.nodes[self.id as usize]
    }

    /// Whether it is `None`.
    pub fn is_none(self) -> bool {
        matches!(self.node(), Node::None)
    }

    /// A boolean.
    pub fn as_bool(self) -> Option<bool> {
        match self.node() {
            Node::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// An integer.
    pub fn as_int(self) -> Option<i64> {
        match self.node() {
            Node::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// A floating-point number, or an integer as one.
    pub fn as_float(self) -> Option<f64> {
        match self.node() {
            Node::Float(value) => Some(*value),
            Node::Int(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// A text.
    pub fn as_text(self) -> Option<&'p str> {
        match self.node() {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A byte string.
    pub fn as_bytes(self) -> Option<&'p [u8]> {
        match self.node() {
            Node::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The members of a tuple, list or set, in file order.
    pub fn items(self) -> Option<impl ExactSizeIterator<Item = Self>> {
        match self.node() {
            Node::Tuple(items) | Node::List(items) | Node::Set(items) => {
                Some(items.iter().map(move |id| self.pickle.value(*id)))
            }
            _ => None,
        }
    }

    /// A tuple of exactly `N` members.
    pub fn tuple<const N: usize>(self) -> Option<[Self; N]> {
        match self.node() {
            Node::Tuple(items) => {
                let items: [NodeId; N] = items.as_slice().try_into().ok()?;
                Some(items.map(|id| self.pickle.value(id)))
            }
            _ => None,
        }
    }

    /// The entries of a dictionary in file order; a repeated key stands twice.
    pub fn entries(self) -> Option<impl ExactSizeIterator<Item = (Self, Self)>> {
        match self.node() {
            Node::Dict(entries) => {
                let pair = move |(key, value): &(NodeId, NodeId)| {
                    (self.pickle.value(*key), self.pickle.value(*value))
                };
                Some(entries.iter().map(pair))
            }
            _ => None,
        }
    }

    /// The value under a text key of a dictionary; the last one when repeated,
    /// as in Python.
    pub fn get(self, key: &str) -> Option<Self> {
        self.find(|candidate| candidate.as_text() == Some(key))
    }

    /// The value under an integer key of a dictionary.
    pub fn get_int(self, key: i64) -> Option<Self> {
        self.find(|candidate| candidate.as_int() == Some(key))
    }

    fn find(self, matches: impl Fn(Self) -> bool) -> Option<Self> {
        let Node::Dict(entries) = self.node() else {
            return None;
        };
        let mut newest_first = entries.iter().rev();
        newest_first
            .find(|(key, _)| matches(self.pickle.value(*key)))
            .map(|(_, value)| self.pickle.value(*value))
    }

    /// An imported name.
    pub fn as_global(self) -> Option<Global> {
        match self.node() {
            Node::Global(global) => Some(*global),
            _ => None,
        }
    }

    /// A recorded call.
    pub fn as_call(self) -> Option<Call<'p>> {
        match self.node() {
            Node::Call {
                function,
                arguments,
                state,
            } => Some(Call {
                function: *function,
                arguments: self.pickle.value(*arguments),
                state: state.map(|id| self.pickle.value(id)),
            }),
            _ => None,
        }
    }

    /// The payload of a reference to something outside.
    pub fn as_persistent(self) -> Option<Self> {
        match self.node() {
            Node::Persistent(payload) => Some(self.pickle.value(*payload)),
            _ => None,
        }
    }

    /// What it is, for an error: one line, bounded, never its children.
    pub fn describe(self) -> String {
        self.node().describe()
    }
}

impl Node<'_> {
    pub(super) fn describe(&self) -> String {
        match self {
            Self::None => "none".to_owned(),
            Self::Bool(value) => format!("the boolean `{value}`"),
            Self::Int(value) => format!("the integer `{value}`"),
            Self::Float(value) => format!("the number `{value}`"),
            Self::Text(text) => {
                let quoted: String = text.chars().take(80).collect();
                format!("the text `{quoted}`")
            }
            Self::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Self::Tuple(items) => format!("a tuple of {}", items.len()),
            Self::List(items) => format!("a list of {}", items.len()),
            Self::Set(items) => format!("a set of {}", items.len()),
            Self::Dict(entries) => format!("a dictionary of {}", entries.len()),
            Self::Global(global) => format!("the name `{global}`"),
            Self::Call { function, .. } => format!("a call of `{function}`"),
            Self::Persistent(_) => "a reference to outside data".to_owned(),
        }
    }
}
