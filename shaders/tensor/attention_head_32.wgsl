// Heads of up to 32.
const HEAD = 32u;
