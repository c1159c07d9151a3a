//! `frostbert devices`

use frostbert::Result;
use frostbert::engine::gpu;
use frostbert::plan::kernels::Class;

use super::{print, print_json};

#[derive(clap::Args)]
pub struct Args {
    /// One JSON array instead of a table
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let adapters = gpu::adapters();
    if args.json {
        return print_json(&adapters);
    }
    if adapters.is_empty() {
        eprintln!(
            "no WebGPU adapter found: install the GPU's Vulkan driver, or for a software adapter on Debian or Ubuntu \
             mesa-vulkan-drivers; the CPU engine (--device cpu) works without"
        );
        return Ok(());
    }
    let mut text = String::new();
    for adapter in &adapters {
        let features =
            if adapter.features.is_empty() { "none".to_owned() } else { adapter.features.join(", ") };
        let limits = &adapter.limits;
        text += &format!(
            "{}  {}\n   class {}, {}, {} ({})\n   features: {features}\n   limits: {} MiB a buffer, {} MiB a binding, \
             {} KiB workgroup memory, {} invocations a workgroup\n   contract: {}\n",
            adapter.index,
            adapter.name,
            adapter.class.name(),
            adapter.backend,
            adapter.device_type,
            adapter.driver,
            limits.max_buffer_bytes >> 20,
            limits.max_binding_bytes >> 20,
            limits.max_workgroup_bytes >> 10,
            limits.max_invocations,
            contract(adapter.class),
        );
    }
    text += "`frostbert verify --device NUMBER` holds an adapter to its contract, in f32 and in f16\n";
    text += "cpu  the CPU engine, always there\n";
    print(&text)
}

/// What the results of its kernels are held to.
fn contract(class: Class) -> &'static str {
    match class {
        Class::Tensor | Class::Half => {
            "f32 with f32 weights (four times PyTorch's own error); with f16 weights, those of f16 checkpoints too, f16 (a cosine of 0.9999): \
             its kernels then round what they multiply"
        }
        _ => {
            "f32, with the weights of f16 checkpoints too (four times PyTorch's own error); f16 (a cosine of 0.9999) where --dtype f16 rounds weights"
        }
    }
}
