import type { Answer } from './answer.ts';
import type { EffectKind } from './ledger.ts';

/** A JSON object, unchecked. */
export type Json = Readonly<Record<string, unknown>>;

/** One call of the API as its operation sees it. */
export interface Call {
  /** Values of the template's `{names}`, in order, decoded. */
  readonly params: readonly string[];
  readonly query: URLSearchParams;
  /** The parsed body; `{}` when there was none. */
  readonly body: Json;
  readonly requestId: string;
  /** SHA-256 of the body, shortened: the natural key of what has none. */
  readonly bodyHash: string;
  /** Notes the effect in the ledger; `key` says what makes two creates the same. */
  readonly effect: (kind: EffectKind, key: string, id: string) => void;
}

/** Carries a call out: reads and changes the world, and answers. */
type Operation = (call: Call) => Answer;

/** An operation and where it is served. */
export interface Route {
  /** Method and path template, `POST /contacts/{id}/notes`. */
  readonly name: string;
  readonly run: Operation;
}

/** A route that fits a request. */
export interface RouteMatch {
  readonly route: Route;
  readonly params: readonly string[];
}

interface Compiled {
  readonly route: Route;
  readonly segments: readonly string[];
}

/** Finds routes by method and path; at equal length the one that was given first wins. */
export class Router {
  readonly #byShape = new Map<string, Compiled[]>();

  constructor(routes: readonly Route[]) {
    for (const route of routes) {
      const [method = '', path = ''] = route.name.split(' ');
      const segments = path.split('/');
      const shape = `${method} ${segments.length}`;
      const others = this.#byShape.get(shape);
      if (others === undefined) this.#byShape.set(shape, [{ route, segments }]);
      else others.push({ route, segments });
    }
  }

  /** Null when nothing is served there. */
  match(method: string, path: string): RouteMatch | null {
    const segments = path.split('/');
    for (const { route, segments: template } of this.#byShape.get(`${method} ${segments.length}`) ?? []) {
      const params = paramsOf(template, segments);
      if (params !== null) return { route, params };
    }
    return null;
  }
}

/** Values of the `{names}` when the path fits the template, else null. */
export function paramsOf(template: readonly string[], segments: readonly string[]): string[] | null {
  if (template.length !== segments.length) return null;
  const params: string[] = [];
  for (let i = 0; i < template.length; i++) {
    const wanted = template[i] as string;
    const got = segments[i] as string;
    if (wanted.startsWith('{')) params.push(decode(got));
    else if (wanted !== got) return null;
  }
  return params;
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** A scalar of a request as text: ids come as numbers too. Empty for null and undefined, JSON for the rest. */
export function text(value: unknown): string {
  if (typeof value === 'string') return value;
  return value === undefined || value === null ? '' : JSON.stringify(value);
}
