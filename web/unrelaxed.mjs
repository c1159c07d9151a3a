// A module in WebAssembly's text format, without relaxed SIMD: for browsers that do not have it. A second compilation of the library would take
// minutes and give the same.

/** What relaxed operations are where nothing is left open; operands are the same. */
const PLAIN = new Map([
  ["f32x4.relaxed_max", "f32x4.max"],
  ["f32x4.relaxed_min", "f32x4.min"],
  ["f64x2.relaxed_max", "f64x2.max"],
  ["f64x2.relaxed_min", "f64x2.min"],
  ["i32x4.relaxed_laneselect", "v128.bitselect"],
  ["i32x4.relaxed_trunc_f32x4_s", "i32x4.trunc_sat_f32x4_s"],
]);
/** `(f32x4.relaxed_madd a b c)` is `(f32x4.add (f32x4.mul a b) c)`, rounded once. */
const FUSED = new Map([
  ["f32x4.relaxed_madd", "f32x4"],
  ["f64x2.relaxed_madd", "f64x2"],
]);

/** The module with those written out. */
export function withoutRelaxed(text) {
  const out = [];
  // For each open parenthesis, how many expressions were closed in it, if it is a fused multiply-add; else -1.
  const open = [];
  // What changes the depth, and what may hold parentheses that do not.
  const tokens = /\(([fiv]\d+(?:x\d+)?\.relaxed_\w+)|"(?:[^"\\]|\\.)*"|;;[^\n]*|\(;[^]*?;\)|\(|\)/g;
  let copied = 0;
  const replace = (start, end, by) => {
    out.push(text.slice(copied, start), by);
    copied = end;
  };
  for (const { 0: token, 1: relaxed, index } of text.matchAll(tokens)) {
    if (relaxed) {
      const [plain, fused] = [PLAIN.get(relaxed), FUSED.get(relaxed)];
      if (!plain && !fused) throw new Error(`${relaxed}: what it is without relaxed SIMD is still to be written here`);
      open.push(fused ? 0 : -1);
      replace(index, index + token.length, plain ? `(${plain}` : `(${fused}.add (${fused}.mul`);
    } else if (token === "(") {
      open.push(-1);
    } else if (token === ")") {
      open.pop();
      const outer = open.length - 1;
      if (outer >= 0 && open[outer] >= 0 && ++open[outer] === 2) replace(index + 1, index + 1, ")");
    }
  }
  out.push(text.slice(copied));
  return out.join("");
}
