//! What was measured, as text.

use super::measure::Measured;

const MIB: f64 = (1 << 20) as f64;

pub fn render(found: &Measured) -> String {
    let device = &found.device;
    let mut text = format!(
        "{} ({}, {} layers of {}, {:.1} M parameters, weights {})\non {} ({}, kernels {}), batches of {} tokens\n",
        found.model,
        found.family,
        found.layers,
        found.hidden,
        found.parameters as f64 / 1e6,
        found.weights.name(),
        device.name,
        device.backend,
        device.class,
        found.batch_tokens,
    );
    if let Some(peak) = &found.peak {
        let cooperative = peak
            .cooperative
            .map_or(String::new(), |flops| format!("{:.1} GFLOP/s in cooperative matrices, ", flops / 1e9));
        text += &format!(
            "  peak         {:.1} GFLOP/s multiply-add in registers, {cooperative}{:.1} GB/s copy\n",
            peak.flops / 1e9,
            peak.bytes / 1e9
        );
    }
    if let Some(cold) = &found.cold_start {
        text += &format!(
            "  cold start   {:.2} s from process start to the first embedding ({:.2} s without the pipeline cache)\n",
            cold.seconds, cold.without_pipeline_cache_seconds
        );
    }
    text += &format!("  load         {:.2} s in a running process\n", found.load_seconds);
    if let Some(latency) = &found.latency {
        text += &format!(
            "  one text     {:.2} ms median, {:.2} ms p95 (8 tokens)\n",
            latency.p50_ms, latency.p95_ms
        );
    }
    let process = found
        .process_bytes
        .map_or(String::new(), |bytes| format!(", process at most {:.0} MiB", bytes as f64 / MIB));
    text += &format!(
        "  memory       {:.0} MiB of weights and batches{process}\n",
        found.device_bytes as f64 / MIB
    );
    text += "\n  mix      texts    tokens   texts/s   tokens/s   GFLOP/s  of peak  real/computed\n";
    for mix in &found.mixes {
        text += &format!(
            "  {:<6}  {:>6}  {:>8}  {:>8.1}  {:>9.0}  {:>8.1}  {:>7}  {:>13.3}\n",
            mix.mix,
            mix.texts,
            mix.tokens,
            mix.texts_per_second,
            mix.tokens_per_second,
            mix.gflops,
            share(mix.gflops * 1e9, found.peak.map(|peak| peak.cooperative.unwrap_or(peak.flops))),
            mix.real_of_computed_tokens
        );
    }
    if let Some(profile) = &found.profile {
        let total: f64 = profile.kernels.iter().map(|kernel| kernel.nanoseconds).sum();
        text += &format!(
            "\n  one batch of {} texts, {} tokens, kernel by kernel: {:.2} ms\n",
            profile.texts,
            profile.tokens,
            total / 1e6
        );
        text += "  kernel                          shape          runs        ms   share   GFLOP/s  of peak    GB/s\n";
        for kernel in &profile.kernels {
            text += &format!(
                "  {:<30}  {:<13}  {:>4}  {:>8.3}  {:>5.1}%  {:>8}  {:>7}  {:>6.1}\n",
                kernel.kernel,
                kernel.shape,
                kernel.dispatches,
                kernel.nanoseconds / 1e6,
                100.0 * kernel.nanoseconds / total,
                if kernel.flops > 0 {
                    format!("{:.1}", kernel.flops as f64 / kernel.nanoseconds)
                } else {
                    "-".into()
                },
                share(
                    kernel.flops as f64 / kernel.nanoseconds * 1e9,
                    found.peak.filter(|_| kernel.flops > 0).map(|peak| peak.of(&kernel.kernel))
                ),
                kernel.bytes as f64 / kernel.nanoseconds,
            );
        }
    }
    text.push('\n');
    text
}

fn share(value: f64, of: Option<f64>) -> String {
    of.map_or_else(|| "-".to_owned(), |of| format!("{:.0}%", 100.0 * value / of))
}
