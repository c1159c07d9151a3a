// How the WebAssembly for browsers without relaxed SIMD is made.

import assert from "node:assert/strict";
import { test } from "node:test";
import { withoutRelaxed } from "../unrelaxed.mjs";

test("fused multiply-adds become two operations, whatever is within them", () => {
  const text = `(module (func $f (result v128)
 (f32x4.relaxed_madd
  (f32x4.relaxed_madd (local.get $a) (local.get $b) (block (result v128) (nop) (local.get $c)))
  (local.get $d) ;; not a )
  (f32x4.relaxed_madd (local.get $e) (; nor ( this ;) (local.get $f) (local.get $g))
 )))`;
  assert.equal(withoutRelaxed(text).replace(/\s+/g, " "), `(module (func $f (result v128)
 (f32x4.add (f32x4.mul
  (f32x4.add (f32x4.mul (local.get $a) (local.get $b)) (block (result v128) (nop) (local.get $c)))
  (local.get $d)) ;; not a )
  (f32x4.add (f32x4.mul (local.get $e) (; nor ( this ;) (local.get $f)) (local.get $g))
 )))`.replace(/\s+/g, " "));
});

test("data and names stay as they are", () => {
  const text = String.raw`(module (data $0 (i32.const 8) ")(\"(f32x4.relaxed_madd (\\") (export "(f32x4.relaxed_madd" (func $0)))`;
  assert.equal(withoutRelaxed(text), text);
});

test("what else is relaxed is written as what it stands for, and what is not known is an error", () => {
  const text = "(func (i32x4.relaxed_laneselect (f32x4.relaxed_max (a) (b)) (c) (i32x4.relaxed_trunc_f32x4_s (d))))";
  assert.equal(withoutRelaxed(text), "(func (v128.bitselect (f32x4.max (a) (b)) (c) (i32x4.trunc_sat_f32x4_s (d))))");
  assert.throws(() => withoutRelaxed("(f32x4.relaxed_nmadd (a) (b) (c))"), /relaxed_nmadd/);
});
