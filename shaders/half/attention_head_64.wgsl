// Heads up to 64 wide, whose queries and keys are f16: 32 rows by 32 keys, 14 KiB of workgroup memory.
const HEAD4 = 16u;
const ROWS = 4u;
