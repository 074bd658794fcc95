import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import { duration } from './base/duration.ts';
import { ScenarioError } from './scenario.ts';
import type { Simulator } from './simulator.ts';

/** Where the simulator itself is spoken to; everything else is the simulated API. */
export const CONTROL_PREFIX = '/__simulator/';

const outage = z.strictObject({ for: duration });

type Action = (simulator: Simulator, body: unknown) => unknown;

const ACTIONS: Readonly<Record<string, Action>> = {
  'GET effects': (simulator) => simulator.effects(),
  'GET requests': (simulator) => simulator.requests(),
  'GET stats': (simulator) => simulator.stats(),
  'POST reset': (simulator) => simulator.reset(),
  'PUT scenario': (simulator, body) => simulator.setScenario(body as never),
  'POST faults': (simulator, body) => simulator.fault(body as never),
  'DELETE faults': (simulator) => simulator.clearFaults(),
  'POST outages': (simulator, body) => {
    const parsed = outage.safeParse(body);
    if (!parsed.success) throw new ScenarioError(parsed.error.issues.map((issue) => issue.message));
    simulator.outage(parsed.data.for);
  },
};

/** Answers a request under the control prefix: 200 with JSON, 204, or 400 with the faults of what was sent. */
export function control(simulator: Simulator, request: IncomingMessage, response: ServerResponse, body: Buffer): void {
  const name = (request.url as string).slice(CONTROL_PREFIX.length).split('?')[0];
  const action = ACTIONS[`${request.method} ${name}`];
  if (action === undefined) {
    send(response, 404, { error: `nothing here; there is ${Object.keys(ACTIONS).join(', ')}` });
    return;
  }
  try {
    const result = action(simulator, body.length === 0 ? undefined : JSON.parse(body.toString()));
    if (result === undefined) response.writeHead(204).end();
    else send(response, 200, result);
  } catch (fault) {
    if (fault instanceof ScenarioError) send(response, 400, { error: 'not a valid request', faults: fault.faults });
    else if (fault instanceof SyntaxError) send(response, 400, { error: `not JSON: ${fault.message}` });
    else throw fault;
  }
}

function send(response: ServerResponse, status: number, value: unknown): void {
  const body = Buffer.from(JSON.stringify(value));
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': body.length });
  response.end(body);
}
