// Heads of up to 64.
const HEAD = 64u;
