//! Which functions may call each other in a circle without touching linear memory.

use crate::cycles::uncut;
use crate::instrument::{calls, touches_memory};
use std::collections::{HashMap, HashSet};
use wasmparser::{
    BinaryReaderError, ElementItems, ElementKind, Operator, Parser, Payload, TypeRef,
};

/// A node of the call graph: a function, or all functions of a type whose address is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Node {
    Function(u32),
    Type(u32),
}

type Graph = HashMap<Node, HashSet<Node>>;

/// Functions that lie on a circle of calls, each reached without a memory access, or between two
/// such circles.
pub(crate) fn untouched_circles(wasm: &[u8]) -> Result<HashSet<u32>, BinaryReaderError> {
    let mut types = Vec::new(); // of each function, imported ones first
    let mut taken = HashSet::new();
    let mut graph = Graph::new();
    let mut defined = 0;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    if let TypeRef::Func(ty) | TypeRef::FuncExact(ty) = import?.ty {
                        types.push(ty);
                    }
                }
                defined = types.len() as u32;
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    types.push(ty?);
                }
            }
            Payload::ElementSection(section) => {
                for element in section {
                    let element = element?;
                    if matches!(element.kind, ElementKind::Declared) {
                        continue;
                    }
                    match element.items {
                        ElementItems::Functions(functions) => {
                            for function in functions {
                                taken.insert(function?);
                            }
                        }
                        ElementItems::Expressions(_, expressions) => {
                            for expression in expressions {
                                for op in expression?.get_operators_reader() {
                                    if let Operator::RefFunc { function_index } = op? {
                                        taken.insert(function_index);
                                    }
                                }
                            }
                        }
                    }
                }
            }
            Payload::CodeSectionEntry(body) => {
                let ops =
                    body.get_operators_reader()?.into_iter().collect::<Result<Vec<_>, _>>()?;
                let from = Node::Function(defined);
                let called = uncut(&ops, touches_memory, calls).calls;
                let to = called.into_iter().map(|at| match &ops[at] {
                    Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                        Node::Function(*function_index)
                    }
                    Operator::CallIndirect { type_index, .. }
                    | Operator::ReturnCallIndirect { type_index, .. } => Node::Type(*type_index),
                    _ => from, // call_ref: it could be anything
                });
                graph.insert(from, to.collect());
                defined += 1;
            }
            _ => {}
        }
    }
    for function in taken {
        if let Some(ty) = types.get(function as usize) {
            graph.entry(Node::Type(*ty)).or_default().insert(Node::Function(function));
        }
    }
    Ok(on_circles(graph))
}

/// Peels off what calls nothing that is left, and then what nothing that is left calls.
fn on_circles(graph: Graph) -> HashSet<u32> {
    let mut graph = graph;
    for _ in 0..2 {
        loop {
            let before = graph.len();
            let left: HashSet<Node> = graph.keys().copied().collect();
            graph.retain(|_, to| {
                to.retain(|node| left.contains(node));
                !to.is_empty()
            });
            if graph.len() == before {
                break;
            }
        }
        graph = reversed(&graph);
    }
    let function = |node: &Node| match node {
        Node::Function(index) => Some(*index),
        Node::Type(_) => None,
    };
    graph.keys().filter_map(function).collect()
}

fn reversed(graph: &Graph) -> Graph {
    let mut back = Graph::new();
    for (from, to) in graph {
        for node in to {
            back.entry(*node).or_default().insert(*from);
        }
    }
    back
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles(functions: &str) -> Vec<u32> {
        let text = format!(
            "(module (type $t (func)) (table 4 funcref) (memory 1)
               (elem (i32.const 0) $a $b) {functions})"
        );
        let wasm = wat::parse_str(text).expect("valid text");
        let mut found: Vec<u32> = untouched_circles(&wasm).expect("a module").into_iter().collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn circles_of_calls_without_a_memory_access_are_found() {
        let load = "(drop (i32.load (i32.const 0)))";
        let indirect = "(call_indirect (type $t) (i32.const 0))";
        for (a, b, c, expected) in [
            ("", "", "", &[][..]),
            ("(call $a)", "", "", &[0]),
            ("(call $b)", "(call $c)", "(call $a)", &[0, 1, 2]),
            ("(call $b)", "(call $c)", "", &[]),
            ("(call $b)", "(call $a)", "(call $a)", &[0, 1]),
            (indirect, "", "", &[0]),
            ("", indirect, "(call $b)", &[1]),
            ("", "(call $c)", indirect, &[1, 2]),
        ] {
            let text = format!("(func $a {a}) (func $b {b}) (func $c {c})");
            assert_eq!(circles(&text), expected, "{text}");
            let text = format!("(func $a {load} {a}) (func $b {load} {b}) (func $c {load} {c})");
            assert_eq!(circles(&text), [] as [u32; 0], "{text}");
        }
    }
}
