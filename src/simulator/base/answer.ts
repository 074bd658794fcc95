/** One answer of the simulated API: fields beside the ones that every answer carries, and the whole body. */
export interface Answer {
  readonly status: number;
  /** Flat name, value list; `Content-Type` is among them when there is a body. */
  readonly headers: readonly string[];
  readonly body: Buffer;
}

const JSON_FIELDS: readonly string[] = ['Content-Type', 'application/json; charset=utf-8'];
const HTML_FIELDS: readonly string[] = ['Content-Type', 'text/html'];
const NOTHING = Buffer.alloc(0);

/** Answers with a JSON value. */
export function json(status: number, value: unknown, headers: readonly string[] = []): Answer {
  return {
    status,
    headers: headers.length === 0 ? JSON_FIELDS : [...JSON_FIELDS, ...headers],
    body: Buffer.from(JSON.stringify(value)),
  };
}

/** Answers without a body. */
export function empty(status: number): Answer {
  return { status, headers: [], body: NOTHING };
}

/** Answers as the load balancer in front of the API does: a short page, no request id. */
export function html(status: number, title: string): Answer {
  const page = `<html>\r\n<head><title>${title}</title></head>\r\n<body>\r\n<center><h1>${title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n`;
  return { status, headers: HTML_FIELDS, body: Buffer.from(page) };
}

/** Answers with Intercom's error list (OpenAPI `components.schemas.error`). */
export function error(
  requestId: string,
  status: number,
  code: string,
  message: string,
  headers: readonly string[] = [],
): Answer {
  return json(status, { type: 'error.list', request_id: requestId, errors: [{ code, message }] }, headers);
}
