/** Chance, injected: uniform in [0, 1). Tests use a seeded one (seeded-random.ts). */
export type Random = () => number;

/** The machine's randomness; good enough for jitter, never used for secrets. */
export const systemRandom: Random = () => Math.random();
