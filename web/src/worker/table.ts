// A table that was dropped on the page.

import type { Calls } from "../protocol.js";
import { WebTable } from "./wasm.js";

export class TableSession {
  private constructor(private readonly wasm: WebTable) {}

  static async open(file: File): Promise<TableSession> {
    return new TableSession(new WebTable(file.name, new Uint8Array(await file.arrayBuffer())));
  }

  preview(): Calls["openTable"][1] {
    return JSON.parse(this.wasm.preview()) as Calls["openTable"][1];
  }

  read(columns: number[]): Calls["readColumns"][1] {
    const [rows, ...cells] = this.wasm.read(Uint32Array.from(columns)) as [Uint32Array, ...string[][]];
    return { rows, columns: cells };
  }
}
