// What the WebAssembly's WebGPU library leaves out.

interface Adapter {
  readonly features: ReadonlySet<string>;
  requestDevice(descriptor?: { requiredFeatures?: Iterable<string> }): Promise<unknown>;
}

/**
 * Has the devices of this worker opened with subgroups where the adapter has them. wgpu 30 knows no name for that feature on
 * the web and so cannot ask for it; kernels for software adapters want it, and those for f16.
 */
export function openWithSubgroups(): void {
  const prototype = (globalThis as { GPUAdapter?: { prototype: Adapter } }).GPUAdapter?.prototype;
  if (!prototype) return;
  const open = prototype.requestDevice;
  prototype.requestDevice = function (this: Adapter, descriptor = {}) {
    const features = new Set(descriptor.requiredFeatures);
    if (this.features.has("subgroups")) features.add("subgroups");
    return open.call(this, { ...descriptor, requiredFeatures: features });
  };
}
