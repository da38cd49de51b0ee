//! Rewrites a guest module before it is compiled: adds the poll memory and a poll to every loop
//! and every function that calls (so every cycle of control flow meets one), and notes what the
//! snapshot relies on. A poll is a store, not a load: Cranelift may merge loads.

use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{
    CodeSection, ExportKind, ExportSection, Function, Instruction, MemArg, MemorySection,
    MemoryType, Module,
};
use wasmparser::{FunctionBody, Operator, Parser};

/// Export name of the poll memory.
pub(crate) const POLL_MEMORY: &str = "davy:poll";
const POLL_MEMORY_INDEX: u32 = 1;

/// What was seen on the way, kept beside the compiled module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Facts {
    /// Linear memory and `__stack_pointer` are the only mutable state, so a snapshot is complete.
    pub(crate) snapshot_complete: bool,
}

/// The module with polls. Fails on a module without exactly one memory of its own.
pub(crate) fn instrument(wasm: &[u8]) -> Result<(Vec<u8>, Facts), String> {
    let mut pass = Pass::default();
    let mut module = Module::new();
    utils::parse_core_module(&mut pass, &mut module, Parser::new(0), wasm)
        .map_err(|e| format!("it is not a valid module: {e}"))?;
    if pass.memories != 1 {
        return Err(format!("it must define exactly one memory, and has {}", pass.memories));
    }
    if !pass.exports {
        return Err("it exports nothing".into());
    }
    let snapshot_complete = pass.mutable_globals <= 1 && !pass.writes_tables;
    Ok((module.finish(), Facts { snapshot_complete }))
}

#[derive(Default)]
struct Pass {
    memories: u64,
    mutable_globals: usize,
    writes_tables: bool,
    exports: bool,
}

fn poll(function: &mut Function) {
    function.instruction(&Instruction::I32Const(0));
    function.instruction(&Instruction::I32Const(0));
    function.instruction(&Instruction::I32Store8(MemArg {
        offset: 0,
        align: 0,
        memory_index: POLL_MEMORY_INDEX,
    }));
}

fn calls(op: &Operator<'_>) -> bool {
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

impl Reencode for Pass {
    type Error = std::convert::Infallible;

    fn parse_memory_section(
        &mut self,
        memories: &mut MemorySection,
        section: wasmparser::MemorySectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        self.memories += u64::from(section.count());
        utils::parse_memory_section(self, memories, section)?;
        memories.memory(MemoryType {
            minimum: 1,
            maximum: Some(1),
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        Ok(())
    }

    fn parse_import(
        &mut self,
        imports: &mut wasm_encoder::ImportSection,
        import: wasmparser::Import<'_>,
    ) -> Result<(), Error<Self::Error>> {
        if matches!(import.ty, wasmparser::TypeRef::Memory(_)) {
            self.memories += 2; // an imported memory is refused by the count
        }
        utils::parse_import(self, imports, import)
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
        exports: &mut ExportSection,
        section: wasmparser::ExportSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        utils::parse_export_section(self, exports, section)?;
        exports.export(POLL_MEMORY, ExportKind::Memory, POLL_MEMORY_INDEX);
        self.exports = true;
        Ok(())
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), Error<Self::Error>> {
        let mut function = self.new_function_with_parsed_locals(&body)?;
        let mut non_leaf = false;
        for op in body.get_operators_reader()? {
            let op = op?;
            non_leaf |= calls(&op);
            self.writes_tables |= matches!(
                op,
                Operator::TableSet { .. }
                    | Operator::TableGrow { .. }
                    | Operator::TableFill { .. }
                    | Operator::TableCopy { .. }
                    | Operator::TableInit { .. }
            );
        }
        if non_leaf {
            poll(&mut function);
        }
        for op in body.get_operators_reader()? {
            let op = op?;
            let is_loop = matches!(op, Operator::Loop { .. });
            function.instruction(&self.instruction(op)?);
            if is_loop {
                poll(&mut function);
            }
        }
        code.function(&function);
        Ok(())
    }
}
