//! What was measured, as text.

use frostbert::KernelProfile;

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
    for note in found.profile.iter().flat_map(|profile| slow_activations(&profile.kernels)) {
        text += &note;
    }
    text.push('\n');
    text
}

/// Matmuls with an activation that reach less than half of what their kernel reaches without one: an activation costs a few percent, so
/// a driver has made something else of the kernel (sums in memory instead of registers, as was seen once).
fn slow_activations(kernels: &[KernelProfile]) -> Vec<String> {
    let speed = |kernel: &KernelProfile| kernel.flops as f64 / kernel.nanoseconds;
    // Whether a tile reads or writes f16 is no other tile.
    let tile = |kernel: &KernelProfile| -> String {
        kernel.kernel.trim_end_matches("-out16").trim_end_matches("-x16").to_owned()
    };
    let matmuls = kernels.iter().filter(|kernel| kernel.kernel.starts_with("matmul.") && kernel.flops > 0);
    let (with, without): (Vec<_>, Vec<_>) = matmuls.partition(|kernel| kernel.activation);
    let mut notes = Vec::new();
    for slow in with {
        let others = without.iter().filter(|other| tile(other) == tile(slow)).map(|other| speed(other));
        let best = others.fold(0.0, f64::max);
        if 2.0 * speed(slow) < best {
            notes.push(format!(
                "  SLOW: {} at {} with its activation reaches {:.1} GFLOP/s, {:.0}% of the {best:.1} that the same kernel reaches without \
                 one; report it with this table\n",
                slow.kernel,
                slow.shape,
                speed(slow),
                100.0 * speed(slow) / best
            ));
        }
    }
    notes
}

fn share(value: f64, of: Option<f64>) -> String {
    of.map_or_else(|| "-".to_owned(), |of| format!("{:.0}%", 100.0 * value / of))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matmul(kernel: &str, activation: bool, gflops: u64) -> KernelProfile {
        KernelProfile {
            kernel: kernel.to_owned(),
            shape: "1536 x 384".to_owned(),
            activation,
            dispatches: 1,
            nanoseconds: 1e3,
            flops: gflops * 1000,
            bytes: 1,
        }
    }

    /// The figures of the defect that this would have found: 7.5 instead of 37 TFLOP/s.
    #[test]
    fn a_matmul_that_its_activation_slows_down_is_named() {
        let plain = matmul("matmul.gpu-large", false, 37_000);
        let slow = matmul("matmul.gpu-large", true, 7_500);
        let notes = slow_activations(&[plain.clone(), slow]);
        assert_eq!(notes.len(), 1);
        assert!(notes[0].contains("matmul.gpu-large at 1536 x 384") && notes[0].contains("20%"), "{notes:?}");
        for fine in [
            matmul("matmul.gpu-large", true, 35_000),
            // Another tile is no measure.
            matmul("matmul.gpu-small", true, 5_000),
            matmul("attention.gpu-head-64", true, 5_000),
        ] {
            assert_eq!(slow_activations(&[plain.clone(), fine.clone()]), Vec::<String>::new(), "{fine:?}");
        }
        let halves = [
            matmul("matmul.tensor-16-large-x16", false, 100),
            matmul("matmul.tensor-16-large-x16-out16", true, 40),
        ];
        assert_eq!(slow_activations(&halves).len(), 1, "the same tile, storing f16");
    }
}
