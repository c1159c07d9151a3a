//! `frostbert devices`

use frostbert::Result;
use frostbert::engine::gpu;

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
             {} KiB workgroup memory, {} invocations a workgroup\n",
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
        );
    }
    text += "cpu  the CPU engine, always there\n";
    print(&text)
}
