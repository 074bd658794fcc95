import { LaggingIndex } from './lagging-index.ts';
import type { Json } from './route.ts';

/** What the entities of one simulated workspace share. Documents have the shape that goes over the wire, and are replaced, never changed. */
export interface World {
  /** Epoch seconds of the server's clock: what `created_at` is made from. */
  readonly nowSeconds: () => number;
  /** 24 hex digits, as contacts have. */
  readonly newId: () => string;
  /** Decimal digits, as conversations have. */
  readonly newNumber: () => string;
  readonly contacts: Map<string, Document>;
  /** `external_id=…` and users' `email=…` to the id of the contact that holds it. */
  readonly identities: Map<string, string>;
  readonly companies: Map<string, Document>;
  /** The caller's `company_id` to the company's id. */
  readonly companyIds: Map<string, string>;
  readonly conversations: Map<string, Document>;
  readonly tickets: Map<string, Document>;
  readonly tags: Map<string, Document>;
  readonly notes: Map<string, Document>;
  /** Notes by the id of their contact or company. */
  readonly notesOf: Map<string, Document[]>;
  readonly contactIndex: LaggingIndex<Document>;
  readonly conversationIndex: LaggingIndex<Document>;
  readonly ticketIndex: LaggingIndex<Document>;
  /** What a search of another kind sees. */
  readonly newIndex: <Doc>() => LaggingIndex<Doc>;
}

/** One entity. */
export interface Document extends Json {
  readonly id: string;
}

/** Settings of a world. */
export interface WorldSettings {
  readonly seed: number;
  /** How long search takes to see a change, ms; asked at every change. */
  readonly searchLagMs: () => number;
  /** Monotonic ms, for the lag. */
  readonly now: () => number;
  /** Epoch ms of the server's clock. */
  readonly serverNow: () => number;
}

/** Creates an empty workspace. Ids follow from the seed and the order of creation. */
export function createWorld(settings: WorldSettings): World {
  const prefix = (settings.seed >>> 0).toString(16).padStart(8, '0');
  let ids = 0;
  let numbers = 1000;
  const index = <Doc>(): LaggingIndex<Doc> => new LaggingIndex(settings.searchLagMs, settings.now);
  return {
    nowSeconds: () => Math.floor(settings.serverNow() / 1000),
    newId: () => `${prefix}${(++ids).toString(16).padStart(16, '0')}`,
    newNumber: () => String(++numbers),
    contacts: new Map(),
    identities: new Map(),
    companies: new Map(),
    companyIds: new Map(),
    conversations: new Map(),
    tickets: new Map(),
    tags: new Map(),
    notes: new Map(),
    notesOf: new Map(),
    contactIndex: index(),
    conversationIndex: index(),
    ticketIndex: index(),
    newIndex: index,
  };
}
