// Tiles of 128 rows and 128 columns: 8 by 8 per invocation.
const ROWS = 8u;
const VECS = 2u;
const STRETCH = 1u;
