// Tiles of 128 rows and 64 columns: 8 by 4 per invocation.
const ROWS = 8u;
const VECS = 1u;
const STRETCH = 1u;
