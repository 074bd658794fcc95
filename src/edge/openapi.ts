/** The OpenAPI 3.1 document of the admin API, made of the routes themselves. */

import type { z } from 'zod';
import { type AdminRoute, schemaOf } from './admin-route.ts';

const ERROR_SAYS: Readonly<Record<number, string>> = {
  400: 'A query or a body that is not what the call takes.',
  401: 'The admin token is missing or wrong.',
  403: 'Another host name or site than this plane answers to.',
  404: 'There is none with this name.',
  409: 'Not in its present state.',
  422: 'Understood, and not possible.',
  503: 'The ledger is unavailable.',
};
const ALWAYS = [401, 403, 503];

/** Describes the calls. `version` is that of the product. */
export function openApiOf(routes: readonly AdminRoute[], version: string): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const each of routes) {
    const path = (paths[each.path] ??= {});
    path[each.method.toLowerCase()] = operationOf(each);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Holdfast admin API',
      version,
      description: 'Open on loopback when no admin token is set; otherwise Authorization: Bearer <admin token>.',
    },
    security: [{ token: [] }],
    paths,
    components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } }, schemas: { Error: ERROR } },
  };
}

function operationOf({
  method,
  path,
  does,
  query,
  body,
  answers,
  alsoAnswers,
  errors,
}: AdminRoute): Record<string, unknown> {
  const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
  const content = body === null ? null : { 'application/json': { schema: schemaOf(body) } };
  const failures = [...errors, ...ALWAYS].sort((a, b) => a - b);
  return {
    operationId: operationId(method, path),
    summary: does,
    parameters: [...named, ...(query === null ? [] : parametersOf(query))],
    ...(content === null ? {} : { requestBody: { content } }),
    responses: {
      ...Object.fromEntries(
        [answers, ...(alsoAnswers === undefined ? [] : [alsoAnswers])].map(({ status, says }) => [
          status,
          { description: says, content: { 'application/json': { schema: {} } } },
        ]),
      ),
      ...Object.fromEntries(
        failures.map((status) => [
          status,
          {
            description: ERROR_SAYS[status] ?? '',
            content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
          },
        ]),
      ),
    },
  };
}

function parametersOf(query: z.ZodObject): Record<string, unknown>[] {
  const { properties, required } = schemaOf(query) as {
    properties?: Record<string, Record<string, unknown>>;
    required?: string[];
  };
  return Object.entries(properties ?? {}).map(([name, { description, ...schema }]) => ({
    name,
    in: 'query',
    required: required?.includes(name) === true,
    description,
    schema,
  }));
}

/** `getApiDeadLettersId`. */
function operationId(method: string, path: string): string {
  const words = path.split(/[^a-zA-Z]+/).filter((word) => word !== '');
  return method.toLowerCase() + words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('');
}

const ERROR = {
  type: 'object',
  required: ['type', 'request_id', 'errors'],
  properties: {
    type: { const: 'error.list' },
    request_id: { type: 'string' },
    errors: {
      type: 'array',
      items: {
        type: 'object',
        required: ['code', 'message'],
        properties: { code: { type: 'string' }, message: { type: 'string' } },
      },
    },
  },
};
