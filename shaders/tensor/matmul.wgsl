// out = activation(x Wᵀ + bias) + residual, for adapters with cooperative matrices (tensor cores).
//
// A workgroup of eight subgroups computes a tile of TILE_ROWS rows and 8 SIDE columns; each subgroup has DOWN_SQUARES by
// ACROSS_SQUARES accumulators of SIDE by SIDE, in registers. It steps through k in steps of DEPTH: that part of x, as f16, and of
// Wᵀ is copied to workgroup memory, and the next step is on its way in registers meanwhile. Accumulators go to workgroup memory one
// at a time at the end, for bias, activation and residual. The tile's file says how many squares, and has the entry point.
//
// Products of f16 are exact in f32, and accumulate there in the order of k, whatever the tile. A row's bits do not depend on its
// place in a tile.

override workgroup_size: u32 = 256u; // eight subgroups of the largest size there is
// Constants of the pipeline, not parameters: addresses are worth knowing in advance here.
override width: u32 = 32u;    // of x: k, a multiple of four
override row_vecs: u32 = 32u; // groups of four columns a row of Wᵀ

const SUBGROUPS = 8u;
const SQUARE_VECS = SIDE * SIDE / 4u;
const DEPTH = DEPTH_SQUARES * SIDE;
const TILE_VECS = 2u * SIDE;
// Rows in workgroup memory have two groups more than they need: neighbouring rows then start in other banks.
const X_STRIDE = DEPTH / 4u + 2u;
const W_STRIDE = TILE_VECS + 2u;
const X_HALF = TILE_ROWS * X_STRIDE;
const W_HALF = DEPTH * W_STRIDE;
// Pairs of groups of four in a row of the step, and rows between those that an invocation copies.
const X_PAIRS = DEPTH / 8u;
const W_PAIRS = TILE_VECS / 2u;
const X_APART = INVOCATIONS / X_PAIRS;
const W_APART = INVOCATIONS / W_PAIRS;
// Tiles of so many rows of them go together, column after column: the part of Wᵀ that they share stays in the cache.
const ROWS_TOGETHER = 8u;

// From row to row, in elements of the arrays.
const X_ROW = GROUP * X_STRIDE;
const W_ROW = GROUP * W_STRIDE;
const SUM_ROW = GROUP * SIDE / 4u;

override STEPS: u32 = (width + DEPTH - 1u) / DEPTH;

override X_LEN: u32 = GROUP * stages * X_HALF;
override W_LEN: u32 = GROUP * stages * W_HALF;

var<workgroup> x_tile: array<Half, X_LEN>;                             // [stages, TILE_ROWS, X_STRIDE], in groups of four
var<workgroup> w_tile: array<Half, W_LEN>;                             // [stages, DEPTH, W_STRIDE], likewise
var<workgroup> sums: array<Single, GROUP * SUBGROUPS * SQUARE_VECS>;   // one accumulator of each subgroup

// Which tile a workgroup computes: column and row of tiles. The last rows of tiles may be fewer together.
fn tile_of(group: vec3<u32>, groups: vec3<u32>) -> vec2<u32> {
    let number = group.y * groups.x + group.x;
    let together = ROWS_TOGETHER * groups.x;
    let first = number / together * ROWS_TOGETHER;
    let rows = min(ROWS_TOGETHER, groups.y - first);
    let within = number % together;
    return vec2(within / rows, first + within % rows);
}

// What an invocation computes and copies.
struct Place {
    row: u32,      // first of the tile
    vec: u32,      // first group of four columns of the tile
    x_first: u32,  // where the squares of its subgroup begin in a stage of x_tile
    w_first: u32,  // likewise in w_tile
    own_sums: u32, // and in sums
    // Copies are pairs of groups of four, in rows that are X_APART and W_APART from each other.
    copies: bool,  // whether it copies at all: where the workgroup is larger than INVOCATIONS, the rest does not
    x_row: u32,    // first row
    x_col: u32,    // column of x
    w_row: u32,    // likewise of Wᵀ
    w_vec: u32,    // group of four of Wᵀ
    x_to: u32,     // where the first pair goes in a stage of x_tile
    w_to: u32,     // likewise in w_tile
}

fn place_of(group: vec3<u32>, groups: vec3<u32>, lane: u32, subgroup_id: u32) -> Place {
    let tile = tile_of(group, groups);
    // Where subgroups are smaller than the workgroup was made for there are more than eight: the others do the same again.
    let subgroup = subgroup_id % SUBGROUPS;
    let copier = lane % INVOCATIONS;
    let x_row = copier / X_PAIRS;
    let x_col = copier % X_PAIRS * 8u;
    let w_row = copier / W_PAIRS;
    let w_vec = copier % W_PAIRS * 2u;
    return Place(
        tile.y * TILE_ROWS,
        tile.x * TILE_VECS,
        subgroup / ACROSS * (DOWN_SQUARES * SIDE * X_STRIDE),
        subgroup % ACROSS * (ACROSS_SQUARES * SIDE / 4u),
        subgroup * SQUARE_VECS,
        workgroup_size == INVOCATIONS || lane < INVOCATIONS,
        x_row,
        x_col,
        w_row,
        w_vec,
        x_row * X_STRIDE + x_col / 4u,
        w_row * W_STRIDE + w_vec,
    );
}

// Where a row of x starts. Rows past the end repeat the last one; nobody stores them.
fn source_row(row: u32) -> u32 {
    return min(row, params.rows - 1u) * width;
}

// Four values of a row of x, zeros past its end. The first condition is a constant.
fn x_at(start: u32, depth: u32) -> vec4<f16> {
    if width % DEPTH != 0u && depth >= width {
        return vec4<f16>();
    }
    return input4(start, depth, width);
}

// Four values of a row of Wᵀ, likewise.
fn w_at(depth: u32, vec: u32) -> vec4<f16> {
    if width % DEPTH != 0u && depth >= width {
        return vec4<f16>();
    }
    return weight4(depth * row_vecs + vec);
}

// Ends the accumulators that lie in `sums`: square `i` down and `j` across of each subgroup.
fn finish_all(i: u32, j: u32, row: u32, vec: u32, lane: u32) {
    workgroupBarrier();
    for (var at = lane; at < SUBGROUPS * SQUARE_VECS; at += workgroup_size) {
        let subgroup = at / SQUARE_VECS;
        let inside = at % SQUARE_VECS;
        let down = (subgroup / ACROSS * DOWN_SQUARES + i) * SIDE + inside / (SIDE / 4u);
        let across = (subgroup % ACROSS * ACROSS_SQUARES + j) * (SIDE / 4u) + inside % (SIDE / 4u);
        finish(row + down, (vec + across) * 4u, sum_at(at));
    }
    workgroupBarrier();
}

