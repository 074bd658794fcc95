import { z } from 'zod';
import { html as htmlAnswer } from '../base/answer.ts';
import { defineFault } from '../base/fault.ts';

/** A success that carries a load balancer's page instead of JSON, with or without effect. */
export const html = defineFault(
  'html',
  { effect: z.enum(['none', 'applied']).default('applied') },
  (arrival, options) => {
    if (options.effect === 'applied') arrival.apply();
    arrival.send(htmlAnswer(200, 'Please wait'));
  },
);

/** A success without a body where JSON was due, with or without effect. */
export const empty = defineFault(
  'empty',
  { effect: z.enum(['none', 'applied']).default('applied') },
  (arrival, options) => {
    if (options.effect === 'applied') arrival.apply();
    arrival.send({ status: 200, headers: ['Content-Type', 'application/json; charset=utf-8'], body: Buffer.alloc(0) });
  },
);
