// Heads up to 64 wide: 16 rows by 32 keys, 15.5 KiB of workgroup memory.
const HEAD4 = 16u;
const ROWS = 2u;

