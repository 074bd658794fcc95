/** What starts with this is Holdfast's own. The raw target decides, before any router could fold it (semantics §10). */
export const RESERVED_PREFIX = '/.holdfast/';
