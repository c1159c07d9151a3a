//! Compiled kernels on disk, so that the next process need not compile them again. Vulkan only: the other backends' drivers
//! keep such caches themselves.

use super::adapter::AdapterReport;
use crate::plan::kernels::KERNELS;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Files larger than this are no cache of ours.
const LARGEST: u64 = 64 << 20;

/// The cache of one adapter in one folder. Everything here is best effort: without it kernels compile as ever.
pub(super) struct PipelineCache {
    cache: wgpu::PipelineCache,
    path: PathBuf,
}

impl PipelineCache {
    /// Opens the cache for this adapter, empty where there is none; `None` where the device has no such feature.
    pub(super) fn open(device: &wgpu::Device, report: &AdapterReport, folder: &Path) -> Option<Self> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let path = folder.join(format!("{}.pipelines", key(report)));
        let small = std::fs::metadata(&path).is_ok_and(|file| file.len() <= LARGEST);
        let data = if small { std::fs::read(&path).ok().and_then(unseal) } else { None };
        let descriptor = wgpu::PipelineCacheDescriptor {
            label: Some("frostbert"),
            data: data.as_deref(),
            // What the driver does not take is dropped.
            fallback: true,
        };
        // SAFETY: the data came from `get_data` of such a cache: the file's checksum says that it is whole, its name that it
        // belongs to this driver and these kernels; wgpu and the driver check their versions in its header.
        let cache = unsafe { device.create_pipeline_cache(&descriptor) };
        Some(PipelineCache { cache, path })
    }

    pub(super) fn inner(&self) -> &wgpu::PipelineCache {
        &self.cache
    }

    /// Writes the cache. A failure costs the next process some time, and is not worth a word.
    pub(super) fn save(&self) {
        let Some(data) = self.cache.get_data() else { return };
        let _ = keep(&self.path, &seal(&data));
    }
}

/// Writes a file whole, or leaves it as it was.
pub(super) fn keep(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    std::fs::create_dir_all(folder)?;
    crate::platform::whole_file::write(path, bytes)
}

/// A name that changes with whatever makes compiled kernels and measurements of them useless: adapter, driver, kernels, and
/// our version, which names that of wgpu.
pub(super) fn key(report: &AdapterReport) -> String {
    let mut hash = Sha256::new();
    for part in [&report.name, &report.driver, &report.backend] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.update(env!("CARGO_PKG_VERSION"));
    for kernel in KERNELS {
        hash.update(kernel.label());
        hash.update(kernel.source());
    }
    let hash = hash.finalize();
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

const CHECKSUM: usize = 32;

fn seal(data: &[u8]) -> Vec<u8> {
    let mut sealed = Sha256::digest(data).to_vec();
    sealed.extend_from_slice(data);
    sealed
}

/// The data, if it is what was sealed.
fn unseal(mut file: Vec<u8>) -> Option<Vec<u8>> {
    if file.len() < CHECKSUM || Sha256::digest(&file[CHECKSUM..])[..] != file[..CHECKSUM] {
        return None;
    }
    file.drain(..CHECKSUM);
    Some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_no_cache() {
        let sealed = seal(b"compiled");
        assert_eq!(unseal(sealed.clone()).unwrap(), b"compiled");
        assert_eq!(unseal(Vec::new()), None);
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert_eq!(unseal(damaged), None, "byte {at}");
            assert_eq!(unseal(sealed[..at].to_vec()), None, "{at} bytes");
        }
    }
}
