// Synchronous reads from blobs, which only a worker may do: what a memory map is to the native library.

/** Called from WebAssembly: see `crate/src/files.rs`. */
export class BlobReader {
  #blobs: Map<string, Blob>;
  #location: string;
  #reader = new FileReaderSync();

  constructor(blobs: Map<string, Blob>, location: string) {
    this.#blobs = blobs;
    this.#location = location;
  }

  size(name: string): number | undefined {
    return this.#blobs.get(name)?.size;
  }

  read(name: string, start: number, end: number): Uint8Array {
    const blob = this.#blobs.get(name);
    if (!blob) throw new Error("there is no such file");
    return new Uint8Array(this.#reader.readAsArrayBuffer(blob.slice(start, end)));
  }

  location(): string {
    return this.#location;
  }
}
