// Heads up to 32 wide: 32 rows by 32 keys, 14.5 KiB of workgroup memory.
const HEAD4 = 8u;
const ROWS = 4u;

