// Tiles of 32 rows and 64 columns, for batches of few rows: 2 by 4 per invocation. There it is the way through k that takes the time, so a
// step is twice as long.
const ROWS = 2u;
const VECS = 1u;
const STRETCH = 2u;
