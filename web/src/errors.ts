/** What kind of thing went wrong. */
export type ErrorKind =
  /** The caller's texts, labels or options. */
  | "input"
  /** A file of a model, or a head file, is missing, damaged or of another shape. */
  | "model"
  /** No adapter, a lost device, a validation error. */
  | "device"
  /** Larger than the device or the browser allows. */
  | "limit"
  /** The network, or the browser's storage. */
  | "io"
  /** Stopped by an `AbortSignal`. */
  | "abort"
  /** A fault of this library. */
  | "internal";

/** Every error of this package. The message says what was being done, what was found and what to do next. */
export class FrostbertError extends Error {
  readonly kind: ErrorKind;

  constructor(kind: ErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    // Callers that know `fetch` test for this name.
    this.name = kind === "abort" ? "AbortError" : "FrostbertError";
    this.kind = kind;
  }

  /** Anything that was thrown, as one of ours. */
  static from(thrown: unknown): FrostbertError {
    if (thrown instanceof FrostbertError) return thrown;
    if (thrown instanceof Error) {
      if (thrown.name === "AbortError") return stopped();
      // What the wasm side throws carries its kind.
      const kind = (thrown as { kind?: unknown }).kind;
      return new FrostbertError(isKind(kind) ? kind : "internal", thrown.message, { cause: thrown });
    }
    return new FrostbertError("internal", String(thrown));
  }
}

export function stopped(): FrostbertError {
  return new FrostbertError("abort", "stopped on request");
}

const KINDS: readonly string[] = ["input", "model", "device", "limit", "io", "abort", "internal"];

function isKind(value: unknown): value is ErrorKind {
  return typeof value === "string" && KINDS.includes(value);
}
