/**
 * Puts `created_at` into the body of an event whose caller left it out (`events.stamp_created_at`): Intercom documents that
 * it drops repeats with the same contact, name and `created_at`, and gives each sending without one a time of its own. The
 * bytes stay the caller's but for the new member behind the first brace; parsing and writing the document again would
 * change numbers, escapes and order, and with them the signature of whoever looks at them later.
 */

const OPEN_BRACE = 0x7b;

/** The body with the field in front; null when it is no JSON object, or has the field. */
export function stamped(body: Buffer, field: string, value: number): Buffer | null {
  const document = parsed(body);
  if (typeof document !== 'object' || document === null || Array.isArray(document)) return null;
  if (Object.hasOwn(document, field)) return null;
  const behind = body.indexOf(OPEN_BRACE) + 1;
  const comma = Object.keys(document).length === 0 ? '' : ',';
  const member = Buffer.from(`${JSON.stringify(field)}:${value}${comma}`);
  return Buffer.concat([body.subarray(0, behind), member, body.subarray(behind)]);
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return null;
  }
}
