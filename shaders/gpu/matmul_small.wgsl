// Tiles of 64 rows and 64 columns: 4 by 4 per invocation.
const ROWS = 4u;
const VECS = 1u;
const STRETCH = 1u;
