//! Every shader variant that a plan can ask for: parsed, validated as a browser would, compared with what the Rust side
//! believes of it, and translated for Vulkan, Metal and DX12. Needs no GPU.

#![allow(clippy::unwrap_used)] // Helpers of tests may.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use frostbert::plan::Plan;
use frostbert::plan::kernels::{
    Access, Class, Cooperative, Count, Dispatch, Groups, KERNELS, Limits, PEAK_COOPERATIVE, PEAK_COPY,
    PEAK_FMA, Resource, Tile, Tuning, WeightLayout, WeightType, Word, lower,
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

/// Every combination of kernel and constants of the cases, once.
fn dispatches() -> Vec<Dispatch> {
    let mut found = BTreeMap::new();
    let cooperative = |side, invocations| Some(Cooperative { side, invocations });
    for (class, cooperative, subgroup) in [
        (Class::Tensor, cooperative(16, 256), 0),
        // Subgroups of 64.
        (Class::Tensor, cooperative(16, 512), 0),
        (Class::Tensor, cooperative(8, 64), 0),
        (Class::Tensor, cooperative(8, 256), 0),
        (Class::Gpu, None, 0),
        (Class::Browser, None, 0),
        (Class::Software, None, 0),
        (Class::Software, None, 4),
        (Class::Software, None, 8),
    ] {
        for case in support::cases() {
            for weights in [WeightType::F32, WeightType::F16] {
                let max_workgroup_bytes =
                    if class == Class::Tensor { MAX_TENSOR_WORKGROUP_BYTES } else { MAX_WORKGROUP_BYTES };
                let limits =
                    Limits { max_binding_bytes: 1 << 27, cooperative, subgroup, max_workgroup_bytes };
                for tuning in tunings(&case.plan) {
                    for dispatch in lower(&case.plan, class, weights, &limits, &tuning).unwrap() {
                        let key = format!("{} {:?}", dispatch.kernel.label(), dispatch.constants);
                        found.entry(key).or_insert(dispatch);
                    }
                }
            }
        }
    }
    found.into_values().collect()
}

fn parse(dispatch: &Dispatch) -> naga::Module {
    let source = dispatch.kernel.source();
    naga::front::wgsl::parse_str(&source)
        .unwrap_or_else(|error| panic!("{}: {}", dispatch.kernel.label(), error.emit_to_string(&source)))
}

#[test]
fn cases_reach_every_kernel() {
    let reached: BTreeSet<_> = dispatches().iter().map(|dispatch| dispatch.kernel.label()).collect();
    let all: BTreeSet<_> = KERNELS.iter().map(|kernel| kernel.label()).collect();
    assert_eq!(reached, all);
}

/// A device with less workgroup memory than a tensor kernel needs runs another one, and none that asks for more than it has.
#[test]
fn no_kernel_asks_for_more_workgroup_memory_than_there_is() {
    let mut tensor = BTreeMap::new();
    for max_workgroup_bytes in [16_384, 32_768, 40_000, 49_152, 65_536, 1 << 20] {
        for side in [8, 16] {
            let cooperative = Some(Cooperative { side, invocations: 256 });
            let limits = Limits { max_binding_bytes: 1 << 27, cooperative, subgroup: 0, max_workgroup_bytes };
            for case in support::cases() {
                for tuning in tunings(&case.plan) {
                    let class = (Class::Tensor, WeightType::F16);
                    for dispatch in lower(&case.plan, class.0, class.1, &limits, &tuning).unwrap() {
                        let most = max_workgroup_bytes.min(MAX_TENSOR_WORKGROUP_BYTES);
                        assert!(dispatch.workgroup_bytes <= most, "{}", dispatch.kernel.label());
                        if dispatch.kernel.variant.starts_with("tensor-") {
                            *tensor.entry((side, max_workgroup_bytes)).or_insert(0) += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(!tensor.contains_key(&(16, 32_768)) && tensor.contains_key(&(8, 16_384)), "{tensor:?}");
    assert_eq!(tensor[&(16, 49_152)], tensor[&(16, 1 << 20)]);
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
        let lang_version = if tensor { (1, 6) } else { naga::back::spv::Options::default().lang_version };
        let options = naga::back::spv::Options { lang_version, ..Default::default() };
        naga::back::spv::write_vec(&module, &info, &options, None).unwrap();
    }
}

#[test]
fn every_variant_validates_and_translates() {
    let found = dispatches();
    assert!(found.len() > 60, "only {} variants", found.len());
    for dispatch in &found {
        let label = format!("{} {:?}", dispatch.kernel.label(), dispatch.constants);
        let module = parse(dispatch);
        let tensor = dispatch.kernel.variant.starts_with("tensor");
        // unpack2x16float, and quads.
        let allowed = match (tensor, dispatch.kernel.uses_subgroups()) {
            (true, _) => TENSOR_CAPABILITIES,
            (_, true) => Capabilities::SHADER_FLOAT16_IN_FLOAT32 | Capabilities::SUBGROUP,
            _ => Capabilities::SHADER_FLOAT16_IN_FLOAT32,
        };
        let info = Validator::new(ValidationFlags::all(), allowed)
            .validate(&module)
            .unwrap_or_else(|error| panic!("{label}: {}", error.emit_to_string(&dispatch.kernel.source())));
        let constants = dispatch.constants.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        let entry = (naga::ShaderStage::Compute, "main");
        let (module, info) = process_overrides(&module, &info, Some(entry), &constants)
            .unwrap_or_else(|error| panic!("{label}: {error}"));

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

        // Cooperative matrices came with SPIR-V 1.6's memory model.
        let lang_version = if tensor { (1, 6) } else { naga::back::spv::Options::default().lang_version };
        naga::back::spv::write_vec(
            &module,
            &info,
            &naga::back::spv::Options { fake_missing_bindings: true, lang_version, ..Default::default() },
            Some(&naga::back::spv::PipelineOptions {
                shader_stage: naga::ShaderStage::Compute,
                entry_point: "main".to_owned(),
            }),
        )
        .unwrap_or_else(|error| panic!("{label} to SPIR-V: {error}"));
        if tensor {
            continue; // for Vulkan only
        }
        naga::back::msl::write_string(
            &module,
            &info,
            &naga::back::msl::Options { fake_missing_bindings: true, ..Default::default() },
            &naga::back::msl::PipelineOptions {
                entry_point: Some((naga::ShaderStage::Compute, "main".to_owned())),
                ..Default::default()
            },
        )
        .unwrap_or_else(|error| panic!("{label} to MSL: {error}"));
        let options = naga::back::hlsl::Options { fake_missing_bindings: true, ..Default::default() };
        let pipeline = naga::back::hlsl::PipelineOptions {
            entry_point: Some((naga::ShaderStage::Compute, "main".to_owned())),
        };
        let mut hlsl = String::new();
        naga::back::hlsl::Writer::new(&mut hlsl, &options, &pipeline)
            .write(&module, &info, None)
            .unwrap_or_else(|error| panic!("{label} to HLSL: {error}"));
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
        let module = parse(&dispatch);
        let constant = |name: &str| {
            let (_, constant) = module
                .constants
                .iter()
                .find(|(_, constant)| constant.name.as_deref() == Some(name))
                .unwrap_or_else(|| panic!("{label} has no constant {name}"));
            match module.global_expressions[constant.init] {
                naga::Expression::Literal(naga::Literal::U32(value)) => value,
                ref other => panic!("{label}: {name} is {other:?}"),
            }
        };
        match dispatch.kernel.name {
            "matmul" => {
                let columns = 4 * constant("TILE_VECS");
                assert_eq!(dispatch.groups[1], Groups::Per(constant("TILE_ROWS")), "{label}");
                let layouts: Vec<_> = dispatch
                    .bindings
                    .iter()
                    .filter_map(|(resource, _)| match resource {
                        Resource::Weight(slice) if slice.layout != WeightLayout::Rows => Some(slice.layout),
                        _ => None,
                    })
                    .collect();
                assert_eq!(layouts, [WeightLayout::Transposed { columns: columns as usize }], "{label}");
                let (_, n) = dispatch.params[4];
                assert_eq!(dispatch.groups[0], Groups::Fixed(n.bits().div_ceil(columns)), "{label}");
            }
            "attention" | "attention_probabilities" => {
                assert_eq!(dispatch.count, Count::Tiles(constant("TILE")), "{label}");
            }
            _ => continue,
        }
        checked += 1;
    }
    assert!(checked > 30, "only {checked} kernels with tiles");
}
