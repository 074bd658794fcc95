import { type Answer, error, json } from '../base/answer.ts';
import { type Call, type Json, type Route, text } from '../base/route.ts';
import type { World } from '../base/world.ts';
import { type NumberedShape, numberedPage } from './pages.ts';

/** One entry of a collection. Unlike a `Document` its id may be a number, as it is for some. */
export interface Entry extends Json {
  readonly id: string | number;
}

/** A kind of entity that is created, listed and read, and no more. */
export interface Kind {
  /** Path template of the list and the create. The last `{name}` in it, when there is one, is the parent. */
  readonly path: string;
  readonly type: string;
  /** What a create answers; 200 when left out. */
  readonly created?: 200 | 201;
  /** The fields that callers may set, with what they are when nobody set them. */
  readonly settable: Json;
  /** Fields of the body without which it is refused, and what it is refused with; `name` when left out. */
  readonly required?: readonly string[];
  readonly refusal?: readonly [status: number, code: string];
  /** Fields that make two entries the same in the ledger; the first required one when left out. */
  readonly key?: readonly string[];
  /** Fields that no caller sets. */
  readonly given?: (world: World, id: string) => Json;
  readonly numericId?: boolean;
  /** Times as ISO 8601 instead of epoch seconds. */
  readonly isoTimes?: boolean;
  /** The field that names the parent, for a template with one. */
  readonly parent?: string;
  readonly list: NumberedShape;
  /** What the upstream itself refuses a second one with, when all fields of `key` and the parent are equal. */
  readonly unique?: (call: Call) => Answer;
  /** Further conditions; null lets it in. */
  readonly check?: (world: World, call: Call) => Answer | null;
}

/** A collection with its entries by id, oldest first. */
export interface Collection {
  readonly routes: Route[];
  readonly entries: Map<string, Entry>;
  /** Adds an entry as its create would. */
  readonly add: (call: Call) => Answer;
}

/** Serves a kind: POST and GET of its path, GET of one entry. */
export function collection(world: World, kind: Kind): Collection {
  const entries = new Map<string, Entry>();
  const add = (call: Call): Answer => create(world, kind, entries, call);
  const { path } = kind;
  return {
    entries,
    add,
    routes: [
      { name: `POST ${path}`, run: add },
      { name: `GET ${path}`, run: (call) => numberedPage(call, ownEntries(kind, entries, call), kind.list) },
      {
        name: `GET ${path}/{id}`,
        run: (call) => {
          const entry = entries.get(call.params.at(-1) as string);
          return entry === undefined ? noEntry(call) : json(200, entry);
        },
      },
    ],
  };
}

/** 404 for an entry. */
export function noEntry(call: Call): Answer {
  return error(call.requestId, 404, 'not_found', 'Resource Not Found');
}

function ownEntries(kind: Kind, entries: ReadonlyMap<string, Entry>, call: Call): Entry[] {
  const all = [...entries.values()];
  const { parent } = kind;
  return parent === undefined ? all : all.filter((entry) => entry[parent] === call.params[0]);
}

function create(world: World, kind: Kind, entries: Map<string, Entry>, call: Call): Answer {
  const { body } = call;
  const required = kind.required ?? ['name'];
  const missing = required.find((name) => body[name] === undefined || body[name] === null || body[name] === '');
  if (missing !== undefined) {
    const [status, code] = kind.refusal ?? [422, 'parameter_not_found'];
    return error(call.requestId, status, code, `${missing} is required`);
  }
  const refused = kind.check?.(world, call) ?? null;
  if (refused !== null) return refused;
  const keyFields = kind.key ?? required.slice(0, 1);
  const same = (entry: Entry): boolean => keyFields.every((name) => text(entry[name]) === text(body[name]));
  if (kind.unique !== undefined && ownEntries(kind, entries, call).some(same)) return kind.unique(call);
  const id = world.newNumber();
  const parent = kind.parent === undefined ? {} : { [kind.parent]: call.params[0] };
  const now = kind.isoTimes === true ? new Date(world.nowSeconds() * 1000).toISOString() : world.nowSeconds();
  const set = Object.entries(body).filter(([name]) => name in kind.settable);
  const entry: Entry = {
    type: kind.type,
    id: kind.numericId === true ? Number(id) : id,
    ...parent,
    ...kind.settable,
    ...kind.given?.(world, id),
    ...Object.fromEntries(set),
    created_at: now,
    updated_at: now,
  };
  entries.set(id, entry);
  const parts = [call.params[0], ...keyFields.map((name) => text(body[name]))];
  call.effect('create', parts.filter((part) => part !== undefined).join(' '), id);
  return json(kind.created ?? 200, entry);
}
