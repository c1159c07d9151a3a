import { WorkerClient } from "./client.js";
import { FrostbertError } from "./errors.js";
import type { TablePreview } from "./types.js";

/** A CSV, TSV or JSONL file, read by the same reader as the command line's. */
export class Table {
  readonly preview: TablePreview;
  #client: WorkerClient;

  private constructor(client: WorkerClient, preview: TablePreview) {
    this.#client = client;
    this.preview = preview;
  }

  /** Reads a file; its ending says which format it has. */
  static async open(file: File): Promise<Table> {
    const client = new WorkerClient();
    try {
      return new Table(client, await client.call("openTable", { file }));
    } catch (error) {
      client.end(FrostbertError.from(error));
      throw error;
    }
  }

  /**
   * Cells of these columns, by number, for the rows in which none of them is empty. `rows` numbers those from 0.
   */
  columns(...columns: number[]): Promise<{ columns: string[][]; rows: Uint32Array }> {
    return this.#client.call("readColumns", { columns });
  }

  /** Frees the file's memory. */
  dispose(): void {
    this.#client.end(new FrostbertError("input", "this table was closed"));
  }
}
