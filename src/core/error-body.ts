/**
 * Reads the decoded beginning of an answer: what an error says, and whether a success is whole JSON. Everything here is
 * bounded and never throws, since it is fed by whatever stands between us and Intercom. Intercom's own shape comes
 * first; the deviations that its API is known to make, and problem JSON of gateways, are read into the same few fields,
 * so that rules ask for a code or a message and not for a shape.
 */

/** What kind of body an error came with; `explain` and the log show it. */
type ErrorShape = 'error_list' | 'json' | 'cut_json' | 'html' | 'text' | 'empty';

/** What an error answer says. */
export interface ErrorFacts {
  /** `errors[].code`, in order, at most 20. */
  readonly codes: readonly string[];
  /** `errors[].message`, in order, at most 20, each at most 2,000 characters. */
  readonly messages: readonly string[];
  /** The decoded text that was read, for `body:` patterns. */
  readonly text: string;
  readonly requestId: string | null;
  readonly shape: ErrorShape;
}

/** Whether a 2xx carries what its row promises; `unchecked` when the row promises nothing or the body is too large. */
export type BodyCondition = 'whole' | 'cut' | 'not_json' | 'empty' | 'unchecked';

const ENTRIES_MAX = 20;
const MESSAGE_MAX = 2000;
const NAME_MAX = 100;

/** Reads an error body of at most `limits.error_body` decoded bytes; the rest may be missing. */
export function readErrorBody(bytes: Uint8Array): ErrorFacts {
  const text = decode(bytes);
  const first = text.trimStart()[0];
  if (first === undefined) return { codes: [], messages: [], text, requestId: null, shape: 'empty' };
  if (first === '<') return { codes: [], messages: [], text, requestId: null, shape: 'html' };
  if (first !== '{' && first !== '[') return { codes: [], messages: [], text, requestId: null, shape: 'text' };
  const found = new Found();
  try {
    found.document(JSON.parse(text));
    return { ...found.facts(), text, shape: found.isErrorList ? 'error_list' : 'json' };
  } catch {
    found.scan(text);
    return { ...found.facts(), text, shape: 'cut_json' };
  }
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder('utf-8').decode(bytes);
}

type JsonObject = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Collects codes and messages of one body, up to the bounds. */
class Found {
  readonly #codes: string[] = [];
  readonly #messages: string[] = [];
  #requestId: string | null = null;
  isErrorList = false;

  facts(): Pick<ErrorFacts, 'codes' | 'messages' | 'requestId'> {
    return { codes: this.#codes, messages: this.#messages, requestId: this.#requestId };
  }

  /** A parsed body. Looks two levels deep and no further. */
  document(value: unknown): void {
    if (Array.isArray(value)) return this.#list(value);
    if (!isObject(value)) return;
    this.isErrorList = value['type'] === 'error.list' && Array.isArray(value['errors']);
    this.#requestId = name(value['request_id']);
    const errors = value['errors'];
    if (Array.isArray(errors)) this.#list(errors);
    else if (isObject(errors)) this.#fields(errors);
    else this.#entry(errors);
    this.#entry(value['error']);
    if (!this.isErrorList) this.#entry(value);
  }

  /** A body that is not whole: whatever codes and messages its text still shows. */
  scan(text: string): void {
    for (const [, value] of text.matchAll(/"(?:code|error_key)"\s*:\s*"((?:[^"\\]|\\.){1,100})"/g)) {
      if (this.#codes.length >= ENTRIES_MAX) break;
      this.#code(value);
    }
    for (const [, value] of text.matchAll(/"message"\s*:\s*"((?:[^"\\]|\\.){1,2000})/g)) {
      if (this.#messages.length >= ENTRIES_MAX) break;
      this.#message(value);
    }
    this.#requestId = /"request_id"\s*:\s*"([^"\\]{1,100})"/.exec(text)?.[1] ?? null;
  }

  #list(entries: readonly unknown[]): void {
    for (const entry of entries.slice(0, ENTRIES_MAX)) this.#entry(entry);
  }

  /** `{"errors": {"base": "…", "name": ["…", "…"]}}`. */
  #fields(fields: JsonObject): void {
    let left = ENTRIES_MAX;
    for (const key in fields) {
      if (left-- === 0) return;
      const value = fields[key];
      if (Array.isArray(value)) this.#list(value);
      else this.#entry(value);
    }
  }

  /** One error: an object with a code, a message or both, or a bare message. */
  #entry(entry: unknown): void {
    if (typeof entry === 'string') return this.#message(entry);
    if (!isObject(entry)) return;
    this.#code(entry['code'] ?? entry['error_key']);
    this.#message(entry['message'] ?? entry['detail'] ?? entry['title']);
  }

  #code(value: unknown): void {
    const code = name(value);
    if (code !== null && this.#codes.length < ENTRIES_MAX) this.#codes.push(code);
  }

  #message(value: unknown): void {
    if (typeof value !== 'string' || value === '' || this.#messages.length >= ENTRIES_MAX) return;
    this.#messages.push(value.slice(0, MESSAGE_MAX));
  }
}

function name(value: unknown): string | null {
  if (typeof value === 'number') return String(value);
  return typeof value === 'string' && value !== '' && value.length <= NAME_MAX ? value : null;
}

/**
 * Codes that blame the input, whatever status they come with (semantics §1). `config/intercom.yaml` makes them permanent
 * under a 5xx; here they also say that nothing was applied. A test keeps both lists equal.
 */
export const INPUT_CODES: ReadonlySet<string> = new Set([
  'parameter_invalid',
  'parameter_not_found',
  'parameter_missing',
  'missing_parameter',
  'parameter_mismatch',
  'data_invalid',
  'type_mismatch',
  'validation_error',
  'unprocessable_entity',
  'bad_request',
  'client_error',
  'invalid_document',
  'custom_data_limit_reached',
  'unique_user_constraint',
]);

/**
 * Wordings that blame a part of the request. They name the part, because "invalid response from upstream" blames
 * somebody else, and a false hit would call a create that may have landed "not applied".
 */
const BLAMES: readonly RegExp[] = [
  /\b(?:invalid|malformed|missing|unknown|unpermitted|unsupported) (?:or \w+ )?(?:(?!response|server|upstream|internal|gateway|backend)\w+ )?(?:fields?|param(?:eter)?s?|attributes?|arguments?|input|values?|email|date|timestamp|json(?! response)|request body)\b/i,
  /\b(?:field|param(?:eter)?|attribute|argument|value|input|email|request body)s?\b[^;]{0,60} (?:(?:is|are) (?:invalid|not valid|required|missing|too long|too short)|must be|can(?:no|')t be (?:blank|empty|null))\b/i,
  /\b(?:is not a valid|has already been taken)\b/i,
];

/** Whether an error blames the request's content: by code, or under a plain 500 by the wording of its messages. */
export function blamesInput(status: number, error: ErrorFacts | null): boolean {
  if (error === null) return false;
  if (error.codes.some((code) => INPUT_CODES.has(code))) return true;
  return status === 500 && error.messages.some((message) => BLAMES.some((blame) => blame.test(message)));
}

const SPACE = new Set([0x20, 0x09, 0x0a, 0x0d]);

/**
 * Whether a complete 2xx body is one whole JSON text (RFC 8259; a BOM is forgiven). `ends` looks at the first and last
 * non-space byte and costs nothing; a body cut exactly behind an inner bracket passes it. `parse` proves it in full.
 */
export function wholeJson(bytes: Buffer, mode: 'ends' | 'parse'): BodyCondition {
  let first = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
  let last = bytes.length - 1;
  while (first <= last && SPACE.has(bytes[first] as number)) first += 1;
  while (last > first && SPACE.has(bytes[last] as number)) last -= 1;
  if (first > last) return 'empty';
  const ends = endsOf(bytes, first, last);
  if (mode === 'ends' || ends !== 'whole') return ends;
  try {
    JSON.parse(bytes.toString('utf8', first, last + 1));
    return 'whole';
  } catch {
    return 'cut';
  }
}

const LITERALS = ['true', 'false', 'null'];
const digit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39;

function endsOf(bytes: Buffer, first: number, last: number): BodyCondition {
  const open = bytes[first] as number;
  const close = bytes[last] as number;
  if (open === 0x7b) return close === 0x7d ? 'whole' : 'cut';
  if (open === 0x5b) return close === 0x5d ? 'whole' : 'cut';
  if (open === 0x22) return close === 0x22 && last > first ? 'whole' : 'cut';
  if (digit(open) || open === 0x2d) return digit(close) ? 'whole' : 'cut';
  const text = bytes.toString('latin1', first, Math.min(last + 1, first + 6));
  if (LITERALS.includes(text)) return 'whole';
  return LITERALS.some((literal) => literal.startsWith(text)) ? 'cut' : 'not_json';
}
