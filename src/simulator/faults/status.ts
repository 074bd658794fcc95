import { z } from 'zod';
import { type Answer, empty, error, html } from '../base/answer.ts';
import { duration } from '../base/duration.ts';
import { defineFault, effectShape, takeEffect } from '../base/fault.ts';

const NAMES: Readonly<Record<number, readonly [code: string, message: string]>> = {
  401: ['unauthorized', 'Access Token Invalid'],
  404: ['not_found', 'Resource Not Found'],
  408: ['request_timeout', 'Request Timeout'],
  409: ['conflict', 'Conflict'],
  422: ['parameter_invalid', 'Parameter invalid'],
  500: ['server_error', 'Sorry, the server is experiencing an internal error'],
  502: ['server_error', 'Bad Gateway'],
  503: ['service_unavailable', 'Sorry, the API service is temporarily unavailable'],
  504: ['server_error', 'Gateway Timeout'],
};

/** Answers with an error status, with or without effect and Retry-After. */
export const status = defineFault(
  'status',
  {
    status: z.int().min(400).max(599),
    code: z.string().optional(),
    message: z.string().optional(),
    retry_after: duration.optional(),
    retry_after_form: z.enum(['seconds', 'date']).default('seconds'),
    body: z.enum(['intercom', 'html', 'empty']).default('intercom'),
    ...effectShape,
  },
  (arrival, options) => {
    takeEffect(arrival, options);
    const [code, message] = NAMES[options.status] ?? ['client_error', 'Error'];
    const { retry_after: wait } = options;
    const headers =
      wait === undefined ? [] : ['Retry-After', retryAfter(arrival.serverNow(), wait, options.retry_after_form)];
    let answer: Answer;
    if (options.body === 'html') answer = html(options.status, `${options.status} ${options.message ?? message}`);
    else if (options.body === 'empty') answer = empty(options.status);
    else answer = error(arrival.requestId, options.status, options.code ?? code, options.message ?? message);
    arrival.send({ ...answer, headers: [...answer.headers, ...headers] });
  },
);

/** Retry-After as whole seconds, or as a date of the server's clock (RFC 9110 §10.2.3). */
export function retryAfter(serverNowMs: number, waitMs: number, form: 'seconds' | 'date'): string {
  return form === 'seconds' ? String(Math.ceil(waitMs / 1000)) : new Date(serverNowMs + waitMs).toUTCString();
}
