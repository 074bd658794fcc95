/**
 * Reads the YAML file: the values, and for every value the place where it stands. `${NAME}` and `${NAME:-default}` are
 * filled in on scalars after parsing, so that a variable can never change the structure; a plain scalar is typed again
 * afterwards (`connections: ${N}` is a number), a quoted one stays text. `$${NAME}` is a literal `${NAME}`.
 */

import {
  type Document,
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  Scalar,
  visit,
} from 'yaml';
import { type Fault, fault, type Path, type Place, showValue } from './faults.ts';

/** Environment variables. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A file that was read. */
export interface Source {
  readonly name: string;
  /** Plain values; an empty file is `{}`. */
  readonly data: unknown;
  /** The place of a value; of the nearest value around it when it is not there. */
  readonly placeOf: (path: Path) => Place;
  /** The place of a key of the map at `path`. */
  readonly placeOfKey: (path: Path, name: string) => Place;
}

/** Reads a file's text. All faults of syntax, and all variables that are not set, are found at once. */
export function readSource(name: string, text: string, env: Environment): { source: Source; faults: Fault[] } {
  const lines = new LineCounter();
  const doc = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const placeAt = (offset: number, got: string | null): Place => {
    const { line, col } = lines.linePos(offset);
    return { source: name, line, column: col, got };
  };
  const rows = text.split('\n');
  const faults = [...doc.errors, ...doc.warnings].map((error) => {
    const place = placeAt(error.pos[0], null);
    const variable = rows[(place.line ?? 0) - 1]?.includes('${') === true;
    return fault(place, [], error.message, variable ? { allowed: 'quotes around "${NAME}" inside { } and [ ]' } : {});
  });
  const isSound = doc.errors.length === 0;
  faults.push(...substitute(doc, env, placeAt));
  const placeOfNode = (node: Node | null): Place => {
    const range = node?.range;
    if (!range) return placeAt(0, null);
    return placeAt(range[0], isScalar(node) ? showValue(text.slice(range[0], range[1])) : null);
  };
  const source: Source = {
    name,
    data: isSound ? valuesOf(doc, faults, placeAt) : {},
    placeOf: (path) => {
      const { node, found } = nodeAt(doc, path);
      const place = placeOfNode(node);
      return found ? place : { ...place, got: null };
    },
    placeOfKey: (path, key) => {
      const { node } = nodeAt(doc, path);
      const pair = isMap(node) ? node.items.find((item) => keyOf(item.key) === key) : undefined;
      return { ...placeOfNode((pair?.key ?? node) as Node | null), got: null };
    },
  };
  return { source, faults };
}

function valuesOf(doc: Document, faults: Fault[], placeAt: (offset: number, got: string | null) => Place): unknown {
  try {
    return doc.toJS({ maxAliasCount: 1000 }) ?? {};
  } catch (error) {
    // Aliases that unfold into more than the parser allows.
    faults.push(fault(placeAt(0, null), [], error instanceof Error ? error.message : String(error)));
    return {};
  }
}

const VARIABLE = /\$?\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}/g;

function substitute(doc: Document, env: Environment, placeAt: (offset: number, got: string | null) => Place): Fault[] {
  const faults: Fault[] = [];
  visit(doc, {
    Scalar(key, node) {
      if (key === 'key' || typeof node.value !== 'string' || !node.value.includes('${')) return;
      const unset = faults.length;
      const filled = node.value.replace(VARIABLE, (whole, name: string, fallback: string | undefined) => {
        if (whole.startsWith('$$')) return whole.slice(1);
        const value = env[name];
        if (value !== undefined && (value !== '' || fallback === undefined)) return value;
        if (fallback !== undefined) return fallback;
        const place = placeAt(node.range?.[0] ?? 0, null);
        faults.push(
          fault(place, [], `the environment variable ${name} is not set`, {
            allowed: `\${${name}:-default} to do without it`,
          }),
        );
        return '';
      });
      // An unset one is said once, and leaves its key unset.
      if (faults.length > unset) node.value = null;
      else if (filled !== node.value) node.value = node.type === Scalar.PLAIN ? retyped(filled) : filled;
    },
  });
  return faults;
}

function retyped(text: string): unknown {
  const { contents, errors } = parseDocument(text, { prettyErrors: false });
  if (errors.length > 0 || (contents !== null && !isScalar(contents))) return text;
  return contents?.value ?? null;
}

function nodeAt(doc: Document, path: Path): { node: Node | null; found: boolean } {
  let node = resolved(doc, doc.contents);
  for (const step of path) {
    let next: unknown = null;
    if (isMap(node)) next = node.items.find((item) => keyOf(item.key) === String(step))?.value ?? null;
    else if (isSeq(node)) next = node.items[Number(step)] ?? null;
    const child = resolved(doc, next);
    if (child === null) return { node, found: false };
    node = child;
  }
  return { node, found: true };
}

function resolved(doc: Document, node: unknown): Node | null {
  if (isAlias(node)) return node.resolve(doc) ?? null;
  return isScalar(node) || isMap(node) || isSeq(node) ? node : null;
}

function keyOf(key: unknown): string | null {
  if (isPair(key)) return null;
  return isScalar(key) ? String(key.value) : null;
}
