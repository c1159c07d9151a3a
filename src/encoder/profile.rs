//! Where the time of a batch goes, kernel by kernel.

use super::session::{fill, select_none};
use super::{EmbedOptions, Encoder, Text};
use crate::error::{Error, Result};
use crate::plan::{Peak, Request, Step};
use crate::platform::entry;
use crate::text::Encoding;

/// One batch, kernel by kernel.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Profile {
    /// Texts of the batch.
    pub texts: usize,
    /// Tokens of the batch.
    pub tokens: usize,
    /// Kernels in the order of their first use, those of one kernel and shape together.
    pub kernels: Vec<KernelProfile>,
}

/// All dispatches of one kernel with one shape in a batch.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct KernelProfile {
    /// `KERNEL.VARIANT`.
    pub kernel: String,
    /// `1536 x 384` of a matrix, `heads x head_dim` of attention, columns elsewhere.
    pub shape: String,
    /// Whether the products of a matmul go through an activation.
    pub activation: bool,
    /// Dispatches in the batch.
    pub dispatches: usize,
    /// Nanoseconds on the device, of all of them.
    pub nanoseconds: f64,
    /// Floating-point operations, of all of them.
    pub flops: u64,
    /// Bytes that must go through memory at least, for all of them.
    pub bytes: u64,
}

impl Encoder {
    entry! {
        /// Times the kernels of one packed batch: the first texts that fit the budget of tokens. Kernels run one after another
        /// with a timestamp between them, so the sum is an upper bound of the batch's time. The first run warms up and is not
        /// counted.
        ///
        /// # Errors
        /// No text is given; options the model cannot fulfil; the adapter has no timestamps.
        pub fn profile(&self, texts: impl IntoIterator<Item = impl Into<Text>>, options: &EmbedOptions) -> Result<Profile> = profile_async;
    }

    pub(crate) async fn profile_async<T: Into<Text>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        options: &EmbedOptions,
    ) -> Result<Profile> {
        let encodings = self.encode_windows(texts, options)?;
        let mut tokens = 0;
        let fits = encodings.iter().position(|encoding| {
            tokens += encoding.len();
            tokens > self.batch_tokens
        });
        let first = &encodings[..fits.unwrap_or(encodings.len()).max(1).min(encodings.len())];
        let batch = fill(first, self.config().position_offset, &select_none);
        if batch.texts() == 0 {
            return Err(Error::input("cannot time the kernels: no text was given; give at least one"));
        }
        let request = Request { embeddings: Some(self.embedding_request(options)?), ..Request::default() };
        let pass = self.pass(&request).await?;
        self.engine.profile(&pass.prepared, &batch).await?;
        let mut kernels: Vec<KernelProfile> = Vec::new();
        let mut last_step = None;
        for time in self.engine.profile(&pass.prepared, &batch).await? {
            let step = &pass.plan.steps()[time.step];
            // A step of several dispatches (a table in slices) costs once.
            let cost =
                if last_step == Some(time.step) { Default::default() } else { pass.plan.cost(step, &batch) };
            last_step = Some(time.step);
            let shape = pass.plan.shape(step);
            let activation = matches!(step, Step::MatMul { activation: Some(_), .. });
            let known = kernels.iter().position(|known| {
                known.kernel == time.kernel && known.shape == shape && known.activation == activation
            });
            let at = known.unwrap_or_else(|| {
                let (dispatches, nanoseconds, flops, bytes) = (0, 0.0, 0, 0);
                kernels.push(KernelProfile {
                    kernel: time.kernel,
                    shape,
                    activation,
                    dispatches,
                    nanoseconds,
                    flops,
                    bytes,
                });
                kernels.len() - 1
            });
            let kernel = &mut kernels[at];
            kernel.dispatches += 1;
            kernel.nanoseconds += time.nanoseconds;
            kernel.flops += cost.flops;
            kernel.bytes += cost.bytes;
        }
        Ok(Profile { texts: batch.texts(), tokens: batch.tokens(), kernels })
    }

    entry! {
        /// Measures what the device can do at most, to set a [`Profile`] against it. Takes about half a second.
        ///
        /// # Errors
        /// The device was lost.
        pub fn peak(&self) -> Result<Peak> = peak_async;
    }

    pub(crate) async fn peak_async(&self) -> Result<Peak> {
        self.engine.peak().await
    }

    /// Floating-point operations of embedding texts of these lengths, in tokens.
    ///
    /// # Errors
    /// Options the model cannot fulfil.
    pub fn flops(&self, lens: impl IntoIterator<Item = usize>, options: &EmbedOptions) -> Result<u64> {
        let request = Request { embeddings: Some(self.embedding_request(options)?), ..Request::default() };
        let plan = crate::plan::families::plan(self.config(), &request)?;
        let of_len = |len| Encoding { ids: vec![0; len], type_ids: vec![0; len], ..Encoding::default() };
        let encodings: Vec<Encoding> = lens.into_iter().map(of_len).collect();
        Ok(plan.flops(&fill(&encodings, 0, &select_none)))
    }

    /// Gives a GPU up, as if it had been lost: for tests of those who open it anew. Nothing on the CPU.
    #[doc(hidden)]
    pub fn lose_device(&self) {
        self.engine.lose();
    }

    /// Bytes on the device: weights of the passes at hand, and the buffers of batches, which passes share.
    pub fn device_bytes(&self) -> usize {
        self.engine.bytes()
    }
}
