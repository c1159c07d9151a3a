//! Every shader variant that a plan can ask for: parsed, validated as a browser would, compared with what the Rust side
//! believes of it, and translated for Vulkan, Metal and DX12. Needs no GPU.

#![allow(clippy::unwrap_used)] // Helpers of tests may.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use frostbert::plan::Plan;
use frostbert::plan::kernels::{
    Access, Class, Cooperative, Count, Dispatch, FEW_ROWS, Groups, KERNELS, Limits, PEAK_COOPERATIVE,
    PEAK_COPY, PEAK_FMA, Resource, TextTiles, Tile, Tuning, WeightLayout, WeightType, When, Word, lower,
};
use naga::back::pipeline_constants::process_overrides;
use naga::valid::{Capabilities, ValidationFlags, Validator};

/// WebGPU's default limits: what every browser grants.
const MAX_WORKGROUP_BYTES: u32 = 16_384;
/// What NVIDIA's GPUs have; more hangs their driver.
const MAX_TENSOR_WORKGROUP_BYTES: u32 = 49_152;
/// What the kernels for cooperative matrices need.
const TENSOR_CAPABILITIES: Capabilities =
    Capabilities::SHADER_FLOAT16.union(Capabilities::SUBGROUP).union(Capabilities::COOPERATIVE_MATRIX);
const MAX_INVOCATIONS: u32 = 256;
/// What adapters are asked for before they are taken for tensor ones.
const MAX_TENSOR_INVOCATIONS: u32 = 512;
const MAX_STORAGE_BUFFERS: usize = 8;

/// None, and one for every tile.
fn tunings(plan: &Plan) -> Vec<Tuning> {
    let mut all = vec![Tuning::default()];
    all.extend(Tile::OF_GPUS.map(|tile| support::only(plan, tile)));
    all
}

/// What a kind of machine lets kernels have.
#[derive(Clone, Copy)]
struct Machine {
    name: &'static str,
    class: Class,
    cooperative: Option<Cooperative>,
    subgroup: u32,
    max_workgroup_bytes: u32,
}

impl Machine {
    const fn tensor(name: &'static str, side: u32, invocations: u32, max_workgroup_bytes: u32) -> Self {
        let cooperative = Some(Cooperative { side, invocations });
        Machine { name, class: Class::Tensor, cooperative, subgroup: 0, max_workgroup_bytes }
    }

    const fn plain(name: &'static str, class: Class, subgroup: u32, max_workgroup_bytes: u32) -> Self {
        Machine { name, class, cooperative: None, subgroup, max_workgroup_bytes }
    }

    fn limits(&self) -> Limits {
        Limits {
            max_binding_bytes: 1 << 27,
            cooperative: self.cooperative,
            subgroup: self.subgroup,
            max_workgroup_bytes: self.max_workgroup_bytes,
        }
    }

    /// Every combination of kernel and constants of the cases, once.
    fn dispatches(&self) -> BTreeMap<String, Dispatch> {
        let mut found = BTreeMap::new();
        for case in support::cases() {
            for weights in [WeightType::F32, WeightType::F16] {
                for tuning in tunings(&case.plan) {
                    for dispatch in lower(&case.plan, self.class, weights, &self.limits(), &tuning).unwrap() {
                        let label = dispatch.kernel.label();
                        let bytes = dispatch.workgroup_bytes;
                        assert!(bytes <= self.max_workgroup_bytes, "{label} on {}: {bytes} bytes", self.name);
                        found.entry(format!("{label} {:?}", dispatch.constants)).or_insert(dispatch);
                    }
                }
            }
        }
        found
    }
}

/// The kinds there are. Sides of cooperative matrices and sizes of subgroups (here, eight of the largest) are what drivers report.
const MACHINES: [Machine; 15] = [
    Machine::tensor("NVIDIA", 16, 256, 49_152),
    Machine::tensor("AMD from RDNA 3 on, with subgroups of 64", 16, 512, 65_536),
    Machine::tensor("the same with a driver that gives less", 16, 512, 32_768),
    Machine::tensor("Apple from M1 on", 8, 256, 32_768),
    Machine::tensor("lavapipe from Mesa 26 on, taken for a GPU", 8, 64, 32_768),
    Machine::plain("GPUs with f16 but no cooperative matrices: older AMD, Intel", Class::Half, 8, 32_768),
    Machine::plain(
        "the same with subgroups that may be smaller than eight, which Metal says of all",
        Class::Half,
        0,
        32_768,
    ),
    Machine::plain("browsers on GPUs with f16", Class::Half, 0, MAX_WORKGROUP_BYTES),
    Machine::plain("browsers on GPUs with f16 and subgroups", Class::Half, 8, MAX_WORKGROUP_BYTES),
    Machine::plain("GPUs with neither", Class::Gpu, 0, 32_768),
    Machine::plain("the least that Vulkan promises", Class::Gpu, 0, 16_384),
    Machine::plain("browsers", Class::Browser, 0, MAX_WORKGROUP_BYTES),
    Machine::plain("software without subgroups", Class::Software, 0, MAX_WORKGROUP_BYTES),
    Machine::plain("SwiftShader", Class::Software, 4, MAX_WORKGROUP_BYTES),
    Machine::plain("lavapipe", Class::Software, 8, MAX_WORKGROUP_BYTES),
];

/// Every combination of kernel and constants of the cases on any machine, once.
fn dispatches() -> Vec<Dispatch> {
    let all: BTreeMap<_, _> = MACHINES.iter().flat_map(Machine::dispatches).collect();
    all.into_values().collect()
}

fn parse(dispatch: &Dispatch) -> naga::Module {
    let source = dispatch.kernel.source();
    naga::front::wgsl::parse_str(&source)
        .unwrap_or_else(|error| panic!("{}: {}", dispatch.kernel.label(), error.emit_to_string(&source)))
}

/// Validated as a browser would, and with its constants filled in.
fn specialised(dispatch: &Dispatch) -> (naga::Module, naga::valid::ModuleInfo) {
    let label = format!("{} {:?}", dispatch.kernel.label(), dispatch.constants);
    let module = parse(dispatch);
    // No more than what the engine asks the device for; unpack2x16float is there always.
    let mut allowed = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    allowed.set(Capabilities::SHADER_FLOAT16, dispatch.kernel.uses_f16());
    allowed.set(Capabilities::SUBGROUP, dispatch.kernel.uses_subgroups());
    allowed.set(Capabilities::COOPERATIVE_MATRIX, dispatch.kernel.variant.starts_with("tensor"));
    let info = Validator::new(ValidationFlags::all(), allowed)
        .validate(&module)
        .unwrap_or_else(|error| panic!("{label}: {}", error.emit_to_string(&dispatch.kernel.source())));
    let constants = dispatch.constants.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    let entry = (naga::ShaderStage::Compute, "main");
    let (module, info) = process_overrides(&module, &info, Some(entry), &constants)
        .unwrap_or_else(|error| panic!("{label}: {error}"));
    (module.into_owned(), info.into_owned())
}

#[test]
fn cases_reach_every_kernel() {
    let reached: BTreeSet<_> = dispatches().iter().map(|dispatch| dispatch.kernel.label()).collect();
    let all: BTreeSet<_> = KERNELS.iter().map(|kernel| kernel.label()).collect();
    assert_eq!(reached, all);
}

/// A machine with less workgroup memory than a kernel needs runs another one, but no less of the others.
#[test]
fn machines_run_what_they_have_room_for() {
    let runs =
        |machine: &Machine, start: &str| machine.dispatches().keys().any(|kernel| kernel.starts_with(start));
    for machine in &MACHINES {
        let side = machine.cooperative.map_or(0, |cooperative| cooperative.side);
        for kind in ["matmul.tensor-16", "attention.tensor-16", "matmul.tensor-8", "attention.tensor-8"] {
            assert_eq!(
                runs(machine, kind),
                kind.ends_with(&format!("-{side}")),
                "{kind} on {}",
                machine.name
            );
        }
    }
    for machine in &MACHINES {
        let (half, octets) = (machine.class == Class::Half, machine.subgroup >= 8);
        for kind in ["matmul.half", "attention.half-head", "add_layernorm.half", "attention.half-octets"] {
            let expected = match kind {
                "attention.half-head" => half && !octets,
                "attention.half-octets" => half && octets,
                "add_layernorm.half" => half || runs(machine, "matmul.tensor"),
                _ => half,
            };
            assert_eq!(runs(machine, kind), expected, "{kind} on {}", machine.name);
        }
    }
    let small = &MACHINES[2];
    let matmuls: Vec<_> =
        small.dispatches().into_keys().filter(|kernel| kernel.starts_with("matmul.tensor-16")).collect();
    assert!(matmuls.iter().all(|kernel| {
        kernel.contains("-few") || kernel.contains("-medium") && kernel.contains("(\"stages\", 1.0)")
    }));
    assert!(runs(small, "attention.tensor-16-head-32") && !runs(small, "attention.tensor-16-head-64"));
    // Above what one driver was seen to hang at, nothing changes.
    let with = |max_workgroup_bytes| Machine { max_workgroup_bytes, ..MACHINES[0] }.dispatches();
    assert!(with(49_152).into_keys().eq(with(1 << 20).into_keys()));
    assert!(with(49_152).values().all(|dispatch| dispatch.workgroup_bytes <= MAX_TENSOR_WORKGROUP_BYTES));
    assert!(!with(16_384).keys().any(|kernel| kernel.contains(".tensor-16")));
}

/// Where short texts have an attention of their own, the other one leaves them out: every text is computed once, by what its length says.
#[test]
fn every_text_has_one_attention() {
    let mut split = 0;
    for machine in &MACHINES {
        for case in support::cases() {
            let mut by_step: BTreeMap<usize, Vec<TextTiles>> = BTreeMap::new();
            let limits = machine.limits();
            for dispatch in
                lower(&case.plan, machine.class, WeightType::F16, &limits, &Tuning::default()).unwrap()
            {
                if let Count::Tiles(tiles) = dispatch.count {
                    assert!(dispatch.bindings.contains(&(Resource::Tiles(tiles), Access::Read)));
                    by_step.entry(dispatch.step).or_default().push(tiles);
                }
            }
            for tiles in by_step.values() {
                split += usize::from(tiles.len() > 1);
                for len in 1..=support::POSITIONS {
                    let ours: Vec<_> = tiles.iter().filter(|tiles| tiles.of(len) > 0).collect();
                    assert_eq!(ours.len(), 1, "{len} tokens: {tiles:?}");
                    assert_eq!(ours[0].of(len), len.div_ceil(ours[0].rows as usize));
                }
            }
        }
    }
    assert!(split > 10, "only {split} steps treat short texts apart");
}

/// Batches of few rows have matmuls of their own: whatever the number of rows, every slice of every matrix is multiplied once.
#[test]
fn every_matrix_is_multiplied_once_whatever_the_rows() {
    let mut apart = 0;
    for machine in &MACHINES {
        for case in support::cases() {
            for weights in [WeightType::F32, WeightType::F16] {
                let tuning = Tuning::default();
                let dispatches =
                    lower(&case.plan, machine.class, weights, &machine.limits(), &tuning).unwrap();
                let mut by_slice: BTreeMap<_, Vec<&Dispatch>> = BTreeMap::new();
                for dispatch in dispatches.iter().filter(|dispatch| dispatch.kernel.name == "matmul") {
                    let (_, first) = dispatch.params[3];
                    by_slice.entry((dispatch.step, first.bits())).or_default().push(dispatch);
                }
                for all in by_slice.values() {
                    apart += usize::from(all.len() > 1);
                    for rows in [1, FEW_ROWS, FEW_ROWS + 1, 5_000] {
                        let runs: Vec<_> = all.iter().filter(|dispatch| dispatch.when.holds(rows)).collect();
                        assert_eq!(runs.len(), 1, "{} on {}: {rows} rows", case.name, machine.name);
                        // The same weights: they are on the device once.
                        assert_eq!(runs[0].bindings[1], all[0].bindings[1], "{}", case.name);
                    }
                    assert!(!all.iter().any(|dispatch| dispatch.when.holds(0)));
                }
            }
        }
    }
    assert!(apart > 100, "only {apart} products treat few rows apart");
}

/// The kernels that measure a device's peaks belong to no plan.
#[test]
fn peak_kernels_validate_and_translate() {
    for kernel in [&PEAK_FMA, &PEAK_COPY].into_iter().chain(&PEAK_COOPERATIVE) {
        let module = naga::front::wgsl::parse_str(&kernel.source()).unwrap();
        let tensor = kernel.variant.starts_with("cooperative");
        let allowed = if tensor { TENSOR_CAPABILITIES } else { Capabilities::empty() };
        let info = Validator::new(ValidationFlags::all(), allowed).validate(&module).unwrap();
        let constants = [("workgroup_size".to_owned(), 64.0)].into_iter().collect();
        let entry = (naga::ShaderStage::Compute, "main");
        let (module, info) = process_overrides(&module, &info, Some(entry), &constants).unwrap();
        let targets = if tensor { cooperative_targets(kernel.variant) } else { Targets::ALL };
        translate(kernel.variant, &module, &info, targets);
    }
}

/// What a kernel is translated to.
#[derive(Clone, Copy)]
struct Targets {
    /// Cooperative matrices came with SPIR-V 1.6's memory model.
    spirv: (u8, u8),
    /// With cooperative matrices from 2.3 on.
    msl: Option<(u8, u8)>,
    hlsl: Option<naga::back::hlsl::ShaderModel>,
}

impl Targets {
    const ALL: Targets =
        Targets { spirv: (1, 0), msl: Some((1, 0)), hlsl: Some(naga::back::hlsl::ShaderModel::V5_1) };
}

/// Where kernels with cooperative matrices of this side run: 16 by 16 is not there on Metal, nor any on DX12.
fn cooperative_targets(variant: &str) -> Targets {
    let metal = variant.contains("-8");
    Targets { spirv: (1, 6), msl: metal.then_some((2, 3)), hlsl: None }
}

fn translate(label: &str, module: &naga::Module, info: &naga::valid::ModuleInfo, targets: Targets) {
    naga::back::spv::write_vec(
        module,
        info,
        &naga::back::spv::Options {
            fake_missing_bindings: true,
            lang_version: targets.spirv,
            ..Default::default()
        },
        Some(&naga::back::spv::PipelineOptions {
            shader_stage: naga::ShaderStage::Compute,
            entry_point: "main".to_owned(),
        }),
    )
    .unwrap_or_else(|error| panic!("{label} to SPIR-V: {error}"));
    if let Some(lang_version) = targets.msl {
        naga::back::msl::write_string(
            module,
            info,
            &naga::back::msl::Options { fake_missing_bindings: true, lang_version, ..Default::default() },
            &naga::back::msl::PipelineOptions {
                entry_point: Some((naga::ShaderStage::Compute, "main".to_owned())),
                ..Default::default()
            },
        )
        .unwrap_or_else(|error| panic!("{label} to MSL: {error}"));
        cooperative_pointers_are_metals(label, module, info);
    }
    if let Some(shader_model) = targets.hlsl {
        let options =
            naga::back::hlsl::Options { fake_missing_bindings: true, shader_model, ..Default::default() };
        let pipeline = naga::back::hlsl::PipelineOptions {
            entry_point: Some((naga::ShaderStage::Compute, "main".to_owned())),
        };
        let mut hlsl = String::new();
        naga::back::hlsl::Writer::new(&mut hlsl, &options, &pipeline)
            .write(module, info, None)
            .unwrap_or_else(|error| panic!("{label} to HLSL: {error}"));
    }
}

/// Metal loads and stores matrices through pointers to single values; naga also translates those to vectors, to MSL that does not compile.
fn cooperative_pointers_are_metals(label: &str, module: &naga::Module, info: &naga::valid::ModuleInfo) {
    fn stores(block: &naga::Block, found: &mut Vec<naga::Handle<naga::Expression>>) {
        for statement in block {
            match statement {
                naga::Statement::CooperativeStore { data, .. } => found.push(data.pointer),
                naga::Statement::Block(block) => stores(block, found),
                naga::Statement::If { accept, reject, .. } => {
                    stores(accept, found);
                    stores(reject, found);
                }
                naga::Statement::Loop { body, continuing, .. } => {
                    stores(body, found);
                    stores(continuing, found);
                }
                naga::Statement::Switch { cases, .. } => {
                    cases.iter().for_each(|case| stores(&case.body, found));
                }
                _ => {}
            }
        }
    }
    let functions = module.functions.iter().map(|(handle, function)| (function, &info[handle]));
    let main = (&module.entry_points[0].function, info.get_entry_point(0));
    for (function, info) in functions.chain([main]) {
        let mut pointers = vec![];
        stores(&function.body, &mut pointers);
        pointers.extend(function.expressions.iter().filter_map(|(_, expression)| match expression {
            naga::Expression::CooperativeLoad { data, .. } => Some(data.pointer),
            _ => None,
        }));
        for pointer in pointers {
            let base = info[pointer].ty.inner_with(&module.types).pointer_base_type().unwrap();
            let inner = base.inner_with(&module.types);
            assert!(
                matches!(inner, naga::TypeInner::Scalar(_)),
                "{label}: a matrix at a pointer to {inner:?}"
            );
        }
    }
}

#[test]
fn every_variant_validates_and_translates() {
    let found = dispatches();
    assert!(found.len() > 60, "only {} variants", found.len());
    for dispatch in &found {
        let label = format!("{} {:?}", dispatch.kernel.label(), dispatch.constants);
        let (module, info) = specialised(dispatch);
        let tensor = dispatch.kernel.variant.starts_with("tensor");

        assert_eq!(module.entry_points[0].workgroup_size, dispatch.workgroup_size, "{label}");
        let most = if tensor { MAX_TENSOR_INVOCATIONS } else { MAX_INVOCATIONS };
        assert!(dispatch.workgroup_size.iter().product::<u32>() <= most, "{label}");
        let mut layouter = naga::proc::Layouter::default();
        layouter.update(module.to_ctx()).unwrap();
        let workgroup_bytes: u32 = module
            .global_variables
            .iter()
            .filter(|(_, variable)| variable.space == naga::AddressSpace::WorkGroup)
            .map(|(_, variable)| layouter[variable.ty].size)
            .sum();
        let most = if tensor { MAX_TENSOR_WORKGROUP_BYTES } else { MAX_WORKGROUP_BYTES };
        assert!(workgroup_bytes <= most, "{label}: {workgroup_bytes} bytes of workgroup memory");
        // What the engine holds against the device's limit before it compiles anything.
        assert!(workgroup_bytes <= dispatch.workgroup_bytes, "{label}: {workgroup_bytes} bytes");
        assert!(!tensor || workgroup_bytes == dispatch.workgroup_bytes, "{label}: {workgroup_bytes} bytes");

        let targets = match dispatch.kernel.variant {
            // f16 came to DX12 with 6.2, subgroups to Metal with 2.1.
            variant if variant.starts_with("half") => {
                Targets { msl: Some((2, 1)), hlsl: Some(naga::back::hlsl::ShaderModel::V6_2), ..Targets::ALL }
            }
            variant if tensor => cooperative_targets(variant),
            _ => Targets::ALL,
        };
        translate(&label, &module, &info, targets);
    }
}

/// WGSL sets a variable without an initial value to zero whenever its declaration is reached. Chromium's compiler (seen
/// in 156) does so once for the whole function: a sum that is declared in a loop goes on from the round before.
#[test]
fn every_local_variable_says_where_it_starts() {
    for kernel in KERNELS {
        for line in kernel.source().lines() {
            let local = line.starts_with(' ') && line.trim_start().starts_with("var ");
            assert!(!local || line.contains('='), "{}: give this an initial value: {line}", kernel.label());
        }
    }
}

#[test]
fn bindings_and_parameters_are_what_the_engine_gives() {
    for dispatch in dispatches() {
        let label = dispatch.kernel.label();
        let module = parse(&dispatch);
        let mut accesses = BTreeMap::new();
        for (_, variable) in module.global_variables.iter() {
            let Some(binding) = &variable.binding else {
                let own =
                    matches!(variable.space, naga::AddressSpace::WorkGroup | naga::AddressSpace::Private);
                assert!(own, "{label}");
                continue;
            };
            assert_eq!(binding.group, 0, "{label}");
            match variable.space {
                naga::AddressSpace::Uniform => {
                    assert_eq!(binding.binding, 0, "{label}");
                    check_params(&dispatch, &module.types[variable.ty]);
                }
                naga::AddressSpace::Storage { access } => {
                    let writes = access.contains(naga::StorageAccess::STORE);
                    accesses.insert(binding.binding, if writes { Access::ReadWrite } else { Access::Read });
                }
                other => panic!("{label}: a binding in {other:?}"),
            }
        }
        let expected: BTreeMap<_, _> =
            dispatch.bindings.iter().enumerate().map(|(at, (_, access))| (at as u32 + 1, *access)).collect();
        assert_eq!(accesses, expected, "{label}");
        assert!(expected.len() <= MAX_STORAGE_BUFFERS, "{label}");
    }
}

fn check_params(dispatch: &Dispatch, params: &naga::Type) {
    let label = dispatch.kernel.label();
    let naga::TypeInner::Struct { members, span } = &params.inner else {
        panic!("{label}: Params is no struct")
    };
    assert_eq!(*span as usize, 4 * dispatch.params.len(), "{label}");
    for (at, (member, (name, _))) in members.iter().zip(&dispatch.params).enumerate() {
        assert_eq!(member.name.as_deref(), Some(*name), "{label}");
        assert_eq!(member.offset as usize, 4 * at, "{label}.{name}");
    }
}

#[test]
fn parameter_types_are_what_the_engine_writes() {
    for dispatch in dispatches() {
        let module = parse(&dispatch);
        let (_, params) = module
            .types
            .iter()
            .find(|(_, ty)| ty.name.as_deref() == Some("Params"))
            .unwrap_or_else(|| panic!("{} has no Params", dispatch.kernel.label()));
        let naga::TypeInner::Struct { members, .. } = &params.inner else { panic!("Params is no struct") };
        for (member, (name, word)) in members.iter().zip(&dispatch.params) {
            let expected = match word {
                Word::U32(_) => naga::Scalar::U32,
                Word::F32(_) => naga::Scalar::F32,
            };
            let found = module.types[member.ty].inner.scalar();
            assert_eq!(found, Some(expected), "{}.{name}", dispatch.kernel.label());
        }
    }
}

/// Tile sizes are constants of the shaders and of the Rust side: they must agree.
#[test]
fn tiles_are_what_the_engine_dispatches() {
    let mut checked = 0;
    for dispatch in dispatches() {
        let label = dispatch.kernel.label();
        let (module, _) = specialised(&dispatch);
        let constant = |name: &str| {
            let (_, constant) = module
                .constants
                .iter()
                .find(|(_, constant)| constant.name.as_deref() == Some(name))
                .unwrap_or_else(|| panic!("{label} has no constant {name}"));
            match module.global_expressions[constant.init] {
                naga::Expression::Literal(naga::Literal::U32(value)) => value,
                naga::Expression::Literal(naga::Literal::Bool(value)) => u32::from(value),
                ref other => panic!("{label}: {name} is {other:?}"),
            }
        };
        match dispatch.kernel.name {
            "matmul" => {
                let (columns, rows) = (4 * constant("TILE_VECS"), constant("TILE_ROWS"));
                assert_eq!(dispatch.groups[1], Groups::Per(rows), "{label}");
                let layouts: Vec<_> = dispatch
                    .bindings
                    .iter()
                    .filter_map(|(resource, _)| match resource {
                        Resource::Weight(slice) if slice.layout != WeightLayout::Rows => Some(slice.layout),
                        _ => None,
                    })
                    .collect();
                let [WeightLayout::Transposed { columns: padded }] = layouts[..] else {
                    panic!("{label}: {layouts:?}")
                };
                // A kernel for few rows reads the layout of the one for many, whose tiles are as wide or wider.
                let few = dispatch.when == When::Few;
                assert!(
                    if few { padded.is_multiple_of(columns as usize) } else { padded == columns as usize },
                    "{label}"
                );
                let (_, n) = dispatch.params[4];
                assert_eq!(dispatch.groups[0], Groups::Fixed(n.bits().div_ceil(columns)), "{label}");
            }
            "attention" | "attention_probabilities" => {
                let Count::Tiles(tiles) = dispatch.count else { panic!("{label} counts no tiles") };
                assert_eq!(tiles.rows, constant("TILE"), "{label}");
                if dispatch.kernel.variant.starts_with("tensor") && constant("one_block") == 1 {
                    assert_eq!(tiles.longest, constant("BLOCK"), "{label}");
                }
            }
            _ => continue,
        }
        checked += 1;
    }
    assert!(checked > 30, "only {checked} kernels with tiles");
}
