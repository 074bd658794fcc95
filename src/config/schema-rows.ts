/** The declaration of an endpoint row and its error entries: the format of `endpoints:` and of the shipped map. */

import { z } from 'zod';
import { choice, durationValue, flag, integerValue, key, listOf, structure, text, textValue, word } from './keys.ts';
import { policySections, rowDeadLetter } from './schema-policy.ts';

/** How an attempt can fail without a usable answer. */
const FAILURES = ['connect', 'dns', 'tls', 'timeout', 'reset', 'truncated', 'broken'] as const;

const STATUS = 'a status (409), a class of them (5xx), or a list of both';
const oneStatus = z.union([integerValue(100, 599), textValue(STATUS, /^[1-5]xx$/)], { error: STATUS });
const CODE = 'a code of Intercom, or a list of them';
const code = textValue(CODE, /^[^\s]{1,100}$/);
const failure = word(FAILURES);
const PATTERN = 'a regular expression (JavaScript, `u` flag) of at most 500 characters';

function oneOrMore<T extends z.ZodType>(schema: T, allowed: string) {
  return z.union([schema, z.array(schema).min(1, { error: allowed }).max(50, { error: allowed })], { error: allowed });
}

const when = z
  .strictObject(
    {
      status: key(oneOrMore(oneStatus, STATUS), 'The status of the answer: `409`, `5xx`, `[502, 504]`.'),
      code: key(oneOrMore(code, CODE), 'Any of the `errors[].code` of the answer.'),
      message: text('A regular expression over each `errors[].message`.', null, PATTERN),
      body: text('A regular expression over the text of the answer.', null, PATTERN),
      failure: key(
        oneOrMore(failure, `one or more of ${FAILURES.join(', ')}`),
        'How the attempt failed without a usable answer.',
      ),
      after_unknown: flag('Only when an earlier attempt of the same call may have taken effect.', false),
    },
    { error: structure('a condition such as { status: 409, code: conflict }') },
  )
  .refine(
    (given) => Object.entries(given).some(([name, part]) => name !== 'after_unknown' && (part ?? null) !== null),
    {
      error: 'at least one of status, code, message, body, failure',
    },
  )
  .meta({ description: 'All given parts must hold.' });

/** One entry of an error map. */
export const errorEntry = z.strictObject(
  {
    when,
    verdict: word(['ok', 'throttled', 'transient', 'permanent', 'unauthorized']).meta({
      description: 'What the answer means.',
    }),
    reason: key(
      textValue('a short name such as contact_exists', /^[a-z][a-z0-9_]{0,63}$/),
      'The name of this case in header, log and metrics; the code or the status when left out.',
    ),
    retry_after: key(durationValue('0s', '24h'), 'The wait before the next attempt, when the server names none.'),
    pauses: key(word(['nothing', 'endpoint', 'token']), 'Whom a throttled answer holds back besides its own call.'),
    dead_letter: key(
      word(['never']),
      '`never`: a call whose caller gets this answer is no dead letter; one without a caller (handed over, redriven) is.',
    ),
  },
  { error: structure('an entry such as { when: { status: 409 }, verdict: permanent }') },
);

const REQUEST = 'a read such as GET /contacts/{id}, or { method: POST, path: /contacts/search, body: F }';
const PATH = 'a path that starts with /, with {name} and {$expression}';
const targetValue = textValue(PATH, /^\/[^\s#]{0,2000}$/);
const EXPRESSION_TEXT = /^[^\0]{1,4096}$/;
/** A JSONata expression, on as many lines as it takes. */
function expression(says: string) {
  return key(textValue('a JSONata expression', EXPRESSION_TEXT), says);
}

const lookRequest = z.union(
  [
    textValue(REQUEST, /^[A-Z]+ \/[^\0\r\n#]{0,2000}$/),
    z.strictObject({
      method: word(['GET', 'POST']).meta({ description: 'The method.' }),
      path: targetValue.meta({ description: 'Path and query.' }),
      body: expression('Gives the body: a JSONata expression over the body of the lost request.'),
    }),
  ],
  { error: REQUEST },
);
const RESEND = 'true, false, or a duration from 1m to 24h';

/** One way to see whether a lost create landed. */
export const reconcileEntry = z
  .strictObject(
    {
      on_error: key(when, 'An error of a later attempt that shows the object in the way; instead of `probe`.'),
      probe: key(
        word(['direct', 'search']),
        'Looks after the loss: `direct` does not lag, `search` may lag by minutes; instead of `on_error`.',
      ),
      if: expression('The requests that it speaks of (JSONata over the body); all when left out.'),
      request: lookRequest.meta({
        description:
          'What is read. `{name}`: from the path, or a named group of `on_error`. `{$expression}`: JSONata over the body of the lost request; without a result the entry does not apply.',
      }),
      landed: expression(
        'Picks the created object out of the answer (JSONata). Also there: `$request`, `$params`, `$sent_at`, `$since` (epoch seconds), `$text(html)`, `$same(found, wanted)`.',
      ),
      as: expression('Turns the object into what the create answers (JSONata); `$probe` is the whole answer.'),
      full: key(
        textValue('a read such as GET /tickets/{$.id}', /^GET \/[^\0\r\n#]{0,2000}$/),
        'Reads the whole object, where the answer shows a part of it; `{$expression}` is over the match.',
      ),
      status: key(integerValue(200, 299), 'What the create answers with; 200, or 202 for one that answers nothing.'),
      more: expression(
        'Out of the answer the path of a page that is read instead, such as the last one (JSONata); without a result it is this page.',
      ),
      any_age: flag('Counts however old the object is: a key of the request proves that it is the one.', false),
      after: key(durationValue('100ms', '5m'), 'One look so long after the loss, instead of several.'),
      resend_if_absent: key(
        z.union([z.boolean(), durationValue('1m', '24h')], { error: RESEND }),
        'What follows when it is absent: sent again once, never, or by the queue after so long.',
        false,
      ),
    },
    { error: structure('an entry such as { probe: direct, request: GET /tags, landed: F }') },
  )
  .refine((given) => (given.on_error ?? null) !== null || (given.probe ?? null) !== null, {
    error: 'on_error or probe',
  })
  .refine((given) => !given.on_error || !given.probe, { error: 'on_error or probe, not both' })
  .refine((given) => !given.probe || given.landed, { error: 'landed, for a probe' });

const answerTemplate = z.record(z.string().max(100), z.union([z.string(), z.number(), z.boolean()]));
const ANSWER = 'json, empty, any, or an object to answer with';
const EXPRESSION = 'a JSONata expression over the request body';

/** One row of an endpoint map. */
export const endpointRow = z.strictObject(
  {
    match: textValue('a method (or *) and a path template, such as POST /contacts/{id}/notes').meta({
      description: 'Method (or `*`) and path template with `{names}`.',
    }),
    class: choice('What a second sending does: nothing, the same, or a second effect.', null, [
      'read',
      'idempotent',
      'create',
    ]),
    profile: text('The profile of this endpoint.', null, 'the name of a profile'),
    replace: flag('Takes the place of the shipped row instead of lying over it.', false),
    ...policySections,
    dead_letter: rowDeadLetter,
    errors: key(
      listOf(errorEntry, 200, 'a list of error entries'),
      'The error map: the first entry that fits decides, then the shipped ones.',
    ),
    idempotent_if: text('The create is idempotent when this holds for its body.', null, EXPRESSION),
    guarded_by: text('The upstream itself refuses a second one when this holds for the body.', null, EXPRESSION),
    guarded_for: key(
      durationValue('1s', '30d'),
      'How long after the first sending the guard holds; always when left out.',
    ),
    natural_key: text(
      'What the upstream tells objects apart by (JSONata over the body): a later success with the same supersedes a dead letter.',
      null,
      EXPRESSION,
    ),
    reconcile: key(
      listOf(reconcileEntry, 20, 'a list of reconcile entries'),
      'How to see whether a create landed whose answer was lost; they stand before the shipped ones (docs/layers/reconcile.md).',
    ),
    answer_id: text(
      'Where the id of the created object stands in a success; of a list the last item counts.',
      'id',
      'names joined by dots, such as conversation_id or parts.id',
    ),
    stamp: choice('The field that is set to the time of the call when the caller left it out.', null, ['created_at']),
    answer: key(
      z.union([word(['json', 'empty', 'any']), answerTemplate], { error: ANSWER }),
      'What a success carries; an object is also the answer of a repeated call whose first had succeeded. `{name}` is filled from the path.',
    ),
    whole: choice(
      'How a promised JSON answer is proven whole: by its ends, or parsed in full; creates are parsed.',
      null,
      ['ends', 'parse'],
    ),
  },
  { error: structure('a row such as { match: GET /contacts/{id}, timeout: { attempt: 5s } }') },
);

/** The shipped map of the Intercom API. */
export const shippedMap = z.strictObject({ operations: z.array(endpointRow), generic: z.array(errorEntry) });

/** A row as it was written. */
export type EndpointRow = z.infer<typeof endpointRow>;
/** An error entry as it was written. */
export type ErrorEntry = z.infer<typeof errorEntry>;
/** A reconcile entry as it was written. */
export type RecipeEntry = z.infer<typeof reconcileEntry>;
