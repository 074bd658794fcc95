/** What remains when every key of a section has a default. */
export type Filled<T> = {
  [K in keyof T]-?: NonNullable<T[K]> extends object ? Filled<NonNullable<T[K]>> : NonNullable<T[K]>;
};

type Json = Record<string, unknown>;

/** Lays sections over each other, the strongest last. Unset keys (`null`) cover nothing; lists are replaced whole. */
export function overlay<T extends object>(...layers: readonly (T | null | undefined)[]): T {
  const result: Json = {};
  for (const layer of layers) {
    if (layer === null || layer === undefined) continue;
    for (const [name, value] of Object.entries(layer)) {
      if (value === null || value === undefined) continue;
      const below = result[name];
      result[name] = isSection(value) ? overlay<Json>(isSection(below) ? below : null, value) : value;
    }
  }
  return result as T;
}

function isSection(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
