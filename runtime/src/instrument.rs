//! Rewrites a guest module before it is compiled, so that closing its linear memory stops it (see
//! [`crate::interrupt`]): every cycle of control flow touches memory, and only compiled code of
//! the guest does. Notes also what the snapshot relies on.
//!
//! - A loop that can go round without touching memory, and functions that can call each other in
//!   a circle without, get a *poll*: a byte loaded and stored again. Most touch it anyway.
//! - `memory.copy` and `memory.fill`, which wasmtime runs as host code, become calls of functions
//!   that are added to the module (`bulk.wat`).

use crate::cycles::uncut;
use crate::recursion::untouched_circles;
use std::collections::HashSet;
use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{CodeSection, Function, FunctionSection, Instruction, MemArg, Module, ValType};
use wasmparser::{FunctionBody, Operator, Parser, Payload, TypeRef};

/// Part of the cache key of compiled modules: change it with the rewriting.
pub(crate) const VERSION: u32 = 3;

/// Whether guests can be stopped: not where a benchmark asks what that costs.
pub(crate) const STOPPABLE: bool = cfg!(not(feature = "unstoppable"));

const BULK: &str = include_str!("bulk.wat");

/// What was seen on the way, kept beside the compiled module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Facts {
    /// Linear memory and `__stack_pointer` are the only mutable state, so a snapshot is complete.
    pub(crate) snapshot_complete: bool,
}

/// The module, made stoppable. Fails on one without exactly one memory of its own.
pub(crate) fn instrument(wasm: &[u8]) -> Result<(Vec<u8>, Facts), String> {
    let invalid = |e: &dyn std::fmt::Display| format!("it is not a valid module: {e}");
    let circles = untouched_circles(wasm).map_err(|e| invalid(&e))?;
    let mut pass = Pass { bulk: bulk()?, circles, ..Pass::default() };
    let mut module = Module::new();
    utils::parse_core_module(&mut pass, &mut module, Parser::new(0), wasm)
        .map_err(|e| invalid(&e))?;
    if pass.memories != 1 {
        return Err(format!("it must define exactly one memory, and has {}", pass.memories));
    }
    if !pass.exports {
        return Err("it exports nothing".into());
    }
    if let Some(what) = pass.refused {
        return Err(format!("it uses {what}, which cannot be stopped"));
    }
    let snapshot_complete = pass.mutable_globals <= 1 && !pass.writes_tables;
    Ok((module.finish(), Facts { snapshot_complete }))
}

/// The bodies of copy and fill.
fn bulk() -> Result<Vec<Vec<u8>>, String> {
    let wasm = wat::parse_str(BULK).map_err(|e| format!("bulk.wat: {e}"))?;
    let mut bodies = Vec::new();
    for payload in Parser::new(0).parse_all(&wasm) {
        if let Payload::CodeSectionEntry(body) = payload.map_err(|e| e.to_string())? {
            bodies.push(wasm[body.range()].to_vec());
        }
    }
    Ok(bodies)
}

#[derive(Default)]
struct Pass {
    bulk: Vec<Vec<u8>>,
    circles: HashSet<u32>,
    /// Index of the function whose body comes next.
    body: u32,
    types: u32,
    functions: u32,
    memories: u64,
    mutable_globals: usize,
    writes_tables: bool,
    exports: bool,
    refused: Option<&'static str>,
}

fn poll(function: &mut Function) {
    let byte = MemArg { offset: 0, align: 0, memory_index: 0 };
    function.instruction(&Instruction::I32Const(0));
    function.instruction(&Instruction::I32Const(0));
    function.instruction(&Instruction::I32Load8U(byte));
    function.instruction(&Instruction::I32Store8(byte));
}

/// Calls of every kind.
pub(crate) fn calls(op: &Operator<'_>) -> bool {
    matches!(
        op,
        Operator::Call { .. }
            | Operator::CallIndirect { .. }
            | Operator::CallRef { .. }
            | Operator::ReturnCall { .. }
            | Operator::ReturnCallIndirect { .. }
            | Operator::ReturnCallRef { .. }
    )
}

/// Whether the instruction always loads or stores, and nothing but the linear memory.
pub(crate) fn touches_memory(op: &Operator<'_>) -> bool {
    use Operator as O;
    matches!(
        op,
        O::I32Load { .. }
            | O::I64Load { .. }
            | O::F32Load { .. }
            | O::F64Load { .. }
            | O::I32Load8S { .. }
            | O::I32Load8U { .. }
            | O::I32Load16S { .. }
            | O::I32Load16U { .. }
            | O::I64Load8S { .. }
            | O::I64Load8U { .. }
            | O::I64Load16S { .. }
            | O::I64Load16U { .. }
            | O::I64Load32S { .. }
            | O::I64Load32U { .. }
            | O::I32Store { .. }
            | O::I64Store { .. }
            | O::F32Store { .. }
            | O::F64Store { .. }
            | O::I32Store8 { .. }
            | O::I32Store16 { .. }
            | O::I64Store8 { .. }
            | O::I64Store16 { .. }
            | O::I64Store32 { .. }
            | O::V128Load { .. }
            | O::V128Store { .. }
    )
}

impl Pass {
    /// Index of `memory.copy`'s stand-in; that of `memory.fill` follows it.
    fn copy_index(&self) -> u32 {
        self.functions
    }
}

impl Reencode for Pass {
    type Error = std::convert::Infallible;

    /// Names of functions, which only backtraces show, take a fifth of the time to load the module.
    fn parse_custom_section(
        &mut self,
        _module: &mut Module,
        _section: wasmparser::CustomSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        Ok(())
    }

    fn parse_type_section(
        &mut self,
        types: &mut wasm_encoder::TypeSection,
        section: wasmparser::TypeSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        for group in section.clone() {
            self.types += group?.types().len() as u32;
        }
        utils::parse_type_section(self, types, section)?;
        types.ty().function([ValType::I32; 3], []);
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        self.body = self.functions; // the imported ones come first
        self.functions += section.count();
        utils::parse_function_section(self, functions, section)?;
        for _ in &self.bulk {
            functions.function(self.types);
        }
        Ok(())
    }

    fn parse_memory_section(
        &mut self,
        memories: &mut wasm_encoder::MemorySection,
        section: wasmparser::MemorySectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        self.memories += u64::from(section.count());
        for memory in section.clone() {
            let memory = memory?;
            if memory.initial == 0 {
                self.refused = Some("an empty memory"); // a poll could not touch it
            }
            if memory.memory64 || memory.shared {
                self.refused = Some("a memory of 64 bits, or one for threads");
            }
        }
        utils::parse_memory_section(self, memories, section)
    }

    fn parse_import_section(
        &mut self,
        imports: &mut wasm_encoder::ImportSection,
        section: wasmparser::ImportSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        for import in section.clone().into_imports() {
            match import?.ty {
                TypeRef::Memory(_) => self.memories += 2, // refused by the count
                TypeRef::Func(_) | TypeRef::FuncExact(_) => self.functions += 1,
                _ => {}
            }
        }
        utils::parse_import_section(self, imports, section)
    }

    fn parse_global(
        &mut self,
        globals: &mut wasm_encoder::GlobalSection,
        global: wasmparser::Global<'_>,
    ) -> Result<(), Error<Self::Error>> {
        self.mutable_globals += usize::from(global.ty.mutable);
        utils::parse_global(self, globals, global)
    }

    fn parse_export_section(
        &mut self,
        exports: &mut wasm_encoder::ExportSection,
        section: wasmparser::ExportSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        self.exports |= section.count() > 0;
        utils::parse_export_section(self, exports, section)
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: wasmparser::CodeSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        utils::parse_code_section(self, code, section)?;
        for body in &self.bulk {
            code.raw(body);
        }
        Ok(())
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), Error<Self::Error>> {
        let mut function = self.new_function_with_parsed_locals(&body)?;
        let ops = body.get_operators_reader()?.into_iter().collect::<Result<Vec<_>, _>>()?;
        if STOPPABLE && self.circles.contains(&self.body) {
            poll(&mut function);
        }
        self.body += 1;
        let mut loops = uncut(&ops, touches_memory, calls).loops.into_iter().peekable();
        for (at, op) in ops.iter().enumerate() {
            match op {
                Operator::MemoryCopy { .. } if STOPPABLE => {
                    function.instruction(&Instruction::Call(self.copy_index()));
                    continue;
                }
                Operator::MemoryFill { .. } if STOPPABLE => {
                    function.instruction(&Instruction::Call(self.copy_index() + 1));
                    continue;
                }
                Operator::MemoryInit { .. } => self.refused = Some("memory.init"),
                Operator::TableSet { .. }
                | Operator::TableGrow { .. }
                | Operator::TableFill { .. }
                | Operator::TableCopy { .. }
                | Operator::TableInit { .. } => self.writes_tables = true,
                _ => {}
            }
            function.instruction(&self.instruction(op.clone())?);
            if loops.next_if_eq(&at).is_some() && STOPPABLE {
                poll(&mut function);
            }
        }
        code.function(&function);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::{Engine, Instance, Memory, Module, Store, TypedFunc};

    const BYTES: usize = 4 << 16;

    struct Machine {
        store: Store<()>,
        memory: Memory,
        copy: TypedFunc<(u32, u32, u32), ()>,
        fill: TypedFunc<(u32, u32, u32), ()>,
    }

    fn machine() -> Machine {
        let text = r#"(module (memory (export "memory") 4)
            (func (export "copy") (param i32 i32 i32)
              (memory.copy (local.get 0) (local.get 1) (local.get 2)))
            (func (export "fill") (param i32 i32 i32)
              (memory.fill (local.get 0) (local.get 1) (local.get 2))))"#;
        let (wasm, _) = instrument(&wat::parse_str(text).expect("text")).expect("a module");
        let engine = Engine::default();
        let module = Module::new(&engine, wasm).expect("valid");
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
        let memory = instance.get_memory(&mut store, "memory").expect("memory");
        let copy = instance.get_typed_func(&mut store, "copy").expect("copy");
        let fill = instance.get_typed_func(&mut store, "fill").expect("fill");
        for (at, byte) in memory.data_mut(&mut store).iter_mut().enumerate() {
            *byte = (at * 131 / 7) as u8;
        }
        Machine { store, memory, copy, fill }
    }

    #[test]
    fn bulk_operations_equal_the_instructions() {
        let mut m = machine();
        let sizes = (0..140).chain([255, 256, 1000, 4096, 65_537]);
        for n in sizes {
            for distance in [-300, -65, -17, -16, -15, -1, 0, 1, 7, 15, 16, 17, 64, 100, 70_000] {
                let from = 66_000_i64;
                let to = (from + distance) as usize;
                let mut expected = m.memory.data(&m.store).to_vec();
                expected.copy_within(from as usize..from as usize + n, to);
                m.copy.call(&mut m.store, (to as u32, from as u32, n as u32)).expect("copied");
                assert!(m.memory.data(&m.store) == expected, "copy of {n} over {distance}");
            }
            let mut expected = m.memory.data(&m.store).to_vec();
            expected[1001..1001 + n].fill(n as u8);
            m.fill.call(&mut m.store, (1001, n as u32 | 0x100, n as u32)).expect("filled");
            assert!(m.memory.data(&m.store) == expected, "fill of {n}");
        }
    }

    #[test]
    fn bulk_operations_past_the_end_trap() {
        let mut m = machine();
        let end = BYTES as u32;
        for (to, from, n) in [
            (end - 10, 0, 11),
            (0, end - 10, 11),
            (end, 0, 1),
            (u32::MAX, 0, 64),
            (64, 0, u32::MAX),
        ] {
            m.copy.call(&mut m.store, (to, from, n)).expect_err("outside");
        }
        for (to, n) in [(end - 10, 11), (end, 1), (u32::MAX, 64), (64, u32::MAX)] {
            m.fill.call(&mut m.store, (to, 1, n)).expect_err("outside");
        }
        m.copy.call(&mut m.store, (end - 100, end - 200, 100)).expect("up to the end");
    }

    #[test]
    fn modules_that_cannot_be_stopped_are_refused() {
        for (text, why) in [
            ("(module)", "exactly one memory"),
            (r#"(module (import "a" "m" (memory 1)) (memory 1))"#, "exactly one memory"),
            (r#"(module (memory (export "memory") 0))"#, "an empty memory"),
            (
                r#"(module (memory (export "memory") 1) (data $d "x")
                   (func (memory.init $d (i32.const 0) (i32.const 0) (i32.const 1))))"#,
                "memory.init",
            ),
        ] {
            let error = instrument(&wat::parse_str(text).expect("text")).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
