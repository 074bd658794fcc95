/**
 * Finds the rule for a request line: one trie per method over the segments of the path templates. Literal segments beat
 * `{names}`, left to right; a row for the method beats a row for `*`; HEAD falls back to the GET row (RFC 9110 §9.3.2).
 * The path is compared byte for byte: nothing is decoded, folded or trimmed, because the upstream gets the same bytes
 * and may read them differently (semantics §10). A list of regular expressions would cost one match per row of the map;
 * here the work is bounded by the depth of the deepest template, however long the path is.
 */

/** A method (or `*`) and a path template, taken apart. */
export interface Template {
  /** As written. */
  readonly text: string;
  readonly method: string;
  readonly segments: readonly Segment[];
}

/** A literal part of a path, or a `{name}` that matches any one non-empty part. */
export type Segment =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'name'; readonly name: string };

/** What was found, with the values of the template's names as they stand in the path. */
export interface Found<T> {
  readonly value: T;
  readonly params: Readonly<Record<string, string>>;
}

/** Looks a request line up; null when no row fits. The path may still carry its query. */
export type Matcher<T> = (method: string, path: string) => Found<T> | null;

const METHOD = /^(?:\*|[A-Z]+)$/;
const NAME = /^\{([a-z][a-z0-9_]*)\}$/;

/** Takes `POST /contacts/{id}/notes` apart; returns what is wrong with it as a sentence when it is no template. */
export function parseTemplate(text: string): Template | string {
  const space = text.indexOf(' ');
  const method = space === -1 ? '' : text.slice(0, space);
  const path = text.slice(space + 1);
  if (!METHOD.test(method)) return 'a method in capitals (or *), one space, and a path, such as POST /contacts/{id}';
  if (!path.startsWith('/')) return 'a path that starts with /';
  if (/[?#\s]/.test(path)) return 'a path without query, fragment or spaces';
  const segments: Segment[] = [];
  for (const part of path.slice(1).split('/')) {
    if (part === '' && path !== '/') return 'a path without empty segments and without a slash at its end';
    const name = NAME.exec(part)?.[1];
    if (name !== undefined) {
      if (segments.some((other) => other.kind === 'name' && other.name === name)) return 'each {name} only once';
      segments.push({ kind: 'name', name });
    } else if (/[{}*]/.test(part)) {
      return 'a {name} in lower case that fills a whole segment';
    } else segments.push({ kind: 'literal', text: part });
  }
  return { text, method, segments };
}

/** The template without its names: two rows of the same shape mean the same requests. */
export function shapeOf(template: Template): string {
  return `${template.method} ${pathShapeOf(template)}`;
}

/** The path of the template without its names. */
export function pathShapeOf(template: Template): string {
  return template.segments.map((each) => (each.kind === 'literal' ? `/${each.text}` : '/{}')).join('');
}

/** The names of a template, in order. */
export function namesOf(template: Template): readonly string[] {
  return template.segments.flatMap((each) => (each.kind === 'name' ? [each.name] : []));
}

interface Node<T> {
  readonly literals: Map<string, Node<T>>;
  named: Node<T> | null;
  end: { readonly value: T; readonly names: readonly string[] } | null;
}

const NO_PARAMS: Readonly<Record<string, string>> = Object.freeze({});

/** Builds the matcher. Of two rows of the same shape the first wins. */
export function createMatcher<T>(rows: readonly (readonly [Template, T])[]): Matcher<T> {
  const roots = new Map<string, Node<T>>();
  for (const [template, value] of rows) {
    let node = roots.get(template.method);
    if (node === undefined) roots.set(template.method, (node = emptyNode()));
    for (const segment of template.segments) node = childOf(node, segment);
    node.end ??= { value, names: namesOf(template) };
  }
  return (method, target) => {
    const query = target.indexOf('?');
    const path = query === -1 ? target : target.slice(0, query);
    if (!path.startsWith('/')) return null;
    return (
      search(roots.get(method), path) ??
      (method === 'HEAD' ? search(roots.get('GET'), path) : null) ??
      search(roots.get('*'), path)
    );
  };
}

function emptyNode<T>(): Node<T> {
  return { literals: new Map(), named: null, end: null };
}

function childOf<T>(node: Node<T>, segment: Segment): Node<T> {
  if (segment.kind === 'name') return (node.named ??= emptyNode());
  let child = node.literals.get(segment.text);
  if (child === undefined) node.literals.set(segment.text, (child = emptyNode()));
  return child;
}

function search<T>(root: Node<T> | undefined, path: string): Found<T> | null {
  if (root === undefined) return null;
  const values: string[] = [];
  const end = walk(root, path, 1, values);
  if (end === null) return null;
  if (end.names.length === 0) return { value: end.value, params: NO_PARAMS };
  const params: Record<string, string> = {};
  for (let i = 0; i < end.names.length; i += 1) params[end.names[i] as string] = values[i] as string;
  return { value: end.value, params };
}

/**
 * Steps back when a literal leads nowhere. No node of the trie is visited twice for one path, since every node has one
 * parent: the trie, not the path, bounds the work.
 */
function walk<T>(node: Node<T>, path: string, from: number, values: string[]): Node<T>['end'] {
  const slash = path.indexOf('/', from);
  const part = slash === -1 ? path.slice(from) : path.slice(from, slash);
  const literal = node.literals.get(part);
  if (literal !== undefined) {
    const end = slash === -1 ? literal.end : walk(literal, path, slash + 1, values);
    if (end !== null) return end;
  }
  const { named } = node;
  if (named === null || part === '') return null;
  values.push(part);
  const end = slash === -1 ? named.end : walk(named, path, slash + 1, values);
  if (end === null) values.pop();
  return end;
}
