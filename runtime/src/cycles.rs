//! Which loops of a function can go round, and which calls can be reached from its entry, without
//! touching linear memory.
//!
//! One pass over structured control flow. The state at a point is the set of origins (the entry
//! and the headers of enclosing loops) from which some path leads here without a memory access; a
//! branch back to a loop in the set closes a cycle that nothing stops. Where paths meet, the sets
//! unite. An inner loop adds no new paths for the outer ones: what comes round its header is a
//! subset of what entered it.

use wasmparser::{Catch, Operator};

/// The function's entry (bit 0) and enclosing loops, by nesting depth from 1.
type Loops = u128;

const ENTRY: Loops = 1;

/// Loops nested deeper than the set can hold are taken for uncut.
const DEPTH: usize = Loops::BITS as usize;

struct Frame {
    /// Index of the `loop` instruction and its depth; `None` for other constructs.
    head: Option<(usize, usize)>,
    /// State at the construct's end, as branches bring it there; `None`: no path does.
    end: Option<Loops>,
    /// State at the `else` of an `if` whose `else` has not come yet.
    otherwise: Option<Loops>,
}

/// What goes on in a function between memory accesses: indices of instructions, ascending.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Uncut {
    /// `loop`s that have a cycle without a memory access.
    pub(crate) loops: Vec<usize>,
    /// Calls of any kind that some path reaches from the entry without a memory access.
    pub(crate) calls: Vec<usize>,
}

/// Walks the instructions of a function.
pub(crate) fn uncut(
    ops: &[Operator<'_>],
    touches: impl Fn(&Operator<'_>) -> bool,
    calls: impl Fn(&Operator<'_>) -> bool,
) -> Uncut {
    let mut walk = Walk { frames: Vec::new(), depth: 1, uncut: Uncut::default() };
    walk.open(None, None);
    let mut state = Some(ENTRY);
    for (at, op) in ops.iter().enumerate() {
        if calls(op) && state.is_some_and(|s| s & ENTRY != 0) {
            walk.uncut.calls.push(at);
        }
        match op {
            op if touches(op) => state = state.map(|_| 0),
            Operator::Block { .. } => walk.open(None, None),
            Operator::TryTable { try_table } => {
                for catch in &try_table.catches {
                    let (Catch::One { label, .. }
                    | Catch::OneRef { label, .. }
                    | Catch::All { label }
                    | Catch::AllRef { label }) = catch;
                    walk.branch(*label, state);
                }
                walk.open(None, None);
            }
            Operator::Loop { .. } => {
                let depth = walk.depth;
                if depth >= DEPTH {
                    walk.uncut.loops.push(at);
                } else {
                    state = state.map(|s| s | 1 << depth);
                }
                walk.open(Some((at, depth)), None);
            }
            Operator::If { .. } => walk.open(None, state),
            Operator::Else => {
                if let Some(frame) = walk.frames.last_mut() {
                    frame.end = union(frame.end, state);
                    state = frame.otherwise.take();
                }
            }
            Operator::End => state = walk.close(state),
            Operator::Br { relative_depth } => {
                walk.branch(*relative_depth, state);
                state = None;
            }
            Operator::BrIf { relative_depth }
            | Operator::BrOnNull { relative_depth }
            | Operator::BrOnNonNull { relative_depth } => walk.branch(*relative_depth, state),
            Operator::BrTable { targets } => {
                for label in targets.targets().flatten().chain([targets.default()]) {
                    walk.branch(label, state);
                }
                state = None;
            }
            Operator::Return
            | Operator::Unreachable
            | Operator::Throw { .. }
            | Operator::ThrowRef
            | Operator::ReturnCall { .. }
            | Operator::ReturnCallIndirect { .. }
            | Operator::ReturnCallRef { .. } => state = None,
            _ => {}
        }
    }
    walk.uncut.loops.sort_unstable();
    walk.uncut.loops.dedup();
    walk.uncut
}

fn union(a: Option<Loops>, b: Option<Loops>) -> Option<Loops> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a | b),
        (one, other) => one.or(other),
    }
}

struct Walk {
    frames: Vec<Frame>,
    /// Loops open now, and the entry.
    depth: usize,
    uncut: Uncut,
}

impl Walk {
    fn open(&mut self, head: Option<(usize, usize)>, otherwise: Option<Loops>) {
        self.depth += usize::from(head.is_some());
        self.frames.push(Frame { head, end: None, otherwise });
    }

    /// The state behind the construct's end.
    fn close(&mut self, state: Option<Loops>) -> Option<Loops> {
        let Some(frame) = self.frames.pop() else { return state };
        let mut after = union(union(state, frame.end), frame.otherwise);
        if let Some((_, depth)) = frame.head {
            self.depth = depth;
            if depth < DEPTH {
                after = after.map(|s| s & !(1 << depth));
            }
        }
        after
    }

    fn branch(&mut self, label: u32, state: Option<Loops>) {
        let Some(state) = state else { return };
        let Some(target) = self.frames.len().checked_sub(1 + label as usize) else { return };
        let frame = &mut self.frames[target];
        match frame.head {
            None => frame.end = union(frame.end, Some(state)),
            Some((at, depth)) if depth < DEPTH && state & (1 << depth) != 0 => {
                self.uncut.loops.push(at)
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ops_of(body: &str, look: impl FnOnce(&[Operator<'_>])) {
        let text = format!("(module (memory 1) (func $f (param $p i32) (local $i i32) {body}))");
        let wasm = wat::parse_str(text).expect("valid text");
        for payload in wasmparser::Parser::new(0).parse_all(&wasm) {
            if let wasmparser::Payload::CodeSectionEntry(body) = payload.expect("payload") {
                let reader = body.get_operators_reader().expect("operators");
                let ops: Vec<_> = reader.into_iter().map(|op| op.expect("op")).collect();
                return look(&ops);
            }
        }
    }

    fn find(ops: &[Operator<'_>]) -> Uncut {
        let load = |op: &Operator<'_>| matches!(op, Operator::I32Load { .. });
        uncut(ops, load, |op| matches!(op, Operator::Call { .. }))
    }

    /// Positions of the uncut loops among the function's loops.
    fn loops(body: &str) -> Vec<usize> {
        let mut found = Vec::new();
        ops_of(body, |ops| {
            let is_loop = |at: &usize| matches!(ops[*at], Operator::Loop { .. });
            let all: Vec<usize> = (0..ops.len()).filter(is_loop).collect();
            let uncut = find(ops).loops;
            found =
                uncut.iter().map(|at| all.iter().position(|l| l == at).expect("loop")).collect();
        });
        found
    }

    #[test]
    fn cycles_without_a_memory_access_are_found() {
        let load = "(drop (i32.load (local.get $p)))";
        let test = "(local.get $p)";
        let cases: &[(String, &[usize])] = &[
            ("(loop $l (br $l))".into(), &[0]),
            (format!("(loop $l {load} (br $l))"), &[]),
            (format!("(loop $l (br_if $l {test}) {load})"), &[0]),
            (format!("(loop $l {load} (br_if $l {test}))"), &[]),
            (format!("(loop $l (if {test} (then {load})) (br $l))"), &[0]),
            (format!("(loop $l (if {test} (then {load}) (else {load})) (br $l))"), &[]),
            (format!("(loop $l (if {test} (then {load}) (else (return))) (br $l))"), &[]),
            (format!("(loop $l (block $b (br_if $b {test}) {load}) (br $l))"), &[0]),
            (format!("(loop $l (block $b {load} (br_if $b {test})) (br $l))"), &[]),
            // Round the outer loop alone, or round the inner one alone.
            (format!("(loop $l (loop $m (br_if $m {test})) {load} (br $l))"), &[1]),
            (format!("(loop $l (loop $m {load} (br_if $m {test})) (br $l))"), &[]),
            (format!("(loop $l (loop $m (br_if $l {test}) {load} (br $m)))"), &[0]),
            (format!("(loop $l {load} (loop $m (br_if $l {test}) (br $m)))"), &[1]),
            (
                format!("(loop $l (block $a (block $b (br_table $a $b {test})) {load}) (br $l))"),
                &[0],
            ),
            (
                format!("(loop $l (block $a (block $b {load} (br_table $a $b {test}))) (br $l))"),
                &[],
            ),
            (format!("(block $out (loop $l (br_if $out {test}) {load} (br $l)))"), &[]),
            ("(loop $l)".into(), &[]),
        ];
        for (body, expected) in cases {
            assert_eq!(loops(body), *expected, "{body}");
        }
    }

    #[test]
    fn calls_reached_without_a_memory_access_are_found() {
        let load = "(drop (i32.load (local.get $p)))";
        let call = "(call $f (local.get $p))";
        for (body, expected) in [
            (call.to_owned(), 1),
            (format!("{load} {call}"), 0),
            (format!("{call} {load} {call}"), 1),
            (format!("(if (local.get $p) (then {load})) {call}"), 1),
            (format!("(if (local.get $p) (then {load} {call}) (else {call}))"), 1),
            (format!("(block $b (br_if $b (local.get $p)) {load} (return)) {call}"), 1),
            (format!("(block $b {load} (br $b)) {call}"), 0),
        ] {
            ops_of(&body, |ops| assert_eq!(find(ops).calls.len(), expected, "{body}"));
        }
    }
}
