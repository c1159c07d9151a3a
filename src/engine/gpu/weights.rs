//! Weights on the device: laid out for the kernel that reads them, uploaded once, shared between plans.

use super::context::Context;
use super::fault::{Caught, lock};
use super::platform;
use crate::engine::check;
use crate::engine::rounding::halves;
use crate::error::Result;
use crate::model::{WeightSource, WeightSpec};
use crate::plan::Plan;
use crate::plan::kernels::{Resource, WeightLayout, WeightSlice, WeightType, relative_bucket};
use half::f16;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

/// A buffer for each weight of a plan.
type Buffers = HashMap<Resource, Arc<wgpu::Buffer>>;

/// What is in a buffer.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Weight { spec: WeightSpec, layout: WeightLayout, stored: WeightType, first: usize, rows: usize },
    Frequencies { theta_bits: u32, head_dim: u32 },
}

/// Every weight that a living plan of this device uses.
#[derive(Default)]
pub(super) struct Weights {
    buffers: Mutex<HashMap<Key, Weak<wgpu::Buffer>>>,
}

impl Weights {
    /// A buffer for each resource that is a weight, none for the others, and what the uploads caught. One tensor is in host
    /// memory at a time.
    pub(super) fn get(
        &self,
        context: &Context,
        plan: &Plan,
        source: &dyn WeightSource,
        resources: &[Resource],
    ) -> Result<(Buffers, Vec<Caught>)> {
        let mut got = HashMap::new();
        let mut uploads = Vec::new();
        let mut loaded: Option<(usize, Vec<f32>)> = None;
        let mut buffers = lock(&self.buffers);
        for resource in resources {
            let (key, label) = match resource {
                Resource::Weight(slice) => {
                    let WeightSlice { weight, layout, stored, first, rows } = *slice;
                    let spec = plan.weight(weight).clone();
                    let label = spec.label().to_owned();
                    (Key::Weight { spec, layout, stored, first, rows }, label)
                }
                Resource::Frequencies { theta_bits, head_dim } => (
                    Key::Frequencies { theta_bits: *theta_bits, head_dim: *head_dim },
                    "frequencies".to_owned(),
                ),
                _ => continue,
            };
            if got.contains_key(resource) {
                continue;
            }
            if let Some(buffer) = buffers.get(&key).and_then(Weak::upgrade) {
                got.insert(*resource, buffer);
                continue;
            }
            let values = match resource {
                Resource::Weight(slice) => {
                    let at = slice.weight.index();
                    if loaded.as_ref().is_none_or(|(index, _)| *index != at) {
                        loaded = Some((at, check::weight(source, plan.weight(slice.weight))?));
                    }
                    let (_, values) = loaded.as_ref().expect("loaded just above");
                    lay_out(values, plan.weight(slice.weight), slice)
                }
                Resource::Frequencies { theta_bits, head_dim } => {
                    frequencies(f32::from_bits(*theta_bits), *head_dim)
                }
                _ => continue,
            };
            let half = matches!(resource, Resource::Weight(slice) if slice.stored == WeightType::F16);
            let (buffer, caught) = if half {
                upload(context, &label, bytemuck::cast_slice(&packed_halves(&label, &values)?))?
            } else {
                upload(context, &label, bytemuck::cast_slice(&values))?
            };
            let buffer = Arc::new(buffer);
            uploads.push(caught);
            buffers.insert(key, Arc::downgrade(&buffer));
            got.insert(*resource, buffer);
        }
        buffers.retain(|_, buffer| buffer.strong_count() > 0);
        Ok((got, uploads))
    }

    /// Bytes of the weights that a living plan uses.
    pub(super) fn bytes(&self) -> u64 {
        lock(&self.buffers).values().filter_map(Weak::upgrade).map(|buffer| buffer.size()).sum()
    }
}

/// Rounded to f16, and a zero more where there is an odd number of them: a shader reads two at a time.
fn packed_halves(label: &str, values: &[f32]) -> Result<Vec<f16>> {
    let mut halves = halves(label, values)?;
    halves.resize(values.len().next_multiple_of(2), f16::ZERO);
    Ok(halves)
}

fn upload(context: &Context, label: &str, bytes: &[u8]) -> Result<(wgpu::Buffer, Caught)> {
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
    let scope = context.scope();
    let buffer = context.buffer(label, bytes.len() as u64, usage);
    context.queue.write_buffer(&buffer, 0, bytes);
    // Writes wait in host memory until they are submitted and done: a large model would be there twice.
    context.queue.submit([]);
    let mut caught = scope.close();
    platform::tick(&context.device);
    caught.now().map_err(|error| error.context(format!("uploading {label}")))?;
    Ok((buffer, caught))
}

fn lay_out(values: &[f32], spec: &WeightSpec, slice: &WeightSlice) -> Vec<f32> {
    let cols = spec.cols();
    match slice.layout {
        WeightLayout::Rows => values[slice.first * cols..(slice.first + slice.rows) * cols].to_vec(),
        WeightLayout::Transposed { columns } => {
            transpose(&values[slice.first * cols..(slice.first + slice.rows) * cols], cols, columns)
        }
        WeightLayout::ByDistance { max_distance } => {
            let most = max_distance as i64;
            let rows = slice.first..slice.first + slice.rows;
            rows.flat_map(|head| {
                (-most..=most).map(move |distance| {
                    values[relative_bucket(distance, spec.rows(), max_distance) * cols + head]
                })
            })
            .collect()
        }
    }
}

/// `[n, k]` to `[k, n]`, k padded to a multiple of four and n to one of `columns`, with zeros. In blocks: a plain double
/// loop misses the cache on every element of one side.
fn transpose(values: &[f32], k: usize, columns: usize) -> Vec<f32> {
    const BLOCK: usize = 32;
    let n = values.len() / k;
    let stride = n.next_multiple_of(columns);
    let mut out = vec![0.0; k.next_multiple_of(4) * stride];
    for row in (0..n).step_by(BLOCK) {
        for col in (0..k).step_by(BLOCK) {
            for r in row..(row + BLOCK).min(n) {
                for c in col..(col + BLOCK).min(k) {
                    out[c * stride + r] = values[r * k + c];
                }
            }
        }
    }
    out
}

/// Source: `ROPE_INIT_FUNCTIONS["default"]` of transformers, in f32 as there.
fn frequencies(theta: f32, head_dim: u32) -> Vec<f32> {
    (0..head_dim / 2).map(|i| 1.0 / theta.powf((2 * i) as f32 / head_dim as f32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposed_weights_are_padded_with_zeros() {
        let (n, k, columns) = (33, 6, 8);
        let values: Vec<f32> = (0..n * k).map(|i| i as f32 + 1.0).collect();
        let out = transpose(&values, k, columns);
        assert_eq!(out.len(), 8 * 40);
        for c in 0..8 {
            for r in 0..40 {
                let expected = if c < k && r < n { values[r * k + c] } else { 0.0 };
                assert_eq!(out[c * 40 + r], expected, "row {c}, column {r}");
            }
        }
    }
}
